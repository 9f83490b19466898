"""What a line of the log looks like, for people and for machines, and what never stands in one."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from voicebot.log_events import named
from voicebot.observe.context import for_no_call_yet, work_for
from voicebot.server.logs import LineCount, configure_logging

log = logging.getLogger("voicebot.x")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """The log of the tests themselves is as before afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers = []  # or they would be closed
    yield
    root.handlers, root.level = before


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was logged as text, without the times."""
    return [line[24:] if line[:2] == "20" else line for line in capsys.readouterr().err.splitlines()]


def objects(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """What was logged as JSON."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_line_names_module_and_call(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("text")
    log.info("up with %d", 2)
    log.warning("gone", extra=named("leg_lost", "CA1"))
    assert lines(capsys) == ["INFO    voicebot.x up with 2", "WARNING voicebot.x [CA1] gone"]


def test_every_line_of_a_worker_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("text", worker=3)
    try:
        raise RuntimeError("two\nlines")
    except RuntimeError:
        log.exception("it broke", extra=named("call_broke", "CA1"))
    shown = lines(capsys)
    assert shown[0] == "ERROR   worker 3 voicebot.x [CA1] it broke"
    assert shown[-1] == r"worker 3 RuntimeError: two\nlines"
    assert all("worker 3 " in line for line in shown)


def test_nobody_words_become_a_line_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("text")
    log.warning("refused %s", "/twilio\n2026-11-30 12:00:00,000 ERROR all is lost\x1b[2J\u2028x")
    assert lines(capsys) == [
        r"WARNING voicebot.x refused /twilio\n2026-11-30 12:00:00,000 ERROR all is lost\x1b[2J\u2028x"
    ]


def test_machine_reads_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", worker=2)
    log.warning("the leg\nis %s", "lost", extra=named("leg_lost", "CA1"))
    (line,) = objects(capsys)
    assert str(line.pop("time")).endswith("+00:00")
    assert line == {
        "level": "WARNING",
        "event": "leg_lost",
        "message": "the leg\nis lost",
        "logger": "voicebot.x",
        "call_sid": "CA1",
        "worker": 2,
    }


def test_line_of_a_library_is_named_so(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json")
    logging.getLogger("aiohttp.server").error("Error handling request")
    (line,) = objects(capsys)
    assert (line["event"], "call_sid" in line, "worker" in line) == ("library", False, False)


def test_form_follows_where_it_goes() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for form, stream, is_json in (
        ("auto", io.StringIO(), True),
        ("auto", Terminal(), False),
        ("json", Terminal(), True),
        ("text", io.StringIO(), False),
    ):
        configure_logging(form, stream=stream)
        log.info("hello")
        assert stream.getvalue().startswith("{") is is_json


async def test_lines_of_a_call_name_it_in_all_its_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json")

    async def library() -> None:
        logging.getLogger("library").warning("slow")

    async def call(call_sid: str) -> None:
        work_for(call_sid)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(library())

    async with asyncio.TaskGroup() as tasks:
        for call_sid in ("CA1", "CA2"):
            tasks.create_task(call(call_sid))
    await library()
    assert [line.get("call_sid") for line in objects(capsys)] == ["CA1", "CA2", None]


def test_request_does_not_inherit_the_call_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json")
    with for_no_call_yet():
        work_for("CA1")
        log.warning("one")
    with for_no_call_yet():
        log.warning("two")
    assert [line.get("call_sid") for line in objects(capsys)] == ["CA1", None]


@pytest.mark.parametrize("form", ["json", "text"])
def test_secrets_and_numbers_are_blotted_out(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    secret, number = chr(34).join(("can" + "ary", "quo" + "ted")), "+" + "15550123456"  # the code is shown as it stands
    configure_logging(form, secrets=[secret])
    try:
        raise RuntimeError(f"{secret} of {number}")
    except RuntimeError:
        log.exception("%s at %s", secret, number, extra=named("call_broke", number))
    text = capsys.readouterr().err
    assert "RuntimeError" in text
    assert [wrong for wrong in ("canary", "15550123456", "quoted") if wrong in text] == []


def test_words_of_values_stay_out_of_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json")
    name = "Ada Lovelace"
    try:
        raise KeyError(name)
    except KeyError:
        log.exception("it broke", extra=named("call_broke"))
    (line,) = objects(capsys)
    assert "KeyError" in str(line["traceback"])
    assert "Lovelace" not in str(line)


def test_grave_lines_are_counted_by_event() -> None:
    counted: list[tuple[str, str]] = []
    handler = LineCount(lambda level, event: counted.append((level, event)))
    logging.getLogger().addHandler(handler)
    log.info("fine", extra=named("serving"))
    log.warning("less so", extra=named("leg_lost"))
    logging.getLogger("library").error("bad")
    assert counted == [("WARNING", "leg_lost"), ("ERROR", "library")]
