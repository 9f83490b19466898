"""`serve --reload`: flow files are loaded anew when they change, for those who write them.

Calls at work go on with the flow they began with. A file that does not load any more leaves its running version in use.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from voicebot.errors import FlowError
from voicebot.flow.loader import FlowShelf, flow_files, load_folder
from voicebot.log_events import named

from .lifecycle import in_background

log = logging.getLogger(__name__)

POLL_S = 0.5

Marks = dict[Path, tuple[int, int]]


def marks(folder: Path) -> Marks:
    """What tells that a file of the folder was changed: its time (ns) and its size. Python's caches do not count."""
    found: Marks = {}
    for path in folder.rglob("*"):
        if "__pycache__" in path.parts:
            continue
        try:
            status = path.stat()
        except OSError:  # removed while we looked
            continue
        if path.is_file():
            found[path] = (status.st_mtime_ns, status.st_size)
    return found


def joined(running: FlowShelf, fresh: FlowShelf, names: set[str]) -> FlowShelf:
    """The flows as they are now, and the running version of those that did not load.

    Args:
        names: of the flow files that are there.
    """
    kept = {name: loaded for name, loaded in running.flows.items() if name in names}
    flows = {**kept, **fresh.flows}
    return FlowShelf({name: flows[name] for name in sorted(flows)}, fresh.problems)


class FollowedShelf:
    """The flows of a folder as it is now; call it for the shelf."""

    def __init__(self, folder: Path, shelf: FlowShelf, *, poll_s: float = POLL_S) -> None:
        """`shelf`: what was loaded of the folder a moment ago."""
        self._folder, self._shelf, self._poll_s = folder, shelf, poll_s
        self._seen = marks(folder)

    def __call__(self) -> FlowShelf:
        return self._shelf

    async def followed(self, app: web.Application) -> AsyncIterator[None]:
        """The folder is followed while the application runs (for its `cleanup_ctx`)."""
        async with in_background(self._follow(), name="reload"):
            yield

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            seen = await asyncio.to_thread(marks, self._folder)
            if seen != self._seen:
                self._seen = seen
                await self._load()

    async def _load(self) -> None:
        try:
            fresh = await asyncio.to_thread(load_folder, self._folder)
            names = {path.stem for path in flow_files(self._folder)}
        except FlowError as exc:
            log.error("the flows stay as they were: %s", exc, extra=named("flows_not_reloaded"))
            return
        running, self._shelf = self._shelf, joined(self._shelf, fresh, names)
        for problem in fresh.problems:
            log.error("a flow was not loaded, and stays as it was: %s", problem, extra=named("flow_not_loaded"))
        for name, loaded in self._shelf.flows.items():
            if name not in running.flows or running.flows[name].version != loaded.version:
                log.info(
                    "flow %s is version %s from the next call on", name, loaded.version, extra=named("flows_reloaded")
                )
        for name in running.flows.keys() - self._shelf.flows.keys():
            log.info("flow %s is gone", name, extra=named("flows_reloaded"))
