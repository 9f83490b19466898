"""How async tests run on a virtual loop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine

from voicebot.sim.clock import VirtualLoop, run_virtual


def virtual(test: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
    """Run an async test on a virtual loop."""

    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        run_virtual(test(*args, **kwargs))

    return run


def running_loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop
