"""How the log is written: one stream, one readable line an event."""

from __future__ import annotations

import logging
import sys
from types import TracebackType

from .one_line import one_line, one_line_each

_Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
_FURTHER = "    "  # before every line of a traceback: no line of it can be taken for an event


class _LineFormatter(logging.Formatter):
    """Names the call where there is one; and the worker where there are several, on every line of a traceback too."""

    def __init__(self, worker: int | None) -> None:
        self._who = f"worker {worker} " if worker is not None else ""
        super().__init__(f"%(asctime)s %(levelname)-7s {self._who}%(name)s%(call)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.call = f" [{record.call_sid}]" if hasattr(record, "call_sid") else ""
        return super().format(record).replace("\n", f"\n{self._who or _FURTHER}")

    def formatMessage(self, record: logging.LogRecord) -> str:
        return one_line(super().formatMessage(record))  # it may hold words of strangers

    def formatException(self, ei: _Raised) -> str:
        return one_line_each(super().formatException(ei))


def configure_logging(worker: int | None = None) -> None:
    """Log to stderr, one line an event; `worker` is the number of this process among several."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LineFormatter(worker))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
