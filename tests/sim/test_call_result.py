"""Figures of a call, worked out from drawn tapes: `#` is 100 ms of sound, `.` 100 ms of silence."""

from __future__ import annotations

import pytest

from voicebot.sim.call_result import Statistics, measure
from voicebot.sim.timeline import BotSaid, CallerSaid, Cleared, Played, StreamRecord


def tape(drawn: str) -> bytes:
    return b"".join({"#": b"\x20", ".": b"\xff"}[one] * 800 for one in drawn)


def caller(start_ms: float, end_ms: float) -> CallerSaid:
    return CallerSaid("x", start_ms, end_ms, complete=True)


def stream(*played: Played, clears: tuple[float, ...] = ()) -> StreamRecord:
    return StreamRecord("MZ0", 0, 9999, 9999, played, (), tuple(Cleared(at_ms, 0, ()) for at_ms in clears))


@pytest.mark.parametrize(
    ("heard", "spoken", "latencies"),
    [
        ("##....###", [caller(300, 500)], (100,)),
        ("##.......", [caller(300, 500)], ()),
        ("####.....#", [caller(300, 500)], ()),  # the bot was talking when the caller ended
        ("....##....##", [caller(0, 300), caller(700, 900)], (100, 100)),
        ("........##", [caller(0, 300), caller(600, 700)], (100,)),  # only the last of two is answered
        ("...", [], ()),
    ],
)
def test_latency_counts_from_the_callers_last_sound(
    heard: str, spoken: list[CallerSaid], latencies: tuple[float, ...]
) -> None:
    assert measure(tape(heard), spoken, [], []).latencies_ms == latencies


@pytest.mark.parametrize(
    ("heard", "words", "latencies"),
    [
        ("#####....", [], [300]),  # by silence
        ("#####..##", [], [700]),  # a pause for breath is none
        ("#####..##", [BotSaid("cut", 0, 500, complete=False)], [300]),  # by words
        ("##.......", [], []),  # the bot had ended
        ("..###....", [], []),  # the bot began, not the caller
    ],
)
def test_interruption_lasts_until_the_bot_is_silent(heard: str, words: list[BotSaid], latencies: list[float]) -> None:
    statistics = measure(tape(heard), [*words, caller(200, 600)], [], [])
    assert [one.latency_ms for one in statistics.interruptions] == latencies


@pytest.mark.parametrize(
    ("record", "said", "gaps", "underruns"),
    [
        (stream(Played(0, 0, 800), Played(200, 800, 800)), BotSaid("a", 0, 300, complete=True), 1, 1),
        (stream(Played(0, 0, 800), Played(200, 800, 800)), BotSaid("a", 0, 100, complete=False), 1, 1),
        (stream(Played(0, 0, 800), Played(200, 800, 800)), BotSaid("a", 0, 100, complete=True), 1, 0),
        (stream(Played(0, 0, 800), Played(200, 800, 800), clears=(90,)), BotSaid("a", 0, 100, complete=False), 0, 0),
        (
            stream(Played(0, 0, 800), Played(200, 800, 800), clears=(80 - 1e-12,)),
            BotSaid("a", 0, 100, complete=False),
            0,
            0,
        ),
        (stream(Played(0, 0, 800), Played(100, 900, 800)), BotSaid("a", 0, 200, complete=True), 0, 0),
        (stream(Played(0, 0, 1600)), BotSaid("a", 0, 200, complete=True), 0, 0),
    ],
)
def test_underrun_is_a_gap_in_an_utterance(record: StreamRecord, said: BotSaid, gaps: int, underruns: int) -> None:
    statistics = measure(tape("####"), [said], [record], [])
    assert (len(statistics.gaps), len(statistics.underruns)) == (gaps, underruns)


def test_lateness_of_the_phone_is_told() -> None:
    assert measure(b"", [], [], [1.0, 7.5, 2.0]).lateness_max_ms == 7.5
    assert Statistics((), (), (), (), ()).lateness_max_ms == 0
