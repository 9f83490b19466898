"""Criteria in words: the model judges, quoting the caller; the engine decides what follows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.line import Line, answer, entered, notes, outputs, quoting, refusal, restored, weighings, written
from voicebot.engine.entries import JudgementMade
from voicebot.flow import Flow, HangUp, Observations, Phase, To, ask, it, judged

SURE = "the caller sounded sure"
ANGRY = "the caller is angry"
YES = "yes absolutely, go ahead"
HM = "well I suppose so, perhaps"
ELSEWHERE = "what is the weather like in Rome today"


class Offer(Observations):
    accepted: bool = ask("an explicit yes")
    note: str = ask("a note", optional=True)


def flow(*phases: Phase) -> Flow:
    return Flow(goal="g", observations=Offer, phases=(*phases, Phase("bye", end=HangUp())))


CONFIRM = flow(
    Phase(
        "confirm",
        observations=("accepted",),
        success_criteria=(it.accepted.yes, judged(SURE)),
        transitions=(To("calm", when=judged(ANGRY)), To("note")),
    ),
    Phase("calm", observations=("note",), success_criteria=(it.note.filled,), transitions=(To("bye"),)),
    Phase("note", observations=("note",), success_criteria=(it.note.filled,), transitions=(To("bye"),)),
)


def verdict(holds: object = True, quote: object = YES, criterion: object = SURE) -> dict[str, object]:
    return {"criterion": criterion, "holds": holds, "quote": quote}


def heard(text: str = YES, of: Flow = CONFIRM) -> Line:
    line = Line(of)
    line.say(text)
    line.effects.clear()
    return line


def test_phase_is_done_once_its_criteria_are_judged_to_hold() -> None:
    line = heard()
    line.record(YES, accepted=True)
    assert line.phase == "confirm"
    effects = line.call("judge", verdict())
    assert written(effects)[0] == JudgementMade(SURE, True, YES, 1)
    assert answer(effects) == {"noted": True, "next": "This part is complete. Go on with the new instructions."}
    assert line.phase == "note"
    assert restored(line).state == line.engine.state


def test_verdict_that_it_does_not_hold_leaves_the_phase() -> None:
    line = heard(HM)
    line.record(HM, accepted=True)
    assert answer(line.call("judge", verdict(False, HM))) == {
        "noted": False,
        "still_missing": [],
        "not_yet": ["judged('the caller sounded sure')"],
    }
    assert line.phase == "confirm"


def test_verdict_may_be_changed() -> None:
    line = heard(HM)
    line.record(HM, accepted=True)
    line.call("judge", verdict(False, HM))
    line.say(YES)
    line.call("judge", verdict(True, YES))
    assert line.phase == "note"


def test_verdict_and_record_of_one_response_are_decided_together() -> None:
    for calls in (("judge", "record"), ("record", "judge")):
        line = heard()
        arguments = {"judge": verdict(), "record": quoting(YES, accepted=True)}
        effects = line.together(*((name, arguments[name]) for name in calls))
        assert entered(effects) == [("note", "criteria")]
        assert all("next" in told for told in outputs(effects).values())


def test_guard_in_words_chooses_the_way() -> None:
    line = heard()
    line.together(("judge", verdict()), ("judge", verdict(criterion=ANGRY)), ("record", quoting(YES, accepted=True)))
    assert line.phase == "calm"


@pytest.mark.parametrize(
    ("criterion", "judgement", "done"),
    [
        (judged(SURE), None, False),
        (~judged(SURE), None, False),
        (~judged(SURE), False, True),
        (~judged(SURE), True, False),
        (judged(SURE) | it.accepted.yes, None, True),
        (judged(SURE) & it.accepted.yes, None, False),
        (judged(SURE) & it.accepted.yes, True, True),
    ],
    ids=repr,
)
def test_unjudged_criterion_holds_neither_way(criterion: Any, judgement: bool | None, done: bool) -> None:
    line = heard(
        of=flow(
            Phase("a", observations=("accepted",), success_criteria=(criterion,), transitions=(To("b"),)),
            Phase("b", observations=("note",), success_criteria=(it.note.filled,)),
        )
    )
    if judgement is not None:
        line.call("judge", verdict(judgement))
    line.record(YES, accepted=True)
    assert (line.phase == "b") is done


def test_criteria_of_the_phase_are_offered_and_told() -> None:
    line = heard()
    (judge,) = [offer for offer in line.engine.tools() if offer.name == "judge"]
    properties: Any = judge.parameters["properties"]
    assert properties["criterion"]["enum"] == [SURE, ANGRY]
    assert f"# To judge with `judge`\n- {SURE}\n- {ANGRY}" in line.engine.instructions(line.now)
    line.record(YES, accepted=True)
    line.call("judge", verdict())
    assert "judge" not in line.offered()
    assert "To judge" not in line.engine.instructions(line.now)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, f"criterion must be one of: {SURE}; {ANGRY}"),
        (verdict(criterion="the caller is tall"), "criterion must be one of"),
        (verdict(criterion=None), "criterion must be one of"),
        (verdict(criterion=[SURE]), "criterion must be one of"),
        (verdict(criterion=f"{SURE} "), "criterion must be one of"),
        (verdict("true"), "holds must be true or false"),
        (verdict(1), "holds must be true or false"),
        (verdict(None), "holds must be true or false"),
        (verdict(quote=""), "a quote of the caller's own words is missing"),
        (verdict(quote=None), "a quote"),
        (verdict(quote="I could not be more certain of it"), "the caller did not say that"),
        ("[]", "must be a JSON object"),
        ("{", "not valid JSON"),
    ],
)
def test_judgement_that_cannot_be_is_refused(arguments: object, words: str) -> None:
    line = heard()
    assert words in refusal(line.call("judge", arguments))
    assert line.engine.state.verdicts == {}


def test_nothing_is_judged_before_the_caller_has_spoken() -> None:
    assert "not said anything yet" in refusal(Line(CONFIRM).call("judge", verdict()))


def test_judgement_is_refused_where_nothing_is_to_be_judged() -> None:
    line = heard(of=flow(Phase("a", observations=("accepted",))))
    assert "not available now" in refusal(line.call("judge", verdict()))


def test_criterion_of_another_phase_is_refused() -> None:
    line = heard()
    line.record(YES, accepted=True)
    line.call("judge", verdict())
    assert "not available now" in refusal(line.call("judge", verdict()))


def test_white_space_of_a_criterion_does_not_count() -> None:
    line = heard(of=flow(Phase("a", success_criteria=(judged("  the caller\n sounded   sure "),), transitions=())))
    assert answer(line.call("judge", verdict()))["noted"] is True


# ---- evidence -----------------------------------------------------------------------------------------------------


def provisional() -> Line:
    """The phase was left on a verdict whose transcript is still to come."""
    line = Line(CONFIRM)
    line.turn()
    line.together(("record", quoting(YES, accepted=True)), ("judge", verdict()))
    assert line.phase == "note"
    return line


def test_verdict_is_confirmed_by_the_transcript() -> None:
    line = provisional()
    assert weighings(line.hear(YES)) == [("accepted", "value", "confirmed"), (SURE, "verdict", "confirmed")]
    assert line.engine.state.verdicts[SURE].quote.score == 1.0
    assert line.phase == "note"


def test_verdict_on_words_that_nobody_said_is_dropped() -> None:
    line = Line(CONFIRM)
    line.turn()
    line.together(("record", quoting(HM, accepted=True)), ("judge", verdict(quote="I could not be more certain")))
    assert line.phase == "note"
    effects = line.hear(HM)
    assert weighings(effects) == [("accepted", "value", "confirmed"), (SURE, "verdict", "contradicted")]
    assert line.engine.state.verdicts == {}
    assert entered(effects) == [("confirm", "correction")]
    assert SURE in notes(effects)[0]
    assert restored(line).state == line.engine.state


def test_verdict_is_unverifiable_without_a_transcript() -> None:
    line = provisional()
    line.miss()
    assert line.engine.state.verdicts[SURE].quote.state == "unverifiable"
    assert line.phase == "note"


def test_verdict_after_its_transcript_is_weighed_at_once() -> None:
    line = heard()
    assert weighings(line.call("judge", verdict())) == [(SURE, "verdict", "confirmed")]


def test_verdict_on_earlier_words_may_stand() -> None:
    line = heard()
    line.say(ELSEWHERE)
    line.call("judge", verdict())
    assert line.engine.state.verdicts[SURE].quote.state == "confirmed"
