"""One flow talked through: the call as it is on the telephone, between a caller who types and a model that writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from voicebot.call.entries import CallOpened, Entry, ModelGone, ReplyFailed
from voicebot.call.ports import CallerEvent, MarkPlayed, ModelLeg
from voicebot.call.session import CallSession
from voicebot.delivery.report import fold_report
from voicebot.engine.events import CallContext
from voicebot.flow.loader import LoadedFlow
from voicebot.flow.tools import Tool
from voicebot.realtime.leg import connect
from voicebot.realtime.session import SessionConfig
from voicebot.store.contract import CallRecord, StoredEntry

from .leg import TypingLeg
from .model import WritingModel
from .patience import PatientCore

_ATTACHED_S = 5.0  # the leg is there before the call begins


@dataclass(frozen=True, slots=True)
class ModelAccess:
    """Where the model is. The key never shows in a repr."""

    url: str
    api_key: str = field(repr=False)
    model: str


class _Journal:
    """A call's journal, for as long as the call lasts."""

    def __init__(self) -> None:
        self.entries: list[StoredEntry] = []

    async def append(self, call_sid: str, entries: Sequence[StoredEntry], *, attempt: int, durable: bool) -> None:
        """Keep entries."""
        self.entries += entries


class Talk:
    """A call of which nothing is kept. `reach` and `run` are its life; `turn` and `tell` are the caller's side."""

    def __init__(
        self, loaded: LoadedFlow, access: ModelAccess, *, caller: str | None, on_entry: Callable[[Entry], None]
    ) -> None:
        """
        Args:
            caller: their number (E.164); None if it is withheld.
            on_entry: called with each journal entry as it is decided.
        """
        started = datetime.now(UTC)
        # Unlike any other call's: the flow's tools may tell calls apart by it.
        call_sid = f"chat-{uuid4().hex}"
        self._loaded, self._access = loaded, access
        self._reached: ModelLeg | None = None  # for the call to take
        self._record = CallRecord(call_sid, loaded.name, loaded.version, caller, None, "inbound", started, "", 1, 0)
        self._told, self._problem = on_entry, ""
        self._leg, self._turn, self._journal = TypingLeg(), asyncio.Event(), _Journal()
        self.core = PatientCore(
            loaded.flow,
            CallContext(call_sid, caller, None, started),
            audio_format=self._leg.audio_format,
            model=access.model,
            on_entry=self._on_entry,
            on_step=self._on_step,
        )
        self._session = CallSession(
            self.core,
            CallOpened(loaded.name, loaded.version, loaded.document, caller, None, "inbound"),
            call_sid=call_sid,
            attempt=1,
            store=self._journal,
            connect_model=self._model,
            tools={name: one for name, one in loaded.functions.items() if isinstance(one, Tool)},
            handlers=loaded.flow.handlers,
            wall=lambda: datetime.now(UTC),
            claim_limit_s=_ATTACHED_S,
        )
        self._session.attach(self._leg, "chat")

    @property
    def failure(self) -> str | None:
        """What the model failed by, if that ended the call."""
        return (self._problem or "no reason is known") if self._session.ended_reason == "model_failed" else None

    async def reach(self) -> None:
        """Reach the model; `run` follows at once.

        Raises:
            ModelUnavailableError: it cannot be had, so that there is no call.
        """
        self._reached = await self._connected()

    async def run(self, caller: Callable[[], Coroutine[object, object, None]]) -> None:
        """Live until the call is over, with `caller` beside it; every task is finished on return."""
        async with asyncio.TaskGroup() as tasks:
            typing = tasks.create_task(caller(), name="caller")
            handlers = self._session.handlers
            if handlers is not None:
                tasks.create_task(handlers.run(), name="handlers")
            await self._session.run()
            typing.cancel()
            if handlers is not None:
                handlers.leave()

    async def turn(self) -> None:
        """Wait until it is the caller's turn."""
        await self._turn.wait()

    def tell(self, event: CallerEvent) -> None:
        """The caller does something."""
        self._leg.tell(event)
        self._turn.clear()

    def keep_silent(self) -> bool:
        """The caller is silent for as long as the next rung of the silence ladder takes; False if none is left."""
        left = self.core.want_silence()
        if left:
            self.tell(MarkPlayed("silence"))  # an unknown mark, which only makes the call look at its deadlines
        return left

    def report(self) -> Mapping[str, Any]:
        """What the report of this call says, its `data`."""
        data: Mapping[str, Any] = fold_report(self._record, self._loaded.flow, self._journal.entries)["data"]
        return data

    async def _model(self) -> ModelLeg:
        reached, self._reached = self._reached, None
        return reached or await self._connected()

    async def _connected(self) -> ModelLeg:
        access, audio_format = self._access, self._leg.audio_format
        config = SessionConfig(access.model, self._loaded.flow.voice, audio_format, None, text=True)
        leg = await connect(access.url, api_key=access.api_key, config=config, call_sid="chat")
        return WritingModel(leg, audio_format)

    def _on_entry(self, entry: Entry) -> None:
        match entry:
            case ModelGone(reason=reason) | ReplyFailed(problem=reason):
                self._problem = reason
        self._told(entry)

    def _on_step(self) -> None:
        if self.core.listening and not self._leg.unheard:
            self._turn.set()
        else:
            self._turn.clear()
