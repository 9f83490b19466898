"""Whether a call may be recorded, and from when on: a fold over its journal."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Literal

from voicebot.call.entries import BotSaid, CallerConnected, Entry
from voicebot.engine.entries import RuleApplied, StatementHeard, ToolAnswered
from voicebot.flow.model import Flow
from voicebot.flow.recording import Recording

Mode = Literal["off", "all", "flow"]


class _State(Enum):
    UNKNOWN = "unknown"  # the caller has not been told yet
    GIVEN = "given"
    REFUSED = "refused"  # for good


def recording_of(flow: Flow, mode: Mode) -> Recording | None:
    """How calls of a flow are recorded, if they are.

    Args:
        mode: the operator's word: `off`, never; `flow`, as each flow says; `all`, also where a flow says nothing.
    """
    if mode == "off":
        return None
    return flow.record or (Recording(consent=None) if mode == "all" else None)


class Consent:
    """What the caller has been told and has said, of being recorded."""

    def __init__(self, flow: Flow, recording: Recording, past: Iterable[Entry] = ()) -> None:
        """
        Args:
            past: what happened in the call before, in other hands.
        """
        opening = flow.opening
        self._recording = recording
        self._opening = opening.text if opening is not None and opening.name == recording.consent else None
        self._state = _State.UNKNOWN if recording.asks else _State.GIVEN
        self._connected = False
        for entry in past:
            self._learn(entry)

    def told(self, entry: Entry) -> Literal["begin", "erase"] | None:
        """Take the next entry, and say what follows from it for the recording."""
        before = self._ready
        if isinstance(entry, CallerConnected):
            self._connected = True
        self._learn(entry)
        if self._state is _State.REFUSED:
            return "erase"
        return "begin" if self._ready and not before else None

    @property
    def _ready(self) -> bool:
        return self._connected and self._state is _State.GIVEN

    def _learn(self, entry: Entry) -> None:
        match entry:
            case RuleApplied(rule=name) | ToolAnswered(tool=name, ok=True) if name == self._recording.refusal:
                self._state = _State.REFUSED
            case StatementHeard(name=name) if name == self._recording.consent:
                self._give()
            case BotSaid(exact=True, interrupted=False, text=text) if text == self._opening:
                self._give()

    def _give(self) -> None:
        if self._state is _State.UNKNOWN:
            self._state = _State.GIVEN
