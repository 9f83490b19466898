"""Flows for the chat's tests, and what stands in for the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from voicebot.flow import (
    After,
    AskAgain,
    Flow,
    HangUp,
    Limits,
    Observations,
    Phase,
    Report,
    Say,
    To,
    ask,
    it,
    otherwise,
    tool,
)
from voicebot.flow.loader import LoadedFlow, load_flow
from voicebot.sim.brain import Context, Output, Says


class Visit(Observations):
    name: str = ask("the caller's name")
    people: Annotated[int, Field(ge=1, le=8)] = ask("for how many people")
    sure: bool = ask("a clear yes or no to the table")


@tool
def tables(people: int) -> list[str]:
    """Which tables are free."""
    return ["by the window"] if people < 5 else []


@tool
def broken() -> str:
    """Breaks."""
    raise ZeroDivisionError


def visit(**changed: object) -> Flow:
    """Two questions, a statement, a goodbye."""
    parts: dict[str, object] = {
        "goal": "Book a table.",
        "observations": Visit,
        "opening": Say("Harbour Table, good day!"),
        "limits": Limits(duration="1s", silence=[After("1s", AskAgain()), After("2s", HangUp())]),
        "phases": [
            Phase(
                "wishes",
                instructions="Ask who is coming.",
                observations=[it.name, it.people],
                tools=[tables, broken],
                transitions=[To("confirm")],
            ),
            Phase(
                "confirm",
                instructions="Confirm.",
                observations=[it.sure],
                must_say=[Say("A table for {people}, {name}.", name="table")],
                transitions=[To("bye")],
            ),
            Phase("bye", instructions="Say goodbye.", end=HangUp()),
        ],
        "report": Report(outcome={"booked": it.sure.yes, "nothing": otherwise}),
    }
    return Flow(**(parts | changed))  # type: ignore[arg-type]


def loaded(flow: Flow | None = None) -> LoadedFlow:
    return load_flow("visit", flow or visit())


class Script:
    """A brain that gives these outputs, one tuple per response, and remembers what it was asked."""

    def __init__(self, *replies: Sequence[Output]) -> None:
        self._replies, self.asked = list(replies), list[Context]()

    def respond(self, context: Context) -> Sequence[Output]:
        self.asked.append(context)
        return self._replies.pop(0) if self._replies else (Says("Goodbye!"),)
