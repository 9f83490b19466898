"""The leg of a caller who dialled: one Media Streams socket as a `CallerLeg`.

Twilio sends fifty frames a second, whatever the caller does, so a phone line that says nothing at all for five to ten
seconds is gone without a word. (Pings would cost more to notice less.)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Literal

from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from voicebot.audio.formats import AudioFormat
from voicebot.audio.line_meter import LineMeter
from voicebot.audio.resample import Downsampler, Upsampler
from voicebot.call.ports import (
    CallerAudioQuality,
    CallerEvent,
    ClearPlayback,
    CloseLeg,
    KeyPressed,
    LegCommand,
    MarkPlayed,
    PlayAudio,
    SendMark,
)
from voicebot.errors import LegLostError, MediaStreamError
from voicebot.log_events import named

from .caller_events import CallerEvents
from .media_streams import (
    Connected,
    Dtmf,
    Mark,
    Media,
    Message,
    Start,
    Stop,
    clear_message,
    mark_message,
    media_message,
    parse,
)
from .socket import NOT_TEXT, MediaSocket
from .tap import LineTap
from .turns import Conversions

log = logging.getLogger(__name__)

MALFORMED_LIMIT = 20  # malformed messages after which a stream is given up
SILENCE_S = 5.0  # without a message, after which a stream is given up; noticed within as much again


_BEFORE_START_LIMIT = 8  # messages in which `start` must have come; Twilio sends it second
_LONGEST_PAYLOAD = 32_000  # bytes of mu-law in one message, 4 s: as base64 below the 64 KiB some clients take


async def read_start(socket: MediaSocket, *, timeout_s: float) -> Start:
    """Read up to the `start` of a stream, which comes after `connected`.

    Raises:
        MediaStreamError: it did not come in time, or something else or nothing came.
    """
    seen = 0
    try:
        async with asyncio.timeout(timeout_s):
            while seen < _BEFORE_START_LIMIT:
                messages = await socket.receive()
                for number, text in enumerate(messages, 1):
                    message = parse(text)
                    if isinstance(message, Start):
                        socket.put_back(messages[number:])
                        return message
                    if message is not None and not isinstance(message, Connected):
                        raise MediaStreamError(f"{type(message).__name__.lower()} came before start")
                seen += len(messages)
    except TimeoutError as exc:
        raise MediaStreamError(f"no start came within {timeout_s:g} s") from exc
    except ConnectionClosed as exc:
        raise MediaStreamError("the socket closed before start") from exc
    raise MediaStreamError(f"no start among the first {_BEFORE_START_LIMIT} messages")


class PhoneLeg:
    """A started Media Streams socket as a `CallerLeg`. One task reads, one task at a time writes.

    With `AudioFormat.PCM16_24K` it converts in both directions; with `PCMU_8K` audio passes as it is.
    """

    def __init__(
        self,
        socket: MediaSocket,
        start: Start,
        audio_format: AudioFormat,
        write_timeout_s: float,
        conversions: Conversions | None = None,
    ) -> None:
        """
        Args:
            socket: read up to `start`.
            start: what `read_start` gave.
            audio_format: what the model is to hear and speak.
            write_timeout_s: bound of one `send`, and of the closing handshake.
            conversions: of all the lines of this event loop.
        """
        self._socket = socket
        self._stream_sid = start.stream_sid
        self._call_sid = start.call_sid
        self._audio_format = audio_format
        self._write_timeout_s = write_timeout_s
        converts = audio_format is AudioFormat.PCM16_24K
        self._conversions = conversions or Conversions()
        self._upsampler = Upsampler() if converts else None
        self._downsampler = Downsampler() if converts else None
        self._meter = LineMeter()
        self._tap: LineTap | None = None
        self._malformed = 0
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._events = CallerEvents(socket)
        self._heard = True  # anything at all, since the watch last looked
        self._watch = self._loop.call_later(SILENCE_S, self._look)
        socket.give_to(self._take, self._over)

    @property
    def audio_format(self) -> AudioFormat:
        return self._audio_format

    @property
    def quality(self) -> CallerAudioQuality:
        """What the line's meter has seen."""
        meter, loudness = self._meter, self._meter.loudness
        return CallerAudioQuality(meter.audio_ms, meter.gaps, meter.gap_ms, loudness.level_dbov, loudness.clipped)

    def give_audio_to(self, hear: Callable[[bytes], bool]) -> None:
        """See `CallerLeg`."""
        self._events.give_audio_to(hear)

    def tap(self, tap: LineTap) -> None:
        """Have what the line carries from now on told to `tap`."""
        self._tap = tap

    async def receive(self) -> Sequence[CallerEvent]:
        """Wait for the next events. After `CallerLeft` every call gives it again, at once.

        `hangup` is a `stop`, or a close that we asked for; `lost` is all else: a socket that broke or closed without
        `stop`, or more than 20 malformed messages.
        """
        return await self._events.receive()

    async def send(self, commands: Sequence[LegCommand]) -> None:
        """Write commands in order; those after a `CloseLeg` are dropped, and a second `CloseLeg` does nothing.

        Raises:
            LegLostError: the socket is closed, or took no bytes within the write limit.
        """
        for command in commands:
            if isinstance(command, CloseLeg):
                await self._close()
                return
            if not self._socket.is_open:
                raise LegLostError("the phone's socket is closed")
            self._write(command)
            if self._socket.stalled_since is not None:
                await self._socket.keep_up(self._write_timeout_s, "the phone's socket")

    # ---- what the caller does

    def _take(self, text: bytes) -> None:
        """A message has come: audio goes to whoever hears it, fifty times a second, and the rest to `receive`."""
        if self._events.left is not None:
            return
        self._heard = True
        try:
            message = parse(text, self._stream_sid)
        except MediaStreamError as exc:
            self._count_malformed(text, exc)
            return
        if isinstance(message, Media):
            self._meter.take(message.payload, message.timestamp_ms)
            if self._tap is not None:
                self._tap.heard(message.payload, message.timestamp_ms)
            if self._upsampler is None:
                self._take_audio(message.payload)
            else:
                self._conversions.add(self._upsampler, message.payload, self._take_audio)
        else:
            self._conversions.finish()
            self._take_other(message)

    def _take_audio(self, payload: bytes) -> None:
        if payload and self._events.left is None:
            self._events.audio(payload)

    def _take_other(self, message: Message | None) -> None:
        match message:
            case Mark(name=name):
                if self._tap is None or not self._tap.echoed(name):
                    self._events.tell(MarkPlayed(name))
            case Dtmf():
                self._events.tell(KeyPressed(message.digit))
            case Stop():
                self._leave("hangup")
            case Start():
                self._count_malformed(NOT_TEXT, MediaStreamError("start came a second time"))

    def _over(self) -> None:
        """The socket is closed."""
        self._conversions.finish()
        self._leave("hangup" if self._closing else "lost")

    def _look(self) -> None:
        if self._heard:
            self._heard, self._watch = False, self._loop.call_later(SILENCE_S, self._look)
        else:
            log.warning(
                "nothing came from the phone line for %.0f s", SILENCE_S, extra=named("leg_silent", self._call_sid)
            )
            self._socket.abort()

    def _leave(self, reason: Literal["hangup", "lost"]) -> None:
        self._watch.cancel()
        self._events.leave(reason)

    def _count_malformed(self, text: bytes, problem: MediaStreamError) -> None:
        self._malformed += 1
        if self._malformed == 1:
            log.warning(
                "malformed message from the phone's socket ignored: %s",
                problem,
                extra=named("leg_malformed", self._call_sid),
            )
        if self._malformed > MALFORMED_LIMIT:
            log.warning(
                "more than %d malformed messages, stream given up",
                MALFORMED_LIMIT,
                extra=named("leg_given_up", self._call_sid),
            )
            self._leave("lost")
        elif not _is_utf8(text):  # RFC 6455, 8.1: the connection fails
            self._socket.start_closing(CloseCode.INVALID_DATA)
            self._leave("lost")

    # ---- what the caller hears

    def _write(self, command: LegCommand) -> None:
        match command:
            case PlayAudio():
                self._play(command)
            case SendMark(name=name):
                if self._tap is not None:
                    self._tap.marked(name)
                self._send_mark(name)
            case ClearPlayback():
                if self._downsampler is not None:
                    self._downsampler.reset()
                self._socket.write(clear_message(self._stream_sid))
                if self._tap is not None:
                    self._send_mark(self._tap.cleared())

    def _send_mark(self, name: str) -> None:
        self._socket.write(mark_message(self._stream_sid, name))

    def _play(self, command: PlayAudio) -> None:
        payload = command.payload
        if self._downsampler is not None:
            payload = self._downsampler.convert(payload)
            if command.end:
                payload += self._downsampler.flush()
        for at in range(0, len(payload), _LONGEST_PAYLOAD):
            piece = payload[at : at + _LONGEST_PAYLOAD]
            if self._tap is not None and (mark := self._tap.sent(piece)) is not None:
                self._send_mark(mark)
            self._socket.write(media_message(self._stream_sid, piece))

    async def _close(self) -> None:
        """Close the socket: Twilio then goes on to the `<Connect>`'s action."""
        self._closing = True
        try:
            async with asyncio.timeout(self._write_timeout_s):
                await self._socket.close()
        except TimeoutError:
            self._socket.abort()


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
