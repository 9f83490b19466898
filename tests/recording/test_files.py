"""Recordings on disk: cut, continued, sealed, tampered with, erased."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest

from voicebot.errors import RecordingError
from voicebot.recording import files, sealing, wav
from voicebot.recording.files import RecordingFolder, recording_id
from voicebot.recording.keys import read_key
from voicebot.recording.playing import Part, play_out

CALL = "CA" + "0" * 31 + "1"
OTHER = "CA" + "0" * 31 + "2"
ID = recording_id(CALL, 1)
KEY, OLD_KEY = bytes(range(32)), bytes(range(1, 33))
SECONDS = [bytes([number] * 16_000) for number in range(1, 6)]


@pytest.fixture(params=["plain", "sealed"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> RecordingFolder:
    return RecordingFolder(tmp_path, [KEY] if request.param == "sealed" else [])


def path_of(folder: Path) -> Path:
    [path] = folder.iterdir()
    return path


def write(folder: RecordingFolder, *, over: bool = True, name: str = ID) -> None:
    file = folder.create(name)
    for second in SECONDS:
        file.append(second)
    if over:
        file.finish()
    file.close()


def played(folder: RecordingFolder, name: str = ID) -> bytes:
    return b"".join(folder.play(name))


def test_header_is_that_of_mulaw() -> None:
    made = wav.header(16_000)
    assert len(made) == wav.HEADER_BYTES
    assert made[:4] + made[8:16] == b"RIFFWAVEfmt "
    assert int.from_bytes(made[20:22], "little") == 7
    assert int.from_bytes(made[4:8], "little") == len(made) - 8 + 16_000
    assert int.from_bytes(made[-4:], "little") == 16_000


def test_plain_recording_is_a_wav(tmp_path: Path) -> None:
    write(RecordingFolder(tmp_path))
    content = path_of(tmp_path).read_bytes()
    assert content == wav.header(80_000) + b"".join(SECONDS)
    assert path_of(tmp_path).stat().st_mode & 0o777 == 0o600


def test_what_was_written_is_played(folder: RecordingFolder) -> None:
    write(folder)
    assert played(folder) == b"".join(SECONDS)
    kept = folder.weigh(ID)
    whole = wav.header(80_000) + b"".join(SECONDS)
    assert (kept.duration_ms, kept.size_bytes, kept.sha256) == (5000, len(whole), sha256(whole).hexdigest())


def test_recording_goes_on_where_it_was_left(folder: RecordingFolder) -> None:
    write(folder, over=False)
    file = folder.go_on(ID)
    assert file.audio_bytes == 80_000
    file.append(b"\x11" * 100)
    file.finish()
    file.close()
    assert played(folder) == b"".join(SECONDS) + b"\x11" * 100


def test_nobody_goes_on_with_what_another_holds(folder: RecordingFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WAIT_S", 0.1)
    held = folder.create(ID)
    held.append(SECONDS[0])
    with pytest.raises(OSError, match="unavailable"):
        folder.go_on(ID)
    held.close()
    folder.go_on(ID).close()


@pytest.mark.parametrize("lost", [1, 20, 15_999, 16_000, 16_031, 16_033, 40_000])
def test_cut_file_is_played_up_to_where_it_is_whole(folder: RecordingFolder, tmp_path: Path, lost: int) -> None:
    write(folder, over=False)
    os.truncate(path_of(tmp_path), path_of(tmp_path).stat().st_size - lost)
    left, whole = played(folder), b"".join(SECONDS)
    assert whole.startswith(left) and len(whole) - len(left) <= lost + 16_000
    file = folder.go_on(ID)
    file.append(b"\x11\x12")
    file.close()
    assert played(folder) == left + b"\x11\x12"


_WRITES_ON = """
import sys, time
from pathlib import Path
from voicebot.recording.files import RecordingFolder
file = RecordingFolder(Path(sys.argv[1]), [bytes.fromhex(one) for one in sys.argv[3:]]).create(sys.argv[2])
while True:
    file.append(bytes([0x12]) * 16_000)
    time.sleep(0.001)
"""


@pytest.mark.parametrize("keys", [[], [KEY]], ids=["plain", "sealed"])
def test_recording_outlives_its_process(tmp_path: Path, keys: list[bytes]) -> None:
    process = subprocess.Popen([sys.executable, "-c", _WRITES_ON, str(tmp_path), ID, *(key.hex() for key in keys)])
    try:
        give_up_at = time.monotonic() + 30.0
        while not any(path.stat().st_size > 200_000 for path in tmp_path.iterdir()) and time.monotonic() < give_up_at:
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    folder = RecordingFolder(tmp_path, keys)
    left = played(folder)
    assert len(left) >= 160_000 and set(left) == {0x12}
    if not keys:  # its header tells no more than there is, and no second less
        told = int.from_bytes(path_of(tmp_path).read_bytes()[54:58], "little")
        assert len(left) - 16_000 <= told <= len(left)
    file = folder.go_on(ID)
    file.append(b"\x11\x12")
    file.close()
    assert played(folder) == left + b"\x11\x12"


def test_header_is_right_after_every_second(tmp_path: Path) -> None:
    file = RecordingFolder(tmp_path).create(ID)
    for number, second in enumerate(SECONDS, 1):
        file.append(second)
        assert path_of(tmp_path).read_bytes()[: wav.HEADER_BYTES] == wav.header(16_000 * number)
    file.close()


def test_sealed_file_tells_nothing(tmp_path: Path) -> None:
    write(RecordingFolder(tmp_path, [KEY]))
    content = path_of(tmp_path).read_bytes()
    assert all(second[:16] not in content for second in SECONDS)


def test_any_of_several_keys_opens(tmp_path: Path) -> None:
    write(RecordingFolder(tmp_path, [OLD_KEY]))
    assert played(RecordingFolder(tmp_path, [KEY, OLD_KEY])) == b"".join(SECONDS)
    with pytest.raises(RecordingError, match="another key"):
        played(RecordingFolder(tmp_path, [KEY]))
    with pytest.raises(RecordingError, match="VOICEBOT_RECORDING_KEY is not set"):
        played(RecordingFolder(tmp_path))


def chunks_of(content: bytes) -> list[bytes]:
    """The chunks of a sealed file, with their lengths."""
    ends = [sealing.HEAD_BYTES]
    while ends[-1] < len(content):
        ends.append(ends[-1] + 4 + int.from_bytes(content[ends[-1] : ends[-1] + 4], "big"))
    return [content[begin:end] for begin, end in pairwise(ends)]


@pytest.mark.parametrize("how", ["order", "left out", "twice", "a bit", "another file's", "the end left out"])
def test_what_was_changed_is_not_played(tmp_path: Path, how: str) -> None:
    folder = RecordingFolder(tmp_path / "a", [KEY])
    write(folder)
    write(RecordingFolder(tmp_path / "b", [KEY]))
    path = path_of(tmp_path / "a")
    content, others = path.read_bytes(), chunks_of(path_of(tmp_path / "b").read_bytes())
    head, chunks = content[: sealing.HEAD_BYTES], chunks_of(content)
    match how:
        case "order":
            chunks[1], chunks[2] = chunks[2], chunks[1]
        case "left out":
            del chunks[2]
        case "twice":
            chunks.insert(1, chunks[1])
        case "a bit":
            chunks[3] = chunks[3][:-1] + bytes([chunks[3][-1] ^ 1])
        case "another file's":
            chunks[2] = others[2]
        case "the end left out":
            del chunks[-1]
    path.write_bytes(head + b"".join(chunks))
    if how == "the end left out":  # it can be heard as far as it goes, and it may go on
        assert played(folder) == b"".join(SECONDS)
        folder.go_on(ID).close()
    else:
        with pytest.raises(RecordingError, match="changed or moved"):
            played(folder)


def test_finished_sealed_recording_takes_no_more(tmp_path: Path) -> None:
    folder = RecordingFolder(tmp_path, [KEY])
    write(folder)
    with pytest.raises(FileExistsError):
        folder.go_on(ID)


@pytest.mark.parametrize("text", ["", "secret", base64.b64encode(b"short").decode(), "!" * 44])
def test_key_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        read_key(text)


def test_recordings_of_erased_calls_go(folder: RecordingFolder, tmp_path: Path) -> None:
    write(folder)
    write(folder, name=recording_id(CALL, 2))
    write(folder, name=recording_id(OTHER, 1))
    (tmp_path / "notes.wav").write_text("not ours")
    assert sorted(folder.calls()) == [CALL, OTHER]
    assert folder.calls(untouched_s=3600) == []
    assert folder.erase([CALL, "CA9"]) == 2
    assert folder.calls() == [OTHER]
    assert (tmp_path / "notes.wav").exists()


@pytest.mark.parametrize("name", ["../etc/passwd", "CA1-1", f"{CALL}-0", f"{CALL}-1/..", ""])
def test_id_that_is_none_names_no_file(folder: RecordingFolder, name: str) -> None:
    with pytest.raises(RecordingError, match="no id"):
        played(folder, name)


def test_parts_are_played_out_in_their_places(folder: RecordingFolder, tmp_path: Path) -> None:
    write(folder)
    write(folder, name=recording_id(CALL, 2))
    out = tmp_path / "out.wav"
    assert play_out(folder, [Part(ID, 700), Part(recording_id(CALL, 2), 7_700)], out) == 12_000
    whole = b"".join(SECONDS)
    assert out.read_bytes() == wav.header(192_000) + whole + b"\xff" * 32_000 + whole
    assert out.stat().st_mode & 0o777 == 0o600


def test_file_that_was_there_stays_when_nothing_can_be_played(folder: RecordingFolder, tmp_path: Path) -> None:
    out = tmp_path / "out.wav"
    out.write_text("mine")
    with pytest.raises(RecordingError, match="is not here"):
        play_out(folder, [Part(ID, 0)], out)
    assert out.read_text() == "mine" and sorted(tmp_path.iterdir()) == [out]
