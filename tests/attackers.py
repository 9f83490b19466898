"""Clients that mean harm, or know no better: connections that hold back, forged and replayed requests, old tokens."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import aiohttp

from voicebot.sim.account import AUTH_TOKEN
from voicebot.sim.carrier import signature

SAMPLES = Path(__file__).parent / "samples" / "twilio"
ORIGIN = "https://voice.example.com"
REFUSED = 1008
_HEAD = b"POST /twilio/voice HTTP/1.1\r\nHost: voice.example.com\r\n"


@dataclass(frozen=True, slots=True)
class Holder:
    """How a connection holds back: what it sends at once, and then a byte now and then."""

    first: bytes = b""
    then: bytes = b""  # over and over
    every_s: float = 1.0


HOLDERS: Mapping[str, Holder] = {
    "silent": Holder(),
    "half a header": Holder(_HEAD + b"X-Twilio-Sig"),
    "dripping header": Holder(_HEAD + b"X-Slow: ", b"a", 0.5),
    "dripping lines": Holder(_HEAD, b"X-A: b\r\n", 0.5),
    "dripping body": Holder(
        _HEAD + b"X-Twilio-Signature: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: 60000\r\n\r\nCallSid=CA",
        b"1",
        0.5,
    ),
    "idle": Holder(b"GET /healthz HTTP/1.1\r\nHost: voice.example.com\r\n\r\n"),
}


async def held_for_s(
    holder: Holder,
    port: int,
    *,
    source: str = "127.0.0.1",
    limit_s: float = 60.0,
    trust: ssl.SSLContext | None = None,
) -> float:
    """Connect, over TLS if there is somebody to trust, and hold back until the server closes; returns after how long.

    Raises:
        TimeoutError: it does not.
    """
    reader, writer = await asyncio.open_connection(
        "127.0.0.1",
        port,
        local_addr=(source, 0),
        ssl=trust,
        server_hostname=ORIGIN.removeprefix("https://") if trust is not None else None,
    )
    began = time.monotonic()
    writer.write(holder.first)
    try:
        async with asyncio.timeout(limit_s):
            while True:
                try:
                    async with asyncio.timeout(holder.every_s if holder.then else None):
                        if not await reader.read(4096):
                            return time.monotonic() - began
                except TimeoutError:
                    if time.monotonic() - began > limit_s:
                        raise
                    writer.write(holder.then)
    except ConnectionError:
        return time.monotonic() - began
    finally:
        writer.close()


@dataclass(frozen=True, slots=True)
class Answered:
    """What a webhook was answered."""

    status: int
    text: str

    @property
    def verbs(self) -> list[str]:
        return [verb.tag for verb in ElementTree.fromstring(self.text)]

    @property
    def token(self) -> str:
        parameter = ElementTree.fromstring(self.text).find("Connect/Stream/Parameter[@name='token']")
        assert parameter is not None
        return parameter.attrib["value"]


def call_form(call_sid: str) -> dict[str, str]:
    """The voice webhook of a call."""
    return {"CallSid": call_sid, "From": "+15550123456", "To": "+15550100000", "CallStatus": "ringing"}


async def voice_webhook(http: aiohttp.ClientSession, port: int, call_sid: str) -> Answered:
    """A call comes in, signed as it should be."""
    url, form = ORIGIN + "/twilio/voice", call_form(call_sid)
    headers = {"X-Twilio-Signature": signature(AUTH_TOKEN, url, form)}
    async with http.post(f"http://127.0.0.1:{port}/twilio/voice", data=form, headers=headers) as answer:
        return Answered(answer.status, await answer.text())


async def open_stream(http: aiohttp.ClientSession, port: int) -> aiohttp.ClientWebSocketResponse:
    """A media socket whose handshake is signed as it should be."""
    signed = signature(AUTH_TOKEN, ORIGIN.replace("https", "wss") + "/twilio/media")
    return await http.ws_connect(
        f"http://127.0.0.1:{port}/twilio/media", headers={"X-Twilio-Signature": signed}, max_msg_size=0
    )


async def start_stream(http: aiohttp.ClientSession, port: int, call_sid: str, token: str) -> bool:
    """Open a stream with a token, which stays open if it is taken; returns whether it is."""
    socket = await open_stream(http, port)
    start = json.loads((SAMPLES / "from_start.json").read_text())
    start["start"] |= {"callSid": call_sid, "customParameters": {"token": token}}
    await socket.send_str((SAMPLES / "from_connected.json").read_text())
    await socket.send_json(start)
    message = await socket.receive(60.0)  # the greeting, or the end
    if message.type is aiohttp.WSMsgType.TEXT:
        return True
    assert (message.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, REFUSED), message
    return False
