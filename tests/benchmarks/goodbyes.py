"""Ends calls over lines with random delays: whether the caller hears the goodbye to its end, and how soon it is over.

    python tests/benchmarks/goodbyes.py                    200 calls
    python tests/benchmarks/goodbyes.py --calls 20 --first 181

On the twin's virtual clock, over the whole path. Calls end by turns with a phase that hangs up, with the model's wish
to end the call, with a transfer that has exact words, and with a transfer that the model asks for; both reach somebody.
Each line has its own delays both ways (up to 0.8 s) and jitter (up to 0.4 s) on top; every fifth loses a third of its
marks. The goodbye is whole if it was all sent, and every byte of it was played into the caller's ear (with a gap, where
the jitter leaves the line without audio). The pause counts from its end to the stream's.
Exit code 1 if a goodbye was cut.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[2]))

from voicebot.call.entries import BotSaid, read_entry
from voicebot.flow import Limits
from voicebot.flow.loader import FlowShelf, load_file, load_flow
from voicebot.sim.brain import Calls, Says
from voicebot.sim.caller import Listen, Say
from voicebot.sim.clock import run_virtual
from voicebot.sim.line import LineFaults
from voicebot.sim.phone import DialOutcome
from voicebot.sim.scenario import Exchange, Expected, Scenario, noted
from voicebot.sim.stage import rehearse

ROOT = Path(__file__).parents[2]
LONGEST_DELAY_MS, MOST_JITTER_MS, MARKS_LOST = 800.0, 400.0, 0.33
SAID_EVERY = 20

SWITCHBOARD = load_file(ROOT / "tests" / "flow" / "clean_flows" / "switchboard.py").flow
FLOW = replace(SWITCHBOARD, limits=Limits(silence=()), fallback=(), hours=None, closed=None)
SHELF = FlowShelf({"switchboard": load_flow("switchboard", FLOW)})
ENDINGS = ("hang_up", "end_call", "transfer", "transfer_call")
GREETING = Exchange(None, ((Says("Good morning, this is the workshop."),),))
WAITS = Exchange(Listen(60_000))
OFFICE = "One moment please, I am connecting you to the office, stay on the line."
BENCH = "I am connecting you to the workshop."
BYE = "Thank you very much for your call, and have a good day. Goodbye."


@dataclass(frozen=True)
class Goodbye:
    """How a call ended. `pause_ms` is None for a goodbye that was not heard to its end."""

    seed: int
    ending: str
    pause_ms: float | None
    faults: LineFaults


def script(ending: str) -> tuple[tuple[Exchange, ...], str]:
    """What is said in a call that ends so, and the goodbye."""
    stop, office = "That is all, thank you.", "I want to talk to the office, please."
    match ending:
        case "end_call":
            ends = Calls("end_call", {"reason": "caller_wants_to_stop"})
            return (GREETING, Exchange(Say(stop), ((Says(BYE), ends),))), BYE
        case "transfer_call":
            asks = Calls("transfer_call", {"target": "office", "quote": office})
            return (GREETING, Exchange(Say(office), ((Says(OFFICE), asks),)), WAITS), OFFICE
        case "transfer":
            words = "This is Ada, my bicycle is broken."
            known = noted(name=("Ada", "This is Ada"), about=("repair", "my bicycle is broken"))
            return (GREETING, Exchange(Say(words), ((known,),)), WAITS), BENCH
    words = "This is Ada, it is about something else, and call me back."
    known = noted(name=("Ada", "This is Ada"), call_back=(True, "call me back"))
    return (GREETING, Exchange(Say(words), ((known,), (Says(BYE),)))), BYE


def flow_of(ending: str) -> FlowShelf:
    """The switchboard; or the part of it that takes a note and hangs up."""
    if ending != "hang_up":
        return SHELF
    noting = replace(FLOW.by_name["nobody_free"], observations=("name", "call_back"))
    short = replace(FLOW, phases=(noting, FLOW.by_name["bye"]), initial_phase="nobody_free", rules=(), targets={})
    return FlowShelf({"switchboard": load_flow("switchboard", short)})


def faults_of(seed: int) -> LineFaults:
    chance = Random(seed)
    return LineFaults(
        network_delay_ms=(chance.uniform(0, LONGEST_DELAY_MS), chance.uniform(0, LONGEST_DELAY_MS)),
        jitter_ms=chance.uniform(0, MOST_JITTER_MS),
        mark_loss=MARKS_LOST if seed % 5 == 0 else 0.0,
        seed=seed,
    )


def end(seed: int) -> Goodbye:
    """Play a call to its end."""
    ending, faults = ENDINGS[seed % len(ENDINGS)], faults_of(seed)
    exchanges, goodbye = script(ending)
    scenario = Scenario("goodbye", "switchboard", exchanges, Expected())
    rehearsal = run_virtual(
        rehearse(scenario, flow_of(ending), codec="pcmu", faults=faults, dial=DialOutcome(talk_s=5.0))
    )
    stream = rehearsal.result.streams[0]
    said = [read_entry(one.kind, one.body) for one in rehearsal.journal if one.kind == "bot_said"]
    spoken = [one for one in said if isinstance(one, BotSaid) and one.text == goodbye]
    whole = bool(spoken) and not spoken[-1].interrupted and spoken[-1].heard_text == goodbye
    dropped: float = stream.received_bytes - sum(played.count for played in stream.played)
    dropped += sum(clear.dropped_ms for clear in stream.clears)  # one that came too late to drop anything harms nobody
    if not whole or dropped:
        return Goodbye(seed, ending, None, faults)
    return Goodbye(seed, ending, stream.closed_ms - stream.played[-1].end_ms, faults)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--first", type=int, default=1, help="seed of the first call")
    parser.add_argument("--parallel", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    began, ended = time.perf_counter(), list[Goodbye]()
    with ProcessPoolExecutor(chosen.parallel, initializer=logging.disable, initargs=(logging.CRITICAL,)) as pool:
        for one in pool.map(end, range(chosen.first, chosen.first + chosen.calls), chunksize=4):
            ended.append(one)
            if len(ended) % SAID_EVERY == 0:
                print(f"{len(ended)} of {chosen.calls} calls", file=sys.stderr, flush=True)
    cut = [one for one in ended if one.pause_ms is None]
    print(f"{len(ended)} calls, {len(cut)} goodbyes cut; {time.perf_counter() - began:.0f} s")
    for ending in ENDINGS:
        pauses = sorted(one.pause_ms for one in ended if one.ending == ending and one.pause_ms is not None)
        if pauses:
            print(f"  {ending}: pause p50 {pauses[len(pauses) // 2] / 1000:.2f} s, max {pauses[-1] / 1000:.2f} s")
    for one in cut:
        print(f"  cut: {one.ending}, seed {one.seed}, {one.faults}")
    return 1 if cut else 0


if __name__ == "__main__":
    sys.exit(main())
