"""The server under load: ours, started for it on cores of its own, or one that runs already."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from voicebot.errors import ScenarioError
from voicebot.sim.account import AUTH_TOKEN, STREAM_SECRET, WEBHOOK_SECRET
from voicebot.sim.instance import Instance, Worker

from .gauges import Gauges, gauges
from .placement import ANYWHERE, Placement, on
from .processes import Processes
from .target import VOICE_PATH, Target

API_KEY = "sk-load"
HOST = "voice.example.com"
FLOW = """
from voicebot.flow import Flow, HangUp, Observations, Phase, To, ask, it


class Booking(Observations):
    name: str = ask("the caller's full name")
    wish: str = ask("what the caller would like to book")


flow = Flow(
    goal="Find out who is calling and what they would like to book.",
    observations=Booking,
    persona="You are the friendly voice of a small restaurant.",
    phases=[
        Phase(
            "reception",
            instructions="Ask for the caller's name and for what they would like to book: a table, when, for how many.",
            observations=[it.name, it.wish],
            transitions=[To("goodbye")],
        ),
        Phase("goodbye", instructions="Thank the caller and say goodbye.", end=HangUp()),
    ],
)
"""
START_LIMIT_S = 30.0
EXIT_LIMIT_S = 15.0
ASK_LIMIT_S = 5.0
LOOK_EVERY_S = 0.05
_PACKAGE = Path(__file__).parents[3]


@dataclass(frozen=True)
class Server:
    """
    Attributes:
        processes: None where they cannot be looked at.
        asked: origins at which each of its processes can be asked how it is.
        ours: it was started for this load, and has no other calls.
    """

    target: Target
    processes: Processes | None
    asked: tuple[str, ...]
    ours: bool = True
    _log: list[str] = field(default_factory=list)

    def complaints(self) -> list[str]:
        """What it has logged as warnings and errors."""
        return [
            line.rstrip()
            for line in self._log
            if " WARNING " in line or " ERROR " in line or line.startswith("Traceback")
        ]

    async def gauges(self, http: aiohttp.ClientSession) -> Gauges:
        """What it tells of itself, as far as it does."""
        return gauges(await _page(http, f"{self.asked[0]}/metrics"))

    async def idle(self, http: aiohttp.ClientSession, limit_s: float) -> bool:
        """Wait until none of its processes has a call at work; a server that has others' calls is not waited for."""
        due = time.monotonic() + limit_s
        while self.ours:
            if await self.calls(http) == 0:
                return True
            if time.monotonic() > due:
                return False
            await asyncio.sleep(LOOK_EVERY_S)
        return True

    async def calls(self, http: aiohttp.ClientSession) -> int | None:
        """Calls at work in all its processes; None while one of them does not answer, or does not tell."""
        calls = 0
        for one in self.asked:
            try:
                async with http.get(f"{one}/readyz", timeout=aiohttp.ClientTimeout(ASK_LIMIT_S)) as answer:
                    calls += (await answer.json())["calls"]
            except (aiohttp.ClientError, TimeoutError, ValueError, LookupError, TypeError):
                return None
        return calls


async def _page(http: aiohttp.ClientSession, url: str) -> str:
    """A page, or nothing where there is none for us."""
    try:
        async with http.get(url, timeout=aiohttp.ClientTimeout(ASK_LIMIT_S)) as answer:
            return await answer.text() if answer.status == 200 else ""
    except (aiohttp.ClientError, TimeoutError):
        return ""


@dataclass(frozen=True)
class Ours:
    """How our own server is to be started.

    Attributes:
        environment: what it inherits, without our own variables.
        store: None for a file of its own.
        first: it goes before all other processes.
    """

    environment: Mapping[str, str] = field(repr=False)
    workers: int = 1
    store: str | None = None
    placement: Placement = ANYWHERE
    first: bool = False


@asynccontextmanager
async def serving(
    ours: Ours, model_url: str, codec: str, max_calls: int, crm_url: str | None = None
) -> AsyncIterator[Server]:
    """Start it; end it, and nothing else, at the end.

    Raises:
        ScenarioError: it did not start; the text is its log.
    """
    with tempfile.TemporaryDirectory(prefix="voicebot-load-") as name:
        folder = Path(name)
        (folder / "flows").mkdir()
        (folder / "flows" / "booking.py").write_text(FLOW)
        variables = _variables(ours, folder) | {
            "VOICEBOT_REALTIME_URL": model_url,
            "VOICEBOT_CODEC": codec,
            "VOICEBOT_MAX_CALLS": str(max_calls),
        }
        if crm_url is not None:
            variables |= {"VOICEBOT_WEBHOOK_URL": crm_url, "VOICEBOT_WEBHOOK_SECRET": WEBHOOK_SECRET}
        logs = await asyncio.TaskGroup().__aenter__()  # by hand: an error of the body stays as it is
        several = ("--workers", str(ours.workers)) if ours.workers > 1 else ()
        instance = Instance("load", folder, variables, logs, arguments=several)
        with _told_to_end():
            try:
                yield await _started(instance, ours)
            finally:
                await _end(instance)
                await logs.__aexit__(None, None, None)


@contextmanager
def _told_to_end() -> Iterator[None]:
    """SIGTERM ends a load as Ctrl-C does: the server, in a session of its own, would else be left behind."""
    if threading.current_thread() is not threading.main_thread():  # which alone may say what a signal does
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


async def _started(instance: Instance, ours: Ours) -> Server:
    try:
        with on(ours.placement.server, first=ours.first):  # what it starts and its threads stay there
            await instance.start(START_LIMIT_S)
            crew = [Worker(instance, number) for number in range(1, ours.workers + 1)] if ours.workers > 1 else []
            for worker in crew:
                await worker.back(within_s=START_LIMIT_S)
    except TimeoutError as exc:
        raise ScenarioError(f"the server did not start:\n{''.join(instance.log)}") from exc
    via = {HOST: f"127.0.0.1:{instance.port}"}
    places = {f"/twilio/media/{worker.name}": f"127.0.0.1:{worker.port}" for worker in crew}
    ports = [worker.port for worker in crew] or [instance.port]
    return Server(
        Target(f"https://{HOST}{VOICE_PATH}", via=via, places=places),
        _processes(instance.pid),
        tuple(f"http://127.0.0.1:{port}" for port in ports),
        _log=instance.log,
    )


def _processes(pid: int) -> Processes | None:
    try:
        return Processes(pid)
    except ScenarioError:
        return None


async def _end(instance: Instance) -> None:
    instance.terminate()
    with contextlib.suppress(TimeoutError, ScenarioError):
        await instance.exited(EXIT_LIMIT_S)
    instance.kill_all()


def _variables(ours: Ours, folder: Path) -> dict[str, str]:
    path = ":".join(filter(None, (str(_PACKAGE), ours.environment.get("PYTHONPATH", ""))))
    return {
        "VOICEBOT_LOG": "text",  # which `complaints` reads
        "VOICEBOT_SHED_LAG_MS": "0",  # what it carries is to be seen, not what it turns away
        **ours.environment,
        "PYTHONPATH": path,  # the same voicebot as this one, also where it is not installed
        "OPENAI_API_KEY": API_KEY,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "VOICEBOT_PUBLIC_URL": f"https://{HOST}",
        "VOICEBOT_STORE": ours.store or f"sqlite:///{folder}/calls.db",
        "VOICEBOT_SECRET": STREAM_SECRET,
        "VOICEBOT_FLOWS": str(folder / "flows"),
        "VOICEBOT_WEBHOOK_PRIVATE": "127.0.0.1",
        "VOICEBOT_INSTANCE": "load" if ours.workers > 1 else "",
        "VOICEBOT_DRAIN_S": "1",
    }
