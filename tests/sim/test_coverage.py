"""Coverage: what a flow has, what a call went through, and what is left."""

from __future__ import annotations

from voicebot.engine.entries import (
    CallerTurnTaken,
    EngineEntry,
    ObservationRecorded,
    PhaseEntered,
    RuleApplied,
    SilenceNoticed,
    StatementHeard,
)
from voicebot.flow import (
    After,
    AskAgain,
    Flow,
    HangUp,
    Limits,
    Observations,
    Phase,
    PhaseLimits,
    Rule,
    Say,
    To,
    ask,
    it,
    tool,
)
from voicebot.sim.coverage import Point, coverage, covered, points


@tool
def place() -> str:
    """Place the order."""
    return "placed"


class Order(Observations):
    mode: str = ask("pickup or delivery")
    sure: bool = ask("whether they are sure")


FLOW = Flow(
    goal="An order.",
    observations=Order,
    rules=[
        Rule("human", when="the caller asks for a human", then=To("human")),
        Rule("weather", when="the caller talks about the weather", then=Say("It is warm.")),
    ],
    limits=Limits(silence=[After("8s", AskAgain()), After("20s", HangUp())], phase=PhaseLimits(turns=9, then="human")),
    phases=[
        Phase(
            "order",
            observations=[it.mode, it.sure],
            success_criteria=[it.sure.yes],
            must_say=[Say("Hear this.", name="terms")],
            commit=place.once(on_failure="human"),
            transitions=[To("bye", when=it.mode == "pickup"), To("way")],
            may_jump=["way"],
        ),
        Phase("way", transitions=[To("bye")], limits=PhaseLimits(duration="2m", then="bye")),
        Phase("human", end=HangUp()),
        Phase("bye", end=HangUp()),
    ],
)

PICKED_UP: list[EngineEntry] = [
    PhaseEntered("order", None, "start"),
    CallerTurnTaken(1, "u1"),
    ObservationRecorded("mode", "pickup", "speech", "pick up", 1),
    ObservationRecorded("sure", True, "speech", "sure", 1),
    RuleApplied("weather", "warm today", 1),
    SilenceNoticed(0),
    StatementHeard("terms", "Hear this."),
    PhaseEntered("bye", "order", "criteria"),
]


def test_points_are_all_there_is() -> None:
    assert [f"{point.kind} {point.name}" for point in points(FLOW)] == [
        "phase order",
        "phase way",
        "phase human",
        "phase bye",
        "transition order → bye",
        "transition order → way",
        "jump order → way",
        "failure order → human",
        "transition way → bye",
        "stuck way → bye",
        "stuck any phase → human",
        "criterion order: it.sure.yes",
        "statement terms",
        "rule human",
        "rule weather",
        "silence after 8 s",
        "silence after 20 s",
    ]


def test_call_covers_what_it_went_through() -> None:
    assert sorted(f"{point.kind} {point.name}" for point in covered(FLOW, PICKED_UP)) == [
        "criterion order: it.sure.yes",
        "phase bye",
        "phase order",
        "rule weather",
        "silence after 8 s",
        "statement terms",
        "transition order → bye",
    ]


def test_exits_are_told_apart_by_their_cause() -> None:
    stuck = [PhaseEntered("order", None, "start"), PhaseEntered("human", "order", "stuck")]
    failed = [PhaseEntered("order", None, "start"), PhaseEntered("human", "order", "failure")]
    own = [
        PhaseEntered("order", None, "start"),
        PhaseEntered("way", "order", "jump"),
        PhaseEntered("bye", "way", "stuck"),
    ]
    assert Point("stuck", "any phase → human") in covered(FLOW, stuck)
    assert Point("failure", "order → human") in covered(FLOW, failed)
    assert {Point("jump", "order → way"), Point("stuck", "way → bye")} <= covered(FLOW, own)


def test_coverage_counts_each_kind_and_names_what_is_missing() -> None:
    found = coverage(FLOW, covered(FLOW, PICKED_UP))
    assert found.counts["phase"] == (2, 4)
    assert str(found).startswith("phases 2/4, transitions 1/3, jumps 0/1, ")
    assert found.counts["rule"] == (1, 2)
    assert Point("rule", "human") in found.missed
    assert not found.full
    assert coverage(FLOW, frozenset(points(FLOW))).full
