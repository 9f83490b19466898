"""The messages with which a call ends: each sent once, whatever fails in between, and told in its report."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.fakes import START, BreakableStore
from voicebot.call.entries import (
    AnswererKnown,
    CallEnded,
    CallerConnected,
    CallOpened,
    Entry,
    TextMessage,
    TextMessageBegan,
    kind_of,
    write_entry,
)
from voicebot.delivery.events import Targets
from voicebot.delivery.report_schema import report_schema
from voicebot.engine.entries import ObservationRecorded, PhaseEntered
from voicebot.errors import OutboundRefusedError, TwilioError
from voicebot.flow import Flow, HangUp, Observations, Phase, PhoneNumber, Report, Sms, To, ask, it
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.server.last_messages import UNKNOWN, LastMessages
from voicebot.server.reporting import Reporter
from voicebot.sim.clock import run_virtual, wall_clock
from voicebot.store.contract import CallRecord, StoredEntry

CALL_SID, CALLER, OURS, FRIEND = "CA" + "1" * 32, "+15550123456", "+15550100000", "+15550777777"


class Table(Observations):
    day: str = ask("the day")
    booked: bool = ask("whether they want it")
    friend: PhoneNumber = ask("whom to tell", optional=True)


def flow(*sms: Sms) -> Flow:
    return Flow(
        goal="Book a table.",
        observations=Table,
        phases=[
            Phase("table", instructions="Ask.", transitions=[To("bye")]),
            Phase("bye", instructions="Bye.", end=HangUp()),
        ],
        report=Report(sms=sms),
    )


BOOKED = Sms("Your table is booked for {day}.", when=it.booked.yes)
TO_FRIEND = Sms("See you on {day}.", to=it.friend, sender="+15550109999")


def noted(name: str, value: Any) -> ObservationRecorded:
    return ObservationRecorded(name, value, "tool", "", 1)


SPOKEN: tuple[Entry, ...] = (CallerConnected("MZ1"), PhaseEntered("table", None, "start"))
TALK: tuple[Entry, ...] = (*SPOKEN, noted("day", "Monday"), noted("booked", True), CallEnded("caller_hung_up"))


@dataclass
class Post:
    """What is sent, and what comes of it."""

    answers: list[str | Exception] = field(default_factory=list)
    sent: list[tuple[str, str, str]] = field(default_factory=list)

    async def send(self, to: str, from_: str, text: str) -> str:
        self.sent.append((to, from_, text))
        answer = self.answers.pop(0) if self.answers else f"SM{len(self.sent)}"
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class Desk:
    store: BreakableStore
    post: Post
    counted: list[TextMessage] = field(default_factory=list)

    async def keep(self, entries: Sequence[Entry], flow: Flow) -> CallRecord:
        loaded = load_flow("table", flow)
        opened = CallOpened("table", loaded.version, loaded.document, CALLER, OURS, "inbound")
        known = CallRecord(CALL_SID, "table", loaded.version, CALLER, OURS, "inbound", START, "A-000001", 1, 1)
        record, _ = await self.store.open_call(known, max_calls=9)
        assert record is not None
        stored = [
            StoredEntry(number, kind_of(entry), 1000 * number, START, write_entry(entry))
            for number, entry in enumerate((opened, *entries), 1)
        ]
        await self.store.append(CALL_SID, stored, attempt=1, durable=True)
        self.loaded = loaded
        return record

    def reporter(self) -> Reporter:
        """As a process has it that was started a moment ago."""
        wall, shelf = wall_clock(START), FlowShelf({"table": self.loaded})
        messages = LastMessages(self.store, self.post.send, wall, lambda record, one: self.counted.append(one))
        return Reporter(self.store, Targets(), lambda: shelf, wall, lambda: None, messages=messages)

    async def messages(self) -> list[dict[str, Any]]:
        """Of the report, which its flow's schema allows."""
        text = await self.store.report(CALL_SID)
        assert text is not None
        jsonschema.validate(json.loads(text), report_schema("table", self.loaded.flow))
        return [{name: one[name] for name in one if name != "at"} for one in json.loads(text)["data"]["messages"]]


def told(text: str, to: str | None, sid: str | None, problem: str | None = None, code: int | None = None) -> Any:
    return {"text": text, "to": to, "sid": sid, "problem": problem, "code": code}


def at_desk(test: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
    def run(tmp_path: Path, **given: Any) -> None:
        async def play() -> None:
            store = await BreakableStore.open(tmp_path / "calls.db")
            try:
                await test(Desk(store, Post()), **given)
            finally:
                store.mend()
                await store.close()

        run_virtual(play(), limit_s=3600)

    return run


@at_desk
async def _messages_are_sent_before_the_report(desk: Desk) -> None:
    record = await desk.keep((*TALK[:-1], noted("friend", FRIEND), TALK[-1]), flow(BOOKED, TO_FRIEND))
    assert await desk.reporter().report(record)
    assert desk.post.sent == [
        (CALLER, OURS, "Your table is booked for Monday."),
        (FRIEND, "+15550109999", "See you on Monday."),
    ]
    assert await desk.messages() == [
        told("Your table is booked for Monday.", CALLER, "SM1"),
        told("See you on Monday.", FRIEND, "SM2"),
    ]
    assert [one.problem for one in desk.counted] == [None, None]
    assert not await desk.reporter().report(record)
    assert len(desk.post.sent) == 2


def test_messages_are_sent_before_the_report(tmp_path: Path) -> None:
    _messages_are_sent_before_the_report(tmp_path)


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (TwilioError("answered 400, code 21610", status=400, code=21610), 21610),  # they want no messages
        (TwilioError("answered 400, code 21211", status=400, code=21211), 21211),  # no such number
        (TwilioError("answered 429", status=429, code=20429), 20429),
        (TwilioError("no answer within 5 s"), None),
        (OutboundRefusedError("not_allowed", "it may not be sent"), None),
    ],
)
def test_message_that_is_not_sent_is_told(tmp_path: Path, failure: Exception, code: int | None) -> None:
    @at_desk
    async def play(desk: Desk) -> None:
        record = await desk.keep(TALK, flow(BOOKED))
        desk.post.answers = [failure]
        assert await desk.reporter().report(record)
        assert await desk.messages() == [told("Your table is booked for Monday.", CALLER, None, str(failure), code)]
        assert len(desk.post.sent) == len(desk.counted) == 1

    play(tmp_path)


@pytest.mark.parametrize(
    ("entries", "sms", "problem"),
    [
        ((*SPOKEN, noted("booked", True), CallEnded("silence")), BOOKED, "a value that it quotes is not known"),
        (TALK, TO_FRIEND, "the number that it goes to is not known"),
        ((*SPOKEN, noted("day", "Monday"), noted("booked", False), CallEnded("completed")), BOOKED, None),
        ((PhaseEntered("table", None, "start"), CallEnded("never_connected")), Sms("Thank you."), None),
        ((CallerConnected("MZ1"), AnswererKnown("machine_end_beep", 1), CallEnded("voicemail")), Sms("Hi."), None),
    ],
)
def test_message_that_cannot_or_must_not_go_is_not_sent(
    tmp_path: Path, entries: Sequence[Entry], sms: Sms, problem: str | None
) -> None:
    @at_desk
    async def play(desk: Desk) -> None:
        record = await desk.keep(entries, flow(sms))
        assert await desk.reporter().report(record)
        assert desk.post.sent == []
        assert [one["problem"] for one in await desk.messages()] == ([problem] if problem else [])

    play(tmp_path)


def test_flow_without_messages_sends_none(tmp_path: Path) -> None:
    @at_desk
    async def play(desk: Desk) -> None:
        record = await desk.keep(TALK, flow())
        assert await desk.reporter().report(record)
        assert (desk.post.sent, await desk.messages()) == ([], [])

    play(tmp_path)


def test_message_is_sent_once_while_the_report_cannot_be_written(tmp_path: Path) -> None:
    @at_desk
    async def play(desk: Desk) -> None:
        record = await desk.keep(TALK, flow(BOOKED))
        desk.store.break_down("finish")
        reporting = asyncio.get_running_loop().create_task(desk.reporter().report(record))
        await asyncio.sleep(60)
        assert len(desk.post.sent) == 1
        desk.store.mend()
        assert await reporting
        assert len(desk.post.sent) == 1
        assert await desk.messages() == [told("Your table is booked for Monday.", CALLER, "SM1")]

    play(tmp_path)


def test_message_waits_until_it_can_be_written_down(tmp_path: Path) -> None:
    @at_desk
    async def play(desk: Desk) -> None:
        record = await desk.keep(TALK, flow(BOOKED))
        desk.store.break_down("append")
        reporting = asyncio.get_running_loop().create_task(desk.reporter().report(record))
        await asyncio.sleep(30)
        assert desk.post.sent == []
        desk.store.mend()
        assert await reporting
        assert [one["sid"] for one in await desk.messages()] == ["SM1"]

    play(tmp_path)


def test_process_that_dies_while_it_sends_leaves_one_message_and_doubt(tmp_path: Path) -> None:
    @at_desk
    async def play(desk: Desk) -> None:
        record = await desk.keep(TALK, flow(BOOKED, Sms("Goodbye.")))
        desk.store.break_down("finish")
        died = asyncio.get_running_loop().create_task(_first_then_hang(desk, record))
        await asyncio.sleep(5)
        died.cancel()
        with suppress(asyncio.CancelledError):
            await died
        desk.store.mend()
        taken = await desk.store.take_over(CALL_SID, 1, "B-000002", token_issued_at=0)
        assert taken is not None
        assert await desk.reporter().report(taken)
        assert [text for *_, text in desk.post.sent] == ["Your table is booked for Monday.", "Goodbye."]
        assert await desk.messages() == [
            told("Your table is booked for Monday.", CALLER, None, UNKNOWN),
            told("Goodbye.", CALLER, "SM2"),
        ]

    async def _first_then_hang(desk: Desk, record: CallRecord) -> None:
        send = desk.post.send

        async def hang(to: str, from_: str, text: str) -> str:
            await send(to, from_, text)
            await asyncio.sleep(1000)
            return "never"

        wall, shelf = wall_clock(START), FlowShelf({"table": desk.loaded})
        messages = LastMessages(desk.store, hang, wall)
        await Reporter(desk.store, Targets(), lambda: shelf, wall, lambda: None, messages=messages).report(record)

    play(tmp_path)


def test_of_two_who_report_one_sends(tmp_path: Path) -> None:
    @at_desk
    async def play(desk: Desk) -> None:
        record = await desk.keep(TALK, flow(BOOKED))
        written = await asyncio.gather(desk.reporter().report(record), desk.reporter().report(record))
        assert sorted(written) == [False, True]
        assert len(desk.post.sent) == 1

    play(tmp_path)


def test_intention_is_in_the_journal_before_the_message_goes(tmp_path: Path) -> None:
    @at_desk
    async def play(desk: Desk) -> None:
        record = await desk.keep(TALK, flow(BOOKED))
        assert await desk.reporter().report(record)
        kinds = [entry.kind for entry in await desk.store.journal(CALL_SID)]
        began = TextMessageBegan(1, "", None, "")
        assert kinds[-2:] == [kind_of(began), kind_of(TextMessage("", None))]

    play(tmp_path)
