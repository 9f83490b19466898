"""The flow's objects: what an author may write, and the JSON form that holds the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from decimal import Decimal
from typing import Any, Literal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from voicebot.errors import FlowError
from voicebot.flow import (
    After,
    Analysis,
    AskAgain,
    Flow,
    HangUp,
    Limits,
    Observations,
    Phase,
    Report,
    Say,
    To,
    Transfer,
    Voicemail,
    ask,
    it,
    otherwise,
    tool,
)
from voicebot.flow.check import check
from voicebot.flow.json_form import flow_from_json, flow_json_schema, flow_to_json, functions_of
from voicebot.flow.source import place_of


class Item(BaseModel):
    dish: str
    count: int = 1


def on_menu(items: list[Item]) -> None:
    """Every dish is ours."""


@tool
def search_menu(words: str) -> list[str]:
    """Look a dish up."""
    return [words]


@tool
def opening_hours() -> str:
    """When we are open."""
    return "always"


class Order(Observations):
    mode: Literal["pickup", "delivery"] = ask("pickup or delivery")
    items: list[Item] = ask("what they would like", check=on_menu)
    address: str = ask("the delivery address", needed_if=it.mode == "delivery")
    tip: Decimal | None = ask("a tip", optional=True)
    accepted: bool = ask("an explicit yes")


def order_flow() -> Flow:
    return Flow(
        goal="A complete order the kitchen can cook.",
        persona="Warm and quick.",
        observations=Order,
        opening=Say("Trattoria Roma, good evening.", interruptible=False),
        languages=("en", "it"),
        timezone="Europe/Rome",
        tools_everywhere=(opening_hours,),
        numbers=("+15550100",),
        limits=Limits(
            duration="8m", silence=(After("6s", AskAgain()), After("12s", To("bye")), After("20s", HangUp()))
        ),
        phases=(
            Phase("order", observations=(it.items, it.mode), tools=(search_menu,), transitions=(
                To("address", when=it.mode == "delivery"),
                To("confirm"),
            )),
            Phase("address", observations=("address",), transitions=(To("confirm"),)),
            Phase("confirm", observations=(it.accepted, it.tip), success_criteria=(it.accepted.yes,),
                  may_jump=("order",), transitions=(To("bye", when=it.tip >= Decimal("0.5")), To("bye"))),
            Phase("bye", end=HangUp()),
        ),
        report=Report(outcome={"ordered": it.accepted.yes, "incomplete": otherwise}),
    )  # fmt: skip


FUNCTIONS = {"on_menu": on_menu, "search_menu": search_menu, "opening_hours": opening_hours}


# ---- what an author may write -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90s", 90.0), ("8m", 480.0), ("1.5h", 5400.0), ("1500ms", 1.5), (" 2 m ", 120.0), (30, 30.0), (2.5, 2.5)],
)
def test_length_of_time_is_seconds(written: Any, seconds: float) -> None:
    assert After(written, AskAgain()).delay == seconds


@pytest.mark.parametrize("written", ["8", "eight minutes", "8 min", "-8s", "", "8m30s", None, [8]])
def test_wrong_length_of_time_is_refused(written: Any) -> None:
    with pytest.raises(ValidationError):
        After(written, AskAgain())


def test_least_flow_has_defaults() -> None:
    flow = Flow(goal="Find out why they call.", phases=(Phase("reception"),))
    assert flow.initial_phase == "reception"
    assert flow.opening is None
    assert flow.specs == {}
    assert flow.limits.duration == 1200.0
    assert [rung.delay for rung in flow.limits.silence] == [8.0, 18.0, 30.0]


def test_lists_are_welcome() -> None:
    flow = Flow(goal="g", phases=[Phase("a", observations=[it.x], transitions=[To("b")]), Phase("b")])  # type: ignore[arg-type]
    assert flow.by_name["a"].observations == ("x",)


def test_opening_may_be_a_plain_text() -> None:
    assert Flow(goal="g", phases=(Phase("a"),), opening="Hello.").opening == Say("Hello.")  # type: ignore[arg-type]


def test_text_to_say_is_stripped() -> None:
    assert Say("  Hello.\n").text == "Hello."


def test_flow_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        order_flow().goal = "another"  # type: ignore[misc]


def test_objects_know_where_they_were_written() -> None:
    flow = order_flow()
    for thing in (flow, flow.phases[0], flow.phases[0].transitions[0]):
        assert (place_of(thing) or "").startswith(f"{__file__}:")


def test_phases_without_lists_collect_everything() -> None:
    flow = Flow(goal="g", observations=Order, phases=(Phase("a"), Phase("bye", end=HangUp())))
    assert flow.collected_in == {"a": tuple(flow.specs), "bye": ()}


def test_one_list_is_enough_to_collect_by_list() -> None:
    flow = Flow(goal="g", observations=Order, phases=(Phase("a", observations=(it.mode,)), Phase("b")))
    assert flow.collected_in == {"a": ("mode",), "b": ()}


def test_tools_everywhere_stand_once() -> None:
    flow = Flow(
        goal="g", tools_everywhere=(opening_hours,), phases=(Phase("a", tools=(search_menu, opening_hours)), Phase("b"))
    )
    assert [one.name for one in flow.tools_in(flow.by_name["a"])] == ["search_menu", "opening_hours"]
    assert [one.name for one in flow.tools_in(flow.by_name["b"])] == ["opening_hours"]


def test_functions_are_found_by_name() -> None:
    assert functions_of(order_flow()) == FUNCTIONS


def plain_function() -> None: ...


MISUSES: list[tuple[str, Callable[[], object]]] = [
    ("Field required", lambda: Flow(phases=(Phase("a"),))),  # type: ignore[call-arg]
    ("at least 1 character", lambda: Flow(goal=" ", phases=(Phase("a"),))),
    ("should match pattern", lambda: Phase("A phase")),
    ("should match pattern", lambda: Phase("")),
    ("it.a alone is no criterion", lambda: To("b", when=it.a)),
    ("is no guard or criterion", lambda: To("b", when="a")),  # type: ignore[arg-type]
    ("is no observation: write it.name", lambda: Phase("a", observations=(it.a.filled,))),  # type: ignore[arg-type]
    ("'plain_function' is no tool: decorate it with @tool", lambda: Phase("a", tools=(plain_function,))),  # type: ignore[arg-type]
    ("no tool is registered as 'x'", lambda: Phase("a", tools=("x",))),  # type: ignore[arg-type]
    ("no tool is registered as 3", lambda: Phase("a", tools=(3,))),  # type: ignore[arg-type]
    ("at least 1 character", lambda: Say(" ")),
    ("at most 600", lambda: Say("x" * 601)),
    ("duration must be from 1s to 4h", lambda: Limits(duration="500ms")),  # type: ignore[arg-type]
    ("duration must be from 1s to 4h", lambda: Limits(duration=float("nan"))),
    ("duration must be from 1s to 4h", lambda: Limits(duration="5h")),  # type: ignore[arg-type]
    ("growing delays", lambda: Limits(silence=(After(9, AskAgain()), After(8, HangUp())))),
    ("growing delays", lambda: Limits(silence=(After(9, AskAgain()), After(9, HangUp())))),
    ("growing delays", lambda: Limits(silence=(After(0.5, AskAgain()),))),
    ("should match pattern", lambda: Flow(goal="g", phases=(Phase("a"),), languages=("english",))),
    ("should match pattern", lambda: Flow(goal="g", phases=(Phase("a"),), numbers=("5550100",))),
    ("should match pattern", lambda: Flow(goal="g", phases=(Phase("a"),), numbers=("+1٢٣٤٥٦٧٨",))),
    ("observations are a list", lambda: Flow(goal="g", phases=(Phase("a"),), observations=BaseModel)),  # type: ignore[arg-type]
    ("Unexpected keyword", lambda: Phase("a", instruction="typo")),  # type: ignore[call-arg]
]


@pytest.mark.parametrize(("problem", "write"), MISUSES)
def test_misuse_is_refused_at_once(problem: str, write: Callable[[], object]) -> None:
    with pytest.raises(ValidationError, match=problem):
        write()


@pytest.mark.parametrize(("problem", "changes"), [("no phases", {"phases": ()}), ("no language", {"languages": ()})])
def test_flow_without_the_least_is_refused(problem: str, changes: dict[str, Any]) -> None:
    with pytest.raises(FlowError, match=problem) as raised:
        Flow(**({"goal": "g", "phases": (Phase("a"),)} | changes))
    assert (raised.value.where or "").startswith(f"{__file__}:")


# ---- the JSON form ------------------------------------------------------------------------------------------------


def test_flow_survives_json() -> None:
    text = flow_to_json(order_flow())
    again = flow_from_json(text, FUNCTIONS)
    assert flow_to_json(again) == text
    assert again.by_name["order"].tools == (search_menu,)
    assert again.specs["items"].ask.check is on_menu
    assert [repr(to.when) for to in again.by_name["order"].transitions] == ["it.mode == 'delivery'", "None"]
    assert again.by_name["confirm"].transitions[0].when.evaluate({"tip": Decimal(1)}) is True  # type: ignore[union-attr]
    assert [type(rung.then) for rung in again.limits.silence] == [AskAgain, To, HangUp]
    assert [finding.rule for finding in check(again)] == [finding.rule for finding in check(order_flow())]
    assert {finding.where for finding in check(again)} == {None}


def enough(accepted: bool) -> bool:
    return accepted


def test_analysis_survives_json() -> None:
    plain = order_flow()
    assert "analysis" not in flow_to_json(plain)  # what does not ask for it keeps its version
    asked = replace(plain, report=replace(plain.report, analysis=Analysis("what they want", fill=False, when=enough)))
    text = flow_to_json(asked)
    functions = functions_of(asked)
    assert functions["enough"] is enough
    again = flow_from_json(text, functions)
    assert flow_to_json(again) == text
    analysis = again.report.analysis
    assert analysis is not None
    assert (analysis.summary, analysis.fill) == ("what they want", False)
    assert analysis.when is not None and analysis.when.evaluate({"accepted": True}) is True
    jsonschema.Draft202012Validator(flow_json_schema()).validate(json.loads(text))


@pytest.mark.parametrize("summary", ["", "  ", "x" * 601])
def test_summary_asks_for_something(summary: str) -> None:
    with pytest.raises(ValidationError):
        Analysis(summary)


def test_json_is_the_same_every_time() -> None:
    assert flow_to_json(order_flow()) == flow_to_json(order_flow())


@pytest.mark.parametrize("constant", [None, True, 3, 2.5, "x", ["x", None]])
def test_constants_of_guards_survive_json(constant: object) -> None:
    flow = Flow(goal="g", observations=Order, phases=(Phase("a", success_criteria=(it.mode == constant,)),))
    again = flow_from_json(flow_to_json(flow), FUNCTIONS)
    assert again.phases[0].success_criteria[0].evaluate({"mode": constant}) is True


def test_json_form_fits_its_schema() -> None:
    schema = flow_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(flow_to_json(order_flow())), schema)


def document(**changes: object) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(flow_to_json(order_flow()))
    return made | changes


BAD_PATTERN = {"name": "a", "description": "", "schema": {"type": "string", "pattern": "("}}
BROKEN: list[tuple[str, str]] = [
    ("", "Invalid JSON"),
    ("{", "Invalid JSON"),
    ("[]", "should be an object"),
    ("{}", "goal: Field required; phases: Field required"),
    (json.dumps(document(surprise=1)), "surprise: Unexpected keyword"),
    (json.dumps(document(phases=[])), "no phases"),
    (json.dumps(document(phases=[{"name": "a", "end": {"kind": "park"}}])), "phases.0.end"),
    (json.dumps(document(phases=[{"name": "a", "tools": ["rm"]}])), "no tool is registered as 'rm'"),
    (json.dumps(document(phases=[{"name": "a", "tools": ["on_menu"]}])), "no tool is registered as 'on_menu'"),
    (json.dumps(document(phases=[{"name": "a", "transitions": [{"phase": "b", "when": 1}]}])), "is no guard"),
    (json.dumps(document(observations={"mode": "text"})), "are a list of fields"),
    (json.dumps(document(observations=[{"name": "a", "description": "", "schema": {}, "check": "search_menu"}])),
     "no check is registered as 'search_menu'"),
    (json.dumps(document(observations=[BAD_PATTERN])),
     "observations.a: the JSON Schema describes no type"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), BROKEN, ids=[problem for _, problem in BROKEN])
def test_broken_json_is_one_clear_error(text: str, problem: str) -> None:
    with pytest.raises(FlowError, match=problem) as raised:
        flow_from_json(text, FUNCTIONS)
    assert raised.value.where
    assert "\n" not in str(raised.value)


def test_functions_are_looked_up_not_imported() -> None:
    with pytest.raises(FlowError, match="no tool is registered as 'search_menu'"):
        flow_from_json(flow_to_json(order_flow()), {"on_menu": on_menu, "opening_hours": opening_hours})
    with pytest.raises(FlowError, match="no check is registered as 'on_menu'"):
        flow_from_json(flow_to_json(order_flow()))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.text(max_size=4) | st.sampled_from(["mode", "bye", "string"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "schema", "kind"]), inner),
    max_leaves=6,
)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, part in below for place in places(part, (*path, key)))]


PLACES = [place for place in places(document()) if place]


@given(st.sampled_from(PLACES), JSON)
def test_any_change_of_the_json_is_a_flow_or_a_flow_error(place: tuple[Any, ...], value: object) -> None:
    made = document()
    node: Any = made
    for step in place[:-1]:
        node = node[step]
    node[place[-1]] = value
    try:
        flow = flow_from_json(json.dumps(made), FUNCTIONS)
    except FlowError:
        return
    check(flow)
    assert flow_to_json(flow_from_json(flow_to_json(flow), FUNCTIONS)) == flow_to_json(flow)


def test_ways_out_stand_in_json_as_they_are_written() -> None:
    phases = [Phase("bye", instructions="Say goodbye.", end=HangUp())]
    flow = Flow(goal="g", phases=phases, fallback=[Transfer("+15550199", timeout="20s"), Voicemail(max="2m")])
    assert json.loads(flow_to_json(flow))["fallback"] == [
        {"to": "+15550199", "timeout": 20.0, "brief": False, "say": "", "kind": "transfer"},
        {"max": 120.0, "kind": "voicemail"},
    ]
    assert flow_from_json(flow_to_json(flow)).fallback == flow.fallback
    assert flow_from_json(flow_to_json(replace(flow, fallback=()))).fallback == ()


@pytest.mark.parametrize(
    "write",
    [
        lambda: Transfer("+15550199", timeout="1s"),
        lambda: Transfer("+15550199", timeout="11m"),
        lambda: Transfer(""),
        lambda: Voicemail(max="2h"),
        lambda: Voicemail(max="soon"),
    ],
)
def test_way_out_has_bounds(write: Callable[[], object]) -> None:
    with pytest.raises(ValidationError):
        write()
