"""A call that is over is freed at once: what waits for the garbage collector would be held for thousands of calls."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.end_to_end import reception
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.sim.clock import run_virtual
from voicebot.sim.stage import stage

OURS = ("voicebot.audio", "voicebot.call", "voicebot.engine", "voicebot.realtime", "voicebot.telephony")


@pytest.fixture(autouse=True)
def garbage() -> Iterator[None]:
    try:
        yield
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize(("codec", "record"), [("pcm", "all"), ("pcmu", "off")])
def test_call_leaves_no_cycles(codec: str, record: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = {"VOICEBOT_RECORD": record, "VOICEBOT_STORE": f"sqlite:///{tmp_path_factory.mktemp('store')}/calls.db"}

    async def play() -> Counter[str]:
        brains = iter([reception.VISIT.brain(), reception.VISIT.brain()])
        shelf = FlowShelf({"visit": load_flow("visit", reception.flow)})
        async with stage(shelf, lambda: next(brains), default_flow="visit", codec=codec, settings=settings) as on:
            for call in (1, 2):  # the first one makes what is kept
                gc.collect()
                gc.disable()
                result = await on.phone(reception.VISIT).call()
                assert result.problems == ()
                await on.crm.wait_for(call, 60.0)
                await asyncio.sleep(30.0)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            return Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.garbage)

    left = {kind: number for kind, number in run_virtual(play()).items() if kind.startswith(OURS)}
    assert left == {}
