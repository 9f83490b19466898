"""Exact statements: rendered once, refused when they say something else, played in order."""

from __future__ import annotations

import pytest

from voicebot.audio.formats import AudioFormat
from voicebot.call.clips import ClipCache
from voicebot.call.ports import ClipRendered, RenderClip
from voicebot.call.statements import Statements, apology_of, ready_words
from voicebot.flow import After, AskAgain, Flow, HangUp, Limits, Phase, Rule, Say, To, Voicemail, tool

HELLO, LAW = Say("Hello there."), Say("This call is recorded.", interruptible=False)


@tool(filler="One moment.")
def look() -> str:
    """Look it up."""
    return "found"


@tool(filler="I am writing it down.")
def place() -> str:
    """Place it."""
    return "placed"


def flow(**given: object) -> Flow:
    return Flow(goal="x", phases=[Phase("a", tools=[look]), Phase("b", end=HangUp())], **given)  # type: ignore[arg-type]


def statements(clips: ClipCache | None = None) -> Statements:
    return Statements(flow(), clips or ClipCache(), model="m", audio_format=AudioFormat.PCMU_8K)


def rendered(command: RenderClip, transcript: str | None = None) -> ClipRendered:
    return ClipRendered(command.key, command.text.encode(), command.text if transcript is None else transcript)


def test_statement_is_rendered_once_then_taken() -> None:
    made = statements()
    made.add(HELLO)
    assert made.take(caller_speaks=False) is None
    assert made.take(caller_speaks=False) is None
    (command,) = made.commands()
    assert made.rendered(rendered(command)) is None
    assert made.take(caller_speaks=False) == (HELLO, HELLO.text.encode())
    assert not made.waiting
    made.add(HELLO)
    assert made.take(caller_speaks=False) is not None
    assert made.commands() == []


@pytest.mark.parametrize(("say", "taken"), [(HELLO, False), (LAW, True)])
def test_only_what_must_not_be_interrupted_is_said_over_the_caller(say: Say, taken: bool) -> None:
    made = statements()
    made.render([say])
    made.rendered(rendered(*made.commands()))
    made.add(say)
    assert (made.take(caller_speaks=True) is not None) is taken


def test_rendering_that_says_something_else_is_refused_tried_again_then_given_up() -> None:
    made = statements()
    made.add(HELLO)
    made.take(caller_speaks=False)
    (first,) = made.commands()
    assert made.rendered(rendered(first, "Hello Claire.")) == "the rendering says something else"
    assert made.failed(first.key) == []
    (again,) = made.commands()
    assert again == first
    assert made.failed(again.key) == [HELLO]
    assert not made.waiting
    assert made.failed(again.key) == []


def test_fillers_are_dropped_when_they_are_not_needed_any_more() -> None:
    made = statements()
    made.add(HELLO)
    made.add(Say("One moment."), filler=True)
    assert made.bridging
    made.drop_fillers()
    assert made.waiting and not made.bridging
    made.drop()
    assert not made.waiting


def test_filler_that_cannot_be_rendered_is_nobodys_loss() -> None:
    made = statements()
    made.add(Say("One moment."), filler=True)
    made.take(caller_speaks=False)
    (command,) = made.commands()
    made.failed(command.key)
    assert made.failed(command.key) == []
    assert not made.waiting


def test_next_model_is_asked_for_what_the_last_one_owed() -> None:
    made = statements()
    made.render([HELLO, LAW])
    first = made.commands()
    made.rendered(rendered(first[0]))
    made.again()
    assert made.commands() == [first[1]]


def test_unknown_rendering_is_ignored() -> None:
    assert statements().rendered(ClipRendered("nobody's", b"x", "x")) is None


def test_words_that_may_be_needed_at_once_are_listed() -> None:
    chosen = Flow(
        goal="x",
        apology="Sorry.",
        rules=[Rule("weather", when="the weather", then=Say("It is warm.")), Rule("out", when="x", then=To("b"))],
        limits=Limits(silence=[After("5s", AskAgain("Still there?")), After("9s", AskAgain()), After("20s", HangUp())]),
        phases=[
            Phase("a", tools=[look], commit=place.once(on_failure="b"), transitions=[To("b")]),
            Phase("b", end=HangUp()),
        ],
    )
    said = [say.text for say in ready_words(chosen)]
    in_need = ["Sorry.", "One moment, please.", "Sorry, we were cut off for a moment."]
    assert said == [*in_need, "Still there?", "One moment.", "I am writing it down.", "It is warm."]


@pytest.mark.parametrize(
    ("given", "begins"),
    [
        ({}, "I am sorry"),
        ({"languages": ["it"]}, "Mi dispiace"),
        ({"apology": "Oh dear."}, "Oh dear."),
        ({"apology": "Oh dear.", "fallback": [Voicemail()]}, "Oh dear."),
    ],
)
def test_apology_is_the_flows_or_ours_in_its_language(given: dict[str, object], begins: str) -> None:
    apology = apology_of(flow(**given))
    assert apology is not None and apology.text.startswith(begins)


def test_language_we_have_no_apology_in_gets_none() -> None:
    assert apology_of(flow(languages=["fi"])) is None


def test_nobody_is_asked_to_call_again_where_there_is_a_way_out() -> None:
    assert apology_of(flow(fallback=[Voicemail()])) is None
