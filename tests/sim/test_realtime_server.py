import asyncio
import base64
import json
import typing
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from voicebot.sim.brain import Brain, Calls, Output, Says, ScriptedBrain, Turn
from voicebot.sim.clock import run_virtual
from voicebot.sim.realtime_audio import words_in
from voicebot.sim.realtime_quirks import Quirks, Timing
from voicebot.sim.realtime_server import API_KEY, RealtimeServer
from voicebot.sim.speech import speak, speech_ms

Event = dict[str, typing.Any]
Runner = Callable[[Coroutine[typing.Any, typing.Any, None]], None]

FAST = Timing(created_s=0.0, first_audio_s=0.01, speed=200.0, transcript_delay_s=0.01)
LIMIT_S = 20.0

both_clocks = pytest.mark.parametrize("run", [asyncio.run, run_virtual], ids=["real", "virtual"])


class Greets:
    def respond(self, context: object) -> Sequence[Output]:
        return (Says("Hello."),)


def dial(server: RealtimeServer, query: str = "?model=gpt-realtime-2.1", **headers: str) -> connect:
    given = {"Authorization": f"Bearer {API_KEY}"} | {name.replace("_", "-"): text for name, text in headers.items()}
    return connect(server.url + query, additional_headers=given, compression=None, max_size=None, proxy=None)


async def send(socket: ClientConnection, kind: str, **fields: object) -> None:
    await socket.send(json.dumps({"type": kind, **fields}))


async def until(socket: ClientConnection, kind: str) -> list[Event]:
    """Everything up to the first event of this kind."""
    events: list[Event] = []
    async with asyncio.timeout(LIMIT_S):
        while not events or events[-1]["type"] != kind:
            events.append(json.loads(await socket.recv()))
    return events


async def until_closed(socket: ClientConnection) -> tuple[list[Event], int | None]:
    """Everything that still comes, and the code of the close frame if there is one."""
    events: list[Event] = []
    async with asyncio.timeout(LIMIT_S):
        try:
            while True:
                events.append(json.loads(await socket.recv()))
        except ConnectionClosed as closed:
            return events, closed.rcvd.code if closed.rcvd else None


@both_clocks
def test_a_conversation_over_sockets(run: Runner):
    brain = ScriptedBrain(
        [
            Turn(None, ((Says("Good evening."),),)),
            Turn("Two pizzas, please.", ((Calls("record", {"n": 2}),), (Says("Anything else?"),))),
        ]
    )

    async def call() -> None:
        async with RealtimeServer(lambda: brain, timing=FAST) as server, dial(server) as socket:
            await until(socket, "session.created")
            detection = {"type": "server_vad", "silence_duration_ms": 300, "create_response": False}
            tool = {"type": "function", "name": "record", "parameters": {"type": "object"}}
            settings = {"type": "realtime", "tools": [tool], "audio": {"input": {"turn_detection": detection}}}
            await send(socket, "session.update", session=settings)
            await until(socket, "session.updated")
            await send(socket, "response.create")
            greeting = await until(socket, "response.done")
            spoken = b"".join(
                base64.b64decode(e["delta"]) for e in greeting if e["type"] == "response.output_audio.delta"
            )
            assert words_in(np.frombuffer(spoken, dtype="<i2"), 24000) == "Good evening."
            audio = np.concatenate([speak("Two pizzas, please.", 24000), np.zeros(12000, dtype=np.int16)])
            for at in range(0, len(audio), 480):
                payload = base64.b64encode(audio[at : at + 480].tobytes()).decode()
                await send(socket, "input_audio_buffer.append", audio=payload)
            await until(socket, "input_audio_buffer.committed")
            await send(socket, "response.create")
            done = (await until(socket, "response.done"))[-1]["response"]
            output = {"type": "function_call_output", "call_id": done["output"][0]["call_id"], "output": "{}"}
            await send(socket, "conversation.item.create", item=output)
            await send(socket, "response.create")
            await until(socket, "response.done")
        (session,) = server.sessions
        assert [turn.text for turn in session.user_turns] == ["Two pizzas, please."]
        assert [item.sent for item in session.spoken] == ["Good evening.", "Anything else?"]
        assert session.problems == []

    run(call())
    assert (brain.problems, brain.unconsumed()) == ([], [])


def test_virtual_time_keeps_the_pace():
    async def call() -> None:
        loop = asyncio.get_running_loop()
        timing = Timing(created_s=0.5, first_audio_s=1.5, speed=1.0)
        async with RealtimeServer(Greets, timing=timing) as server, dial(server) as socket:
            await until(socket, "conversation.created")
            start = loop.time()
            await send(socket, "response.create")
            await until(socket, "response.created")
            assert loop.time() - start == pytest.approx(0.5, abs=0.01)
            await until(socket, "response.output_audio.delta")
            assert loop.time() - start == pytest.approx(2.0, abs=0.01)
            await until(socket, "response.output_audio.done")
            assert loop.time() - start == pytest.approx(2.0 + speech_ms("Hello.") / 1000, abs=0.01)

    run_virtual(call())


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("?model=gpt-realtime-2.1", {"Authorization": "Bearer wrong"}, 401),
        ("?model=gpt-realtime-2.1", {"Authorization": ""}, 401),
        ("/other", {}, 404),
    ],
)
async def test_wrong_requests_stay_http(query: str, headers: dict[str, str], status: int):
    async with RealtimeServer(Greets) as server:
        with pytest.raises(InvalidStatus) as refused:
            await dial(server, query, **headers)
        assert refused.value.response.status_code == status
        assert server.connections == 0


async def test_a_server_may_be_unavailable():
    async with RealtimeServer(Greets) as server:
        server.available = False
        with pytest.raises(InvalidStatus) as refused:
            await dial(server)
        assert refused.value.response.status_code == 503


async def test_azure_clients_bring_an_api_key():
    async with RealtimeServer(Greets) as server:
        url = server.url.replace("/v1/", "/openai/v1/") + "?model=gpt-realtime"
        async with connect(url, additional_headers={"api-key": API_KEY}, proxy=None) as socket:
            assert (await until(socket, "session.created"))[0]["session"]["model"] == "gpt-realtime"


@pytest.mark.parametrize(
    ("query", "headers", "code"),
    [
        ("?model=gpt-realtime-2.1", {"OpenAI_Beta": "realtime=v1"}, "beta_api_shape_disabled"),
        ("", {}, "missing_required_parameter"),
        ("?model=gpt-5", {}, "model_not_found"),
    ],
)
async def test_an_unfit_handshake_is_told_and_closed(query: str, headers: dict[str, str], code: str):
    async with RealtimeServer(Greets) as server, dial(server, query, **headers) as socket:
        events, close_code = await until_closed(socket)
        assert [event["error"]["code"] for event in events] == [code]
        assert close_code == 4000


@both_clocks
def test_expiry_closes_the_socket(run: Runner):
    async def call() -> None:
        def wall() -> datetime:
            return datetime(2026, 11, 22, tzinfo=UTC)

        timing = Timing(session_s=0.2)
        async with RealtimeServer(Greets, timing=timing, wall=wall) as server, dial(server) as socket:
            events, close_code = await until_closed(socket)
            assert events[0]["session"]["expires_at"] == int(wall().timestamp())
            assert events[-1]["error"]["code"] == "session_expired"
            assert close_code == 1001

    run(call())


@both_clocks
def test_a_broken_socket_says_nothing(run: Runner):
    async def call() -> None:
        quirks = [Quirks(drop_at_event=3)]
        async with RealtimeServer(Greets, timing=FAST, quirks=quirks) as server:
            async with dial(server) as socket:
                await send(socket, "response.create")
                events, close_code = await until_closed(socket)
                assert [event["type"] for event in events][-1] == "response.created"
                assert (len(events), close_code) == (3, None)
            async with dial(server) as socket:
                await send(socket, "response.create")
                assert (await until(socket, "response.done"))[-1]["response"]["status"] == "completed"
            assert server.connections == len(server.sessions) == 2

    run(call())


async def test_binary_frames_are_refused():
    async with RealtimeServer(Greets) as server, dial(server) as socket:
        await until(socket, "conversation.created")
        await socket.send(b"\x00\x01")
        assert (await until(socket, "error"))[-1]["error"]["code"] == "invalid_event"


async def test_each_connection_has_its_own_ids():
    async with RealtimeServer(Greets) as server:
        ids = []
        for _ in range(2):
            async with dial(server) as socket:
                ids.append((await until(socket, "session.created"))[0]["session"]["id"])
    assert len(set(ids)) == 2


async def test_brains_are_made_per_connection():
    made: list[Brain] = []

    def make() -> Brain:
        made.append(Greets())
        return made[-1]

    async with RealtimeServer(make, record=False) as server:
        for _ in range(2):
            async with dial(server) as socket:
                await until(socket, "session.created")
        assert (len(made), server.sessions) == (2, [])


async def test_stopping_closes_what_is_open():
    async with RealtimeServer(Greets) as server:
        socket = await dial(server)
        await until(socket, "conversation.created")
    events, close_code = await until_closed(socket)
    assert (events, close_code) == ([], 1001)


@both_clocks
def test_each_connection_has_its_own_pace_and_faults(run: Runner):
    async def call() -> None:
        timings = (Timing(handshake_s=0.3), Timing(open_s=0.3))
        quirks = (Quirks(), Quirks(), Quirks(silent=True), Quirks(drop_at_s=0.2))
        async with RealtimeServer(Greets, timing=timings, quirks=quirks) as server:
            loop = asyncio.get_running_loop()
            began = loop.time()
            async with dial(server) as slow_handshake:
                assert loop.time() - began >= 0.29
                await until(slow_handshake, "session.created")
            began = loop.time()
            async with dial(server) as slow_opening:
                await until(slow_opening, "session.created")
                assert loop.time() - began >= 0.29
            async with dial(server) as silent:
                await send(silent, "response.create")
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await silent.recv()
            async with dial(server) as dropped:
                events, code = await until_closed(dropped)
                assert [event["type"] for event in events] == ["session.created", "conversation.created"]
                assert code is None
            async with dial(server) as usual:
                await until(usual, "session.created")

    run(call())


@both_clocks
def test_session_expires_as_the_vendor_ends_it(run: Runner):
    async def call() -> None:
        timing = Timing(session_s=0.3)
        async with RealtimeServer(Greets, timing=(timing,)) as server:
            async with dial(server) as socket:
                events, code = await until_closed(socket)
                assert (events[-1]["error"]["code"], code) == ("session_expired", 1001)
            async with dial(server) as socket:
                (created, *_) = await until(socket, "session.created")
                assert created["session"]["expires_at"] > 0

    run(call())
