"""The Lua that Redis runs for us, and the commands that call it.

Redis makes every function of a script anew whenever it runs it, which with all of ours took several times as long as
the work itself. So each operation is a script of its own: its function, and those definitions that it needs.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources

Argument = str | bytes | int
Command = tuple[Argument, ...]

PREFIX = "voicebot:"
_PARTS = (
    "keys",
    "outbox",
    "calls",
    "journal",
    "notes",
    "letters",
    "erasure",
)  # in this order: each knows those before it
_DEFINITION = re.compile(r"^(?:local function |local |function )([\w.]+)", re.MULTILINE)
_COMMENT = re.compile(r"^--.*\n", re.MULTILINE)
_OPERATION = "program."


@cache
def scripts() -> dict[str, str]:
    """The text of each operation's script, by the operation's name."""
    definitions = _definitions()
    names = [name.removeprefix(_OPERATION) for name in definitions if name.startswith(_OPERATION)]
    return {name: _linked(name, definitions) for name in names}


def operation(name: str, *arguments: Argument) -> Command:
    """The command that runs `program.NAME` with these arguments.

    Raises:
        ValueError: one of them is text that UTF-8 has no bytes for. So it is its caller's, not its neighbours' on the
            way to the server.
    """
    return ("EVALSHA", _digest(name), 0, name, *map(encoded, arguments))


def encoded(argument: Argument) -> bytes | int:
    return argument.encode() if isinstance(argument, str) else argument


def key_of(*parts: str) -> str:
    """As `key` of the program."""
    return PREFIX + ":".join(parts)


@cache
def _digest(name: str) -> str:
    return hashlib.sha1(scripts()[name].encode(), usedforsecurity=False).hexdigest()  # how Redis names a script


def _definitions() -> dict[str, str]:
    """What the files define, by name and in their order: from one line that begins a definition to the next."""
    folder = resources.files(__package__) / "lua"
    text = "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in _PARTS)
    text = _COMMENT.sub("", text)  # which name what the code beside them does not need
    found = list(_DEFINITION.finditer(text))
    ends = [*(definition.start() for definition in found[1:]), len(text)]
    return {one[1]: text[one.start() : end] for one, end in zip(found, ends, strict=True)}


def _linked(name: str, definitions: dict[str, str]) -> str:
    wanted = {_OPERATION + name}
    while more := {word for one in wanted for word in re.findall(r"\w+", definitions[one])} & set(definitions) - wanted:
        wanted |= more
    body = "".join(text for definition, text in definitions.items() if definition in wanted)
    return f"{body}\nreturn {_OPERATION}{name}(ARGV)"
