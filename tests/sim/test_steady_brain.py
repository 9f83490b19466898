"""The model that follows its script by the conversation alone: every way in which a call may be taken up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from voicebot.sim.brain import Calls, Context, ContextItem, Output, Says, Turn
from voicebot.sim.steady_brain import AGAIN, SteadyBrain

NOTE, ASK, BOOK, BYE = Calls("record", {"name": "Ada"}), Says("And when?"), Calls("book", {}), Says("Goodbye!")
BRAIN = SteadyBrain(
    [
        Turn("I am Ada.", ((NOTE,), (ASK,))),
        Turn("On Monday.", ((BOOK, Calls("record", {"day": "Monday"})), (BYE,))),
        Turn(None, ((Says("Are you there?"),),)),
    ]
)


def user(text: str) -> ContextItem:
    return ContextItem("message", "user", text)


def bot(text: str) -> ContextItem:
    return ContextItem("message", "assistant", text)


def called(call: Calls) -> list[ContextItem]:
    return [
        ContextItem("function_call", name=call.name, arguments=call.arguments_json, call_id="c"),
        ContextItem("function_call_output", output="ok", call_id="c"),
    ]


def answer(items: Sequence[ContextItem], tools: Sequence[str] = ("record", "book")) -> tuple[Output, ...]:
    return tuple(BRAIN.respond(Context(items=tuple(items), tools=tuple({"name": name} for name in tools))))


FIRST = [bot("Hello!"), user("I am Ada.")]
SECOND = [*FIRST, *called(NOTE), bot("And when?"), user("on  monday.")]


@pytest.mark.parametrize(
    ("items", "outputs"),
    [
        pytest.param(FIRST, (NOTE,), id="first reply"),
        pytest.param([*FIRST, *called(NOTE)], (ASK,), id="second reply"),
        pytest.param([*FIRST, *called(NOTE), bot("And")], (ASK,), id="a line that was cut is said again"),
        pytest.param([*FIRST, *called(NOTE), bot("And when?")], (ASK,), id="asked to go on"),
        pytest.param([*FIRST, *called(NOTE), bot("Sorry, we were cut off.")], (ASK,), id="somebody else's words"),
        pytest.param(SECOND, (BOOK, Calls("record", {"day": "Monday"})), id="second turn"),
        pytest.param([*SECOND, *called(BOOK)], (Calls("record", {"day": "Monday"}),), id="half a reply was done"),
        pytest.param(
            [*SECOND, *called(BOOK), *called(Calls("record", {"day": "Monday"})), user("On Monday.")],
            (BYE,),
            id="words said twice do nothing twice",
        ),
        pytest.param(
            [*SECOND, *called(BOOK), *called(Calls("record", {"day": "Monday"})), bot("Goodbye!")],
            (Says("Are you there?"),),
            id="a turn that nobody's words ask for",
        ),
        pytest.param([*FIRST, *called(NOTE), bot("And when?"), user("I am Ada.")], (ASK,), id="said twice, answered"),
        pytest.param([*FIRST, user("am Ad")], (Says(AGAIN),), id="words that were cut"),
        pytest.param([*FIRST, user("am Ad"), bot(AGAIN), user("I am Ada.")], (NOTE,), id="and said again"),
        pytest.param([bot("Hello!")], (Says(AGAIN),), id="nobody has spoken"),
        pytest.param([user("On Monday.")], (BOOK, Calls("record", {"day": "Monday"})), id="the beginning is unknown"),
    ],
)
def test_place_is_found_in_the_conversation(items: list[ContextItem], outputs: tuple[Output, ...]) -> None:
    assert answer(items) == outputs


def test_function_that_is_not_offered_is_not_called() -> None:
    assert answer(SECOND, tools=["record"]) == (Calls("record", {"day": "Monday"}),)
    assert answer(FIRST, tools=[]) == (ASK,)


def test_same_call_of_another_turn_counts_for_nothing() -> None:
    brain = SteadyBrain([Turn("Look.", ((BOOK,),)), Turn("Look again.", ((BOOK,), (BYE,)))])
    items = (user("Look."), *called(BOOK), user("Look again."))
    assert brain.respond(Context(items=items, tools=({"name": "book"},))) == (BOOK,)


def test_out_of_band_it_has_nothing_to_add() -> None:
    assert BRAIN.respond(Context(out_of_band=True)) == (Says("There is nothing to add."),)
