"""What holds in a state of a call, and where it leads: asked without any event."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import pytest

from tests.engine.line import CALLER
from voicebot.engine.entries import EvidenceState, PhaseCause
from voicebot.engine.standing import Standing
from voicebot.engine.state import EngineState, Observed, Quote, Result, Step, Verdict
from voicebot.flow import Flow, HangUp, Observations, Phase, Say, To, ask, computed, heard, it, judged, tool
from voicebot.flow.wording import LONGEST_SAY

SURE = "the caller sounded sure"


class Size(Enum):
    SMALL = "small"


class Order(Observations):
    mode: Literal["pickup", "delivery"] = ask("pickup or delivery")
    address: str = ask("the address", needed_if=it.mode == "delivery", confirm="read back")
    guests: int = ask("how many")
    size: Size = ask("a size", optional=True)
    phone: str = ask("a number", confirm="read back")


@tool
def book(guests: int) -> str:
    """Book."""
    return str(guests)


BYE = Phase("bye", end=HangUp())


def member(mode: str, guests: int = 1) -> bool:
    """Whether they are a member; breaks on a crowd."""
    return 10 / (9 - guests) > 1 and mode == "pickup"


def order(*phases: Phase, of: type[Observations] = Order) -> Flow:
    return Flow(goal="g", observations=of, phases=(*phases, BYE))


def standing(flow: Flow, *path: str, causes: dict[int, PhaseCause] | None = None, **values: object) -> Standing:
    """A call that came along `path`, every step because the phase before was done, and knows these values."""
    steps = [Step(name, "criteria" if number else "start") for number, name in enumerate(path)]
    for number, cause in (causes or {}).items():
        steps[number] = Step(path[number], cause)
    state = EngineState(path[-1], steps=steps, turn=3, turns_in_phase=1)
    for name, value in values.items():
        state.observed[name] = observed(value)
    return Standing(flow, state)


def observed(value: Any, kind: Any = "speech", state: EvidenceState = "confirmed", **more: Any) -> Observed:
    return Observed(value, value, kind, Quote("so", 1, state), **more)


# ---- what holds ---------------------------------------------------------------------------------------------------

FACTS = order(
    Phase("a", must_say=(Say("For {guests}.", name="guests"),), success_criteria=(judged(SURE),)),
)


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        (it.mode == "pickup", True),
        (it.mode == "delivery", False),
        (it.size == "small", False),
        (~(it.size == "small"), False),
        (it.size.filled, False),
        (~it.size.filled, True),
        (heard("guests"), True),
        (judged(SURE), True),
        (judged("the caller is angry"), False),
        ((it.mode == "pickup") & heard("guests") & judged(SURE), True),
    ],
    ids=repr,
)
def test_facts_are_values_verdicts_and_what_was_heard(expression: Any, holds: bool) -> None:
    one = standing(FACTS, "a", mode="pickup", guests=2)
    one.state.heard["guests"] = "For 2."
    one.state.verdicts[SURE] = Verdict(True, Quote("so", 1, "provisional"))
    assert one.holds(expression) is holds


def test_statement_counts_only_as_it_reads_now() -> None:
    one = standing(FACTS, "a", mode="pickup", guests=3)
    one.state.heard["guests"] = "For 2."
    assert not one.holds(heard("guests"))
    assert not one.satisfied(one.phase)


@pytest.mark.parametrize(("guests", "taken"), [(1, "b"), (9, "bye"), (30, "bye")])
def test_guard_that_is_a_function_holds_as_it_says(guests: int, taken: str) -> None:
    flow = order(Phase("a", transitions=(To("b", when=member), To("bye"))), Phase("b"))
    assert standing(flow, "a", mode="pickup", guests=guests).target(flow.by_name["a"]) == taken


def test_guard_that_is_a_function_waits_for_what_it_reads() -> None:
    flow = order(Phase("a", transitions=(To("b", when=member), To("bye"))), Phase("b"))
    assert standing(flow, "a", guests=1).target(flow.by_name["a"]) == "bye"
    assert standing(flow, "a", mode="pickup").target(flow.by_name["a"]) == "b"


# ---- what is missing ----------------------------------------------------------------------------------------------

ALL = order(Phase("a", observations=("mode", "address", "guests", "size", "phone"), transitions=(To("bye"),)))


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({}, ["mode", "guests", "phone"]),
        ({"mode": "pickup"}, ["guests", "phone"]),
        ({"mode": "delivery"}, ["address", "guests", "phone"]),
        ({"mode": "delivery", "address": "x", "guests": 2, "phone": "y"}, ["address", "phone"]),
    ],
)
def test_missing_is_what_is_needed_and_not_there_or_not_agreed_to(values: dict[str, Any], missing: list[str]) -> None:
    one = standing(ALL, "a", **values)
    assert [spec.name for spec in one.missing(one.phase)] == missing


@pytest.mark.parametrize(
    ("value", "to_read_back"),
    [
        (observed(CALLER), True),
        (observed(CALLER, "default"), False),
        (observed(CALLER, "tool"), False),
        (observed(CALLER, agreed=Quote("yes", 2, "provisional")), False),
        (observed(CALLER, agreed=Quote("yes", 2, "confirmed")), False),
        (None, False),
    ],
)
def test_only_what_was_said_and_not_agreed_to_is_read_back(value: Observed | None, to_read_back: bool) -> None:
    one = standing(ALL, "a")
    if value is not None:
        one.state.observed["phone"] = value
    assert one.to_read_back(ALL.specs["phone"]) is to_read_back


def test_criteria_in_words_stand_once_each() -> None:
    flow = order(
        Phase(
            "a",
            success_criteria=(judged(SURE) | judged("calm"), ~judged(SURE)),
            transitions=(To("b", when=judged("angry") & it.mode.filled), To("bye", when=judged("calm")), To("b")),
        ),
        Phase("b"),
    )
    one = standing(flow, "a")
    assert one.criteria(flow.by_name["a"]) == [SURE, "calm", "angry"]
    assert one.criteria(flow.by_name["b"]) == []


@pytest.mark.parametrize(
    ("values", "declined", "status"),
    [
        ({}, False, "unasked"),
        ({"size": "small"}, False, "filled"),
        ({}, True, "refused"),
        ({"size": "small"}, True, "filled"),
    ],
)
def test_status_of_a_field(values: dict[str, Any], declined: bool, status: str) -> None:
    one = standing(ALL, "a", **values)
    if declined:
        one.state.declined.add("size")
    assert one.status("size") == status


# ---- evidence and commits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "verdict", "unweighed"),
    [
        (observed("x"), None, False),
        (observed("x", state="unverifiable"), None, False),
        (observed("x", state="provisional"), None, True),
        (observed("x", agreed=Quote("yes", 2, "provisional")), None, True),
        (observed("x", agreed=Quote("yes", 2, "confirmed")), None, False),
        (observed("x"), Quote("so", 1, "provisional"), True),
        (observed("x"), Quote("so", 1, "confirmed"), False),
    ],
)
def test_anything_provisional_is_unweighed(value: Observed, verdict: Quote | None, unweighed: bool) -> None:
    one = standing(ALL, "a")
    one.state.observed["phone"] = value
    if verdict is not None:
        one.state.verdicts[SURE] = Verdict(True, verdict)
    assert one.unweighed() is unweighed


@pytest.mark.parametrize(
    ("results", "committed"),
    [
        ([], False),
        ([Result("full", False, True)], False),
        ([Result("broken", False, False)], False),
        ([Result("full", False, True), Result("done", True, False)], True),
    ],
)
def test_tool_that_runs_once_has_done_its_work(results: list[Result], committed: bool) -> None:
    one = standing(ALL, "a")
    one.state.results["book"] = results
    assert one.committed("book") is committed


# ---- whether a phase is done --------------------------------------------------------------------------------------

NEWS = order(Phase("a", observations=("guests",), transitions=(To("news"),)), Phase("news", transitions=(To("bye"),)))


@pytest.mark.parametrize(("turns", "done"), [(0, False), (1, True)])
def test_phase_that_asks_nothing_lasts_a_turn(turns: int, done: bool) -> None:
    one = standing(NEWS, "a", "news", guests=2)
    one.state.turns_in_phase = turns
    assert one.complete() is done


def test_phase_that_asks_nothing_and_has_tools_lasts_two() -> None:
    flow = order(Phase("a", tools=(book,), transitions=(To("b"),)), Phase("b", observations=("guests",)))
    one = standing(flow, "a")
    assert not one.complete()
    one.state.turns_in_phase = 2
    assert one.complete()


def test_phase_that_commits_asks_for_something() -> None:
    flow = order(Phase("a", commit=book.once(on_failure="a")), Phase("b", observations=("guests",)))
    one = standing(flow, "a")
    one.state.turns_in_phase = 0
    assert one.complete()


@pytest.mark.parametrize("cause", ["jump", "rule", "silence", "stuck", "failure"])
@pytest.mark.parametrize(
    ("again", "turns", "noted", "done"),
    [
        (True, 0, False, False),
        (True, 1, False, False),
        (True, 2, False, True),
        (True, 0, True, True),
        (False, 0, False, False),
        (False, 1, False, True),
        (False, 0, True, True),
    ],
)
def test_finished_phase_that_the_call_was_sent_to_gives_a_chance(
    cause: PhaseCause, again: bool, turns: int, noted: bool, done: bool
) -> None:
    path = ("a", "news", "a") if again else ("news", "a")
    one = standing(NEWS, *path, causes={len(path) - 1: cause}, guests=2)
    one.state.turns_in_phase, one.state.recorded_in_phase = turns, noted
    assert one.complete() is done


def test_phase_is_left_once_what_is_being_said_was_heard() -> None:
    flow = order(
        Phase("a", must_say=(Say("Hello.", name="hello"),), observations=("guests",), transitions=(To("b"),)),
        Phase("b"),
    )
    one = standing(flow, "a", guests=2)
    assert not one.leaves_when_heard()
    one.state.saying["hello"] = "Hello."
    assert one.leaves_when_heard()
    assert not one.complete()
    one.state.observed.clear()
    assert not one.leaves_when_heard()


# ---- where it leads -----------------------------------------------------------------------------------------------

CHAIN = order(
    Phase("a", observations=("mode",), transitions=(To("b", when=it.mode == "delivery"), To("c"))),
    Phase("b", observations=("address",), transitions=(To("c"),)),
    Phase("c", observations=("guests",), success_criteria=(it.guests < 9,), transitions=(To("d"),)),
    Phase("d", observations=("phone",), commit=book.once(on_failure="a"), transitions=(To("e"),)),
    Phase("e", observations=("size",), success_criteria=(it.size.filled,), transitions=(To("bye"),)),
)


@pytest.mark.parametrize(
    ("path", "values", "onward"),
    [
        ("a", {"mode": "pickup"}, "c"),
        ("a", {"mode": "delivery"}, "b"),
        ("ac", {"mode": "pickup", "guests": 2}, "d"),
        ("aca", {"mode": "pickup", "guests": 2}, "d"),  # c is passed over
        ("acda", {"mode": "pickup", "guests": 2, "phone": "x"}, "d"),  # its commit is not done
        ("acda", {"mode": "delivery", "guests": 2, "phone": "x"}, "b"),
        ("acdea", {"mode": "pickup", "guests": 12, "phone": "x"}, "c"),
    ],
)
def test_call_goes_on_to_the_first_phase_that_is_not_done(path: str, values: dict[str, Any], onward: str) -> None:
    one = standing(CHAIN, *path, **values)
    if "phone" in values:
        one.state.observed["phone"] = observed("x", agreed=Quote("yes", 2, "confirmed"))
    assert one.onward(one.phase) == onward


def test_phase_that_has_committed_is_passed_over() -> None:
    one = standing(CHAIN, *"acdea", mode="pickup", guests=2)
    one.state.observed["phone"] = observed("x", "default")
    one.state.results["book"] = [Result("done", True, False)]
    assert one.onward(one.phase) == "e"
    one.state.results["book"] = [Result("full", False, True)]
    assert one.onward(one.phase) == "d"


def test_call_stays_where_no_guard_holds() -> None:
    flow = order(
        Phase("a", observations=("mode",), transitions=(To("b"),)),
        Phase("b", observations=("guests",), transitions=(To("c", when=it.guests > 9),)),
        Phase("c", observations=("phone",)),
    )
    one = standing(flow, "a", "b", "a", mode="pickup", guests=2)
    assert one.onward(one.phase) == "b"
    one = standing(flow, "a", "b", mode="pickup", guests=2)
    assert one.onward(one.phase) is None


def test_circle_leads_nowhere_else() -> None:
    flow = order(
        Phase("a", observations=("mode",), transitions=(To("b"),)),
        Phase("b", observations=("mode",), transitions=(To("c"),)),
        Phase("c", observations=("mode",), transitions=(To("b"),)),
    )
    one = standing(flow, "a", "b", "c", "a", mode="pickup")
    assert one.onward(one.phase) == "b"


@pytest.mark.parametrize(
    ("path", "causes", "values", "detour"),
    [
        ("ac", {}, {"mode": "pickup"}, None),
        ("ac", {}, {"mode": "delivery"}, "b"),
        ("ac", {}, {}, "a"),
        ("abc", {}, {"mode": "pickup", "address": "x"}, None),
        ("abcd", {}, {"mode": "delivery", "guests": 2}, "b"),
        ("abcd", {}, {"mode": "pickup", "guests": 12}, "c"),
        ("acd", {}, {"mode": "pickup"}, "c"),
        ("acdac", {3: "correction", 4: "return"}, {"mode": "delivery", "guests": 2}, "b"),
        ("ace", {2: "jump"}, {"guests": 2}, None),  # what was left on the caller's wish is not gone back to
        ("ace", {2: "stuck"}, {"guests": 2}, None),
        ("acda", {3: "jump"}, {"guests": 2}, None),  # it is where it should be
        ("abdb", {3: "jump"}, {"address": "x"}, "a"),
        ("acdc", {3: "rule"}, {"guests": 2}, None),
    ],
)
def test_corrected_answer_may_lead_elsewhere(
    path: str, causes: dict[int, PhaseCause], values: dict[str, Any], detour: str | None
) -> None:
    one = standing(CHAIN, *path, causes=causes, **values)
    if "address" in values and detour != "b":
        one.state.observed["address"] = observed("x", agreed=Quote("yes", 2, "confirmed"))
    assert one.detour() == detour


def test_detour_ends_where_no_way_is_open() -> None:
    flow = order(
        Phase("a", observations=("guests",), transitions=(To("b", when=it.guests < 9),)),
        Phase("b", observations=("mode",), transitions=(To("bye"),)),
    )
    assert standing(flow, "a", "b", guests=20).detour() is None


def test_detour_may_be_an_end() -> None:
    flow = order(
        Phase("a", observations=("guests",), transitions=(To("bye", when=it.guests > 8), To("b"))),
        Phase("b", observations=("mode",)),
    )
    assert standing(flow, "a", "b", guests=20).detour() == "bye"


def test_detour_in_a_circle_ends() -> None:
    flow = order(
        Phase("a", observations=("guests",), transitions=(To("b", when=it.guests > 8), To("c"))),
        Phase("b", observations=("guests",), transitions=(To("a"),)),
        Phase("c", observations=("mode",)),
    )
    assert standing(flow, "a", "b", "a", "c", guests=20).detour() is None


# ---- progress -----------------------------------------------------------------------------------------------------


def test_progress_counts_the_phases_that_may_still_come() -> None:
    assert standing(CHAIN, "a").progress() == 0.0
    assert standing(CHAIN, "a", mode="pickup").progress() == 1 / 5  # mode of mode, guests, phone, two criteria
    assert standing(CHAIN, "a", mode="delivery").progress() == 1 / 6
    assert standing(CHAIN, "a", mode="pickup", guests=2).progress() == 3 / 5


def test_progress_of_a_flow_that_asks_nothing_is_nothing() -> None:
    assert standing(order(Phase("a", transitions=(To("bye"),))), "a").progress() == 0.0
    done = standing(order(Phase("a")), "bye")
    done.state.closing = "completed"
    assert done.progress() == 1.0


# ---- exact words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values", "words"),
    [
        ("Hello.", {}, "Hello."),
        ("For {guests}.", {"guests": 2}, "For 2."),
        ("For {guests}.", {}, None),
        ("{size} {guests}", {"guests": 2, "size": Size.SMALL}, "small 2"),
        ("{phone}", {"phone": ""}, None),
        ("{phone}", {"phone": "  "}, None),
        ("{phone}", {"phone": "x" * 1000}, "x" * (LONGEST_SAY - 1) + "…"),
        ("{phone}", {"phone": "{guests}"}, "{guests}"),
    ],
)
def test_statement_reads_its_values(text: str, values: dict[str, Any], words: str | None) -> None:
    assert standing(ALL, "a", **values).statement(Say(text, name="x")) == words


# ---- computed fields ----------------------------------------------------------------------------------------------


def total_of(guests: int, tip: Decimal = Decimal(0)) -> Decimal:
    """What it costs."""
    if guests > 9:
        raise ValueError("ask the manager")
    return Decimal(10) / guests + tip


class Priced(Observations):
    guests: int = ask("how many")
    kind: Literal["plain", "tipped"] = ask("a kind")
    tip: Decimal = ask("a tip", needed_if=it.kind == "tipped")
    total: Decimal = computed(total_of, needed_if=~(it.kind == "plain"))


PRICED = order(Phase("a"), of=Priced)


@pytest.mark.parametrize(
    ("values", "total", "problem"),
    [
        ({}, None, None),
        ({"guests": 2}, None, None),  # whether the field itself is needed is not known
        ({"guests": 2, "kind": "plain"}, None, None),
        ({"guests": 2, "kind": "tipped"}, None, None),  # the tip is still to come
        ({"guests": 2, "kind": "tipped", "tip": Decimal(1)}, "6", None),
        ({"guests": 12, "kind": "tipped", "tip": Decimal(1)}, None, "ask the manager"),
        ({"guests": 0, "kind": "tipped", "tip": Decimal(1)}, None, "total_of failed (DivisionByZero)"),
    ],
)
def test_computed_field_comes_to_a_value_or_says_why_not(
    values: dict[str, Any], total: str | None, problem: str | None
) -> None:
    one = standing(PRICED, "a", **values)
    assert one.worked_out(PRICED.specs["total"]) == total
    assert one.why_not(PRICED.specs["total"]) == problem


def test_field_that_is_asked_for_is_not_computed() -> None:
    one = standing(PRICED, "a", guests=2)
    assert one.worked_out(PRICED.specs["guests"]) is None
    assert one.why_not(PRICED.specs["guests"]) is None


def test_computed_value_of_another_type_is_none() -> None:
    class Wrong(Observations):
        guests: int = ask("how many")
        total: int = computed(total_of)

    flow = order(Phase("a"), of=Wrong)
    one = standing(flow, "a", guests=4)
    assert one.worked_out(flow.specs["total"]) is None
    assert "valid integer" in (one.why_not(flow.specs["total"]) or "")
