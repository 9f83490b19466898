"""What is asked of a Redis before it is trusted: its schema, and whether it keeps what it is told."""

from __future__ import annotations

import logging

from voicebot.errors import StoreError
from voicebot.log_events import named

from .redis_address import RedisAddress
from .redis_link import RedisLink, Server
from .redis_program import operation
from .redis_values import number

log = logging.getLogger(__name__)

SCHEMA = 1  # of the keys that `lua/keys.lua` lists


def prepare(address: RedisAddress, link: RedisLink) -> None:
    """Connect, mark the database with our schema, and log one warning if the server may lose what it is told. Blocks.

    Raises:
        StoreError: it cannot be reached, refuses us, or was written to by a newer version.
    """
    try:
        server = link.server()
        (schema,) = link.run([operation("schema", SCHEMA)])
        if isinstance(schema, StoreError):
            raise schema
        if (found := number(schema)) > SCHEMA:
            raise StoreError(
                f"{address}: written to by a newer voicebot (schema {found}, this one knows {SCHEMA}): "
                "upgrade voicebot, or name another database"
            )
    except StoreError:
        link.close()
        raise
    for doubt in doubts(server):
        log.warning("%s: %s", address, doubt, extra=named("store_doubtful"))


def doubts(server: Server) -> list[str]:
    """What of our promises this server does not keep, and how to mend it."""
    found: list[str] = []
    if not server.has_file:
        found.append(
            "its append-only file is off, so calls and reports are lost when it stops: "
            "set appendonly yes and appendfsync always"
        )
    elif server.tells_when_safe and server.appendfsync == "everysec":
        found.append(
            "with appendfsync everysec a call waits up to a second whenever it takes a step: set appendfsync always"
        )
    elif not server.tells_when_safe and server.appendfsync != "always":
        lost = {"no": "half a minute", "everysec": "second"}.get(server.appendfsync, "second, or more")
        found.append(f"a crash of its machine may lose its last {lost}, reports too: set appendfsync always")
    if server.memory_policy != "noeviction":
        found.append(
            f"with maxmemory-policy {server.memory_policy} it throws calls and reports away when its memory is full: "
            "set maxmemory-policy noeviction"
        )
    return found
