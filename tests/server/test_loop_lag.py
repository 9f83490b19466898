"""How late the loop is, and when that means that no new call is taken."""

from __future__ import annotations

import asyncio
import time

import pytest

from voicebot.server.loop_lag import (
    PATIENCE_S,
    RECOVERY_S,
    SAMPLE_EVERY_S,
    Change,
    LagJudge,
    LoopLag,
)

LIMIT_S = 0.15


def feed(judge: LagJudge, late_s: float, lasting_s: float, now: float) -> tuple[float, list[Change]]:
    """Samples of one lateness for a while, each as late as it says; returns the time then, and what changed."""
    changes, end = [], now + lasting_s
    while now < end:
        now += SAMPLE_EVERY_S + late_s
        if (change := judge.saw(late_s, now)) is not None:
            changes.append(change)
    return now, changes


def test_lag_follows_what_is_seen() -> None:
    judge = LagJudge(LIMIT_S)
    assert judge.lag_s == 0.0
    feed(judge, 0.05, 10.0, 0.0)
    assert judge.lag_s == pytest.approx(0.05, rel=0.01)


def test_lag_that_stays_refuses_calls() -> None:
    judge = LagJudge(LIMIT_S)
    _, changes = feed(judge, 0.3, PATIENCE_S + 3.0, 0.0)
    assert (changes, judge.overloaded) == (["overloaded"], True)


@pytest.mark.parametrize("late_s", [0.0, 0.01, LIMIT_S])
def test_lag_within_the_limit_refuses_nothing(late_s: float) -> None:
    judge = LagJudge(LIMIT_S)
    assert feed(judge, late_s, 60.0, 0.0)[1] == []


def test_single_stalls_refuse_nothing() -> None:
    judge, now = LagJudge(LIMIT_S), 0.0
    for _ in range(20):
        now, changes = feed(judge, 0.8, 0.1, now)
        assert changes == []
        now, changes = feed(judge, 0.0, 4.0, now)
        assert changes == []


def test_calls_are_taken_again_when_the_lag_is_well_below() -> None:
    judge = LagJudge(LIMIT_S)
    now, _ = feed(judge, 0.3, 10.0, 0.0)
    now, changes = feed(judge, 0.1, 60.0, now)  # below the limit, but not well below it
    assert (changes, judge.overloaded) == ([], True)
    now, changes = feed(judge, 0.01, RECOVERY_S / 2, now)
    assert changes == []
    _, changes = feed(judge, 0.01, RECOVERY_S + 3.0, now)
    assert (changes, judge.overloaded) == (["recovered"], False)


def test_short_dips_do_not_take_calls_again() -> None:
    judge = LagJudge(LIMIT_S)
    now, _ = feed(judge, 0.4, 10.0, 0.0)
    for _ in range(10):
        now, changes = feed(judge, 0.0, 1.0, now)
        assert changes == []
        now, changes = feed(judge, 0.4, 4.0, now)
        assert changes == []


def test_no_limit_never_refuses() -> None:
    judge = LagJudge(0.0)
    assert feed(judge, 5.0, 60.0, 0.0)[1] == []
    assert judge.lag_s > 4.0


def test_clock_that_stands_or_early_wake_ups_do_no_harm() -> None:
    judge = LagJudge(LIMIT_S)
    for late_s in (0.2, -0.1, 0.0):
        judge.saw(late_s, 7.0)
    assert 0.0 <= judge.lag_s <= 0.2


async def test_blocked_loop_is_seen_and_forgiven() -> None:
    heard: asyncio.Queue[Change] = asyncio.Queue()
    lag = LoopLag(0.05, lambda change, lag_s: heard.put_nowait(change))
    blocked = True

    async def block() -> None:
        while blocked:
            time.sleep(0.3)  # noqa: ASYNC251 as work that never lets go
            await asyncio.sleep(0)

    watching, blocking = asyncio.create_task(lag.run()), asyncio.create_task(block())
    try:
        async with asyncio.timeout(30):
            assert await heard.get() == "overloaded"
            assert lag.overloaded and lag.lag_s > 0.05
            blocked = False
            assert await heard.get() == "recovered"
            assert not lag.overloaded
    finally:
        for task in (watching, blocking):
            task.cancel()
        await asyncio.wait([watching, blocking])
