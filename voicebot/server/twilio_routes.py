"""What Twilio asks of us: the voice webhook, the media socket, and what comes after.

Each request is checked against the signature over the configured public origin. Answers are idempotent on the CallSid:
a repeated webhook gets the same TwiML. Whatever fails before a stream exists, the caller hears a sentence.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import wraps

from aiohttp import WSCloseCode, web

from voicebot.audio.formats import AudioFormat
from voicebot.engine.entries import EndedReason
from voicebot.errors import FlowError, LegLostError, MediaStreamError, RefusedRequestError, StoreError, VoicebotError
from voicebot.flow.loader import FlowShelf, LoadedFlow
from voicebot.store.contract import CallRecord, Store
from voicebot.telephony import tokens, twiml
from voicebot.telephony.leg import PhoneLeg, read_start
from voicebot.telephony.signatures import SignatureChecker

from .lifecycle import ENDED_BADLY, Calls

log = logging.getLogger(__name__)

MEDIA_PATH = "/twilio/media"
AFTER_PATH = "/twilio/after"
BODY_LIMIT_S = 5.0
START_LIMIT_S = 5.0
WRITE_LIMIT_S = 5.0
HEARTBEAT_S = 20.0
MAX_FRAME_BYTES = 64 * 1024
_CALL_SID = re.compile(r"CA[0-9a-f]{32}")
_NUMBER = re.compile(r"\+[1-9]\d{6,14}")
_ENDED = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
_FORM = "application/x-www-form-urlencoded"  # how Twilio posts; nothing else is parsed
_LANGUAGE: web.RequestKey[str] = web.RequestKey("language", str)  # of the caller, once the flow is known

Handler = Callable[["TwilioRoutes", web.Request], Awaitable[web.StreamResponse]]


def _spoken_fallback(handler: Handler) -> Handler:
    """Answer with a sentence for the caller when the handler fails for any reason but a forged request."""

    @wraps(handler)
    async def answered(self: TwilioRoutes, request: web.Request) -> web.StreamResponse:
        try:
            return await handler(self, request)
        except RefusedRequestError as exc:
            log.warning("refused %s: %s", request.path, exc)
            raise web.HTTPForbidden(text="the request is not signed as expected") from exc
        except web.HTTPException:
            raise
        except VoicebotError as exc:
            log.error("%s failed: %s", request.path, exc)
        except Exception:  # boundary of a request: the caller hears a sentence, the process goes on
            log.exception("%s failed", request.path)
        return _xml(twiml.say_trouble(request.get(_LANGUAGE, self.language)))

    return answered


class TwilioRoutes:
    """The handlers of `/twilio/…`."""

    def __init__(
        self,
        *,
        calls: Calls,
        store: Store,
        shelf: Callable[[], FlowShelf],
        checker: SignatureChecker,
        secret: bytes,
        public_url: str,
        audio_format: AudioFormat,
        numbers: dict[str, str],
        default_flow: str,
        wall: Callable[[], datetime],
    ) -> None:
        self._calls, self._store, self._shelf, self._checker = calls, store, shelf, checker
        self._secret, self._public_url, self._audio_format = secret, public_url, audio_format
        self._numbers, self._default_flow, self._wall = numbers, default_flow, wall

    def routes(self) -> list[web.RouteDef]:
        """One line per route."""
        return [
            web.post("/twilio/voice", self.voice),
            web.get(MEDIA_PATH, self.media),
            web.post(AFTER_PATH, self.after),
            web.post("/twilio/status", self.status),
            web.post("/twilio/stream-status", self.stream_status),
        ]

    @property
    def language(self) -> str:
        """The language of sentences spoken when no flow is known: that of the first one loaded."""
        return next((loaded.flow.languages[0] for loaded in self._shelf().flows.values()), "en")

    # ---- webhooks -------------------------------------------------------------------------------------------------

    @_spoken_fallback
    async def voice(self, request: web.Request) -> web.Response:
        """A call comes in: begin it, and tell Twilio to open the stream."""
        form = await self._signed_form(request)
        call_sid = _call_sid(form)
        loaded = self._route(form.get("To", ""))
        request[_LANGUAGE] = language = loaded.flow.languages[0]
        now = self._wall()
        known = CallRecord(
            call_sid=call_sid,
            flow_name=loaded.name,
            flow_version=loaded.version,
            caller=_number(form.get("From", "")),
            called=_number(form.get("To", "")),
            direction="inbound",
            started=now,
            attempt=1,
            token_issued_at=int(now.timestamp()),
        )
        with self._calls.place(call_sid) as held:
            if not held:
                log.warning("no room for another call", extra={"call_sid": call_sid})
                return _xml(twiml.say_goodbye(language))
            record, is_new = await self._store.open_call(known)
            if is_new:
                self._calls.open(record, loaded)
        if record.ended is not None:
            return _xml(twiml.hang_up())
        socket_origin = "ws" + self._public_url.removeprefix("http")
        return _xml(
            twiml.connect_stream(
                stream_url=socket_origin + MEDIA_PATH,
                action_url=self._public_url + AFTER_PATH,
                token=tokens.mint(self._secret, call_sid, record.attempt, record.token_issued_at),
                status_url=self._public_url + "/twilio/stream-status",
            )
        )

    @_spoken_fallback
    async def after(self, request: web.Request) -> web.Response:
        """The stream has ended: hang up; if it ended badly, with a sentence first."""
        form = await self._signed_form(request)
        call_sid = _call_sid(form)
        session = self._calls.get(call_sid)
        if session is not None:
            session.hang_up()
            ending = session.ending, session.core.engine.flow.languages[0]
        else:
            ending = await self._reported_ending(call_sid)
        reason, language = ending
        return _xml(twiml.say_trouble(language) if reason in ENDED_BADLY else twiml.hang_up())

    async def _reported_ending(self, call_sid: str) -> tuple[EndedReason | None, str]:
        """Why a call ended that is not at work here any more, and the language of its flow."""
        report = await self._store.report(call_sid)
        if report is None:
            return "error", self.language
        ended = json.loads(report)["data"]
        loaded = self._shelf().flows.get(ended["flow"])
        return ended["ended_reason"], loaded.flow.languages[0] if loaded is not None else self.language

    async def status(self, request: web.Request) -> web.Response:
        """The call's status changed: at its end, a session that still waits for its stream gives up."""
        form = await self._signed_or_forbidden(request)
        session = self._calls.get(_call_sid(form))
        if session is not None and form.get("CallStatus") in _ENDED:
            session.hang_up()
        return web.Response(status=204)

    async def stream_status(self, request: web.Request) -> web.Response:
        """The stream's status changed: errors are logged with Twilio's words."""
        form = await self._signed_or_forbidden(request)
        if form.get("StreamEvent") == "stream-error":
            log.warning("stream error: %.200s", form.get("StreamError"), extra={"call_sid": _call_sid(form)})
        return web.Response(status=204)

    # ---- the media socket -----------------------------------------------------------------------------------------

    async def media(self, request: web.Request) -> web.StreamResponse:
        """A stream comes: give it to its call, and keep it until the call is over."""
        try:
            self._checker.check_handshake(request.path, request.headers.get("X-Twilio-Signature"))
        except RefusedRequestError as exc:
            log.warning("refused a stream: %s", exc)
            raise web.HTTPForbidden(text="the handshake is not signed as expected") from exc
        socket = web.WebSocketResponse(
            timeout=2.0, heartbeat=HEARTBEAT_S, compress=False, max_msg_size=MAX_FRAME_BYTES, autoping=True
        )
        await socket.prepare(request)
        try:
            start = await read_start(socket, timeout_s=START_LIMIT_S)
            claim = tokens.verify(
                self._secret, start.parameters.get("token", ""), start.call_sid, self._wall().timestamp()
            )
            session = self._calls.get(start.call_sid)
            if session is None:
                raise RefusedRequestError("the stream belongs to no call at work here")
            if not await self._store.claim_token(start.call_sid, claim.attempt, self._wall()):
                raise RefusedRequestError("the stream's token was used before")
            leg = PhoneLeg(
                socket,
                start,
                self._audio_format,
                WRITE_LIMIT_S,
                abort=request.transport.abort if request.transport else None,
            )
            if not session.attach(leg, start.stream_sid):
                raise RefusedRequestError("the call has its stream already, or is over")
        except (MediaStreamError, RefusedRequestError, LegLostError, StoreError) as exc:
            log.warning("refused a stream: %s", exc)
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"refused")
            return socket
        await session.over()
        await socket.close()
        return socket

    # ---- common ---------------------------------------------------------------------------------------------------

    async def _signed_form(self, request: web.Request) -> dict[str, str]:
        """The form, once its signature holds.

        Raises:
            RefusedRequestError: the signature is missing or does not hold.
        """
        signature = request.headers.get("X-Twilio-Signature")
        form: Mapping[str, object] = {}
        if signature and request.content_type == _FORM:
            try:
                async with asyncio.timeout(BODY_LIMIT_S):
                    form = await request.post()
            except TimeoutError as exc:
                raise web.HTTPRequestTimeout(text="the body did not come in time") from exc
            except (ValueError, LookupError) as exc:
                raise RefusedRequestError("the body is no form") from exc
        self._checker.check_webhook(request.raw_path, form, signature)
        return {name: str(form[name]) for name in form}

    async def _signed_or_forbidden(self, request: web.Request) -> dict[str, str]:
        try:
            return await self._signed_form(request)
        except RefusedRequestError as exc:
            log.warning("refused %s: %s", request.path, exc)
            raise web.HTTPForbidden(text="the request is not signed as expected") from exc

    def _route(self, called: str) -> LoadedFlow:
        """The flow of a number: the table, then the flows' own numbers, then the default, then the only one.

        Raises:
            FlowError: no flow is meant for it.
        """
        shelf = self._shelf()
        if called in self._numbers:
            return shelf.get(self._numbers[called])
        if (loaded := shelf.for_number(called)) is not None:
            return loaded
        if self._default_flow:
            return shelf.get(self._default_flow)
        if len(shelf.flows) == 1:
            return next(iter(shelf.flows.values()))
        raise FlowError(
            f"no flow is meant for the number ending in {called[-4:]}",
            mend="list the number in a flow, in VOICEBOT_NUMBERS, or set VOICEBOT_DEFAULT_FLOW",
        )


def _xml(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/xml")


def _call_sid(form: dict[str, str]) -> str:
    call_sid = form.get("CallSid", "")
    if not _CALL_SID.fullmatch(call_sid):
        raise web.HTTPBadRequest(text="CallSid is missing or malformed")
    return call_sid


def _number(text: str) -> str | None:
    return text if _NUMBER.fullmatch(text) else None
