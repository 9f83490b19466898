"""Words in several languages: as authors write them, and in the flow's JSON form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from voicebot.errors import FlowError
from voicebot.flow import AskAgain, Flow, HangUp, Keypad, Phase, Say, Transfer, tool
from voicebot.flow.json_form import flow_from_json, flow_to_json
from voicebot.flow.wording import texts_of

HELLO = {"en": "Hello.", "it": "Buonasera.", "de": "Guten Abend."}


def flow(**given: Any) -> Flow:
    phases = [Phase("talk", instructions="Talk."), Phase("bye", instructions="Goodbye.", end=HangUp())]
    return Flow(**{"goal": "g", "languages": ["en", "it"], "phases": phases, **given})


def test_first_text_is_the_statements_own() -> None:
    say = Say(HELLO, name="hello", interruptible=False)
    assert (say.text, say.language, say.also) == ("Hello.", "en", {"it": "Buonasera.", "de": "Guten Abend."})
    assert (say.name, say.interruptible) == ("hello", False)
    assert dict(say.texts) == HELLO


def test_statement_in_a_language_has_its_words_alone() -> None:
    say = Say(HELLO, name="hello", interruptible=False)
    assert say.in_language("it") == Say("Buonasera.", name="hello", interruptible=False, language="it")
    assert say.in_language("en") == Say("Hello.", name="hello", interruptible=False, language="en")
    assert say.in_language("fr") == say


def test_text_without_a_language_is_in_the_flows_first() -> None:
    say = Say("Hello.")
    assert (say.has("en", "en"), say.has("it", "en"), say.has("it", "it")) == (True, False, True)
    assert (Say(HELLO).has("it", "en"), Say(HELLO).has("fr", "en")) == (True, False)


@pytest.mark.parametrize(
    "text", [{}, {"en": ""}, {"en": "Hello.", "it": " "}, {"english": "Hello."}, {"en": "x" * 601}]
)
def test_words_that_are_none_are_refused(text: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Say(text)


def test_words_are_given_once() -> None:
    with pytest.raises(ValidationError, match="one text, or as one for each language"):
        Say(HELLO, language="it")


@pytest.mark.parametrize(
    "given",
    [
        {"opening": Say(HELLO)},
        {"opening": HELLO, "apology": {"en": "Sorry.", "it": "Ci scusi."}},
        {"opening": "Hello."},
    ],
)
def test_json_form_holds_every_language(given: dict[str, Any]) -> None:
    made = flow(**given)
    again = flow_from_json(flow_to_json(made))
    assert (again.opening, again.apology) == (made.opening, made.apology)


def test_json_may_be_written_as_an_author_would() -> None:
    document = json.loads(flow_to_json(flow()))
    for opening in (HELLO, {"text": HELLO}, {"text": "Hello.", "language": "en", "also": {"it": "Buonasera."}}):
        said = flow_from_json(json.dumps(document | {"opening": opening})).opening
        assert said is not None
        assert said.in_language("it").text == "Buonasera."


def test_other_words_may_be_given_by_language_too() -> None:
    by_language = {"en": "One moment.", "it": "Un momento."}
    for words in (AskAgain(by_language).text, Keypad(prompt=by_language).prompt, Transfer("x", say=by_language).say):
        assert texts_of(words) == by_language
    assert (texts_of(""), texts_of("One moment.")) == ({}, {None: "One moment."})


@pytest.mark.parametrize("filler", [{}, {"en": ""}, {"english": "One moment."}])
def test_filler_without_words_is_refused(filler: dict[str, str]) -> None:
    def look() -> str:
        """Look."""
        return ""

    with pytest.raises(FlowError, match="filler of look"):
        tool(filler=filler)(look)
