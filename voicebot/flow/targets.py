"""Who may be rung for a caller: the flow's `targets`, by name. Nobody else ever is, whatever the model asks for."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, StringConstraints
from pydantic.dataclasses import dataclass

from .lengths import Seconds
from .source import remember_place

_CONFIG = ConfigDict(extra="forbid")
LONGEST_RING_S = 600.0  # TwiML <Dial>: timeout
RING_S = 30.0

Address = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]


def check_ring(timeout_s: float | None) -> None:
    """
    Raises:
        ValueError: nobody rings so long, or so short.
    """
    if timeout_s is not None and not 5 <= timeout_s <= LONGEST_RING_S:
        raise ValueError("timeout must be from 5s to 10m")


@dataclass(frozen=True, config=_CONFIG)
class Number:
    """A telephone number that may be rung.

    Attributes:
        address: the number (E.164).
        no_answer: the phase in which the call goes on when nobody can be reached; without one, it ends.
        timeout: how long it rings.
        caller_id: the number that is shown there, one of the account's; default: the caller's.
    """

    address: Address
    _: KW_ONLY
    no_answer: str = ""
    timeout: Seconds = RING_S
    caller_id: Address | None = None
    kind: Literal["number"] = "number"

    def __post_init__(self) -> None:
        remember_place(self)
        check_ring(self.timeout)

    if TYPE_CHECKING:

        def __init__(
            self, address: str, *, no_answer: str = "", timeout: str | float = ..., caller_id: str | None = None
        ) -> None: ...


@dataclass(frozen=True, config=_CONFIG)
class Sip:
    """A SIP address that may be rung, as `sip:desk@pbx.example.com`. The rest is as of a `Number`."""

    address: Address
    _: KW_ONLY
    no_answer: str = ""
    timeout: Seconds = RING_S
    caller_id: Address | None = None
    kind: Literal["sip"] = "sip"

    def __post_init__(self) -> None:
        remember_place(self)
        check_ring(self.timeout)

    if TYPE_CHECKING:

        def __init__(
            self, address: str, *, no_answer: str = "", timeout: str | float = ..., caller_id: str | None = None
        ) -> None: ...


Target = Number | Sip
