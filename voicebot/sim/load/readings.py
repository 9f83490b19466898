"""What phones and model read off the server, and what went wrong."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


def _values() -> array[float]:
    return array("d")


@dataclass
class Readings:
    """What was measured, in seconds and milliseconds, while `recording`; and what went wrong at any time.

    Attributes:
        uplink_s: from sending a phone's frame to the arrival at the model of the `append` that holds it.
        downlink_s: from an answer's first delta to its first `media`.
        barge_in_s: from `speech_started` to `clear`.
        truncation_ms: `audio_end_ms` minus what the phone has heard.
        webhook_s: from the voice webhook to its whole answer, whenever a call begins.
        lateness_s: how late the generator itself was with a frame.
        underruns: times at which an answer's audio came later than it was to be played.
    """

    recording: bool = False
    uplink_s: array[float] = field(default_factory=_values)
    downlink_s: array[float] = field(default_factory=_values)
    barge_in_s: array[float] = field(default_factory=_values)
    truncation_ms: array[float] = field(default_factory=_values)
    webhook_s: array[float] = field(default_factory=_values)
    lateness_s: array[float] = field(default_factory=_values)
    turns: int = 0
    underruns: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def note(self, where: array[float], value: float) -> None:
        """Keep a value, if this is the time to."""
        if self.recording:
            where.append(value)

    def fail(self, problem: str) -> None:
        """Count something that must not be."""
        self.failures[problem[:120]] += 1


def percentile_ms(values_s: Sequence[float], percent: float) -> float | None:
    """A percentile in milliseconds of values in seconds (the lower of two neighbours); None of none."""
    if not values_s:
        return None
    ordered = sorted(values_s)
    return round(ordered[int((len(ordered) - 1) * percent / 100)] * 1000, 2)
