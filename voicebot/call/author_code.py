"""Running functions of a flow's author: bounded in time and in threads, whatever they raise and however they hang.

Theory of operation. An async function runs on the loop, in the task of whoever runs it. At its limit, or when the call
is over, it is cancelled; if it goes on all the same, as a bare `except:` in a loop of retries makes it, it is let go of
after `GRACE_S`: nobody drives it any more. A sync function runs in a daemon thread. No thread can be stopped, so at the
limit it is only not waited for any longer. What a sync function returns may be awaitable, as with a decorator that
hides an async one; then it is awaited on the loop, within the same limit.

They may raise anything, `SystemExit` too, and it comes back as a value. Only a cancellation of the task that runs them
passes, and a `KeyboardInterrupt` on the loop, which is nobody's but the operator's.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import traceback
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Full
from types import TracebackType
from typing import Any, Generic, TypeVar

from .daemon_threads import DaemonThreads

T = TypeVar("T")
Argument = TypeVar("Argument")

GRACE_S = 0.5
_NOT_THEIRS = (str(Path(__file__).parent), str(Path(asyncio.__file__).parent))


@dataclass(frozen=True, slots=True)
class Returned(Generic[T]):
    """It came back with this."""

    value: T


@dataclass(frozen=True, slots=True)
class Raised:
    """It raised this; a `TimeoutError` also stands for its limit having passed.

    Attributes:
        error: without its traceback, which keeps alive whatever the author's code was about.
        place: `prices.py:12`, the line of the author's function, or nothing.
    """

    error: BaseException
    place: str

    def __str__(self) -> str:
        """`ZeroDivisionError at prices.py:12`: without the words, which may be private."""
        return f"{type(self.error).__name__}{self.place and f' at {self.place}'}"


@dataclass(frozen=True, slots=True)
class NotRun:
    """No thread was free for it in time: it has not begun, and will not."""


Outcome = Returned[T] | Raised | NotRun


async def run_author_code(
    function: Callable[[], object], then: Callable[[object], T], *, limit_s: float, threads: DaemonThreads
) -> Outcome[T]:
    """Call `function`, and `then` with what it came to, where that was and within its time.

    Args:
        function: takes nothing; sync or async.
    """
    task = asyncio.current_task()
    assert task is not None
    cancelled_before = task.cancelling()
    in_thread = None if inspect.iscoroutinefunction(function) else _InThread(function, then)
    try:
        async with asyncio.timeout(limit_s):
            found = await in_thread.run(threads) if in_thread is not None else _Later(function())
            return Returned(then(await _Driven(found.awaited()))) if isinstance(found, _Later) else found
    except Full:
        return NotRun()
    except asyncio.CancelledError as exc:
        if task.cancelling() > cancelled_before:
            raise
        return _raised(exc)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # noqa: BLE001 - the author's code may raise anything, and whoever asked is told
        given_up = isinstance(exc, TimeoutError) and in_thread is not None and not in_thread.begun
        return NotRun() if given_up else _raised(exc)


def _raised(error: BaseException) -> Raised:
    lines = ((frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__))
    place = next((f"{file}:{line}" for file, line in lines if not file.startswith(_NOT_THEIRS)), "")
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return Raised(error, place)


@dataclass(frozen=True, slots=True)
class _Later:
    """What can only be had by awaiting it on the loop."""

    awaitable: object

    async def awaited(self) -> object:
        return await self.awaitable if inspect.isawaitable(self.awaitable) else self.awaitable


class _InThread(Generic[T]):
    """One call of a sync function. `begun` is set once a thread has taken it up."""

    def __init__(self, function: Callable[[], object], then: Callable[[object], T]) -> None:
        self._function, self._then = function, then
        self.begun = False

    async def run(self, threads: DaemonThreads) -> Outcome[T] | _Later:
        """Have a thread do it; raises `queue.Full`."""
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(threads, context.run, self._work)

    def _work(self) -> Outcome[T] | _Later:
        self.begun = True
        try:
            value = self._function()
            return _Later(value) if inspect.isawaitable(value) else Returned(self._then(value))
        except BaseException as exc:  # noqa: BLE001 - a value carries what a future cannot, as a StopIteration
            return _raised(exc)


class _Driven(Generator[object, None, object]):
    """Awaits a coroutine of the author's for the task that awaits this, and lets go of one that heeds no cancellation.

    It stands between the task and the coroutine and hands on what goes either way, until a cancellation of the task
    has not ended the coroutine within `GRACE_S`. Cancellations that the author's code makes and takes back itself, as
    `asyncio.timeout` does, do not count.
    """

    def __init__(self, coroutine: Coroutine[object, None, object]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelled_before = task, task.cancelling()
        self._coroutine = coroutine
        self._steps: Generator[object, None, object] = coroutine.__await__()
        self._patience: asyncio.TimerHandle | None = None
        self._let_go = False

    def __await__(self) -> Generator[object, None, object]:
        return self

    def __next__(self) -> object:
        return self._step(self._steps.send, None)

    def send(self, value: None) -> object:
        """As of a generator."""
        return self._step(self._steps.send, value)

    def throw(self, kind: Any, value: Any = None, trace: TracebackType | None = None) -> object:
        """As of a generator, in either form."""
        error: BaseException = value or (kind if isinstance(kind, BaseException) else kind())
        if isinstance(error, asyncio.CancelledError) and self._cancelled:
            if self._let_go:
                self._task.uncancel()  # ours; the one that was not heeded still counts
                self.close()
                try:
                    raise error
                finally:
                    del error, kind, value, self  # the traceback holds this frame
            if self._patience is None:
                self._patience = self._task.get_loop().call_later(GRACE_S, self._insist)
        return self._step(self._steps.throw, error)

    def close(self) -> None:
        """As of a generator; a coroutine that refuses to end is left as it is."""
        if self._patience is not None:
            self._patience.cancel()
        with suppress(Exception):
            self._coroutine.close()

    @property
    def _cancelled(self) -> bool:
        return self._task.cancelling() > self._cancelled_before

    def _insist(self) -> None:
        self._patience = None
        if self._cancelled:
            self._let_go = True
            self._task.cancel()

    def _step(self, advance: Callable[[Argument], object], argument: Argument) -> object:
        goes_on = False
        try:
            waits_for = advance(argument)
            goes_on = True
            return waits_for
        finally:
            if not goes_on and self._patience is not None:
                self._patience.cancel()
