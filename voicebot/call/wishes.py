"""What the flow's own code or an operator wants of a call, or the phone line says: handed over from any thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from voicebot.flow.wording import LONGEST_SAY

from .events import AnswererFound, EndWanted, MessageTold, NoteWanted, SayWanted, TransferWanted

LONGEST_NOTE = 2000  # characters

Wish = SayWanted | NoteWanted | EndWanted | TransferWanted | AnswererFound | MessageTold


def as_text(text: str, limit: int) -> str:
    """A text of the author's as it can be sent: at most `limit` characters, no half of a surrogate pair."""
    whole = text.strip().encode(errors="replace").decode()
    return whole if len(whole) <= limit else whole[: limit - 1] + "…"


def to_be_said(text: str) -> str:
    """The same for what is to be said exactly."""
    return as_text(text, LONGEST_SAY)


class Wishes:
    """Wishes on their way to the loop of the call. Made in that loop; `came` is called in it when there are some."""

    def __init__(self, came: Callable[[], object]) -> None:
        self._came = came
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._waiting: list[Wish] = []

    def add(self, wish: Wish) -> None:
        """Hand one over, from any thread; once the loop is closed nobody takes it any more."""
        if threading.get_ident() == self._thread:
            self._arrived(wish)
        else:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._arrived, wish)

    def take(self) -> list[Wish]:
        """Those that have arrived, in order."""
        taken, self._waiting = self._waiting, []
        return taken

    def _arrived(self, wish: Wish) -> None:
        self._waiting.append(wish)
        self._came()
