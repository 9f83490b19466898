"""Recordings on disk: a folder of files, named by the call and the part, that one process at a time writes to."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Protocol

from voicebot.errors import RecordingError

from . import sealing, wav
from .sealing import HEAD_BYTES, MAGIC, NONCE_BYTES, Seal

PLAIN, SEALED = ".wav", ".wav.sealed"
WAIT_S = 2.0  # for another process to let go of a file
_LOOK_S = 0.05
_ID = re.compile(r"(C[AW][0-9a-f]{32})-[1-9][0-9]{0,3}")  # of a call by phone, or over the web


@dataclass(frozen=True, slots=True)
class Kept:
    """What a recording has come to. `sha256` is that of the WAV, as it is played out."""

    duration_ms: int
    size_bytes: int
    sha256: str


class RecordingFile(Protocol):
    """A recording that is being written, by one thread at a time. Everything raises `OSError`."""

    audio_bytes: int

    def append(self, audio: bytes) -> None:
        """Add audio; what is there can be heard whatever becomes of this process."""
        ...

    def finish(self) -> None:
        """The recording is over, and whole."""
        ...

    def close(self) -> None:
        """Let go of the file; it may go on elsewhere, unless it was finished."""
        ...


class _WavFile:
    """A plain WAV, whose header says after each piece how much there is."""

    def __init__(self, descriptor: int) -> None:
        self._file = descriptor
        size = os.fstat(descriptor).st_size
        self.audio_bytes = max(0, size - wav.HEADER_BYTES) // wav.CHANNELS * wav.CHANNELS

    def append(self, audio: bytes) -> None:
        _write(self._file, audio, wav.HEADER_BYTES + self.audio_bytes)
        self.audio_bytes += len(audio)
        _write(self._file, wav.header(self.audio_bytes), 0)

    def finish(self) -> None:
        _write(self._file, wav.header(self.audio_bytes), 0)

    def close(self) -> None:
        os.close(self._file)


class _SealedFile:
    """A recording in sealed chunks."""

    def __init__(self, descriptor: int, keys: Sequence[bytes]) -> None:
        self._file = descriptor
        self.audio_bytes, self._chunks, self._end = 0, 0, HEAD_BYTES
        with os.fdopen(os.dup(descriptor), "rb") as reader:
            head = reader.read(HEAD_BYTES)
            if len(head) == HEAD_BYTES:
                key, opened = _opened(reader, head, keys)
                for chunk in opened:
                    if chunk.last:
                        raise FileExistsError("the recording is over")
                    self._chunks += 1
                    self.audio_bytes += len(chunk.audio)
                    self._end += sealing.LENGTH_BYTES + NONCE_BYTES + len(chunk.audio) + sealing.TAG_BYTES
            else:
                key, head = keys[0], MAGIC + secrets.token_bytes(sealing.SALT_BYTES)
                _write(descriptor, head, 0)
        os.ftruncate(descriptor, self._end)  # what is left of a chunk that was cut
        self._seal = Seal(key, head)

    def append(self, audio: bytes) -> None:
        self._append(audio, last=False)

    def finish(self) -> None:
        self._append(b"", last=True)

    def _append(self, audio: bytes, *, last: bool) -> None:
        chunk = self._seal.chunk(self._chunks, audio, secrets.token_bytes(NONCE_BYTES), last=last)
        _write(self._file, chunk, self._end)
        self._chunks, self._end, self.audio_bytes = (
            self._chunks + 1,
            self._end + len(chunk),
            self.audio_bytes + len(audio),
        )

    def close(self) -> None:
        os.close(self._file)


class RecordingFolder:
    """Where recordings are. Nothing here waits for anybody but the disk, and all of it is for threads.

    Args:
        path: made when the first recording begins.
        keys: of whoever may hear them; the first one seals. With none, recordings are plain WAV.
    """

    def __init__(self, path: Path, keys: Sequence[bytes] = ()) -> None:
        self._path, self._keys = path, tuple(keys)

    def create(self, recording_id: str) -> RecordingFile:
        """A new recording.

        Raises:
            OSError: it cannot be made, or is there already.
        """
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path / f"{_checked(recording_id)}{SEALED if self._keys else PLAIN}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        return self._held(descriptor, sealed=bool(self._keys))

    def go_on(self, recording_id: str) -> RecordingFile:
        """A recording that another process, or another stream, began.

        Raises:
            OSError: it is not here, is over, or somebody holds it.
            RecordingError: it is damaged, or was sealed with another key.
        """
        path = self._found(recording_id)
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        return self._held(descriptor, sealed=path.name.endswith(SEALED))

    def _held(self, descriptor: int, *, sealed: bool) -> RecordingFile:
        try:
            _lock(descriptor)
            return _SealedFile(descriptor, self._keys) if sealed else _WavFile(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def play(self, recording_id: str) -> Iterator[bytes]:
        """The audio of a recording, piece by piece: what can be heard of it, should it have been cut.

        Raises:
            RecordingError: it is not here, is damaged, or was sealed with another key.
        """
        try:
            with self._found(recording_id).open("rb") as reader:
                if reader.name.endswith(SEALED):
                    head = reader.read(HEAD_BYTES)
                    if len(head) == HEAD_BYTES:
                        yield from (chunk.audio for chunk in _opened(reader, head, self._keys)[1])
                    return
                reader.seek(wav.HEADER_BYTES)
                while audio := reader.read(1 << 16):
                    yield audio[: len(audio) // wav.CHANNELS * wav.CHANNELS]
        except FileNotFoundError as exc:
            raise RecordingError(f"recording {recording_id} is not here") from exc
        except OSError as exc:
            raise RecordingError(f"recording {recording_id} cannot be read: {exc.strerror}") from exc

    def weigh(self, recording_id: str) -> Kept:
        """What a recording comes to now.

        Raises:
            RecordingError: as `play`.
        """
        size = sum(map(len, self.play(recording_id)))
        digest = hashlib.sha256(wav.header(size))
        for audio in self.play(recording_id):
            digest.update(audio)
        return Kept(wav.duration_ms(size), wav.HEADER_BYTES + size, digest.hexdigest())

    def erase(self, call_sids: Iterable[str]) -> int:
        """Remove every recording of these calls; returns how many there were.

        Raises:
            OSError: one cannot be removed.
        """
        found = self._files()
        files = [path for call_sid in call_sids for path in found.get(call_sid, ())]
        for path in files:
            path.unlink(missing_ok=True)
        return len(files)

    def calls(self, *, untouched_s: float = 0.0) -> list[str]:
        """The calls of which there are recordings, if none of them was written to for so long."""
        now = time.time()

        def touched(path: Path) -> float:
            with suppress(FileNotFoundError):
                return path.stat().st_mtime
            return 0.0

        return [sid for sid, paths in self._files().items() if now - max(map(touched, paths)) >= untouched_s]

    def _files(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        if not self._path.is_dir():
            return found
        for path in sorted(self._path.iterdir()):
            if path.name.endswith((PLAIN, SEALED)) and (named := _ID.fullmatch(path.name.partition(".")[0])):
                found.setdefault(named[1], []).append(path)
        return found

    def _found(self, recording_id: str) -> Path:
        """
        Raises:
            FileNotFoundError: it is not here.
        """
        for ending in (PLAIN, SEALED):
            if (path := self._path / f"{_checked(recording_id)}{ending}").exists():
                return path
        raise FileNotFoundError(recording_id)


def recording_id(call_sid: str, part: int) -> str:
    """The id of a part of a call's recording, from 1 on."""
    return f"{call_sid}-{part}"


def _checked(recording_id: str) -> str:
    """An id is a part of a file's name, and may come from a journal.

    Raises:
        RecordingError: it is none.
    """
    if not _ID.fullmatch(recording_id):
        raise RecordingError(f"{recording_id!r} is no id of a recording")
    return recording_id


def _opened(reader: BufferedReader, head: bytes, keys: Sequence[bytes]) -> tuple[bytes, Iterator[sealing.Chunk]]:
    """The key that opens a file, and its chunks; `reader` stands behind the head.

    Raises:
        RecordingError: none of the keys does, or it is no such file.
    """
    if not head.startswith(MAGIC):
        raise RecordingError("this is no sealed recording")
    if not keys:
        raise RecordingError("the recording is sealed, and VOICEBOT_RECORDING_KEY is not set")
    first = next(sealing.bodies(reader.read), None)
    reader.seek(HEAD_BYTES)
    key = keys[0] if first is None else next((one for one in keys if _fits(one, head, first)), None)
    if key is None:
        raise RecordingError("the recording was sealed with another key, or its beginning was changed")
    seal = Seal(key, head)
    return key, (seal.open(number, body) for number, body in enumerate(sealing.bodies(reader.read)))


def _fits(key: bytes, head: bytes, body: bytes) -> bool:
    try:
        Seal(key, head).open(0, body)
    except RecordingError:
        return False
    return True


def _lock(descriptor: int) -> None:
    """Keep all others from writing, also other streams of this process.

    Raises:
        OSError: somebody holds the file, and goes on holding it.
    """
    give_up_at = time.monotonic() + WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up_at:
                raise
            time.sleep(_LOOK_S)
        else:
            return


def _write(descriptor: int, content: bytes, at: int) -> None:
    written = 0
    while written < len(content):
        written += os.pwrite(descriptor, content[written:], at + written)
