"""The text messages with which a call ends, each sent once, before its report.

Twilio has no key by which it would know a repetition. So a message is written down before it is sent: who finds that
without its result, after a crash, does not send it again, and the report says that nobody knows. Only what is known not
to be sent is tried again, by the REST client, for some seconds.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from datetime import datetime
from typing import get_args

from pydantic import ValidationError

from voicebot.call.about import context_of
from voicebot.call.entries import (
    AnswererKnown,
    CallerConnected,
    Entry,
    TextMessage,
    TextMessageBegan,
    kind_of,
    read_entry,
    write_entry,
)
from voicebot.call.messages import Send
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import EngineEntry
from voicebot.engine.text_messages import WantedText, wanted_texts
from voicebot.errors import JournalError, OutboundRefusedError, TwilioError
from voicebot.flow.model import Flow
from voicebot.store.contract import CallRecord, Store, StoredEntry

UNKNOWN = "it was begun, and nobody knows whether it was sent"
_ENGINE = get_args(EngineEntry)


class LastMessages:
    """Sends them, and writes down what came of it."""

    def __init__(
        self,
        store: Store,
        send: Send,
        wall: Callable[[], datetime],
        sent: Callable[[CallRecord, TextMessage], None] = lambda record, message: None,
    ) -> None:
        """
        Args:
            wall: the time of day, aware UTC.
            sent: told what came of each message.
        """
        self._store, self._send, self._wall, self._sent = store, send, wall, sent

    async def send(
        self,
        record: CallRecord,
        flow: Flow,
        journal: list[StoredEntry],
        missing: list[StoredEntry],
        results: MutableMapping[int, TextMessage],
    ) -> None:
        """Send what a call is to end with. What came of it stands in `journal` then, and in `missing`.

        Args:
            journal: the whole journal, whose end is added to.
            missing: those of its entries that the store may not have yet.
            results: of messages that were sent before, as this was tried before, by number; added to.

        Raises:
            JournalError: it cannot be read.
            CallTakenError: the call is in other hands.
            StoreError: it cannot be written down that a message is about to be sent, and so it was not.
        """
        entries = [read_entry(one.kind, one.body) for one in journal]
        begun = {entry.number for entry in entries if isinstance(entry, TextMessageBegan)}
        over = {entry.number for entry in entries if isinstance(entry, TextMessage)}
        for wanted in _wanted(record, flow, journal, entries):
            if wanted.number in over:
                continue
            if wanted.number in begun:
                result = results.get(wanted.number) or _result(wanted, None, UNKNOWN)
            elif problem := _lacking(wanted):
                result = _result(wanted, None, problem)
            else:
                began = TextMessageBegan(wanted.number, wanted.text or "", wanted.to, uuid.uuid4().hex)
                journal.append(self._entry(journal, began))
                await self._store.append(record.call_sid, [*missing, journal[-1]], attempt=record.attempt, durable=True)
                result = results[wanted.number] = await self._deliver(wanted)
                self._sent(record, result)
            journal.append(self._entry(journal, result))
            missing.append(journal[-1])

    async def _deliver(self, wanted: WantedText) -> TextMessage:
        try:
            message_sid = await self._send(wanted.to or "", wanted.sender or "", wanted.text or "")
        except (OutboundRefusedError, TwilioError) as exc:
            return _result(wanted, None, str(exc), exc.code if isinstance(exc, TwilioError) else None)
        return _result(wanted, message_sid, None)

    def _entry(self, journal: Sequence[StoredEntry], entry: Entry) -> StoredEntry:
        """The next entry of a journal that is at its end: no time of the call passes any more."""
        last = journal[-1]
        return StoredEntry(last.sequence + 1, kind_of(entry), last.at_ms, self._wall(), write_entry(entry))


def _wanted(
    record: CallRecord, flow: Flow, journal: Sequence[StoredEntry], entries: Sequence[Entry]
) -> Sequence[WantedText]:
    """The messages of a call; none of one in which nobody was talked with.

    Raises:
        JournalError: the journal is not of a call with this flow.
    """
    by_machine = any(isinstance(entry, AnswererKnown) and entry.by_machine for entry in entries)
    if by_machine or not any(isinstance(entry, CallerConnected) for entry in entries):
        return ()
    context = context_of(record)
    engine = PhaseEngine(flow, context)
    told = zip(journal, entries, strict=True)
    try:
        engine.restore(((one.at_ms / 1000, entry) for one, entry in told if isinstance(entry, _ENGINE)), 0.0)
        return tuple(wanted_texts(engine.standing, context))
    except (KeyError, ValidationError) as exc:
        raise JournalError(f"the journal of {record.call_sid} does not fit the flow {record.flow_name}") from exc


def _lacking(wanted: WantedText) -> str | None:
    """Why a message cannot be sent, if it cannot."""
    lacks: Mapping[str, object] = {
        "a value that it quotes": wanted.text,
        "the number that it goes to": wanted.to,
        "the number that it comes from": wanted.sender,
    }
    unknown = [what for what, value in lacks.items() if value is None]
    return f"{' and '.join(unknown)} is not known" if unknown else None


def _result(wanted: WantedText, message_sid: str | None, problem: str | None, code: int | None = None) -> TextMessage:
    return TextMessage(wanted.text or "", message_sid, problem, wanted.to, wanted.number, code)
