"""Playing a recording out: its parts as one WAV, with silence where nobody recorded."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from voicebot.audio.g711 import SILENCE
from voicebot.errors import RecordingError

from . import wav
from .files import RecordingFolder

LONGEST_SILENCE_MS = 600_000


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a call's recording, and where it begins (ms since the call began)."""

    recording_id: str
    at_ms: int


def play_out(folder: RecordingFolder, parts: Sequence[Part], path: Path) -> int:
    """Write a recording to `path` as a WAV that only the user may read; returns its milliseconds.

    The file is there as a whole, or as it was before.

    Raises:
        RecordingError: the recording cannot be had, or the file cannot be written.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(wav.header(0))
                size = sum(file.write(audio) for audio in _joined(folder, parts))
                file.seek(0)
                file.write(wav.header(size))
                file.flush()
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as exc:
        raise RecordingError(f"{path} cannot be written: {exc.strerror}") from exc
    return wav.duration_ms(size)


class Playback:
    """A call's recording as the bytes of one WAV, of which any part can be had, and of which nothing is on disk.

    It is read through once to know its size. For threads.
    """

    def __init__(self, folder: RecordingFolder, parts: Sequence[Part]) -> None:
        """
        Raises:
            RecordingError: the recording cannot be had.
        """
        self._folder, self._parts = folder, parts
        self._audio_bytes = sum(map(len, _joined(folder, parts)))

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return wav.HEADER_BYTES + self._audio_bytes

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` to before `end`, piece by piece; fewer should the files have gone meanwhile."""
        at = 0
        for piece in self._pieces():
            if at >= end:
                return
            if at + len(piece) > start:
                yield piece[max(0, start - at) : end - at]
            at += len(piece)

    def _pieces(self) -> Iterator[bytes]:
        yield wav.header(self._audio_bytes)
        yield from _joined(self._folder, self._parts)


def _joined(folder: RecordingFolder, parts: Sequence[Part]) -> Iterator[bytes]:
    played_ms = 0
    for part in parts:
        missing_ms = part.at_ms - parts[0].at_ms - played_ms
        if 0 < missing_ms <= LONGEST_SILENCE_MS:
            yield SILENCE * (missing_ms * wav.BYTES_PER_MS)
            played_ms += missing_ms
        size = 0
        for audio in folder.play(part.recording_id):
            size += len(audio)
            yield audio
        played_ms += wav.duration_ms(size)
