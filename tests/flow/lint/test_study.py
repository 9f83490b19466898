"""What the linter knows of a flow before any rule looks at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicebot.flow import Flow, HangUp, Observations, Phase, To, ToolContext, ask, computed, it, judged, tool
from voicebot.flow.lint.study import Study, WorldKind, may_record
from voicebot.flow.lint.worlds import State
from voicebot.flow.loader import load_file
from voicebot.flow.tools import Tool

CLINIC = Study(load_file(Path(__file__).parents[1] / "clean_flows" / "clinic.py").flow)


def price(mode: str, address: str = "") -> int:
    return len(mode) + len(address)


class Order(Observations):
    mode: str = ask("pickup or delivery")
    address: str = ask("where to", needed_if=it.mode == "delivery")
    total: int = computed(price)
    sure: bool = ask("yes or no")


ORDER = Study(
    Flow(
        goal="Take an order.",
        observations=Order,
        phases=(
            Phase(
                "mode",
                instructions="Ask.",
                observations=(it.mode,),
                transitions=(To("address", when=it.mode == "delivery"), To("confirm")),
            ),
            Phase("address", instructions="Ask.", observations=(it.address,), transitions=(To("confirm"),)),
            Phase("confirm", instructions="Ask.", observations=(it.sure,), transitions=(To("bye"),)),
            Phase("bye", instructions="Bye.", end=HangUp()),
        ),
    )
)


def states(study: Study, phase: str, *names: str, kind: WorldKind = "followed") -> set[State]:
    world = study.world(names, kind)
    assert world is not None
    assert world.names == names
    return set(world.states(phase))


def test_a_phase_knows_what_comes_before_it() -> None:
    possible = CLINIC.possible
    assert {"name", "reason", "phone"} <= possible["reception"]
    assert "insured" in possible["reception"]  # the caller may come back to it
    assert "day" not in possible["insurance"]
    assert {"day", "fee", "accepted", "heard price", "judged the caller sounded sure"} <= possible["confirm"]
    assert "heard price" not in possible["date"]


def test_ways_from_anywhere_are_open_from_phases_that_talk() -> None:
    ends = {way.end for way in CLINIC.ways["survey"]}
    assert ends == {"bye", "call_back"}
    assert CLINIC.ways["bye"] == ()
    assert CLINIC.reached == set(CLINIC.flow.by_name)


def test_way_that_was_taken_is_believed() -> None:
    modes = ORDER.samples["mode"]
    assert modes is not None
    delivery = modes.index("delivery")
    assert states(ORDER, "address", "mode") == {(delivery,)}
    assert states(ORDER, "confirm", "mode") == {(number,) for number in range(len(modes))}
    assert states(ORDER, "address", "mode", kind="corrected") == {(number,) for number in range(-1, len(modes))}


def test_field_is_there_once_it_was_needed() -> None:
    modes = ORDER.samples["mode"]
    assert modes is not None
    delivery, pickup = modes.index("delivery"), 1 - modes.index("delivery")
    found = states(ORDER, "confirm", "mode", "address")
    assert (delivery, 0) in found
    assert (delivery, -1) not in found
    assert (pickup, -1) in found


def test_computed_field_is_there_with_what_it_reads() -> None:
    for mode, address, total in states(ORDER, "address", "mode", "address", "total"):
        assert mode >= 0
        assert (total >= 0) == (address >= 0)  # an address that is needed is waited for
    assert all(total >= 0 for _, _, total in states(ORDER, "bye", "mode", "address", "total"))


def test_function_may_refuse_what_it_reads() -> None:
    modes = ORDER.samples["mode"]
    assert modes is not None
    found = states(ORDER, "confirm", "mode", "address", "total", kind="refusing")
    pickup = 1 - modes.index("delivery")
    assert {(pickup, -1, -1), (pickup, -1, 0)} <= found


def test_a_world_that_is_too_large_is_left_alone() -> None:
    guards = [it.mode == f"mode {number}" for number in range(20)]
    phases = (Phase("a", instructions="Ask.", transitions=tuple(To("b", when=guard) for guard in guards)), Phase("b"))
    study = Study(Flow(goal="g", observations=Order, phases=phases))
    assert study.samples["mode"] is None
    world = study.world({"mode", "sure"})
    assert world is not None
    assert world.names == ("sure",)


def handed(context: ToolContext) -> None:
    context.record(sure=True)


@tool
def knows_nothing(words: str) -> str:
    """Look up."""
    return words


@tool
def knows_the_call(context: ToolContext) -> str:
    """Look up."""
    return context.call_sid


@tool
def hands_in(context: ToolContext) -> str:
    """Look up."""
    context.record(sure=True)
    return "found"


@tool
def hands_in_by_another(context: ToolContext) -> str:
    """Look up."""
    handed(context)
    return "found"


@tool
async def hands_in_later(context: ToolContext) -> str:
    """Look up."""
    return str([context.record(sure=one) for one in (True,)])


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        (knows_nothing, False),
        (knows_the_call, False),
        (hands_in, True),
        (hands_in_by_another, True),
        (hands_in_later, True),
    ],
    ids=lambda value: value.name if isinstance(value, Tool) else str(value),
)
def test_tool_that_may_record_is_known_by_its_code(used: Tool, expected: bool) -> None:
    assert may_record(used) is expected


def test_verdicts_are_known_where_they_are_asked_for() -> None:
    sure = judged("they are sure")
    phases = (
        Phase("a", instructions="Ask.", transitions=(To("b"),)),
        Phase("b", instructions="Ask.", success_criteria=(sure,), transitions=(To("c"),)),
        Phase("c", instructions="Bye.", end=HangUp()),
    )
    study = Study(Flow(goal="g", phases=phases))
    assert [name for name, known in study.possible.items() if "judged they are sure" in known] == ["b", "c"]
