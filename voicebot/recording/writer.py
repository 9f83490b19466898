"""A recording on its way to disk: written by a thread, in order, and never waited for by a call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from queue import Full

from voicebot.errors import RecordingError

from .files import Kept, RecordingFile
from .wav import BYTES_PER_MS

_LOOK_S = 0.01  # whether a thread is free
MOST_WAITING = 30_000 * BYTES_PER_MS  # bytes that a slow disk may be behind


class RecordingWriter:
    """One file at work. What goes wrong is told once, and ends the writing; nothing here raises.

    Args:
        open_file: called in a thread before the first audio is written.
        opened: told when the file is there.
        failed: told why no more is written.
        erased: told when what was written is gone.
    """

    def __init__(
        self,
        open_file: Callable[[], RecordingFile],
        jobs: Executor,
        *,
        opened: Callable[[], None],
        failed: Callable[[str], None],
        erased: Callable[[], None],
    ) -> None:
        self._open_file, self._jobs = open_file, jobs
        self._opened, self._failed, self._erased = opened, failed, erased
        self._loop = asyncio.get_running_loop()
        self._file: RecordingFile | None = None
        self._told_opened = False
        self._waiting = bytearray()
        self._erase: Callable[[], object] | None = None  # to be done next
        self._job: asyncio.Future[None] | None = None
        self._broken = False  # nothing more is written

    @property
    def waiting(self) -> int:
        """Bytes that no thread has taken yet."""
        return len(self._waiting)

    def put(self, audio: bytes) -> None:
        """Have audio written after all that was put before; with none, have the file opened."""
        if self._broken:
            return
        self._waiting += audio
        if len(self._waiting) > MOST_WAITING:
            self._break("the disk does not keep up")
        else:
            self._next()

    def drop(self, erase: Callable[[], object]) -> None:
        """Write no more, and let a thread call `erase` once the file is let go."""
        self._broken, self._erase = True, erase
        self._waiting.clear()
        self._next()

    async def end(self, weigh: Callable[[], Kept], *, over: bool) -> Kept | None:
        """Write what waits, let go of the file, and say what it has come to; None if there is none.

        Args:
            weigh: measures the file.
            over: the recording is whole; else it may go on elsewhere.
        """
        while self._job is not None or self._erase is not None:
            self._next()
            await (asyncio.sleep(_LOOK_S) if self._job is None else asyncio.wait([self._job]))
        file, self._file = self._file, None
        if file is None:
            return None
        audio, broken = bytes(self._waiting), self._broken
        self._broken = True
        try:
            return await self._loop.run_in_executor(
                self._jobs, partial(_finish, file, b"" if broken else audio, weigh, over=over and not broken)
            )
        except (OSError, RecordingError, Full) as exc:
            self._failed(_why(exc))
            return None

    def _next(self) -> None:
        """Have a thread do what is to be done, unless one is at it."""
        if self._job is not None or (self._broken and self._erase is None):
            return
        work = partial(self._write, bytes(self._waiting)) if self._erase is None else partial(self._drop, self._erase)
        with suppress(Full):  # else it is done with what comes next
            self._job = self._loop.run_in_executor(self._jobs, work)
            self._job.add_done_callback(self._erase_done if self._erase is not None else self._written)
            self._waiting.clear()
            self._erase = None

    def _write(self, audio: bytes) -> None:
        if self._file is None:
            self._file = self._open_file()
        if audio:
            self._file.append(audio)

    def _drop(self, erase: Callable[[], object]) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()
        erase()

    def _written(self, job: asyncio.Future[None]) -> None:
        self._job = None
        error = None if job.cancelled() else job.exception()
        if not self._told_opened and self._file is not None:
            self._told_opened = True
            self._opened()
        if error is not None:
            self._break(_why(error))
        if self._waiting or self._erase is not None:
            self._next()

    def _erase_done(self, job: asyncio.Future[None]) -> None:
        self._job = None
        if job.cancelled():
            return
        if (error := job.exception()) is not None:
            self._failed(_why(error))
        else:
            self._erased()

    def _break(self, why: str) -> None:
        if not self._broken:
            self._broken = True
            self._waiting.clear()
            self._failed(why)


def _finish(file: RecordingFile, audio: bytes, weigh: Callable[[], Kept], *, over: bool) -> Kept:
    try:
        if audio:
            file.append(audio)
        if over:
            file.finish()
    finally:
        file.close()
    return weigh()


def _why(error: BaseException) -> str:
    """What went wrong, without the path of a file."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error) or "too much is to be written at once"
