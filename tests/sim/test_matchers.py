"""What a report must hold: values, matchers, and how a difference reads."""

from __future__ import annotations

from typing import Any

import pytest

from voicebot.sim.matchers import (
    AtLeast,
    AtMost,
    Holding,
    OneOf,
    Something,
    UnreadableMatcherError,
    differences,
    matches,
    read_matchers,
)

REPORT: dict[str, Any] = {
    "outcome": "open",
    "answered_at": None,
    "duration_s": 12.5,
    "progress": 1,
    "transfer": {"target": "desk", "result": "busy", "talk_s": None},
    "phases": [{"name": "remind", "cause": "start"}, {"name": "bye", "cause": "criteria"}],
    "messages": [],
    "observations": {"comes": True, "wish": ""},
}


@pytest.mark.parametrize(
    "expected",
    [
        {},
        {"outcome": "open", "answered_at": None},
        {"duration_s": 12.5, "progress": 1.0, "observations": {"comes": True}},
        {"transfer": {"result": "busy"}},
        {"phases": [{}, {"cause": "criteria"}], "messages": []},
        {"phases": ({"name": Something()}, Something())},
        {"duration_s": AtLeast(12.5), "progress": AtMost(1)},
        {"outcome": OneOf(["confirmed", "open"]), "answered_at": OneOf([None, Something()])},
        {"outcome": Holding("pe"), "phases": Holding({"cause": "criteria"})},
        {"transfer": OneOf([None, {"result": OneOf(["busy", "failed"])}])},
    ],
)
def test_report_fits(expected: object) -> None:
    assert list(differences(expected, REPORT)) == []


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        ({"outcome": "closed"}, "outcome: expected 'closed', reported 'open'"),
        ({"transfer": {"result": "completed"}}, "transfer.result: expected 'completed', reported 'busy'"),
        ({"transfer": None}, "transfer: expected None, reported {'target': 'desk', 'result': 'busy', 'talk_s': None}"),
        ({"answered_at": {"day": 1}}, "answered_at: expected {'day': 1}, reported None"),
        ({"transfer": {"resalt": "busy"}}, "transfer: there is no 'resalt' (did you mean 'result'?)"),
        ({"zzz": 1}, "the report: there is no 'zzz'"),
        ({"phases": [{}]}, "phases: expected 1 entries, reported 2: [{'name': 'remind', 'cause': 'start'}, "),
        ({"phases": [{}, {"cause": "stuck"}]}, "phases[1].cause: expected 'stuck', reported 'criteria'"),
        ({"progress": True}, "progress: expected True, reported 1"),
        ({"observations": {"comes": 1}}, "observations.comes: expected 1, reported True"),
        ({"duration_s": AtLeast(60)}, "duration_s: expected at least 60, reported 12.5"),
        ({"duration_s": AtMost(3)}, "duration_s: expected at most 3, reported 12.5"),
        ({"observations": {"comes": AtLeast(0)}}, "observations.comes: expected at least 0, reported True"),
        ({"answered_at": AtMost(3)}, "answered_at: expected at most 3, reported None"),
        ({"messages": Something()}, "messages: expected something, reported []"),
        ({"observations": {"wish": Something()}}, "observations.wish: expected something, reported ''"),
        ({"outcome": OneOf(["a", AtMost(3)])}, "outcome: expected one of 'a', at most 3, reported 'open'"),
        ({"outcome": Holding("shut")}, "outcome: expected something that holds 'shut', reported 'open'"),
        (
            {"phases": Holding({"cause": "stuck"})},
            "phases: expected something that holds {'cause': 'stuck'}, reported ",
        ),
    ],
)
def test_difference_is_told_with_its_place(expected: object, told: str) -> None:
    [line] = differences(expected, REPORT)
    assert line.startswith(told)
    assert not matches(expected, REPORT)


def test_every_difference_is_told() -> None:
    found = list(differences({"outcome": "a", "transfer": {"target": "b", "result": "c"}}, REPORT))
    assert [line.partition(":")[0] for line in found] == ["outcome", "transfer.target", "transfer.result"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("$any", Something()),
        ({"$at_least": 3}, AtLeast(3)),
        ({"$at_most": 2.5}, AtMost(2.5)),
        ({"$one_of": ["a", None, {"$at_least": 1}]}, OneOf(("a", None, AtLeast(1)))),
        ({"$holds": {"cause": "$any"}}, Holding({"cause": Something()})),
        ({"a": [1, {"b": "$any"}], "c": "cash: $5"}, {"a": [1, {"b": Something()}], "c": "cash: $5"}),
    ],
)
def test_matchers_are_read(written: object, meant: object) -> None:
    assert read_matchers(written) == meant


@pytest.mark.parametrize(
    ("written", "path", "problem"),
    [
        ("$some", (), "'$some' is no matcher"),
        ({"a": [{"b": {"$atleast": 1}}]}, ("a", 0, "b", "$atleast"), "'$atleast' is no matcher"),
        ({"$at_least": "3"}, ("$at_least",), "'$at_least' has nothing to compare with"),
        ({"$at_least": True}, ("$at_least",), "'$at_least' has nothing to compare with"),
        ({"$one_of": []}, ("$one_of",), "'$one_of' has nothing to compare with"),
        ({"$holds": "", "b": 1}, ("$holds",), "'$holds' stands beside other keys"),
    ],
)
def test_what_is_no_matcher_is_told(written: object, path: tuple[object, ...], problem: str) -> None:
    with pytest.raises(UnreadableMatcherError) as raised:
        read_matchers(written)
    assert (raised.value.path, raised.value.problem) == (path, problem)
    assert raised.value.mend
