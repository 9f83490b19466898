"""Calls: found, shown, followed, steered and erased."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ValidationError

from voicebot.errors import FlowError, JournalError
from voicebot.log_events import named
from voicebot.observe.prices import Price
from voicebot.recording.files import RecordingFolder
from voicebot.store.contract import CallFilter, FoundCall, Store, StoredEntry

from ..lifecycle import Calls
from ..records import MANY, known_so_far
from .endpoint import JSON, Content, Endpoint, answer, call_sid_of, read_body, read_query
from .hearing import Hearing
from .models import (
    Accepted,
    CallPage,
    CallShown,
    CallsQuery,
    Erased,
    ErasureBody,
    HangUpBody,
    JournalPage,
    JournalQuery,
    NoteBody,
    SayBody,
    TransferBody,
)
from .operations import Operation, Operations
from .pages import cursor_of, place_of
from .problems import Handler, missing, problem
from .shown import call_shown, entry_shown, row_of
from .tail import Tails

log = logging.getLogger(__name__)

SEARCHED = 500  # reports that are read for one page at most
SEARCHED_AT_ONCE = 50
_AUDIO = {"type": "string", "contentMediaType": "audio/wav"}
_STREAM = {
    "type": "string",
    "description": "Server-sent events: `id` the sequence, `event` the kind, `data` the entry.",
}
_REPORT = {"type": "object", "description": "As /flows/{name}/schema says of its flow."}
_STEERS = {409: "It cannot be done in this call now.", 504: "The instance that has the call does not answer."}


class CallEndpoints:
    """The endpoints of calls."""

    def __init__(
        self,
        *,
        calls: Calls,
        store: Store,
        operations: Operations,
        recordings: RecordingFolder,
        price: Price | None,
        time: Callable[[], float],
    ) -> None:
        self._calls, self._store, self._operations, self._price = calls, store, operations, price
        self._tails, self._hearing, self._recordings = Tails(store, time), Hearing(store, recordings), recordings

    def endpoints(self) -> list[Endpoint]:
        """One entry per route."""
        return [
            Endpoint(
                path="/calls",
                name="list_calls",
                tag="calls",
                summary="Calls, latest first. With `text`, a page may hold few or none and still have a next one.",
                handle=self.find,
                query=CallsQuery,
                answers={200: Content("A page of calls.", CallPage)},
            ),
            Endpoint(
                path="/calls/{call_sid}",
                name="show_call",
                tag="calls",
                summary="All that is known of a call, live or ended.",
                handle=self.show,
                answers={200: Content("The call.", CallShown)},
            ),
            Endpoint(
                path="/calls/{call_sid}/journal",
                name="read_journal",
                tag="calls",
                summary="What happened in a call, entry by entry.",
                handle=self.journal,
                query=JournalQuery,
                answers={200: Content("A page of entries.", JournalPage)},
            ),
            Endpoint(
                path="/calls/{call_sid}/live",
                name="follow_call",
                tag="calls",
                summary="The journal as it grows, as server-sent events; Last-Event-ID goes on after an entry.",
                handle=self._tails.tail,
                headers={"Last-Event-ID": "The sequence of the last entry that is known."},
                answers={200: Content("Events until the call ends.", media="text/event-stream", schema=_STREAM)},
                problems={422: "Last-Event-ID is no number."},
            ),
            Endpoint(
                path="/calls/{call_sid}/report",
                name="read_report",
                tag="calls",
                summary="The whole report of an ended call, with its transcript.",
                handle=self.report,
                answers={200: Content("The report.", schema=_REPORT)},
            ),
            Endpoint(
                path="/calls/{call_sid}/recording",
                name="hear_recording",
                tag="calls",
                summary="The recording: a stereo WAV, the caller on the left. Who hears it stands in the log.",
                handle=self._hearing.play,
                headers={"Range": "One range of bytes."},
                answers={
                    200: Content("The whole of it.", media="audio/wav", schema=_AUDIO),
                    206: Content("The range.", media="audio/wav", schema=_AUDIO),
                },
                problems={416: "It is shorter than where the range begins."},
            ),
            self._steer("hang-up", "hang_up_call", "End the call, with a goodbye.", HangUpBody, self.end),
            self._steer(
                "transfer", "transfer_call", "Join the caller to a target of the flow.", TransferBody, self.join
            ),
            self._steer("say", "say_in_call", "Have words spoken, exactly.", SayBody, self.say),
            self._steer("note", "note_in_call", "Tell the model what it heeds from then on.", NoteBody, self.note),
            Endpoint(
                method="DELETE",
                path="/calls/{call_sid}",
                name="erase_call",
                tag="erasure",
                summary="Erase an ended call for good: journal, report, recording, deliveries.",
                handle=self.erase,
                scope="admin",
                answers={204: Content("It is gone.")},
                problems={409: "The call is still at work."},
                audited=True,
            ),
            Endpoint(
                method="POST",
                path="/erasures",
                name="erase_number",
                tag="erasure",
                summary="Erase all ended calls from or to a number, for good.",
                handle=self.erase_number,
                scope="admin",
                body=ErasureBody,
                answers={200: Content("What is gone, and what stays.", Erased)},
                audited=True,
            ),
        ]

    def _steer(self, path: str, name: str, summary: str, body: type[BaseModel], handle: Handler) -> Endpoint:
        return Endpoint(
            method="POST",
            path=f"/calls/{{call_sid}}/{path}",
            name=name,
            tag="live calls",
            summary=summary,
            handle=handle,
            scope="operate",
            body=body,
            body_is_optional=body is HangUpBody,
            answers={202: Content("The call has it in hand.", Accepted)},
            problems=_STEERS,
            audited=True,
        )

    # ---- lists ------------------------------------------------------------------------------------------------------

    async def find(self, request: web.Request) -> web.StreamResponse:
        """A page of calls."""
        query = read_query(request, CallsQuery)
        ended = None if query.state is None else query.state == "ended"
        wanted = CallFilter(
            ended if query.text is None else True,
            query.flow,
            query.number,
            query.direction,
            query.outcome,
            query.ended_reason,
            query.since,
            query.until,
        )
        place = place_of(query.cursor)
        if query.text is not None and query.state == "live":
            return answer(CallPage(calls=[], next=None))
        if query.text is None:
            found = await self._store.find_calls(wanted, query.limit, place)
            more = len(found) == query.limit
            last = found[-1] if found else None
        else:
            found, last, more = await self._search(wanted, query.text, query.limit, place)
        rows = [row_of(one, self._price, self._calls.get(one.record.call_sid)) for one in found]
        following = cursor_of(last.record.started, last.record.call_sid) if more and last is not None else None
        return answer(CallPage(calls=rows, next=following))

    async def _search(
        self, wanted: CallFilter, text: str, limit: int, place: tuple[datetime, str] | None
    ) -> tuple[list[FoundCall], FoundCall | None, bool]:
        """Calls in which this was said, the last one that was looked at, and whether there may be more."""
        found: list[FoundCall] = []
        last: FoundCall | None = None
        for _ in range(SEARCHED // SEARCHED_AT_ONCE):
            some = await self._store.find_calls(wanted, SEARCHED_AT_ONCE, place)
            reports = await self._store.reports([one.record.call_sid for one in some])
            said = await asyncio.to_thread(_saying, reports, text)
            for one in some:
                last = one
                if one.record.call_sid in said:
                    found.append(one)
                    if len(found) == limit:
                        return found, last, True
            if len(some) < SEARCHED_AT_ONCE:
                return found, last, False
            place = some[-1].record.started, some[-1].record.call_sid
        return found, last, True

    # ---- one call ---------------------------------------------------------------------------------------------------

    async def show(self, request: web.Request) -> web.StreamResponse:
        """All of a call."""
        call_sid = call_sid_of(request)
        found = await self._found(call_sid)
        journal = await self._store.journal(call_sid)
        report = await self._store.report(call_sid)
        deliveries = await self._store.deliveries(min(MANY, 1000), call_sid=call_sid)
        session = self._calls.get(call_sid)
        data = await asyncio.to_thread(_data, found, report, journal)
        try:
            shown = await asyncio.to_thread(call_shown, found, data, journal, deliveries, self._price, session)
        except (ValidationError, LookupError, TypeError, JournalError, FlowError):  # of another version than this one
            log.warning("a call cannot be shown whole", extra=named("call_not_resumable", call_sid))
            shown = call_shown(found, {}, (), deliveries, self._price, session)
        return answer(shown)

    async def journal(self, request: web.Request) -> web.StreamResponse:
        """Entries of a call."""
        query = read_query(request, JournalQuery)
        call_sid = await self._known(request)
        entries = (await self._store.journal(call_sid, query.after))[: query.limit + 1]
        page = [entry_shown(one) for one in entries[: query.limit]]
        more = len(entries) > query.limit
        return answer(JournalPage(entries=page, next=page[-1].sequence if more else None))

    async def report(self, request: web.Request) -> web.StreamResponse:
        """The report as it is kept."""
        report = await self._store.report(call_sid_of(request))
        if report is None:
            raise problem(404, "no_report", "no report of this call; it is unknown or still going on")
        return web.Response(text=report, content_type=JSON)

    async def _found(self, call_sid: str) -> FoundCall:
        record = await self._store.call(call_sid)
        if record is None:
            raise missing("call")
        around = CallFilter(since=record.started, number=record.caller or record.called)
        near = await self._store.find_calls(around, 1, (record.started, call_sid + "\x7f"))
        return near[0] if near and near[0].record.call_sid == call_sid else FoundCall(record, None)

    async def _known(self, request: web.Request) -> str:
        call_sid = call_sid_of(request)
        if await self._store.call(call_sid) is None:
            raise missing("call")
        return call_sid

    # ---- what is done in it -----------------------------------------------------------------------------------------

    async def say(self, request: web.Request) -> web.StreamResponse:
        """Have words spoken."""
        return await self._perform(request, "say", (await read_body(request, SayBody)).text)

    async def note(self, request: web.Request) -> web.StreamResponse:
        """Tell the model something."""
        return await self._perform(request, "note", (await read_body(request, NoteBody)).text)

    async def join(self, request: web.Request) -> web.StreamResponse:
        """Join the caller to somebody."""
        return await self._perform(request, "transfer", (await read_body(request, TransferBody)).target)

    async def end(self, request: web.Request) -> web.StreamResponse:
        """End the call."""
        await read_body(request, HangUpBody, optional=True)
        return await self._perform(request, "hang_up")

    async def _perform(self, request: web.Request, operation: Operation, argument: str = "") -> web.StreamResponse:
        call_sid = call_sid_of(request)
        await self._operations.perform(call_sid, operation, argument)
        return answer(Accepted(call_sid=call_sid), 202)

    # ---- erasure ----------------------------------------------------------------------------------------------------

    async def erase(self, request: web.Request) -> web.StreamResponse:
        """Erase a call."""
        call_sid = call_sid_of(request)
        if not await self._store.erase(call_sid):
            if await self._store.call(call_sid) is None:
                raise missing("call")
            raise problem(409, "live", "the call is still at work; it can be erased when it is over")
        await self._erased([call_sid])
        return web.Response(status=204)

    async def erase_number(self, request: web.Request) -> web.StreamResponse:
        """Erase what there is of a number."""
        body = await read_body(request, ErasureBody)
        erased = await self._store.erase_caller(body.number)
        await self._erased(erased)
        live = await self._store.find_calls(CallFilter(ended=False, number=body.number), MANY)
        return answer(Erased(erased=erased, live=[one.record.call_sid for one in live]))

    async def _erased(self, call_sids: Sequence[str]) -> None:
        """The recordings go too; what the disk does not let go now, the next sweep tries again."""
        log.info("%d calls are erased, as was asked", len(call_sids), extra=named("calls_erased"))
        try:
            await asyncio.to_thread(self._recordings.erase, call_sids)
        except OSError as exc:
            log.error("recordings are erased later: %s", exc.strerror, extra=named("recordings_erased_later"))


def _saying(reports: dict[str, str], text: str) -> set[str]:
    """The calls in whose transcript this stands."""
    wanted = text.casefold()
    escaped = json.dumps(wanted, ensure_ascii=False)[1:-1]
    found = set()
    for call_sid, report in reports.items():
        if escaped not in report.casefold():
            continue
        transcript = json.loads(report).get("data", {}).get("transcript") or ()
        if any(wanted in (line.get("text") or "").casefold() for line in transcript):
            found.add(call_sid)
    return found


def _data(found: FoundCall, report: str | None, journal: Sequence[StoredEntry]) -> dict[str, Any]:
    """What is known of a call; empty where nothing is, or where its journal cannot be read."""
    if report is not None:
        known: dict[str, Any] = json.loads(report).get("data", {})
        return known
    try:
        return known_so_far(found.record, journal) or {}
    except (JournalError, FlowError) as exc:
        log.warning("a call cannot be shown: %s", exc, extra=named("call_not_resumable", found.record.call_sid))
        return {}
