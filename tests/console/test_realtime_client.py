"""The JavaScript client in a real browser, whose microphone plays the twin's speech."""

from __future__ import annotations

import json
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from tests.console.conftest import Open
from tests.web_site import GOODBYE, GREETING, LONG, SCRIPT, site, voice
from voicebot.sim.brain import Says, Turn
from voicebot.sim.fault_proxy import FaultProxy
from voicebot.web.client import FORMAT

STATIC = Path(__file__).parents[2] / "voicebot" / "console" / "static"
PAGE = "<!doctype html><title>talk</title><script type=module src=/talk_page.js></script>"
LIMIT_MS = 120_000
HOST = "127.0.0.1"
EXTRAPOLATED_MS = 250  # by which a browser whose audio thread was held up may be behind what its last word promised


def microphone(path: Path, spoken: bytes) -> Path:
    """A WAV of what somebody says, for the browser's microphone: thrice, for a machine too busy to hear it whole."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(FORMAT.rate_hz)
        file.writeframes((bytes(FORMAT.bytes_per_ms * 500) + spoken + bytes(FORMAT.bytes_per_ms * 9_500)) * 3)
    return path


@asynccontextmanager
async def pages() -> AsyncIterator[str]:
    """A business's own page, under the strictest policy, on an origin of its own."""
    policy = "default-src 'none'; script-src 'self'; connect-src ws://127.0.0.1:*; require-trusted-types-for 'script'"

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html", headers={"Content-Security-Policy": policy})

    async def script(request: web.Request) -> web.FileResponse:
        return web.FileResponse(Path(__file__).with_name("talk_page.js"))

    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/talk_page.js", script), web.static("/static", STATIC)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@dataclass
class Talk:
    """A page in a browser, and what its client has told it."""

    page: Any
    complaints: list[str]

    async def until(self, kind: str, **facts: Any) -> dict[str, Any]:
        """The first event of this type that has these facts, once it is there."""
        wanted = json.dumps({"type": kind, **facts})
        found = f"""() => {{
            const wanted = Object.entries({wanted});
            return window.events.find((event) => wanted.every(([key, value]) => event[key] === value));
        }}"""
        handle = await self.page.wait_for_function(found, timeout=LIMIT_MS)
        event: dict[str, Any] = await handle.json_value()
        return event

    async def connect(self, url: str, ticket: str) -> str | None:
        """Begin to talk; what the client said if it could not."""
        told: str | None = await self.page.evaluate(
            "([url, ticket]) => window.talk(url, ticket).then(() => null, (error) => error.message)", [url, ticket]
        )
        return told

    async def speak(self) -> None:
        """Open the microphone: what was recorded is played from its beginning."""
        await self.page.evaluate("window.speak()")


@asynccontextmanager
async def opened(open_browser: Open, recorded: Path, origin: str) -> AsyncIterator[Talk]:
    """The page, ready to talk, in a browser whose microphone plays `recorded`."""
    async with open_browser(recorded) as browser:
        page = await browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(origin, timeout=LIMIT_MS)
        await page.wait_for_function("() => window.talk !== undefined", timeout=LIMIT_MS)
        yield Talk(page, complaints)


@pytest.fixture
def ada(tmp_path: Path) -> Path:
    return microphone(tmp_path / "microphone.wav", voice("Hello, this is Ada."))


async def test_conversation_from_a_browsers_microphone(ada: Path, open_browser: Open) -> None:
    async with (
        pages() as origin,
        opened(open_browser, ada, origin) as talk,
        site(lenient=True, VOICEBOT_ALLOWED_ORIGINS=origin) as at,
    ):
        begun = await at.begin()
        assert await talk.connect(begun["websocket_url"], begun["ticket"]) is None
        await talk.until("heard", text=GREETING, interrupted=False)
        await talk.speak()
        await talk.until("transcript", speaker="caller", text="Hello, this is Ada.")
        await talk.until("observation", name="name", value="Ada")
        await talk.until("ended", reason="completed")
        assert (await talk.until("closed"))["code"] == 1000
        assert (await at.report(begun["session_id"]))["observations"] == {"name": "Ada"}
        assert talk.complaints == []


async def test_browser_falls_silent_when_its_caller_interrupts(ada: Path, open_browser: Open) -> None:
    turns = (Turn(None, ((Says(LONG),),)), Turn("Hello, this is Ada.", GOODBYE))
    async with (
        pages() as origin,
        opened(open_browser, ada, origin) as talk,
        site(turns, lenient=True, VOICEBOT_ALLOWED_ORIGINS=origin) as at,
    ):
        begun = await at.begin()
        assert await talk.connect(begun["websocket_url"], begun["ticket"]) is None
        await talk.until("transcript", speaker="bot", final=True)
        await talk.speak()
        heard = await talk.until("heard", interrupted=True)
        cut = await talk.until("cut", epoch=0)
        await talk.page.evaluate("window.conversation.hangUp()")
        await talk.until("ended")
    assert 0 < heard["heard_ms"] < heard["sent_ms"]
    # Not more than was played: on a busy machine a browser goes on until it hears of the clear. How near the two are
    # stands in tests/end_to_end/test_web_conversations.py, on a clock that no machine holds up.
    assert heard["heard_ms"] <= cut["ms"] + EXTRAPOLATED_MS


async def test_browser_comes_back_to_its_conversation(ada: Path, open_browser: Open) -> None:
    turns = (SCRIPT[0], Turn(None, ((Says("Who is calling, please?"),),)), SCRIPT[1])
    async with (
        pages() as origin,
        opened(open_browser, ada, origin) as talk,
        site(turns, lenient=True, VOICEBOT_ALLOWED_ORIGINS=origin) as at,
        FaultProxy(urlsplit(at.origin).port or 0) as tunnel,
    ):
        begun = await at.begin()
        url = begun["websocket_url"].replace(urlsplit(at.origin).netloc, tunnel.address)
        assert await talk.connect(url, begun["ticket"]) is None
        await talk.until("heard", text=GREETING)
        tunnel.reset()
        assert (await talk.until("hello", resumed=True))["session_id"] == begun["session_id"]
        await talk.until("heard", text="Who is calling, please?")
        await talk.speak()
        await talk.until("ended", reason="completed")
        assert (await at.report(begun["session_id"]))["observations"] == {"name": "Ada"}


async def test_page_of_a_foreign_origin_is_kept_out(ada: Path, open_browser: Open) -> None:
    async with pages() as origin, opened(open_browser, ada, origin) as talk, site(()) as at:
        begun = await at.begin()
        told = await talk.connect(begun["websocket_url"], begun["ticket"])
        assert told == "the server lets nobody in with this ticket"
