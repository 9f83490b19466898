"""A flow's event handlers at the table: told of each entry by the product's own hand, on a clock of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from voicebot.call.entries import Entry
from voicebot.call.handlers import CallHandlers
from voicebot.call.wishes import Wish
from voicebot.engine.engine import PhaseEngine
from voicebot.flow.handlers import Handler

from .clock import run_virtual

_GRACE_S = 5.0  # for handlers that do not end at their limit


def play_handlers(
    handlers: Sequence[Handler], entry: Entry, at: datetime, *, call_sid: str, engine: PhaseEngine
) -> list[tuple[float, Wish]]:
    """Tell the handlers of one entry; returns what they want of the call, each with how long it took them (virtual s).

    Must not be called on a running event loop. In a call they wait for one another; here each entry finds them free.
    """

    async def run() -> list[tuple[float, Wish]]:
        time = asyncio.get_running_loop().time
        wishes: list[tuple[float, Wish]] = []
        told = CallHandlers(handlers, call_sid=call_sid, engine=engine, wish=lambda wish: wishes.append((time(), wish)))
        told.told(entry, at)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(told.run())
            await asyncio.sleep(sum(handler.timeout_s for handler in handlers) + _GRACE_S)
            told.leave()
        return wishes

    return run_virtual(run())
