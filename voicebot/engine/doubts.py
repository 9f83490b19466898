"""What a tool that runs once rests on, and what of it could not be compared with the caller's words.

A quote is *unverifiable* when its transcript failed, came too late, or is in another language. What nobody can check
may steer the conversation, but what cannot be undone does not rest on it: the caller is asked once more, and their
answer counts if it can be checked (the value said again, or a yes to its reading back).

Subjects are named as expressions name them: a field by its name, a criterion in words by `Judged.fact`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from voicebot.flow.expressions import Expression, Judged
from voicebot.flow.model import Phase
from voicebot.flow.tools import Tool

from .standing import Standing
from .state import Quote


def doubted(tool: Tool, standing: Standing) -> list[str]:
    """What this tool rests on and nobody could check. What is still to come is no doubt yet."""
    return [subject for subject in _rests_on(tool, standing) if not _borne_out(subject, standing)]


def open_doubts(standing: Standing) -> list[str]:
    """What was asked once more, and to which the caller has not answered yet."""
    asked = standing.state.asked_again
    return [subject for subject, turn in asked.items() if _last_said(subject, standing) <= turn]


def asked_in_vain(subjects: Iterable[str], standing: Standing) -> bool:
    """Whether one of these was asked once more, and the answer could not be checked either."""
    asked = standing.state.asked_again
    return any(subject in asked and _last_said(subject, standing) > asked[subject] for subject in subjects)


def criteria_in(subjects: Iterable[str]) -> list[str]:
    """The criteria in words among them."""
    verdict = Judged.fact("")
    return [subject.removeprefix(verdict) for subject in subjects if subject.startswith(verdict)]


def in_words(subjects: Collection[str]) -> str:
    """Subjects as the model is told of them."""
    named = [subject for subject in subjects if not criteria_in([subject])]
    return ", ".join([*named, *(f'"{criterion}"' for criterion in criteria_in(subjects))])


# ---- what a tool rests on -------------------------------------------------------------------------------------------


def _rests_on(tool: Tool, standing: Standing) -> list[str]:
    """What it is given, what had to be known on the way to where the call is, and what that was worked out from."""
    flow, state = standing.flow, standing.state
    phases = [flow.by_name[name] for name in dict.fromkeys([*state.path, state.phase])]
    guards = [guard for phase in phases for guard in _guards(phase)]
    found = dict.fromkeys(name for name in tool.arguments.model_fields if name in flow.specs)
    found |= dict.fromkeys(spec.name for phase in phases for spec in standing.collected(phase) if not spec.ask.optional)
    found |= dict.fromkeys(name for guard in guards for name in guard.reads())
    frontier = [*found]
    while frontier:
        ask = flow.specs[frontier.pop()].ask
        reads = [*(() if ask.computed is None else ask.computed.reads)]
        reads += () if ask.needed_if is None else ask.needed_if.reads()
        frontier += [name for name in reads if name in flow.specs and name not in found]
        found |= dict.fromkeys(name for name in reads if name in flow.specs)
    criteria = dict.fromkeys(Judged.fact(text) for guard in guards for text in guard.judgements())
    return [*found, *criteria]


def _guards(phase: Phase) -> Iterator[Expression]:
    yield from phase.success_criteria
    yield from (to.when for to in phase.transitions if to.when is not None)


# ---- what became of it ----------------------------------------------------------------------------------------------


def _borne_out(subject: str, standing: Standing) -> bool:
    """Whether nothing was claimed, or the caller's words bear it out; a yes to its reading back does so for a value."""
    observed = standing.state.observed.get(subject)
    if observed is None:
        return all(quote.state != "unverifiable" for quote in _quotes(subject, standing))
    if observed.agreed is not None and observed.agreed.state == "confirmed":
        return True
    read_back = observed.kind == "speech" and standing.flow.specs[subject].ask.confirm is not None
    counted = observed.agreed if read_back and observed.agreed is not None else observed.quote
    return counted.state != "unverifiable"


def _last_said(subject: str, standing: Standing) -> int:
    """The caller's turn in which it was said, agreed to or judged last; 0 if it is not known any more."""
    return max((quote.turn for quote in _quotes(subject, standing)), default=0)


def _quotes(subject: str, standing: Standing) -> Sequence[Quote]:
    state = standing.state
    if (observed := state.observed.get(subject)) is not None:
        return [observed.quote, *([] if observed.agreed is None else [observed.agreed])]
    return [one.quote for criterion, one in state.verdicts.items() if Judged.fact(criterion) == subject]
