"""A text message that the caller gets when the call is over, because the flow says so; nobody gets one else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import KW_ONLY
from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, StringConstraints
from pydantic.dataclasses import dataclass

from .expressions import Expression, Field, Guard
from .receivers import FieldName
from .source import remember_place

_CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
LONGEST_TEXT = 600  # characters, before the values are in their places
PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, config=_CONFIG)
class Sms:
    """A text message at the end of a call that somebody has talked in.

    Attributes:
        text: the message; `{field}` stands for a recorded value, which is never a secret one. It is not sent while one
            of them is not known.
        when: only after calls in which this holds at their end; after every one, if not given.
        to: the observation that holds the number it goes to; default: whoever the call was with.
        sender: the number it comes from, one of the account's; default: ours that the call was with.
    """

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_TEXT)]
    _: KW_ONLY
    when: Guard | None = None
    to: FieldName = ""
    sender: Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")] | None = None

    def __post_init__(self) -> None:
        remember_place(self)

    if TYPE_CHECKING:

        def __init__(
            self,
            text: str,
            *,
            when: Expression | Callable[..., bool] | None = None,
            to: Field | str = "",
            sender: str | None = None,
        ) -> None: ...

    @property
    def places(self) -> tuple[str, ...]:
        """The observations that the text quotes, each once."""
        return tuple(dict.fromkeys(PLACE.findall(self.text)))
