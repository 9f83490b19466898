"""What observing costs: on the audio path a frame, and beside it a call.

    python tests/benchmarks/observing.py

Each figure is the best of several rounds, so that a noisy machine says little. The last column is the bound that the
house has set, where there is one.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from json import dumps, loads
from timeit import repeat

import numpy as np

from voicebot.audio.g711 import encode
from voicebot.audio.line_meter import LineMeter
from voicebot.call.entries import (
    BotSaid,
    CallEnded,
    CallOpened,
    Entry,
    LineQuality,
    ModelConnected,
    TokensSpent,
    TurnAnswered,
)
from voicebot.call.playback import Playback
from voicebot.engine.entries import CallerTurnTaken, PhaseEntered
from voicebot.log_events import named
from voicebot.observe.call_metrics import CallMetrics
from voicebot.observe.families import Families
from voicebot.observe.prices import KNOWN
from voicebot.observe.redaction import Redactor
from voicebot.observe.registry import exposition
from voicebot.observe.spans import CallSpans
from voicebot.server.logs import configure_logging

ROUNDS = 200  # short ones: on a busy machine some of them are undisturbed
AT = datetime(2026, 11, 20, tzinfo=UTC)
TURN: tuple[Entry, ...] = (
    CallerTurnTaken(1, "i"),
    TurnAnswered(1, 640),
    BotSaid("a", "Hello there.", "Hello there.", 900, 900, False, False),
    TokensSpent(900, 400, 0, 0, 40, 90),
)
CALL: tuple[Entry, ...] = (
    CallOpened("visit", "v", "{}", None, None, "inbound"),
    ModelConnected("m"),
    PhaseEntered("order", None, "start"),
    *(TURN * 20),
    LineQuality(240_000, 2, 80, -21.5, 0.0, 1, 140, (1.5,) * 6),
    CallEnded("completed"),
)


def best_us(work: Callable[[], object], number: int) -> float:
    return min(repeat(work, number=number, repeat=ROUNDS)) / number * 1e6


def metering() -> float:
    speech = encode((np.random.default_rng(1).normal(0, 3000, 160)).astype(np.int16))
    meter, frame = LineMeter(), iter(range(10**9))
    take, tick = meter.take, frame.__next__
    both = best_us(lambda: take(speech, tick() * 20), 250)
    return both - best_us(lambda: tick() * 20, 250)


def whole_call(*, traced: bool) -> float:
    families = Families()

    def call() -> None:
        counting, spans = CallMetrics(families, "visit", KNOWN["gpt-realtime"]), CallSpans("CA1", "visit", "v", 1)
        for entry in CALL:
            counting.take(entry)
            if traced:
                spans.take(entry, AT)

    return best_us(call, 5)


def log_line(form: str) -> float:
    configure_logging(form, secrets=["one-secret-here", "another-secret"] * 4, stream=io.StringIO())
    log, extra = logging.getLogger("voicebot.benchmark"), named("leg_lost", "CA1")
    return best_us(lambda: log.warning("the model cannot be reached: %s", "it hangs", extra=extra), 50)


def redaction() -> float:
    redact = Redactor(["one-secret-here", "another-secret"] * 4)
    line = "the outcome of delivery msg_01HZX is not recorded, it will be made again: the disk is full"
    return best_us(lambda: redact(line), 250)


def reference() -> float:
    """How fast this machine is now: JSON of a message as the phone line sends it."""
    text = dumps({"event": "media", "media": {"payload": "/" * 214, "timestamp": "5000", "chunk": "7"}})
    return best_us(lambda: loads(text), 250)


def scrape() -> float:
    families = Families()
    for flow in range(5):
        counting = CallMetrics(families, f"flow {flow}", KNOWN["gpt-realtime"])
        for entry in CALL:
            counting.take(entry)
    return best_us(lambda: exposition(families.own), 3)


def sending() -> float:
    """The ledger with its count of underruns, a delta of 200 ms."""
    playback, clock = Playback(), iter(range(10**9))
    playback.begin("i")
    return best_us(lambda: playback.sent("i", 200.0, next(clock) * 0.2), 250)


def main() -> None:
    rows = [
        ("for reference: json.loads of a frame's message", reference(), "us", ""),
        ("a frame: the meter of the caller's line", metering(), "us", "1"),
        ("a delta of the model: the whole playback ledger", sending(), "us", ""),
        (f"a call of {len(CALL)} entries: metrics", whole_call(traced=False), "us", ""),
        (f"a call of {len(CALL)} entries: metrics and spans", whole_call(traced=True), "us", ""),
        ("a log line: its redaction alone", redaction(), "us", ""),
        ("a log line as JSON, redacted", log_line("json"), "us", ""),
        ("a log line as text, redacted", log_line("text"), "us", ""),
        ("a scrape of five flows: the text", scrape(), "us", ""),
    ]
    for what, cost, unit, bound in rows:
        print(f"{what:<52} {cost:10.2f} {unit} {bound:>4}")


if __name__ == "__main__":
    main()
