"""The flows as they ship: clean, portable, with functions that answer sensibly and rehearsals that hold.

The rehearsals are played at the table; tests/end_to_end plays them over the whole path.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, time
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest
from pydantic import BaseModel

from voicebot.engine.entries import EvidenceWeighed, ProposalRefused, RuleApplied
from voicebot.errors import ToolError
from voicebot.flow.check import check
from voicebot.flow.json_form import flow_from_json, flow_to_json
from voicebot.flow.loader import LoadedFlow, load_file, load_folder
from voicebot.flow.model import Flow
from voicebot.flow.tools import ToolContext
from voicebot.sim.brain import Calls, Says
from voicebot.sim.clock import run_virtual
from voicebot.sim.scenario import Interrupt, Say, Scenario, load_scenarios
from voicebot.sim.speech import speech_ms
from voicebot.sim.table import TableRead, table_read

FLOWS = Path(__file__).parents[2] / "flows"
NAMES = ("restaurant_ordering", "language_assessment", "financial_advisor")  # of long conversations
EVERY = (*NAMES, "appointment_reminder")
SCENARIOS = [one for one in load_scenarios(FLOWS / "scenarios", EVERY) if not one.needs_whole_call]
TALKS = [number for number, one in enumerate(SCENARIOS) if one.flow in NAMES]  # their callers and models speak alone
SHOWCASES = [load_scenarios(FLOWS / "scenarios" / f"{name}.py")[0] for name in NAMES]

REFUSALS = {
    ("restaurant_ordering", "second thoughts"): ["items"],  # a dish that is not on the menu
    ("restaurant_ordering", "too far"): ["address"],
    ("language_assessment", "beginner"): ["lesson"],  # a Saturday
    ("financial_advisor", "two cards"): ["client_number"],  # a wrong check digit
    ("financial_advisor", "called away"): ["horizon_years"],  # which nobody said
}


@cache
def shipped(name: str) -> LoadedFlow:
    return load_file(FLOWS / f"{name}.py")


def from_json(loaded: LoadedFlow) -> Flow:
    return flow_from_json(loaded.document, loaded.functions)


def scenario_id(scenario: Scenario) -> str:
    return f"{scenario.flow}-{scenario.name}".replace(" ", "_")


# ---- the flows -------------------------------------------------------------------------------------------------------


def test_folder_holds_these_flows() -> None:
    shelf = load_folder(FLOWS)
    assert (set(shelf.flows), shelf.problems) == (set(EVERY), ())


@pytest.mark.parametrize("name", EVERY)
def test_flow_is_lint_clean(name: str) -> None:
    assert [str(finding) for finding in check(shipped(name).flow)] == []


@pytest.mark.parametrize("name", EVERY)
def test_flow_survives_its_json_form(name: str) -> None:
    loaded = shipped(name)
    assert flow_to_json(from_json(loaded)) == loaded.document


def test_every_flow_has_its_own_number() -> None:
    numbers = [number for name in EVERY for number in shipped(name).flow.numbers]
    assert len(numbers) == len(set(numbers)) == len(EVERY)


@pytest.mark.parametrize("name", NAMES)
def test_flow_shows_what_a_flow_can_say(name: str) -> None:
    flow = shipped(name).flow
    assert len([phase for phase in flow.phases if phase.end is None]) >= 6
    assert any(to.when is not None for phase in flow.phases for to in phase.transitions)
    assert any(phase.must_say for phase in flow.phases)
    assert any(list(expression.statements()) for phase in flow.phases for expression in phase.success_criteria)
    assert any(phase.commit is not None for phase in flow.phases)
    assert any(spec.ask.computed is not None for spec in flow.specs.values())
    assert any(spec.ask.confirm == "read back" for spec in flow.specs.values())
    assert flow.limits.phase is not None and any(phase.limits is not None for phase in flow.phases)
    assert {"human", "zero"} < {rule.name for rule in flow.rules}
    assert flow.opening is not None and flow.apology is not None and flow.persona and flow.knowledge


# ---- the rehearsals --------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def tools_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    """Some are meant to, and the log says so."""
    caplog.set_level(logging.ERROR)


@cache
def played(number: int, form: str = "python") -> TableRead:
    loaded = shipped(SCENARIOS[number].flow)
    return table_read(SCENARIOS[number], replace(loaded, flow=from_json(loaded)) if form == "json" else loaded)


ALL = pytest.mark.parametrize("number", range(len(SCENARIOS)), ids=[scenario_id(one) for one in SCENARIOS])
TALKING = pytest.mark.parametrize("number", TALKS, ids=[scenario_id(SCENARIOS[number]) for number in TALKS])


@pytest.mark.parametrize("form", ["python", "json"])
@ALL
def test_rehearsal_comes_to_what_it_expects(number: int, form: str) -> None:
    assert played(number, form).problems == ()


@pytest.mark.parametrize("seed", range(1, 4))
@ALL
def test_rehearsal_bears_other_delays(number: int, seed: int) -> None:
    assert table_read(SCENARIOS[number], shipped(SCENARIOS[number].flow), seed=seed).problems == ()


@ALL
def test_rehearsed_model_is_refused_only_what_it_should_be(number: int) -> None:
    refused = [entry.subject for _, entry in played(number).journal if isinstance(entry, ProposalRefused)]
    assert refused == REFUSALS.get((SCENARIOS[number].flow, SCENARIOS[number].name), [])


@ALL
def test_rehearsed_model_quotes_what_was_said(number: int) -> None:
    weighed = [entry for _, entry in played(number).journal if isinstance(entry, EvidenceWeighed)]
    assert [entry for entry in weighed if entry.state != "confirmed"] == []
    said = ""
    for exchange in SCENARIOS[number].exchanges:
        said += exchange.caller.text + "\n" if isinstance(exchange.caller, Say | Interrupt) else ""
        for call in (output for reply in exchange.replies for output in reply if isinstance(output, Calls)):
            assert all(quote in said for quote in quotes_of(json.loads(call.arguments_json)))


def quotes_of(arguments: object) -> Iterator[str]:
    if isinstance(arguments, dict):
        for name, value in arguments.items():
            yield from [value] if name == "quote" else quotes_of(value)


@TALKING
def test_rehearsed_model_answers_every_turn_once(number: int) -> None:
    for exchange in SCENARIOS[number].exchanges:
        if exchange.replies:
            *before, last = exchange.replies
            assert all(any(isinstance(output, Calls) for output in reply) for reply in before)
            assert [type(output) for output in last] == [Says]


@ALL
def test_rehearsal_keeps_to_telephone_length(number: int) -> None:
    scenario = SCENARIOS[number]
    assert scenario.title and scenario.called_number in shipped(scenario.flow).flow.numbers
    assert all(len(text) <= 145 for text in (*scenario.spoken(), *bot_lines(scenario)))


@pytest.mark.parametrize("scenario", SHOWCASES, ids=scenario_id)
def test_showcase_has_an_interruption_in_midst_of_a_line(scenario: Scenario) -> None:
    [(line, interruption)] = [
        (before.replies[-1][-1], exchange.caller)
        for before, exchange in zip(scenario.exchanges, scenario.exchanges[1:], strict=False)
        if isinstance(exchange.caller, Interrupt)
    ]
    assert scenario.expected.interruptions == 1
    assert isinstance(line, Says)
    assert 1000 < interruption.after_ms < speech_ms(line.text) - 1000


@pytest.mark.parametrize("scenario", SHOWCASES, ids=scenario_id)
def test_showcase_fits_the_patience_of_a_viewer(scenario: Scenario) -> None:
    opening = shipped(scenario.flow).flow.opening
    assert opening is not None
    words = (opening.text, *scenario.spoken(), *bot_lines(scenario), *scenario.expected.statements)
    assert 7 <= len(scenario.exchanges) <= 12
    assert 55_000 < sum(map(speech_ms, words)) < 110_000
    assert scenario.expected.ended_reason == "completed"


def bot_lines(scenario: Scenario) -> list[str]:
    replies = (reply for exchange in scenario.exchanges for reply in exchange.replies)
    return [output.text for reply in replies for output in reply if isinstance(output, Says)]


@pytest.mark.parametrize("name", NAMES)
def test_rehearsals_take_every_rule(name: str) -> None:
    reads = [played(number) for number, scenario in enumerate(SCENARIOS) if scenario.flow == name]
    applied = {entry.rule for read in reads for _, entry in read.journal if isinstance(entry, RuleApplied)}
    assert applied == {rule.name for rule in shipped(name).flow.rules}


# ---- the restaurant's functions --------------------------------------------------------------------------------------


def function(flow: str, name: str) -> Callable[..., object]:
    found: Callable[..., object] = shipped(flow).functions[name]
    return found


def observed(flow: str, name: str, value: object) -> object:
    """A value as the engine keeps it."""
    return shipped(flow).flow.specs[name].adapter.validate_json(json.dumps(value))


def dishes(**quantities: int) -> object:
    items = [{"name": name.replace("_", " "), "quantity": quantity} for name, quantity in quantities.items()]
    return function("restaurant_ordering", "on_menu")(observed("restaurant_ordering", "items", items))


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


@pytest.mark.parametrize(
    ("mode", "order", "total"),
    [
        ("pickup", {"Margherita": 2, "suppli": 1}, "23.50"),
        ("delivery", {"Margherita": 2, "suppli": 1}, "26.50"),
        ("delivery", {"chinotto": 5}, "18.00"),  # just enough for a ride
        ("pickup", {"chinotto": 20}, "60.00"),
        ("pickup", {"cacio e pepe": 1, "torta": 2, "sorbetto": 1}, "29.00"),
    ],
)
def test_order_is_priced_to_the_cent(mode: str, order: dict[str, int], total: str) -> None:
    assert function("restaurant_ordering", "price_of")(dishes(**order), mode) == Decimal(total)


def test_too_small_a_delivery_has_no_price() -> None:
    with pytest.raises(ValueError, match="15 euros"):
        function("restaurant_ordering", "price_of")(dishes(chinotto=4), "delivery")


def test_menu_says_what_the_till_charges_for_a_ride() -> None:
    knowledge = str(shipped("restaurant_ordering").flow.knowledge)
    assert "Delivery costs 3 euros, from 15 euros on." in knowledge
    assert "| Gnocchi al pesto | pasta | 12.00 |" in knowledge


@pytest.mark.parametrize(
    ("said", "kept"),
    [(time(9), time(21)), (time(20, 15), time(20, 15)), (time(6, 30), time(18, 30)), ("as soon as possible",) * 2],
)
def test_hours_are_those_of_the_evening(said: object, kept: object) -> None:
    assert function("restaurant_ordering", "in_the_evening")(said) == kept


@pytest.mark.parametrize("said", [time(18), time(23), time(0, 30), time(12)])
def test_kitchen_that_is_closed_takes_no_order(said: time) -> None:
    with pytest.raises(ValueError, match="from 18:30 to 22:45"):
        function("restaurant_ordering", "in_the_evening")(said)


@pytest.mark.parametrize(
    ("allergies", "harmful"), [([], False), (["nuts"], True), (["crustaceans"], False), (["fish", "milk"], True)]
)
def test_dish_that_would_do_harm_is_found(allergies: list[str], harmful: bool) -> None:
    assert function("restaurant_ordering", "harms")(dishes(gnocchi=1, chinotto=1), allergies) is harmful


def ordered(**change: object) -> tuple[object, dict[str, object]]:
    """What placing an order comes to, and what it hands in."""
    recorded: dict[str, object] = {}
    context = ToolContext("CA1", "CA1:place_order", {}, None, record=recorded.update)
    order = {"items": dishes(diavola=1), "total": Decimal(10), "name": "Ada", "phone": "+15550123456"}
    placing = function("restaurant_ordering", "place_order")
    return run_virtual(placing(context, **(order | {"wanted_at": time(19)} | change))), recorded  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "ready"),
    [
        ({}, "at 19:00"),
        ({"wanted_at": "as soon as possible"}, "in 20 minutes"),
        ({"wanted_at": "as soon as possible", "address": "00184"}, "in 50 minutes"),
    ],
)
def test_placed_order_says_when_it_is_ready(change: dict[str, object], ready: str) -> None:
    if "address" in change:
        place = {"street": "a", "number": "1", "postcode": change["address"]}
        change = change | {"address": observed("restaurant_ordering", "address", place)}
    assert ordered(**change) == (f"ready {ready}", {"ready": ready})


def test_kitchen_refuses_when_the_oven_is_full() -> None:
    with pytest.raises(ToolError, match="a quarter past"):
        ordered(wanted_at=time(20))


def test_till_fails_over_a_banquet() -> None:
    with pytest.raises(ConnectionError):
        ordered(items=dishes(diavola=20, marinara=20, margherita=1))


# ---- the school's functions ------------------------------------------------------------------------------------------


class Rated(BaseModel):
    level: str


@pytest.mark.parametrize(
    ("ratings", "level"),
    [
        ({"first_impression": "B1", "story": Rated(level="B1"), "debate": Rated(level="B2")}, "B1"),
        ({"first_impression": "A1", "story": Rated(level="A2"), "role_play": Rated(level="A2")}, "A2"),
        ({"first_impression": "A2"}, "A2"),
        ({"first_impression": "B1", "story": Rated(level="C1"), "debate": Rated(level="C1")}, "C1"),
        ({"first_impression": "A2", "role_play": Rated(level="A1")}, "A1"),
        ({"first_impression": "C2", "story": Rated(level="C2"), "debate": Rated(level="C2")}, "C2"),
    ],
)
def test_placement_weighs_the_ratings(ratings: dict[str, object], level: str) -> None:
    assert function("language_assessment", "placed")(**ratings) == level


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


# ---- the planners' functions -----------------------------------------------------------------------------------------


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
    assert function("financial_advisor", "risk_profile")(years, reserve, reaction, experience) == profile


@pytest.mark.parametrize("part_of_day", ["morning", "afternoon", None])
def test_offered_appointments_are_in_the_diary(part_of_day: str | None) -> None:
    looking = function("financial_advisor", "free_appointments")(date(2027, 1, 8), part_of_day)
    meetings = run_virtual(looking)  # type: ignore[arg-type]
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


# ---- the practice's functions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("year", [1900, 1985])
def test_year_of_birth_is_taken(year: int) -> None:
    assert function("appointment_reminder", "a_year_of_birth")(year) is None


@pytest.mark.parametrize("year", [1791, 2985])
def test_year_in_which_no_patient_was_born_is_refused(year: int) -> None:
    with pytest.raises(ValueError, match="year of birth once more"):
        function("appointment_reminder", "a_year_of_birth")(year)


@pytest.mark.parametrize("ability", ["secret", "on_voicemail", "record", "targets", "keys", "hums"])
def test_reminder_uses_a_whole_telephone(ability: str) -> None:
    flow = shipped("appointment_reminder").flow
    uses = {
        "secret": flow.secrets == {"insurance"},
        "on_voicemail": flow.message is not None,
        "record": flow.record is not None and bool(flow.record.refusal),
        "targets": all(target.no_answer for target in flow.targets.values()),
        "keys": any(phase.keys for phase in flow.phases),
        "hums": flow.patience.hums and flow.opening is not None and not flow.opening.interruptible,
    }
    assert uses[ability]
