"""Where the phone line takes a caller: to a human being, or to a tone after which they leave a message."""

from __future__ import annotations

from dataclasses import KW_ONLY, field
from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from .lengths import Seconds
from .source import remember_place
from .targets import Address, check_ring
from .wording import Worded, Words

_CONFIG = ConfigDict(extra="forbid")
LONGEST_MESSAGE_S = 3600.0  # TwiML <Record>: maxLength


@dataclass(frozen=True, config=_CONFIG)
class Transfer:
    """Ring somebody, and join the caller to them: at the end of a phase, or as a way out when all else fails.

    Attributes:
        to: the name of one of the flow's targets; as a way out it may be a telephone number (E.164), too.
        timeout: how long it rings before the next way is taken; default: as the target says.
        brief: tell whoever answers who calls and what is known, before the two are joined.
        say: exactly these words go before it, at the end of a phase (one text, or one for each language); without,
            what its instructions say.
    """

    to: Address
    _: KW_ONLY
    timeout: Seconds | None = None
    brief: bool = False
    say: Words = field(default="", hash=False)
    kind: Literal["transfer"] = "transfer"

    def __post_init__(self) -> None:
        remember_place(self)
        check_ring(self.timeout)

    if TYPE_CHECKING:

        def __init__(
            self, to: str, *, timeout: str | float | None = None, brief: bool = False, say: Worded = ""
        ) -> None: ...


@dataclass(frozen=True, config=_CONFIG)
class Voicemail:
    """Record what the caller says after a tone; the report has the recording's address.

    Attributes:
        max: how long a message may be.
    """

    _: KW_ONLY
    max: Seconds = 120.0
    kind: Literal["voicemail"] = "voicemail"

    def __post_init__(self) -> None:
        remember_place(self)
        if not 5 <= self.max <= LONGEST_MESSAGE_S:
            raise ValueError("max must be from 5s to 1h")

    if TYPE_CHECKING:

        def __init__(self, *, max: str | float = ...) -> None: ...


WayOut = Transfer | Voicemail
