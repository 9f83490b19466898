"""The calls of this process: begun by the webhook or taken over from another one, owned here until they end.

The one place that makes tasks which outlive their caller: each call is a task of its own, kept until its report is in
the store or the call is in other hands.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Literal, Protocol

from voicebot.audio.formats import AudioFormat
from voicebot.call.about import context_of
from voicebot.call.clips import ClipCache
from voicebot.call.core import CallCore
from voicebot.call.entries import CallOpened, Entry, TokensSpent
from voicebot.call.messages import Send
from voicebot.call.past import Past, read_past
from voicebot.call.ports import ModelLeg
from voicebot.call.secrets import CallSecrets, Seal
from voicebot.call.session import CallSession
from voicebot.call.statements import clip_keys
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import EndedReason
from voicebot.errors import CallTakenError, ModelUnavailableError, StoreError
from voicebot.flow.loader import FlowShelf, LoadedFlow
from voicebot.flow.model import Flow
from voicebot.flow.tools import Tool
from voicebot.log_events import named
from voicebot.observe.context import current_call, work_for
from voicebot.realtime.gate import Gate
from voicebot.realtime.leg import connect
from voicebot.realtime.session import SessionConfig
from voicebot.store.contract import CallRecord, Store, StoredEntry
from voicebot.web.leg import WebLeg
from voicebot.web.session_ids import is_session_id

from .recording import Recordings
from .reporting import Reporter
from .revival import revive

log = logging.getLogger(__name__)

CLAIM_LIMIT_S = 15.0  # Twilio opens the stream within a second of the TwiML; its own connect limit is 5 s, two tries
TICKET_LIMIT_S = 60.0  # for a client: its ticket passes through hands, and somebody allows the microphone
RETURN_LIMIT_S = 15.0  # for a caller whose stream broke: Twilio asks what comes next at once, or not at all
END_LIMIT_S = 5.0
RECALL_LIMIT_S = 0.5  # for clips from the store, before a call begins
MOST_ATTEMPTS = 8  # hands that a call may go through; past them the caller hears a sentence
Obstacle = Literal["stopping", "lagging", "full"]
_UNREPORTED = "a call could not be reported; its journal is kept"


@dataclass(frozen=True)
class ModelAccess:
    """How calls reach the model, and what its tokens cost if that is known. The key never shows in a repr."""

    url: str
    api_key: Callable[[], str]
    model: str
    transcription_model: str
    audio_format: AudioFormat
    gate: Gate = field(default_factory=Gate)
    cost_of: Callable[[TokensSpent], float] | None = None  # US dollars


class CallObserver(Protocol):
    """Sees what happens in calls, and never waits."""

    def of_call(self, record: CallRecord) -> Callable[[Entry, datetime], None]:
        """What is to be told of every entry of a call at work here, as it is decided."""
        ...

    def let_go(self, record: CallRecord, at: datetime) -> None:
        """The call is not at work here any more."""
        ...


class Calls:
    """Every call at work in this process."""

    def __init__(
        self,
        *,
        owner: str,
        store: Store,
        access: ModelAccess,
        shelf: Callable[[], FlowShelf],
        reporter: Reporter,
        max_calls: int,
        wall: Callable[[], datetime],
        observer: CallObserver | None = None,
        overloaded: Callable[[], bool] = lambda: False,
        send: Send | None = None,
        recordings: Recordings | None = None,
        seal: Seal,
    ) -> None:
        """
        Args:
            owner: the id of this instance.
            shelf: the flows as they are now.
            max_calls: unfinished ones at most, over all instances.
            wall: the time of day, aware UTC.
            observer: sees what happens in calls.
            overloaded: whether this process is too late with its calls to take another one.
            send: sends text messages of calls.
            recordings: who records calls; without it, none is recorded.
            seal: seals what callers enter in secret.
        """
        self._send, self._recordings = send, recordings
        self._observer, self._seal = observer, seal
        self._store, self._access, self._shelf, self._reporter = store, access, shelf, reporter
        self.owner, self.max_calls, self._wall, self._overloaded = owner, max_calls, wall, overloaded
        self._clips = ClipCache(rendered=self._keep_clip)
        self._recalled: set[str] = set()  # clips that the store was asked for
        self._sessions: dict[str, CallSession] = {}
        self._awaited: dict[str, asyncio.Event] = {}  # callers whose stream broke; set when they will not come back
        self._lines_over: set[str] = set()  # calls at work here that the phone line has ended
        self._entering: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._handing_over = False
        self.accepting = True

    @property
    def count(self) -> int:
        """Calls at work now."""
        return len(self._sessions)

    @property
    def obstacle(self) -> Obstacle | None:
        """Why no new call can be taken here: all are refused, or one more would be too many."""
        if not self.accepting:
            return "stopping"
        if self._overloaded():
            return "lagging"
        return "full" if len(self._entering | self._sessions.keys()) >= self.max_calls else None

    @property
    def full(self) -> bool:
        """Whether no new call can be taken here, for whatever reason."""
        return self.obstacle is not None

    @property
    def taking(self) -> bool:
        """Whether others may send calls here."""
        return self.obstacle not in ("stopping", "lagging")

    @contextmanager
    def place(self, call_sid: str) -> Iterator[bool]:
        """Hold a place while a call is opened, or say that there is none; a call at work has one already."""
        held = call_sid in self._sessions or call_sid in self._entering or self.obstacle is None
        if held:
            self._entering.add(call_sid)
        try:
            yield held
        finally:
            self._entering.discard(call_sid)

    def get(self, call_sid: str) -> CallSession | None:
        """The session of a call at work here."""
        return self._sessions.get(call_sid)

    @property
    def at_work(self) -> frozenset[str]:
        """Calls that somebody here looks after: under way, waiting for a stream, or being reported."""
        return frozenset(self._sessions) | self._awaited.keys()

    @property
    def sessions(self) -> dict[str, CallSession]:
        """Every session at work here, by CallSid."""
        return dict(self._sessions)

    # ---- calls that begin or come -----------------------------------------------------------------------------------

    def open(
        self, record: CallRecord, loaded: LoadedFlow, variables: Mapping[str, str] = MappingProxyType({})
    ) -> CallSession:
        """Begin a call: its model is reached, and its opening rendered, while the phone line opens the stream.

        Args:
            variables: what the call was placed with.
        """
        opened = opened_by(record, loaded, variables)
        return self._begin(record, loaded, opened)

    async def resume(self, record: CallRecord) -> CallSession:
        """Go on with a call that was in other hands, with the flow that it began with.

        Args:
            record: as `take_over` or `claim_stream` gave it to us.

        Raises:
            StoreError: its journal cannot be read.
            FlowError: its flow cannot be had any more.
        """
        past = read_past(await self._store.journal(record.call_sid), self._wall())
        if past.sequence == 0:  # whoever had it died before it wrote down how the call begins
            return self.open(record, self._shelf().get(record.flow_name))
        opened = past.opened
        loaded = revive(opened.flow, opened.flow_version, opened.flow_document, self._shelf())
        log.info("going on with the call, as number %d", record.attempt, extra=named("call_resumed", record.call_sid))
        return self._begin(record, loaded, past)

    def _begin(self, record: CallRecord, loaded: LoadedFlow, begins: CallOpened | Past) -> CallSession:
        flow, access = loaded.flow, self._access_of(record.call_sid)
        past, over_the_web = begins if isinstance(begins, Past) else None, is_session_id(record.call_sid)
        opened = past.opened if past is not None else begins
        variables = opened.variables if isinstance(opened, CallOpened) else {}
        if flow.limits.cost_usd is not None and access.cost_of is None:
            unkept = "the flow's cost_usd cannot be kept: VOICEBOT_PRICES has no price of %s"
            log.warning(unkept, access.model, extra=named("cost_unknown", record.call_sid))
        engine = PhaseEngine(flow, context_of(record, variables))
        core = CallCore(
            engine,
            audio_format=access.audio_format,
            clips=self._clips,
            model=access.model,
            past=past,
            passes_on=bool(flow.fallback) and not over_the_web,
            cost_of=access.cost_of,
        )
        session = CallSession(
            core,
            begins,
            call_sid=record.call_sid,
            attempt=record.attempt,
            store=self._store,
            connect_model=self._connector(record.call_sid, loaded),
            tools={name: thing for name, thing in loaded.functions.items() if isinstance(thing, Tool)},
            handlers=flow.handlers,
            wall=self._wall,
            jitter=random.random,
            told=self._observer.of_call(record) if self._observer is not None else None,
            stored=partial(self._stored, record, loaded),
            recording=self._recordings.of_call(record.call_sid, flow, past) if self._recordings is not None else None,
            secrets=CallSecrets(record.call_sid, self._store, self._seal, attempt=record.attempt),
            claim_limit_s=TICKET_LIMIT_S if over_the_web else CLAIM_LIMIT_S,
            send=self._send,
        )
        if (before := self._sessions.get(record.call_sid)) is not None:
            before.taken()
        self._will_not_return(record.call_sid)
        self._sessions[record.call_sid] = session
        self._keep(self._live(session, record, loaded), "call", record.call_sid, _UNREPORTED)
        if session.handlers is not None:  # a task of their own: neither the call nor its report waits for them
            self._keep(session.handlers.run(), "handlers", record.call_sid, "the handlers of a call broke")
        return session

    def _access_of(self, call_sid: str) -> ModelAccess:
        """How a call reaches the model: over the web it speaks what the client does."""
        web = is_session_id(call_sid)
        return replace(self._access, audio_format=WebLeg.audio_format) if web else self._access

    def _connector(self, call_sid: str, loaded: LoadedFlow) -> Callable[[], Coroutine[object, object, ModelLeg]]:
        flow, access, gate = loaded.flow, self._access_of(call_sid), self._access.gate
        config = SessionConfig(
            model=access.model,
            voice=flow.voice,
            audio_format=access.audio_format,
            transcription_model=access.transcription_model or None,
            languages=flow.languages,
            noise_reduction=flow.noise_reduction,
        )
        time = asyncio.get_running_loop().time

        async def connect_model() -> ModelLeg:
            if not gate.admits(time()):
                raise ModelUnavailableError("it was not there for other calls a moment ago", retryable=True)
            try:
                leg = await connect(
                    access.url,
                    api_key=access.api_key(),
                    config=config,
                    unix_now=lambda: self._wall().timestamp(),
                    call_sid=call_sid,
                )
            except ModelUnavailableError as exc:
                if exc.retryable:
                    gate.failed(time(), random.random())
                raise
            gate.succeeded()
            return leg

        return connect_model

    # ---- the life of a call here ------------------------------------------------------------------------------------

    def _keep(self, work: Coroutine[object, object, None], what: str, of: str, when_broken: str) -> None:
        """Have a task do this. `of`: the CallSid that it works for."""

        def forget(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("%s", when_broken, exc_info=error, extra=named("task_broke", of))

        async def worked() -> None:
            work_for(of)
            await work

        task = asyncio.create_task(worked(), name=f"{what} {of}")
        self._tasks.add(task)
        task.add_done_callback(forget)

    async def _live(self, session: CallSession, record: CallRecord, loaded: LoadedFlow) -> None:
        taken = False
        try:
            await self._recall_clips(loaded, self._access_of(record.call_sid).audio_format)
            await session.run()
        except* CallTakenError:
            taken = True
        except* Exception:
            log.exception("the call broke", extra=named("call_broke", record.call_sid))
            session.failed()
        finally:
            if session.handlers is not None:
                session.handlers.leave()
            if self._observer is not None:
                self._observer.let_go(record, self._wall())
            try:
                if taken:
                    log.info("the call is in other hands", extra=named("call_in_other_hands", record.call_sid))
                elif session.let_go and not _ends_here(session):
                    self._forget(session)
                    reason = session.core.reason or "connection_lost"
                    if reason == "transferred":  # nobody has had anybody rung for them: they have gone
                        reason = "caller_hung_up"
                    await self._await_return(record, reason, loaded.flow, session.unwritten, session.unkept)
                else:
                    await self._reporter.report(
                        record,
                        reason=session.core.reason or "error",
                        flow=loaded.flow,
                        unwritten=session.unwritten,
                        unkept=session.unkept,
                    )
            finally:
                self._forget(session)
                self._lines_over.discard(record.call_sid)

    def _stored(self, record: CallRecord, loaded: LoadedFlow, entry: StoredEntry) -> None:
        if self._reporter.tells_of(loaded.flow, entry):
            telling = self._reporter.tell(record, loaded.flow, entry)
            self._keep(telling, "tell", record.call_sid, "receivers could not be told of a call")

    def _forget(self, session: CallSession) -> None:
        session.forgotten.set()
        if self._sessions.get(session.call_sid) is session:
            del self._sessions[session.call_sid]

    async def _await_return(
        self,
        record: CallRecord,
        reason: EndedReason,
        flow: Flow | None,
        unwritten: Sequence[StoredEntry] = (),
        unkept: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        """The call may go on in other hands, as when the caller's next stream comes there; else report it."""
        if self._handing_over:
            return  # whoever is alive looks after it
        gone = self._awaited[record.call_sid] = asyncio.Event()
        if record.call_sid in self._lines_over:  # said while the session was still letting go
            gone.set()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(RETURN_LIMIT_S):
                    await gone.wait()
        finally:
            if self._awaited.get(record.call_sid) is gone:
                del self._awaited[record.call_sid]
        if not self._handing_over:
            await self._reporter.report(record, reason=reason, flow=flow, unwritten=unwritten, unkept=unkept)

    def _will_not_return(self, call_sid: str) -> None:
        if (awaited := self._awaited.get(call_sid)) is not None:
            awaited.set()

    # ---- a caller whom the phone line has taken elsewhere -----------------------------------------------------------

    def passed_on(self, call_sid: str) -> None:
        """The call was taken from whoever had it here: nobody waits for it any more."""
        if (session := self._sessions.get(call_sid)) is not None:
            session.taken()
        self._will_not_return(call_sid)

    def conclude(self, record: CallRecord, reason: EndedReason, *, at_once: bool) -> None:
        """Have a call reported that nobody is at work on: now, or unless it has gone to other hands in a while."""

        async def conclude() -> None:
            if at_once:
                await self._reporter.report(record, reason=reason)
            else:
                await self._await_return(record, reason, None)

        self._keep(conclude(), "conclude", record.call_sid, _UNREPORTED)

    def line_over(self, call_sid: str) -> None:
        """The phone line says that the call is over."""
        if (session := self._sessions.get(call_sid)) is not None:
            session.hang_up()
            self._lines_over.add(call_sid)
        self._will_not_return(call_sid)

    # ---- exact statements -------------------------------------------------------------------------------------------

    async def _recall_clips(self, loaded: LoadedFlow, audio_format: AudioFormat) -> None:
        """Have what must be said at once from the store, if any instance had it rendered before."""
        keys = clip_keys(loaded.flow, model=self._access.model, audio_format=audio_format)
        with suppress(TimeoutError, StoreError):
            async with asyncio.timeout(RECALL_LIMIT_S):
                for key in keys:
                    if key in self._recalled or self._clips.get(key) is not None:
                        continue
                    if (payload := await self._store.clip(key)) is not None:
                        self._clips.recall(key, payload)
                    self._recalled.add(key)

    def _keep_clip(self, key: str, payload: bytes) -> None:
        async def keep() -> None:
            try:
                await self._store.keep_clip(key, payload)
            except StoreError as exc:
                log.warning("a clip cannot be kept: %s", exc, extra=named("store_clip_not_kept"))

        self._keep(keep(), "clip", current_call(), "a clip could not be kept")

    # ---- the end ----------------------------------------------------------------------------------------------------

    async def finished(self) -> None:
        """Wait until no call is at work, nor a handler of one."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def hand_over(self) -> None:
        """Let the calls at work go on in other instances; returns when they are let go, or a few seconds later."""
        self.accepting, self._handing_over = False, True
        for session in self._sessions.values():
            session.hand_over()
        for call_sid in tuple(self._awaited):
            self._will_not_return(call_sid)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=END_LIMIT_S)

    async def end(self) -> None:
        """Take no more calls, and end those at work; returns when they are reported, or a few seconds later."""
        self.accepting = False
        for session in self._sessions.values():
            session.abandon("shutdown")
        for call_sid in tuple(self._awaited):
            self._will_not_return(call_sid)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=END_LIMIT_S)


def _ends_here(session: CallSession) -> bool:
    """Whether a call that was let go is over: no phone line takes a client to a human being, so nothing comes of it."""
    return session.core.reason == "transferred" and is_session_id(session.call_sid)


def opened_by(record: CallRecord, loaded: LoadedFlow, variables: Mapping[str, str]) -> CallOpened:
    """How the journal of a call begins."""
    told = (record.caller, record.called, record.direction, dict(variables))
    return CallOpened(loaded.name, loaded.version, loaded.document, *told)


@asynccontextmanager
async def in_background(work: Coroutine[object, object, None], *, name: str) -> AsyncIterator[None]:
    """Run `work`, which never ends by itself, beside the body; a failure of it is logged when the body is done."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s ended by itself", name, exc_info=error, extra=named("background_work_ended"))


ENDED_BADLY: frozenset[EndedReason] = frozenset({"model_failed", "error", "never_connected", "shutdown"})
