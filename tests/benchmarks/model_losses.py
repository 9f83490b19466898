"""Kills the model's socket at every moment of a call, and lets its session expire: what becomes of the call.

    python tests/benchmarks/model_losses.py                          at every event of the model, one call each
    python tests/benchmarks/model_losses.py --scenario club --every 5
    python tests/benchmarks/model_losses.py --scenario club --events 1-150       a part of them

On the twin's virtual clock, over the whole path. Every call is compared with one that nothing happens to: the same
phases, the same observations, nothing done twice outside. A gap counts from the loss to the next word of the bot, where
one was owed or being spoken. Exit code 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from voicebot.flow.loader import FlowShelf, load_folder
from voicebot.sim.call_result import CallResult
from voicebot.sim.caller import Interrupt
from voicebot.sim.clock import run_virtual
from voicebot.sim.enduring_caller import EnduringCaller
from voicebot.sim.realtime_quirks import Quirks, Timing
from voicebot.sim.scenario import Say, Scenario, load_scenarios
from voicebot.sim.stage import stage
from voicebot.sim.steady_brain import AGAIN
from voicebot.sim.verdict import answered_lines, opening_of
from voicebot.store.contract import StoredEntry

REPORT_LIMIT_S = 60.0
ROOT = Path(__file__).parents[2]
SAID_EVERY = 20
SHORT_SESSION_S = 60.0  # instead of the API's hour, so that a call of minutes meets several ends


@dataclass(frozen=True)
class Played:
    """A call, and what came of it. `data` is the report's."""

    result: CallResult
    journal: tuple[StoredEntry, ...]
    data: Mapping[str, Any]
    reports: int
    model_events: int  # of the first connection
    connections: int
    repeated: tuple[str, ...]  # by the caller


@dataclass(frozen=True)
class Outcome:
    """A call whose model was lost, or whose sessions ended. `gap_s` is None where nobody waited for a word."""

    event: int
    connections: int
    gap_s: float | None
    repeated: int
    wrong: tuple[str, ...]


@cache
def shelf() -> FlowShelf:
    return load_folder(ROOT / "flows")


@cache
def scenario_of(flow: str, name: str) -> Scenario:
    """A scenario in which the caller lets the bot finish."""
    found = load_scenarios(ROOT / "flows" / "scenarios" / f"{flow}.py")
    scenario = next(one for one in found if one.name == name)
    calm = [
        replace(one, caller=Say(one.caller.text)) if isinstance(one.caller, Interrupt) else one
        for one in scenario.exchanges
    ]
    return replace(scenario, exchanges=tuple(calm))


async def _play(scenario: Scenario, quirks: Sequence[Quirks], timing: Timing | None) -> Played:
    brain = scenario.steady_brain()
    lines = answered_lines(scenario, opening_of(shelf().get(scenario.flow)))
    caller = EnduringCaller(scenario.steps(), lines, asks_again=[AGAIN])
    async with stage(shelf(), lambda: brain, default_flow=scenario.flow, quirks=quirks, timing=timing) as on_stage:
        result = await replace(on_stage.phone(scenario), behaviour=caller).call()
        await on_stage.crm.wait_for(1, REPORT_LIMIT_S)
        async with on_stage.reading() as store:
            journal = await store.journal(result.call_sid)
        payload = on_stage.crm.received[0].payload or {}
        sessions = on_stage.model.sessions
        events = sum(one.sender == "server" for one in sessions[0].transcript)
        data = payload.get("data")
        assert isinstance(data, dict)
        return Played(
            result, tuple(journal), data, len(on_stage.crm.received), events, len(sessions), tuple(caller.repeated)
        )


def played(scenario: Scenario, quirks: Sequence[Quirks] = (), timing: Timing | None = None) -> Played:
    logging.disable(logging.CRITICAL)
    return run_virtual(_play(scenario, tuple(quirks), timing))


def wrongs(usual: Played, cut: Played) -> list[str]:
    """In what a call differs from one that nothing happened to, where it must not."""
    parts = ("observations", "outcome", "ended_reason")
    differing = (part for part in parts if cut.data[part] != usual.data[part])
    found = [f"{part}: {cut.data[part]} instead of {usual.data[part]}" for part in differing]
    paths = [[phase["name"] for phase in one.data["phases"]] for one in (usual, cut)]
    if paths[0] != paths[1]:
        found.append(f"phases: {paths[1]} instead of {paths[0]}")
    committed = [sum(tool["tool"] == "place_order" for tool in one.data["tools"]) for one in (usual, cut)]
    if committed[0] != committed[1]:
        found.append(f"ordered {committed[1]} times instead of {committed[0]}")
    opening = usual.result.bot_said[0].text
    if (greeted := sum(said.text == opening for said in cut.result.bot_said)) != 1:
        found.append(f"greeted {greeted} times")
    if cut.reports != 1:
        found.append(f"{cut.reports} reports")
    return [*found, *cut.result.problems]


def gap_of(cut: Played) -> float | None:
    """From the loss to the next word, if the caller had finished speaking and waited for one."""
    lost_ms = next((entry.at_ms for entry in cut.journal if entry.kind == "model_gone"), None)
    connected_ms = next((entry.at_ms for entry in cut.journal if entry.kind == "caller_connected"), 0)
    if lost_ms is None or lost_ms < connected_ms:
        return None
    if any(said.start_ms <= lost_ms <= said.end_ms for said in cut.result.bot_said):
        return 0.0  # what was being heard was heard on
    speaks = next((said for said in cut.result.caller_said if said.end_ms >= lost_ms), None)
    answer = next((said.start_ms for said in cut.result.bot_said if said.start_ms > lost_ms), None)
    if answer is None or (speaks is not None and speaks.start_ms < answer):
        return None  # the caller had the word
    return (answer - lost_ms) / 1000


def lose_at(flow: str, name: str, event: int) -> Outcome:
    cut = played(scenario_of(flow, name), (Quirks(drop_at_event=event),))
    return Outcome(event, cut.connections, gap_of(cut), len(cut.repeated), tuple(wrongs(usual_of(flow, name), cut)))


@cache
def usual_of(flow: str, name: str) -> Played:
    return played(scenario_of(flow, name))


def expire(flow: str, name: str) -> Outcome:
    """Sessions of a minute: the call moves on before each ends, or goes on after it."""
    cut = played(scenario_of(flow, name), timing=Timing(session_s=SHORT_SESSION_S))
    gone = [entry.body for entry in cut.journal if entry.kind == "model_gone"]
    wrong = [*wrongs(usual_of(flow, name), cut)]
    wrong += [f"a session expired before the call had moved on: {body}" for body in gone if "ends soon" not in body]
    return Outcome(0, cut.connections, gap_of(cut), len(cut.repeated), tuple(wrong))


def share(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def _bounds(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flow", default="restaurant_ordering")
    parser.add_argument("--scenario", default="delivery")
    parser.add_argument("--every", type=int, default=1, help="take every so many events")
    parser.add_argument("--events", type=_bounds, default=(1, sys.maxsize), help="only these, as in 1-150")
    parser.add_argument("--parallel", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    began = time.perf_counter()
    usual = usual_of(chosen.flow, chosen.scenario)
    if usual.result.problems or usual.repeated:
        print(f"the call does not go well by itself: {usual.result.problems}, {usual.repeated}")
        return 1
    first, last = chosen.events
    moments = range(first, min(last, usual.model_events) + 1, chosen.every)
    outcomes: list[Outcome] = []
    with ProcessPoolExecutor(chosen.parallel) as pool:
        for outcome in pool.map(partial(lose_at, chosen.flow, chosen.scenario), moments, chunksize=4):
            outcomes.append(outcome)
            if len(outcomes) % SAID_EVERY == 0:
                wrong = sum(bool(one.wrong) for one in outcomes)
                print(f"{len(outcomes)} of {len(moments)} calls, {wrong} wrong", file=sys.stderr, flush=True)
    gaps = [one.gap_s for one in outcomes if one.gap_s is not None]
    lost = sum(one.connections > 1 for one in outcomes)
    bad = [one for one in outcomes if one.wrong]
    print(
        f"{len(outcomes)} calls, the model's socket killed after event {moments[0]} to {moments[-1]} of "
        f"{usual.model_events}: {lost} went on with another"
    )
    print(
        f"connection, {len(bad)} wrong, {sum(one.repeated for one in outcomes)} words of the caller asked for again; "
        f"gap p50 {share(gaps, 0.5):.2f} s, p95 {share(gaps, 0.95):.2f} s, max {max(gaps, default=0):.2f} s over "
        f"{len(gaps)} in which the caller waited; {time.perf_counter() - began:.0f} s"
    )
    for one in bad[:20]:
        print(f"  event {one.event}: {one.wrong[:3]}")
    over = expire(chosen.flow, chosen.scenario)
    print(
        f"sessions of {SHORT_SESSION_S:g} s in a call of {usual.result.duration_ms / 1000:.0f} s: "
        f"{over.connections} connections, {len(over.wrong)} wrong"
    )
    for problem in over.wrong[:10]:
        print(f"  {problem}")
    return 1 if bad or over.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
