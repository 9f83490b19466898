"""The writer with real files and a real thread: nothing of the disk reaches the call."""

from __future__ import annotations

import asyncio
import errno
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from voicebot.call.daemon_threads import DaemonThreads
from voicebot.recording import writer as writer_module
from voicebot.recording.files import Kept, RecordingFile, RecordingFolder
from voicebot.recording.writer import RecordingWriter

ID = "CA" + "0" * 32 + "-1"
SECOND = b"\x12" * 16_000
LIMIT_S = 20.0


class Told:
    """What a writer has told, in order."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.came = asyncio.Event()

    def tell(self, word: str) -> None:
        self.words.append(word)
        self.came.set()

    async def next(self) -> str:
        async with asyncio.timeout(LIMIT_S):
            await self.came.wait()
        self.came.clear()
        return self.words[-1]


def writer_of(folder: RecordingFolder, told: Told, gate: threading.Event | None = None) -> RecordingWriter:
    def open_file() -> RecordingFile:
        if gate is not None:
            assert gate.wait(LIMIT_S)
        return folder.create(ID)

    return RecordingWriter(
        open_file,
        DaemonThreads("test", most=1),
        opened=partial(told.tell, "opened"),
        failed=told.tell,
        erased=partial(told.tell, "erased"),
    )


@contextmanager
def full_disk(after_bytes: int) -> Iterator[None]:
    """Files of this process grow no further, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def weigh(folder: RecordingFolder) -> Kept:
    return folder.weigh(ID)


async def test_everything_is_written_in_order(tmp_path: Path) -> None:
    folder, told = RecordingFolder(tmp_path), Told()
    writer = writer_of(folder, told)
    pieces = [bytes([number] * 320) for number in range(200)]
    for number, piece in enumerate(pieces):
        writer.put(piece)
        if number % 50 == 0:
            await asyncio.sleep(0.01)
    kept = await writer.end(partial(weigh, folder), over=True)
    assert kept is not None and kept.duration_ms == 200 * 20
    assert b"".join(folder.play(ID)) == b"".join(pieces)
    assert told.words == ["opened"]


async def test_full_disk_ends_the_recording_and_nothing_else(tmp_path: Path) -> None:
    folder, told = RecordingFolder(tmp_path), Told()
    writer = writer_of(folder, told)
    writer.put(SECOND)
    assert await told.next() == "opened"
    with full_disk(40_000):
        writer.put(SECOND)
        await asyncio.sleep(0.05)
        writer.put(SECOND)
        assert await told.next() == "File too large"
    writer.put(SECOND)
    kept = await writer.end(partial(weigh, folder), over=True)
    assert kept is not None and 2000 <= kept.duration_ms < 2600
    assert told.words == ["opened", "File too large"]


async def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    folder, told = RecordingFolder(tmp_path / "file"), Told()
    writer = writer_of(folder, told)
    writer.put(SECOND)
    assert await told.next() == "File exists"
    assert await writer.end(partial(weigh, folder), over=True) is None


async def test_slow_disk_is_waited_for_so_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MOST_WAITING", 3 * len(SECOND))
    gate, told = threading.Event(), Told()
    writer = writer_of(RecordingFolder(tmp_path), told, gate)
    for _ in range(4):
        writer.put(SECOND)
    assert told.words == []
    writer.put(SECOND)
    assert told.words == ["the disk does not keep up"]
    gate.set()


async def test_dropped_recording_leaves_nothing(tmp_path: Path) -> None:
    folder, told = RecordingFolder(tmp_path), Told()
    writer = writer_of(folder, told)
    writer.put(SECOND)
    writer.put(SECOND)
    writer.drop(partial(folder.erase, ["CA" + "0" * 32]))
    writer.put(SECOND)
    assert await writer.end(partial(weigh, folder), over=True) is None
    assert folder.calls() == []
    assert told.words[-1] == "erased"


def test_reason_names_no_path() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/somewhere/secret")
    assert writer_module._why(error) == "No space left on device"
