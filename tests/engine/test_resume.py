"""A process is lost in mid-call: another one reads the journal, and the call goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.engine.line import (
    Line,
    answers,
    entered,
    kinds,
    notes,
    outputs,
    quoting,
    recorded,
    restored,
    spoken,
    weighings,
    written,
)
from voicebot.engine.engine import EVIDENCE_LIMIT_S, PhaseEngine
from voicebot.engine.entries import EngineEntry, EvidenceWeighed, PhaseEntered, StatementCut, ToolAnswered
from voicebot.engine.events import CallResumed, Close, ConfigurePhase, EngineEffect, RunTool
from voicebot.flow import (
    Flow,
    HangUp,
    Limits,
    Observations,
    Phase,
    PhaseLimits,
    Say,
    To,
    ask,
    computed,
    it,
    judged,
    tool,
)

TWO = "a table for two please"
THREE = "make it three of us then"
ELSEWHERE = "what is the weather like in Rome today"
SURE = "the caller sounded sure"


def price_of(seats: int) -> int:
    """What it costs."""
    return 10 * seats


class Booking(Observations):
    seats: int = ask("how many")
    name: str = ask("a name", confirm="read back")
    note: str = ask("a note", optional=True)
    accepted: bool = ask("an explicit yes")
    price: int = computed(price_of)


@tool
def reserve(seats: int) -> str:
    """Reserve a table."""
    return str(seats)


@tool
def look_up(name: str = "") -> str:
    """Look somebody up."""
    return name


NOTICE = Say("For {seats}.", name="seats")


def flow(*, idempotent: bool = False, commit: bool = False) -> Flow:
    once = reserve.once(on_failure="failed", idempotent=idempotent)
    return Flow(
        goal="g",
        observations=Booking,
        limits=Limits(duration="10m"),
        tools_everywhere=(look_up,) if commit else (look_up, once),
        phases=(
            Phase(
                "a",
                observations=("seats",),
                commit=once if commit else None,
                limits=PhaseLimits(duration="90s", turns=3, then="failed"),
                transitions=(To("b"),),
            ),
            Phase(
                "b",
                must_say=(NOTICE,),
                observations=("name", "accepted"),
                success_criteria=(judged(SURE),),
                transitions=(To("bye"),),
            ),
            Phase("failed", observations=("note",), success_criteria=(it.note.filled,), transitions=(To("bye"),)),
            Phase("bye", end=HangUp()),
        ),
    )


class Again:
    """Another process: an engine that has read the journal, some seconds later."""

    def __init__(self, line: Line, *, later_s: float = 2.0, entries: int | None = None) -> None:
        self.line = Line(line.engine.flow, start=False)
        self.line.timed = line.timed[:entries]
        self.line.engine.restore(self.line.timed, line.timed[0][0])
        self.line.now = line.now + later_s
        self.effects = self.line.take(CallResumed())


def at_work(name: str, **given: Any) -> Line:
    line = Line(flow(**given))
    line.say(TWO)
    line.call(name, {"seats": 2} if name == "reserve" else {})
    return line


# ---- the state ----------------------------------------------------------------------------------------------------


class Mirrored(Line):
    """After every event another engine that reads the journal is as this one is."""

    def _note(self, made: list[EngineEffect]) -> list[EngineEffect]:
        super()._note(made)
        other = restored(self)
        assert other.state == self.engine.state
        assert other.tools() == self.engine.tools()
        assert other.deadline() == self.engine.deadline()
        assert other.instructions(self.now) == self.engine.instructions(self.now)
        assert (other.busy, other.fillers()) == (self.engine.busy, self.engine.fillers())
        return made


def a_whole_call() -> Line:
    """A call in which something of everything has happened."""
    line = Mirrored(flow(commit=True))
    line.turn()
    line.record(TWO, seats=2)
    line.hear(TWO)
    line.finish("full", ok=False, refused=True)
    line.tell(THREE, seats=3)
    line.finish("table nine", note="by the window")
    line.heard("seats", complete=False)
    line.tell("it is Ada Lovelace", name="Ada")
    line.turn()
    line.confirm("name", "yes that is right")
    line.hear(ELSEWHERE)
    line.say("yes that is right")
    line.together(
        ("record", {"name": {"confirmed": True, "quote": "yes that is right"}}),
        ("judge", {"criterion": SURE, "holds": True, "quote": "yes that is right"}),
        ("look_up", {"name": "Ada"}),
        ("record", {"price": {"value": 1, "quote": "yes"}, "note": {"declined": True, "quote": "yes"}}),
    )
    line.wait(3)
    line.turn()
    line.record("seventeen hungry children", seats=17)
    line.hear(ELSEWHERE)
    line.finish("found")
    line.heard("seats")
    line.tell("absolutely, thank you", accepted=True)
    line.heard("seats")
    return line


def test_journal_cut_anywhere_between_events_gives_the_same_state() -> None:
    whole = a_whole_call()
    assert whole.engine.state.closing == "completed"
    assert {type(entry).__name__ for entry in whole.entries} >= {
        *("ObservationRecorded", "ObservationConfirmed", "ObservationDeclined", "ObservationWithdrawn"),
        *("JudgementMade", "EvidenceWeighed", "ProposalRefused", "ToolHeld", "ToolStarted", "ToolAnswered"),
        *("StatementBegun", "StatementCut", "StatementHeard", "ClosingBegan"),
    }


def test_journal_cut_anywhere_at_all_can_be_gone_on_from() -> None:
    whole = a_whole_call()
    for entries in range(1, len(whole.timed) + 1):
        again = Again(whole, entries=entries)
        assert isinstance(again.effects[0], ConfigurePhase)
        assert restored(again.line).state == again.line.engine.state
        again.line.say("well well")
        again.line.wait(60)
        assert not again.line.engine.state.held


def test_deadlines_are_kept() -> None:
    line = Line(flow())
    line.wait(20)
    again = Again(line)
    assert again.line.engine.deadline() == line.engine.deadline() == 190.0
    assert entered(again.line.wait(80)) == [("failed", "stuck")]


def test_turns_are_counted_on() -> None:
    line = Line(flow())
    line.say(TWO)
    line.say(TWO)
    again = Again(line).line
    again.say(TWO)
    assert again.phase == "a"
    again.say(TWO)
    assert again.phase == "failed"


def test_resume_only_configures_where_nothing_was_under_way() -> None:
    line = Line(flow())
    line.tell(TWO, seats=2)
    line.heard("seats")
    assert Again(line).effects == [ConfigurePhase()]


# ---- tools that were at work --------------------------------------------------------------------------------------


def test_tool_that_was_cut_short_may_be_called_again() -> None:
    again = Again(at_work("look_up"))
    (told,) = answers(again.effects).values()
    assert told == "this was cut short; call it again if it is still needed"
    assert entered(again.effects) == []
    assert again.line.call("look_up")[-1] == RunTool("call-1", "look_up", {"name": ""}, "CA1:call-1")


def test_tool_that_runs_once_is_not_known_to_have_run() -> None:
    again = Again(at_work("reserve"))
    assert written(again.effects)[0] == ToolAnswered(
        "call-1", "reserve", answers(again.effects)["call-1"], ok=False, took_ms=2000
    )
    assert "not known whether" in answers(again.effects)["call-1"]
    assert entered(again.effects) == [("failed", "failure")]
    (refused,) = outputs(again.line.call("reserve", {"seats": 2})).values()
    assert "not known whether" in refused["refused"]
    assert again.line.started == []


def test_tool_that_may_be_repeated_is_run_again_with_the_same_key() -> None:
    again = Again(at_work("reserve", idempotent=True))
    assert kinds(again.effects) == ["ConfigurePhase", "ToolStarted", "RunTool"]
    assert again.effects[-1] == RunTool("call-1", "reserve", {"seats": 2}, "CA1:reserve")
    assert answers(again.line.finish("table nine")) == {"call-1": "table nine"}
    assert answers(again.line.call("reserve", {"seats": 2})) == {"call-1": "table nine"}


def test_result_of_a_tool_that_ran_once_is_kept() -> None:
    line = at_work("reserve")
    line.finish("table nine")
    again = Again(line).line
    assert answers(again.call("reserve", {"seats": 2})) == {"call-1": "table nine"}
    assert again.started == []


def test_several_tools_that_were_cut_short_are_each_answered() -> None:
    line = at_work("look_up")
    line.call("look_up")
    line.call("reserve", {"seats": 2})
    again = Again(line)
    assert sorted(answers(again.effects)) == ["call-1", "call-2", "call-3"]
    assert not again.line.engine.busy


# ---- commits ------------------------------------------------------------------------------------------------------


def test_commit_that_nobody_knows_of_takes_the_way_of_failure() -> None:
    line = Line(flow(commit=True))
    line.tell(TWO, seats=2)
    again = Again(line)
    assert entered(again.effects) == [("failed", "failure")]
    assert "not known whether" in notes(again.effects)[0]
    assert again.line.started == []


def test_commit_that_may_be_repeated_is_done_again_with_the_same_key() -> None:
    line = Line(flow(commit=True, idempotent=True))
    line.tell(TWO, seats=2)
    again = Again(line)
    assert again.effects[-1] == RunTool("commit-reserve-1", "reserve", {"seats": 2}, "CA1:reserve")
    assert entered(again.line.finish("table nine")) == [("b", "criteria")]


def test_commit_that_was_done_is_not_done_again() -> None:
    line = Line(flow(commit=True))
    line.tell(TWO, seats=2)
    line.finish("table nine")
    again = Again(line)
    assert again.line.phase == "b"
    assert again.line.started == []


def test_commit_that_was_held_waits_for_the_rest_of_its_time() -> None:
    line = Line(flow(commit=True))
    line.turn()
    line.record(TWO, seats=2)
    again = Again(line)
    assert again.effects == [ConfigurePhase()]
    assert again.line.engine.deadline() == line.now + EVIDENCE_LIMIT_S
    assert [run.tool for run in again.line.started] == []
    again.line.hear(TWO)
    assert [run.tool for run in again.line.started] == ["reserve"]


def test_commit_whose_result_was_the_last_entry_is_gone_on_from() -> None:
    line = Line(flow(commit=True))
    line.tell(TWO, seats=2)
    line.finish("table nine")
    last = next(n for n, (_, entry) in enumerate(line.timed) if isinstance(entry, ToolAnswered))
    again = Again(line, entries=last + 1)
    assert entered(again.effects) == [("b", "criteria")]
    assert again.line.started == []


# ---- what was being said ------------------------------------------------------------------------------------------


def test_statement_that_was_being_said_is_said_again() -> None:
    line = Line(flow())
    line.tell(TWO, seats=2)
    again = Again(line)
    assert StatementCut("seats") in written(again.effects)
    assert spoken(again.effects) == ["For 2."]
    again.line.heard("seats")
    assert again.line.engine.state.heard == {"seats": "For 2."}


def test_statement_that_was_heard_is_not_said_again() -> None:
    line = Line(flow())
    line.tell(TWO, seats=2)
    line.heard("seats")
    assert spoken(Again(line).effects) == []


# ---- the goodbye --------------------------------------------------------------------------------------------------


def test_call_that_was_ending_goes_on_ending() -> None:
    line = Line(flow())
    line.say(TWO)
    line.call("end_call", {"reason": "caller_wants_to_stop"})
    (close,) = [effect for effect in Again(line).effects if isinstance(effect, Close)]
    assert close.reason == "caller_finished"
    assert "goodbye" in close.note


def test_phase_that_says_goodbye_says_it_again() -> None:
    whole = a_whole_call()
    again = Again(whole)
    assert again.effects == [ConfigurePhase(), Close("completed", "")]
    assert again.line.wait(60) == []


# ---- a journal that ends in the middle of an event ----------------------------------------------------------------


def cut_after(line: Line, kind: type[EngineEntry], number: int = 0) -> Again:
    ends = [n for n, (_, entry) in enumerate(line.timed) if isinstance(entry, kind)]
    return Again(line, entries=ends[number] + 1)


def only(effects: Sequence[EngineEffect], kind: type[Any]) -> list[Any]:
    return [effect for effect in effects if isinstance(effect, kind)]


def test_contradicted_value_is_gone_though_nothing_else_was_written() -> None:
    line = Line(flow(commit=True))
    line.turn()
    line.record(TWO, seats=2)
    line.hear(ELSEWHERE)
    again = cut_after(line, EvidenceWeighed)
    assert "seats" not in again.line.known
    assert recorded(again.effects) == {"price": None}
    again.line.wait(EVIDENCE_LIMIT_S)
    assert again.line.started == []


def test_computed_field_is_worked_out_though_nothing_else_was_written() -> None:
    line = Line(flow())
    line.say(TWO)
    line.call("record", quoting(TWO, seats=2))
    entries = next(n for n, (_, entry) in enumerate(line.timed) if getattr(entry, "name", "") == "seats") + 1
    again = Again(line, entries=entries)
    assert recorded(again.effects) == {"price": 20}
    assert again.line.phase == "b"


def test_quote_whose_transcript_was_lost_is_unverifiable_in_the_end() -> None:
    line = Line(flow())
    line.turn()
    line.record(TWO, seats=2)
    again = Again(line).line
    again.call("reserve", {"seats": 2})
    assert weighings(again.wait(EVIDENCE_LIMIT_S)) == [("seats", "value", "unverifiable")]
    assert again.started == []
    assert list(again.engine.state.asked_again) == ["seats"]


@pytest.mark.parametrize("idempotent", [True, False])
def test_nothing_runs_twice_wherever_the_journal_ends(idempotent: bool) -> None:
    line = Line(flow(commit=True, idempotent=idempotent))
    line.tell(TWO, seats=2)
    line.finish("table nine")
    for entries in range(1, len(line.timed) + 1):
        again = Again(line, entries=entries)
        intents = [e for _, e in again.line.timed[:entries] if type(e).__name__ == "ToolStarted"]
        done = [e for _, e in again.line.timed[:entries] if isinstance(e, ToolAnswered)]
        runs = only(again.effects, RunTool)
        assert len(runs) <= 1
        assert not (runs and done)
        assert not (runs and intents and not idempotent)


def test_restored_engine_has_no_effects_of_its_own() -> None:
    engine = PhaseEngine(flow(), Line(flow()).engine.context)
    engine.restore([(100.0, PhaseEntered("a", None, "start"))], 100.0)
    assert engine.deadline() == 190.0
    assert engine.phase.name == "a"
