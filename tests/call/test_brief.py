"""What whoever answers is told before a caller is joined to them: from the journal alone, and nothing secret."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from pydantic import BaseModel

from tests.fakes import START
from voicebot.call.brief import LONGEST_BRIEF, LONGEST_VALUE, brief_of
from voicebot.call.entries import BotSaid, CallerConnected, Entry
from voicebot.call.past import Past
from voicebot.engine.entries import (
    CallerSaid,
    CallerTurnTaken,
    EvidenceKind,
    EvidenceWeighed,
    ObservationRecorded,
    ObservationWithdrawn,
    PhaseEntered,
)
from voicebot.engine.events import CallContext
from voicebot.errors import JournalError
from voicebot.flow import Flow, Observations, Phase, ask, computed

CALLER = "+14155550123"


class Street(BaseModel):
    name: str
    number: int
    note: str | None = None


def price_of(seats: int) -> int:
    """the price"""
    return 10 * seats


class Booking(Observations):
    full_name: str = ask("a name")
    seats: int = ask("how many")
    member: bool = ask("whether they are a member")
    extras: list[str] = ask("what else")
    street: Street = ask("where")
    price: int = computed(price_of)


def brief(*entries: Entry, caller: str | None = CALLER, language: str = "en") -> str:
    flow = Flow(goal="g", observations=Booking, languages=[language], phases=[Phase("book", instructions="Book.")])
    lines: Sequence[Entry] = [CallerConnected("MZ1"), PhaseEntered("book", None, "start"), CallerTurnTaken(1, "item-1")]
    past = Past(tuple((n * 1000, entry) for n, entry in enumerate([*lines, *entries])), len(lines) + len(entries), 9000)
    return brief_of(flow, CallContext("CA1", caller, "+15550100", START), past)


def recorded(name: str, value: object, kind: EvidenceKind = "speech") -> ObservationRecorded:
    return ObservationRecorded(name, value, kind, "so", 1)  # type: ignore[arg-type]


def test_brief_says_who_calls() -> None:
    assert brief() == "A call from 1 4 1 5 5 5 5 0 1 2 3."
    assert brief(caller=None) == "A call from a withheld number."
    assert brief(caller=None, language="it") == "Una chiamata da un numero nascosto."
    assert brief(language="nl") == "A call from 1 4 1 5 5 5 5 0 1 2 3."


def test_brief_says_what_the_caller_said() -> None:
    told = brief(
        recorded("full_name", "Ada Lovelace"),
        recorded("seats", 4),
        recorded("member", True),
        recorded("extras", ["a cake", "music"]),
        recorded("street", {"name": "Via Appia", "number": 3, "note": None}),
        caller=None,
        language="de",
    )
    assert told == (
        "Ein Anruf mit unterdrückter Nummer. full name: Ada Lovelace. seats: 4. member: ja. "
        "extras: a cake, music. street: Via Appia 3."
    )


@pytest.mark.parametrize("kind", ["computed", "default", "tool", "analysis"])
def test_what_nobody_said_stays_out(kind: EvidenceKind) -> None:
    assert "seats" not in brief(recorded("seats", 4, kind))


def test_what_is_computed_stays_out() -> None:
    assert "price" not in brief(recorded("seats", 4), recorded("price", 40, "computed"))


def test_what_was_taken_back_stays_out() -> None:
    told = brief(
        recorded("full_name", "Ada"),
        CallerSaid("item-1", "Good morning."),
        EvidenceWeighed("full_name", "value", "contradicted", 0.0),
        ObservationWithdrawn("full_name", "contradicted"),
    )
    assert "Ada" not in told


def test_what_was_only_spoken_stays_out() -> None:
    said = BotSaid("i1", "Your card ends in 4242.", "Your card", 100, 900, True, False)
    assert "card" not in brief(CallerSaid("item-1", "My card is 4242 4242."), said)


def test_brief_is_short_whatever_was_said() -> None:
    told = brief(recorded("full_name", "a" * 5000), recorded("extras", ["b" * 90] * 40), recorded("seats", 4))
    assert len(told) <= LONGEST_BRIEF
    assert "a" * (LONGEST_VALUE - 1) + "…" in told
    assert told.endswith("seats: 4.") or "seats: 4." in told


def test_journal_of_another_flow_gives_no_brief() -> None:
    with pytest.raises(JournalError):
        brief(recorded("colour", "red"))
