"""People and models for random conversations: plain ones that work together, and a model that lies.

The plain model asks for one thing at a time by its name, and the plain caller answers with it; so any flow can be
talked through to its end. The liar proposes whatever comes to mind: values of wrong types, unknown fields, words that
nobody said, calls out of phase, ends before their time. What the engine made of it is judged from the journal, with
rules of its own.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from tests.flow.random_flows import valid_values
from voicebot.call.entries import CallEnded, Entry
from voicebot.engine.entries import (
    EngineEntry,
    ObservationRecorded,
    PhaseEntered,
    ToolStarted,
)
from voicebot.engine.state import EngineState, apply
from voicebot.flow.expressions import Heard, Judged
from voicebot.flow.model import Flow, Phase, To
from voicebot.sim.brain import Calls, Context, Output, Says
from voicebot.sim.caller import Act, Moment, PressKey, PutDown, Speak
from voicebot.sim.table import TableRead

PAUSE_MS = 700
INVENTED = "zebras juggle quantum marmalade"  # nobody ever says it

# ---- a plain model and a plain caller -------------------------------------------------------------------------------


def _section(instructions: str, title: str) -> list[str]:
    """The names listed under a heading of the instructions."""
    found = re.search(rf"^# {title}\n(.*?)(?=\n\n# |\Z)", instructions, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"^- ([^:\n]+)", found[1], flags=re.MULTILINE) if found else []


def _worked_out_from(instructions: str) -> list[str]:
    """The answers that could be changed so that what could not be worked out can be."""
    found = re.findall(r"^- .*\(worked out from (\w+(?:, \w+)*)\)$", instructions, flags=re.MULTILINE)
    return list(dict.fromkeys(name for names in found for name in names.split(", ")))


class PlainModel:
    """Asks for one thing after the other, as its instructions say, and records what the caller answers."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._heard = 0  # words of the caller that were dealt with
        self._changed = 0  # answers that the caller was asked to change
        self._used: set[str] = set()

    def respond(self, context: Context) -> Sequence[Output]:
        spoken = [item.text for item in context.items if item.kind == "message" and item.role == "user"]
        new, self._heard = spoken[self._heard :], len(spoken)
        calls = [call for words in new for call in self._understood(words, context)]
        return calls or [Says(self._question(context))]

    def _understood(self, words: str, context: Context) -> Iterator[Calls]:
        if given := re.fullmatch(r"(\w+) is (.+)", words):
            with suppress(ValueError):  # he was cut off because his time was over
                yield Calls("record", {given[1]: {"value": json.loads(given[2]), "quote": words}})
        elif agreed := re.fullmatch(r"yes, (\w+) is right", words):
            yield Calls("record", {agreed[1]: {"quote": words, "confirmed": True}})
        for criterion in _section(context.instructions, "To judge with `judge`"):
            yield Calls("judge", {"criterion": criterion, "holds": True, "quote": words})
        free = [tool for tool in context.tools if str(tool["name"]).startswith(("find_", "look_"))]
        for tool in free:
            parameters: Any = tool["parameters"]
            if tool["name"] not in self._used:
                self._used.add(str(tool["name"]))
                yield Calls(str(tool["name"]), dict.fromkeys(parameters.get("required", ()), "anything"))

    def _question(self, context: Context) -> str:
        if not context.tools:
            return "Goodbye."
        for name in _section(context.instructions, "Still to find out now"):
            return f"Please tell me {name}."
        for name in _section(context.instructions, "To read back now"):
            return f"Is {name} right?"
        if changeable := _worked_out_from(context.instructions):
            self._changed += 1
            return f"Please tell me {changeable[self._changed % len(changeable)]}."
        return "Is there anything else?"


class PlainCaller:
    """Answers what he is asked with the value he has for it; says that there is nothing else otherwise."""

    def __init__(self, flow: Flow, seed: int) -> None:
        chance = random.Random(seed)
        self.flow = flow
        self.values = {
            name: chance.choice(valid_values(spec)) for name, spec in flow.specs.items() if spec.ask.computed is None
        }
        self.problems: list[str] = []
        self.asked: list[str] = []
        self._question = ""
        self._silent_from = 0.0
        self._waits = False

    def step(self, moment: Moment) -> Sequence[Act]:
        if moment.audible or moment.speaking:
            self._silent_from = moment.at_ms
        for heard in moment.said:
            if heard.complete:
                self._question, self._waits = heard.text, True
        if not self._waits or moment.at_ms - self._silent_from < PAUSE_MS:
            return []
        self._waits = False
        return [Speak(self._answer())]

    def _answer(self) -> str:
        if asked := re.search(r"Please tell me (\w+)\.", self._question):
            name = asked[1]
            if name in self.asked and name in self.flow.specs:  # it was no good
                others = valid_values(self.flow.specs[name])
                self.values[name] = others[(others.index(self.values[name]) + 1) % len(others)]
            self.asked.append(name)
            return f"{name} is {json.dumps(self.values.get(name), ensure_ascii=False)}"
        if asked := re.search(r"Is (\w+) right\?", self._question):
            return f"yes, {asked[1]} is right"
        return "nothing else, please go on"

    def line_ended(self, at_ms: float) -> None:
        """He hangs up too."""


# ---- a liar, and a caller who says anything -------------------------------------------------------------------------

_WORDS = ("yes", "no", "tomorrow", "two of them please", "my name is Ada", "milk and nuts", "Via Roma", "eight", "soon")
_JUNK: tuple[Any, ...] = (
    None,
    True,
    -1,
    7,
    3.5,
    "",
    "two",
    "pickup",
    [],
    ["milk"],
    {},
    {"street": 1},
    "2026-11-22",
    10**30,
)


class Liar:
    """Proposes whatever comes to mind."""

    def __init__(self, flow: Flow, seed: int) -> None:
        self.problems: list[str] = []
        self._flow, self._chance = flow, random.Random(seed)

    def respond(self, context: Context) -> Sequence[Output]:
        chance = self._chance
        if chance.random() < 0.3:
            return [Says(chance.choice(["Well.", "The total is 99.", "Go on, please.", "Goodbye!"]))]
        calls = [self._call(context) for _ in range(chance.choice([1, 1, 2, 3]))]
        return [Says("One moment."), *calls] if chance.random() < 0.2 else calls

    def _call(self, context: Context) -> Calls:
        chance = self._chance
        name = chance.choice([*context.tool_names, "record", "record", "record", "judge", "place_order", "goto_end"])
        spoken = [item.text for item in context.items if item.role == "user" and item.text] or ["hello"]
        quote = chance.choice([spoken[-1], spoken[-1], chance.choice(spoken), INVENTED, chance.choice(["", None, 5])])
        fields = [*self._flow.specs, "nowhere"]
        phases = [*self._flow.by_name, "nowhere"]
        if chance.random() < 0.05:
            return Calls(name, chance.choice(["{", "[]", "null", '"x"', '{"a": NaN}']))
        match name:
            case "record":
                named = chance.sample(fields, k=min(len(fields), chance.choice([1, 1, 2, 4])))
                return Calls("record", {one: self._proposal(one, quote) for one in named})
            case "judge":
                criterion = chance.choice([*_section(context.instructions, "To judge with `judge`"), "all is well"])
                return Calls(
                    "judge", {"criterion": criterion, "holds": chance.choice([True, False, "yes"]), "quote": quote}
                )
            case "request_phase":
                return Calls("request_phase", {"phase": chance.choice(phases), "reason": "because"})
            case "apply_rule":
                rules = [rule.name for rule in self._flow.rules] + ["nothing"]
                return Calls("apply_rule", {"rule": chance.choice(rules), "quote": quote})
            case "end_call":
                reasons = ["goal_reached", "goal_reached", "caller_wants_to_stop", "boredom"]
                return Calls("end_call", {"reason": chance.choice(reasons)} if chance.random() < 0.5 else {})
        return Calls(name, chance.choice([{}, {"words": "x"}, {"seats": 2}, {"nowhere": 1}]))

    def _proposal(self, name: str, quote: object) -> object:
        chance, spec = self._chance, self._flow.specs.get(name)
        honest = spec is not None and chance.random() < 0.6
        value = chance.choice(valid_values(spec)) if honest and spec is not None else chance.choice(_JUNK)
        proposal = {"value": value, "quote": quote}
        match chance.randrange(8):
            case 0:
                return {**proposal, "confirmed": True}
            case 1:
                return {"quote": quote, "confirmed": True}
            case 2:
                return {"quote": quote, "declined": True}
            case 3:
                return value
        return proposal


class Anyone:
    """Says something now and then, presses keys, is silent, and hangs up in the end."""

    def __init__(self, seed: int, turns: int = 9) -> None:
        self.problems: list[str] = []
        self._chance = random.Random(seed)
        self._turns = turns
        self._next_ms = 2500.0

    def step(self, moment: Moment) -> Sequence[Act]:
        if moment.speaking or moment.at_ms < self._next_ms:
            return []
        chance = self._chance
        self._next_ms = moment.at_ms + chance.choice([1200, 2500, 4000, 9000])
        self._turns -= 1
        if self._turns < 0:
            return [PutDown()]
        if chance.random() < 0.12:
            return [PressKey(chance.choice("0159#"))]
        return [Speak(chance.choice(_WORDS))]

    def line_ended(self, at_ms: float) -> None:
        """So be it."""


# ---- the judge ------------------------------------------------------------------------------------------------------


def wrongs(read: TableRead) -> list[str]:
    """What the engine let pass and should not have, from the journal alone."""
    flow, state = read.loaded.flow, EngineState(read.loaded.flow.initial_phase)
    found = [problem for problem in read.problems if problem.startswith("the call")]
    if not any(isinstance(entry, CallEnded) for _, entry in read.journal):
        found.append("the call never ended")
    for at_ms, entry in read.journal:
        if not isinstance(entry, EngineEntry):
            continue
        match entry:
            case PhaseEntered(previous=str()):
                found += [f"{at_ms} ms: {problem}" for problem in _entered(flow, state, entry)]
            case ObservationRecorded(kind="speech", quote=quote, turn=turn) if not quote.strip() or turn < 1:
                found.append(f"{at_ms} ms: {entry.name} was recorded without evidence")
            case ToolStarted(tool=tool) if tool in flow.once:
                found += [f"{at_ms} ms: {tool} ran on {problem}" for problem in _soft_ground(flow, state, tool)]
                ran = [one for _, one in read.journal if isinstance(one, ToolStarted) and one.tool == tool]
                if len(ran) > 1 and not flow.once[tool].idempotent and _answered_ok_or_unknown(read.journal, tool) > 1:
                    found.append(f"{tool} ran {len(ran)} times")
        apply(state, flow, entry, at_ms / 1000)
    return found


def _answered_ok_or_unknown(journal: Sequence[tuple[int, Entry]], tool: str) -> int:
    """How many uses of a tool may have had their effect: all but those that say they did nothing."""
    from voicebot.engine.entries import ToolAnswered

    return sum(isinstance(one, ToolAnswered) and one.tool == tool and not one.refused for _, one in journal)


def _facts(flow: Flow, state: EngineState) -> dict[str, object]:
    values = {name: observed.value for name, observed in state.observed.items()}
    judged = {Judged.fact(name): verdict.holds for name, verdict in state.verdicts.items()}
    return {**values, **judged, **{Heard.fact(name): True for name in flow.statements if _heard(flow, state, name)}}


def _heard(flow: Flow, state: EngineState, name: str) -> bool:
    """Whether a statement was heard with the values that are known now."""
    text, heard = flow.statements[name].text, state.heard.get(name)
    if heard is None:
        return False
    wanted = re.escape(text)
    for field in re.findall(r"\{(\w+)\}", text):
        if field not in state.observed:
            return False
        value = state.observed[field].value
        spoken = str(getattr(value, "value", value))
        wanted = wanted.replace(re.escape("{" + field + "}"), re.escape(spoken))
    return re.fullmatch(wanted, heard) is not None


def _satisfied(flow: Flow, state: EngineState, phase: Phase) -> list[str]:
    """What a phase still lacks."""
    facts, lacks = _facts(flow, state), []
    for name in flow.collected_in[phase.name]:
        ask = flow.specs[name].ask
        needed = ask.needed_if is None or ask.needed_if.evaluate(facts) is True
        if ask.optional or not needed:
            continue
        observed = state.observed.get(name)
        if observed is None:
            lacks.append(f"{name} is missing")
        elif ask.about and observed.about != {
            subject: state.observed[subject].json_value for subject in ask.about if subject in state.observed
        }:
            lacks.append(f"{name} is about what has changed")
        elif ask.confirm and observed.kind == "speech" and observed.agreed is None:
            lacks.append(f"{name} was not agreed to")
    lacks += [
        f"{criterion!r} does not hold" for criterion in phase.success_criteria if criterion.evaluate(facts) is not True
    ]
    lacks += [f"{say.name} was not heard" for say in phase.must_say if not _heard(flow, state, say.name)]
    if phase.commit is not None and not any(one.ok for one in state.results.get(phase.commit.tool.name, ())):
        lacks.append(f"{phase.commit.tool.name} is not done")
    return lacks


def _target(flow: Flow, state: EngineState, phase: Phase) -> str | None:
    facts = _facts(flow, state)
    return next((to.phase for to in phase.transitions if to.when is None or to.when.evaluate(facts) is True), None)


def _entered(flow: Flow, state: EngineState, entry: PhaseEntered) -> Iterator[str]:
    """Why a phase should not have been entered."""
    left = flow.by_name[state.phase]
    match entry.cause:
        case "criteria" | "return":
            yield from (f"{left.name} was left, but {lack}" for lack in _satisfied(flow, state, left))
            if entry.phase not in _reach(flow, state, left):
                yield f"{entry.phase} was entered from {left.name} with a false guard"
        case "correction":
            starts = [step.phase for step in state.steps]
            if not any(entry.phase in {start, *_reach(flow, state, flow.by_name[start])} for start in starts):
                yield f"{entry.phase} was entered by a correction, and no guard leads there"
        case "jump":
            guards = [to.when for to in left.transitions if to.phase == entry.phase and to.when is not None]
            facts = _facts(flow, state)
            if entry.phase not in left.may_jump or (guards and not any(one.evaluate(facts) is True for one in guards)):
                yield f"the jump to {entry.phase} was not open"
        case "stuck":
            limits = flow.limits_of(left)
            if limits is None or limits.then != entry.phase:
                yield f"{entry.phase} is not where {left.name} leads when it is stuck"
        case "failure":
            if entry.phase not in {use.on_failure for use in flow.once.values()}:
                yield f"{entry.phase} is no way of failure"
        case "rule":
            if entry.phase not in {rule.then.phase for rule in flow.rules if isinstance(rule.then, To)}:
                yield f"no rule leads to {entry.phase}"


def _reach(flow: Flow, state: EngineState, phase: Phase) -> set[str]:
    """Where a phase leads: its target, or beyond phases that were passed before and lack nothing."""
    reached, name = set[str](), _target(flow, state, phase)
    while name is not None and name not in reached:
        reached.add(name)
        following = flow.by_name[name]
        if following.end is not None or name not in state.path or _satisfied(flow, state, following):
            break
        name = _target(flow, state, following)
    return reached


def _soft_ground(flow: Flow, state: EngineState, tool: str) -> Iterator[str]:
    """Values that a tool that runs once may not rest on."""
    asked_for = {name for phase in {*state.path, state.phase} for name in flow.collected_in[phase]}
    given = set(flow.once[tool].tool.arguments.model_fields)
    for name, observed in state.observed.items():
        counts = name in given or (name in asked_for and not flow.specs[name].ask.optional)
        agreed = observed.agreed is not None and observed.agreed.state == "confirmed"
        if observed.quote.state in ("provisional", "contradicted"):
            yield f"{name}, which is {observed.quote.state}"
        elif counts and not agreed and observed.quote.state != "confirmed":
            yield f"{name}, which nobody could check"
        elif counts and not agreed and INVENTED in observed.quote.text:
            yield f"{name}, which nobody said"


def values_of(read: TableRead) -> Mapping[str, object]:
    """The observations that the call reports."""
    found: Mapping[str, object] = read.report["observations"]
    return found
