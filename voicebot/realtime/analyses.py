"""Looks back at the conversation, outside of it.

An analysis is an out-of-band response over the default conversation, in text, that may do one thing: call one function,
whose arguments are the result. It writes nothing to the conversation, and may run beside the response that is heard.
"""

from __future__ import annotations

from dataclasses import dataclass

from voicebot.call.ports import Analyse, Analysed, AnalysisFailed, ModelEvent

from . import client_events
from .limits import Limits
from .outbox import Outbox
from .server_events import ErrorReported, ResponseCreated, ResponseDone


@dataclass(slots=True)
class _UnderWay:
    command: Analyse
    event_id: str
    due: float
    response_id: str | None = None


class Analyses:
    """Asks for one at a time, bounded in time and length, and tells what became of each."""

    def __init__(self, outbox: Outbox, limits: Limits) -> None:
        self._outbox, self._limits = outbox, limits
        self._current: _UnderWay | None = None

    def ask(self, command: Analyse, now: float) -> list[ModelEvent]:
        """Ask for one now."""
        if self._current is not None:
            return [AnalysisFailed(command.key, "another one is under way")]
        event_id = self._outbox.put(
            client_events.create_analysis,
            key=command.key,
            instructions=command.instructions,
            tool=command.tool,
            max_tokens=self._limits.analysis_tokens,
        )
        self._current = _UnderWay(command, event_id, now + self._limits.analysis_s)
        return []

    def expects(self, event: ResponseCreated) -> bool:
        """Say whether a response that begins is that of an analysis; without metadata, by being out of band alone."""
        if event.metadata:
            return "analysis" in event.metadata
        return self._current is not None and self._current.response_id is None and not event.in_conversation

    def owns(self, event: ResponseDone) -> bool:
        """Say whether the response that is over was that of an analysis."""
        current = self._current
        return "analysis" in event.metadata or (current is not None and current.response_id == event.response_id)

    def on_created(self, event: ResponseCreated) -> None:
        """The response exists: it is ours, or one that nobody waits for."""
        current = self._current
        if current is None or event.metadata.get("analysis", current.command.key) != current.command.key:
            self._outbox.put(client_events.cancel_response, event.response_id)
        elif current.response_id is None:
            current.response_id = event.response_id
        elif current.response_id != event.response_id:
            self._outbox.put(client_events.cancel_response, event.response_id)

    def on_done(self, event: ResponseDone) -> list[ModelEvent]:
        """Give the result, if it is of the one under way."""
        current = self._current
        if current is None or current.response_id not in (None, event.response_id):
            return []
        key = current.command.key
        if event.metadata.get("analysis", key) != key:
            return []
        self._current = None
        if event.status != "completed":
            return [AnalysisFailed(key, event.error_code or event.status, event.usage)]
        call = next((call for call in event.calls if call.name == current.command.tool.name), None)
        if call is None:
            return [AnalysisFailed(key, "the model did not call the function", event.usage)]
        return [Analysed(key, call.arguments, event.usage)]

    def on_error(self, error: ErrorReported) -> list[ModelEvent] | None:
        """Handle the refusal of an analysis; None when the error is not about one."""
        current = self._current
        if current is None or current.response_id is not None or error.event_id != current.event_id:
            return None
        self._current = None
        return [AnalysisFailed(current.command.key, error.reason)]

    def deadline(self) -> float | None:
        """When `on_deadline` must be called."""
        return None if self._current is None else self._current.due

    def on_deadline(self, now: float) -> list[ModelEvent]:
        """Give up one that is due."""
        current = self._current
        if current is None or now < current.due:
            return []
        self._current = None
        if current.response_id is not None:
            self._outbox.put(client_events.cancel_response, current.response_id)
        return [AnalysisFailed(current.command.key, "timeout")]
