"""Rules about the keys of the telephone: that what is pressed has one meaning, and that a secret stays one."""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType

from ..expressions import Compare
from ..model import Phase
from ..observations import ObservationSpec
from ..receivers import Receiver
from ..source import place_of
from .findings import Flaw, LintRule
from .places import places_in
from .study import Study

_PRESSED = {"string", "integer", "number"}
_NO_DIGITS = {"date", "date-time", "time", "duration", "email", "uri"}


def _keys(study: Study) -> Iterator[Flaw]:
    flow = study.flow
    for spec in flow.specs.values():
        if spec.ask.keypad is None:
            continue
        if not _can_be_pressed(spec):
            problem = f"{spec.name!r} is to be pressed on the telephone, and its values are no digits"
            yield Flaw(spec.ask.place, problem, "make it a text or a number, or leave out keypad")
    for phase in flow.phases:
        entered = [name for name in flow.collected_in.get(phase.name, ()) if _has_keypad(study, name)]
        if phase.keys and entered:
            problem = f"phase {phase.name!r} has keys of its own and collects {entered[0]!r} by keys, too"
            yield Flaw(place_of(phase), problem, "move one of them to another phase")
        if phase.keys and phase.end is not None:
            yield Flaw(place_of(phase), f"phase {phase.name!r} ends the call, so its keys are never used", "leave them")
        for name in entered:
            if flow.specs[name].ask.secret and flow.limits_of(phase) is None:
                problem = f"a caller who cannot enter {name!r} finds no way out of phase {phase.name!r}"
                yield Flaw(place_of(phase), problem, "give it limits=PhaseLimits(turns=…, then=…)")


def _has_keypad(study: Study, name: str) -> bool:
    spec = study.flow.specs.get(name)
    return spec is not None and spec.ask.keypad is not None


def _can_be_pressed(spec: ObservationSpec) -> bool:
    return spec.schema.get("type") in _PRESSED and spec.schema.get("format") not in _NO_DIGITS


# ---- secrets --------------------------------------------------------------------------------------------------------


def _secrets(study: Study) -> Iterator[Flaw]:
    flow = study.flow
    for spec in flow.specs.values():
        if spec.ask.secret:
            yield from _declaration(study, spec)
    if not flow.secrets:
        return
    yield from _computed(study)
    for phase in flow.phases:
        yield from _words(study, phase)
        yield from _tools(study, phase)
    for what, text in (("goal", flow.goal), ("persona", flow.persona), ("knowledge", str(flow.knowledge))):
        for name in _quoted(study, text):
            yield Flaw(place_of(flow), f"the {what} quotes {name!r}, which the model must not know", _WITHOUT)
    for guard in study.guards:
        compared = {leaf.field.name for leaf in guard.expression.leaves() if isinstance(leaf, Compare)}
        read = {name for function in guard.expression.functions() for name in function.reads}
        for name in sorted((compared | read) & flow.secrets):
            yield Flaw(guard.where, f"a guard looks at {name!r}, which is secret", f"ask it.{name}.filled, and no more")
    for receiver in flow.report.receivers:
        yield from _receiver(study, receiver)


_WITHOUT = "leave it out: a secret is entered by keys and sent to its receivers, and nobody else knows it"


def _declaration(study: Study, spec: ObservationSpec) -> Iterator[Flaw]:
    asked, name = spec.ask, spec.name
    if asked.keypad is None:
        yield Flaw(asked.place, f"{name!r} is secret, and would be spoken", "add keypad=True, so that it is pressed")
    given = {
        "optional": asked.optional,
        "confirm": asked.confirm is not None,
        "default_from": asked.default_from is not None,
        "about": bool(asked.about),
        "computed": asked.computed is not None,
    }
    if idle := [what for what, is_given in given.items() if is_given]:
        problem = f"{name!r} is secret, so it cannot have {idle[0]}"
        yield Flaw(asked.place, problem, "nobody reads back or works out what nobody knows")
    if not any(name in receiver.secrets for receiver in study.flow.report.receivers):
        problem = f"{name!r} is secret, and no receiver is declared for it: nobody would ever get it"
        yield Flaw(asked.place, problem, f'give one of them Receiver(…, secrets=["{name}"])')


def _words(study: Study, phase: Phase) -> Iterator[Flaw]:
    for say in phase.must_say:
        for name in places_in(say):
            if name in study.flow.secrets:
                yield Flaw(place_of(phase), f"the statement {say.name!r} speaks {name!r}, which is secret", _WITHOUT)
    for name in _quoted(study, phase.instructions):
        problem = f"the instructions of phase {phase.name!r} quote {name!r}, which the model must not know"
        yield Flaw(place_of(phase), problem, _WITHOUT)


def _quoted(study: Study, text: str) -> list[str]:
    return [name for name in sorted(study.flow.secrets) if f"{{{name}}}" in text]


def _tools(study: Study, phase: Phase) -> Iterator[Flaw]:
    used = [*study.flow.tools_in(phase), *([phase.commit.tool] if phase.commit is not None else [])]
    for tool in used:
        for name in sorted(study.flow.secrets & set(tool.arguments.model_fields)):
            yield Flaw(place_of(phase), f"the tool {tool.name!r} takes {name!r}, which is secret", _WITHOUT)


def _computed(study: Study) -> Iterator[Flaw]:
    for spec in study.flow.specs.values():
        reads = () if spec.ask.computed is None else spec.ask.computed.reads
        for name in sorted(study.flow.secrets & set(reads)):
            yield Flaw(spec.ask.place, f"{spec.name!r} is computed from {name!r}, which is secret", _WITHOUT)


def _receiver(study: Study, receiver: Receiver) -> Iterator[Flaw]:
    secrets = study.flow.secrets
    for name in receiver.secrets:
        if name in study.flow.specs and name not in secrets:
            problem = f"receiver {receiver.name!r} is declared for {name!r}, which is no secret"
            yield Flaw(place_of(receiver), problem, f"it gets {name!r} anyway: leave it out of secrets")
    if receiver.body is None:
        return
    code = getattr(receiver.body.function, "__code__", None)
    quoted = set(_texts(code)) if isinstance(code, CodeType) else set()
    for name in sorted((secrets & quoted) - set(receiver.secrets)):
        problem = f"the body of receiver {receiver.name!r} quotes {name!r}, and it is not declared for that secret"
        yield Flaw(place_of(receiver), problem, f'give it secrets=["{name}"], or leave it out of the body')


def _texts(code: CodeType) -> Iterator[str]:
    """The texts that a function's code holds."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _texts(constant)
        elif isinstance(constant, str):
            yield constant


RULES = (
    LintRule("F045", "error", "keys of the telephone have two meanings, or none", _keys),
    LintRule("F046", "error", "a secret would become known, or would never arrive", _secrets),
)
