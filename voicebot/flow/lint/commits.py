"""Rules about commits and tools that run once: what guards them, what they are given, and that they run once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..expressions import Expression, Judged
from ..model import Flow, Phase, To
from ..source import place_of
from ..tools import Once, Tool
from .domains import json_types
from .findings import Flaw, LintRule
from .points import reads_of, talking
from .study import Study
from .verdicts import must_hold


def _judged_alone(study: Study) -> Iterator[Flaw]:
    mend = "let a recorded answer decide as well, as in it.accepted.yes & judged(…)"
    for phase in talking(study):
        if phase.commit is None:
            continue
        name = phase.commit.tool.name
        if _rests_on_verdicts(study, phase, list(phase.success_criteria)):
            yield Flaw(place_of(phase), f"nothing but the model's verdict guards the commit {name!r}", mend)
        elif not phase.success_criteria and not _requires(study, phase):
            for start, to in _ways_into(study, phase):
                if to.when is not None and _rests_on_verdicts(study, start, [to.when, *start.success_criteria]):
                    problem = f"nothing but the model's verdict guards the way to the commit {name!r}"
                    yield Flaw(place_of(to) or place_of(start), problem, mend)


def _requires(study: Study, phase: Phase) -> bool:
    return any(not study.flow.specs[name].ask.optional for name in study.flow.collected_in[phase.name])


def _ways_into(study: Study, phase: Phase) -> Iterator[tuple[Phase, To]]:
    for start in talking(study):
        yield from ((start, to) for to in start.transitions if to.phase == phase.name)


def _rests_on_verdicts(study: Study, phase: Phase, expressions: Sequence[Expression]) -> bool:
    """Whether these all hold as soon as every verdict in words is favourable, whatever was recorded."""
    verdicts = {Judged.fact(criterion): True for one in expressions for criterion in one.judgements()}
    world = study.world(reads_of(expressions), "corrected")
    if not verdicts or world is None:
        return False
    sights = [sight.with_facts(verdicts) for sight in world.last_sights(phase)]
    return bool(sights) and all(must_hold(one, sight) for one in expressions for sight in sights)


def _commit_arguments(study: Study) -> Iterator[Flaw]:
    for phase in study.flow.phases:
        if phase.commit is None:
            continue
        tool = phase.commit.tool
        for name in tool.arguments.model_fields:
            given, wanted = study.flow.specs[name].schema, _parameter(tool.parameters, name)
            if wanted is not None and not _may_fit(given, wanted):
                problem = f"{tool.name}({name}) takes no value of the observation {name!r}"
                yield Flaw(place_of(phase), problem, "give the parameter the observation's type")


def _parameter(schema: Mapping[str, object], name: str) -> Mapping[str, object] | None:
    match schema.get("properties"):
        case dict(members) if isinstance(found := members.get(name), dict):
            return found
    return None


_SCALARS = {"string", "integer", "number", "boolean"}


def _may_fit(given: Mapping[str, object], wanted: Mapping[str, object]) -> bool:
    """Whether some value of one schema may be taken for the other, as pydantic reads JSON.

    A text may be read as anything that is not made of parts; a number or a truth value as no plain text.
    """
    have, want = json_types(given), json_types(wanted)
    if have & want or not have or not want:
        return True
    if "string" in have and want & _SCALARS:
        return True
    return bool(have & _SCALARS and (want & {"integer", "number", "boolean"} or "format" in wanted))


def _once(study: Study) -> Iterator[Flaw]:
    flow = study.flow
    uses = list(_uses(flow))
    once: dict[str, Once] = {}
    for phase, use in uses:
        if not isinstance(use, Once):
            continue
        first = once.setdefault(use.tool.name, use)
        if first != use and first.tool == use.tool:
            problem = f"{use.tool.name!r} runs once, but its uses differ in on_failure, idempotent or unverified"
            yield Flaw(_place(flow, phase), problem, "write all of them alike")
    for phase, use in uses:
        if not isinstance(use, Once) and use.name in once:
            problem = f"{use.name!r} runs once in a call, but is listed here as if it could run again"
            yield Flaw(_place(flow, phase), problem, f"write {use.name}.once(on_failure=…) here too, or leave it out")


def _uses(flow: Flow) -> Iterator[tuple[Phase | None, Tool | Once]]:
    for phase in flow.phases:
        yield from ((phase, use) for use in (*phase.tools, phase.commit) if use is not None)
    yield from ((None, use) for use in flow.tools_everywhere)


def _place(flow: Flow, phase: Phase | None) -> str | None:
    return place_of(flow if phase is None else phase)


RULES = (
    LintRule("F019", "error", "nothing but a verdict in words guards a commit", _judged_alone, deep=True),
    LintRule("F020", "error", "a commit is given an observation of another type", _commit_arguments, deep=True),
    LintRule("F021", "error", "a tool that runs once may run otherwise too", _once),
)
