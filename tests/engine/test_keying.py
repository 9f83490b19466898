"""Keys of the telephone: an answer that is pressed, a secret that nobody reads, a phase's menu, the flow's rules."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import Field

from tests.engine.line import Line, entered, notes, recorded, spoken, written
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import KeysRefused, ObservationRecorded, PhaseEntered
from voicebot.engine.events import CallResumed, EngineEffect, KeepSecret, KeyPressed
from voicebot.flow import (
    Flow,
    HangUp,
    Key,
    Keypad,
    Observations,
    Phase,
    PhaseLimits,
    PhoneNumber,
    Receiver,
    Report,
    Rule,
    To,
    ask,
    it,
)
from voicebot.flow.json_form import flow_from_json, flow_to_json, functions_of

CARD = "4111111111111111"


def passes_luhn(digits: str) -> None:
    """What card numbers hold."""
    odd, even = digits[-1::-2], digits[-2::-2]
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in even)
    if (doubled + sum(map(int, odd))) % 10:
        raise ValueError(f"{digits} is no card")


class Order(Observations):
    name: str = ask("the caller's name")
    number: Annotated[int, Field(ge=1000)] = ask("the customer number", keypad=Keypad(length=4, tries=2))
    phone: PhoneNumber = ask("a number to call back", keypad=True)
    card: str = ask(
        "the card number",
        check=passes_luhn,
        secret=True,
        keypad=Keypad(ends_with="#", timeout="5s", tries=3, prompt="Please enter your card.", again="Once more."),
    )


FLOW = Flow(
    goal="Take an order.",
    observations=Order,
    rules=[Rule("help", when=Key("*"), then=To("desk")), Rule("zero", when=Key("0"), then=To("desk"))],
    phases=[
        Phase(
            "menu",
            instructions="Ask what they want.",
            keys={"1": To("order"), "2": To("desk"), "3": To("payment", when=it.name.filled)},
            observations=[it.name],
            transitions=[To("order")],
        ),
        Phase(
            "order",
            instructions="Find out who it is.",
            observations=[it.number, it.phone],
            transitions=[To("payment")],
            limits=PhaseLimits(turns=9, then="desk"),
        ),
        Phase(
            "payment",
            instructions="Take the payment.",
            observations=[it.card],
            transitions=[To("bye")],
            limits=PhaseLimits(turns=9, then="desk"),
        ),
        Phase("desk", instructions="Say that a colleague calls back.", end=HangUp()),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
    report=Report(receivers=[Receiver("bank", url="https://bank.example/in", secrets=[it.card])]),
)


def press(line: Line, keys: str, *, every_s: float = 0.2) -> list[EngineEffect]:
    """The caller presses these keys, one after the other."""
    made: list[EngineEffect] = []
    for key in keys:
        made += line.wait(every_s)
        made += line.take(KeyPressed(key))
    return made


def at(phase: str) -> Line:
    line = Line(FLOW)
    press(line, "1")
    if phase == "payment":
        press(line, "1234")
        line.tell("plus one 415 555 0199", phone="+14155550199")
        line.hear("plus one 415 555 0199")
    assert line.phase == phase
    return line


# ---- menus and rules ------------------------------------------------------------------------------------------------


def test_key_of_the_menu_leads_where_it_says() -> None:
    line = Line(FLOW)
    made = press(line, "1")
    assert entered(made) == [("order", "key")]
    assert notes(made) == ["The caller pressed 1."]


def test_key_whose_guard_does_not_hold_does_nothing() -> None:
    line = Line(FLOW)
    assert press(line, "3") == []


def test_key_that_is_in_no_menu_goes_to_the_rules() -> None:
    assert entered(press(Line(FLOW), "*")) == [("desk", "rule")]


def test_digits_belong_to_the_field_and_not_to_the_rules() -> None:
    line = at("order")
    press(line, "0")
    assert line.phase == "order"


# ---- answers --------------------------------------------------------------------------------------------------------


def test_full_length_is_recorded_without_a_word() -> None:
    line = at("order")
    made = press(line, "1234")
    assert recorded(made) == {"number": 1234}
    assert ObservationRecorded("number", 1234, "keypad", "", 0) in written(made)
    assert line.evidence("number") == "confirmed"
    assert notes(made) == ["The caller has entered number with the keys: 1234. It is recorded. Go on."]


def test_terminator_ends_an_entry_without_a_length() -> None:
    line = at("order")
    press(line, "1234")
    assert recorded(press(line, "0014155550199#")) == {"phone": "+14155550199"}
    assert line.phase == "payment"


def test_national_number_gets_the_country_of_the_called_one() -> None:
    line = at("order")
    press(line, "1234")
    assert recorded(press(line, "4155550199#")) == {"phone": "+14155550199"}


def test_pause_ends_an_entry() -> None:
    line = at("order")
    press(line, "1234")
    press(line, "4155550199")
    assert recorded(line.wait(4.9)) == {}
    assert recorded(line.wait(0.2)) == {"phone": "+14155550199"}


def test_wrong_entry_is_asked_again_by_exact_words() -> None:
    line = at("order")
    made = press(line, "0999")
    (refused,) = [entry for entry in written(made) if isinstance(entry, KeysRefused)]
    assert (refused.name, refused.attempt) == ("number", 1)
    assert spoken(made) == ["That did not work. Please enter the customer number with the keys of your telephone."]
    assert recorded(press(line, "4321")) == {"number": 4321}


def test_too_short_entry_counts_as_a_try() -> None:
    line = at("order")
    press(line, "12")
    made = line.wait(6)
    assert written(made)[0] == KeysRefused("number", "it has 4 digits, and 2 were pressed", 1)


def test_last_try_leads_out_of_the_phase() -> None:
    line = at("order")
    press(line, "0001")
    assert entered(press(line, "0002")) == [("desk", "stuck")]


def test_tries_are_counted_anew_in_another_phase() -> None:
    line = at("order")
    press(line, "0001")
    line.take(KeyPressed("*"))
    assert line.engine.state.key_tries == {}


def test_spoken_answer_ends_an_entry_that_was_begun() -> None:
    line = at("order")
    press(line, "12")
    assert line.engine.waits_for_keys
    line.tell("one two three four", number=1234)
    assert not line.engine.waits_for_keys
    assert recorded(line.wait(10)) == {}


def test_model_reads_that_an_answer_may_be_pressed() -> None:
    line = at("order")
    assert "- number: the customer number (the caller may also press it" in line.engine.instructions(line.now)


# ---- secrets --------------------------------------------------------------------------------------------------------


def test_secret_is_asked_for_by_exact_words_as_soon_as_its_turn_comes() -> None:
    line = at("payment")
    assert spoken(line.effects)[-1] == "Please enter your card."
    assert line.engine.enters_secret
    assert line.engine.waits_for_keys
    assert line.engine.hides_keys


def test_secret_goes_to_the_vault_and_nowhere_else() -> None:
    line = at("payment")
    line.heard("keys card")
    made = press(line, f"{CARD}#")
    assert [effect for effect in made if isinstance(effect, KeepSecret)] == [KeepSecret("card", f'"{CARD}"')]
    assert made.index(KeepSecret("card", f'"{CARD}"')) == 0
    assert recorded(made) == {"card": "***"}
    assert line.path[-1] == "bye"
    told = [repr(one) for one in line.effects if not isinstance(one, KeepSecret)]
    assert CARD not in "".join((*told, repr(line.engine.state), line.engine.instructions(line.now)))
    assert "4111" not in repr(KeepSecret("card", CARD))


def test_model_neither_records_nor_reads_a_secret() -> None:
    line = at("payment")
    (offer,) = [offer for offer in line.engine.tools() if offer.name == "record"]
    assert "card" not in str(offer.parameters)
    line.say("my card is four one one one")
    answer = line.record("four one one one", card=CARD)
    assert "keys of the telephone" in answer["refused"]["card"]
    assert answer["still_missing"] == []
    instructions = line.engine.instructions(line.now)
    assert "# Entered without you" in instructions
    assert "# Still to find out" not in instructions


def test_words_of_a_check_that_refuses_a_secret_are_kept_back() -> None:
    line = at("payment")
    made = press(line, "4111111111111112#")
    assert written(made)[0] == KeysRefused("card", "it was not valid", 1)
    assert spoken(made) == ["Once more."]


def test_caller_who_presses_nothing_is_asked_again_and_then_let_go() -> None:
    line = at("payment")
    line.heard("keys card")
    assert written(line.wait(15.1))[0] == KeysRefused("card", "nothing was pressed", 1)
    line.heard("keys card")
    line.wait(15.1)
    line.heard("keys card")
    assert entered(line.wait(15.1)) == [("desk", "stuck")]
    assert not line.engine.enters_secret


def test_time_for_the_first_key_begins_when_the_words_were_heard() -> None:
    line = at("payment")
    line.wait(20)
    line.heard("keys card")
    assert line.engine.deadline() == line.now + 15


def test_keys_of_others_are_hidden_while_a_secret_is_still_to_come() -> None:
    class Two(Observations):
        name: str = ask("the name")
        pin: str = ask("the PIN", secret=True, keypad=Keypad(length=4))

    flow = Flow(
        goal="g",
        observations=Two,
        phases=[
            Phase("a", observations=[it.name, it.pin], transitions=[To("b")], limits=PhaseLimits(turns=5, then="b")),
            Phase("b", end=HangUp()),
        ],
    )
    line = Line(flow)
    assert line.engine.hides_keys
    assert not line.engine.enters_secret
    line.tell("this is Ada", name="Ada")
    assert line.engine.enters_secret
    assert spoken(line.effects) == ["Please enter the PIN with the keys of your telephone."]


def test_who_takes_a_call_over_asks_for_the_secret_anew() -> None:
    line = at("payment")
    press(line, "4111")
    again = PhaseEngine(line.engine.flow, line.engine.context)
    again.restore(line.timed, line.timed[0][0])
    assert not again.enters_secret
    made = again.handle(CallResumed(), line.now)
    assert spoken(made) == ["Please enter your card."]
    assert again.enters_secret


def test_restored_call_knows_that_a_secret_was_entered() -> None:
    line = at("payment")
    press(line, f"{CARD}#")
    again = PhaseEngine(line.engine.flow, line.engine.context)
    again.restore(line.timed, line.timed[0][0])
    assert again.state == line.engine.state
    assert again.known["card"] == "***"
    assert again.status("card") == "filled"


def test_caller_who_is_not_heard_finds_a_way_out_by_a_key_of_a_rule() -> None:
    line = at("payment")
    assert entered(press(line, "*")) == [("desk", "rule")]
    assert not line.engine.enters_secret


# ---- their form -----------------------------------------------------------------------------------------------------


def test_json_form_gives_the_same_flow() -> None:
    text = flow_to_json(FLOW)
    again = flow_from_json(text, functions_of(FLOW))
    assert flow_to_json(again) == text
    assert again.specs["card"].ask.keypad == FLOW.specs["card"].ask.keypad
    assert again.specs["card"].ask.secret
    assert [*again.by_name["menu"].keys] == ["1", "2", "3"]
    assert again.report.receivers[0].secrets == ("card",)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"length": 0}, "length"),
        ({"length": 99}, "length"),
        ({"timeout": "90s"}, "timeout"),
        ({"tries": 11}, "tries"),
        ({"ends_with": "5"}, "ends_with"),
    ],
)
def test_keypad_that_cannot_be_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Keypad(**given)  # type: ignore[arg-type]


def test_first_phase_may_ask_for_a_secret() -> None:
    flow = Flow(
        goal="g",
        observations=Order,
        phases=[Phase("a", observations=[it.card], limits=PhaseLimits(turns=3, then="b")), Phase("b", end=HangUp())],
    )
    line = Line(flow)
    assert line.engine.enters_secret
    assert isinstance(written(line.effects)[0], PhaseEntered)
