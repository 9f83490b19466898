"""Rules about words: what is spoken exactly, and how much the model has to read."""

from __future__ import annotations

from collections.abc import Iterator

from ..model import LONGEST_SAY, AskAgain, Flow, Say
from ..source import place_of
from ..ways_out import Transfer
from . import budget
from .findings import Flaw, LintRule, instead
from .places import places_in, stray_braces
from .study import Study

MANY_TOKENS = 4_000
TOO_MANY_TOKENS = 12_000  # the Realtime API takes 16,384 of instructions and tools, and our count is an estimate


def _instructions(study: Study) -> Iterator[Flaw]:
    for phase in study.flow.phases:
        if not (phase.instructions.strip() or isinstance(phase.end, Transfer)):  # which needs no words but its own
            yield Flaw(place_of(phase), f"phase {phase.name!r} has no instructions", "say what it is for")


def _statements(study: Study) -> Iterator[Flaw]:
    flow = study.flow
    for phase in flow.phases:
        for say in phase.must_say:
            if flow.statements[say.name].text != say.text:
                yield Flaw(place_of(phase), f"two statements are named {say.name!r}", "give each text its own name")
            for name in places_in(say):
                if name not in flow.specs:
                    mend = instead(name, flow.specs, "observations")
                    yield Flaw(place_of(phase), f"{{{name}}} in {say.name!r} is no observation", mend)
            if stray_braces(say.text):
                mend = "write the name of an observation alone in braces, as in {total}"
                yield Flaw(place_of(phase), f"{say.name!r} has braces that are no place for a value", mend)
            if not any(sign.isalnum() for sign in say.text):
                yield Flaw(place_of(phase), f"the statement {say.name!r} has no words", "write what is to be said")
    for guard in study.guards:
        for name in guard.expression.statements():
            if name not in flow.statements:
                mend = instead(name, flow.statements, "statements")
                yield Flaw(guard.where, f"no phase must say {name!r}", mend)


def _exact_words(study: Study) -> Iterator[Flaw]:
    for what, text, where in _spoken(study.flow):
        if not any(sign.isalnum() for sign in text):
            yield Flaw(where, f"{what} has no words", "write what is to be said")
        elif "{" in text or "}" in text:
            mend = "only a phase's must_say has places for values; write words"
            yield Flaw(where, f"{what} has braces, which would be spoken", mend)
        elif len(text) > LONGEST_SAY:
            yield Flaw(where, f"{what} has {len(text)} characters", f"say it in at most {LONGEST_SAY}")


def _spoken(flow: Flow) -> Iterator[tuple[str, str, str | None]]:
    """What is spoken as it is written, but for statements of phases."""
    place = place_of(flow)
    for what, say in (("the opening", flow.opening), ("the apology", flow.apology)):
        if say is not None:
            yield what, say.text, place
    if flow.closed is not None and flow.closed.say:
        yield "what is said outside the hours", flow.closed.say, place_of(flow.closed) or place
    for rung in flow.limits.silence:
        if isinstance(rung.then, AskAgain) and rung.then.text:
            yield f"the question after {rung.delay:g} s of silence", rung.then.text, place
    for rule in flow.rules:
        if isinstance(rule.then, Say):
            yield f"what rule {rule.name!r} says", rule.then.text, place_of(rule)
    for spec in flow.specs.values():
        if spec.ask.keypad is not None:
            asked = (("asks for", spec.ask.keypad.prompt), ("asks again for", spec.ask.keypad.again))
            yield from ((f"what {how} {spec.name!r}", text, spec.ask.place) for how, text in asked if text)
    for phase in flow.phases:
        used = [*flow.tools_in(phase), *([phase.commit.tool] if phase.commit is not None else [])]
        for tool in used:
            if tool.filler:
                yield f"the filler of {tool.name!r}", tool.filler, place_of(phase)


def _much_to_read(study: Study) -> Iterator[Flaw]:
    yield from _reading(study, MANY_TOKENS, TOO_MANY_TOKENS)


def _too_much(study: Study) -> Iterator[Flaw]:
    yield from _reading(study, TOO_MANY_TOKENS, None)


def _reading(study: Study, above: int, below: int | None) -> Iterator[Flaw]:
    """The phase with the most to read, if that is much; the others mostly share its texts."""
    estimates = {phase.name: budget.tokens(study, phase) for phase in study.flow.phases}
    name, most = max(estimates.items(), key=lambda entry: entry[1])
    if most > above and (below is None or most <= below):
        problem = f"phase {name!r} gives the model about {most:,} tokens to read (characters / 4), for every reply"
        mend = "shorten knowledge and instructions, or let a tool look things up"
        yield Flaw(place_of(study.flow.by_name[name]), problem, mend)


RULES = (
    LintRule("F011", "warning", "a phase has no instructions", _instructions),
    LintRule("F013", "error", "a statement is unknown or ambiguous, or quotes what is no observation", _statements),
    LintRule("F030", "error", "what is to be spoken exactly cannot be", _exact_words),
    LintRule("F031", "warning", f"the model has more than {MANY_TOKENS:,} tokens to read", _much_to_read, deep=True),
    LintRule("F032", "error", f"the model has more than {TOO_MANY_TOKENS:,} tokens to read", _too_much, deep=True),
)
