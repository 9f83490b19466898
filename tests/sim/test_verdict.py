"""What is held against a scenario's call: words, report, evidence, tools, silences, patience."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.end_to_end.reception import GIVES_NAME, VISIT, gives_reason, shelf
from voicebot.flow import Flow, HangUp, LeaveMessage, Observations, Phase, To, ask, it, tool
from voicebot.flow.loader import load_flow
from voicebot.sim.brain import Says
from voicebot.sim.caller import Hear, Interrupt, Press, Say, Wait
from voicebot.sim.scenario import Exchange, Expected, Scenario
from voicebot.sim.timeline import BotSaid, CallerSaid
from voicebot.sim.verdict import answered_lines, misheard, misheard_by_machine, opening_of, report_problems

OPENING = "Good morning, practice of Doctor Rossi."
ASKS = "Hello Ada, what can I do for you today? Take your time, we have all morning."
BYE = "Oh dear. The doctor will call you back. Goodbye!"


def said(*texts: str, damaged: int = 0) -> list[BotSaid]:
    """Utterances as they were heard; one that ends in `…` was cut there."""
    return [BotSaid(text.removesuffix("…"), 0, 1, not text.endswith("…"), damaged) for text in texts]


@pytest.mark.parametrize(
    ("heard", "problems"),
    [
        (said(OPENING, "Hello Ada, what…", BYE), []),
        (said(OPENING, ASKS, BYE), []),
        (said(OPENING, OPENING, ASKS, BYE), ["instead of", "instead of", "which nobody was to say"]),
        (said(OPENING, ASKS), ["never heard"]),
        (said(OPENING, "", ASKS, BYE), []),
        (said(OPENING, ASKS, BYE, damaged=1), ["instead of"] * 3),
        (said(OPENING, "Something else…", BYE), ["instead of"]),
    ],
)
def test_words_are_held_against_the_script(heard: list[BotSaid], problems: list[str]) -> None:
    found = misheard(VISIT, shelf.get("visit"), heard)
    assert len(found) == len(problems)
    assert all(part in problem for part, problem in zip(problems, found, strict=True))


class Nothing(Observations):
    size: str = ask("the size")


@tool(filler="One moment, I am looking.")
def look() -> str:
    """Look."""
    return "here"


SLOW = load_flow(
    "slow",
    Flow(
        goal="Look.",
        observations=Nothing,
        phases=(
            Phase("one", instructions="Ask.", observations=(it.size,), tools=(look,), transitions=(To("bye"),)),
            Phase("bye", instructions="Say goodbye.", end=HangUp()),
        ),
    ),
)


@pytest.mark.parametrize("filled", [(), ("One moment, I am looking.",), ("One moment…",)])
def test_fillers_may_be_heard_or_not(filled: tuple[str, ...]) -> None:
    scenario = Scenario("slow", "slow", (Exchange(Say("Look!"), ((Says("Here."),),)),), Expected())
    assert opening_of(SLOW) is None
    assert misheard(scenario, SLOW, said(*filled, "Here.")) == []
    assert misheard(scenario, SLOW, said("Two moments.", "Here.")) != []


def test_statements_must_be_heard_whole() -> None:
    scenario = Scenario("s", "slow", (), Expected(statements=("It is twelve.",)))
    assert misheard(scenario, SLOW, said("It is…", "It is twelve.")) == []
    assert misheard(scenario, SLOW, said("It is…")) == ["the caller never heard the statement 'It is twelve.'"]


def test_caller_answers_the_last_line_before_him() -> None:
    exchanges = (
        GIVES_NAME,
        Exchange(Wait(10)),
        gives_reason(Interrupt("I have a toothache.")),
        Exchange(Press("1"), ((Says("One."),), (Says("Two  times."),))),
        Exchange(Hear()),
        Exchange(None, ((Says("Still there?"),),)),
        Exchange(Say("Yes.")),
        Exchange(Say("Hello?")),
    )
    assert answered_lines(Scenario("s", "visit", exchanges, Expected()), OPENING) == [
        OPENING,
        ASKS,
        ASKS,
        BYE,
        None,
        "Still there?",
        None,
    ]


def report(**changed: object) -> dict[str, Any]:
    """`data` of a report in which everything is as VISIT expects it."""
    lines = [{"speaker": "caller", "text": text} for text in VISIT.spoken()]
    as_expected: dict[str, Any] = {
        "phases": [{"name": "reception"}, {"name": "bye"}],
        "outcome": None,
        "ended_reason": "completed",
        "observations": {"name": "Ada Lovelace", "reason": "toothache"},
        "evidence": {"name": {"state": "confirmed"}, "reason": None},
        "transcript": [*lines, {"speaker": "bot", "text": "Hello", "interrupted": True}],
        "tools": [{"tool": "look"}],
        "response_ms": {"worst": 900},
        "analysis": "done",
        "summary": "Ada has a toothache.",
        "filled_after": ["reason"],
        "passed_on": [{"to": "transfer", "status": "busy"}],
    }
    return {**as_expected, **changed}


@pytest.mark.parametrize(
    ("expected", "changed", "problem"),
    [
        ({}, {}, None),
        ({"phases": ("reception",)}, {}, "phases: expected ('reception',), reported ('reception', 'bye')"),
        ({"outcome": "done"}, {}, "outcome: expected 'done', reported None"),
        ({"ended_reason": "silence"}, {}, "ended_reason: expected 'silence', reported 'completed'"),
        ({"interruptions": 0}, {}, "interruptions: expected 0, reported 1"),
        ({"tools": ()}, {}, "tools: expected (), reported ('look',)"),
        ({"tools": ("look",)}, {}, None),
        ({"silences": 1}, {}, "silences: expected 1, reported 2"),
        ({"observations": {"name": "Ada"}}, {}, "name: expected 'Ada', reported 'Ada Lovelace'"),
        ({"evidence": {"name": "confirmed"}}, {}, None),
        ({"analysis": "done", "summary": "Ada has a toothache.", "filled_after": ("reason",)}, {}, None),
        ({"analysis": "done"}, {"analysis": None}, "analysis: expected 'done', reported None"),
        ({"summary": "Ada."}, {}, "summary: expected 'Ada.', reported 'Ada has a toothache.'"),
        ({"filled_after": ()}, {}, "filled_after: expected (), reported ('reason',)"),
        ({"passed_on": ("transfer: busy",)}, {}, None),
        ({"passed_on": ()}, {}, "passed_on: expected (), reported ('transfer: busy',)"),
        ({"evidence": {"reason": "confirmed"}}, {}, "evidence of reason: expected 'confirmed', reported None"),
        ({"max_response_ms": 900}, {}, None),
        ({"max_response_ms": 800}, {}, "the caller waited 900 ms for an answer, expected 800 at most"),
        ({"max_response_ms": 800}, {"response_ms": None}, None),
        ({}, {"transcript": []}, f"the transcript has the caller say [], but it was {list(VISIT.spoken())!r}"),
    ],
)
def test_report_is_held_against_what_is_expected(
    expected: dict[str, Any], changed: dict[str, Any], problem: str | None
) -> None:
    scenario = Scenario("visit", "visit", VISIT.exchanges, Expected(**expected))
    found = report_problems(scenario, report(**changed), silences=2)
    assert found == ([] if problem is None else [problem])


def test_waiting_counts_only_where_it_is_measured() -> None:
    scenario = Scenario("visit", "visit", VISIT.exchanges, Expected(max_response_ms=800))
    assert report_problems(scenario, report(), silences=0, response_counts=False) == []


def test_words_said_in_need_stand_in_no_script() -> None:
    need = ("One moment, please.", "I am sorry, something has gone wrong on our side. Please call again in a moment.")
    announced = "One moment, please. We are connecting you."
    heard = said(OPENING, need[0], ASKS, *need, announced, BYE)
    assert misheard(VISIT, shelf.get("visit"), heard, [announced]) == []
    assert misheard(VISIT, shelf.get("visit"), said(OPENING, ASKS, BYE, announced))


# ---- an answering machine -------------------------------------------------------------------------------------------

GREETED = [CallerSaid("Nobody is here.", 1_000, 3_000, complete=True), CallerSaid("\x07", 3_000, 3_500, complete=True)]
LEAVES = load_flow("leaves", replace(shelf.get("visit").flow, on_voicemail=LeaveMessage("Please call us back.")))


def recorded(text: str, start_ms: float, *, complete: bool = True) -> BotSaid:
    return BotSaid(text, start_ms, start_ms + 1_200, complete)


@pytest.mark.parametrize(
    ("heard", "problems"),
    [
        ([recorded("Good morning, pra", 500, complete=False), recorded("Please call us back.", 3_600)], []),
        ([recorded("Please call us back.", 2_900)], ["never recorded"]),
        (
            [recorded("Please call", 3_600, complete=False)],
            ["never recorded", "'Please call', which nobody was to say"],
        ),
        ([recorded("Please call us back.", 3_600), recorded("Hello?", 5_000)], ["'Hello?', which nobody was to say"]),
        ([], ["never recorded"]),
    ],
)
def test_machine_has_the_message_and_nothing_else(heard: list[BotSaid], problems: list[str]) -> None:
    found = misheard_by_machine(LEAVES, heard, GREETED)
    assert len(found) == len(problems)
    assert all(part in problem for part, problem in zip(problems, found, strict=True))


def test_machine_hears_nothing_where_no_message_is_left() -> None:
    assert misheard_by_machine(shelf.get("visit"), [recorded("Good morning", 500)], GREETED) == []
    assert misheard_by_machine(shelf.get("visit"), [recorded("Hello?", 4_000)], GREETED) != []
    assert misheard_by_machine(LEAVES, [], []) == []  # nobody answered
