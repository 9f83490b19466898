"""Which addresses receivers may have: public ones, and those that the operator allows.

A receiver's URL comes from a flow, and whoever writes flows could otherwise have this machine post to services that
only it can reach: those of its own network, and the cloud's metadata at 169.254.169.254. The check stands where sockets
are made, so it sees the very address that is connected to: whatever the URL spells (decimal, octal, IPv6 in all its
disguises), whatever a name resolves to, and however often that changes.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]]

SETTING = "VOICEBOT_WEBHOOK_PRIVATE"

# IANA's IPv4 Special-Purpose Address Registry (RFC 6890): what is not globally reachable; multicast; what is reserved.
_NOT_PUBLIC_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # "this network": Linux connects 0.0.0.0 to itself
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by a carrier's customers (CGNAT)
        "127.0.0.0/8",
        "168.63.129.16/32",  # public by its number, but inside Azure the host's own services
        "169.254.0.0/16",  # link-local, with the metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # the relays of 6to4, given up
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# Of IPv6 only 2000::/3 is given out as global unicast (RFC 4291, 2.4), and in it these are not.
_GLOBAL_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocols' own, Teredo among them
        "2001:db8::/32",
        "3fff::/20",
    )
)
# Addresses that stand for an IPv4 one, and how many bits from the right it begins.
_DISGUISES = (
    (IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped (RFC 4291, 2.5.5.2)
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64 (RFC 6052)
    (IPv6Network("2002::/16"), 80),  # 6to4 (RFC 3056)
)
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


class RefusedAddressError(OSError):
    """A receiver's address is not public, and not allowed. An `OSError`, as all that keeps a socket from connecting."""

    def __init__(self, address: str) -> None:
        super().__init__(errno.EACCES, f"{address} is no public address; {SETTING} may allow it")


@dataclass(frozen=True)
class Allowed:
    """What the operator allows beside public addresses: networks, and hosts by name wherever they are."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    hosts: frozenset[str] = frozenset()


def read_allowed(entries: Sequence[str]) -> Allowed:
    """Read a list of addresses, networks (`10.0.0.0/8`) and names of hosts.

    Raises:
        ValueError: one is none of these.
    """
    networks: list[IPv4Network | IPv6Network] = []
    hosts: set[str] = set()
    for entry in entries:
        try:
            networks.append(ip_network(entry.strip("[]")))
        except ValueError as exc:
            name = _plain(entry)
            if not _HOST_NAME.fullmatch(name) or name.replace(".", "").isdecimal():
                raise ValueError(f"{entry!r} is no address, network or name of a host") from exc
            hosts.add(name)
    return Allowed(tuple(networks), frozenset(hosts))


def public(address: Address) -> bool:
    """Whether an address, with any disguise taken off, is one of the public internet."""
    address = _undisguised(address)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _GLOBAL_6 and not any(address in network for network in _NOT_PUBLIC_6)


class AddressGuard:
    """Makes the sockets that go to receivers, and none to an address that is neither public nor allowed."""

    def __init__(self, allowed: Allowed = Allowed()) -> None:
        self._allowed = allowed
        # The name is not known where the socket is made; whoever connects says it, for the tasks that do it for them.
        self._host: ContextVar[str] = ContextVar("host of the receiver", default="")

    @contextmanager
    def connecting(self, url: str) -> Iterator[None]:
        """Connections made inside are to the host of `url`."""
        token = self._host.set(_host_in(url))
        try:
            yield
        finally:
            self._host.reset(token)

    def make_socket(self, info: AddressInfo) -> socket.socket:
        """A socket for this address, not connected yet; what aiohttp's `socket_factory` is.

        Raises:
            RefusedAddressError: receivers may not have this address.
        """
        family, kind, protocol, _, where = info
        host = str(where[0]).partition("%")[0]  # without the interface of a link-local one
        if not self._permits(ip_address(host)):
            raise RefusedAddressError(host)
        return socket.socket(family, kind, protocol)

    def _permits(self, address: Address) -> bool:
        if public(address) or self._host.get() in self._allowed.hosts:
            return True
        bare = _undisguised(address)
        return any(one in network for network in self._allowed.networks for one in (address, bare))


def _undisguised(address: Address) -> Address:
    for network, shift in _DISGUISES:
        if address in network:
            return IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    return address


def _host_in(url: str) -> str:
    try:
        return _plain(urlsplit(url).hostname or "")
    except ValueError:
        return ""


def _plain(host: str) -> str:
    """A host's name as it is compared: in lower case, without the full stop that makes it absolute."""
    return host.strip().lower().removesuffix(".")
