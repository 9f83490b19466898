"""Weighing what the model quotes against what the caller was transcribed to have said."""

from __future__ import annotations

from collections.abc import Iterator

from .entries import EvidenceState, EvidenceWeighed, Testimony
from .evidence import bears_out, comparable, support
from .state import EARLIER_TURNS, EngineState, Quote


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
    if any(turn in state.untranscribed for turn in turns):
        return "unverifiable", score
    if quote.turn not in state.transcripts:
        return ("unverifiable" if final else "provisional"), score
    return ("contradicted" if comparable(quote.text, said) else "unverifiable"), score


def weighed(state: EngineState, *, final: bool = False) -> Iterator[EvidenceWeighed]:
    """Everything that can be told now of what was still provisional."""
    for subject, of, quote, since in list(_open(state)):
        found, score = weigh(quote, state, since=since, final=final)
        if found != "provisional":
            yield EvidenceWeighed(subject, of, found, None if score is None else round(score, 3))


def _open(state: EngineState) -> Iterator[tuple[str, Testimony, Quote, int]]:
    """What is provisional: subject, what the quote stands for, the quote, and the first turn that it may be from."""
    for name, observed in state.observed.items():
        # The agreement first: it is gone with a value that is contradicted.
        if observed.agreed is not None and observed.agreed.state == "provisional":
            yield name, "agreement", observed.agreed, min(observed.quote.turn + 1, observed.agreed.turn)
        if observed.quote.state == "provisional":
            yield name, "value", observed.quote, 1
    for criterion, verdict in state.verdicts.items():
        if verdict.quote.state == "provisional":
            yield criterion, "verdict", verdict.quote, 1
