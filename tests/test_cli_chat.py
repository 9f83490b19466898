"""`voicebot chat` as a new user meets it: at a terminal, through pipes, with and without a key."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import environment
from tests.test_cli import GOOD
from voicebot.cli import main
from voicebot.flow.loader import shipped_flows
from voicebot.sim.cooperative import AT_ONCE, CooperativeBrain
from voicebot.sim.realtime_server import API_KEY, RealtimeServer

CHAT = [sys.executable, "-m", "voicebot", "chat"]
LIMIT_S = 60
PROMPT = "\ncaller    "
MOST_TURNS = 60
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of one flow, in the folder where the command runs."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "visit.py").write_text(GOOD)
    return tmp_path


def chat(cwd: Path, *arguments: str, typed: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CHAT, *arguments],
        cwd=cwd,
        env=environment(**variables),
        input=typed,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )


class Seat:
    """Somebody at a terminal who runs the command."""

    def __init__(self, cwd: Path, *arguments: str) -> None:
        self.master, slave = pty.openpty()
        self.shown, self._bytes = "", b""
        self._process = subprocess.Popen(
            [*CHAT, *arguments],
            cwd=cwd,
            env=environment(TERM="xterm", COLUMNS="400"),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def prompted(self) -> bool:
        """Look on until the caller is asked to type; False when the command has ended."""
        while not self.shown.endswith(PROMPT):
            try:
                chunk = os.read(self.master, 4096)
            except OSError:  # nobody holds the other end any more
                return False
            self._show(chunk)
        return True

    def type(self, text: str) -> None:
        """Type, and see it."""
        os.write(self.master, text.encode())
        while self.shown.endswith(PROMPT):
            self._show(os.read(self.master, 4096))

    def _see_the_end(self) -> None:
        """Look on until nobody holds the other end any more, so that whatever is said at the end is seen; bounded."""
        with contextlib.suppress(OSError):
            while select.select([self.master], [], [], LIMIT_S)[0] and (chunk := os.read(self.master, 4096)):
                self._show(chunk)

    def _show(self, chunk: bytes) -> None:
        """What stands on the screen, without its colours."""
        self._bytes += chunk
        self.shown = COLOURS.sub("", self._bytes.decode(errors="replace").replace("\r\n", "\n"))

    def leave(self, *, interrupt: bool = False) -> int:
        """The exit code of the command."""
        if interrupt:
            self._process.send_signal(signal.SIGINT)
            self._see_the_end()
        while not interrupt and self.prompted():
            self.type("/quit\n")
        os.close(self.master)
        return self._process.wait(LIMIT_S)


@pytest.mark.parametrize(
    ("flow", "answers", "outcome"),
    [
        (
            "restaurant_ordering",
            {
                "collect": "pickup",
                "whole order": "two margherita and a chinotto",
                "name": "Ada Lovelace",
                "when": "as soon as possible",
                "llergies": "none",
                "number": "+39 06 555 0100",
            },
            "ordered",
        ),
        (
            "language_assessment",
            {
                "called": "Ada",
                "need English": "for work",
                "guess": "A2",
                "how well": "A2, because they used simple words",
                "the result": "feels right",
                "Which one": "the first",
                "number": "+353 1 555 0100",
            },
            "lesson_booked",
        ),
        (
            "financial_advisor",
            {
                "full name": "Ada Byron",
                "client already": "new",
                "money is for": "retirement",
                "how many years": "in twenty years",
                "at once": "ten thousand",
                "each month": "200",
                "many months": "six months",
                "debt": "no",
                "fell": "wait",
                "experience with": "some",
                "Which one": "the first one, by video",
                "number": "+44 20 7946 0958",
            },
            "meeting_arranged",
        ),
    ],
)
def test_shipped_flow_is_talked_through_to_its_end(
    flow: str, answers: dict[str, str], outcome: str, tmp_path: Path
) -> None:
    seat = Seat(tmp_path, flow, "--flows", str(shipped_flows()))
    for _ in range(MOST_TURNS):
        if not seat.prompted():
            break
        question = [line for line in seat.shown.splitlines() if line.startswith("bot")][-1]
        seat.type(next((answers[words] for words in answers if words in question), "yes") + "\n")
    assert seat.leave() == 0
    shown = seat.shown
    assert f"outcome   {outcome}  (completed)" in shown
    assert "progress  100%" in shown
    assert "You speak with a stand-in, as OPENAI_API_KEY is not set." in shown
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_piped_lines_are_the_callers_turns(folder: Path) -> None:
    done = chat(folder, "visit", typed="hi\nAda\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(
        "caller    hi\n"
        "bot       May I have your name?\n"
        "caller    Ada\n"
        'noted     name = "Ada"  «Ada»\n'
        "── phase: bye (criteria)\n"
        "bot       Thank you for calling. Goodbye!\n"
        "── the call has ended; its report says:\n"
        "outcome   none  (completed)\n"
        "progress  100%\n"
        "phases    reception → bye\n"
        '          name = "Ada"  «Ada»\n'
    )


def test_flow_may_be_named_by_its_file(folder: Path) -> None:
    done = chat(folder, "flows/visit.py", typed="/quit\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("visit: Find out who is calling.\n")


def test_callers_number_is_known(folder: Path) -> None:
    flow = GOOD.replace("ask(", "ask(default_from='caller', description=")
    (folder / "flows" / "visit.py").write_text(flow)
    done = chat(folder, "visit", "--caller", "+15550123456", typed="/quit\n")
    assert 'noted     name = "+15550123456"  (default)' in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nosuch"], "voicebot: no flow is named 'nosuch' (loaded flows: visit)"),
        (["nosuch.py"], "voicebot: nosuch.py: cannot be read: No such file or directory"),
        (["visit", "--caller", "0655"], "'0655' is no number: write it as in +15550123456"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    folder: Path,
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["voicebot", "chat", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr()
    assert (ended.value.code, shown.out) == (2, "")
    assert words in shown.err


def test_server_that_is_not_there_is_one_line(folder: Path) -> None:
    reach = {"OPENAI_API_KEY": "sk-canary", "VOICEBOT_REALTIME_URL": "ws://127.0.0.1:9/v1/realtime"}
    done = chat(folder, "visit", typed="hi\n", **reach)
    assert done.returncode == 2
    assert done.stderr == "voicebot: the model's server cannot be reached (ConnectionRefusedError)\n"
    assert "phase" not in done.stdout
    assert "sk-canary" not in done.stdout + done.stderr
    offline = chat(folder, "visit", "--offline", typed="hi\n", **reach)
    assert offline.returncode == 0
    assert "You speak with a stand-in, as you asked." in offline.stdout


def test_output_that_is_cut_off_is_one_line(folder: Path) -> None:
    reading, writing = os.pipe()
    with subprocess.Popen(
        [*CHAT, "visit"],
        cwd=folder,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(writing)
        os.read(reading, 10)
        os.close(reading)
        _, problem = process.communicate("hi\nAda\n", timeout=LIMIT_S)
    assert process.returncode == 2
    assert problem == "voicebot: nobody reads the output any more\n"


async def test_key_leads_to_the_real_model_in_text(folder: Path) -> None:
    async with RealtimeServer(CooperativeBrain, timing=AT_ONCE) as server:
        process = await asyncio.create_subprocess_exec(
            *CHAT,
            "visit",
            cwd=folder,
            env=dict(environment(OPENAI_API_KEY=API_KEY, VOICEBOT_REALTIME_URL=server.url)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        async with asyncio.timeout(LIMIT_S):
            shown, problems = await process.communicate(b"hi\nAda\n")
        [session] = server.sessions
    assert (process.returncode, problems) == (0, b"")
    assert "You speak with the real model, gpt-realtime-2.1 at 127.0.0.1, in text" in shown.decode()
    assert 'noted     name = "Ada"' in shown.decode()
    assert session.config.output_modalities == ["text"]
    assert session.config.audio.input.turn_detection is None
    assert session.problems == []


def test_end_of_file_at_the_terminal_hangs_up(folder: Path) -> None:
    seat = Seat(folder, "visit")
    assert seat.prompted()
    seat.type("hi\n")
    assert seat.prompted()
    seat.type("\x04")
    assert seat.leave() == 0
    assert "caller    hi\n" in seat.shown
    assert "outcome   none  (caller_hung_up)" in seat.shown


def test_interrupt_at_the_terminal_ends_at_once(folder: Path) -> None:
    seat = Seat(folder, "visit")
    assert seat.prompted()
    assert seat.leave(interrupt=True) == 130
    assert "Traceback" not in seat.shown
