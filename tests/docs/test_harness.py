"""The tests of pages find what is wrong with them: commands, outputs, blocks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import pages
from tests.docs.commands import problem_with, problems_in, simple_commands
from tests.docs.following import follow, is_like, typed
from tests.docs.pages import Block, blocks

PAGE = """
# Title

<!-- file: a/b.txt -->
```text
one
two
```

1. In a list:

   <!-- edit: a/b.txt -->
   ```diff
    one
   -two
   +three
   ```

<!-- try -->
```console
$ cat a/b.txt
one
…
$ cd a && echo here
here
$ ls
b.txt
```
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    (tmp_path / "harness.md").write_text(PAGE, encoding="utf-8")
    for cached in (pages.text_of, pages.tokens, pages.blocks):
        cached.cache_clear()
    return "harness.md"


@pytest.mark.parametrize("command", ["check --strict", "flows schema practice", "--help", "serve --port 0", "calls"])
def test_command_is_understood(command: str) -> None:
    assert problem_with(command.split()) is None


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("chekc", "there is no command"),
        ("flows shcema practice", "there is no command"),
        ("check --strickt", "NoSuchOption"),
        ("serve --port many", "BadParameter"),
        ("chat", "MissingParameter"),
        ("doctor now", "UsageError"),
    ],
)
def test_command_that_is_none_is_found(command: str, problem: str) -> None:
    assert problem in str(problem_with(command.split()))


def test_missing_argument_may_be_missing_in_a_sentence() -> None:
    assert problem_with(["chat"], whole=False) is None
    assert problem_with(["chat", "--nosuch"], whole=False) is not None


def test_script_is_taken_apart() -> None:
    script = "a 'b && c' # no\nA=1 voicebot check | tail -1 && \\\n  d"
    assert list(simple_commands(script)) == [["a", "b && c"], ["A=1", "voicebot", "check"], ["tail", "-1"], ["d"]]
    assert problems_in("VOICEBOT_NOSUCH=1 voicebot check") == ["there is no setting VOICEBOT_NOSUCH"]
    assert problems_in("cd x && frobnicate") == ["frobnicate is neither ours nor among `OF_OTHERS`"]
    assert problems_in(".venv/bin/voicebot chekc") != []


@pytest.mark.parametrize(
    ("printed", "shown", "alike"),
    [
        ("a 1 s\n", "a … s", True),
        ("a 1 h\n", "a … s", False),
        ("a\nb\nc\n", "a\n…\nc", True),
        ("a\nc\n", "a\n…\nc", True),
        ("a\nb\n", "a\n…\nc", False),
        ("a\nb\n", "a", False),
        ("", "", True),
        ("a.b\n", "a.b", True),
        ("axb\n", "a.b", False),
    ],
)
def test_what_is_printed_is_compared(printed: str, shown: str, alike: bool) -> None:
    assert is_like(printed, shown) is alike


def test_blocks_are_found_in_lists_too_with_their_markers(page: str) -> None:
    found = [(one.line, one.language, one.marker) for one in blocks(page)]
    assert found == [(5, "text", "file: a/b.txt"), (13, "diff", "edit: a/b.txt"), (20, "console", "try")]
    assert [one.command for one in typed(blocks(page)[2])] == ["cat a/b.txt", "cd a && echo here", "ls"]


def test_page_is_followed(page: str, tmp_path: Path) -> None:
    (tmp_path / "reader").mkdir()
    follow(page, tmp_path / "reader")
    assert (tmp_path / "reader" / "a" / "b.txt").read_text() == "one\nthree\n"


def test_page_that_shows_what_is_not_printed_is_found(page: str, tmp_path: Path) -> None:
    (tmp_path / "harness.md").write_text(PAGE.replace("\nhere\n", "\nthere\n"), encoding="utf-8")
    with pytest.raises(AssertionError, match="echo here"):
        follow(page, tmp_path)


def test_change_of_what_is_not_there_is_found(page: str, tmp_path: Path) -> None:
    (tmp_path / "harness.md").write_text(PAGE.replace("   -two", "   -four"), encoding="utf-8")
    with pytest.raises(AssertionError, match=r"stands in b.txt 0 times"):
        follow(page, tmp_path)


def test_command_that_fails_in_a_script_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Block("x.md", 1, "sh", "try", "false\ntrue\n")
    monkeypatch.setattr("tests.docs.following.blocks", lambda page: (failing,))
    with pytest.raises(AssertionError, match=r"x.md:1"):
        follow("x.md", tmp_path)
