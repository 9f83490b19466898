"""What becomes of a `<Dial>` of the line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class DialOutcome:
    """What becomes of a `<Dial>`: `completed` talks for `talk_s` after ringing; `no-answer` rings to its time-out."""

    status: Literal["completed", "busy", "no-answer", "failed"] = "completed"
    ring_s: float = 2.0
    talk_s: float = 10.0


Dials = DialOutcome | Sequence[DialOutcome] | Mapping[str, Sequence[DialOutcome]]
"""Of all dials; of one after the other; or of those to each number or SIP address, one after the other."""
