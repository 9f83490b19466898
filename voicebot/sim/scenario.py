"""A rehearsal written down: what the caller says and does, what the model answers, and what must come of it.

A scenario stands beside its flow (`flows/scenarios/NAME.py` holds `scenarios = [Scenario(…), …]`). The caller's words
reach the model as audio and the model's words reach the caller as audio; a scenario fails if either side hears
anything else, if a line is left over, or if the report differs from what is expected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from runpy import run_path

from voicebot.errors import ScenarioError

from .brain import Calls, Output, ScriptedBrain, Turn
from .caller import HangUp, Hear, Interrupt, Listen, Press, Say, Step, Wait


@dataclass(frozen=True)
class Exchange:
    """What the caller does, and the replies of the model that follow.

    `caller` is a step of the caller, None for a reply that nobody's words ask for (a greeting, a nudge). `replies`
    holds the outputs of one response each: function calls first, for instance, then what is said after their answers.
    """

    caller: Step | None
    replies: tuple[tuple[Output, ...], ...] = ()


def noted(**said: tuple[object, str]) -> Calls:
    """The model records these values, each from words of the caller: `noted(name=("Ada", "I am Ada"))`."""
    return Calls("record", {name: {"value": value, "quote": quote} for name, (value, quote) in said.items()})


@dataclass(frozen=True)
class Expected:
    """What the report must say. Only what is given is compared; `observations` by the names it holds.

    `interruptions` counts the bot's utterances that the caller cut short. `statements` are those of the flow's
    `must_say` that the caller must have heard to their end, with their values in place.
    """

    phases: tuple[str, ...] | None = None
    observations: Mapping[str, object] = field(default_factory=dict)
    outcome: str | None = None
    ended_reason: str | None = None
    interruptions: int | None = None
    statements: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """One call, from the dialling to the report. `caller_number` is `anonymous` for a withheld number."""

    name: str
    flow: str
    exchanges: tuple[Exchange, ...]
    expected: Expected
    caller_number: str = "+15550123456"
    called_number: str = "+15550100000"
    title: str = ""

    def steps(self) -> tuple[Step, ...]:
        """The caller's script; at its end the caller waits for the other side to hang up."""
        return tuple(exchange.caller for exchange in self.exchanges if exchange.caller is not None)

    def spoken(self) -> tuple[str, ...]:
        """The caller's lines."""
        return tuple(words for exchange in self.exchanges if (words := _words(exchange.caller)) is not None)

    def brain(self) -> ScriptedBrain:
        """The model's script."""
        return ScriptedBrain([Turn(_words(exchange.caller), exchange.replies) for exchange in self._heard()])

    def _heard(self) -> list[Exchange]:
        """Exchanges that the model takes part in: those with words, and replies that no words ask for."""
        return [exchange for exchange in self.exchanges if _words(exchange.caller) is not None or exchange.replies]


def _words(step: Step | None) -> str | None:
    return step.text if isinstance(step, Say | Interrupt) else None


def load_scenarios(path: Path) -> list[Scenario]:
    """Read a file of scenarios.

    Raises:
        ScenarioError: there is no such file, or it holds no `scenarios`.
    """
    if not path.is_file():
        raise ScenarioError(f"there is no scenario file {path}")
    found = run_path(str(path)).get("scenarios")
    if not isinstance(found, list) or not all(isinstance(one, Scenario) for one in found) or not found:
        raise ScenarioError(f"{path} must hold scenarios = [Scenario(…), …]")
    return found


__all__ = [
    "Exchange",
    "Expected",
    "HangUp",
    "Hear",
    "Interrupt",
    "Listen",
    "Press",
    "Say",
    "Scenario",
    "Wait",
    "load_scenarios",
    "noted",
]
