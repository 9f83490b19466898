"""Addresses of Redis: what is read, what is refused, and that no password shows."""

from __future__ import annotations

import pytest

from voicebot.store.redis_address import RedisAddress, is_redis, parse_redis


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("redis://localhost", RedisAddress((("localhost", 6379),))),
        ("redis://localhost/", RedisAddress((("localhost", 6379),))),
        ("redis://127.0.0.1:6380/3", RedisAddress((("127.0.0.1", 6380),), 3)),
        ("redis://[::1]:6380/1", RedisAddress((("::1", 6380),), 1)),
        ("rediss://:p%40ss@cache.example", RedisAddress((("cache.example", 6379),), tls=True, password="p@ss")),
        ("redis://bot:a:b@c@host/2", RedisAddress((("host", 6379),), 2, username="bot", password="a:b@c")),
        ("redis://bot:p/w@host/2", RedisAddress((("host", 6379),), 2, username="bot", password="p/w")),
        ("redis+sentinel://a/mymaster", RedisAddress((("a", 26379),), 0, "mymaster")),
        (
            "redis+sentinel://bot:word@a:1,b:2,[::1]/main/5",
            RedisAddress((("a", 1), ("b", 2), ("::1", 26379)), 5, "main", username="bot", password="word"),
        ),
        ("rediss+sentinel://a/main/0", RedisAddress((("a", 26379),), 0, "main", tls=True)),
    ],
)
def test_address_is_read_in_parts(address: str, expected: RedisAddress) -> None:
    assert is_redis(address)
    assert parse_redis(address) == expected


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("redis://", "must be redis://"),
        ("redis:localhost", "must be redis://"),
        ("redis+cluster://:canary@host", "must be redis://"),
        ("redis://:canary@", "must be redis://"),
        ("redis://host/0?password=canary", "must be redis://"),
        ("redis://:canary@host:99999/0", "port that is no number"),
        ("redis://:canary@host:0/0", "port that is no number"),
        ("redis://:canary@ho st/0", "host that is none"),
        ("redis://:canary@host:canary/0", "host that is none"),
        ("redis://:canary@host/canary", "database that is no number"),
        ("redis://:canary@host/0/canary", "database that is no number"),
        ("redis://:canary@a,b/0", "names several servers"),
        ("redis+sentinel://:canary@a,b", "must name what the Sentinels watch"),
        ("redis+sentinel://:canary@a,b//0", "must name what the Sentinels watch"),
        ("redis+sentinel://a,/main", "host that is none"),
    ],
)
def test_other_address_is_refused_without_its_password(address: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        parse_redis(address)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("redis://bot:canary@host", "redis://host:6379/0"),
        ("rediss://:canary@[::1]:1/2", "rediss://[::1]:1/2"),
        ("redis+sentinel://:canary@a,b:1/main", "redis+sentinel://a:26379,b:1/main/0"),
        ("rediss+sentinel://:canary@a/main/3", "rediss+sentinel://a:26379/main/3"),
    ],
)
def test_password_does_not_show(address: str, shown: str) -> None:
    parsed = parse_redis(address)
    assert str(parsed) == shown
    assert "canary" not in repr(parsed)
    assert parse_redis(shown).nodes == parsed.nodes


@pytest.mark.parametrize("address", ["", "sqlite:///data/voicebot.db", "mysql://host/db", "redishost"])
def test_other_stores_are_not_redis(address: str) -> None:
    assert not is_redis(address)
