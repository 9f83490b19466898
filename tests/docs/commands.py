"""Commands on the pages: each of ours is read by the real command line, without being run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any

import typer
from typer.main import get_command

from voicebot.cli import app
from voicebot.settings import Settings

SETTINGS = frozenset(str(field.validation_alias) for field in Settings.model_fields.values())
ASSIGNMENT = re.compile(r"([A-Z][A-Z0-9_]*)=")
OURS = ("VOICEBOT_", "TWILIO_", "OPENAI_", "OTEL_")
# Programs of others that the pages use; what they are given is not ours to check.
OF_OTHERS = frozenset(
    [
        *(
            "curl",
            "openssl",
            "printf",
            "sha256sum",
            "ssh",
            "python",
            "python3",
            "pip",
            "pip-audit",
            "pytest",
            "ruff",
            "mypy",
            "git",
        ),
        *("cd", "cp", "cat", "mkdir", "export", "sudo", "install", "chmod", "chown", "useradd", "node", "journalctl"),
        *("docker", "kubectl", "systemctl", "nginx", "redis-server", "redis-cli", "promtool", "echo", "jq", "kill"),
    ]
)
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # typer names only this one of its kind
_LEFT_OUT = {"MissingParameter", "BadOptionUsage"}  # of a command that is only named, or an option of it
_JOINS = {"&&", "||", "|", ";", "&"}


@cache
def _root() -> Any:
    return get_command(app)


def problem_with(words: list[str], *, whole: bool = True) -> str | None:
    """What our command line has against `voicebot WORDS`; None if it would run it.

    Args:
        whole: False where the command is named only, and what it must be given may be missing.
    """
    command, rest, name = _root(), list(words), "voicebot"
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        name, *rest = rest
        if name not in command.commands:
            return f"there is no command {name!r}"
        command = command.commands[name]
    try:
        command.make_context(name, rest)
    except typer.Exit:  # --help, --version
        return None
    except _UsageError as exc:
        kind = type(exc).__name__
        if kind == "NoArgsIsHelpError" or (not whole and kind in _LEFT_OUT):
            return None
        return f"{type(exc).__name__}: {exc}"
    return None


def simple_commands(script: str) -> Iterator[list[str]]:
    """The commands of a script, each as its words, without what joins them."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in lexer:
            if word in _JOINS:
                yield words
                words = []
            else:
                words.append(word)
        if words:
            yield words


def problems_in(script: str) -> list[str]:
    """What is wrong with the commands of a script."""
    found = []
    for words in simple_commands(script):
        while words and (assigned := ASSIGNMENT.match(words[0])):
            if assigned[1].startswith(OURS) and assigned[1] not in SETTINGS:
                found.append(f"there is no setting {assigned[1]}")
            words = words[1:]
        if not words:
            continue
        program = words[0].removeprefix(".venv/bin/")
        if program == "voicebot":
            if (problem := problem_with(words[1:])) is not None:
                found.append(f"{' '.join(words)}: {problem}")
        elif program not in OF_OTHERS:
            found.append(f"{program} is neither ours nor among `OF_OTHERS`")
    return found
