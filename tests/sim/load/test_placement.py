from __future__ import annotations

import os
import subprocess
import sys

import pytest

from voicebot.sim.load.placement import ANYWHERE, cores, on, place


@pytest.mark.parametrize(
    ("available", "workers", "server", "load", "shared"),
    [
        ([0, 1], 1, {1}, {0}, False),
        ([0, 1, 2, 3], 1, {3}, {0, 1, 2}, False),
        ([0, 1, 2, 3], 2, {2, 3}, {0, 1}, False),
        ([0, 1], 2, {0, 1}, {0, 1}, True),
        ([4], 1, {4}, {4}, True),
    ],
)
def test_server_has_cores_of_its_own(
    available: list[int], workers: int, server: set[int], load: set[int], shared: bool
) -> None:
    placement = place(available, workers)
    assert (placement.server, placement.load, bool(placement.note)) == (server, load, shared)


def test_unknown_cores_are_nobodys() -> None:
    assert place([], 1) == ANYWHERE


@pytest.mark.skipif(sys.platform != "linux", reason="cores are Linux's")
def test_process_started_on_a_core_stays_there() -> None:
    before = cores()
    with on(frozenset(before[-1:])):
        assert cores() == before[-1:]
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert cores() == before
        assert os.sched_getaffinity(child.pid) == set(before[-1:])
    finally:
        child.communicate(b"\n")
