"""What a quote is worth: provisional until its transcript comes, then confirmed, contradicted or unverifiable."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from tests.engine.line import (
    Line,
    entered,
    kinds,
    notes,
    quoting,
    recorded,
    refusal,
    restored,
    spoken,
    weighings,
    written,
)
from voicebot.engine.entries import (
    CallerSaid,
    CallerUnclear,
    EvidenceWeighed,
    ObservationWithdrawn,
    ProposalRefused,
)
from voicebot.engine.events import CallerTranscribed, EngineEffect, TranscriptMissed
from voicebot.engine.state import EARLIER_TURNS
from voicebot.flow import Flow, HangUp, Observations, Phase, PhoneNumber, Say, To, ask, computed, it, tool

ADA = "my name is Ada Lovelace"
GRACE = "sorry, this is Grace Hopper speaking"
TUESDAY = "next Tuesday would be fine"
ELSEWHERE = "what is the weather like in Rome today"


def letters(name: str) -> int:
    """How long the name is."""
    return len(name)


class Visit(Observations):
    name: str = ask("the caller's name")
    day: str = ask("the day")
    sure: bool = ask("an explicit yes")
    phone: PhoneNumber = ask("a number to call back", default_from="caller")
    length: int = computed(letters)


ONE = Flow(goal="g", observations=Visit, phases=(Phase("a", observations=("name", "day", "sure")),))
THREE = Flow(
    goal="g",
    observations=Visit,
    phases=(
        Phase("a", observations=("name",), transitions=(To("b"),)),
        Phase("b", observations=("day",), transitions=(To("c"),)),
        Phase("c", observations=("sure",), transitions=(To("bye"),)),
        Phase("bye", end=HangUp()),
    ),
)


def claimed(quote: str = ADA, name: str = "Ada Lovelace") -> Line:
    """A call in which the model recorded a name before the transcript of the caller's turn was there."""
    line = Line(ONE)
    line.turn()
    line.record(quote, name=name)
    line.effects.clear()
    return line


def nothing(line: Line) -> list[EngineEffect]:
    return []


WITNESSES: list[tuple[str, Callable[[Line], list[EngineEffect]], str]] = [
    ("nothing came yet", nothing, "provisional"),
    ("the words", lambda line: line.hear(ADA), "confirmed"),
    ("the words among others", lambda line: line.hear(f"well hello, {ADA}, good evening to you"), "confirmed"),
    ("other words", lambda line: line.hear(ELSEWHERE), "withdrawn"),
    ("no words", lambda line: line.hear(""), "unverifiable"),
    ("noise", lambda line: line.hear(" … "), "unverifiable"),
    ("a failure", lambda line: line.miss(), "unverifiable"),
    ("words of nobody's turn", lambda line: line.take(CallerTranscribed("item-99", ELSEWHERE)), "provisional"),
    ("a failure of nobody's turn", lambda line: line.take(TranscriptMissed("item-99", "x")), "provisional"),
]


@pytest.mark.parametrize(("came", "witness", "state"), WITNESSES, ids=[came for came, _, _ in WITNESSES])
def test_transcript_decides_what_a_quote_is_worth(
    came: str, witness: Callable[[Line], list[EngineEffect]], state: str
) -> None:
    line = claimed()
    assert line.evidence("name") == "provisional"
    effects = witness(line)
    if state == "withdrawn":
        assert recorded(effects) == {"name": None, "length": None}
        assert line.engine.status("name") == "unasked"
    else:
        assert line.evidence("name") == state
        assert weighings(effects) == ([] if state == "provisional" else [("name", "value", state)])
    assert restored(line).state == line.engine.state


def test_score_is_told_where_there_was_one() -> None:
    (said, heard) = written(claimed().hear(ADA))
    assert isinstance(said, CallerSaid)
    assert heard == EvidenceWeighed("name", "value", "confirmed", 1.0)
    (unclear, missed) = written(claimed().miss())
    assert unclear == CallerUnclear("item-1", "failed")
    assert missed == EvidenceWeighed("name", "value", "unverifiable", None)


def test_contradicted_value_is_unrecorded_and_asked_again() -> None:
    line = claimed()
    effects = line.hear(ELSEWHERE)
    assert ObservationWithdrawn("name", "contradicted") in written(effects)
    assert kinds(effects)[-2:] == ["ConfigurePhase", "AskReply"]
    (note,) = notes(effects)
    assert "name" in note
    assert "Ask" in note
    assert "earlier part" not in note
    assert "name" in [spec.name for spec in line.engine.missing()]
    assert line.record(ELSEWHERE, name="Rome")["accepted"] == ["name"]
    assert line.evidence("name") == "confirmed"


def test_quote_that_comes_after_its_transcript_is_weighed_at_once() -> None:
    line = Line(ONE)
    line.say(ADA)
    effects = line.call("record", quoting(ADA, name="Ada Lovelace"))
    assert kinds(effects) == ["ObservationRecorded", "EvidenceWeighed", "Answer", "ObservationRecorded"]
    assert line.evidence("name") == "confirmed"


def test_quote_that_comes_after_a_failed_transcript_is_unverifiable_at_once() -> None:
    line = Line(ONE)
    line.turn()
    line.miss()
    line.record(ADA, name="Ada Lovelace")
    assert line.evidence("name") == "unverifiable"


def test_invented_quote_is_refused_at_once_if_the_transcript_is_there() -> None:
    line = Line(ONE)
    line.say(ELSEWHERE)
    told = line.record(ADA, name="Ada Lovelace")
    assert "ask again" in told["refused"]["name"]
    assert ProposalRefused("name", told["refused"]["name"], 1) in line.entries
    assert line.known.get("name") is None


def test_only_what_was_invented_is_refused() -> None:
    line = Line(ONE)
    line.say(ADA)
    told = line.record(ADA, name="Ada Lovelace")
    told = line.record("let us say on Wednesday evening", day="Wednesday")
    assert list(told["refused"]) == ["day"]
    assert set(line.known) == {"name", "length", "phone"}


def test_words_of_an_earlier_turn_bear_out_a_later_record() -> None:
    line = Line(ONE)
    line.say(ADA)
    line.say(TUESDAY)
    assert line.record(ADA, name="Ada Lovelace")["accepted"] == ["name"]
    assert line.evidence("name") == "confirmed"


@pytest.mark.parametrize(("turns_since", "accepted"), [(EARLIER_TURNS, True), (EARLIER_TURNS + 1, False)])
def test_words_of_long_ago_bear_out_nothing(turns_since: int, accepted: bool) -> None:
    line = Line(ONE)
    line.say(ADA)
    for _ in range(turns_since):
        line.say(ELSEWHERE)
    assert (line.record(ADA, name="Ada Lovelace")["accepted"] == ["name"]) is accepted


def test_quote_waits_for_the_transcript_of_its_own_turn() -> None:
    line = Line(ONE)
    line.turn()
    line.turn()
    line.record(TUESDAY, day="Tuesday")
    assert weighings(line.hear(ELSEWHERE, 1)) == []
    assert line.evidence("day") == "provisional"
    assert weighings(line.hear(TUESDAY, 2)) == [("day", "value", "confirmed")]


def test_late_transcript_of_an_earlier_turn_may_settle_it() -> None:
    line = Line(ONE)
    line.turn()
    line.turn()
    line.record(TUESDAY, day="Tuesday")
    assert weighings(line.hear(TUESDAY, 1)) == [("day", "value", "confirmed")]


def test_transcripts_may_come_in_any_order() -> None:
    line = Line(ONE)
    line.turn()
    line.record(ADA, name="Ada Lovelace")
    line.turn()
    line.record(TUESDAY, day="Tuesday")
    assert weighings(line.hear(TUESDAY, 2)) == [("day", "value", "confirmed")]
    assert line.evidence("name") == "provisional"
    assert weighings(line.hear(ADA, 1)) == [("name", "value", "confirmed")]


def test_what_was_settled_stays_settled() -> None:
    line = claimed()
    line.miss()
    assert written(line.hear(ELSEWHERE)) == [CallerSaid("item-1", ELSEWHERE)]
    assert line.evidence("name") == "unverifiable"


def test_unheard_turn_in_between_leaves_a_quote_unverifiable() -> None:
    line = Line(ONE)
    line.turn()
    line.miss()
    line.say(ELSEWHERE)
    line.record(ADA, name="Ada Lovelace")
    assert line.evidence("name") == "unverifiable"


def test_only_the_contradicted_one_of_several_is_withdrawn() -> None:
    line = Line(ONE)
    line.turn()
    line.call("record", {**quoting(ADA, name="Ada Lovelace"), **quoting("on Wednesday evening please", day="Wed")})
    effects = line.hear(ADA)
    assert weighings(effects) == [("name", "value", "confirmed"), ("day", "value", "contradicted")]
    assert set(line.known) == {"name", "length", "phone"}
    (note,) = notes(effects)
    assert "day" in note
    assert "name" not in note


# ---- an earlier value comes back ----------------------------------------------------------------------------------


def test_earlier_value_that_was_borne_out_comes_back() -> None:
    line = Line(ONE)
    line.tell(ADA, name="Ada Lovelace")
    line.turn()
    line.record(GRACE, name="Grace Hopper")
    assert line.known["length"] == len("Grace Hopper")
    line.hear(ELSEWHERE)
    assert line.known["name"] == "Ada Lovelace"
    assert line.known["length"] == len("Ada Lovelace") == 12
    assert line.evidence("name") == "confirmed"
    assert restored(line).state == line.engine.state


def test_value_comes_back_over_several_that_were_not_borne_out() -> None:
    line = Line(ONE)
    line.tell(ADA, name="Ada Lovelace")
    for invented in ("Grace", "Joan"):
        line.turn()
        line.record(f"call me {invented} from now on", name=invented)
    line.hear(ELSEWHERE, 2)
    line.hear(ELSEWHERE, 3)
    assert line.known["name"] == "Ada Lovelace"


def test_value_that_nobody_could_verify_comes_back_too() -> None:
    line = claimed()
    line.hear("")
    line.turn()
    line.record(GRACE, name="Grace Hopper")
    line.hear(ELSEWHERE)
    assert line.known["name"] == "Ada Lovelace"


def test_value_that_was_never_borne_out_does_not_come_back() -> None:
    line = claimed()
    line.turn()
    line.record(GRACE, name="Grace Hopper")
    line.hear(ELSEWHERE, 1)
    line.hear(ELSEWHERE, 2)
    assert "name" not in line.known


def test_default_comes_back() -> None:
    line = Line(ONE)
    line.turn()
    line.record("my number is on the card", phone="+39 06 1234567")
    line.hear(ELSEWHERE)
    assert line.known["phone"] == "+14155550123"


# ---- what needs no transcript -------------------------------------------------------------------------------------


@tool
def look_up() -> str:
    """Look the caller up."""
    return ""


def test_what_the_caller_did_not_say_needs_no_transcript() -> None:
    line = Line(Flow(goal="g", observations=Visit, phases=(Phase("a"),), tools_everywhere=(look_up,)))
    line.turn()
    line.call("look_up")
    line.finish("found", name="Ada")
    line.hear(ELSEWHERE)
    assert {name: (one.kind, one.quote.state) for name, one in line.engine.state.observed.items()} == {
        "phone": ("default", "confirmed"),
        "name": ("tool", "confirmed"),
        "length": ("computed", "confirmed"),
    }


# ---- provisional values steer, contradicted ones steer back -------------------------------------------------------


def test_provisional_value_moves_the_call_on() -> None:
    line = Line(THREE)
    line.turn()
    line.record(ADA, name="Ada Lovelace")
    assert line.phase == "b"
    assert entered(line.hear(ADA)) == []
    assert line.phase == "b"


def test_contradicted_value_moves_the_call_back() -> None:
    line = Line(THREE)
    line.turn()
    line.record(ADA, name="Ada Lovelace")
    effects = line.hear(ELSEWHERE)
    assert entered(effects) == [("a", "correction")]
    (note,) = notes(effects)
    assert "earlier part" in note
    assert line.tell(GRACE, name="Grace Hopper")["next"]
    assert line.path == ["a", "b", "a", "b"]
    assert restored(line).state == line.engine.state


def test_contradicted_value_of_long_ago_moves_the_call_back_and_nothing_is_asked_twice() -> None:
    line = Line(THREE)
    line.turn()
    line.record(ADA, name="Ada Lovelace")
    line.tell(TUESDAY, day="Tuesday")
    assert line.phase == "c"
    assert entered(line.hear(ELSEWHERE, 1)) == [("a", "correction")]
    line.tell(GRACE, name="Grace Hopper")
    assert line.path == ["a", "b", "c", "a", "c"]
    assert line.causes[-1] == "return"
    assert line.known["day"] == "Tuesday"


def test_contradicted_value_that_another_stands_in_for_moves_nothing() -> None:
    line = Line(THREE)
    line.tell(ADA, name="Ada Lovelace")
    line.turn()
    line.record(GRACE, name="Grace Hopper")
    effects = line.hear(ELSEWHERE)
    assert entered(effects) == []
    assert line.phase == "b"
    assert "earlier part" not in notes(effects)[0]


def test_contradiction_during_the_goodbye_only_takes_back() -> None:
    line = Line(THREE)
    line.turn()
    line.record(ADA, name="Ada Lovelace")
    line.call("end_call", {"reason": "caller_wants_to_stop"})
    effects = line.hear(ELSEWHERE)
    assert recorded(effects) == {"name": None, "length": None}
    assert notes(effects) == entered(effects) == []
    assert line.phase == "b"


def test_value_that_leads_to_the_end_is_weighed_during_the_goodbye() -> None:
    line = Line(THREE)
    line.tell(ADA, name="Ada Lovelace")
    line.tell(TUESDAY, day="Tuesday")
    line.turn()
    line.record("yes of course, absolutely", sure=True)
    assert line.engine.state.closing == "completed"
    assert weighings(line.hear("yes of course, absolutely")) == [("sure", "value", "confirmed")]


def price(day: str) -> Decimal:
    """What it costs."""
    return Decimal(len(day))


def test_contradicted_value_unhears_what_quoted_it() -> None:
    class Priced(Observations):
        day: str = ask("the day")
        total: Decimal = computed(price)

    total = Say("That is {total} euro.", name="total")
    phases = (
        Phase("a", observations=("day",), must_say=(total,), transitions=(To("b"),)),
        Phase("b", end=HangUp()),
    )
    line = Line(Flow(goal="g", observations=Priced, phases=phases))
    line.tell(TUESDAY, day="Tuesday")
    line.turn()
    line.record("let us say on Wednesday evening", day="Wednesday")
    line.heard("total", complete=False)
    assert spoken(line.hear(ELSEWHERE)) == ["That is 7 euro."]
    line.heard("total")
    assert line.engine.state.closing == "completed"


# ---- bounds -------------------------------------------------------------------------------------------------------


def test_old_transcripts_are_forgotten() -> None:
    line = Line(ONE)
    for _ in range(60):
        line.say(ELSEWHERE)
    assert len(line.engine.state.transcripts) == 2 * EARLIER_TURNS + 1


@pytest.mark.parametrize("quote", ["", " ", "\n", None, 7])
def test_quote_must_have_words(quote: object) -> None:
    line = Line(ONE)
    line.turn()
    line.call("record", {"name": {"value": "Ada", "quote": quote}})
    assert "name" not in line.known


def test_criterion_over_a_provisional_value_holds() -> None:
    phases = (
        Phase("a", observations=("name", "sure"), success_criteria=(it.sure.yes,), transitions=(To("b"),)),
        Phase("b", observations=("day",)),
    )
    line = Line(Flow(goal="g", observations=Visit, phases=phases))
    line.turn()
    line.record(ADA, name="Ada", sure=True)
    assert line.phase == "b"
    line.miss()
    assert line.phase == "b"


def test_call_that_is_refused_weighs_nothing() -> None:
    line = claimed()
    assert "not valid JSON" in refusal(line.call("record", "{"))
    assert line.evidence("name") == "provisional"
