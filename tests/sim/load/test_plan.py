from __future__ import annotations

import os

import pytest

from voicebot.errors import ScenarioError
from voicebot.sim.load.plan import PROFILE_S, WINDOW_S, Plan, Request, Theirs, address, call_counts
from voicebot.sim.load.profiles import Shape
from voicebot.sim.load.server import Ours


def plan(**words: object) -> Plan:
    return Request(**({"calls": "1,25"} | words)).plan({"PATH": "/bin"}, lambda: "token")  # type: ignore[arg-type]


def test_loads_are_numbers_with_commas() -> None:
    assert call_counts("1, 25,50") == (1, 25, 50)


@pytest.mark.parametrize("text", ["", "0", "-1", "1,,2", "1.5", "many", "1,20001", "²"])
def test_other_loads_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="are no numbers of calls"):
        call_counts(text)


def test_address_is_host_and_port() -> None:
    assert address("127.0.0.1:9000") == ("127.0.0.1", 9000)
    assert address("[::1]:9000") == ("::1", 9000)


@pytest.mark.parametrize("text", ["9000", ":9000", "host:", "host:0", "host:x", "host:65536"])
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no host and port"):
        address(text)


def test_least_words_mean_our_server() -> None:
    made = plan(workers=3, store="redis://x")
    assert isinstance(made.server, Ours)
    assert (made.server.workers, made.server.store, made.seconds) == (3, "redis://x", WINDOW_S)
    assert plan(profile=Shape.ramp).seconds == PROFILE_S
    assert plan(profile=Shape.ramp, seconds=5.0).seconds == 5.0


def test_other_server_is_named_by_its_url() -> None:
    made = plan(url="https://voice.example.com", to="+15550199", model_listen="127.0.0.1:9000", pid=os.getpid())
    assert isinstance(made.server, Theirs)
    assert made.server.target.voice_url == "https://voice.example.com/twilio/voice"
    assert made.server.target.called == "+15550199"
    assert made.server.origin == "https://voice.example.com"
    assert made.server.processes is not None
    assert made.model_at == ("127.0.0.1", 9000)
    assert "token" not in repr(made)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"profile": Shape.ramp, "find": True}, "--find"),
        ({"profile": Shape.soak, "runs": 3}, "--runs"),
        ({"pid": 1}, "--url"),
        ({"model_listen": "127.0.0.1:1"}, "--url"),
        ({"url": "https://x.example", "workers": 2}, "--workers"),
        ({"url": "https://x.example", "store": "redis://x"}, "--store"),
        ({"url": "https://x.example", "first": True}, "--first"),
        ({"url": "https://x.example", "find": True}, "--model-listen"),
        ({"url": "x.example"}, "is no address"),
        ({"url": "ftp://x.example"}, "is no address"),
    ],
)
def test_words_that_do_not_fit_are_refused(words: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plan(**words)


def test_process_that_is_not_there_is_named() -> None:
    with pytest.raises(ScenarioError, match="process 4194305 is gone"):
        plan(url="https://x.example", pid=4_194_305)
