"""The leg of a caller who comes over the web: one WebSocket as a `CallerLeg`, PCM16 at 24 kHz as it is.

Nothing is converted, and nothing has marks: the client says how much it has played (`played`). When the call is over
for the caller (`CloseLeg`), the socket stays open for the events that still come; whoever gave it to the leg closes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Literal

from websockets.frames import CloseCode

from voicebot.audio.formats import AudioFormat
from voicebot.call.ports import (
    CallerAudioQuality,
    CallerEvent,
    CallerWrote,
    ClearPlayback,
    CloseLeg,
    KeyPressed,
    LegCommand,
    MarkPlayed,
    PlayAudio,
    SendMark,
)
from voicebot.errors import LegLostError, RealtimeMessageError
from voicebot.log_events import named
from voicebot.telephony.caller_events import CallerEvents
from voicebot.telephony.tap import LineTap

from .allowance import Allowance
from .messages import Audio, HangUp, Keys, Message, Played, Text, audio_message, event_message, parse
from .meter import PcmMeter
from .played import PlayedMarks
from .socket import AudioMessage, RealtimeSocket
from .taped import TapedLine

log = logging.getLogger(__name__)

AudioForm = Literal["binary", "json", "none"]
"""How a client wants the bot's audio: `none` for one that reads, which has heard what it is sent at once."""

MALFORMED_LIMIT = 20  # malformed messages after which a client is given up
MESSAGES_PER_S, MESSAGES_AT_ONCE = 200.0, 600.0
AUDIO_AHEAD_S = 20.0  # of the caller's audio that may come before its time
TEXTS_PER_S, TEXTS_AT_ONCE = 1.0, 10.0
UNPLAYED_LIMIT_MS = 300_000.0  # sent and not acknowledged; no utterance is as long
_PIECE_BYTES = 24_000  # of the bot's audio in one message, half a second
_FORMAT = AudioFormat.PCM16_24K
_BYTES_PER_S = _FORMAT.bytes_per_ms * 1000


class WebLeg:
    """An open socket of a client as a `CallerLeg`. One task reads, one task at a time writes."""

    audio_format = _FORMAT

    def __init__(self, socket: RealtimeSocket, session_id: str, form: AudioForm, write_timeout_s: float) -> None:
        """
        Args:
            socket: nothing was read of it.
            form: of the bot's audio.
            write_timeout_s: bound of one `send`.
        """
        self._socket, self._session_id, self._form = socket, session_id, form
        self._write_timeout_s = write_timeout_s
        self._loop = asyncio.get_running_loop()
        self._marks = PlayedMarks(_FORMAT.bytes_per_ms)
        self._meter = PcmMeter()
        self._taped: TapedLine | None = None
        self._odd = b""  # the first half of a sample
        self._malformed = 0
        self._messages = Allowance(MESSAGES_PER_S, MESSAGES_AT_ONCE)
        self._texts = Allowance(TEXTS_PER_S, TEXTS_AT_ONCE)
        self._audio = Allowance(_BYTES_PER_S, _BYTES_PER_S * AUDIO_AHEAD_S)
        self._events = CallerEvents(socket)

    def begin(self) -> None:
        """Take what comes, also what came before."""
        self._socket.give_to(self._take, self._over)

    @property
    def quality(self) -> CallerAudioQuality:
        """What the meter has seen; gaps are not to be seen in a stream without stamps."""
        loudness = self._meter.loudness
        return CallerAudioQuality(self._meter.audio_ms, 0, 0, loudness.level_dbov, loudness.clipped)

    def give_audio_to(self, hear: Callable[[bytes], bool]) -> None:
        """See `CallerLeg`."""
        self._events.give_audio_to(hear)

    def tap(self, tap: LineTap) -> None:
        """Have what the line carries from now on told to `tap`."""
        self._taped = TapedLine(tap, self._loop.time())

    def tell_client(self, kind: str, **facts: object) -> None:
        """Send the client an event; dropped if the socket is closed."""
        self._socket.write(event_message(kind, **facts))

    async def receive(self) -> Sequence[CallerEvent]:
        """Wait for the next events. After `CallerLeft` every call gives it again, at once.

        `hangup` is a `hang_up`, a close with 1000, or a `CloseLeg` of ours; `lost` is all else.
        """
        return await self._events.receive()

    async def send(self, commands: Sequence[LegCommand]) -> None:
        """Write commands in order; those after a `CloseLeg` are dropped.

        Raises:
            LegLostError: the socket is closed, or took no bytes within the write limit.
        """
        for command in commands:
            if isinstance(command, CloseLeg):
                self._events.leave("hangup")
                return
            if self._events.left is not None or not self._socket.is_open:
                raise LegLostError("the client's socket is closed")
            self._write(command)
            if self._socket.stalled_since is not None:
                await self._socket.keep_up(self._write_timeout_s, "the client's socket")

    # ---- what the client does

    def _take(self, message: bytes) -> None:
        """A message has come: audio goes to whoever hears it, and the rest to `receive`."""
        if self._events.left is not None:
            return
        if not self._messages.take(1.0, self._loop.time()):
            self._give_up("too many messages")
        elif type(message) is AudioMessage:
            self._take_audio(message)
        else:
            try:
                self._take_parsed(parse(message))
            except RealtimeMessageError as exc:
                self._count_malformed(exc)

    def _take_parsed(self, message: Message | None) -> None:
        match message:
            case Audio(payload=payload):
                self._take_audio(payload)
            case Played(epoch=epoch, ms=ms):
                self._take_played(epoch, ms)
            case Text(text=text):
                if self._texts.take(1.0, self._loop.time()):
                    self._events.tell(CallerWrote(text))
                else:
                    self._give_up("too many turns in text")
            case Keys(digits=digits):
                for digit in digits:
                    self._events.tell(KeyPressed(digit))
            case HangUp():
                self._events.leave("hangup")

    def _take_audio(self, payload: bytes) -> None:
        now = self._loop.time()
        if not self._audio.take(len(payload), now):
            self._give_up(f"audio came {AUDIO_AHEAD_S:.0f} s before its time")
            return
        payload = self._odd + payload
        whole = len(payload) & ~1
        self._odd, payload = payload[whole:], payload[:whole]
        if not payload:
            return
        self._meter.take(payload)
        if self._taped is not None:
            self._taped.heard(payload, now)
        self._events.audio(payload)

    def _take_played(self, epoch: int, ms: float) -> None:
        if self._taped is not None:
            self._taped.goes_on(self._loop.time())
        for mark in self._marks.played(epoch, ms):
            self._echo(mark.name, mark.ago_ms)

    def _echo(self, name: str, ago_ms: float = 0.0) -> None:
        if self._taped is None or not self._taped.echoed(name):
            self._events.tell(MarkPlayed(name, ago_ms))

    def _over(self) -> None:
        """The socket is closed."""
        orderly = self._socket.end.rcvd is not None and self._socket.end.rcvd.code == CloseCode.NORMAL_CLOSURE
        self._events.leave("hangup" if orderly else "lost")

    def _count_malformed(self, problem: RealtimeMessageError) -> None:
        self._malformed += 1
        self.tell_client("error", problem=str(problem))
        if self._malformed == 1:
            log.warning(
                "malformed message from a client ignored: %s", problem, extra=named("leg_malformed", self._session_id)
            )
        if self._malformed > MALFORMED_LIMIT:
            self._give_up("too many malformed messages")

    def _give_up(self, why: str) -> None:
        log.warning("a client is given up: %s", why, extra=named("leg_given_up", self._session_id))
        self._socket.start_closing(CloseCode.POLICY_VIOLATION, why)
        self._events.leave("lost")

    # ---- what the client hears

    def _write(self, command: LegCommand) -> None:
        match command:
            case PlayAudio():
                self._play(command)
            case SendMark(name=name):
                if self._taped is not None:
                    self._taped.marked(name)
                self._mark(name)
            case ClearPlayback():
                epoch = self._marks.clear()
                if self._form != "none":
                    self.tell_client("clear", epoch=epoch)
                if self._taped is not None:
                    self._mark(self._taped.cleared())

    def _mark(self, name: str) -> None:
        if self._form == "none":
            self._echo(name)
        else:
            self._marks.mark(name)

    def _play(self, command: PlayAudio) -> None:
        if self._form == "none":
            return
        payload = command.payload
        pieces = [payload[at : at + _PIECE_BYTES] for at in range(0, len(payload), _PIECE_BYTES)]
        for piece in pieces:
            self._tape(piece)
            if self._form == "binary":
                self._socket.write_binary(piece)
            else:
                self._socket.write(audio_message(piece))
            self._marks.sent(len(piece))
        if command.end:
            self._tape(b"", end=True)
        if self._marks.unplayed_ms > UNPLAYED_LIMIT_MS:
            self._give_up("nothing of what was sent is acknowledged")

    def _tape(self, piece: bytes, *, end: bool = False) -> None:
        if self._taped is not None and (mark := self._taped.sent(piece, end=end)) is not None:
            self._mark(mark)
