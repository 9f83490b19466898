"""One run of a tool: what it comes to in words, what it may say and hand in, and where that ends."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from tests.fakes import CALL_SID
from voicebot.call import tool_run
from voicebot.call.daemon_threads import DaemonThreads
from voicebot.call.events import StartTool
from voicebot.call.tool_run import SAYS_PER_RUN, run_tool
from voicebot.engine.events import ToolFinished
from voicebot.errors import ToolError
from voicebot.flow import ToolContext, tool
from voicebot.flow.tools import Tool
from voicebot.sim.clock import run_virtual

CALLER = "+15550123456"


@dataclass
class Ran:
    """What came of a run: how it ended, and what it had said."""

    finished: ToolFinished
    said: list[str]


async def run(one: Tool, observations: Mapping[str, object] | None = None, **arguments: object) -> Ran:
    said: list[str] = []
    wanted = StartTool("c1", one.name, arguments, f"{CALL_SID}:c1")
    finished = await run_tool(
        one, wanted, call_sid=CALL_SID, caller=CALLER, observations=observations or {}, say=said.append
    )
    return Ran(finished, said)


def made(function: Callable[..., object], timeout_s: float = 2.0) -> Tool:
    function.__doc__ = "Do it."
    return tool(timeout_s=timeout_s)(function)


# ---- what it is given -----------------------------------------------------------------------------------------------


def test_tool_is_given_its_context() -> None:
    @tool
    def tells(context: ToolContext, what: str) -> list[object]:
        """Tell what is known."""
        return [what, context.call_sid, context.idempotency_key, dict(context.observations), context.caller]

    ran = run_virtual(run(tells, {"day": date(2026, 3, 2)}, what="x"))
    output = f'["x", "{CALL_SID}", "{CALL_SID}:c1", {{"day": "2026-03-02"}}, "{CALLER}"]'
    assert ran.finished == ToolFinished("c1", output, ok=True)


def test_observations_of_the_call_stay_as_they_are() -> None:
    @tool
    async def spoils(context: ToolContext) -> None:
        """Change what it was given."""
        context.observations["items"].append("a piano")  # type: ignore[attr-defined]

    observations = {"items": ["a cup"]}
    assert run_virtual(run(spoils, observations)).finished.ok
    assert observations == {"items": ["a cup"]}


# ---- what it comes to -----------------------------------------------------------------------------------------------


class NeverTwice:
    def __str__(self) -> str:
        raise ValueError("no words for it")


GO_ON = "; tell the caller, and go on without it"


@pytest.mark.parametrize(
    ("error", "words", "refused"),
    [
        (
            ToolError("There is no table for nine; offer two of them."),
            "There is no table for nine; offer two of them.",
            True,
        ),
        (ToolError("half a pair \ud83d"), "half a pair ?", True),
        (ToolError(""), f"does_it did not do it{GO_ON}", True),
        (ToolError(NeverTwice()), f"does_it did not do it{GO_ON}", True),
        (ZeroDivisionError("private"), f"does_it failed (ZeroDivisionError){GO_ON}", False),
        (SystemExit("private"), f"does_it failed (SystemExit){GO_ON}", False),
        (asyncio.CancelledError("private"), f"does_it was cancelled{GO_ON}", False),
        (TimeoutError("private"), f"does_it took too long{GO_ON}", False),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("is_async", [True, False])
def test_tool_that_fails_says_so(
    error: BaseException, words: str, refused: bool, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def does_it(context: ToolContext) -> str:
        context.record(total="12.50")
        raise error

    def does_it_in_its_thread(context: ToolContext) -> str:
        context.record(total="12.50")
        raise error

    does_it_in_its_thread.__name__ = "does_it"
    ran = run_virtual(run(made(does_it if is_async else does_it_in_its_thread)))
    assert ran.finished == ToolFinished("c1", words, ok=False, refused=refused)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{type(error).__name__}" in record.message
    assert "private" not in record.message
    assert record.call_sid == CALL_SID  # type: ignore[attr-defined]


def test_tool_is_given_up_at_its_limit() -> None:
    async def hangs() -> str:
        await asyncio.sleep(3600)
        return "late"

    ran = run_virtual(run(made(hangs)))
    assert ran.finished == ToolFinished("c1", f"hangs took too long{GO_ON}", ok=False)


def test_tool_may_return_without_end() -> None:
    """What is returned is written out where the tool ran and within its time, not on the loop."""

    def counts() -> object:
        return (threading.current_thread().name.partition("-")[0] for _ in range(2))

    assert run_virtual(run(made(counts))).finished.output == '["tool", "tool"]'


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_tools_fail_in_words_when_all_threads_hang(
    released: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_run, "TOOL_THREADS", DaemonThreads("hung", most=2, waiting=2))

    def hangs() -> None:
        released.wait(60)

    stuck = await asyncio.gather(*(run(made(hangs, 0.2)) for _ in range(2)))
    assert [one.finished.output for one in stuck] == [f"hangs took too long{GO_ON}"] * 2
    more = await asyncio.gather(*(run(made(hangs, 0.2)) for _ in range(5)))
    assert {one.finished for one in more} == {
        ToolFinished("c1", f"hangs cannot run now{GO_ON}", ok=False, refused=True)
    }

    async def works() -> str:
        return "on the loop"

    def works_in_its_thread() -> str:
        return "again"

    assert (await run(made(works))).finished.ok
    released.set()
    assert (await run(made(works_in_its_thread, 30.0))).finished.ok


# ---- what it says ---------------------------------------------------------------------------------------------------


def says(context: ToolContext, many: int) -> str:
    for number in range(many):
        context.say(f" {number} ")
    context.say("")
    return "done"


async def says_on_the_loop(context: ToolContext, many: int) -> str:
    return says(context, many)


@pytest.mark.parametrize("function", [says, says_on_the_loop])
@pytest.mark.parametrize(("many", "heard"), [(0, 0), (3, 3), (SAYS_PER_RUN, SAYS_PER_RUN), (50, SAYS_PER_RUN)])
def test_tool_may_say_a_few_things(function: Callable[..., object], many: int, heard: int) -> None:
    ran = run_virtual(run(made(function), many=many))
    assert ran.said == [str(number) for number in range(heard)]
    assert ran.finished.ok


async def test_late_tool_says_and_hands_in_nothing(released: threading.Event) -> None:
    came_back = threading.Event()

    def is_late(context: ToolContext) -> None:
        context.say("One moment.")
        context.record(total="1.00")
        released.wait(60)
        context.say("Still here.")
        context.record(total="2.00")
        came_back.set()

    ran = await run(made(is_late, 0.2))
    released.set()
    assert await asyncio.to_thread(came_back.wait, 60)
    assert ran.said == ["One moment."]
    assert ran.finished == ToolFinished("c1", f"is_late took too long{GO_ON}", ok=False)


# ---- what it hands in -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "records"),
    [
        ({}, {}),
        ({"total": Decimal("26.50")}, {"total": "26.50"}),
        ({"day": date(2026, 3, 2), "people": 4}, {"day": "2026-03-02", "people": 4}),
        ({"items": ({"name": "a cup"}, None)}, {"items": [{"name": "a cup"}, None]}),
        ({"ratio": float("nan")}, {"ratio": None}),
    ],
)
def test_tool_hands_in_observations(given: Mapping[str, Any], records: Mapping[str, object]) -> None:
    def looks(context: ToolContext) -> str:
        context.record(**given)
        return "there"

    assert run_virtual(run(made(looks))).finished == ToolFinished("c1", "there", ok=True, records=records)


def test_tool_may_hand_in_twice() -> None:
    def looks(context: ToolContext) -> dict[str, int]:
        context.record(total="1.00", day="monday")
        context.record(total="2.00")
        return {"total": 2}

    finished = run_virtual(run(made(looks))).finished
    assert finished.records == {"total": "2.00", "day": "monday"}
    assert finished.output == '{"total": 2}'


def test_value_without_a_form_is_complained_of() -> None:
    circle: list[object] = []
    circle.append(circle)

    async def looks(context: ToolContext) -> str:
        context.record(total=object(), day="monday", note="\ud83d", words=circle)
        context.record(total=b"\xff")
        return "there"

    finished = run_virtual(run(made(looks))).finished
    assert finished.ok
    assert finished.records == {"day": "monday"}
    assert finished.output == "there\nNot recorded, because it has no JSON form: total, note, words."
