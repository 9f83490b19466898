"""Traces out of what calls write down: entries in, finished spans out.

A call is a trace of its own: `call` is the root, within it lie `model_session`, `phase`, `turn` (from the end of the
caller's speech to the first sound of the answer) and `tool`; its deliveries follow it in the same trace. Ids come from
the CallSid alone, so that all processes that a call goes through write into one trace, and a span can be told when it
is over without anybody holding it open meanwhile. Of a process that is killed, only what was over is there.

Attributes are names of the flow's making and numbers, never what anybody said, recorded, answered or dialled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from voicebot.call.entries import (
    CallEnded,
    CallerConnected,
    CallOpened,
    CallTakenOver,
    Entry,
    HandedOver,
    LegLost,
    ModelConnected,
    ModelGone,
    PassedOn,
    ReplyFailed,
    TokensSpent,
    TurnAnswered,
)
from voicebot.engine.entries import CallerTurnTaken, PhaseEntered, ToolAnswered, ToolStarted

Attribute = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Span:
    """Something that is over. `parent` is empty for the root of a trace; `problem` says that it went wrong, and how."""

    trace: bytes
    id: bytes
    parent: bytes
    name: str
    began: datetime
    ended: datetime
    attributes: Mapping[str, Attribute] = field(hash=False)
    problem: str = ""


def trace_of(call_sid: str) -> bytes:
    """The id of a call's trace (16 bytes)."""
    return sha256(call_sid.encode()).digest()[:16]


def root_of(call_sid: str) -> bytes:
    """The id of the span that a call's first process writes for it (8 bytes)."""
    return span_id(call_sid, "call 1")


def span_id(call_sid: str, key: str) -> bytes:
    """The id of the call's span of this key."""
    return sha256(f"{call_sid} {key}".encode()).digest()[:8]


@dataclass(slots=True)
class _Open:
    """What is under way. Its spans hang on the call's."""

    name: str
    key: str
    began: datetime
    attributes: dict[str, Attribute]


class CallSpans:
    """The spans of one call as far as this process has it."""

    def __init__(self, call_sid: str, flow: str, flow_version: str, attempt: int) -> None:
        self._call_sid, self._attempt = call_sid, attempt
        self._root = span_id(call_sid, f"call {attempt}")
        self._attributes: dict[str, Attribute] = {
            "voicebot.call_sid": call_sid,
            "voicebot.flow": flow,
            "voicebot.flow_version": flow_version,
            "voicebot.attempt": attempt,
        }
        self._began: datetime | None = None
        self._count = 0
        self._phase: _Open | None = None
        self._turn: _Open | None = None
        self._model: _Open | None = None
        self._tools: dict[str, _Open] = {}
        self._failures, self._tokens = 0, 0

    def take(self, entry: Entry, at: datetime) -> list[Span]:
        """An entry of the journal, decided at `at`: what is over with it."""
        if self._began is None:
            self._began = at
        match entry:
            case CallOpened(direction=direction):
                self._attributes["voicebot.direction"] = direction
            case CallTakenOver():
                self._attributes["voicebot.resumed"] = True
            case CallerConnected():
                self._attributes["voicebot.answered_after_ms"] = _ms(at - self._began)
            case PhaseEntered(phase=phase, cause=cause):
                over = self._close(self._phase, at)
                self._phase = self._opened("phase", at, {"voicebot.phase": phase, "voicebot.cause": cause})
                return over
            case CallerTurnTaken(turn=number):
                over = self._close(self._turn, at, answered=False)
                self._turn = self._opened("turn", at, {"voicebot.turn": number})
                return over
            case TurnAnswered(response_ms=response_ms) if self._turn is not None:
                turn, self._turn = self._turn, None
                turn.began = at - timedelta(milliseconds=response_ms)
                turn.attributes["voicebot.response_ms"] = response_ms
                return self._close(turn, at, answered=True)
            case ToolStarted(call_id=call_id, tool=tool, commit=commit):
                self._tools[call_id] = self._opened("tool", at, {"voicebot.tool": tool, "voicebot.commit": commit})
            case ToolAnswered(call_id=call_id, ok=ok, refused=refused) if call_id in self._tools:
                problem = "" if ok or refused else "the tool did not come back with a result"
                return self._close(self._tools.pop(call_id), at, problem, ok=ok, refused=refused)
            case ModelConnected(model=name):
                over = self._close(self._model, at)
                self._model = self._opened("model_session", at, {"voicebot.model": name})
                return over
            case ModelGone(planned=planned):  # its reason may quote the other side
                model, self._model = self._model, None
                return self._close(model, at, "" if planned else "the connection was lost", planned=planned)
            case ReplyFailed():
                self._failures += 1
            case TokensSpent():
                self._tokens += entry.input_text + entry.input_audio + entry.output_text + entry.output_audio
            case CallEnded(reason=reason):
                problem = reason if reason in ("model_failed", "error", "connection_lost") else ""
                return self.end(at, problem, ended_reason=reason)
            case LegLost():
                return self.end(at, "the caller's stream broke", let_go="leg_lost")
            case HandedOver():
                return self.end(at, let_go="handed_over")
            case PassedOn(to=to):
                return self.end(at, let_go=to)
        return []

    def end(self, at: datetime, problem: str = "", **attributes: Attribute) -> list[Span]:
        """This process is done with the call: everything is over. Does nothing the second time."""
        began, self._began = self._began, None
        if began is None or not self._attributes:
            return []
        under_way = [self._turn, *self._tools.values(), self._phase, self._model]
        spans = [span for one in under_way for span in self._close(one, at)]
        totals = {"voicebot.tokens": self._tokens, "voicebot.replies_failed": self._failures}
        told = {**self._attributes, **totals, **_prefixed(attributes)}
        parent = b"" if self._attempt == 1 else root_of(self._call_sid)
        spans.append(Span(trace_of(self._call_sid), self._root, parent, "call", began, at, told, problem))
        self._turn = self._phase = self._model = None
        self._attributes = {}
        self._tools.clear()
        return spans

    def _opened(self, name: str, at: datetime, attributes: dict[str, Attribute]) -> _Open:
        self._count += 1
        return _Open(name, f"{name} {self._attempt}.{self._count}", at, attributes)

    def _close(self, one: _Open | None, at: datetime, problem: str = "", **attributes: Attribute) -> list[Span]:
        if one is None:
            return []
        told = {**one.attributes, **_prefixed(attributes)}
        own = span_id(self._call_sid, one.key)
        return [Span(trace_of(self._call_sid), own, self._root, one.name, one.began, at, told, problem)]


def delivery_span(
    call_sid: str, webhook_id: str, host: str, attempt: int, began: datetime, ended: datetime, result: str
) -> Span:
    """One post to a receiver. `result` is `delivered`, or what became of it instead."""
    attributes: dict[str, Attribute] = {
        "voicebot.call_sid": call_sid,
        "server.address": host,
        "voicebot.attempt": attempt,
        "voicebot.result": result,
    }
    own = span_id(call_sid, f"delivery {webhook_id} {attempt}")
    problem = "" if result == "delivered" else result
    return Span(trace_of(call_sid), own, root_of(call_sid), "delivery", began, ended, attributes, problem)


def _prefixed(attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
    return {f"voicebot.{name}": value for name, value in attributes.items()}


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)
