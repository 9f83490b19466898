"""Addresses of Redis: one server, or the Sentinels that know which of several is the primary."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

REDIS_FORMS = "redis://host:6379/0, rediss://host:6379/0 or redis+sentinel://host:26379,host2:26379/mymaster/0"

_ADDRESS = re.compile(r"(rediss?)(\+sentinel)?://(?:(.*)@)?([^@/?#]+)((?:/[^/?#]*)*)", re.DOTALL)
_NODE = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+)(?::(\d{1,5}))?")
_PORT, _SENTINEL_PORT = 6379, 26379


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is. `nodes` are hosts and ports: the server, or Sentinels if `service` names what they watch."""

    nodes: tuple[tuple[str, int], ...]
    database: int = 0
    service: str | None = None
    tls: bool = False
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """As it was written, without user and password."""
        scheme = "rediss" if self.tls else "redis"
        nodes = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.nodes)
        if self.service is None:
            return f"{scheme}://{nodes}/{self.database}"
        return f"{scheme}+sentinel://{nodes}/{self.service}/{self.database}"


def is_redis(address: str) -> bool:
    """Whether `parse_redis` is to read it."""
    return address.startswith(("redis:", "rediss:", "redis+", "rediss+"))


def parse_redis(address: str) -> RedisAddress:
    """Read `redis://user:password@host:port/database`, or `redis+sentinel://host:port,host:port/service/database`.

    User and password may be percent-encoded; with `rediss` the connection is TLS. The port is 6379 (26379 of a
    Sentinel) and the database 0 where they are not given.

    Raises:
        ValueError: the address is none of these. The text holds nothing of it, for it may hold a password.
    """
    if not (found := _ADDRESS.fullmatch(address)):
        raise ValueError(f"must be {REDIS_FORMS}")
    scheme, sentinel, user, listed, path = found.groups()
    nodes = tuple(_node(one, _SENTINEL_PORT if sentinel else _PORT) for one in listed.split(","))
    service, database = _parts(path, sentinel=bool(sentinel))
    if not sentinel and len(nodes) > 1:
        raise ValueError("names several servers: write redis+sentinel:// and their Sentinels, or the primary alone")
    username, _, password = (user or "").partition(":")
    return RedisAddress(
        nodes, database, service, scheme == "rediss", unquote(username) or None, unquote(password) or None
    )


def _node(text: str, default_port: int) -> tuple[str, int]:
    if not (found := _NODE.fullmatch(text)):
        raise ValueError(f"has a host that is none; it must be {REDIS_FORMS}")
    port = int(found[2] or default_port)
    if not 0 < port < 65_536:
        raise ValueError("has a port that is no number from 1 to 65535")
    return found[1].strip("[]"), port


def _parts(path: str, *, sentinel: bool) -> tuple[str | None, int]:
    """The service (of Sentinels) and the database of `/service/database` or `/database`."""
    parts = path.removeprefix("/").removesuffix("/").split("/")
    service = unquote(parts.pop(0)) if sentinel else None
    if service == "":
        raise ValueError("must name what the Sentinels watch: redis+sentinel://host:26379/mymaster/0")
    if len(parts) > 1 or not re.fullmatch(r"\d{0,5}", database := parts[0] if parts else ""):
        raise ValueError(f"has a database that is no number; it must be {REDIS_FORMS}")
    return service, int(database or 0)
