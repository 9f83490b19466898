"""Who may ask this process to stop, and how urgently: signals, and for a worker its supervisor.

The first request means: finish the calls at work. The second: end them. The third: leave everything as it is.

A worker hears of requests from its supervisor, a byte each, over a socket that the two share. A signal that reaches it
besides (service managers send one to every process they know of), before the byte or after it, says nothing new: it
is a request only where there was none, and the same one as the supervisor's first.
When the supervisor is gone, the socket is at its end: that is a request too, and from then on signals count again.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

from .supervisor import READY

_MOST_AT_ONCE = 64


class StopRequests:
    """The requests that have come to this process. Make it inside the running loop.

    Args:
        supervisor: the socket shared with the supervisor, if there is one.
    """

    def __init__(self, supervisor: socket.socket | None = None) -> None:
        self._supervisor = supervisor
        self._loop = asyncio.get_running_loop()
        self._count = 0
        self._told = 0  # how many of them the supervisor has passed on
        self._first = asyncio.Event()
        self._on_second: Callable[[], object] | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._signalled)
        if supervisor is not None:
            supervisor.setblocking(False)
            self._loop.add_reader(supervisor, self._heard, supervisor)

    def answering(self) -> None:
        """Tell the supervisor, if there is one, that this process serves from now on."""
        if self._supervisor is not None:
            with suppress(OSError):  # it is gone, which is heard in its turn
                self._supervisor.send(READY)

    async def first(self) -> None:
        """Wait until somebody asks."""
        await self._first.wait()

    def on_second(self, act: Callable[[], object]) -> None:
        """Have the second request do this; if it has come already, it is done now."""
        self._on_second = act
        if self._count > 1:
            act()

    def _signalled(self) -> None:
        if self._supervisor is None or self._count == 0:
            self._ask()

    def _heard(self, supervisor: socket.socket) -> None:
        try:
            heard = supervisor.recv(_MOST_AT_ONCE)
        except BlockingIOError:
            return
        except OSError:  # it was killed with something of ours unread
            heard = b""
        for _ in heard:
            self._told += 1
            if self._told > self._count:
                self._ask()
        if not heard:
            self._loop.remove_reader(supervisor)
            self._supervisor = None
            if self._count == 0:
                self._ask()

    def _ask(self) -> None:
        self._count += 1
        if self._count == 1:
            self._first.set()
        elif self._count == 2:
            if self._on_second is not None:
                self._on_second()
        else:
            raise SystemExit(1)
