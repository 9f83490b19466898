"""A call's recording over HTTP: as a WAV, whole or in ranges (RFC 9110, 14), unsealed on its way and nowhere kept."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator

from aiohttp import hdrs, web

from voicebot.errors import RecordingError
from voicebot.log_events import named
from voicebot.recording.files import RecordingFolder
from voicebot.recording.playing import Playback
from voicebot.store.contract import Store

from ..connections import upgraded
from ..records import parts_of
from .endpoint import call_sid_of
from .problems import missing, problem
from .tokens import BEARER

log = logging.getLogger(__name__)

WRITE_LIMIT_S = 30.0  # for a client to take a piece
PIECE_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


class Hearing:
    """Plays recordings to those who may."""

    def __init__(self, store: Store, folder: RecordingFolder) -> None:
        self._store, self._folder = store, folder

    async def play(self, request: web.Request) -> web.StreamResponse:
        """The recording of a call, or the part of it that is asked for.

        Raises:
            HTTPException: 404, no such call, or nothing of it is here; 416, it is shorter.
        """
        call_sid = call_sid_of(request)
        if await self._store.call(call_sid) is None:
            raise missing("call")
        try:
            parts = await parts_of(self._store, call_sid)
            playback = await asyncio.to_thread(Playback, self._folder, parts)
        except RecordingError as exc:
            raise problem(404, "no_recording", "no recording of this call can be played here") from exc
        start, end, status = _wanted(request.headers.get(hdrs.RANGE, ""), playback.size)
        response = web.StreamResponse(status=status, headers={"Accept-Ranges": "bytes", hdrs.CONTENT_TYPE: "audio/wav"})
        response.content_length = end - start
        response.headers["Content-Disposition"] = f'inline; filename="{call_sid}.wav"'
        if status == 206:
            response.headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{end - 1}/{playback.size}"
        bearer = request[BEARER]
        log.info("token %s hears a recording", bearer.name, extra=named("recording_played", call_sid))
        upgraded(request)  # its limits are these here
        await response.prepare(request)
        if request.method != hdrs.METH_HEAD:
            await _send(request, response, playback.read(start, end))
        return response


async def _send(request: web.Request, response: web.StreamResponse, pieces: Iterator[bytes]) -> None:
    try:
        while piece := await asyncio.to_thread(_some, pieces):
            async with asyncio.timeout(WRITE_LIMIT_S):
                await response.write(piece)
        await response.write_eof()
    except (ConnectionError, TimeoutError, RecordingError):
        if request.transport is not None:
            request.transport.abort()  # what is missing is seen to be missing


def _some(pieces: Iterator[bytes]) -> bytes:
    """The next pieces, until it is worth a write; empty at the end."""
    found, size = [], 0
    for piece in pieces:
        found.append(piece)
        size += len(piece)
        if size >= PIECE_BYTES:
            break
    return b"".join(found)


def _wanted(header: str, size: int) -> tuple[int, int, int]:
    """From where to before where, and the status. What is no range of one part is answered with the whole.

    Raises:
        HTTPException: 416, it begins after the end.
    """
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is None or not (found[1] or found[2]):
        return 0, size, 200
    if not found[1]:  # the last so many
        start, end = max(0, size - int(found[2])), size
    else:
        start, end = int(found[1]), min(size, int(found[2]) + 1) if found[2] else size
    if found[1] and found[2] and int(found[2]) < start:
        return 0, size, 200
    if start >= size:
        raise problem(416, "range", "the recording is shorter", headers={hdrs.CONTENT_RANGE: f"bytes */{size}"})
    return start, end, 206
