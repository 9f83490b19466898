"""`voicebot serve --workers N`: starts the workers, starts again who dies, and stops them all together.

The port is opened once, here; the workers inherit it and accept from its one queue, so that no connection is lost when
one of them is killed, and none is refused while it is started again. Worker k also listens on the k-th port after it,
so that a proxy can bring a stream to the worker that its address names. That port closes with the worker, and the proxy
turns to another.

Each worker shares a socket with this process. It writes there when it answers, and reads there that it is to stop
(`stopping`). When either process dies, the other one sees the end of it, whatever killed the first.

This process imports nothing that serves a call. It waits for signals and sockets, and wakes up for nothing else.
"""

from __future__ import annotations

import logging
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from voicebot.errors import SettingsError
from voicebot.log_events import named

from . import sockets
from .crew import AskToStop, Crew, Effect, Stage, StartWorker, TerminateWorker
from .logs import configure_logging

log = logging.getLogger(__name__)

READY = b"r"  # worker to supervisor: it answers
REQUEST = b"s"  # supervisor to worker: stop
_CANNOT_START = 2


def supervise(host: str, port: int, workers: int, *, log_form: str = "auto") -> int:
    """Serve with several processes until SIGTERM or SIGINT, and return the exit code of the whole.

    The first signal lets the workers finish their calls, the second one ends the calls.

    Raises:
        SettingsError: a port cannot be had: `port`, or one of those after it, one for each worker; or no folder for
            their sockets.
    """
    configure_logging(log_form)
    shared, *own = sockets.listen_in_row(host, port, workers + 1)
    with _Signals() as signals, _meeting() as meeting:
        return _Supervisor(host, shared, own, signals, meeting).run()


def _meeting() -> tempfile.TemporaryDirectory[str]:
    """A folder that only we can enter, where the workers tell each other their metrics."""
    try:
        return tempfile.TemporaryDirectory(prefix="voicebot-", ignore_cleanup_errors=True)
    except OSError as exc:
        problem = f"no folder for the workers' sockets can be made: {exc.strerror}"
        raise SettingsError("TMPDIR", problem, "Name a folder that can be written to.") from exc


def command() -> list[str]:
    """How this program was started, without what stood after its name: with the same options of the interpreter."""
    start = len(sys.orig_argv) - len(sys.argv) + 1
    if sys.orig_argv[start:] == sys.argv[1:]:
        return [sys.executable, *sys.orig_argv[1:start]]
    return [sys.executable, "-m", "voicebot"]


class _Signals:
    """Signals that wait to be read from `socket`. Leaves the handlers as they were found."""

    NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

    def __enter__(self) -> _Signals:
        self.socket, self._writing = socket.socketpair()
        for one in (self.socket, self._writing):
            one.setblocking(False)
        self._before = {number: signal.signal(number, lambda *_: None) for number in self.NUMBERS}
        self._woken = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._woken)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        sockets.close([self.socket, self._writing])

    def read(self) -> list[int]:
        """Those that have come since."""
        try:
            return list(self.socket.recv(4096))
        except BlockingIOError:
            return []


@dataclass(frozen=True)
class _Worker:
    process: subprocess.Popen[bytes]
    link: socket.socket


class _Supervisor:
    """The processes of a crew."""

    def __init__(
        self,
        host: str,
        shared: list[socket.socket],
        own: Sequence[list[socket.socket]],
        signals: _Signals,
        meeting: str,
    ) -> None:
        """
        Args:
            shared: what all workers listen on.
            own: what each of them listens on besides.
            meeting: a folder where they tell each other their metrics.
        """
        self._meeting = meeting
        self._host, self._shared, self._signals = host, shared, signals
        self._port = int(shared[0].getsockname()[1])
        self._own = dict(enumerate(own, 1))  # until the worker is started
        self._crew = Crew(len(own))
        self._workers: dict[int, _Worker] = {}
        self._unstarted: list[int] = []  # whose process could not even be made
        self._selector = selectors.DefaultSelector()
        self._selector.register(signals.socket, selectors.EVENT_READ)

    def run(self) -> int:
        """Until the last worker has ended."""
        self._perform(self._crew.begin(time.monotonic()))
        while not self._crew.over:
            self._wait()
            self._perform(self._crew.on_deadline(time.monotonic()))
        return self._crew.exit_code

    def _wait(self) -> None:
        """Wait for something to happen, and see to it."""
        if self._unstarted:
            self._died(self._unstarted.pop(), _CANNOT_START)
            return
        deadline = self._crew.deadline()
        ready = self._selector.select(None if deadline is None else max(deadline - time.monotonic(), 0.0))
        for number in [key.data for key, _ in ready if key.data is not None]:
            self._listen_to(number)
        for number in self._signals.read():
            if number == signal.SIGCHLD:
                self._bury()
            else:
                self._stop()

    def _listen_to(self, number: int) -> None:
        """A worker says that it is ready; or it has closed its side, and its death will be signalled."""
        link = self._workers[number].link
        try:
            heard = link.recv(16)
        except BlockingIOError:
            return
        except OSError:
            heard = b""
        if READY in heard:
            self._perform(self._crew.on_ready(number, time.monotonic()))
            if self._crew.stage is Stage.SERVING:
                log.info(
                    "%d of %d workers answer on port %d",
                    self._crew.answering,
                    self._crew.size,
                    self._port,
                    extra=named("workers_answering"),
                )
        elif not heard and link in self._selector.get_map():
            self._selector.unregister(link)

    def _stop(self) -> None:
        again = self._crew.stage is Stage.STOPPING
        log.info(
            "stopping: %s",
            "the calls are ended" if again else "no new calls; a second signal ends those at work",
            extra=named("stopping"),
        )
        self._perform(self._crew.on_stop())

    def _bury(self) -> None:
        for number, worker in list(self._workers.items()):
            if worker.process.poll() is None:
                continue
            self._listen_to(number)  # what it still said
            if worker.link in self._selector.get_map():
                self._selector.unregister(worker.link)
            worker.link.close()
            del self._workers[number]
            self._died(number, worker.process.returncode)

    def _died(self, number: int, returned: int) -> None:
        now = time.monotonic()
        stage = self._crew.stage
        effects = self._crew.on_died(number, returned, now)
        pause_s = self._crew.pause_s(number, now)
        if stage is Stage.STOPPING:
            log.info("worker %d has ended: %s", number, _end(returned), extra=named("worker_ended"))
        elif self._crew.stage is Stage.STOPPING:
            log.error("worker %d could not start: %s", number, _end(returned), extra=named("worker_not_started"))
        elif pause_s:
            log.error(
                "worker %d has died: %s; it is started again in %.0f s",
                number,
                _end(returned),
                pause_s,
                extra=named("worker_died"),
            )
        else:
            log.error("worker %d has died: %s", number, _end(returned), extra=named("worker_died"))
        self._perform(effects)

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case StartWorker(number):
                    self._start(number)
                case AskToStop(number):
                    self._ask(self._workers[number])
                case TerminateWorker(number) if number in self._workers:
                    self._ask(self._workers[number])  # which counts, should it just have begun to answer
                    self._workers[number].process.terminate()

    def _ask(self, worker: _Worker) -> None:
        try:
            worker.link.send(REQUEST)
        except OSError as exc:  # it is about to end by itself
            log.info(
                "process %d is not reached any more: %s",
                worker.process.pid,
                exc.strerror,
                extra=named("worker_unreachable"),
            )

    def _start(self, number: int) -> None:
        try:
            self._workers[number] = worker = self._started(number)
        except (OSError, SettingsError) as exc:
            log.error("worker %d: %s", number, exc, extra=named("worker_not_started"))
            self._unstarted.append(number)
            return
        self._selector.register(worker.link, selectors.EVENT_READ, number)
        log.info("worker %d is process %d", number, worker.process.pid, extra=named("worker_started"))

    def _started(self, number: int) -> _Worker:
        # The worker itself listens on its own port: while it starts, who wants it is refused, and goes to another one.
        own = self._own.pop(number, None) or sockets.reserve(self._host, self._port + number)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        passed = {"--shared": self._shared, "--own": own, "--link": [theirs]}
        options = [word for name, some in passed.items() for one in some for word in (name, str(one.fileno()))]
        options += ["--meeting", self._meeting]
        try:
            process = subprocess.Popen(
                [*command(), "worker", str(number), *options],
                stdin=subprocess.DEVNULL,
                pass_fds=[one.fileno() for some in passed.values() for one in some],
                process_group=0,  # the keys of a terminal, and its end, reach it through us alone
            )
        except OSError:
            ours.close()
            raise
        finally:
            sockets.close([*own, theirs])
        return _Worker(process, ours)


def _end(returned: int) -> str:
    """How a process ended, in words."""
    return f"exit code {returned}" if returned >= 0 else f"killed by {signal.Signals(-returned).name}"
