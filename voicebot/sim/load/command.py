"""`voicebot load`: does what the plan says, tells it line by line, and leaves the figures where they are wanted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .course import run_course
from .figures import LATE_MS, Figures, Window, faults, load_was_limit
from .plan import Plan
from .profiles import Shape
from .server import Ours
from .sheet import (
    Document,
    course_document,
    course_plot,
    soak_document,
    soak_plot,
    steps_document,
    steps_plot,
)
from .soak import Soaked, left_over, run_soak
from .steps import Step, find, measure
from .table import LEGEND, LOADS, SAMPLES, Sample, compared, head_lines, line, load_lines, percent, shown

T = TypeVar("T")
COMPLAINTS_SHOWN = 5
LINES_OF_A_COURSE = 15  # the samples between go to the JSON and the plot


@dataclass(frozen=True)
class Output:
    """Where things go: lines for the terminal, passing words of progress, and files."""

    say: Callable[[str], None]
    progress: Callable[[str], None]
    json: Path | None = None
    plot: Path | None = None

    def write(self, document: Document, plot: str) -> None:
        """Write the files that are wanted."""
        if self.json is not None:
            self.json.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if self.plot is not None:
            self.plot.write_text(plot, encoding="utf-8")


def run_load(plan: Plan, output: Output) -> bool:
    """Do what the plan says; returns whether nothing has failed.

    Raises:
        ScenarioError: the server did not start or cannot be looked at, or one call alone fails already.
    """
    output.say(_about(plan))
    if isinstance(plan.server, Ours) and plan.server.placement.note:
        output.say(f"note: {plan.server.placement.note}")
    if plan.shape is Shape.soak:
        return _soak(plan, output)
    if plan.shape is not None:
        return _course(plan, output)
    return _find(plan, output) if plan.find else _steps(plan, output)


def _about(plan: Plan) -> str:
    if not isinstance(plan.server, Ours):
        return f"{plan.server.origin}, {plan.codec}"
    workers = f"{plan.server.workers} workers" if plan.server.workers > 1 else "one process"
    cores = ", ".join(map(str, sorted(plan.server.placement.server)))
    return f"voicebot serve, {workers}{f' on core {cores}' if cores else ''}, {plan.codec}"


def _steps(plan: Plan, output: Output) -> bool:
    rows: list[Figures] = []
    _heading(output)
    for calls in plan.calls:
        output.progress(f"{calls} calls …")
        step = _run(measure(plan, calls))
        rows.append(step.row)
        _say_step(step, output)
    _legend(output)
    output.write(steps_document(plan, rows, None), steps_plot(rows))
    return not any(map(faults, rows))


def _find(plan: Plan, output: Output) -> bool:
    rows: list[Figures] = []

    def tell(step: Step, why_not: list[str]) -> None:
        rows.append(step.row)
        _say_step(step, output)
        for why in why_not:
            output.say(f"       NOT CARRIED: {why}")
        output.progress("the next load …")

    _heading(output)
    output.progress("one call …")
    search = _run(find(plan, tell, lambda problem: output.say(f"       NOT CARRIED: {problem}")))
    _legend(output)
    text = f"{search.carried} calls at once are carried"
    if search.too_many is not None:
        text += f", {search.too_many} are too many"
        if any(load_was_limit(row) for row in rows if row.calls == search.too_many):
            text += "; there the load itself was at its limit, so the server may carry more"
    output.say(text)
    output.write(steps_document(plan, rows, search), steps_plot(rows))
    return search.carried > 0


def _heading(output: Output) -> None:
    for text in head_lines(LOADS):
        output.say(text)


def _legend(output: Output) -> None:
    for text in LEGEND:
        output.say(text)


def _say_step(step: Step, output: Output) -> None:
    for text in load_lines(step.row):
        output.say(text)
    _complain(step.complaints, output)


def _complain(complaints: list[str], output: Output) -> None:
    for complaint in complaints[:COMPLAINTS_SHOWN]:
        output.say(f"       server: {complaint[:200]}")
    if len(complaints) > COMPLAINTS_SHOWN:
        output.say(f"       server: … and {len(complaints) - COMPLAINTS_SHOWN} more lines")


def _course(plan: Plan, output: Output) -> bool:
    assert plan.shape is not None
    every_s = max(1.0, plan.seconds / LINES_OF_A_COURSE)
    for text in head_lines(SAMPLES):
        output.say(text)
    output.progress("one call, to begin with …")
    said_s = 0.0

    def tell(sample: Sample) -> None:
        nonlocal said_s
        if sample.at_s >= min(said_s + every_s, plan.seconds):
            output.say(line(SAMPLES, sample))
            said_s += every_s
        output.progress(f"{sample.at_s:.0f} of {plan.seconds:.0f} s")

    course = _run(run_course(plan, tell))
    output.say("all of it:")
    _heading(output)
    _say_step(Step(course.row, course.complaints), output)
    _legend(output)
    output.write(course_document(plan, course), course_plot(plan.shape.value, course.samples))
    return not faults(course.row)


def _soak(plan: Plan, output: Output) -> bool:
    output.progress("the first calls …")
    soaked = _run(run_soak(plan, lambda rest: output.progress(f"{rest.done} calls, with the first ones")))
    for text in soak_lines(soaked):
        output.say(text)
    wrong = left_over(soaked, plan.total)
    for fault in wrong:
        output.say(f"FAILED: {fault}")
    if wrong:
        _complain(soaked.complaints, output)
    else:
        output.say(f"{plan.total} calls: everything is as it was before")
    output.write(soak_document(plan, soaked), soak_plot(soaked.course))
    return not wrong


def soak_lines(soaked: Soaked) -> list[str]:
    """How the calls ended, their reports, and the server before and after."""
    lines = [f"{times:7} × {how}" for how, times in soaked.ended.items()]
    if soaked.reports is not None:
        lines.append(f"{soaked.reports[1]} calls have one report each, with the first ones")
    if soaked.window is not None:
        lines.append(_pace(soaked.window, soaked.lateness_p99_ms))
    if soaked.base is None or soaked.end is None:
        return lines
    names = {
        "memory, KiB": "memory_kib",
        "file descriptors": "descriptors",
        "sockets": "sockets",
        "tasks": "tasks",
        "calls": "calls",
    }
    peak = {name: max((getattr(one, of) or 0 for one in soaked.course), default=0) for name, of in names.items()}
    rows = []
    for name, of in names.items():
        before, after = getattr(soaked.base, of), getattr(soaked.end, of)
        if before is None or after is None:
            rows.append([name, "-", "-", "-", "not told"])
        else:
            rows.append([name, str(before), str(peak[name]), str(after), f"{after - before:+d}"])
    return [*lines, *compared(["the server", "before", "most", "after", "difference"], rows)]


def _pace(window: Window, lateness_p99_ms: float | None) -> str:
    """Who was how busy, and whether the machine let them."""
    server = "" if window.server_s is None else f"the server took {percent(window.server_s / window.wall_s)} of a core"
    waited = "" if window.waited_s is None else f" and waited for it {percent(window.waited_s / window.wall_s)}; "
    load = f"the load took {percent(window.load_s / window.wall_s)}, late by {shown(lateness_p99_ms)} ms at p99"
    late = lateness_p99_ms is not None and lateness_p99_ms >= LATE_MS
    return f"in {window.wall_s:.0f} s {server}{waited}{load}{', so it was a limit itself' if late else ''}"


def _run(work: Coroutine[object, object, T]) -> T:
    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        return runner.run(work)


def _fast_loop() -> type[asyncio.AbstractEventLoop] | None:
    """uvloop, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    loop: type[asyncio.AbstractEventLoop] = uvloop.Loop
    return loop
