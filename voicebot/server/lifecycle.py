"""The calls of this process: begun by the webhook, owned here, reported when they end.

The one place that makes tasks which outlive their caller: each call is a task of its own, kept until its report is in
the store.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, repeat

from voicebot.audio.formats import AudioFormat
from voicebot.call.clips import ClipCache
from voicebot.call.core import CallCore
from voicebot.call.entries import CallOpened
from voicebot.call.ports import ModelLeg
from voicebot.call.session import CallSession
from voicebot.delivery.report import fold_report, posted_body, whole_body
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import EndedReason
from voicebot.engine.events import CallContext
from voicebot.errors import StoreError
from voicebot.flow.loader import LoadedFlow
from voicebot.flow.tools import Tool
from voicebot.realtime.leg import connect
from voicebot.realtime.session import SessionConfig
from voicebot.store.contract import CallRecord, NewDelivery, Store, StoredEntry

log = logging.getLogger(__name__)

CLAIM_LIMIT_S = 15.0  # Twilio opens the stream within a second of the TwiML; its own connect limit is 5 s, two tries
REPORT_RETRY_S = (0.2, 1.0, 5.0, 15.0)  # the last one again and again
END_LIMIT_S = 5.0
_UNREPORTED = "a call could not be reported; its journal is kept"


@dataclass(frozen=True)
class ModelAccess:
    """How calls reach the model. The key never shows in a repr."""

    url: str
    api_key: Callable[[], str]
    model: str
    transcription_model: str
    audio_format: AudioFormat


@dataclass(frozen=True)
class ReportTarget:
    """Where reports go; `url` may be empty. Whole reports can be read at `public_url`, unless it is None."""

    url: str
    public_url: str | None


class Calls:
    """Every call at work in this process."""

    def __init__(
        self,
        *,
        store: Store,
        access: ModelAccess,
        target: ReportTarget,
        max_calls: int,
        wall: Callable[[], datetime],
        reported: Callable[[], None],
    ) -> None:
        """
        Args:
            wall: the time of day, aware UTC.
            reported: called when a report was written.
        """
        self._store, self._access, self._target = store, access, target
        self._max_calls, self._wall, self._reported = max_calls, wall, reported
        self._clips = ClipCache()
        self._sessions: dict[str, CallSession] = {}
        self._entering: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.accepting = True

    @property
    def count(self) -> int:
        """Calls at work now."""
        return len(self._sessions)

    @property
    def full(self) -> bool:
        """Whether one more call would be too many, or none is taken any more."""
        return not self.accepting or len(self._entering | self._sessions.keys()) >= self._max_calls

    @contextmanager
    def place(self, call_sid: str) -> Iterator[bool]:
        """Hold a place while a call is opened, or say that there is none; a call at work has one already."""
        held = call_sid in self._sessions or call_sid in self._entering or not self.full
        if held:
            self._entering.add(call_sid)
        try:
            yield held
        finally:
            self._entering.discard(call_sid)

    def get(self, call_sid: str) -> CallSession | None:
        """The session of a call at work here."""
        return self._sessions.get(call_sid)

    def open(self, record: CallRecord, loaded: LoadedFlow) -> CallSession:
        """Begin a call: its model is reached, and its opening rendered, while the phone line opens the stream."""
        flow, access = loaded.flow, self._access
        engine = PhaseEngine(flow, CallContext(record.call_sid, record.caller, record.called, record.started))
        core = CallCore(engine, audio_format=access.audio_format, clips=self._clips, model=access.model)
        config = SessionConfig(
            model=access.model,
            voice=flow.voice,
            audio_format=access.audio_format,
            transcription_model=access.transcription_model or None,
            languages=flow.languages,
        )

        async def connect_model() -> ModelLeg:
            return await connect(access.url, api_key=access.api_key(), config=config, call_sid=record.call_sid)

        session = CallSession(
            core,
            CallOpened(loaded.name, loaded.version, loaded.document, record.caller, record.called, record.direction),
            call_sid=record.call_sid,
            store=self._store,
            connect_model=connect_model,
            tools={name: thing for name, thing in loaded.functions.items() if isinstance(thing, Tool)},
            handlers=flow.handlers,
            wall=self._wall,
            claim_limit_s=CLAIM_LIMIT_S,
        )
        self._sessions[record.call_sid] = session
        self._keep(self._live(session, record, loaded), f"call {record.call_sid}", _UNREPORTED)
        if session.handlers is not None:  # a task of their own: neither the call nor its report waits for them
            self._keep(session.handlers.run(), f"handlers {record.call_sid}", "the handlers of a call broke")
        return session

    def _keep(self, work: Coroutine[object, object, None], name: str, when_broken: str) -> None:
        def forget(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("%s", when_broken, exc_info=error)

        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(forget)

    async def _live(self, session: CallSession, record: CallRecord, loaded: LoadedFlow) -> None:
        try:
            await session.run()
        except* Exception:
            log.exception("the call broke", extra={"call_sid": record.call_sid})
            session.failed()
        finally:
            if session.handlers is not None:
                session.handlers.leave()
            try:
                await self._report(session, record, loaded)
            finally:
                del self._sessions[record.call_sid]

    async def _report(self, session: CallSession, record: CallRecord, loaded: LoadedFlow) -> None:
        for delay_s in chain(REPORT_RETRY_S, repeat(REPORT_RETRY_S[-1])):
            try:
                await self._write_report(session.unwritten, record, loaded)
            except StoreError as exc:
                log.error("the report cannot be written: %s", exc, extra={"call_sid": record.call_sid})
                await asyncio.sleep(delay_s)
            else:
                log.info("call ended: %s", session.ended_reason, extra={"call_sid": record.call_sid})
                self._reported()
                return

    async def _write_report(self, unwritten: Sequence[StoredEntry], record: CallRecord, loaded: LoadedFlow) -> None:
        journal = {entry.sequence: entry for entry in await self._store.journal(record.call_sid)}
        missing = [entry for entry in unwritten if entry.sequence not in journal]
        journal.update({entry.sequence: entry for entry in missing})
        report = fold_report(record, loaded.flow, [journal[number] for number in sorted(journal)])
        origin = self._target.public_url
        link = f"{origin}/calls/{record.call_sid}/report" if origin else None
        deliveries = []
        if self._target.url:
            body = posted_body(report, link)
            deliveries.append(NewDelivery(webhook_id(record.call_sid, report["type"]), self._target.url, body))
        await self._store.finish(
            record.call_sid, whole_body(report), deliveries, ended=self._wall(), last_entries=missing
        )

    async def finished(self) -> None:
        """Wait until no call is at work, nor a handler of one."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def end(self) -> None:
        """Take no more calls, and end those at work; returns when they are reported, or a few seconds later."""
        self.accepting = False
        for session in self._sessions.values():
            session.abandon("shutdown")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=END_LIMIT_S)


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
            log.error("%s ended by itself", name, exc_info=error)


def webhook_id(call_sid: str, event_type: str) -> str:
    """The delivery's id: the same for the same event of the same call, so that receivers can drop a repetition."""
    return "msg_" + hashlib.sha256(f"{event_type}:{call_sid}".encode()).hexdigest()[:32]


ENDED_BADLY: frozenset[EndedReason] = frozenset({"model_failed", "error", "never_connected", "shutdown"})
