"""Who may begin a conversation, and who is let in to have it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.web_site import AUTH, GREETING, SHELF, TOKEN, Site, flow, site
from voicebot.flow import Report
from voicebot.flow.json_form import flow_to_json
from voicebot.flow.receivers import Receiver
from voicebot.server.conversations import MAX_CONFIG_BYTES, MAX_MESSAGE_BYTES
from voicebot.sim.brain import Says, Turn
from voicebot.sim.clock import run_virtual
from voicebot.telephony import tokens
from voicebot.web.client import Client
from voicebot.web.leg import MALFORMED_LIMIT

ORIGIN = "https://shop.example.com"
GREETS = (Turn(None, ((Says(GREETING),),)),)


async def post(at: Site, body: object, headers: Mapping[str, str] = AUTH) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **headers}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{at.origin}/conversations", data=data, headers=headers) as answer,
    ):
        assert answer.content_type.endswith("json")
        return answer.status, json.loads(await answer.text())


async def knock(
    url: str, ticket: str = "", headers: Mapping[str, str] | None = None, offered: tuple[str, ...] = ()
) -> int:
    """The status that a client is answered with; 101 lets it in."""
    async with aiohttp.ClientSession() as http:
        try:
            address = f"{url}?ticket={ticket}" if ticket else url
            async with http.ws_connect(address, headers=headers, protocols=offered) as socket:
                assert (await socket.receive_json())["type"] == "hello"
                if offered:
                    assert socket.protocol == "voicebot.v1"
                return 101
        except aiohttp.WSServerHandshakeError as exc:
            return exc.status


def run(work: Coroutine[object, object, None]) -> None:
    run_virtual(work, limit_s=300)


# ---- a conversation begins ------------------------------------------------------------------------------------------


def config(**more: Any) -> dict[str, Any]:
    bare: dict[str, Any] = json.loads(flow_to_json(flow(**more)))
    return bare


def without_tools() -> dict[str, Any]:
    bare = config()
    bare["phases"][0]["tools"] = []
    return bare


def test_refusals_say_what_is_wrong() -> None:
    broken = without_tools()
    broken["phases"][0]["transitions"] = [{"phase": "nowhere"}]
    stolen = config(report=Report(receivers=[Receiver("evil", url="https://evil.example.com", bearer="hubspot")]))
    wrong: list[tuple[object, int, str, str]] = [
        (b"no JSON", 400, "json", "no JSON"),
        ({"flow": "visit", "colour": 1}, 422, "invalid", "leave out what is unknown"),
        ({"flow": "visit", "caller": "me"}, 422, "invalid", "body.caller"),
        ({"flow": "visit", "variables": {"A": "x"}}, 422, "invalid", "body.variables"),
        ({}, 422, "config", "name a flow"),
        ({"flow": "nobody's"}, 404, "flow", "visit, exact, join"),
        ({"config": {"goal": "x"}}, 422, "config", "phases"),
        ({"config": broken}, 422, "config", "nowhere"),
        ({"config": config()}, 422, "config", "opening_hours"),
        ({"flow": "visit", "config": stolen}, 422, "config", "evil names a secret"),
        (b"x" * (MAX_CONFIG_BYTES + 1), 413, "too_long", "too long"),
    ]

    async def ask() -> None:
        async with site(()) as at:
            for body, status, code, problem in wrong:
                answer = await post(at, body)
                assert answer[0] == status, answer
                assert answer[1]["code"] == code
                assert problem in json.dumps(answer[1])
                assert "/voicebot/" not in answer[1]["detail"]
            assert (await post(at, {"flow": "visit"}, {}))[0] == 401
            assert (await post(at, {"flow": "visit"}, {"Authorization": "Bearer wrong"}))[0] == 401
            assert at.on_stage.model.connections == 0

    run(ask())


def test_same_key_gives_the_same_conversation() -> None:
    async def ask() -> None:
        async with site(()) as at:
            key = {**AUTH, "Idempotency-Key": "order 7"}
            first = await post(at, {"flow": "visit", "variables": {"a": "1"}}, key)
            again = await post(at, {"flow": "visit", "variables": {"a": "1"}}, key)
            assert (first[0], again[0]) == (201, 200)
            assert first[1] == again[1]
            assert (await post(at, {"flow": "visit"}, key))[0] == 409
            assert (await post(at, {"flow": "exact", "variables": {"a": "1"}}, key))[0] == 409
            assert (await post(at, {"flow": "visit"}))[1]["session_id"] != first[1]["session_id"]
            assert (await post(at, {"flow": "visit"}, {**AUTH, "Idempotency-Key": "x" * 201}))[0] == 422
            await at.on_stage.crm.wait_for(2, 120)
            assert (await post(at, {"flow": "visit", "variables": {"a": "1"}}, key))[0] == 409

    run(ask())


def test_conversations_count_in_the_limit() -> None:
    async def ask() -> None:
        async with site((), VOICEBOT_MAX_CALLS=2) as at:
            statuses = [(await post(at, {"flow": "visit"}))[0] for _ in range(3)]
            assert statuses == [201, 201, 503]
            await at.on_stage.crm.wait_for(2, 120)  # nobody came
            assert (await post(at, {"flow": "visit"}))[0] == 201

    run(ask())


def test_address_and_expiry_are_told() -> None:
    async def ask() -> None:
        async with site(()) as at:
            status, begun = await post(at, {"flow": "visit"})
            assert status == 201
            assert urlsplit(begun["websocket_url"]).path == f"/realtime/{begun['session_id']}"
            assert begun["flow_version"] == SHELF.get("visit").version
            assert begun["expires_at"].endswith("Z")

    run(ask())


# ---- who is let in --------------------------------------------------------------------------------------------------


def test_ticket_lets_one_client_in_once() -> None:
    async def ask() -> None:
        async with site(GREETS) as at:
            begun, other = await at.begin(), await at.begin()
            url, ticket = begun["websocket_url"], begun["ticket"]
            assert await knock(url) == 401
            assert await knock(url, ticket[:-1] + ("A" if ticket[-1] != "A" else "B")) == 401
            assert await knock(url, other["ticket"]) == 401
            assert await knock(url, tokens.mint(b"another secret", begun["session_id"], 1, 0)) == 401
            assert await knock(url, ticket) == 101
            assert await knock(url, ticket) == 401

    run(ask())


def test_two_clients_at_once_are_one() -> None:
    async def ask() -> None:
        async with site(GREETS) as at:
            begun = await at.begin()
            came = await asyncio.gather(*(knock(begun["websocket_url"], begun["ticket"]) for _ in range(5)))
            assert sorted(came) == [101, 401, 401, 401, 401]

    run(ask())


def test_late_ticket_is_refused() -> None:
    async def ask() -> None:
        async with site(()) as at:
            begun = await at.begin()
            await asyncio.sleep(61)
            assert await knock(begun["websocket_url"], begun["ticket"]) == 401
            await at.on_stage.crm.wait_for(1, 60)
            assert await knock(begun["websocket_url"], headers=AUTH) == 410

    run(ask())


def test_foreign_pages_are_refused() -> None:
    async def ask() -> None:
        async with site(GREETS, lenient=True, VOICEBOT_ALLOWED_ORIGINS=ORIGIN) as at:
            for origin, status in (("https://evil.example.com", 403), ("null", 403), (ORIGIN, 101), (at.origin, 101)):
                begun = await at.begin()
                assert await knock(begun["websocket_url"], begun["ticket"], {"Origin": origin}) == status

    run(ask())


def test_token_or_ticket_may_come_in_a_subprotocol() -> None:
    async def ask() -> None:
        async with site(GREETS, lenient=True) as at:
            coded = base64.urlsafe_b64encode(TOKEN.encode()).rstrip(b"=").decode()
            begun = await at.begin()
            wrong = ("voicebot.v1", "bearer.d3Jvbmc")
            assert await knock(begun["websocket_url"], offered=wrong) == 401
            assert await knock(begun["websocket_url"], offered=("voicebot.v1", f"bearer.{coded}")) == 101
            begun = await at.begin()
            assert await knock(begun["websocket_url"], offered=("voicebot.v1", f"ticket.{begun['ticket']}")) == 101
            begun = await at.begin()
            assert await knock(begun["websocket_url"], headers=AUTH) == 101

    run(ask())


def test_what_is_no_conversation_is_not_found() -> None:
    async def ask() -> None:
        async with site(()) as at:
            begun = await at.begin()
            unknown = f"{at.origin}/realtime/CW{'0' * 32}"
            assert await knock(unknown, headers=AUTH) == 404
            assert await knock(f"{at.origin}/realtime/CA{'0' * 32}", headers=AUTH) == 404
            assert await knock(begun["websocket_url"] + "?audio=mp3", headers=AUTH) == 422
            async with aiohttp.ClientSession(headers=AUTH) as http:
                plain = begun["websocket_url"].replace("ws:", "http:")
                assert (await http.get(plain)).status == 426

    run(ask())


def test_last_client_to_come_has_the_conversation() -> None:
    async def ask() -> None:
        async with site((*GREETS, Turn(None, ((Says("Who is calling?"),),)))) as at:
            begun = await at.begin()
            async with Client(begun["websocket_url"], begun["ticket"]) as first:
                await first.until("heard", text=GREETING)
                async with Client(begun["websocket_url"], headers=AUTH) as second:
                    assert (await second.until("hello"))["resumed"]
                    with pytest.raises(EOFError):
                        await first.until("ended")
                    assert first.close_code == 4000
                    await second.until("heard")

    run(ask())


# ---- what comes of bad clients --------------------------------------------------------------------------------------


@asynccontextmanager
async def inside(at: Site, query: str = "") -> Any:
    begun = await at.begin()
    async with aiohttp.ClientSession() as http:
        url = f"{begun['websocket_url']}?ticket={begun['ticket']}{query}"
        async with http.ws_connect(url, max_msg_size=0) as socket:
            yield socket


async def closed_with(socket: Any) -> int | None:
    """The code that a client is closed with."""
    async for message in socket:
        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)
    code: int | None = socket.close_code
    return code


def test_too_many_malformed_messages_close_politely() -> None:
    async def ask() -> None:
        async with site(GREETS) as at, inside(at) as socket:
            for _ in range(MALFORMED_LIMIT + 1):
                await socket.send_str('{"type": "audio"}')
            assert await closed_with(socket) == 1008

    run(ask())


def test_flood_of_audio_is_closed_politely() -> None:
    async def ask() -> None:
        async with site(GREETS) as at, inside(at) as socket:
            for _ in range(25):
                await socket.send_bytes(b"\0" * 48_000)
            assert await closed_with(socket) == 1008

    run(ask())


def test_flood_of_messages_is_closed_politely() -> None:
    async def ask() -> None:
        async with site(GREETS) as at, inside(at) as socket:
            for _ in range(700):
                await socket.send_str('{"type": "unknown"}')
            assert await closed_with(socket) == 1008

    run(ask())


def test_message_too_large_is_closed_politely() -> None:
    async def ask() -> None:
        async with site(GREETS) as at, inside(at) as socket:
            await socket.send_bytes(b"\0" * (MAX_MESSAGE_BYTES + 2))
            assert await closed_with(socket) == 1009

    run(ask())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
fields = st.fixed_dictionaries(
    {"type": st.sampled_from(["audio", "played", "text", "keys", "nothing", ""])},
    optional=dict.fromkeys(("audio", "epoch", "ms", "text", "keys"), json_values),
)
messages = st.one_of(
    st.binary(max_size=300),
    fields.map(lambda made: json.dumps(made)),
    json_values.map(lambda made: json.dumps(made)),
    st.text(max_size=100),
    st.builds(lambda epoch, ms: json.dumps({"type": "played", "epoch": epoch, "ms": ms}), st.integers(), st.floats()),
)


@settings(max_examples=5)
@given(hostile=st.lists(messages, min_size=1, max_size=30))
def test_hostile_messages_are_never_more_than_a_polite_close(hostile: list[str | bytes]) -> None:
    async def ask() -> None:
        async with site(GREETS, lenient=True) as at:
            async with inside(at) as socket:
                for message in hostile:
                    if socket.closed:
                        break
                    if isinstance(message, bytes):
                        await socket.send_bytes(message)
                    else:
                        await socket.send_str(message.encode(errors="replace").decode())
                await socket.send_str('{"type": "hang_up"}')
                assert await closed_with(socket) in (1000, 1008)
            received = await at.on_stage.crm.wait_for(1, 120)
            report = json.loads(received[0].body)["data"]
            assert report["ended_reason"] in ("caller_hung_up", "connection_lost")

    run(ask())
