"""How the supervisor starts what it supervises. What becomes of it: `test_crew`, `test_workers`."""

from __future__ import annotations

import sys

import pytest

from voicebot.server.supervisor import command

ARGUMENTS = ["serve", "--workers", "2"]


@pytest.mark.parametrize(
    ("started", "name", "again"),
    [
        (["python3", "-m", "voicebot"], "/code/voicebot/__main__.py", ["-m", "voicebot"]),
        (["python3", "-X", "dev", "-m", "voicebot"], "/code/voicebot/__main__.py", ["-X", "dev", "-m", "voicebot"]),
        (["/env/bin/python", "/env/bin/voicebot"], "/env/bin/voicebot", ["/env/bin/voicebot"]),
        (["python3", "-c", "main()"], "-c", ["-c", "main()"]),
    ],
)
def test_workers_are_started_as_their_supervisor_was(
    started: list[str], name: str, again: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.orig_argv", [*started, *ARGUMENTS])
    monkeypatch.setattr("sys.argv", [name, *ARGUMENTS])
    assert command() == [sys.executable, *again]


def test_program_with_arguments_of_its_own_starts_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.orig_argv", ["python3", "embedding.py", "--as-it-likes"])
    monkeypatch.setattr("sys.argv", ["voicebot", *ARGUMENTS])
    assert command() == [sys.executable, "-m", "voicebot"]
