"""The recorder of one call: taps the caller's line, heeds what the journal says of consent, and writes to disk.

It is told of everything in the step in which it happens, and never waits: what the disk does shows later, as an entry
of the journal. A call whose recording fails goes on without it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import datetime
from functools import partial
from typing import Literal

from voicebot.audio.g711 import SILENCE
from voicebot.call.entries import Entry, RecordingEnded, RecordingStarted
from voicebot.call.past import Past
from voicebot.errors import RecordingError
from voicebot.flow.model import Flow
from voicebot.flow.recording import Recording
from voicebot.log_events import named

from .aligner import Aligner
from .consent import Consent
from .files import Kept, RecordingFile, RecordingFolder, recording_id
from .wav import BYTES_PER_MS, duration_ms
from .writer import RecordingWriter

log = logging.getLogger(__name__)

PIECE = 1000 * 8  # samples of a side that go to disk at once
END_LIMIT_S = 5.0  # for the last of a recording to be on disk
LONGEST_PADDING_MS = 600_000  # of silence, where a recording goes on after a while


class Recorder:
    """Records what one stream of a call carries, if and while that is allowed."""

    def __init__(
        self,
        call_sid: str,
        flow: Flow,
        recording: Recording,
        folder: RecordingFolder,
        jobs: Executor,
        *,
        past: Past | None = None,
    ) -> None:
        """
        Args:
            jobs: threads that write.
            past: what happened in the call before, when it was in other hands.
        """
        self._call_sid, self._folder, self._jobs = call_sid, folder, jobs
        lines = past.lines if past is not None else ()
        self._consent = Consent(flow, recording, (entry for _, entry in lines))
        self._earlier = [(at_ms, entry) for at_ms, entry in lines if isinstance(entry, RecordingStarted)]
        self._aligner = Aligner()
        self._time = asyncio.get_running_loop().time
        self._began_at = self._time() - (past.at_ms / 1000 if past is not None else 0.0)  # of the call
        self._note: Callable[[Entry], None] = _nobody
        self._writer = RecordingWriter(self._open, jobs, opened=self._started, failed=self._failed, erased=self._gone)
        self._keeps = False  # what is given out goes to disk
        self._begins_ms = 0  # of the call, where what is kept here begins
        self._part = len({entry.recording_id for _, entry in self._earlier}) + 1
        self._id = self._earlier[-1][1].recording_id if self._earlier else ""
        self._reason = ""  # why it did not come to its end
        self._over = False  # nothing more is to be kept

    def give_notes_to(self, note: Callable[[Entry], None]) -> None:
        """Have what becomes of the recording written into the call's journal by `note`, which must not wait."""
        self._note = note

    @property
    def held(self) -> int:
        """Bytes of audio in memory."""
        return self._aligner.held + self._writer.waiting

    # ---- the line -------------------------------------------------------------------------------------------------

    def heard(self, payload: bytes, timestamp_ms: int) -> None:
        """See `LineTap`."""
        self._aligner.heard(payload, timestamp_ms)
        if self._aligner.ready >= PIECE:
            self._put(self._aligner.take())

    def sent(self, payload: bytes) -> str | None:
        """See `LineTap`."""
        return self._aligner.sent(payload)

    def marked(self, name: str) -> None:
        """See `LineTap`."""
        self._aligner.marked(name)

    def cleared(self) -> str:
        """See `LineTap`."""
        return self._aligner.cleared()

    def echoed(self, name: str) -> bool:
        """See `LineTap`."""
        return self._aligner.echoed(name)

    def _put(self, audio: bytes) -> None:
        if self._keeps:
            self._writer.put(audio)

    # ---- the call -------------------------------------------------------------------------------------------------

    def told(self, entry: Entry, at: datetime) -> None:
        """Something was decided in the call."""
        match self._consent.told(entry):
            case "begin" if not self._over:
                self._keeps, self._begins_ms = True, round((self._time() - self._began_at) * 1000)
                self._aligner.keep()
                self._writer.put(b"")
            case "erase" if not self._over:
                self._keeps, self._over = False, True
                self._writer.drop(partial(self._folder.erase, [self._call_sid]))

    def pause(self) -> None:
        """Keep silence of the caller from now on, as while a secret is said or keyed in."""
        self._aligner.pause()

    def resume(self) -> None:
        """Keep what the caller says again."""
        self._aligner.resume()

    def _open(self) -> RecordingFile:
        """In a thread: go on with the recording of the hands before, at its place, or begin another part."""
        if self._earlier:
            last = self._earlier[-1][1]
            first_ms = next(at_ms for at_ms, one in self._earlier if one.recording_id == last.recording_id)
            try:
                file = self._folder.go_on(last.recording_id)
            except (OSError, RecordingError) as exc:
                log.info("another part of the recording begins: %s", exc, extra=named("recording_part", self._call_sid))
            else:
                self._part = last.part
                missing_ms = self._begins_ms - first_ms - duration_ms(file.audio_bytes)
                file.append(SILENCE * (BYTES_PER_MS * min(max(0, missing_ms), LONGEST_PADDING_MS)))
                return file
        self._id = recording_id(self._call_sid, self._part)
        return self._folder.create(self._id)

    def _started(self) -> None:
        self._note(RecordingStarted(self._id, self._part))

    def _gone(self) -> None:
        if self._id:
            self._note(RecordingEnded(self._id, self._part, "erased"))

    def _failed(self, why: str) -> None:
        """It ends here, and the call goes on."""
        self._reason = why
        log.error("the recording ends: %s", why, extra=named("recording_failed", self._call_sid))

    # ---- the end --------------------------------------------------------------------------------------------------

    async def end(self, *, over: bool) -> RecordingEnded | None:
        """The stream is over: put the rest on disk, within a few seconds; what it has come to, if there is anything.

        Args:
            over: the call is over, too; else the recording may go on elsewhere.
        """
        self._over = True
        self._put(self._aligner.finish())
        kept: Kept | None = None
        try:
            async with asyncio.timeout(END_LIMIT_S):
                kept = await self._writer.end(lambda: self._folder.weigh(self._id), over=over)
        except TimeoutError:
            self._failed("the disk does not answer")
        if not self._keeps or not self._id:
            return None
        self._keeps = False
        status: Literal["kept", "cut_short"] = "cut_short" if self._reason else "kept"
        if kept is None:
            return RecordingEnded(self._id, self._part, status, reason=self._reason)
        return RecordingEnded(
            self._id, self._part, status, kept.duration_ms, kept.size_bytes, kept.sha256, self._reason
        )


def _nobody(entry: Entry) -> None:
    """Nobody keeps notes yet."""
