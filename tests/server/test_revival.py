"""A call's flow from its journal, beside files that have changed since, or are gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.fakes import START
from voicebot.audio.formats import AudioFormat
from voicebot.call import entries, ports
from voicebot.call.clips import ClipCache
from voicebot.call.core import CallCore, Stage
from voicebot.call.events import Effect, Journal, StartTool
from voicebot.call.past import Past
from voicebot.call.tool_run import run_tool
from voicebot.engine import entries as engine_entries
from voicebot.engine import events as engine_events
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.events import CallContext
from voicebot.errors import FlowError
from voicebot.flow import (
    CallControl,
    CallEvent,
    Flow,
    HangUp,
    Observations,
    Phase,
    Receiver,
    Report,
    Say,
    To,
    ask,
    computed,
    handler,
    it,
    tool,
)
from voicebot.flow.loader import FlowShelf, LoadedFlow, load_flow, load_folder
from voicebot.flow.tools import Tool
from voicebot.server.revival import revive

E = TypeVar("E")
FLOWS = Path(__file__).parents[2] / "flows"
CONTEXT = CallContext("CA0", "+15550123456", "+15550100000", START)


@cache
def shipped() -> FlowShelf:
    return load_folder(FLOWS)


def revived(loaded: LoadedFlow, shelf: Mapping[str, LoadedFlow]) -> LoadedFlow:
    return revive(loaded.name, loaded.version, loaded.document, FlowShelf(shelf))


every_flow = pytest.mark.parametrize("name", ["financial_advisor", "language_assessment", "restaurant_ordering"])


@every_flow
def test_flow_that_is_there_is_taken_as_it_is(name: str) -> None:
    loaded = shipped().get(name)
    assert revived(loaded, {name: loaded}) is loaded


@every_flow
def test_changed_file_gives_its_functions_to_the_old_form(name: str) -> None:
    loaded = shipped().get(name)
    changed = replace(loaded, version="another", flow=replace(loaded.flow, goal="Something else."), document="{}")
    found = revived(loaded, {name: changed})
    assert found.document == loaded.document and found.version == loaded.version
    assert found.flow.goal == loaded.flow.goal
    assert {name: found.functions[name] for name in loaded.functions} == dict(loaded.functions)
    assert json.loads(load_flow(name, found.flow).document) == json.loads(loaded.document)


@every_flow
def test_flow_outlives_its_file(name: str) -> None:
    """Its form is the same again, so that an instance without any file can hand it on."""
    loaded = shipped().get(name)
    found = revived(loaded, {})
    assert [phase.name for phase in found.flow.phases] == [phase.name for phase in loaded.flow.phases]
    assert found.flow.opening == loaded.flow.opening
    assert set(found.functions) >= set(loaded.functions)
    again = json.loads(load_flow(name, found.flow).document)
    assert again["phases"] == json.loads(loaded.document)["phases"]
    assert revive(name, "v", json.dumps(again), FlowShelf({})).flow.by_name.keys() == loaded.flow.by_name.keys()


@pytest.mark.parametrize("document", ["", "no JSON", "[]", "3", '{"goal": "x"}', '{"phases": [{}]}', "{}"])
def test_damaged_form_is_no_flow(document: str) -> None:
    with pytest.raises(FlowError):
        revive("visit", "v1", document, FlowShelf({}))


# ---- one thing after the other that is gone -------------------------------------------------------------------------


@tool
def opening_hours(day: str) -> str:
    """When we are open."""
    return "nine to five"


@tool
def book(name: str) -> str:
    """Book a visit."""
    return "booked"


@handler("phase")
def notes(event: CallEvent, call: CallControl) -> None:
    """Note every phase."""


def plausible(name: str) -> str:
    if len(name) < 2:
        raise ValueError("that is no name")
    return name


def words(reason: str) -> int:
    return len(reason.split())


def urgent(reason: str) -> bool:
    return "pain" in reason


def short(event: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": event["type"]}


class Visit(Observations):
    name: str = ask("the caller's name", check=plausible)
    reason: str = ask("why they call")
    length: int = computed(words)


VISIT = load_flow(
    "visit",
    Flow(
        goal="Find out who calls.",
        observations=Visit,
        opening=Say("Good morning.", interruptible=False),
        tools_everywhere=[opening_hours],
        handlers=[notes],
        phases=[
            Phase("who", instructions="Ask who.", observations=[it.name], transitions=[To("why")]),
            Phase(
                "why",
                instructions="Ask why.",
                observations=[it.reason],
                transitions=[To("soon", when=urgent), To("bye")],
            ),
            Phase(
                "soon",
                instructions="Offer an early visit.",
                commit=book.once(on_failure="bye", idempotent=True),
                transitions=[To("bye")],
            ),
            Phase("bye", instructions="Say goodbye.", end=HangUp()),
        ],
        report=Report(receivers=[Receiver("desk", url="https://crm.example.com/in", body=short)]),
    ),
)
NAMES = ["opening_hours", "book", "notes", "plausible", "words", "urgent", "short"]


def without(*names: str, **others: object) -> LoadedFlow:
    """The file has changed: these functions are gone, others are something else."""
    functions = {name: thing for name, thing in VISIT.functions.items() if name not in names} | others
    return replace(VISIT, version="another", functions=functions)


def test_flow_uses_what_the_tests_take_away() -> None:
    assert set(VISIT.functions) == set(NAMES)


@pytest.mark.parametrize("gone", NAMES)
def test_flow_outlives_each_of_its_functions(gone: str) -> None:
    found = revived(VISIT, {"visit": without(gone)})
    assert {name: found.functions[name] for name in NAMES if name != gone} == {
        name: VISIT.functions[name] for name in NAMES if name != gone
    }
    assert json.loads(load_flow("visit", found.flow).document)["phases"] == json.loads(VISIT.document)["phases"]


@pytest.mark.parametrize("name", NAMES)
def test_name_that_means_something_else_now_is_gone(name: str) -> None:
    other: object = urgent if name in ("opening_hours", "book", "notes") else book
    assert revived(VISIT, {"visit": without(**{name: other})}).functions[name] is not other


def test_tool_that_is_gone_says_so() -> None:
    found = revived(VISIT, {"visit": without("opening_hours")}).functions["opening_hours"]
    assert isinstance(found, Tool)
    started = StartTool("c1", "opening_hours", {})
    running = run_tool(found, started, call_sid="CA0", caller=None, observations={}, say=lambda words: None)
    finished = asyncio.run(running)
    assert (finished.ok, finished.refused) == (False, True)
    assert "not available any more" in finished.output


# ---- a call goes on with it -----------------------------------------------------------------------------------------

RECORD = '{{"{0}": {{"value": "{1}", "quote": "{1}"}}}}'


class Call:
    """A call with VISIT, whose owner is lost in the phase `soon` while its commit is at work."""

    def __init__(self, loaded: LoadedFlow) -> None:
        self.loaded, self.now = loaded, 100.0
        self.engine = PhaseEngine(VISIT.flow, CONTEXT)
        self.lines: list[tuple[int, entries.Entry]] = [(0, entries.CallerConnected("MZ1"))]
        self.decide(engine_events.CallStarted())
        for number, (name, value) in enumerate((("name", "Ada"), ("reason", "a pain in the tooth")), 1):
            self.decide(engine_events.CallerTurnEnded(f"u{number}"))
            self.decide(engine_events.CallerTranscribed(f"u{number}", value))
            self.decide(engine_events.ToolProposed(f"c{number}", "record", RECORD.format(name, value)))
        assert self.engine.state.phase == "soon" and self.engine.state.running

    def decide(self, event: engine_events.EngineEvent) -> None:
        written = (one.entry for one in self.engine.handle(event, self.now) if isinstance(one, engine_events.Write))
        self.lines += [(100, entry) for entry in written]

    def go_on(self) -> CallCore:
        """In other hands, with the flow as it can be had there."""
        past = Past(tuple(self.lines), len(self.lines), 1000)
        core = CallCore(
            PhaseEngine(self.loaded.flow, CONTEXT),
            audio_format=AudioFormat.PCMU_8K,
            clips=ClipCache(),
            model="m",
            past=past,
        )
        self.effects: list[Effect] = core.resume(2, self.now)
        self.effects += core.handle(ports.ModelReady(), self.now)
        self.effects += core.connect("MZ2", self.now)
        return core

    def all(self, kind: type[E]) -> list[E]:
        return [one for one in self.effects if isinstance(one, kind)]


@pytest.mark.parametrize("gone", NAMES)
def test_call_goes_on_without_it(gone: str) -> None:
    call = Call(revived(VISIT, {"visit": without(gone)}))
    core = call.go_on()
    assert core.stage is not Stage.ENDED
    assert core.engine.values["name"] == "Ada"
    assert core.engine.state.path[:3] == ["who", "why", "soon"]


def test_commit_is_done_again_with_the_same_key() -> None:
    call = Call(revived(VISIT, {"visit": replace(VISIT, version="another")}))
    call.go_on()
    assert [(start.tool, start.key, dict(start.arguments)) for start in call.all(StartTool)] == [
        ("book", "CA0:book", {"name": "Ada"})
    ]


@tool
def book_differently(person: str, floor: int) -> str:
    """Book a visit, on a floor."""
    return "booked"


@pytest.mark.parametrize("how", ["gone", "changed"])
def test_commit_that_cannot_be_done_as_before_takes_its_way_of_failure(how: str) -> None:
    shelf = without("book") if how == "gone" else without(book=replace(book_differently, name="book"))
    call = Call(revived(VISIT, {"visit": shelf}))
    core = call.go_on()
    for start in call.all(StartTool):  # what is not there any more does nothing, as often as it is asked
        assert how == "gone" and start.arguments == {}
    answered = [one.entry for one in call.all(Journal) if isinstance(one.entry, engine_entries.ToolAnswered)]
    assert [(entry.tool, entry.ok) for entry in answered] == [("book", False)]
    if how == "changed":
        assert core.engine.state.phase == "bye"
    assert core.engine.values["name"] == "Ada"
