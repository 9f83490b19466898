"""Where a chat is printed: with colours on a terminal, in plain lines elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import TextIOWrapper
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from voicebot.errors import LegLostError

_WIDTH = 9  # of the first column


@dataclass(frozen=True, slots=True)
class Row:
    """One line: who or what, and the words; `note` stands behind them, of less weight."""

    label: str
    text: str
    note: str = ""
    style: str = ""


class Screen:
    """Prints rows.

    Every method raises `LegLostError` when nobody reads the output any more.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._console = Console(file=out, highlight=False) if out.isatty() else None
        if isinstance(out, TextIOWrapper):
            out.reconfigure(errors="replace")  # a terminal without UTF-8 shows ? where it must

    @property
    def is_terminal(self) -> bool:
        """Whether somebody looks at it directly."""
        return self._console is not None

    def row(self, row: Row) -> None:
        """Print a row."""
        words, note = _printable(row.text), _printable(row.note)
        if self._console is None:
            self._write(f"{row.label:<{_WIDTH}} {words}{f'  {note}' if note else ''}".rstrip() + "\n")
            return
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=_WIDTH)
        grid.add_column(overflow="fold")
        text = Text(words, style="" if row.label else row.style)
        if note:
            text.append(f"  {note}", style="dim")
        grid.add_row(Text(row.label, style=row.style), text)
        self._console.print(grid)

    def rule(self, text: str) -> None:
        """Print a line that parts what was from what comes."""
        if self._console is None:
            self._write(f"── {text}\n")
        else:
            self._console.print(Text(f"── {text}", style="bold magenta"))

    def line(self, text: str = "", style: str = "") -> None:
        """Print a line without a label."""
        if self._console is None:
            self._write(f"{text}\n")
        else:
            self._console.print(Text(text, style=style))

    def prompt(self, label: str) -> None:
        """Invite the caller to type, on a line that begins as their rows do."""
        self._write(f"{label:<{_WIDTH}} ")

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except BrokenPipeError as exc:
            # What is still buffered would fail again when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())
            raise LegLostError("nobody reads the output any more") from exc


def _printable(text: str) -> str:
    """One line without control characters: what a model or a tool says must not steer the terminal."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
