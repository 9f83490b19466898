"""What the page for users of `/realtime` says is so: its snippets run, and its messages come."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.docs import pages
from tests.web_site import GREETING, TOKEN, site, voice
from voicebot.server.conversations import GOES_ON_ELSEWHERE, MAX_MESSAGE_BYTES
from voicebot.server.lifecycle import RETURN_LIMIT_S, TICKET_LIMIT_S
from voicebot.sim.clock import run_virtual
from voicebot.telephony import tokens
from voicebot.web import client as python_client
from voicebot.web import leg
from voicebot.web.client import Client
from voicebot.web.messages import parse
from voicebot.web.socket import PING_AFTER_S

WEB = Path(__file__).parents[2] / "voicebot" / "web"
PAGE_NAME = "voicebot/web/README.md"
PAGE = pages.text_of(PAGE_NAME)


def marked(name: str) -> str:
    return pages.marked(PAGE_NAME, name)


def objects(text: str) -> list[dict[str, Any]]:
    """JSON objects one after another."""
    decoder, at, found = json.JSONDecoder(), 0, []
    while at < len(text.rstrip()):
        one, at = decoder.raw_decode(text, at)
        found.append(one)
        at += len(text[at:]) - len(text[at:].lstrip())
    return found


def test_messages_of_clients_are_understood() -> None:
    assert [type(parse(json.dumps(one).encode())).__name__ for one in objects(marked("client messages"))] == [
        *("Audio", "Played", "Text", "Keys", "HangUp")
    ]


def test_messages_of_the_server_come_as_they_are_shown() -> None:
    async def talk() -> list[dict[str, Any]]:
        async with site() as at:
            begun = await at.begin(flow="visit")
            assert begun.keys() == objects(marked("begun"))[0].keys()
            came = []
            async with Client(begun["websocket_url"], begun["ticket"]) as client:
                async for event in client.events():
                    came.append(event)
                    if event["type"] == "heard" and event["text"] == GREETING:
                        client.say(voice("Hello, this is Ada."))
            return came

    came = run_virtual(talk(), limit_s=200)
    for shown in objects(marked("server messages")):
        alike = [one for one in came if _shape(one) == _shape(shown)]
        assert alike, shown
        if shown["type"] in ("heard", "phase", "progress", "observation", "ended", "model"):
            assert any(_told(one) == _told(shown) for one in alike), (shown, alike)


def _shape(message: dict[str, Any]) -> object:
    """Its type, its fields, and theirs."""
    inner = {key: sorted(value) for key, value in message.items() if isinstance(value, dict)}
    return message["type"], sorted(message), inner, message.get("speaker"), message.get("final")


def _told(message: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key not in ("item_id", "heard_ms", "sent_ms")}


def test_python_snippet_runs() -> None:
    names: dict[str, Any] = {}
    exec(marked("python"), names)  # noqa: S102 - the page's own code

    async def talk() -> dict[str, Any]:
        async with site() as at:
            ended: dict[str, Any] = await names["talk"](at.origin, TOKEN)
            return ended

    assert run_virtual(talk(), limit_s=200) == {"type": "ended", "reason": "completed", "outcome": None}


def test_request_is_one_that_is_understood() -> None:
    body = re.search(r"--json '(.*)'", marked("begin"))
    assert body is not None

    async def ask() -> None:
        async with site(()) as at:
            begun = await at.begin(**json.loads(body[1]))
            assert begun["session_id"].startswith("CW")

    run_virtual(ask(), limit_s=200)


def test_javascript_snippet_names_what_is_there() -> None:
    source = (WEB.parent / "console" / "static" / "realtime.js").read_text(encoding="utf-8")
    used = set(re.findall(r"conversation\.(\w+)\(", marked("javascript"))) - {"addEventListener"}
    named = set(re.findall(r"`(\w+)\(\w*\)`", PAGE.split("## In a browser")[1].split("## In Python")[0]))
    for method in used | named:
        assert re.search(rf"^  (async )?{method}\(", source, flags=re.MULTILINE), method
    assert "export class Conversation" in source


def test_clients_come_back_after_the_codes_of_the_page() -> None:
    row = next(line for line in PAGE.splitlines() if "1006" in line and line.startswith("|"))
    codes = {int(code) for code in re.findall(r"\b1\d\d\d\b", row.split("|")[1])}
    source = (WEB.parent / "console" / "static" / "realtime.js").read_text(encoding="utf-8")
    in_javascript = re.search(r"COMES_BACK = new Set\(\[(.*?)\]\)", source)
    assert in_javascript is not None
    assert codes == {int(code) for code in in_javascript[1].split(",")} == python_client._COMES_BACK


def test_figures_of_the_page_hold() -> None:
    assert (tokens.LIFETIME_S, TICKET_LIMIT_S, RETURN_LIMIT_S) == (60, 60.0, 15.0)
    assert (MAX_MESSAGE_BYTES, GOES_ON_ELSEWHERE, PING_AFTER_S) == (65_536, 4000, 10.0)
    bounds = (leg.MALFORMED_LIMIT, leg.MESSAGES_PER_S, leg.AUDIO_AHEAD_S, leg.TEXTS_AT_ONCE, leg.UNPLAYED_LIMIT_MS)
    assert bounds == (20, 200.0, 20.0, 10.0, 300_000.0)
