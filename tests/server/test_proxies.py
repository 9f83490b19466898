"""Whose request it is, behind proxies that are trusted and others."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.server.proxies import MOST_HOPS, UNKNOWN, Proxies, counted_as, read_address

TRUSTED = Proxies([ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"), ip_network("fd00::/8")])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", (), "203.0.113.9"),
        ("203.0.113.9", ("198.51.100.7",), "203.0.113.9"),  # a stranger says so
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("198.51.100.7",), "198.51.100.7"),
        ("10.0.0.1", ("1.1.1.1, 198.51.100.7",), "198.51.100.7"),  # what stands before was made up, for all we know
        ("10.0.0.1", ("1.1.1.1, 198.51.100.7, 10.0.0.2",), "198.51.100.7"),
        ("10.0.0.1", ("1.1.1.1", "198.51.100.7", "10.0.0.2"), "198.51.100.7"),
        ("10.0.0.1", ("198.51.100.7:4711",), "198.51.100.7"),
        ("10.0.0.1", ("[2001:db8::1]:4711",), "2001:db8::1"),
        ("10.0.0.1", ("2001:db8::1",), "2001:db8::1"),
        ("fd00::1", ("198.51.100.7",), "198.51.100.7"),
        ("10.0.0.1", ("198.51.100.7, nonsense",), "10.0.0.1"),
        ("10.0.0.1", ("198.51.100.7, nonsense, 10.0.0.2",), "10.0.0.2"),
        ("10.0.0.1", ("",), "10.0.0.1"),
        ("10.0.0.1", (", , ",), "10.0.0.1"),
        ("10.0.0.1", (", ".join(["10.0.0.2"] * 1000),), "10.0.0.2"),
        ("10.0.0.1", ("198.51.100.7, " + ", ".join(["10.0.0.2"] * (MOST_HOPS + 1)),), "10.0.0.2"),
    ],
)
def test_client_is_the_last_that_trusted_ones_name(peer: str, forwarded: tuple[str, ...], client: str) -> None:
    assert TRUSTED.client(ip_address(peer), forwarded) == ip_address(client)


def test_peer_without_an_address_is_nobody() -> None:
    assert TRUSTED.client(None, ("198.51.100.7",)) is None
    assert counted_as(None) == UNKNOWN


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::1"),
        (" 203.0.113.9 ", "203.0.113.9"),
        ("203.0.113.9:", None),
        ("[]", None),
        ("localhost", None),
        ("_hidden", None),
        ("1" * 5000, None),
        ("203.0.113.9\r\nX: y", None),
    ],
)
def test_address_is_read_or_none(text: str, address: str | None) -> None:
    assert read_address(text) == (ip_address(address) if address else None)


def test_addresses_of_one_customer_count_together() -> None:
    first, second = ip_address("2001:db8:1:2::1"), ip_address("2001:db8:1:2:ffff::9")
    assert counted_as(first) == counted_as(second) == "2001:db8:1:2::/64"
    assert counted_as(ip_address("203.0.113.9")) != counted_as(ip_address("203.0.113.8"))


@given(st.lists(st.text() | st.sampled_from(["10.0.0.1", "1.2.3.4", ",", "::1"])))
def test_any_header_gives_a_client(forwarded: list[str]) -> None:
    peer = ip_address("10.0.0.1")
    assert TRUSTED.client(peer, forwarded) is not None
    assert Proxies([]).client(peer, forwarded) == peer
