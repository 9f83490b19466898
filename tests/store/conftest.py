"""Every kind of store, as an address; the contract's tests run over each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from voicebot.store.contract import Store
from voicebot.store.opening import open_store

OpenAgain = Callable[[], Awaitable[Store]]


@pytest.fixture(params=["sqlite"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return {"sqlite": f"sqlite:///{tmp_path}/data/voicebot.db"}[request.param]


@pytest.fixture
async def open_again(address: str) -> AsyncIterator[OpenAgain]:
    """Opens one more instance on the same data, as another process would."""
    async with AsyncExitStack() as stack:

        async def open_one() -> Store:
            store = await open_store(address)
            stack.push_async_callback(store.close)
            return store

        yield open_one


@pytest.fixture
async def store(open_again: OpenAgain) -> Store:
    return await open_again()
