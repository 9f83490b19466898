"""Voice activity by energy: when somebody begins to speak, and when they have stopped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FRAME_MS = 20
ONSET_MS = 60  # a click is shorter than this, a syllable is not


@dataclass(frozen=True, slots=True)
class Edge:
    """The line went from silence to speech (`speaking`) or back.

    Positions count samples from the detector's start. `at` is where the change was certain (the end of the frame that
    decided), `since` where it had begun: the first loud sample, or the end of the last loud frame.
    """

    speaking: bool
    at: int
    since: int


class EnergyVad:
    """Compares the level of each 20 ms frame with a threshold.

    Args:
        rate_hz: sample rate of what is fed.
        threshold: 0.0-1.0; the level that counts as speech, from -60 to -20 dBFS (0.5 is -40 dBFS).
        silence_ms: how long it must be quiet before speech has ended; may be changed at any time.
    """

    def __init__(self, rate_hz: int, *, threshold: float = 0.5, silence_ms: int = 500) -> None:
        self.silence_ms = silence_ms
        self.speaking = False
        self._frame = rate_hz * FRAME_MS // 1000
        self._rate_hz = rate_hz
        level = 32768 * 10 ** ((-60 + 40 * threshold) / 20)
        self._energy = level * level * self._frame
        self._rest = np.zeros(0, dtype=np.int16)
        self._at = 0  # end of the last whole frame
        self._onset: int | None = None  # first loud sample of what may become speech
        self._loud_until = 0

    def feed(self, samples: NDArray[np.int16]) -> list[Edge]:
        """Take more samples, any number of them; the changes they brought, in order."""
        held = np.concatenate((self._rest, samples)) if len(self._rest) else samples
        count = len(held) // self._frame
        frames = held[: count * self._frame].reshape(count, self._frame).astype(np.float64)
        self._rest = held[count * self._frame :]
        edges = []
        for energy in np.einsum("ij,ij->i", frames, frames).tolist():
            self._at += self._frame
            if edge := self._step(energy > self._energy):
                edges.append(edge)
        return edges

    def trigger(self) -> Edge:
        """Take the present moment for the beginning of speech, whatever its level."""
        self.speaking = True
        self._loud_until = self._at
        return Edge(speaking=True, at=self._at, since=self._at)

    def rest(self) -> None:
        """Take the line for silent from here on; the next loud frames are a new beginning."""
        self.speaking, self._onset = False, None

    def _step(self, loud: bool) -> Edge | None:
        if loud:
            self._loud_until = self._at
        if self.speaking:
            return self._step_speaking()
        if not loud:
            self._onset = None
            return None
        if self._onset is None:
            self._onset = self._at - self._frame
        if self._ms(self._at - self._onset) < ONSET_MS:
            return None
        self.speaking = True
        return Edge(speaking=True, at=self._at, since=self._onset)

    def _step_speaking(self) -> Edge | None:
        if self._ms(self._at - self._loud_until) < self.silence_ms:
            return None
        self.rest()
        return Edge(speaking=False, at=self._at, since=self._loud_until)

    def _ms(self, samples: int) -> float:
        return samples * 1000 / self._rate_hz
