"""Every kind of store, as an address; the contract's tests run over each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from voicebot.store.contract import Store
from voicebot.store.opening import open_store

OpenAgain = Callable[[], Awaitable[Store]]


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["sqlite", "redis"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a store that nothing was written to yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/data/voicebot.db"
    server: RedisServer = request.getfixturevalue("shared_redis")
    server.run("FLUSHALL")
    return server.address


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
