"""Lines of a terminal, a pipe or a file, without a thread that would keep the process from ending."""

from __future__ import annotations

import asyncio
import codecs
import os

_CHUNK = 4096
_LONGEST = 4000  # characters: what follows is a line of its own


class Lines:
    """Reads lines from a file descriptor when they come; -1 has none. Bytes that are no UTF-8 become U+FFFD."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._ended = False

    @property
    def from_terminal(self) -> bool:
        """Whether somebody types them, at a terminal that shows what they type."""
        return self._descriptor >= 0 and os.isatty(self._descriptor)

    async def next(self) -> str | None:
        """The next line without its end; None when no more come."""
        while "\n" not in self._text and len(self._text) < _LONGEST and not self._ended:
            chunk = await self._read()
            self._ended = not chunk
            self._text += self._decoder.decode(chunk, final=self._ended)
        if not self._text:
            return None
        line, _, rest = self._text[:_LONGEST].partition("\n")
        self._text = rest + self._text[_LONGEST:]
        return line.rstrip("\r")

    async def _read(self) -> bytes:
        """Some bytes; none at the end, or when the descriptor is gone."""
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        try:
            loop.add_reader(self._descriptor, ready.set)
        except PermissionError:  # a file: epoll does not take it, as reading it never waits
            return os.read(self._descriptor, _CHUNK)
        except (OSError, ValueError):
            return b""
        try:
            await ready.wait()
            return os.read(self._descriptor, _CHUNK)
        except OSError:  # the terminal is gone
            return b""
        finally:
            loop.remove_reader(self._descriptor)
