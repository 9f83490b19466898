"""The phone's leg on a real socket: an aiohttp server holds the leg, the test is the phone at the other end."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, web
from aiohttp.test_utils import TestClient, TestServer

from voicebot.audio.formats import AudioFormat
from voicebot.audio.resample import Downsampler, Upsampler
from voicebot.call.ports import (
    CallerAudio,
    CallerEvent,
    CallerLeft,
    CallerLeg,
    ClearPlayback,
    CloseLeg,
    KeyPressed,
    MarkPlayed,
    PlayAudio,
    SendMark,
)
from voicebot.errors import LegLostError, MediaStreamError
from voicebot.telephony import leg as leg_module
from voicebot.telephony.leg import MALFORMED_LIMIT, PhoneLeg, read_start
from voicebot.telephony.media_streams import Start, parse
from voicebot.telephony.socket import MediaSocket, Upgraded, upgrade

SAMPLES = Path(__file__).parents[1] / "samples" / "twilio"
STREAM = "MZfedcba0987654321fedcba0987654321"
START = Start(STREAM, "CA1234567890abcdef1234567890abcdef", "AC00000000000000000000000000000001", {})
SPEECH = bytes((37 * n * n + 11 * n) % 256 for n in range(1600))  # 200 ms of mu-law, loud and uneven
LIMIT_S = 20.0  # no test waits this long, however busy the machine

Socket = MediaSocket
Served = Callable[[Socket, web.Request], object]


@dataclass(frozen=True, slots=True)
class Line:
    """Both ends of one loopback connection."""

    server: Socket
    phone: ClientWebSocketResponse
    request: web.Request

    def leg(self, audio_format: AudioFormat = AudioFormat.PCMU_8K, write_timeout_s: float = LIMIT_S) -> PhoneLeg:
        return PhoneLeg(self.server, START, audio_format, write_timeout_s)

    async def say(self, *texts: str) -> None:
        for text in texts:
            await self.phone.send_str(text)

    async def hear(self, count: int) -> list[dict[str, object]]:
        return [await self.phone.receive_json(timeout=LIMIT_S) for _ in range(count)]


def _abort(request: web.Request) -> Callable[[], object]:
    assert request.transport is not None
    return request.transport.abort


@asynccontextmanager
async def serving(
    max_msg_size: int = 65536,
) -> AsyncIterator[tuple[TestServer, asyncio.Queue[tuple[Socket, web.Request]]]]:
    """A server that hands out each socket it accepts and keeps its handler until the test is over."""
    sockets: asyncio.Queue[tuple[Socket, web.Request]] = asyncio.Queue(maxsize=4)
    over = asyncio.Event()

    async def media(request: web.Request) -> Upgraded:
        prepared = upgrade(request, max_message_bytes=max_msg_size)
        sockets.put_nowait((prepared, request))
        await over.wait()
        return Upgraded()

    app = web.Application()
    app.router.add_get("/twilio/media", media)
    server = TestServer(app)
    await server.start_server()
    try:
        yield server, sockets
    finally:
        over.set()
        await server.close()


@asynccontextmanager
async def connected(max_msg_size: int = 65536) -> AsyncIterator[Line]:
    async with serving(max_msg_size) as (server, sockets), TestClient(server) as client:
        phone = await client.ws_connect("/twilio/media")
        prepared, request = await sockets.get()
        try:
            async with asyncio.timeout(LIMIT_S):
                yield Line(prepared, phone, request)
        finally:
            await asyncio.gather(phone.close(), prepared.close())


@asynccontextmanager
async def connected_raw(
    audio_format: AudioFormat = AudioFormat.PCMU_8K, write_timeout_s: float = LIMIT_S
) -> AsyncIterator[tuple[PhoneLeg, socket.socket, web.Request]]:
    """A phone that is a bare TCP socket, which reads and answers nothing by itself."""
    async with serving() as (server, sockets):
        loop = asyncio.get_running_loop()
        with socket.socket() as phone:
            phone.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            phone.setblocking(False)
            await loop.sock_connect(phone, (server.host, server.port))
            await loop.sock_sendall(
                phone,
                b"GET /twilio/media HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
            )
            prepared, request = await sockets.get()
            async with asyncio.timeout(LIMIT_S):
                yield PhoneLeg(prepared, START, audio_format, write_timeout_s), phone, request


def frame(opcode: int, payload: bytes) -> bytes:
    """One masked frame of a client (RFC 6455 §5.2); the mask is zero, so the payload stands as it is."""
    assert len(payload) < 126
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload


def sample(name: str) -> str:
    return (SAMPLES / f"{name}.json").read_text()


def media(payload: bytes) -> str:
    audio = base64.b64encode(payload).decode()
    return json.dumps({"event": "media", "streamSid": STREAM, "media": {"payload": audio, "timestamp": "20"}})


def mark(name: str) -> str:
    return json.dumps({"event": "mark", "streamSid": STREAM, "mark": {"name": name}})


def played(messages: Sequence[dict[str, object]]) -> bytes:
    """All audio among what the phone was sent."""
    audio = b""
    for message in messages:
        match message:
            case {"event": "media", "streamSid": str(stream_sid), "media": {"payload": str(payload)}}:
                assert stream_sid == STREAM
                audio += base64.b64decode(payload, validate=True)
    return audio


async def events(leg: CallerLeg, count: int) -> list[CallerEvent]:
    found: list[CallerEvent] = []
    while len(found) < count:
        found += await leg.receive()
    return found


# ---- before the stream --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("messages", [["from_connected", "from_start"], ["from_start"]])
async def test_start_is_read_after_connected(messages: list[str]) -> None:
    async with connected() as line:
        await line.say(*map(sample, messages))
        assert await read_start(line.server, timeout_s=LIMIT_S) == parse(sample("from_start"))


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ([sample("from_connected"), sample("from_media")], "media came before start"),
        ([sample("from_stop")], "stop came before start"),
        ([sample("from_mark")], "mark came before start"),
        (["{"], "not valid JSON"),
        ([sample("from_start").replace("audio/x-mulaw", "audio/l16")], "audio/l16"),
        ([sample("from_connected")] * 8, "no start among the first 8 messages"),
        (['{"event": "later"}'] * 8, "no start among the first 8 messages"),
    ],
)
async def test_anything_else_before_start_is_refused(texts: list[str], problem: str) -> None:
    async with connected() as line:
        await line.say(*texts)
        with pytest.raises(MediaStreamError, match=problem):
            await read_start(line.server, timeout_s=LIMIT_S)


async def test_binary_before_start_is_refused() -> None:
    async with connected() as line:
        await line.phone.send_bytes(b"\x00" * 160)
        with pytest.raises(MediaStreamError, match="binary"):
            await read_start(line.server, timeout_s=LIMIT_S)


async def test_silent_socket_is_given_up_in_time() -> None:
    async with connected() as line:
        await line.say(sample("from_connected"))
        with pytest.raises(MediaStreamError, match=r"within 0\.05 s"):
            await read_start(line.server, timeout_s=0.05)


async def test_socket_that_closes_before_start_is_refused() -> None:
    async with connected() as line:
        closing = asyncio.ensure_future(line.phone.close())
        with pytest.raises(MediaStreamError, match="closed before start"):
            await read_start(line.server, timeout_s=LIMIT_S)
        await closing


# ---- what the caller does -----------------------------------------------------------------------------------------


async def test_caller_events_come_in_order() -> None:
    async with connected() as line:
        leg = line.leg()
        await line.say(media(b"\x01\x02"), sample("from_dtmf"), mark("r1:0:20"), sample("from_stop"))
        assert await events(leg, 4) == [
            CallerAudio(b"\x01\x02"),
            KeyPressed("1"),
            MarkPlayed("r1:0:20"),
            CallerLeft("hangup"),
        ]


async def test_pass_through_leaves_audio_alone() -> None:
    async with connected() as line:
        leg = line.leg(AudioFormat.PCMU_8K)
        assert leg.audio_format is AudioFormat.PCMU_8K
        await line.say(media(SPEECH), media(SPEECH[:7]))
        assert await events(leg, 2) == [CallerAudio(SPEECH), CallerAudio(SPEECH[:7])]
        await leg.send([PlayAudio(SPEECH), PlayAudio(SPEECH[:7], end=True)])
        assert played(await line.hear(2)) == SPEECH + SPEECH[:7]


async def test_caller_audio_is_one_converted_stream() -> None:
    async with connected() as line:
        leg = line.leg(AudioFormat.PCM16_24K)
        assert leg.audio_format is AudioFormat.PCM16_24K
        sizes = [160, 160, 1, 159, 320, 800]
        at = 0
        for size in sizes:
            await line.say(media(SPEECH[at : at + size]))
            at += size
        await line.say(sample("from_stop"))
        heard = b""
        for event in await events(leg, len(sizes) + 1):
            heard += event.payload if isinstance(event, CallerAudio) else b""
        assert heard == Upsampler().convert(SPEECH)


async def test_messages_without_use_are_passed_over() -> None:
    async with connected() as line:
        leg = line.leg()
        await line.say(sample("from_connected"), '{"event": "later"}', media(b""), media(b"\x05"))
        assert await leg.receive() == [CallerAudio(b"\x05")]


async def test_caller_left_is_told_again_and_again() -> None:
    async with connected() as line:
        leg = line.leg()
        await line.say(sample("from_stop"), media(b"\x05"))
        assert [(await leg.receive())[0] for _ in range(20)] == [CallerLeft("hangup")] * 20


async def test_socket_closed_without_stop_is_lost() -> None:
    async with connected() as line:
        leg = line.leg()
        closing = asyncio.ensure_future(line.phone.close())
        assert [(await leg.receive())[0] for _ in range(20)] == [CallerLeft("lost")] * 20
        await closing


async def test_connection_that_breaks_is_lost() -> None:
    async with connected_raw() as (leg, phone, _):
        phone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        phone.close()
        assert await leg.receive() == [CallerLeft("lost")]


async def test_line_that_says_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leg_module, "SILENCE_S", 0.03)
    async with connected() as line:
        assert await line.leg().receive() == [CallerLeft("lost")]


async def test_line_that_says_anything_is_kept() -> None:
    async with connected() as line:
        leg = line.leg()
        for name in "abc":
            leg._look()  # as its timer does
            await line.say(json.dumps({"event": "mark", "streamSid": STREAM, "mark": {"name": name}}))
            assert await leg.receive() == [MarkPlayed(name)]
        left, _ = await asyncio.gather(leg.receive(), line.phone.close())
        assert left == [CallerLeft("lost")]


async def test_watch_ends_with_the_line() -> None:
    async with connected() as line:
        leg = line.leg()
        await asyncio.gather(leg.receive(), line.phone.close())
        assert leg._watch.cancelled()


async def test_ping_on_a_dropped_connection_is_lost() -> None:
    async with connected_raw() as (leg, phone, request):
        both = frame(0x1, b'{"event":"mark","mark":{"name":"m"}}') + frame(0x9, b"ping")
        await asyncio.get_running_loop().sock_sendall(phone, both)
        assert await leg.receive() == [MarkPlayed("m")]
        _abort(request)()
        assert await leg.receive() == [CallerLeft("lost")]


@pytest.mark.parametrize("wire", [frame(0x1, b"\xff\xfe"), frame(0x3, b""), b"\x01\x02\x03\x04\x05\x06\x07\x08"])
async def test_broken_websocket_frames_are_lost(wire: bytes) -> None:
    async with connected_raw() as (leg, phone, _):
        await asyncio.get_running_loop().sock_sendall(phone, wire)
        assert await leg.receive() == [CallerLeft("lost")]


async def test_oversized_message_is_lost() -> None:
    async with connected(max_msg_size=1024) as line:
        leg = line.leg()
        await line.say(media(bytes(2000)))
        assert await leg.receive() == [CallerLeft("lost")]


# ---- malformed messages -------------------------------------------------------------------------------------------

MALFORMED = ["{", "[]", media(b"\x01").replace("AQ==", "c2VjcmV0!"), sample("from_media").replace("MZf", "MZ0")]


async def test_few_malformed_messages_are_ignored(caplog: pytest.LogCaptureFixture) -> None:
    async with connected() as line:
        leg = line.leg()
        with caplog.at_level(logging.WARNING, "voicebot.telephony.leg"):
            for number in range(MALFORMED_LIMIT):
                await line.say(MALFORMED[number % len(MALFORMED)])
            await line.say(media(b"\x05"))
            assert await leg.receive() == [CallerAudio(b"\x05")]
    assert [(record.levelname, record.__dict__["call_sid"]) for record in caplog.records] == [
        ("WARNING", START.call_sid)
    ]
    assert "c2VjcmV0" not in caplog.text


@pytest.mark.parametrize("text", [*MALFORMED, sample("from_start")])
async def test_malformed_flood_ends_the_leg(text: str) -> None:
    async with connected() as line:
        leg = line.leg()
        await line.say(*[text] * (MALFORMED_LIMIT + 1), media(b"\x05"))
        assert await leg.receive() == [CallerLeft("lost")]
        assert await leg.receive() == [CallerLeft("lost")]


async def test_binary_flood_ends_the_leg() -> None:
    async with connected() as line:
        leg = line.leg()
        for _ in range(MALFORMED_LIMIT + 1):
            await line.phone.send_bytes(b"\x00" * 160)
        assert await leg.receive() == [CallerLeft("lost")]


# ---- what we play -------------------------------------------------------------------------------------------------


async def test_commands_become_messages_in_order() -> None:
    async with connected() as line:
        await line.leg().send([PlayAudio(SPEECH[:160]), SendMark('r1:"0"'), ClearPlayback(), PlayAudio(b"")])
        await line.leg().send([])
        await line.leg().send([SendMark("last")])
        messages = await line.hear(4)
        assert [message["event"] for message in messages] == ["media", "mark", "clear", "mark"]
        assert messages[1] == {"event": "mark", "streamSid": STREAM, "mark": {"name": 'r1:"0"'}}
        assert messages[2] == {"event": "clear", "streamSid": STREAM}


async def test_utterance_is_converted_to_its_last_sample() -> None:
    pcm = Upsampler().convert(SPEECH)
    whole = Downsampler()
    expected = whole.convert(pcm) + whole.flush()
    async with connected() as line:
        leg = line.leg(AudioFormat.PCM16_24K)
        cuts = [0, 1, 4801, 4802, 9000, len(pcm)]
        pieces = [pcm[at:to] for at, to in pairwise(cuts)]
        for utterance in range(2):  # the second one starts clean
            await leg.send([PlayAudio(piece, end=piece is pieces[-1]) for piece in pieces])
            await leg.send([SendMark(f"r{utterance}")])
            audio: list[dict[str, object]] = []
            while (message := (await line.hear(1))[0])["event"] != "mark":
                audio.append(message)
            assert played(audio) == expected


async def test_end_alone_flushes_the_tail() -> None:
    pcm = Upsampler().convert(SPEECH)
    whole = Downsampler()
    async with connected() as line:
        leg = line.leg(AudioFormat.PCM16_24K)
        await leg.send([PlayAudio(pcm), PlayAudio(b"", end=True)])
        assert played(await line.hear(2)) == whole.convert(pcm) + whole.flush()


async def test_barge_in_drops_what_the_converter_holds() -> None:
    pcm = Upsampler().convert(SPEECH)
    fresh = Downsampler()
    async with connected() as line:
        leg = line.leg(AudioFormat.PCM16_24K)
        await leg.send([PlayAudio(pcm[:4001]), ClearPlayback(), PlayAudio(pcm, end=True)])
        before, clear, after = await line.hear(3)
        assert (before["event"], clear["event"]) == ("media", "clear")
        assert played([after]) == fresh.convert(pcm) + fresh.flush()


class Listening:
    """A tap that asks for marks of its own."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def heard(self, payload: bytes, timestamp_ms: int) -> None:
        self.told.append(("heard", payload, timestamp_ms))

    def sent(self, payload: bytes) -> str | None:
        self.told.append(("sent", payload))
        return "own-1"

    def marked(self, name: str) -> None:
        self.told.append(("marked", name))

    def cleared(self) -> str:
        self.told.append(("cleared",))
        return "own-2"

    def echoed(self, name: str) -> bool:
        self.told.append(("echoed", name))
        return name.startswith("own")


async def test_tap_is_told_of_the_wire_and_sends_marks_of_its_own() -> None:
    async with connected() as line:
        leg, tap = line.leg(), Listening()
        leg.tap(tap)
        await leg.send([PlayAudio(SPEECH[:160]), SendMark("r1"), ClearPlayback()])
        messages = await line.hear(5)
        assert [message["event"] for message in messages] == ["mark", "media", "mark", "clear", "mark"]
        assert [message["mark"]["name"] for message in messages if "mark" in message] == ["own-1", "r1", "own-2"]
        assert tap.told == [("sent", SPEECH[:160]), ("marked", "r1"), ("cleared",)]
        await line.say(media(SPEECH[:160]), mark("own-1"), mark("r1"), mark("own-2"), mark("last"))
        events: list[CallerEvent] = []
        while MarkPlayed("last") not in events:
            events += await leg.receive()
        assert events == [CallerAudio(SPEECH[:160]), MarkPlayed("r1"), MarkPlayed("last")]
        echoes = [("echoed", name) for name in ("own-1", "r1", "own-2", "last")]
        assert tap.told[3:] == [("heard", SPEECH[:160], 20), *echoes]


async def test_long_clip_is_cut_into_messages() -> None:
    async with connected() as line:
        await line.leg().send([PlayAudio(SPEECH * 50, end=True)])
        messages = await line.hear(3)
        assert played(messages) == SPEECH * 50
        assert all(len(json.dumps(message)) < 65536 for message in messages)


# ---- the end ------------------------------------------------------------------------------------------------------


async def test_close_ends_the_stream_in_order() -> None:
    async with connected() as line:
        leg = line.leg()
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(leg.receive())
            frames = tasks.create_task(line.phone.receive())
            await asyncio.sleep(0)  # both wait
            await leg.send([CloseLeg(), SendMark("never")])
        assert reading.result() == [CallerLeft("hangup")]
        assert frames.result().type is WSMsgType.CLOSE
        assert line.phone.close_code == 1000


async def test_close_without_a_reader_ends_the_stream() -> None:
    async with connected() as line:
        leg = line.leg()
        closing = asyncio.ensure_future(leg.send([SendMark("last"), CloseLeg()]))
        assert (await line.phone.receive()).type is WSMsgType.TEXT
        assert (await line.phone.receive()).type is WSMsgType.CLOSE
        await closing
        assert await leg.receive() == [CallerLeft("hangup")]


async def test_second_close_does_nothing() -> None:
    async with connected() as line:
        leg = line.leg()
        reading = asyncio.ensure_future(line.phone.receive())
        await leg.send([CloseLeg()])
        await leg.send([CloseLeg()])
        await reading


async def test_writing_after_the_end_says_so() -> None:
    async with connected() as line:
        leg = line.leg()
        closing = asyncio.ensure_future(line.phone.close())
        assert await leg.receive() == [CallerLeft("lost")]
        await closing
        for command in (PlayAudio(SPEECH), SendMark("m"), ClearPlayback()):
            with pytest.raises(LegLostError):
                await leg.send([command])
        await leg.send([CloseLeg()])


@pytest.mark.parametrize("audio_format", list(AudioFormat))
async def test_phone_that_reads_no_more_is_lost(audio_format: AudioFormat) -> None:
    async with connected_raw(audio_format, 0.05) as (leg, _, _):
        reading = asyncio.ensure_future(leg.receive())
        with pytest.raises(LegLostError, match=r"no bytes for 0\.05 s"):
            for _ in range(1000):
                await leg.send([PlayAudio(SPEECH * 20)])
        assert await reading == [CallerLeft("lost")]
        with pytest.raises(LegLostError):
            await leg.send([PlayAudio(SPEECH)])


async def test_dropped_connection_leaves_nothing_behind() -> None:
    async with connected_raw(write_timeout_s=0.05) as (leg, _, request):
        with pytest.raises(LegLostError):
            for _ in range(1000):
                await leg.send([PlayAudio(SPEECH * 20)])
        assert await leg.receive() == [CallerLeft("lost")]
        assert request.transport is None


async def test_close_is_bounded_when_the_phone_does_not_answer() -> None:
    async with connected_raw(write_timeout_s=0.05) as (leg, _, _):
        await leg.send([CloseLeg()])
        assert await leg.receive() == [CallerLeft("hangup")]
