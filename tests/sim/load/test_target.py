from __future__ import annotations

import pytest

from voicebot.sim.carrier import signature
from voicebot.sim.load.target import Target, voice_url

PUBLIC = "https://voice.example.com"
TARGET = Target(
    f"{PUBLIC}/twilio/voice",
    "secret",
    via={"voice.example.com": "127.0.0.1:8000"},
    places={"/twilio/media/2": "127.0.0.1:8002"},
)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (f"{PUBLIC}/twilio/voice?x=1", "http://127.0.0.1:8000/twilio/voice?x=1"),
        ("wss://voice.example.com/twilio/media", "ws://127.0.0.1:8000/twilio/media"),
        ("wss://voice.example.com/twilio/media/1", "ws://127.0.0.1:8000/twilio/media/1"),
        ("wss://voice.example.com/twilio/media/2", "ws://127.0.0.1:8002/twilio/media/2"),
        ("https://elsewhere.example.com/x", "https://elsewhere.example.com/x"),
    ],
)
def test_public_addresses_lead_to_their_places(url: str, place: str) -> None:
    assert str(TARGET.route(url)) == place


def test_requests_are_signed_over_the_public_address() -> None:
    headers = TARGET.headers(TARGET.voice_url, {"a": "b"})
    assert headers["X-Twilio-Signature"] == signature("secret", f"{PUBLIC}/twilio/voice", {"a": "b"})
    assert headers["Host"] == "voice.example.com"
    assert TARGET.status_url == f"{PUBLIC}/twilio/status"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (PUBLIC, f"{PUBLIC}/twilio/voice"),
        (f"{PUBLIC}/", f"{PUBLIC}/twilio/voice"),
        (f"{PUBLIC}/calls/in", f"{PUBLIC}/calls/in"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/twilio/voice"),
    ],
)
def test_origin_is_enough_of_an_address(given: str, url: str) -> None:
    assert voice_url(given) == url


@pytest.mark.parametrize("given", ["", "voice.example.com", "wss://voice.example.com", "https://"])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        voice_url(given)


def test_secret_is_in_no_repr() -> None:
    assert "secret" not in repr(TARGET)
