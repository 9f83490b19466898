"""`voicebot test`: every scenario beside the flows, several at once, and what they covered.

A scenario is played once over the whole path (`stage`: audio, sockets, server, on a virtual clock), and many times at
the table (`table`: the same call core in words), each time with the delays and the order of events of another seed; one
with another leg, or with nobody who talks, over the whole path alone.
What they covered of the flow is read from the calls' journals, see `coverage`.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

from voicebot.call.entries import Entry, read_entry
from voicebot.engine.entries import EngineEntry
from voicebot.errors import ScenarioError
from voicebot.flow.loader import FlowShelf, LoadedFlow, load_folder
from voicebot.flow.model import Flow

from .coverage import Point, covered
from .scenario import Scenario, load_scenarios
from .table import CALL_LIMIT_S, table_read
from .table_chance import TableFaults

VARIATIONS = 20
_SEEDS_AT_ONCE = 25  # played by a process before it takes other work

_DECISIONS = get_args(EngineEntry)


@dataclass(frozen=True)
class Outcome:
    """What came of one call.

    Attributes:
        covered: what it went through of its flow.
        call_s: virtual time.
        seed: of the variation at the table; None for the call over the whole path.
    """

    flow: str
    scenario: str
    problems: tuple[str, ...]
    covered: frozenset[Point]
    call_s: float
    took_s: float
    seed: int | None = None


# ---- which calls ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """Which calls to play: each scenario over the whole path, unless `quick`, and at the table once for every seed.

    A scenario that needs a whole call (`Scenario.needs_whole_call`) is played over the whole path once, `quick` or not.

    Attributes:
        folder: of the flows; its `scenarios` folder holds the scenarios.
        names: flows to test, or single scenarios as `flow:scenario`; default all that have scenarios.
    """

    folder: Path
    names: tuple[str, ...] = ()
    seeds: tuple[int, ...] = tuple(range(1, VARIATIONS + 1))
    quick: bool = False


@dataclass(frozen=True)
class _Job:
    """Some calls of one scenario, by its number in the plan: those of `seeds`, or without any the one over the path."""

    plan: Plan
    number: int
    seeds: tuple[int, ...] = ()


def scenarios_of(folder: Path, names: Sequence[str] = ()) -> list[Scenario]:
    """The scenarios of a flow folder, of some of its flows, or some of them (`flow:scenario`).

    Raises:
        ScenarioError: a named flow has none, there is none of that name, or a file is broken.
    """
    if not names:
        return load_scenarios(folder / "scenarios")
    found: dict[tuple[str, str], Scenario] = {}
    for name in names:
        flow, _, wanted = name.partition(":")
        of_flow = load_scenarios(folder / "scenarios", [flow])
        chosen = [one for one in of_flow if wanted in ("", one.name)]
        if not chosen:
            raise ScenarioError(f"{flow} has no scenario {wanted!r}, but {', '.join(one.name for one in of_flow)}")
        found |= {(one.flow, one.name): one for one in chosen}
    return list(found.values())


def call_count(plan: Plan) -> int:
    """How many calls a plan takes.

    Raises:
        ScenarioError: as `scenarios_of`.
    """
    return sum(max(len(job.seeds), 1) for job in _jobs(plan))


def _jobs(plan: Plan) -> list[_Job]:
    starts = range(0, len(plan.seeds), _SEEDS_AT_ONCE)
    varied = [plan.seeds[at : at + _SEEDS_AT_ONCE] for at in starts]
    whole: list[tuple[int, ...]] = [()]
    return [
        _Job(plan, number, seeds)
        for number, scenario in enumerate(scenarios_of(plan.folder, plan.names))
        for seeds in (whole if scenario.needs_whole_call else [*([] if plan.quick else whole), *varied])
    ]


# ---- playing them ---------------------------------------------------------------------------------------------------


def run_suite(plan: Plan, *, parallel: int | None = None) -> Iterator[Outcome]:
    """Play calls in processes of their own; outcomes come scenario by scenario, the whole path first, then the seeds.

    Args:
        parallel: processes, default one for each processor.

    Raises:
        ScenarioError, FlowError: a file is broken, or a scenario's flow is not there.
    """
    jobs = _jobs(plan)
    if len(jobs) < 2:  # not worth a process
        _loaded.cache_clear()
        yield from (outcome for job in jobs for outcome in _play(job))
        return
    context = multiprocessing.get_context("spawn")
    processes = min(parallel or os.cpu_count() or 1, len(jobs))
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_log_errors_alone) as pool:
        for outcomes in pool.map(_play, jobs):
            yield from outcomes


def whole_call(scenario: Scenario, shelf: FlowShelf) -> Outcome:
    """Play a scenario over the whole path."""
    from .clock import run_virtual  # the server and its libraries: who plays at the table only starts without them
    from .stage import rehearse

    began = time.perf_counter()
    rehearsal = run_virtual(rehearse(scenario, shelf), limit_s=CALL_LIMIT_S)
    journal = [read_entry(one.kind, one.body) for one in rehearsal.journal]
    return _outcome(
        scenario, shelf.get(scenario.flow).flow, rehearsal.problems, journal, rehearsal.result.duration_ms / 1000, began
    )


def variations(
    scenario: Scenario, loaded: LoadedFlow, seeds: Iterable[int], *, faults: TableFaults | None = None
) -> Iterator[Outcome]:
    """Play a scenario at the table, once for each seed."""
    for seed in seeds:
        began = time.perf_counter()
        read = table_read(scenario, loaded, seed=seed, faults=faults)
        journal = [entry for _, entry in read.journal]
        yield _outcome(scenario, loaded.flow, read.problems, journal, read.duration_s, began, seed)


def _outcome(
    scenario: Scenario,
    flow: Flow,
    problems: Sequence[str],
    journal: Iterable[Entry],
    call_s: float,
    began: float,
    seed: int | None = None,
) -> Outcome:
    reached = covered(flow, [entry for entry in journal if isinstance(entry, _DECISIONS)])
    took_s = time.perf_counter() - began
    return Outcome(scenario.flow, scenario.name, tuple(problems), reached, call_s, took_s, seed)


def _log_errors_alone() -> None:
    """What a flow's functions do wrong in hundreds of calls is told by the outcomes, not by as many warnings."""
    logging.basicConfig(level=logging.ERROR)


def _play(job: _Job) -> list[Outcome]:
    scenarios, shelf = _loaded(job.plan.folder, job.plan.names)
    scenario = scenarios[job.number]
    if scenario.flow not in shelf.flows and shelf.problems:  # a broken file says more than a flow that is not there
        raise shelf.problems[0]
    loaded = shelf.get(scenario.flow)
    return list(variations(scenario, loaded, job.seeds)) if job.seeds else [whole_call(scenario, shelf)]


@cache  # a process of the pool lives no longer than the suite
def _loaded(folder: Path, names: tuple[str, ...]) -> tuple[list[Scenario], FlowShelf]:
    return scenarios_of(folder, names), load_folder(folder)


# ---- what came of them ----------------------------------------------------------------------------------------------


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
            name = outcome.scenario if outcome.seed is None else f"{outcome.scenario} [seed {outcome.seed}]"
            case = ElementTree.SubElement(suite, "testcase", classname=flow, name=name, time=f"{outcome.took_s:.3f}")
            if outcome.problems:
                failure = ElementTree.SubElement(case, "failure", message=outcome.problems[0])
                failure.text = "\n".join(outcome.problems)
    ElementTree.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)
