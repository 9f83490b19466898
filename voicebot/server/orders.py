"""Orders: numbers that somebody wants called, in the store from before Twilio is asked until the last call is over.

An order is a note of the store, changed by whoever deals with it, each change only in the place of what was read. While
it is open, another note holds its number's line: no second order for the number is taken. When it ends, the line is
free again, and the note keeps neither numbers nor variables.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Literal

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from voicebot.call.entries import AnsweredBy
from voicebot.engine.entries import EndedReason
from voicebot.errors import StoreError
from voicebot.store.contract import Store

KEPT = timedelta(days=1)  # an ended order, so that a repeated request is answered with it
MOST_TRIES = 20  # to change a note that others change, too
_ORDER, _LINE, _RATE = "order:", "line:", "outbound_rate"

State = Literal[
    "placing",  # Twilio is being asked
    "ringing",  # Twilio was asked: the call is placed, or nobody knows yet
    "answered",
    "waiting",  # nobody has answered, and the number is called again
    "ended",
]


@dataclass(frozen=True, slots=True)
class Order:
    """A number that is to be called.

    Attributes:
        asked: tells requests apart that come with the same key.
        state: since `changed`.
        tries: calls so far.
        owner: the instance that places the call.
        due: when it is called again.
        call_sid: of the last call, once it is known.
        placed: when that call was asked for.
        ended_reason: of the last call that nobody has answered, or that could not be placed.
        answered_by, detection_ms: what the phone line has found out, where no session was there to be told.
    """

    order_id: str
    to: str
    from_: str
    flow: str
    asked: str
    owner: str
    placed: datetime
    changed: datetime
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)
    state: State = "placing"
    tries: int = 1
    due: datetime | None = None
    call_sid: str | None = None
    ended_reason: EndedReason | None = None
    answered_by: AnsweredBy | None = None
    detection_ms: int | None = None
    change: str = ""  # names the last change, so that nobody takes it for theirs

    @property
    def call_id(self) -> str:
        """What the last call is recorded and reported as: by its CallSid, or by the order if it never got one."""
        return self.call_sid or self.order_id


def order_id_of(key: str | None) -> str:
    """The id of an order: the same for the same key."""
    return "CO" + (uuid.uuid4().hex if key is None else hashlib.sha256(key.encode()).hexdigest()[:32])


@cache
def _adapter() -> TypeAdapter[Order]:
    return TypeAdapter(Order)


def _read(body: str) -> Order:
    try:
        return _adapter().validate_json(body)
    except ValidationError as exc:
        raise StoreError("an order in the store is damaged, or was written by a newer version") from exc


class OrderBook:
    """The orders of all instances."""

    def __init__(self, store: Store, wall: Callable[[], datetime]) -> None:
        """`wall`: the time of day, aware UTC."""
        self._store, self._wall = store, wall

    async def find(self, order_id: str) -> Order | None:
        """
        Raises:
            StoreError: it cannot be read.
        """
        body = await self._store.note(_ORDER + order_id)
        return None if body is None else _read(body)

    async def every(self) -> list[Order]:
        """All that are open, or ended not long ago."""
        return [_read(body) for body in (await self._store.notes(_ORDER)).values()]

    async def line_is_busy(self, number: str) -> bool:
        """Whether an open order is for this number."""
        holder = await self._store.note(_LINE + number)
        return holder is not None and await self._holds(holder)

    async def make(self, order: Order) -> tuple[Order | None, bool]:
        """Enter a new order, whose number's line it takes; None if the line is another's.

        Returns:
            The order that stands, and whether it is this one: it is not if there is one with the same key.
        """
        key, line = _ORDER + order.order_id, _LINE + order.to
        order = replace(order, change=uuid.uuid4().hex)
        body = to_json(order).decode()
        if not await self._store.put_note(key, body, instead_of=None):
            return await self.find(order.order_id), False
        holder = await self._store.note(line)  # a line is held only by an order that was entered before
        busy = holder is not None and await self._holds(holder)
        if busy or not await self._store.put_note(line, order.order_id, instead_of=holder):
            await self._store.put_note(key, None, instead_of=body)
            return None, False
        return order, True

    async def change(self, order_id: str, how: Callable[[Order], Order | None]) -> Order | None:
        """Change an order that is there; `how` says to what, or None if it is not to be changed.

        Returns:
            The order as it was changed by us; None if it was not.

        Raises:
            StoreError: it cannot be changed.
        """
        for _ in range(MOST_TRIES):
            body = await self._store.note(_ORDER + order_id)
            if body is None or (changed := how(standing := _read(body))) is None:
                return None
            changed = replace(changed, changed=self._wall(), change=uuid.uuid4().hex)
            kept = changed if changed.state != "ended" else replace(changed, to="", from_="", variables={})
            if await self._store.put_note(_ORDER + order_id, to_json(kept).decode(), instead_of=body):
                if changed.state == "ended" and standing.to:
                    await self._store.put_note(_LINE + standing.to, None, instead_of=order_id)
                return changed
        raise StoreError("too many change the same order")

    async def forget(self, order: Order) -> None:
        """Remove one that ended long ago."""
        key = _ORDER + order.order_id
        body = await self._store.note(key)
        if body is not None and _read(body).state == "ended":
            await self._store.put_note(key, None, instead_of=body)

    async def count(self, admit: Callable[[list[datetime], datetime], tuple[datetime, ...] | None]) -> bool:
        """Count a call that is about to be placed, over all instances, if `admit` lets it pass.

        `admit` gets the calls that were counted, and the time; it returns those that still count, with this one.
        """
        for _ in range(MOST_TRIES):
            body = await self._store.note(_RATE)
            placed = [datetime.fromisoformat(one) for one in json.loads(body)["placed"]] if body else []
            admitted = admit(placed, self._wall())
            if admitted is None:
                return False
            made = json.dumps({"placed": [one.isoformat() for one in admitted], "by": uuid.uuid4().hex})
            if await self._store.put_note(_RATE, made, instead_of=body):
                return True
        raise StoreError("too many place calls at once")

    async def _holds(self, order_id: str) -> bool:
        order = await self.find(order_id)
        return order is not None and order.state != "ended"
