"""Stand-ins for what a call and a server work with: legs, a call's core and stores whose behaviour the test decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from voicebot.audio.formats import AudioFormat
from voicebot.call.core import Stage
from voicebot.call.entries import CallEnded, CallerConnected, CallOpened
from voicebot.call.events import Effect, Event, Finish, Journal
from voicebot.call.playback import Playback
from voicebot.call.ports import (
    AppendAudio,
    CallerAudio,
    CallerAudioQuality,
    CallerEvent,
    CallerLeft,
    ClearPlayback,
    CloseLeg,
    LegCommand,
    MarkPlayed,
    ModelCommand,
    ModelEvent,
    ModelLost,
    SendMark,
)
from voicebot.call.speaker import Speaker
from voicebot.delivery.events import Targets
from voicebot.engine.entries import EndedReason
from voicebot.engine.events import CallContext
from voicebot.errors import CallTakenError, LegLostError, StoreError
from voicebot.flow.loader import FlowShelf, LoadedFlow
from voicebot.server.lifecycle import Calls, ModelAccess
from voicebot.server.lobby import Lobby
from voicebot.server.reporting import Reporter
from voicebot.server.twilio_routes import VOICE_PATH
from voicebot.sim.realtime_server import RealtimeServer
from voicebot.store.contract import Backlog, CallRecord, NewDelivery, Store, StoredEntry
from voicebot.store.sqlite import SqliteStore
from voicebot.telephony.full_house import FullHouse
from voicebot.vault import Vault

NOBODY = Targets()
CALL_SID = "CA" + "0123456789abcdef" * 2
START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


@dataclass
class WallClock:
    """A time of day that stands still until the test moves it."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class FakeLeg:
    """A caller's leg: events come from the test, commands are written down. Every mark comes back at once.

    A write takes a turn of the loop, so that two tasks that write at once are found out.
    """

    audio_format = AudioFormat.PCMU_8K
    quality: CallerAudioQuality | None = None

    def __init__(self, *, takes: int | None = None) -> None:
        """`takes`: how many commands it takes before it is lost; None for all."""
        self.sent: list[LegCommand] = []
        self.writes = 0
        self._takes = takes
        self._events: asyncio.Queue[Sequence[CallerEvent]] = asyncio.Queue()
        self._left: CallerLeft | None = None
        self._writing = False
        self._hear: Callable[[bytes], bool] = lambda payload: False

    def tell(self, *events: CallerEvent) -> None:
        """These come in together."""
        self._events.put_nowait(events)

    def give_audio_to(self, hear: Callable[[bytes], bool]) -> None:
        self._hear = hear

    def say(self, payload: bytes) -> None:
        """Audio comes, as a telephone's does."""
        if not self._hear(payload):
            self.tell(CallerAudio(payload))

    async def receive(self) -> Sequence[CallerEvent]:
        if self._left is not None:
            return [self._left]
        events = await self._events.get()
        if isinstance(events[-1], CallerLeft):
            self._left = events[-1]
        return events

    async def send(self, commands: Sequence[LegCommand]) -> None:
        assert not self._writing, "two tasks write to the caller's leg at once"
        self._writing = True
        self.writes += 1
        await asyncio.sleep(0)
        self._writing = False
        for command in commands:
            if self._takes is not None and len(self.sent) >= self._takes:
                self.tell(CallerLeft("lost"))
                raise LegLostError("the socket took no bytes")
            self._take(command)

    def _take(self, command: LegCommand) -> None:
        self.sent.append(command)
        if isinstance(command, SendMark):
            self.tell(MarkPlayed(command.name))
        elif isinstance(command, CloseLeg):
            self.tell(CallerLeft("hangup"))
        else:
            assert not isinstance(command, ClearPlayback) or self._left is None


class FakeModel:
    """A model's leg: events come from the test, commands are written down."""

    def __init__(self) -> None:
        self.sent: list[ModelCommand] = []
        self.closed = 0
        self.takes_writes = asyncio.Event()
        self.takes_writes.set()
        self._events: asyncio.Queue[Sequence[ModelEvent]] = asyncio.Queue()
        self._lost: ModelLost | None = None
        self._writing = False
        self._written = asyncio.Condition()

    def tell(self, *events: ModelEvent) -> None:
        """These come in together."""
        self._events.put_nowait(events)

    async def sent_one(self, kind: type[ModelCommand], count: int = 1) -> ModelCommand:
        """Wait for the `count`th command of a kind."""
        async with self._written:
            await self._written.wait_for(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]

    def of(self, kind: type[ModelCommand]) -> list[ModelCommand]:
        return [command for command in self.sent if isinstance(command, kind)]

    async def receive(self) -> Sequence[ModelEvent]:
        if self._lost is not None:
            return [self._lost]
        events = await self._events.get()
        if isinstance(events[-1], ModelLost):
            self._lost = events[-1]
        return events

    def hear(self, payload: bytes) -> None:
        assert not self._writing, "two tasks write to the model at once"
        assert not self.closed, "written to after it was closed"
        self.sent.append(AppendAudio(payload))

    async def send(self, commands: Sequence[ModelCommand]) -> None:
        assert not self._writing, "two tasks write to the model at once"
        assert not self.closed, "written to after it was closed"
        self._writing = True
        await asyncio.sleep(0)
        await self.takes_writes.wait()
        self._writing = False
        async with self._written:
            self.sent += commands
            self._written.notify_all()

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.closed += 1
        self.tell(ModelLost("closed by the call", retryable=False))


class FakeCore:
    """A `CallCore` that answers each kind of event as the test says, and ends when the caller leaves."""

    def __init__(self, context: CallContext | None = None) -> None:
        context = context or CallContext(CALL_SID, "+15550123456", "+15550100000", START)
        self.stage, self.reason, self.left_by_caller = Stage.PREPARING, None, False
        self.engine = SimpleNamespace(context=context, values={"name": "Ada"})
        self.speaker = Speaker(AudioFormat.PCMU_8K, Playback())
        self.seen: list[tuple[float, Event]] = []
        self.answers: dict[type, Callable[[Event], list[Effect]]] = {}
        self.on_prepare: list[Effect] = []
        self.on_connect: list[Effect] = []
        self.due: float | None = None
        self.on_due: Callable[[float], list[Effect]] = lambda now: []
        self.hushed = self.listens_closely = False

    def audible(self, payload: bytes) -> bytes:
        return bytes(len(payload)) if self.hushed else payload

    @property
    def hears(self) -> bool:
        return self.stage is Stage.TALKING

    def deadline(self) -> float | None:
        return self.due

    def on_deadline(self, now: float) -> list[Effect]:
        return self.on_due(now)

    def prepare(self, opened: CallOpened, now: float) -> list[Effect]:
        return [Journal(opened, durable=True), *self.on_prepare]

    def connect(self, stream_sid: str, now: float) -> list[Effect]:
        if self.stage is not Stage.PREPARING:
            return []
        self.stage = Stage.TALKING
        return [Journal(CallerConnected(stream_sid), durable=False), *self.on_connect]

    def abandon(self, reason: EndedReason, now: float) -> list[Effect]:
        return self.end(reason)

    def handle(self, event: Event, now: float) -> list[Effect]:
        if self.stage is Stage.ENDED:
            return []
        self.seen.append((now, event))
        if type(event) in self.answers:
            return self.answers[type(event)](event)
        if isinstance(event, CallerLeft):
            return self.end("caller_hung_up" if event.reason == "hangup" else "connection_lost")
        return self.end("model_failed") if isinstance(event, ModelLost) else []

    def end(self, reason: EndedReason) -> list[Effect]:
        """The effects with which the call ends; none when it has ended."""
        if self.stage is Stage.ENDED:
            return []
        self.stage = Stage.ENDED
        return [CloseLeg(), Journal(CallEnded(reason), durable=True), Finish(reason)]


@dataclass
class FakeJournal:
    """The part of a store that a session writes to. While `down`, it takes nothing; once `taken`, nothing ever."""

    entries: list[StoredEntry] = field(default_factory=list)
    durable: list[int] = field(default_factory=list)  # sequences that were asked to be safe
    attempts: set[int] = field(default_factory=set)
    down: bool = False
    taken: bool = False

    async def append(self, call_sid: str, entries: Sequence[StoredEntry], *, attempt: int, durable: bool) -> None:
        await asyncio.sleep(0)
        if self.down:
            raise StoreError("the disk is full")
        if self.taken:
            raise CallTakenError(call_sid)
        self.entries += entries
        self.attempts.add(attempt)
        if durable:
            self.durable += [entry.sequence for entry in entries]

    @property
    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.entries]


class BreakableStore(SqliteStore):
    """The store of one machine, which fails while the test says so: `down` holds the names of methods, or `*`."""

    down: frozenset[str] = frozenset()

    def break_down(self, *methods: str) -> None:
        """From now on these fail; without names all do."""
        self.down = frozenset(methods or ("*",))

    def mend(self) -> None:
        self.down = frozenset()

    def _ask(self, method: str) -> None:
        if self.down & {"*", method}:
            raise StoreError("the disk is full")

    def healthy(self) -> bool:
        return super().healthy() and not self.down

    async def open_call(self, record: CallRecord, *, max_calls: int) -> tuple[CallRecord | None, bool]:
        self._ask("open_call")
        return await super().open_call(record, max_calls=max_calls)

    async def call(self, call_sid: str) -> CallRecord | None:
        self._ask("call")
        return await super().call(call_sid)

    async def claim_stream(self, call_sid: str, attempt: int, owner: str) -> CallRecord | None:
        self._ask("claim_stream")
        return await super().claim_stream(call_sid, attempt, owner)

    async def take_over(self, call_sid: str, attempt: int, owner: str, *, token_issued_at: int) -> CallRecord | None:
        self._ask("take_over")
        return await super().take_over(call_sid, attempt, owner, token_issued_at=token_issued_at)

    async def keep_secret(self, call_sid: str, name: str, sealed: bytes, *, attempt: int) -> None:
        self._ask("keep_secret")
        await super().keep_secret(call_sid, name, sealed, attempt=attempt)

    async def beat(self, owner: str, *, takes_calls: bool = True) -> dict[str, int]:
        self._ask("beat")
        return await super().beat(owner, takes_calls=takes_calls)

    async def beats(self) -> dict[str, int]:
        self._ask("beats")
        return await super().beats()

    async def append(self, call_sid: str, entries: Sequence[StoredEntry], *, attempt: int, durable: bool) -> None:
        self._ask("append")
        await super().append(call_sid, entries, attempt=attempt, durable=durable)

    async def journal(self, call_sid: str, after: int = 0) -> list[StoredEntry]:
        self._ask("journal")
        return await super().journal(call_sid, after)

    async def finish(
        self,
        call_sid: str,
        report: str,
        deliveries: Sequence[NewDelivery],
        *,
        attempt: int,
        ended: datetime,
        last_entries: Sequence[StoredEntry] = (),
    ) -> bool:
        self._ask("finish")
        return await super().finish(
            call_sid, report, deliveries, attempt=attempt, ended=ended, last_entries=last_entries
        )

    async def report(self, call_sid: str) -> str | None:
        self._ask("report")
        return await super().report(call_sid)

    async def backlog(self) -> Backlog:
        self._ask("backlog")
        return await super().backlog()


def calls_over(
    store: Store,
    access: ModelAccess,
    flows: Mapping[str, LoadedFlow],
    *,
    targets: Targets = NOBODY,
    owner: str = "A-000001",
    max_calls: int = 2,
    wall: Callable[[], datetime] = lambda: START,
    reported: Callable[[], None] = lambda: None,
) -> Calls:
    """The calls of an instance, put together as the server does."""
    shelf = FlowShelf(flows)
    reporter = Reporter(store, targets, lambda: shelf, wall, reported)
    return Calls(
        owner=owner,
        store=store,
        access=access,
        shelf=lambda: shelf,
        reporter=reporter,
        max_calls=max_calls,
        wall=wall,
        seal=Vault(b"the server's secret").seal,
    )


def lobby_over(
    store: Store, calls: Calls, flows: Mapping[str, LoadedFlow], wall: Callable[[], datetime], public_url: str
) -> Lobby:
    """The lobby of an instance whose operator has callers without a place told so."""
    shelf = FlowShelf(flows)
    return Lobby(
        owner=calls.owner,
        store=store,
        reporter=Reporter(store, NOBODY, lambda: shelf, wall, lambda: None),
        shelf=lambda: shelf,
        house=FullHouse(),
        most_waiting=calls.max_calls,
        public_url=public_url,
        voice_path=VOICE_PATH,
        wall=wall,
    )


def open_sockets(model: RealtimeServer) -> int:
    """How many connections the twin of the model has now."""
    return 0 if model._server is None else len(model._server.connections)


def environment(**variables: str) -> Mapping[str, str]:
    """The least environment in which our command runs, so that nothing of the developer's own has a say."""
    import os
    import sys

    keep = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "VIRTUAL_ENV") if name in os.environ}
    return keep | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | variables
