"""One connection to the primary: found, made, checked, and made again after it broke.

Everything here blocks; it runs on threads of the store's own. No other module of ours talks to the `redis` library.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from voicebot.errors import StoreError

from .redis_address import RedisAddress
from .redis_errors import RedisAwayError, RedisTroubleError, away, store_error
from .redis_program import Command, scripts
from .redis_values import Reply, items, text

log = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_S = 2.0
ANSWER_S = 2.0  # of one command or of one group of them
SENTINEL_S = 0.5  # of one Sentinel, for several may be down
OLDEST = (6, 2)  # GETEX


class Connection(Protocol):
    """What we use of the library's connections, which have no types."""

    def connect(self) -> None: ...

    def disconnect(self) -> None: ...

    def pack_commands(self, commands: Sequence[Command]) -> list[bytes]: ...

    def send_packed_command(self, command: list[bytes]) -> None: ...

    def read_response(self) -> Reply: ...


@dataclass(frozen=True, slots=True)
class Server:
    """What a Redis says of itself.

    `run_id` changes with every start of it. `appendfsync` is empty if it does not say: who rents a Redis often may not
    look at its settings.
    """

    run_id: str
    version: tuple[int, int]
    mode: str
    is_primary: bool
    has_file: bool
    appendfsync: str
    memory_policy: str

    @property
    def tells_when_safe(self) -> bool:
        """Whether it can be asked to wait until its append-only file is on its disk (WAITAOF, from 7.2 on).

        With `appendfsync no` it could wait for ever: it does not ask the disk itself.
        """
        return self.has_file and self.version >= (7, 2) and self.appendfsync != "no"


class RedisLink:
    """For one thread at a time."""

    def __init__(self, address: RedisAddress, *, answer_s: float = ANSWER_S) -> None:
        """`answer_s`: how long to wait for an answer; more than a command may block in the server."""
        self._address, self._answer_s = address, answer_s
        self._sentinels = list(address.nodes)
        self._connection: Connection | None = None
        self._server: Server | None = None

    def server(self) -> Server:
        """The server it is connected to; connects if need be.

        Raises:
            StoreError: the primary cannot be reached, or is none we can work with.
        """
        if self._connection is None or self._server is None:
            self._connection, self._server = self._connect()
        return self._server

    def run(self, commands: Sequence[Command]) -> list[Reply | StoreError]:
        """Send these together; an answer for each, an error for one that was refused.

        Raises:
            StoreError: there is no connection, or it broke: any number of them may have been done.
        """
        self.server()
        assert self._connection is not None
        try:
            replies = _exchange(self._connection, commands)
        except (redis.RedisError, OSError) as exc:
            self.close()
            raise store_error(self._address, exc) from exc
        if any(isinstance(reply, exceptions.NoScriptError) for reply in replies):
            self.close()  # somebody emptied the server's scripts; connecting loads ours
            raise away(self._address, "it has forgotten our script", "see who runs SCRIPT FLUSH")
        answers = [store_error(self._address, r) if isinstance(r, redis.RedisError) else r for r in replies]
        if any(isinstance(answer, RedisTroubleError) for answer in answers):
            self.close()  # the primary may be another by now
        return answers

    def attempt(self, work: Callable[[], T]) -> T:
        """Do `work` with this link; once more if a connection of before turns out to be broken."""
        was_connected = self._connection is not None
        try:
            return work()
        except RedisAwayError as exc:
            # A server that does not answer has had its time; a dead connection is known at once.
            if not was_connected or isinstance(exc.__cause__, redis.TimeoutError):
                raise
        return work()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None

    # ---- connecting -----------------------------------------------------------------------------------------------

    def _connect(self) -> tuple[Connection, Server]:
        host, port = self._address.nodes[0] if self._address.service is None else self._find_primary()
        connection = self._connection_to(host, port, database=self._address.database)
        try:
            connection.connect()
            asked: list[Command] = [("INFO",), ("CONFIG", "GET", "appendfsync"), ("CLIENT", "SETNAME", "voicebot")]
            info, fsync, _ = _exchange(connection, asked)  # the name is for who looks at CLIENT LIST
            self._check(server := _server(text(_sound(info)), fsync))
            for loaded in _exchange(connection, [("SCRIPT", "LOAD", script) for script in scripts().values()]):
                _sound(loaded)
        except (redis.RedisError, OSError) as exc:
            connection.disconnect()
            raise store_error(self._address, exc) from exc
        except StoreError:
            connection.disconnect()
            raise
        return connection, server

    def _check(self, server: Server) -> None:
        version = ".".join(map(str, server.version))
        if server.mode == "sentinel":
            raise away(self._address, "is a Sentinel", "write redis+sentinel://host:26379/mymaster/0")
        if server.mode == "cluster":
            raise away(self._address, "is part of a Redis Cluster", "name a server on its own; Sentinel watches it")
        if server.version < OLDEST:
            raise away(self._address, f"is Redis {version}", "take Redis 6.2 or newer, or Valkey")
        if not server.is_primary:
            mend = "name the primary, or its Sentinels with redis+sentinel://"
            if self._address.service is not None:
                mend = "the Sentinels have not chosen a new primary yet: wait, or see their log"
            raise away(self._address, "what answers there is a replica", mend)

    def _find_primary(self) -> tuple[str, int]:
        """Ask the Sentinels, first the one that knew last.

        As https://redis.io/docs/latest/develop/reference/sentinel-clients/ says: `_check` sees that it is one indeed.
        """
        answers: list[str] = []
        for node in tuple(self._sentinels):
            try:
                found = self._ask_sentinel(*node)
            except (redis.RedisError, OSError) as exc:
                answers.append(str(exc))
                continue
            if found:
                self._sentinels.remove(node)
                self._sentinels.insert(0, node)
                host, port = found
                return text(host), int(text(port))
            answers.append(f"{node[0]}:{node[1]} watches no {self._address.service!r}")
        raise away(self._address, "; ".join(answers), "start a Sentinel, or mend the address")

    def _ask_sentinel(self, host: str, port: int) -> list[Reply]:
        try:
            return self._ask(host, port, signed_in=False)  # most Sentinels have no password, and then refuse one
        except redis.AuthenticationError:
            if self._address.password is None:
                raise
            return self._ask(host, port, signed_in=True)

    def _ask(self, host: str, port: int, *, signed_in: bool) -> list[Reply]:
        """Host and port of the primary; nothing if this Sentinel does not watch it."""
        connection = self._connection_to(host, port, signed_in=signed_in, limit_s=SENTINEL_S)
        try:
            connection.connect()
            ask = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", cast(str, self._address.service))
            return items(_sound(*_exchange(connection, [ask])))
        finally:
            connection.disconnect()

    def _connection_to(
        self, host: str, port: int, *, database: int = 0, signed_in: bool = True, limit_s: float | None = None
    ) -> Connection:
        settings: dict[str, object] = {
            "host": host,
            "port": port,
            "db": database,
            "username": self._address.username if signed_in else None,
            "password": self._address.password if signed_in else None,
            "socket_timeout": limit_s or self._answer_s,
            "socket_connect_timeout": limit_s or CONNECT_S,
            "socket_keepalive": True,
            "retry": Retry(NoBackoff(), 0),  # when to try again is the store's to say
            "protocol": 2,
        }
        if self._address.tls:
            settings |= {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
        make = cast(Callable[..., Connection], redis.SSLConnection if self._address.tls else redis.Connection)
        return make(**settings)


class LinkPool:
    """As many links as threads need at once, kept for the next ones."""

    def __init__(self, address: RedisAddress, *, answer_s: float = ANSWER_S) -> None:
        self._address, self._answer_s = address, answer_s
        self._free: list[RedisLink] = []

    def run(self, command: Command) -> Reply:
        """Raises:
        StoreError: the command was refused, or the server is away.
        """
        try:
            link = self._free.pop()  # the list is shared by threads; this and append are one step each
        except IndexError:
            link = RedisLink(self._address, answer_s=self._answer_s)
        try:
            (reply,) = link.attempt(lambda: link.run([command]))
        finally:
            self._free.append(link)
        if isinstance(reply, StoreError):
            raise reply
        return reply

    def close(self) -> None:
        """Once no thread runs any more."""
        for link in self._free:
            link.close()


def _exchange(connection: Connection, commands: Sequence[Command]) -> list[Reply | redis.RedisError]:
    connection.send_packed_command(connection.pack_commands(commands))
    return [_reply(connection) for _ in commands]


def _reply(connection: Connection) -> Reply | redis.RedisError:
    try:
        return connection.read_response()
    except redis.ResponseError as exc:
        return exc


def _sound(reply: Reply | redis.RedisError) -> Reply:
    if isinstance(reply, redis.RedisError):
        raise reply
    return reply


def _server(info: str, fsync: Reply | redis.RedisError) -> Server:
    facts = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    version = re.match(r"(\d+)\.(\d+)", facts.get("redis_version", ""))
    return Server(
        run_id=facts.get("run_id", ""),
        version=(int(version[1]), int(version[2])) if version else (0, 0),
        mode=facts.get("redis_mode", facts.get("server_mode", "standalone")),
        is_primary=facts.get("role") == "master",
        has_file=facts.get("aof_enabled") == "1",
        appendfsync=text(fsync[1]) if isinstance(fsync, list) and fsync else "",
        memory_policy=facts.get("maxmemory_policy", "noeviction"),
    )
