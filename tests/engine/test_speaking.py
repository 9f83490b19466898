"""The language of a call: asked for, refused, detected, and what is said in it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.line import Line, answer, kinds, refusal, restored, spoken, written
from voicebot.engine.entries import LanguageSwitched, ProposalRefused
from voicebot.engine.events import Close, ConfigurePhase, KeyPressed, SilenceLasted
from voicebot.flow import (
    After,
    AskAgain,
    Flow,
    Keypad,
    Limits,
    Observations,
    Phase,
    Rule,
    Say,
    To,
    Transfer,
    ask,
    heard,
)
from voicebot.flow.targets import Number

ITALIAN = "Buonasera, vorrei ordinare una pizza, per favore."
ENGLISH = "I would like to have that in English, please."
ASKS = "Possiamo parlare in italiano, per favore?"
PRICE = {"en": "The price is {size} euro.", "it": "Il prezzo è di {size} euro."}


class Order(Observations):
    size: int = ask("the size")
    card: str = ask("the card", secret=True, keypad=Keypad(prompt={"en": "Your card, please.", "it": "La sua carta."}))


def flow(**given: Any) -> Flow:
    return Flow(
        **{
            "goal": "g",
            "languages": ["en", "it", "de"],
            "observations": Order,
            "opening": {"en": "Hello.", "it": "Buonasera."},
            "rules": [
                Rule("weather", when="the weather", then=Say({"en": "It is warm.", "it": "Fa caldo."})),
            ],
            "limits": Limits(
                silence=[
                    After("5s", AskAgain({"en": "Still there?", "it": "È in linea?"})),
                    After("9s", AskAgain("Hello?")),
                ]
            ),
            "targets": {"desk": Number("+15550100199")},
            "phases": [
                Phase(
                    "order",
                    observations=["size"],
                    must_say=[Say(PRICE, name="price")],
                    success_criteria=[heard("price")],
                    transitions=[To("pay")],
                ),
                Phase("pay", observations=["card"], transitions=[To("desk")]),
                Phase("desk", end=Transfer("desk", say={"en": "I connect you.", "it": "La metto in contatto."})),
            ],
            **given,
        }
    )


def talking(*said: str, **given: Any) -> Line:
    line = Line(flow(**given))
    for text in said:
        line.say(text)
    line.effects.clear()
    return line


def switch(line: Line, language: object = "it", quote: object = ASKS) -> Any:
    return line.call("switch_language", {"language": language, "quote": quote})


def rule_of(line: Line) -> str:
    return next(row for row in line.engine.instructions(line.now).splitlines() if row.startswith("- Speak"))


# ---- on request -----------------------------------------------------------------------------------------------------


def test_call_begins_in_the_first_language() -> None:
    line = Line(flow())
    assert spoken(line.effects) == ["Hello."]
    assert line.engine.language == "en"
    assert rule_of(line).startswith("- Speak English. If the caller asks for Italian or German")


def test_caller_gets_the_language_they_ask_for() -> None:
    line = talking(ASKS)
    effects = switch(line)
    assert kinds(effects) == ["Answer", "LanguageSwitched", "ConfigurePhase"]
    assert written(effects) == [LanguageSwitched("it", "en", "request", ASKS, 1)]
    assert answer(effects)["language"] == "it"
    assert rule_of(line).startswith("- Speak Italian. If the caller asks for English or German")
    assert restored(line).state == line.engine.state


def test_way_to_switch_names_the_other_languages() -> None:
    line = talking(ASKS)
    switch(line)
    [offered] = [tool for tool in line.engine.tools() if tool.name == "switch_language"]
    assert offered.parameters["properties"]["language"]["enum"] == ["en", "de"]  # type: ignore[index]


def test_flow_of_one_language_offers_no_switch() -> None:
    assert "switch_language" not in talking(ASKS, languages=["en"]).offered()


@pytest.mark.parametrize(
    ("language", "quote", "why"),
    [
        ("fr", ASKS, "one of: it, de; go on in en"),
        ("en", ASKS, "one of: it, de"),
        (["it"], ASKS, "one of: it, de"),
        (None, ASKS, "one of: it, de"),
        ("it", "", "quote"),
        ("it", "parliamo tedesco domani mattina alle nove", "did not say that"),
    ],
)
def test_switch_that_does_not_hold_is_refused(language: object, quote: object, why: str) -> None:
    line = talking(ASKS)
    effects = switch(line, language, quote)
    assert why in refusal(effects)
    assert [type(entry) for entry in written(effects)] == [ProposalRefused]
    assert line.engine.language == "en"


def test_nobody_switches_before_the_caller_has_spoken() -> None:
    assert "not said anything" in refusal(switch(talking()))


def test_one_turn_switches_once() -> None:
    line = talking(ASKS)
    switch(line)
    assert "asked for it" in refusal(switch(line, "de"))
    line.say(ENGLISH)
    switch(line, "en", ENGLISH)
    assert line.engine.language == "en"


# ---- by detection ---------------------------------------------------------------------------------------------------


def test_language_that_is_heard_twice_is_gone_on_in() -> None:
    line = talking(ITALIAN)
    assert line.engine.language == "en"
    line.turn()
    effects = line.hear("Vorrei anche una birra, e poi il conto.")
    assert LanguageSwitched("it", "en", "detection", "", 2) in written(effects)
    assert ConfigurePhase() in effects
    assert line.engine.language == "it"
    assert restored(line).state == line.engine.state


def test_mixed_turns_never_flap() -> None:
    line = talking(*[ITALIAN, ENGLISH] * 6)
    assert line.engine.state.switched is None


def test_language_that_was_heard_can_be_left_again() -> None:
    line = talking(ITALIAN, ITALIAN, ENGLISH)
    assert line.engine.language == "it"
    line.say(ENGLISH)
    assert line.engine.language == "en"


def test_what_the_caller_asked_for_is_not_changed_by_what_they_speak() -> None:
    line = talking(ASKS)
    switch(line)
    for _ in range(5):
        line.say(ENGLISH)
    assert line.engine.language == "it"


def test_language_that_the_flow_has_not_is_not_detected() -> None:
    assert talking(*["Je voudrais une table pour deux, s'il vous plaît."] * 4).engine.language == "en"


# ---- what is said in it ---------------------------------------------------------------------------------------------


def italian(**given: Any) -> Line:
    line = talking(ASKS, **given)
    switch(line)
    line.effects.clear()
    return line


def test_exact_words_are_in_the_language_of_the_call() -> None:
    line = italian()
    line.say("Dodici.")
    line.record("Dodici", size=12)
    assert spoken(line.effects) == ["Il prezzo è di 12 euro."]
    line.effects.clear()
    line.heard("price")
    assert spoken(line.effects) == ["La sua carta."]
    assert "Il prezzo è di {size} euro." not in line.engine.instructions(line.now)
    assert spoken(line.call("apply_rule", {"rule": "weather", "quote": "Dodici"})) == ["Fa caldo."]


def test_statement_that_must_be_said_stands_in_the_prompt_in_the_language_of_the_call() -> None:
    assert "- Il prezzo è di {size} euro." in italian().engine.instructions(100.0)


def test_statement_that_was_heard_in_one_language_is_not_said_in_another() -> None:
    line = talking(ASKS)
    line.record("parlare", size=12)
    assert spoken(line.effects) == ["The price is 12 euro."]
    switch(line)
    line.effects.clear()
    line.heard("price")
    assert line.phase == "pay"


def test_statement_that_was_cut_is_said_again_in_the_new_language() -> None:
    line = talking(ASKS)
    line.record("parlare", size=12)
    switch(line)
    line.heard("price", complete=False)
    line.effects.clear()
    line.say("Scusi?")
    assert spoken(line.effects) == ["Il prezzo è di 12 euro."]


def test_silence_is_broken_in_the_language_of_the_call() -> None:
    line = italian()
    assert spoken(line.take(SilenceLasted(0))) == ["È in linea?"]
    effects = line.take(SilenceLasted(1))  # there are no words for it in Italian: the model finds them
    assert (spoken(effects), kinds(effects)) == ([], ["SilenceNoticed", "AskReply"])


def test_words_before_a_transfer_are_in_the_language_of_the_call() -> None:
    line = italian()
    line.record("parlare", size=12)
    line.heard("price")
    for key in "4111#":
        line.take(KeyPressed(key))
    [closed] = [effect for effect in line.effects if isinstance(effect, Close)]
    assert closed.words is not None
    assert closed.words.text == "La metto in contatto."


def test_call_that_ends_switches_no_more() -> None:
    line = talking(ASKS)
    line.call("end_call", {"reason": "caller_wants_to_stop"})
    assert "switch_language" not in line.offered()
    assert line.engine.language == "en"
    assert not [entry for entry in line.entries if isinstance(entry, LanguageSwitched)]
