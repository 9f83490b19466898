"""Where the carrier's requests go, and what is signed: the public address, wherever it is reached."""

from __future__ import annotations

import ssl

import pytest

from voicebot.sim.carrier import Carrier, signature

VIA = {"agent.example.com": "127.0.0.1:8443"}
TRUST = ssl.create_default_context()


@pytest.mark.parametrize("scheme", ["https", "wss"])
def test_public_host_is_reached_in_the_clear(scheme: str) -> None:
    url, carrier = f"{scheme}://agent.example.com/a?b=1", Carrier("token", via=VIA)
    assert str(carrier.route(url)) == f"{scheme[:-1]}://127.0.0.1:8443/a?b=1"
    headers = carrier.headers(url)
    assert (headers["Host"], headers["X-Forwarded-Proto"]) == ("agent.example.com", "https")
    assert headers["X-Twilio-Signature"] == signature("token", url)
    assert carrier.trusted(url) == {"ssl": True, "server_hostname": None}


@pytest.mark.parametrize("scheme", ["https", "wss"])
def test_public_host_is_reached_over_tls_by_those_who_trust(scheme: str) -> None:
    url, carrier = f"{scheme}://agent.example.com/a?b=1", Carrier("token", via=VIA, trust=TRUST)
    assert str(carrier.route(url)) == f"{scheme}://127.0.0.1:8443/a?b=1"
    headers = carrier.headers(url)
    assert headers["Host"] == "agent.example.com"
    assert "X-Forwarded-Proto" not in headers  # that is for the proxy to say
    assert headers["X-Twilio-Signature"] == signature("token", url)
    assert carrier.trusted(url) == {"ssl": TRUST, "server_hostname": "agent.example.com"}


def test_other_hosts_are_asked_as_always() -> None:
    url, carrier = "https://elsewhere.example.com/a", Carrier("token", via=VIA, trust=TRUST)
    assert str(carrier.route(url)) == url
    assert "Host" not in carrier.headers(url)
    assert carrier.trusted(url) == {"ssl": True, "server_hostname": None}
