"""`voicebot load` as a user runs it: against a server of ours, one that is down, and one that fails its calls."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from xml.etree import ElementTree

import pytest
from aiohttp import web

from tests.fakes import environment
from voicebot.cli import main
from voicebot.sim.load.endings import BAD, Ending
from voicebot.sim.load.plan import Plan
from voicebot.sim.load.profiles import Shape
from voicebot.sim.load.server import Ours
from voicebot.sim.load.soak import left_over, run_soak

LIMIT_S = 200.0
TOKEN = {"TWILIO_AUTH_TOKEN": "their-token"}


@dataclass(frozen=True)
class Outcome:
    """How the command ended."""

    code: int
    out: str
    err: str


async def load(folder: Path, *arguments: object, **variables: str) -> Outcome:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "voicebot", "load", *map(str, arguments)),
        cwd=folder,
        env=environment(PYTHONPATH=str(Path(__file__).parents[1]), **variables),
        stdout=PIPE,
        stderr=PIPE,
    )
    async with asyncio.timeout(LIMIT_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Outcome(process.returncode, out.decode(), err.decode())


@pytest.mark.slow
async def test_load_of_our_server_is_measured(tmp_path: Path) -> None:
    options = ("--calls", "2", "--seconds", "2", "--json", "load.json", "--plot", "load.svg")
    ended = await load(tmp_path, *options, OPENAI_API_KEY="sk-canary", VOICEBOT_STORE="redis://nowhere")
    assert (ended.code, ended.err) == (0, ""), ended
    assert "FAILED" not in ended.out
    document = json.loads((tmp_path / "load.json").read_text())
    (row,) = document["loads"]
    assert row["calls"] == 2
    assert row["failed"] is False
    assert row["frames"] > 2 * 2 * 50 / 2
    assert row["uplink_p50_ms"] > 0
    assert row["webhook_p99_ms"] > 0
    assert row["idle_memory_mib"] > 20
    assert 0 < row["cpu_ms_per_call_second"] < 1_000
    assert row["generator_share"] > 0
    ElementTree.fromstring((tmp_path / "load.svg").read_text())


@pytest.mark.slow
async def test_course_is_followed_by_two_workers(tmp_path: Path) -> None:
    options = ("--profile", "spike", "--calls", "3", "--seconds", "6", "--workers", "2", "--codec", "pcmu")
    ended = await load(tmp_path, *options, "--json", "load.json")
    assert (ended.code, ended.err) == (0, ""), ended
    document = json.loads((tmp_path / "load.json").read_text())
    assert {sample["calls"] for sample in document["samples"]} == {1, 3}
    assert document["workers"] == 2
    assert document["load"]["memory_kib_per_call"] is not None
    assert document["load"]["failures"] == {}


@pytest.mark.slow
async def test_soak_leaves_nothing_over(tmp_path: Path) -> None:
    options = ("--profile", "soak", "--total", "40", "--calls", "8", "--json", "soak.json", "--plot", "soak.svg")
    ended = await load(tmp_path, *options)
    assert (ended.code, ended.err) == (0, ""), ended
    document = json.loads((tmp_path / "soak.json").read_text())
    assert sum(document["ended"].values()) == 40
    assert document["ended"][Ending.WELL.value] == 32
    assert document["reports"] == {"1": 80}
    assert document["end"]["descriptors"] <= document["base"]["descriptors"]
    ElementTree.fromstring((tmp_path / "soak.svg").read_text())


@pytest.mark.slow
async def test_every_bad_end_is_survived() -> None:
    ours = Ours(environment())
    plan = Plan(ours, (len(BAD),), shape=Shape.soak, total=len(BAD))
    soaked = await run_soak(plan, lambda rest: None, bad_every=1, first_calls=5)
    assert left_over(soaked, plan.total) == []
    assert set(soaked.ended) == {how.value for how in BAD}
    assert soaked.reports == {1: 5 + len(BAD)}
    assert not any("ERROR" in line for line in soaked.complaints), soaked.complaints


async def test_server_that_is_down_is_said(tmp_path: Path, unused_tcp_port: int) -> None:
    ended = await load(tmp_path, "--url", f"http://127.0.0.1:{unused_tcp_port}", "--calls", "1", **TOKEN)
    assert ended.code == 1
    assert "one call alone failed: no stream: Cannot connect to host" in ended.err
    assert "Traceback" not in ended.err


class Failing:
    """A server of somebody else: it takes one call and no other, and says so in HTTP."""

    def __init__(self) -> None:
        self.asked = 0

    async def voice(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.asked > 1:
            raise web.HTTPServiceUnavailable
        url = f"ws://{request.host}/media"
        return web.Response(text=f'<Response><Connect><Stream url="{url}"/></Connect></Response>')

    async def media(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"event": "media", "media": {"payload": "/" * 64}})
        async for _ in socket:
            pass
        return socket


async def test_server_that_fails_calls_is_told_on(tmp_path: Path) -> None:
    app, failing = web.Application(), Failing()
    app.add_routes([web.post("/calls", failing.voice), web.get("/media", failing.media)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/calls"
        ended = await load(tmp_path, "--url", url, "--calls", "2", "--seconds", "1", **TOKEN)
    finally:
        await runner.cleanup()
    assert ended.code == 1
    assert "FAILED: 2 × no stream: 503" in ended.out
    assert ended.err == ""
    assert failing.asked == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--calls", "1,x"], "are no numbers of calls"),
        (["--profile", "ramp", "--find"], "leave out --find"),
        (["--url", "nowhere"], "is no address"),
        (["--pid", "1"], "--url"),
        (["--json", "no/such/folder.json"], "cannot be written"),
        (["--profile", "wild"], "'wild' is not one of"),
        (["--url", "http://127.0.0.1:1", "--auth-token-env", "NOT_SET"], "NOT_SET: is not set"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["voicebot", "load", *arguments])
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "their-token")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())


async def test_our_server_that_cannot_start_is_said(tmp_path: Path) -> None:
    ended = await load(tmp_path, "--store", "mysql://x", "--calls", "1")
    assert ended.code == 1
    assert "VOICEBOT_STORE" in ended.err


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the server in Linux's kernel")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_load_that_is_ended_takes_its_server_along(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "voicebot", "load", "--calls", "1", "--seconds", "600"]
    variables = environment(PYTHONPATH=str(Path(__file__).parents[1]))
    with subprocess.Popen(command, cwd=tmp_path, env=variables, stdout=PIPE, stderr=PIPE) as process:
        server = server_of(process.pid)
        process.send_signal(number)
        process.communicate(timeout=LIMIT_S)
    assert process.returncode
    assert not server.exists()


def server_of(pid: int) -> Path:
    """Where the kernel tells of the server that this process starts, once it has."""
    due = time.monotonic() + LIMIT_S
    while time.monotonic() < due:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if "serve" in (Path("/proc") / child / "cmdline").read_text():
                return Path("/proc") / child
        time.sleep(0.05)
    raise AssertionError("it has started no server")
