"""What an expression may come to while not everything is known."""

from __future__ import annotations

from typing import Any

import pytest

from voicebot.flow import heard, it, judged, otherwise
from voicebot.flow.expressions import Expression, read_expression
from voicebot.flow.lint.verdicts import Sight, can_hold, imagined, must_hold, verdicts


def is_far(day: int, hour: int = 0) -> bool:
    return day > hour


FAR = read_expression(is_far)
KNOWN = {"a": 3, "heard hello": True, "judged sure": False, "holds is_far": True}
FOLLOWED = frozenset({"a", "b", "day"})
POSSIBLE = frozenset({"a", "b", "c", "heard hello", "heard terms", "judged sure", "judged calm"})
OPEN = {True, False, None}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (otherwise, {True}),
        (it.a == 3, {True}),
        (it.a > 3, {False}),
        (it.a > "x", {None}),
        (it.a.filled, {True}),
        (it.b == 3, {None}),  # looked at, and not there
        (it.b.filled, {False}),
        (it.c == 3, OPEN),  # not looked at
        (it.c.filled, {True, False}),
        (it.d == 3, {None}),  # no call can have come by it
        (it.d.filled, {False}),
        (heard("hello"), {True}),
        (heard("terms"), {True, False}),
        (heard("price"), {False}),
        (judged("sure"), {False}),
        (judged("calm"), OPEN),
        (judged("cross"), {None}),
        (FAR, {None}),  # its day is not there
        (~(it.a == 3), {False}),
        (~(it.b == 3), {None}),
        ((it.a == 3) & it.c.filled, {True, False}),
        ((it.a == 4) & it.c.yes, {False}),
        ((it.a == 3) | it.c.yes, {True}),
        (it.b.yes | it.c.yes, {True, None}),
        (it.b.yes & it.c.yes, {False, None}),
        (it.c.yes & ~it.c.yes, OPEN),  # each part alone: never too few
    ],
    ids=repr,
)
def test_verdicts_are_all_that_may_come(expression: Expression, expected: set[bool | None]) -> None:
    sight = Sight(KNOWN, FOLLOWED, POSSIBLE)
    assert verdicts(expression, sight) == expected
    assert can_hold(expression, sight) == (True in expected)
    assert must_hold(expression, sight) == (expected == {True})


@pytest.mark.parametrize(
    ("facts", "possible", "expected"),
    [
        ({"day": 1}, set(), {True, False}),
        ({"day": 1, "holds is_far": True}, set(), {True}),
        ({"day": 1, "holds is_far": False}, set(), {False}),
        ({"holds is_far": True}, {"day"}, {True, None}),
        ({}, set(), {None}),
    ],
    ids=str,
)
def test_function_is_asked_once_its_values_are_there(
    facts: dict[str, Any], possible: set[str], expected: set[bool | None]
) -> None:
    assert verdicts(FAR, Sight(facts, frozenset(), frozenset(possible))) == expected


def test_everything_that_may_fall_out_is_imagined() -> None:
    assert imagined([it.a == 3]) == [{}]
    assert imagined([judged("sure"), ~judged("sure") & FAR]) == [
        {"judged sure": sure, "holds is_far": far} for sure in (True, False) for far in (True, False)
    ]
    assert imagined([judged("sure")], undecided=True) == [{"judged sure": True}, {"judged sure": False}, {}]
    assert imagined([judged(f"it is {number}") for number in range(9)]) == [{}]  # too much to imagine
