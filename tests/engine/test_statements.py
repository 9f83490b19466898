"""What must be said word for word: said when it can be, done when it was heard, said again when it was cut."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

import pytest

from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import EngineEntry, PhaseEntered, StatementBegun, StatementCut, StatementHeard
from voicebot.engine.events import (
    AskReply,
    CallContext,
    CallerTurnEnded,
    CallStarted,
    EngineEffect,
    SpeakExactly,
    StatementEnded,
    ToolProposed,
    Write,
)
from voicebot.errors import FlowError
from voicebot.flow import Flow, HangUp, Observations, Phase, Say, To, ask, heard, it
from voicebot.flow.check import check
from voicebot.flow.json_form import flow_from_json, flow_to_json


class Order(Observations):
    size: Literal["small", "large"] = ask("the size")
    total: Decimal = ask("the total")
    accepted: bool = ask("an explicit yes to the total")


TOTAL = Say("The total is {total} for a {size} one.", name="total")
FLOW = Flow(
    goal="An order.",
    observations=Order,
    phases=(
        Phase("order", instructions="Take it.", observations=(it.size, it.total), transitions=(To("confirm"),)),
        Phase(
            "confirm",
            instructions="Get a yes.",
            must_say=(TOTAL,),
            observations=(it.accepted,),
            success_criteria=(it.accepted.yes,),
            transitions=(To("bye"),),
        ),
        Phase("bye", instructions="Bye.", end=HangUp()),
    ),
)


def engine(flow: Flow = FLOW) -> PhaseEngine:
    made = PhaseEngine(flow, CallContext("CA0", None, None, datetime(2026, 1, 2, tzinfo=UTC)))
    made.handle(CallStarted(), 0.0)
    made.handle(CallerTurnEnded("u1"), 1.0)
    return made


def record(made: PhaseEngine, values: str) -> list[EngineEffect]:
    return made.handle(ToolProposed("c", "record", values), 2.0)


def said(effects: list[EngineEffect]) -> list[str]:
    return [effect.say.text for effect in effects if isinstance(effect, SpeakExactly)]


def written(effects: list[EngineEffect]) -> list[EngineEntry]:
    return [effect.entry for effect in effects if isinstance(effect, Write)]


SMALL = '{"size": {"value": "small", "quote": "small"}, "total": {"value": "12.50", "quote": "fine"}}'
LARGE = '{"size": {"value": "large", "quote": "no, large"}}'
YES = '{"accepted": {"value": true, "quote": "yes"}}'
WORDS = "The total is 12.50 for a small one."


def test_statement_is_said_when_its_phase_begins() -> None:
    made = engine()
    effects = record(made, SMALL)
    assert said(effects) == [WORDS]
    assert StatementBegun("total", WORDS) in written(effects)


def test_statement_waits_for_its_values() -> None:
    flow = Flow(goal="x", observations=Order, phases=(Phase("a", must_say=(TOTAL,), observations=(it.size, it.total)),))
    made = engine(flow)
    assert said(record(made, '{"size": {"value": "small", "quote": "small"}}')) == []
    assert said(record(made, '{"total": {"value": "12.50", "quote": "fine"}}')) == [WORDS]


def test_phase_is_not_done_before_it_was_heard() -> None:
    made = engine()
    record(made, SMALL)
    record(made, YES)
    assert made.state.phase == "confirm"
    effects = made.handle(StatementEnded("total", WORDS, complete=True), 3.0)
    assert written(effects)[:2] == [StatementHeard("total", WORDS), PhaseEntered("bye", "confirm", "criteria")]


def test_statement_is_said_once() -> None:
    made = engine()
    record(made, SMALL)
    assert said(made.handle(CallerTurnEnded("u2"), 3.0)) == []
    made.handle(StatementEnded("total", WORDS, complete=True), 4.0)
    assert said(made.handle(CallerTurnEnded("u3"), 5.0)) == []


def test_interrupted_statement_is_said_again() -> None:
    made = engine()
    record(made, SMALL)
    assert written(made.handle(StatementEnded("total", WORDS, complete=False), 3.0)) == [StatementCut("total")]
    assert said(made.handle(CallerTurnEnded("u2"), 4.0)) == [WORDS]


def test_changed_value_unhears_what_quoted_it() -> None:
    made = engine()
    record(made, SMALL)
    made.handle(StatementEnded("total", WORDS, complete=True), 3.0)
    effects = record(made, LARGE)
    assert said(effects) == ["The total is 12.50 for a large one."]
    record(made, YES)
    assert made.state.phase == "confirm"


def test_other_words_are_never_taken_for_it() -> None:
    made = engine()
    record(made, SMALL)
    assert made.handle(StatementEnded("total", "The total is 11.50 for a small one.", complete=True), 3.0) == []
    assert made.handle(StatementEnded("other", WORDS, complete=True), 3.0) == []
    record(made, YES)
    assert made.state.phase == "confirm"


def test_disclosure_that_ends_its_phase_is_followed_by_a_reply() -> None:
    notice = Say("This call is recorded.", name="notice", interruptible=False)
    flow = Flow(
        goal="x",
        observations=Order,
        phases=(
            Phase("notice", instructions="-", must_say=(notice,), transitions=(To("size"),)),
            Phase("size", instructions="-", observations=(it.size,)),
        ),
    )
    made = PhaseEngine(flow, CallContext("CA0", None, None, datetime(2026, 1, 2, tzinfo=UTC)))
    started = made.handle(CallStarted(), 0.0)
    assert said(started) == ["This call is recorded."]
    effects = made.handle(StatementEnded("notice", "This call is recorded.", complete=True), 3.0)
    assert made.state.phase == "size"
    assert AskReply("") in effects


def test_heard_is_a_criterion_anywhere() -> None:
    made = engine()
    criterion = heard("total") & it.accepted.yes
    assert not made.standing.holds(criterion)
    record(made, SMALL)
    made.handle(StatementEnded("total", WORDS, complete=True), 3.0)
    assert made.standing.holds(heard("total"))
    assert criterion.document() == {
        "all": [{"heard": "total"}, {"field": "accepted", "is": "==", "value": True}],
    }


def test_restored_engine_knows_what_was_heard() -> None:
    made = engine()
    entries = written(record(made, SMALL)) + written(made.handle(StatementEnded("total", WORDS, complete=True), 3.0))
    again = PhaseEngine(FLOW, made.context)
    again.restore([(0.0, entry) for entry in (PhaseEntered("order", None, "start"), *entries)], 0.0)
    assert again.state.heard == made.state.heard
    assert said(again.handle(CallerTurnEnded("u2"), 4.0)) == []


def test_instructions_tell_what_is_said_for_the_model() -> None:
    made = engine()
    record(made, SMALL)
    assert "Said for you" in made.instructions(3.0)
    assert TOTAL.text in made.instructions(3.0)


def test_flow_with_statements_travels_as_json() -> None:
    text = flow_to_json(FLOW)
    assert flow_to_json(flow_from_json(text)) == text
    assert flow_from_json(text).phases[1].must_say == (TOTAL,)


def test_nameless_statement_is_refused() -> None:
    with pytest.raises(FlowError, match="has no name"):
        Phase("a", must_say=(Say("Hello."),))


@pytest.mark.parametrize(
    ("phase", "problem"),
    [
        (Phase("a", instructions="-", must_say=(Say("{price}", name="p"),)), "{price} in 'p' is no observation"),
        (Phase("a", instructions="-", success_criteria=(heard("nothing"),)), "no phase must say 'nothing'"),
        (
            Phase("a", instructions="-", must_say=(Say("One.", name="p"), Say("Two.", name="p"))),
            "two statements are named 'p'",
        ),
    ],
)
def test_linter_names_broken_statements(phase: Phase, problem: str) -> None:
    findings = [one for one in check(Flow(goal="x", observations=Order, phases=(phase,))) if one.rule == "F013"]
    assert [one.problem for one in findings][:1] == [problem]
