"""What a call at the table leaves to chance, and what a test may have go wrong in it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

_EXTREME = 0.15  # share of draws at either end of their range: what races lies there


@dataclass(frozen=True, slots=True)
class TableFaults:
    """What goes otherwise than it should; nothing by default. Shares are 0.0 to 1.0.

    Attributes:
        mark_loss: share of marks that the line never echoes.
        clear_echoes_marks: a clear echoes every mark that it overtakes, as documented.
        line_delay_s: one way between the caller's line and us (to us, from us); None leaves it to the seed.
        jitter_s: added to a message on that way, at most; order is kept.
        transcript_loss: share of the caller's turns whose transcript fails.
        transcript_late_s: added to every transcript's delay.
        reply_failures: share of the model's replies that fail before they begin.
        misreadings: how many exact statements are read wrongly, from the first on.
        clip_failures: share of exact statements that cannot be rendered.
        analysis_failures: share of looks back at a call that fail.
        analysis_late_s: added to what each of them takes.
        model_lost_at_s: when the connection to the model breaks that there is then.
        model_returns: another connection to the model can be had.
    """

    mark_loss: float = 0.0
    clear_echoes_marks: bool = True
    line_delay_s: tuple[float, float] | None = None
    jitter_s: float = 0.0
    transcript_loss: float = 0.0
    transcript_late_s: float = 0.0
    reply_failures: float = 0.0
    misreadings: int = 0
    clip_failures: float = 0.0
    analysis_failures: float = 0.0
    analysis_late_s: float = 0.0
    model_lost_at_s: tuple[float, ...] = ()
    model_returns: bool = True


class Chance:
    """Decides by a seed whatever the protocols leave open; seed 0 always takes the usual way."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._usual = seed == 0

    def wait(self, usual: float, shortest: float, longest: float) -> float:
        """A delay (s): anything between the two bounds, and often one of them."""
        if self._usual:
            return usual
        draw = self._random.random()
        if draw < _EXTREME:
            return shortest
        if draw > 1 - _EXTREME:
            return longest
        return self._random.uniform(shortest, longest)

    def flip(self) -> bool:
        """Whether to take the unusual one of two ways."""
        return not self._usual and self._random.random() < 0.5

    def pick(self, usual: T, others: Sequence[T]) -> T:
        """The usual one, or any of the others."""
        return usual if self._usual else self._random.choice([usual, *others])

    def strikes(self, share: float) -> bool:
        """Whether a fault of this share happens now; seed or not."""
        return share > 0 and self._random.random() < share
