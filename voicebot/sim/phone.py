"""A telephone and the carrier behind it: calls a server, or is called, plays its TwiML, and writes down the truth.

It judges a server from outside, by signed HTTP, TwiML, WebSocket messages and mu-law alone, on any event loop: it
looks at no clock but the loop's, and counts 20 ms frames from the moment the call is placed, so that it never drifts.
"""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime

import aiohttp

from . import g711
from .call_book import CallBook, CallStatus
from .call_log import CallLog
from .call_result import CallResult
from .callee import Callee
from .caller import Conversation, PressKey, PutDown
from .carrier import Answer, CallForms, Carrier
from .dial_outcome import DialOutcome, Dials
from .line import Line, LineFaults, StreamIdentity
from .open_stream import OpenStream
from .person import RATE_HZ, Person, coded_voice
from .playout import Handset
from .recorder import BEEP, Recorder
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
    MessageRecorded,
    StreamBroke,
    StreamClosed,
    StreamFailed,
    StreamOpened,
    VerbPlayed,
    WebhookAnswered,
    Whispered,
)
from .twilio_forms import Placed
from .twiml_player import (
    Connect,
    Dial,
    Document,
    Fetch,
    Hangup,
    Order,
    Pause,
    Play,
    Record,
    Redirect,
    Reject,
    Say,
    TwimlError,
    TwimlPlayer,
    Unsupported,
    detail_of,
    parse_twiml,
)
from .twiml_source import TwimlSource

LONGEST_CALL_S = 14_400.0
FILE_PLAYS_S = 1.0  # a `<Play>`ed file, which is not fetched
KEY_PLAYS_S = 0.5  # each of `<Play digits>`


def _wall_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Phone:
    """Places one call, or takes one.

    Args:
        voice_url: the number's voice webhook as the server knows it, for that is what is signed.
        to: the number called.
        from_: the caller's number, or `anonymous`.
        behaviour: the caller; see `voicebot.sim.caller`.
        status_url: told when the call is over.
        fallback_url: asked when a document cannot be had or read.
        faults: what the line does otherwise than documented.
        dial: what becomes of each `<Dial>`, one after the other; the last also of those that follow. Or that by whom it
            rings, the number or SIP address as written; others answer.
        via: where public hosts are really reached; see `Carrier`, as for `trust`.
        book: where the call stands while the account's REST API can reach it.
        limit_s: the carrier ends calls that are longer.
        wall: aware UTC time, for time stamps alone.
        voice: gives the caller's words as mu-law at 8 kHz.
        on_event: called with every event as soon as it is known; must return quickly.
        placed: the account's call, if this phone is called and does not call; then its addresses are told and asked.
        callee: what becomes of such a call.
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
    dial: Dials = field(default_factory=DialOutcome)
    via: Mapping[str, str] = field(default_factory=dict)
    trust: ssl.SSLContext | None = None
    call_sid: str = field(default_factory=lambda: f"CA{uuid.uuid4().hex}")
    book: CallBook | None = None
    limit_s: float = LONGEST_CALL_S
    wall: Callable[[], datetime] = _wall_now
    voice: Callable[[str], bytes] = coded_voice
    on_event: Callable[[Event], None] | None = None
    placed: Placed | None = None
    callee: Callee = field(default_factory=Callee)

    async def call(self) -> CallResult:
        """Dial, go through with the call, and return when it is over and its last callbacks are answered."""
        return await _Call(self).run()


class _Call:
    """One call under way.

    Its tasks, besides this one: the clock, which passes the frames and lets the caller act; the writer of an open
    stream; and requests on their way. What the account wants in the middle of it breaks off what this task waits for.
    """

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self._loop = asyncio.get_running_loop()
        self._log = CallLog(phone.on_event)
        self._handset = Handset(self._loop.time())
        self._person = Person(self._handset, phone.behaviour, self._log.tell, phone.voice)
        fault = phone.faults.webhook_signature
        self._carrier = Carrier(phone.auth_token, via=phone.via, trust=phone.trust, signature_fault=fault)
        direction = "inbound" if phone.placed is None else "outbound-api"
        self._forms = CallForms(phone.account_sid, phone.call_sid, phone.to, phone.from_, direction)
        self._told = 0  # status callbacks of a call that was placed
        self._source = TwimlSource(self._ask, phone.fallback_url)
        self._player = TwimlPlayer()
        self._stream: OpenStream | None = None
        self._stream_names: set[str] = set()
        self._streams = 0
        self._actions = 0  # requests that were lost
        self._lost: Fetch | None = None
        self._hung_up = asyncio.Event()
        self._recalled = asyncio.Event()  # the caller has hung up, or the account has another wish
        self._wish: Fetch | Document | None = None
        self._dials: Counter[str] = Counter()  # by whom they rang, where that makes a difference
        self._recorder: Recorder | None = None  # while the caller is recorded
        self._answered = False
        self._ended: CallEnded | None = None
        self._status: CallStatus = "completed"

    async def run(self) -> CallResult:
        if self._phone.book is not None:
            self._phone.book.enter(self)
        async with aiohttp.ClientSession() as self._session, asyncio.TaskGroup() as self._tasks:
            order = await (self._ring() if self._phone.placed is None else self._be_rung(self._phone.placed))
            answered_ms = self._now_ms()
            clock = self._tasks.create_task(self._keep_time(), name="the phone's clock")
            while not self._hung_up.is_set():
                if (wish := self._take_wish()) is not None:
                    order = await self._fetch(wish) if isinstance(wish, Fetch) else self._load(wish)
                elif order is not None:
                    order = await self._perform(order)
                else:
                    break
            ended = self._end("server", "the server has no more for the line to do")
            await clock
            self._person.end(hung_up=ended.by == "caller")
            await self._post_end((ended.at_ms - answered_ms) / 1000)
        return self._result(ended)

    # ---- the account's REST API, which may reach into the call at any time ----

    @property
    def call_sid(self) -> str:
        return self._forms.call_sid

    @property
    def parties(self) -> tuple[str, str]:
        return self._forms.from_, self._forms.to

    @property
    def status(self) -> CallStatus:
        if self._ended is not None:
            return self._status
        return "in-progress" if self._answered else "ringing"

    def go_to(self, url: str, method: str = "POST") -> None:
        self._recall(Fetch(url, method))

    def play(self, twiml: str) -> None:
        self._recall(parse_twiml(twiml, self._phone.voice_url))

    def hang_up(self) -> None:
        if self._phone.placed is not None and not self._answered:
            self._status = "canceled"
        self._end("server", "the account's REST API ended the call", of_stream="account")

    def _recall(self, wish: Fetch | Document) -> None:
        if self._ended is None:
            self._wish = wish
            self._recalled.set()
            if self._stream:
                self._stream.end("account", self._loop.time())

    def _take_wish(self) -> Fetch | Document | None:
        wish, self._wish = self._wish, None
        self._recalled.clear()
        return wish

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
        self._answered = True
        try:
            document = await self._source.read(answer, self._forms.call("ringing"))
        except TwimlError as broken:
            self._status = "failed"
            self._end("error", str(broken))
            return None
        return self._load(document)

    async def _be_rung(self, placed: Placed) -> Order | None:
        """The account calls: ring, and ask for a document once somebody has answered."""
        callee = self._phone.callee
        for event in ("initiated", "ringing"):
            await self._tell_progress(placed, event, event)
        ringing = callee.ringing if callee.ring_s < placed.ring_s else "no-answer"
        await self._pass(placed.ring_s if ringing == "no-answer" else callee.ring_s)
        if self._ended is None and ringing != "answered":
            self._status = ringing
            self._end("error", f"the phone that was called: {ringing}")
        if self._ended is not None:  # or the account has taken the call back
            return None
        self._answered = True
        self._tasks.create_task(self._tell_progress(placed, "answered", "in-progress"), name="answered")
        order = await self._fetch(Fetch(placed.answered_url, placed.answered_method))
        self._handset.advance(self._loop.time())
        self._person.answer()
        if placed.detection_url is not None:
            self._tasks.create_task(self._tell_answerer(placed.detection_url, callee), name="who answered")
        return order

    async def _tell_progress(self, placed: Placed, event: str, status: str) -> None:
        number, self._told = self._told, self._told + 1
        if placed.progress_url is not None and event in placed.events:
            await self._ask(placed.progress_url, self._forms.progress(status, number, self._phone.wall()))

    async def _tell_answerer(self, url: str, callee: Callee) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(callee.detected_s):
                await self._hung_up.wait()
                return
        await self._ask(url, self._forms.detected(callee.answered_by, callee.detected_s))

    async def _fetch(self, order: Fetch) -> Order | None:
        """Ask for a document, and wait for it unless the account has another wish meanwhile."""
        asking = self._tasks.create_task(self._document(order), name="the next document")
        recalled = self._tasks.create_task(self._recalled.wait(), name="what the account wants")
        await asyncio.wait([asking, recalled], return_when=asyncio.FIRST_COMPLETED)
        recalled.cancel()
        if not (asking.done() or self._hung_up.is_set()):
            asking.cancel()
            return None
        document = await asking
        return self._load(document) if document is not None else None

    async def _document(self, order: Fetch) -> Document | None:
        """The document, or the end of the call."""
        try:
            if order is self._lost:
                return await self._source.read(self._lose(order), self._forms.call())
            return await self._source.fetch(order, self._forms.call())
        except TwimlError as broken:
            if not self._recalled.is_set():
                self._end("error", str(broken))
            return None

    def _lose(self, order: Fetch) -> Answer:
        answer = Answer(order.url, None, 0.0, error="11205 - connection failure: no connection came about")
        self._log.tell(WebhookAnswered(self._now_ms(), answer.url, None, answer.took_ms, answer.error, ""))
        return answer

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
        self._log.tell(VerbPlayed(self._now_ms(), type(order).__name__, detail_of(order)))
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
                return self._report(await self._dial(order))
            case Record():
                return await self._record(order)
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
        number, self._streams = self._streams, self._streams + 1
        opened = await self._run_stream(connect)
        asks = faults.request_action and number >= faults.actions_withheld
        if not (asks if opened else faults.action_after_failed_handshake):
            return self._player.next()
        await self._pass(faults.action_delay_s)
        order = self._player.finished()
        if isinstance(order, Fetch) and self._actions < faults.actions_lost:
            self._actions, self._lost = self._actions + 1, order
        return order

    async def _announce(self, text: str, loop: int) -> None:
        """Speak as the line itself. It begins with the next frame, which takes one more to pass."""
        if not text:
            return
        await self._sound(g711.encode(speak(text, RATE_HZ, voice="bot")) * max(1, loop))

    async def _sound(self, payload: bytes) -> None:
        """Play mu-law audio of the line's own to its end."""
        self._handset.announce(payload)
        await self._pass((len(payload) / BYTES_PER_MS + 2 * FRAME_MS) / 1000)

    async def _dial(self, dial: Dial) -> dict[str, str]:
        outcome = self._next_outcome(dial)
        fields = {"DialCallSid": f"CA{uuid.uuid4().hex}", "DialCallStatus": outcome.status, "DialBridged": "false"}
        await self._pass(dial.timeout_s if outcome.status == "no-answer" else outcome.ring_s)
        if self._hung_up.is_set():
            return fields | {"DialCallStatus": "canceled"}
        if outcome.status != "completed":
            return fields
        if dial.whisper_url is not None:
            await self._whisper(dial, dial.whisper_url, fields["DialCallSid"])
        began_ms = self._now_ms()
        await self._pass(outcome.talk_s)
        talked_s = (self._now_ms() - began_ms) / 1000
        return fields | {"DialCallDuration": f"{talked_s:.0f}", "DialBridged": "true"}

    async def _whisper(self, dial: Dial, url: str, callee_sid: str) -> None:
        """Somebody has answered, and hears this first; the caller hears it ring."""
        form = self._forms.answered(callee_sid, dial.targets[0], dial.caller_id or self._forms.from_)
        answer = await self._ask(url, form)
        try:
            document = parse_twiml(answer.body, url)
        except TwimlError as broken:
            self._object(broken.code, f"the words for whoever answered: {broken.problem}")
            return
        words = " ".join(verb.text for verb in document.verbs if isinstance(verb, Say))
        if words:
            self._log.tell(Whispered(self._now_ms(), words))
            await self._pass(len(speak(words, RATE_HZ, voice="bot")) / RATE_HZ)

    def _next_outcome(self, dial: Dial) -> DialOutcome:
        outcomes, whom = self._phone.dial, ""
        if isinstance(outcomes, Mapping):
            whom = dial.targets[0]
            outcomes = outcomes.get(whom, ())
        if isinstance(outcomes, DialOutcome):
            return outcomes
        number = self._dials[whom]
        self._dials[whom] += 1
        return outcomes[min(number, len(outcomes) - 1)] if outcomes else DialOutcome()

    async def _record(self, verb: Record) -> Order | None:
        """Record the caller; the action is asked once there is something to hear."""
        if verb.beep:
            await self._sound(BEEP)
        self._recorder = recorder = Recorder(verb)
        began = self._phone.wall()
        while not (recorder.over or self._recalled.is_set()):
            await self._pass(FRAME_MS / 1000)
        self._recorder = None
        if recorder.empty:
            return self._player.next()
        recording_sid = f"RE{uuid.uuid4().hex}"
        self._log.tell(MessageRecorded(self._now_ms(), recording_sid, recorder.words, recorder.length_s))
        if verb.status_callback:
            form = self._forms.recording(recording_sid, recorder.length_s, began)
            self._tasks.create_task(self._ask(verb.status_callback, form), name="recording status")
        key = "hangup" if self._hung_up.is_set() else recorder.key
        return self._report(self._forms.recorded(recording_sid, recorder.length_s, key))

    def _report(self, fields: Mapping[str, str]) -> Order | None:
        """The verb is over: its action is asked with these fields, even if the caller has hung up meanwhile."""
        order = self._player.finished(fields)
        if isinstance(order, Fetch) and self._hung_up.is_set():
            form = self._forms.call("completed") | dict(order.fields)
            self._tasks.create_task(self._ask(order.url, form, order.method), name="the last action")
            return None
        return order

    async def _pass(self, seconds: float) -> None:
        """Let time pass, until the caller hangs up or the account has another wish."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._recalled.wait()

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
        if self._recalled.is_set():
            stream.end("caller" if self._hung_up.is_set() else "account", self._loop.time())
        ended = await stream.run(self._tasks)
        if ended[0] == "network" and self._streams <= self._phone.faults.unnoticed_breaks:
            stream.stay_half_open()
            self._log.tell(StreamBroke(self._now_ms(), stream_sid))
            await self._recalled.wait()
            ended = "caller" if self._hung_up.is_set() else "account", None
        self._stream = None
        self._log.close_stream(*stream.record(self._loop.time()))
        return ended

    def _stream_carrier(self) -> Carrier:
        fault = self._phone.faults.stream_signature
        phone = self._phone
        return Carrier(phone.auth_token, via=phone.via, trust=phone.trust, signature_fault=fault)

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
        if self._stream and not self._stream.ended:
            self._stream.advance(now)
        else:
            before = len(self._handset.spoken_tape)
            self._handset.advance(now)
            if self._recorder is not None:
                self._recorder.hear(bytes(self._handset.spoken_tape[before:]))
        for act in self._person.perceive():
            match act:
                case PressKey(digit):
                    self._log.tell(KeyPressed(self._now_ms(), digit))
                    if self._stream:
                        self._stream.press(digit)
                    elif self._recorder is not None:
                        self._recorder.press(digit)
                case PutDown():
                    self._end("caller", "the caller hung up")
        if self._now_ms() > self._phone.limit_s * 1000:
            self._end("error", f"the call lasted longer than {self._phone.limit_s:g} s")

    def _now_ms(self) -> float:
        return self._handset.at_ms(self._loop.time())

    # ---- the end ----

    def _end(self, by: Ender, reason: str, *, of_stream: Closer = "caller") -> CallEnded:
        """The call is over; the first who ends it has ended it."""
        if self._ended is None:
            self._ended = CallEnded(self._now_ms(), by, reason)
            self._log.tell(self._ended)
            self._hung_up.set()
            self._recalled.set()
            if self._stream:
                self._stream.end(of_stream, self._loop.time())
        return self._ended

    async def _post_end(self, duration_s: float) -> None:
        placed = self._phone.placed
        if placed is not None and placed.progress_url is not None and "completed" in placed.events:
            form = self._forms.ended(self._status, duration_s, self._phone.wall(), self._told)
            await self._ask(placed.progress_url, form)
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
