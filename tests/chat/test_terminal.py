"""The chat as somebody at a terminal, or at the end of a pipe, sees it."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.chat.chat_flows import Script, loaded, visit
from voicebot.chat.lines import Lines
from voicebot.chat.screen import Screen
from voicebot.chat.talk import ModelAccess
from voicebot.chat.terminal import Company, Terminal, real_model, run_chat
from voicebot.errors import LegLostError, ModelUnavailableError
from voicebot.flow import Flow, Limits
from voicebot.sim.brain import Brain, Calls, Says
from voicebot.sim.cooperative import AT_ONCE, CooperativeBrain
from voicebot.sim.realtime_quirks import Quirks
from voicebot.sim.realtime_server import API_KEY, RealtimeServer
from voicebot.sim.realtime_session import DEFAULT_MODEL


async def chat(tmp_path: Path, typed: str, flow: Flow | None = None, brain: Brain | None = None, **options: Any) -> str:
    """What is printed when this is typed into a pipe."""
    out, source = tmp_path / "out", tmp_path / "typed"
    source.write_text(typed)
    async with RealtimeServer(lambda: brain or CooperativeBrain(), timing=AT_ONCE, **options) as server:
        with out.open("w", encoding="utf-8") as printed, source.open() as lines:
            access = ModelAccess(server.url, API_KEY, DEFAULT_MODEL)
            terminal = Terminal(loaded(flow), access, caller=None, screen=Screen(printed), lines=Lines(lines.fileno()))
            async with asyncio.timeout(20):
                await terminal.run()
    return out.read_text(encoding="utf-8")


async def test_whole_call_is_shown_as_it_goes(tmp_path: Path) -> None:
    assert await chat(tmp_path, "Hello\nAda\ntwo\nyes\n") == (
        "── phase: wishes (start)\n"
        "bot       Harbour Table, good day!  (exact words)\n"
        "          0% done; still to find out here: name, people\n"
        "caller    Hello\n"
        "bot       May I have your name?\n"
        "caller    Ada\n"
        'noted     name = "Ada"  «Ada»\n'
        "bot       Thank you. Can you tell me for how many people? (a number)\n"
        "          33% done; still to find out here: people\n"
        "caller    two\n"
        "noted     people = 2  «two»\n"
        "── phase: confirm (criteria)\n"
        "bot       A table for 2, Ada.  (exact words)\n"
        "heard     table, to its end\n"
        "bot       Thank you. May I have a clear yes or no to the table?\n"
        "          67% done; still to find out here: sure\n"
        "caller    yes\n"
        "noted     sure = true  «yes»\n"
        "── phase: bye (criteria)\n"
        "bot       Thank you for calling. Goodbye!\n"
        "── the call has ended; its report says:\n"
        "outcome   booked  (completed)\n"
        "progress  100%\n"
        "phases    wishes → confirm → bye\n"
        "said      table: A table for 2, Ada.\n"
        '          name = "Ada"  «Ada»\n'
        "          people = 2  «two»\n"
        "          sure = true  «yes»\n"
    )


async def test_end_of_the_lines_hangs_up(tmp_path: Path) -> None:
    shown = await chat(tmp_path, "")
    assert "outcome   nothing  (caller_hung_up)\n" in shown
    assert shown.endswith("name: unasked\n          people: unasked\n          sure: unasked\n")


async def test_blank_lines_say_nothing(tmp_path: Path) -> None:
    shown = await chat(tmp_path, "\n  \n\nAda\n")
    assert shown.count("caller ") == 1


async def test_state_shows_where_the_call_stands(tmp_path: Path) -> None:
    shown = await chat(tmp_path, "Hello\nAda\n/state\n")
    state = shown.partition("typed     /state\n")[2].partition("──")[0]
    assert state == (
        'phase     wishes  (wishes)\nprogress  33%\nknown     name = "Ada"\nmissing   people: for how many people\n'
    )


async def test_silence_climbs_the_ladder(tmp_path: Path) -> None:
    shown = await chat(tmp_path, "/silence\n/silence\n")
    assert "caller    is silent (rung 1 of the ladder)\nbot       Are you still there?" in shown
    assert "(silence)" in shown


async def test_silence_without_a_ladder_is_told(tmp_path: Path) -> None:
    shown = await chat(tmp_path, "/silence\nAda\n", visit(limits=Limits(silence=[])))
    assert "the flow's silence ladder has no rung left\ncaller    Ada\n" in shown


async def test_keys_are_pressed(tmp_path: Path) -> None:
    shown = await chat(tmp_path, "/key 5\n/key\n/key 5x\n/key *\n")
    assert shown.count("presses") == 2
    assert "caller    presses 5\n" in shown
    assert shown.count("name the keys, as in /key 1 or /key 1234#\n") == 2


async def test_unknown_commands_are_not_said_to_the_bot(tmp_path: Path) -> None:
    shown = await chat(tmp_path, "/foo bar\n/help\n")
    assert "there is no /foo; /help lists what there is\n" in shown
    assert "\ncaller " not in shown
    for command in ("/state", "/silence", "/key 1", "/hangup", "/quit"):
        assert f"\n{command:<9} " in shown


async def test_hanging_up_shows_the_report_and_quitting_does_not(tmp_path: Path) -> None:
    assert "(caller_hung_up)" in await chat(tmp_path, "/hangup\nnever read\n")
    shown = await chat(tmp_path, "/quit\nnever read\n")
    assert shown.endswith("typed     /quit\n")


async def test_lines_after_the_end_are_left(tmp_path: Path) -> None:
    shown = await chat(tmp_path, "Hello\nAda\ntwo\nyes\nmore\nand more\n")
    assert "more" not in shown


async def test_warnings_are_shown_as_rows(tmp_path: Path) -> None:
    shown = await chat(tmp_path, "hello\n", brain=Script((Calls("broken"),), (Says("Sorry."),)))
    [row] = [line for line in shown.splitlines() if line.startswith("log ")]
    assert "broken" in row
    assert "ZeroDivisionError" in row
    assert not logging.getLogger("voicebot").handlers


async def test_jumps_and_ends_that_the_model_asks_for_are_shown(tmp_path: Path) -> None:
    shown = await chat(tmp_path, "bye\n")
    assert 'asks      end_call({"reason":"caller_wants_to_stop"})\n' in shown
    assert "(caller_finished)" in shown


async def test_refused_model_is_an_error_without_a_report(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="answered 401"):
        await chat(tmp_path, "Ada\n", api_key="sk-other")
    assert (tmp_path / "out").read_text() == ""


async def test_model_that_fails_is_an_error_after_the_report(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="the model is gone"):
        await chat(tmp_path, "Hello\n", quirks=Quirks(fail_responses=tuple(range(1, 9))))
    shown = (tmp_path / "out").read_text(encoding="utf-8")
    assert "problem   a reply failed: " in shown
    assert "(model_failed)" in shown


async def test_output_that_nobody_reads_ends_the_chat(tmp_path: Path) -> None:
    source = tmp_path / "typed"
    source.write_text("Hello\nAda\n")
    reading, writing = os.pipe()
    os.close(reading)
    async with RealtimeServer(CooperativeBrain, timing=AT_ONCE) as server:
        with os.fdopen(writing, "w") as out, source.open() as lines:
            access = ModelAccess(server.url, API_KEY, DEFAULT_MODEL)
            terminal = Terminal(loaded(), access, caller=None, screen=Screen(out), lines=Lines(lines.fileno()))
            async with asyncio.timeout(10):
                with pytest.raises(LegLostError, match="nobody reads the output any more"):
                    await terminal.run()


# ---- the command's inside -------------------------------------------------------------------------------------------


def test_chat_says_whom_one_speaks_with(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", None)
    twin = RealtimeServer(CooperativeBrain, timing=AT_ONCE)
    run_chat(loaded(), Company(twin, API_KEY, DEFAULT_MODEL, "You speak with a stand-in. " * 9), caller=None)
    shown = capsys.readouterr().out
    assert shown.startswith("visit: Book a table.\nYou speak with a stand-in.")
    assert max(map(len, shown.splitlines())) <= 100
    assert "tools and handlers run for real" in shown
    assert "Ctrl-D" in shown


def test_real_model_is_named_with_its_cost() -> None:
    company = real_model("wss://api.openai.com/v1/realtime", "sk-canary", "gpt-realtime-2.1")
    assert company.introduction == (
        "You speak with the real model, gpt-realtime-2.1 at api.openai.com, in text: every reply costs tokens."
    )
    assert isinstance(company.server, nullcontext)
    assert "sk-canary" not in repr(company)
