"""The virtual loop: when its time stands still, when it jumps, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.sim.virtual_time import running_loop, virtual
from voicebot.sim.clock import VirtualLoop, run_virtual, wall_clock


def work_a_little(answer: str) -> str:
    time.sleep(0.05)  # of a thread, in real time
    return answer


def wait_for_event(event: threading.Event, answer: str) -> str:
    assert event.wait(10)
    return answer


# ---- time ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.02, 3600.0, 86_400.0 * 30])
def test_a_long_sleep_takes_virtual_time_alone(seconds: float) -> None:
    async def main() -> float:
        await asyncio.sleep(seconds)
        return asyncio.get_running_loop().time()

    assert run_virtual(main(), limit_s=1e9) == seconds  # else it is not back for a month


@virtual
async def test_time_stands_still_while_callbacks_are_ready() -> None:
    for _ in range(100):
        await asyncio.sleep(0)
    assert running_loop().time() == 0


@virtual
async def test_timers_fire_in_order_at_exact_times() -> None:
    loop = running_loop()
    fired: list[float] = []
    for delay in (5.0, 0.02, 30_000.1, 1.5, 0.020001):
        loop.call_later(delay, lambda: fired.append(loop.time()))
    loop.call_later(1.0, fired.append, -1.0).cancel()
    await asyncio.sleep(35_000)
    assert fired == [0.02, 0.020001, 1.5, 5.0, 30_000.1]


@virtual
async def test_a_timeout_ends_after_its_virtual_time() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(90):
            await asyncio.Event().wait()
    assert running_loop().time() == 90


@virtual
async def test_wall_clock_advances_with_the_loop() -> None:
    now = wall_clock(datetime(2025, 3, 30, 2, 0, tzinfo=timezone(timedelta(hours=2))))
    assert now() == datetime(2025, 3, 30, 0, 0, tzinfo=UTC)
    await asyncio.sleep(5400.25)
    assert now() == datetime(2025, 3, 30, 1, 30, 0, 250_000, tzinfo=UTC)
    assert now().tzinfo is UTC


def test_wall_clock_refuses_a_naive_start() -> None:
    with pytest.raises(ValueError, match="time zone"):
        wall_clock(datetime(2025, 1, 1))  # noqa: DTZ001 - the very mistake


# ---- threads ------------------------------------------------------------------------------------------------------


@virtual
async def test_a_thread_takes_no_virtual_time() -> None:
    tick = asyncio.create_task(asyncio.sleep(0.001, "tick"))
    assert await asyncio.to_thread(work_a_little, "done") == "done"
    assert running_loop().time() == 0
    assert not tick.done()
    assert await tick == "tick"


@virtual
async def test_time_stands_still_until_the_last_thread_is_done() -> None:
    slow, quick = threading.Event(), threading.Event()
    loop, times = running_loop(), []
    quick.set()

    async def job(event: threading.Event) -> None:
        await asyncio.to_thread(wait_for_event, event, "")
        times.append(loop.time())

    release = threading.Timer(0.05, slow.set)
    release.start()
    await asyncio.gather(job(quick), job(slow), asyncio.sleep(10))
    release.join()
    assert times == [0, 0]


@virtual
async def test_results_of_threads_come_in_the_order_given() -> None:
    order: list[str] = []
    second_done = threading.Event()

    async def job(name: str, work: Callable[[], object]) -> None:
        await asyncio.to_thread(work)
        order.append(name)

    await asyncio.gather(
        job("first", functools.partial(wait_for_event, second_done, "")), job("second", second_done.set)
    )
    assert order == ["first", "second"]


@virtual
async def test_an_error_in_a_thread_reaches_the_program() -> None:
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(lambda: 1 / 0)


@virtual
async def test_a_cancelled_job_holds_time_until_its_thread_ends() -> None:
    began, release, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        wait_for_event(release, "")
        ended.set()
        raise LookupError("nobody asks any more")

    task = asyncio.create_task(asyncio.to_thread(work))
    await asyncio.sleep(0)
    wait_for_event(began, "")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    later = threading.Timer(0.05, release.set)
    later.start()
    await asyncio.sleep(1)
    assert ended.is_set()
    later.join()


@virtual
async def test_a_job_cancelled_before_its_turn_never_begins() -> None:
    ran: list[str] = []
    release = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        loop = running_loop()
        first = loop.run_in_executor(pool, wait_for_event, release, "first")
        second = loop.run_in_executor(pool, ran.append, "second")
        second.cancel()
        release.set()
        assert await first == "first"
        await asyncio.sleep(1)
    assert ran == []


@virtual
async def test_a_thread_may_call_back_into_the_loop() -> None:
    loop = running_loop()

    async def double(number: int) -> int:
        return 2 * number

    assert await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(double(21), loop).result(10)) == 42


@virtual
async def test_hold_time_waits_for_a_thread_of_ones_own() -> None:
    loop, done = running_loop(), asyncio.Event()
    thread = threading.Timer(0.05, loop.call_soon_threadsafe, [done.set])
    thread.start()
    with loop.hold_time():
        async with asyncio.timeout(0.001):
            await done.wait()
    thread.join()
    assert loop.time() == 0


# ---- the end ------------------------------------------------------------------------------------------------------


async def wait_for_nothing() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("limit_s", [36_000, float("inf")])
def test_a_deadlock_is_an_error_naming_the_tasks(limit_s: float) -> None:
    async def main() -> None:
        await asyncio.sleep(12.5)
        async with asyncio.TaskGroup() as group:
            group.create_task(wait_for_nothing(), name="the-forgotten")

    with pytest.raises(
        RuntimeError, match=r"deadlock at 12\.500 s.*the-forgotten \(test_clock\.py:\d+ wait_for_nothing"
    ):
        run_virtual(main(), limit_s=limit_s)


def test_the_limit_of_virtual_time_names_the_tasks() -> None:
    cleaned: list[float] = []

    async def ring() -> None:
        try:
            while await asyncio.sleep(7, "still ringing"):
                pass
        finally:
            await asyncio.sleep(2)
            cleaned.append(asyncio.get_running_loop().time())

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(ring(), name="ringing")

    with pytest.raises(TimeoutError, match=r"not done after 60\.000 s.*ringing \(test_clock\.py:\d+ ring > "):
        run_virtual(main(), limit_s=60)
    assert cleaned == [58.0]


def test_a_timer_at_the_limit_still_fires() -> None:
    assert run_virtual(asyncio.sleep(60, "in time"), limit_s=60) == "in time"


def test_an_error_names_twenty_tasks_at_most() -> None:
    async def main() -> None:
        await asyncio.gather(*(wait_for_nothing() for _ in range(50)))

    with pytest.raises(RuntimeError, match=r"and 31 more$"):
        run_virtual(main())


def test_the_error_of_main_is_raised() -> None:
    async def main() -> None:
        raise LookupError("no such call")

    with pytest.raises(LookupError, match="no such call"):
        run_virtual(main())


def test_tasks_left_over_are_cancelled() -> None:
    cancelled: list[str] = []

    async def linger() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1e6)
        cancelled.append("lingering")

    async def main() -> asyncio.Task[None]:
        task = asyncio.create_task(linger())
        await asyncio.sleep(1)
        return task

    assert run_virtual(main()).done()
    assert cancelled == ["lingering"]


def test_threads_left_over_are_waited_for() -> None:
    ended: list[str] = []

    async def main() -> None:
        asyncio.get_running_loop().run_in_executor(None, lambda: ended.append(work_a_little("work")))

    run_virtual(main())
    assert ended == ["work"]


@virtual
async def test_signal_handlers_run_before_time_jumps() -> None:
    loop, caught = running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, caught.set)
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGUSR1)
    async with asyncio.timeout(1):
        await caught.wait()
    assert loop.time() == 0
    assert loop.remove_signal_handler(signal.SIGUSR1)


# ---- the network that is not there --------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["8.8.8.8", "192.168.0.1", "2001:db8::1", "api.example.com"])
@virtual
async def test_another_host_is_out_of_reach_at_once(host: str) -> None:
    loop = running_loop()
    with pytest.raises(OSError, match="the twin has no network"):
        await loop.create_connection(asyncio.Protocol, host, 443)
    with pytest.raises(OSError, match="the twin has no network"):
        await loop.getaddrinfo(host, 443)
    with socket.socket() as sock, pytest.raises(OSError, match="the twin has no network"):
        await loop.sock_connect(sock, (host, 443))
    with pytest.raises(OSError, match="loopback alone"):
        await loop.create_server(asyncio.Protocol, host, 8080)
    assert loop.time() == 0


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", None])
@virtual
async def test_this_host_is_found_without_a_thread(host: str | None) -> None:
    (family, kind, _, _, (address, port)) = (await running_loop().getaddrinfo(host, "80"))[0]
    assert (family, kind, address, port) == (socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1", 80)
    assert not any(thread.name.startswith("asyncio") for thread in threading.enumerate())


REFUSED: dict[str, Callable[[VirtualLoop], Awaitable[object]]] = {
    "tls_client": lambda loop: loop.create_connection(asyncio.Protocol, "127.0.0.1", 443, ssl=True),
    "tls_server": lambda loop: loop.create_server(asyncio.Protocol, "127.0.0.1", 443, ssl=ssl.create_default_context()),
    "datagram": lambda loop: loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("127.0.0.1", 53)),
    "unix_client": lambda loop: loop.create_unix_connection(asyncio.Protocol, "/tmp/never"),
    "unix_server": lambda loop: loop.create_unix_server(asyncio.Protocol, "/tmp/never"),
}


@pytest.mark.parametrize("kind", REFUSED)
@virtual
async def test_what_the_twin_has_not_is_an_os_error(kind: str) -> None:
    with pytest.raises(OSError, match="the twin"):
        await REFUSED[kind](running_loop())
