"""What a line of the log looks like."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from voicebot.server.logs import configure_logging


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """The log of the tests themselves is as before afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers = []  # or they would be closed
    yield
    root.handlers, root.level = before


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was logged, without the times."""
    return [line[24:] if line[:2] == "20" else line for line in capsys.readouterr().err.splitlines()]


def test_line_names_module_and_call(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    logging.getLogger("voicebot.x").info("up with %d", 2)
    logging.getLogger("voicebot.x").warning("gone", extra={"call_sid": "CA1"})
    assert lines(capsys) == ["INFO    voicebot.x up with 2", "WARNING voicebot.x [CA1] gone"]


def test_every_line_of_a_worker_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(3)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("voicebot.x").exception("it broke", extra={"call_sid": "CA1"})
    shown = lines(capsys)
    assert shown[0] == "ERROR   worker 3 voicebot.x [CA1] it broke"
    assert shown[-2:] == ["worker 3 ValueError: two", "worker 3 lines"]
    assert all("worker 3 " in line for line in shown)


def test_words_of_strangers_begin_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    forged = "x\n2026-01-01 00:00:00,000 INFO    voicebot.x all is well\x1b[2K"
    logging.getLogger("voicebot.x").warning("heard %s", forged, extra={"call_sid": "CA1\n"})
    try:
        raise ValueError(forged)
    except ValueError:
        logging.getLogger("voicebot.x").exception("it broke")
    shown = capsys.readouterr().err.splitlines()
    assert shown[0].endswith(r"[CA1\n] heard x\n2026-01-01 00:00:00,000 INFO    voicebot.x all is well\x1b[2K")
    assert [line for line in shown[2:] if not line.startswith("    ")] == []
    assert "\x1b" not in "".join(shown)
