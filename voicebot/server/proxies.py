"""Whose request it is: the peer's, or that of whoever a trusted proxy speaks for (`X-Forwarded-For`).

Each proxy appends the address that it was asked from. So the list is believed from its end, and only as far as those
who wrote it are trusted: everything before may have been made up by the client.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MOST_HOPS = 16
UNKNOWN = "unknown"  # a peer without an address, as on a Unix socket
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::\d+)?|([^:]+):\d+")
_LONGEST_ADDRESS = 64
_IPV6_CUSTOMER_BITS = 64  # one customer has at least so much: addresses below that cost nothing


class Proxies:
    """The peers whose `X-Forwarded-For` is believed."""

    def __init__(self, trusted: Iterable[Network]) -> None:
        self._trusted = tuple(trusted)

    def trusts(self, address: Address | None) -> bool:
        """Whether this is one of them."""
        return address is not None and any(
            address in network for network in self._trusted if network.version == address.version
        )

    def client(self, peer: Address | None, forwarded: Sequence[str]) -> Address | None:
        """Who asks.

        Args:
            peer: who the connection is from.
            forwarded: every `X-Forwarded-For` header, in order.
        """
        client = peer
        hops = ",".join(forwarded).rsplit(",", MOST_HOPS)[-MOST_HOPS:] if forwarded else []
        while hops and self.trusts(client):
            before = read_address(hops.pop())
            if before is None:
                break
            client = before
        return client


def read_address(text: str) -> Address | None:
    """An IP address, with or without a port or brackets; None for what is none. IPv4 inside IPv6 counts as IPv4."""
    text = text.strip()
    if len(text) > _LONGEST_ADDRESS:
        return None
    if (found := _WITH_PORT.fullmatch(text)) is not None:
        text = found[1] or found[2] or ""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def counted_as(address: Address | None) -> str:
    """What connections of this address are counted under: the address, of IPv6 the customer's part of it."""
    if address is None:
        return UNKNOWN
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, _IPV6_CUSTOMER_BITS), strict=False))
    return str(address)
