"""The sockets that a server listens on: opened before there is anything to serve with, and passed to who accepts.

Processes that share one by inheriting it share its queue too: what one of them leaves there when it dies, another one
accepts. (With SO_REUSEPORT each would have a queue of its own, which dies with it.)
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence

from voicebot.errors import SettingsError

BACKLOG = 1024  # connections that may wait; the system's own limit (net.core.somaxconn) is 4096 as a rule
HIGHEST_PORT = 65_535
_ROWS_TRIED = 20
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # an address that the host's name has, but this machine has not


def listen(host: str, port: int) -> list[socket.socket]:
    """Listen on every address of `host` (empty: of this machine); with port 0, on one that is free.

    Raises:
        SettingsError: there is no such address here, or the port is taken.
    """
    try:
        return _open(host, port, listening=True)
    except OSError as exc:
        raise _refusal(host, port, exc) from exc


def reserve(host: str, port: int) -> list[socket.socket]:
    """As `listen`, but refuse connections until whoever gets the sockets listens on them.

    Raises:
        SettingsError: there is no such address here, or the port is taken.
    """
    try:
        return _open(host, port, listening=False)
    except OSError as exc:
        raise _refusal(host, port, exc) from exc


def listen_in_row(host: str, port: int, count: int) -> list[list[socket.socket]]:
    """Have `count` ports, each the one before and one more; with port 0, where there is a free row of them.

    The first one is listened on, the others are reserved.

    Raises:
        SettingsError: as `listen`; or the row does not end before the last port there is.
    """
    for _ in range(_ROWS_TRIED - 1 if port == 0 else 0):
        try:
            return _row(host, 0, count)
        except SettingsError:
            continue
    return _row(host, port, count)


def inherited(descriptor: int) -> socket.socket:
    """A socket that came with the process, and is not passed on to its own children."""
    os.set_inheritable(descriptor, False)
    return socket.socket(fileno=descriptor)


def close(sockets: Sequence[socket.socket]) -> None:
    for one in sockets:
        one.close()


def _row(host: str, port: int, count: int) -> list[list[socket.socket]]:
    row = [listen(host, port)]
    first = int(row[0][0].getsockname()[1])
    try:
        if first + count - 1 > HIGHEST_PORT:
            raise _refusal(host, first + count - 1, OSError(f"the last port is {HIGHEST_PORT}"))
        row.extend(
            reserve(host, first + step) for step in range(1, count)
        )  # one by one: those before a taken port, too
    except SettingsError:
        for sockets in row:
            close(sockets)
        raise
    return row


def _open(host: str, port: int, *, listening: bool) -> list[socket.socket]:
    opened: list[socket.socket] = []
    missing: OSError | None = None
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            if port == 0 and opened:  # the free port that was found, on the other addresses too
                address = (address[0], opened[0].getsockname()[1], *address[2:])
            try:
                opened.append(_bound(family, address, listening=listening))
            except OSError as exc:
                if exc.errno not in _NOT_HERE:
                    raise
                missing = exc
    except OSError:
        close(opened)
        raise
    if missing is not None and not opened:
        raise missing
    return opened


def _bound(family: int, address: tuple[object, ...], *, listening: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # the IPv4 address has a socket of its own
        made.bind(address)
        if listening:
            made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _refusal(host: str, port: int, exc: OSError) -> SettingsError:
    why = os.strerror(exc.errno) if exc.errno and not isinstance(exc, socket.gaierror) else exc.strerror or exc
    problem = f"cannot listen on {host}, port {port}: {why}"
    return SettingsError("--host, --port", problem, "Choose others, or stop what listens there.")
