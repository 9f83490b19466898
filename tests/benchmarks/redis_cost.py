"""What calls cost a Redis: operations, processor, bytes, for a call's begin and end, and for each second of it.

    python tests/benchmarks/redis_cost.py --calls 40

A Redis of its own, set up as for production (append-only file, `appendfsync always`), under a server under `voicebot
load`. Three looks at what it counts itself (INFO): beside a server without calls, and after two loads that differ in
length only, so that what is more in the longer one belongs to the seconds between. Before all other work of a busy
machine with --first, as `voicebot load` has it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fakes import environment
from tests.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
SHORT_S, LONG_S = 12, 60
IDLE_S = 30.0
CALL_S = 180.0  # of the call that the last lines are about: three minutes
FULL = 0.5  # of the one core that a Redis uses: beyond, who asks waits noticeably longer
FRAMES_A_SECOND = 50
OUTSIDE = ("evalsha", "script", "info", "config", "client", "xread", "waitaof", "ping")  # what is no part of a script


@dataclass(frozen=True)
class Counts:
    """What a Redis has counted since its start, or between two looks."""

    commands: float  # that were sent: scripts nearly all
    inner: float  # that these scripts gave
    cpu_s: float
    received: float  # bytes, as the others
    sent: float
    written: float  # to the append-only file
    kept: float  # in memory

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(one + two for one, two in zip(self._all, other._all, strict=True)))

    def __sub__(self, other: Counts) -> Counts:
        return Counts(*(one - two for one, two in zip(self._all, other._all, strict=True)))

    def __truediv__(self, by: float) -> Counts:
        return Counts(*(one / by for one in self._all))

    def __mul__(self, by: float) -> Counts:
        return Counts(*(one * by for one in self._all))

    @property
    def _all(self) -> tuple[float, ...]:
        return (self.commands, self.inner, self.cpu_s, self.received, self.sent, self.written, self.kept)

    def line(self, what: str) -> str:
        """As a row of the table."""
        figures = f"{self.commands:10.2f} {self.inner:10.2f} {self.cpu_s * 1e3:10.3f}"
        return f"{what:<34} {figures} {self.received:10.0f} {self.sent:10.0f} {self.written:10.0f} {self.kept:10.0f}"


def counted(server: RedisServer) -> Counts:
    """What it has counted by now."""
    with server.client() as client:
        facts: dict[str, Any] = client.info("everything")
    calls = {name: fact["calls"] for name, fact in facts.items() if name.startswith("cmdstat_")}
    sent = sum(many for name, many in calls.items() if name.removeprefix("cmdstat_").partition("|")[0] in OUTSIDE)
    cpu_s = facts["used_cpu_sys"] + facts["used_cpu_user"]
    traffic = (facts["total_net_input_bytes"], facts["total_net_output_bytes"])
    return Counts(sent, sum(calls.values()) - sent, cpu_s, *traffic, facts["aof_current_size"], facts["used_memory"])


def load(server: RedisServer, calls: int, seconds: int, first: bool, folder: Path) -> float:
    """Put a server on it under load; returns the calls' seconds within the window."""
    told = folder / "load.json"
    command = [sys.executable, "-m", "voicebot", "load", "--store", server.address, "--json", str(told)]
    options = ["--calls", str(calls), "--seconds", str(seconds), *(["--first"] if first else [])]
    subprocess.run([*command, *options], cwd=ROOT, env=environment(), check=True, stdout=subprocess.DEVNULL)
    (row,) = json.loads(told.read_text(encoding="utf-8"))["loads"]
    return float(row["frames"]) / FRAMES_A_SECOND


def idle(server: RedisServer, folder: Path) -> Counts:
    """What a server without calls asks for, a second."""
    settings = {
        "TWILIO_AUTH_TOKEN": "0" * 32,
        "VOICEBOT_PUBLIC_URL": "https://voice.example.com",
        "VOICEBOT_REALTIME_URL": "ws://127.0.0.1:9/v1/realtime",
        "VOICEBOT_SECRET": "s" * 32,
        "VOICEBOT_WEBHOOK_SECRET": "whsec_" + "c2Vj" * 10,
        "VOICEBOT_STORE": server.address,
        "VOICEBOT_FLOWS": str(ROOT / "flows"),
    }
    command = [sys.executable, "-m", "voicebot", "serve", "--port", "0"]
    process = subprocess.Popen(command, cwd=folder, env=environment(**settings), stderr=subprocess.DEVNULL)
    try:
        time.sleep(10.0)  # it has begun
        before = counted(server)
        time.sleep(IDLE_S)
        return (counted(server) - before) / IDLE_S
    finally:
        process.terminate()
        process.wait()


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=40, help="calls at once (40)")
    parser.add_argument("--first", action="store_true", help="before all other processes (root only)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, RedisServer(Path(name) / "redis") as server:
        folder = Path(name)
        alone = idle(server, folder)
        looks = []
        for seconds in (SHORT_S, LONG_S):
            before, began = counted(server), time.monotonic()
            call_s = load(server, options.calls, seconds, options.first, folder)
            looks.append((counted(server) - before - alone * (time.monotonic() - began), call_s))
    (short, short_s), (long, long_s) = looks
    second = (long - short) / (long_s - short_s)
    ends = (short - second * short_s) / options.calls
    whole = ends + second * CALL_S
    columns = ("commands", "inner", "CPU ms", "B in", "B out", "B to disk", "B kept")
    print(" " * 34, *(f"{column:>10}" for column in columns))
    print(alone.line("a server without calls, a second"))
    print(ends.line("a call's begin and end"))
    print(second.line("a second of a call"))
    print(whole.line(f"a call of {CALL_S:.0f} s"))
    most = FULL / (whole.cpu_s / CALL_S)
    a_second = whole * (most / CALL_S)
    print(
        f"half of a core is busy at {most:,.0f} calls at once: {a_second.commands:,.0f} commands and "
        f"{a_second.written / 1e6:.1f} MB to the disk a second"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
