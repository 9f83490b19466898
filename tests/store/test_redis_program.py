"""The scripts that are made of the files in `lua/`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from voicebot.store import redis_program
from voicebot.store.redis_program import operation, scripts

SOURCES = sorted(Path(redis_program.__file__).parent.glob("redis*.py"))


def test_operations_that_are_called_exist() -> None:
    called = {name for path in SOURCES for name in re.findall(r'operation\(\s*"(\w+)"', path.read_text())}
    assert called == set(scripts())


@pytest.mark.parametrize("name", scripts())
def test_script_holds_what_it_needs_and_no_more(name: str) -> None:
    script = scripts()[name]
    assert re.findall(r"^function program\.(\w+)", script, re.MULTILINE) == [name]
    defined = re.findall(r"^local (?:function )?(\w+)", script, re.MULTILINE)
    for one in defined:
        assert len(re.findall(rf"\b{one}\b", script)) > 1, f"{one} is not used"


def test_text_without_bytes_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        operation("beat", "\ud83d")
