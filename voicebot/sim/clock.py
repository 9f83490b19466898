"""An event loop whose time is virtual, so that an hour of calls takes seconds and repeats exactly.

Code above it runs unchanged: sleeps, timeouts, threads, aiohttp and websockets. `time()` stands still while anything
can go on without it, and then jumps to the next timer:

1. callbacks are ready (bytes under way are callbacks too, see `memory_transport`) → run them;
2. a thread works for the loop (`run_in_executor`, `to_thread`) → really wait for it, then hand over its result;
3. a timer is set → jump to it;
4. nothing at all → the program can never go on: a RuntimeError names the tasks that wait.

Results of threads are handed over in the order in which the jobs were given, and only when nothing else is ready: how
fast the machine is does not change what happens. A job that waits for the loop to pass time therefore waits for ever.
"""

from __future__ import annotations

import asyncio
import errno
import selectors
import socket
import ssl as tls
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import CoroutineType
from typing import IO, NoReturn, TypeVar, TypeVarTuple, Unpack

from .memory_net import AddressInfo, MemoryNetwork, MemoryServer, ProtocolT, resolve
from .memory_transport import MemoryTransport

CLEANUP_LIMIT_S = 600.0  # virtual time that cancelled tasks may take to clean up once the limit has passed
TURNS_UNPOLLED = 50  # turns that a busy loop makes without a system call
TASKS_NAMED = 20  # of those that wait, in an error's text

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def run_virtual(main: Coroutine[object, object, T], *, limit_s: float = 36_000) -> T:
    """Run a coroutine as `asyncio.run` does, on a `VirtualLoop` that begins at time 0.

    Raises:
        TimeoutError: `limit_s` of virtual time passed; the text names the tasks that still waited.
        RuntimeError: a deadlock: `main` is not done and nothing is left to happen.
    """
    started: list[asyncio.Task[object]] = []
    outcome: list[T] = []  # not the task's: `Runner` has a repr made of the task at its end, and so of all it returned

    async def begin() -> None:
        started.extend(filter(None, [asyncio.current_task()]))
        outcome.append(await main)

    with asyncio.Runner(loop_factory=partial(VirtualLoop, limit_s=limit_s)) as runner:
        try:
            runner.run(begin())
        finally:
            if unfinished := [task for task in started if not task.done()]:
                runner.run(_end(unfinished))
    return outcome[0]


async def _end(tasks: list[asyncio.Task[object]]) -> None:
    """Cancel `main` alone, after a deadlock or at the limit: it ends its own tasks, in its own order."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def wall_clock(loop_start_wall: datetime) -> Callable[[], datetime]:
    """A clock for code in a `VirtualLoop`: aware UTC times that advance with the running loop's `time()`.

    Args:
        loop_start_wall: the wall time at which the loop's time is 0; aware.
    """
    if loop_start_wall.tzinfo is None:
        raise ValueError("loop_start_wall must have a time zone")
    start = loop_start_wall.astimezone(UTC)
    return lambda: start + timedelta(seconds=asyncio.get_running_loop().time())


class _Selector(selectors.DefaultSelector):
    """Polls for real; where the loop would sleep it asks `on_idle`, which says whether to really wait.

    While callbacks are ready it polls only now and then: nothing but signals and threads comes from outside.
    """

    def __init__(self, on_idle: Callable[[], bool]) -> None:
        super().__init__()
        self._on_idle = on_idle
        self._unpolled = 0  # turns of the loop since the last poll

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        busy = timeout is not None and timeout <= 0
        if busy and self._unpolled < TURNS_UNPOLLED:
            self._unpolled += 1
            return []
        self._unpolled = 0
        events = super().select(0)  # a signal that came must not be overtaken by a jump of the time
        if events or busy:
            return events
        return super().select(None) if self._on_idle() else []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with virtual time and, instead of TCP, connections in memory on 127.0.0.1.

    No code in it can reach another host: connecting raises an OSError at once. There is no TLS and no datagram.
    Signal handlers work. Threads of one's own are not seen: let them work within `hold_time()`.
    """

    _scheduled: list[asyncio.TimerHandle]  # asyncio's heap of timers: the head is the next one

    def __init__(self, *, limit_s: float = float("inf")) -> None:
        self._now_s = 0.0
        self._limit_s = limit_s
        self._holds = 0
        self._jobs: deque[Callable[[], bool]] = deque()  # each hands its result over and says True once it has one
        super().__init__(_Selector(self._on_idle))
        self._clock_resolution = 1e-9
        self._network = MemoryNetwork(self)

    def time(self) -> float:
        return self._now_s

    @contextmanager
    def hold_time(self) -> Iterator[None]:
        """Let no virtual time pass meanwhile; the loop really waits to be woken by `call_soon_threadsafe`."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1

    def _on_idle(self) -> bool:
        """Nothing is ready: hand over a thread's result, or jump to the next timer; True asks to really wait."""
        if self._jobs and self._jobs[0]():
            self._jobs.popleft()
            return False
        if self._jobs or self._holds:
            return True
        self._jump()
        return False

    def _jump(self) -> None:
        if not self._scheduled:
            raise RuntimeError(f"deadlock at {self._now_s:.3f} s: nothing is left to happen. {_waiting(self)}")
        due = self._scheduled[0].when()
        if due > self._limit_s:
            limit_s, self._limit_s = self._limit_s, self._limit_s + CLEANUP_LIMIT_S
            raise TimeoutError(f"not done after {limit_s:.3f} s of virtual time. {_waiting(self)}")
        self._now_s = max(self._now_s, due)

    # ---- threads ---------------------------------------------------------------------------------------------------

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        answer: asyncio.Future[T] = self.create_future()
        # The inner future cannot be cancelled from outside, so a job counts until its thread is done with it.
        work = super().run_in_executor(executor, _unless_cancelled, answer, func, *args)
        self._jobs.append(partial(_hand_over, work, answer))
        return answer

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        with self.hold_time():
            await super().shutdown_default_executor()

    # ---- network ---------------------------------------------------------------------------------------------------

    def set_latency(self, port: int, *, to_server_s: float = 0.0, to_client_s: float = 0.0) -> None:
        """Delay what is written from now on to and from the server on `port`; order is kept.

        A new connection takes one round trip.
        """
        latency = self._network.latency(port)
        latency.to_server_s, latency.to_client_s = to_server_s, to_client_s

    async def create_server(  # type: ignore[override]  # `asyncio.Server` can only be made of sockets
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        *,
        sock: socket.socket | None = None,
        ssl: tls.SSLContext | bool | None = None,
        start_serving: bool = True,
        **_options: object,
    ) -> MemoryServer:
        _refuse_tls(ssl)
        server = self._network.listen(protocol_factory, host, port, sock)
        if start_serving:
            await server.start_serving()
        return server

    async def create_connection(
        self,
        protocol_factory: Callable[[], ProtocolT],
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: tls.SSLContext | bool | None = None,
        sock: socket.socket | None = None,
        **_options: object,
    ) -> tuple[MemoryTransport, ProtocolT]:
        _refuse_tls(ssl)
        if sock is not None:
            return await self._network.take(protocol_factory, sock)
        if host is None or port is None:
            raise ValueError("host and port, or sock, must be given")
        return await self._network.connect(protocol_factory, host, port)

    async def sock_connect(self, sock: socket.socket, address: object) -> None:
        await self._network.sock_connect(sock, address)

    async def getaddrinfo(  # type: ignore[override]  # the base's list may hold IPv6 too
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[AddressInfo]:
        return resolve(host, port)

    async def getnameinfo(
        self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int = 0
    ) -> tuple[str, str]:
        return sockaddr[0], str(sockaddr[1])

    async def sendfile(
        self,
        transport: asyncio.WriteTransport,
        file: IO[bytes],
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool = True,
    ) -> int:
        file.seek(offset)
        content = file.read(-1 if count is None else count)
        transport.write(content)
        return len(content)

    async def start_tls(self, *_arguments: object, **_options: object) -> None:
        _refuse_tls(True)

    async def create_datagram_endpoint(self, *_arguments: object, **_options: object) -> NoReturn:
        raise OSError(errno.ENETUNREACH, "the twin has no network: no datagrams")

    async def create_unix_connection(self, *_arguments: object, **_options: object) -> NoReturn:
        raise OSError(errno.ENETUNREACH, "the twin has no Unix sockets: connect to 127.0.0.1")

    async def create_unix_server(self, *_arguments: object, **_options: object) -> NoReturn:
        raise OSError(errno.EADDRNOTAVAIL, "the twin has no Unix sockets: listen on 127.0.0.1")


def _refuse_tls(ssl: tls.SSLContext | bool | None) -> None:
    if ssl:
        raise tls.SSLError("the twin's network has no TLS: use http:// and ws://")


def _unless_cancelled(answer: asyncio.Future[T], func: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
    """Runs in the thread: a job that was cancelled before its turn is not begun."""
    if answer.cancelled():
        raise asyncio.CancelledError
    return func(*args)


def _hand_over(work: asyncio.Future[T], answer: asyncio.Future[T]) -> bool:
    """Copy a thread's outcome to the future that the program waits for; False while there is none."""
    if not work.done():
        return False
    error = None if work.cancelled() else work.exception()  # looked at in any case, or asyncio logs it as lost
    if answer.done():
        return True
    if work.cancelled():
        answer.cancel()
    elif error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(work.result())
    return True


def _waiting(loop: asyncio.AbstractEventLoop) -> str:
    """The unfinished tasks and the lines they wait at, outermost first."""
    lines = sorted(f"{task.get_name()} ({_place(task)})" for task in asyncio.all_tasks(loop))
    if len(lines) > TASKS_NAMED:
        lines[TASKS_NAMED:] = [f"and {len(lines) - TASKS_NAMED} more"]
    return "Still waiting: " + "; ".join(lines or ["no task"])


def _place(task: asyncio.Task[object]) -> str:
    frames = []
    awaited: object = task.get_coro()
    while isinstance(awaited, CoroutineType) and awaited.cr_frame is not None:
        frame = awaited.cr_frame
        frames.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}")
        awaited = awaited.cr_await
    return " > ".join(frames) or "not a coroutine"
