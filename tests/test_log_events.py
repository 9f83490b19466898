"""Every line that the server logs has a constant name, which is listed and explained."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from voicebot.log_events import LOG_EVENTS, named

ROOT = Path(__file__).parents[1]
APART = ("sim", "chat", "cli.py", "flow", "engine")  # not of the server, or pure
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((ROOT / "voicebot").rglob("*.py")):
        if path.relative_to(ROOT / "voicebot").parts[0] not in APART:
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def log_calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call of a logger's method, whatever the logger is called."""
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
                logger = ast.unparse(node.func.value)
                if re.search(r"log(ger)?\b|getLogger", logger) and "math" not in logger:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def names_of(call: ast.Call) -> set[str]:
    """The names that a line may have; none if it has none, or one that is not written there."""
    given = next((one.value for one in call.keywords if one.arg == "extra"), None)
    if not isinstance(given, ast.Call) or ast.unparse(given.func) != "named" or not given.args:
        return set()
    parts = [given.args[0]]
    if isinstance(parts[0], ast.IfExp):
        parts = [parts[0].body, parts[0].orelse]
    return {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def test_server_logs_somewhere() -> None:
    assert len(list(log_calls())) > 60


def test_every_line_has_a_name() -> None:
    assert [where for where, call in log_calls() if not names_of(call)] == []


def test_names_are_those_listed() -> None:
    used = set().union(*(names_of(call) for _, call in log_calls()))
    assert used - LOG_EVENTS == set()
    assert LOG_EVENTS - used == {"library"}


def test_sentences_are_constant() -> None:
    """What varies stands in the arguments, so that lines can be counted by their sentence too."""
    varying = [
        where
        for where, call in log_calls()
        if isinstance(call.args[0], ast.JoinedStr | ast.BinOp)
        and not all(isinstance(part, ast.Constant) for part in ast.walk(call.args[0]) if isinstance(part, ast.expr))
    ]
    assert varying == []


def test_nothing_on_the_server_prints() -> None:
    prints = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]
    assert prints == []


def test_names_read_as_names() -> None:
    assert [name for name in LOG_EVENTS if not re.fullmatch(r"[a-z]+(_[a-z]+)*", name)] == []
    assert named("leg_lost") == {"event": "leg_lost"}
    assert named("leg_lost", "CA1") == {"event": "leg_lost", "call_sid": "CA1"}


def test_every_name_is_explained_to_operators() -> None:
    text = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    table = text.split("<!-- log events -->")[1].split("<!-- end -->")[0]
    assert set(re.findall(r"`([a-z_]+)`", table)) == LOG_EVENTS
