"""Rules about languages: that each of a flow's has its words, and that they say the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from ..model import Flow
from ..source import place_of
from .findings import Flaw, LintRule
from .places import places_in_text
from .study import Study
from .words import spoken_in

# What is said in need has words of ours in these: a pause, a call that was cut off, an apology, keys to press.
OUR_LANGUAGES = ("de", "en", "es", "fr", "it", "pt")


def _worded(flow: Flow) -> Iterator[tuple[str, Mapping[str | None, str], str | None]]:
    """Everything that is said exactly, by language: what it is, its words, and where."""
    yield from ((what, words, where) for what, words, where in spoken_in(flow) if words)
    for phase in flow.phases:
        yield from ((f"the statement {say.name!r}", say.texts, place_of(phase)) for say in phase.must_say)


def _foreign(study: Study) -> Iterator[Flaw]:
    known = study.flow.languages
    for what, words, where in _worded(study.flow):
        for code in words:
            if code is not None and code not in known:
                problem = f"{what} has words in {code!r}, which is none of the flow's languages"
                yield Flaw(where, problem, f"languages: {', '.join(known)}")


def _without_words(study: Study) -> Iterator[Flaw]:
    flow = study.flow
    for what, words, where in _worded(flow):
        if what == "the opening" and None in words:
            continue  # it is said before the caller has said anything, in the flow's first language
        there = {code or flow.languages[0] for code in words}
        if missing := [code for code in flow.languages if code not in there]:
            given = ", ".join(f'"{code}": "…"' for code in flow.languages)
            yield Flaw(where, f"{what} has no words in {' and '.join(missing)}", f"give them by language: {{{given}}}")


def _without_ours(study: Study) -> Iterator[Flaw]:
    flow = study.flow
    for code in flow.languages:
        if code in OUR_LANGUAGES:
            continue
        needed = [] if flow.apology is not None and flow.apology.has(code, flow.languages[0]) else ["apology"]
        if flow.limits.cost_usd is not None and flow.limits.cost_say is None:
            needed.append("cost_say of the limits")
        needed += [
            f"prompt and again of the keypad of {spec.name!r}"
            for spec in flow.specs.values()
            if spec.ask.keypad is not None
            and spec.ask.secret
            and not (spec.ask.keypad.prompt and spec.ask.keypad.again)
        ]
        problem = f"we have no sentences of our own in {code!r}, as for a caller who has to wait"
        mend = f"give {', '.join(needed)}" if needed else "what the flow can give, it gives: the rest is not said in it"
        yield Flaw(place_of(flow), problem, mend)


def _quotes(study: Study) -> Iterator[Flaw]:
    for phase in study.flow.phases:
        for say in phase.must_say:
            counted = {code: Counter(places_in_text(text)) for code, text in say.texts.items()}
            first = counted[say.language]
            for code in (code for code, quoted in counted.items() if quoted != first):
                problem = f"{say.name!r} quotes other values in {code!r} than in {say.language!r}"
                mend = f"quote the same in all of them: {', '.join(f'{{{name}}}' for name in first) or 'none'}"
                yield Flaw(place_of(phase), problem, mend)


RULES = (
    LintRule("F047", "error", "words in a language that the flow does not have", _foreign),
    LintRule("F048", "warning", "a language of the flow has no words for what is said exactly", _without_words),
    LintRule("F049", "warning", "a language that we have no sentences in", _without_ours),
    LintRule("F050", "error", "a statement quotes other values in one language than in another", _quotes),
)
