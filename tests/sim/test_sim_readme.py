"""What the twin's page says is so: its examples run, and the names in it exist."""

from __future__ import annotations

import importlib
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import blocks, text_of
from voicebot.sim.line import LineFaults

PAGE = text_of("voicebot/sim/README.md")
EXAMPLES = [block.text for block in blocks("voicebot/sim/README.md", "python")]


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: re.findall(r"def (test_\w+)", text)[0])
async def test_example_runs(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))  # for processes, as if it were installed
    names: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec"), names)  # noqa: S102
    (test,) = [value for name, value in names.items() if name.startswith("test_")]
    await test(tmp_path)


def test_named_parts_exist() -> None:
    parts = re.findall(r"^\| `(\w+)\.(\w+)` ", PAGE, flags=re.MULTILINE)
    assert len(parts) == 8
    for module, name in parts:
        assert hasattr(importlib.import_module(f"voicebot.sim.{module}"), name)


def test_named_faults_exist() -> None:
    table = PAGE.partition("## The line's own faults")[2].partition("## ")[0]
    fields = re.findall(r"^\| `(\w+)", table, flags=re.MULTILINE)
    assert len(fields) == 5
    assert set(fields) <= set(LineFaults.__dataclass_fields__)
