"""Addresses and keys."""

from __future__ import annotations

import pytest

from voicebot.errors import ModelUnavailableError
from voicebot.realtime.endpoint import endpoint

AZURE = "wss://res.openai.azure.com/openai/v1/realtime"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("wss://api.openai.com/v1/realtime", "wss://api.openai.com/v1/realtime?model=gpt+x"),
        ("wss://api.openai.com/v1/realtime?a=b", "wss://api.openai.com/v1/realtime?a=b&model=gpt+x"),
        ("wss://api.openai.com/v1/realtime?model=other", "wss://api.openai.com/v1/realtime?model=other"),
        ("wss://api.openai.com", "wss://api.openai.com/?model=gpt+x"),
        (AZURE, f"{AZURE}?model=gpt+x"),
        (f"{AZURE}?api-version=1&deployment=d", f"{AZURE}?api-version=1&deployment=d"),
        ("ws://127.0.0.1:8081/v1/realtime", "ws://127.0.0.1:8081/v1/realtime?model=gpt+x"),
        ("ws://localhost/v1/realtime#part", "ws://localhost/v1/realtime?model=gpt+x"),
        ("ws://[::1]:9/x", "ws://[::1]:9/x?model=gpt+x"),
    ],
)
def test_address_names_the_model_once(url: str, address: str) -> None:
    assert endpoint(url, "gpt x").address == address


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("wss://api.openai.com/v1/realtime", {"Authorization": "Bearer k"}),
        (AZURE, {"api-key": "k"}),
        ("wss://RES.OpenAI.Azure.com/openai/v1/realtime", {"api-key": "k"}),
        ("wss://openai.azure.com.example.org/", {"Authorization": "Bearer k"}),
    ],
)
def test_key_goes_into_the_right_header(url: str, headers: dict[str, str]) -> None:
    assert endpoint(url, "m").headers("k") == headers
    assert endpoint(url, "m").headers("") == {}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com",
        "https://api.openai.com/v1/realtime",
        "wss://",
        "ws://api.openai.com/v1/realtime",
        "ws://10.0.0.7/",
        "ws://localhost.example.org/",
        "ws://127.0.0.1:port/",
        "ws://[::1/",
        "wss://a..b/",
        "wss://user:key@api.openai.com/",
    ],
)
def test_wrong_address_is_refused_for_good(url: str) -> None:
    with pytest.raises(ModelUnavailableError) as caught:
        endpoint(url, "m")
    assert not caught.value.retryable


@pytest.mark.parametrize("key", ["a\r\nX-Evil: 1", "a\n", "schlüssel"])
def test_key_that_breaks_the_header_is_refused(key: str) -> None:
    with pytest.raises(ModelUnavailableError) as caught:
        endpoint(AZURE, "m").headers(key)
    assert not caught.value.retryable and key not in str(caught.value)
