"""A server's processes as the kernel sees them: one, and all that it has started. Linux only."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from voicebot.errors import ScenarioError

T = TypeVar("T", int, float)
_PROC = Path("/proc")


class Processes:
    """
    Args:
        pid: of the first of them.

    Raises:
        ScenarioError: there is no such process, or this is no Linux.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        if sys.platform != "linux":
            raise ScenarioError("processor time and memory are read from Linux's kernel: leave out --pid")
        self.cpu_s()

    def cpu_s(self) -> float:
        """Processor time so far, of all threads, user and system: the kernel's count in ns, not its ticks of 10 ms."""
        return self._sum(_cpu_s)

    def waited_s(self) -> float:
        """Time that the main threads were ready to run and were not run."""
        return self._sum(waited_s)

    def memory_kib(self) -> int:
        """Resident memory; what several of them share is counted in each."""
        return self._sum(_memory_kib)

    def descriptors(self) -> tuple[int, int]:
        """Open file descriptors, and how many of them are sockets."""
        links = [link for pid in self._pids() for link in _links(pid)]
        return len(links), sum(link.startswith("socket:") for link in links)

    def _sum(self, reading: Callable[[int], T]) -> T:
        try:
            first, *below = self._pids()
            total = reading(first)
        except OSError as exc:
            raise ScenarioError(f"process {self.pid} is gone, or not ours to look at") from exc
        for pid in below:
            try:
                total += reading(pid)
            except OSError:
                continue  # it has just ended
        return total

    def _pids(self) -> list[int]:
        """It and all below it, by their parents: a worker may have a process group of its own."""
        found = [self.pid]
        for pid in found:  # grows while it is walked
            found += _children(pid)
        return found


def waited_s(pid: int) -> float:
    """Time that a process's main thread was ready to run and was not run."""
    return int((_PROC / str(pid) / "schedstat").read_text().split()[1]) / 1e9


def _cpu_s(pid: int) -> float:
    return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3)


def _memory_kib(pid: int) -> int:
    status = (_PROC / str(pid) / "status").read_text()
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)


def _children(pid: int) -> list[int]:
    """Asked of the kernel, as a walk over all processes of a machine would hold up the phones for too long."""
    try:
        threads = os.listdir(_PROC / str(pid) / "task")
        lists = [(_PROC / str(pid) / "task" / thread / "children").read_text() for thread in threads]
    except OSError:
        return []  # it, or one of its threads, has just ended
    return [int(child) for one in lists for child in one.split()]


def _links(pid: int) -> Iterator[str]:
    folder = _PROC / str(pid) / "fd"
    try:
        names = os.listdir(folder)
    except OSError as exc:
        raise ScenarioError(f"process {pid} is gone, or not ours to look at") from exc
    for name in names:
        try:
            yield os.readlink(folder / name)
        except OSError:
            continue  # closed since
