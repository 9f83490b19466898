"""Threads that nobody waits for: how many, who waits, and what the process does when they hang."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from queue import Full

import pytest

from tests.fakes import environment
from voicebot.call.daemon_threads import DaemonThreads

LIMIT_S = 20.0


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Hung jobs end with the test."""
    event = threading.Event()
    yield event
    event.set()


def hung(threads: DaemonThreads, released: threading.Event) -> Future[bool]:
    """A job that hangs in a thread by now."""
    began = threading.Event()

    def hang() -> bool:
        began.set()
        return released.wait(LIMIT_S)

    future = threads.submit(hang)
    assert began.wait(LIMIT_S)
    return future


def test_jobs_run_in_named_daemon_threads() -> None:
    thread = DaemonThreads("tool").submit(threading.current_thread).result(LIMIT_S)
    assert thread.name == "tool-1"
    assert thread.daemon


def test_arguments_and_errors_belong_to_the_job() -> None:
    threads = DaemonThreads("tool")
    assert threads.submit(divmod, 7, 2).result(LIMIT_S) == (3, 1)
    assert threads.submit(int, "11", base=2).result(LIMIT_S) == 3
    for raised in (ZeroDivisionError, SystemExit, KeyboardInterrupt):

        def fails(kind: type[BaseException] = raised) -> None:
            raise kind

        assert isinstance(threads.submit(fails).exception(LIMIT_S), raised)
    assert threads.submit(divmod, 7, 2).result(LIMIT_S) == (3, 1)


def test_idle_threads_are_used_again() -> None:
    threads = DaemonThreads("tool")
    names = set()
    for _ in range(50):
        future = threads.submit(lambda: threading.current_thread().name)
        names.add(future.result(LIMIT_S))
        threads.submit(int).result(LIMIT_S)
    assert len(names) <= 2  # a thread is idle a moment after its result is there


def test_threads_and_waiting_jobs_are_bounded(released: threading.Event) -> None:
    threads = DaemonThreads("tool", most=2, waiting=3)
    at_work = [hung(threads, released) for _ in range(2)]
    waiting = [threads.submit(threading.get_ident) for _ in range(3)]
    with pytest.raises(Full):
        threads.submit(int)
    released.set()
    assert all(future.result(LIMIT_S) for future in at_work)
    assert len({future.result(LIMIT_S) for future in waiting}) <= 2
    assert threads.submit(int).result(LIMIT_S) == 0


def test_cancelled_job_makes_room_and_never_runs(released: threading.Event) -> None:
    threads = DaemonThreads("tool", most=1, waiting=2)
    hung(threads, released)
    ran: list[int] = []
    given_up = [threads.submit(ran.append, number) for number in range(2)]
    assert all(future.cancel() for future in given_up)
    last = threads.submit(ran.append, 2)
    released.set()
    last.result(LIMIT_S)
    assert ran == [2]


def test_system_without_threads_takes_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    threads = DaemonThreads("tool")
    with monkeypatch.context() as broken:
        broken.setattr(threading.Thread, "start", refuse)
        with pytest.raises(Full):
            threads.submit(int)
    assert threads.submit(int).result(LIMIT_S) == 0


def test_process_ends_while_a_job_hangs() -> None:
    program = """
import asyncio, time
from voicebot.call.daemon_threads import DaemonThreads

async def main():
    threads = DaemonThreads("tool")
    try:
        async with asyncio.timeout(0.1):
            await asyncio.get_running_loop().run_in_executor(threads, time.sleep, 3600)
    except TimeoutError:
        print("given up")

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("given up\n", "")
