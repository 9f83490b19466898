"""Flow files that change while the server runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.server.test_serve import server
from tests.short_call import FLOW as SERVED
from voicebot.flow.loader import FlowShelf, load_folder
from voicebot.server.reload import FollowedShelf, joined, marks

LIMIT_S = 20.0
FLOW = """\
from voicebot.flow import Flow, Phase
flow = Flow(goal="{}", phases=[Phase("hello", instructions="Say hello.")])
"""
BROKEN = "flow = 1 +\n"


def write(folder: Path, name: str, text: str) -> None:
    """Put a file there whole, as editors do."""
    (folder / "new").write_text(text)
    (folder / "new").replace(folder / name)


def goals(shelf: FlowShelf) -> dict[str, str]:
    return {name: loaded.flow.goal for name, loaded in shelf.flows.items()}


@asynccontextmanager
async def followed(folder: Path) -> AsyncIterator[FollowedShelf]:
    shelf = FollowedShelf(folder, load_folder(folder), poll_s=0.01)
    site = web.AppRunner(app := web.Application())
    app.cleanup_ctx.append(shelf.followed)
    await site.setup()
    try:
        yield shelf
    finally:
        await site.cleanup()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not holds():  # noqa: ASYNC110 - nobody says when a file was seen
            await asyncio.sleep(0.01)


async def until_goals(shelf: FollowedShelf, **expected: str) -> None:
    """Wait until the flows have these goals, by their names, and there are no others."""
    await until(lambda: goals(shelf()) == expected)


async def test_changed_added_and_removed_files_are_followed(tmp_path: Path) -> None:
    write(tmp_path, "one.py", FLOW.format("first"))
    async with followed(tmp_path) as shelf:
        await until_goals(shelf, one="first")
        write(tmp_path, "one.py", FLOW.format("second"))
        await until_goals(shelf, one="second")
        write(tmp_path, "two.py", FLOW.format("another"))
        await until_goals(shelf, one="second", two="another")
        (tmp_path / "one.py").unlink()
        await until_goals(shelf, two="another")


async def test_broken_file_leaves_its_running_version(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    write(tmp_path, "one.py", FLOW.format("first"))
    async with followed(tmp_path) as shelf:
        write(tmp_path, "one.py", BROKEN)
        write(tmp_path, "two.py", FLOW.format("another"))
        await until_goals(shelf, one="first", two="another")
        await until(lambda: "stays as it was" in caplog.text)
        assert f"{tmp_path}/one.py:1: syntax error" in caplog.text
        write(tmp_path, "one.py", FLOW.format("mended"))
        await until_goals(shelf, one="mended", two="another")
    assert "flow one is version" in caplog.text


async def test_folder_that_is_gone_leaves_all_as_it_was(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "flows"
    folder.mkdir()
    write(folder, "one.py", FLOW.format("first"))
    async with followed(folder) as shelf:
        folder.rename(tmp_path / "elsewhere")
        await until(lambda: "the flows stay as they were" in caplog.text)
        await until_goals(shelf, one="first")


def test_knowledge_counts_and_caches_do_not(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "one.pyc").write_text("x")
    (tmp_path / "menu.md").write_text("pizza")
    before = marks(tmp_path)
    assert before.keys() == {tmp_path / "menu.md"}
    (tmp_path / "menu.md").write_text("pizza and pasta")
    assert marks(tmp_path) != before


def test_only_files_that_are_there_are_kept(tmp_path: Path) -> None:
    for name in ("kept", "gone", "changed"):
        write(tmp_path, f"{name}.py", FLOW.format("old"))
    running = load_folder(tmp_path)
    for path in tmp_path.glob("*.py"):
        path.unlink()
    write(tmp_path, "changed.py", FLOW.format("new"))
    write(tmp_path, "kept.py", BROKEN)
    shelf = joined(running, load_folder(tmp_path), {"kept", "changed"})
    assert goals(shelf) == {"changed": "new", "kept": "old"}
    assert [str(problem.where) for problem in shelf.problems] == [f"{tmp_path}/kept.py:1"]


async def test_served_flow_is_what_its_file_says_now(tmp_path: Path) -> None:
    async with server(tmp_path, "--reload") as made:
        write(tmp_path / "flows", "visit.py", BROKEN)
        async with asyncio.timeout(LIMIT_S):
            await made.logged("a flow was not loaded, and stays as it was: flows/visit.py:1: syntax error")
        write(tmp_path / "flows", "visit.py", SERVED.replace("Hello!", "Good morning!"))
        async with asyncio.timeout(LIMIT_S):
            await made.logged("flow visit is version")
        assert [spoken.text for spoken in (await made.call()).bot_said][:1] == ["Good morning!"]
        made.signal()
        assert await made.exited() == 0
    assert "Traceback" not in "".join(made.log)
