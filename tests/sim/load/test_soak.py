from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from voicebot.sim.load.command import soak_lines
from voicebot.sim.load.figures import Window
from voicebot.sim.load.soak import GROWTH_FROM, Rest, Soaked, left_over

BASE = Rest(done=200, memory_kib=80_000, descriptors=30, sockets=10, tasks=12, calls=0)
END = replace(BASE, done=1_200)


def soaked(end: Rest, **changes: object) -> Soaked:
    made = Soaked(base=BASE, end=end, course=[BASE, replace(BASE, descriptors=90), end], reports=Counter({1: 1_200}))
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (END, []),
        (replace(END, descriptors=29, tasks=11), []),
        (replace(END, tasks=14), ["2 tasks are left over"]),
        (replace(END, descriptors=31, sockets=11), ["1 descriptors are left over", "1 sockets are left over"]),
        (replace(END, calls=1), ["1 calls are left over"]),
        (replace(END, tasks=None, descriptors=None), []),
        (replace(END, memory_kib=81_024), []),
        (replace(END, memory_kib=81_025), ["memory has grown by 1025 KiB, more than 1024"]),
    ],
)
def test_what_is_left_over_is_said(end: Rest, said: list[str]) -> None:
    assert left_over(soaked(end), GROWTH_FROM) == said


def test_few_calls_say_nothing_of_memory() -> None:
    assert left_over(soaked(replace(END, memory_kib=99_999)), GROWTH_FROM - 1) == []


def test_each_call_has_one_report() -> None:
    reports = Counter({0: 3, 1: 1_190, 2: 7})
    assert left_over(soaked(END, reports=reports), 1_000) == ["3 calls have no report", "7 calls have 2 reports"]


def test_failures_are_left_over_too() -> None:
    assert left_over(soaked(END, failures={"a token was taken twice": 2}), 10) == ["2 × a token was taken twice"]
    assert left_over(Soaked(), 10) == ["the soak did not come to its end"]


def test_soak_is_told_in_lines() -> None:
    made = soaked(replace(END, tasks=None, memory_kib=80_500), ended=Counter({"busy": 3}))
    made.window, made.lateness_p99_ms = Window(100.0, 0.0, 80.0, 20.0, 12.0, 1.0), 0.456
    assert soak_lines(made) == [
        "      3 × busy",
        "1200 calls have one report each, with the first ones",
        "in 100 s the server took 80% of a core and waited for it 20%; the load took 12%, late by 0.46 ms at p99",
        "the server        before   most  after  difference",
        "memory, KiB        80000  80500  80500        +500",
        "file descriptors      30     90     30          +0",
        "sockets               10     10     10          +0",
        "tasks                  -      -      -    not told",
        "calls                  0      0      0          +0",
    ]
