"""The figures of loads as lines for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from .figures import Figures, faults, load_was_limit

T = TypeVar("T")

LEGEND = (
    "CPU: ms of processor per second of one call. truncation: what the model was told to be heard, minus what was.",
    "waited: the server could run, and its core was at other work. load: what makes the calls, and how late it was.",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """How things stood at a moment of a profile; figures are of the time since the sample before."""

    at_s: float
    calls: int
    server_share: float | None
    memory_mib: float | None
    loop_lag_ms: float | None
    uplink_p50_ms: float | None
    uplink_p99_ms: float | None
    load_share: float
    lateness_p99_ms: float | None
    underruns: int
    failures: int


@dataclass(frozen=True)
class Column(Generic[T]):
    """Two lines of heading, and what stands below them."""

    above: str
    head: str
    width: int
    text: Callable[[T], str]

    def fit(self, text: str) -> str:
        """To the right of the column."""
        return text.rjust(max(self.width, len(self.above), len(self.head)))


def shown(value: float | None) -> str:
    """A figure in four characters or few more; a dash for none."""
    if value is None:
        return "-"
    return f"{value:.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"


def percent(value: float | None) -> str:
    """A share."""
    return "-" if value is None else f"{value:.0%}"


def _pair(one: float | None, other: float | None) -> str:
    return "-" if one is None and other is None else f"{shown(one)}/{shown(other)}"


def _range(least: float | None, most: float | None) -> str:
    return "-" if least is None or most is None else f"{least:+.0f}..{most:+.0f}"


LOADS: tuple[Column[Figures], ...] = (
    Column("", "calls", 5, lambda row: str(row.calls)),
    Column("CPU", "ms/s", 5, lambda row: shown(row.cpu_ms_per_call_second)),
    Column("memory", "KiB/call", 6, lambda row: shown(row.memory_kib_per_call)),
    Column("uplink ms", "p50/p99", 9, lambda row: _pair(row.uplink_p50_ms, row.uplink_p99_ms)),
    Column("downlink", "p50/p99", 9, lambda row: _pair(row.downlink_p50_ms, row.downlink_p99_ms)),
    Column("barge-in", "p50/p99", 9, lambda row: _pair(row.barge_in_p50_ms, row.barge_in_p99_ms)),
    Column("trunc.", "ms", 8, lambda row: _range(row.truncation_least_ms, row.truncation_most_ms)),
    Column("webhook", "p50/p99", 9, lambda row: _pair(row.webhook_p50_ms, row.webhook_p99_ms)),
    Column("loop", "lag ms", 6, lambda row: shown(row.loop_lag_ms)),
    Column("server", "CPU", 5, lambda row: percent(row.server_share)),
    Column("server", "waited", 6, lambda row: percent(row.server_waited)),
    Column("load", "CPU", 4, lambda row: percent(row.generator_share)),
    Column("load late", "p50/p99", 9, lambda row: _pair(row.lateness_p50_ms, row.lateness_p99_ms)),
)
SAMPLES: tuple[Column[Sample], ...] = (
    Column("at", "s", 5, lambda sample: f"{sample.at_s:.0f}"),
    Column("", "calls", 5, lambda sample: str(sample.calls)),
    Column("server", "CPU", 5, lambda sample: percent(sample.server_share)),
    Column("memory", "MiB", 6, lambda sample: shown(sample.memory_mib)),
    Column("loop", "lag ms", 6, lambda sample: shown(sample.loop_lag_ms)),
    Column("uplink ms", "p50/p99", 9, lambda sample: _pair(sample.uplink_p50_ms, sample.uplink_p99_ms)),
    Column("load", "CPU", 4, lambda sample: percent(sample.load_share)),
    Column("load late", "p99", 5, lambda sample: shown(sample.lateness_p99_ms)),
    Column("", "underruns", 5, lambda sample: str(sample.underruns)),
    Column("", "failures", 5, lambda sample: str(sample.failures)),
)


def head_lines(columns: Sequence[Column[T]]) -> list[str]:
    """The heading."""
    return ["  ".join(column.fit(text) for column, text in line).rstrip() for line in _heads(columns)]


def _heads(columns: Sequence[Column[T]]) -> list[list[tuple[Column[T], str]]]:
    return [[(one, one.above) for one in columns], [(one, one.head) for one in columns]]


def line(columns: Sequence[Column[T]], of: T) -> str:
    """One line of a table."""
    return "  ".join(column.fit(column.text(of)) for column in columns)


def load_lines(row: Figures) -> list[str]:
    """A load's figures, and below them what went wrong and what they do not tell."""
    limit = load_was_limit(row)
    failed = [f"       FAILED: {fault}" for fault in faults(row)]
    return [line(LOADS, row), *failed, *([f"       note: {limit}"] if limit else [])]


def compared(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A plain table: first column to the left, the others to the right."""
    lines = [head, *rows]
    widths = [max(len(one[place]) for one in lines) for place in range(len(head))]
    return [
        "  ".join(
            f"{cell:<{width}}" if place == 0 else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(one, widths, strict=True))
        ).rstrip()
        for one in lines
    ]
