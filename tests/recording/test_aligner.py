"""The aligner against the twin's line: it knows, sample by sample, what was said and what was in the caller's ear."""

from __future__ import annotations

import heapq
import json
from base64 import b64decode
from itertools import count
from random import Random

import pytest

from tests.recording.alignment import FRAME_MS, elsewhere, shifts_ms
from voicebot.call.playback import MARK_EVERY_MS
from voicebot.recording.aligner import FRAME, PER_MS, Aligner
from voicebot.sim.line import Line, LineFaults, StreamIdentity
from voicebot.sim.playout import Handset
from voicebot.telephony.media_streams import clear_message, mark_message, media_message

STREAM = "MZ00000000000000000000000000000001"
SILENCE = b"\xff"
TICK_S = 0.005
ROUND_TRIP_S = 0.35  # at most; nobody cuts in twice within it


class Wire:
    """The twin's line at one end of a network with delay, an aligner's leg at the other; time is a number."""

    def __init__(self, seed: int, *, delay_ms: tuple[float, float] = (0, 0), jitter_ms: float = 0, **faults: object):
        self.handset, self.aligner = Handset(0.0), Aligner()
        identity = StreamIdentity("AC1", "CA1", STREAM)
        self.line = Line(identity, self.handset, LineFaults(seed=seed, **faults))  # type: ignore[arg-type]
        self.now, self.random = 0.013, Random(seed)
        self.kept, self.most_held, self.marks = bytearray(), 0, 0
        self._delay_s = tuple(one / 1000 for one in delay_ms)
        self._jitter_s = jitter_ms / 1000
        self._way: list[tuple[float, int, bool, str]] = []  # arrives at, number, to the line, text
        self._number, self._latest = count(), [0.0, 0.0]
        self.line.open(self.now)
        self.opened = (self.handset.frames) * FRAME
        self.aligner.keep()

    def send(self, text: str, *, to_line: bool = True) -> None:
        delay = self._delay_s[to_line] + self.random.random() * self._jitter_s
        self._latest[to_line] = at = max(self._latest[to_line], self.now + delay)
        heapq.heappush(self._way, (at, next(self._number), to_line, text))

    def speak(self, payload: bytes) -> None:
        if (mark := self.aligner.sent(payload)) is not None:
            self.send(mark_message(STREAM, mark))
        self.send(media_message(STREAM, payload))

    def mark(self) -> None:
        self.marks += 1
        self.aligner.marked(f"m{self.marks}")
        self.send(mark_message(STREAM, f"m{self.marks}"))

    def clear(self) -> None:
        name = self.aligner.cleared()
        self.send(clear_message(STREAM))
        self.send(mark_message(STREAM, name))

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += TICK_S
            for frame in self.line.advance(self.now):
                self.send(str(frame), to_line=False)
            while self._way and self._way[0][0] <= self.now:
                _, _, to_line, text = heapq.heappop(self._way)
                if to_line:
                    for frame in self.line.receive(text, self.now):
                        self.send(str(frame), to_line=False)
                else:
                    self._take(json.loads(text))
            self.most_held = max(self.most_held, self.aligner.held)

    def _take(self, message: dict[str, dict[str, str]]) -> None:
        match message:
            case {"event": "media", "media": {"payload": payload, "timestamp": timestamp}}:
                self.aligner.heard(b64decode(payload), int(timestamp))
            case {"event": "mark", "mark": {"name": name}}:
                assert self.aligner.echoed(name) is name.startswith("recording:")
        if self.aligner.ready >= 1000 * PER_MS:
            self.kept += self.aligner.take()

    def sides(self) -> tuple[bytes, bytes]:
        self.kept += self.aligner.finish()
        return bytes(self.kept[::2]), bytes(self.kept[1::2])

    @property
    def truth(self) -> tuple[bytes, bytes]:
        return bytes(self.handset.spoken_tape[self.opened :]), bytes(self.handset.heard_tape[self.opened :])


def noise(random: Random, ms: float) -> bytes:
    return random.randbytes(round(ms * PER_MS)).replace(SILENCE, b"\x00")


def converse(wire: Wire, utterances: int, *, dry: float = 0.2) -> None:
    """The bot speaks: sent at once or as it comes, now and then dry, or cut; the caller speaks meanwhile.

    Args:
        dry: share of its pieces after which the next one is late.
    """
    random = wire.random
    for _ in range(utterances):
        wire.handset.say(noise(random, random.uniform(100, 900)))
        utter(wire, [random.choice((20, 50, 100, 133.5, 400)) for _ in range(random.randrange(1, 12))], dry)
        if random.random() < 0.5:
            wire.pass_time(random.uniform(0, 0.8))
            wire.clear()
            wire.pass_time(ROUND_TRIP_S)
        wire.pass_time(random.choice((0.0, 0.1, 2.0, 5.0)))
    wire.pass_time(6.0)


def utter(wire: Wire, lengths_ms: list[float], dry: float) -> None:
    """Say something in pieces, with marks as the ledger sends them."""
    wire.mark()
    unmarked = 0.0
    for piece_ms in lengths_ms:
        wire.speak(noise(wire.random, piece_ms))
        unmarked += piece_ms
        if unmarked >= MARK_EVERY_MS:
            wire.mark()
            unmarked = 0.0
        if wire.random.random() < dry:
            wire.pass_time(wire.random.choice((0.02, 0.3, 1.2)))
    wire.mark()


@pytest.mark.parametrize("delay_ms", [(0, 0), (20, 20), (150, 150), (150, 20), (20, 150)], ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_time_line_is_what_the_phone_played(delay_ms: tuple[float, float], seed: int) -> None:
    wire = Wire(seed, delay_ms=delay_ms)
    converse(wire, 12)
    assert wire.most_held < 200_000
    left, right = wire.sides()
    spoken, heard = wire.truth
    assert left == spoken[: len(left)]
    for kept, true in ((right, heard), (heard, right)):
        # A frame may be missing where the line was cut; one that runs dry twice in a row may lie two frames off.
        assert elsewhere(shifts_ms(kept, true), allowed_ms=2 * FRAME_MS, run=FRAME_MS) == []
