"""A flow's tools at the table: run by the product's own hand, on a virtual clock of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from voicebot.call.events import StartTool
from voicebot.call.tool_run import run_tool
from voicebot.engine.events import ToolFinished
from voicebot.flow.tools import Tool

from .clock import run_virtual


@dataclass(frozen=True)
class ToolRun:
    """What became of a tool: what it had said and when, and how long it took (virtual seconds since it began)."""

    said: tuple[tuple[float, str], ...]
    finished: ToolFinished
    took_s: float


def play_tool(
    tool: Tool,
    wanted: StartTool,
    *,
    call_sid: str,
    caller: str | None,
    observations: Mapping[str, object],
    send_sms: Callable[[str], Awaitable[None]] | None = None,
) -> ToolRun:
    """Run a tool to its end, at once. A sync function takes no virtual time, however long it really works.

    Must not be called on a running event loop.
    """

    async def run() -> ToolRun:
        time = asyncio.get_running_loop().time
        said: list[tuple[float, str]] = []
        finished = await run_tool(
            tool,
            wanted,
            call_sid=call_sid,
            caller=caller,
            observations=observations,
            say=lambda words: said.append((time(), words)),
            send_sms=send_sms,
        )
        return ToolRun(tuple(said), finished, time())

    return run_virtual(run())
