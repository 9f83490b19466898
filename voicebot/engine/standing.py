"""Where a call stands by its flow: what is known, what is missing, what holds, and where that leads."""

from __future__ import annotations

import re
from dataclasses import replace
from enum import Enum
from itertools import dropwhile, pairwise

from pydantic import JsonValue, ValidationError

from voicebot.errors import FunctionFailedError
from voicebot.flow.expressions import Expression, Heard, Judged
from voicebot.flow.functions import ValueFunction
from voicebot.flow.model import Flow, Phase, Say
from voicebot.flow.observations import ObservationSpec
from voicebot.flow.tools import readable
from voicebot.flow.ways_out import Transfer
from voicebot.flow.wording import LONGEST_SAY
from voicebot.json_codec import dumps

from .entries import PhaseCause
from .state import EngineState, Quote

_SENT_HERE: frozenset[PhaseCause] = frozenset(
    {"jump", "rule", "key", "silence", "stuck", "failure", "no_answer", "cost"}
)  # not by being done
_PLACE = re.compile(r"\{(\w+)\}")


class Standing:
    """A flow and the state of a call, asked together."""

    def __init__(self, flow: Flow, state: EngineState) -> None:
        self.flow, self.state = flow, state

    @property
    def phase(self) -> Phase:
        """The phase the call is in."""
        return self.flow.by_name[self.state.phase]

    @property
    def language(self) -> str:
        """The language that the call is in (ISO 639-1)."""
        return self.flow.languages[0] if self.state.switched is None else self.state.switched.language

    @property
    def values(self) -> dict[str, object]:
        """Recorded values by name, as Python objects."""
        return {name: observed.value for name, observed in self.state.observed.items()}

    @property
    def known(self) -> dict[str, JsonValue]:
        """Recorded values by name, in JSON form."""
        return {name: observed.json_value for name, observed in self.state.observed.items()}

    # ---- what holds -----------------------------------------------------------------------------------------------

    def facts(self) -> dict[str, object]:
        """What expressions are evaluated over: values, verdicts, and which statements were heard."""
        heard = {Heard.fact(say.name): True for say in self.flow.statements.values() if self.was_heard(say)}
        judged = {Judged.fact(name): verdict.holds for name, verdict in self.state.verdicts.items()}
        return {**self.values, **heard, **judged}

    def holds(self, expression: Expression) -> bool:
        """Whether it is true; what is not known does not hold."""
        return expression.evaluate(self.facts()) is True

    def needed(self, spec: ObservationSpec) -> bool:
        """Whether a field is asked for as things are."""
        return spec.ask.needed_if is None or self.holds(spec.ask.needed_if)

    def collected(self, phase: Phase) -> list[ObservationSpec]:
        """What a phase collects."""
        return [self.flow.specs[name] for name in self.flow.collected_in[phase.name]]

    def missing(self, phase: Phase) -> list[ObservationSpec]:
        """The observations that a phase needs and does not have, or that the caller has not agreed to yet."""
        return [
            spec
            for spec in self.collected(phase)
            if not spec.ask.optional
            and self.needed(spec)
            and (spec.name not in self.state.observed or self.to_read_back(spec))
        ]

    def to_read_back(self, spec: ObservationSpec) -> bool:
        """Whether the value is there and the caller has still to agree to it."""
        observed = self.state.observed.get(spec.name)
        if observed is None or spec.ask.confirm is None or observed.kind != "speech":
            return False
        return observed.agreed is None

    def outdated(self, spec: ObservationSpec) -> bool:
        """Whether it is an answer about values that have changed since, or came up in no earlier turn than it did."""
        observed = self.state.observed.get(spec.name)
        if observed is None or not spec.ask.about:
            return False
        subjects = {name: self.state.observed[name] for name in spec.ask.about if name in self.state.observed}
        if observed.about != {name: subject.json_value for name, subject in subjects.items()}:
            return True
        return observed.kind == "speech" and any(one.since >= observed.quote.turn for one in subjects.values())

    def status(self, name: str) -> str:
        """`filled`, `refused`, `not_needed` or `unasked`, as the report says it, what was filled last included."""
        if name in self.state.observed or name in self.state.filled:
            return "filled"
        if name in self.state.declined:
            return "refused"
        needed_if = self.flow.specs[name].ask.needed_if
        facts = {**self.facts(), **{filled: one.value for filled, one in self.state.filled.items()}}
        return "not_needed" if needed_if is not None and needed_if.evaluate(facts) is False else "unasked"

    def criteria(self, phase: Phase) -> list[str]:
        """The criteria in words that the phase's end and its ways hang on."""
        guards = [to.when for to in phase.transitions if to.when is not None]
        return list(dict.fromkeys(text for one in (*phase.success_criteria, *guards) for text in one.judgements()))

    def unmet(self, phase: Phase) -> list[str]:
        """The criteria of a phase that do not hold, in words; what must be heard is said without the model."""
        unmet = [one for one in phase.success_criteria if not (self.holds(one) or any(one.statements()))]
        return [repr(one).replace("it.", "") for one in unmet]

    def progress(self) -> float:
        """Share of required observations and criteria that hold, in phases passed or still to come: 0.0 to 1.0."""
        if self.state.closing == "completed":
            return 1.0
        phases = [phase for phase in self._on_the_way() if phase.end is None]
        names = {spec.name: spec for phase in phases for spec in self.collected(phase) if not spec.ask.optional}
        needed = [spec for spec in names.values() if spec.name in self.state.observed or self.needed(spec)]
        have = sum(spec.name in self.state.observed for spec in needed)
        criteria = [criterion for phase in phases for criterion in phase.success_criteria]
        have += sum(self.holds(criterion) for criterion in criteria)
        total = len(needed) + len(criteria)
        return have / total if total else 0.0

    def _on_the_way(self) -> list[Phase]:
        """The phases that were passed, and those that can still be reached."""
        facts, found = self.facts(), {*self.state.path, self.state.phase}
        frontier = [self.state.phase]
        while frontier:
            phase = self.flow.by_name[frontier.pop()]
            ahead = {to.phase for to in phase.transitions if to.when is None or to.when.evaluate(facts) is not False}
            new = (ahead | set(phase.may_jump)) - found
            found |= new
            frontier += new
        return [phase for phase in self.flow.phases if phase.name in found]

    def transfer_is_open(self, target: str) -> bool:
        """Whether the guards of the ways from this phase to a transfer to `target` let it happen, if there are any."""
        guards = [
            to.when
            for to in self.phase.transitions
            if isinstance(end := self.flow.by_name[to.phase].end, Transfer) and end.to == target
        ]
        return not guards or any(guard is None or self.holds(guard) for guard in guards)

    # ---- where that leads -----------------------------------------------------------------------------------------

    def complete(self) -> bool:
        """Whether the phase the call is in is done, but for its commit and for an exact time."""
        phase, state = self.phase, self.state
        if not self.satisfied(phase):
            return False
        if state.steps and state.steps[-1].cause in _SENT_HERE:
            # It may have been done before anybody came here: there must be a chance to say or to change something.
            again = state.phase in state.path[:-1]
            return state.recorded_in_phase or state.turns_in_phase > (1 if again else 0)
        asks_nothing = not (phase.success_criteria or phase.must_say or phase.commit) and all(
            self._left_open(spec) for spec in self.collected(phase)
        )
        return not asks_nothing or state.turns_in_phase > (1 if phase.tools else 0)

    def leaves_when_heard(self) -> bool:
        """Whether the phase is done as soon as the caller has heard what is being said."""
        if not self.state.saying:
            return False
        heard = replace(self.state, heard={**self.state.heard, **self.state.saying})
        return Standing(self.flow, heard).complete()

    def target(self, phase: Phase) -> str | None:
        """Where a phase that is done leads: the first transition whose guard holds."""
        return next((to.phase for to in phase.transitions if to.when is None or self.holds(to.when)), None)

    def onward(self, phase: Phase) -> str | None:
        """Where the call goes from a phase that is done; those passed before and still done are skipped."""
        name, skipped = self.target(phase), {phase.name}
        while name is not None and name not in skipped and self._passed(name):
            skipped.add(name)
            following = self.target(self.flow.by_name[name])
            if following is None:
                break
            name = following
        return name

    def detour(self) -> str | None:
        """The phase in which the call should be instead, now that an earlier answer changed; None if the way stands."""
        name, seen = self._stretch()[0], set[str]()
        while name != self.state.phase and name not in seen:
            seen.add(name)
            phase = self.flow.by_name[name]
            if phase.end is not None or not self._passed(name):
                return name
            following = self.target(phase)
            if following is None:
                return None
            name = following
        return None

    def _stretch(self) -> list[str]:
        """The phases since the last one that the call was led to from outside; a jump back leads out of nothing."""
        steps, path = self.state.steps, self.state.path
        ways = ("criteria", "return", "correction")

        def followed(number: int) -> bool:
            step = steps[number]
            return step.cause in ways or (step.cause == "jump" and step.phase in path[:number])

        return path[next(dropwhile(followed, range(len(steps) - 1, -1, -1)), 0) :]

    def _passed(self, name: str) -> bool:
        """Whether the call went on from that phase because it was done, and would not stop in it again."""
        phase = self.flow.by_name[name]
        left = (after for step, after in pairwise(self.state.steps) if step.phase == name)
        went_on = any(after.cause in ("criteria", "return") for after in left)
        if phase.end is not None or not went_on or not self.satisfied(phase):
            return False
        return phase.commit is None or self.committed(phase.commit.tool.name)

    def satisfied(self, phase: Phase) -> bool:
        """Whether what a phase asks for is there, said and true."""
        return (
            not self.missing(phase)
            and all(map(self.holds, phase.success_criteria))
            and all(map(self.was_heard, phase.must_say))
        )

    def _left_open(self, spec: ObservationSpec) -> bool:
        """Whether it is worth a question although the phase may end without it."""
        answered = spec.name in self.state.observed or spec.name in self.state.declined
        return spec.ask.optional and self.needed(spec) and not answered

    # ---- tools that run once --------------------------------------------------------------------------------------

    def committed(self, tool: str) -> bool:
        """Whether a tool that runs once has done its work."""
        return any(result.ok for result in self.state.results.get(tool, ()))

    def unweighed(self) -> bool:
        """Whether anything that was recorded or judged still waits for the caller's transcript."""
        return any(quote.state == "provisional" for quote in self._quotes())

    def _quotes(self) -> list[Quote]:
        observed = self.state.observed.values()
        agreed = [one.agreed for one in observed if one.agreed is not None]
        return [*(one.quote for one in observed), *agreed, *(one.quote for one in self.state.verdicts.values())]

    # ---- exact statements -----------------------------------------------------------------------------------------

    def statement(self, say: Say) -> str | None:
        """The words of a statement with its values in place, in the language that the call is in.

        None while one of the values is missing, or nothing is left.
        """
        return self._worded(say.in_language(self.language).text)

    def wordings(self, say: Say) -> set[str]:
        """The words of a statement as they read now, in every language that it has."""
        return {worded for text in say.texts.values() if (worded := self._worded(text)) is not None}

    def _worded(self, words: str) -> str | None:
        values = self.values
        if any(name not in values for name in _PLACE.findall(words)):
            return None
        text = _PLACE.sub(lambda place: _spoken(values[place[1]]), words).strip()
        if len(text) > LONGEST_SAY:  # a value may be as long, or as empty, as the model likes
            text = text[: LONGEST_SAY - 1] + "…"
        return text or None

    def was_heard(self, say: Say) -> bool:
        """Whether the caller has heard the statement as it reads now: a changed value un-hears what quoted it.

        In whichever language: nobody has to hear it again because the call is in another one now.
        """
        return self.state.heard.get(say.name) in self.wordings(say)

    # ---- computed fields ------------------------------------------------------------------------------------------

    def worked_out(self, spec: ObservationSpec) -> JsonValue | None:
        """What a computed field comes to now, in JSON form; None while it cannot be told."""
        try:
            return self._worked_out(spec)
        except (ValueError, FunctionFailedError):  # a ValidationError is one
            return None

    def why_not(self, spec: ObservationSpec) -> str | None:
        """What the author's function has to say about a computed field that cannot be told."""
        try:
            self._worked_out(spec)
        except ValidationError as exc:
            return readable(exc)
        except (ValueError, FunctionFailedError) as exc:
            return str(exc)
        return None

    def problems(self) -> dict[str, str]:
        """Why each computed field that has all it needs still has no value, and which answers that hangs on."""
        return {
            spec.name: " ".join([why, *self._came_from(spec)])
            for spec in self.flow.specs.values()
            if (why := self.why_not(spec)) is not None
        }

    def _came_from(self, spec: ObservationSpec) -> list[str]:
        """The answers that a computed field comes from, through others too, in words; nothing if there are none."""
        found, frontier = dict[str, None](), [spec.name]
        while frontier:
            computed = self.flow.specs[frontier.pop(0)].ask.computed
            known = [name for name in (() if computed is None else computed.reads) if name in self.state.observed]
            frontier += [name for name in known if name not in found]
            found |= dict.fromkeys(known)
        answers = [name for name in found if self.flow.specs[name].ask.computed is None]
        return [f"(worked out from {', '.join(answers)})"] if answers else []

    def _worked_out(self, spec: ObservationSpec) -> JsonValue | None:
        function = spec.ask.computed
        if function is None or not self.needed(spec) or self._waits(function):
            return None
        typed = spec.adapter.validate_python(function(self.values))
        value: JsonValue = spec.adapter.dump_python(typed, mode="json")
        dumps(value)  # what has no place in a journal is no value either: NaN, half of a surrogate pair
        return value

    def _waits(self, function: ValueFunction) -> bool:
        """Whether it reads a field that is still to come; a parameter with a default waits only while it is needed."""
        facts = self.facts()
        for name in function.reads:
            spec = self.flow.specs.get(name)
            if name in self.state.observed or spec is None:
                continue
            needed_if = spec.ask.needed_if
            not_needed = needed_if is not None and needed_if.evaluate(facts) is False
            if name not in function.optional or not (not_needed or spec.ask.optional):
                return True
        return False


def _spoken(value: object) -> str:
    """A recorded value as a statement says it."""
    return str(value.value if isinstance(value, Enum) else value)
