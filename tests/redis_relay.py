"""Stands between a store and a real Redis, and does what that one does not do when a test wants it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

Command = list[bytes]


class RedisRelay:
    """Passes every command on, one after the other, but for what the test sets here.

    `answers` has answers of the relay's own, by the command's name. `changed` alters text that the server answers. An
    operation of the store's program (or a command) in `lost` reaches the server, but its answer is lost with the
    connection, once.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self.port = 0
        self.answers: dict[bytes, Callable[[Command], bytes]] = {}
        self.changed: dict[bytes, Callable[[bytes], bytes]] = {}
        self.lost: set[bytes] = set()
        self.seen: list[Command] = []

    @property
    def address(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield
            server.close()

    async def _serve(self, from_store: asyncio.StreamReader, to_store: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        try:
            while True:
                whole, command = await _read_command(from_store)
                self.seen.append(command)
                if (answer := self.answers.get(command[0])) is not None:
                    to_store.write(answer(command))
                    continue
                to_server.write(whole)
                reply = await _read_reply(from_server)
                if lost := self.lost & set(command):
                    self.lost -= lost
                    break
                if (change := self.changed.get(command[0])) is not None:
                    payload = change(reply.partition(b"\r\n")[2][:-2])
                    reply = b"$%d\r\n%b\r\n" % (len(payload), payload)
                to_store.write(reply)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # one of them is gone
        finally:
            to_store.close()
            to_server.close()


async def _read_command(reader: asyncio.StreamReader) -> tuple[bytes, Command]:
    """A RESP array of bulk strings: as it came, and its parts."""
    head = await reader.readuntil(b"\r\n")
    whole, parts = [head], []
    for _ in range(int(head[1:])):
        length = await reader.readuntil(b"\r\n")
        part = await reader.readexactly(int(length[1:]) + 2)
        whole += [length, part]
        parts.append(part[:-2])
    return b"".join(whole), parts


async def _read_reply(reader: asyncio.StreamReader) -> bytes:
    """Any RESP2 reply, as it came."""
    head = await reader.readuntil(b"\r\n")
    if head[:1] == b"$" and int(head[1:]) >= 0:
        return head + await reader.readexactly(int(head[1:]) + 2)
    if head[:1] == b"*":
        return head + b"".join([await _read_reply(reader) for _ in range(int(head[1:]))])
    return head
