from __future__ import annotations

from array import array
from dataclasses import replace

import pytest

from voicebot.sim.load.figures import (
    Figures,
    Memory,
    Window,
    faults,
    figures,
    load_was_limit,
    medians,
    not_carried,
)
from voicebot.sim.load.readings import Readings

WINDOW = Window(wall_s=10.0, call_s=250.0, server_s=2.0, waited_s=0.5, load_s=1.0, load_waited_s=0.1)


def readings() -> Readings:
    return Readings(
        uplink_s=array("d", [0.001, 0.002, 0.003]),
        truncation_ms=array("d", [-20.0, 0.0, -8.0]),
        lateness_s=array("d", [0.0001] * 4),
        barge_in_s=array("d", [0.004, 0.006]),
        turns=7,
    )


def row(**changes: object) -> Figures:
    return replace(figures("pcm", 25, readings(), WINDOW, Memory(50_000, 55_000), 0.0015), **changes)  # type: ignore[arg-type]


def test_figures_are_of_a_call_and_a_core() -> None:
    made = row()
    assert made.cpu_ms_per_call_second == 8.0
    assert made.memory_kib_per_call == 200.0
    assert made.idle_memory_mib == 48.8
    assert made.loop_lag_ms == 1.5
    assert (made.uplink_p50_ms, made.uplink_p99_ms) == (2.0, 2.0)
    assert (made.truncation_least_ms, made.truncation_most_ms) == (-20.0, 0.0)
    assert (made.server_share, made.server_waited) == (0.2, 0.05)
    assert (made.generator_share, made.generator_waited) == (0.1, 0.01)
    assert (made.frames, made.turns, made.barge_ins) == (4, 7, 2)


def test_what_cannot_be_read_is_no_figure() -> None:
    blind = Window(wall_s=10.0, call_s=250.0, server_s=None, waited_s=None, load_s=1.0, load_waited_s=None)
    made = figures("pcm", 25, Readings(), blind, Memory(None, None), None)
    known = {name for name in Figures.__slots__ if getattr(made, name) is not None}
    counts = {"codec", "calls", "window_s", "generator_share", "frames", "turns", "barge_ins", "underruns", "failures"}
    assert known == counts


def test_medians_of_runs_keep_every_failure() -> None:
    runs = [
        row(uplink_p99_ms=2.0, turns=5, truncation_least_ms=-20.0, loop_lag_ms=None),
        row(uplink_p99_ms=9.0, turns=6, truncation_least_ms=-40.0, underruns=2, failures={"x": 1}),
        row(uplink_p99_ms=3.0, turns=9, truncation_most_ms=12.0, underruns=1, failures={"x": 2, "y": 1}),
    ]
    middle = medians(runs)
    assert middle.uplink_p99_ms == 3.0
    assert middle.turns == 6
    assert (middle.truncation_least_ms, middle.truncation_most_ms) == (-40.0, 12.0)
    assert middle.loop_lag_ms == 1.5
    assert middle.underruns == 3
    assert middle.failures == {"x": 3, "y": 1}
    assert (middle.codec, middle.calls) == ("pcm", 25)


def test_median_of_one_run_is_the_run() -> None:
    assert medians([row()]) == row()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"uplink_p99_ms": 21.9}, []),
        ({"uplink_p99_ms": 22.0}, ["uplink p99 22.0 ms, 2.0 ms with one call"]),
        ({"uplink_p99_ms": None}, ["no audio came up"]),
        ({"failures": {"an interruption was not answered by clear": 2}}, ["2 × an interruption"]),
        ({"underruns": 1}, ["1 × an answer's audio came too late"]),
    ],
)
def test_load_is_carried_or_says_why_not(changes: dict[str, object], said: list[str]) -> None:
    why = not_carried(row(**changes), row())
    assert len(why) == len(said)
    assert all(one.startswith(start) for one, start in zip(why, said, strict=True))


def test_faults_are_failures_and_gaps() -> None:
    assert faults(row()) == []
    assert len(faults(row(underruns=3, failures={"a": 1, "b": 2}))) == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"generator_share": 0.95}, "95% of its own core"),
        ({"lateness_p99_ms": 12.0}, "late itself, p99 12.0 ms: "),
        ({"lateness_p99_ms": 12.0, "generator_waited": 0.3}, "at other work for 30% of the time"),
        ({"lateness_p99_ms": None}, None),
    ],
)
def test_load_says_where_it_was_the_limit(changes: dict[str, object], said: str | None) -> None:
    limit = load_was_limit(row(**changes))
    assert limit is None if said is None else limit is not None and said in limit
