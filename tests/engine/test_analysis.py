"""The look back at a call: what the model is asked, what of its answer holds, and that nothing moves."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from tests.conversations import Liar
from tests.engine.line import Line, kinds, restored, written
from tests.flow.random_flows import clean_random_flows
from voicebot.engine.analysis import CONCLUDE, LONGEST_ANSWER, LONGEST_SUMMARY, read
from voicebot.engine.entries import ObservationFilled, ProposalRefused
from voicebot.engine.events import AnalysisCame, EngineEffect
from voicebot.engine.witness import LIKELIEST, weigh_anywhere
from voicebot.flow import Analysis, Flow, HangUp, Observations, Phase, Report, To, ask, computed, it, otherwise
from voicebot.sim.brain import Calls, Context, obey


def doubled(people: int) -> int:
    """twice as many"""
    return people * 2


def not_seven(people: int) -> None:
    if people == 7:
        raise ValueError("we have no table for seven; ask for another number")


class Order(Observations):
    mode: Literal["pickup", "delivery"] = ask("pickup or delivery")
    street: str = ask("where to", needed_if=it.mode == "delivery", confirm="read back")
    people: Annotated[int, Field(ge=1, le=20)] = ask("how many", check=not_seven)
    twice: int = computed(doubled)
    note: str = ask("anything else", optional=True)
    phone: str = ask("a number", default_from="caller")


def flow(analysis: Analysis | None = None) -> Flow:
    return Flow(
        goal="An order.",
        observations=Order,
        languages=["it", "en"],
        phases=[
            Phase("mode", observations=[it.mode], transitions=[To("rest")]),
            Phase("rest", observations=[it.street, it.people, it.note, it.phone], transitions=[To("bye")]),
            Phase("bye", end=HangUp()),
        ],
        report=Report(
            outcome={"ordered": it.people.filled, "incomplete": otherwise},
            analysis=analysis or Analysis("what they want"),
        ),
    )


def said(**proposals: tuple[object, str]) -> dict[str, Any]:
    return {name: {"value": value, "quote": quote} for name, (value, quote) in proposals.items()}


def told(line: Line, **proposals: tuple[object, str]) -> list[EngineEffect]:
    return line.take(AnalysisCame(said(**proposals)))


def filled(effects: list[EngineEffect]) -> dict[str, object]:
    return {entry.name: entry.value for entry in written(effects) if isinstance(entry, ObservationFilled)}


def refused(effects: list[EngineEffect]) -> dict[str, str]:
    return {entry.subject: entry.problem for entry in written(effects) if isinstance(entry, ProposalRefused)}


def over() -> Line:
    """A call that was hung up after the caller had said more than was recorded."""
    line = Line(flow())
    line.say("Hello, I would like something to eat.")
    line.say("For four people, and please ring twice.")
    return line


# ---- what is asked --------------------------------------------------------------------------------------------------


def test_blanks_are_offered_with_their_schemas() -> None:
    line = over()
    line.tell("Pickup it is.", mode="pickup")
    line.call("record", {"note": {"declined": True, "quote": "Pickup it is"}})
    instructions, tool = line.engine.analysis_request(line.now)
    assert tool.name == CONCLUDE
    parameters: Any = tool.parameters
    assert parameters["required"] == ["summary"]
    assert list(parameters["properties"]["said"]["properties"]) == ["people"]
    proposal = parameters["properties"]["said"]["properties"]["people"]
    assert proposal["required"] == ["value", "quote"]
    assert proposal["properties"]["value"]["maximum"] == 20
    assert "- people: how many" in instructions
    assert "# Known so far\n- phone: +14155550123\n- mode: pickup" in instructions
    assert "Write what they want. Write Italian" in instructions


@pytest.mark.parametrize("complete", [True, False])
def test_without_blanks_only_a_summary_is_asked_for(complete: bool) -> None:
    line = Line(flow(None if complete else Analysis(fill=False)))
    if complete:
        line.tell("pickup for two, that's all, my note is none", mode="pickup")
        line.record("for two", people=2, note="none")
    instructions, tool = line.engine.analysis_request(line.now)
    parameters: Any = tool.parameters
    assert list(parameters["properties"]) == ["summary"]
    assert "not recorded" not in instructions


def test_analysis_is_wanted_while_its_guard_holds() -> None:
    line = Line(flow(Analysis(when=it.mode == "pickup")))
    assert not line.engine.analysis_wanted
    line.tell("pickup please", mode="pickup")
    assert line.engine.analysis_wanted
    plain = Line(replace(flow(), report=Report()))
    assert not plain.engine.analysis_wanted
    with pytest.raises(ValueError, match="wants no analysis"):
        plain.engine.analysis_request(0.0)


# ---- the answer -----------------------------------------------------------------------------------------------------


def test_answer_is_read() -> None:
    made = read(json.dumps({"summary": "  They want \n food. ", "said": said(people=(4, "four"))}))
    assert made.summary == "They want food."
    assert made.said == said(people=(4, "four"))
    assert read('{"summary": "x", "said": null}').said == {}
    assert len(read(json.dumps({"summary": "x" * 5000})).summary) == LONGEST_SUMMARY


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ('{"summary": NaN}', "not valid JSON"),
        ('{"summary": "\\ud800"}', "not valid JSON"),
        ("[" * 5000, "not valid JSON"),
        ("[]", "no JSON object"),
        ("{}", "no summary"),
        ('{"summary": " "}', "no summary"),
        ('{"summary": 5}', "no summary"),
        ('{"summary": "x", "said": [1]}', "what was said is no JSON object"),
        (json.dumps({"summary": "x" * LONGEST_ANSWER}), "too long"),
    ],
)
def test_nonsense_is_told_in_words(arguments: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read(arguments)


# ---- what holds of it -----------------------------------------------------------------------------------------------


def test_what_was_said_is_filled_with_its_turn() -> None:
    line = over()
    effects = told(line, people=(4, "For four people"), mode=("pickup", "I would like something to eat"))
    assert written(effects) == [
        ObservationFilled("mode", "pickup", "I would like something to eat", 1, "confirmed", 1.0),
        ObservationFilled("people", 4, "For four people", 2, "confirmed", 1.0),
    ]


def test_nothing_moves_by_what_is_filled() -> None:
    line = over()
    before = (line.phase, line.known, line.engine.progress(), line.engine.outcome(), line.engine.missing())
    effects = told(line, people=(4, "For four people"), mode=("pickup", "something to eat"))
    assert set(kinds(effects)) == {"ObservationFilled"}
    after = (line.phase, line.known, line.engine.progress(), line.engine.outcome(), line.engine.missing())
    assert after == before
    assert before[3] == "incomplete"
    assert "twice" not in line.known


@pytest.mark.parametrize(
    ("name", "proposal", "problem"),
    [
        ("people", {"value": 9, "quote": "there will be nine of us"}, "did not say that"),
        ("people", {"value": "four", "quote": "For four people"}, "valid integer"),
        ("people", {"value": 40, "quote": "For four people"}, "less than or equal to 20"),
        ("people", {"value": 7, "quote": "For four people"}, "no table for seven"),
        ("people", {"value": 4}, "a quote of the caller's own words is missing"),
        ("people", {"value": 4, "quote": "  "}, "a quote of the caller's own words is missing"),
        ("people", {"quote": "For four people"}, "the value is missing"),
        ("people", 4, "the value is missing"),
        ("people", None, "the value is missing"),
        ("twice", {"value": 8, "quote": "For four people"}, "not to be filled"),
        ("phone", {"value": "1", "quote": "For four people"}, "not empty"),
        ("seats", {"value": 4, "quote": "For four people"}, "there is no such field"),
    ],
)
def test_what_does_not_hold_is_dropped_with_a_reason(name: str, proposal: Any, problem: str) -> None:
    line = over()
    effects = line.take(AnalysisCame({name: proposal}))
    assert filled(effects) == {}
    assert problem in refused(effects)[name]
    assert line.engine.status("people") == "unasked"


def test_declined_field_stays_declined() -> None:
    line = over()
    line.tell("Pickup it is.", mode="pickup")
    line.call("record", {"note": {"declined": True, "quote": "please ring twice"}})
    assert filled(told(line, note=("ring twice", "please ring twice"))) == {}
    assert line.engine.status("note") == "refused"


def test_field_that_is_not_needed_stays_empty() -> None:
    line = over()
    line.say("Bring it to Mill Lane, no, I shall fetch it.")
    effects = told(line, street=("Mill Lane", "Bring it to Mill Lane"), mode=("pickup", "I shall fetch it"))
    assert filled(effects) == {"mode": "pickup"}
    assert "street" in refused(effects)
    assert line.engine.status("street") == "not_needed"


def test_flow_that_fills_nothing_takes_nothing() -> None:
    line = Line(flow(Analysis(fill=False)))
    line.say("For four people.")
    assert filled(told(line, people=(4, "For four people"))) == {}


def test_answer_that_nobody_asked_for_changes_nothing() -> None:
    line = Line(replace(flow(), report=Report()))
    line.say("For four people.")
    assert told(line, people=(4, "For four people")) == []


def test_quote_without_any_transcript_is_unverifiable() -> None:
    line = Line(flow())
    line.turn()
    line.miss()
    [entry] = written(told(line, people=(4, "for four")))
    assert isinstance(entry, ObservationFilled)
    assert (entry.state, entry.score, entry.turn) == ("unverifiable", None, 1)


def test_turn_that_was_not_understood_may_hold_the_quote() -> None:
    line = over()
    line.turn()
    line.miss()
    [entry] = written(told(line, people=(9, "nine of us")))
    assert isinstance(entry, ObservationFilled)
    assert entry.state == "unverifiable"


def test_words_of_long_ago_are_found() -> None:
    line = Line(flow())
    line.say("For four people, and please ring twice.")
    for number in range(60):
        line.say(f"By the way, I was thinking about {number} other things and the weather.")
    assert filled(told(line, people=(4, "For four people"))) == {"people": 4}
    assert weigh_anywhere("For four people", line.engine.state)[:2] == (1, "confirmed")


def test_quote_is_weighed_in_a_bounded_number_of_places() -> None:
    line = Line(flow())
    for number in range(5 * LIKELIEST):
        line.say(f"I have got {number} things to say")
    assert weigh_anywhere("my grandmother lives in Patagonia", line.engine.state)[1] == "contradicted"


def test_transcripts_are_forgotten_where_no_analysis_needs_them() -> None:
    for report, kept in (
        (Report(), 13),
        (Report(analysis=Analysis(fill=False)), 13),
        (Report(analysis=Analysis()), 40),
    ):
        line = Line(replace(flow(), report=report))
        for _ in range(40):
            line.say("Hm.")
        assert len(line.engine.state.transcripts) == kept


def test_what_is_filled_is_restored() -> None:
    line = over()
    told(line, people=(4, "For four people"))
    again = restored(line)
    assert again.state == line.engine.state
    assert again.state.filled["people"].value == 4
    assert again.status("people") == "filled"


# ---- a model that lies ----------------------------------------------------------------------------------------------


@given(clean_random_flows(), st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_liar_fills_nothing_that_nobody_said(made: Flow, seed: int) -> None:
    chance = random.Random(seed)
    made = replace(made, report=Report(analysis=Analysis()))
    line = Line(made)
    spoken = [chance.choice(("two of them please", "my name is Ada", "milk and nuts", "Via Roma")) for _ in range(4)]
    for words in spoken:
        line.say(words)
    liar = Liar(made, seed)
    for _ in range(10):
        context = Context(tools=({"name": "record"},), tool_choice="function:record", out_of_band=True)
        for output in obey(liar.respond(context), context):
            if isinstance(output, Calls) and not isinstance(output.arguments, str):
                before = line.engine.known
                effects = line.take(AnalysisCame(dict(output.arguments)))  # type: ignore[arg-type] # as a liar writes it
                assert set(kinds(effects)) <= {"ObservationFilled", "ProposalRefused"}
                assert line.engine.known == before
                for entry in written(effects):
                    if isinstance(entry, ObservationFilled):
                        assert entry.quote in (*spoken, "hello") and entry.state == "confirmed"
