"""The model of the load: a script per session, told by the milliseconds of audio that have come.

Events, their fields and their order are the API's (Realtime API reference); what they say does not matter. Each
caller's turn lasts `SPEECH_MS` and is answered by some seconds of audio in deltas of `DELTA_MS`, several at a time and
faster than they are played. Every other answer is interrupted, in turn while it is still generated and when it has only
to be played; every third turn records something first. What is to be read aloud outside the conversation comes at once.
"""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
import time
from collections import deque
from collections.abc import Iterator
from itertools import count
from typing import Any

from .frames import BYTES_PER_MS, DELTA_MS, FRAME_MS, LOUD_EVERY, is_loud
from .lean_socket import LeanSocket
from .phone import ModelFault, Phone
from .readings import Readings
from .target import Target
from .voice import SPEECH_MS, Response, Voice
from .wire import decoded_size, read

VAD_SILENCE_MS = 500
THINKING_MS = 160
REPLY_MS = 4_000
BURST_DELTAS = 3
BURST_EVERY_MS = 120
PAUSE_MS = 600  # between the end of an answer that is heard out and the caller's next words
CUTS_MS = (None, 600, None, 2_000)  # when the caller interrupts, from an answer's first sound
RECORD_EVERY = 3  # turns
CYCLE_MS = 12_000  # calls begin their first turns spread over so much
REQUEST_LIMIT_MS = 5_000
DROPPED_AT_MS = 400  # of the caller's audio, where the model drops the call
SESSION_LIFE_S = 3_600
KEPT_PHONES = 1_000  # of calls that are over

_RECORD = '{"wish":{"value":"a table for two","quote":"a table for two, please"}}'
_VERBATIM = re.compile(r"<verbatim>(.*?)</verbatim>", re.DOTALL)
_CALLER = re.compile(r"\+1555\d{7}\b")


class Session:
    """One session of the model.

    Attributes:
        over: the call is being ended: nothing more is said.
        phone: whose session it is, once the instructions have told.
    """

    def __init__(self, number: int, model: Model) -> None:
        self.socket = LeanSocket(self._take, client=False, opened=self._greet, ended=self._ended)
        self.over = False
        self._number, self._model = number, model
        self._voice = Voice(self.socket, number, model.codec)
        self._bytes_per_ms = BYTES_PER_MS[model.codec]
        self.phone: Phone | None = None
        self._heard_ms = 0.0
        self._loud_at_ms = FRAME_MS / 2
        self._script = self._talk()
        self._due_ms = 0.0
        self._awaits_request = False
        self._request: dict[str, Any] | None = None

    def end(self) -> None:
        """The caller hangs up: finish what is under way."""
        self.over = True
        self._due_ms = float("inf")
        if self._voice.response is not None:
            self._voice.finish("completed")

    # ---- in ---------------------------------------------------------------------------------------------------------

    def _greet(self) -> None:
        self._voice.send("session.created", session=self._described({"audio": {}}))

    def _described(self, changes: dict[str, Any]) -> dict[str, Any]:
        return self._voice.session(changes, int(time.time()) + SESSION_LIFE_S)

    def _ended(self) -> None:
        self._model.sessions.discard(self)
        if self.phone is not None and not (self.over or self.phone.left):
            self._fail("the server closed a session")

    def _take(self, text: bytes, now: float) -> None:
        event = read(text)
        if event["type"] == "input_audio_buffer.append":
            self._hear(event["audio"], now)
            return
        match event["type"]:
            case "session.update":
                self._update(event["session"])
            case "response.create":
                self._asked(event)
            case "response.cancel":
                self._cancel(event)
            case "conversation.item.truncate":
                self._truncate(event)
            case "conversation.item.create":
                self._voice.add_item({"id": self._voice.new_id("item"), "object": "realtime.item"} | event["item"])
            case "input_audio_buffer.commit":
                self._voice.commit(self._voice.new_id("item"))
                self._voice.transcribe()
            case unknown:
                self._refuse(event, "invalid_value", f"{unknown} is no event of this model")

    def _hear(self, audio: str, now: float) -> None:
        before = self._heard_ms
        self._heard_ms += decoded_size(audio) / self._bytes_per_ms
        phone = self.phone
        if phone is None:
            self._fail("audio came before the instructions told the caller's number")
            return
        phone.arrived(self._heard_ms, now)
        if before <= self._loud_at_ms < self._heard_ms:
            if not is_loud(base64.b64decode(audio), self._loud_at_ms - before, self._bytes_per_ms):
                self._fail("audio was lost on the way up")
            self._loud_at_ms += LOUD_EVERY * FRAME_MS
        if phone.model_fault == "drops" and self._heard_ms >= DROPPED_AT_MS:
            self.socket.abort()
        elif self._heard_ms >= self._due_ms:
            self._go_on()

    def _update(self, session: dict[str, Any]) -> None:
        audio = session.get("audio", {})
        if audio and not (audio["input"]["format"] == audio["output"]["format"] == self._voice.format):
            self._fail(f"the session asks for {audio['output']['format']}")
        self._recognise(session.get("instructions", ""))
        if self.phone is not None and self.phone.model_fault == "refuses":
            self._voice.error({}, "insufficient_quota", "You exceeded your current quota.")
            self.socket.close()
            return
        self._voice.send("session.updated", session=self._described(session))

    def _recognise(self, instructions: str) -> None:
        if self.phone is None and (caller := _CALLER.search(instructions)):
            self.phone = self._model.phones.get(caller[0])

    def _asked(self, event: dict[str, Any]) -> None:
        request = event["response"]
        if request.get("conversation") == "none":
            self._read_aloud(event)
        elif self._voice.response is not None:
            self._refuse(event, "conversation_already_has_active_response", self._voice.response.response_id)
        elif not self.over:
            self._recognise(request.get("instructions", ""))
            self._request = request
            if self._awaits_request:
                self._go_on()

    def _read_aloud(self, event: dict[str, Any]) -> None:
        texts = _VERBATIM.findall(event["response"].get("instructions", ""))
        if texts:  # the instructions may name the tags before they use them, so the last pair counts
            self._voice.read_aloud(event["response"], texts[-1])
        else:
            self._refuse(event, "invalid_value", "outside the conversation this model only reads aloud")

    def _cancel(self, event: dict[str, Any]) -> None:
        response = self._voice.response
        if response is not None and event.get("response_id", response.response_id) == response.response_id:
            self._voice.finish("cancelled")
        else:  # it was done a moment ago, which is nobody's fault
            self._voice.error(event, "response_cancel_not_active", "no active response found")

    def _truncate(self, event: dict[str, Any]) -> None:
        item_id, audio_end_ms = event["item_id"], event["audio_end_ms"]
        if audio_end_ms > self._voice.said_ms.get(item_id, -1):
            self._refuse(event, "invalid_value", f"{item_id} is shorter than {audio_end_ms} ms")
            return
        place = {"item_id": item_id, "content_index": 0, "audio_end_ms": audio_end_ms}
        self._voice.send("conversation.item.truncated", **place)
        if self.phone is not None:
            self.phone.ear.truncated(audio_end_ms)

    def _refuse(self, event: dict[str, Any], code: str, message: str) -> None:
        self._fail(f"the model had to refuse: {code}")
        self._voice.error(event, code, message)

    def _fail(self, problem: str) -> None:
        readings = self._model.readings if self.phone is None else self.phone.readings
        readings.fail(problem)

    # ---- the script; it yields the milliseconds of audio at which it goes on ----------------------------------------

    def _go_on(self) -> None:
        self._due_ms = next(self._script)
        while self._heard_ms >= self._due_ms:
            self._due_ms = next(self._script)

    def _talk(self) -> Iterator[float]:
        yield from self._answer(None)
        while not self._model.converses:
            yield float("inf")
        yield self._heard_ms + self._model.head_start_ms(self._number)
        readings = self._model.readings
        for turn in count():
            readings.turns += readings.recording
            yield from self._listen()
            if turn % RECORD_EVERY == RECORD_EVERY - 1:
                yield from self._record()
            yield from self._answer(CUTS_MS[turn % len(CUTS_MS)])

    def _listen(self) -> Iterator[float]:
        assert self.phone is not None
        ear, item_id = self.phone.ear, self._voice.new_id("item")
        if ear.hears:
            ear.spoke_at = time.perf_counter()
        self._voice.send("input_audio_buffer.speech_started", audio_start_ms=int(self._heard_ms), item_id=item_id)
        yield self._heard_ms + SPEECH_MS + VAD_SILENCE_MS
        if ear.spoke_at is not None:
            ear.spoke_at = None
            self._fail("an interruption was not answered by clear")
        self._voice.send("input_audio_buffer.speech_stopped", audio_end_ms=int(self._heard_ms), item_id=item_id)
        self._voice.commit(item_id)

    def _answer(self, cut_ms: int | None) -> Iterator[float]:
        yield from self._wait_for_request()
        if (response := self._begin()) is None:
            return
        yield self._heard_ms + THINKING_MS
        self._voice.transcribe()
        self._voice.begin_message(response)
        begins_ms, reply_ms = self._heard_ms, self._model.reply_ms
        assert self.phone is not None
        self.phone.ear.first_delta_at = time.perf_counter()
        for number in range(reply_ms // DELTA_MS):
            if number and number % BURST_DELTAS == 0:
                yield self._heard_ms + BURST_EVERY_MS
                cut = cut_ms is not None and self._heard_ms >= begins_ms + cut_ms
                if cut or self._voice.response is not response:
                    return
            self._voice.delta(response, number)
        self._voice.finish("completed")
        yield begins_ms + (reply_ms + PAUSE_MS if cut_ms is None else cut_ms)

    def _record(self) -> Iterator[float]:
        yield from self._wait_for_request()
        if (response := self._begin()) is None:
            return
        yield self._heard_ms + THINKING_MS
        self._voice.transcribe()
        self._voice.call_function(response, "record", _RECORD)

    def _wait_for_request(self) -> Iterator[float]:
        if self._request is None:
            self._awaits_request = True
            yield self._heard_ms + REQUEST_LIMIT_MS
            self._awaits_request = False

    def _begin(self) -> Response | None:
        request, self._request = self._request, None
        if request is None:
            self._fail("no reply was asked for")
            return None
        return self._voice.begin(request)


class Model:
    """The Realtime API on loopback, for as many sessions as come; it knows the phones, and they it.

    Attributes:
        sessions: those under way.
        url: where it listens, once it does.
    """

    def __init__(self, codec: str, readings: Readings, *, greeting_ms: int | None = None, used: bool = True) -> None:
        """
        Args:
            greeting_ms: it says so much and nothing more; None: it converses.
            used: the server under load speaks to this model.
        """
        self.codec, self.readings, self._used = codec, readings, used
        self.reply_ms, self.converses = greeting_ms or REPLY_MS, greeting_ms is None
        self.phones: dict[str, Phone] = {}  # by caller's number, which the instructions tell a session
        self._forgotten: deque[Phone] = deque()
        self.sessions: set[Session] = set()
        self.url = ""
        self._run = secrets.token_hex(8)
        self._numbers, self._phone_numbers = count(), count()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Take sessions.

        Raises:
            OSError: nobody can listen there.
        """
        self._server = await asyncio.get_running_loop().create_server(self._accept, host, port)
        self.url = f"ws://{host}:{self._server.sockets[0].getsockname()[1]}/v1/realtime"

    async def close(self) -> None:
        """Take none any more, and end those under way."""
        if self._server is not None:
            self._server.close()
        for session in list(self.sessions):
            session.socket.abort()

    def phone(self, target: Target, readings: Readings, fault: ModelFault | None = None) -> Phone:
        """A new phone, whose session will know it."""
        number = next(self._phone_numbers)
        phone = Phone(target, self._run, number, readings, fault=fault, knows_model=self._used)
        self.phones[phone.caller] = phone
        return phone

    def forget(self, phone: Phone) -> None:
        """Its call is over; a session that comes late still knows it for a while."""
        self._forgotten.append(phone)
        if len(self._forgotten) > KEPT_PHONES:
            self.phones.pop(self._forgotten.popleft().caller, None)

    def end_session(self, phone: Phone) -> None:
        """The caller is about to hang up."""
        for session in self.sessions:
            if session.phone is phone:
                session.end()

    def head_start_ms(self, number: int) -> float:
        """How long a session waits before its first turn, so that the calls are at different places of the script."""
        return number * CYCLE_MS * 0.618 % (CYCLE_MS / 2)

    def _accept(self) -> LeanSocket:
        session = Session(next(self._numbers), self)
        self.sessions.add(session)
        return session.socket
