"""Sockets that are opened before there is a server: on which addresses, and what is said when they cannot be had."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from voicebot.errors import SettingsError
from voicebot.server import sockets


@pytest.fixture
def kept() -> Iterator[ExitStack]:
    """Closes what a test opens."""
    with ExitStack() as stack:
        yield stack


def port_of(opened: list[socket.socket]) -> int:
    return int(opened[0].getsockname()[1])


def test_connection_waits_until_somebody_accepts(kept: ExitStack) -> None:
    (listening,) = sockets.listen("127.0.0.1", 0)
    kept.enter_context(listening)
    with socket.create_connection(listening.getsockname(), timeout=5) as caller:
        caller.sendall(b"hello")
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.recv(5) == b"hello"


@pytest.mark.parametrize("host", ["localhost", ""])
def test_every_address_of_a_host_has_the_same_port(host: str, kept: ExitStack) -> None:
    opened = [kept.enter_context(one) for one in sockets.listen(host, 0)]
    assert {one.getsockname()[1] for one in opened} == {port_of(opened)}
    assert len({one.family for one in opened}) == len(opened)
    socket.create_connection(("127.0.0.1", port_of(opened)), timeout=5).close()


def test_reserved_port_refuses_until_somebody_listens(kept: ExitStack) -> None:
    (reserved,) = sockets.reserve("127.0.0.1", 0)
    kept.enter_context(reserved)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(reserved.getsockname(), timeout=5)
    reserved.listen()
    socket.create_connection(reserved.getsockname(), timeout=5).close()


def test_row_is_one_port_after_the_other(kept: ExitStack) -> None:
    row = sockets.listen_in_row("127.0.0.1", 0, 4)
    for one in row:
        kept.callback(sockets.close, one)
    assert [port_of(one) for one in row] == [port_of(row[0]) + step for step in range(4)]


def test_row_with_a_taken_port_is_given_up_whole(kept: ExitStack) -> None:
    row = sockets.listen_in_row("127.0.0.1", 0, 2)
    first, second = map(port_of, row)
    sockets.close(row[0])
    kept.callback(sockets.close, row[1])
    row[1][0].listen()
    with pytest.raises(SettingsError, match=rf"cannot listen on 127\.0\.0\.1, port {second}: Address already in use"):
        sockets.listen_in_row("127.0.0.1", first, 2)
    sockets.close(sockets.listen("127.0.0.1", first))  # it was let go


def test_row_with_its_last_port_taken_leaves_none_open(kept: ExitStack) -> None:
    row = sockets.listen_in_row("127.0.0.1", 0, 4)
    first, *_, last = map(port_of, row)
    for one in row[:-1]:
        sockets.close(one)
    kept.callback(sockets.close, row[-1])
    row[-1][0].listen()
    with pytest.raises(SettingsError, match=f"port {last}: Address already in use"):
        sockets.listen_in_row("127.0.0.1", first, 4)
    gc.collect()  # a socket that was left open would warn here, which is an error
    sockets.close(sockets.listen("127.0.0.1", first))


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("203.0.113.1", 0, "Cannot assign requested address"),
        ("no.such.invalid", 8080, "."),
    ],
)
def test_address_that_cannot_be_had_is_named(host: str, port: int, words: str) -> None:
    with pytest.raises(SettingsError, match=rf"--host, --port: cannot listen on {host}, port {port}: .*{words}"):
        sockets.listen(host, port)


def test_row_ends_before_the_last_port() -> None:
    with pytest.raises(SettingsError, match=r"port 65537: the last port is 65535\."):
        sockets.listen_in_row("127.0.0.1", 65_535, 3)


def test_inherited_socket_is_not_passed_on() -> None:
    given, other = socket.socketpair()
    with closing(given), closing(other):
        descriptor = os.dup(given.fileno())
        os.set_inheritable(descriptor, True)
        with sockets.inherited(descriptor) as taken:
            assert not os.get_inheritable(descriptor)
            taken.sendall(b"x")
            assert other.recv(1) == b"x"
