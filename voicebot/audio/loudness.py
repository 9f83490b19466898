"""How loud a line is while it is not silent, and how much of it is clipped: summed up over the looks of a meter."""

from __future__ import annotations

import math

import numpy as np

Amplitudes = np.ndarray[tuple[int], np.dtype[np.float32]] | np.ndarray[tuple[int], np.dtype[np.float64]]

AUDIBLE_DBOV = -60.0  # below it a look falls into a pause: comfort noise of a phone line is about there
_AUDIBLE_POWER = 10 ** (AUDIBLE_DBOV / 10)


class Loudness:
    """Of one stream. Read it at any time."""

    def __init__(self) -> None:
        self._power, self._audible_looks = 0.0, 0
        self._samples, self._clipped = 0, 0

    def look(self, amplitudes: Amplitudes, clipped: int) -> None:
        """A piece of the stream.

        Args:
            amplitudes: float array of shape (n,), n > 0; 1.0 is full scale.
            clipped: how many of them stand at the end of the scale.
        """
        count = len(amplitudes)
        self._samples += count
        self._clipped += clipped
        power = float(amplitudes @ amplitudes) / count
        if power > _AUDIBLE_POWER:
            self._power += power
            self._audible_looks += 1

    @property
    def level_dbov(self) -> float | None:
        """Mean level while somebody or something was to be heard, 0 at full scale; None if nothing was."""
        if not self._audible_looks:
            return None
        return round(10 * math.log10(self._power / self._audible_looks), 1)

    @property
    def clipped(self) -> float:
        """Which share of the samples stood at the end of the scale."""
        return round(self._clipped / self._samples, 4) if self._samples else 0.0
