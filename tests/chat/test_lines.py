"""Lines from pipes, files and terminals."""

from __future__ import annotations

import asyncio
import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest

from voicebot.chat.lines import Lines


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The ends of a pipe: to read, to write. The test closes the one it writes to."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


async def all_of(lines: Lines) -> list[str]:
    found = []
    while (line := await lines.next()) is not None:
        found.append(line)
    return found


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("one\ntwo\n", ["one", "two"]),
        ("one\r\n\nlast without an end", ["one", "", "last without an end"]),
        ("\n", [""]),
        ("perché no?\n", ["perché no?"]),
    ],
)
async def test_lines_come_without_their_ends(pipe: tuple[int, int], text: str, lines: list[str]) -> None:
    os.write(pipe[1], text.encode())
    os.close(pipe[1])
    assert await all_of(Lines(pipe[0])) == lines


async def test_line_is_waited_for(pipe: tuple[int, int]) -> None:
    lines = Lines(pipe[0])
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(lines.next())
        for piece in (b"per", b"ch\xc3", b"\xa9 no?\nand"):
            os.write(pipe[1], piece)
            await asyncio.sleep(0)
    assert reading.result() == "perché no?"
    os.close(pipe[1])
    assert await lines.next() == "and"
    assert await lines.next() is None


async def test_cancelled_wait_loses_nothing(pipe: tuple[int, int]) -> None:
    lines = Lines(pipe[0])
    os.write(pipe[1], b"half")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await lines.next()
    os.write(pipe[1], b" a line\n")
    assert await lines.next() == "half a line"
    os.close(pipe[1])


async def test_bytes_that_are_no_text_are_shown_as_such(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"\xff\xfe!\n\xc3")
    os.close(pipe[1])
    assert await all_of(Lines(pipe[0])) == ["��!", "�"]


async def test_endless_line_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("x" * 9000 + "\nend\n")
    with path.open() as file:
        found = await all_of(Lines(file.fileno()))
    assert [len(line) for line in found] == [4000, 4000, 1000, 3]


async def test_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("one\ntwo")
    with path.open() as file:
        assert await all_of(Lines(file.fileno())) == ["one", "two"]


async def test_missing_and_closed_descriptors_have_no_lines(pipe: tuple[int, int]) -> None:
    assert await all_of(Lines(-1)) == []
    os.close(pipe[1])
    assert await all_of(Lines(pipe[1])) == []


async def test_terminal_is_known_and_its_loss_is_an_end() -> None:
    master, slave = pty.openpty()
    lines = Lines(slave)
    assert lines.from_terminal
    os.write(master, b"hello\n")
    assert await lines.next() == "hello"
    os.close(master)
    assert await lines.next() is None
    os.close(slave)
    assert not Lines(-1).from_terminal
