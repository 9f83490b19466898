"""How long the bot lets a caller finish, and what makes it stop when the caller speaks while it does."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from .lengths import Seconds

Eagerness = Literal["low", "medium", "high", "auto"]
NoiseReduction = Literal["near_field", "far_field"]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Patience:
    """The bot's manners as a listener, of a whole flow or of a phase.

    Attributes:
        pause: the caller's silence that ends their turn.
        eagerness: let the model judge by the caller's words, too, whether they have finished, and how soon it takes
            them for finished: `low` waits up to eight seconds, `medium` and `auto` four, `high` two. `pause` does not
            count then.
        stops_after: so much of the caller's voice stops the bot while it speaks; what is shorter (a cough, a click of
            the line) does not. `0s` stops it at once.
        hums: a short "mhm" or "okay" while the bot goes on speaking is no turn of the caller's; it takes `stops_after`.
    """

    _: KW_ONLY
    pause: Seconds = 0.5
    eagerness: Eagerness | None = None
    stops_after: Seconds = 0.0
    hums: bool = False

    def __post_init__(self) -> None:
        if not 0.2 <= self.pause <= 5:
            raise ValueError("pause must be from 200ms to 5s")
        if not 0 <= self.stops_after <= 3:
            raise ValueError("stops_after must be at most 3s")
        if self.hums and not self.stops_after:
            raise ValueError('hums takes stops_after="…": else the first sound of a hum stops the bot')

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            pause: str | float = 0.5,
            eagerness: Eagerness | None = None,
            stops_after: str | float = 0.0,
            hums: bool = False,
        ) -> None: ...
