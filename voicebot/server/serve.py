"""`voicebot serve`: the application on a socket, until a signal says stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from voicebot.errors import FlowError, SettingsError
from voicebot.flow.loader import FlowShelf, load_folder
from voicebot.settings import Settings

from .app import CALLS, create_app
from .lifecycle import Calls

log = logging.getLogger(__name__)

KEEPALIVE_S = 30.0
AFTERMATH_S = 0.6  # after the last call: its phone line asks what comes next, and its report is delivered


def run_server(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then finish the calls at work up to the drain limit; a second signal ends at once.

    Raises:
        VoicebotError: the settings, the flows or the store do not allow a start, or the port is taken.
    """
    configure_logging()
    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        runner.run(_serve(settings, host, port))


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


async def _serve(settings: Settings, host: str, port: int) -> None:
    settings.require_serving()
    app = await create_app(settings, shelf=_loaded(settings.flows))
    runner = make_runner(app)
    await runner.setup()
    stop = asyncio.Event()
    _on_signal(stop.set)
    gc.collect()
    gc.freeze()  # what is loaded by now stays: a full collection over it was measured to stall calls for 25 ms
    try:
        await _listen(runner, host, port)
        log.info("listening on http://%s:%s, known to Twilio as %s", host, runner.addresses[0][1], settings.public_url)
        await stop.wait()
        await _finish_calls(app[CALLS], settings.drain_s)
    finally:
        await runner.cleanup()


def make_runner(app: web.Application) -> web.AppRunner:
    """How aiohttp serves an application of ours. Nobody sends us compressed bodies, so none is unpacked."""
    return web.AppRunner(
        app, access_log=None, keepalive_timeout=KEEPALIVE_S, auto_decompress=False, shutdown_timeout=1.0
    )


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as exc:
        problem = f"cannot listen on {host}, port {port}: {os.strerror(exc.errno) if exc.errno else exc}"
        raise SettingsError("--host, --port", problem, "Choose others, or stop what listens there.") from exc


async def _finish_calls(calls: Calls, limit_s: float) -> None:
    """Take no more calls; let those at work finish, until the limit or a second signal; then end them.

    The server answers all the while: a call that is being put through needs its stream, one that ends its `after`.
    """
    log.info("stopping: no new calls; %d at work; a second signal ends them at once", calls.count)
    calls.accepting = False
    last_words_s = AFTERMATH_S if calls.count else 0.0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s) as limit:
            _on_signal(lambda: limit.reschedule(0.0))
            await calls.finished()
    _on_signal(_quit)
    await calls.end()
    await asyncio.sleep(last_words_s)


def _on_signal(act: Callable[[], object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, act)


def _quit() -> None:
    raise SystemExit(1)


def _fast_loop() -> type[asyncio.AbstractEventLoop] | None:
    """uvloop, where it is installed (`pip install voicebot[fast]`)."""
    try:
        import uvloop
    except ImportError:
        return None
    loop: type[asyncio.AbstractEventLoop] = uvloop.Loop
    return loop


class _CallFormatter(logging.Formatter):
    """One readable line, with the call's id where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        record.call = f" [{record.call_sid}]" if hasattr(record, "call_sid") else ""
        return super().format(record)


def configure_logging() -> None:
    """Log to stderr, one line an event."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_CallFormatter("%(asctime)s %(levelname)-7s %(name)s%(call)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
