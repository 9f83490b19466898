from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from voicebot.errors import ScenarioError
from voicebot.sim.load.processes import Processes, waited_s

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's kernel")

PROGRAM = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import socket; s = socket.socket(); print(1, flush=True); input()"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0)
child.stdout.readline()
held = None
print("ready", flush=True)
for line in sys.stdin:
    if line == "work\\n":
        sum(range(20_000_000))
    else:
        held = bytearray(64 << 20)
    print("done", flush=True)
child.communicate(b"\\n")
"""


class Family:
    """A process with a child, which does what it is told."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def do(self, what: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


@pytest.fixture
def family() -> Iterator[Family]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield Family(process)
    process.communicate()


def test_processor_time_is_what_was_used(family: Family) -> None:
    processes = Processes(family.process.pid)
    before = processes.cpu_s()
    assert processes.cpu_s() == before  # it waits
    family.do("work")
    assert processes.cpu_s() > before + 0.01
    assert processes.waited_s() >= 0


def test_memory_is_what_was_taken(family: Family) -> None:
    processes = Processes(family.process.pid)
    before = processes.memory_kib()
    family.do("take")
    assert processes.memory_kib() - before >= 60 * 1024


def test_children_are_counted_too(family: Family) -> None:
    ours = Processes(family.process.pid)
    count, sockets = ours.descriptors()
    assert sockets == 1  # the child's
    assert count >= 3 + 3 + 1
    (children,) = [open_ for open_ in [ours._pids()] if len(open_) == 2]
    assert Processes(children[1]).memory_kib() < ours.memory_kib()


def test_process_that_is_gone_is_named(family: Family) -> None:
    processes = Processes(family.process.pid)
    family.process.communicate()
    for reading in (processes.cpu_s, processes.memory_kib, processes.waited_s, processes.descriptors):
        with pytest.raises(ScenarioError, match=f"process {family.process.pid} is gone"):
            reading()


def test_own_waiting_can_be_read() -> None:
    assert waited_s(os.getpid()) >= 0
