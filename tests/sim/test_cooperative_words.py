"""What the cooperative brain makes of a caller's words, and how it asks."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.sim.cooperative_numbers import day_in, numbers_in, phone_in, time_in
from voicebot.sim.cooperative_speech import missing_parts, question, spoken, to_caller
from voicebot.sim.cooperative_words import UNREAD, Schema, agreed, clearly, read, read_object

TODAY = date(2026, 11, 22)  # a Sunday
TEXT: Schema = {"type": "string"}
YES_NO: Schema = {"type": "boolean"}
WHOLE: Schema = {"type": "integer"}
AMOUNT: Schema = {"type": "string", "format": "decimal", "pattern": r"^-?\d+(\.\d+)?$"}
DAY: Schema = {"type": "string", "format": "date"}
TIME: Schema = {"type": "string", "format": "time"}
PHONE: Schema = {"type": "string", "format": "phone"}
MODE: Schema = {"type": "string", "enum": ["pickup", "delivery"]}
WHEN: Schema = {"anyOf": [TIME, {"type": "string", "const": "as soon as possible"}]}
ALLERGENS: Schema = {"type": "array", "items": {"type": "string", "enum": ["gluten", "milk", "nuts"]}}
DISH: Schema = {
    "type": "object",
    "properties": {
        "name": TEXT,
        "quantity": {"type": "integer"},
        "wish": {"anyOf": [TEXT, {"type": "null"}], "default": None},
    },
    "required": ["name", "quantity"],
}
DISHES: Schema = {"type": "array", "items": DISH, "minItems": 1}
ADDRESS: Schema = {
    "type": "object",
    "properties": {
        "street": TEXT,
        "number": TEXT,
        "postcode": {"type": "string", "pattern": r"^\d{5}$"},
        "note": {"anyOf": [TEXT, {"type": "null"}], "default": None},
    },
    "required": ["street", "number", "postcode"],
}
MEETING: Schema = {
    "type": "object",
    "properties": {"day": DAY, "at": TIME, "how": {"type": "string", "enum": ["video", "office"]}},
    "required": ["day", "at", "how"],
}


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("two", ["2"]),
        ("twenty-one", ["21"]),
        ("Two hundred and five", ["205"]),
        ("a hundred", ["100"]),
        ("ten thousand five hundred", ["10500"]),
        ("1,500 pounds", ["1500"]),
        ("1.5k", ["1500.0"]),
        ("12,50", ["12.50"]),
        ("between two and three", ["2", "3"]),
        ("half a million", ["1000000"]),  # fractions are beyond it
        ("room 7b", ["7"]),
        ("none of it", []),
        ("someone", []),
        ("9" * 40, []),
    ],
)
def test_numbers_are_read_in_digits_and_words(words: str, values: list[str]) -> None:
    assert [number.value for number in numbers_in(words)] == list(map(Decimal, values))


def test_articles_count_only_where_things_are_counted() -> None:
    assert numbers_in("a chinotto") == []
    assert [number.value for number in numbers_in("a chinotto and an orange", articles=True)] == [1, 1]


@pytest.mark.parametrize(
    ("words", "day"),
    [
        ("2026-12-01", date(2026, 12, 1)),
        ("today", TODAY),
        ("Tomorrow, please", date(2026, 11, 23)),
        ("the day after tomorrow", date(2026, 11, 24)),
        ("on Monday", date(2026, 11, 23)),
        ("Sundays", date(2026, 11, 29)),
        ("the third of July", date(2027, 7, 3)),
        ("December 24th", date(2026, 12, 24)),
        ("3 March 2028", date(2028, 3, 3)),
        ("31 February", None),
        ("2026-13-40", None),
        ("some day", None),
    ],
)
def test_days_are_counted_from_today(words: str, day: date | None) -> None:
    assert day_in(words, TODAY) == day


def test_only_a_written_date_is_read_without_today() -> None:
    assert day_in("tomorrow", None) is None
    assert day_in("2026-12-01", None) == date(2026, 12, 1)


@pytest.mark.parametrize(
    ("words", "at"),
    [
        ("19:30", "19:30"),
        ("7pm", "19:00"),
        ("at 7:30 p.m.", "19:30"),
        ("12 am", "00:00"),
        ("half past seven", "07:30"),
        ("quarter to nine", "08:45"),
        ("seven thirty pm", "19:30"),
        ("eight o'clock", "08:00"),
        ("noon", "12:00"),
        ("on 2026-12-01 at 14:00", "14:00"),
        ("+39 06 555 0100", None),
        ("whenever", None),
    ],
)
def test_times_are_read_by_the_clock(words: str, at: str | None) -> None:
    assert time_in(words) == at


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("+1 555 010 0199", "+15550100199"),
        ("it's 0039 06 555-0100", "0039065550100"),
        ("plus four four two zero seven nine four six zero nine five eight", "+442079460958"),
        ("five five five", None),
        ("none", None),
    ],
)
def test_telephone_numbers_are_read_digit_by_digit(words: str, number: str | None) -> None:
    assert phone_in(words) == number


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("yes", True),
        ("Yes, please", True),
        ("of course", True),
        ("that's all", True),
        ("no, that's all", True),
        ("no", False),
        ("Not at all", False),
        ("no problem, yes", False),  # whichever comes first
        ("I suppose", UNREAD),
        ("", UNREAD),
    ],
)
def test_yes_and_no_are_told_apart(words: str, meant: object) -> None:
    assert agreed(words) is meant


@pytest.mark.parametrize(
    ("schema", "words", "value"),
    [
        (MODE, "I'd like it delivered", "delivery"),
        (MODE, "I'll pick it up", "pickup"),
        (MODE, "not delivery but pickup", "pickup"),
        (MODE, "hello", UNREAD),
        ({"enum": ["none", "some"]}, "no", "none"),
        ({"enum": ["none", "some"]}, "not really", UNREAD),
        ({"enum": [1, 2]}, "2", 2),
        (WHEN, "asap", "as soon as possible"),
        (WHEN, "at 8 pm", "20:00"),
        (WHEN, "hm", UNREAD),
        (WHOLE, "in twenty years", 20),
        (WHOLE, "2.5", UNREAD),
        (WHOLE, "nothing", 0),
        (WHOLE, "a year", 1),
        (WHOLE, "a while", 1),
        (WHOLE, "soon", UNREAD),
        ({"type": "number"}, "2.5", 2.5),
        (AMOUNT, "£1,500", "1500"),
        (AMOUNT, "26.50 euros", "26.50"),
        (AMOUNT, "no", "0"),
        (DAY, "tomorrow", "2026-11-23"),
        (DAY, "never", UNREAD),
        ({"type": "string", "format": "date-time"}, "tomorrow at 9", "2026-11-23T09:00:00"),
        (PHONE, "+1 555 010 0199", "+15550100199"),
        (TEXT, "My name is Ada Byron.", "Ada Byron"),
        (TEXT, "It's Ada", "Ada"),
        (TEXT, "well, a leak in the roof, please", "a leak in the roof"),
        (TEXT, " . ", UNREAD),
        ({"type": "string", "maxLength": 3}, "Adalbert", "Ada"),
        ({"type": "string", "pattern": r"^AF\d{5}$"}, "it's a f 1 2 3 4 5", "AF12345"),
        ({"type": "string", "pattern": "(["}, "anything", UNREAD),
        (ALLERGENS, "gluten and milk", ["gluten", "milk"]),
        (ALLERGENS, "no allergies, just no nuts", ["nuts"]),
        (ALLERGENS, "none", []),
        (ALLERGENS, "hm", UNREAD),
        ({"type": "array", "items": TEXT}, "red, green and blue", ["red", "green", "blue"]),
        ({"type": "array", "items": TEXT}, "no, none", []),
        (
            DISHES,
            "two margheritas and a chinotto",
            [{"name": "margherita", "quantity": 2}, {"name": "chinotto", "quantity": 1}],
        ),
        (DISHES, "Supplì", [{"name": "Supplì", "quantity": 1}]),
        (DISHES, "I'd like two carbonara without egg", [{"name": "carbonara", "quantity": 2, "wish": "without egg"}]),
        (
            ADDRESS,
            "Via della Lungaretta 81, 00153",
            {"street": "Via della Lungaretta", "number": "81", "postcode": "00153"},
        ),
        (
            ADDRESS,
            "via Garibaldi 12b 00153, second floor",
            {"street": "via Garibaldi", "number": "12b", "postcode": "00153", "note": "second floor"},
        ),
        (ADDRESS, "00153", UNREAD),
        (MEETING, "Monday at 14:00 by video", {"day": "2026-11-23", "at": "14:00", "how": "video"}),
        ({}, "anything", UNREAD),
        ({"type": "null"}, "anything", UNREAD),
        ({"type": "array"}, "one", ["one"]),
    ],
)
def test_words_are_read_into_the_schema(schema: Schema, words: str, value: object) -> None:
    found = read(schema, words, TODAY)
    assert found is UNREAD if value is UNREAD else found == value


@pytest.mark.parametrize(
    ("schema", "words", "value"),
    [
        (MODE, "two margherita, delivery", "delivery"),
        (MODE, "I'd like it delivered", "delivery"),
        (MODE, "not pickup", UNREAD),
        (MODE, "pickup or delivery", UNREAD),
        ({"enum": ["none", "some"]}, "some pizza", UNREAD),
        (DISHES, "delivery please, two margherita", [{"name": "margherita", "quantity": 2}]),
        (DISHES, "hello", UNREAD),
        (TEXT, "Ada", UNREAD),
        (YES_NO, "yes", UNREAD),
    ],
)
def test_only_what_is_clear_is_read_unasked(schema: Schema, words: str, value: object) -> None:
    found = clearly(schema, words, TODAY)
    assert found is UNREAD if value is UNREAD else found == value


def test_parts_of_an_object_are_put_together() -> None:
    first, missing = read_object(MEETING, "on Monday", TODAY, {})
    assert (first, missing) == ({"day": "2026-11-23"}, ["at", "how"])
    assert missing_parts(MEETING, first) == "at; how: video or office"
    second, missing = read_object(MEETING, "14:00 at the office", TODAY, first)
    assert (second, missing) == ({"day": "2026-11-23", "at": "14:00", "how": "office"}, [])


# ---- how it asks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("description", "schema", "asked"),
    [
        ("the caller's full name", TEXT, "May I have your full name?"),
        ("why they are calling", TEXT, "Can you tell me why you are calling?"),
        (
            "whether they are a client already",
            MODE,
            "Can you tell me whether you are a client already? (pickup or delivery)",
        ),
        ("pickup or delivery", MODE, "May I have pickup or delivery?"),
        ("whether a dog comes along", YES_NO, "Can you tell me whether a dog comes along? (yes or no)"),
        ("a clear yes or no to the total; a change is neither", YES_NO, "May I have a clear yes or no to the total?"),
        (
            "true once the caller says that the order is complete",
            YES_NO,
            "Is this so: the order is complete? (yes or no)",
        ),
        ("whether they say that they understand", YES_NO, "Can you tell me whether you understand? (yes or no)"),
        ("the total you have read to them", AMOUNT, "May I have the total I have read to you? (a number)"),
        (
            "your first guess of the level",
            MODE,
            "What shall I put down as my first guess of the level? (pickup or delivery)",
        ),
        ("when they want it", WHEN, "Can you tell me when you want it? (a time or as soon as possible)"),
        (
            "a number to call back",
            PHONE,
            "May I have a number to call back? (with the country code, as in +14155550123)",
        ),
        ("where to deliver", ADDRESS, "Can you tell me where to deliver? (street, number, postcode)"),
        ("allergies of those who eat", ALLERGENS, "May I have allergies of those who eat? (or none)"),
        (
            "their client number: AF and five digits",
            {"type": "string", "pattern": "^AF"},
            "May I have your client number: AF and five digits?",
        ),
    ],
)
def test_description_becomes_a_question(description: str, schema: Schema, asked: str) -> None:
    assert question(description, schema) == asked


def test_persons_are_turned_once() -> None:
    assert (
        to_caller("what the customer says that you told them of their day")
        == "what you say that I told you of your day"
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [(True, "yes"), (None, "null"), (2, "2"), ("Ada", "Ada"), ([], "none"), ([{"a": 1, "b": None}, "x"], "1; x")],
)
def test_values_are_said_in_words(value: object, words: str) -> None:
    assert spoken(value) == words


# ---- whatever comes -------------------------------------------------------------------------------------------------

PLAIN = st.sampled_from([TEXT, YES_NO, WHOLE, AMOUNT, DAY, TIME, PHONE, MODE, WHEN, {}, {"type": 3}, {"enum": "x"}])
SCHEMAS = st.recursive(
    PLAIN,
    lambda inner: (
        st.fixed_dictionaries({"type": st.just("array"), "items": inner | st.none()})
        | st.fixed_dictionaries({"anyOf": st.lists(inner | st.none(), max_size=3)})
        | st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.dictionaries(st.sampled_from(["name", "number", "quantity", "x"]), inner, max_size=3),
                "required": st.lists(st.sampled_from(["name", "number", "y"]), max_size=2),
            }
        )
    ),
    max_leaves=6,
)
PIECES = [
    "two", "a", "hundred", "and", ",", "7", "7pm", "no", "yes", "july", "first", "monday", "half", "past", "+1", "555",
    "0100", "not", "delivery",
]  # fmt: skip
WORDS = st.text(max_size=60) | st.lists(
    st.sampled_from(PIECES),
    max_size=12,
).map(" ".join)


@settings(deadline=None)
@given(SCHEMAS, WORDS, st.none() | st.dates())
def test_anything_is_read_without_error(schema: Schema, words: str, today: date | None) -> None:
    for reading in (read, clearly):
        assert reading(schema, words, today) == reading(schema, words, today)
    assert question(words, schema)
