"""What is printed where."""

from __future__ import annotations

import io
import os
import pty
from pathlib import Path

import pytest

from voicebot.chat.screen import Row, Screen
from voicebot.errors import LegLostError


def test_plain_output_has_no_colours(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w+", encoding="utf-8") as out:
        screen = Screen(out)
        screen.row(Row("noted", 'name = "Ada"', "«I am Ada»", "bold blue"))
        screen.row(Row("", "50% done", style="dim"))
        screen.row(Row("a long label", "text"))
        screen.rule("phase: bye (criteria)")
        screen.line("[not] markup")
        screen.line()
        screen.prompt("caller")
        out.seek(0)
        assert out.read() == (
            'noted     name = "Ada"  «I am Ada»\n'
            "          50% done\n"
            "a long label text\n"
            "── phase: bye (criteria)\n"
            "[not] markup\n"
            "\n"
            "caller    "
        )


def test_terminal_gets_colours_and_no_markup() -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as out:
        screen = Screen(out)
        screen.row(Row("noted", "[red]name[/red]", "note", "bold blue"))
        screen.row(Row("", "[dim] text", style="dim"))
        screen.rule("phase")
        screen.line("[x]", "bold")
        screen.prompt("caller")
        shown = ""
        while not shown.endswith("caller    "):
            shown += os.read(master, 4096).decode()
    os.close(master)
    assert "[red]name[/red]" in shown
    assert "[dim] text" in shown
    assert "── phase" in shown
    assert "[x]" in shown


def test_words_cannot_steer_the_terminal() -> None:
    raw = io.BytesIO()
    screen = Screen(io.TextIOWrapper(raw, encoding="utf-8"))
    screen.row(Row("bot", "one\ntwo\x1b[2J\r\x07", "\x9b31m"))
    assert raw.getvalue().decode() == "bot       one two [2J     31m\n"


def test_output_without_unicode_shows_question_marks() -> None:
    raw = io.BytesIO()
    screen = Screen(io.TextIOWrapper(raw, encoding="ascii"))
    screen.row(Row("bot", "Perché?"))
    assert raw.getvalue() == b"bot       Perch??\n"


def test_output_that_nobody_reads_is_told() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as out:
        screen = Screen(out)
        with pytest.raises(LegLostError, match="nobody reads the output any more"):
            screen.line("hello")
        out.write("what is still buffered fails no more")
