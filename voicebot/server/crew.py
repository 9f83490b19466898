"""Which workers run, and when one is started again: the supervisor's decisions, without processes or a clock.

The first worker starts alone. Once it answers, settings, flows and store are known to be good, and the others follow.
While they open, a worker that cannot start ends the whole: what is wrong is said once, not in a loop. Later, one that
dies is replaced: at once after a steady life, and after a growing pause when it dies young again and again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto

STEADY_S = 30.0  # who lived for so long did not die of its start
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Start a process for this number."""

    number: int


@dataclass(frozen=True, slots=True)
class AskToStop:
    """Ask a worker that answers to stop: the first time to finish its calls, the second time to end them."""

    number: int


@dataclass(frozen=True, slots=True)
class TerminateWorker:
    """Stop a worker that has not answered yet, and so has no calls."""

    number: int


Effect = StartWorker | AskToStop | TerminateWorker


def restart_pause_s(young_deaths: int) -> float:
    """How long to wait before a worker is started again that has died young so often in a row, this time included."""
    if young_deaths <= 1:
        return 0.0
    doublings = min(young_deaths - 2, 16)  # far beyond the longest pause, and still a number
    return min(FIRST_PAUSE_S * 2.0**doublings, LONGEST_PAUSE_S)


def exit_code(returned: int) -> int:
    """A process's exit code as a shell gives it. `returned` is below zero for the number of a signal."""
    return returned if returned >= 0 else 128 - returned


class Stage(Enum):
    """Where the whole of them is."""

    OPENING = auto()  # until every worker has answered once
    SERVING = auto()
    STOPPING = auto()  # nobody is started any more


class State(Enum):
    """Where one worker is."""

    WAITING = auto()  # to be started when it is due
    STARTING = auto()  # its process runs
    SERVING = auto()  # it has answered
    GONE = auto()  # for good


@dataclass(slots=True)
class _Post:
    """What is known of the worker of one number. Times are seconds of the caller's clock."""

    state: State = State.WAITING
    due: float = math.inf
    started: float = 0.0
    young_deaths: int = 0


class Crew:
    """The workers 1 to `size`. `exit_code` is for when they are `over`."""

    def __init__(self, size: int) -> None:
        self._posts = {number: _Post() for number in range(1, size + 1)}
        self.size = size
        self.stage = Stage.OPENING
        self.exit_code = 0

    @property
    def answering(self) -> int:
        """How many serve now."""
        return sum(post.state is State.SERVING for post in self._posts.values())

    @property
    def over(self) -> bool:
        """Nobody is left, and nobody will come."""
        return all(post.state is State.GONE for post in self._posts.values())

    def deadline(self) -> float | None:
        """When `on_deadline` must be called next (same clock as `now`)."""
        due = min((post.due for post in self._posts.values() if post.state is State.WAITING), default=math.inf)
        return None if due == math.inf else due

    def pause_s(self, number: int, now: float) -> float | None:
        """How long until a worker is started; None if it is not about to be."""
        post = self._posts[number]
        return max(post.due - now, 0.0) if post.state is State.WAITING else None

    def begin(self, now: float) -> list[Effect]:
        self._posts[1].due = now
        return self.on_deadline(now)

    def on_deadline(self, now: float) -> list[Effect]:
        """Start who is due."""
        due = [number for number, post in self._posts.items() if post.state is State.WAITING and post.due <= now]
        for number in due:
            self._posts[number].state, self._posts[number].started = State.STARTING, now
        return [StartWorker(number) for number in due]

    def on_ready(self, number: int, now: float) -> list[Effect]:
        """A worker answers."""
        self._posts[number].state = State.SERVING
        if self.stage is not Stage.OPENING:
            return []
        if self.answering == self.size:
            self.stage = Stage.SERVING
        for post in self._posts.values():
            if post.due == math.inf:  # it has never been started; others wait out their pause
                post.due = now
        return self.on_deadline(now)

    def on_died(self, number: int, returned: int, now: float) -> list[Effect]:
        """A worker's process is no more. `returned`: its exit code; below zero, the signal that killed it."""
        post = self._posts[number]
        was_serving = post.state is State.SERVING
        if self.stage is Stage.STOPPING:
            if was_serving:  # one that was about to start has no calls, and any end of it will do
                self.exit_code = self.exit_code or exit_code(returned)
            post.state = State.GONE
            return []
        if self.stage is Stage.OPENING and not was_serving:
            self.exit_code = exit_code(returned) or 1
            post.state = State.GONE
            return self.on_stop()
        post.young_deaths = post.young_deaths + 1 if now - post.started < STEADY_S else 0
        post.state, post.due = State.WAITING, now + restart_pause_s(post.young_deaths)
        return self.on_deadline(now)

    def on_stop(self) -> list[Effect]:
        """Somebody asks the whole to stop; who asks again is passed on again."""
        self.stage = Stage.STOPPING
        for post in self._posts.values():
            if post.state is State.WAITING:
                post.state = State.GONE
        asked: dict[State, type[AskToStop | TerminateWorker]] = {
            State.STARTING: TerminateWorker,
            State.SERVING: AskToStop,
        }
        return [asked[post.state](number) for number, post in self._posts.items() if post.state in asked]
