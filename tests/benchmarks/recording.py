"""How a recording of ten minutes compares with what the twin's phone said and played, and what recording costs.

    python -m tests.benchmarks.recording [--minutes 10]

First the aligner alone, against the twin's line; then whole calls through the product: a virtual clock, network delays
of 20 to 150 ms each way with jitter, interruptions in every other turn. Printed are the largest shift of the bot's
side, what is missing or too much in one place, and the bytes that the recorder held, by minute; and before it all what
the tap costs a frame, off and on.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
import timeit
from collections import deque
from itertools import groupby
from pathlib import Path

from tests.end_to_end import reception
from tests.end_to_end.test_recording import BIT, FRAME_MS, record
from tests.recording.alignment import shifts_ms
from tests.recording.test_aligner import Wire, converse
from voicebot.flow import Limits
from voicebot.recording.aligner import Aligner
from voicebot.recording.recorder import Recorder
from voicebot.server.lifecycle import Calls
from voicebot.sim.brain import Says
from voicebot.sim.line import LineFaults
from voicebot.sim.scenario import Exchange, HangUp, Interrupt, Say, Scenario
from voicebot.telephony.leg import PhoneLeg

DELAYS_MS = ((20.0, 20.0), (150.0, 20.0), (20.0, 150.0), (150.0, 150.0))
TURN_S = 8.0  # of virtual time, roughly
FRAMES = 20_000


def long_talk(minutes: float) -> Scenario:
    """A caller who talks for so long, and cuts in every other time."""
    turns = []
    for number in range(round(minutes * 60 / TURN_S)):
        words = f"This is my question number {number}, and I would like to know."
        step = Interrupt(words, after_ms=900 + 137 * (number % 11)) if number % 2 else Say(words)
        answer = f"That is answer number {number}. There is more to say about it, and so I go on for a while, as I do."
        turns.append(Exchange(step, ((Says(answer),),)))
    return Scenario("long talk", "visit", (*turns, Exchange(HangUp())), reception.HANGS_UP.expected)


def worst(shifts: list[float], bit_ms: float = 10) -> tuple[float, float]:
    """The largest shift of what is there, and the longest that is not there (ms)."""
    there = [abs(shift) for shift in shifts if shift != float("inf")]
    lost = [len(list(bits)) * bit_ms for shift, bits in groupby(shifts) if shift == float("inf")]
    return max(there, default=0.0), max(lost, default=0)


def align_alone(minutes: float, delay_ms: tuple[float, float]) -> None:
    """The aligner at the twin's line, with noise that tells each millisecond from all others."""
    began, held, cuts = time.monotonic(), list[int](), 0
    wire = Wire(7, delay_ms=delay_ms, jitter_ms=10)
    while wire.now < minutes * 60:
        before = wire.now
        wire.most_held = 0
        while wire.now < before + 60:
            converse(wire, 4, dry=0.0)
        held.append(wire.most_held)
    (left, right), (spoken, heard) = wire.sides(), wire.truth
    cuts = len(wire.line.clears)
    shift, lost = worst(shifts_ms(right, heard), 1)
    _, extra = worst(shifts_ms(heard, right), 1)
    print(
        f"aligner, delay {delay_ms[0]:.0f}/{delay_ms[1]:.0f} ms: {len(left) / 480_000:.1f} min, {cuts} interruptions; "
        f"caller: {'as said' if left == spoken[: len(left)] else 'DIFFERS'}; bot: worst shift {shift:g} ms, missing "
        f"{lost:g} ms, too much {extra:g} ms; held at most by minute (kB): "
        f"{', '.join(f'{one / 1000:.0f}' for one in held)}; {time.monotonic() - began:.0f} s",
        flush=True,
    )


def align(minutes: float, delay_ms: tuple[float, float]) -> None:
    held: list[int] = []

    async def watch(calls: Calls) -> None:
        await asyncio.sleep(2.0)
        [session] = calls.sessions.values()
        while calls.sessions:
            await asyncio.sleep(0.5)
            assert isinstance(session.recording, Recorder)
            held.append(session.recording.held)

    flow = reception.flow.__class__(
        goal="Talk.",
        observations=reception.Visit,
        opening=reception.flow.opening,
        phases=reception.flow.phases,
        limits=Limits(duration="30m"),
    )
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        recorded = record(
            Path(folder),
            long_talk(minutes),
            flow=flow,
            faults=LineFaults(network_delay_ms=delay_ms, jitter_ms=10),
            beside=watch,
        )
    (left, right), (spoken, heard) = recorded.sides, recorded.truth
    differing = sum(one != other for one, other in zip(left, spoken, strict=False))
    shift, lost = worst(shifts_ms(right, heard[: len(right)], bit=BIT))
    _, extra = worst(shifts_ms(heard, right, bit=BIT))
    samples = sum(one != other for one, other in zip(right, heard, strict=False))
    minute = 120
    by_minute = [max(held[at : at + minute]) for at in range(0, len(held), minute)]
    print(
        f"delay {delay_ms[0]:.0f}/{delay_ms[1]:.0f} ms: {len(left) / 480_000:.1f} min, "
        f"{len(recorded.result.streams[0].clears)} interruptions; caller: {differing} samples differ; "
        f"bot: {samples} samples differ, worst shift {shift:g} ms, missing {lost:g} ms, too much {extra:g} ms; "
        f"held at most by minute (kB): {', '.join(f'{one / 1000:.0f}' for one in by_minute)}; "
        f"{time.monotonic() - began:.0f} s"
    )
    assert shift <= FRAME_MS and lost <= FRAME_MS and extra <= FRAME_MS and not differing


def cost() -> None:
    """Of the tap, for a frame of the caller and for one of ours."""
    frame = bytes(range(160))

    leg = PhoneLeg.__new__(PhoneLeg)
    leg._tap = None
    looked = min(timeit.repeat("if leg._tap is not None: pass", globals={"leg": leg}, number=FRAMES, repeat=5)) / FRAMES
    bare = min(timeit.repeat("pass", number=FRAMES, repeat=5)) / FRAMES

    def talk() -> None:
        """Utterances of four seconds, sent a second ahead with a mark each 200 ms, as the line plays them."""
        aligner, marks = Aligner(), deque[str]()
        aligner.keep()
        for number in range(FRAMES):
            aligner.heard(frame, 20 * number)
            if number % 10 == 0:
                if len(marks) > 5:
                    aligner.echoed(marks.popleft())
                if (mark := aligner.sent(frame * 10)) is not None:
                    aligner.echoed(mark)
                aligner.marked(f"m{number}")
                marks.append(f"m{number}")
            if aligner.ready >= 8_000:
                aligner.take()

    on = min(timeit.repeat(talk, number=1, repeat=3)) / FRAMES
    print(f"tap: off {1e9 * (looked - bare):.0f} ns a frame; on {1e6 * on:.1f} us for a frame of each side")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args().minutes
    cost()
    for delay_ms in DELAYS_MS:
        align_alone(minutes, delay_ms)
    for delay_ms in DELAYS_MS:
        align(minutes, delay_ms)


if __name__ == "__main__":
    main()
