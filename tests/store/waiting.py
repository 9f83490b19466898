"""Waiting for what another process or thread does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LIMIT_S = 120.0  # generous: the machine may be loaded


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.01)
