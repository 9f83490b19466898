"""What `voicebot test` prints."""

from __future__ import annotations

from dataclasses import replace

import pytest

from voicebot.sim.coverage import Coverage, Point
from voicebot.sim.suite import Outcome
from voicebot.sim.suite_lines import duration, flow_line, last_line, scenario_lines

WHOLE = Outcome("visit", "short", (), frozenset(), 67.4, 2.2)


def variations(count: int, *failing: int) -> list[Outcome]:
    return [
        replace(WHOLE, seed=seed, took_s=0.01, problems=("too late", "too long") if seed in failing else ())
        for seed in range(1, count + 1)
    ]


def test_passed_scenario_takes_one_line() -> None:
    assert list(scenario_lines([WHOLE, *variations(20)])) == [
        "passed  visit: short  (whole path: 67 s of call in 2.2 s, 20 variations: 22.5 min of calls in 0.20 s)"
    ]
    assert list(scenario_lines([WHOLE])) == ["passed  visit: short  (whole path: 67 s of call in 2.2 s)"]
    assert list(scenario_lines(variations(1))) == ["passed  visit: short  (1 variation: 67 s of calls in 0.01 s)"]


def test_failed_call_is_told_with_its_problems() -> None:
    failed = replace(WHOLE, problems=("no goodbye",))
    assert list(scenario_lines([failed]))[1:] == ["        whole path: no goodbye"]


def test_failed_variations_are_told_by_their_seeds() -> None:
    first, *lines = scenario_lines([WHOLE, *variations(20, 2, 5, 6, 9, 10, 11, 17)])
    assert first.startswith("failed  visit: short")
    assert lines == [
        "        seed 2: too late",
        "        seed 2: too long",
        "        seed 5: too late",
        "        seed 5: too long",
        "        seed 6: too late",
        "        seed 6: too long",
        "        and 4 more: seeds 9-11, 17",
        "        to play one again: voicebot test 'visit:short' --seed 2",
    ]


def test_many_problems_of_one_call_are_counted() -> None:
    failed = replace(WHOLE, problems=tuple(f"problem {number}" for number in range(9)))
    lines = list(scenario_lines([failed]))
    assert lines[-2:] == ["        whole path: problem 5", "        whole path: and 3 more"]


@pytest.mark.parametrize(
    ("outcomes", "covered", "line"),
    [
        ([WHOLE], Coverage({"phase": (2, 2), "rule": (1, 1)}, ()), "covered visit: 1 call; phases 2/2, rules 1/1"),
        (
            variations(3, 1),
            Coverage({"phase": (1, 2), "jump": (0, 1)}, (Point("phase", "bye"), Point("jump", "reception → bye"))),
            "covered visit: 3 calls, 1 failed; phases 1/2, jumps 0/1; never: phase bye, jump reception → bye",
        ),
    ],
)
def test_flow_line_says_what_was_covered(outcomes: list[Outcome], covered: Coverage, line: str) -> None:
    assert flow_line("visit", outcomes, covered) == line


def test_last_line_is_the_sum() -> None:
    assert last_line([WHOLE, *variations(20, 1)], 3.5) == "20 passed, 1 failed  (23.6 min of calls in 3.5 s)"


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0 s"), (99, "99 s"), (100, "1.7 min"), (6000, "1.7 h")])
def test_durations_read_well(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
