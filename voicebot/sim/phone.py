"""A telephone and the carrier behind it: places one call to a server, plays its TwiML, and writes down the truth.

It judges a server from outside, by signed HTTP, TwiML, WebSocket messages and mu-law alone, on any event loop: it
looks at no clock but the loop's, and counts 20 ms frames from the moment the call is placed, so that it never drifts.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime
from typing import Literal

import aiohttp

from . import g711
from .call_log import CallLog
from .call_result import CallResult
from .caller import Conversation, PressKey, PutDown
from .carrier import Answer, CallForms, Carrier
from .line import Line, LineFaults, StreamIdentity
from .open_stream import OpenStream
from .person import RATE_HZ, Person, coded_voice
from .playout import Handset
from .speech import speak
from .stream_socket import StreamRefusedError, StreamSocket
from .timeline import (
    BYTES_PER_MS,
    FRAME_MS,
    CallEnded,
    Closer,
    Ender,
    Event,
    KeyPressed,
    StreamClosed,
    StreamFailed,
    StreamOpened,
    VerbPlayed,
    WebhookAnswered,
)
from .twiml_player import (
    Connect,
    Dial,
    Document,
    Fetch,
    Hangup,
    Order,
    Pause,
    Play,
    Redirect,
    Reject,
    Say,
    TwimlError,
    TwimlPlayer,
    Unsupported,
    Verb,
)
from .twiml_source import TwimlSource

LONGEST_CALL_S = 14_400.0
FILE_PLAYS_S = 1.0  # a `<Play>`ed file, which is not fetched
KEY_PLAYS_S = 0.5  # each of `<Play digits>`


def _wall_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class DialOutcome:
    """What becomes of a `<Dial>`: `completed` talks for `talk_s` after ringing; `no-answer` rings to its time-out."""

    status: Literal["completed", "busy", "no-answer", "failed"] = "completed"
    ring_s: float = 2.0
    talk_s: float = 10.0


@dataclass(frozen=True)
class Phone:
    """Places one call.

    Args:
        voice_url: the number's voice webhook as the server knows it, for that is what is signed.
        to: the number called.
        from_: the caller's number, or `anonymous`.
        behaviour: the caller; see `voicebot.sim.caller`.
        status_url: told when the call is over.
        fallback_url: asked when a document cannot be had or read.
        faults: what the line does otherwise than documented.
        dial: what becomes of a `<Dial>`.
        via: where public hosts are really reached; see `Carrier`.
        limit_s: the carrier ends calls that are longer.
        wall: aware UTC time, for time stamps alone.
        voice: gives the caller's words as mu-law at 8 kHz.
        on_event: called with every event as soon as it is known; must return quickly.
    """

    voice_url: str
    _: KW_ONLY
    to: str
    from_: str
    account_sid: str
    auth_token: str = field(repr=False)
    behaviour: Conversation
    status_url: str | None = None
    fallback_url: str | None = None
    faults: LineFaults = field(default_factory=LineFaults)
    dial: DialOutcome = field(default_factory=DialOutcome)
    via: Mapping[str, str] = field(default_factory=dict)
    call_sid: str = field(default_factory=lambda: f"CA{uuid.uuid4().hex}")
    limit_s: float = LONGEST_CALL_S
    wall: Callable[[], datetime] = _wall_now
    voice: Callable[[str], bytes] = coded_voice
    on_event: Callable[[Event], None] | None = None

    async def call(self) -> CallResult:
        """Dial, go through with the call, and return when it is over and its last callbacks are answered."""
        return await _Call(self).run()


class _Call:
    """One call under way.

    Its tasks, besides this one: the clock, which passes the frames and lets the caller act; the writer of an open
    stream; and callbacks on their way.
    """

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self._loop = asyncio.get_running_loop()
        self._log = CallLog(phone.on_event)
        self._handset = Handset(self._loop.time())
        self._person = Person(self._handset, phone.behaviour, self._log.tell, phone.voice)
        self._carrier = Carrier(phone.auth_token, via=phone.via, signature_fault=phone.faults.webhook_signature)
        self._forms = CallForms(phone.account_sid, phone.call_sid, phone.to, phone.from_)
        self._source = TwimlSource(self._ask, phone.fallback_url)
        self._player = TwimlPlayer()
        self._stream: OpenStream | None = None
        self._stream_names: set[str] = set()
        self._hung_up = asyncio.Event()
        self._ended: CallEnded | None = None
        self._status = "completed"

    async def run(self) -> CallResult:
        async with aiohttp.ClientSession() as self._session, asyncio.TaskGroup() as self._tasks:
            order = await self._ring()
            answered_ms = self._now_ms()
            clock = self._tasks.create_task(self._keep_time(), name="the phone's clock")
            while order is not None and not self._hung_up.is_set():
                order = await self._perform(order)
            ended = self._end("server", "the server has no more for the line to do")
            await clock
            self._person.end(hung_up=ended.by == "caller")
            await self._post_end((ended.at_ms - answered_ms) / 1000)
        return self._result(ended)

    # ---- documents ----

    async def _ring(self) -> Order | None:
        """The voice webhook, while the phone rings."""
        fields = self._forms.voice()
        asked = [
            self._tasks.create_task(self._ask(self._phone.voice_url, fields, "POST"), name="voice webhook")
            for _ in range(2 if self._phone.faults.duplicate_webhook else 1)
        ]
        answer = [await task for task in asked][-1]
        self._handset.advance(self._loop.time())
        self._person.answer()
        try:
            document = await self._source.read(answer, self._forms.call("ringing"))
        except TwimlError as broken:
            self._status = "failed"
            self._end("error", str(broken))
            return None
        return self._load(document)

    async def _fetch(self, order: Fetch) -> Order | None:
        try:
            return self._load(await self._source.fetch(order, self._forms.call()))
        except TwimlError as broken:
            self._end("error", str(broken))
            return None

    def _load(self, document: Document) -> Order | None:
        for warning in document.warnings:
            self._object("12200", warning)
        return self._player.load(document)

    async def _ask(self, url: str, fields: Mapping[str, str], method: str = "POST") -> Answer:
        answer = await self._carrier.request(self._session, url, fields, method)
        self._log.tell(
            WebhookAnswered(self._now_ms(), answer.url, answer.status, answer.took_ms, answer.error, answer.body)
        )
        return answer

    # ---- verbs ----

    async def _perform(self, order: Order) -> Order | None:
        """Play a verb to its end, or fetch; returns what comes next."""
        if isinstance(order, Fetch):
            return await self._fetch(order)
        self._log.tell(VerbPlayed(self._now_ms(), type(order).__name__, _detail(order)))
        match order:
            case Connect():
                return await self._connect(order)
            case Say(text, loop):
                await self._announce(text, loop)
            case Pause(seconds):
                await self._pass(seconds)
            case Play(digits=digits):
                await self._pass(len(digits) * KEY_PLAYS_S if digits else FILE_PLAYS_S)
            case Dial():
                return self._player.finished(await self._dial(order))
            case Reject(reason):
                self._status = "busy" if reason == "busy" else "no-answer"
            case Unsupported(name):
                self._object("12200", f"this line cannot play <{name}>")
            case Redirect() | Hangup():
                pass
        return self._player.finished()

    async def _connect(self, connect: Connect) -> Order | None:
        if connect.name and connect.name in self._stream_names:
            self._object("12200", f"two streams of the call are named {connect.name!r}")
        self._stream_names.add(connect.name or "")
        faults = self._phone.faults
        opened = await self._run_stream(connect)
        asks = faults.request_action if opened else faults.action_after_failed_handshake
        return self._player.finished() if asks else self._player.next()

    async def _announce(self, text: str, loop: int) -> None:
        """Speak as the line itself. It begins with the next frame, which takes one more to pass."""
        if not text:
            return
        payload = g711.encode(speak(text, RATE_HZ, voice="bot")) * max(1, loop)
        self._handset.announce(payload)
        await self._pass((len(payload) / BYTES_PER_MS + 2 * FRAME_MS) / 1000)

    async def _dial(self, dial: Dial) -> dict[str, str]:
        outcome = self._phone.dial
        await self._pass(dial.timeout_s if outcome.status == "no-answer" else outcome.ring_s)
        fields = {"DialCallSid": f"CA{uuid.uuid4().hex}", "DialCallStatus": outcome.status}
        if outcome.status != "completed":
            return fields | {"DialBridged": "false"}
        await self._pass(outcome.talk_s)
        return fields | {"DialCallDuration": f"{outcome.talk_s:.0f}", "DialBridged": "true"}

    async def _pass(self, seconds: float) -> None:
        """Let time pass, until the caller hangs up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hung_up.wait()

    # ---- the stream ----

    async def _run_stream(self, connect: Connect) -> bool:
        """Open the stream and stay until its socket is closed; False when there was no socket."""
        stream_sid = f"MZ{uuid.uuid4().hex}"
        async with StreamSocket(self._stream_carrier(), self._phone.faults) as socket:
            try:
                await socket.open(connect.url)
            except StreamRefusedError as refused:
                self._log.tell(StreamFailed(self._now_ms(), connect.url, str(refused)))
                self._post_stream_event(connect, stream_sid, "stream-error", str(refused))
                return False
            self._log.tell(StreamOpened(self._now_ms(), stream_sid, connect.url))
            self._post_stream_event(connect, stream_sid, "stream-started")
            by, code = await self._stay_in_stream(connect, stream_sid, socket)
        self._log.tell(StreamClosed(self._now_ms(), stream_sid, by, code))
        if by == "network":
            self._post_stream_event(connect, stream_sid, "stream-error", "31903 - Stream - WebSocket - Broken Pipe")
        else:
            self._post_stream_event(connect, stream_sid, "stream-stopped")
        return True

    async def _stay_in_stream(
        self, connect: Connect, stream_sid: str, socket: StreamSocket
    ) -> tuple[Closer, int | None]:
        identity = StreamIdentity(self._forms.account_sid, self._forms.call_sid, stream_sid, connect.parameters)
        self._stream = stream = OpenStream(Line(identity, self._handset, self._phone.faults), socket, self._log.tell)
        stream.open(self._loop.time(), None if self._log.streams else self._phone.faults.drop_socket_at_ms)
        if self._hung_up.is_set():
            stream.hang_up(self._loop.time())
        ended = await stream.run(self._tasks)
        self._stream = None
        self._log.close_stream(*stream.record(self._loop.time()))
        return ended

    def _stream_carrier(self) -> Carrier:
        fault = self._phone.faults.stream_signature
        return Carrier(self._phone.auth_token, via=self._phone.via, signature_fault=fault)

    def _post_stream_event(self, connect: Connect, stream_sid: str, event: str, error: str | None = None) -> None:
        if connect.status_callback:
            fields = self._forms.stream(event, stream_sid, connect.name, self._phone.wall(), error)
            self._tasks.create_task(self._ask(connect.status_callback, fields), name=event)

    # ---- time ----

    async def _keep_time(self) -> None:
        """Pass the frames until the call ends, by an absolute schedule."""
        while not self._hung_up.is_set():
            border = self._handset.next_border
            await asyncio.sleep(border - self._loop.time())
            now = self._loop.time()
            self._log.note_lateness(max(0.0, (now - border) * 1000))
            if not self._hung_up.is_set():
                self._pass_frames(now)

    def _pass_frames(self, now: float) -> None:
        if self._stream:
            self._stream.advance(now)
        else:
            self._handset.advance(now)
        for act in self._person.perceive():
            match act:
                case PressKey(digit):
                    self._log.tell(KeyPressed(self._now_ms(), digit))
                    if self._stream:
                        self._stream.press(digit)
                case PutDown():
                    self._end("caller", "the caller hung up")
        if self._now_ms() > self._phone.limit_s * 1000:
            self._end("error", f"the call lasted longer than {self._phone.limit_s:g} s")

    def _now_ms(self) -> float:
        return self._handset.at_ms(self._loop.time())

    # ---- the end ----

    def _end(self, by: Ender, reason: str) -> CallEnded:
        """The call is over; the first who ends it has ended it."""
        if self._ended is None:
            self._ended = CallEnded(self._now_ms(), by, reason)
            self._log.tell(self._ended)
            self._hung_up.set()
            if self._stream:
                self._stream.hang_up(self._loop.time())
        return self._ended

    async def _post_end(self, duration_s: float) -> None:
        if self._phone.status_url:
            await self._ask(self._phone.status_url, self._forms.ended(self._status, duration_s, self._phone.wall()))

    def _result(self, ended: CallEnded) -> CallResult:
        return self._log.result(
            self._forms.call_sid,
            ended,
            self._phone.behaviour.problems,
            bytes(self._handset.spoken_tape),
            bytes(self._handset.heard_tape),
        )

    def _object(self, code: str, problem: str) -> None:
        self._log.object(code, problem, self._now_ms())


def _detail(verb: Verb) -> str:
    match verb:
        case Connect(url) | Redirect(url):
            return url
        case Say(text):
            return text
        case Pause(seconds):
            return f"{seconds:g} s"
        case Play(url, digits):
            return digits or url or ""
        case Dial(targets):
            return ", ".join(targets)
        case Reject(reason):
            return reason
        case Unsupported(name):
            return name
        case Hangup():
            return ""
