"""What a call may cost: words first, then the flow's way out, once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.line import Line, entered, kinds, restored, spoken, written
from voicebot.engine.entries import ClosingBegan, CostReached
from voicebot.engine.events import Close, MoneySpent
from voicebot.engine.spending import words_of_cost
from voicebot.flow import Flow, HangUp, Limits, Observations, Phase, Say, To, ask


class Order(Observations):
    dish: str = ask("a dish")


def line(language: str = "en", **limits: Any) -> Line:
    made = Line(
        Flow(
            goal="g",
            languages=[language],
            observations=Order,
            limits=Limits(**{"cost_usd": 1.5, **limits}),
            phases=[
                Phase("order", observations=["dish"], transitions=[To("bye")]),
                Phase("short", instructions="Only the name."),
                Phase("bye", instructions="Say goodbye.", end=HangUp()),
            ],
        )
    )
    made.effects.clear()
    return made


def test_call_goes_on_below_what_it_may_cost() -> None:
    assert line().take(MoneySpent(1.4999)) == []


def test_flow_without_a_bound_counts_nothing() -> None:
    assert line(cost_usd=None).take(MoneySpent(1000.0)) == []


def test_call_that_costs_too_much_ends_with_exact_words() -> None:
    call = line()
    effects = call.take(MoneySpent(1.5))
    assert written(effects) == [CostReached(1.5), ClosingBegan("cost_limit")]
    assert isinstance(effects[-1], Close)
    assert effects[-1].words is not None
    assert effects[-1].words.text == "I am sorry, I have to end our call here. Thank you, and goodbye."
    assert call.take(MoneySpent(1.6)) == []
    assert restored(call).state == call.engine.state


def test_flow_may_have_words_of_its_own() -> None:
    effects = line(cost_say="That was it.").take(MoneySpent(2.0))
    assert isinstance(effects[-1], Close)
    assert effects[-1].words == Say("That was it.")


def test_way_out_is_taken_after_the_words() -> None:
    call = line(cost_way=To("short"))
    effects = call.take(MoneySpent(2.0))
    assert kinds(effects) == ["CostReached", "SpeakExactly", "PhaseEntered", "ConfigurePhase", "AskReply"]
    assert spoken(effects) == ["I am sorry, we have to come to an end now."]
    assert entered(effects) == [("short", "cost")]
    assert call.take(MoneySpent(9.0)) == []  # once
    assert restored(call).state == call.engine.state


def test_way_out_to_an_end_says_why_the_call_ended() -> None:
    call = line(cost_way=To("bye"))
    effects = call.take(MoneySpent(2.0))
    assert ClosingBegan("cost_limit") in written(effects)


def test_way_out_that_leads_here_is_only_written_down() -> None:
    call = line(cost_way=To("order"))
    assert written(call.take(MoneySpent(2.0))) == [CostReached(2.0)]


def test_call_that_ends_is_not_ended_again() -> None:
    call = line()
    call.say("bye")
    call.call("end_call", {"reason": "caller_wants_to_stop"})
    assert call.take(MoneySpent(2.0)) == []


@pytest.mark.parametrize("language", ["en", "it", "de", "fr", "es", "pt"])
def test_words_are_in_the_language_of_the_call(language: str) -> None:
    for way in (HangUp(), To("short")):
        call = line(language, cost_way=way)
        assert words_of_cost(call.engine.flow, language).language == language


def test_words_are_english_where_we_have_no_others() -> None:
    assert words_of_cost(line("sv").engine.flow, "sv").language == "en"


@pytest.mark.parametrize(
    "given",
    [{"cost_usd": 0.0}, {"cost_usd": -1.0}, {"cost_usd": 2000.0}, {"cost_say": "x"}, {"cost_way": To("bye")}],
)
def test_bound_that_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cost"):
        Limits(**given)
