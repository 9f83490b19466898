"""The linter's rules: what is wrong with a flow before anybody calls.

Each rule has an id that stays. An `error` keeps the flow from being loaded; a `warning` does not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .expressions import Expression, otherwise
from .model import Flow, To
from .observations import Check
from .source import place_of


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the linter found. `where` is `file:line`, or None for a flow that came as JSON."""

    rule: str
    severity: Literal["error", "warning"]
    where: str | None
    problem: str
    mend: str

    def __str__(self) -> str:
        return f"{self.where or 'flow'}: {self.severity} {self.rule}: {self.problem} ({self.mend})"


def _error(rule: str, where: str | None, problem: str, mend: str) -> Finding:
    return Finding(rule, "error", where, problem, mend)


def _warning(rule: str, where: str | None, problem: str, mend: str) -> Finding:
    return Finding(rule, "warning", where, problem, mend)


def check(flow: Flow) -> list[Finding]:
    """Every finding, errors first, in the order of the rules."""
    findings = [finding for rule in _RULES for finding in rule(flow)]
    return sorted(findings, key=lambda finding: finding.severity != "error")


def _phase_names(flow: Flow) -> Iterator[Finding]:
    for name, count in Counter(phase.name for phase in flow.phases).items():
        if count > 1:
            yield _error("F001", place_of(flow), f"{count} phases are named {name!r}", "give each its own name")


def _targets(flow: Flow) -> Iterator[Finding]:
    known = "phases: " + ", ".join(flow.by_name)
    if flow.initial_phase not in flow.by_name:
        yield _error(
            "F002",
            place_of(flow),
            f"the initial phase {flow.initial_phase!r} does not exist",
            known,
        )
    for phase in flow.phases:
        for target, where in [(to.phase, place_of(to)) for to in phase.transitions] + [
            (name, place_of(phase)) for name in phase.may_jump
        ]:
            if target not in flow.by_name:
                yield _error(
                    "F002",
                    where,
                    f"phase {phase.name!r} leads to {target!r}, which does not exist",
                    known,
                )
    for rung in flow.limits.silence:
        if isinstance(rung.then, To) and rung.then.phase not in flow.by_name:
            yield _error(
                "F002",
                place_of(flow),
                f"silence leads to {rung.then.phase!r}, which does not exist",
                known,
            )


def _expressions(flow: Flow) -> Iterator[tuple[Expression, str | None]]:
    for phase in flow.phases:
        for criterion in phase.success_criteria:
            yield criterion, place_of(phase)
        for to in phase.transitions:
            if to.when is not None:
                yield to.when, place_of(to)
    for spec in flow.specs.values():
        if spec.ask.needed_if is not None:
            yield spec.ask.needed_if, spec.ask.place
    for expression in flow.report.outcome.values():
        yield expression, place_of(flow)


def _fields(flow: Flow) -> Iterator[Finding]:
    known = "observations: " + (", ".join(flow.specs) or "none")
    for expression, where in _expressions(flow):
        for field in expression.fields():
            if field.name not in flow.specs:
                yield _error(
                    "F003",
                    place_of(field) or where,
                    f"it.{field.name} is no observation",
                    known,
                )
    for phase in flow.phases:
        for name in phase.observations:
            if name not in flow.specs:
                yield _error(
                    "F003",
                    place_of(phase),
                    f"phase {phase.name!r} collects {name!r}, which is no observation",
                    known,
                )


def _reachable(flow: Flow) -> set[str]:
    reached: set[str] = set()
    frontier = [flow.initial_phase]
    frontier += [rung.then.phase for rung in flow.limits.silence if isinstance(rung.then, To)]
    while frontier:
        name = frontier.pop()
        if name in reached or name not in flow.by_name:
            continue
        reached.add(name)
        phase = flow.by_name[name]
        frontier += [to.phase for to in phase.transitions] + list(phase.may_jump)
    return reached


def _unreachable(flow: Flow) -> Iterator[Finding]:
    reached = _reachable(flow)
    for phase in flow.phases:
        if phase.name not in reached:
            yield _warning(
                "F004",
                place_of(phase),
                f"no way leads to phase {phase.name!r}",
                "add a transition to it, or remove it",
            )


def _dead_ends(flow: Flow) -> Iterator[Finding]:
    if len(flow.phases) == 1:
        return
    for phase in flow.phases:
        if not phase.transitions and phase.end is None:
            yield _warning(
                "F005",
                place_of(phase),
                f"phase {phase.name!r} leads nowhere and does not end the call",
                "give it transitions or end=HangUp()",
            )


def _ends(flow: Flow) -> Iterator[Finding]:
    for phase in flow.phases:
        if phase.end is not None and (
            phase.transitions or phase.observations or phase.success_criteria or phase.must_say
        ):
            yield _error(
                "F006",
                place_of(phase),
                f"phase {phase.name!r} ends the call, so it can neither collect nor wait nor lead on",
                "move observations, statements and transitions to a phase before it",
            )


def _gaps(flow: Flow) -> Iterator[Finding]:
    for phase in flow.phases:
        guards = [to.when for to in phase.transitions]
        if guards and all(guard is not None for guard in guards):
            if _complementary(guards):
                continue
            yield _warning(
                "F007",
                place_of(phase),
                f"phase {phase.name!r} may be done with no guard holding",
                "end its transitions with one without `when`",
            )


def _complementary(guards: list[Expression | None]) -> bool:
    """Whether one guard always holds: `otherwise`, or one of `x.yes` and `x.no`, or of two that negate each other."""
    forms = [repr(guard) for guard in guards if guard is not None]
    opposite = [
        f"~{form}" in forms or (form.endswith(".yes") and form.removesuffix("yes") + "no" in forms) for form in forms
    ]
    return repr(otherwise) in forms or any(opposite)


def _collectable(flow: Flow) -> Iterator[Finding]:
    collected = {name for names in flow.collected_in.values() for name in names}
    for spec in flow.specs.values():
        if spec.name not in collected and not spec.ask.optional and spec.ask.default_from is None:
            yield _warning(
                "F008",
                spec.ask.place,
                f"no phase collects {spec.name!r}",
                "list it in a phase's observations, or make it optional",
            )


def _tool_names(flow: Flow) -> Iterator[Finding]:
    for phase in flow.phases:
        counted = Counter(tool.name for tool in flow.tools_in(phase))
        for name, count in counted.items():
            if count > 1:
                yield _error(
                    "F009",
                    place_of(phase),
                    f"phase {phase.name!r} has {count} tools named {name!r}",
                    "rename one",
                )


def _check_names(flow: Flow) -> Iterator[Finding]:
    named: dict[str, Check] = {}
    for spec in flow.specs.values():
        if (given := spec.ask.check) is not None and named.setdefault(given.__name__, given) is not given:
            yield _error(
                "F012",
                spec.ask.place,
                f"another check is named {given.__name__!r} too",
                "give each its own name: the flow's JSON form tells them apart by it",
            )


def _zone(flow: Flow) -> Iterator[Finding]:
    try:
        ZoneInfo(flow.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        yield _error("F010", place_of(flow), f"no time zone is named {flow.timezone!r}", "write one as in Europe/Rome")


def _instructions(flow: Flow) -> Iterator[Finding]:
    for phase in flow.phases:
        if not phase.instructions.strip():
            yield _warning("F011", place_of(phase), f"phase {phase.name!r} has no instructions", "say what it is for")


def _statements(flow: Flow) -> Iterator[Finding]:
    known = ", ".join(flow.statements) or "none"
    for phase in flow.phases:
        for say in phase.must_say:
            if flow.statements[say.name].text != say.text:
                yield _error(
                    "F013", place_of(phase), f"two statements are named {say.name!r}", "give each text its own name"
                )
            for name in re.findall(r"\{(\w+)\}", say.text):
                if name not in flow.specs:
                    mend = "observations: " + (", ".join(flow.specs) or "none")
                    yield _error("F013", place_of(phase), f"{{{name}}} in {say.name!r} is no observation", mend)
    for expression, where in _expressions(flow):
        for name in expression.statements():
            if name not in flow.statements:
                yield _error("F013", where, f"no phase must say {name!r}", f"statements: {known}")


_RULES: tuple[Callable[[Flow], Iterator[Finding]], ...] = (
    _phase_names,
    _targets,
    _fields,
    _unreachable,
    _dead_ends,
    _ends,
    _gaps,
    _collectable,
    _tool_names,
    _zone,
    _instructions,
    _check_names,
    _statements,
)
