"""Attacks a server beside running calls: how long it lets sockets be that hold back, and what the calls notice.

    python tests/benchmarks/attacks.py                       every kind, 1,000 sockets, 25 calls
    python tests/benchmarks/attacks.py --kinds silent idle   some kinds
    python tests/benchmarks/attacks.py --caps                with the usual caps on connections: most are closed at once
    python tests/benchmarks/attacks.py --json figures.json   the same figures for a machine too

The calls and their figures are those of `voicebot load`, in a window of which the first row has nothing beside the
calls. In each further one another process opens the sockets, all at once and from many addresses of this machine, and
opens each again soon after the server has closed it, until the window ends. `held` is how long the server let one be,
at worst; it must be below 10 s. It counts only sockets that the server closed in the window, so that is longer.

Without `--caps` the caps are out of reach, so that it is the limits of time that are measured. Exit code 1 if a socket
was held for longer, if none was closed, or if a call failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.attackers import HOLDERS, held_for_s
from voicebot.settings import foreign_environment
from voicebot.sim.load.figures import Figures, faults
from voicebot.sim.load.placement import cores, place
from voicebot.sim.load.plan import Plan
from voicebot.sim.load.server import Ours
from voicebot.sim.load.steps import measure
from voicebot.sim.load.table import LOADS, head_lines, load_lines

HELD_LIMIT_S = 10.0
WINDOW_S = 25.0
ADDRESSES = 250
AGAIN_AFTER_S = 0.2  # one that was closed does not come again at once
OUT_OF_REACH = "100000"
NO_CAPS = {"VOICEBOT_MAX_CONNECTIONS": OUT_OF_REACH, "VOICEBOT_MAX_CONNECTIONS_PER_ADDRESS": OUT_OF_REACH}
ALONE = "calls alone"


@dataclass
class Held:
    """What became of the sockets of one kind."""

    kind: str
    closed: int = 0
    longest_s: float = 0.0

    @property
    def good(self) -> bool:
        return self.kind == ALONE or (self.closed > 0 and self.longest_s < HELD_LIMIT_S)

    def __str__(self) -> str:
        return f"{self.kind}: {self.closed} sockets closed, the longest held {self.longest_s:.2f} s"


# ---- the attackers, a process of their own --------------------------------------------------------------------------


async def attack(kind: str, port: int, sockets: int) -> None:
    """Hold sockets until something comes by standard input, then print how many were closed, and the longest held."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))  # behind the phones, however they are run
    held: list[float] = []
    over = asyncio.Event()
    began = time.monotonic()

    async def hold(number: int) -> None:
        for turn in count():
            address = f"127.1.{turn % 200}.{1 + number % ADDRESSES}"
            with suppress(OSError):
                held.append(await held_for_s(HOLDERS[kind], port, source=address))
            await asyncio.sleep(AGAIN_AFTER_S)

    async with asyncio.TaskGroup() as tasks:
        holding = [tasks.create_task(hold(number)) for number in range(sockets)]
        asyncio.get_running_loop().add_reader(sys.stdin, over.set)
        await over.wait()
        for task in holding:
            task.cancel()
    if not held:  # nobody was let go
        held.append(time.monotonic() - began)
    print(json.dumps([len(held), max(held)]))


@asynccontextmanager
async def attacked(held: Held, sockets: int, origin: str) -> AsyncIterator[None]:
    """Attack the server at `origin` while the body runs; `held` tells afterwards."""
    if held.kind == ALONE:
        yield
        return
    port = origin.rpartition(":")[2]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, "--attack", held.kind, "--port", port, "--sockets", str(sockets)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        yield
    finally:
        told, _ = await process.communicate(b"\n")
        held.closed, held.longest_s = json.loads(told)


# ---- the calls ------------------------------------------------------------------------------------------------------


def run(
    kinds: Sequence[str], sockets: int, calls: int, seconds: float, *, caps: bool, first: bool
) -> list[tuple[Held, Figures]]:
    settings = {"VOICEBOT_TRUSTED_PROXIES": "", **({} if caps else NO_CAPS)}  # nobody here is a proxy
    server = Ours(foreign_environment() | settings, placement=place(cores(), 1), first=first)
    plan = Plan(server, (calls,), seconds=seconds)
    rows = []
    for text in head_lines(LOADS):
        print(text)
    for kind in (ALONE, *kinds):
        held = Held(kind)
        step = asyncio.run(measure(plan, calls, lambda origin, held=held: attacked(held, sockets, origin)))
        print(held)
        for text in (*load_lines(step.row), *(f"    server: {line[:200]}" for line in step.complaints[:5])):
            print(text)
        rows.append((held, step.row))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=HOLDERS, default=list(HOLDERS))
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=WINDOW_S)
    parser.add_argument("--caps", action="store_true")
    parser.add_argument("--first", action="store_true", help="before all other processes of a busy machine (root)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--attack", choices=HOLDERS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.attack:
        asyncio.run(attack(given.attack, given.port, given.sockets))
        return 0
    rows = run(given.kinds, given.sockets, given.calls, given.seconds, caps=given.caps, first=given.first)
    if given.json:
        given.json.write_text(json.dumps([asdict(held) | asdict(figures) for held, figures in rows], indent=2) + "\n")
    return 0 if all(held.good and not faults(figures) for held, figures in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
