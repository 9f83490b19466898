"""Where the phone line takes a caller when the voice agent itself cannot go on."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, StringConstraints
from pydantic.dataclasses import dataclass

from .lengths import Seconds
from .source import remember_place

_CONFIG = ConfigDict(extra="forbid")
LONGEST_RING_S = 600.0  # TwiML <Dial>: timeout
LONGEST_MESSAGE_S = 3600.0  # TwiML <Record>: maxLength


@dataclass(frozen=True, config=_CONFIG)
class Transfer:
    """Ring somebody, and join the caller to them.

    Attributes:
        to: a telephone number (E.164).
        timeout: how long it rings before the next way is taken.
    """

    to: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
    _: KW_ONLY
    timeout: Seconds = 30.0
    kind: Literal["transfer"] = "transfer"

    def __post_init__(self) -> None:
        remember_place(self)
        if not 5 <= self.timeout <= LONGEST_RING_S:
            raise ValueError("timeout must be from 5s to 10m")

    if TYPE_CHECKING:

        def __init__(self, to: str, *, timeout: str | float = ...) -> None: ...


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
