"""Rules about the hours: that there are some, and that callers get something at other times that can be had."""

from __future__ import annotations

from collections.abc import Iterator

from ..hours import read_date
from ..source import place_of
from ..ways_out import Transfer
from .findings import Flaw, LintRule, instead
from .study import Study
from .transfers import ways_when_closed


def _never(study: Study) -> Iterator[Flaw]:
    hours = study.flow.hours
    if hours is not None and not hours.ever:
        mend = 'write days and times, as in Hours({"mon-fri": "09:00-18:00"})'
        yield Flaw(place_of(hours) or place_of(study.flow), "the hours hold no time at which calls are taken", mend)


def _nowhere(study: Study) -> Iterator[Flaw]:
    flow = study.flow
    for way in ways_when_closed(flow):
        if isinstance(way, Transfer) and way.to not in flow.targets:
            problem = f"outside the hours {way.to!r} is to be rung, which is no target"
            mend = instead(way.to, flow.targets, "targets") if flow.targets else 'declare targets={"…": Number("+…")}'
            yield Flaw(place_of(way) or place_of(flow), problem, mend)


def _always(study: Study) -> Iterator[Flaw]:
    flow = study.flow
    if flow.closed is not None and flow.hours is None:
        problem = "closed says what callers get outside the hours, and there are none"
        yield Flaw(place_of(flow.closed) or place_of(flow), problem, "give hours=Hours(…), or remove it")


def _past(study: Study) -> Iterator[Flaw]:
    hours, day = study.flow.hours, study.day
    past = [] if hours is None or day is None else sorted(one for one in hours.holidays if read_date(one) < day)
    if past:
        problem = f"{'holiday' if len(past) == 1 else f'{len(past)} holidays, the last of them'} {past[-1]} is past"
        yield Flaw(place_of(hours) or place_of(study.flow), problem, "remove it, and add those that come")


RULES = (
    LintRule("F051", "error", "calls are never taken", _never),
    LintRule("F052", "error", "outside the hours, a transfer to a target that does not exist", _nowhere),
    LintRule("F053", "warning", "something for outside the hours, and no hours", _always),
    LintRule("F054", "warning", "a holiday that is past", _past),
)
