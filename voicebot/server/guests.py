"""Guests: callers without a conversation, who wait for a place or are taken elsewhere by the phone line at once.

A guest is a note of the store, so that it holds no place of a call, and whichever instance is asked knows it. Each
change goes only in the place of what was read. When the guest has gone, it is reported as a call, and the note removed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from voicebot.call.entries import PassedOn, PassingEnded
from voicebot.engine.entries import EndedReason
from voicebot.errors import StoreError
from voicebot.store.contract import Store

from .lifecycle import Obstacle

MOST_TRIES = 20  # to change a note that others change, too
_GUEST = "guest:"


@dataclass(frozen=True, slots=True)
class Way:
    """Somebody who is rung (`address`), or a voicemail. `seconds`: of ringing, or of the longest message."""

    address: str | None
    seconds: float
    caller_id: str | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Where the phone line has taken a guest, and what came of it, once that is known."""

    on: PassedOn
    at: datetime
    result: PassingEnded | None = None
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class Guest:
    """A caller without a conversation.

    Attributes:
        reason: why there is none.
        obstacle: why there was no place, of one who waits.
        words: said before the first way, instead of our sentence.
        way: that is being taken, or was last.
        ways: that are left to be taken.
        stops: that were taken; the last one has no result while the guest is there.
        tries: how often one who waits has asked again.
        seen: when it was last heard of.
        line_over: since when the phone line says that the call is over.
        gone: nothing more comes; it is to be reported.
    """

    call_sid: str
    flow: str
    language: str
    caller: str | None
    called: str | None
    reason: EndedReason
    since: datetime
    seen: datetime
    obstacle: Obstacle | None = None
    words: str = ""
    way: Way | None = None
    ways: tuple[Way, ...] = ()
    stops: tuple[Stop, ...] = ()
    tries: int = 0
    line_over: datetime | None = None
    gone: bool = False
    change: str = ""  # names the last change, so that nobody takes it for theirs

    @property
    def open_stop(self) -> Stop | None:
        """Where it is now, as far as is known."""
        return self.stops[-1] if self.stops and self.stops[-1].result is None else None

    @property
    def waits(self) -> bool:
        """Whether it is in the queue."""
        return self.open_stop is not None and self.stops[-1].on.to == "queue"

    def with_result(self, result: PassingEnded, now: datetime) -> Guest:
        """What came of where it is is known."""
        return replace(self, stops=(*self.stops[:-1], replace(self.stops[-1], result=result, ended=now)))

    def left(self) -> Guest:
        """Nothing more comes."""
        return replace(self, gone=True)


@cache
def _adapter() -> TypeAdapter[Guest]:
    return TypeAdapter(Guest)


def _read(body: str) -> Guest:
    try:
        return _adapter().validate_json(body)
    except ValidationError as exc:
        raise StoreError("a guest in the store is damaged, or was written by a newer version") from exc


class GuestBook:
    """The guests of all instances."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, call_sid: str) -> Guest | None:
        """
        Raises:
            StoreError: it cannot be read.
        """
        body = await self._store.note(_GUEST + call_sid)
        return None if body is None else _read(body)

    async def every(self) -> list[Guest]:
        """All that are there, in the order in which they came."""
        guests = [_read(body) for body in (await self._store.notes(_GUEST)).values()]
        return sorted(guests, key=lambda guest: (guest.since, guest.call_sid))

    async def make(self, guest: Guest) -> tuple[Guest, bool]:
        """Enter a guest; returns the one that stands, and whether it is this one: it is not if it was entered before.

        Raises:
            StoreError: it cannot be entered.
        """
        made = replace(guest, change=uuid.uuid4().hex)
        if await self._store.put_note(_GUEST + guest.call_sid, to_json(made).decode(), instead_of=None):
            return made, True
        if (standing := await self.find(guest.call_sid)) is None:
            raise StoreError("a guest comes and goes")
        return standing, False

    async def change(self, call_sid: str, how: Callable[[Guest], Guest | None]) -> tuple[Guest | None, bool]:
        """Change a guest that is there; `how` says to what, or None if it is not to be changed.

        Returns:
            The guest as it stands then, None if there is none; and whether it was changed by us.

        Raises:
            StoreError: it cannot be changed.
        """
        for _ in range(MOST_TRIES):
            body = await self._store.note(_GUEST + call_sid)
            if body is None:
                return None, False
            if (changed := how(standing := _read(body))) is None:
                return standing, False
            changed = replace(changed, change=uuid.uuid4().hex)
            if await self._store.put_note(_GUEST + call_sid, to_json(changed).decode(), instead_of=body):
                return changed, True
        raise StoreError("too many change the same guest")

    async def remove(self, call_sid: str) -> Guest | None:
        """Remove a guest; returns it if it was removed by us."""
        for _ in range(MOST_TRIES):
            body = await self._store.note(_GUEST + call_sid)
            if body is None:
                return None
            if await self._store.put_note(_GUEST + call_sid, None, instead_of=body):
                return _read(body)
        raise StoreError("too many change the same guest")
