"""Rules about words: what is spoken exactly, and how much the model has to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..model import AskAgain, Flow, LeaveMessage, Phase, Say
from ..source import place_of
from ..ways_out import Transfer
from ..wording import LONGEST_SAY, texts_of
from . import budget
from .findings import Flaw, LintRule, instead
from .places import places_in_text, stray_braces
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
            for text in say.texts.values():
                yield from _statement(flow, phase, say.name, text)
    for guard in study.guards:
        for name in guard.expression.statements():
            if name not in flow.statements:
                mend = instead(name, flow.statements, "statements")
                yield Flaw(guard.where, f"no phase must say {name!r}", mend)


def _statement(flow: Flow, phase: Phase, name: str, text: str) -> Iterator[Flaw]:
    """What is wrong with a statement in one of its languages."""
    for field in places_in_text(text):
        if field not in flow.specs:
            mend = instead(field, flow.specs, "observations")
            yield Flaw(place_of(phase), f"{{{field}}} in {name!r} is no observation", mend)
    if stray_braces(text):
        mend = "write the name of an observation alone in braces, as in {total}"
        yield Flaw(place_of(phase), f"{name!r} has braces that are no place for a value", mend)
    if not any(sign.isalnum() for sign in text):
        yield Flaw(place_of(phase), f"the statement {name!r} has no words", "write what is to be said")


def _exact_words(study: Study) -> Iterator[Flaw]:
    spoken = ((what, text, where) for what, words, where in spoken_in(study.flow) for text in words.values())
    for what, text, where in spoken:
        if not any(sign.isalnum() for sign in text):
            yield Flaw(where, f"{what} has no words", "write what is to be said")
        elif "{" in text or "}" in text:
            mend = "only a phase's must_say has places for values; write words"
            yield Flaw(where, f"{what} has braces, which would be spoken", mend)
        elif len(text) > LONGEST_SAY:
            yield Flaw(where, f"{what} has {len(text)} characters", f"say it in at most {LONGEST_SAY}")


def spoken_in(flow: Flow) -> Iterator[tuple[str, Mapping[str | None, str], str | None]]:
    """What is spoken as it is written, by language, but for statements of phases: what it is, its words, and where."""
    place, limits = place_of(flow), flow.limits
    whole = (
        ("the opening", flow.opening),
        ("the apology", flow.apology),
        ("what is said at the cost", limits.cost_say),
    )
    for what, say in whole:
        if say is not None:
            yield what, say.texts, place
    if isinstance(flow.on_voicemail, LeaveMessage):
        yield "the message for a machine", flow.on_voicemail.say.texts, place
    for rung in limits.silence:
        if isinstance(rung.then, AskAgain):
            yield f"the question after {rung.delay:g} s of silence", texts_of(rung.then.text), place
    if flow.closed is not None and flow.closed.say:
        yield "what is said outside the hours", texts_of(flow.closed.say), place_of(flow.closed) or place
    for rule in flow.rules:
        if isinstance(rule.then, Say):
            yield f"what rule {rule.name!r} says", rule.then.texts, place_of(rule)
    for spec in flow.specs.values():
        if spec.ask.keypad is not None:
            asked = (("asks for", spec.ask.keypad.prompt), ("asks again for", spec.ask.keypad.again))
            yield from ((f"what {how} {spec.name!r}", texts_of(words), spec.ask.place) for how, words in asked)
    for phase in flow.phases:
        used = [*flow.tools_in(phase), *([phase.commit.tool] if phase.commit is not None else [])]
        for tool in used:
            yield f"the filler of {tool.name!r}", texts_of(tool.filler), place_of(phase)
        if isinstance(phase.end, Transfer):
            yield f"what is said before the transfer of {phase.name!r}", texts_of(phase.end.say), place_of(phase)


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
