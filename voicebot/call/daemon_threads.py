"""Threads for code that nobody can stop: bounded in number, and the process does not wait for them when it ends.

The pools of the standard library are joined at exit, so that one call that hangs keeps the process from ending.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Full
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MOST_THREADS = 32
MOST_WAITING = 128


class DaemonThreads(Executor):
    """A pool of daemon threads, for `run_in_executor`. Threads are started when they are needed, and kept.

    Args:
        name: of the threads, as a debugger shows them.
        most: how many there may be.
        waiting: how many jobs may wait for one.
    """

    def __init__(self, name: str, *, most: int = MOST_THREADS, waiting: int = MOST_WAITING) -> None:
        self._name, self._most, self._most_waiting = name, most, waiting
        self._changed = threading.Condition()
        self._jobs: deque[tuple[Future[object], Callable[[], object]]] = deque()
        self._idle = 0  # threads that will look for a job next
        self._threads = 0

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a thread call `fn`.

        Raises:
            queue.Full: every thread is at work, and too many jobs wait already; or the system has no thread to give.
        """
        future: Future[T] = Future()
        with self._changed:
            self._make_room()
            self._jobs.append((future, lambda: fn(*args, **kwargs)))  # type: ignore[arg-type]  # a Future is invariant
            self._changed.notify()
        return future

    def _make_room(self) -> None:
        if len(self._jobs) < self._idle or (self._threads < self._most and self._start_thread()):
            return
        if len(self._jobs) - self._idle >= self._most_waiting:
            self._jobs = deque(job for job in self._jobs if not job[0].cancelled())
        if not self._threads or len(self._jobs) - self._idle >= self._most_waiting:
            raise Full

    def _start_thread(self) -> bool:
        thread = threading.Thread(target=self._work, name=f"{self._name}-{self._threads + 1}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads
            return False
        self._threads += 1
        self._idle += 1
        return True

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._jobs:
                    self._changed.wait()
                self._idle -= 1
                future, call = self._jobs.popleft()
            if future.set_running_or_notify_cancel():
                _settle(future, call)
            del future, call  # an idle thread keeps nothing alive
            with self._changed:
                self._idle += 1


def _settle(future: Future[object], call: Callable[[], object]) -> None:
    try:
        value = call()
    except BaseException as exc:  # noqa: BLE001 - as in every pool: it belongs to whoever waits for the future
        future.set_exception(exc)
    else:
        future.set_result(value)
