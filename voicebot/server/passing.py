"""Callers whom the phone line takes elsewhere: to a human being, as their flow wants it; or the ways of its `fallback`,
since the voice agent cannot go on with them.

Each way is TwiML. What comes of it is told at `/twilio/passed`, to whichever instance is asked. A talk or a message
ends the call. Where nobody answered, the caller of a transfer goes on in the conversation, in a new stream; of a
fallback the next way is taken. Nothing runs meanwhile: all that is known stands in the journal. Whoever writes there
takes the call over first, so that of several who are asked the same one decides, and the others say what it decided.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from urllib.parse import urlsplit

from voicebot.call.about import context_of
from voicebot.call.brief import brief_of
from voicebot.call.entries import Entry, LineClosed, PassedOn, PassingEnded, PassingStatus, kind_of, write_entry
from voicebot.call.past import Past, read_past
from voicebot.engine.entries import EndedReason, TransferBegan, TransferFailed
from voicebot.errors import CallTakenError, StoreError
from voicebot.flow.loader import FlowShelf
from voicebot.flow.model import Flow
from voicebot.flow.targets import Target
from voicebot.flow.ways_out import Transfer, Voicemail
from voicebot.log_events import named
from voicebot.store.contract import CallRecord, Store, StoredEntry
from voicebot.telephony import twiml

from .lifecycle import MOST_ATTEMPTS, Calls
from .reporting import fitting_reason
from .revival import revive

log = logging.getLogger(__name__)

AFTER_PATH = "/twilio/after"
PASSED_PATH = "/twilio/passed"
RECORDED_PATH = "/twilio/recorded"
WHISPER_PATH = "/twilio/whisper"
TALK_LIMIT_S = 14_400.0  # of a transferred call; the vendor's own default (TwiML <Dial>: timeLimit)
SLACK_S = 60.0  # for the sentence, the tone, and the request that tells the result
REPEATED_S = 15.0  # how long Twilio waits for an answer: up to then the same may be asked once more
WAITS_S = (0.0, 0.2, 0.4, 0.8)  # before each try to decide, where several instances are asked at once
LONGEST_URL = 2000
_RECORDING_SID = re.compile(r"RE[0-9a-f]{32}")
OVER = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
_DIALLED: Mapping[str, PassingStatus] = {
    "completed": "completed",
    "answered": "completed",
    "busy": "busy",
    "no-answer": "no_answer",
    "canceled": "canceled",
}


class Passing:
    """Takes callers to whom their flows lead, and the ways out of their flows, one after the other.

    An answer is TwiML; or the call as the store has it, whose caller is to go on in the conversation, in a new stream.
    """

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

    async def onward(self, call_sid: str, reason: EndedReason) -> str | CallRecord | None:
        """Take the caller the first way, or say which was taken before if this is a repetition.

        Args:
            reason: why the voice agent does not go on.

        Returns:
            None if there is no way, or the call is over.
        """
        for wait_s in WAITS_S:
            await asyncio.sleep(wait_s)
            if (record := await self._unfinished(call_sid)) is None:
                return None
            past = await self._past(call_sid)
            if (last := past.awaited) is not None and past.at_ms - last.at_ms >= REPEATED_S * 1000:
                return await self.came_back(call_sid, last.on.number, {})  # it is over, and its result was lost
            if past.elsewhere is not None:
                return self._standing(record, past)
            if self._next(past) is None:
                return None
            if (taken := await self._take(record)) is None:
                continue
            past = await self._past(call_sid)
            if past.elsewhere is not None:
                return self._standing(taken, past)
            closed = [LineClosed(reason)] if past.closed is None else []
            try:
                return await self._pass_on(taken, past, closed)
            except CallTakenError:
                continue
        return None

    async def came_back(self, call_sid: str, number: int, form: Mapping[str, str]) -> str | CallRecord:
        """Go on with a caller who is back from where the phone line has taken them, or whose call is over.

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
            on = past.passings[number - 1].on
            result, over = result_of(on, form), form.get("CallStatus") in OVER
            goes_on = not (result.done or over) and self._has_way_back(record, past, on)
            if (taken := await self._take(record, for_stream=goes_on and self._calls.accepting)) is None:
                continue
            past = await self._past(call_sid)
            if not _is_open(past, number):
                return self._standing(taken, past)
            log.info(
                "the caller was passed on: %s, %s",
                on.to,
                result.status,
                extra=named("call_passed_on", taken.call_sid),
            )
            try:
                if goes_on:
                    return await self._go_on(taken, past, on, result)
                if not (result.done or over) and on.name is None and self._next(past) is not None:
                    return await self._pass_on(taken, past, [result])
                await self._write(taken, past, [result])
            except CallTakenError:
                continue
            self._calls.conclude(taken, _ended_reason(past, on, result, over), at_once=True)
            return twiml.hang_up() if over else self._closing(on, result, past)
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

    async def brief(self, call_sid: str, number: int) -> str:
        """TwiML for whoever has answered: who calls and what is known, if they are to be told."""
        record = await self._unfinished(call_sid)
        past = await self._past(call_sid) if record is not None else None
        if record is None or past is None or not _is_open(past, number):
            return twiml.whisper("", "en")
        flow, way = self._flow(past), self._way(past, past.passings[number - 1].on)
        if not (isinstance(way, Transfer) and way.brief):
            return twiml.whisper("", "en")
        context = context_of(record, past.opened.variables)
        return twiml.whisper(brief_of(flow, context, past), flow.languages[0])

    # ---- back into the conversation ---------------------------------------------------------------------------------

    def _has_way_back(self, record: CallRecord, past: Past, on: PassedOn) -> bool:
        """Whether a caller whom nobody answered can go on in the conversation, by the rules of a resumed call."""
        flow = self._flow(past)
        target = flow.targets.get(on.name) if on.name is not None else None
        return target is not None and target.no_answer in flow.by_name and record.attempt < MOST_ATTEMPTS

    async def _go_on(self, record: CallRecord, past: Past, on: PassedOn, result: PassingEnded) -> str | CallRecord:
        """Nobody answered: have the conversation go on, here or, if this instance stops, in another one.

        Raises:
            CallTakenError: somebody else decides.
        """
        await self._write(record, past, [result, TransferFailed(on.name or "", result.status)])
        if not self._calls.accepting:
            return twiml.ask_again(self._public_url + AFTER_PATH)
        await self._calls.resume(record)
        return record

    # ---- the ways ---------------------------------------------------------------------------------------------------

    async def _pass_on(self, record: CallRecord, past: Past, before: Sequence[Entry]) -> str:
        """Write down that the caller is taken the next way, behind `before`, and say so in TwiML.

        Raises:
            CallTakenError: somebody else decides.
        """
        way, number = self._next(past), len(past.passings) + 1
        if way is None:
            raise RuntimeError("there is no way to take")
        if isinstance(way, Transfer):
            target = self._flow(past).rung(way)
            limit_s = _ring_s(way, target) + TALK_LIMIT_S + SLACK_S
            on = PassedOn(number, "transfer", target.address, limit_s, way.to if past.transfer is not None else None)
        else:
            on = PassedOn(number, "voicemail", None, way.max + SLACK_S)
        await self._write(record, past, [*before, on])
        self._calls.passed_on(record.call_sid)
        return self._document(record, past, on)

    def _document(self, record: CallRecord, past: Past, on: PassedOn) -> str:
        flow = self._flow(past)
        way, language = self._way(past, on), past.language or flow.languages[0]
        action_url = f"{self._public_url}{PASSED_PATH}?way={on.number}"
        if isinstance(way, Voicemail):
            status_url = f"{self._public_url}{RECORDED_PATH}?way={on.number}"
            return twiml.record_message(
                language=language, action_url=action_url, status_url=status_url, longest_s=way.max
            )
        target = flow.rung(way)
        whisper_url = f"{self._public_url}{WHISPER_PATH}?call={record.call_sid}&way={on.number}"
        return twiml.ring(
            target.address,
            language=language,
            action_url=action_url,
            ring_s=_ring_s(way, target),
            talk_s=TALK_LIMIT_S,
            caller_id=target.caller_id or record.caller or record.called,
            announced=on.name is not None,
            whisper_url=whisper_url if way.brief else None,
        )

    def _next(self, past: Past) -> Transfer | Voicemail | None:
        """The way that comes now: the transfer that the conversation led to, or the next one of the fallback."""
        if (wanted := past.transfer) is not None:
            return None if past.elsewhere is not None else _transfer(wanted)
        ways = self._flow(past).fallback
        taken = sum(one.on.name is None for one in past.passings)
        return ways[taken] if taken < len(ways) else None

    def _way(self, past: Past, on: PassedOn) -> Transfer | Voicemail:
        """The way that was taken then."""
        if on.name is not None:
            begun = (entry for _, entry in reversed(past.lines) if isinstance(entry, TransferBegan))
            return next(_transfer(entry) for entry in begun if entry.target == on.name)
        before = sum(one.on.name is None for one in past.passings[: on.number - 1])
        return self._flow(past).fallback[before]

    def _standing(self, record: CallRecord, past: Past) -> str | CallRecord:
        """What was decided before."""
        last = past.elsewhere
        if (
            last is None
        ):  # either the conversation goes on after a transfer that failed, or there was nothing of the kind
            return record if past.passings and past.closed is None else twiml.hang_up()
        return (
            self._document(record, past, last.on) if last.result is None else self._closing(last.on, last.result, past)
        )

    def _closing(self, on: PassedOn, result: PassingEnded, past: Past) -> str:
        """The last that the phone line says."""
        language = past.language or self._flow(past).languages[0]
        if result.done:
            return twiml.say_received(language) if result.status == "recorded" else twiml.hang_up()
        return twiml.say_trouble(language) if on.name is None else twiml.say_goodbye(language)

    async def _after_the_end(self, call_sid: str) -> str:
        past = await self._past(call_sid)
        last = past.elsewhere
        return twiml.hang_up() if last is None or last.result is None else self._closing(last.on, last.result, past)

    # ---- the call ---------------------------------------------------------------------------------------------------

    async def _unfinished(self, call_sid: str) -> CallRecord | None:
        record = await self._store.call(call_sid)
        return record if record is not None and record.ended is None else None

    async def _take(self, record: CallRecord, *, for_stream: bool = False) -> CallRecord | None:
        """Take the call over; None if somebody was quicker. `for_stream`: its caller is to have a new one."""
        issued_at = int(self._wall().timestamp()) if for_stream else 0
        return await self._store.take_over(
            record.call_sid, record.attempt, self._calls.owner, token_issued_at=issued_at
        )

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


def _transfer(wanted: TransferBegan) -> Transfer:
    return Transfer(wanted.target, timeout=wanted.ring_s, brief=wanted.brief)


def _ring_s(way: Transfer, target: Target) -> float:
    return way.timeout if way.timeout is not None else target.timeout


def _ended_reason(past: Past, on: PassedOn, result: PassingEnded, over: bool) -> EndedReason:
    """Why the call ends when this came of where the caller was taken. `over`: the phone line has ended it."""
    if on.name is None:
        return fitting_reason(past)
    return "transferred" if result.done else "caller_hung_up" if over else "transfer_failed"


def result_of(on: PassedOn, form: Mapping[str, str]) -> PassingEnded:
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
