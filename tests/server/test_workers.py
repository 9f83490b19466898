"""`voicebot serve --workers 2` as it really runs: killed and stopped, in part and whole, with phones on the line."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from tests.server.test_serve import (
    LEAST,
    LOOPS,
    Server,
    refusal,
    sentences,
    server,
)
from voicebot.sim.call_result import CallResult
from voicebot.sim.timeline import Event, StreamOpened, WebhookAnswered
from voicebot.telephony.twiml import FALLBACK_SENTENCES

LIMIT_S = 60.0  # for whatever is waited for; the machine may be busy
TWO = ("--workers", "2")


async def started(made: Server) -> None:
    """Wait until both workers answer."""
    await said(made, "2 of 2 workers answer on port")


def process_of(made: Server, worker: int) -> int:
    """The process that is this worker now."""
    return int(re.findall(rf"worker {worker} is process (\d+)", "".join(made.log))[-1])


async def said(made: Server, text: str, *, times: int = 1) -> None:
    """Wait until it was logged so often."""
    async with asyncio.timeout(LIMIT_S), made.news:
        await made.news.wait_for(lambda: "".join(made.log).count(text) >= times)


def when(kind: type[Event], times: int, act: Callable[[], object]) -> Callable[[Event], None]:
    """What to do with events, so that `act` is called when there have been so many of a kind."""
    seen: list[Event] = []

    def on_event(event: Event) -> None:
        if isinstance(event, kind):
            seen.append(event)
            if len(seen) == times:
                act()

    return on_event


def when_put_through(act: Callable[[], object]) -> Callable[[Event], None]:
    """The same for the next voice webhook that is answered: its stream is on its way."""
    answered: list[Event] = []

    def on_event(event: Event) -> None:
        if isinstance(event, WebhookAnswered) and event.url.endswith("/twilio/voice") and not answered:
            answered.append(event)
            act()

    return on_event


async def answer(port: int, path: str = "/healthz") -> int:
    """The status of a request on a connection of its own."""
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}{path}") as got:
        await got.read()
        return got.status


async def check_whole(made: Server, *results: CallResult) -> None:
    """Nobody cut these calls: they came to an end of their own, and the line had nothing to say itself.

    How well the audio went through, and how soon the line heard of the end, is not asked of a machine that is busy.
    """
    for result in results:
        await said(made, f"[{result.call_sid}] call ended: completed")
        assert (sentences(result), result.violations) == ([], ())


# ---- how they stand -------------------------------------------------------------------------------------------------


async def test_workers_share_a_port_and_have_one_each(tmp_path: Path) -> None:
    async with server(tmp_path, *TWO, VOICEBOT_INSTANCE="west") as made:
        await started(made)
        for port in (made.port, made.port + 1, made.port + 2):
            assert await answer(port, "/readyz") == 200
        with pytest.raises(aiohttp.ClientConnectorError):
            await answer(made.port + 3)
        for worker in (1, 2):
            await said(made, f"worker {worker} voicebot.server.serve listening on http://127.0.0.1:{made.port}, known")
            await said(made, f"streams named west-{worker} are taken on port {made.port + worker}")
        made.signal()
        assert await made.exited(LIMIT_S) == 0
    assert "Traceback" not in "".join(made.log)


async def test_scrape_and_log_tell_of_every_worker(tmp_path: Path) -> None:
    async with server(tmp_path, *TWO, VOICEBOT_LOG="json") as made:
        await started(made)
        for port in (made.port, made.port + 1, made.port + 2):
            async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/metrics") as given:
                text = await given.text()
            assert sorted(re.findall(r'^voicebot_worker_up\{worker="(\d)"\} 1$', text, re.MULTILINE)) == ["1", "2"]
            assert sorted(re.findall(r'^voicebot_calls_active\{worker="(\d)"\} 0$', text, re.MULTILINE)) == ["1", "2"]
            assert re.findall(r'^voicebot_deliveries\{state="pending"\} 0$', text, re.MULTILINE)
        made.signal()
        assert await made.exited(LIMIT_S) == 0
    lines = [json.loads(line) for line in made.log]
    assert {line["event"] for line in lines} >= {"worker_started", "workers_answering", "serving", "stopping"}
    assert {line.get("worker") for line in lines if line["event"] == "serving"} == {1, 2}
    assert {line["event"] for line in lines if "worker" not in line} >= {"worker_started", "worker_ended"}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
async def test_idle_supervisor_sleeps_and_holds_little(tmp_path: Path) -> None:
    async with server(tmp_path, *TWO) as made:
        await started(made)
        here = Path(f"/proc/{made.process.pid}")

        def wake_ups() -> str:
            (line,) = re.findall(r"^voluntary_ctxt_switches:\s*(\d+)$", (here / "status").read_text(), re.MULTILINE)
            return str(line)

        before, after = "", wake_ups()
        async with asyncio.timeout(LIMIT_S):
            while before != after:
                await asyncio.sleep(1.0)
                before, after = after, wake_ups()
        libraries = (here / "maps").read_text()
        assert [heavy for heavy in ("aiohttp", "numpy", "soxr", "uvloop", "_asyncio") if heavy in libraries] == []
        made.signal()
        assert await made.exited(LIMIT_S) == 0


async def test_what_keeps_workers_from_starting_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    text = await refusal(tmp_path, "--port", "0", "--workers", "3")
    assert text.count("there is no flow in flows") == 1
    assert re.findall(r"worker \d is process", text) == ["worker 1 is process"]
    assert "worker 1 could not start: exit code 2" in text


async def test_taken_port_of_a_worker_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "least.py").write_text(LEAST)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        text = await refusal(tmp_path, "--port", str(port - 1), *TWO)
    assert re.fullmatch(r"voicebot: --host, --port: cannot listen on 127.0.0.1, port \d+: .+\. Choose .+\.\n", text)


# ---- one dies -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_killed_worker_is_replaced_and_the_other_never_notices(tmp_path: Path) -> None:
    async with server(tmp_path, *TWO) as made:
        await started(made)
        killed = process_of(made, 2)
        made.on_event = when(StreamOpened, 2, lambda: os.kill(killed, signal.SIGKILL))
        async with asyncio.TaskGroup() as calls:
            unharmed = calls.create_task(made.call(port=made.port + 1))
            harmed = calls.create_task(made.call(port=made.port + 2))
            await said(made, "worker 2 has died: killed by SIGKILL")
            await said(made, "worker 2 is process", times=2)
            await said(made, f"streams named 2 are taken on port {made.port + 2}", times=2)
            await check_whole(made, await unharmed)
            await harmed
        made.on_event = lambda event: None
        assert process_of(made, 2) != killed
        assert await answer(made.port, "/readyz") == 200
        await check_whole(made, await made.call(port=made.port + 2))
        made.signal()
        assert await made.exited(LIMIT_S) == 0
    log = "".join(made.log)
    assert log.count("worker 1 is process") == 1
    assert "Traceback" not in log


@pytest.mark.slow
async def test_no_connection_is_refused_while_workers_are_replaced(tmp_path: Path) -> None:
    """Even when all of them are killed at once: what comes meanwhile waits in the queue that they share."""
    async with server(tmp_path, *TWO) as made:
        await started(made)
        for worker in (1, 2):
            os.kill(process_of(made, worker), signal.SIGKILL)
        await said(made, "has died: killed by SIGKILL", times=2)
        async with asyncio.timeout(LIMIT_S):
            assert await asyncio.gather(*(answer(made.port) for _ in range(20))) == [200] * 20
        made.signal()
        assert await made.exited(LIMIT_S) == 0


# ---- all stop -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@LOOPS
async def test_stop_cuts_none_of_ten_calls(tmp_path: Path, loop: str) -> None:
    """Nine are talking, and of the tenth the webhook was just answered."""
    async with server(tmp_path, *TWO, loop=loop) as made:
        await started(made)
        talking = asyncio.Event()
        made.on_event = when(StreamOpened, 9, talking.set)
        async with asyncio.TaskGroup() as calls:
            running = [calls.create_task(made.call(port=made.port + 1 + place % 2)) for place in range(9)]
            async with asyncio.timeout(LIMIT_S):
                await talking.wait()
            made.on_event = when_put_through(made.signal)
            running.append(calls.create_task(made.call(port=made.port + 2)))
            await said(made, "at work; a second signal", times=2)
            made.on_event = lambda event: None
            assert await answer(made.port, "/readyz") == 503
            assert await made.sentence() == FALLBACK_SENTENCES["en"].goodbye
        await check_whole(made, *(call.result() for call in running))
        assert await made.exited(LIMIT_S) == 0
        await made.crm.wait_for_reports(10, timeout_s=LIMIT_S)
    assert made.reasons() == ["completed"] * 10
    log = "".join(made.log)
    assert log.count("has ended: exit code 0") == 2
    assert "Traceback" not in log


@pytest.mark.slow
async def test_signal_to_every_process_of_the_service_is_one_request(tmp_path: Path) -> None:
    """As service managers do, to the supervisor and to the workers, more than once."""
    async with server(tmp_path, *TWO) as made:
        await started(made)

        def tell_all() -> None:
            for process in (made.process.pid, process_of(made, 1), process_of(made, 2)):
                os.kill(process, signal.SIGTERM)

        made.on_event = when(StreamOpened, 1, tell_all)
        await check_whole(made, await made.call(port=made.port + 1))
        assert await made.exited(LIMIT_S) == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_second_stop_ends_calls_on_all_workers(tmp_path: Path, number: signal.Signals) -> None:
    async with server(tmp_path, *TWO) as made:
        await started(made)
        made.on_event = when(StreamOpened, 2, lambda: made.signal(number))
        async with asyncio.TaskGroup() as calls:
            running = [calls.create_task(made.call(port=made.port + worker)) for worker in (1, 2)]
            await said(made, "1 at work; a second signal", times=2)
            made.signal(number)
        assert [sentences(call.result()) for call in running] == [[FALLBACK_SENTENCES["en"].trouble]] * 2
        assert await made.exited(LIMIT_S) == 0
        assert made.reasons() == ["shutdown"] * 2
    assert "Traceback" not in "".join(made.log)


@pytest.mark.slow
async def test_workers_whose_supervisor_was_killed_finish_their_calls(tmp_path: Path) -> None:
    async with server(tmp_path, *TWO) as made:
        await started(made)
        made.on_event = when(StreamOpened, 1, lambda: made.signal(signal.SIGKILL))
        await check_whole(made, await made.call(port=made.port + 2))
        assert await made.exited(LIMIT_S) == -signal.SIGKILL
        await said(made, "stopping: no new calls", times=2)
        await made.crm.wait_for_reports(1, timeout_s=LIMIT_S)
    # The log has come to its end, so all who could write to it are gone.
    assert made.reasons() == ["completed"]
    with pytest.raises(aiohttp.ClientConnectorError):
        await answer(made.port)


@pytest.mark.slow
async def test_stop_while_workers_start_ends_at_once(tmp_path: Path) -> None:
    """The first one answers already; the second is not asked to finish what it has not begun."""
    async with server(tmp_path, *TWO) as made:
        await said(made, "worker 2 is process")
        made.signal()
        assert await made.exited(LIMIT_S) == 0
    assert "Traceback" not in "".join(made.log)
