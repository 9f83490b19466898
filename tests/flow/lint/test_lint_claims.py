"""What the linter claims of random flows, held against calls that wander through them.

The wanderer knows nothing of the linter: it keeps values, evaluates the flow's own expressions, and goes where they
lead.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.flow.random_flows import clean_random_flows, random_flows, valid_values
from voicebot.errors import FunctionFailedError
from voicebot.flow import Flow, Phase, To
from voicebot.flow.check import Finding, check
from voicebot.flow.expressions import Expression, Heard, Judged
from voicebot.flow.observations import ObservationSpec
from voicebot.flow.plain import plain

STEPS = 60
SETTINGS = settings(
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


@dataclass
class Wanderer:
    """A call without a telephone: somebody tells things in any order, and the phases follow."""

    flow: Flow
    chance: random.Random
    corrects: bool
    phase: Phase
    facts: dict[str, object] = field(default_factory=dict)
    passed: list[str] = field(default_factory=list)
    taken: set[tuple[str, int]] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    stuck: list[str] = field(default_factory=list)
    held: set[int] = field(default_factory=set)

    def wander(self) -> None:
        for spec in self.flow.specs.values():
            if spec.ask.default_from is not None and self.chance.random() < 0.5:
                self.facts[spec.name] = self.value(spec)
        self.settle()
        for _ in range(STEPS):
            if self.phase.end is not None:
                return
            self.step()
            self.settle()

    def step(self) -> None:
        choice = self.chance.random()
        if choice < 0.6:
            self.tell(self.asked_for() or self.open())
        elif choice < 0.8:
            self.tell(self.open())
        elif choice < 0.9:
            self.judge()
        elif choice < 0.95:
            self.depart()
        elif self.corrects:
            self.take_back()

    def open(self) -> list[str]:
        names = {name for phase in (*self.passed, self.phase.name) for name in self.flow.collected_in[phase]}
        names = {name for name in names if self.flow.specs[name].ask.computed is None}
        return sorted(names if self.corrects else names - self.facts.keys())

    def asked_for(self) -> list[str]:
        return [spec.name for spec in self.missing() if spec.ask.computed is None]

    def tell(self, names: list[str]) -> None:
        if names:
            name = self.chance.choice(names)
            self.facts[name] = self.value(self.flow.specs[name])

    def take_back(self) -> None:
        told = [name for name in self.facts if name in self.flow.specs]
        if told:
            del self.facts[self.chance.choice(sorted(told))]

    def judge(self) -> None:
        guards = [*self.phase.success_criteria, *(to.when for to in self.phase.transitions if to.when is not None)]
        criteria = sorted({criterion for guard in guards for criterion in guard.judgements()})
        if criteria:
            self.facts[Judged.fact(self.chance.choice(criteria))] = self.chance.random() < 0.5

    def depart(self) -> None:
        """Leave by another way than the transitions."""
        limits = self.flow.limits_of(self.phase)
        rules = [rule.then for rule in self.flow.rules if isinstance(rule.then, To)]
        ladder = [rung.then for rung in self.flow.limits.silence if isinstance(rung.then, To)]
        ends = [to.phase for to in rules if to.when is None or self.holds(to.when)]
        ends += [to.phase for to in ladder] + ([limits.then] if limits is not None else [])
        for name in self.phase.may_jump:
            guards = [to.when for to in self.phase.transitions if to.phase == name and to.when is not None]
            if not guards or any(map(self.holds, guards)):
                ends.append(name)
        if ends:
            self.enter(self.chance.choice(ends))

    def settle(self) -> None:
        """Go on as far as the answers lead."""
        for _ in range(len(self.flow.phases) + 1):
            self.work_out()
            self.listen()
            if self.phase.end is not None or not self.is_done():
                break
            self.done.add(self.phase.name)
            ways = [
                number for number, to in enumerate(self.phase.transitions) if to.when is None or self.holds(to.when)
            ]
            if not ways:
                self.stuck.append(self.phase.name)
                break
            self.taken.add((self.phase.name, ways[0]))
            self.held |= {id(self.phase.transitions[number]) for number in ways}
            self.enter(self.phase.transitions[ways[0]].phase)

    def enter(self, name: str) -> None:
        self.passed.append(self.phase.name)
        self.phase = self.flow.by_name[name]

    # ---- what holds -----------------------------------------------------------------------------------------------

    def holds(self, expression: Expression) -> bool:
        return expression.evaluate(self.facts) is True

    def needed(self, spec: ObservationSpec) -> bool:
        return spec.ask.needed_if is None or self.holds(spec.ask.needed_if)

    def missing(self) -> list[ObservationSpec]:
        specs = [self.flow.specs[name] for name in self.flow.collected_in[self.phase.name]]
        return [one for one in specs if not one.ask.optional and self.needed(one) and one.name not in self.facts]

    def is_done(self) -> bool:
        heard = all(Heard.fact(say.name) in self.facts for say in self.phase.must_say)
        return not self.missing() and heard and all(map(self.holds, self.phase.success_criteria)) and self.can_commit()

    def can_commit(self) -> bool:
        if self.phase.commit is None:
            return True
        members = self.phase.commit.tool.arguments.model_fields
        return all(name in self.facts for name, member in members.items() if member.is_required())

    def listen(self) -> None:
        for say in self.phase.must_say:
            if all(name in self.facts for name in re.findall(r"\{(\w+)\}", say.text)):
                self.facts[Heard.fact(say.name)] = True

    def work_out(self) -> None:
        for _ in range(3):
            for spec in self.flow.specs.values():
                if spec.ask.computed is not None:
                    self.facts.pop(spec.name, None)
                    self.facts |= self.worked_out(spec)

    def worked_out(self, spec: ObservationSpec) -> dict[str, object]:
        function = spec.ask.computed
        assert function is not None
        if not self.needed(spec) or any(self.waits(spec, name) for name in function.reads):
            return {}
        try:
            return {spec.name: spec.adapter.validate_python(function(self.facts))}
        except (ValueError, FunctionFailedError):
            return {}

    def waits(self, spec: ObservationSpec, name: str) -> bool:
        read, function = self.flow.specs[name], spec.ask.computed
        assert function is not None
        if name in self.facts:
            return False
        left_out = read.ask.optional or (
            read.ask.needed_if is not None and read.ask.needed_if.evaluate(self.facts) is False
        )
        return name not in function.optional or not left_out

    def value(self, spec: ObservationSpec) -> object:
        return spec.adapter.validate_json(json.dumps(self.chance.choice(valid_values(spec))))


def calls(flow: Flow, seed: int, *, corrects: bool) -> Iterator[Wanderer]:
    for number in range(6):
        wanderer = Wanderer(flow, random.Random(f"{seed} {number}"), corrects, flow.by_name[flow.initial_phase])
        wanderer.wander()
        yield wanderer


def named(findings: list[Finding], rule: str) -> list[str]:
    return [finding.problem for finding in findings if finding.rule == rule]


def shown(expression: Expression | None) -> str:
    return "otherwise" if expression is None else plain(expression)


@given(random_flows(), st.integers(0, 10**6))
@SETTINGS
def test_what_can_never_be_never_is(flow: Flow, seed: int) -> None:
    findings = check(flow)
    hopeless, shadowed, false = (named(findings, rule) for rule in ("F017", "F014", "F016"))
    if any(finding.rule in ("F001", "F002", "F003", "F013") for finding in findings):
        return
    for call in calls(flow, seed, corrects=True):
        for name in call.done:
            assert not [one for one in hopeless if one.startswith(f"phase {name!r} can never be done")]
        for name, number in call.taken:
            to = flow.by_name[name].transitions[number]
            way = f"phase {name!r} never goes to {to.phase!r} by {shown(to.when)}:"
            alike = [(one.phase, shown(one.when)) for one in flow.by_name[name].transitions]
            assert alike.count((to.phase, shown(to.when))) > 1 or not [one for one in shadowed if one.startswith(way)]
            never = f"{shown(to.when)} never holds when phase {name!r} is done"
            assert not [one for one in false if one.startswith(never)]


@given(st.one_of(random_flows(), clean_random_flows()), st.integers(0, 10**6))
@SETTINGS
def test_no_call_falls_into_a_gap_that_was_not_found(flow: Flow, seed: int) -> None:
    findings = check(flow)
    if any(finding.severity == "error" for finding in findings):
        return
    found = [*named(findings, "F007"), *named(findings, "F005")]
    for call in calls(flow, seed, corrects=False):
        for name in call.stuck:
            if flow.by_name[name].transitions and not _asks_for_more(flow, flow.by_name[name]):
                assert [one for one in found if one.startswith(f"phase {name!r} may be done")], name


def _asks_for_more(flow: Flow, phase: Phase) -> bool:
    """Whether a guard waits for what is told otherwise: a verdict, words heard, a function."""
    guards = [to.when for to in phase.transitions if to.when is not None]
    told = any([*guard.judgements(), *guard.functions(), *guard.statements()] for guard in guards)
    return told or any(name in _worked_out(flow) for guard in guards for name in guard.reads())


@given(clean_random_flows(), st.integers(0, 10**6))
@SETTINGS
def test_clean_flow_never_waits_for_what_nobody_tells(flow: Flow, seed: int) -> None:
    for call in calls(flow, seed, corrects=False):
        if call.phase.end is None and not call.missing():
            quoted = {name for say in call.phase.must_say for name in re.findall(r"\{(\w+)\}", say.text)}
            waited_for = {name for name in quoted if name not in call.facts and name not in _worked_out(flow)}
            waited_for |= {
                name
                for criterion in call.phase.success_criteria
                if not call.holds(criterion)
                for name in criterion.reads()
                if name not in call.facts and name not in _worked_out(flow)
            }
            assert not waited_for


@given(clean_random_flows(), st.integers(0, 10**6))
@SETTINGS
def test_clean_flow_that_waits_for_what_is_worked_out_has_a_way_out(flow: Flow, seed: int) -> None:
    for call in calls(flow, seed, corrects=False):
        said = {name for say in call.phase.must_say for name in re.findall(r"\{(\w+)\}", say.text)}
        asked = [one for one in call.phase.success_criteria if not call.holds(one)]
        waits = {name for name in (*said, *(name for one in asked for name in one.reads())) if name not in call.facts}
        if call.phase.end is None and not call.missing() and waits & _worked_out(flow):
            assert flow.limits_of(call.phase) is not None


def _worked_out(flow: Flow) -> set[str]:
    return {spec.name for spec in flow.specs.values() if spec.ask.computed is not None}
