"""`voicebot serve`: the application on a socket, alone or as one of several workers, until somebody says stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from voicebot.errors import FlowError
from voicebot.flow.loader import FlowShelf, load_folder
from voicebot.log_events import named
from voicebot.settings import Settings

from .app import CALLS, WATCH, create_app
from .connections import Doors, make_runner
from .logs import configure_logging
from .reload import FollowedShelf
from .siblings import Siblings
from .sockets import listen
from .stopping import StopRequests

log = logging.getLogger(__name__)

AFTERMATH_S = 0.6  # after the last call: its phone line asks what comes next, and its report is delivered


def run_server(settings: Settings, host: str, port: int, *, reload: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, then finish the calls at work up to the drain limit; a second signal ends at once.

    Args:
        reload: load flow files anew when they change.

    Raises:
        VoicebotError: the settings, the flows or the store do not allow a start, or the port is taken.
    """
    configure_logging(settings.log, secrets=settings.secret_texts)
    _run(_serve(settings, lambda: listen(host, port), reload=reload))


def run_worker(settings: Settings, place: Place) -> None:
    """Serve as one of several, with what the supervisor gave, until it says stop or is gone.

    Raises:
        VoicebotError: the settings, the flows or the store do not allow a start.
    """
    configure_logging(settings.log, secrets=settings.secret_texts, worker=place.number)
    ours = settings.model_copy(update={"instance": worker_name(settings.instance, place.number)})
    _run(_serve(ours, lambda: [*place.shared, *place.own], place.link, Siblings(place.meeting, place.number)))


@dataclass(frozen=True)
class Place:
    """What a worker has from its supervisor: its number, the sockets it listens on, and one that the two share.

    `meeting` is a folder where the workers tell each other their metrics.
    """

    number: int
    shared: Sequence[socket.socket]
    own: Sequence[socket.socket]
    link: socket.socket
    meeting: Path


def worker_name(instance: str, number: int) -> str:
    """The name of a worker in stream addresses; `instance` is what the operator calls them all, or empty."""
    return f"{instance}-{number}" if instance else str(number)


def allow_many_files() -> None:
    """Let this process have as many files open as the system allows: a connection is one, a call with its model two."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # a system whose limit is not what it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _run(serving: Coroutine[object, object, None]) -> None:
    allow_many_files()
    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        runner.run(serving)


def _loaded(folder: Path) -> FlowShelf:
    """The flows to serve.

    Raises:
        FlowError: there is none, so that nobody could be answered.
    """
    shelf = load_folder(folder)
    if not shelf.flows:
        broken = "; ".join(map(str, shelf.problems))
        problem = f"no flow of {folder} can be loaded: {broken}" if broken else f"there is no flow in {folder}"
        raise FlowError(problem, mend="a flow is a Python file that defines `flow`; see `voicebot check`")
    return shelf


async def _serve(
    settings: Settings,
    opened: Callable[[], Sequence[socket.socket]],
    supervisor: socket.socket | None = None,
    siblings: Siblings | None = None,
    *,
    reload: bool = False,
) -> None:
    """
    Args:
        opened: gives the sockets to listen on, the one that the public reaches first.
        supervisor: told when the server answers, and heard when it is to stop.
        siblings: the other workers of this machine.
    """
    settings.require_serving()
    shelf = _loaded(settings.flows)
    followed = FollowedShelf(settings.flows, shelf) if reload else None
    app = await create_app(settings, shelf=followed or shelf, siblings=siblings)
    if followed is not None:
        app.cleanup_ctx.append(followed.followed)
    runner = make_runner(app)
    await runner.setup()
    doors, requests = Doors(runner), StopRequests(supervisor)
    gc.collect()
    gc.freeze()  # what is loaded by now stays: a full collection over it was measured to stall calls for 25 ms
    try:
        for one in opened():
            await doors.open(one)
        _say_where(doors, settings)
        requests.answering()
        await requests.first()
        await _finish_calls(app, doors, settings.drain_s, requests)
    finally:
        doors.close()
        await runner.cleanup()


def _say_where(doors: Doors, settings: Settings) -> None:
    (host, port), *others = doors.addresses
    log.info(
        "listening on http://%s:%s, known to Twilio as %s", host, port, settings.public_url, extra=named("serving")
    )
    if settings.instance:
        alone = sorted({other[1] for other in others} - {port}) or [port]
        log.info("streams named %s are taken on port %s", settings.instance, alone[0], extra=named("serving_streams"))


async def _finish_calls(app: web.Application, doors: Doors, limit_s: float, requests: StopRequests) -> None:
    """Take no more calls; let those at work finish, until the limit or a second request.

    Those left then go on in other instances, if there are any that take calls; else they end with a sentence. The
    server answers all the while: a call that is being put through needs its stream, one that ends its `after`.
    """
    calls, watch = app[CALLS], app[WATCH]
    calls.accepting = False
    await watch.take_no_more()
    log.info(
        "stopping: no new calls; %d at work; a second signal ends them at once", calls.count, extra=named("stopping")
    )
    last_words_s = AFTERMATH_S if calls.count else 0.0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s) as limit:
            requests.on_second(lambda: limit.reschedule(0.0))
            await calls.finished()
    if calls.at_work and (others := await watch.others()):
        log.info(
            "%d calls go on in %s", len(calls.at_work), ", ".join(sorted(others)), extra=named("calls_go_on_elsewhere")
        )
        doors.close()  # what comes now is for the others
        await calls.hand_over()
    await calls.end()
    await asyncio.sleep(last_words_s)


def _fast_loop() -> type[asyncio.AbstractEventLoop] | None:
    """uvloop, where it is installed (`pip install voicebot[fast]`)."""
    try:
        import uvloop
    except ImportError:
        return None
    loop: type[asyncio.AbstractEventLoop] = uvloop.Loop
    return loop
