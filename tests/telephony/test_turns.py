"""Audio of one turn of the loop is converted together, in order, and as each stream alone would have."""

from __future__ import annotations

import asyncio

from voicebot.audio.resample import Upsampler
from voicebot.telephony.turns import Conversions

FRAMES = [bytes((7 * n * k + n) % 256 for n in range(160)) for k in range(1, 9)]


def alone(*payloads: bytes) -> list[bytes]:
    stream = Upsampler()
    return [stream.convert(payload) for payload in payloads]


async def test_converted_at_the_end_of_the_turn() -> None:
    conversions, heard = Conversions(), list[bytes]()
    stream = Upsampler()
    conversions.add(stream, FRAMES[0], heard.append)
    conversions.add(stream, FRAMES[1], heard.append)
    assert not heard
    await asyncio.sleep(0)
    assert heard == alone(*FRAMES[:2])
    await asyncio.sleep(0)
    assert len(heard) == 2


async def test_each_line_gets_its_own() -> None:
    conversions = Conversions()
    streams = [Upsampler() for _ in FRAMES]
    heard: list[list[bytes]] = [[] for _ in FRAMES]
    for _ in range(3):
        for stream, frame, ear in zip(streams, FRAMES, heard, strict=True):
            conversions.add(stream, frame, ear.append)
        await asyncio.sleep(0)
    assert heard == [alone(frame, frame, frame) for frame in FRAMES]


async def test_nothing_is_overtaken() -> None:
    conversions, heard = Conversions(), list[bytes]()
    conversions.add(Upsampler(), FRAMES[0], heard.append)
    conversions.finish()
    assert heard == alone(FRAMES[0])
    await asyncio.sleep(0)
    assert heard == alone(FRAMES[0])


async def test_who_hears_may_bring_more() -> None:
    conversions, heard = Conversions(), list[bytes]()
    stream = Upsampler()

    def more(converted: bytes) -> None:
        heard.append(converted)
        if len(heard) < 3:
            conversions.add(stream, FRAMES[len(heard)], more)

    conversions.add(stream, FRAMES[0], more)
    for _ in range(4):
        await asyncio.sleep(0)
    assert heard == alone(*FRAMES[:3])


async def test_defect_of_one_line_is_told_and_costs_no_other() -> None:
    conversions, heard, told = Conversions(), list[bytes](), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["exception"]))
    defect = RuntimeError("the ear is broken")

    def broken(converted: bytes) -> None:
        raise defect

    conversions.add(Upsampler(), FRAMES[0], broken)
    conversions.add(Upsampler(), FRAMES[1], heard.append)
    await asyncio.sleep(0)
    assert (told, heard) == ([defect], alone(FRAMES[1]))
