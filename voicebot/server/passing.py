"""Callers whom the phone line takes elsewhere, since the voice agent cannot go on with them: the flow's `fallback`.

Each way out is TwiML. What comes of it is told at `/twilio/passed`, to whichever instance is asked, which has the next
way taken or ends the call. Nothing runs meanwhile: all that is known stands in the journal. Whoever writes there takes
the call over first, so that of several who are asked the same one decides, and the others say what it has decided.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from urllib.parse import urlsplit

from voicebot.call.entries import Entry, LineClosed, PassedOn, PassingEnded, PassingStatus, kind_of, write_entry
from voicebot.call.past import Past, read_past
from voicebot.engine.entries import EndedReason
from voicebot.errors import CallTakenError, StoreError
from voicebot.flow.loader import FlowShelf
from voicebot.flow.model import Flow
from voicebot.flow.ways_out import Transfer
from voicebot.log_events import named
from voicebot.store.contract import CallRecord, Store, StoredEntry
from voicebot.telephony import twiml

from .lifecycle import Calls
from .reporting import fitting_reason
from .revival import revive

log = logging.getLogger(__name__)

PASSED_PATH = "/twilio/passed"
TALK_LIMIT_S = 14_400.0  # of a transferred call; the vendor's own default (TwiML <Dial>: timeLimit)
SLACK_S = 60.0  # for the sentence, the tone, and the request that tells the result
REPEATED_S = 15.0  # how long Twilio waits for an answer: up to then the same may be asked once more
WAITS_S = (0.0, 0.2, 0.4, 0.8)  # before each try to decide, where several instances are asked at once
LONGEST_URL = 2000
_RECORDING_SID = re.compile(r"RE[0-9a-f]{32}")
_OVER = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
_DIALLED: Mapping[str, PassingStatus] = {
    "completed": "completed",
    "answered": "completed",
    "busy": "busy",
    "no-answer": "no_answer",
    "canceled": "canceled",
}


class Passing:
    """Takes callers the ways out of their flows, one after the other."""

    def __init__(
        self,
        *,
        store: Store,
        calls: Calls,
        shelf: Callable[[], FlowShelf],
        public_url: str,
        wall: Callable[[], datetime],
    ) -> None:
        self._store, self._calls, self._shelf, self._public_url, self._wall = store, calls, shelf, public_url, wall

    async def onward(self, call_sid: str, reason: EndedReason) -> str | None:
        """TwiML that takes the caller the first way out, or the one that was taken before if this is a repetition.

        Args:
            reason: why the voice agent does not go on.

        Returns:
            None if the flow has no way out, or the call is over.
        """
        for wait_s in WAITS_S:
            await asyncio.sleep(wait_s)
            if (record := await self._unfinished(call_sid)) is None:
                return None
            past = await self._past(call_sid)
            if (last := past.awaited) is not None and past.at_ms - last.at_ms >= REPEATED_S * 1000:
                return await self.came_back(call_sid, last.on.number, {})  # it is over, and its result was lost
            if past.passings:
                return self._standing(record, past)
            if not self._flow(past).fallback:
                return None
            if (taken := await self._take(record)) is None:
                continue
            past = await self._past(call_sid)
            if past.passings:
                return self._standing(taken, past)
            closed = [LineClosed(reason)] if past.closed is None else []
            try:
                return await self._pass_on(taken, past, closed)
            except CallTakenError:
                continue
        return None

    async def came_back(self, call_sid: str, number: int, form: Mapping[str, str]) -> str:
        """TwiML for a caller who is back from where the phone line has taken them, or whose call is over.

        Args:
            number: which time it was taken elsewhere, as in `PassedOn`.
            form: what Twilio tells of the dial or of the recording.
        """
        for wait_s in WAITS_S:
            await asyncio.sleep(wait_s)
            if (record := await self._unfinished(call_sid)) is None:
                break
            past = await self._past(call_sid)
            if not _is_open(past, number):
                return self._standing(record, past)
            if (taken := await self._take(record)) is None:
                continue
            past = await self._past(call_sid)
            if not _is_open(past, number):
                return self._standing(taken, past)
            result = _result(past.passings[number - 1].on, form)
            log.info(
                "the caller was passed on: %s, %s",
                past.passings[-1].on.to,
                result.status,
                extra=named("call_passed_on", taken.call_sid),
            )
            try:
                if not (result.done or form.get("CallStatus") in _OVER) and self._flow(past).fallback[number:]:
                    return await self._pass_on(taken, past, [result])
                await self._write(taken, past, [result])
            except CallTakenError:
                continue
            self._calls.conclude(taken, fitting_reason(past), at_once=True)
            return self._closing(result, past)
        return await self._after_the_end(call_sid)

    async def line_over(self, call_sid: str) -> None:
        """The phone line says that the call is over: what came of where it was taken is told about now, or never."""
        try:
            if (record := await self._unfinished(call_sid)) is None:
                return
            past = await self._past(call_sid)
        except StoreError as exc:
            log.warning("the end of the call is seen later: %s", exc, extra=named("store_end_seen_later", call_sid))
            return
        if past.awaited is not None:
            self._calls.conclude(record, fitting_reason(past), at_once=False)

    # ---- the ways ---------------------------------------------------------------------------------------------------

    async def _pass_on(self, record: CallRecord, past: Past, before: Sequence[Entry]) -> str:
        """Write down that the caller is taken the next way, behind `before`, and say so in TwiML.

        Raises:
            CallTakenError: somebody else decides.
        """
        way = self._flow(past).fallback[len(past.passings)]
        number = len(past.passings) + 1
        if isinstance(way, Transfer):
            on = PassedOn(number, "transfer", way.to, way.timeout + TALK_LIMIT_S + SLACK_S)
        else:
            on = PassedOn(number, "voicemail", None, way.max + SLACK_S)
        await self._write(record, past, [*before, on])
        self._calls.passed_on(record.call_sid)
        return self._document(record, past, on)

    def _document(self, record: CallRecord, past: Past, on: PassedOn) -> str:
        flow = self._flow(past)
        way, language = flow.fallback[on.number - 1], flow.languages[0]
        action_url = f"{self._public_url}{PASSED_PATH}?way={on.number}"
        if isinstance(way, Transfer):
            return twiml.ring(
                way.to,
                language=language,
                action_url=action_url,
                ring_s=way.timeout,
                talk_s=TALK_LIMIT_S,
                caller_id=record.caller or record.called,
            )
        return twiml.record_message(language=language, action_url=action_url, longest_s=way.max)

    def _standing(self, record: CallRecord, past: Past) -> str:
        """What was decided before."""
        last = past.passings[-1] if past.passings else None
        if last is None:
            return twiml.hang_up()
        return self._document(record, past, last.on) if last.result is None else self._closing(last.result, past)

    def _closing(self, result: PassingEnded, past: Past) -> str:
        """The last that the phone line says."""
        language = self._flow(past).languages[0]
        if result.done:
            return twiml.say_received(language) if result.status == "recorded" else twiml.hang_up()
        return twiml.say_trouble(language)

    async def _after_the_end(self, call_sid: str) -> str:
        past = await self._past(call_sid)
        last = past.passings[-1] if past.passings else None
        return twiml.hang_up() if last is None or last.result is None else self._closing(last.result, past)

    # ---- the call ---------------------------------------------------------------------------------------------------

    async def _unfinished(self, call_sid: str) -> CallRecord | None:
        record = await self._store.call(call_sid)
        return record if record is not None and record.ended is None else None

    async def _take(self, record: CallRecord) -> CallRecord | None:
        return await self._store.take_over(record.call_sid, record.attempt, self._calls.owner, token_issued_at=0)

    async def _past(self, call_sid: str) -> Past:
        return read_past(await self._store.journal(call_sid), self._wall())

    def _flow(self, past: Past) -> Flow:
        opened = past.opened
        return revive(opened.flow, opened.flow_version, opened.flow_document, self._shelf()).flow

    async def _write(self, record: CallRecord, past: Past, entries: Sequence[Entry]) -> None:
        wall = self._wall()
        stored = [
            StoredEntry(number, kind_of(entry), past.at_ms, wall, write_entry(entry))
            for number, entry in enumerate(entries, past.sequence + 1)
        ]
        await self._store.append(record.call_sid, stored, attempt=record.attempt, durable=True)


def _is_open(past: Past, number: int) -> bool:
    """Whether the phone line is to tell what came of this time."""
    return number == len(past.passings) and past.passings[-1].result is None


def _result(on: PassedOn, form: Mapping[str, str]) -> PassingEnded:
    """What Twilio tells of a dial (`DialCallStatus` …) or of a recording (`RecordingUrl` …)."""
    if on.to == "transfer":
        status = _DIALLED.get(form.get("DialCallStatus", ""), "failed")
        talked_s = _whole(form.get("DialCallDuration")) if status == "completed" else None
        return PassingEnded(on.number, status, talked_s)
    url, sid = form.get("RecordingUrl", ""), form.get("RecordingSid", "")
    if len(url) > LONGEST_URL or urlsplit(url).scheme not in ("http", "https"):
        return PassingEnded(on.number, "empty")
    known_sid = sid if _RECORDING_SID.fullmatch(sid) else None
    return PassingEnded(on.number, "recorded", _whole(form.get("RecordingDuration")), known_sid, url)


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,6}", text) else None
