"""What `deploy/` is for, on this machine: nginx with TLS before two instances on a Redis, between twins of the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
from yarl import URL

from tests.fakes import environment
from tests.nginx_server import NginxServer, free_port
from tests.redis_server import RedisServer
from voicebot.sim.brain import Brain
from voicebot.sim.fleet import PUBLIC_HOST, Fleet, Front, fleet
from voicebot.sim.instance import Instance

NAMES = ("voicebot-1", "voicebot-2")  # as in deploy/nginx/instances.conf
NAMED_STREAMS = f"wss://{PUBLIC_HOST}/twilio/media/"


@dataclass(frozen=True)
class Deployment:
    """All of it at work. Phones of `made` come by nginx."""

    made: Fleet
    nginx: NginxServer

    def named(self, stream_url: str) -> Instance:
        """The instance that the address of a stream names."""
        return self.made.instances[stream_url.removeprefix(NAMED_STREAMS)]

    def other(self, instance: Instance) -> Instance:
        """The other one."""
        (found,) = (one for one in self.made.instances.values() if one is not instance)
        return found

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[Browser]:
        """Somebody outside."""
        async with aiohttp.ClientSession(headers={"Host": PUBLIC_HOST}) as http:
            yield Browser(self.nginx, http)


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str


@dataclass(frozen=True)
class Browser:
    """A client of the public address; redirects are not followed."""

    nginx: NginxServer
    http: aiohttp.ClientSession

    async def ask(
        self,
        method: str,
        path: str,
        *,
        plain: bool = False,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        json: object = None,
    ) -> Answer:
        """Ask for something, as `path` stands; `plain`: without TLS."""
        port = self.nginx.plain_port if plain else self.nginx.tls_port
        async with self.http.request(
            method,
            URL(f"{'http' if plain else 'https'}://127.0.0.1:{port}{path}", encoded=True),
            headers=headers,
            data=form,
            json=json,
            ssl=self.nginx.trust,
            server_hostname=None if plain else PUBLIC_HOST,
            allow_redirects=False,
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.text())

    async def open(self, path: str, headers: Mapping[str, str] | None = None) -> aiohttp.ClientWebSocketResponse:
        """A WebSocket.

        Raises:
            aiohttp.WSServerHandshakeError: it is refused.
        """
        return await self.http.ws_connect(
            f"https://127.0.0.1:{self.nginx.tls_port}{path}",
            headers=headers,
            ssl=self.nginx.trust,
            server_hostname=PUBLIC_HOST,
        )


@asynccontextmanager
async def deployment(
    folder: Path, brain_factory: Callable[[], Brain], *, flows: Path, record: bool = True, **settings: str
) -> AsyncIterator[Deployment]:
    """Everything started; nothing is left at the end. `folder` must exist, and gets what they write."""
    (folder / "instances").mkdir()
    ports = [free_port() for _ in NAMES]
    with (
        RedisServer(folder / "redis") as redis,
        NginxServer(folder / "nginx", dict(zip(NAMES, ports, strict=True))) as nginx,
    ):
        async with fleet(
            folder / "instances",
            brain_factory,
            flows=flows,
            environment=environment(),
            names=NAMES,
            ports=ports,
            store=redis.address,
            settings=settings,
            record=record,
        ) as made:
            yield Deployment(replace(made, front=Front(nginx.address, nginx.trust)), nginx)


class Kept:
    """A deployment for many tests: it is begun and ended by one task, whoever asks for it.

    (A task group must be left by the task that entered it; a fixture's beginning and end are two.)
    """

    def __init__(self) -> None:
        self._done = asyncio.Event()
        self._begun: asyncio.Future[Deployment] = asyncio.get_running_loop().create_future()

    async def begin(
        self, folder: Path, brain_factory: Callable[[], Brain], *, flows: Path, **settings: str
    ) -> Deployment:
        """Start it."""
        self._task = asyncio.create_task(self._keep(folder, brain_factory, flows, settings))
        await asyncio.wait([self._task, self._begun], return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            await self._task
        return self._begun.result()

    async def end(self) -> None:
        self._done.set()
        await self._task

    async def _keep(
        self, folder: Path, brain_factory: Callable[[], Brain], flows: Path, settings: dict[str, str]
    ) -> None:
        async with deployment(folder, brain_factory, flows=flows, record=True, **settings) as made:
            self._begun.set_result(made)
            await self._done.wait()
