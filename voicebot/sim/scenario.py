"""A rehearsal written down: what the caller says and does, what the model answers, and what must come of it.

Scenarios stand beside their flow: `flows/scenarios/NAME.py` holds `scenarios = [Scenario(…), …]`, and `NAME.yaml` says
the same in fewer words (`scenario_yaml` reads it). The caller's words reach the model as audio and the model's words
reach the caller as audio; a scenario fails if either side hears anything else, if a line is left over, or if the report
differs from what is expected.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from runpy import run_path
from types import FrameType

from voicebot.errors import ScenarioError

from .brain import Calls, Output, ScriptedBrain, Turn
from .caller import HangUp, Hear, Interrupt, LeaveMessage, Listen, Press, Say, Step, Wait
from .matchers import AtLeast, AtMost, Holding, OneOf, Something
from .parties import CallOut, Rung
from .steady_brain import SteadyBrain

SUFFIXES = (".py", ".yaml", ".yml")  # of files of scenarios
_LEFT_ALONE = ("_", ".", "test_")  # as among flows


@dataclass(frozen=True)
class Exchange:
    """What the caller does, and the replies of the model that follow.

    `caller` is a step of the caller, None for a reply that nobody's words ask for (a greeting, a nudge). `replies`
    holds the outputs of one response each: function calls first, for instance, then what is said after their answers.
    """

    caller: Step | None
    replies: tuple[tuple[Output, ...], ...] = ()


# ---- what the model makes of the caller's words ---------------------------------------------------------------------


def noted(**said: tuple[object, str]) -> Calls:
    """The model records these values, each from words of the caller: `noted(name=("Ada", "I am Ada"))`."""
    return Calls("record", {name: {"value": value, "quote": quote} for name, (value, quote) in said.items()})


def confirmed(**said: str) -> Calls:
    """The model records that the caller said yes to what was read back: `confirmed(address="yes, that's right")`."""
    return Calls("record", {name: {"confirmed": True, "quote": quote} for name, quote in said.items()})


def declined(**said: str) -> Calls:
    """The model records that the caller does not want to tell: `declined(occasion="that's private")`."""
    return Calls("record", {name: {"declined": True, "quote": quote} for name, quote in said.items()})


def judged_as(criterion: str, holds: bool, quote: str) -> Calls:
    """The model's verdict on a criterion in words, `judged(criterion)` in the flow."""
    return Calls("judge", {"criterion": " ".join(criterion.split()), "holds": holds, "quote": quote})


def rule(name: str, quote: str) -> Calls:
    """The model applies one of the flow's rules: `rule("human", "I want to talk to a person")`."""
    return Calls("apply_rule", {"rule": name, "quote": quote})


def concluded(summary: str, **said: tuple[object, str]) -> Calls:
    """What the model makes of the call when it is over, with what the caller said and nobody recorded.

    `concluded("Ada wants a cake.", day=("Monday", "on Monday"))`
    """
    found = {name: {"value": value, "quote": quote} for name, (value, quote) in said.items()}
    return Calls("conclude", {"summary": summary, **({"said": found} if found else {})})


# ---- a scenario -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expected:
    """What the report must say. Only what is given is compared; `observations` and `evidence` by the names they hold.

    Attributes:
        phases: every phase that was entered, in order.
        observations: values in JSON form, None for one that is not there.
        evidence: states of evidence: `{"phone": "confirmed"}`.
        statements: those of the flow's `must_say`, values in place, that the caller must have heard to their end.
        tools: the flow's own tools that ran, in the order in which they answered.
        interruptions: the bot's utterances that the caller cut short.
        silences: rungs of the silence ladder that were reached.
        max_response_ms: the longest that the caller may have waited for an answer.
        analysis: what became of the look back at the call, `done` or `skipped`.
        summary: what it says.
        filled_after: the fields that were filled when the call was over, in the order of the flow.
        passed_on: where the phone line took the caller, and what came of it:
            `("transfer: busy", "voicemail: recorded")`.
        report: `data` of the report itself, field by field and as deep as is written, with matchers where a value is
            only bounded: `{"transfer": {"result": "completed", "talk_s": AtLeast(5)}}`; see `matchers`.
    """

    phases: tuple[str, ...] | None = None
    observations: Mapping[str, object] = field(default_factory=dict)
    outcome: str | None = None
    ended_reason: str | None = None
    interruptions: int | None = None
    statements: tuple[str, ...] = ()
    evidence: Mapping[str, str] = field(default_factory=dict)
    tools: tuple[str, ...] | None = None
    silences: int | None = None
    max_response_ms: int | None = None
    analysis: str | None = None
    summary: str | None = None
    filled_after: tuple[str, ...] | None = None
    passed_on: tuple[str, ...] | None = None
    report: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """One call, from the dialling to the report.

    `caller_number` is `anonymous` for a withheld number. `analysis` is what the model makes of the call when it is over
    (see `concluded`), where the flow asks for that. `calls_out`: the flow calls, from `called_number`, its own, and
    `caller_number` is rung. `transfer` has what becomes of whom the phone line rings for the caller, by the name of the
    target (or its number), one after the other. `variations=False`: its course hangs on when things happen, so that it
    is played over the whole path alone. `at`: when somebody dials (aware), where the hour matters; by default it is a
    Monday morning. `settings` of the server for this call: prices, what a caller gets for whom there is no place.
    `place` is the `file:line` where it was written.
    """

    name: str
    flow: str
    exchanges: tuple[Exchange, ...]
    expected: Expected
    caller_number: str = "+15550123456"
    called_number: str = "+15550100000"
    title: str = ""
    analysis: Calls | None = None
    calls_out: CallOut | None = None
    transfer: Mapping[str, Sequence[Rung]] = field(default_factory=dict)
    variations: bool = True
    at: datetime | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    place: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.place:
            object.__setattr__(self, "place", _calling_place())

    @property
    def needs_whole_call(self) -> bool:
        """Whether a table cannot play it: another leg, an hour, a server of its own, nobody who talks, one course."""
        return bool(self.transfer or self.settings) or self.at is not None or not (self.talks and self.variations)

    @property
    def talks(self) -> bool:
        """Whether a human being follows the script."""
        return self.calls_out is None or self.calls_out.meets == "person"

    def steps(self) -> tuple[Step, ...]:
        """The caller's script; at its end the caller waits for the other side to hang up."""
        return tuple(exchange.caller for exchange in self.exchanges if exchange.caller is not None)

    def spoken(self) -> tuple[str, ...]:
        """The caller's lines."""
        return tuple(words for exchange in self.exchanges if (words := _words(exchange.caller)) is not None)

    def brain(self) -> ScriptedBrain:
        """The model's script."""
        return ScriptedBrain(self._turns(), analysis=self.analysis)

    def steady_brain(self) -> SteadyBrain:
        """The model's script, for calls that change hands; any number of calls may share it."""
        return SteadyBrain(self._turns())

    def _turns(self) -> list[Turn]:
        return [Turn(_words(exchange.caller), exchange.replies) for exchange in self._heard()]

    def _heard(self) -> list[Exchange]:
        """Exchanges that the model takes part in: those with words, and replies that no words ask for."""
        return [exchange for exchange in self.exchanges if _words(exchange.caller) is not None or exchange.replies]


def _words(step: Step | None) -> str | None:
    return step.text if isinstance(step, Say | Interrupt) else None


def _calling_place() -> str:
    """`file:line` of the nearest caller that is a file and not this one; dataclasses are made of text."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (frame.f_code.co_filename == __file__ or frame.f_code.co_filename.startswith("<")):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""


# ---- files of scenarios ---------------------------------------------------------------------------------------------


def load_scenarios(path: Path, flows: Sequence[str] = ()) -> list[Scenario]:
    """Read a file of scenarios, or a folder of such files.

    Args:
        path: a `.py` or a `.yaml` file, or a folder.
        flows: of a folder, read only `NAME.py` and `NAME.yaml` of these names.

    Raises:
        ScenarioError: nothing is there, a file is wrong (with file and line), or two scenarios of a flow share a name.
    """
    paths = [path] if path.suffix in SUFFIXES else _files_in(path, flows)
    found = [scenario for one in paths for scenario in _read(one)]
    if not found:
        raise ScenarioError(f"there are no scenarios in {path}")
    _refuse_twins(found)
    return found


def _files_in(folder: Path, flows: Sequence[str]) -> Iterator[Path]:
    if not flows and folder.is_dir():
        yield from sorted(
            path for path in folder.glob("*") if path.suffix in SUFFIXES and not path.name.startswith(_LEFT_ALONE)
        )
    for name in flows:
        paths = [path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()]
        if not paths:
            raise ScenarioError(f"there is no scenario file {folder / name}.py or .yaml")
        yield from paths


def _read(path: Path) -> list[Scenario]:
    if not path.is_file():
        raise ScenarioError(f"there is no scenario file {path}")
    if path.suffix != ".py":
        from .scenario_yaml import read_yaml  # only those who write YAML wait for its reader

        return read_yaml(path)
    return _run(path)


def _run(path: Path) -> list[Scenario]:
    try:
        found = run_path(str(path)).get("scenarios")
    except SyntaxError as exc:
        raise ScenarioError(f"{exc.filename or path}:{exc.lineno or 1}: syntax error: {exc.msg}") from exc
    except (Exception, SystemExit) as exc:  # an author's file may raise anything; what it raised is said with its line
        raise ScenarioError(f"{_line_in(path, exc)}: {type(exc).__name__}: {exc}") from exc
    if not isinstance(found, list) or not all(isinstance(one, Scenario) for one in found) or not found:
        raise ScenarioError(f"{path} must hold scenarios = [Scenario(…), …]")
    return found


def _line_in(path: Path, error: BaseException) -> str:
    """`file:line` of the deepest frame inside the author's file."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _refuse_twins(scenarios: Iterable[Scenario]) -> None:
    known: dict[tuple[str, str], Scenario] = {}
    for one in scenarios:
        first = known.get((one.flow, one.name))
        if first is not None:
            raise ScenarioError(
                f"{one.place}: {one.flow} has another scenario {one.name!r}, at {first.place} (rename one of them)"
            )
        known[one.flow, one.name] = one


__all__ = [
    "AtLeast",
    "AtMost",
    "CallOut",
    "Exchange",
    "Expected",
    "HangUp",
    "Hear",
    "Holding",
    "Interrupt",
    "LeaveMessage",
    "Listen",
    "OneOf",
    "Press",
    "Rung",
    "Say",
    "Scenario",
    "Something",
    "Wait",
    "concluded",
    "confirmed",
    "declined",
    "judged_as",
    "load_scenarios",
    "noted",
    "rule",
]
