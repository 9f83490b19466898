"""The leg of a caller who dialled: one Media Streams socket as a `CallerLeg`.

The socket is the server's: prepared, its handshake checked, without compression, with a limit on message size (a
message of Twilio's has a few hundred bytes). Twilio sends fifty frames a second, whatever the caller does, so a phone
line that says nothing at all for five to ten seconds is gone without a word. (aiohttp's heartbeat would cost two timers
a frame to notice less.)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Literal

from aiohttp import WSMessage, WSMsgType, web

from voicebot.audio.formats import AudioFormat
from voicebot.audio.line_meter import LineMeter
from voicebot.audio.resample import Downsampler, Upsampler
from voicebot.call.ports import (
    CallerAudio,
    CallerAudioQuality,
    CallerEvent,
    CallerLeft,
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

log = logging.getLogger(__name__)

MALFORMED_LIMIT = 20  # malformed messages after which a stream is given up
SILENCE_S = 5.0  # without a message, after which a stream is given up; noticed within as much again

_BEFORE_START_LIMIT = 8  # messages in which `start` must have come; Twilio sends it second
_DATA = (WSMsgType.TEXT, WSMsgType.BINARY)
_DROP_S = 1.0
_LONGEST_PAYLOAD = 32_000  # bytes of mu-law in one message, 4 s: as base64 below the 64 KiB some clients take


async def read_start(socket: web.WebSocketResponse, *, timeout_s: float) -> Start:
    """Read up to the `start` of a stream, which comes after `connected`.

    Raises:
        MediaStreamError: it did not come in time, or something else or nothing came.
    """
    try:
        async with asyncio.timeout(timeout_s):
            for _ in range(_BEFORE_START_LIMIT):
                message = _parse_frame(await socket.receive(), None)
                if isinstance(message, Start):
                    return message
                if message is not None and not isinstance(message, Connected):
                    raise MediaStreamError(f"{type(message).__name__.lower()} came before start")
    except TimeoutError as exc:
        raise MediaStreamError(f"no start came within {timeout_s:g} s") from exc
    except ConnectionError as exc:
        raise MediaStreamError("the socket closed before start") from exc
    raise MediaStreamError(f"no start among the first {_BEFORE_START_LIMIT} messages")


class PhoneLeg:
    """A started Media Streams socket as a `CallerLeg`. One task reads, one task at a time writes.

    With `AudioFormat.PCM16_24K` it converts in both directions; with `PCMU_8K` audio passes as it is.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        start: Start,
        audio_format: AudioFormat,
        write_timeout_s: float,
        *,
        abort: Callable[[], object] | None = None,
    ) -> None:
        """
        Args:
            socket: prepared, and read up to `start`.
            start: what `read_start` gave.
            audio_format: what the model is to hear and speak.
            write_timeout_s: bound of one `send`, and of the closing handshake.
            abort: drops the connection with all that it holds unsent (`request.transport.abort`). Without it a phone
                line that says nothing or reads no more keeps its connection until the kernel gives it up.
        """
        self._socket = socket
        self._stream_sid = start.stream_sid
        self._call_sid = start.call_sid
        self._audio_format = audio_format
        self._write_timeout_s = write_timeout_s
        self._abort = abort
        converts = audio_format is AudioFormat.PCM16_24K
        self._upsampler = Upsampler() if converts else None
        self._downsampler = Downsampler() if converts else None
        self._meter = LineMeter()
        self._malformed = 0
        self._closing = False
        self._left: CallerLeft | None = None
        self._loop = asyncio.get_running_loop()
        self._heard = True  # anything at all, since the watch last looked
        self._watch = self._loop.call_later(SILENCE_S, self._look)

    @property
    def audio_format(self) -> AudioFormat:
        return self._audio_format

    @property
    def quality(self) -> CallerAudioQuality:
        """What the line's meter has seen."""
        meter = self._meter
        return CallerAudioQuality(meter.audio_ms, meter.gaps, meter.gap_ms, meter.level_dbov, meter.clipped)

    async def receive(self) -> Sequence[CallerEvent]:
        """Wait for the next events. After `CallerLeft` every call gives it again, at once.

        `hangup` is a `stop`, or a close that we asked for; `lost` is all else: a socket that broke or closed without
        `stop`, or more than 20 malformed messages.
        """
        while self._left is None:
            event = self._event(await self._frame())
            if event is not None:
                return (event,)
        return (self._left,)

    async def send(self, commands: Sequence[LegCommand]) -> None:
        """Write commands in order; those after a `CloseLeg` are dropped, and a second `CloseLeg` does nothing.

        Raises:
            LegLostError: the socket is closed, or took no bytes within the write limit.
        """
        closing = False
        try:
            async with asyncio.timeout(self._write_timeout_s):
                for command in commands:
                    if isinstance(command, CloseLeg):
                        closing = True
                        break
                    await self._write(command)
        except TimeoutError as exc:
            await self._drop()
            raise LegLostError(f"the phone's socket took no bytes for {self._write_timeout_s:g} s") from exc
        except ConnectionError as exc:
            raise LegLostError("the phone's socket is closed") from exc
        if closing:
            await self._close()

    async def _frame(self) -> WSMessage | None:
        try:
            return await self._socket.receive()
        except ConnectionError:  # aiohttp answered a ping on a connection that had just gone
            return None

    def _look(self) -> None:
        if self._heard:
            self._heard, self._watch = False, self._loop.call_later(SILENCE_S, self._look)
        elif self._abort is not None:
            log.warning(
                "nothing came from the phone line for %.0f s", SILENCE_S, extra=named("leg_silent", self._call_sid)
            )
            self._abort()

    def _leave(self, reason: Literal["hangup", "lost"]) -> CallerLeft:
        self._watch.cancel()
        self._left = CallerLeft(reason)
        return self._left

    def _event(self, frame: WSMessage | None) -> CallerEvent | None:
        if frame is None or frame.type not in _DATA:
            return self._leave("hangup" if self._closing else "lost")
        self._heard = True
        try:
            message = _parse_frame(frame, self._stream_sid)
        except MediaStreamError as exc:
            return self._count_malformed(exc)
        return self._caller_event(message)

    def _caller_event(self, message: Message | None) -> CallerEvent | None:
        match message:
            case Media():
                self._meter.take(message.payload, message.timestamp_ms)
                payload = message.payload if self._upsampler is None else self._upsampler.convert(message.payload)
                return CallerAudio(payload) if payload else None
            case Mark():
                return MarkPlayed(message.name)
            case Dtmf():
                return KeyPressed(message.digit)
            case Stop():
                return self._leave("hangup")
            case Start():
                return self._count_malformed(MediaStreamError("start came a second time"))
            case _:
                return None

    def _count_malformed(self, problem: MediaStreamError) -> CallerEvent | None:
        self._malformed += 1
        if self._malformed == 1:
            log.warning(
                "malformed message from the phone's socket ignored: %s",
                problem,
                extra=named("leg_malformed", self._call_sid),
            )
        if self._malformed <= MALFORMED_LIMIT:
            return None
        log.warning(
            "more than %d malformed messages, stream given up",
            MALFORMED_LIMIT,
            extra=named("leg_given_up", self._call_sid),
        )
        return self._leave("lost")

    async def _write(self, command: LegCommand) -> None:
        match command:
            case PlayAudio():
                await self._play(command)
            case SendMark():
                await self._socket.send_str(mark_message(self._stream_sid, command.name))
            case ClearPlayback():
                if self._downsampler is not None:
                    self._downsampler.reset()
                await self._socket.send_str(clear_message(self._stream_sid))

    async def _play(self, command: PlayAudio) -> None:
        payload = command.payload
        if self._downsampler is not None:
            payload = self._downsampler.convert(payload)
            if command.end:
                payload += self._downsampler.flush()
        for at in range(0, len(payload), _LONGEST_PAYLOAD):
            piece = payload[at : at + _LONGEST_PAYLOAD]
            await self._socket.send_str(media_message(self._stream_sid, piece))

    async def _close(self) -> None:
        """Close the socket: Twilio then goes on to the `<Connect>`'s action."""
        self._closing = True
        try:
            async with asyncio.timeout(self._write_timeout_s):
                await self._socket.close()
        except TimeoutError:
            await self._drop()

    async def _drop(self) -> None:
        """Give up a connection that does not take what we write."""
        if self._abort is not None:
            self._abort()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DROP_S):
                await self._socket.close(drain=False)


def _parse_frame(frame: WSMessage, stream_sid: str | None) -> Message | None:
    if frame.type is WSMsgType.TEXT:
        return parse(frame.data, stream_sid)
    if frame.type is WSMsgType.BINARY:
        raise MediaStreamError("a binary message, where Media Streams are text")
    raise MediaStreamError("the socket closed before start")
