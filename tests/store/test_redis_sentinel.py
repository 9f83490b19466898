"""A primary that dies or is replaced: a real Sentinel makes the replica the primary."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from tests.store.store_samples import OURS, START, THEIRS, entries, entry, new_delivery, opened, record
from tests.store.waiting import until
from voicebot.errors import StoreError
from voicebot.store.redis import RedisStore
from voicebot.store.redis_address import parse_redis

pytestmark = pytest.mark.slow

SENTINEL = """
sentinel monitor main 127.0.0.1 {port} 1
sentinel down-after-milliseconds main 500
sentinel failover-timeout main 3000
"""


@dataclass
class Watched:
    primary: RedisServer
    replica: RedisServer
    sentinel: RedisServer

    @property
    def address(self) -> str:
        return f"redis+sentinel://127.0.0.1:1,127.0.0.1:{self.sentinel.port}/main/0"


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with RedisServer(tmp_path / "primary") as primary:
        follows = ("--replicaof", "127.0.0.1", str(primary.port), "--repl-diskless-sync-delay", "0")
        with RedisServer(tmp_path / "replica", *follows) as replica:
            (tmp_path / "sentinel").mkdir()
            (tmp_path / "sentinel" / "sentinel.conf").write_text(SENTINEL.format(port=primary.port))
            with RedisServer(tmp_path / "sentinel", sentinel=True) as sentinel:
                yield Watched(primary, replica, sentinel)


async def opened_store(watched: Watched) -> RedisStore:
    """On a primary whose replica is up to date and known to the Sentinel."""
    await until(lambda: watched.sentinel.run("SENTINEL", "REPLICAS", "main"))
    await until(lambda: watched.replica.run("ROLE")[3] == b"connected")  # type: ignore[index]  # as the library has it
    return await RedisStore.open(parse_redis(watched.address))


async def test_fail_over_loses_and_doubles_nothing(watched: Watched) -> None:
    store = await opened_store(watched)
    await opened(store, "CA1", "CA2")
    await store.append("CA1", entries(1, 10), attempt=1, durable=True)
    await store.append("CA2", entries(1, 2), attempt=1, durable=True)
    await store.finish("CA2", "{}", [new_delivery()], attempt=1, ended=START)
    watched.replica.pause()  # what is written now is on the primary alone
    await store.append("CA1", entries(11, 20), attempt=1, durable=True)
    watched.primary.kill()
    watched.replica.resume()
    await store.append("CA1", entries(21, 30), attempt=1, durable=False)
    await until(lambda: not store.healthy())
    with pytest.raises(StoreError):
        await store.append("CA1", [entry(31)], attempt=1, durable=True)
    await until(store.healthy)
    assert watched.replica.fact("connected_clients") > 1
    await store.append("CA1", [entry(32)], attempt=1, durable=True)
    assert await store.journal("CA1") == entries(1, 32)
    assert await store.report("CA2") == "{}"
    assert await store.call("CA1") == record("CA1")
    await store.close()


async def test_calls_that_only_the_old_primary_had_are_made_again(watched: Watched) -> None:
    store = await opened_store(watched)
    await store.beat(OURS)
    watched.replica.pause()
    await opened(store, "CA1", "CA2", "CA3", "CA4")
    await store.claim_stream("CA2", 1, THEIRS)
    await store.take_over("CA3", 1, OURS, token_issued_at=1)
    await store.append("CA3", entries(1, 3), attempt=2, durable=True)
    await store.finish("CA3", "{}", [new_delivery()], attempt=2, ended=START)
    await store.finish("CA4", "{}", [], attempt=1, ended=START)
    await store.erase("CA4")
    watched.primary.kill()
    watched.replica.resume()
    with pytest.raises(StoreError):
        await store.beat(OURS)
    await until(store.healthy)
    assert await store.beat(OURS) == {"CA1": 1}
    assert await store.beat(THEIRS) == {"CA2": 2}
    assert await store.claim_stream("CA2", 2, OURS) is None
    assert await store.journal("CA3") == entries(1, 3)
    assert [row.webhook_id for row in await store.deliveries(10)] == ["msg_1"]
    assert await store.call("CA4") is None  # what was erased stays so
    await store.close()


async def test_planned_change_of_primary_is_a_short_outage(watched: Watched) -> None:
    store = await opened_store(watched)
    await opened(store, "CA1")
    await store.append("CA1", [entry(1)], attempt=1, durable=True)
    watched.sentinel.run("SENTINEL", "FAILOVER", "main")
    await until(lambda: watched.replica.run("ROLE")[0] == b"master")  # type: ignore[index]  # as the library has it
    sequence = 1
    while watched.primary.run("ROLE")[0] == b"master" or not store.healthy():  # type: ignore[index]
        sequence += 1  # some go to the old primary, which then forgets them
        await store.append("CA1", [entry(sequence)], attempt=1, durable=False)
        await asyncio.sleep(0.02)
    await store.append("CA1", [entry(sequence + 1)], attempt=1, durable=True)
    assert await store.journal("CA1") == entries(1, sequence + 1)
    assert await store.beat(OURS) == {"CA1": 1}
    await store.close()


async def test_lost_replica_does_not_stop_calls(watched: Watched) -> None:
    store = await opened_store(watched)
    await opened(store, "CA1")
    watched.replica.kill()
    for sequence in range(1, 51):
        await store.append("CA1", [entry(sequence)], attempt=1, durable=True)
    assert store.healthy()
    await store.close()


@pytest.mark.parametrize("sentinel_too", [False, True])
async def test_password_is_for_server_and_sentinel(tmp_path: Path, sentinel_too: bool) -> None:
    with RedisServer(tmp_path / "primary", "--requirepass", "word") as primary:
        lines = SENTINEL.format(port=primary.port) + "sentinel auth-pass main word\n"
        (tmp_path / "sentinel").mkdir()
        (tmp_path / "sentinel" / "sentinel.conf").write_text(lines + ("requirepass word\n" if sentinel_too else ""))
        with RedisServer(tmp_path / "sentinel", sentinel=True) as sentinel:
            store = await RedisStore.open(parse_redis(f"redis+sentinel://:word@127.0.0.1:{sentinel.port}/main"))
            assert await store.beat(OURS) == {}
            await store.close()
            with pytest.raises(StoreError, match="password"):
                await RedisStore.open(parse_redis(f"redis+sentinel://:no@127.0.0.1:{sentinel.port}/main"))
