"""The Redis store's own promises: outages, other servers, lost answers, erasure, what it costs."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.redis_relay import RedisRelay
from tests.redis_server import RedisServer
from tests.store.store_samples import NAMES, OURS, START, THEIRS, entries, entry, new_delivery, opened, record
from tests.store.waiting import LIMIT_S, until
from voicebot.errors import CallTakenError, StoreError
from voicebot.sim.clock import run_virtual
from voicebot.store.opening import open_store
from voicebot.store.redis import RedisStore
from voicebot.store.redis_address import parse_redis


@asynccontextmanager
async def opened_store(address: str, *, buffer_bytes: int = 1_000_000) -> AsyncIterator[RedisStore]:
    store = await RedisStore.open(parse_redis(address), buffer_bytes=buffer_bytes)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[RedisStore]:
    async with opened_store(redis_server.address) as store:
        yield store


# ---- the server away ----------------------------------------------------------------------------------------------


async def test_outage_keeps_entries_and_their_order(redis_server: RedisServer, store: RedisStore) -> None:
    await opened(store, "CA1", "CA2")
    await store.append("CA1", entries(1, 10), attempt=1, durable=True)
    redis_server.kill()
    await store.append("CA1", entries(11, 20), attempt=1, durable=False)
    with pytest.raises(StoreError, match=f"{redis_server.address}: .*start it"):
        await store.append("CA1", [entry(21)], attempt=1, durable=True)
    assert not store.healthy()
    await store.append("CA2", entries(1, 500), attempt=1, durable=False)
    await store.append("CA1", entries(22, 30), attempt=1, durable=False)
    redis_server.start()
    await until(store.healthy)
    await store.append("CA1", [entry(31)], attempt=1, durable=True)
    assert await store.journal("CA1") == entries(1, 31)
    assert await store.journal("CA2") == entries(1, 500)


async def test_crash_of_server_between_entries_loses_and_doubles_none(
    redis_server: RedisServer, store: RedisStore
) -> None:
    await opened(store, *(f"CA{n}" for n in range(10)))
    written = dict.fromkeys((f"CA{n}" for n in range(10)), 0)
    going_on = True

    async def talk(call_sid: str) -> None:
        while going_on:
            written[call_sid] += 1
            try:
                await store.append(call_sid, [entry(written[call_sid])], attempt=1, durable=written[call_sid] % 3 == 0)
            except StoreError:
                assert not store.healthy()
            await asyncio.sleep(0.001)

    async with asyncio.TaskGroup() as tasks:
        for call_sid in written:
            tasks.create_task(talk(call_sid))
        for crash in range(1, 4):
            await until(lambda crash=crash: min(written.values()) > 30 * crash)  # type: ignore[misc]
            redis_server.kill()
            await until(lambda: not store.healthy())
            redis_server.start()
            await until(store.healthy)
        going_on = False
    for call_sid, last in written.items():
        await store.append(call_sid, [], attempt=1, durable=True)
        assert await store.journal(call_sid) == entries(1, last)


async def test_known_outage_is_answered_at_once(redis_server: RedisServer, store: RedisStore) -> None:
    await opened(store, "CA1")
    redis_server.pause()  # it would take every request and never answer
    with pytest.raises(StoreError, match=r"[Tt]imeout"):
        await store.append("CA1", [entry(1)], attempt=1, durable=True)
    refused = 0
    for sequence in range(2, 202):  # at the network's limit of two seconds each they would take minutes
        with pytest.raises(StoreError):
            await store.append("CA1", [entry(sequence)], attempt=1, durable=True)
        with pytest.raises(StoreError):
            await store.finish("CA1", "{}", [], attempt=1, ended=START)
        with pytest.raises(StoreError):
            await store.call("CA1")
        refused += 1
    assert refused == 200
    redis_server.resume()
    await until(store.healthy)
    await store.append("CA1", [], attempt=1, durable=True)
    assert await store.journal("CA1") == entries(1, 201)


async def test_reading_in_vain_finds_the_outage(redis_server: RedisServer, store: RedisStore) -> None:
    redis_server.kill()
    assert store.healthy()
    with pytest.raises(StoreError, match="start it"):
        await store.call("CA1")
    await until(lambda: not store.healthy())
    redis_server.start()
    await until(store.healthy)


async def test_outage_is_two_lines_in_the_log(
    redis_server: RedisServer, store: RedisStore, caplog: pytest.LogCaptureFixture
) -> None:
    await opened(store, "CA1")
    redis_server.kill()
    for sequence in range(1, 20):
        await store.append("CA1", [entry(sequence)], attempt=1, durable=False)
    await until(lambda: not store.healthy())
    redis_server.start()
    await until(store.healthy)
    began, over = caplog.messages
    assert "entries are kept and tried again" in began and "Connection" in began
    assert over.startswith(f"{redis_server.address} is written to again, after ")


async def test_full_buffer_refuses_more_entries(redis_server: RedisServer) -> None:
    async with opened_store(redis_server.address, buffer_bytes=5000) as store:
        await opened(store, "CA1")
        redis_server.kill()
        await store.append("CA1", entries(1, 10), attempt=1, durable=False)
        with pytest.raises(StoreError, match="10 journal entries wait"):
            await store.append("CA1", entries(11, 20), attempt=1, durable=False)
        await until(lambda: not store.healthy())
        redis_server.start()
        await until(store.healthy)
        await store.append("CA1", entries(11, 20), attempt=1, durable=True)
        assert await store.journal("CA1") == entries(1, 20)


async def test_entries_that_were_not_kept_come_with_the_report(store: RedisStore) -> None:
    await opened(store, "CA1")
    await store.append("CA1", [*entries(1, 3), *entries(8, 9)], attempt=1, durable=True)
    await store.append("CA1", [entry(6), entry(5)], attempt=1, durable=True)
    assert [stored.sequence for stored in await store.journal("CA1")] == [1, 2, 3, 5, 6, 8, 9]
    await store.finish("CA1", "{}", [], attempt=1, ended=START, last_entries=entries(1, 12))
    assert await store.journal("CA1") == entries(1, 12)


async def test_close_says_what_it_could_not_write(redis_server: RedisServer) -> None:
    store = await RedisStore.open(parse_redis(redis_server.address))
    await opened(store, "CA1")
    redis_server.kill()
    await store.append("CA1", entries(1, 5), attempt=1, durable=False)
    with pytest.raises(StoreError, match="5 journal entries could not be written"):
        await store.close()


async def test_large_backlog_is_written_in_parts(redis_server: RedisServer) -> None:
    async with opened_store(redis_server.address, buffer_bytes=30_000_000) as store:
        await opened(store, "CA1")
        redis_server.kill()
        bulky = [entry(n, f'"{"x" * 100_000}"') for n in range(1, 101)]
        for one in bulky:
            await store.append("CA1", [one], attempt=1, durable=False)
        await until(lambda: not store.healthy())
        redis_server.start()
        await until(store.healthy)
        await store.append("CA1", [entry(101)], attempt=1, durable=True)
        assert await store.journal("CA1") == [*bulky, entry(101)]
        assert redis_server.fact("total_net_input_bytes") < 15_000_000  # 10 MB once


async def test_what_has_no_limit_of_its_own_is_an_outage_too(
    redis_server: RedisServer, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await opened(store, "CA1")
    resolved, resolve = threading.Event(), socket.getaddrinfo

    def slowly(*args: object, **kwargs: object) -> object:
        resolved.wait()
        return resolve(*args, **kwargs)  # type: ignore[arg-type]  # whatever it was given

    redis_server.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    monkeypatch.setattr("voicebot.store.redis_writer.GROUP_LIMIT_S", 0.05)
    with pytest.raises(StoreError, match=r"has not answered for 0\.05 s"):
        await store.append("CA1", [entry(1)], attempt=1, durable=True)
    with pytest.raises(StoreError, match="has not answered"):
        await store.finish("CA1", "{}", [], attempt=1, ended=START)
    with pytest.raises(StoreError, match="has not answered"):
        await store.journal("CA1")
    assert not store.healthy()
    monkeypatch.undo()
    resolved.set()
    await until(store.healthy)
    await store.append("CA1", [entry(2)], attempt=1, durable=True)
    assert await store.journal("CA1") == entries(1, 2)


# ---- connections --------------------------------------------------------------------------------------------------


async def test_connection_that_died_idle_is_no_outage(
    redis_server: RedisServer, store: RedisStore, caplog: pytest.LogCaptureFixture
) -> None:
    await opened(store, "CA1")
    await store.call("CA1")
    redis_server.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert await store.call("CA1") == record("CA1")
    await store.append("CA1", [entry(1)], attempt=1, durable=True)
    assert store.healthy() and caplog.messages == []


async def test_scripts_that_were_flushed_are_loaded_again(redis_server: RedisServer, store: RedisStore) -> None:
    await opened(store, "CA1")
    redis_server.run("SCRIPT", "FLUSH")
    await store.append("CA1", [entry(1)], attempt=1, durable=True)
    redis_server.run("SCRIPT", "FLUSH")
    assert await store.journal("CA1") == [entry(1)]
    assert store.healthy()


@pytest.fixture
async def relay(redis_server: RedisServer) -> AsyncIterator[RedisRelay]:
    relay = RedisRelay(redis_server.port)
    async with relay.running():
        yield relay


async def test_change_whose_answer_was_lost_counts_as_done(relay: RedisRelay) -> None:
    async with opened_store(relay.address) as store:
        relay.lost = {b"open_call", b"claim_stream", b"take_over", b"append", b"finish"}
        assert await store.open_call(record(), max_calls=1) == (record(), True)
        claimed = replace(record(), claimed=True)
        assert await store.claim_stream("CA1", 1, OURS) == claimed
        taken = replace(record(), owner=THEIRS, attempt=2, token_issued_at=9)
        assert await store.take_over("CA1", 1, THEIRS, token_issued_at=9) == taken
        await store.append("CA1", entries(1, 3), attempt=2, durable=True)
        assert await store.finish("CA1", "{}", [new_delivery()], attempt=2, ended=START)
        assert relay.lost == set()
        assert await store.journal("CA1") == entries(1, 3)
        assert not await store.finish("CA1", "{}", [], attempt=2, ended=START)
        assert store.healthy()


# ---- a server that takes no writes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("break_it", "mend_it", "words"),
    [
        ((b"REPLICAOF", b"127.0.0.1", b"1"), (b"REPLICAOF", b"NO", b"ONE"), "read only replica.*name the primary"),
        ((b"CONFIG", b"SET", b"maxmemory", b"1"), (b"CONFIG", b"SET", b"maxmemory", b"0"), "raise maxmemory"),
        (
            (b"CONFIG", b"SET", b"min-replicas-to-write", b"1"),
            (b"CONFIG", b"SET", b"min-replicas-to-write", b"0"),
            "start its replicas",
        ),
    ],
    ids=["read-only", "memory full", "no replicas"],
)
async def test_refused_writes_are_kept_and_said(
    redis_server: RedisServer,
    store: RedisStore,
    break_it: tuple[bytes, ...],
    mend_it: tuple[bytes, ...],
    words: str,
) -> None:
    await opened(store, "CA1")
    redis_server.run(*break_it)
    with pytest.raises(StoreError, match=words):
        await store.append("CA1", entries(1, 3), attempt=1, durable=True)
    with pytest.raises(StoreError, match=words):
        await store.finish("CA1", "{}", [], attempt=1, ended=START)
    with pytest.raises(StoreError, match=words):
        await store.beat(OURS)
    assert not store.healthy()
    redis_server.run(*mend_it)
    await until(store.healthy)
    await store.append("CA1", [entry(4)], attempt=1, durable=True)
    assert await store.journal("CA1") == entries(1, 4)


async def test_full_memory_can_be_read_and_erased_from(redis_server: RedisServer, store: RedisStore) -> None:
    await opened(store, "CA1")
    await store.append("CA1", entries(1, 3), attempt=1, durable=True)
    await store.finish("CA1", "{}", [new_delivery()], attempt=1, ended=START)
    redis_server.run("CONFIG", "SET", "maxmemory", 1)
    assert await store.journal("CA1") == entries(1, 3)
    assert await store.erase("CA1")
    with pytest.raises(StoreError, match="raise maxmemory"):
        await store.beat(OURS)
    assert await store.journal("CA1") == []


async def test_key_of_another_program_harms_its_call_alone(
    redis_server: RedisServer, store: RedisStore, caplog: pytest.LogCaptureFixture
) -> None:
    await opened(store, "CA1", "CA2")
    redis_server.run("SET", "voicebot:journal:CA1", "not ours")
    with pytest.raises(StoreError, match="another program has keys named voicebot"):
        await store.append("CA1", entries(1, 3), attempt=1, durable=True)
    await store.append("CA2", entries(1, 3), attempt=1, durable=True)
    assert store.healthy()
    (said,) = caplog.records
    assert said.levelname == "ERROR" and said.call_sid == "CA1"  # type: ignore[attr-defined]  # an extra of ours
    assert "of 3 journal entries some are lost: " in said.getMessage()


async def test_text_without_bytes_is_its_callers_alone(store: RedisStore) -> None:
    await opened(store, "CA1")
    with pytest.raises(ValueError, match="surrogates"):
        await store.open_call(replace(record("CA2"), flow_name="\ud83d"), max_calls=10)
    with pytest.raises(ValueError, match="surrogates"):
        await store.retire("\ud83d")
    with pytest.raises(ValueError, match="surrogates"):
        await store.append("CA1", [replace(entry(1), kind="\ud83d")], attempt=1, durable=False)
    await store.append("CA1", [entry(1)], attempt=1, durable=True)
    assert store.healthy()


# ---- following ----------------------------------------------------------------------------------------------------


async def test_many_followers_do_not_hinder_a_call(redis_server: RedisServer, store: RedisStore) -> None:
    async with opened_store(redis_server.address) as theirs:
        await opened(theirs, "CA1")
        async with asyncio.TaskGroup() as tasks:
            followers = [tasks.create_task(store.follow("CA1", 0, LIMIT_S)) for _ in range(30)]
            await until(lambda: redis_server.fact("blocked_clients") == 30)
            assert await store.call("CA1") == record()
            await theirs.append("CA1", entries(1, 2), attempt=1, durable=True)
        assert [follower.result() for follower in followers] == [entries(1, 2)] * 30


async def test_cancelled_follower_frees_its_thread(redis_server: RedisServer, store: RedisStore) -> None:
    async with asyncio.TaskGroup() as tasks:
        follower = tasks.create_task(store.follow("CA1", 0, LIMIT_S))
        await until(lambda: redis_server.fact("blocked_clients") == 1)
        follower.cancel()
    await until(lambda: redis_server.fact("blocked_clients") == 0)


async def test_follower_is_told_of_the_outage(redis_server: RedisServer, store: RedisStore) -> None:
    async def kill_when_followed() -> None:
        await until(lambda: redis_server.fact("blocked_clients") == 1)
        redis_server.kill()

    with pytest.raises(StoreError, match="start it"):
        await asyncio.gather(store.follow("CA1", 0, LIMIT_S), kill_when_followed())
    await until(lambda: not store.healthy())


# ---- much of it ---------------------------------------------------------------------------------------------------


async def test_many_deliveries_are_held_and_released(store: RedisStore) -> None:
    await opened(store, "CA1")
    for first in range(0, 600, 100):
        gone = [new_delivery(f"gone_{n}") for n in range(first, first + 50)]
        sound = [new_delivery(f"sound_{n}", "https://crm.example/other") for n in range(first, first + 50)]
        await store.enqueue("CA1", [*gone, *sound], START)
    await store.failed("gone_0", START, "answered 410", attempt=1, next_at=None, disable=True)
    assert {row.webhook_id[:4] for row in await store.deliveries(1000, "disabled")} == {"gone"}
    assert len(await store.deliveries(1000, "disabled")) == len(await store.deliveries(1000, "pending")) == 300
    assert await store.requeue("gone_7", START)
    assert len(await store.deliveries(1000, "pending")) == 600
    leased = await store.due(START, limit=1000, lease_s=30, per_host=1000, under_way={})
    assert len({row.webhook_id for row in leased}) == 600


async def test_many_calls_are_erased_in_parts(store: RedisStore) -> None:
    sids = [f"CA{n:03}" for n in range(130)]
    await opened(store, *sids)
    for number, sid in enumerate(sids):
        await store.finish(sid, "{}", [new_delivery(sid)] if number % 3 else [], attempt=1, ended=START)
    erased = await store.erase_before(START + timedelta(seconds=1), limit=30)
    assert erased == sids[:90:3]  # the others have a delivery still to come
    assert await store.erase_before(START + timedelta(seconds=1)) == sids[90::3]
    assert sorted(await store.erase_caller("+15550100")) == [sid for n, sid in enumerate(sids) if n % 3]
    assert await store.calls(1000) == await store.deliveries(1000) == []


# ---- races --------------------------------------------------------------------------------------------------------


async def test_instances_race_for_the_last_places(redis_server: RedisServer) -> None:
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(opened_store(redis_server.address)) for _ in range(4)]
        answers = await asyncio.gather(
            *(store.open_call(record(f"CA{n}-{k}"), max_calls=7) for n in range(25) for k, store in enumerate(stores))
        )
        assert [is_new for _, is_new in answers].count(True) == 7
        assert [standing for standing, _ in answers].count(None) == 93
        assert len(await stores[0].calls(100, ended=False)) == 7


async def test_instances_race_for_a_call(redis_server: RedisServer, store: RedisStore) -> None:
    async with opened_store(redis_server.address) as theirs:
        await opened(store, *(f"CA{n}" for n in range(50)))
        both = tuple(zip((store, theirs), NAMES, strict=True))
        claims = await asyncio.gather(
            *(one.claim_stream(f"CA{n}", 1, name) for n in range(50) for one, name in both for _ in range(3))
        )
        won = {claim.call_sid: claim for claim in claims if claim is not None}
        assert len(won) == 50 == sum(claim is not None for claim in claims)
        for one, name in both:
            mine = {sid: claim.attempt for sid, claim in won.items() if claim.owner == name}
            assert await one.beat(name) == mine
        for sid, claim in won.items():
            if claim.owner == THEIRS:
                with pytest.raises(CallTakenError):
                    await store.append(sid, [entry(1)], attempt=1, durable=True)


def test_buffered_entries_are_written_within_50_ms(redis_server: RedisServer) -> None:
    async def call() -> None:
        async with opened_store(redis_server.address) as store:
            await opened(store, "CA1")
            await store.append("CA1", [entry(1)], attempt=1, durable=False)
            assert redis_server.run("XLEN", "voicebot:journal:CA1") == 0
            await asyncio.sleep(0.03)
            await store.append("CA1", [entry(2)], attempt=1, durable=False)
            await asyncio.sleep(0.02)
            assert redis_server.run("XLEN", "voicebot:journal:CA1") == 2

    run_virtual(call())


# ---- what stays and what goes -------------------------------------------------------------------------------------


async def test_erasure_leaves_no_trace(redis_server: RedisServer, store: RedisStore) -> None:
    sids = ["CAerased1", "CAerased2", "CAerased3"]
    for number, sid in enumerate(sids):
        await store.open_call(record(sid, caller="+39061234567"), max_calls=10)
        await store.append(sid, [entry(1, f'{{"of": "{sid} +39061234567"}}')], attempt=1, durable=True)
        await store.claim_stream(sid, 1, THEIRS)
        await store.take_over(sid, 2, OURS, token_issued_at=1)
        bodies = [replace(new_delivery(f"msg_{number}{n}"), body=f"{sid} +39061234567") for n in range(4)]
        await store.finish(sid, f'"{sid} +39061234567"', bodies, attempt=3, ended=START)
        await store.delivered(f"msg_{number}0", START, 200)
        await store.failed(f"msg_{number}1", START, f"{sid} was refused", attempt=1, next_at=None)
    await store.failed("msg_02", START, "answered 410", attempt=1, next_at=None, disable=True)
    await opened(store, "CAkept")
    assert traces(redis_server, b"CAerased") and traces(redis_server, b"+39061234567")
    assert await store.erase(sids[0])
    assert sorted(await store.erase_caller("+39061234567")) == sids[1:]
    assert traces(redis_server, b"CAerased") == traces(redis_server, b"+39061234567") == []
    assert traces(redis_server, b"msg_") == []
    await store.append(sids[0], [entry(2)], attempt=3, durable=False)
    await store.delivered("msg_00", START, 200)
    await store.failed("msg_01", START, "late", attempt=2, next_at=START)
    assert not await store.requeue("msg_02", START)
    with pytest.raises(CallTakenError):
        await store.append(sids[0], [entry(3)], attempt=3, durable=True)
    assert traces(redis_server, b"CAerased") == traces(redis_server, b"msg_") == []
    assert [call.call_sid for call in await store.calls(10)] == ["CAkept"]


def traces(server: RedisServer, canary: bytes) -> list[bytes]:
    """Keys that hold `canary` in their name or anywhere in their value."""
    with server.client() as client:
        return [key for key in client.scan_iter(count=1000) if canary in key + repr(_value(client, key)).encode()]


def _value(client: object, key: bytes) -> object:
    kind = client.type(key)  # type: ignore[attr-defined]  # the library's own client
    read = {
        b"string": ("GET", key),
        b"hash": ("HGETALL", key),
        b"zset": ("ZRANGE", key, 0, -1),
        b"set": ("SMEMBERS", key),
        b"stream": ("XRANGE", key, "-", "+"),
    }
    return client.execute_command(*read[kind])  # type: ignore[attr-defined]


async def test_only_clips_lapse(redis_server: RedisServer, store: RedisStore) -> None:
    await opened(store, "CA1")
    await store.append("CA1", [entry(1)], attempt=1, durable=True)
    await store.finish("CA1", "{}", [new_delivery()], attempt=1, ended=START)
    await store.beat(OURS)
    payload = os.urandom(50_000)
    await store.keep_clip("greeting", payload)
    redis_server.run("EXPIRE", "voicebot:clip:greeting", 100)
    assert await store.clip("greeting") == payload
    with redis_server.client() as client:
        lapsing = {key: client.ttl(key) for key in client.scan_iter() if client.ttl(key) != -1}
    assert set(lapsing) - {b"voicebot:written"} == {b"voicebot:clip:greeting"}
    assert 2_591_000 < lapsing[b"voicebot:clip:greeting"] <= 2_592_000  # 30 days anew with every use


async def test_everything_survives_a_crash_of_the_server(redis_server: RedisServer) -> None:
    async with opened_store(redis_server.address) as store:
        await opened(store, "CA1", "CA2")
        await store.append("CA1", entries(1, 3), attempt=1, durable=True)
        await store.claim_stream("CA2", 1, THEIRS)
        await store.finish("CA1", "{}", [new_delivery()], attempt=1, ended=START)
        await store.beat(OURS)
        redis_server.kill()
    redis_server.start()
    async with opened_store(redis_server.address) as again:
        assert await again.journal("CA1") == entries(1, 3)
        assert await again.report("CA1") == "{}"
        assert await again.claim_stream("CA2", 1, OURS) is None
        assert await again.beats() == {OURS: 1}
        assert [row.webhook_id for row in await again.due(START, limit=9, lease_s=30, per_host=9, under_way={})] == [
            "msg_1"
        ]


async def test_close_lets_go_of_every_connection(redis_server: RedisServer) -> None:
    store = await open_store(redis_server.address)
    assert isinstance(store, RedisStore)
    await asyncio.gather(store.beat(OURS), store.follow("CA1", 0, 0.01), *(store.calls(10) for _ in range(10)))
    await store.close()
    assert redis_server.fact("connected_clients") == 1  # who asks
