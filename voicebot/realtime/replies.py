"""The one response at a time that the default conversation can have.

A reply is a wish; a response is what the server makes of it. Between the two lie a refusal because another response
holds the conversation, a cancel that comes before the response exists, a `response.done` that is late or never comes,
and responses that nobody asked for. Here a wish becomes exactly one response, or ends as failed, within a bound.

    REQUESTED ──created──▶ RUNNING ──cancel──▶ STOPPING
      │   ▲                   │                   │
      │   └──due, done──┐     └──────done─────────┴──▶ over
      └──refused──▶ REFUSED
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

from voicebot.call.ports import ModelEvent, Reply, ReplyAudio, ReplyAudioEnded, ReplyEnded, ReplyStarted, ReplyWords

from . import client_events
from .limits import Limits
from .outbox import Outbox
from .server_events import (
    ErrorReported,
    OutputAudioDelta,
    OutputAudioDone,
    OutputTranscriptDelta,
    OutputTranscriptDone,
    ResponseCreated,
    ResponseDone,
)

Output = OutputAudioDelta | OutputAudioDone | OutputTranscriptDelta | OutputTranscriptDone

_CONVERSATION_TAKEN = "conversation_already_has_active_response"


class _State(Enum):
    REQUESTED = auto()  # response.create is sent, and not answered
    REFUSED = auto()  # another response held the conversation; response.create is sent again when due
    RUNNING = auto()  # the response exists
    STOPPING = auto()  # response.cancel is sent, its response.done is not here


@dataclass(slots=True)
class _UnderWay:
    """A reply for which a response.create was sent. `due` is when its state has lasted too long."""

    reply: Reply
    state: _State
    due: float
    event_id: str
    refusals: int = 0
    response_id: str | None = None
    matched: Literal["metadata", "order"] = "metadata"
    told: bool = False  # ReplyStarted was given
    unwanted: Literal["cancelled", "stalled"] | None = None  # why its output is not passed on any more
    sounding: dict[str, None] = field(default_factory=dict)  # items whose audio has begun and not ended, in order


class Replies:
    """Asks for replies one after the other, and tells what became of each.

    One runs and one waits; a second that waits replaces the first. Each for which something was sent ends with exactly
    one `ReplyEnded`.
    """

    def __init__(self, outbox: Outbox, limits: Limits) -> None:
        self._outbox, self._limits = outbox, limits
        self._current: _UnderWay | None = None
        self._waiting: Reply | None = None
        self._strays: dict[str, float] = {}  # responses nobody asked for, and until when their end is waited for
        self._echoes = False  # the server is known to give metadata back

    # ---- commands

    def ask(self, reply: Reply, now: float) -> None:
        """Ask for a reply as soon as the conversation is free."""
        self._waiting = reply
        self._ask_waiting(now)

    def cancel(self, now: float) -> list[ModelEvent]:
        """Stop the reply under way and drop the waiting one, which thereby ends."""
        waiting, self._waiting = self._waiting, None
        dropped: list[ModelEvent] = [] if waiting is None else [ReplyEnded(waiting.reply_id, "cancelled")]
        current = self._current
        if current is None or current.unwanted:
            return dropped
        current.unwanted = "cancelled"
        if current.state is _State.RUNNING:
            self._stop(current, now)
        elif current.state is _State.REFUSED:
            current.due = now  # nothing runs: it ends at once
        # REQUESTED: a cancel before response.created is lost, so it waits for that
        return dropped

    # ---- events

    def on_created(self, event: ResponseCreated, now: float) -> list[ModelEvent]:
        """A response of the default conversation exists: ours, or one that nobody asked for."""
        current = self._current
        if current and current.response_id == event.response_id:
            return []
        matched = current and self._match(current, event)
        if not current or not matched:
            self._send_away(event.response_id, now)
            return []
        current.response_id, current.matched = event.response_id, matched
        if current.unwanted:
            self._stop(current, now)
            return []
        current.state, current.due = _State.RUNNING, now + self._limits.silent_s
        first, current.told = not current.told, True
        return [ReplyStarted(current.reply.reply_id)] if first else []

    def on_output(self, event: Output, now: float) -> list[ModelEvent]:
        """Pass on what the running response says; the hot path."""
        current = self._current
        if current is None or event.response_id != current.response_id or current.unwanted:
            return []
        current.due = now + self._limits.silent_s
        reply_id, item_id = current.reply.reply_id, event.item_id
        match event:
            case OutputAudioDelta():
                current.sounding[item_id] = None
                return [ReplyAudio(reply_id, item_id, event.payload)]
            case OutputTranscriptDelta():
                return [ReplyWords(reply_id, item_id, event.text)]
            case OutputTranscriptDone():
                return [ReplyWords(reply_id, item_id, event.text, final=True)]
            case OutputAudioDone():
                current.sounding.pop(item_id, None)
                return [ReplyAudioEnded(reply_id, item_id)]

    def on_done(self, event: ResponseDone, now: float) -> list[ModelEvent]:
        """A response is over."""
        self._strays.pop(event.response_id, None)
        current = self._current
        events: list[ModelEvent] = []
        if current and self._ends(current, event):
            events = self._finish(current, event)
        elif current and current.state is _State.REFUSED:
            current.due = now  # the conversation may be free again
        return events + self.on_deadline(now)

    def on_error(self, error: ErrorReported, now: float) -> list[ModelEvent] | None:
        """Handle the refusal of a response.create; None when the error is not about one."""
        current = self._current
        if current is None or not self._concerns(current, error):
            return None
        if current.response_id and current.matched == "metadata":
            return None  # the response exists: it will be done
        if error.code != _CONVERSATION_TAKEN or current.unwanted:
            return self._fail(current, error.reason, error.message) + self.on_deadline(now)
        return self._refuse(current, error, now)

    # ---- time

    def deadline(self) -> float | None:
        """When `on_deadline` must be called."""
        due = self._current.due if self._current else None
        for stray_due in self._strays.values():
            due = stray_due if due is None else min(due, stray_due)
        return due

    def on_deadline(self, now: float) -> list[ModelEvent]:
        """Do what is due."""
        for response_id in [stray for stray, due in self._strays.items() if due <= now]:
            del self._strays[response_id]
        events = self._on_due(self._current, now) if self._current and self._current.due <= now else []
        self._ask_waiting(now)
        return events

    def _on_due(self, current: _UnderWay, now: float) -> list[ModelEvent]:
        match current.state:
            case _State.REFUSED if not current.unwanted:
                self._create(current, now)
            case _State.RUNNING:
                current.unwanted = "stalled"
                self._stop(current, now)
            case _State.REQUESTED:
                return self._fail(current, "timeout", "the model did not begin a response in time")
            case _:
                return self._fail(current, "timeout", "the model did not end a response in time")
        return []

    # ---- requests

    def _ask_waiting(self, now: float) -> None:
        if self._waiting is None or self._current is not None or self._strays:
            return
        reply, self._waiting = self._waiting, None
        self._current = _UnderWay(reply, _State.REQUESTED, due=now, event_id="")
        self._create(self._current, now)

    def _create(self, current: _UnderWay, now: float) -> None:
        reply = current.reply
        current.event_id = self._outbox.put(
            client_events.create_reply,
            reply_id=reply.reply_id,
            instructions=reply.instructions,
            tools=reply.tools,
            tool_choice=reply.tool_choice,
        )
        current.state, current.due = _State.REQUESTED, now + self._limits.created_s

    def _stop(self, current: _UnderWay, now: float) -> None:
        self._outbox.put(client_events.cancel_response, current.response_id)
        current.state, current.due = _State.STOPPING, now + self._limits.stopped_s

    def _send_away(self, response_id: str, now: float) -> None:
        if response_id not in self._strays:
            self._outbox.put(client_events.cancel_response, response_id)
            self._strays[response_id] = now + self._limits.stopped_s

    def _refuse(self, current: _UnderWay, error: ErrorReported, now: float) -> list[ModelEvent]:
        if current.refusals == self._limits.refusals:
            return self._fail(current, error.reason, error.message) + self.on_deadline(now)
        if current.response_id:  # taken for ours by its order, but ours was refused
            self._send_away(current.response_id, now)
            current.response_id = None
        elif not self._strays:  # a response of which we know nothing: end it, as nobody asked for it
            self._outbox.put(client_events.cancel_response)
        current.state = _State.REFUSED
        current.due = now + self._limits.refused_s * 2**current.refusals
        current.refusals += 1
        return []

    # ---- whose is it?

    def _match(self, current: _UnderWay, event: ResponseCreated) -> Literal["metadata", "order"] | None:
        if current.response_id is not None:
            return None
        if event.metadata.get("reply") == current.reply.reply_id:
            self._echoes = True
            return "metadata"
        by_order = current.state is _State.REQUESTED and not event.metadata and not self._echoes
        return "order" if by_order else None

    def _ends(self, current: _UnderWay, event: ResponseDone) -> bool:
        if current.response_id is not None:
            return event.response_id == current.response_id
        return event.metadata.get("reply") == current.reply.reply_id

    def _concerns(self, current: _UnderWay, error: ErrorReported) -> bool:
        if error.event_id is not None:
            return error.event_id == current.event_id
        # Nothing else that is asked for is answered so. Should the response begin after all, it is sent away.
        suspect = error.code == _CONVERSATION_TAKEN or error.kind == "server_error"
        return suspect and current.state is _State.REQUESTED

    # ---- ends

    def _finish(self, current: _UnderWay, event: ResponseDone) -> list[ModelEvent]:
        stalled = current.unwanted == "stalled"
        ended = ReplyEnded(
            reply_id=current.reply.reply_id,
            status="failed" if stalled else event.status,
            calls=event.calls,
            spoke=bool(event.words),
            usage=event.usage,
            error_code="stalled" if stalled else event.error_code,
            error="the model fell silent in mid-response" if stalled else event.error,
        )
        return self._end(current, ended)

    def _fail(self, current: _UnderWay, code: str, message: str) -> list[ModelEvent]:
        reply_id = current.reply.reply_id
        if current.unwanted == "cancelled":
            return self._end(current, ReplyEnded(reply_id, "cancelled"))
        if current.unwanted == "stalled":
            code, message = "stalled", "the model fell silent in mid-response"
        return self._end(current, ReplyEnded(reply_id, "failed", error_code=code, error=message))

    def _end(self, current: _UnderWay, ended: ReplyEnded) -> list[ModelEvent]:
        self._current = None
        if current.unwanted:
            return [ended]
        return [*(ReplyAudioEnded(ended.reply_id, item_id) for item_id in current.sounding), ended]
