"""Calls to be placed, for whoever holds the token; and what Twilio asks and tells of them."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from voicebot.errors import FlowError, OutboundRefusedError, StoreError, UnknownFlowError
from voicebot.log_events import named
from voicebot.observe.context import work_for
from voicebot.store.contract import Store
from voicebot.telephony import twiml

from .api.endpoint import answer, read_body, read_key
from .api.models import MOST_VARIABLES, OrderShown, Variables
from .api.problems import problem, unavailable
from .orders import Order, order_id_of
from .outbound import ANSWERED_PATH, DETECTED_PATH, PROGRESS_PATH, Outbound, Wanted, answerer_of
from .twilio_routes import TwilioRoutes

log = logging.getLogger(__name__)

_ORDER_ID = re.compile(r"CO[0-9a-f]{32}")
_CALL_SID = re.compile(r"CA[0-9a-f]{32}")
_STATUS: Mapping[str, int] = {
    "number": 422,
    "no_number": 422,
    "key_used": 409,
    "line_busy": 409,
    "rate": 429,
    "no_account": 503,
    "no_place": 503,
}  # whatever else is refused: 403


class CallBody(BaseModel):
    """The body of `POST /calls`."""

    model_config = ConfigDict(extra="forbid")

    to: str = Field(description="The number to call (E.164).")
    flow: str = Field(description="The flow that the call follows.")
    variables: Variables = Field(
        default_factory=dict,
        max_length=MOST_VARIABLES,
        description=f"At most {MOST_VARIABLES}: names of a-z, 0-9 and _, values of at most 500 characters in one line.",
    )
    from_: Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")] | None = Field(
        None, alias="from", description="The number that calls (E.164); default: the flow's first."
    )


class OutboundRoutes:
    """The handlers of `POST /calls` and what comes of it."""

    def __init__(self, *, outbound: Outbound, twilio: TwilioRoutes, store: Store) -> None:
        self._outbound, self._twilio, self._store = outbound, twilio, store

    def routes(self) -> list[web.RouteDef]:
        """One line per route of the phone line's; `place` and `show` are the API's."""
        return [
            web.post(ANSWERED_PATH, self.answered),
            web.post(PROGRESS_PATH, self.progressed),
            web.post(DETECTED_PATH, self.detected),
        ]

    # ---- for whoever holds the token --------------------------------------------------------------------------------

    async def place(self, request: web.Request) -> web.StreamResponse:
        """Have a number called. An `Idempotency-Key` header gives the same call again, however often it is sent."""
        key = read_key(request)
        body = await read_body(request, CallBody)
        asked = json.dumps([body.to, body.flow, body.variables, body.from_], sort_keys=True)
        wanted = Wanted(order_id_of(key), body.to, body.flow, body.variables, body.from_, order_id_of(asked))
        try:
            order = await self._outbound.order(wanted)
        except OutboundRefusedError as exc:
            status = _STATUS.get(exc.reason, 403)
            again = {"Retry-After": "60"} if status in (429, 503) else None
            raise problem(status, exc.reason, exc.problem, headers=again) from exc
        except UnknownFlowError as exc:
            raise problem(404, "flow", f"there is no such flow; there are: {', '.join(exc.known) or 'none'}") from exc
        except StoreError as exc:
            log.error("a call is not ordered: %s", exc, extra=named("store_order_not_written"))
            raise unavailable() from exc
        failed = order.state == "ended" and order.ended_reason == "failed" and order.call_sid == order.order_id
        return answer(await self._shown(order), 502 if failed else 201)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """What has come of a call that was placed."""
        order_id = request.match_info["order_id"]
        order = await self._outbound.find(order_id) if _ORDER_ID.fullmatch(order_id) else None
        if order is None:
            raise problem(404, "not_found", "no such call was placed, or it ended more than a day ago")
        return answer(await self._shown(order))

    async def _shown(self, order: Order) -> OrderShown:
        """An order; `ended_reason` and `outcome` come from the report, as soon as it is there."""
        report = await self._store.report(order.call_sid) if order.call_sid is not None else None
        told = json.loads(report)["data"] if report is not None else {}
        over = order.state == "ended" and (order.ended_reason is not None or bool(told))
        return OrderShown(
            id=order.order_id,
            state=order.state if order.state != "ended" or over else "answered",
            tries=order.tries,
            call_sid=order.call_sid,
            next_try_at=order.due,
            ended_reason=told.get("ended_reason", order.ended_reason),
            outcome=told.get("outcome"),
            answered_by=told.get("answered_by", order.answered_by),
        )

    # ---- for Twilio -------------------------------------------------------------------------------------------------

    async def answered(self, request: web.Request) -> web.Response:
        """A call of ours was answered: begin the conversation."""
        form = await self._twilio.signed(request)
        order_id, number = _order(request)
        try:
            record = await self._outbound.answered(order_id, number, _call_sid(form))
        except (StoreError, FlowError) as exc:
            log.error("an answered call cannot begin: %s", exc, extra=named("request_failed"))
            record = None
        if record is None:
            return web.Response(text=twiml.hang_up(), content_type="text/xml")
        return self._twilio.connected(record)

    async def progressed(self, request: web.Request) -> web.Response:
        """A call of ours rings, was answered, or is over."""
        form = await self._twilio.signed(request)
        order_id, number = _order(request)
        try:
            await self._outbound.progressed(order_id, number, _call_sid(form), form.get("CallStatus", ""))
        except StoreError as exc:
            log.error("what came of a call is not kept: %s", exc, extra=named("store_order_not_written"))
            raise web.HTTPServiceUnavailable(text="the store does not answer") from exc
        return web.Response(status=204)

    async def detected(self, request: web.Request) -> web.Response:
        """A human being has answered, or a machine."""
        form = await self._twilio.signed(request)
        (order_id, _), answerer = _order(request), answerer_of(form)
        if answerer is not None:
            try:
                await self._outbound.detected(order_id, _call_sid(form), answerer)
            except StoreError as exc:
                log.error("who has answered is not kept: %s", exc, extra=named("store_order_not_written"))
                raise web.HTTPServiceUnavailable(text="the store does not answer") from exc
        return web.Response(status=204)


def _order(request: web.Request) -> tuple[str, int]:
    """The order that an address of ours names, and which call of it."""
    order_id, number = request.query.get("order", ""), request.query.get("try", "")
    if not _ORDER_ID.fullmatch(order_id) or not re.fullmatch(r"[1-9][0-9]?", number):
        raise web.HTTPBadRequest(text="order or try is missing or malformed")
    return order_id, int(number)


def _call_sid(form: Mapping[str, str]) -> str:
    call_sid = form.get("CallSid", "")
    if not _CALL_SID.fullmatch(call_sid):
        raise web.HTTPBadRequest(text="CallSid is missing or malformed")
    work_for(call_sid)
    return call_sid
