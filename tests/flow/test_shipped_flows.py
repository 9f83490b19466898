"""The three flows as they ship: clean, portable, with tools that answer sensibly and rehearsals that hold.

The rehearsals run on the engine alone: the scenario's model proposes, the tools are run for real.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import pytest
from pydantic import BaseModel

from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import ProposalRefused
from voicebot.engine.events import (
    Answer,
    CallContext,
    CallerTurnEnded,
    CallStarted,
    EngineEffect,
    RunTool,
    ToolFinished,
    ToolProposed,
    Write,
)
from voicebot.flow.check import check
from voicebot.flow.loader import LoadedFlow, load_file, load_flow, load_folder
from voicebot.flow.model import Flow, flow_from_json, flow_to_json
from voicebot.flow.tools import ToolContext, tool_output
from voicebot.sim.brain import Calls, Output, Says
from voicebot.sim.scenario import Interrupt, Say, Scenario, load_scenarios
from voicebot.sim.speech import speech_ms

FLOWS = Path(__file__).parents[2] / "flows"
NAMES = ("restaurant_ordering", "language_assessment", "financial_advisor")
SCENARIOS = [scenario for name in NAMES for scenario in load_scenarios(FLOWS / "scenarios" / f"{name}.py")]
SHOWCASES = [load_scenarios(FLOWS / "scenarios" / f"{name}.py")[0] for name in NAMES]

REFUSALS = {
    ("restaurant_ordering", "pickup"): ["items"],  # a dish that is not on the menu
    ("restaurant_ordering", "too far"): ["address"],
    ("language_assessment", "beginner"): ["lesson"],  # a Saturday
    ("financial_advisor", "two cards"): ["client_number"],  # a wrong check digit
}


@cache
def shipped(name: str) -> LoadedFlow:
    return load_file(FLOWS / f"{name}.py")


def from_json(loaded: LoadedFlow) -> Flow:
    return flow_from_json(loaded.document, loaded.functions)


def scenario_id(scenario: Scenario) -> str:
    return f"{scenario.flow}-{scenario.name}".replace(" ", "_")


# ---- a rehearsal on the engine alone ---------------------------------------------------------------------------------


@dataclass
class Rehearsal:
    """Plays a scenario's model against the engine; `now` moves by a second with every event."""

    engine: PhaseEngine
    now: float = 0.0
    refused: list[str] = field(default_factory=list)
    answers: dict[str, object] = field(default_factory=dict)  # the last answer of each tool, as the model reads it
    quotes: list[tuple[str, str]] = field(default_factory=list)  # a quote, and all that the caller had said by then
    said: str = ""

    def play(self, scenario: Scenario) -> None:
        self._handle(CallStarted())
        for exchange in scenario.exchanges:
            if isinstance(exchange.caller, Say | Interrupt):
                self.said += exchange.caller.text + "\n"
                self._handle(CallerTurnEnded(f"item_{self.now:.0f}"))
            for reply in exchange.replies:
                self._reply(reply)

    def _reply(self, outputs: tuple[Output, ...]) -> None:
        offered = {tool.name for tool in self.engine.tools()}
        for number, call in enumerate(output for output in outputs if isinstance(output, Calls)):
            assert call.name in offered, f"{call.name} is not offered in {self.engine.state.phase}"
            self._note_quotes(call)
            self._handle(ToolProposed(f"call_{self.now:.0f}_{number}", call.name, call.arguments_json))

    def _note_quotes(self, call: Calls) -> None:
        if call.name == "record" and isinstance(call.arguments, Mapping):
            self.quotes += [(proposal["quote"], self.said) for proposal in call.arguments.values()]  # type: ignore[index]

    def _handle(self, event: object) -> None:
        self.now += 1
        for effect in self.engine.handle(event, self.now):  # type: ignore[arg-type]
            self._perform(effect)

    def _perform(self, effect: EngineEffect) -> None:
        match effect:
            case Write(entry=ProposalRefused(subject=subject)):
                self.refused.append(subject)
            case RunTool(call_id=call_id, tool=name, arguments=arguments):
                output = tool_output(self._run(name, dict(arguments)))
                self.answers[name] = json.loads(output)
                self._handle(ToolFinished(call_id, output, True))
            case Answer(output=output):
                assert output

    def _run(self, name: str, arguments: dict[str, object]) -> object:
        tool = next(tool for tool in self.engine.flow.tools_in(self.engine.phase) if tool.name == name)
        if tool.context_parameter is not None:
            arguments[tool.context_parameter] = context(**self.engine.values)
        return tool.function(**arguments)


def rehearsed(scenario: Scenario, flow: Flow) -> Rehearsal:
    caller = None if scenario.caller_number == "anonymous" else scenario.caller_number
    began = datetime(2026, 11, 23, 18, 30, tzinfo=UTC)
    rehearsal = Rehearsal(PhaseEngine(flow, CallContext("CA1", caller, scenario.called_number, began)))
    rehearsal.play(scenario)
    return rehearsal


def context(**observations: object) -> ToolContext:
    return ToolContext("CA1", "CA1:call_1", observations, "+15550123456")


# ---- the flows -------------------------------------------------------------------------------------------------------


def test_folder_holds_three_flows() -> None:
    shelf = load_folder(FLOWS)
    assert (set(shelf.flows), shelf.problems) == (set(NAMES), ())


@pytest.mark.parametrize("name", NAMES)
def test_flow_is_lint_clean(name: str) -> None:
    assert [str(finding) for finding in check(shipped(name).flow)] == []


@pytest.mark.parametrize("name", NAMES)
def test_flow_survives_its_json_form(name: str) -> None:
    loaded = shipped(name)
    assert flow_to_json(from_json(loaded)) == loaded.document


def test_every_flow_has_its_own_number() -> None:
    numbers = [number for name in NAMES for number in shipped(name).flow.numbers]
    assert len(numbers) == len(set(numbers)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_phase_is_worth_its_name(name: str) -> None:
    flow = shipped(name).flow
    assert len([phase for phase in flow.phases if phase.end is None]) >= 4
    assert any(phase.success_criteria for phase in flow.phases)
    assert any(to.when is not None for phase in flow.phases for to in phase.transitions)
    assert any(list(flow.tools_in(phase)) for phase in flow.phases)
    assert flow.opening is not None and flow.persona and flow.knowledge


# ---- the rehearsals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["python", "json"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=scenario_id)
def test_rehearsal_comes_to_what_it_expects(scenario: Scenario, form: str) -> None:
    loaded = shipped(scenario.flow)
    rehearsal = assert_as_expected(scenario, from_json(loaded) if form == "json" else loaded.flow)
    assert rehearsal.refused == REFUSALS.get((scenario.flow, scenario.name), [])


def assert_as_expected(scenario: Scenario, flow: Flow) -> Rehearsal:
    rehearsal = rehearsed(scenario, flow)
    engine, expected = rehearsal.engine, scenario.expected
    assert tuple(engine.state.path) == expected.phases
    assert {name: engine.known.get(name) for name in expected.observations} == dict(expected.observations)
    assert (engine.outcome(), engine.state.closing) == (expected.outcome, expected.ended_reason)
    return rehearsal


@pytest.mark.parametrize("scenario", SCENARIOS, ids=scenario_id)
def test_rehearsal_quotes_what_was_said(scenario: Scenario) -> None:
    for quote, said in rehearsed(scenario, shipped(scenario.flow).flow).quotes:
        assert quote in said


@pytest.mark.parametrize("scenario", SCENARIOS, ids=scenario_id)
def test_rehearsal_answers_every_turn_once(scenario: Scenario) -> None:
    for exchange in scenario.exchanges:
        *before, last = exchange.replies
        assert all(any(isinstance(output, Calls) for output in reply) for reply in before)
        assert any(isinstance(output, Says) for output in last)
        assert not any(isinstance(output, Calls) and output.name != "end_call" for output in last)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=scenario_id)
def test_rehearsal_keeps_to_telephone_length(scenario: Scenario) -> None:
    assert scenario.title and scenario.called_number in shipped(scenario.flow).flow.numbers
    assert all(len(text) <= 90 for text in caller_lines(scenario))
    assert all(len(text) <= 140 for text in bot_lines(scenario))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=scenario_id)
def test_interruption_cuts_a_line_short(scenario: Scenario) -> None:
    interrupted = [
        (before.replies[-1][-1], exchange.caller)
        for before, exchange in zip(scenario.exchanges, scenario.exchanges[1:], strict=False)
        if isinstance(exchange.caller, Interrupt)
    ]
    assert len(interrupted) == scenario.expected.interruptions
    for line, interruption in interrupted:
        assert isinstance(line, Says)
        assert 1000 < interruption.after_ms < speech_ms(line.text) - 1000


@pytest.mark.parametrize("scenario", SHOWCASES, ids=scenario_id)
def test_showcase_fits_the_patience_of_a_viewer(scenario: Scenario) -> None:
    opening = shipped(scenario.flow).flow.opening
    assert opening is not None
    talk_ms = sum(speech_ms(text) for text in (opening.text, *caller_lines(scenario), *bot_lines(scenario)))
    assert 6 <= len(scenario.exchanges) <= 9
    assert 55_000 < talk_ms < 90_000
    assert scenario.expected.ended_reason == "completed"


def caller_lines(scenario: Scenario) -> list[str]:
    return [step.text for step in scenario.steps() if isinstance(step, Say | Interrupt)]


def bot_lines(scenario: Scenario) -> list[str]:
    replies = (reply for exchange in scenario.exchanges for reply in exchange.replies)
    return [output.text for reply in replies for output in reply if isinstance(output, Says)]


@pytest.mark.parametrize(
    ("scenario", "tool", "key", "observation"),
    [
        (SHOWCASES[0], "price_order", "total_eur", "total"),
        (SCENARIOS[1], "price_order", "total_eur", "total"),
        (SHOWCASES[1], "placement", "level", "overall"),
        (SCENARIOS[4], "placement", "level", "overall"),
        (SHOWCASES[2], "risk_profile", "profile", "profile"),
    ],
)
def test_rehearsed_model_says_what_its_tool_said(scenario: Scenario, tool: str, key: str, observation: str) -> None:
    answer = rehearsed(scenario, shipped(scenario.flow).flow).answers[tool]
    assert isinstance(answer, dict)
    assert answer[key] == scenario.expected.observations[observation]


# ---- the restaurant's tools ------------------------------------------------------------------------------------------


def function(flow: str, name: str) -> Callable[..., object]:
    found: Callable[..., object] = shipped(flow).functions[name]
    return found


def observed(flow: str, name: str, value: object) -> object:
    """A value as the engine keeps it."""
    return shipped(flow).flow.specs[name].adapter.validate_json(json.dumps(value))


def names_found(**wanted: object) -> set[str]:
    found = function("restaurant_ordering", "search_menu")(**wanted)
    assert isinstance(found, list)
    return {entry["name"] for entry in found}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"course": "drink"}, {"Acqua frizzante", "Chinotto", "Vino della casa"}),
        ({"words": "tiramisu"}, {"Tiramisù"}),
        ({"words": "salami"}, {"Diavola"}),
        ({"course": "pizza", "diet": "vegan"}, {"Marinara"}),
        ({"course": "dessert", "diet": "gluten free"}, {"Torta di nocciole", "Sorbetto al limone"}),
        ({"words": "sushi"}, set()),
    ],
)
def test_menu_search_finds(wanted: dict[str, object], found: set[str]) -> None:
    assert names_found(**wanted) == found


def test_a_vegetarian_may_eat_vegan() -> None:
    assert names_found(course="starter", diet="vegan") < names_found(course="starter", diet="vegetarian")


@pytest.mark.parametrize(
    ("said", "kept"),
    [("margherita", "Margherita"), ("pizza Diavola", "Diavola"), ("suppli", "Supplì al telefono"), ("gnocchi",) * 2],
)
def test_dishes_are_kept_by_their_names(said: str, kept: str) -> None:
    items = observed("restaurant_ordering", "items", [{"name": said, "quantity": 1}])
    found = function("restaurant_ordering", "on_menu")(items)
    assert isinstance(found, list)
    assert found[0].name.casefold().startswith(kept.casefold())


@pytest.mark.parametrize("said", ["Hawaii", "pizza", "al", ""])
def test_what_is_not_on_the_menu_is_refused(said: str) -> None:
    items = observed("restaurant_ordering", "items", [{"name": said, "quantity": 1}])
    with pytest.raises(ValueError, match="not on our menu"):
        function("restaurant_ordering", "on_menu")(items)


def priced(mode: str, dishes: dict[str, int], allergies: list[str] | None = None) -> dict[str, object]:
    items = [{"name": name, "quantity": quantity} for name, quantity in dishes.items()]
    values = {
        "mode": mode,
        "items": observed("restaurant_ordering", "items", items),
        "allergies": allergies or [],
        "address": observed("restaurant_ordering", "address", {"street": "a", "number": "1", "postcode": "00184"}),
    }
    answer = function("restaurant_ordering", "price_order")(context(**values))
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize(
    ("mode", "dishes", "total", "minutes"),
    [
        ("pickup", {"Margherita": 2, "Supplì al telefono": 1}, "23.50", 20),
        ("delivery", {"Margherita": 2, "Supplì al telefono": 1}, "26.50", 50),
        ("pickup", {"Chinotto": 20}, "60.00", 20),
    ],
)
def test_order_is_priced_to_the_cent(mode: str, dishes: dict[str, int], total: str, minutes: int) -> None:
    answer = priced(mode, dishes)
    assert (answer["total_eur"], answer["minutes"], answer["warnings"]) == (total, minutes, [])
    assert "problem" not in answer


def test_small_delivery_is_a_problem() -> None:
    assert "15 euros" in str(priced("delivery", {"Chinotto": 1})["problem"])


def test_delivery_needs_an_address_before_a_price() -> None:
    items = observed("restaurant_ordering", "items", [{"name": "Marinara", "quantity": 3}])
    answer = function("restaurant_ordering", "price_order")(context(mode="delivery", items=items, allergies=[]))
    assert answer == {"problem": "first find out where to deliver"}


def test_allergen_is_warned_of() -> None:
    assert "Gnocchi al pesto contains nuts" in str(priced("pickup", {"Gnocchi al pesto": 1}, ["nuts"])["warnings"])


# ---- the school's tools ----------------------------------------------------------------------------------------------


class Rated(BaseModel):
    level: str


@pytest.mark.parametrize(
    ("ratings", "level"),
    [
        ({"first_impression": "B1", "story": Rated(level="B1"), "debate": Rated(level="B2")}, "B1"),
        ({"first_impression": "A1", "story": Rated(level="A2"), "role_play": Rated(level="A2")}, "A2"),
        ({"first_impression": "A2"}, "A2"),
        ({"story": Rated(level="B1"), "debate": Rated(level="B2")}, "B1"),  # a tie: the lower one
        ({"first_impression": "C2", "story": Rated(level="C2"), "debate": Rated(level="C2")}, "C2"),
    ],
)
def test_placement_weighs_the_ratings(ratings: dict[str, object], level: str) -> None:
    answer = function("language_assessment", "placement")(context(**ratings))
    assert isinstance(answer, dict)
    assert answer["level"] == level


def test_placement_says_that_nothing_is_rated() -> None:
    assert function("language_assessment", "placement")(context()) == {"problem": "nothing is rated yet"}


@pytest.mark.parametrize("level", ["A1", "A2", "B1", "B2", "C1", "C2"])
def test_offered_lessons_are_in_the_timetable(level: str) -> None:
    lessons = function("language_assessment", "free_lessons")(level, date(2026, 12, 15), "evening")
    assert isinstance(lessons, list)
    assert len(lessons) == 3
    for lesson in lessons:
        chosen = {"level": level, "day": lesson["day"], "at": lesson["at"]}
        function("language_assessment", "in_timetable")(observed("language_assessment", "lesson", chosen))
        assert lesson["at"] >= "17:00"
        assert not "12-20" <= lesson["day"][5:] <= "12-31"


# ---- the planners' tools ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reaction", "experience", "years", "reserve", "profile"),
    [
        ("buy more", "much", 20, 12, "growth"),
        ("buy more", "much", 20, 3, "balanced"),
        ("buy more", "much", 5, 12, "balanced"),
        ("buy more", "much", 2, 12, "cautious"),
        ("sell", "none", 20, 12, "cautious"),
        ("wait", "some", 20, 12, "balanced"),
    ],
)
def test_profile_never_exceeds_the_circumstances(
    reaction: str, experience: str, years: int, reserve: int, profile: str
) -> None:
    answers = {"reaction": reaction, "experience": experience, "horizon_years": years, "reserve_months": reserve}
    answer = function("financial_advisor", "risk_profile")(context(**answers))
    assert isinstance(answer, dict)
    assert answer["profile"] == profile
    assert "not advice" in answer["remember"]


@pytest.mark.parametrize("part_of_day", ["morning", "afternoon", None])
def test_offered_appointments_are_in_the_diary(part_of_day: str | None) -> None:
    meetings = function("financial_advisor", "free_appointments")(date(2027, 1, 8), part_of_day)
    assert isinstance(meetings, list)
    assert len(meetings) == 3
    for meeting in meetings:
        chosen = {"day": meeting["day"], "at": meeting["at"], "how": "office"}
        function("financial_advisor", "in_diary")(observed("financial_advisor", "meeting", chosen))
        assert meeting["weekday"] not in ("Friday", "Saturday", "Sunday")


def test_taken_hour_is_refused_with_the_next_free_ones() -> None:
    friday = observed("financial_advisor", "meeting", {"day": "2027-01-15", "at": "10:00", "how": "video"})
    with pytest.raises(ValueError, match=r"next are Monday 18 January"):
        function("financial_advisor", "in_diary")(friday)


# ---- the page about flows --------------------------------------------------------------------------------------------


@cache
def page() -> list[dict[str, object]]:
    """What each snippet of the page defines, on top of those before it."""
    text = (FLOWS / "README.md").read_text(encoding="utf-8")
    modules: list[dict[str, object]] = []
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        module = dict(modules[-1]) if modules else {"__name__": "page"}
        exec(compile(code, "flows/README.md", "exec", dont_inherit=True), module)  # noqa: S102 - our own page
        modules.append(module)
    return modules


def test_flows_on_the_page_are_right() -> None:
    for module in page():
        flow = module["flow"]
        assert isinstance(flow, Flow)
        assert check(flow) == []
        loaded = load_flow("page", flow)
        assert flow_to_json(from_json(loaded)) == loaded.document


def test_rehearsal_on_the_page_is_right() -> None:
    flow, scenarios = page()[-1]["flow"], page()[-1]["scenarios"]
    assert isinstance(flow, Flow) and isinstance(scenarios, list)
    for scenario in scenarios:
        assert_as_expected(scenario, flow)
