"""Who else is on the telephone in a scenario: whom the flow calls, and whom the phone line rings for its caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal

Meets = Literal["person", "machine", "busy", "no answer", "failed"]
Result = Literal["answered", "busy", "no answer", "failed"]


@dataclass(frozen=True)
class CallOut:
    """A call that the flow places.

    Attributes:
        meets: who or what it comes to; a person follows the scenario's script.
        variables: what whoever places the call knows of it.
        rings_ms: before it is answered, or busy, or fails; `no answer` rings to the end.
        greeting: what an answering machine says; default: what any machine says.
        tone: whether the machine gives a tone behind it.
    """

    meets: Meets = "person"
    variables: Mapping[str, str] = field(default_factory=dict)
    _: KW_ONLY
    rings_ms: float = 3_000
    greeting: str | None = None
    tone: bool = True


@dataclass(frozen=True)
class Rung:
    """What becomes of somebody whom the phone line rings for the caller.

    Attributes:
        rings_ms: before that; `no answer` rings to the end.
        talks_ms: how long the two talk, if it was answered.
        hears: what whoever answers must be told before the two are joined; None is not looked at.
    """

    result: Result = "answered"
    _: KW_ONLY
    rings_ms: float = 2_000
    talks_ms: float = 10_000
    hears: str | None = None
