"""Hostile connections and frames beside calls that must not notice: a real server, real sockets."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSMsgType

from tests.attackers import HOLDERS, ORIGIN, SAMPLES, held_for_s, open_stream, voice_webhook
from tests.fakes import environment
from tests.server.test_serve import sentences
from tests.short_call import FLOW, SHORT
from voicebot.sim.account import AUTH_TOKEN
from voicebot.sim.call_result import CallResult
from voicebot.sim.caller import Caller
from voicebot.sim.carrier import signature
from voicebot.sim.fleet import Fleet, fleet
from voicebot.sim.timeline import StreamOpened

LIMIT_S = 90.0
EACH = 40  # sockets of a kind


async def call(made: Fleet, talking: Callable[[object], None] = lambda event: None) -> CallResult:
    phone = made.phone(Caller(SHORT.steps()), to=SHORT.called_number, on_event=talking)
    async with asyncio.timeout(LIMIT_S):
        return await phone.call()


async def check_whole(made: Fleet, results: Sequence[CallResult]) -> None:
    """The calls went as they should, and their reports say so."""
    for result in results:
        assert (sentences(result), result.problems, result.violations) == ([], (), ())
    await made.crm.wait_for(len(results), LIMIT_S)
    reasons = {json.loads(one.body)["data"]["call_sid"]: one for one in made.crm.reports()}
    assert reasons.keys() == {result.call_sid for result in results}


def settings(folder: Path) -> dict[str, str]:
    (folder / "flows").mkdir()
    (folder / "flows" / "visit.py").write_text(FLOW)
    return {"VOICEBOT_TRUSTED_PROXIES": "", "VOICEBOT_MAX_CONNECTIONS_PER_ADDRESS": "1000"}


async def test_sockets_that_hold_back_are_closed_beside_calls(tmp_path: Path) -> None:
    async with fleet(
        tmp_path,
        SHORT.steady_brain,
        flows=tmp_path / "flows",
        environment=environment(),
        names=("a",),
        settings=settings(tmp_path),
    ) as made:
        port = made.instances["a"].port
        async with asyncio.TaskGroup() as tasks:
            holding = [
                tasks.create_task(held_for_s(holder, port, source=f"127.0.1.{1 + number}", limit_s=LIMIT_S))
                for holder in HOLDERS.values()
                for number in range(EACH)
            ]
            calls = [tasks.create_task(call(made)) for _ in range(3)]
        assert len([task.result() for task in holding]) == EACH * len(HOLDERS)
        await check_whole(made, [task.result() for task in calls])
        assert "Traceback" not in "".join(made.instances["a"].log)


# ---- frames ---------------------------------------------------------------------------------------------------------


def _start() -> str:
    return (SAMPLES / "from_start.json").read_text()


def _frames(payload: bytes) -> bytes:
    """A text message in many small fragments, masked as a client's must be."""
    pieces = [payload[at : at + 10] for at in range(0, len(payload), 10)]
    framed = b""
    for number, piece in enumerate(pieces):
        final = 0x80 if number == len(pieces) - 1 else 0
        opcode = 0x1 if number == 0 else 0x0
        framed += bytes([final | opcode, 0x80 | len(piece)]) + bytes(4) + piece
    return framed


HOSTILE: dict[str, bytes | str] = {
    "oversized": "x" * (65 * 1024),
    "deep": "[" * 30_000,
    "deep and closed": "[" * 20_000 + "]" * 20_000,
    "deep in a field": '{"event":"start","start":' + '{"a":' * 8_000 + "1" + "}" * 8_001,
    "huge number": '{"event":"media","media":{"payload":"","timestamp":' + "9" * 60_000 + "}}",
    "not json": "hello",
    "null": "null",
    "empty": "",
    "binary": os.urandom(2000),
    "start without a call": '{"event":"start","start":{}}',
    "lone surrogate": '{"event":"start","start":{"callSid":"\\ud800"}}',
    "nul": "\x00" * 1000,
}
RAW = {
    "text that is no UTF-8": bytes([0x81, 0x82]) + bytes(4) + b"\xff\xfe",
    "unmasked": bytes([0x81, 0x02]) + b"{}",
    "reserved bits": bytes([0xF1, 0x82]) + bytes(4) + b"{}",
    "unknown opcode": bytes([0x83, 0x82]) + bytes(4) + b"{}",
    "long control frame": bytes([0x89, 0xFE, 0x01, 0x00]) + bytes(4) + bytes(256),
    "continuation of nothing": bytes([0x80, 0x82]) + bytes(4) + b"{}",
    "claims to be endless": bytes([0x81, 0xFF]) + b"\x7f" + b"\xff" * 7 + bytes(4) + b"{",
    "fragmented for ever": _frames(b"x" * (70 * 1024)),
    "half a frame": bytes([0x81, 0xFE, 0x10]),
}


async def _closes(
    send: Callable[[aiohttp.ClientWebSocketResponse], object], http: aiohttp.ClientSession, port: int
) -> bool:
    """Open a stream, send, and see it closed by the server."""
    socket = await open_stream(http, port)
    try:
        sent = send(socket)
        if asyncio.iscoroutine(sent):
            await sent
        async with asyncio.timeout(LIMIT_S):
            while (await socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR):
                pass
    except ConnectionError:
        pass
    await socket.close()
    return True


async def test_hostile_frames_end_their_own_stream_alone(tmp_path: Path) -> None:
    talking = asyncio.Event()

    def on_event(event: object) -> None:
        if isinstance(event, StreamOpened):
            talking.set()

    async with (
        fleet(
            tmp_path,
            SHORT.steady_brain,
            flows=tmp_path / "flows",
            environment=environment(),
            names=("a",),
            settings=settings(tmp_path),
        ) as made,
        aiohttp.ClientSession() as http,
        asyncio.TaskGroup() as tasks,
    ):
        port = made.instances["a"].port
        calls = [tasks.create_task(call(made, on_event)) for _ in range(2)]
        await talking.wait()
        for text in HOSTILE.values():

            async def send(socket: aiohttp.ClientWebSocketResponse, text: bytes | str = text) -> None:
                if isinstance(text, bytes):
                    await socket.send_bytes(text)
                else:
                    await socket.send_str(text)

            assert await _closes(send, http, port)
        for raw in RAW.values():

            def write(socket: aiohttp.ClientWebSocketResponse, raw: bytes = raw) -> None:
                transport = socket.get_extra_info("socket")
                assert transport is not None
                os.write(transport.fileno(), raw)

            assert await _closes(write, http, port)
        results = [await one for one in calls]
        await check_whole(made, results)
        assert "Traceback" not in "".join(made.instances["a"].log)


async def test_hostile_frames_within_a_call_leave_the_others_alone(tmp_path: Path) -> None:
    """The stream is the call's own and was taken: then it says what it should not."""
    async with (
        fleet(
            tmp_path,
            SHORT.steady_brain,
            flows=tmp_path / "flows",
            environment=environment(),
            names=("a",),
            settings=settings(tmp_path),
        ) as made,
        aiohttp.ClientSession() as http,
    ):
        port = made.instances["a"].port

        async def taken(number: int) -> aiohttp.ClientWebSocketResponse:
            call_sid = f"CA{number:032x}"
            token = (await voice_webhook(http, port, call_sid)).token
            socket = await open_stream(http, port)
            start = json.loads(_start())
            start["start"] |= {"callSid": call_sid, "customParameters": {"token": token}}
            await socket.send_str((SAMPLES / "from_connected.json").read_text())
            await socket.send_json(start)
            return socket

        sockets = [await taken(number) for number in range(len(HOSTILE))]
        calling = asyncio.create_task(call(made))
        for socket, text in zip(sockets, HOSTILE.values(), strict=True):
            with suppress(ConnectionError):  # it may be closed before the last of them
                for _ in range(20):
                    await (socket.send_bytes(text) if isinstance(text, bytes) else socket.send_str(text))
        flooding = await taken(len(HOSTILE))
        media = (SAMPLES / "from_media.json").read_text()
        for _ in range(5_000):  # a hundred seconds of audio at once
            await flooding.send_str(media)
        sockets.append(flooding)
        result = await calling
        assert (sentences(result), result.problems, result.violations) == ([], (), ())
        for socket in sockets:
            await socket.close()
        assert "Traceback" not in "".join(made.instances["a"].log)


# ---- forged ---------------------------------------------------------------------------------------------------------


def forged() -> dict[str, dict[str, str]]:
    """Headers of webhooks and handshakes that are not signed as they should be."""
    form: dict[str, str] = {}
    right = signature(AUTH_TOKEN, f"{ORIGIN}/twilio/voice", form)
    elsewhere = {
        "another path": f"{ORIGIN}/twilio/after",
        "plain http": "http://voice.example.com/twilio/voice",
        "a port": f"{ORIGIN}:8443/twilio/voice",
        "another host": "https://evil.example.com/twilio/voice",
        "a trailing slash": f"{ORIGIN}/twilio/voice/",
        "two slashes": f"{ORIGIN}//twilio/voice",
        "a query": f"{ORIGIN}/twilio/voice?a=b",
        "a fragment": f"{ORIGIN}/twilio/voice#a",
        "capitals": f"{ORIGIN}/TWILIO/VOICE",
        "loopback": "http://127.0.0.1/twilio/voice",
        "an empty origin": "/twilio/voice",
    }
    signed = {name: {"X-Twilio-Signature": signature(AUTH_TOKEN, url, form)} for name, url in elsewhere.items()}
    values = {
        "none": None,
        "empty": "",
        "a space": " ",
        "no base64": "%%%",
        "short": "AAAA",
        "long": "A" * 4000,
        "zeros": "A" * 27 + "=",
        "cut": right[:-2],
        "longer": right + "A",
        "reversed": right[::-1],
        "swapped case": right.swapcase(),
        "twice": f"{right},{right}",
        "quoted": f'"{right}"',
        "Bearer": f"Bearer {right}",
        "of another token": signature("another token", f"{ORIGIN}/twilio/voice", form),
        "of no token": signature("", f"{ORIGIN}/twilio/voice", form),
        "of other fields": signature(AUTH_TOKEN, f"{ORIGIN}/twilio/voice", {"CallSid": "CA2"}),
        "latin": "\u00e9" * 28,
    }
    plain = {name: {} if value is None else {"X-Twilio-Signature": value} for name, value in values.items()}
    forwarded = {
        "says who it is": {"X-Forwarded-Host": "voice.example.com", "X-Forwarded-Proto": "https"},
        "says where it is from": {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1"},
        "is told twice": {"X-Original-URL": "/twilio/voice", "X-Rewrite-URL": "/healthz"},
    }
    return signed | plain | forwarded


async def test_every_forgery_is_forbidden_and_opens_nothing(tmp_path: Path) -> None:
    assert len(forged()) >= 30
    async with (
        fleet(
            tmp_path,
            SHORT.steady_brain,
            flows=tmp_path / "flows",
            environment=environment(),
            names=("a",),
            settings=settings(tmp_path),
        ) as made,
        aiohttp.ClientSession() as http,
    ):
        base = f"http://127.0.0.1:{made.instances['a'].port}"
        handshake = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        for name, headers in forged().items():
            for path in ("/twilio/voice", "/twilio/after", "/twilio/status", "/twilio/overflown"):
                async with http.post(base + path, data={"CallSid": "CA" + "1" * 32}, headers=headers) as answer:
                    assert answer.status == 403, (name, path)
            async with http.get(base + "/twilio/media", headers={**headers, **handshake}) as answer:
                assert answer.status == 403, name
        assert made.model.connections == 0
        status, ready = await made.instances["a"].get("/readyz")
        assert (status, json.loads(ready)["calls"]) == (200, 0)
        assert "Traceback" not in "".join(made.instances["a"].log)


@pytest.mark.parametrize("name", HOLDERS)
def test_holders_never_finish_what_they_begin(name: str) -> None:
    holder = HOLDERS[name]
    assert name in ("silent", "idle") or b"\r\n\r\n" not in holder.first or b"Content-Length" in holder.first
