"""`voicebot test`: every scenario beside the flows, on virtual clocks, several at once, and what they covered.

Each scenario is a whole call through the product. Coverage counts what the calls' journals show: phases entered,
transitions and jumps taken, ways out of silence used.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from voicebot.call.entries import read_entry
from voicebot.engine.entries import PhaseEntered
from voicebot.errors import ScenarioError
from voicebot.flow.graph import edges
from voicebot.flow.loader import load_folder
from voicebot.flow.model import Flow

from .clock import run_virtual
from .scenario import Scenario, load_scenarios
from .stage import rehearse

CALL_LIMIT_S = 3600.0


@dataclass(frozen=True)
class Outcome:
    """What came of one scenario. `steps` are the phases it went through, as (from, to); `call_s` is virtual time."""

    flow: str
    scenario: str
    problems: tuple[str, ...]
    steps: tuple[tuple[str | None, str], ...]
    call_s: float
    took_s: float


@dataclass(frozen=True)
class Coverage:
    """What scenarios reached of a flow, and what they never did."""

    phases: tuple[int, int]
    ways: tuple[int, int]
    missed: tuple[str, ...]


def scenarios_of(folder: Path, names: Sequence[str] = ()) -> list[Scenario]:
    """The scenarios of a flow folder, or of some of its flows.

    Raises:
        ScenarioError: a named flow has none, or a file is broken.
    """
    if names:
        paths = [folder / "scenarios" / f"{name}.py" for name in names]
    else:
        paths = sorted((folder / "scenarios").glob("*.py"))
    found = [scenario for path in paths for scenario in load_scenarios(path)]
    if not found:
        raise ScenarioError(f"there are no scenarios in {folder / 'scenarios'}")
    return found


def run_suite(folder: Path, names: Sequence[str] = (), *, parallel: int | None = None) -> Iterator[Outcome]:
    """Play scenarios in processes of their own; outcomes come in the order of the scenarios.

    Args:
        folder: of the flows; its `scenarios` folder holds the scenarios.
        names: flows to test, default all that have scenarios.
        parallel: processes, default one for each processor.
    """
    count = len(scenarios_of(folder, names))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(parallel or os.cpu_count() or 1, count), mp_context=context) as pool:
        yield from pool.map(_play, [(folder, tuple(names), number) for number in range(count)])


def _play(which: tuple[Path, tuple[str, ...], int]) -> Outcome:
    folder, names, number = which
    scenario = scenarios_of(folder, names)[number]
    began = time.perf_counter()
    rehearsal = run_virtual(rehearse(scenario, load_folder(folder)), limit_s=CALL_LIMIT_S)
    entered = [read_entry(one.kind, one.body) for one in rehearsal.journal if one.kind == "phase_entered"]
    steps = tuple((entry.previous, entry.phase) for entry in entered if isinstance(entry, PhaseEntered))
    return Outcome(
        scenario.flow,
        scenario.name,
        rehearsal.problems,
        steps,
        rehearsal.result.duration_ms / 1000,
        time.perf_counter() - began,
    )


def coverage(flow: Flow, outcomes: Iterable[Outcome]) -> Coverage:
    """What the outcomes of a flow's scenarios covered."""
    steps = {step for outcome in outcomes for step in outcome.steps}
    entered = {phase for _, phase in steps}
    ways = list(dict.fromkeys((edge.start, edge.end) for edge in edges(flow) if edge.kind != "silence"))
    missed_phases = [f"phase {name}" for name in flow.by_name if name not in entered]
    missed_ways = [f"{start} → {end}" for start, end in ways if (start, end) not in steps]
    return Coverage(
        (len(flow.by_name) - len(missed_phases), len(flow.by_name)),
        (len(ways) - len(missed_ways), len(ways)),
        (*missed_phases, *missed_ways),
    )


def write_junit(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write outcomes as JUnit XML, which CI systems read."""
    suites = ElementTree.Element("testsuites")
    for flow in dict.fromkeys(outcome.flow for outcome in outcomes):
        of_flow = [outcome for outcome in outcomes if outcome.flow == flow]
        failures = sum(bool(outcome.problems) for outcome in of_flow)
        suite = ElementTree.SubElement(
            suites, "testsuite", name=flow, tests=str(len(of_flow)), failures=str(failures), errors="0"
        )
        for outcome in of_flow:
            case = ElementTree.SubElement(
                suite, "testcase", classname=flow, name=outcome.scenario, time=f"{outcome.took_s:.3f}"
            )
            if outcome.problems:
                failure = ElementTree.SubElement(case, "failure", message=outcome.problems[0])
                failure.text = "\n".join(outcome.problems)
    ElementTree.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)
