"""A tiny server for a phone to call, and what there is to see of a call."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from aiohttp import WSMsgType, web

from voicebot.sim import g711
from voicebot.sim.call_result import CallResult
from voicebot.sim.caller import Caller, Listen, Say, Step
from voicebot.sim.clock import run_virtual
from voicebot.sim.listener import Listener
from voicebot.sim.phone import Phone
from voicebot.sim.speech import speak
from voicebot.sim.timeline import BotSaid, CallerSaid

WEBHOOKS = Path(__file__).parents[1] / "samples" / "twilio_webhooks"
TOKEN = "12345"
ACCOUNT = "AC00000000000000000000000000000001"
CONNECT = (
    '<Response><Connect action="/after"><Stream url="ws://HOST/media" name="main" statusCallback="http://HOST/stream">'
    '<Parameter name="token" value="t0"/></Stream></Connect><Say>Next verb.</Say></Response>'
)
CALL_SID = "CA1234567890abcdef1234567890abcdef"

T = TypeVar("T")


def sample(name: str) -> Any:
    return json.loads((WEBHOOKS / name).read_text())


class Stream:
    """The server's end of a Media Stream."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.socket, self.request = socket, request
        self.events: list[dict[str, Any]] = []
        self.said: list[str] = []  # by the caller
        self.stream_sid = ""
        self._ears = Listener(8000)

    async def next(self) -> dict[str, Any] | None:
        """The next message; None when the socket is gone."""
        while True:
            message = await self.socket.receive()
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return None
            try:
                event = json.loads(message.data)
                break
            except ValueError:
                self.events.append({"event": "malformed"})
        self.events.append(event if isinstance(event, dict) else {})
        if self.events[-1].get("event") == "start":
            self.stream_sid = event["streamSid"]
        match event:
            case {"event": "media", "media": {"track": "inbound", "payload": payload}}:
                samples = g711.decode(base64.b64decode(payload))
                self.said += [heard.text for heard in self._ears.feed(samples)]
        return self.events[-1]

    async def until(self, event: str, name: str | None = None) -> bool:
        """Read on until such a message; False when the socket is gone."""
        while (message := await self.next()) is not None:
            if message.get("event") == event and (name is None or message["mark"]["name"] == name):
                return True
        return False

    async def until_said(self, text: str) -> None:
        while text not in self.said and await self.next() is not None:
            pass

    async def play(self, payload: bytes) -> None:
        await self.send({"event": "media", "media": {"payload": base64.b64encode(payload).decode()}})

    async def say(self, text: str) -> None:
        """Speak, with the text as mark."""
        await self.play(g711.encode(speak(text, 8000, voice="bot")))
        await self.send({"event": "mark", "mark": {"name": text}})

    async def send(self, message: Mapping[str, object]) -> None:
        await self.socket.send_json({"streamSid": self.stream_sid, **message})


Bot = Callable[[Stream], Awaitable[None]]


@dataclass
class Asked:
    path: str
    form: dict[str, str]
    signature: str
    url: str
    method: str


async def greeter(stream: Stream) -> None:
    """Greets, answers once, says goodbye, and closes when that was heard."""
    await stream.until("start")
    await stream.say("Hello there.")
    await stream.until_said("Hi")
    await stream.say("Goodbye.")
    await stream.until("mark", "Goodbye.")


async def reader(stream: Stream) -> None:
    """Says nothing."""
    await stream.until("never")


@dataclass
class Server:
    """Answers with documents by path; `HOST` in them is its address. The bot has the stream."""

    bot: Bot = greeter
    documents: dict[str, str | Callable[[Asked], Awaitable[web.Response]]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)

    async def __aenter__(self) -> Server:
        app = web.Application()
        app.router.add_get("/media", self._media)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.host = "{}:{}".format(*self._runner.addresses[0])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        signed = request.headers.get("X-Twilio-Signature", "")
        url = f"http://{request.headers['Host']}{request.raw_path}"
        asked = Asked(request.path, form, signed, url, request.method)
        self.asked.append(asked)
        document = self.documents.get(request.path, {"/voice": CONNECT}.get(request.path, "<Response/>"))
        if isinstance(document, str):
            return web.Response(text=document.replace("HOST", self.host), content_type="text/xml")
        return await document(asked)

    async def _media(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        stream = Stream(socket, request)
        self.streams.append(stream)
        await self.bot(stream)
        await socket.close()
        return socket

    def forms(self, path: str) -> list[dict[str, str]]:
        return [asked.form for asked in self.asked if asked.path == path]


def steps(*steps: Step) -> Caller:
    return Caller(steps)


async def dial(server: Server, caller: Any = None, **settings: Any) -> CallResult:
    settings = {"status_url": f"http://{server.host}/status", "call_sid": CALL_SID} | settings
    return await Phone(
        f"http://{server.host}/voice",
        to="+14155550100",
        from_="+14155550123",
        account_sid=ACCOUNT,
        auth_token=TOKEN,
        behaviour=caller or steps(Say("Hi"), Listen()),
        **settings,
    ).call()


def call(server: Server, caller: Any = None, **settings: Any) -> CallResult:
    """One call in virtual time."""

    async def main() -> CallResult:
        async with server:
            return await dial(server, caller, **settings)

    return run_virtual(main(), limit_s=4 * 3600)


def of(result: CallResult, kind: type[T]) -> list[T]:
    return [event for event in result.events if isinstance(event, kind)]


def conversation(result: CallResult) -> list[str]:
    return [event.text for event in result.events if isinstance(event, BotSaid | CallerSaid)]
