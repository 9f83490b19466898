"""What the operator has chosen for callers without a place, as a value: whether they wait, and what comes then."""

from __future__ import annotations

import re
from dataclasses import dataclass

WAIT_S = 120.0
SHORTEST_WAIT_S, LONGEST_WAIT_S = 10.0, 1800.0
_ENDS = ("sentence", "busy", "voicemail")
_NUMBER = re.compile(r"\+[1-9]\d{6,14}")
_QUEUE = re.compile(r"queue(?:/(?P<most>\d{1,4})(?P<unit>[sm]))?")
_UNITS_S = {"s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True)
class FullHouse:
    """They wait up to `wait_s` for a place, or not at all (None).

    `then` is what they get without one: `sentence`, `busy`, `voicemail`, or a number (E.164) that is rung.
    """

    wait_s: float | None = None
    then: str = "sentence"


def read_full_house(text: str) -> FullHouse:
    """From `sentence`, `busy`, `voicemail` or a number, and `queue` before it: `queue/3m,voicemail`.

    Raises:
        ValueError: it is not written so.
    """
    first, _, rest = (part.strip() for part in text.partition(","))
    queue = _QUEUE.fullmatch(first)
    then = first if queue is None else rest or "sentence"
    if (queue is None and rest) or text.rstrip().endswith(",") or not (then in _ENDS or _NUMBER.fullmatch(then)):
        raise ValueError(
            "is neither sentence nor busy nor voicemail nor a number (E.164), with or without queue, ahead"
        )
    if queue is None:
        return FullHouse(None, then)
    if then == "busy":
        raise ValueError("cannot be busy after a queue: the line has answered by then")
    wait_s = float(queue["most"]) * _UNITS_S[queue["unit"]] if queue["most"] else WAIT_S
    if not SHORTEST_WAIT_S <= wait_s <= LONGEST_WAIT_S:
        raise ValueError("must wait from 10s to 30m")
    return FullHouse(wait_s, then)
