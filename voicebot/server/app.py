"""The composition root: settings in, an application out. The only module, with the command line, that wires."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

from aiohttp import web

from voicebot.audio.formats import AudioFormat
from voicebot.delivery.post import WebhookPost, open_session
from voicebot.delivery.worker import DeliveryWorker
from voicebot.flow.loader import FlowShelf, load_folder
from voicebot.settings import Settings, stream_secret
from voicebot.store.opening import open_store
from voicebot.telephony.signatures import SignatureChecker

from .lifecycle import Calls, ModelAccess, ReportTarget, in_background
from .status_routes import StatusRoutes
from .twilio_routes import TwilioRoutes

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 1024
CALLS: web.AppKey[Calls] = web.AppKey("calls", Calls)


def utc_now() -> datetime:
    """The time of day, aware."""
    return datetime.now(UTC)


async def create_app(
    settings: Settings, *, shelf: FlowShelf | None = None, wall: Callable[[], datetime] = utc_now
) -> web.Application:
    """Put an application together; its store is open and its flows are loaded on return.

    Args:
        settings: everything the operator chose.
        shelf: flows to use instead of those in the settings' folder.
        wall: the time of day, aware UTC.

    Raises:
        SettingsError: a setting is missing.
        FlowError: the flow folder does not exist.
        StoreError: the store cannot be opened.
    """
    settings.require_serving()
    flows = shelf if shelf is not None else load_folder(settings.flows)
    for problem in flows.problems:
        log.error("a flow was not loaded: %s", problem)
    for name in sorted({settings.default_flow, *settings.numbers.values()} - {"", *flows.flows}):
        log.error("VOICEBOT_NUMBERS or VOICEBOT_DEFAULT_FLOW names %r, and no such flow is loaded", name)
    secret = stream_secret(settings)
    store = await open_store(settings.store)
    session = open_session()
    secrets = [one.get_secret_value() for one in settings.webhook_secrets]
    post = WebhookPost(session, lambda _url: secrets, wall)
    worker = DeliveryWorker(store, post, wall, random.random)
    audio_format = AudioFormat(settings.codec)
    readable = settings.public_url if settings.api_token.get_secret_value() else None
    calls = Calls(
        store=store,
        access=ModelAccess(
            url=settings.realtime_url,
            api_key=settings.openai_api_key.get_secret_value,
            model=settings.model,
            transcription_model=settings.transcription_model,
            audio_format=audio_format,
        ),
        target=ReportTarget(settings.webhook_url, readable),
        max_calls=settings.max_calls,
        wall=wall,
        reported=worker.wake,
    )
    twilio = TwilioRoutes(
        calls=calls,
        store=store,
        shelf=lambda: flows,
        checker=SignatureChecker([one.get_secret_value() for one in settings.twilio_auth_tokens], settings.public_url),
        secret=secret,
        public_url=settings.public_url,
        audio_format=audio_format,
        numbers=settings.numbers,
        default_flow=settings.default_flow,
        wall=wall,
    )
    status = StatusRoutes(calls=calls, store=store, api_token=settings.api_token.get_secret_value())

    async def deliver(app: web.Application) -> AsyncIterator[None]:
        async with in_background(worker.run(), name="delivery"):
            yield
        await session.close()
        await store.close()

    async def end_calls(app: web.Application) -> None:
        # Whoever serves lets them finish before: by now aiohttp drops what their sockets receive.
        await calls.end()

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app[CALLS] = calls
    app.add_routes([*twilio.routes(), *status.routes()])
    app.cleanup_ctx.append(deliver)
    app.on_shutdown.append(end_calls)
    return app
