"""Rules about observations: that somebody asks for them, and that what is said of them has an effect."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from voicebot.errors import FunctionFailedError

from ..expressions import Compare
from ..observations import ObservationSpec
from ..source import place_of
from .domains import fits, has_json_form, in_words, takes
from .findings import Flaw, LintRule
from .study import Study


def _collected(study: Study) -> Iterator[Flaw]:
    flow = study.flow
    collected = {name for names in flow.collected_in.values() for name in names}
    if any(study.takes_from_tools(phase) for phase in flow.phases):
        return  # a tool may hand it in
    for spec in flow.specs.values():
        needed = not spec.ask.optional and spec.ask.default_from is None and spec.ask.computed is None
        if needed and spec.name not in collected:
            mend = "list it in a phase's observations, or make it optional"
            yield Flaw(spec.ask.place, f"no phase collects {spec.name!r}", mend)


def _constants(study: Study) -> Iterator[Flaw]:
    for guard in study.guards:
        for leaf in guard.expression.leaves():
            if not isinstance(leaf, Compare) or leaf.field.name not in study.flow.specs:
                continue
            where, name = place_of(leaf.field) or guard.where, leaf.field.name
            if not has_json_form(leaf.value):
                problem = f"it.{name} is compared with {type(leaf.value).__name__!r}, which JSON cannot hold"
                yield Flaw(where, problem, "compare it with a constant")
            elif not fits(spec := study.flow.specs[name], leaf):
                problem = f"it.{name} {leaf.operator} {in_words(leaf.value)} compares with what {name!r} cannot be"
                yield Flaw(where, problem, _values_of(spec))


def _values_of(spec: ObservationSpec) -> str:
    match spec.schema:
        case {"enum": list(choices)}:
            return "its values: " + ", ".join(map(repr, choices))
        case {"const": choice}:
            return f"its value: {choice!r}"
        case {"type": "boolean"}:
            return "write .yes or .no"
        case {"type": str(kind)}:
            return f"its values are of type {spec.schema.get('format', kind)}"
    return "compare it with a value of its type"


def _circles(study: Study) -> Iterator[Flaw]:
    specs = study.flow.specs
    graph = {name: {read for read in _depends_on(spec) if read in specs} for name, spec in specs.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        circle = [str(name) for name in exc.args[1]]
        problem = f"observations wait for each other in a circle: {' → '.join(reversed(circle))}"
        yield Flaw(specs[circle[0]].ask.place, problem, "let one of them depend on nothing of the circle")


def _depends_on(spec: ObservationSpec) -> set[str]:
    needed_if = () if spec.ask.needed_if is None else spec.ask.needed_if.reads()
    return {*needed_if, *spec.ask.about, *(() if spec.ask.computed is None else spec.ask.computed.reads)}


def _idle_declarations(study: Study) -> Iterator[Flaw]:
    flow = study.flow
    for spec in flow.specs.values():
        asked = spec.ask
        given = (asked.confirm, asked.check, asked.optional, asked.default_from, asked.about)
        if asked.computed is not None and any(given):
            problem = f"{spec.name!r} is computed, so nobody is asked for it"
            yield Flaw(asked.place, problem, "leave out confirm, check, optional, default_from and about")
        elif asked.confirm is not None and spec.schema.get("type") == "boolean":
            problem = f"reading back {spec.name!r} asks for a yes to a yes or no"
            yield Flaw(asked.place, problem, "leave out confirm, or confirm what the yes is about")
        if asked.default_from == "caller" and asked.computed is None and not _takes_a_number(spec):
            problem = f"{spec.name!r} cannot hold the caller's number"
            yield Flaw(asked.place, problem, "make it a PhoneNumber, or leave out default_from")
        for name in asked.about:
            if not _known_with(study, spec.name, name):
                problem = f"{spec.name!r} is about {name!r}, which no phase gives that collects {spec.name!r}"
                yield Flaw(asked.place, problem, f"collect {name!r} before it, or leave it out of about")
    for phase in flow.phases:
        for name in phase.observations:
            if flow.specs[name].ask.computed is not None:
                problem = f"phase {phase.name!r} lists {name!r}, which is computed and never asked for"
                yield Flaw(place_of(phase), problem, "leave it out; it is there as soon as what it is computed from is")


def _known_with(study: Study, name: str, subject: str) -> bool:
    """Whether a call may know a field where another one is collected."""
    places = [phase for phase in study.flow.phases if name in study.flow.collected_in[phase.name]]
    return not places or any(subject in study.possible[phase.name] for phase in places)


def _takes_a_number(spec: ObservationSpec) -> bool:
    try:
        return takes(spec, "+14155550123")
    except FunctionFailedError:
        return True


RULES = (
    LintRule("F008", "warning", "no phase collects a required observation", _collected, deep=True),
    LintRule("F015", "error", "a field is compared with what it cannot be", _constants),
    LintRule("F022", "error", "observations wait for each other in a circle", _circles),
    LintRule("F023", "warning", "something said of an observation has no effect", _idle_declarations, deep=True),
)
