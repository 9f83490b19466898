"""Conversations over the web: begun by whoever holds the API token, and had over a WebSocket by whoever has a ticket.

    POST /conversations ──▶ session_id, ticket        the call is in the store, its model is being reached
    /realtime/{session_id}?ticket=… ──▶ hello, audio, events        and the ticket to come back with

A ticket is a stream token (`telephony.tokens`) over the session and the attempt: an HMAC, good for one connection,
since the store gives each attempt to one (`claim_stream`). The first is good for a minute; one to come back with for
hours, as nobody knows when a socket will break, but no longer than the conversation lasts.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, Field, JsonValue, StringConstraints
from websockets.frames import CloseCode

from voicebot.call.entries import CallOpened
from voicebot.call.past import read_past
from voicebot.call.session import CallSession
from voicebot.errors import FlowError, RefusedRequestError, StoreError, UnknownFlowError
from voicebot.flow.json_form import flow_from_json
from voicebot.flow.loader import FlowShelf, LoadedFlow, load_flow
from voicebot.flow.model import Flow
from voicebot.log_events import named
from voicebot.observe.context import work_for
from voicebot.recording.recorder import Recorder
from voicebot.store.contract import CallRecord, Store
from voicebot.telephony import tokens
from voicebot.telephony.socket import Upgraded, upgrade_to
from voicebot.web.leg import AudioForm, WebLeg
from voicebot.web.live import LiveView, Told
from voicebot.web.messages import PROTOCOL
from voicebot.web.session_ids import SESSION_ID, session_id_of
from voicebot.web.socket import SUBPROTOCOL, RealtimeSocket

from .api.endpoint import KEY_HEADER, Content, Endpoint, answer, read_body, read_key, read_query
from .api.models import MOST_VARIABLES, Asked, Number, Variables
from .api.problems import problem, unavailable
from .api.tokens import ApiTokens
from .connections import client_of, upgraded, vouch
from .gatekeeper import Reason
from .instance import name_of
from .lifecycle import MOST_ATTEMPTS, RETURN_LIMIT_S, Calls, Obstacle

log = logging.getLogger(__name__)

POSTED = "posted"  # the name of a flow that was posted whole
MAX_CONFIG_BYTES = 512 * 1024
MAX_MESSAGE_BYTES = 64 * 1024
WRITE_LIMIT_S = 5.0
REPORT_LIMIT_S = 5.0  # for the report to be written, before the client is told that it is over
RETURN_LIFETIME_S = 6 * 3600  # of a ticket to come back with
GOES_ON_ELSEWHERE = 4000  # close code: another connection has the conversation
_REFUSED: Mapping[Obstacle, Reason] = {
    "full": "calls_full",
    "lagging": "calls_lagging",
    "stopping": "calls_stopping",
}


class ConversationBody(Asked):
    """A loaded flow's name, a whole flow in its JSON form, or both.

    With both, the form takes the place of the loaded flow's own, and may name its functions. Without a loaded flow, it
    can name none.
    """

    flow: Annotated[str, StringConstraints(max_length=100)] | None = Field(None, description="The name of a flow.")
    config: dict[str, JsonValue] | None = Field(None, description="A flow in its JSON form, as /flows/{name} shows it.")
    variables: Variables = Field(
        default_factory=dict,
        max_length=MOST_VARIABLES,
        description=f"At most {MOST_VARIABLES} names like order_id, each with a text of at most 500 characters.",
    )
    caller: Number | None = Field(None, description="The number of whoever talks, as +390612345678, if it is known.")


class ConnectQuery(Asked):
    """How a client wants to talk."""

    ticket: Annotated[str, StringConstraints(max_length=200)] | None = Field(
        None, description="Of the answer that began it, or of the last hello; or among the subprotocols."
    )
    audio: AudioForm = Field("binary", description="What the bot says comes as: binary, json or none.")


class Begun(BaseModel):
    """A conversation that waits for its client."""

    session_id: str = Field(description="It stands in the place of a call_sid, everywhere.")
    ticket: str = Field(description="Lets one client in, once.")
    expires_at: datetime = Field(description="When the ticket does.")
    websocket_url: str
    flow: str
    flow_version: str


class Conversations:
    """The handlers of `/conversations` and `/realtime`."""

    def __init__(
        self,
        *,
        calls: Calls,
        store: Store,
        shelf: Callable[[], FlowShelf],
        tokens: ApiTokens,
        secret: bytes,
        public_url: str,
        allowed_origins: tuple[str, ...],
        wall: Callable[[], datetime],
        counts: Counter[Reason],
    ) -> None:
        """
        Args:
            secret: of tickets.
            allowed_origins: whose pages may connect, beside those of `public_url`.
            counts: where refusals are counted.
        """
        self._calls, self._store, self._shelf, self._tokens, self._secret = calls, store, shelf, tokens, secret
        self._public_url, self._wall, self._counts = public_url, wall, counts
        self._origins = frozenset({public_url, *allowed_origins} - {""})
        self._reading = asyncio.Lock()  # one flow at a time is read and checked

    def endpoints(self) -> list[Endpoint]:
        """One entry per route of the API's."""
        return [
            Endpoint(
                method="POST",
                path="/conversations",
                name="begin_conversation",
                tag="conversations",
                summary="Begin one, to be had at `websocket_url`. The same Idempotency-Key gives the same one again.",
                handle=self.begin,
                scope="operate",
                body=ConversationBody,
                headers=KEY_HEADER,
                answers={
                    201: Content("The conversation waits for its client.", Begun),
                    200: Content("It was begun before.", Begun),
                },
                problems={
                    404: "There is no such flow.",
                    409: "The Idempotency-Key was used for another one, or that one is over.",
                    422: "The config is no flow that could run, or the request cannot be used.",
                    503: "There is no room, or the store does not answer.",
                },
                audited=True,
            ),
            self._socket("/realtime/{session_id}", "talk"),
            self._socket("/realtime/{session_id}/{instance}", "talk_at"),  # whoever is named: it landed here
        ]

    def _socket(self, path: str, name: str) -> Endpoint:
        return Endpoint(
            path=path,
            name=name,
            tag="conversations",
            summary="Have a conversation, over a WebSocket; voicebot/web/README.md says how.",
            handle=self.connect,
            scope=None,  # a ticket does as well
            query=ConnectQuery,
            answers={101: Content("A WebSocket.")},
            problems={
                401: "The ticket was used, is too old or another conversation's, or the token is wrong.",
                403: "A page of a foreign origin asks, or the token's scope is less than operate.",
                409: "The conversation was cut off too often.",
                410: "The conversation is over.",
                426: "The request asks for no WebSocket.",
                429: "Too many wrong tokens.",
                503: "The store does not answer, or this instance stops.",
            },
        )

    # ---- a conversation begins --------------------------------------------------------------------------------------

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """Begin a conversation. An `Idempotency-Key` header gives the same one again, however often it is sent."""
        key = read_key(request)
        body = await read_body(request.clone(client_max_size=MAX_CONFIG_BYTES), ConversationBody)
        session_id = session_id_of(key)
        work_for(session_id)
        try:
            loaded = await self._flow(body)
            record, is_new = await self._open(session_id, body, loaded)
            if not is_new and not await self._same(record, body, loaded):
                raise problem(409, "key_used", "this Idempotency-Key was used for another conversation")
        except UnknownFlowError as exc:
            raise problem(404, "flow", f"there is no such flow; there are: {', '.join(exc.known) or 'none'}") from exc
        except FlowError as exc:
            raise problem(422, "config", str(exc)) from exc
        if record.ended is not None:
            raise problem(409, "over", "the conversation of this Idempotency-Key is over")
        return answer(self._begun(record), 201 if is_new else 200)

    async def _flow(self, body: ConversationBody) -> LoadedFlow:
        """The flow of a request.

        Raises:
            FlowError: there is none of that name, or the form is none.
        """
        if body.flow is None and body.config is None:
            raise FlowError("name a flow, or give a config")
        base = self._shelf().get(body.flow) if body.flow is not None else None
        if body.config is None and base is not None:
            return base
        async with self._reading:
            return await asyncio.to_thread(_read_config, json.dumps(body.config), base)

    async def _open(self, session_id: str, body: ConversationBody, loaded: LoadedFlow) -> tuple[CallRecord, bool]:
        """The call of a conversation, and whether it is new."""
        now = self._wall()
        known = CallRecord(
            call_sid=session_id,
            flow_name=loaded.name,
            flow_version=loaded.version,
            caller=body.caller,
            called=None,
            direction="inbound",
            started=now,
            owner=self._calls.owner,
            attempt=1,
            token_issued_at=int(now.timestamp()),
        )
        with self._calls.place(session_id) as held:
            if held:
                record, is_new = await self._store.open_call(known, max_calls=self._calls.max_calls)
            else:
                record, is_new = await self._store.call(session_id), False
            if record is None:
                obstacle: Obstacle = "full" if held else self._calls.obstacle or "full"
                self._counts[_REFUSED[obstacle]] += 1
                log.warning("no room for another call: %s", obstacle, extra=named("call_refused_full", session_id))
                raise problem(
                    503, obstacle, "no conversation can be taken now; try again", headers={"Retry-After": "5"}
                )
            if is_new:
                self._calls.open(record, loaded, body.variables)
        return record, is_new

    async def _same(self, record: CallRecord, body: ConversationBody, loaded: LoadedFlow) -> bool:
        """Whether a request that came again is the one that began this conversation."""
        past = read_past(await self._store.journal(record.call_sid), self._wall())
        opened = past.opened if past.lines and isinstance(past.lines[0][1], CallOpened) else None
        same_flow = record.flow_name == loaded.name and (body.config is None or record.flow_version == loaded.version)
        same_variables = opened is None or dict(opened.variables) == body.variables
        return same_flow and same_variables and record.caller == body.caller

    def _begun(self, record: CallRecord) -> Begun:
        name = name_of(record.owner)
        address = f"ws{self._public_url.removeprefix('http')}/realtime/{record.call_sid}"
        expires = record.token_issued_at + tokens.LIFETIME_S
        return Begun(
            session_id=record.call_sid,
            ticket=tokens.mint(self._secret, record.call_sid, record.attempt, record.token_issued_at),
            expires_at=datetime.fromtimestamp(expires, UTC),
            websocket_url=f"{address}/{name}" if name else address,
            flow=record.flow_name,
            flow_version=record.flow_version,
        )

    # ---- a client connects ------------------------------------------------------------------------------------------

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """A client comes, or comes back: give its socket to its conversation, and keep it until that is over."""
        session_id = request.match_info["session_id"]
        if not SESSION_ID.fullmatch(session_id):
            raise problem(404, "session", "there is no such conversation")
        work_for(session_id)
        asked = read_query(request, ConnectQuery)
        try:
            attempt = self._let_in(request, session_id, asked.ticket)
            record = await self._claim(session_id, attempt)
            session = self._calls.get(session_id)
            if session is None or session.attempt != record.attempt:
                session = await self._calls.resume(record)
        except RefusedRequestError as exc:
            self._counts["refused_stream"] += 1
            log.warning("refused a client from %s: %s", client_of(request), exc, extra=named("stream_refused"))
            detail = "the ticket was used, is too old, or is another conversation's; the last hello brought the next"
            raise problem(401, "ticket", detail) from exc
        except (StoreError, FlowError) as exc:
            log.error("a client cannot be let in: %s", exc, extra=named("request_failed", session_id))
            raise unavailable() from exc
        socket = upgrade_to(RealtimeSocket, request, max_message_bytes=MAX_MESSAGE_BYTES, subprotocol=SUBPROTOCOL)
        upgraded(request)
        await self._converse(socket, session, record, asked.audio)
        return Upgraded()

    def _let_in(self, request: web.Request, session_id: str, ticket: str | None) -> int | None:
        """The attempt of the ticket that a client brings; None if it brings the API token.

        Raises:
            HTTPException: 403, a foreign page sends it; 401, 403 or 429, its token is wrong; 426, it is no WebSocket.
            RefusedRequestError: its ticket does not hold.
        """
        origin = request.headers.get("Origin")
        if origin is not None and origin not in self._origins:
            self._counts["refused_stream"] += 1
            log.warning("refused a page of a foreign origin", extra=named("stream_refused"))
            raise problem(403, "origin", "pages of this origin may not connect (VOICEBOT_ALLOWED_ORIGINS)")
        offered = [part.strip() for part in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        given = dict(part.split(".", 1) for part in offered if part.startswith(("ticket.", "bearer.")))
        ticket = ticket or given.get("ticket")
        if ticket is None:
            self._check_token(request, given.get("bearer"))
            attempt = None
        else:
            now = self._wall().timestamp()
            claim = tokens.verify(self._secret, ticket, session_id, now, RETURN_LIFETIME_S)
            if claim.attempt == 1 and now - claim.issued_at > tokens.LIFETIME_S:
                raise RefusedRequestError(f"the ticket is older than {tokens.LIFETIME_S} s")
            attempt = claim.attempt
        vouch(request)
        if "websocket" not in request.headers.get("Upgrade", "").lower():
            raise problem(426, "upgrade", "this address is for WebSockets", headers={"Upgrade": "websocket"})
        return attempt

    def _check_token(self, request: web.Request, coded: str | None) -> None:
        """An API token, in its header or, as browsers can set none, among the subprotocols in base64url."""
        if coded is None:
            self._tokens.check(request, "operate")
            return
        token = ""
        with suppress(ValueError):
            token = base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()
        if not self._tokens.check_given(request, token).may("operate"):
            raise problem(403, "scope", "this needs a token of the scope operate")

    async def _claim(self, session_id: str, attempt: int | None) -> CallRecord:
        """Have the conversation for this client alone.

        Raises:
            RefusedRequestError: the ticket was used, or another one has come after it.
        """
        record = await self._store.call(session_id)
        if record is None:
            raise problem(404, "session", "there is no such conversation")
        if record.ended is not None:
            raise problem(410, "over", "the conversation is over")
        if not self._calls.accepting and self._calls.get(session_id) is None:
            raise problem(503, "stopping", "this instance stops; try again", headers={"Retry-After": "1"})
        if attempt is None:
            attempt = record.attempt + record.claimed
        if record.claimed and attempt == record.attempt + 1:  # it was here before, and comes back
            if record.attempt >= MOST_ATTEMPTS:
                log.error("the call was cut off too often", extra=named("call_cut_off_too_often", session_id))
                raise problem(409, "cut_off", "the conversation was cut off too often")
            issued_at = int(self._wall().timestamp())
            await self._store.take_over(session_id, record.attempt, self._calls.owner, token_issued_at=issued_at)
        claimed = await self._store.claim_stream(session_id, attempt, self._calls.owner)
        if claimed is None:
            raise RefusedRequestError("the ticket was used before")
        return claimed

    # ---- while it lasts ---------------------------------------------------------------------------------------------

    async def _converse(
        self, socket: RealtimeSocket, session: CallSession, record: CallRecord, form: AudioForm
    ) -> None:
        leg = WebLeg(socket, record.call_sid, form, WRITE_LIMIT_S)
        view = LiveView(session.core.engine)
        recorder = session.recording if isinstance(session.recording, Recorder) and form != "none" else None
        if recorder is not None:
            leg.tap(recorder)
        next_ticket = tokens.mint(self._secret, record.call_sid, record.attempt + 1, int(self._wall().timestamp()))
        leg.tell_client(
            "hello",
            protocol=PROTOCOL,
            session_id=record.call_sid,
            resumed=session.resumed,
            ticket=next_ticket,
            audio={"format": "pcm16", "rate_hz": leg.audio_format.rate_hz, "channels": 1, "form": form},
            recorded=recorder is not None,
            limits={"message_bytes": MAX_MESSAGE_BYTES, "return_s": RETURN_LIMIT_S},
        )
        _tell(leg, view.state())

        def told(entry: Any, at: datetime) -> None:
            for one in view.told(entry):
                _tell(leg, one)

        def overheard(event: Any) -> None:
            for one in view.overheard(event):
                _tell(leg, one)

        session.follow(told, overheard)
        leg.begin()
        if not session.attach(leg, record.call_sid):
            await socket.close(CloseCode.TRY_AGAIN_LATER, "the conversation is over, or elsewhere")
            return
        await session.over()
        with suppress(TimeoutError):
            async with asyncio.timeout(REPORT_LIMIT_S):
                await session.forgotten.wait()
        code, why = self._end_of(session, leg, view)
        await socket.close(code, why)

    def _end_of(self, session: CallSession, leg: WebLeg, view: LiveView) -> tuple[int, str]:
        """Tell a client how its conversation has ended here, and with which code it is closed."""
        reason = session.ended_reason
        if session.let_go and session.core.reason == "transferred":
            reason = "transferred"
        if reason is not None:
            _tell(leg, view.ended(reason))
            return CloseCode.NORMAL_CLOSURE, "the conversation is over"
        if session.let_go:
            return CloseCode.SERVICE_RESTART, "come back with your ticket"
        return GOES_ON_ELSEWHERE, "another connection has the conversation"


def _tell(leg: WebLeg, told: Told) -> None:
    kind, facts = told
    leg.tell_client(kind, **facts)


def _read_config(document: str, base: LoadedFlow | None) -> LoadedFlow:
    """A flow from its JSON form, checked as one from a file is.

    Args:
        base: whose functions it may name, and in whose name it runs.

    Raises:
        FlowError: the form is none, names a function that is not there, or a secret that is not its own.
    """
    flow = flow_from_json(document, base.functions if base is not None else {})
    _refuse_foreign_secrets(flow, base)
    return load_flow(base.name if base is not None else POSTED, flow)


def _refuse_foreign_secrets(flow: Flow, base: LoadedFlow | None) -> None:
    """See that no secret of the settings goes to an address that the operator has not written down for it."""
    known = {(one.url, one.secret, one.bearer) for one in base.flow.report.receivers} if base is not None else set()
    for one in flow.report.receivers:
        if (one.secret or one.bearer) and (one.url, one.secret, one.bearer) not in known:
            raise FlowError(
                f"receiver {one.name} names a secret for an address that no loaded flow has it for",
                mend="leave secret and bearer out, or name the flow that has this receiver",
            )
