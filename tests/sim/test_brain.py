from collections.abc import Sequence

import pytest

from voicebot.sim.brain import (
    OFF_SCRIPT,
    Calls,
    Context,
    ContextItem,
    Output,
    Says,
    ScriptedBrain,
    Turn,
    looks_back,
    misread,
    obey,
    plainly_summed_up,
    reads_verbatim,
)


def tool(name: str) -> dict[str, object]:
    return {"type": "function", "name": name, "description": "", "parameters": {"type": "object"}}


def heard(*words: str, tools: Sequence[str] = (), tool_choice: str = "auto") -> Context:
    items = tuple(ContextItem(kind="message", role="user", text=text) for text in words)
    return Context(items=items, tools=tuple(tool(name) for name in tools), tool_choice=tool_choice)


GREETING = Turn(None, ((Says("Hello."),),))
ORDER = Turn("Two pizzas.", ((Calls("record", {"n": 2}),), (Says("Two pizzas. Anything else?"),)))
GOODBYE = Turn("No.", ((Says("Bye."),),))


def test_a_whole_script_leaves_nothing():
    brain = ScriptedBrain([GREETING, ORDER, GOODBYE])
    tools = ["record"]
    replies = [
        brain.respond(heard(tools=tools)),
        brain.respond(heard("Two pizzas.", tools=tools)),
        brain.respond(heard("Two pizzas.", tools=tools)),
        brain.respond(heard("Two pizzas.", "No.", tools=tools)),
    ]
    assert replies == [*GREETING.replies, *ORDER.replies, *GOODBYE.replies]
    assert brain.problems == []
    assert brain.unconsumed() == []


def test_words_match_without_case_and_spacing():
    brain = ScriptedBrain([Turn("My name is  Anna", ((Says("Hi."),),))])
    assert brain.respond(heard("my NAME is\nanna")) == (Says("Hi."),)
    assert brain.problems == []


def test_unexpected_words_are_a_problem():
    brain = ScriptedBrain([GREETING, ORDER])
    brain.respond(heard())
    assert brain.respond(heard("Three pizzas.")) == (Says(OFF_SCRIPT),)
    assert brain.problems == ["heard 'Three pizzas.', expected 'Two pizzas.'"]
    assert brain.unconsumed() == [
        "turn 2: never heard 'Two pizzas.'",
        "turn 2: reply 1 not asked for",
        "turn 2: reply 2 not asked for",
    ]


def test_a_script_goes_on_after_unexpected_words():
    brain = ScriptedBrain([ORDER, GOODBYE])
    brain.respond(heard("What?"))
    assert brain.respond(heard("What?", "No.")) == (Says("Bye."),)
    assert len(brain.problems) == 1


def test_no_line_left_is_a_problem():
    brain = ScriptedBrain([GREETING])
    brain.respond(heard())
    assert brain.respond(heard()) == (Says(OFF_SCRIPT),)
    assert brain.problems == ["asked for a reply with no line left after the start"]


def over(*spoken: str) -> Context:
    """A call that is over, to be looked back at."""
    items = tuple(ContextItem("message", "user", text) for text in spoken)
    conclude = {"type": "function", "name": "conclude"}
    return Context(tools=(conclude,), tool_choice="function:conclude", items=items, out_of_band=True)


def test_a_call_is_looked_back_at_by_script():
    found = Calls("conclude", {"summary": "Two pizzas."})
    brain = ScriptedBrain([GREETING], analysis=found)
    brain.respond(heard())
    assert brain.unconsumed() == ["the analysis was not asked for"]
    assert brain.respond(over("Two pizzas.")) == (found,)
    assert (brain.problems, brain.unconsumed()) == ([], [])


def test_without_a_script_the_look_back_is_plain():
    brain = ScriptedBrain([GREETING])
    brain.respond(heard())
    assert brain.respond(over("Two pizzas.", " ", "No.")) == (
        Calls("conclude", {"summary": "The caller said: Two pizzas. / No."}),
    )
    assert (brain.problems, brain.unconsumed()) == ([], [])
    assert plainly_summed_up(over()) == "The caller said nothing."


def test_a_call_is_looked_back_at_once():
    brain = ScriptedBrain([])
    brain.respond(over())
    brain.respond(over())
    assert brain.problems == ["the call was looked back at twice"]


def test_only_a_forced_function_beside_the_conversation_looks_back():
    assert looks_back(over()) == "conclude"
    assert looks_back(Context(tool_choice="function:conclude")) is None
    assert looks_back(Context(out_of_band=True)) is None


def test_a_nudge_needs_no_words():
    nudge = Turn(None, ((Says("Are you there?"),),))
    brain = ScriptedBrain([GREETING, nudge, GOODBYE])
    brain.respond(heard())
    assert brain.respond(heard()) == (Says("Are you there?"),)
    assert brain.respond(heard("No.")) == (Says("Bye."),)
    assert (brain.problems, brain.unconsumed()) == ([], [])


def test_a_nudge_that_never_came_is_left():
    brain = ScriptedBrain([GREETING, Turn(None, ((Says("Are you there?"),),)), GOODBYE])
    brain.respond(heard())
    brain.respond(heard("No."))
    assert brain.unconsumed() == ["turn 2: reply 1 not asked for"]


def test_turns_may_end_without_a_response():
    brain = ScriptedBrain([Turn("One moment."), GOODBYE])
    assert brain.respond(heard("One moment.", "No.")) == (Says("Bye."),)
    assert (brain.problems, brain.unconsumed()) == ([], [])


def test_the_same_words_twice_are_two_turns():
    yes = [Turn("Yes.", ((Says("One?"),),)), Turn("Yes.", ((Says("Two?"),),))]
    brain = ScriptedBrain(yes)
    assert brain.respond(heard("Yes.")) == (Says("One?"),)
    assert brain.respond(heard("Yes.", "Yes.")) == (Says("Two?"),)
    assert brain.problems == []


@pytest.mark.parametrize("restored", [("Two pizzas.",), (), ("Hello?", "Two pizzas.")])
def test_restored_history_is_not_new(restored: tuple[str, ...]):
    brain = ScriptedBrain([Turn("Hello?", ((Says("Hi."),),)), ORDER, GOODBYE])
    brain.respond(heard("Hello?"))
    brain.respond(heard("Hello?", "Two pizzas.", tools=["record"]))
    assert brain.respond(heard(*restored)) == (Says("Two pizzas. Anything else?"),)
    assert brain.respond(heard(*restored, "No.")) == (Says("Bye."),)
    assert brain.problems == []


def test_silence_is_no_words():
    brain = ScriptedBrain([GREETING])
    assert brain.respond(heard("")) == (Says("Hello."),)


@pytest.mark.parametrize(
    ("context", "problem"),
    [
        (heard("Two pizzas.", tools=["end_call"]), "wants to call 'record', offered: end_call"),
        (heard("Two pizzas."), "wants to call 'record', offered: none"),
        (heard("Two pizzas.", tools=["record"], tool_choice="none"), "wants to call 'record', tool_choice is none"),
    ],
)
def test_a_call_not_offered_is_a_problem(context: Context, problem: str):
    brain = ScriptedBrain([ORDER])
    brain.respond(context)
    assert brain.problems == [problem]


def test_asides_answer_out_of_band():
    brain = ScriptedBrain([GREETING], asides=[(Says("A summary."),)])
    aside = Context(instructions="Summarise.", out_of_band=True)
    assert brain.unconsumed() == ["turn 1: reply 1 not asked for", "aside 1 not asked for"]
    assert brain.respond(aside) == (Says("A summary."),)
    assert brain.respond(aside) == (Says(OFF_SCRIPT),)
    assert brain.problems == ["asked for an out-of-band response that is not in the script"]


@pytest.mark.parametrize(
    ("choice", "outputs", "obeyed"),
    [
        ("auto", (Says("a"), Calls("f")), (Says("a"), Calls("f"))),
        ("none", (Says("a"), Calls("f")), (Says("a"),)),
        ("required", (Says("a"), Calls("f")), (Says("a"), Calls("f"))),
        ("required", (Says("a"),), (Calls("f"),)),
        ("function:g", (Calls("f"), Calls("g", {"x": 1})), (Calls("g", {"x": 1}),)),
        ("function:g", (Says("a"),), (Calls("g"),)),
    ],
)
def test_tool_choice_binds_every_brain(choice: str, outputs: tuple[Output, ...], obeyed: tuple[Output, ...]):
    assert obey(outputs, heard(tools=["f", "g"], tool_choice=choice)) == obeyed


def test_required_without_tools_asks_nothing():
    assert obey((Says("a"),), heard(tool_choice="required")) == (Says("a"),)


VERBATIM = "Read this aloud: <verbatim>\nYour total is 12.50 €.\n</verbatim>"


def test_verbatim_text_is_read_exactly():
    brain = reads_verbatim(ScriptedBrain([GREETING]))
    exact = Context(instructions=VERBATIM, out_of_band=True)
    assert brain.respond(exact) == (Says("Your total is 12.50 €."),)
    assert brain.respond(Context(instructions=VERBATIM)) == (Says("Hello."),)


def test_misreadings_come_first():
    brain = reads_verbatim(ScriptedBrain([]), misreadings=1)
    exact = Context(instructions=VERBATIM, out_of_band=True)
    assert brain.respond(exact) == (Says("Your total is 22.50 €."),)
    assert brain.respond(exact) == (Says("Your total is 12.50 €."),)


@pytest.mark.parametrize(
    ("text", "wrong"), [("Room 9", "Room 0"), ("Thank you very much", "Thank you very"), ("Hello", "Hello Hello")]
)
def test_a_misreading_differs(text: str, wrong: str):
    assert misread(text) == wrong


@pytest.mark.parametrize(
    ("arguments", "text"), [({"name": "Zoë", "n": 1}, '{"name":"Zoë","n":1}'), ("{not json", "{not json")]
)
def test_arguments_travel_as_text(arguments: dict[str, object] | str, text: str):
    assert Calls("f", arguments).arguments_json == text
