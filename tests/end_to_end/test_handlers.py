"""A flow's handlers, through the whole product: told of everything, heard when they steer, harmless when they break."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.end_to_end.reception import GIVES_NAME, HANGS_UP, VISIT, flow, gives_reason
from tests.end_to_end.test_clocks_agree import essence
from voicebot.flow import CallControl, CallEvent, handler
from voicebot.flow.handlers import Handler
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.sim.brain import Says
from voicebot.sim.clock import run_virtual
from voicebot.sim.scenario import Exchange, Expected, Say, Scenario, noted
from voicebot.sim.stage import Rehearsal, rehearse

QUIET = replace(
    VISIT,
    exchanges=(GIVES_NAME, gives_reason(Say("I have a toothache."))),
    expected=replace(VISIT.expected, interruptions=0),
)
NAME = {"name": "name", "value": "Ada Lovelace", "state": "recorded"}


def with_handlers(*handlers: Handler) -> FlowShelf:
    return FlowShelf({"visit": load_flow("visit", replace(flow, handlers=handlers))})


def play(scenario: Scenario, *handlers: Handler) -> Rehearsal:
    return run_virtual(rehearse(scenario, with_handlers(*handlers)))


@pytest.fixture(scope="module")
def undisturbed() -> Rehearsal:
    return play(VISIT)


def lived(rehearsal: Rehearsal) -> list[tuple[str, object]]:
    """The journal but for times and the flow's own document, which names its handlers."""
    return [(kind, body) for kind, body in essence(rehearsal) if kind != "call_opened"]


def timed(rehearsal: Rehearsal) -> list[tuple[str, int]]:
    return [(entry.kind, entry.at_ms) for entry in rehearsal.journal]


# ---- told -----------------------------------------------------------------------------------------------------------


def test_handlers_are_told_the_whole_call() -> None:
    told: list[CallEvent] = []

    @handler()
    async def writes_down(event: CallEvent, call: CallControl) -> None:
        told.append(event)

    rehearsal = play(VISIT, writes_down)
    assert rehearsal.problems == ()
    assert {event.call_sid for event in told} == {rehearsal.result.call_sid}
    assert [event.at for event in told] == sorted(event.at for event in told)
    phases = [event.facts["name"] for event in told if event.kind == "phase"]
    assert phases == ["reception", "bye"]
    assert told[0].facts == {"name": "reception", "previous": None, "cause": "start"}
    said = [event.facts for event in told if event.kind == "transcript"]
    assert [one["text"] for one in said if one["speaker"] == "caller"] == list(VISIT.spoken())
    assert [one["interrupted"] for one in said if one["speaker"] == "bot"] == [False, True, False]
    observed = [event.facts for event in told if event.kind == "observation"]
    assert NAME in observed
    assert told[-1].kind == "end"
    assert told[-1].facts == {
        "reason": "completed",
        "outcome": None,
        "observations": {"name": "Ada Lovelace", "reason": "toothache"},
    }
    assert sum(event.kind == "end" for event in told) == 1


def test_handlers_in_threads_leave_the_call_as_it_is(undisturbed: Rehearsal) -> None:
    told: list[str] = []

    @handler("observation", "end")
    def writes_down(event: CallEvent, call: CallControl) -> None:
        told.append(f"{event.kind} {call.observations.get('name')}")

    rehearsal = play(VISIT, writes_down)
    assert rehearsal.problems == ()
    assert lived(rehearsal) == lived(undisturbed)
    assert told[0] == "observation Ada Lovelace"
    assert told[-1] == "end Ada Lovelace"


# ---- broken ---------------------------------------------------------------------------------------------------------


async def hangs(event: CallEvent, call: CallControl) -> None:
    await asyncio.sleep(3600)


async def swallows_its_cancellation(event: CallEvent, call: CallControl) -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


async def raises(event: CallEvent, call: CallControl) -> None:
    raise ValueError(f"a secret of the caller's: {event.facts}")


async def leaves_the_program(event: CallEvent, call: CallControl) -> None:
    raise SystemExit(3)


def leaves_the_program_from_a_thread(event: CallEvent, call: CallControl) -> None:
    raise SystemExit(3)


async def spoils_what_it_is_given(event: CallEvent, call: CallControl) -> None:
    for things in (event.facts, call.observations):
        things.clear()  # type: ignore[attr-defined]
    raise KeyError


@pytest.mark.parametrize(
    "function",
    [
        hangs,
        swallows_its_cancellation,
        raises,
        leaves_the_program,
        leaves_the_program_from_a_thread,
        spoils_what_it_is_given,
    ],
)
@pytest.mark.parametrize("timeout_s", [0.5, 30.0])
def test_broken_handler_harms_nothing(
    function: Callable[[CallEvent, CallControl], object],
    timeout_s: float,
    undisturbed: Rehearsal,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The same call to the millisecond, and one that comes after the broken one is still told how it ended."""
    told: list[str] = []

    @handler("end")
    async def comes_after(event: CallEvent, call: CallControl) -> None:
        told.append(event.kind)

    rehearsal = play(VISIT, handler(timeout_s=timeout_s)(function), comes_after)
    assert rehearsal.problems == ()
    assert timed(rehearsal) == timed(undisturbed)
    assert lived(rehearsal) == lived(undisturbed)
    assert rehearsal.received[0].at_s == pytest.approx(undisturbed.received[0].at_s, abs=0.01)
    assert told == ["end"]
    assert f"handler {function.__name__} " in caplog.text
    assert "secret" not in caplog.text
    assert "Lovelace" not in caplog.text


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_handler_that_hangs_in_its_thread_harms_nothing(
    released: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """On real sockets: virtual time would wait for the thread."""
    told: list[str] = []

    @handler(timeout_s=0.3)
    def hangs_in_its_thread(event: CallEvent, call: CallControl) -> None:
        released.wait(120)

    @handler()
    def comes_after(event: CallEvent, call: CallControl) -> None:
        told.append(event.kind)

    shelf = with_handlers(hangs_in_its_thread, comes_after)
    rehearsal = asyncio.run(rehearse(HANGS_UP, shelf))
    assert rehearsal.problems == ()
    assert told[0] == "phase"
    assert told[-1] == "end"
    assert "handler hangs_in_its_thread took longer" in caplog.text
    assert caplog.text.count("still hangs in an earlier event") == 1


# ---- steering -------------------------------------------------------------------------------------------------------


def at_the_name(steer: Callable[[CallControl], None]) -> Handler:
    @handler("observation")
    def steers(event: CallEvent, call: CallControl) -> None:
        if event.facts == NAME:
            steer(call)

    return steers


def test_words_of_a_handler_are_heard_exactly() -> None:
    words = "Your call may be recorded for training."
    expected = replace(QUIET.expected, statements=(words,))
    rehearsal = play(replace(QUIET, expected=expected), at_the_name(lambda call: call.say(words)))
    assert rehearsal.problems == ()
    assert [said.complete for said in rehearsal.result.bot_said if said.text == words] == [True]


def test_note_of_a_handler_reaches_the_model() -> None:
    rehearsal = play(VISIT, at_the_name(lambda call: call.note("Ada Lovelace is a regular: be quick.")))
    assert rehearsal.problems == ()
    items = [
        one.event["item"]
        for one in rehearsal.sessions[0].transcript
        if one.sender == "client" and one.event is not None and one.event["type"] == "conversation.item.create"
    ]
    told = [item for item in items if "be quick" in str(item)]
    assert [item["role"] for item in told] == ["system"]  # type: ignore[index, call-overload]
    assert "note_given" in [entry.kind for entry in rehearsal.journal]


def test_handler_hangs_up_with_a_goodbye() -> None:
    said = Exchange(
        Say("Hello, this is Ada Lovelace."),
        (
            (noted(name=("Ada Lovelace", "this is Ada Lovelace")),),
            (Says("Hello Ada, what can I do for you today?"),),
            (Says("I am sorry, we close now. Goodbye, Ada!"),),
        ),
    )
    scenario = Scenario("sent away", "visit", (said,), Expected(phases=("reception",), ended_reason="completed"))
    rehearsal = play(scenario, at_the_name(lambda call: call.hang_up()))
    assert rehearsal.problems == ()
    assert rehearsal.result.ended_by == "server"
    assert rehearsal.result.bot_said[-1].complete


def test_handler_that_answers_the_bot_is_bounded() -> None:
    """One that speaks whenever the bot has spoken would keep it talking for ever."""

    @handler("transcript")
    async def echoes(event: CallEvent, call: CallControl) -> None:
        if event.facts["speaker"] == "bot":
            for _ in range(100):
                call.say("Echo!")

    rehearsal = play(QUIET, echoes)
    echoed = [said for said in rehearsal.result.bot_said if said.text == "Echo!"]
    assert 0 < len(echoed) <= 50
    assert rehearsal.report["ended_reason"] == "completed"
