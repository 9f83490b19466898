"""Who may be called, and when: what the operator allows, as values, told the time.

Toll fraud is a business that makes others call numbers it earns from. So nothing is allowed unless the operator says
so, and what is refused is refused here, before anybody is asked to place a call.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Refusal = Literal[
    "number",  # it is no telephone number in E.164 form
    "not_allowed",  # outside VOICEBOT_OUTBOUND_ALLOW
    "do_not_call",  # on the list of those who do not want to be called, or the list cannot be read
    "hours",  # outside VOICEBOT_OUTBOUND_HOURS
    "rate",  # more calls a minute than VOICEBOT_OUTBOUND_RATE
    "line_busy",  # a call to this number is under way, or planned
]
RATE_WINDOW = timedelta(minutes=1)
MOST_RETRIES = 10
_NUMBER = re.compile(r"\+[1-9]\d{6,14}")
_PREFIX = re.compile(r"(!?)(\+[1-9]\d{0,14})")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(
    r"(?:(?P<first>[A-Za-z]{3})(?:-(?P<last>[A-Za-z]{3}))?\s+)?"
    r"(?P<opens>\d{1,2}:\d{2})-(?P<closes>\d{1,2}:\d{2})\s+(?P<zone>\S+)"
)
_RETRIES = re.compile(r"(?P<most>\d{1,2})(?:/(?P<gap>\d{1,4})(?P<unit>[smh]))?")
_UNITS_S = {"s": 1, "m": 60, "h": 3600}


def is_number(text: str) -> bool:
    """Whether it is a telephone number in E.164 form."""
    return _NUMBER.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class AllowList:
    """Prefixes of numbers that may be called, and of those that may not although a shorter one allows them."""

    allowed: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()

    def admits(self, number: str) -> bool:
        """Whether the longest prefix that fits allows it; of two alike, the one that forbids holds."""
        fitting = [prefix for prefix in self.allowed | self.forbidden if number.startswith(prefix)]
        longest = max(fitting, key=len, default=None)
        return longest is not None and longest not in self.forbidden


def read_allow_list(text: str) -> AllowList:
    """From `+39,+1,!+1900`: prefixes with commas, `!` before what may not be called.

    Raises:
        ValueError: it is not written so.
    """
    allowed, forbidden = set[str](), set[str]()
    for part in filter(None, map(str.strip, text.split(","))):
        found = _PREFIX.fullmatch(part)
        if found is None:
            raise ValueError(f"{part!r} is no beginning of a number, as +39 is")
        (forbidden if found[1] else allowed).add(found[2])
    return AllowList(frozenset(allowed), frozenset(forbidden))


@dataclass(frozen=True, slots=True)
class CallingHours:
    """From `opens` up to `closes`, on `days` (0 is Monday), by the clocks of `zone`."""

    opens: time
    closes: time
    zone: ZoneInfo
    days: frozenset[int]

    def holds(self, at: datetime) -> bool:
        """Whether calls may be placed `at` that moment (aware)."""
        local = at.astimezone(self.zone)
        return local.weekday() in self.days and self.opens <= local.timetz().replace(tzinfo=None) < self.closes

    def next_from(self, at: datetime) -> datetime:
        """The first moment from `at` on (aware) when calls may be placed."""
        if self.holds(at):
            return at
        local = at.astimezone(self.zone)
        for ahead in range(9):
            opening = datetime.combine(local.date() + timedelta(days=ahead), self.opens, self.zone)
            if opening >= local and opening.weekday() in self.days:
                return opening
        return at


def read_hours(text: str) -> CallingHours:
    """From `09:00-20:00 Europe/Rome`, or with days before it: `Mon-Sat 09:00-20:00 Europe/Rome`.

    Raises:
        ValueError: it is not written so.
    """
    found = _HOURS.fullmatch(text.strip())
    if found is None:
        raise ValueError("is no time and zone, as 09:00-20:00 Europe/Rome is")
    try:
        opens, closes = (time.fromisoformat(found[name].zfill(5)) for name in ("opens", "closes"))
        zone = ZoneInfo(found["zone"])
    except (ValueError, KeyError, OSError) as exc:  # the last: a zone's name may be that of a folder
        raise ValueError("has no such time or zone") from exc
    if opens >= closes:
        raise ValueError("must open before it closes")
    return CallingHours(opens, closes, zone, _days(found["first"], found["last"]))


def _days(first: str | None, last: str | None) -> frozenset[int]:
    if first is None:
        return frozenset(range(7))
    names = [first.lower(), (last or first).lower()]
    if not set(names) <= set(_DAYS):
        raise ValueError("has a day that is none of Mon, Tue, Wed, Thu, Fri, Sat, Sun")
    begin, end = map(_DAYS.index, names)
    return frozenset((begin + ahead) % 7 for ahead in range((end - begin) % 7 + 1))


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a number that was busy or did not answer is called again, and how long after its last call."""

    most: int = 0
    gap: timedelta = timedelta(0)


def read_retries(text: str) -> Retries:
    """From `2/15m` (twice, a quarter of an hour apart) or `0`.

    Raises:
        ValueError: it is not written so.
    """
    found = _RETRIES.fullmatch(text.strip())
    if found is None or int(found["most"]) > MOST_RETRIES or (int(found["most"]) and not found["gap"]):
        raise ValueError(f"is no number of retries (at most {MOST_RETRIES}) and time between them, as 2/15m is")
    gap_s = int(found["gap"]) * _UNITS_S[found["unit"]] if found["gap"] else 0
    if int(found["most"]) and gap_s < _UNITS_S["m"]:
        raise ValueError("calls the same number again within a minute")
    return Retries(int(found["most"]), timedelta(seconds=gap_s))


def read_do_not_call(text: str) -> frozenset[str]:
    """From one number a line; spaces, dots, dashes and brackets in it do not count, nor does what follows a `#`.

    Raises:
        ValueError: a line is no number; which one, is said.
    """
    numbers = set()
    for line_number, line in enumerate(text.splitlines(), 1):
        number = re.sub(r"[\s().-]", "", line.partition("#")[0])
        if not number:
            continue
        if not is_number(number):
            raise ValueError(f"line {line_number} is no number with its country, as +390612345678 is")
        numbers.add(number)
    return frozenset(numbers)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator allows. `hours` None: at any time."""

    allow: AllowList = AllowList()
    hours: CallingHours | None = None
    rate: int = 10
    retries: Retries = Retries()

    def refusal(self, number: str, at: datetime, *, do_not_call: frozenset[str] | None) -> Refusal | None:
        """Why this number may not be called `at` that moment (aware); None if it may.

        Args:
            do_not_call: who does not want to be called; None if that cannot be said, and then nobody is.
        """
        if not is_number(number):
            return "number"
        if not self.allow.admits(number):
            return "not_allowed"
        if do_not_call is None or number in do_not_call:
            return "do_not_call"
        if self.hours is not None and not self.hours.holds(at):
            return "hours"
        return None

    def next_try(self, tries: int, ended: datetime) -> datetime | None:
        """When a number that was busy or did not answer is called again, after `tries` calls; None if it is not."""
        if tries > self.retries.most:
            return None
        due = ended + self.retries.gap
        return due if self.hours is None else self.hours.next_from(due)

    def within_rate(self, placed: Sequence[datetime], at: datetime) -> tuple[datetime, ...] | None:
        """What was placed in the minute before `at`, and now this one too; None if that would be one too many."""
        recent = tuple(one for one in placed if at - one < RATE_WINDOW)
        return (*recent, at) if len(recent) < self.rate else None
