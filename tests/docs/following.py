"""Following a page as its reader does: what it says to write is written, what it says to type is typed, in one folder.

A page says so in comments above its blocks:

<!-- file: flows/harbour.py -->    the block is this file
<!-- edit: flows/harbour.py -->    the block (`diff`) changes it
<!-- try -->                       the block (`sh`, `console`) is typed; a `console` shows what is printed, with … for
                                   what is different each time
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.docs.pages import Block, blocks
from tests.fakes import environment

FOLLOWED = re.compile(r"try|(?:file|edit): \S+")
_LIMIT_S = 300


@dataclass(frozen=True)
class Typed:
    """A command, and what is said to be printed; None where nothing is said of it."""

    command: str
    printed: str | None


def typed(block: Block) -> Iterator[Typed]:
    """The commands of a block."""
    if block.language == "sh":
        yield Typed(block.text, None)
        return
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, *printed = part.splitlines()
        while command.endswith("\\"):
            command = command[:-1] + printed.pop(0).strip()
        yield Typed(command, "\n".join(printed))


def follow(page: str, folder: Path) -> None:
    """Do all that a page says, and compare what is printed."""
    place = folder
    for block in blocks(page):
        what, _, path = block.marker.partition(": ")
        match what:
            case "file":
                (place / path).parent.mkdir(parents=True, exist_ok=True)
                (place / path).write_text(block.text, encoding="utf-8")
            case "edit":
                _change(place / path, block)
            case "try":
                for one in typed(block):
                    place = _run(one, place, folder, block)
            case _:
                pass


def _change(path: Path, block: Block) -> None:
    lines = block.text.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{block}: this stands in {path.name} {text.count(old)} times"
    path.write_text(text.replace(old, new), encoding="utf-8")


def _run(one: Typed, place: Path, folder: Path, block: Block) -> Path:
    """Type it, and tell in which folder the shell is then."""
    after = folder / ".place"
    voicebot = f'voicebot() {{ {shlex.quote(sys.executable)} -m voicebot "$@"; }}\n'
    script = f"{voicebot}{one.command}\ncode=$?\npwd > {shlex.quote(str(after))}\nexit $code\n"
    done = subprocess.run(
        ["bash", "-e" if one.printed is None else "+e", "-o", "pipefail", "-c", script],
        cwd=place,
        env=environment(COLUMNS="200"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LIMIT_S,
    )
    if one.printed is None:
        assert done.returncode == 0, f"{block}: {one.command}\n{done.stdout}"
    else:
        assert is_like(done.stdout, one.printed), f"{block}: {one.command}\n{done.stdout}"
    return Path(after.read_text().strip())


def is_like(printed: str, shown: str) -> bool:
    """Whether a page shows what is printed; `…` stands for anything, alone on a line for any lines."""
    pattern = ""
    for line in shown.splitlines():
        if line.strip() == "…":
            pattern += r"(?:.*\n)*"
        else:
            pattern += (
                ".*".join(re.escape(part.rstrip() if part == line else part) for part in line.split("…")) + r"\s*\n"
            )
    return re.fullmatch(pattern, printed if printed.endswith("\n") or not printed else printed + "\n") is not None
