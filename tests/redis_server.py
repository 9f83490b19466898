"""A real Redis of the test's own: on loopback, with its append-only file in a folder of the test."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

START_S = 60.0  # a loaded machine; it takes a twentieth of a second on an idle one


def server_program(name: str = "redis-server") -> str:
    """The program's path; skips the test where it is not installed."""
    if (found := shutil.which(name)) is None:
        pytest.skip(f"install {name}")
    return found


class RedisServer:
    """`redis-server` with `options` (as on its command line), which is started, killed, stopped and started again."""

    def __init__(self, folder: Path, *options: str, sentinel: bool = False) -> None:
        self.folder, self.options, self.sentinel = folder, options, sentinel
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Returns once it answers; after the first time it keeps its port."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tries = 1 if self.port else 5  # another program may take the free port before the server does
        for _ in range(tries):
            port = self.port or _free_port()
            self.process = subprocess.Popen(self._command(port), cwd=self.folder, stdout=subprocess.DEVNULL)
            if self._answers(port):
                self.port = port
                return
        raise RuntimeError(f"no Redis came up; its log is in {self.folder}")

    def kill(self) -> None:
        """As a crash does: SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """In order, if it runs."""
        if self.process is not None:
            self.resume()
            self._end(signal.SIGTERM)

    def pause(self) -> None:
        """It is there, but does not answer."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def run(self, *command: str | bytes | int) -> object:
        """A command's answer, on a connection of its own."""
        with self.client() as client:
            return client.execute_command(*command)

    def fact(self, name: str) -> int:
        """A number that it knows of itself, by its name in INFO."""
        with self.client() as client:
            return int(client.info("everything")[name])

    def client(self) -> redis.Redis:
        """The library's own, to look at what is there; a Sentinel may cut it off."""
        return redis.Redis(port=self.port, protocol=2, retry=Retry(ConstantBackoff(0.05), 5))

    def _end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(START_S)
        self.process = None

    def _command(self, port: int) -> list[str]:
        program = server_program()
        always = ["--port", str(port), "--bind", "127.0.0.1", "--logfile", f"{port}.log"]
        # Where there is setpriv, a test run that is killed takes its servers along.
        with_us = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        if self.sentinel:
            return [*with_us, program, "sentinel.conf", "--sentinel", *always, *self.options]
        kept = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        return [*with_us, program, *always, *kept, *self.options]

    def _answers(self, port: int) -> bool:
        assert self.process is not None
        deadline = time.monotonic() + START_S
        while self.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
                connection.sendall(b"PING\r\n")
                if not connection.recv(100).startswith(b"-LOADING"):  # -NOAUTH is an answer too
                    return True
            time.sleep(0.01)
        return False


def _free_port() -> int:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        port: int = some.getsockname()[1]
        return port
