"""What `voicebot test` prints: a line for each scenario, what went another way in which variations, and the sum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from .coverage import Coverage
from .suite import Outcome

_SEEDS_TOLD = 3  # variations that fail are told with their problems, the others by their seeds
_PROBLEMS_TOLD = 6


def scenario_lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What came of one scenario's calls."""
    first = outcomes[0]
    whole = [one for one in outcomes if one.seed is None]
    varied = [one for one in outcomes if one.seed is not None]
    parts = [f"whole path: {one.call_s:.0f} s of call in {one.took_s:.1f} s" for one in whole]
    if varied:
        took_s = sum(one.took_s for one in varied)
        parts.append(f"{_counted(len(varied), 'variation')}: {duration(_call_s(varied))} of calls in {took_s:.2f} s")
    verdict = "failed" if any(one.problems for one in outcomes) else "passed"
    yield f"{verdict}  {first.flow}: {first.scenario}  ({', '.join(parts)})"
    for one in whole:
        yield from _problem_lines("whole path", one)
    yield from _failed_variations(varied)


def flow_line(flow: str, outcomes: Sequence[Outcome], covered: Coverage) -> str:
    """What came of one flow's calls, and what they covered."""
    failed = sum(bool(one.problems) for one in outcomes)
    calls = f"{_counted(len(outcomes), 'call')}, {failed} failed" if failed else _counted(len(outcomes), "call")
    missed = ", ".join(f"{point.kind} {point.name}" for point in covered.missed)
    return f"covered {flow}: {calls}; {covered}" + (f"; never: {missed}" if missed else "")


def last_line(outcomes: Sequence[Outcome], took_s: float) -> str:
    """The sum of all calls."""
    failed = sum(bool(one.problems) for one in outcomes)
    return (
        f"{len(outcomes) - failed} passed, {failed} failed  ({duration(_call_s(outcomes))} of calls in {took_s:.1f} s)"
    )


def duration(seconds: float) -> str:
    """A time as people say it: `45 s`, `12.5 min`, `3.1 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _failed_variations(varied: Sequence[Outcome]) -> Iterator[str]:
    """The first ones by their seed; of what goes wrong in the same way in many, only the seeds."""
    failed = [one for one in varied if one.problems]
    if not failed:
        return
    for one in failed[:_SEEDS_TOLD]:
        yield from _problem_lines(f"seed {one.seed}", one)
    if others := failed[_SEEDS_TOLD:]:
        yield f"        and {len(others)} more: {_counted(len(others), 'seed').partition(' ')[2]} {_ranges(others)}"
    first = failed[0]
    yield f"        to play one again: voicebot test '{first.flow}:{first.scenario}' --seed {first.seed}"


def _problem_lines(where: str, outcome: Outcome) -> Iterator[str]:
    for problem in outcome.problems[:_PROBLEMS_TOLD]:
        yield f"        {where}: {problem}"
    if len(outcome.problems) > _PROBLEMS_TOLD:
        yield f"        {where}: and {len(outcome.problems) - _PROBLEMS_TOLD} more"


def _ranges(outcomes: Sequence[Outcome]) -> str:
    """`4-9, 12` of their seeds."""
    seeds = [one.seed for one in outcomes if one.seed is not None]
    runs = [[seed for _, seed in run] for _, run in groupby(enumerate(seeds), lambda pair: pair[1] - pair[0])]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _call_s(outcomes: Sequence[Outcome]) -> float:
    return sum(one.call_s for one in outcomes)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
