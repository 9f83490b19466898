"""What a call costs the server, and what it adds in delay, under a load of whole calls.

    python tests/benchmarks/calls.py                              1, 25 and 50 calls, 24 kHz
    python tests/benchmarks/calls.py --calls 100 --codec pcmu     mu-law straight through
    python tests/benchmarks/calls.py --json figures.json          the same figures for a machine too

For each load a fresh `python -m voicebot serve` gets one core for itself, with its own SQLite store; phones and model
(see `generator.py`) share the others. Engine, ledger and journal are at work as in production. Linux only, loopback
only. The figures, over a window in which all calls are at work:

- CPU: processor time of the whole server process, user and system, per second of one call.
- memory: resident memory at the window's end above that of the idle server, which has served one call, per call.
- uplink: from sending a phone's frame to the arrival at the model of the `append` that holds it; up to 1.6 ms of the
  frame's end may still be held back by the conversion.
- downlink: from an answer's first delta to its first `media`.
- barge-in: from `speech_started` to `clear`.
- truncation: `audio_end_ms` minus what the phone has heard, least and most. The frame of 20 ms that `clear` finds in
  the ear is heard to its end, so -20 to 0 is exact.
- webhook: the answer to the voice webhook, while the calls begin, 25 a second.
- lateness: how late the generator itself was with a frame. Delays are counted from the true time, but where this is
  large, the generator's core was taken, and delays are the generator's as much as the server's.
- waited: share of the window in which the server could run, but its core was at work for another process.

On a machine that others use, `--first` (as root) keeps them from the delays. It cannot keep them from the caches: a
core that wakes up for each frame works slower than one under full load, so CPU per call falls as calls rise, and only
runs under like conditions can be compared.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
from generator import API_KEY, AUTH_TOKEN, FramePump, Model, Phone, Readings, free_port

ROOT = Path(__file__).parents[2]
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
RAMP_S = 0.04  # between two calls' beginnings
WARM_UP_S = 4.0  # of the one call before
SETTLE_S = 4.0  # from the last call's beginning to the window
START_LIMIT_S = 20.0
END_LIMIT_S = 15.0
STEP_LIMIT_S = 90.0  # of a step, besides its window and its ramp
COMPLAINTS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Figures:
    """One load. Times in milliseconds; shares of one core's time from 0 to 1."""

    codec: str
    calls: int
    window_s: float
    cpu_ms_per_call_second: float
    memory_kib_per_call: float
    idle_memory_mib: float
    uplink_p50_ms: float | None
    uplink_p99_ms: float | None
    downlink_p50_ms: float | None
    downlink_p99_ms: float | None
    barge_in_p50_ms: float | None
    barge_in_p99_ms: float | None
    truncation_most_ms: float | None
    truncation_least_ms: float | None
    webhook_p99_ms: float | None
    lateness_p50_ms: float | None
    lateness_p99_ms: float | None
    server_share: float
    server_waited: float
    generator_share: float
    frames: int
    turns: int
    barge_ins: int
    underruns: int
    failures: dict[str, int]


class ServerProcess:
    """The product's server, as the kernel sees it."""

    def __init__(self, process: subprocess.Popen[bytes], origin: str, log: Path) -> None:
        self.origin, self._process, self._log = origin, process, log

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_s(self) -> float:
        """Processor time so far, of all threads, user and system: the kernel's count in ns, not its ticks of 10 ms."""
        return time.clock_gettime(~self.pid << 3 | 2)  # clock_getcpuclockid(3)

    def waited_s(self) -> float:
        """Time that the main thread was ready to run and was not run."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) / 1e9

    def memory_kib(self) -> int:
        """Resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

    def complaints(self) -> list[str]:
        """What the server has logged as warnings and errors."""
        lines = self._log.read_text(errors="replace").splitlines()
        return [line for line in lines if " WARNING " in line or " ERROR " in line or line.startswith("Traceback")]

    async def idle(self, http: aiohttp.ClientSession, limit_s: float) -> bool:
        """Wait until it answers and has no call at work."""
        due = time.monotonic() + limit_s
        while time.monotonic() < due and self._process.poll() is None:
            try:
                async with http.get(f"{self.origin}/readyz") as answer:
                    if (await answer.json())["calls"] == 0:
                        return True
            except aiohttp.ClientConnectionError:
                pass  # it does not listen yet
            await asyncio.sleep(0.05)
        return False


def go_first(pid: int) -> None:
    """Let a process run whenever it can, as on a machine with nothing else to do."""
    os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))


@contextmanager
def serving(
    model_url: str, codec: str, calls: int, core: int, *, first: bool, settings: Mapping[str, str]
) -> Iterator[ServerProcess]:
    """Start the server on its core; end it, and nothing else, at the end."""
    with tempfile.TemporaryDirectory(prefix="voicebot-benchmark-") as name:
        folder = Path(name)
        (folder / "flows").mkdir()
        (folder / "flows" / "booking.py").write_text(FLOW)
        port = free_port()
        origin = f"http://127.0.0.1:{port}"
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("VOICEBOT_", "TWILIO_"))}
        environment = kept | {
            "PYTHONPATH": str(ROOT),
            "OPENAI_API_KEY": API_KEY,
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "VOICEBOT_REALTIME_URL": model_url,
            "VOICEBOT_PUBLIC_URL": origin,
            "VOICEBOT_STORE": f"sqlite:///{folder}/calls.db",
            "VOICEBOT_FLOWS": str(folder / "flows"),
            "VOICEBOT_CODEC": codec,
            "VOICEBOT_MAX_CALLS": str(calls + 10),
            "VOICEBOT_DRAIN_S": "1",
            **settings,
        }
        log = folder / "log"
        command = [sys.executable, "-m", "voicebot", "serve", "--port", str(port)]
        with log.open("wb") as stderr:
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=stderr, stderr=stderr)
        try:
            os.sched_setaffinity(process.pid, {core})  # before it has threads, which inherit both
            if first:
                go_first(process.pid)
            yield ServerProcess(process, origin, log)
        finally:
            process.terminate()
            try:
                process.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(END_LIMIT_S)


@asynccontextmanager
async def talking(
    phones: Sequence[Phone], readings: Readings, http: aiohttp.ClientSession, origin: str
) -> AsyncIterator[None]:
    """Have all phones call, one after the other; they hang up at the end."""
    pump = FramePump(phones, readings)
    try:
        async with asyncio.TaskGroup() as calling:
            for phone in phones:
                calling.create_task(phone.call(http, origin))
                await asyncio.sleep(RAMP_S)
        yield
        async with asyncio.TaskGroup() as ending:
            for phone in phones:
                ending.create_task(phone.hang_up(http, origin))
    finally:
        pump.close()


def nothing_else(origin: str) -> AbstractAsyncContextManager[object]:
    """What goes on beside the calls in a window: nothing."""
    return nullcontext()


async def measure(
    calls: int,
    codec: str,
    seconds: float,
    core: int,
    *,
    first: bool,
    settings: Mapping[str, str] = {},
    beside: Callable[[str], AbstractAsyncContextManager[object]] = nothing_else,
) -> tuple[Figures, list[str]]:
    """Measure one load; returns the figures, and the server's complaints.

    Args:
        settings: variables of the server, besides.
        beside: what goes on in the window, given the server's origin.
    """
    readings = Readings()
    model = Model(codec, readings)
    await model.listen()
    warm_up, *phones = [Phone(number, readings) for number in range(calls + 1)]
    model.phones.update({phone.caller: phone for phone in (warm_up, *phones)})
    with serving(model.url, codec, calls, core, first=first, settings=settings) as server:
        async with asyncio.timeout(STEP_LIMIT_S + seconds + calls * RAMP_S), aiohttp.ClientSession() as http:
            if not await server.idle(http, START_LIMIT_S):
                raise RuntimeError("the server did not start:\n" + "\n".join(server.complaints()))
            print(f"{codec}, {calls} calls: server {server.pid} on core {core}", file=sys.stderr)
            async with talking([warm_up], readings, http, server.origin):
                await asyncio.sleep(WARM_UP_S)
                model.end_sessions()
            await end_calls(server, http, readings)
            if readings.failures:
                raise RuntimeError(f"one call alone failed: {dict(readings.failures)}; {server.complaints()[:3]}")
            del readings.webhook_s[:]
            idle_kib = server.memory_kib()
            async with talking(phones, readings, http, server.origin):
                await asyncio.sleep(SETTLE_S)
                async with beside(server.origin):
                    window = await observe(server, readings, seconds)
                memory_kib = server.memory_kib()
                model.end_sessions()
            await end_calls(server, http, readings)
        complaints = server.complaints()
    await model.close()
    return figures(codec, calls, readings, window, memory_kib, idle_kib), complaints


@dataclass(frozen=True, slots=True)
class Window:
    """Seconds of the wall, and what passed in them."""

    wall_s: float
    server_s: float
    waited_s: float
    generator_s: float


async def observe(server: ServerProcess, readings: Readings, seconds: float) -> Window:
    """Let the window pass."""

    def clocks() -> tuple[float, float, float, float]:
        return time.perf_counter(), server.cpu_s(), server.waited_s(), time.process_time()

    gc.collect()
    gc.disable()
    begun = clocks()
    readings.recording = True
    await asyncio.sleep(seconds)
    readings.recording = False
    ended = clocks()
    gc.enable()
    return Window(*(end - begin for begin, end in zip(begun, ended, strict=True)))


async def end_calls(server: ServerProcess, http: aiohttp.ClientSession, readings: Readings) -> None:
    if not await server.idle(http, END_LIMIT_S):
        readings.failures["calls did not end"] += 1


def percentile(values: array[float], percent: float) -> float | None:
    """In milliseconds, of seconds; None of none."""
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[int((len(ordered) - 1) * percent / 100)] * 1000, 2)


def figures(codec: str, calls: int, readings: Readings, window: Window, memory_kib: int, idle_kib: int) -> Figures:
    return Figures(
        codec=codec,
        calls=calls,
        window_s=round(window.wall_s, 1),
        cpu_ms_per_call_second=round(window.server_s * 1000 / window.wall_s / calls, 2),
        memory_kib_per_call=round((memory_kib - idle_kib) / calls, 1),
        idle_memory_mib=round(idle_kib / 1024, 1),
        uplink_p50_ms=percentile(readings.uplink_s, 50),
        uplink_p99_ms=percentile(readings.uplink_s, 99),
        downlink_p50_ms=percentile(readings.downlink_s, 50),
        downlink_p99_ms=percentile(readings.downlink_s, 99),
        barge_in_p50_ms=percentile(readings.barge_in_s, 50),
        barge_in_p99_ms=percentile(readings.barge_in_s, 99),
        truncation_most_ms=max(readings.truncation_ms, default=None),
        truncation_least_ms=min(readings.truncation_ms, default=None),
        webhook_p99_ms=percentile(readings.webhook_s, 99),
        lateness_p50_ms=percentile(readings.lateness_s, 50),
        lateness_p99_ms=percentile(readings.lateness_s, 99),
        server_share=round(window.server_s / window.wall_s, 3),
        server_waited=round(window.waited_s / window.wall_s, 3),
        generator_share=round(window.generator_s / window.wall_s, 3),
        frames=len(readings.lateness_s),
        turns=readings.turns,
        barge_ins=len(readings.barge_in_s),
        underruns=readings.underruns,
        failures=dict(readings.failures),
    )


HEAD = (
    "            CPU, ms per   memory,        uplink, ms      downlink, ms      barge-in, ms   truncation,   webhook"
    "   lateness, ms   server  waited  generator   turns\n"
    "codec calls call-second KiB/call     p50 /    p99      p50 /    p99      p50 /    p99            ms   p99, ms"
    "     p50 /  p99"
)


def shown(value: float | None, form: str) -> str:
    """A figure in its column, or a dash."""
    return f"{'-':>{form.lstrip('+').partition('.')[0]}}" if value is None else f"{value:{form}f}"


def show(row: Figures) -> None:
    print(
        f"{row.codec:5}{row.calls:6}{row.cpu_ms_per_call_second:12.2f}{row.memory_kib_per_call:9.0f}"
        f"{shown(row.uplink_p50_ms, '9.2')} /{shown(row.uplink_p99_ms, '7.2')}"
        f"{shown(row.downlink_p50_ms, '9.2')} /{shown(row.downlink_p99_ms, '7.2')}"
        f"{shown(row.barge_in_p50_ms, '9.2')} /{shown(row.barge_in_p99_ms, '7.2')}"
        f"{shown(row.truncation_least_ms, '+6.0')} to{shown(row.truncation_most_ms, '+4.0')}"
        f"{shown(row.webhook_p99_ms, '10.1')}"
        f"{shown(row.lateness_p50_ms, '8.2')} /{shown(row.lateness_p99_ms, '6.2')}"
        f"{row.server_share:8.0%}{row.server_waited:8.0%}{row.generator_share:11.0%}{row.turns:8}",
        flush=True,
    )
    problems = row.failures | ({"playback underruns": row.underruns} if row.underruns else {})
    for problem, times in problems.items():
        print(f"    FAILED {times} times: {problem}")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Cost and delays of the server under whole calls.")
    parser.add_argument("--calls", default="1,25,50", help="loads, one after the other (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each window (default: %(default)s)")
    parser.add_argument("--codec", choices=("pcm", "pcmu"), default="pcm", help="the model's audio (default: pcm)")
    parser.add_argument("--first", action="store_true", help="before all other processes of a busy machine (root)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser.parse_args()


def main() -> int:
    arguments = read_arguments()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        print("one core only: server and generator share it, and no figure is the server's alone", file=sys.stderr)
    core = cores[-1]
    os.sched_setaffinity(0, set(cores[:-1]) or {core})
    if arguments.first:
        go_first(0)
    try:
        import uvloop

        loop_factory = uvloop.new_event_loop
    except ImportError:
        loop_factory = None
    rows = []
    print(HEAD)
    for calls in map(int, arguments.calls.split(",")):
        try:
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                work = measure(calls, arguments.codec, arguments.seconds, core, first=arguments.first)
                row, complaints = runner.run(work)
        except (RuntimeError, TimeoutError) as exc:
            print(f"{calls} calls could not be measured: {exc!r}", file=sys.stderr)
            return 1
        rows.append(row)
        show(row)
        for complaint in complaints[:COMPLAINTS_SHOWN]:
            print(f"    server: {complaint[:200]}")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return 1 if any(row.failures or row.underruns for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
