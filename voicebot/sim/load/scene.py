"""All that is up for a load: the model, the server, and the sessions to ask it with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from voicebot.errors import ScenarioError

from .model import Model
from .placement import on
from .plan import Plan, Theirs
from .readings import Readings
from .server import START_LIMIT_S, Ours, Server, serving


@dataclass(frozen=True)
class Scene:
    """What is up."""

    server: Server
    model: Model
    readings: Readings
    http: aiohttp.ClientSession


@asynccontextmanager
async def scene(
    plan: Plan, max_calls: int, *, greeting_ms: int | None = None, crm_url: str | None = None
) -> AsyncIterator[Scene]:
    """Put it up; nothing of it is left at the end.

    Args:
        max_calls: that our server may take.
        greeting_ms: the model says so much and nothing more; None: it converses.
        crm_url: where our server reports to.

    Raises:
        ScenarioError: the server did not start, or the model's address is taken.
    """
    readings = Readings()
    used = isinstance(plan.server, Ours) or plan.model_at is not None
    model = Model(plan.codec, readings, greeting_ms=greeting_ms, used=used)
    try:
        await model.listen(*(plan.model_at or ("127.0.0.1", 0)))
    except OSError as exc:
        raise ScenarioError(f"the model cannot listen: {exc.strerror}") from exc
    try:
        async with _server(plan.server, model, plan.codec, max_calls, crm_url) as server, open_http() as http:
            if not await server.idle(http, START_LIMIT_S):
                raise ScenarioError("the server does not answer:\n" + "\n".join(server.complaints()))
            with on(_cores(plan.server), first=_first(plan.server)):
                yield Scene(server, model, readings, http)
    finally:
        await model.close()


def open_http() -> aiohttp.ClientSession:
    """A client that does not queue: the phone line has connections enough."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


def _cores(server: Ours | Theirs) -> frozenset[int]:
    return server.placement.load if isinstance(server, Ours) else frozenset()


def _first(server: Ours | Theirs) -> bool:
    return isinstance(server, Ours) and server.first


@asynccontextmanager
async def _server(
    plan: Ours | Theirs, model: Model, codec: str, max_calls: int, crm_url: str | None
) -> AsyncIterator[Server]:
    if isinstance(plan, Theirs):
        yield Server(plan.target, plan.processes, (plan.origin,), ours=False)
        return
    async with serving(plan, model.url, codec, max_calls, crm_url) as server:
        yield server
