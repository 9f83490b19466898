"""`voicebot serve` as a process of its own: how it starts, and how it stops while phones are on the line."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from tests.fakes import environment
from tests.short_call import FLOW, SHORT
from voicebot.sim.call_result import CallResult
from voicebot.sim.caller import Caller
from voicebot.sim.crm import CrmSink
from voicebot.sim.phone import Phone
from voicebot.sim.realtime_server import API_KEY, RealtimeServer
from voicebot.sim.stage import ACCOUNT_SID, AUTH_TOKEN, WEBHOOK_SECRET
from voicebot.sim.timeline import Event, StreamOpened, VerbPlayed, WebhookAnswered
from voicebot.telephony.twiml import FALLBACK_SENTENCES

ORIGIN = "https://voice.example.com"
START_LIMIT_S = 30.0
CALL_LIMIT_S = 40.0
EXIT_LIMIT_S = 5.0  # a second is meant; the rest is for a machine that is busy with other tests


@dataclass
class Server:
    """A running `voicebot serve`, and the world around it."""

    process: Process
    crm: CrmSink
    port: int = 0
    log: list[str] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)  # a line was logged
    on_event: Callable[[Event], None] = lambda event: None

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    async def exited(self, within_s: float = EXIT_LIMIT_S) -> int:
        """The exit code, and the whole log."""
        async with asyncio.timeout(within_s):
            return await self.process.wait()

    async def logged(self, text: str) -> None:
        """Wait until it has logged this."""
        async with self.news:
            await self.news.wait_for(lambda: text in "".join(self.log))

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{self.port}{path}") as answer:
            return answer.status, await answer.text()

    async def call(self, *, port: int | None = None) -> CallResult:
        """Place a call and see it through; `port` is where the carrier is led to instead of the usual one."""
        phone = Phone(
            f"{ORIGIN}/twilio/voice",
            to=SHORT.called_number,
            from_=SHORT.caller_number,
            account_sid=ACCOUNT_SID,
            auth_token=AUTH_TOKEN,
            behaviour=Caller(SHORT.steps()),
            status_url=f"{ORIGIN}/twilio/status",
            via={"voice.example.com": f"127.0.0.1:{port or self.port}"},
            on_event=lambda event: self.on_event(event),
        )
        async with asyncio.timeout(CALL_LIMIT_S):
            return await phone.call()

    async def sentence(self) -> str:
        """Place a call, and hang up on the first sentence that the phone line itself has to say."""
        said: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        before = self.on_event

        def listen(event: Event) -> None:
            before(event)
            if isinstance(event, VerbPlayed) and event.verb == "Say" and not said.done():
                said.set_result(event.detail)

        self.on_event = listen
        calling = asyncio.create_task(self.call())
        try:
            async with asyncio.timeout(CALL_LIMIT_S):
                return await said
        finally:
            calling.cancel()
            await asyncio.wait([calling])

    def reasons(self) -> list[object]:
        """Why the calls ended, as the CRM was told."""
        return [one.payload["data"]["ended_reason"] for one in self.crm.reports() if one.payload]  # type: ignore[index]


@asynccontextmanager
async def server(folder: Path, *arguments: str, loop: str = "as installed", **settings: str) -> AsyncIterator[Server]:
    """Start it on a free port, ready to take calls; whatever happens, it is gone at the end."""
    (folder / "flows").mkdir()
    (folder / "flows" / "visit.py").write_text(FLOW)
    (folder / "shadow").mkdir()
    if loop == "asyncio":
        (folder / "shadow" / "uvloop.py").write_text("raise ImportError")
    async with RealtimeServer(SHORT.brain) as model, CrmSink(WEBHOOK_SECRET) as crm:
        variables = environment(
            OPENAI_API_KEY=API_KEY,
            TWILIO_AUTH_TOKEN=AUTH_TOKEN,
            VOICEBOT_PUBLIC_URL=ORIGIN,
            VOICEBOT_REALTIME_URL=model.url,
            VOICEBOT_WEBHOOK_URL=crm.url,
            VOICEBOT_WEBHOOK_SECRET=WEBHOOK_SECRET,
            VOICEBOT_WEBHOOK_PRIVATE="127.0.0.1",
            **{"VOICEBOT_LOG": "text", "VOICEBOT_SHED_LAG_MS": "0"} | settings,
        )
        path = f"{folder / 'shadow'}:{variables['PYTHONPATH']}"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "voicebot", "serve", "--port", "0", *arguments),
            cwd=folder,
            env={**variables, "PYTHONPATH": path},
            stderr=PIPE,
        )
        made = Server(process, crm)
        try:
            async with asyncio.timeout(START_LIMIT_S):
                made.port = await _port(made)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_read_on(made))
                yield made
                if process.returncode is None:
                    process.kill()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def _port(made: Server) -> int:
    assert made.process.stderr is not None
    while line := await made.process.stderr.readline():
        made.log.append(line.decode())
        if found := re.search(r"listening on http://127\.0\.0\.1:(\d+), known to Twilio as " + ORIGIN, made.log[-1]):
            return int(found[1])
    raise AssertionError("".join(made.log))


async def _read_on(made: Server) -> None:
    assert made.process.stderr is not None
    while line := await made.process.stderr.readline():
        async with made.news:
            made.log.append(line.decode())
            made.news.notify_all()


def sentences(result: CallResult) -> list[str]:
    return [event.detail for event in result.events if isinstance(event, VerbPlayed) and event.verb == "Say"]


def failures(result: CallResult) -> list[str | None]:
    return [event.error for event in result.events if isinstance(event, WebhookAnswered) and event.error]


LOOPS = pytest.mark.parametrize("loop", ["as installed", "asyncio"])


@LOOPS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_without_calls_ends_at_once(tmp_path: Path, number: signal.Signals, loop: str) -> None:
    async with server(tmp_path, loop=loop) as made:
        assert (await made.get("/readyz"))[0] == 200
        assert (await made.get("/healthz"))[0] == 200
        made.signal(number)
        assert await made.exited() == 0
    assert "Traceback" not in "".join(made.log)
    assert (tmp_path / "data" / "voicebot.db").exists()


@pytest.mark.slow
async def test_signal_lets_a_running_call_finish(tmp_path: Path) -> None:
    async with server(tmp_path) as made:
        made.on_event = lambda event: made.signal() if isinstance(event, StreamOpened) else None
        running = asyncio.create_task(made.call())
        await made.logged("stopping")
        status, text = await made.get("/readyz")
        assert (status, "draining" in text) == (503, True)
        made.on_event = lambda event: None
        assert await made.sentence() == FALLBACK_SENTENCES["en"].goodbye
        result = await running
        ended_at = asyncio.get_running_loop().time()
        assert await made.exited() == 0
        assert asyncio.get_running_loop().time() - ended_at < EXIT_LIMIT_S
        await made.crm.wait_for_reports(1, timeout_s=5)
    assert (result.problems, result.violations, failures(result)) == ((), (), [])
    assert (result.ended_by, sentences(result)) == ("server", [])
    assert [said.text for said in result.bot_said] == ["Hello!", "Thank you. Goodbye!"]
    assert made.reasons() == ["completed"]
    assert "Traceback" not in "".join(made.log)


@pytest.mark.slow
async def test_signal_lets_a_call_come_through(tmp_path: Path) -> None:
    """The webhook was answered, the stream is on its way."""
    async with server(tmp_path) as made:

        def on_answer(event: Event) -> None:
            if isinstance(event, WebhookAnswered):
                made.on_event = lambda event: None
                made.signal()

        made.on_event = on_answer
        result = await made.call()
        assert await made.exited() == 0
        await made.crm.wait_for_reports(1, timeout_s=5)
    assert (result.problems, result.violations, failures(result)) == ((), (), [])
    assert made.reasons() == ["completed"]


@pytest.mark.slow
@LOOPS
async def test_second_signal_ends_the_calls(tmp_path: Path, loop: str) -> None:
    async with server(tmp_path, loop=loop) as made:
        made.on_event = lambda event: made.signal() if isinstance(event, StreamOpened) else None
        talking = asyncio.create_task(made.sentence())
        await made.logged("stopping")
        await asyncio.sleep(0.5)
        assert made.process.returncode is None
        made.signal()
        assert await made.exited() == 0
        assert await talking == FALLBACK_SENTENCES["en"].trouble
        assert made.reasons() == ["shutdown"]
    assert "Traceback" not in "".join(made.log)


@pytest.mark.slow
async def test_drain_limit_ends_the_calls(tmp_path: Path) -> None:
    async with server(tmp_path, VOICEBOT_DRAIN_S="0.3") as made:
        made.on_event = lambda event: made.signal() if isinstance(event, StreamOpened) else None
        assert await made.sentence() == FALLBACK_SENTENCES["en"].trouble
        assert await made.exited() == 0
        assert made.reasons() == ["shutdown"]


@pytest.mark.slow
async def test_log_of_a_call_holds_nothing_personal(tmp_path: Path) -> None:
    async with server(tmp_path, VOICEBOT_API_TOKEN="canary-api-token", VOICEBOT_SECRET="canary-stream-secret") as made:
        result = await made.call()
        await made.crm.wait_for_reports(1, timeout_s=5)
        made.signal()
        assert await made.exited() == 0
    text = "".join(made.log)
    assert f"[{result.call_sid}] call ended: completed" in text
    text = text.replace(result.call_sid, "")  # CA and hex digits, which may spell a name
    for personal in (SHORT.caller_number, SHORT.called_number, "Ada", "Goodbye", "Thank"):
        assert personal not in text
    for secret in (API_KEY, AUTH_TOKEN, WEBHOOK_SECRET.removeprefix("whsec_"), "canary"):
        assert secret not in text


LEAST = """\
from voicebot.flow import Flow, Phase
flow = Flow(goal="Say hello.", phases=[Phase("hello", instructions="Say hello.")])
"""


async def refusal(folder: Path, *arguments: str) -> str:
    """What a server says that does not start."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "voicebot", "serve", *arguments),
        cwd=folder,
        env=environment(TWILIO_AUTH_TOKEN="t", VOICEBOT_PUBLIC_URL=ORIGIN, OPENAI_API_KEY="sk-canary"),
        stderr=PIPE,
    )
    try:
        async with asyncio.timeout(START_LIMIT_S):
            _, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 2
    return err.decode()


async def test_folder_without_a_flow_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    assert "there is no flow in flows (a flow is a Python file" in await refusal(tmp_path)
    (tmp_path / "flows" / "broken.py").write_text("flow = 1\n")
    assert "no flow of flows can be loaded" in await refusal(tmp_path)


@pytest.mark.parametrize("arguments", [("--port", "{taken}"), ("--host", "203.0.113.1"), ("--host", "no.such.invalid")])
async def test_address_that_cannot_be_had_is_one_clear_line(tmp_path: Path, arguments: tuple[str, str]) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "least.py").write_text(LEAST)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        text = await refusal(tmp_path, *(one.format(taken=port) for one in arguments))
    assert re.fullmatch(r"voicebot: --host, --port: cannot listen on \S+, port \d+: .+\. Choose others, .+\.\n", text)


def test_usual_limit_of_open_files_is_lifted() -> None:
    program = (
        "import resource; kind = resource.RLIMIT_NOFILE; most = resource.getrlimit(kind)[1];"
        "resource.setrlimit(kind, (200, most));"
        "from voicebot.server.serve import allow_many_files; allow_many_files();"
        "assert resource.getrlimit(kind) == (most, most)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=dict(environment()))
