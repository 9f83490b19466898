"""Private addresses: none is connected to unless it is allowed, however it is spelt and whatever a name resolves to."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from voicebot.delivery.guard import AddressGuard, AddressInfo, RefusedAddressError, public, read_allowed
from voicebot.delivery.keys import Keyring
from voicebot.delivery.post import WebhookPost
from voicebot.errors import DeliveryError
from voicebot.store.contract import Delivery

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEYS = Keyring(["whsec_" + base64.b64encode(b"s" * 32).decode()])


def listed(text: str) -> list[str]:
    return text.split()


PRIVATE = listed("""
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.1.2.3
    168.63.129.16 169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1
    192.88.99.1 192.168.0.1 192.168.255.255 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1
    239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1
    ::ffff:169.254.169.254 ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::1 100::1 2001::1
    2001:0:4136:e378::1 2001:db8::1 2002:7f00:1:: 2002:a00:1::1 2002:a9fe:a9fe:: 3fff::1 5f00::1 fc00::1
    fd00:ec2::254 fe80::1 fec0::1 ff02::1 4000::1
""")
PUBLIC = listed("""
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 128.0.0.1 168.63.129.17 172.15.255.255
    172.32.0.1 192.0.1.1 192.167.1.1 198.17.1.1 198.20.1.1 223.255.255.255 2606:4700::1111 2a00:1450:4001::1
    ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::1
""")


@pytest.mark.parametrize("address", PRIVATE)
def test_private_address_is_not_public(address: str) -> None:
    assert not public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_is_public(address: str) -> None:
    assert public(ip_address(address))


# ---- what is allowed ----------------------------------------------------------------------------------------------


def info(address: str) -> AddressInfo:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 443)


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "127.0.0.1", "fd00::7", "8.8.8.8"]
)
def test_allowed_network_gets_sockets_in_any_disguise(address: str) -> None:
    guard = AddressGuard(read_allowed(["10.0.0.0/8", "127.0.0.1", "[fd00::7]"]))
    guard.make_socket(info(address)).close()


@pytest.mark.parametrize("address", ["127.0.0.2", "10.0.0.1", "fd00::8", "fe80::1%eth0", "::ffff:127.0.0.2"])
def test_allowed_network_allows_no_other(address: str) -> None:
    guard = AddressGuard(read_allowed(["127.0.0.1", "fd00::7"]))
    with pytest.raises(RefusedAddressError, match=r"is no public address; VOICEBOT_WEBHOOK_PRIVATE may allow it"):
        guard.make_socket(info(address))


@pytest.mark.parametrize("url", ["http://crm.internal/in", "https://CRM.Internal.:8443/in", "http://me@crm.internal"])
def test_allowed_name_gets_sockets_wherever_it_is(url: str) -> None:
    guard = AddressGuard(read_allowed(["Crm.internal."]))
    with guard.connecting(url):
        guard.make_socket(info("10.0.0.5")).close()
    with pytest.raises(RefusedAddressError):
        guard.make_socket(info("10.0.0.5"))


@pytest.mark.parametrize(
    "url",
    [
        "http://other.example/",
        "http://crm.internal.other.example/",
        "http://crm.internal@other.example/",
        "http://[::1",
    ],
)
def test_allowed_name_allows_no_other(url: str) -> None:
    guard = AddressGuard(read_allowed(["crm.internal"]))
    with guard.connecting(url), pytest.raises(RefusedAddressError):
        guard.make_socket(info("10.0.0.5"))


@pytest.mark.parametrize(
    "entry",
    ["10.0.0.0/33", "10.0.0.1/8", "http://crm.internal", "crm.internal:80", "crm internal", "2130706433", "-", "*"],
)
def test_what_is_no_address_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="is no address, network or name of a host"):
        read_allowed([entry])


# ---- over real sockets --------------------------------------------------------------------------------------------


class Counting:
    """A receiver on every address of this machine that counts connections, whatever is said on them."""

    def __init__(self, port: int) -> None:
        self.port, self.connections = port, 0


@pytest.fixture
async def receiver() -> AsyncIterator[Counting]:
    app = web.Application()

    async def receive(request: web.Request) -> web.Response:
        return web.Response()

    app.router.add_route("*", "/{path:.*}", receive)
    async with TestServer(app, host="127.0.0.1") as server:
        assert server.port is not None
        made = Counting(server.port)
        assert server.runner is not None and server.runner.server is not None
        handler = server.runner.server
        original = handler.connection_made

        def connection_made(*args: Any, **kwargs: Any) -> None:
            made.connections += 1
            original(*args, **kwargs)

        handler.connection_made = connection_made  # type: ignore[method-assign]  # to count what made no request too
        yield made


@asynccontextmanager
async def posting(*allowed: str) -> AsyncIterator[WebhookPost]:
    post = WebhookPost(AddressGuard(read_allowed(allowed)), KEYS, lambda: NOW, limit_s=10.0)
    try:
        yield post
    finally:
        await post.close()


def delivery(url: str) -> Delivery:
    return Delivery("msg_1", "CA1", url, "{}", "pending", 0, NOW, NOW)


SPELLINGS = listed("""
    127.0.0.1 localhost LOCALHOST localhost. 127.1 127.0.1 2130706433 0x7f000001 0x7F.0.0.1 0177.0.0.1
    017700000001 127.0.0.1. 0.0.0.0 0 [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:1]
    [::127.0.0.1] user@127.0.0.1 %31%32%37.0.0.1 １２７.0.0.1
""")


@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_spelling_of_loopback_is_connected_to(receiver: Counting, host: str) -> None:
    async with posting() as post:
        with pytest.raises(DeliveryError):
            await post(delivery(f"http://{host}:{receiver.port}/in"))
    assert receiver.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f000001"])
async def test_refusal_says_how_to_allow_it(receiver: Counting, host: str) -> None:
    async with posting() as post:
        with pytest.raises(
            DeliveryError, match="is no public address; VOICEBOT_WEBHOOK_PRIVATE may allow it"
        ) as refused:
            await post(delivery(f"http://{host}:{receiver.port}/in"))
    assert refused.value.status is None and not refused.value.disable


@pytest.mark.parametrize("allowed", ["127.0.0.1", "127.0.0.0/8", "localhost"])
async def test_allowed_address_is_delivered_to(receiver: Counting, allowed: str) -> None:
    async with posting(allowed) as post:
        host = "localhost" if allowed == "localhost" else "127.0.0.1"
        assert await post(delivery(f"http://{host}:{receiver.port}/in")) == 200
    assert receiver.connections >= 1


class Names:
    """Resolves every name to the next of these addresses, as a name server with a time to live of 0 may."""

    def __init__(self, addresses: Iterator[str]) -> None:
        self._addresses = addresses

    async def __call__(self, host: str, port: int, **kwargs: object) -> list[AddressInfo]:
        address = next(self._addresses)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))]


async def test_name_that_resolves_to_loopback_is_refused(receiver: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", Names(iter(["127.0.0.1"])))
    async with posting() as post:
        with pytest.raises(DeliveryError, match=r"127\.0\.0\.1 is no public address"):
            await post(delivery(f"http://innocent.example:{receiver.port}/in"))
    assert receiver.connections == 0


async def test_name_that_turns_to_a_private_address_is_refused(
    receiver: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebinding: what was allowed at the first look is looked at again when it is connected to."""
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", Names(iter(["127.0.0.1", "127.0.0.2"])))
    async with posting("127.0.0.2") as post:
        with pytest.raises(DeliveryError, match=r"127\.0\.0\.1 is no public address"):
            await post(delivery(f"http://innocent.example:{receiver.port}/in"))
    assert receiver.connections == 0


async def test_allowed_name_does_not_open_its_address_to_others(
    receiver: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", Names(iter(["127.0.0.1"] * 2)))
    async with posting("crm.internal") as post:
        assert await post(delivery(f"http://crm.internal:{receiver.port}/in")) == 200
        with pytest.raises(DeliveryError, match="is no public address"):
            await post(delivery(f"http://innocent.example:{receiver.port}/in"))
    assert receiver.connections == 1


async def test_redirect_to_a_private_address_is_not_followed(receiver: Counting) -> None:
    async def send_on(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": f"http://127.0.0.2:{receiver.port}/in"})

    app = web.Application()
    app.router.add_post("/in", send_on)
    async with TestServer(app) as server, posting("127.0.0.1") as post:
        with pytest.raises(DeliveryError, match="answered 307"):
            await post(delivery(str(server.make_url("/in"))))
    assert receiver.connections == 0
