"""What a client is told of its conversation while it runs, beside the audio: what happens, as it happens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from voicebot.call import ports
from voicebot.call.entries import BotSaid, CallerHummed, Entry, KeyPress, ModelConnected, ModelGone
from voicebot.call.events import Event
from voicebot.engine import entries as engine_entries
from voicebot.engine.engine import PhaseEngine

Told = tuple[str, dict[str, Any]]
"""The type of a message, and what it holds."""

_PROGRESSES = (
    engine_entries.PhaseEntered,
    engine_entries.ObservationRecorded,
    engine_entries.ObservationConfirmed,
    engine_entries.ObservationDeclined,
    engine_entries.ObservationWithdrawn,
    engine_entries.EvidenceWeighed,
    engine_entries.JudgementMade,
    engine_entries.StatementHeard,
)


class LiveView:
    """One conversation as its client sees it. Values of secret fields are `***`, as everywhere."""

    def __init__(self, engine: PhaseEngine) -> None:
        self._engine = engine
        self._progress = -1.0
        specs = engine.flow.specs.values()
        self._at_times = {spec.name: "" for spec in specs if spec.ask.needed_if is not None}  # → their status as told

    def state(self) -> Told:
        """All that stands now, for a client that has just come, or come back."""
        engine = self._engine
        self._progress = self._now()
        observations = {name: self._observation(name) for name in engine.flow.specs}
        self._at_times = {name: engine.status(name) for name in self._at_times}
        return "state", {"phase": engine.state.phase, "progress": self._progress, "observations": observations}

    def ended(self, reason: str) -> Told:
        """The conversation is over."""
        return "ended", {"reason": reason, "outcome": self._engine.outcome()}

    def overheard(self, event: Event) -> Iterator[Told]:
        """What is said, as it is said: this comes before it is in the journal."""
        match event:
            case ports.ReplyWords(item_id=item_id, text=text, final=final):
                yield "transcript", {"speaker": "bot", "item_id": item_id, "text": text, "final": final}
            case ports.SpeechStarted():
                yield "speech", {"speaking": True}
            case ports.SpeechStopped():
                yield "speech", {"speaking": False}

    def told(self, entry: Entry) -> Iterator[Told]:
        """What an entry of the journal means to a client."""
        match entry:
            case engine_entries.CallerSaid(item_id=item_id, text=text) | CallerHummed(item_id=item_id, text=text):
                yield "transcript", {"speaker": "caller", "item_id": item_id, "text": text, "final": True}
            case BotSaid():
                yield (
                    "heard",
                    {
                        "item_id": entry.item_id,
                        "text": entry.text,
                        "heard_text": entry.heard_text,
                        "heard_ms": entry.heard_ms,
                        "sent_ms": entry.sent_ms,
                        "interrupted": entry.interrupted,
                    },
                )
            case engine_entries.PhaseEntered(phase=phase, previous=previous, cause=cause):
                yield "phase", {"name": phase, "previous": previous, "cause": cause}
            case (
                engine_entries.ObservationRecorded(name=name)
                | engine_entries.ObservationConfirmed(name=name)
                | engine_entries.ObservationDeclined(name=name)
                | engine_entries.ObservationWithdrawn(name=name)
                | engine_entries.ObservationFilled(name=name)
                | engine_entries.EvidenceWeighed(subject=name, of="value" | "agreement")
            ):
                yield "observation", {"name": name, **self._observation(name)}
            case engine_entries.ToolStarted(tool=tool):
                yield "tool", {"tool": tool, "state": "started"}
            case engine_entries.ToolAnswered(tool=tool, ok=ok, took_ms=took_ms):
                yield "tool", {"tool": tool, "state": "answered", "ok": ok, "took_ms": took_ms}
            case engine_entries.TransferBegan(target=target):
                yield "transfer", {"target": target}
            case KeyPress(digit=digit):
                yield "key", {"digit": digit}
            case ModelGone():
                yield "model", {"connected": False}
            case ModelConnected():
                yield "model", {"connected": True}
        if isinstance(entry, _PROGRESSES):
            yield from self._follows()

    def _follows(self) -> Iterator[Told]:
        """What has come of an entry besides: fields that are needed now, or no longer, and progress."""
        for name, before in self._at_times.items():
            self._at_times[name] = status = self._engine.status(name)
            if status != before and "filled" not in (status, before):  # of values it is told anyway
                yield "observation", {"name": name, **self._observation(name)}
        if (progress := self._now()) != self._progress:
            self._progress = progress
            yield "progress", {"progress": progress}

    def _now(self) -> float:
        return round(self._engine.progress(), 3)

    def _observation(self, name: str) -> dict[str, Any]:
        """A field as it stands: its value, its status as in the report, and what bears it out."""
        state = self._engine.state
        observed = state.observed.get(name) or state.filled.get(name)
        evidence = None
        if observed is not None:
            quote = observed.quote
            evidence = {
                "kind": observed.kind,
                "state": quote.state,
                "score": quote.score,
                "quote": quote.text or None,
                "agreed": observed.agreed is not None,
            }
        value = None if observed is None else observed.json_value
        return {"value": value, "status": self._engine.status(name), "evidence": evidence}
