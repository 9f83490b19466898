"""The composition root: settings in, an application out. The only module, with the command line, that wires."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import aiohttp
from aiohttp import web

from voicebot import __version__
from voicebot.audio.formats import AudioFormat
from voicebot.delivery.events import Target, Targets
from voicebot.delivery.guard import AddressGuard
from voicebot.delivery.keys import Keyring
from voicebot.delivery.placeholders import FillingPost
from voicebot.delivery.post import WebhookPost
from voicebot.delivery.worker import DeliveryWorker
from voicebot.flow.loader import FlowShelf, load_folder
from voicebot.log_events import named
from voicebot.observe.prices import price_of
from voicebot.observe.tracing import Tracing, otlp_tracing
from voicebot.settings import Settings, stream_secret
from voicebot.store.opening import open_store
from voicebot.telephony.rest import TwilioRest
from voicebot.telephony.signatures import SignatureChecker
from voicebot.vault import Vault

from .api.calls import CallEndpoints
from .api.endpoint import Gate
from .api.flows import FlowEndpoints
from .api.operations import Operations
from .api.outbox import OutboxEndpoints
from .api.problems import problem_details
from .api.rates import Rates
from .api.site import Site, operator_endpoints, order_endpoints
from .api.tokens import ApiTokens, Bearer, Token
from .connections import counted, guard
from .console import Console
from .console_sessions import ConsoleSessions
from .conversations import Conversations
from .do_not_call import DoNotCall
from .gatekeeper import Gatekeeper
from .instance import new_owner
from .last_messages import LastMessages
from .lifecycle import Calls, ModelAccess, in_background
from .lobby import LEAST_WAITING, Lobby
from .loop_lag import Change, LoopLag
from .messenger import Messenger
from .metrics_routes import MetricsRoutes
from .observing import Observing
from .outbound import Outbound
from .outbound_routes import OutboundRoutes
from .overflow import Overflow
from .passing import AFTER_PATH, Passing
from .proxies import Proxies
from .recording import Recordings, recordings_folder
from .reporting import Reporter
from .retention import keep_erasing
from .siblings import Siblings
from .status_routes import StatusRoutes
from .twilio_routes import VOICE_PATH, TwilioRoutes
from .watch import Watch

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 1024
CALLS: web.AppKey[Calls] = web.AppKey("calls", Calls)
WATCH: web.AppKey[Watch] = web.AppKey("watch", Watch)
LOOP_LAG: web.AppKey[LoopLag] = web.AppKey("loop_lag", LoopLag)


def utc_now() -> datetime:
    """The time of day, aware."""
    return datetime.now(UTC)


def keyring(settings: Settings) -> Keyring:
    """The secrets of receivers, as the settings hold them."""
    named = {name: [one.get_secret_value() for one in some] for name, some in settings.receiver_secrets.items()}
    return Keyring([one.get_secret_value() for one in settings.webhook_secrets], named)


def _targets(settings: Settings) -> Targets:
    """Who is told of calls; whole reports can be read by those who have the API token."""
    default = Target("", settings.webhook_url, frozenset(settings.webhook_events)) if settings.webhook_url else None
    return Targets(default, settings.public_url if settings.all_api_tokens else None)


async def create_app(
    settings: Settings,
    *,
    shelf: FlowShelf | Callable[[], FlowShelf] | None = None,
    wall: Callable[[], datetime] = utc_now,
    siblings: Siblings | None = None,
    tracing: Tracing | None = None,
) -> web.Application:
    """Put an application together; its store is open and its flows are loaded on return.

    Args:
        settings: everything the operator chose.
        shelf: flows to use instead of those in the settings' folder; or what gives them anew for each call.
        wall: the time of day, aware UTC.
        siblings: the other workers of this machine.
        tracing: where spans go, instead of where the settings say.

    Raises:
        SettingsError: a setting is missing.
        FlowError: the flow folder does not exist.
        StoreError: the store cannot be opened.
    """
    settings.require_serving()
    current = _shelf_of(shelf, settings)
    flows = current()
    for problem in flows.problems:
        log.error("a flow was not loaded: %s", problem, extra=named("flow_not_loaded"))
    for unknown in sorted({settings.default_flow, *settings.numbers.values()} - {"", *flows.flows}):
        log.error(
            "VOICEBOT_NUMBERS or VOICEBOT_DEFAULT_FLOW names %r, and no such flow is loaded",
            unknown,
            extra=named("flow_unknown"),
        )
    keys = keyring(settings)
    keys.require((name, loaded.flow) for name, loaded in flows.flows.items())
    if tracing is None and settings.otlp_endpoint:
        tracing = otlp_tracing(settings.otlp_endpoint, settings.otel_service, __version__)
    lag = LoopLag(settings.shed_lag_ms / 1000, _say_overload)
    gatekeeper = Gatekeeper(
        Proxies(settings.trusted_proxies),
        total=settings.max_connections,
        per_address=settings.max_connections_per_address,
    )
    price = price_of(settings.model, settings.prices)
    observing = Observing(
        price=price,
        tracing=tracing,
        worker=siblings.number if siblings is not None else None,
        loop_lag=lambda: lag.lag_s,
        gatekeeper=gatekeeper,
    )
    secret = stream_secret(settings)
    vault = Vault(secret)
    store = await open_store(settings.store)
    vendor = aiohttp.ClientSession()
    post = WebhookPost(AddressGuard(settings.allowed_addresses), keys, wall)
    filling = FillingPost(post, store.secrets, vault.open)
    worker = DeliveryWorker(store, filling, wall, random.random, attempted=observing.delivered)
    audio_format = AudioFormat(settings.codec)
    tokens = [one.get_secret_value() for one in settings.twilio_auth_tokens]
    account = settings.twilio_account_sid
    rest = TwilioRest(vendor, settings.twilio_api_url, account, tokens[0]) if account else None
    messenger = Messenger(rest, settings.outbound_allow, observing.outbound_refused)
    last_messages = LastMessages(store, messenger.send, wall, observing.texted)
    reporter = Reporter(
        store, _targets(settings), current, wall, worker.wake, observing.reported, messages=last_messages
    )
    folder = recordings_folder(settings.data_folder, settings.recording_keys)
    recordings = Recordings(settings.record, folder)
    calls = Calls(
        owner=new_owner(settings.instance),
        store=store,
        access=ModelAccess(
            url=settings.realtime_url,
            api_key=settings.openai_api_key.get_secret_value,
            model=settings.model,
            transcription_model=settings.transcription_model,
            audio_format=audio_format,
            cost_of=price.of if price is not None else None,
        ),
        shelf=current,
        reporter=reporter,
        max_calls=settings.max_calls,
        wall=wall,
        observer=observing,
        overloaded=lambda: lag.overloaded,
        send=messenger.send,
        recordings=recordings,
        seal=vault.seal,
    )
    watch = Watch(store, calls, reporter, rest, settings.public_url + AFTER_PATH, wall)
    lobby = Lobby(
        owner=calls.owner,
        store=store,
        reporter=reporter,
        shelf=current,
        house=settings.full_house,
        most_waiting=max(settings.max_calls, LEAST_WAITING),
        public_url=settings.public_url,
        voice_path=VOICE_PATH,
        wall=wall,
        refused=lambda obstacle: twilio.turned_away(obstacle),
        waited=observing.waited,
    )
    twilio = TwilioRoutes(
        calls=calls,
        passing=Passing(store=store, calls=calls, shelf=current, public_url=settings.public_url, wall=wall),
        store=store,
        shelf=current,
        checker=SignatureChecker(tokens, settings.public_url),
        secret=secret,
        public_url=settings.public_url,
        audio_format=audio_format,
        numbers=settings.numbers,
        default_flow=settings.default_flow,
        wall=wall,
        others=watch.others,
        refused=observing.refused,
        lobby=lobby,
        overflow=Overflow(settings.full_house, settings.public_url),
        counts=gatekeeper.counts,
    )
    held = [Token(Bearer(one.name, one.scope), one.token.get_secret_value()) for one in settings.all_api_tokens]
    token = ApiTokens(held, gatekeeper.counts, asyncio.get_running_loop().time)
    outbound = Outbound(
        store=store,
        calls=calls,
        reporter=reporter,
        rest=rest,
        shelf=current,
        policy=settings.outbound_policy,
        do_not_call=DoNotCall(settings.do_not_call),
        numbers=settings.numbers,
        public_url=settings.public_url,
        ring_s=settings.outbound_ring_s,
        wall=wall,
        line_over=twilio.line_over,
        refused=observing.outbound_refused,
        ended=observing.outbound,
    )
    placing = OutboundRoutes(outbound=outbound, twilio=twilio, store=store)
    conversations = Conversations(
        calls=calls,
        store=store,
        shelf=current,
        tokens=token,
        secret=secret,
        public_url=settings.public_url,
        allowed_origins=settings.allowed_origins,
        wall=wall,
        counts=gatekeeper.counts,
    )
    status = StatusRoutes(calls=calls, store=store)
    operations = Operations(calls, store, wall)
    price = price_of(settings.model, settings.prices)
    time = asyncio.get_running_loop().time
    of_calls = CallEndpoints(calls=calls, store=store, operations=operations, recordings=folder, price=price, time=time)
    metrics = MetricsRoutes(observing, calls, store, wall, siblings=siblings, token=token)

    sessions = ConsoleSessions(token, secret, settings.public_url, wall, gatekeeper.counts)
    gate = Gate(token, Rates(settings.api_rate), time, sessions.check)
    site = Site(
        [
            *order_endpoints(placing),
            *conversations.endpoints(),
            *of_calls.endpoints(),
            *FlowEndpoints(current, store, wall).endpoints(),
            *OutboxEndpoints(store, wall, worker.wake, price).endpoints(),
            *operator_endpoints(status, metrics),
        ],
        gate,
        version=__version__,
    )

    async def work(app: web.Application) -> AsyncIterator[None]:
        observing.begin()
        async with AsyncExitStack() as running:
            if siblings is not None:
                await running.enter_async_context(siblings.answering(lambda: observing.own_text(calls, store)))
            await running.enter_async_context(in_background(worker.run(), name="delivery"))
            await running.enter_async_context(in_background(watch.run(), name="watch"))
            await running.enter_async_context(in_background(outbound.run(), name="outbound"))
            await running.enter_async_context(in_background(lobby.run(), name="lobby"))
            await running.enter_async_context(in_background(lag.run(), name="loop lag"))
            await running.enter_async_context(in_background(operations.run(), name="letters"))
            sweeping = recordings.keep_sweeping(store)
            await running.enter_async_context(in_background(sweeping, name="recordings"))
            if settings.retention_days:
                erasing = keep_erasing(store, settings.retention_days, wall, recordings=folder)
                await running.enter_async_context(in_background(erasing, name="retention"))
            yield
        await watch.retire()
        await post.close()
        await vendor.close()
        await store.close()
        await observing.close()

    async def end_calls(app: web.Application) -> None:
        # Whoever serves lets them finish before: by now aiohttp drops what their sockets receive.
        await calls.end()

    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[counted, observing.middleware, problem_details])
    app[CALLS], app[WATCH], app[LOOP_LAG] = calls, watch, lag
    guard(app, gatekeeper)
    console = Console(sessions, gate, settings.public_url)
    app.add_routes([*twilio.routes(), *placing.routes(), *site.routes(), *console.routes()])
    app.on_response_prepare.append(sessions.prepared)
    app.cleanup_ctx.append(work)
    app.on_shutdown.append(end_calls)
    return app


def _say_overload(change: Change, lag_s: float) -> None:
    if change == "overloaded":
        log.warning(
            "this process is %.0f ms late with its calls: new ones are refused", lag_s * 1000, extra=named("lagging")
        )
    else:
        log.info("this process keeps time again: new calls are taken", extra=named("lagging_no_more"))


def _shelf_of(given: FlowShelf | Callable[[], FlowShelf] | None, settings: Settings) -> Callable[[], FlowShelf]:
    if callable(given):
        return given
    shelf = given if given is not None else load_folder(settings.flows)
    return lambda: shelf
