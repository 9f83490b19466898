"""The list of those who do not want to be called: a file of the operator's, read anew when it changes."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from voicebot.log_events import named
from voicebot.telephony.outbound_policy import read_do_not_call

log = logging.getLogger(__name__)


class DoNotCall:
    """Who does not want to be called."""

    def __init__(self, path: Path | None) -> None:
        """`path`: None for no list."""
        self._path = path
        self._read_at: tuple[int, int] | None = None
        self._numbers: frozenset[str] = frozenset()

    async def numbers(self) -> frozenset[str] | None:
        """The numbers (E.164); None if the list cannot be read, and then nobody may be called."""
        return frozenset() if self._path is None else await asyncio.to_thread(self._read, self._path)

    def _read(self, path: Path) -> frozenset[str] | None:
        try:
            found = path.stat()
            version = found.st_mtime_ns, found.st_size
            if version != self._read_at:
                self._numbers, self._read_at = read_do_not_call(path.read_text(encoding="utf-8")), version
        except (OSError, ValueError) as exc:
            self._read_at = None
            log.error(
                "nobody is called, as VOICEBOT_DO_NOT_CALL cannot be read: %s", exc, extra=named("do_not_call_broken")
            )
            return None
        return self._numbers
