"""Rules about names: that they exist, and that each stands for one thing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..model import Flow, Key
from ..source import place_of
from ..tools import RESERVED, Once, Tool
from ..ways import Way, ways
from .findings import Flaw, LintRule, instead
from .study import Study


def _phase_names(study: Study) -> Iterator[Flaw]:
    for name, count in Counter(phase.name for phase in study.flow.phases).items():
        if count > 1:
            last = [phase for phase in study.flow.phases if phase.name == name][-1]
            yield Flaw(place_of(last), f"{count} phases are named {name!r}", "give each its own name")


def _targets(study: Study) -> Iterator[Flaw]:
    flow = study.flow
    if (name := flow.initial_phase) not in flow.by_name:
        mend = instead(name, flow.by_name, "phases")
        yield Flaw(place_of(flow), f"the initial phase {name!r} does not exist", mend)
    for way in ways(flow):
        if way.end not in flow.by_name:
            problem = f"{_subject(way)} leads to {way.end!r}, which does not exist"
            yield Flaw(way.where, problem, instead(way.end, flow.by_name, "phases"))


def _subject(way: Way) -> str:
    match way.kind:
        case "transition" | "jump":
            return f"phase {way.start!r}"
        case "stuck":
            return "being stuck" if way.start is None else f"being stuck in phase {way.start!r}"
        case "failure":
            return f"the failure of {way.cause!r}"
        case "rule":
            return f"rule {way.cause!r}"
        case "no_answer":
            return f"target {way.cause!r}"
        case "key":
            return f"key {way.cause} of phase {way.start!r}"
        case "cost":
            return "the cost"
    return "silence"


def _observations(study: Study) -> Iterator[Flaw]:
    specs = study.flow.specs
    for where, name, said in _named_fields(study):
        if name not in specs:
            yield Flaw(where, f"{said} is no observation", instead(name, specs, "observations"))


def _named_fields(study: Study) -> Iterator[tuple[str | None, str, str]]:
    """Every observation that is named somewhere: where, its name, and what is said of it."""
    flow = study.flow
    for guard in study.guards:
        for field in guard.expression.fields():
            yield place_of(field) or guard.where, field.name, f"it.{field.name}"
        for function in guard.expression.functions():
            yield from ((guard.where, name, f"{function.name} reads {name!r}, which") for name in function.reads)
    for phase in flow.phases:
        yield from (
            (place_of(phase), name, f"phase {phase.name!r} collects {name!r}, which") for name in phase.observations
        )
        for name in phase.commit.tool.arguments.model_fields if phase.commit is not None else ():
            yield place_of(phase), name, f"the commit of phase {phase.name!r} takes {name!r}, which"
    for receiver in flow.report.receivers:
        for name in receiver.secrets:
            yield place_of(receiver), name, f"receiver {receiver.name!r} is declared for {name!r}, which"
    for sms in flow.report.sms:
        named = ((name, f"{{{name}}} in a text message") for name in sms.places)
        for name, said in (*named, *([(sms.to, f"a text message goes to {sms.to!r}, which")] if sms.to else [])):
            yield place_of(sms) or place_of(flow), name, said
    for spec in flow.specs.values():
        for name in spec.ask.computed.reads if spec.ask.computed is not None else ():
            yield spec.ask.place, name, f"{spec.name!r} is computed from {name!r}, which"
        yield from ((spec.ask.place, name, f"{spec.name!r} is about {name!r}, which") for name in spec.ask.about)


def _tools(study: Study) -> Iterator[Flaw]:
    flow = study.flow
    named: dict[str, Tool] = {}
    twice: set[str] = set()
    for phase in flow.phases:
        for name, count in Counter(tool.name for tool in flow.tools_in(phase)).items():
            if count > 1:
                twice.add(name)
                yield Flaw(place_of(phase), f"phase {phase.name!r} has {count} tools named {name!r}", "rename one")
    for where, tool in _tools_with_places(flow):
        if tool.name in RESERVED:
            yield Flaw(where, f"a tool is named {tool.name!r}, as one of the engine's own", "rename it")
        if named.setdefault(tool.name, tool) != tool and tool.name not in twice:
            yield Flaw(where, f"another tool is named {tool.name!r} too", "rename one")


def _tools_with_places(flow: Flow) -> Iterator[tuple[str | None, Tool]]:
    for phase in flow.phases:
        for use in (*phase.tools, phase.commit):
            if use is not None:
                yield place_of(phase), use.tool if isinstance(use, Once) else use
    for use in flow.tools_everywhere:
        yield place_of(flow), use.tool if isinstance(use, Once) else use


def _functions(study: Study) -> Iterator[Flaw]:
    named: dict[str, tuple[str, object]] = {}
    for where, kind, name, function in _functions_with_places(study):
        other, first = named.setdefault(name, (kind, function))
        if first is not function and (other, kind) != ("tool", "tool"):
            mend = "give each its own name: the flow's JSON form tells them apart by it"
            yield Flaw(where, f"another {other} is named {name!r} too", mend)


def _functions_with_places(study: Study) -> Iterator[tuple[str | None, str, str, Callable[..., object]]]:
    flow = study.flow
    for where, tool in _tools_with_places(flow):
        yield where, "tool", tool.name, tool.function
    for handler in flow.handlers:
        yield place_of(flow), "handler", handler.name, handler.function
    for receiver in flow.report.receivers:
        if receiver.body is not None:
            yield place_of(receiver), "body function", receiver.body.name, receiver.body.function
    for spec in flow.specs.values():
        if spec.ask.check is not None:
            yield spec.ask.place, "check", spec.ask.check.__name__, spec.ask.check
        if spec.ask.computed is not None:
            yield spec.ask.place, "computed field's function", spec.ask.computed.name, spec.ask.computed.function
    for guard in study.guards:
        for function in guard.expression.functions():
            yield guard.where, "guard", function.name, function.function


def _rules(study: Study) -> Iterator[Flaw]:
    names: set[str] = set()
    events: set[str] = set()
    for rule in study.flow.rules:
        event = f"key {rule.when.key}" if isinstance(rule.when, Key) else repr(rule.when)
        if rule.name in names:
            yield Flaw(place_of(rule), f"another rule is named {rule.name!r} too", "give each its own name")
        if event in events:
            problem = f"rule {rule.name!r} is for {event}, as another rule is: the first one is always applied"
            yield Flaw(place_of(rule), problem, "leave one of them")
        names.add(rule.name)
        events.add(event)


def _zone(study: Study) -> Iterator[Flaw]:
    name = study.flow.timezone
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield Flaw(place_of(study.flow), f"no time zone is named {name!r}", "write one as in Europe/Rome")


RULES = (
    LintRule("F001", "error", "two phases have the same name", _phase_names),
    LintRule("F002", "error", "a way leads to a phase that does not exist", _targets),
    LintRule("F003", "error", "an observation is named that does not exist", _observations),
    LintRule("F009", "error", "two tools have the same name, or one has a name of the engine's own", _tools),
    LintRule("F010", "error", "the time zone does not exist", _zone),
    LintRule("F012", "error", "two different functions have the same name", _functions),
    LintRule("F029", "error", "two rules have the same name, or are for the same event", _rules),
)
