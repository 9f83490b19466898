"""Weighing what the model quotes against what the caller was transcribed to have said."""

from __future__ import annotations

from collections.abc import Iterator

from voicebot.flow.expressions import Judged

from .entries import EvidenceState, EvidenceWeighed, Testimony
from .evidence import bears_out, comparable, support
from .state import EARLIER_TURNS, EngineState, Quote

LIKELIEST = 8  # turns of a whole call in which a quote is looked for


def weigh(
    quote: Quote, state: EngineState, *, since: int = 1, final: bool = False
) -> tuple[EvidenceState, float | None]:
    """What becomes of a quote: an evidence state, and the score if there was anything to compare.

    It is looked for in the turn it was recorded in and in those before it, down to turn `since`. It stays `provisional`
    while the transcript of its own turn is to come, unless the wait is `final`.
    """
    turns = range(max(since, quote.turn - EARLIER_TURNS), quote.turn + 1)
    said = [state.transcripts[turn] for turn in turns if turn in state.transcripts]
    score = support(quote.text, said) if said else None
    if score is not None and bears_out(score):
        return "confirmed", score
    if quote.turn not in state.transcripts and quote.turn not in state.untranscribed:
        return ("unverifiable" if final else "provisional"), score
    if any(turn in state.untranscribed for turn in turns):
        return "unverifiable", score
    return ("contradicted" if comparable(quote.text, said) else "unverifiable"), score


def weigh_anywhere(text: str, state: EngineState) -> tuple[int, EvidenceState, float | None]:
    """Where in the whole call a quote stands, and what becomes of it; no more transcripts come.

    Returns:
        The turn that bears it out best, the state, which is never `provisional`, and the score.
    """
    at, best = state.turn, None
    for turn in _likeliest(text, state):
        score = support(text, _with_the_one_before(turn, state))
        if best is None or score > best:
            before = state.transcripts.get(turn - 1)
            at, best = (turn - 1 if before is not None and support(text, [before]) >= score else turn), score
        if bears_out(score):
            return at, "confirmed", score
    latest = [state.transcripts[turn] for turn in sorted(state.transcripts)[-LIKELIEST:]]
    if len(state.transcripts) < state.turn or not comparable(text, latest):
        return at, "unverifiable", best
    return at, "contradicted", best


def _likeliest(text: str, state: EngineState) -> list[int]:
    """The turns that look most like the quote, the likeliest first: to weigh it against an hour of talk takes long."""
    wanted = _letter_pairs(text)

    def likeness(turn: int) -> tuple[int, int]:
        shared = wanted & _letter_pairs(" ".join(_with_the_one_before(turn, state)))
        return len(shared), turn  # of what was said twice, the later

    return sorted(state.transcripts, key=likeness, reverse=True)[:LIKELIEST]


def _letter_pairs(text: str) -> set[str]:
    folded = text.casefold()
    return {folded[at : at + 2] for at in range(len(folded) - 1)}


def _with_the_one_before(turn: int, state: EngineState) -> list[str]:
    return [state.transcripts[one] for one in (turn - 1, turn) if one in state.transcripts]


def weighed(state: EngineState, *, final: bool = False) -> Iterator[EvidenceWeighed]:
    """Everything that can be told now of what was still provisional."""
    for subject, of, quote, since in list(_open(state)):
        found, score = weigh(quote, state, since=since, final=final)
        if found not in ("provisional", quote.state):
            yield EvidenceWeighed(subject, of, found, None if score is None else round(score, 3))


def _open(state: EngineState) -> Iterator[tuple[str, Testimony, Quote, int]]:
    """What is provisional: subject, what the quote stands for, the quote, and the first turn that it may be from.

    So is what was unverifiable and is asked once more: its transcript may come after all.
    """
    for name, observed in state.observed.items():
        # The agreement first: it is gone with a value that is contradicted.
        if observed.agreed is not None and _is_open(observed.agreed, name, state):
            since = max(observed.quote.turn + 1, _since(observed.agreed, name, state))
            yield name, "agreement", observed.agreed, min(since, observed.agreed.turn)
        if _is_open(observed.quote, name, state):
            yield name, "value", observed.quote, _since(observed.quote, name, state)
    for criterion, verdict in state.verdicts.items():
        if _is_open(verdict.quote, subject := Judged.fact(criterion), state):
            yield criterion, "verdict", verdict.quote, _since(verdict.quote, subject, state)


def _since(quote: Quote, subject: str, state: EngineState) -> int:
    """The first turn that a quote may be from: an answer to being asked once more comes after that."""
    asked = state.asked_again.get(subject, quote.turn)
    return asked + 1 if quote.turn > asked else 1


def _is_open(quote: Quote, subject: str, state: EngineState) -> bool:
    return quote.state == "provisional" or (quote.state == "unverifiable" and subject in state.asked_again)
