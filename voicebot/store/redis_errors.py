"""Redis's errors in words that say how to mend, and whether it is the server that is in trouble or one command."""

from __future__ import annotations

import re

import redis
from redis import exceptions

from voicebot.errors import StoreError

from .redis_address import RedisAddress


class RedisTroubleError(StoreError):
    """The server takes no writes at present: whatever else is written fails, too."""


class RedisAwayError(RedisTroubleError):
    """The server does not answer, or is none we can work with: it cannot be read from, either."""


# By the code a reply begins with (https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors). Before
# 7.0 a server puts the code of a command that failed within a script behind words of its own.
_MEND = {
    "WRONGPASS": "mend user and password in its address",
    "NOAUTH": "write user and password into its address, as in redis://user:password@host",
    "NOPERM": "let this user run every command that is not dangerous, and INFO, on the keys voicebot:*",
    "READONLY": "it is a replica: name the primary, or its Sentinels with redis+sentinel://",
    "OOM": "its memory is full: raise maxmemory, or erase old calls",
    "MISCONF": "it cannot write its files: free some space on its disk, and see its log",
    "NOREPLICAS": "start its replicas, or lower min-replicas-to-write",
    "LOADING": "it reads its files and will be there shortly",
    "BUSY": "another program's script keeps it busy: see SCRIPT KILL",
    "MASTERDOWN": "it is a replica that lost its primary: name the primary",
    "CLUSTERDOWN": "a Redis Cluster cannot hold these keys: name a server that is not part of one",
    "MOVED": "a Redis Cluster cannot hold these keys: name a server that is not part of one",
}
_CODE = re.compile(rf"\b({'|'.join(_MEND)})\b")
# Where in our script it was, and the arguments, which Redis repeats if it does not know the command.
_NOISE = re.compile(r",? ?script:(?: [0-9a-f]{40},)? on @user_script:\d+\.?|, with args beginning with:.*", re.DOTALL)
_PRESENT = "start it, or mend its address"

# What no other try mends: one key or one command is wrong, and the server is not.
_MEND_COMMAND = {
    "WRONGTYPE": "another program has keys named voicebot:… in this database: name another number at the address's end",
    "unknown command": "it is too old or limited: take Redis 6.2 or newer, or Valkey",
    "DB index is out of range": "name a database that it has, as in redis://host:6379/0",
}


# With these a server still lets itself be read.
_ONLY_WRITES = {"READONLY", "OOM", "MISCONF", "NOREPLICAS"}


def away(address: RedisAddress, problem: str, mend: str) -> RedisAwayError:
    return RedisAwayError(f"{address}: {problem} ({mend})")


def store_error(address: RedisAddress, exc: redis.RedisError | OSError) -> StoreError:
    """Our error for Redis's or the network's: what happened to which server, and how to mend it.

    The text holds neither password nor arguments.
    """
    text = _NOISE.sub("", str(exc)).rstrip(".") or type(exc).__name__
    if code := _code(text, exc):
        kind = RedisTroubleError if code in _ONLY_WRITES else RedisAwayError
        return kind(f"{address}: {text} ({_MEND[code]})")
    if isinstance(exc, redis.InvalidResponse):
        return away(address, "what answers there is no Redis", _PRESENT)
    if not isinstance(exc, redis.ResponseError):  # connections, time-outs, TLS
        return away(address, text, _PRESENT)
    for words, mend in _MEND_COMMAND.items():
        if words in text:
            return StoreError(f"{address}: {text} ({mend})")
    return StoreError(f"{address}: {text}")


def _code(text: str, exc: redis.RedisError | OSError) -> str | None:
    """The code of a reply; the library takes some off, and has a class for each of these."""
    known = {
        redis.AuthenticationError: "NOAUTH" if "Authentication required" in text else "WRONGPASS",
        exceptions.NoPermissionError: "NOPERM",
        redis.ReadOnlyError: "READONLY",
        redis.OutOfMemoryError: "OOM",
        redis.BusyLoadingError: "LOADING",
        exceptions.MasterDownError: "MASTERDOWN",
    }
    for kind, code in known.items():
        if isinstance(exc, kind):
            return code
    if not isinstance(exc, redis.ResponseError):
        return None
    if "user executing the script" in text or "ACL failure in script" in text:  # 7.0, and later: they give no code
        return "NOPERM"
    found = _CODE.search(text)
    return found[1] if found else None
