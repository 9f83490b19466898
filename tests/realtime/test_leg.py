"""The leg to the model against real sockets on loopback."""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from voicebot.audio.formats import AudioFormat
from voicebot.call.ports import (
    AppendAudio,
    CancelReply,
    ModelEvent,
    ModelLost,
    ModelReady,
    Reply,
    ReplyAudio,
    ReplyEnded,
    ReplyStarted,
    SpeechStarted,
)
from voicebot.errors import ModelUnavailableError
from voicebot.realtime.leg import RealtimeLeg, connect
from voicebot.realtime.limits import Limits
from voicebot.realtime.session import SessionConfig

Json = dict[str, object]
Script = Callable[[ServerConnection], Awaitable[None]]
Gate = Callable[[ServerConnection, Request], Response | None]
CONFIG = SessionConfig("gpt-realtime-2.1", "marin", AudioFormat.PCMU_8K, "gpt-transcribe", ("en",))
KEY = "sk-canary-0123456789"
SPEECH: Json = {"type": "input_audio_buffer.speech_started", "item_id": "u1", "audio_start_ms": 10}
EXPIRES_AT = 1795332671  # of the sessions that the tests open


def for_an_hour(events: Sequence[ModelEvent]) -> bool:
    """Whether the session is ready, and for how long, up to what the test itself took."""
    match events:
        case [ModelReady(expires_in_s=float(seconds))]:
            return 3000 < seconds <= 3600
    return False


async def say(socket: ServerConnection, *events: Json) -> None:
    for event in events:
        await socket.send(json.dumps(event))


async def hear(socket: ServerConnection) -> Json:
    event = json.loads(await socket.recv())
    assert isinstance(event, dict)
    return event


async def configure(socket: ServerConnection) -> Json:
    """Be a server up to the configured session."""
    await say(socket, {"type": "session.created", "session": {"id": "sess_1", "expires_at": 1795332671}})
    update = await hear(socket)
    await say(socket, {"type": "session.updated", "session": {"expires_at": 1795332671}})
    return update


@asynccontextmanager
async def model_server(script: Script, gate: Gate | None = None) -> AsyncIterator[str]:
    async def handle(socket: ServerConnection) -> None:
        try:
            await script(socket)
        except ConnectionClosed:
            return

    async with serve(handle, "127.0.0.1", 0, process_request=gate, close_timeout=0.2) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/v1/realtime"


@asynccontextmanager
async def connected(script: Script, **options: float | Limits | str) -> AsyncIterator[RealtimeLeg]:
    """A leg whose session is configured, and known to be; then the script goes on."""
    known = asyncio.Event()

    async def whole(socket: ServerConnection) -> None:
        await configure(socket)
        await known.wait()
        await script(socket)

    async with model_server(whole) as url:
        leg = await connect(url, api_key=KEY, config=CONFIG, unix_now=lambda: EXPIRES_AT - 3600, **options)  # type: ignore[arg-type]
        try:
            assert for_an_hour(await leg.receive())
            known.set()
            yield leg
        finally:
            await leg.close()


async def until_lost(leg: RealtimeLeg) -> ModelLost:
    while not isinstance((events := await leg.receive())[-1], ModelLost):
        continue
    assert isinstance(events[-1], ModelLost)
    return events[-1]


async def idle(socket: ServerConnection) -> None:
    await socket.wait_closed()


# ---- opening --------------------------------------------------------------------------------------------------------


async def test_handshake_shows_model_and_key_alone() -> None:
    requests: list[Request] = []

    async def script(socket: ServerConnection) -> None:
        assert socket.request is not None
        requests.append(socket.request)
        update = await configure(socket)
        assert update["type"] == "session.update"
        await idle(socket)

    async with model_server(script) as url:
        leg = await connect(url, api_key=KEY, config=replace(CONFIG, model="gpt-realtime-2.1-mini"))
        await leg.close()
    assert requests[0].path == "/v1/realtime?model=gpt-realtime-2.1-mini"
    assert requests[0].headers["Authorization"] == f"Bearer {KEY}"
    assert "OpenAI-Beta" not in requests[0].headers
    assert "Sec-WebSocket-Extensions" not in requests[0].headers


async def test_leg_is_ready_when_connected() -> None:
    updates: list[Json] = []

    async def script(socket: ServerConnection) -> None:
        updates.append(await configure(socket))
        await idle(socket)

    async with model_server(script) as url:
        leg = await connect(url, api_key=KEY, config=CONFIG, unix_now=lambda: EXPIRES_AT - 3600)
        assert [update["type"] for update in updates] == ["session.update"]  # before the first receive
        assert for_an_hour(await leg.receive())
        await leg.close()


@pytest.mark.parametrize(
    ("status", "body", "retryable"),
    [
        (302, "", False),
        (400, "", False),
        (401, "", False),
        (403, "", False),
        (404, "", False),
        (408, "", True),
        (429, "", True),
        (429, '{"error": {"code": "insufficient_quota"}}', False),
        (500, "", True),
        (503, "", True),
    ],
)
async def test_refused_handshake_says_whether_to_retry(status: int, body: str, retryable: bool) -> None:
    asked: list[str] = []

    def gate(socket: ServerConnection, request: Request) -> Response:
        asked.append(request.path)
        response = socket.respond(HTTPStatus(status), body)
        response.headers["Location"] = "/elsewhere"
        return response

    async with model_server(idle, gate) as url:
        with pytest.raises(ModelUnavailableError, match=f"answered {status}") as caught:
            await connect(url, api_key=KEY, config=CONFIG)
    assert caught.value.retryable is retryable
    assert len(asked) == 1  # a redirect would carry the key elsewhere


async def test_closed_port_can_be_tried_again() -> None:
    async with model_server(idle) as url:
        pass
    with pytest.raises(ModelUnavailableError, match="cannot be reached") as caught:
        await connect(url, api_key=KEY, config=CONFIG)
    assert caught.value.retryable


async def test_no_websocket_server_can_be_tried_again() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"SMTP ready\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ModelUnavailableError, match="cannot be reached") as caught:
            await connect(f"ws://127.0.0.1:{port}/", api_key=KEY, config=CONFIG)
    assert caught.value.retryable


async def test_silent_server_is_given_up_in_time() -> None:
    async with model_server(idle) as url:
        with pytest.raises(ModelUnavailableError, match=r"within 0\.1 s") as caught:
            await connect(url, api_key=KEY, config=CONFIG, open_timeout_s=0.1)
    assert caught.value.retryable


async def test_abandoned_opening_leaves_no_connection() -> None:
    gone = asyncio.Event()
    arrived = asyncio.Event()

    async def script(socket: ServerConnection) -> None:
        await say(socket, {"type": "session.created", "session": {}})
        await hear(socket)
        arrived.set()
        await socket.wait_closed()
        gone.set()

    async with model_server(script) as url, asyncio.timeout(5):
        opening = asyncio.ensure_future(connect(url, api_key=KEY, config=CONFIG))
        await arrived.wait()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await gone.wait()


@pytest.mark.parametrize(
    ("code", "kind", "retryable"),
    [
        ("invalid_api_key", "invalid_request_error", False),
        ("beta_api_shape_disabled", "invalid_request_error", False),
        (None, "server_error", True),
    ],
)
async def test_error_instead_of_a_session_is_unavailable(code: str | None, kind: str, retryable: bool) -> None:
    async def script(socket: ServerConnection) -> None:
        await say(socket, {"type": "error", "error": {"type": kind, "code": code, "message": "No."}})
        await socket.close()

    async with model_server(script) as url:
        with pytest.raises(ModelUnavailableError, match=code or kind) as caught:
            await connect(url, api_key=KEY, config=CONFIG)
    assert caught.value.retryable is retryable


async def test_unencrypted_network_is_refused() -> None:
    with pytest.raises(ModelUnavailableError, match="wss://"):
        await connect("ws://203.0.113.1/v1/realtime", api_key=KEY, config=CONFIG)


# ---- talking --------------------------------------------------------------------------------------------------------


async def test_reply_travels_both_ways() -> None:
    heard: list[Json] = []

    async def script(socket: ServerConnection) -> None:
        heard.extend([await hear(socket), await hear(socket)])
        about: Json = {"id": "resp_1", "conversation_id": "conv", "metadata": {"reply": "r1"}}
        delta = b64encode(b"\x01\x02").decode()
        await say(
            socket,
            {"type": "response.created", "response": about},
            {"type": "rate_limits.updated", "rate_limits": []},
            {"type": "response.output_audio.delta", "response_id": "resp_1", "item_id": "i", "delta": delta},
            {"type": "response.done", "response": {**about, "status": "completed", "output": []}},
        )
        await idle(socket)

    async with connected(script) as leg:
        await leg.send([AppendAudio(b"\xff" * 160), Reply("r1", "Greet.", ())])
        told: list[ModelEvent] = []
        while not any(isinstance(event, ReplyEnded) for event in told):
            told += await leg.receive()
    assert [event["type"] for event in heard] == ["input_audio_buffer.append", "response.create"]
    assert [type(event) for event in told[:2]] == [ReplyStarted, ReplyAudio]


async def test_command_changes_the_deadline_of_a_waiting_read() -> None:
    async with connected(idle, limits=Limits(created_s=0.05)) as leg:
        reading = asyncio.ensure_future(leg.receive())
        await asyncio.sleep(0)  # the read waits, without a deadline
        await leg.send([Reply("r1", "Greet.", ())])
        async with asyncio.timeout(5):
            [ended] = await reading
    assert isinstance(ended, ReplyEnded) and ended.error_code == "timeout"


async def test_what_an_event_asks_for_is_sent_by_the_reader() -> None:
    cancelled = asyncio.Event()

    async def script(socket: ServerConnection) -> None:
        await hear(socket)
        about: Json = {"id": "resp_1", "conversation_id": "conv", "metadata": {"reply": "r1"}}
        await say(socket, {"type": "response.created", "response": about}, SPEECH)
        assert (await hear(socket))["response_id"] == "resp_1"
        cancelled.set()
        await idle(socket)

    async with connected(script) as leg, asyncio.timeout(5):
        await leg.send([Reply("r1", "Greet.", ()), CancelReply()])
        assert await leg.receive() == [SpeechStarted("u1", 10)]
        await cancelled.wait()


async def test_events_in_one_packet_all_arrive() -> None:
    async def script(socket: ServerConnection) -> None:
        await say(socket, *[{**SPEECH, "item_id": f"u{number}"} for number in range(500)])
        await idle(socket)

    async with connected(script) as leg, asyncio.timeout(5):
        told: list[ModelEvent] = []
        while len(told) < 500:
            told += await leg.receive()
    assert [event.item_id for event in told if isinstance(event, SpeechStarted)] == [f"u{n}" for n in range(500)]


async def test_cancelled_read_loses_no_event() -> None:
    go = asyncio.Event()

    async def script(socket: ServerConnection) -> None:
        await go.wait()
        await say(socket, SPEECH)
        await idle(socket)

    async with connected(script) as leg, asyncio.timeout(5):
        reading = asyncio.ensure_future(leg.receive())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        go.set()
        assert await leg.receive() == [SpeechStarted("u1", 10)]


async def test_events_come_while_writes_stall() -> None:
    async def script(socket: ServerConnection) -> None:
        await hear(socket)
        about: Json = {"id": "resp_1", "conversation_id": "conv", "metadata": {"reply": "r1"}}
        await say(socket, {"type": "response.created", "response": about})
        socket.transport.pause_reading()
        await say(socket, {"type": "response.done", "response": {**about, "status": "completed"}})
        await say(socket, SPEECH)
        await idle(socket)

    async with connected(script) as leg, asyncio.timeout(10):
        await leg.send([Reply("r1", "Greet.", ()), Reply("r2", "x" * 30_000_000, ())])  # r2 fills every buffer
        events: list[ModelEvent] = []
        while len(events) < 3:
            events += await leg.receive()
        assert events == [ReplyStarted("r1"), ReplyEnded("r1", "completed"), SpeechStarted("u1", 10)]


async def test_leg_starts_no_task_of_its_own() -> None:
    async def script(socket: ServerConnection) -> None:
        async for _ in socket:
            continue

    async with connected(script) as leg:
        before = asyncio.all_tasks()
        for _ in range(20):
            await leg.send([AppendAudio(b"\xff" * 160)])
        assert asyncio.all_tasks() == before


# ---- bad input ------------------------------------------------------------------------------------------------------


async def test_malformed_event_is_logged_once_and_skipped(caplog: pytest.LogCaptureFixture) -> None:
    async def script(socket: ServerConnection) -> None:
        await socket.send("nonsense")
        await socket.send(b"\xff\xfe")
        await say(socket, {"type": "response.done"}, SPEECH)
        await idle(socket)

    async with connected(script, call_sid="CA1") as leg:
        assert await leg.receive() == [SpeechStarted("u1", 10)]
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [(record.getMessage(), record.__dict__["call_sid"]) for record in warnings] == [
        ("skipped a malformed event of the model: event is not valid JSON", "CA1")
    ]


async def test_endless_nonsense_is_a_lost_model() -> None:
    async def script(socket: ServerConnection) -> None:
        for _ in range(60):
            await socket.send("nonsense")
        await idle(socket)

    async with connected(script) as leg, asyncio.timeout(5):
        assert await leg.receive() == [ModelLost("too many malformed events", retryable=True)]


async def test_oversized_event_is_a_lost_model() -> None:
    async def script(socket: ServerConnection) -> None:
        await socket.send(b"x" * (17 * 2**20))

    async with connected(script) as leg, asyncio.timeout(10):
        assert (await until_lost(leg)).retryable


async def test_errors_are_logged_by_their_weight(caplog: pytest.LogCaptureFixture) -> None:
    async def script(socket: ServerConnection) -> None:
        for code in ("response_cancel_not_active", "invalid_value"):
            await say(socket, {"type": "error", "error": {"type": "x", "code": code, "message": f"about {KEY}"}})
        await say(socket, SPEECH)
        await idle(socket)

    caplog.set_level(logging.DEBUG)
    async with connected(script) as leg:
        await leg.receive()
    reports = [record for record in caplog.records if "the model reports" in record.message]
    assert [(record.levelno, "invalid_value" in record.message) for record in reports] == [
        (logging.INFO, False),
        (logging.WARNING, True),
    ]
    assert not [record for record in reports if KEY in record.message]


# ---- the end --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason", "retryable"),
    [
        (1000, "", True),
        (1001, "Your session hit the maximum duration of 60 minutes.", True),
        (1008, "policy", False),
        (1011, "keepalive ping timeout", True),
        (3000, "unauthorized", False),
        (4000, "insufficient_quota", False),
    ],
)
async def test_close_code_says_whether_to_retry(code: int, reason: str, retryable: bool) -> None:
    async def script(socket: ServerConnection) -> None:
        await socket.close(code, reason)

    async with connected(script) as leg:
        lost = await until_lost(leg)
    assert lost == ModelLost(f"closed by the model: {code} {reason}".rstrip(), retryable)


async def test_key_in_a_close_reason_is_not_told() -> None:
    async def script(socket: ServerConnection) -> None:
        await socket.close(3000, f"bad key {KEY}!")

    async with connected(script) as leg:
        assert KEY not in (await until_lost(leg)).reason


async def test_broken_connection_is_told_once_and_for_ever() -> None:
    async def script(socket: ServerConnection) -> None:
        socket.transport.abort()

    async with connected(script) as leg:
        lost = await until_lost(leg)
        assert lost == ModelLost("the connection broke", retryable=True)
        assert await leg.receive() == [lost]
        await leg.send([AppendAudio(b"x"), Reply("r", "", ())])  # swallowed


async def test_events_before_the_close_still_arrive() -> None:
    async def script(socket: ServerConnection) -> None:
        await say(socket, SPEECH)
        await socket.close(1001)

    async with connected(script) as leg:
        assert await leg.receive() == [SpeechStarted("u1", 10)]
        assert isinstance((await leg.receive())[0], ModelLost)


async def test_server_that_takes_no_data_is_lost() -> None:
    async def script(socket: ServerConnection) -> None:
        socket.transport.pause_reading()
        await idle(socket)

    async with connected(script, write_timeout_s=0.1) as leg, asyncio.timeout(10):
        for _ in range(40):
            await leg.send([AppendAudio(bytes(500_000))])
        assert await until_lost(leg) == ModelLost("the model takes no data", retryable=True)


async def test_two_writers_keep_the_order() -> None:
    heard: list[str] = []

    async def script(socket: ServerConnection) -> None:
        while len(heard) < 60:
            heard.append(str((await hear(socket))["event_id"]))
        await say(socket, SPEECH)
        await idle(socket)

    async with connected(script) as leg, asyncio.timeout(10):
        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):  # large ones, so that each write waits
                tasks.create_task(leg.send([AppendAudio(bytes(200_000))] * 3))
        await leg.receive()
    numbers = [int(event_id.rpartition("_")[2]) for event_id in heard]
    assert numbers == sorted(numbers)


async def test_close_ends_a_waiting_read() -> None:
    async with connected(idle) as leg, asyncio.timeout(5):
        reading = asyncio.ensure_future(leg.receive())
        await asyncio.sleep(0)
        await leg.close()
        assert await reading == [ModelLost("closed by the call", retryable=False)]
        await leg.close()


async def test_close_is_bounded_when_the_server_does_not_answer() -> None:
    async def script(socket: ServerConnection) -> None:
        socket.transport.pause_reading()
        await idle(socket)

    async with connected(script) as leg:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await leg.close()
        assert loop.time() - began < 2.5


async def test_key_is_in_no_log_and_no_repr(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with connected(idle) as leg:
        await leg.send([AppendAudio(b"\xff" * 160)])
        assert KEY not in repr(leg) and KEY not in str(vars(leg))
    client_lines = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets.server")]
    assert not [line for line in client_lines if KEY in line]
