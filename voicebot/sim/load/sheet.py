"""What a load has shown, as a JSON document and as curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from .course import Course
from .figures import Figures, faults, load_was_limit
from .finder import Search
from .plan import Plan
from .plot import Panel, curve, svg
from .server import Ours
from .soak import Rest, Soaked, left_over
from .table import Sample

Document = Mapping[str, object]


def steps_document(plan: Plan, rows: Sequence[Figures], search: Search | None) -> Document:
    """Loads one after the other, and what was found."""
    found = None if search is None else {"carried": search.carried, "too_many": search.too_many}
    return _about(plan) | {"loads": [_row(row) for row in rows], "found": found}


def course_document(plan: Plan, course: Course) -> Document:
    """A course, each sample of it."""
    return _about(plan) | {"load": _row(course.row), "samples": [asdict(sample) for sample in course.samples]}


def soak_document(plan: Plan, soaked: Soaked) -> Document:
    """A soak: before, after and meanwhile."""
    return _about(plan) | {
        "calls": plan.total,
        "ended": dict(soaked.ended),
        "reports": None if soaked.reports is None else {str(n): calls for n, calls in sorted(soaked.reports.items())},
        "window": None if soaked.window is None else asdict(soaked.window),
        "lateness_p99_ms": soaked.lateness_p99_ms,
        "base": None if soaked.base is None else asdict(soaked.base),
        "end": None if soaked.end is None else asdict(soaked.end),
        "wrong": left_over(soaked, plan.total),
        "samples": [asdict(rest) for rest in soaked.course],
    }


def _about(plan: Plan) -> dict[str, object]:
    ours = plan.server if isinstance(plan.server, Ours) else None
    return {
        "profile": plan.shape.value if plan.shape else "steps",
        "server": "ours" if isinstance(plan.server, Ours) else plan.server.origin,
        "workers": ours.workers if ours else None,
        "note": ours.placement.note if ours else "",
        "codec": plan.codec,
        "seconds": plan.seconds,
        "runs": plan.runs,
    }


def _row(row: Figures) -> dict[str, object]:
    return asdict(row) | {"failed": bool(faults(row)), "limit": load_was_limit(row)}


def steps_plot(rows: Sequence[Figures]) -> str:
    """Figures over the number of calls."""
    ordered = sorted(rows, key=lambda row: row.calls)
    calls = [row.calls for row in ordered]

    def panel(title: str, **names: str) -> Panel:
        return Panel(title, [curve(name, calls, [getattr(row, of) for row in ordered]) for name, of in names.items()])

    return svg(
        "Load by the number of calls",
        "calls at once",
        [
            panel("server's processor time, ms per second of one call", CPU="cpu_ms_per_call_second"),
            panel("server's memory, KiB per call", memory="memory_kib_per_call"),
            panel("uplink, ms", p50="uplink_p50_ms", p99="uplink_p99_ms"),
            panel("downlink, ms", p50="downlink_p50_ms", p99="downlink_p99_ms"),
            panel("barge-in, ms", p50="barge_in_p50_ms", p99="barge_in_p99_ms"),
            panel("webhook, ms", p50="webhook_p50_ms", p99="webhook_p99_ms"),
            panel("the load's own lateness, ms", p50="lateness_p50_ms", p99="lateness_p99_ms"),
        ],
    )


def course_plot(shape: str, samples: Sequence[Sample]) -> str:
    """Figures over time."""
    at = [sample.at_s for sample in samples]
    shares = [None if one.server_share is None else 100 * one.server_share for one in samples]
    return svg(
        f"Load over time: {shape}",
        "seconds",
        [
            Panel("calls", [curve("calls", at, [one.calls for one in samples])]),
            Panel(
                "processor, % of a core",
                [curve("server", at, shares), curve("load", at, [100 * one.load_share for one in samples])],
            ),
            Panel("server's memory, MiB", [curve("memory", at, [one.memory_mib for one in samples])]),
            Panel("event loop's lag, ms", [curve("lag", at, [one.loop_lag_ms for one in samples])]),
            Panel(
                "uplink, ms",
                [
                    curve("p50", at, [one.uplink_p50_ms for one in samples]),
                    curve("p99", at, [one.uplink_p99_ms for one in samples]),
                ],
            ),
            Panel("the load's own lateness, p99, ms", [curve("late", at, [one.lateness_p99_ms for one in samples])]),
        ],
    )


def soak_plot(course: Sequence[Rest]) -> str:
    """What the server holds over the calls that it has had."""
    done = [one.done for one in course]
    memory = [None if one.memory_kib is None else one.memory_kib / 1024 for one in course]
    return svg(
        "Soak: what the server holds",
        "calls so far",
        [
            Panel("memory, MiB", [curve("memory", done, memory)]),
            Panel(
                "file descriptors",
                [
                    curve("all", done, [one.descriptors for one in course]),
                    curve("sockets", done, [one.sockets for one in course]),
                ],
            ),
            Panel("tasks", [curve("tasks", done, [one.tasks for one in course])]),
            Panel("calls at work", [curve("calls", done, [one.calls for one in course])]),
        ],
    )
