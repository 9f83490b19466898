"""The author's functions: what they come to, whatever they raise, and that none of them holds anything up."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import threading
from collections.abc import Awaitable, Callable, Iterator
from types import CoroutineType

import pytest

from voicebot.call.author_code import GRACE_S, NotRun, Outcome, Raised, Returned, run_author_code
from voicebot.call.daemon_threads import DaemonThreads
from voicebot.sim.clock import run_virtual

THREADS = DaemonThreads("test", most=4, waiting=4)
HERE = contextvars.ContextVar("HERE", default="nowhere")


async def run(
    function: Callable[[], object], *, limit_s: float = 5.0, threads: DaemonThreads = THREADS
) -> Outcome[str]:
    return await run_author_code(function, str, limit_s=limit_s, threads=threads)


def now() -> float:
    return asyncio.get_running_loop().time()


# ---- what they come to ----------------------------------------------------------------------------------------------


async def waits() -> str:
    await asyncio.sleep(1)
    return "waited"


def hides_an_async_one() -> Awaitable[str]:
    return waits()


class AsyncCall:
    async def __call__(self) -> str:
        return await waits()


class SlowAnswer:
    def __await__(self) -> Iterator[object]:
        return waits().__await__()


def names_its_thread() -> str:
    return threading.current_thread().name.split("-")[0]


def reads_its_context() -> str:
    return HERE.get()


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (waits, "waited"),
        (functools.partial(waits), "waited"),
        (hides_an_async_one, "waited"),
        (AsyncCall(), "waited"),
        (SlowAnswer, "waited"),
        (names_its_thread, "test"),
        (reads_its_context, "here"),
        (lambda: None, "None"),
        (lambda: Raised(KeyError(), ""), "KeyError"),
    ],
)
def test_function_comes_to_its_value(function: Callable[[], object], value: str) -> None:
    HERE.set("here")
    assert run_virtual(run(function)) == Returned(value)


class Unheard(BaseException):
    """What no program should raise."""


@pytest.mark.parametrize(
    "kind",
    [ValueError, SystemExit, GeneratorExit, StopIteration, asyncio.CancelledError, TimeoutError, MemoryError, Unheard],
)
@pytest.mark.parametrize("is_async", [True, False])
def test_function_may_raise_anything(kind: type[BaseException], is_async: bool) -> None:
    async def raises() -> None:
        await asyncio.sleep(0.1)
        raise kind("private")

    def raises_in_its_thread() -> None:
        raise kind("private")

    outcome = run_virtual(run(raises if is_async else raises_in_its_thread))
    assert isinstance(outcome, Raised)
    # A coroutine cannot raise StopIteration: Python makes a RuntimeError of it.
    assert isinstance(outcome.error, RuntimeError if is_async and kind is StopIteration else kind)
    assert outcome.place.startswith(f"{__file__}:") or isinstance(outcome.error, RuntimeError)
    assert "private" not in str(outcome)
    assert outcome.error.__traceback__ is None


def test_interrupt_of_the_operator_is_not_the_functions() -> None:
    async def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_virtual(run(interrupted))


@pytest.mark.parametrize("function", [waits, hides_an_async_one, names_its_thread])
def test_what_cannot_be_used_is_an_error_of_theirs(function: Callable[[], object]) -> None:
    def refuses(value: object) -> str:
        raise LookupError

    outcome = run_virtual(run_author_code(function, refuses, limit_s=5, threads=THREADS))
    assert isinstance(outcome, Raised) and isinstance(outcome.error, LookupError)


# ---- time -----------------------------------------------------------------------------------------------------------


async def hangs() -> None:
    await asyncio.sleep(3600)


async def swallows() -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


async def retries_for_ever() -> None:
    for _ in range(1000):
        try:
            await asyncio.sleep(3600)
        except:  # noqa: E722, S112 - as authors write it
            continue


@pytest.mark.parametrize(
    ("function", "took_s"), [(hangs, 2.0), (lambda: hangs(), 2.0), (swallows, 2.0 + GRACE_S)], ids=["a", "b", "c"]
)
def test_function_is_given_up_at_its_limit(function: Callable[[], object], took_s: float) -> None:
    async def play() -> None:
        outcome = await run(function, limit_s=2.0)
        assert isinstance(outcome, Raised) and isinstance(outcome.error, TimeoutError)
        assert now() == pytest.approx(took_s)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(play())


@pytest.mark.filterwarnings("ignore:coroutine ignored GeneratorExit")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_function_that_will_not_end_is_let_go_of() -> None:
    """Python can only complain of it, and does so at once: nothing keeps it alive."""

    async def play() -> None:
        outcome = await run(retries_for_ever, limit_s=2.0)
        assert isinstance(outcome, Raised) and isinstance(outcome.error, TimeoutError)
        assert now() == pytest.approx(2.0 + GRACE_S)
        await asyncio.sleep(0)
        assert not [one for one in gc.get_objects() if isinstance(one, CoroutineType) and "retries" in one.__name__]

    run_virtual(play())


def test_function_may_clean_up_at_its_limit() -> None:
    ended: list[float] = []

    async def cleans_up() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(GRACE_S / 2)
            ended.append(now())

    async def play() -> None:
        await run(cleans_up, limit_s=2.0)
        assert ended == [pytest.approx(2.0 + GRACE_S / 2)]
        await asyncio.sleep(10)  # nothing comes after

    run_virtual(play())


def test_functions_own_timeouts_are_its_own() -> None:
    async def tries() -> str:
        for _ in range(3):
            try:
                async with asyncio.timeout(GRACE_S * 2):
                    await asyncio.sleep(3600)
            except TimeoutError:
                await asyncio.sleep(GRACE_S)
        return "gave up by itself"

    assert run_virtual(run(tries, limit_s=60)) == Returned("gave up by itself")


def test_cancelled_friend_does_not_end_a_function() -> None:
    async def play() -> str:
        friend: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(1, friend.cancel)
        try:
            await friend
        except asyncio.CancelledError:
            await asyncio.sleep(10 * GRACE_S)
        return "went on"

    assert run_virtual(run(play, limit_s=60)) == Returned("went on")


@pytest.mark.parametrize(("function", "took_s"), [(hangs, 0.0), (swallows, GRACE_S)])
def test_cancellation_of_the_call_passes(function: Callable[[], object], took_s: float) -> None:
    async def play() -> None:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(run(function, limit_s=60))
            await asyncio.sleep(1)
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled()
            assert now() == pytest.approx(1 + took_s)

    run_virtual(play())


# ---- threads --------------------------------------------------------------------------------------------------------


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Hung jobs end with the test."""
    event = threading.Event()
    yield event
    event.set()


async def test_thread_that_hangs_is_not_waited_for(released: threading.Event) -> None:
    """In real time, as the next: a virtual clock would wait for the thread."""
    outcome = await run(lambda: released.wait(60), limit_s=0.1, threads=DaemonThreads("hung"))
    assert isinstance(outcome, Raised) and isinstance(outcome.error, TimeoutError)


async def test_function_without_a_thread_is_not_run(released: threading.Event) -> None:
    ran: list[int] = []
    threads = DaemonThreads("hung", most=1, waiting=1)
    await run(lambda: released.wait(60), limit_s=0.1, threads=threads)
    waited, refused = await asyncio.gather(
        run(lambda: ran.append(1), limit_s=0.1, threads=threads), run(lambda: ran.append(2), threads=threads)
    )
    assert waited == refused == NotRun()
    released.set()
    assert isinstance(await run(lambda: ran.append(3), threads=threads), Returned)
    assert ran == [3]
