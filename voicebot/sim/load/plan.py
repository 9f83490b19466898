"""What is to be done, as the command line says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from yarl import URL

from .placement import cores, place
from .processes import Processes
from .profiles import Shape
from .server import Ours
from .target import Target, voice_url

MOST_CALLS = 20_000
WINDOW_S = 12.0
PROFILE_S = 60.0

Codec = Literal["pcm", "pcmu"]


@dataclass(frozen=True)
class Theirs:
    """A server that runs already."""

    target: Target
    origin: str
    processes: Processes | None = None


@dataclass(frozen=True)
class Plan:
    """
    Attributes:
        server: ours, to be started, or one that runs.
        model_at: host and port where the model listens for a server that runs; None: it speaks to another one.
        seconds: of each window, or of a whole profile.
        shape: over time; None for one load after the other.
        total: calls of a soak.
    """

    server: Ours | Theirs
    calls: tuple[int, ...]
    codec: Codec = "pcm"
    seconds: float = WINDOW_S
    runs: int = 1
    shape: Shape | None = None
    find: bool = False
    total: int = 10_000
    model_at: tuple[str, int] | None = None


@dataclass(frozen=True)
class Request:
    """The words of the command line; None where nothing was said."""

    calls: str
    seconds: float | None = None
    codec: Codec = "pcm"
    runs: int = 1
    profile: Shape | None = None
    find: bool = False
    total: int = 10_000
    workers: int = 1
    store: str | None = None
    first: bool = False
    url: str | None = None
    to: str = ""
    model_listen: str | None = None
    pid: int | None = None

    def plan(self, environment: Mapping[str, str], auth_token: Callable[[], str]) -> Plan:
        """Make a plan of it.

        Args:
            environment: what a server of ours inherits.
            auth_token: tells that of the account whose calls another server takes.

        Raises:
            ValueError: the words do not fit together.
            ScenarioError: the process to be looked at is not there.
        """
        self._check()
        return Plan(
            server=self._ours(environment) if self.url is None else self._theirs(self.url, auth_token()),
            calls=call_counts(self.calls),
            codec=self.codec,
            seconds=self.seconds or (PROFILE_S if self.profile else WINDOW_S),
            runs=self.runs,
            shape=self.profile,
            find=self.find,
            total=self.total,
            model_at=address(self.model_listen) if self.model_listen is not None else None,
        )

    def _check(self) -> None:
        if self.profile is not None and (self.find or self.runs > 1):
            raise ValueError("a profile is followed once: leave out --find and --runs, or --profile")
        if self.url is None and (self.model_listen is not None or self.pid is not None):
            raise ValueError("--model-listen and --pid are about a server that runs already: name it by --url")
        if self.url is not None and (self.workers > 1 or self.store is not None or self.first):
            raise ValueError("--workers, --store and --first are about a server of ours: leave them out, or --url")
        if self.url is not None and self.find and self.model_listen is None:
            raise ValueError("what a server carries shows at its model: have it use ours, by --model-listen")

    def _ours(self, environment: Mapping[str, str]) -> Ours:
        return Ours(environment, self.workers, self.store, place(cores(), self.workers), self.first)

    def _theirs(self, url: str, auth_token: str) -> Theirs:
        asked = voice_url(url)
        processes = Processes(self.pid) if self.pid is not None else None
        return Theirs(Target(asked, auth_token, self.to), str(URL(asked).origin()), processes)


def call_counts(text: str) -> tuple[int, ...]:
    """Loads from `1,25,50`.

    Raises:
        ValueError: it is no list of numbers.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and 0 < int(part) <= MOST_CALLS for part in parts):
        raise ValueError(f"{text!r} are no numbers of calls: write them as in 1,25,50 (each at most {MOST_CALLS})")
    return tuple(map(int, parts))


def address(text: str) -> tuple[str, int]:
    """Host and port from `127.0.0.1:9000`.

    Raises:
        ValueError: it is no such address.
    """
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
        raise ValueError(f"{text!r} is no host and port: write them as in 127.0.0.1:9000")
    return host.strip("[]"), int(port)
