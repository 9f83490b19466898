"""Thousands of random conversations: what a lying model gets past the engine, and whether clean flows stand still.

    python tests/benchmarks/conversations.py --lying 1000 --plain 10000

Each conversation is a random flow that lints clean, played on the product's call core in words, with delays and orders
of events by a seed. Exit code 1 if anything went wrong; what did is printed with the seed that brings it back.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.conversations import Anyone, Liar, PlainCaller, PlainModel, wrongs
from tests.flow.random_flows import clean_random_flows
from voicebot.engine.entries import ObservationRecorded, PhaseEntered, ProposalRefused
from voicebot.flow.loader import load_flow
from voicebot.flow.model import Flow
from voicebot.sim.table import play

BATCH = 50


@dataclass
class Tally:
    """What came of some conversations."""

    calls: int = 0
    phases: int = 0
    recorded: int = 0
    refused: int = 0
    talked_s: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        for name in ("calls", "phases", "recorded", "refused", "talked_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.ends += other.ends
        self.wrong += other.wrong


def batch(kind: str, number: int, count: int) -> Tally:
    """Play a batch of conversations; the same number gives the same ones."""
    logging.disable(logging.CRITICAL)
    tally = Tally()

    @seed(number)
    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck]
    )
    @given(clean_random_flows(), st.integers(1, 10**9))
    def converse(flow: Flow, chance: int) -> None:
        lying = kind == "lying"
        brain = Liar(flow, chance) if lying else PlainModel()
        caller = Anyone(chance) if lying else PlainCaller(flow, chance)
        read = play(load_flow("random", flow), brain, caller, seed=chance, limit_s=1500)
        entries = [entry for _, entry in read.journal]
        tally.calls += 1
        tally.phases += sum(isinstance(entry, PhaseEntered) for entry in entries)
        tally.recorded += sum(isinstance(entry, ObservationRecorded) for entry in entries)
        tally.refused += sum(isinstance(entry, ProposalRefused) for entry in entries)
        tally.talked_s += read.duration_s
        reason = read.report["ended_reason"]
        tally.ends[reason] += 1
        found = wrongs(read)
        if not lying and reason not in ("completed", "caller_finished"):
            found.append(f"it came to a standstill: {reason}")
        tally.wrong += [f"batch {number}, seed {chance}: {problem}" for problem in found]

    converse()
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lying", type=int, default=1000, help="conversations with a lying model")
    parser.add_argument("--plain", type=int, default=1000, help="conversations with a plain one")
    parser.add_argument("--seed", type=int, default=0, help="number of the first batch")
    parser.add_argument("--parallel", type=int, default=os.cpu_count() or 1)
    given_arguments = parser.parse_args()
    failed = False
    for kind in ("lying", "plain"):
        wanted = getattr(given_arguments, kind)
        began, total = time.perf_counter(), Tally()
        numbers = range(given_arguments.seed, given_arguments.seed + -(-wanted // BATCH))
        with ProcessPoolExecutor(given_arguments.parallel) as pool:
            for tally in pool.map(batch, [kind] * len(numbers), numbers, [BATCH] * len(numbers)):
                total.add(tally)
        took_s = time.perf_counter() - began
        print(
            f"{kind}: {total.calls} conversations of {total.talked_s / 3600:.1f} h in {took_s:.0f} s; "
            f"{total.phases} phases entered, {total.recorded} values recorded, {total.refused} proposals refused; "
            f"ended: {dict(total.ends)}; wrong: {len(total.wrong)}"
        )
        for problem in total.wrong[:20]:
            print(f"  {problem}")
        failed |= bool(total.wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
