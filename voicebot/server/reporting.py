"""The end of a call: its report, written with its deliveries in one transaction, whoever had the call last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain, repeat
from types import MappingProxyType
from typing import Any

from voicebot.call.entries import CallEnded, TextMessage, kind_of, write_entry
from voicebot.call.past import Past, gap_ms, read_past
from voicebot.delivery.events import LIVE_EVENTS, Targets
from voicebot.delivery.outgoing import deliveries_of, fresh_deliveries
from voicebot.delivery.report import bare_report, fold_report, whole_body
from voicebot.engine.entries import EndedReason
from voicebot.errors import CallTakenError, FlowError, JournalError, StoreError
from voicebot.flow.loader import FlowShelf
from voicebot.flow.model import Flow
from voicebot.log_events import named
from voicebot.store.contract import CallRecord, Store, StoredEntry

from .last_messages import LastMessages
from .revival import revive

log = logging.getLogger(__name__)

RETRY_S = (0.2, 1.0, 5.0, 15.0)  # the last one again and again


class Reporter:
    """Ends calls: folds their journals into reports and writes these down."""

    def __init__(
        self,
        store: Store,
        targets: Targets,
        shelf: Callable[[], FlowShelf],
        wall: Callable[[], datetime],
        reported: Callable[[], None],
        ended: Callable[[Mapping[str, Any]], None] = lambda report: None,
        messages: LastMessages | None = None,
    ) -> None:
        """
        Args:
            targets: who is told of calls.
            shelf: the flows as they are now.
            wall: the time of day, aware UTC.
            reported: called when a report was written.
            ended: told of every report that was written here.
            messages: sends the text messages with which calls end; without it, none is sent.
        """
        self._messages = messages
        self._has_ended = ended
        self._store, self._targets, self._shelf, self._wall, self._reported = store, targets, shelf, wall, reported

    async def report(
        self,
        record: CallRecord,
        *,
        reason: EndedReason = "error",
        flow: Flow | None = None,
        unwritten: Sequence[StoredEntry] = (),
        unkept: Mapping[str, bytes] = MappingProxyType({}),
    ) -> bool:
        """Write a call's report, as soon as the store can; False if the call is in other hands, or has one.

        Args:
            record: with the attempt that the caller holds.
            reason: why it ended, where the journal does not say.
            flow: that the call ran; without it, the one in its journal.
            unwritten: entries that the store did not take.
            unkept: secrets that it did not take, sealed.
        """
        sent: dict[int, TextMessage] = {}
        for delay_s in chain(RETRY_S, repeat(RETRY_S[-1])):
            try:
                return await self._write(record, reason, flow, unwritten, unkept, sent)
            except CallTakenError:
                log.info(
                    "others go on with the call, or have ended it", extra=named("call_in_other_hands", record.call_sid)
                )
                return False
            except StoreError as exc:
                log.error(
                    "the report cannot be written: %s", exc, extra=named("store_report_not_written", record.call_sid)
                )
                await asyncio.sleep(delay_s)
        return False

    async def _write(
        self,
        record: CallRecord,
        reason: EndedReason,
        flow: Flow | None,
        unwritten: Sequence[StoredEntry],
        unkept: Mapping[str, bytes],
        sent: dict[int, TextMessage],
    ) -> bool:
        for name, sealed in unkept.items():
            await self._store.keep_secret(record.call_sid, name, sealed, attempt=record.attempt)
        stored = {entry.sequence: entry for entry in await self._store.journal(record.call_sid)}
        missing = [entry for entry in unwritten if entry.sequence not in stored]
        stored.update({entry.sequence: entry for entry in missing})
        journal = [stored[number] for number in sorted(stored)]
        if not any(entry.kind == _ENDED for entry in journal):
            missing.append(self._ended(journal, reason))
            journal.append(missing[-1])
        await self._end_with_messages(record, flow, journal, missing, sent)
        flow, report = self._fold(record, flow, journal)
        deliveries = await deliveries_of(record, flow, journal, report, self._targets)
        written = await self._store.finish(
            record.call_sid,
            whole_body(report),
            deliveries,
            attempt=record.attempt,
            ended=self._wall(),
            last_entries=missing,
        )
        if written:
            log.info("call ended: %s", report["data"]["ended_reason"], extra=named("call_ended", record.call_sid))
            self._reported()
            self._has_ended(report)
        return written

    def _ended(self, journal: Sequence[StoredEntry], reason: EndedReason) -> StoredEntry:
        """The last entry of a call that nobody was there to end."""
        wall = self._wall()
        entry = CallEnded(reason)
        if not journal:
            return StoredEntry(1, _ENDED, 0, wall, write_entry(entry))
        last = journal[-1]
        since_ms = gap_ms(last, wall)  # an outage is no part of the call, however long it lasts
        over = last.wall + timedelta(milliseconds=since_ms)
        return StoredEntry(last.sequence + 1, _ENDED, last.at_ms + since_ms, over, write_entry(entry))

    async def _end_with_messages(
        self,
        record: CallRecord,
        flow: Flow | None,
        journal: list[StoredEntry],
        missing: list[StoredEntry],
        sent: dict[int, TextMessage],
    ) -> None:
        """Send the text messages with which the call ends; what came of them is in its journal then."""
        try:
            flow = flow if flow is not None else self._flow(record, journal)
            if self._messages is not None and flow.report.sms:
                await self._messages.send(record, flow, journal, missing, sent)
        except (JournalError, FlowError):
            return  # the report says so

    def _fold(
        self, record: CallRecord, flow: Flow | None, journal: Sequence[StoredEntry]
    ) -> tuple[Flow | None, dict[str, Any]]:
        """The report with the flow it is of; of a journal that cannot be read, what is known without it."""
        try:
            if flow is None:
                flow = self._flow(record, journal)
            return flow, fold_report(record, flow, journal)
        except (JournalError, FlowError) as exc:
            log.error(
                "the journal does not fold into a report: %s", exc, extra=named("report_incomplete", record.call_sid)
            )
            return flow, bare_report(record, flow, journal, str(exc))

    def _flow(self, record: CallRecord, journal: Sequence[StoredEntry]) -> Flow:
        """The flow that the call ran, or would have."""
        if [entry.kind for entry in journal] == [_ENDED]:  # who had it died before it wrote down how the call begins
            return self._shelf().get(record.flow_name).flow
        opened = read_past(journal, self._wall()).opened
        return revive(opened.flow, opened.flow_version, opened.flow_document, self._shelf()).flow

    # ---- what receivers are told while the call runs ----------------------------------------------------------------

    def tells_of(self, flow: Flow, entry: StoredEntry) -> bool:
        """Whether somebody is to be told of this entry at once."""
        event = LIVE_EVENTS.get(entry.kind)
        return event is not None and any(event in target.events for target in self._targets.of(flow))

    async def tell(self, record: CallRecord, flow: Flow, entry: StoredEntry) -> None:
        """Put what receivers are told of an entry into the outbox; what cannot be put there goes with the report."""
        try:
            fresh = await fresh_deliveries(record, flow, entry, self._targets)
            await self._store.enqueue(record.call_sid, fresh, self._wall())
        except StoreError as exc:
            log.warning("receivers are told later: %s", exc, extra=named("store_receivers_told_later", record.call_sid))
        else:
            self._reported()


def fitting_reason(past: Past) -> EndedReason:
    """Why a call ended that nobody had at its end, as far as its journal tells."""
    if past.closed == "transferred" and past.elsewhere is None:
        return "caller_hung_up"  # before anybody was rung for them
    if past.closed is not None:
        return past.closed
    return "never_connected" if past.answered_ms is None else "connection_lost"


_ENDED = kind_of(CallEnded("error"))
