"""What the model proposes and what tools hand in: read to a journal entry, or refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.line import Line
from voicebot.engine.entries import JudgementMade, ObservationConfirmed, ObservationDeclined, ObservationRecorded
from voicebot.engine.events import ToolProposed
from voicebot.engine.proposals import (
    LONGEST_QUOTE,
    arguments_of,
    checked,
    clipped,
    from_outside,
    judgement,
    observation,
    quote_of,
    valid,
)
from voicebot.engine.standing import Standing
from voicebot.flow import Flow, Observations, Phase, ask, computed

SAID = "my name is Ada Lovelace"
YES = "yes that is right"


def shout(name: str) -> str:
    """In capitals."""
    return name.upper()


def real(name: str) -> str | None:
    """Keeps a name, trims it, refuses nobody, breaks on null, and comes to nonsense for seven."""
    match name:
        case "nobody":
            raise ValueError("there is no such person; ask again")
        case "null":
            raise RuntimeError("the register is on fire")
        case "seven":
            return 7  # type: ignore[return-value]
    return name.strip() if name != name.strip() else None


class Visit(Observations):
    name: str = ask("a name", check=real, confirm="read back")
    loud: str = computed(shout)
    note: str = ask("a note", optional=True)
    day: str = ask("a day")


FLOW = Flow(goal="g", observations=Visit, phases=(Phase("a"),))
OPEN = {name: FLOW.specs[name] for name in ("name", "note")}


def standing(*texts: str) -> Standing:
    """A call in which the caller has said these."""
    line = Line(FLOW)
    for text in texts or (SAID,):
        line.say(text)
    return line.engine.standing


# ---- observations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "proposal", "entry"),
    [
        ("name", {"value": "Ada", "quote": SAID}, ObservationRecorded("name", "Ada", "speech", SAID, 1)),
        ("name", {"value": " Ada ", "quote": SAID}, ObservationRecorded("name", "Ada", "speech", SAID, 1)),
        ("note", {"value": "x", "quote": SAID, "declined": False}, ObservationRecorded("note", "x", "speech", SAID, 1)),
        ("note", {"declined": True, "quote": SAID}, ObservationDeclined("note", SAID, 1)),
        ("note", {"declined": True, "value": "x", "quote": SAID}, ObservationDeclined("note", SAID, 1)),
        ("note", {"value": "x", "quote": SAID, "more": 1}, ObservationRecorded("note", "x", "speech", SAID, 1)),
    ],
)  # fmt: skip
def test_proposal_that_holds_becomes_an_entry(name: str, proposal: Any, entry: object) -> None:
    assert observation(name, proposal, OPEN, standing()) == entry


@pytest.mark.parametrize(
    ("name", "proposal", "words"),
    [
        ("nmae", {"value": "Ada", "quote": SAID}, "there is no such field; fields now: name, note"),
        ("loud", {"value": "ADA", "quote": SAID}, "worked out from the other fields"),
        ("day", {"value": "x", "quote": SAID}, "not open in this part"),
        ("name", "Ada", "give {"),
        ("name", {"value": "Ada"}, "a quote of the caller's own words is missing"),
        ("name", {"value": "Ada", "quote": "it rained in Rome all yesterday"}, "the caller did not say that"),
        ("name", {"quote": SAID}, "the value is missing"),
        ("name", {"value": 7, "quote": SAID}, "valid string"),
        ("name", {"value": "nobody", "quote": SAID}, "there is no such person; ask again"),
        ("name", {"value": "null", "quote": SAID}, "it could not be checked (RuntimeError)"),
        ("name", {"value": "seven", "quote": SAID}, "valid string"),
        ("name", {"declined": True, "quote": SAID}, "this is needed"),
        ("name", {"confirmed": True, "quote": SAID}, "there is nothing to confirm yet"),
        ("note", {"confirmed": True, "quote": SAID}, "there is nothing to confirm yet"),
    ],
)
def test_proposal_that_does_not_hold_is_refused(name: str, proposal: Any, words: str) -> None:
    with pytest.raises(ValueError) as refused:
        observation(name, proposal, OPEN, standing())
    assert words in str(refused.value)


def test_agreement_becomes_an_entry_in_a_later_turn() -> None:
    line = Line(FLOW)
    line.tell(SAID, name="Ada", note="x")
    line.say(YES)
    proposal = {"confirmed": True, "quote": YES}
    assert observation("name", proposal, OPEN, line.engine.standing) == ObservationConfirmed("name", YES, 2)
    with pytest.raises(ValueError, match="needs no confirmation"):
        observation("note", proposal, OPEN, line.engine.standing)


# ---- quotes -------------------------------------------------------------------------------------------------------


def test_quote_is_kept_as_it_is_and_clipped() -> None:
    assert quote_of({"quote": f" {SAID} "}, standing()) == f" {SAID} "
    long = "word " * 400
    assert len(quote_of({"quote": long}, standing(long))) == LONGEST_QUOTE


@pytest.mark.parametrize(("text", "limit", "kept"), [("", 3, ""), ("abc", 3, "abc"), ("abcd", 3, "ab…")])
def test_long_text_is_clipped(text: str, limit: int, kept: str) -> None:
    assert clipped(text, limit) == kept


def test_nobody_is_quoted_before_they_spoke() -> None:
    with pytest.raises(ValueError, match="not said anything yet"):
        quote_of({"quote": SAID}, Line(FLOW).engine.standing)


# ---- arguments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "arguments"), [("", {}), ("{}", {}), ('{"a": [1]}', {"a": [1]})])
def test_arguments_are_an_object(text: str, arguments: dict[str, object]) -> None:
    assert arguments_of(ToolProposed("c", "record", text), {"record"}) == arguments


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x", "{}", "x is not available now. Available: judge, record."),
        ("record", "{", "not valid JSON"),
        ("record", "[]", "must be a JSON object"),
    ],
)
def test_arguments_that_are_none_are_refused(name: str, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        arguments_of(ToolProposed("c", name, text), {"record", "judge"})


def test_nothing_is_available_where_nothing_is_offered() -> None:
    with pytest.raises(ValueError, match="Available: none"):
        arguments_of(ToolProposed("c", "record", "{}"), ())


# ---- values -------------------------------------------------------------------------------------------------------


def test_check_may_keep_or_change_a_value() -> None:
    spec = FLOW.specs["name"]
    assert checked(spec, "Ada") == "Ada"
    assert checked(spec, " Ada") == "Ada"
    assert checked(FLOW.specs["day"], " Ada") == " Ada"
    assert valid(spec, " Ada") == "Ada"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("nobody", "x", "there is no such field"),
        ("loud", "x", "it is worked out from the other fields"),
        ("name", "nobody", "there is no such person"),
        ("name", 7, "valid string"),
        ("day", "\ud800", ""),
        ("day", float("nan"), ""),
    ],
)
def test_what_a_tool_hands_in_is_valid_or_refused(name: str, value: Any, words: str) -> None:
    with pytest.raises(ValueError) as refused:
        from_outside(name, value, "tool", standing())
    assert words in str(refused.value)


def test_tool_may_hand_in_what_is_not_open() -> None:
    assert from_outside("day", "Tuesday", "tool", standing()) == ObservationRecorded("day", "Tuesday", "tool", "", 1)


# ---- verdicts -----------------------------------------------------------------------------------------------------


def test_verdict_becomes_an_entry() -> None:
    arguments = {"criterion": "sure", "holds": False, "quote": SAID}
    assert judgement(arguments, ["calm", "sure"], standing()) == JudgementMade("sure", False, SAID, 1)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"criterion": "tall"}, "criterion must be one of: calm; sure"),
        ({"criterion": 7}, "criterion must be one of"),
        ({"holds": "yes"}, "holds must be true or false"),
        ({"quote": ""}, "a quote"),
    ],
)
def test_verdict_that_does_not_hold_is_refused(changed: dict[str, object], words: str) -> None:
    arguments = {"criterion": "sure", "holds": True, "quote": SAID} | changed
    with pytest.raises(ValueError, match=words):
        judgement(arguments, ["calm", "sure"], standing())
