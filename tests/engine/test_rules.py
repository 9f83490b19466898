"""What holds in every phase: noticed by the model with a quote, or by a key that needs no model."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.line import Line, answer, entered, kinds, notes, outputs, quoting, refusal, restored, spoken, written
from voicebot.engine.entries import ProposalRefused, RuleApplied
from voicebot.engine.events import Close, KeyPressed
from voicebot.flow import Flow, HangUp, Key, Observations, Phase, Rule, Say, To, ask, it

HUMAN = "I want to talk to a human being"
WEATHER = "what is the weather like in Rome today"


class Order(Observations):
    dish: str = ask("a dish")
    member: bool = ask("whether they are a member")


NOTICE = Say("I can only take orders.", name="notice")
FLOW = Flow(
    goal="g",
    observations=Order,
    rules=(
        Rule("human", when="the caller asks for a human being", then=To("human")),
        Rule("off_topic", when="the caller speaks of something else", then=Say("I can only take orders.")),
        Rule("abuse", when="the caller is abusive", then=HangUp()),
        Rule("lounge", when="the caller asks for the lounge", then=To("lounge", when=it.member.yes)),
        Rule("zero", when=Key("0"), then=To("human")),
        Rule("hash", when=Key("#"), then=Say("Press zero for a human being.")),
        Rule("star", when=Key("*"), then=HangUp()),
        Rule("nine", when=Key("9"), then=To("lounge", when=it.member.yes)),
    ),
    phases=(
        Phase("order", observations=("dish", "member"), transitions=(To("bye"),)),
        Phase("human", must_say=(NOTICE,), observations=("member",), transitions=(To("bye"),)),
        Phase("lounge", observations=("dish",), transitions=(To("bye"),)),
        Phase("bye", end=HangUp()),
    ),
)


def talking(words: str = HUMAN) -> Line:
    line = Line(FLOW)
    line.say(words)
    line.effects.clear()
    return line


def apply(line: Line, rule: object, quote: object = HUMAN) -> Any:
    return line.call("apply_rule", {"rule": rule, "quote": quote})


# ---- in words -----------------------------------------------------------------------------------------------------


def test_rule_leads_to_its_phase() -> None:
    line = talking()
    effects = apply(line, "human")
    assert kinds(effects)[:4] == ["Answer", "RuleApplied", "PhaseEntered", "ConfigurePhase"]
    assert written(effects)[0] == RuleApplied("human", HUMAN, 1)
    assert entered(effects) == [("human", "rule")]
    assert "new instructions" in answer(effects)["done"]
    assert restored(line).state == line.engine.state


def test_rule_may_lead_to_a_phase_that_must_say_something() -> None:
    assert spoken(apply(talking(), "human")) == ["I can only take orders."]


def test_rule_may_have_exact_words_said_and_the_call_stays() -> None:
    line = talking(WEATHER)
    effects = apply(line, "off_topic", WEATHER)
    assert kinds(effects) == ["Answer", "RuleApplied", "SpeakExactly"]
    assert "said for you" in answer(effects)["done"]
    assert line.phase == "order"


def test_rule_may_end_the_call() -> None:
    effects = apply(talking(), "abuse")
    assert kinds(effects) == ["Answer", "RuleApplied", "ClosingBegan", "Close"]
    assert isinstance(effects[-1], Close)
    assert effects[-1].reason == "caller_finished"


def test_rule_to_an_end_closes_the_call() -> None:
    flow = Flow(
        goal="g",
        observations=Order,
        rules=(Rule("stop", when="the caller wants to stop", then=To("bye")),),
        phases=(Phase("order", observations=("dish",)), Phase("bye", end=HangUp())),
    )
    line = Line(flow)
    line.say(HUMAN)
    assert kinds(apply(line, "stop"))[-2:] == ["ClosingBegan", "Close"]
    assert "apply_rule" not in line.offered()


def test_guarded_rule_waits_for_its_guard() -> None:
    line = talking()
    assert "not possible yet" in refusal(apply(line, "lounge"))
    line.record(HUMAN, member=False)
    assert "not possible yet" in refusal(apply(line, "lounge"))
    line.record(HUMAN, member=True)
    assert entered(apply(line, "lounge")) == [("lounge", "rule")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rule": "zero", "quote": HUMAN}, "rule must be one of: human, off_topic, abuse, lounge"),
        ({"rule": "nothing", "quote": HUMAN}, "rule must be one of"),
        ({"rule": None, "quote": HUMAN}, "rule must be one of"),
        ({"rule": ["human"], "quote": HUMAN}, "rule must be one of"),
        ({}, "rule must be one of"),
        ({"rule": "human"}, "a quote of the caller's own words is missing"),
        ({"rule": "human", "quote": " "}, "a quote"),
        ({"rule": "human", "quote": "get me your manager this minute"}, "the caller did not say that"),
        ("[]", "must be a JSON object"),
    ],
)
def test_rule_that_cannot_be_applied_is_refused(arguments: object, words: str) -> None:
    line = talking()
    assert words in refusal(line.call("apply_rule", arguments))
    assert line.phase == "order"


def test_no_rule_in_words_before_the_caller_has_spoken() -> None:
    assert "not said anything yet" in refusal(apply(Line(FLOW), "human"))


def test_rules_in_words_are_offered_where_they_lead_elsewhere() -> None:
    line = talking()

    def offered() -> list[str]:
        (offer,) = [offer for offer in line.engine.tools() if offer.name == "apply_rule"]
        properties: Any = offer.parameters["properties"]
        return list(properties["rule"]["enum"])

    assert offered() == ["human", "off_topic", "abuse", "lounge"]
    apply(line, "human")
    assert offered() == ["off_topic", "abuse", "lounge"]


def test_rule_is_not_offered_where_none_is_left() -> None:
    flow = Flow(
        goal="g",
        observations=Order,
        rules=(Rule("again", when="the caller wants to begin again", then=To("order")),),
        phases=(Phase("order", observations=("dish",)),),
    )
    line = Line(flow)
    line.say(HUMAN)
    assert "apply_rule" not in line.offered()
    assert "not available now" in refusal(apply(line, "again"))


def test_rule_beside_a_record_is_applied_where_that_led() -> None:
    line = talking()
    effects = line.together(("apply_rule", {"rule": "human", "quote": HUMAN}), ("record", quoting(HUMAN, dish="soup")))
    assert line.known == {"dish": "soup"}
    assert line.phase == "human"
    assert set(outputs(effects)) == {"call-1", "call-2"}


def test_rule_is_not_applied_twice_in_one_response() -> None:
    line = talking()
    call = ("apply_rule", {"rule": "human", "quote": HUMAN})
    effects = line.together(call, call)
    assert entered(effects) == [("human", "rule")]
    assert "rule must be one of: off_topic" in outputs(effects)["call-2"]["refused"]


def test_rule_is_refused_once_the_call_ends() -> None:
    line = talking()
    effects = line.together(("end_call", {"reason": "wrong_number"}), ("apply_rule", {"rule": "human", "quote": HUMAN}))
    assert outputs(effects)["call-2"] == {"refused": "the call is ending"}
    assert line.phase == "order"


# ---- by key -------------------------------------------------------------------------------------------------------


def test_key_leads_to_its_phase_without_the_model() -> None:
    line = Line(FLOW)
    effects = line.take(KeyPressed("0"))
    assert kinds(effects)[:4] == ["RuleApplied", "PhaseEntered", "ConfigurePhase", "AskReply"]
    assert written(effects)[0] == RuleApplied("zero", "", 0)
    assert notes(effects) == ["The caller pressed 0."]
    assert spoken(effects) == ["I can only take orders."]
    assert restored(line).state == line.engine.state


def test_key_may_have_exact_words_said() -> None:
    line = talking()
    effects = line.take(KeyPressed("#"))
    assert spoken(effects) == ["Press zero for a human being."]
    assert line.phase == "order"


def test_key_may_end_the_call() -> None:
    effects = talking().take(KeyPressed("*"))
    assert kinds(effects) == ["RuleApplied", "ClosingBegan", "Close"]


def test_key_of_a_guarded_rule_waits_for_its_guard() -> None:
    line = talking()
    assert line.take(KeyPressed("9")) == []
    line.record(HUMAN, member=True)
    assert entered(line.take(KeyPressed("9"))) == [("lounge", "rule")]


@pytest.mark.parametrize("digit", ["1", "A", ""])
def test_key_without_a_rule_does_nothing(digit: str) -> None:
    assert talking().take(KeyPressed(digit)) == []


def test_key_does_nothing_where_its_rule_leads() -> None:
    line = talking()
    line.take(KeyPressed("0"))
    assert line.take(KeyPressed("0")) == []


def test_key_does_nothing_during_the_goodbye() -> None:
    line = talking()
    line.call("end_call", {"reason": "wrong_number"})
    assert line.take(KeyPressed("0")) == []
    assert line.phase == "order"


def test_key_beside_several_rules_takes_its_own() -> None:
    line = talking()
    line.take(KeyPressed("0"))
    assert [entry.rule for entry in line.entries if isinstance(entry, RuleApplied)] == ["zero"]
    assert not any(isinstance(entry, ProposalRefused) for entry in line.entries)
