"""A call's journal as it grows, as server-sent events: from the store, so any instance tells of any call.

https://html.spec.whatwg.org/multipage/server-sent-events.html. The id of an event is the entry's sequence, so that who
lost the connection goes on with `Last-Event-ID`; its name is the entry's kind. The last event is `end`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from aiohttp import hdrs, web

from voicebot.errors import StoreError
from voicebot.store.contract import Store

from ..connections import upgraded
from .endpoint import call_sid_of
from .problems import Wrong, missing, problem
from .shown import entry_shown

MOST_TAILS = 24  # of one process: each waits in the store, which has a place for thirty-two
LONGEST_S = 3600.0  # then the client comes again
HEARTBEAT_S = 15.0  # proxies close what is silent for a minute, as a rule
WRITE_LIMIT_S = 10.0  # for a client to take what is sent
COME_AGAIN_MS = 2000
_SEQUENCE = re.compile(r"\d{1,15}")


class Tails:
    """Everybody who watches a call at this instance."""

    def __init__(self, store: Store, time: Callable[[], float]) -> None:
        """`time`: seconds that never go back."""
        self._store, self._time = store, time
        self._open = 0

    async def tail(self, request: web.Request) -> web.StreamResponse:
        """Tell of a call until it is over, and what was missed before.

        Raises:
            HTTPException: 404, no such call; 422, no place to go on from; 503, too many watch.
        """
        after = _after(request)
        call_sid = call_sid_of(request)
        if await self._store.call(call_sid) is None:
            raise missing("call")
        if self._open >= MOST_TAILS:
            raise problem(503, "crowded", "too many watch calls here; try again", headers={"Retry-After": "10"})
        self._open += 1
        try:
            return await self._tell(request, call_sid, after)
        finally:
            self._open -= 1

    async def _tell(self, request: web.Request, call_sid: str, after: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: "text/event-stream", "X-Accel-Buffering": "no"})
        upgraded(request)  # its limits are these here
        await response.prepare(request)
        if request.method == hdrs.METH_HEAD:
            return response
        until = self._time() + LONGEST_S
        try:
            await _write(response, f"retry: {COME_AGAIN_MS}\n\n")
            while self._time() < until:
                ended = await self._over(call_sid)  # asked first: what was written before the end is then seen below
                entries = await self._store.follow(call_sid, after, 0.0 if ended else HEARTBEAT_S)
                for entry in entries:
                    after = entry.sequence
                    shown = entry_shown(entry).model_dump_json()
                    await _write(response, f"id: {after}\nevent: {entry.kind}\ndata: {shown}\n\n")
                if not entries:
                    if ended:
                        await _write(response, "event: end\ndata: {}\n\n")
                        break
                    await _write(response, ": still here\n\n")
            await response.write_eof()
        except (ConnectionError, TimeoutError, StoreError):
            if request.transport is not None:
                request.transport.abort()  # the client comes again, and goes on where it was
        return response

    async def _over(self, call_sid: str) -> bool:
        record = await self._store.call(call_sid)
        return record is None or record.ended is not None


async def _write(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(WRITE_LIMIT_S):
        await response.write(text.encode())


def _after(request: web.Request) -> int:
    given = request.headers.get("Last-Event-ID", "0").strip() or "0"
    if not _SEQUENCE.fullmatch(given) or not given.isascii():
        wrong = Wrong(where="header.Last-Event-ID", problem="is no number", mend="give the id of the last event")
        raise problem(422, "invalid", "there is no such place to go on from", errors=[wrong])
    return int(given)
