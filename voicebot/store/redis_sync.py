"""Waits until what Redis has answered survives a crash of its machine.

A server of 7.2 or newer can be asked to wait until its append-only file is on its disk (WAITAOF); with `appendfsync
everysec` that takes up to a second. So it is asked on a connection of its own, on which nothing else has to wait, and
once for all who wait: WAITAOF is about this connection's last write, but the file is written in the order of all
writes, so a small write here stands for everything before it. An older server answers after it has written to the
file, and there is nothing to ask.

With Sentinel a replica may become the primary at any time. A replica is waited for too, shortly, and gone without if
none answers: a lost replica must not stop the calls.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from voicebot.errors import StoreError

from .redis_address import RedisAddress
from .redis_errors import RedisTroubleError
from .redis_link import RedisLink
from .redis_program import Command, operation
from .redis_values import items, number
from .retries import retry_delay_s

FILE_S = 2.0
REPLICA_S = 0.2
ROUND_LIMIT_S = 6.0  # with a round of others before it
REPLICA_REST_S = 5.0  # how long we go without asking for a replica that did not answer


class RedisSync:
    """Rounds of waiting. Its methods are called from the event loop it was made in."""

    def __init__(self, address: RedisAddress, executor: ThreadPoolExecutor) -> None:
        self._address, self._executor = address, executor
        self._link = RedisLink(address, answer_s=FILE_S + REPLICA_S + 1.0)
        self._loop = asyncio.get_running_loop()
        self._waiting: list[asyncio.Future[None]] = []
        self._round: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._failures = 0
        self._problem = ""
        self._no_replica_until = 0.0

    @property
    def healthy(self) -> bool:
        return self._failures == 0

    async def wait(self) -> None:
        """Returns when all that was answered before is safe.

        Raises:
            StoreError: it is not, in time; or the last round found out so, and another is still to try.
        """
        if self._failures:
            raise StoreError(self._problem)
        done: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(done)
        self._start()
        try:
            async with asyncio.timeout(ROUND_LIMIT_S):
                await done
        except TimeoutError as exc:
            raise StoreError(f"{self._address}: has not answered for {ROUND_LIMIT_S:g} s (see to the network)") from exc

    async def close(self) -> None:
        while self._round is not None:
            await asyncio.wait([self._round])
        if self._timer is not None:
            self._timer.cancel()
        await self._loop.run_in_executor(self._executor, self._link.close)

    def _start(self) -> None:
        if self._round is not None:
            return  # began before; its end starts the next one
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        self._round = self._loop.run_in_executor(self._executor, self._wait)
        self._round.add_done_callback(partial(self._waited, waiting))

    def _waited(self, waiting: list[asyncio.Future[None]], round_: asyncio.Future[None]) -> None:
        self._round = None
        error = round_.exception()
        if error is None:
            self._failures = 0
        else:
            self._failures += 1
            self._problem = str(error)
            waiting, self._waiting = [*waiting, *self._waiting], []
            self._timer = self._loop.call_later(retry_delay_s(self._failures), self._start)
        for done in waiting:
            if done.done():
                continue  # its caller was cancelled
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(StoreError(self._problem))
        if self._waiting:
            self._start()

    # ---- on the thread --------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        file, replicas = self._link.attempt(self._ask)
        if replicas == 0:
            self._no_replica_until = time.monotonic() + REPLICA_REST_S
        if file == 0:
            problem = f"its append-only file was not on its disk within {FILE_S:g} s"
            mend = "see to its disk, and set appendfsync always"
            raise RedisTroubleError(f"{self._address}: {problem} ({mend})")

    def _ask(self) -> tuple[int | None, int | None]:
        """How many files and replicas have everything; None for what was not asked."""
        commands: list[Command] = [operation("mark")]
        file = replicas = None
        if self._link.server().tells_when_safe:
            commands.append(("WAITAOF", 1, 0, int(FILE_S * 1000)))
        if self._address.service is not None and time.monotonic() >= self._no_replica_until:
            commands.append(("WAIT", 1, int(REPLICA_S * 1000)))
        for command, reply in zip(commands, self._link.run(commands), strict=True):
            if isinstance(reply, StoreError):
                raise reply
            if command[0] == "WAITAOF":
                file = number(items(reply)[0])
            elif command[0] == "WAIT":
                replicas = number(reply)
        return file, replicas
