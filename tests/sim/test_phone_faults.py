"""Calls in which something goes wrong, at the server or on the line."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from twilio.request_validator import RequestValidator

from tests.sim.phone_server import (
    ACCOUNT,
    CALL_SID,
    CONNECT,
    TOKEN,
    Asked,
    Server,
    Stream,
    call,
    conversation,
    dial,
    of,
    reader,
    sample,
    steps,
)
from voicebot.sim.call_result import CallResult
from voicebot.sim.caller import HangUp, Hear, Listen, Say, Wait
from voicebot.sim.clock import run_virtual
from voicebot.sim.line import MALFORMED_FRAMES, UNKNOWN_EVENTS, LineFaults
from voicebot.sim.phone import Phone
from voicebot.sim.speech import speak
from voicebot.sim.timeline import StreamClosed, StreamFailed

# ---- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inner", "reaches_handshake", "error"),
    [
        ("ws://HOST/voice", True, "31920 - Stream - WebSocket - Handshake Error: got HTTP 200"),
        ("ws://HOST/media?token=1", False, "31920"),
        ("ws://127.0.0.1:1/media", False, "31902"),
    ],
)
def test_failed_handshake_falls_through_to_the_next_verb(inner: str, reaches_handshake: bool, error: str) -> None:
    server = Server(documents={"/voice": CONNECT.replace("ws://HOST/media", inner)})
    result = call(server, steps(Listen()))
    (failed,) = of(result, StreamFailed)
    assert failed.error.startswith(error)
    assert conversation(result) == ["Next verb."]
    assert server.forms("/after") == []
    (form,) = server.forms("/stream")
    assert form.keys() == sample("stream_error.json").keys()
    assert form["StreamEvent"] == "stream-error"
    assert len([asked for asked in server.asked if asked.method == "GET"]) == reaches_handshake


def test_failed_handshake_may_ask_for_the_action() -> None:
    server = Server(documents={"/voice": CONNECT.replace("HOST/media", "HOST/voice")})
    call(server, steps(Listen()), faults=LineFaults(action_after_failed_handshake=True))
    assert len(server.forms("/after")) == 1


async def never(asked: Asked) -> web.Response:
    await asyncio.sleep(60)
    return web.Response()


async def text_answer(asked: Asked) -> web.Response:
    return web.Response(text="We are closed today.")


async def broken(asked: Asked) -> web.Response:
    return web.Response(status=500)


async def forbidden(asked: Asked) -> web.Response:
    return web.Response(status=403)


async def json_answer(asked: Asked) -> web.Response:
    return web.json_response({})


async def moved(asked: Asked) -> web.Response:
    raise web.HTTPTemporaryRedirect("/new")


@pytest.mark.parametrize(
    ("answer", "code", "at_ms"),
    [
        (broken, "11200", 0),
        (forbidden, "11200", 0),
        (never, "11205", 15_000),
        ("<Response>", "12100", 0),
        ("<Response><Dial/></Response>", "13221", 0),
        (json_answer, "12300", 0),
        ("<Response><Redirect>/voice</Redirect></Response>", "12100", 0),
    ],
)
def test_unusable_answer_ends_the_call_or_asks_the_fallback(answer: Any, code: str, at_ms: float) -> None:
    result = call(Server(documents={"/voice": answer}), steps(Listen()))
    assert result.ended_by == "error"
    assert result.reason.startswith(code)
    assert result.duration_ms == pytest.approx(at_ms, abs=40)

    server = Server(documents={"/voice": answer, "/fallback": "<Response><Say>Sorry.</Say></Response>"})

    async def main() -> CallResult:
        async with server:
            return await dial(server, steps(Listen()), fallback_url=f"http://{server.host}/fallback")

    result = run_virtual(main())
    if code != "12100" or answer == "<Response>":  # a loop of redirects is no document's fault
        assert conversation(result) == ["Sorry."]
        (form,) = server.forms("/fallback")
        assert form == sample("fallback_request.json") | {
            "ErrorCode": code,
            "ErrorUrl": f"http://{server.host}/voice",
        }


def test_unreachable_server_ends_the_call() -> None:
    async def main() -> CallResult:
        async with Server() as server:
            phone = Phone(
                "http://127.0.0.1:1/voice",
                to="+1",
                from_="+2",
                account_sid=ACCOUNT,
                auth_token=TOKEN,
                behaviour=steps(Say("Hi")),
                fallback_url=f"http://{server.host}/fallback",
            )
            return await replace(phone, fallback_url=None).call()

    result = run_virtual(main())
    assert (result.ended_by, result.reason[:5]) == ("error", "11205")
    assert result.problems == ("the line ended at 0 ms before step 1, Say(text='Hi', timeout_ms=30000)",)


def test_plain_text_is_read_aloud() -> None:
    result = call(Server(documents={"/voice": text_answer}), steps(Listen()))
    assert conversation(result) == ["We are closed today."]


def test_redirect_of_the_webhook_is_followed_and_signed_anew() -> None:
    server = Server(documents={"/voice": moved, "/new": "<Response><Say>Here.</Say></Response>"})
    result = call(server, steps(Listen()))
    assert conversation(result) == ["Here."]
    asked = next(asked for asked in server.asked if asked.path == "/new")
    assert asked.form["CallSid"] == CALL_SID
    assert RequestValidator(TOKEN).validate(asked.url, asked.form, asked.signature)


def test_call_that_never_ends_is_ended_by_the_carrier() -> None:
    result = call(Server(reader), steps(Wait(100_000)), limit_s=20)
    assert result.ended_by == "error"
    assert result.duration_ms == pytest.approx(20_000, abs=60)
    assert of(result, StreamClosed)[0].by == "caller"


def test_server_that_breaks_the_connection_is_a_network_failure() -> None:
    async def breaks(stream: Stream) -> None:
        await stream.until("start")
        assert stream.request.transport is not None
        stream.request.transport.abort()

    server = Server(breaks)
    result = call(server, steps(Listen()))
    assert of(result, StreamClosed)[0].by == "network"
    assert server.forms("/stream")[-1]["StreamError"].startswith("31903")
    assert len(server.forms("/after")) == 1


def test_caller_who_gives_up_is_a_problem() -> None:
    result = call(Server(reader), steps(Say("Hi"), Listen()))
    assert result.ended_by == "caller"
    assert "30 s of silence before step 1" in result.problems[0]


def test_words_cut_by_the_end_of_the_call_are_incomplete() -> None:
    async def rude(stream: Stream) -> None:
        await stream.until("start")
        await stream.say("Yes?")
        await stream.until("mark")
        for _ in range(60):
            await stream.until("media")

    result = call(
        Server(rude, documents={"/after": "<Response/>"}), steps(Say("I have a long story to tell"), Listen())
    )
    (said,) = result.caller_said
    assert not said.complete
    assert "while the caller spoke" in result.problems[0]


# ---- changed facts ------------------------------------------------------------------------------------------------


def test_fault_connection_drops_and_the_action_comes() -> None:
    server = Server(documents={"/after": CONNECT.replace('action="/after"', "")})
    result = call(
        server,
        steps(Wait(1500), Say("Hi"), Listen()),
        faults=LineFaults(drop_socket_at_ms=1000),
    )
    first, second = of(result, StreamClosed)
    assert (first.by, first.at_ms) == ("network", pytest.approx(1000, abs=20))
    assert second.by == "server"
    assert server.streams[0].events[-1]["event"] != "stop"
    assert server.streams[0].socket.close_code != 1000
    assert conversation(result)[-2:] == ["Goodbye.", "Next verb."]


def test_fault_action_is_not_requested() -> None:
    server = Server()
    result = call(server, faults=LineFaults(request_action=False))
    assert server.forms("/after") == []
    assert conversation(result)[-1] == "Next verb."


def test_fault_webhook_comes_twice_at_once() -> None:
    server = Server()
    result = call(server, faults=LineFaults(duplicate_webhook=True))
    first, second = server.forms("/voice")
    assert first == second
    assert len(server.streams) == 1
    assert result.ended_by == "server"


def test_fault_stop_is_not_sent_but_the_socket_closes() -> None:
    server = Server()
    call(server, steps(Hear(), HangUp()), faults=LineFaults(stop_sent=False))
    assert server.streams[0].events[-1]["event"] == "media"


@pytest.mark.parametrize("inject", [UNKNOWN_EVENTS, MALFORMED_FRAMES])
def test_fault_foreign_frames_reach_the_server(inject: Any) -> None:
    server = Server()
    result = call(server, faults=LineFaults(inject=inject))
    expected = sum(1 for event in server.streams[0].events if event.get("event") in ("media", "mark", "dtmf"))
    assert len(server.streams[0].events) > expected
    assert conversation(result) == ["Hello there.", "Hi", "Goodbye."]


def test_fault_network_delays_both_ways() -> None:
    """The mark of the greeting returns a round trip later, and nothing is lost or reordered by jitter."""

    async def timed(stream: Stream) -> None:
        await stream.until("start")
        sent_at.append(asyncio.get_running_loop().time())
        await stream.say("Hello there.")
        await stream.until("mark")
        came_at.append(asyncio.get_running_loop().time())
        await stream.until_said("Hi")
        await stream.say("Goodbye.")
        await stream.until("mark", "Goodbye.")

    sent_at: list[float] = []
    came_at: list[float] = []
    server = Server(timed)
    result = call(server, faults=LineFaults(network_delay_ms=(150, 40), jitter_ms=60, seed=3))
    assert conversation(result) == ["Hello there.", "Hi", "Goodbye."]
    assert sent_at[0] == pytest.approx(0.18, abs=0.03)
    spoken_s = len(speak("Hello there.", 8000)) / 8000
    assert 0.19 <= came_at[0] - sent_at[0] - spoken_s <= 0.31 + 0.04
    numbers = [int(event["sequenceNumber"]) for event in server.streams[0].events[1:]]
    assert numbers == sorted(numbers)
    assert of(result, StreamClosed)[0].by == "server"


def test_same_seed_gives_the_same_call() -> None:
    faults = LineFaults(network_delay_ms=(50, 20), jitter_ms=30, mark_loss=0.0, seed=5)
    first, second = (call(Server(), faults=faults) for _ in range(2))
    assert first.heard_tape == second.heard_tape
    assert first.caller_tape == second.caller_tape


def test_server_that_does_not_read_overflows_the_line() -> None:
    async def deaf(stream: Stream) -> None:
        await stream.until("start")
        await asyncio.sleep(200)

    result = call(Server(deaf), steps(Wait(100_000), HangUp()))
    assert [violation.code for violation in result.violations] == ["31930"]
    (closed,) = of(result, StreamClosed)
    assert closed.by == "network"
    assert closed.at_ms < 100_000
