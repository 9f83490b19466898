"""Opening a Redis store: what is refused, what is warned of, and in which words."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.redis_relay import RedisRelay
from tests.redis_server import RedisServer
from voicebot.errors import StoreError
from voicebot.store.opening import open_store
from voicebot.store.redis_link import Server
from voicebot.store.redis_opening import doubts


async def refusal(address: str) -> str:
    with pytest.raises(StoreError) as refused:
        await open_store(address)
    shown = "".join(str(one) for one in (refused.value, refused.value.__cause__))
    assert "canary" not in shown
    return str(refused.value)


# ---- what is refused ----------------------------------------------------------------------------------------------


async def test_absent_server_is_named(redis_server: RedisServer) -> None:
    redis_server.stop()
    said = await refusal(redis_server.address.replace("//", "//bot:canary@"))
    assert said.startswith(redis_server.address) and "refused" in said and "start it, or mend its address" in said


async def test_wrong_password_is_refused_without_showing_it(redis_server: RedisServer) -> None:
    redis_server.run("CONFIG", "SET", "requirepass", "another")
    address = redis_server.address.replace("//", "//:canary@")
    assert "mend user and password" in await refusal(address)
    assert "write user and password into its address" in await refusal(redis_server.address)


async def test_user_and_password_open_it(redis_server: RedisServer) -> None:
    redis_server.run("ACL", "SETUSER", "bot", "on", ">a:b@c/d", "~voicebot:*", "+@all", "-@dangerous", "+info")
    store = await open_store(redis_server.address.replace("//", "//bot:a:b%40c%2Fd@"))
    await store.beat("A-000001")
    await store.close()


async def test_missing_right_is_said(redis_server: RedisServer) -> None:
    redis_server.run("ACL", "SETUSER", "bot", "on", ">word", "~other:*", "+@all")
    assert "on the keys voicebot:*" in await refusal(redis_server.address.replace("//", "//bot:word@"))


async def test_replica_is_refused(redis_server: RedisServer) -> None:
    redis_server.run("REPLICAOF", "127.0.0.1", 1)
    assert "is a replica (name the primary, or its Sentinels" in await refusal(redis_server.address)


async def test_cluster_is_refused(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--cluster-enabled", "yes") as server:
        assert "is part of a Redis Cluster" in await refusal(server.address)


async def test_sentinel_is_told_from_a_server(tmp_path: Path) -> None:
    (tmp_path / "sentinel.conf").touch()
    with RedisServer(tmp_path, sentinel=True) as sentinel:
        assert "write redis+sentinel://" in await refusal(sentinel.address)
        address = f"redis+sentinel://:canary@127.0.0.1:1,127.0.0.1:{sentinel.port}/main"
        said = await refusal(address)
    assert "refused" in said and f"127.0.0.1:{sentinel.port} watches no 'main'" in said


async def test_unknown_database_is_refused(redis_server: RedisServer) -> None:
    assert "name a database that it has" in await refusal(f"redis://127.0.0.1:{redis_server.port}/99")


@asynccontextmanager
async def other_service() -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_other_service_is_told_from_redis() -> None:
    async with other_service() as address:
        assert "what answers there is no Redis" in await refusal(address)


async def test_server_without_tls_is_refused_as_such(redis_server: RedisServer) -> None:
    assert "start it, or mend its address" in await refusal(redis_server.address.replace("redis:", "rediss:"))


async def test_old_server_is_refused(redis_server: RedisServer) -> None:
    relay = RedisRelay(redis_server.port)
    relay.changed[b"INFO"] = lambda info: re.sub(rb"redis_version:\S+", b"redis_version:6.0.16", info)
    async with relay.running():
        assert "is Redis 6.0 (take Redis 6.2 or newer" in await refusal(relay.address)


async def test_newer_schema_is_refused(redis_server: RedisServer) -> None:
    await (await open_store(redis_server.address)).close()
    assert redis_server.run("GET", "voicebot:schema") == b"1"
    redis_server.run("SET", "voicebot:schema", 2)
    assert "written to by a newer voicebot (schema 2, this one knows 1): upgrade" in await refusal(redis_server.address)


async def test_keys_of_another_program_are_named(redis_server: RedisServer) -> None:
    redis_server.run("LPUSH", "voicebot:schema", "x")
    assert "another program has keys named voicebot:…" in await refusal(redis_server.address)


async def test_missing_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name for name in sys.modules if name == "redis" or name.startswith(("redis.", "voicebot.store.redis"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    assert await refusal("redis://localhost") == "Redis needs its library: pip install 'voicebot[redis]'"


# ---- what is warned of --------------------------------------------------------------------------------------------


async def test_sound_server_gives_no_warning(redis_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    await (await open_store(redis_server.address)).close()
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"appendfsync": "everysec"}, "set appendfsync always"),
        ({"appendonly": "no"}, "append-only file is off, .*: set appendonly yes and appendfsync always"),
        ({"maxmemory-policy": "allkeys-lru"}, "with maxmemory-policy allkeys-lru it throws .*: set .* noeviction"),
    ],
)
async def test_what_may_be_lost_is_one_warning(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture, settings: dict[str, str], words: str
) -> None:
    for name, value in settings.items():
        redis_server.run("CONFIG", "SET", name, value)
    await (await open_store(redis_server.address)).close()
    (warning,) = caplog.records
    assert warning.levelname == "WARNING"
    assert re.search(f"^{redis_server.address}: .*{words}", warning.getMessage())


@pytest.mark.parametrize(
    ("version", "appendfsync", "words"),
    [
        ((7, 0), "always", []),
        ((7, 0), "everysec", ["may lose its last second, reports too"]),
        ((7, 0), "no", ["may lose its last half a minute"]),
        ((7, 0), "", ["may lose its last second, or more"]),
        ((7, 2), "always", []),
        ((7, 2), "everysec", ["a call waits up to a second"]),
        ((7, 2), "no", ["may lose its last half a minute"]),
        ((7, 2), "", []),
    ],
)
def test_promises_depend_on_the_age(version: tuple[int, int], appendfsync: str, words: list[str]) -> None:
    server = Server(
        run_id="run",
        version=version,
        mode="standalone",
        is_primary=True,
        has_file=True,
        appendfsync=appendfsync,
        memory_policy="noeviction",
    )
    found = doubts(server)
    assert len(found) == len(words)
    assert all(word in doubt for word, doubt in zip(words, found, strict=True))
