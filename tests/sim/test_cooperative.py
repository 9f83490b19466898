"""The cooperative brain: what it says and does at each moment of a call, seen as a model sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.sim.brain import Calls, Context, ContextItem, Output, Says
from voicebot.sim.cooperative import CooperativeBrain
from voicebot.sim.cooperative_speech import GOODBYE

Schema = dict[str, Any]
NAME = ("their full name", {"type": "string"})
MODE = ("whether they collect it", {"type": "string", "enum": ["pickup", "delivery"]})
PEOPLE = ("for how many people", {"type": "integer"})
DONE = ("true once the caller says that the order is complete", {"type": "boolean"})
ITEMS = (
    "what they would like",
    {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "quantity": {"type": "integer"}},
            "required": ["name", "quantity"],
        },
    },
)
MEETING = (
    "the meeting they chose from `free_hours`",
    {
        "type": "object",
        "properties": {
            "day": {"type": "string", "format": "date"},
            "at": {"type": "string", "format": "time"},
            "how": {"type": "string", "enum": ["video", "office"]},
        },
        "required": ["day", "at", "how"],
    },
)
TOTAL = ("the total that price_it gave", {"type": "string", "format": "decimal"})


def function(name: str, **properties: Schema) -> Schema:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "name": name, "description": "", "parameters": parameters}


END_CALL = function("end_call", reason={"type": "string", "enum": ["goal_reached", "caller_wants_to_stop"]})


def record(fields: Mapping[str, tuple[str, Schema]], confirmed: bool = False) -> Schema:
    properties = {}
    for name, (description, schema) in fields.items():
        parts: Schema = {"value": schema, "quote": {"type": "string"}, "declined": {"type": "boolean"}}
        parts |= {"confirmed": {"type": "boolean"}} if confirmed else {}
        properties[name] = {"type": "object", "description": description, "properties": parts}
    return {"type": "function", "name": "record", "parameters": {"type": "object", "properties": properties}}


class Call:
    """A call as the brain sees it: the test says what stands in the instructions and what has happened."""

    def __init__(self, *tools: Schema, confirmed: bool = False, **fields: tuple[str, Schema]) -> None:
        self.brain, self.items = CooperativeBrain(), list[ContextItem]()
        self.fields, self.own = fields, list(tools)
        self.missing, self.known = list(fields), dict[str, str]()
        self.read_back, self.optional = list[str](), list[str]()
        self.about, self.ended, self.confirmed = "Take the order.", False, confirmed
        self._calls = 0

    def instructions(self) -> str:
        parts = {
            "Goal of the call": "An order.",
            "Now": "It is Sunday, 22 November 2026, 19:05 (Europe/Rome). The caller's number is withheld.",
            "Known so far": "\n".join(f"- {name}: {value}" for name, value in self.known.items()),
            "This part of the conversation: order": self.about,
            "Still to find out now": self.listed(self.missing),
            "To read back now": f"Read these back.\n{self.listed(self.read_back)}" if self.read_back else "",
            "To record if mentioned": self.listed(self.optional),
        }
        return "You are brief.\n\n" + "\n\n".join(f"# {heading}\n{body}" for heading, body in parts.items() if body)

    def listed(self, names: list[str]) -> str:
        return "\n".join(f"- {name}: {self.fields[name][0]}" for name in names)

    def asked(self) -> Output:
        """The brain's next output, the only one of its response."""
        [output] = self.outputs()
        return output

    def outputs(self) -> list[Output]:
        tools = () if self.ended else (record(self.fields, self.confirmed), *self.own, END_CALL)
        outputs = list(self.brain.respond(Context(self.instructions(), tools, items=tuple(self.items))))
        for output in outputs:
            if isinstance(output, Says):
                self.items.append(ContextItem("message", "assistant", output.text))
            else:
                self._calls += 1
                call_id = f"call_{self._calls}"
                arguments = output.arguments_json
                self.items.append(ContextItem("function_call", name=output.name, arguments=arguments, call_id=call_id))
        return outputs

    def says(self, words: str) -> Output:
        """The caller says something; the brain's next output."""
        self.items.append(ContextItem("message", "user", words))
        return self.asked()

    def answer(self, **output: object) -> None:
        """The function that was called last comes back."""
        told = ContextItem("function_call_output", output=json.dumps(output), call_id=f"call_{self._calls}")
        self.items.append(told)

    def take(self, *names: str, **more: object) -> None:
        """`record` takes these; they are missing no more."""
        self.missing = [name for name in self.missing if name not in names]
        self.answer(accepted=names, still_missing=self.missing, **more)

    def note(self, text: str) -> None:
        self.items.append(ContextItem("message", "system", text))


def text(output: Output) -> str:
    assert isinstance(output, Says), output
    return output.text


def recorded(output: Output) -> dict[str, Any]:
    assert isinstance(output, Calls) and output.name == "record", output
    assert isinstance(output.arguments, Mapping)
    return dict(output.arguments)


# ---- asking and reading ---------------------------------------------------------------------------------------------


def test_greets_and_asks_for_the_first_field() -> None:
    call = Call(name=NAME, mode=MODE)
    call.note("The caller is on the line. Greet them.")
    assert text(call.asked()) == "Hello! May I have your full name?"


def test_answer_is_recorded_with_the_callers_words() -> None:
    call = Call(name=NAME, mode=MODE)
    call.asked()
    assert recorded(call.says("My name is Ada Byron.")) == {
        "name": {"value": "Ada Byron", "quote": "My name is Ada Byron."}
    }
    call.take("name")
    assert text(call.asked()) == "Thank you. Can you tell me whether you collect it? (pickup or delivery)"


def test_words_without_an_answer_are_asked_for_again() -> None:
    call = Call(people=PEOPLE)
    call.asked()
    assert text(call.says("Well, it depends.")) == (
        "I am sorry, I did not get that. Can you tell me for how many people? (a number)"
    )


def test_several_fields_are_taken_from_one_sentence() -> None:
    call = Call(items=ITEMS, mode=MODE)
    found = recorded(call.says("Delivery please, two pizzas."))
    assert {name: one["value"] for name, one in found.items()} == {
        "mode": "delivery",
        "items": [{"name": "pizza", "quantity": 2}],
    }


def test_free_text_is_not_taken_for_an_answer_before_it_is_asked_for() -> None:
    call = Call(name=NAME)
    assert text(call.says("Hi there")) == "May I have your full name?"


def test_opening_may_have_asked_the_first_question() -> None:
    call = Call(consent=("a clear yes or no", {"type": "boolean"}))
    assert recorded(call.says("Yes, sure."))["consent"]["value"] is True


def test_another_fields_option_is_no_free_text() -> None:
    call = Call(name=NAME, mode=MODE)
    call.asked()
    assert recorded(call.says("delivery")).keys() == {"mode"}


def test_refusal_is_told_and_asked_again() -> None:
    call = Call(people=PEOPLE)
    call.asked()
    call.says("thirty")
    call.answer(accepted=[], refused={"people": "at most 8. Offer two tables"}, still_missing=["people"])
    assert text(call.asked()) == "I could not take that: at most 8. Can you tell me for how many people? (a number)"
    assert recorded(call.says("eight"))["people"]["value"] == 8


def test_refusal_is_told_once() -> None:
    call = Call(people=PEOPLE)
    call.asked()
    call.says("thirty")
    call.answer(accepted=[], refused={"people": "at most 8"}, still_missing=["people"])
    call.asked()
    call.note("The caller has been silent. Ask whether they are still there.")
    assert text(call.asked()) == "Are you still there? Can you tell me for how many people? (a number)"


def test_what_is_declined_is_recorded_so() -> None:
    call = Call(name=NAME)
    call.asked()
    assert recorded(call.says("I'd rather not say")) == {"name": {"quote": "I'd rather not say", "declined": True}}


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("actually, pickup", "mode", "pickup"),
        ("change the mode to pickup", "mode", "pickup"),
        ("please change my name to Grace", "name", "Grace"),
    ],
)
def test_earlier_answers_are_corrected(words: str, name: str, value: str) -> None:
    call = Call(name=NAME, mode=MODE, people=PEOPLE)
    call.missing = ["people"]
    call.asked()
    assert recorded(call.says(words))[name]["value"] == value


def test_parts_of_an_object_are_asked_for_one_by_one() -> None:
    call = Call(meeting=MEETING)
    call.asked()
    assert text(call.says("on Monday")) == "I still need at; how: video or office."
    assert text(call.says("at 14:00")) == "I still need how: video or office."
    assert recorded(call.says("by video"))["meeting"]["value"] == {"day": "2026-11-23", "at": "14:00", "how": "video"}


def test_part_of_a_refused_object_is_put_right() -> None:
    call = Call(meeting=MEETING)
    call.asked()
    call.says("Monday 14:00 by video")
    call.answer(accepted=[], refused={"meeting": "nobody is free then"}, still_missing=["meeting"])
    call.asked()
    assert recorded(call.says("then Tuesday"))["meeting"]["value"] == {
        "day": "2026-11-24",
        "at": "14:00",
        "how": "video",
    }


def test_list_is_added_to_when_the_caller_adds() -> None:
    call = Call(items=ITEMS, done=DONE)
    call.says("two pizzas")
    call.take("items")
    call.asked()
    call.says("no")
    call.take("done")
    assert text(call.asked()).startswith("Thank you. Tell me what to add or to change, if there is anything.")
    assert recorded(call.says("a salad too"))["items"]["value"] == [
        {"name": "pizza", "quantity": 2},
        {"name": "salad", "quantity": 1},
    ]


def test_statement_spoken_for_it_does_not_hide_the_callers_words() -> None:
    call = Call(name=NAME)
    call.asked()
    call.items.append(ContextItem("message", "user", "Ada Byron"))
    call.items.append(ContextItem("message", "assistant", "This call is recorded."))
    assert recorded(call.asked())["name"]["value"] == "Ada Byron"


def test_brain_of_another_connection_knows_what_was_asked() -> None:
    call = Call(name=NAME, mode=MODE)
    call.asked()
    call.brain = CooperativeBrain()
    assert recorded(call.says("Ada Byron"))["name"]["value"] == "Ada Byron"


# ---- reading back, judging, rules, jumps ----------------------------------------------------------------------------


def read_back() -> Call:
    call = Call(confirmed=True, name=NAME, people=PEOPLE)
    call.asked()
    call.says("Ada Byron")
    call.take("name", read_back=["name"])
    call.asked()
    call.says("four")
    call.take("people", read_back=["people"])
    call.read_back = ["name", "people"]
    assert text(call.asked()) == "Thank you. I have noted name: Ada Byron; people: 4. Is that right?"
    return call


def test_yes_confirms_everything_that_was_read_back() -> None:
    assert recorded(read_back().says("Yes, right")) == {
        "name": {"quote": "Yes, right", "confirmed": True},
        "people": {"quote": "Yes, right", "confirmed": True},
    }


def test_no_to_a_reading_back_asks_what_is_right() -> None:
    call = read_back()
    assert text(call.says("no")) == "What is right, then? May I have your full name?"
    assert recorded(call.says("Grace Hopper"))["name"] == {"value": "Grace Hopper", "quote": "Grace Hopper"}


def test_correction_of_what_was_read_back_is_recorded() -> None:
    assert recorded(read_back().says("change people to five"))["people"]["value"] == 5


def judge(*criteria: str) -> Schema:
    return function("judge", criterion={"type": "string", "enum": list(criteria)}, holds={}, quote={})


def test_criteria_are_judged_once_there_is_nothing_to_ask() -> None:
    call = Call(judge("sounded sure", "was polite"), name=NAME)
    call.asked()
    call.says("Ada, please")
    call.take("name")
    for criterion in ("sounded sure", "was polite"):
        assert call.asked() == Calls("judge", {"criterion": criterion, "holds": True, "quote": "Ada, please"})
        call.answer(noted=True)
    assert text(call.asked()).endswith("Is there anything else, or anything to change?")


def test_refused_judgement_is_not_repeated_at_once() -> None:
    call = Call(judge("sounded sure"))
    call.says("hm")
    call.answer(refused="the caller did not say that")
    assert text(call.asked())
    assert isinstance(call.says("yes"), Calls)


RULES = function("apply_rule", rule={"type": "string", "enum": ["human", "weather"]}, quote={})
RULES["description"] = (
    "Call it: human: the caller asks for a human being; weather: they ask about the weather forecast."
)


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("Can I speak to a person?", "human"),
        ("your manager, please", "human"),
        ("What is the weather forecast?", "weather"),
    ],
)
def test_rule_that_fits_the_words_is_applied(words: str, rule: str) -> None:
    assert Call(RULES, name=NAME).says(words) == Calls("apply_rule", {"rule": rule, "quote": words})


def test_no_rule_is_applied_to_an_answer() -> None:
    call = Call(RULES, name=NAME)
    call.asked()
    assert recorded(call.says("Ada Byron"))


def test_jump_is_asked_for_by_the_parts_name() -> None:
    call = Call(function("request_phase", phase={"type": "string", "enum": ["result"]}, reason={}), name=NAME)
    words = "I want to go to the result"
    assert call.says(words) == Calls("request_phase", {"phase": "result", "reason": words})
    call.answer(refused="result is not open yet")
    assert text(call.asked()).startswith("I could not take that: result is not open yet.")


# ---- the flow's own tools -------------------------------------------------------------------------------------------


def test_tool_that_the_part_speaks_of_is_used_once() -> None:
    call = Call(function("price_it"), name=NAME)
    call.about = "First use `price_it`."
    assert call.asked() == Calls("price_it", {})
    call.answer(total_eur="17.00", minutes=20)
    assert text(call.asked()) == "price_it says: total eur 17.00, minutes 20. May I have your full name?"


def test_tool_is_used_again_after_a_correction() -> None:
    call = Call(function("price_it"), name=NAME, mode=MODE)
    call.about = "First use `price_it`."
    call.missing = ["name"]
    call.says("actually, pickup")
    call.take("mode")
    assert call.asked() == Calls("price_it", {})
    call.answer(total_eur="17.00")
    call.asked()
    call.says("make it delivery")
    call.take("mode")
    assert call.asked() == Calls("price_it", {})


def test_value_that_a_tool_gave_is_suggested() -> None:
    call = Call(function("price_it"), total=TOTAL)
    assert call.asked() == Calls("price_it", {})
    call.answer(lines=["2 pizzas"], total_eur="17.00")
    assert text(call.asked()).endswith("I would put down 17.00 as total. Is that right?")
    assert recorded(call.says("yes")) == {"total": {"value": "17.00", "quote": "yes"}}


def test_no_to_a_suggestion_asks_for_the_value() -> None:
    call = Call(function("price_it"), total=TOTAL)
    call.asked()
    call.answer(total_eur="17.00")
    call.asked()
    assert text(call.says("no")) == "What is right, then? May I have the total that price_it gave? (a number)"
    assert recorded(call.says("16.50"))["total"]["value"] == "16.50"


def free_hours() -> Call:
    call = Call(function("free_hours", from_day={"type": "string", "format": "date"}), meeting=MEETING)
    assert call.asked() == Calls("free_hours", {"from_day": "2026-11-23"})
    offers = [
        {"day": "2026-11-24", "at": "10:00", "who": "Priya"},
        {"day": "2026-11-26", "at": "15:30", "who": "Tom"},
    ]
    call.items.append(ContextItem("function_call_output", output=json.dumps(offers), call_id="call_1"))
    assert text(call.asked()) == (
        "There is (1) 2026-11-24, 10:00, Priya; (2) 2026-11-26, 15:30, Tom. Which one would you like?"
        " (how: video or office)"
    )
    return call


@pytest.mark.parametrize("words", ["the second one, by video", "15:30, video please", "with Tom by video"])
def test_offer_is_chosen_by_number_or_by_what_it_says(words: str) -> None:
    chosen = recorded(free_hours().says(words))["meeting"]["value"]
    assert chosen == {"day": "2026-11-26", "at": "15:30", "how": "video"}


def test_tool_is_left_alone_while_its_arguments_are_unknown() -> None:
    call = Call(function("find", words={"type": "string"}), name=("the name that find gave", {"type": "string"}))
    assert text(call.asked()).startswith("May I have the name that find gave?")


def test_arguments_come_from_what_is_known() -> None:
    level = {"type": "string", "enum": ["A1", "B1"]}
    call = Call(function("lessons", level=level), day=("the day from lessons", {"type": "string", "format": "date"}))
    call.known = {"level": "B1"}
    assert call.asked() == Calls("lessons", {"level": "B1"})


# ---- the end --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["bye", "Good bye!", "I have to go", "please hang up"])
def test_caller_who_stops_is_let_go(words: str) -> None:
    call = Call(name=NAME)
    call.items.append(ContextItem("message", "user", words))
    assert call.outputs() == [Says(GOODBYE), Calls("end_call", {"reason": "caller_wants_to_stop"})]


def test_end_is_proposed_once_everything_is_taken() -> None:
    call = Call(name=NAME)
    call.asked()
    call.says("Ada")
    call.take("name")
    assert call.asked() == Calls("end_call", {"reason": "goal_reached"})
    call.answer(refused="this part of the conversation is not over yet")
    assert text(call.asked()) == "Thank you. Is there anything else, or anything to change?"


def test_optional_field_is_asked_for_once_before_the_end() -> None:
    call = Call(name=NAME, mode=MODE)
    call.missing, call.optional = ["name"], ["mode"]
    call.asked()
    call.says("Ada")
    call.take("name")
    assert text(call.asked()).endswith("(pickup or delivery)")
    assert text(call.says("no idea")).endswith("Is there anything else, or anything to change?")


def test_goodbye_is_said_when_nothing_can_be_done_any_more() -> None:
    call = Call(name=NAME)
    call.ended = True
    assert call.outputs() == [Says(GOODBYE)]


def test_dictated_words_are_said_as_they_are() -> None:
    call = Call(name=NAME)
    call.note("Say exactly this, word for word, and nothing else: This call is recorded. Really.")
    assert call.outputs() == [Says("This call is recorded. Really.")]


# ---- whatever comes -------------------------------------------------------------------------------------------------

SOME_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "enum", "properties", "required", "value", "quote", "name", "items", "refused", "accepted",
                 "parameters", "description", "next", "criterion", "rule", "phase"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)  # fmt: skip
NAMES = st.sampled_from(["record", "judge", "apply_rule", "request_phase", "end_call", "look_up"])
TOOLS = st.fixed_dictionaries({"name": NAMES, "description": st.text(max_size=8), "parameters": SOME_JSON})
ITEMS_SEEN = st.builds(
    ContextItem,
    kind=st.sampled_from(["message", "function_call", "function_call_output"]),
    role=st.sampled_from(["user", "assistant", "system", ""]),
    text=st.text(max_size=20) | st.sampled_from(["yes", "no", "bye", "change name to Ada", "the second one"]),
    name=NAMES,
    arguments=SOME_JSON.map(json.dumps) | st.text(max_size=8),
    output=SOME_JSON.map(json.dumps) | st.text(max_size=8),
    call_id=st.sampled_from(["c1", "c2"]),
)
LINES = st.sampled_from(
    ["# Still to find out now", "- name: their name", "- x: look_up", "# Known so far", "- name: 3", "",
     "# To read back now", "# Now", "It is Friday, 31 February 2026", "# This part of the conversation: a",
     "Use look_up.", "# To record if mentioned"]
)  # fmt: skip
CONTEXTS = st.builds(
    Context,
    instructions=st.lists(LINES, max_size=12).map("\n".join),
    tools=st.lists(TOOLS, max_size=4).map(tuple),
    tool_choice=st.sampled_from(["auto", "none", "required"]),
    items=st.lists(ITEMS_SEEN, max_size=8).map(tuple),
    out_of_band=st.booleans(),
)


@settings(deadline=None)
@given(st.lists(CONTEXTS, max_size=4))
def test_anything_is_answered_without_error_and_the_same_each_time(contexts: list[Context]) -> None:
    one, other = CooperativeBrain(), CooperativeBrain()
    for context in contexts:
        outputs = one.respond(context)
        assert outputs == other.respond(context)
        assert all(output.text for output in outputs if isinstance(output, Says))
        assert len(outputs) in (1, 2)
