"""Waiting for the append-only file, before a server that says when it is on its disk.

The real server here may be too old to know WAITAOF; a relay before it then answers in its place, and can say what no
sound disk does.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from tests.redis_relay import RedisRelay
from tests.redis_server import RedisServer
from tests.store.store_samples import OURS, START, entries, entry, new_delivery, opened
from tests.store.waiting import until
from voicebot.errors import StoreError
from voicebot.store.redis import RedisStore
from voicebot.store.redis_address import parse_redis

SAFE, NOT_SAFE = b"*2\r\n:1\r\n:0\r\n", b"*2\r\n:0\r\n:0\r\n"


@pytest.fixture
async def relay(redis_server: RedisServer) -> AsyncIterator[RedisRelay]:
    relay = RedisRelay(redis_server.port)
    relay.changed[b"INFO"] = lambda info: re.sub(rb"redis_version:\S+", b"redis_version:7.2.0", info)
    relay.answers[b"WAITAOF"] = lambda command: SAFE
    async with relay.running():
        yield relay


@pytest.fixture
async def store(relay: RedisRelay) -> AsyncIterator[RedisStore]:
    store = await RedisStore.open(parse_redis(relay.address))
    yield store
    await store.close()


def waits(relay: RedisRelay) -> int:
    return sum(command[0] == b"WAITAOF" for command in relay.seen)


async def test_durable_entries_wait_for_the_file(relay: RedisRelay, store: RedisStore) -> None:
    await opened(store, "CA1")
    await store.claim_stream("CA1", 1, OURS)
    await store.append("CA1", entries(1, 3), attempt=1, durable=False)
    await store.beat(OURS)
    assert waits(relay) == 0
    await store.append("CA1", [entry(4)], attempt=1, durable=True)
    assert [command[-1] for command in relay.seen[-2:]] == [b"mark", b"2000"]
    await store.finish("CA1", "{}", [new_delivery()], attempt=1, ended=START)
    await store.requeue("msg_1", START)
    await store.enqueue("CA1", [new_delivery("msg_2")], START)
    await store.erase("CA1")
    assert waits(relay) == 5


async def test_those_who_wait_share_a_round(relay: RedisRelay, store: RedisStore) -> None:
    calls = [f"CA{n}" for n in range(50)]
    await opened(store, *calls)
    await asyncio.gather(*(store.append(call, [entry(1)], attempt=1, durable=True) for call in calls))
    assert 1 <= waits(relay) <= 3


async def test_file_that_is_not_written_is_an_outage(relay: RedisRelay, store: RedisStore) -> None:
    await opened(store, "CA1")
    relay.answers[b"WAITAOF"] = lambda command: NOT_SAFE
    with pytest.raises(StoreError, match=r"file was not on its disk within 2 s \(see to its disk"):
        await store.append("CA1", entries(1, 3), attempt=1, durable=True)
    assert not store.healthy()
    with pytest.raises(StoreError, match="see to its disk"):  # and the report is there, so the next try says False
        await store.finish("CA1", "{}", [], attempt=1, ended=START)
    relay.answers[b"WAITAOF"] = lambda command: SAFE
    await until(store.healthy)
    assert not await store.finish("CA1", "{}", [], attempt=1, ended=START)
    assert await store.journal("CA1") == entries(1, 3)


async def test_known_trouble_of_the_file_is_answered_at_once(relay: RedisRelay, store: RedisStore) -> None:
    await opened(store, "CA1")
    relay.answers[b"WAITAOF"] = lambda command: NOT_SAFE
    refused = 0
    for sequence in range(1, 101):
        with pytest.raises(StoreError, match="see to its disk"):
            await store.append("CA1", [entry(sequence)], attempt=1, durable=True)
        refused += 1
    assert refused == 100 and waits(relay) < 100
    assert len(await store.journal("CA1")) == 100


async def test_server_without_a_file_is_not_asked(redis_server: RedisServer, relay: RedisRelay) -> None:
    redis_server.run("CONFIG", "SET", "appendonly", "no")
    store = await RedisStore.open(parse_redis(relay.address))
    await opened(store, "CA1")
    await store.append("CA1", [entry(1)], attempt=1, durable=True)
    await store.close()
    assert waits(relay) == 0


async def test_outage_while_waiting_is_told(redis_server: RedisServer, relay: RedisRelay, store: RedisStore) -> None:
    await opened(store, "CA1")
    await store.append("CA1", [entry(1)], attempt=1, durable=True)
    relay.lost = {b"mark"}
    await store.append("CA1", [entry(2)], attempt=1, durable=True)  # a broken connection is made again
    redis_server.kill()
    with pytest.raises(StoreError):
        await store.append("CA1", [entry(3)], attempt=1, durable=True)
    redis_server.start()
    await until(store.healthy)
    await store.append("CA1", [entry(4)], attempt=1, durable=True)
    assert await store.journal("CA1") == entries(1, 4)
