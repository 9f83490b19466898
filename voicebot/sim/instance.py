"""A real `voicebot serve`, as a process of its own that can be killed, stopped and started again.

One with several workers is an `Instance` whose `Worker`s can be killed one by one; the supervisor starts them again.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp

from voicebot.errors import ScenarioError

START_LIMIT_S = 60.0  # a machine may be busy
EXIT_LIMIT_S = 60.0
LOOK_EVERY_S = 0.05
LOG_LIMIT_S = 60.0
_WORKER = re.compile(r"worker (\d+) is process (\d+)")
_LISTENS = re.compile(r"listening on http://127\.0\.0\.1:(\d+), known to Twilio as ")


class Instance:
    """One server. It runs from `start` until it is killed or has stopped by itself, and may be started again.

    Args:
        name: what it is called in stream addresses.
        folder: its working directory.
        environment: all its variables.
        tasks: where its log is read.
        arguments: of `voicebot serve`, besides the port.
        fixed_port: where it listens, for a proxy that knows; 0: another free one after each start.

    Attributes:
        port: where it listens now; 0 before the first start.
        log: every line that it logged, over all its lives.
        starts: how often it was started.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        environment: Mapping[str, str],
        tasks: asyncio.TaskGroup,
        *,
        arguments: Sequence[str] = (),
        fixed_port: int = 0,
    ) -> None:
        self.name, self.port, self.starts = name, 0, 0
        self.log: list[str] = []
        self._folder, self._environment, self._tasks = folder, dict(environment), tasks
        self._arguments, self._fixed_port = tuple(arguments), fixed_port
        self._process: Process | None = None
        self._news = asyncio.Condition()  # a line was logged, or its log has ended
        self._reading = False

    @property
    def pid(self) -> int:
        """The process's id.

        Raises:
            ScenarioError: it was never started.
        """
        return self._living().pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, limit_s: float = START_LIMIT_S) -> None:
        """Start it, and return when it answers.

        Raises:
            ScenarioError: it ended at once; the text is its log.
            TimeoutError: it does not listen within `limit_s`.
        """
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "voicebot", "serve", "--port", str(self._fixed_port), *self._arguments),
            cwd=self._folder,
            env=self._environment,
            stderr=PIPE,
            start_new_session=True,  # a group of its own, so that its workers go with it at the end
        )
        self.starts += 1
        first, self._reading = len(self.log), True
        self._tasks.create_task(self._read_log(self._process), name=f"log of {self.name}")
        async with asyncio.timeout(limit_s), self._news:
            await self._news.wait_for(lambda: not self._reading or self._listens(first) is not None)
        port = self._listens(first)
        if port is None:
            raise ScenarioError(f"{self.name} did not start:\n{''.join(self.log[first:])}")
        self.port = port

    async def restart(self) -> None:
        """Let it stop in order, as for a new version, and start it again."""
        self.terminate()
        await self.exited()
        await self.start()

    def kill(self) -> None:
        """End it without a chance to do anything (SIGKILL); one that is gone already is left alone."""
        self.send(signal.SIGKILL)

    def kill_all(self) -> None:
        """End it and every process that it started, also if it is gone and they are not."""
        if not self._reading:  # nobody holds its log open
            return
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for found in filter(None, map(_WORKER.search, self.log)):  # each in a group of its own, all in one session
            with suppress(ProcessLookupError):
                if os.getsid(int(found[2])) == self.pid:
                    os.kill(int(found[2]), signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to stop (SIGTERM)."""
        self.send(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self.running:
            with suppress(ProcessLookupError):
                self._living().send_signal(number)

    async def exited(self, within_s: float = EXIT_LIMIT_S) -> int:
        """Wait until it is gone and its log is read to the end; returns the exit code, minus the signal's number.

        Raises:
            TimeoutError: it is still there.
        """
        async with asyncio.timeout(within_s), self._news:
            await self._news.wait_for(lambda: not self._reading)
            return await self._living().wait()

    async def logged(self, text: str, within_s: float = LOG_LIMIT_S) -> None:
        """Wait until it has logged this.

        Raises:
            TimeoutError: it has not.
        """
        async with asyncio.timeout(within_s), self._news:
            await self._news.wait_for(lambda: text in "".join(self.log))

    async def get(self, path: str) -> tuple[int, str]:
        """Ask it something by HTTP; returns the status and the body."""
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{self.port}{path}") as answer:
            return answer.status, await answer.text()

    def _living(self) -> Process:
        if self._process is None:
            raise ScenarioError(f"{self.name} was never started")
        return self._process

    def _listens(self, first: int) -> int | None:
        found = next(filter(None, map(_LISTENS.search, self.log[first:])), None)
        return int(found[1]) if found else None

    async def _read_log(self, process: Process) -> None:
        """Read on until the process and its children are gone."""
        assert process.stderr is not None
        while line := await process.stderr.readline():
            async with self._news:
                self.log.append(line.decode(errors="replace"))
                self._news.notify_all()
        await process.wait()
        async with self._news:
            self._reading = False
            self._news.notify_all()


class Worker:
    """One of an instance's processes, number `number` from 1 on; it has a port of its own besides the common one."""

    def __init__(self, instance: Instance, number: int) -> None:
        self.name = f"{instance.name}-{number}"
        self._instance, self._number = instance, number

    @property
    def port(self) -> int:
        return self._instance.port + self._number

    @property
    def pids(self) -> list[int]:
        """The process's id in each of its lives, the present one last."""
        found = map(_WORKER.search, self._instance.log)
        return [int(one[2]) for one in found if one is not None and int(one[1]) == self._number]

    def kill(self) -> None:
        """End it without a chance to do anything (SIGKILL)."""
        with suppress(ProcessLookupError):
            os.kill(self.pids[-1], signal.SIGKILL)

    async def back(self, pid: int = 0, within_s: float = START_LIMIT_S) -> None:
        """Wait until it answers, as another process than `pid`.

        Raises:
            TimeoutError: it does not.
        """
        async with aiohttp.ClientSession() as http:
            for _ in range(int(within_s / LOOK_EVERY_S)):
                if self.pids[-1:] not in ([], [pid]) and await self._answers(http):
                    return
                await asyncio.sleep(LOOK_EVERY_S)
        raise TimeoutError(f"worker {self.name} does not answer")

    async def _answers(self, http: aiohttp.ClientSession) -> bool:
        try:
            async with http.get(f"http://127.0.0.1:{self.port}/readyz"):
                return True
        except aiohttp.ClientConnectionError:
            return False
