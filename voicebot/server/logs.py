"""How the log is written: to stderr, an event a line; as JSON in production, in plain words at a terminal.

Both say when, how grave, which event (`log_events`), which module, which call and which worker. Nothing leaves without
passing the redaction; tracebacks leave out what may be a caller's words.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import IO

from voicebot.observe.context import current_call
from voicebot.observe.redaction import Redactor, one_line
from voicebot.observe.tracebacks import told

_FOREIGN = "library"  # the event of a line that is none of ours


def event_of(record: logging.LogRecord) -> str:
    """The constant name of what happened."""
    return str(getattr(record, "event", _FOREIGN))


def _call_of(record: logging.LogRecord) -> str:
    return str(getattr(record, "call_sid", "") or current_call())


class _Formatter(logging.Formatter):
    """Gives each line as text, redacted."""

    def __init__(self, redact: Redactor, worker: int | None) -> None:
        super().__init__()
        self._redact, self._worker = redact, worker

    def _traceback(self, record: logging.LogRecord) -> str:
        # Not `exc_text`, which other handlers share: theirs would lose the words, ours would gain them.
        error = record.exc_info[1] if record.exc_info else None
        return self._redact(told(error)) if error is not None else ""


class TextFormatter(_Formatter):
    """For people. A traceback's lines name the worker too, where there are several."""

    def format(self, record: logging.LogRecord) -> str:
        who = f"worker {self._worker} " if self._worker is not None else ""
        call = f" [{self._redact(call_sid)}]" if (call_sid := _call_of(record)) else ""
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        line = f"{at},{record.msecs:03.0f} {record.levelname:<7} {who}{record.name}{call} "
        text = f"{line}{one_line(self._redact(record.getMessage()))}"
        if traceback := self._traceback(record):
            text += f"\n{traceback}"
        return text.replace("\n", f"\n{who}")


class JsonFormatter(_Formatter):
    """For machines: one JSON object a line, with the same few keys always in the same order."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "event": event_of(record),
            "message": self._redact(record.getMessage()),
            "logger": record.name,
        }
        if call_sid := _call_of(record):
            line["call_sid"] = self._redact(call_sid)
        if self._worker is not None:
            line["worker"] = self._worker
        if traceback := self._traceback(record):
            line["traceback"] = traceback
        return json.dumps(line, ensure_ascii=False)


class LineCount(logging.Handler):
    """Tells of every line that somebody should know of, by its level and event."""

    def __init__(self, count: Callable[[str, str], None]) -> None:
        super().__init__(logging.WARNING)
        self._count = count

    def emit(self, record: logging.LogRecord) -> None:
        self._count(record.levelname, event_of(record))


def configure_logging(
    form: str = "auto",
    *,
    secrets: Sequence[str] = (),
    worker: int | None = None,
    stream: IO[str] | None = None,
) -> None:
    """Log to stderr from INFO on.

    Args:
        form: `json` or `text`; anything else (`auto`) is `text` at a terminal, and else `json`.
        secrets: what must never be read there.
        worker: the number of this process among several.
        stream: instead of stderr.
    """
    out = stream if stream is not None else sys.stderr
    text = form == "text" or (form != "json" and out.isatty())
    handler = logging.StreamHandler(out)
    handler.setFormatter((TextFormatter if text else JsonFormatter)(Redactor(secrets), worker))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
