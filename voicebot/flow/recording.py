"""Whether the calls of a flow are recorded, and how the caller is asked."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, ConfigDict
from pydantic.dataclasses import dataclass

from .source import remember_place

_CONFIG = ConfigDict(extra="forbid")
NOT_ASKED = "not asked"  # in the JSON form, where there is no None


def _said_so(value: object) -> object:
    return NOT_ASKED if value is None else value


@dataclass(frozen=True, config=_CONFIG)
class Recording:
    """Calls are recorded: the caller on the left, what the caller heard on the right.

    Attributes:
        consent: the name of the statement that tells the caller, in a phase's `must_say` or of the opening. Nothing is
            kept before it was heard to its end. `None`: the caller is not told here, and the recording begins with the
            call, which is for you to answer for.
        refusal: the name of a rule or a tool of the flow by which a caller declines: the recording is erased, and no
            other one begins in the call.
    """

    _: KW_ONLY
    consent: Annotated[str, BeforeValidator(_said_so)] = ""
    refusal: str = ""

    def __post_init__(self) -> None:
        remember_place(self)

    @property
    def asks(self) -> bool:
        """Whether the caller is told before."""
        return self.consent != NOT_ASKED

    if TYPE_CHECKING:

        def __init__(self, *, consent: str | None = ..., refusal: str = "") -> None: ...
