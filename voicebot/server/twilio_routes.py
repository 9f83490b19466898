"""What Twilio asks of us: the voice webhook, the media socket, and what comes after.

Each request is checked against the signature over the configured public origin. Answers are idempotent on the CallSid:
a repeated webhook gets the same TwiML. Whatever fails before a stream exists, the caller hears a sentence.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import wraps
from urllib.parse import parse_qs, urlsplit

from aiohttp import web
from websockets.frames import CloseCode

from voicebot.audio.formats import AudioFormat
from voicebot.call.past import read_past
from voicebot.call.session import CallSession
from voicebot.engine.entries import EndedReason
from voicebot.errors import FlowError, LegLostError, MediaStreamError, RefusedRequestError, StoreError, VoicebotError
from voicebot.flow.loader import FlowShelf, LoadedFlow
from voicebot.flow.model import Flow
from voicebot.flow.ways_out import Transfer
from voicebot.log_events import named
from voicebot.observe.context import work_for
from voicebot.recording.recorder import Recorder
from voicebot.store.contract import CallRecord, Store
from voicebot.telephony import tokens, twiml
from voicebot.telephony.leg import PhoneLeg, read_start
from voicebot.telephony.signatures import SignatureChecker
from voicebot.telephony.socket import Upgraded, upgrade
from voicebot.telephony.turns import Conversions

from .connections import client_of, spread, upgraded, vouch
from .gatekeeper import Reason
from .instance import meant_for, name_of
from .lifecycle import CLAIM_LIMIT_S, ENDED_BADLY, MOST_ATTEMPTS, Calls, Obstacle
from .lobby import Lobby
from .overflow import OVERFLOWN_PATH, Overflow
from .passing import AFTER_PATH, PASSED_PATH, RECORDED_PATH, TALK_LIMIT_S, WHISPER_PATH, Passing

log = logging.getLogger(__name__)

MEDIA_PATH = "/twilio/media"
VOICE_PATH = "/twilio/voice"
FALLBACK_PATH = "/twilio/fallback"
MOST_ASKED_AGAIN = 2  # so often a caller waits a second for another instance to take the call
BODY_LIMIT_S = 5.0
START_LIMIT_S = 5.0
WRITE_LIMIT_S = 5.0
OVER_LIMIT_S = 4.0  # for the last words of a call whose line we have closed (`FAREWELL_LIMIT_S`)
MAX_FRAME_BYTES = 64 * 1024
_WAY = re.compile(r"[1-9][0-9]?")
_CALL_SID = re.compile(r"CA[0-9a-f]{32}")
_NUMBER = re.compile(r"\+[1-9]\d{6,14}")
_ENDED = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
_FORM = "application/x-www-form-urlencoded"  # how Twilio posts; nothing else is parsed
_REFUSED: Mapping[Obstacle, Reason] = {
    "full": "calls_full",
    "lagging": "calls_lagging",
    "stopping": "calls_stopping",
}
_PASSED_ON: frozenset[EndedReason | None] = frozenset({"model_failed", "transferred"})  # the phone line knows more
_LANGUAGE: web.RequestKey[str] = web.RequestKey("language", str)  # of the caller, once the flow is known

Handler = Callable[["TwilioRoutes", web.Request], Awaitable[web.StreamResponse]]


def _spoken_fallback(handler: Handler) -> Handler:
    """Answer with a sentence for the caller when the handler fails for any reason but a forged request."""

    @wraps(handler)
    async def answered(self: TwilioRoutes, request: web.Request) -> web.StreamResponse:
        try:
            return await handler(self, request)
        except web.HTTPException:
            raise
        except VoicebotError as exc:
            self.refused("flow" if isinstance(exc, FlowError) else "store" if isinstance(exc, StoreError) else "error")
            log.error("%s failed: %s", request.path, exc, extra=named("request_failed"))
        except Exception:  # boundary of a request: the caller hears a sentence, the process goes on
            self.refused("error")
            log.exception("%s failed", request.path, extra=named("request_broke"))
        return _xml(twiml.say_trouble(request.get(_LANGUAGE, self.language)))

    return answered


class TwilioRoutes:
    """The handlers of `/twilio/…`."""

    def __init__(
        self,
        *,
        calls: Calls,
        passing: Passing,
        lobby: Lobby,
        store: Store,
        shelf: Callable[[], FlowShelf],
        checker: SignatureChecker,
        secret: bytes,
        public_url: str,
        audio_format: AudioFormat,
        numbers: dict[str, str],
        default_flow: str,
        wall: Callable[[], datetime],
        others: Callable[[], Awaitable[frozenset[str]]],
        overflow: Overflow,
        counts: Counter[Reason],
        refused: Callable[[str], None] = lambda reason: None,
    ) -> None:
        """
        Args:
            others: says which other instances a call may go to.
            lobby: has the callers who have no conversation.
            overflow: what callers get for whom there is no place, and who are not in the lobby.
            counts: where refusals are counted.
            refused: told why a caller hears a sentence instead of a conversation.
        """
        self.refused = refused
        self._calls, self._passing, self._store, self._shelf, self._checker = calls, passing, store, shelf, checker
        self._secret, self._public_url, self._audio_format = secret, public_url, audio_format
        self._numbers, self._default_flow, self._wall, self._others = numbers, default_flow, wall, others
        self._lobby, self._overflow, self._counts = lobby, overflow, counts
        self._conversions = Conversions()

    def routes(self) -> list[web.RouteDef]:
        """One line per route."""
        return [
            web.post(VOICE_PATH, self.voice),
            web.post(OVERFLOWN_PATH, self.overflown),
            web.get(MEDIA_PATH, self.media),
            web.get(MEDIA_PATH + "/{instance}", self.media),  # whoever is named: one that lands here is for us
            web.post(AFTER_PATH, self.after),
            web.post(PASSED_PATH, self.passed),
            web.post(RECORDED_PATH, self.recorded),
            web.post(WHISPER_PATH, self.whisper),
            web.post(FALLBACK_PATH, self.fallback),
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
        now, waited = self._wall(), _times(request, "waited")
        known = CallRecord(
            call_sid=call_sid,
            flow_name=loaded.name,
            flow_version=loaded.version,
            caller=_number(form.get("From", "")),
            called=_number(form.get("To", "")),
            direction="inbound",
            started=now,
            owner=self._calls.owner,
            attempt=1,
            token_issued_at=int(now.timestamp()),
        )
        guest = await self._lobby.guest(call_sid) if self._lobby.may_know(loaded.flow) else None
        if guest is not None and (guest.gone or not guest.waits or waited < guest.tries):
            return _xml(self._lobby.answer_again(guest))
        if guest is None and not loaded.flow.takes_calls(now) and await self._store.call(call_sid) is None:
            return _xml(await self._lobby.closed(known, loaded.flow))
        ahead = await self._lobby.ahead(call_sid)
        with self._calls.place(call_sid) as held:
            if held:
                record, is_new = await self._store.open_call(known, max_calls=self._calls.max_calls - ahead)
            else:  # one that another instance has is no new call
                record, is_new = await self._store.call(call_sid), False
            if record is None:
                obstacle = ("full" if held else self._calls.obstacle) or "full"
                if guest is not None:
                    return _xml(await self._lobby.asks_again(guest, waited))
                return await self._refuse(request, known, obstacle, loaded.flow)
            if is_new:
                self._calls.open(record, loaded)
        if guest is not None:
            await self._lobby.admitted(guest)
        if record.ended is not None:
            was_guest = waited or not record.token_issued_at
            return _xml(twiml.say_goodbye(language) if was_guest else twiml.hang_up())
        return self._connect(record)

    async def _refuse(self, request: web.Request, known: CallRecord, obstacle: Obstacle, flow: Flow) -> web.Response:
        """There is no place for a call here: have another instance take it, or give what the operator chose.

        All instances together are full at once. But one that is late or stops says nothing of the others, and one of
        them is asked when the caller asks again: a proxy that does not know their names may ask this one once more.
        """
        asked = request.query.get("asked", "0")
        times = int(asked) if re.fullmatch(r"[0-9]", asked) else MOST_ASKED_AGAIN
        if obstacle != "full" and times < MOST_ASKED_AGAIN and (others := await self._others()):
            self._counts["calls_passed_on"] += 1
            again_url = f"{self._public_url}{VOICE_PATH}?asked={times + 1}"
            return _xml(twiml.ask_again(meant_for(again_url, others, known.call_sid)))
        log.warning("no room for another call: %s", obstacle, extra=named("call_refused_full", known.call_sid))
        if (answer := await self._lobby.full(known, flow, obstacle)) is not None:
            return _xml(answer)
        self.turned_away(obstacle)
        return _xml(self._overflow.answer(flow.languages[0], caller=known.caller, called=known.called))

    def turned_away(self, obstacle: Obstacle) -> None:
        """Count a caller for whom there was no place."""
        self._counts[_REFUSED[obstacle]] += 1
        self.refused(obstacle)

    @_spoken_fallback
    async def overflown(self, request: web.Request) -> web.Response:
        """The number for callers without a place was rung: hang up, or say goodbye if nobody was there."""
        form = await self._signed_form(request)
        _call_sid(form)
        loaded = self._route(form.get("To", ""))
        return _xml(self._overflow.came_back(form, loaded.flow.languages[0]))

    @_spoken_fallback
    async def after(self, request: web.Request) -> web.Response:
        """A stream has ended: hang up if the call is over, with a sentence first if it ended badly; else go on with it.

        The call goes on here if its stream broke, or if whoever had it is gone: whichever instance is asked takes it.
        Where the voice agent cannot go on, the flow's ways out are taken.
        """
        return await self._after(request, await self._signed_form(request))

    async def _after(self, request: web.Request, form: dict[str, str]) -> web.Response:
        call_sid = _call_sid(form)
        record = await self._store.call(call_sid)
        if record is None or record.ended is not None:
            return await self._ended(call_sid)
        loaded = self._shelf().flows.get(record.flow_name)
        language = loaded.flow.languages[0] if loaded is not None else self.language
        request[_LANGUAGE] = language
        if form.get("CallStatus") in _ENDED:
            self._calls.line_over(call_sid)
            return _xml(twiml.hang_up())
        session = self._calls.get(call_sid)
        if session is not None and session.attempt == record.attempt:
            request[_LANGUAGE] = language = session.language
            if session.waits_for_return:  # the same webhook once more
                return self._connect(record)
            session.hang_up()
            reason = session.ending
            passes_on = reason in _PASSED_ON
            if passes_on:
                await _wait_for(session)
        else:
            past = read_past(await self._store.journal(call_sid), self._wall())
            request[_LANGUAGE] = language = past.language or language
            reason = past.closed
            passes_on = reason in _PASSED_ON or bool(past.passings)
        if reason is not None:
            if passes_on and (onward := await self._passing.onward(call_sid, reason)) is not None:
                return self._played(onward)
            return _xml(twiml.say_trouble(language) if reason in ENDED_BADLY else twiml.hang_up())
        return await self._go_on(record, language)

    async def _go_on(self, record: CallRecord, language: str) -> web.Response:
        """Take an unfinished call whose caller is on the line, and have its stream opened anew."""
        if not self._calls.accepting and (others := await self._others()):
            return _xml(twiml.ask_again(meant_for(self._public_url + AFTER_PATH, others, record.call_sid)))
        now_s = self._wall().timestamp()
        just_taken = record.attempt > 1 and not record.claimed and 0 <= now_s - record.token_issued_at < CLAIM_LIMIT_S
        if just_taken and (record.owner == self._calls.owner or record.owner in await self._others()):
            return self._connect(record)  # the owner was asked the same a moment ago, and lives
        if record.attempt >= MOST_ATTEMPTS:
            log.error("the call was cut off too often", extra=named("call_cut_off_too_often", record.call_sid))
            onward = await self._passing.onward(record.call_sid, "connection_lost")
            return self._played(onward or twiml.say_trouble(language))
        taken = await self._store.take_over(
            record.call_sid, record.attempt, self._calls.owner, token_issued_at=int(now_s)
        )
        if taken is None:  # another instance was quicker
            standing = await self._store.call(record.call_sid)
            return self._connect(standing) if standing is not None and standing.ended is None else _xml(twiml.hang_up())
        await self._calls.resume(taken)
        return self._connect(taken)

    def _played(self, answer: str | CallRecord) -> web.Response:
        """TwiML as it is; or a new stream for a caller who goes on in the conversation."""
        return _xml(answer) if isinstance(answer, str) else self._connect(answer)

    def _connect(self, record: CallRecord) -> web.Response:
        """Have the call's stream opened, at the instance that has the call."""
        socket_origin = "ws" + self._public_url.removeprefix("http")
        name = name_of(record.owner)
        return _xml(
            twiml.connect_stream(
                stream_url=f"{socket_origin}{MEDIA_PATH}/{name}" if name else socket_origin + MEDIA_PATH,
                action_url=self._public_url + AFTER_PATH,
                token=tokens.mint(self._secret, record.call_sid, record.attempt, record.token_issued_at),
                status_url=self._public_url + "/twilio/stream-status",
            )
        )

    async def _ended(self, call_sid: str) -> web.Response:
        """The answer for a call that is over, or was never known: a sentence if it ended badly."""
        report = await self._store.report(call_sid)
        reason, language = "error", self.language
        if report is not None:
            ended = json.loads(report)["data"]
            loaded = self._shelf().flows.get(ended["flow"])
            flows = loaded.flow.languages[0] if loaded is not None else language
            reason, language = ended["ended_reason"], ended.get("language") or flows
        return _xml(twiml.say_trouble(language) if reason in ENDED_BADLY else twiml.hang_up())

    @_spoken_fallback
    async def passed(self, request: web.Request) -> web.Response:
        """The caller was taken elsewhere, and is back or has gone: take the next way out, or end the call."""
        return self._played(await self._came_back(request, await self._signed_form(request)))

    async def recorded(self, request: web.Request) -> web.Response:
        """A message can be fetched; whether the action of its recording comes before, later, or not at all."""
        form = await self._signed_form(request)
        _call_sid(form)
        if form.get("RecordingStatus") == "completed":
            try:
                await self._came_back(request, form)
            except VoicebotError as exc:  # then the action tells
                log.error("a recording is not noted: %s", exc, extra=named("request_failed"))
        return web.Response(status=204)

    async def _came_back(self, request: web.Request, form: Mapping[str, str]) -> str | CallRecord:
        call_sid, way = _call_sid(form), _way(request)
        answer = await self._lobby.came_back(call_sid, way, form)
        return answer if answer is not None else await self._passing.came_back(call_sid, way, form)

    @_spoken_fallback
    async def fallback(self, request: web.Request) -> web.Response:
        """Twilio could not have one of our answers, or not read it: the call goes on all the same, if it ever began.

        Of a caller who was taken elsewhere, the answer that failed was to what came of it: that is lost.
        """
        form = await self._signed_form(request)
        call_sid, failed = _call_sid(form), urlsplit(form.get("ErrorUrl", ""))
        log.error(
            "Twilio could not use our answer: %.20s, %.100s",
            form.get("ErrorCode"),
            failed.path,
            extra=named("answer_not_used", call_sid),
        )
        try:
            known = await self._store.call(call_sid) is not None
            guest = await self._lobby.guest(call_sid) if not known else None
        except StoreError as exc:
            log.error("the call goes on without a store: %s", exc, extra=named("request_failed", call_sid))
            known, guest = False, None
        if not known and guest is None:
            return self._without_a_call(form)
        way = parse_qs(failed.query).get("way", [""])[0]
        if failed.path.endswith(PASSED_PATH) and _WAY.fullmatch(way):
            told = {"CallStatus": form.get("CallStatus", "")}
            if (answer := await self._lobby.came_back(call_sid, int(way), told)) is not None:
                return _xml(answer)
            return self._played(await self._passing.came_back(call_sid, int(way), told))
        if guest is not None:
            return _xml(self._lobby.answer_again(guest))
        return await self._after(request, form)

    def _without_a_call(self, form: dict[str, str]) -> web.Response:
        """A caller whose call could not be begun: whom the flow has rung when all else fails, or a sentence."""
        if form.get("CallStatus") in _ENDED:
            return _xml(twiml.hang_up())
        flow = self._route(form.get("To", "")).flow
        self.refused("error")
        way = next((one for one in flow.fallback if isinstance(one, Transfer)), None)
        if way is None:
            return _xml(twiml.say_trouble(flow.languages[0]))
        target, caller = flow.rung(way), _number(form.get("From", ""))
        return _xml(
            twiml.ring(
                target.address,
                language=flow.languages[0],
                action_url=self._public_url + OVERFLOWN_PATH,
                ring_s=way.timeout if way.timeout is not None else target.timeout,
                talk_s=TALK_LIMIT_S,
                caller_id=target.caller_id or caller or _number(form.get("To", "")),
            )
        )

    async def whisper(self, request: web.Request) -> web.Response:
        """Somebody has answered for a caller: what they are told first. Whatever fails, the two are joined."""
        await self._signed_form(request)
        call_sid, way = _call_sid({"CallSid": request.query.get("call", "")}), _way(request)
        try:
            return _xml(await self._passing.brief(call_sid, way))
        except VoicebotError as exc:
            log.error("nothing is known to be told: %s", exc, extra=named("request_failed", call_sid))
            return _xml(twiml.whisper("", self.language))

    async def status(self, request: web.Request) -> web.Response:
        """The call's status changed: at its end, a session that still waits for its stream gives up."""
        form = await self._signed_form(request)
        call_sid = _call_sid(form)
        if form.get("CallStatus") in _ENDED:
            await self.line_over(call_sid)
        return web.Response(status=204)

    async def line_over(self, call_sid: str) -> None:
        """The phone line says that a call is over."""
        self._calls.line_over(call_sid)
        if self._calls.get(call_sid) is None:
            await self._lobby.line_over(call_sid)
            await self._passing.line_over(call_sid)

    async def stream_status(self, request: web.Request) -> web.Response:
        """The stream's status changed: errors are logged with Twilio's words."""
        form = await self._signed_form(request)
        if form.get("StreamEvent") == "stream-error":
            log.warning("stream error: %.200s", form.get("StreamError"), extra=named("stream_error", _call_sid(form)))
        return web.Response(status=204)

    # ---- the media socket -----------------------------------------------------------------------------------------

    async def media(self, request: web.Request) -> web.StreamResponse:
        """A stream comes: give it to its call, and keep it until the call is over."""
        try:
            self._checker.check_handshake(request.path, request.headers.get("X-Twilio-Signature"))
        except RefusedRequestError as exc:
            raise self._forbidden(request, exc) from exc
        vouch(request)
        socket = upgrade(request, max_message_bytes=MAX_FRAME_BYTES)
        upgraded(request)
        try:
            start = await read_start(socket, timeout_s=START_LIMIT_S)
            work_for(start.call_sid)
            claim = tokens.verify(
                self._secret, start.parameters.get("token", ""), start.call_sid, self._wall().timestamp()
            )
            if not self._calls.accepting and self._calls.get(start.call_sid) is None:
                raise RefusedRequestError("this instance stops, and does not have the call")  # Twilio asks who has it
            record = await self._store.claim_stream(start.call_sid, claim.attempt, self._calls.owner)
            if record is None:
                raise RefusedRequestError("the stream's token was used before, or its call is over")
            session = self._calls.get(start.call_sid)
            if session is None or session.attempt != record.attempt:  # the stream was meant for another instance
                session = await self._calls.resume(record)
            leg = PhoneLeg(socket, start, self._audio_format, WRITE_LIMIT_S, self._conversions)
            if not session.attach(leg, start.stream_sid):
                raise RefusedRequestError("the call has its stream already, or is over")
            if isinstance(session.recording, Recorder):
                leg.tap(session.recording)
        except (MediaStreamError, RefusedRequestError, LegLostError, StoreError, FlowError) as exc:
            self._counts["refused_stream"] += 1
            log.warning("refused a stream from %s: %s", client_of(request), exc, extra=named("stream_refused"))
            await socket.close(CloseCode.POLICY_VIOLATION, "refused")
            return Upgraded()
        await session.over()
        await socket.close()
        return Upgraded()

    # ---- for other routes that Twilio asks --------------------------------------------------------------------------

    async def signed(self, request: web.Request) -> dict[str, str]:
        """The form of a request, once its signature holds; else the request ends here."""
        return await self._signed_form(request)

    def connected(self, record: CallRecord) -> web.Response:
        """Have a call's stream opened, at the instance that has the call."""
        return self._connect(record)

    # ---- common ---------------------------------------------------------------------------------------------------

    async def _signed_form(self, request: web.Request) -> dict[str, str]:
        """The form, once its signature holds; else the request ends here."""
        try:
            form = await self._checked_form(request)
        except RefusedRequestError as exc:
            raise self._forbidden(request, exc) from exc
        vouch(request)
        return form

    def _forbidden(self, request: web.Request, why: RefusedRequestError) -> web.HTTPForbidden:
        self._counts["forged"] += 1
        log.warning(
            "refused %s from %s: %s",
            request.match_info.route.resource,
            client_of(request),
            why,
            extra=named("request_refused"),
        )
        return web.HTTPForbidden(text="the request is not signed as expected")

    async def _checked_form(self, request: web.Request) -> dict[str, str]:
        """
        Raises:
            RefusedRequestError: the signature is missing or does not hold.
        """
        signature = request.headers.get("X-Twilio-Signature")
        form: Mapping[str, object] = {}
        if signature and request.content_type == _FORM:
            try:
                async with asyncio.timeout(spread(BODY_LIMIT_S)):
                    form = await request.post()
            except TimeoutError as exc:
                raise web.HTTPRequestTimeout(text="the body did not come in time") from exc
            except ConnectionError as exc:  # nobody reads the answer
                raise web.HTTPBadRequest(text="the body did not come whole") from exc
            except (ValueError, LookupError) as exc:
                raise RefusedRequestError("the body is no form") from exc
        self._checker.check_webhook(request.raw_path, form, signature)
        return {name: str(form[name]) for name in form}

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


async def _wait_for(session: CallSession) -> None:
    """Let a call whose line is closed come to its end, bounded."""
    with suppress(TimeoutError):
        async with asyncio.timeout(OVER_LIMIT_S):
            await session.over()


def _xml(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/xml")


def _call_sid(form: Mapping[str, str]) -> str:
    call_sid = form.get("CallSid", "")
    if not _CALL_SID.fullmatch(call_sid):
        raise web.HTTPBadRequest(text="CallSid is missing or malformed")
    work_for(call_sid)
    return call_sid


def _way(request: web.Request) -> int:
    """Which time the caller was taken elsewhere."""
    way = request.query.get("way", "")
    if not _WAY.fullmatch(way):
        raise web.HTTPBadRequest(text="way is missing or malformed")
    return int(way)


def _times(request: web.Request, name: str) -> int:
    """How often something was done before, as our own address says."""
    times = request.query.get(name, "")
    return int(times) if re.fullmatch(r"[0-9]{1,3}", times) else 0


def _number(text: str) -> str | None:
    return text if _NUMBER.fullmatch(text) else None
