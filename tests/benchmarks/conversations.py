"""Thousands of random conversations: what a lying model gets past the engine, and whether clean flows stand still.

    python tests/benchmarks/conversations.py --lying 1000 --plain 10000
    python tests/benchmarks/conversations.py --only 1058:32250

Each conversation is a random flow that lints clean, played on the product's call core in words, with delays and orders
of events by a seed. Exit code 1 if anything went wrong; what did is printed as `BATCH:SEED`, with which `--only` plays
that one again and shows its flow, its journal and what was said (of a lying model with `--kind lying`).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.conversations import Anyone, Liar, PlainCaller, PlainModel, wrongs
from tests.flow.random_flows import clean_random_flows
from voicebot.engine.entries import ObservationRecorded, PhaseEntered, ProposalRefused
from voicebot.flow.loader import load_flow
from voicebot.flow.model import Flow
from voicebot.sim.table import TableRead, play
from voicebot.sim.table_chance import TableFaults

BATCH = 50
PROPER_ENDS = ("completed", "caller_finished")


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


def batch(kind: str, number: int, count: int, loss: float, only: int | None = None) -> Tally:
    """Play a batch of conversations; the same number gives the same ones.

    Args:
        loss: share of the caller's turns that are never transcribed.
        only: the seed of the conversation to play and to show; the others are left out.
    """
    logging.disable(logging.CRITICAL)
    tally = Tally()

    @seed(number)
    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck]
    )
    @given(clean_random_flows(), st.integers(1, 10**9))
    def converse(flow: Flow, chance: int) -> None:
        if only not in (None, chance):
            return
        lying = kind == "lying"
        brain = Liar(flow, chance) if lying else PlainModel()
        caller = Anyone(chance) if lying else PlainCaller(flow, chance)
        faults = TableFaults(transcript_loss=loss)
        read = play(load_flow("random", flow), brain, caller, seed=chance, faults=faults, limit_s=1500)
        found = wrongs(read)
        if not lying and read.report["ended_reason"] not in PROPER_ENDS:
            found.append(f"it came to a standstill: {read.report['ended_reason']}")
        tally.add(_tally(read, [f"{number}:{chance}: {problem}" for problem in found]))
        if only is not None:
            _show(read)

    converse()
    return tally


def _tally(read: TableRead, wrong: list[str]) -> Tally:
    """One conversation, counted."""
    entries = [entry for _, entry in read.journal]
    phases, recorded, refused = (
        sum(isinstance(entry, kind) for entry in entries)
        for kind in (PhaseEntered, ObservationRecorded, ProposalRefused)
    )
    return Tally(1, phases, recorded, refused, read.duration_s, Counter([read.report["ended_reason"]]), wrong)


def _show(read: TableRead) -> None:
    """A conversation as one reads it: the flow, then what was decided and said."""
    print(json.dumps(json.loads(read.loaded.document), indent=1, ensure_ascii=False))
    heard = [(said.at_ms, f"bot: {said.text}") for said in read.heard]
    spoken = [(said.at_ms, f"caller: {said.text}") for said in read.said]
    decided = [(float(at_ms), str(entry)) for at_ms, entry in read.journal]
    for at_ms, line in sorted([*heard, *spoken, *decided], key=lambda timed: timed[0]):
        print(f"{at_ms / 1000:9.2f}  {line}")


def _told(kind: str, total: Tally, took_s: float) -> bool:
    """Print what came of them; whether anything went wrong."""
    print(
        f"{kind}: {total.calls} conversations of {total.talked_s / 3600:.1f} h in {took_s:.0f} s; "
        f"{total.phases} phases entered, {total.recorded} values recorded, {total.refused} proposals refused; "
        f"ended: {dict(total.ends)}; wrong: {len(total.wrong)}"
    )
    for problem in total.wrong[:20]:
        print(f"  {problem}")
    return bool(total.wrong)


def _played(kind: str, numbers: range, parallel: int, loss: float) -> bool:
    """Play these batches; whether anything went wrong."""
    began, total = time.perf_counter(), Tally()
    with ProcessPoolExecutor(parallel) as pool:
        for tally in pool.map(partial(batch, kind, count=BATCH, loss=loss), numbers):
            total.add(tally)
    return _told(kind, total, time.perf_counter() - began)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lying", type=int, default=1000, help="conversations with a lying model")
    parser.add_argument("--plain", type=int, default=1000, help="conversations with a plain one")
    parser.add_argument("--seed", type=int, default=0, help="number of the first batch")
    parser.add_argument("--parallel", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--transcript-loss", type=float, default=0.0, help="share of turns without a transcript")
    parser.add_argument("--only", metavar="BATCH:SEED", help="play this one alone, and show it")
    parser.add_argument("--kind", choices=("lying", "plain"), default="plain", help="of the one to show")
    wanted = parser.parse_args()
    if wanted.only is not None:
        number, _, chance = wanted.only.partition(":")
        found = batch(wanted.kind, int(number), BATCH, wanted.transcript_loss, int(chance))
        return int(_told(wanted.kind, found, 0))
    kinds = {"lying": wanted.lying, "plain": wanted.plain}
    batches = {kind: range(wanted.seed, wanted.seed + -(-count // BATCH)) for kind, count in kinds.items() if count}
    failed = [_played(kind, numbers, wanted.parallel, wanted.transcript_loss) for kind, numbers in batches.items()]
    return int(any(failed))


if __name__ == "__main__":
    sys.exit(main())
