"""What callers get for whom there is no place."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from voicebot.server.overflow import Overflow
from voicebot.telephony import twiml
from voicebot.telephony.full_house import FullHouse

ORIGIN = "https://voice.example.com"
CALLER, CALLED, COLLEAGUE = "+15550123456", "+15550100000", "+15550199199"


def test_sentence_is_said_in_the_callers_language() -> None:
    assert Overflow(FullHouse(None, "sentence"), ORIGIN).answer(
        "it", caller=CALLER, called=CALLED
    ) == twiml.say_goodbye("it")


def test_busy_line_is_the_first_verb() -> None:
    document = ElementTree.fromstring(Overflow(FullHouse(None, "busy"), ORIGIN).answer("en", caller=None, called=None))
    assert [(verb.tag, verb.attrib) for verb in document] == [("Reject", {"reason": "busy"})]


@pytest.mark.parametrize(("caller", "shown"), [(CALLER, CALLER), (None, CALLED)])
def test_number_is_rung_and_shown_who_calls(caller: str | None, shown: str) -> None:
    document = ElementTree.fromstring(
        Overflow(FullHouse(None, COLLEAGUE), ORIGIN).answer("en", caller=caller, called=CALLED)
    )
    dial = document.find("Dial")
    assert dial is not None
    assert (dial.get("callerId"), dial.get("action")) == (shown, ORIGIN + "/twilio/overflown")
    assert dial.findtext("Number") == COLLEAGUE


def test_number_that_was_called_is_not_rung_in_a_circle() -> None:
    assert Overflow(FullHouse(None, CALLED), ORIGIN).answer("de", caller=CALLER, called=CALLED) == twiml.say_goodbye(
        "de"
    )


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *(("completed", twiml.hang_up()), ("answered", twiml.hang_up())),
        *((status, twiml.say_goodbye("fr")) for status in ("busy", "no-answer", "failed", "canceled", "", "<x/>")),
    ],
)
def test_nobody_there_is_a_sentence(status: str, expected: str) -> None:
    assert Overflow(FullHouse(None, COLLEAGUE), ORIGIN).came_back({"DialCallStatus": status}, "fr") == expected


def test_result_that_is_missing_is_a_sentence() -> None:
    assert Overflow(FullHouse(None, COLLEAGUE), ORIGIN).came_back({}, "en") == twiml.say_goodbye("en")
