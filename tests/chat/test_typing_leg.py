"""The leg of a caller who types."""

from __future__ import annotations

import asyncio

from voicebot.call.ports import CallerLeft, CallerWrote, ClearPlayback, CloseLeg, MarkPlayed, PlayAudio, SendMark
from voicebot.chat.leg import TypingLeg


async def test_marks_come_back_at_once_and_in_order() -> None:
    leg = TypingLeg()
    await leg.send([SendMark("a"), PlayAudio(b"\xff" * 800), SendMark("b"), ClearPlayback()])
    assert await leg.receive() == [MarkPlayed("a"), MarkPlayed("b")]


async def test_what_the_caller_writes_is_received() -> None:
    leg = TypingLeg()
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(leg.receive())
        await asyncio.sleep(0)
        assert not leg.unheard
        leg.tell(CallerWrote("Two, please"))
        assert leg.unheard
    assert reading.result() == [CallerWrote("Two, please")]
    assert not leg.unheard


async def test_nothing_comes_after_the_caller_has_left() -> None:
    leg = TypingLeg()
    leg.tell(CallerLeft("hangup"))
    leg.tell(CallerWrote("still here"))
    await leg.send([SendMark("a"), CloseLeg()])
    assert await leg.receive() == [CallerLeft("hangup")]
    assert await leg.receive() == [CallerLeft("hangup")]


async def test_closed_leg_is_left() -> None:
    leg = TypingLeg()
    await leg.send([SendMark("a"), CloseLeg()])
    assert await leg.receive() == [MarkPlayed("a"), CallerLeft("hangup")]
