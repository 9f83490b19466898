"""When a business takes calls, by its own clocks, and what callers get at other times."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import BeforeValidator, ConfigDict, StringConstraints
from pydantic.dataclasses import dataclass

from .source import remember_place
from .ways_out import Transfer, Voicemail, WayOut

_CONFIG = ConfigDict(extra="forbid")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LONGEST_WORDS = 600  # characters, as of any statement
_DAY_MIN = 24 * 60
_SPAN = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")
_MOST_DAYS_AHEAD = 400


class Span(NamedTuple):
    """From `opens` up to `closes`, in minutes by the clock from the midnight at which its day begins.

    One that passes midnight closes after more than a day's minutes; it belongs to the day on which it opens.
    """

    opens: int
    closes: int


def _dates(value: object) -> object:
    """A list of dates is one of days on which nobody is there."""
    if isinstance(value, Mapping):
        return {_iso(day): spans for day, spans in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return {_iso(day): "" for day in value}
    return value


def _iso(day: object) -> object:
    return day.isoformat() if isinstance(day, date) else day


@dataclass(frozen=True, config=_CONFIG)
class Hours:
    """The hours in which calls are taken, by the clocks of the flow's `timezone`.

    Attributes:
        weekly: spans by day, as in `{"mon-fri": "09:00-12:30, 14:00-18:00", "sat": "18:00-02:00"}`. A span that ends
            before it begins passes midnight; `24:00` is the end of a day. Days that are not named have none.
        holidays: dates that are otherwise than their weekday, with their spans: `{"2027-12-24": "09:00-12:00"}`, or a
            list of dates on which nobody is there. A span of the day before goes on into them.
    """

    weekly: dict[str, str] = field(hash=False)
    _: KW_ONLY
    holidays: Annotated[dict[str, str], BeforeValidator(_dates)] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        remember_place(self)
        named = [day for days in self.weekly for day in read_days(days)]
        if len(set(named)) < len(named):
            raise ValueError("a day is named twice")
        for spans in (*self.weekly.values(), *self.holidays.values()):
            read_spans(spans)
        for day in self.holidays:
            read_date(day)

    if TYPE_CHECKING:

        def __init__(
            self, weekly: Mapping[str, str], *, holidays: Mapping[str | date, str] | Iterable[str | date] = ...
        ) -> None: ...

    @property
    def ever(self) -> bool:
        """Whether there is any span at all."""
        return any(map(read_spans, (*self.weekly.values(), *self.holidays.values())))

    def spans(self, day: date) -> tuple[Span, ...]:
        """The spans that open on a day."""
        if (special := self.holidays.get(day.isoformat())) is not None:
            return read_spans(special)
        return next((read_spans(spans) for days, spans in self.weekly.items() if day.weekday() in read_days(days)), ())

    def hold(self, at: datetime, zone: tzinfo) -> bool:
        """Whether calls are taken `at` that moment (aware), by the clocks of `zone`.

        Where clocks are set forward over the end of a span, or back to it, the later moment is the end.
        """
        today = at.astimezone(zone).date()
        days = (today - timedelta(days=1), today)
        return any(opens <= at < closes for day in days for opens, closes in self._moments(day, zone))

    def next_from(self, at: datetime, zone: tzinfo) -> datetime | None:
        """The first moment from `at` on (aware) when calls are taken, in UTC; None if there is none within a year."""
        if self.hold(at, zone):
            return at.astimezone(UTC)
        today = at.astimezone(zone).date()
        for ahead in range(_MOST_DAYS_AHEAD):
            for opens, _ in self._moments(today + timedelta(days=ahead), zone):
                if opens >= at:
                    return opens
        return None

    def _moments(self, day: date, zone: tzinfo) -> Iterator[tuple[datetime, datetime]]:
        """When the spans of a day open and close."""
        for span in self.spans(day):
            opens, closes = (_by_the_clock(day, minutes, zone) for minutes in span)
            yield opens[0], max(closes)


def _by_the_clock(day: date, minutes: int, zone: tzinfo) -> tuple[datetime, datetime]:
    """The moments, in UTC, when the clocks of `zone` show this; they differ where clocks are changed (PEP 495)."""
    shown = datetime.combine(day, time.min) + timedelta(minutes=minutes)
    first, second = (shown.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first, second


@lru_cache(maxsize=1024)
def read_spans(text: str) -> tuple[Span, ...]:
    """From `09:00-12:30, 14:00-18:00`; empty text is no span.

    Raises:
        ValueError: it is not written so, or spans overlap.
    """
    spans: list[Span] = []
    for part in filter(None, map(str.strip, text.split(","))):
        found = _SPAN.fullmatch(part)
        if found is None:
            raise ValueError(f"{part!r} is no span, as 09:00-12:30 is")
        hours, minutes = (int(found[1]), int(found[3])), (int(found[2]), int(found[4]))
        opens, closes = (60 * hour + minute for hour, minute in zip(hours, minutes, strict=True))
        if max(minutes) > 59 or opens >= _DAY_MIN or closes > _DAY_MIN or opens == closes:
            raise ValueError(f"{part!r} has no such time, or ends as it begins; a whole day is 00:00-24:00")
        if spans and (opens < spans[-1].closes or spans[-1].closes > _DAY_MIN):
            raise ValueError(f"{part!r} begins before the one ahead of it is over")
        spans.append(Span(opens, closes if closes > opens else closes + _DAY_MIN))
    return tuple(spans)


@lru_cache(maxsize=64)
def read_days(text: str) -> frozenset[int]:
    """From `mon`, `mon-fri` or `tue, sat-sun`: weekdays, 0 is Monday.

    Raises:
        ValueError: it is not written so.
    """
    days: set[int] = set()
    for part in text.lower().split(","):
        first, _, last = (piece.strip() for piece in part.partition("-"))
        if first not in DAYS or (last or first) not in DAYS:
            raise ValueError(f"{text!r} is no day, as mon is, and no days, as mon-fri are")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        days |= {day % 7 for day in range(begin, end + 1 if begin <= end else end + 8)}
    return frozenset(days)


def read_date(text: str) -> date:
    """
    Raises:
        ValueError: it is no date, as 2027-12-25 is.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no date, as 2027-12-25 is") from None


def _ways(value: object) -> object:
    return (value,) if isinstance(value, Transfer | Voicemail) else value


@dataclass(frozen=True, config=_CONFIG)
class Closed:
    """What callers get outside the flow's hours: words of the phone line's own, and then it takes them elsewhere.

    Attributes:
        say: the words, in the flow's first language; without them, a sentence of ours that fits.
        then: one way after the other, until somebody was reached or a message was left; a transfer is to one of the
            flow's targets. Without any, the line hangs up after the words.
    """

    say: Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_WORDS)] = ""
    _: KW_ONLY
    then: Annotated[tuple[Transfer | Voicemail, ...], BeforeValidator(_ways)] = ()

    def __post_init__(self) -> None:
        remember_place(self)

    if TYPE_CHECKING:

        def __init__(self, say: str = "", *, then: WayOut | Iterable[WayOut] = ()) -> None: ...
