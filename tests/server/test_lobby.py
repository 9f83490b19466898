"""Callers without a conversation: where the phone line takes them, and that each is reported once."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from tests.fakes import START, BreakableStore
from voicebot.delivery.events import Targets
from voicebot.delivery.report_schema import report_schema
from voicebot.flow import Closed, Flow, Hours, Number, Phase, Transfer, Voicemail
from voicebot.flow.loader import FlowShelf, LoadedFlow, load_flow
from voicebot.server.lifecycle import in_background
from voicebot.server.lobby import ASK_S, LOOK_S, RESULT_LIMIT_S, STALE_S, Lobby
from voicebot.server.reporting import Reporter
from voicebot.sim.clock import run_virtual, wall_clock
from voicebot.store.contract import CallRecord
from voicebot.telephony.full_house import read_full_house
from voicebot.telephony.twiml import FALLBACK_SENTENCES

ORIGIN, CALLER, OURS, COLLEAGUE = "https://voice.example.com", "+15550123456", "+15550100000", "+15550199199"
IT = FALLBACK_SENTENCES["it"]
RECORDING = {
    "RecordingUrl": "https://api.twilio.com/rec",
    "RecordingSid": "RE" + "1" * 32,
    "RecordingDuration": "7",
}

flow = Flow(goal="Say hello.", languages=["it"], phases=[Phase("hello", instructions="Say hello.")])
CLOSED = replace(
    flow,
    hours=Hours({"sun": "03:00-04:00"}),
    targets={"owner": Number(COLLEAGUE, timeout="20s", caller_id=OURS)},
    closed=Closed("Siamo chiusi.", then=[Transfer("owner"), Voicemail(max="1m")]),
)


def sid(number: int) -> str:
    return f"CA{number:032x}"


@dataclass
class Place:
    """Two instances' lobbies on one store."""

    store: BreakableStore
    lobby: Lobby
    other: Lobby
    flow: Flow
    refused: list[str] = field(default_factory=list)
    waited: list[tuple[str, int]] = field(default_factory=list)
    wall: Any = None

    def caller(self, number: int = 1, caller: str | None = CALLER) -> CallRecord:
        return CallRecord(sid(number), "hello", "1", caller, OURS, "inbound", self.wall(), "A-000001", 1, 5)

    async def full(self, number: int = 1) -> str | None:
        return await self.lobby.full(self.caller(number), self.flow, "full")

    async def asks(self, times: int, number: int = 1) -> str:
        guest = await self.other.guest(sid(number))
        assert guest is not None
        return await self.other.asks_again(guest, times)

    async def report(self, number: int = 1) -> dict[str, Any]:
        """`data` of the only report, which its flow's schema allows; and nothing is left behind."""
        for _ in range(40):
            if (text := await self.store.report(sid(number))) is not None:
                break
            await asyncio.sleep(LOOK_S / 2)
        assert text is not None
        await asyncio.sleep(1)
        assert await self.store.notes("guest:") == {}
        jsonschema.validate(json.loads(text), report_schema("hello", self.flow))
        found: dict[str, Any] = json.loads(text)["data"]
        return found


Test = Callable[..., Coroutine[object, object, None]]


def in_lobby(
    overflow: str = "queue", *, of: Flow = flow, most_waiting: int = 5
) -> Callable[[Test], Callable[..., None]]:
    def decorate(test: Test) -> Callable[..., None]:
        async def play(**given: object) -> None:
            wall = wall_clock(START)
            loaded: LoadedFlow = load_flow("hello", of)
            shelf = FlowShelf({"hello": loaded})
            refused: list[str] = []
            waited: list[tuple[str, int]] = []
            with tempfile.TemporaryDirectory() as folder:
                store = await BreakableStore.open(Path(folder) / "calls.db")

                def lobby(owner: str) -> Lobby:
                    return Lobby(
                        owner=owner,
                        store=store,
                        reporter=Reporter(store, Targets(), lambda: shelf, wall, lambda: None),
                        shelf=lambda: shelf,
                        house=read_full_house(overflow),
                        most_waiting=most_waiting,
                        public_url=ORIGIN,
                        voice_path="/twilio/voice",
                        wall=wall,
                        refused=refused.append,
                        waited=lambda result, seconds: waited.append((result, round(seconds))),
                    )

                one, other = lobby("A-000001"), lobby("B-000002")
                try:
                    async with in_background(one.run(), name="one"), in_background(other.run(), name="other"):
                        await test(Place(store, one, other, of, refused, waited, wall), **given)
                finally:
                    store.mend()
                    await store.close()

        @functools.wraps(test)
        def run(**given: object) -> None:
            run_virtual(play(**given), limit_s=7200)

        own = list(inspect.signature(test).parameters.values())[1:]
        run.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
        return run

    return decorate


def verbs(text: str | None) -> list[tuple[str, str]]:
    assert text is not None
    return [(verb.tag, (verb.text or verb.findtext("Number") or "").strip()) for verb in ElementTree.fromstring(text)]


def passed_on(report: Mapping[str, Any]) -> list[tuple[object, ...]]:
    return [(one["to"], one["target"], one["status"], one["duration_s"]) for one in report["passed_on"]]


# ---- the queue ------------------------------------------------------------------------------------------------------


@in_lobby()
async def test_waiting_is_words_silence_and_asking_again(place: Place) -> None:
    text = await place.full()
    assert verbs(text) == [("Say", IT.waiting), ("Pause", ""), ("Redirect", f"{ORIGIN}/twilio/voice?waited=1")]
    assert f'length="{ASK_S:.0f}"' in (text or "")
    await asyncio.sleep(12)
    again = await place.asks(1)
    assert verbs(again) == [("Say", IT.still_waiting), ("Pause", ""), ("Redirect", f"{ORIGIN}/twilio/voice?waited=2")]
    assert await place.asks(1) == again  # once more
    assert place.refused == [] and place.waited == []


@in_lobby("queue/1m")
async def test_waiting_ends_when_its_time_is_over(place: Place) -> None:
    await place.full()
    for times in range(1, 6):
        await asyncio.sleep(12)
        text = await place.asks(times)
    assert verbs(text) == [("Say", IT.goodbye), ("Hangup", "")]
    report = await place.report()
    assert (report["ended_reason"], report["answered_at"], report["caller"]) == ("full", None, CALLER)
    assert passed_on(report) == [("queue", None, "no_answer", 60)]
    assert (place.refused, place.waited) == (["full"], [("timed_out", 60)])


@in_lobby("queue/10m")
async def test_those_who_came_before_are_ahead(place: Place) -> None:
    for number in (3, 2, 1):
        await place.full(number)
        await asyncio.sleep(1)
    assert [await place.lobby.ahead(sid(number)) for number in (3, 2, 1, 9)] == [0, 1, 2, 3]
    guest = await place.lobby.guest(sid(3))
    assert guest is not None
    await place.other.admitted(guest)
    assert [await place.lobby.ahead(sid(number)) for number in (2, 1, 9)] == [0, 1, 2]
    assert place.waited == [("admitted", 3)]
    await place.other.line_over(sid(2))
    assert [await place.lobby.ahead(sid(number)) for number in (1, 9)] == [0, 1]
    await asyncio.sleep(STALE_S)
    assert await place.lobby.ahead(sid(9)) == 0  # nothing was heard of the last one


@in_lobby("queue/10m", most_waiting=2)
async def test_no_more_wait_than_may(place: Place) -> None:
    assert [await place.full(number) is None for number in (1, 2, 3)] == [False, False, True]


@in_lobby("queue/10m,voicemail", most_waiting=1)
async def test_who_may_not_wait_leaves_a_message(place: Place) -> None:
    await place.full(1)
    assert [tag for tag, _ in verbs(await place.full(2))] == ["Say", "Record", "Redirect"]


@in_lobby()
async def test_hang_up_while_waiting_is_reported_once(place: Place) -> None:
    await place.full()
    await asyncio.sleep(25)
    await asyncio.gather(*(lobby.line_over(sid(1)) for lobby in (place.lobby, place.other, place.lobby)))
    report = await place.report()
    assert report["ended_reason"] == "full"
    assert passed_on(report) == [("queue", None, "canceled", 25)]
    assert report["ended_at"] == "2026-03-02T09:30:25.000Z"
    assert (place.refused, place.waited) == (["full"], [("hung_up", 25)])
    await place.lobby.line_over(sid(1))


@in_lobby()
async def test_lost_waiting_caller_is_reported(place: Place) -> None:
    await place.full()
    await asyncio.sleep(STALE_S + LOOK_S)
    report = await place.report()
    assert passed_on(report) == [("queue", None, "canceled", 0)]
    assert place.waited == [("hung_up", 0)]


@in_lobby()
async def test_admitted_caller_is_no_guest_any_more(place: Place) -> None:
    """Its end was told at the moment of its admission: the call is reported as a call, by whoever has it."""
    await place.full()
    record, is_new = await place.store.open_call(place.caller(), max_calls=9)
    assert record is not None and is_new
    await place.other.line_over(sid(1))
    await asyncio.sleep(60)
    assert await place.store.report(sid(1)) is None
    assert await place.store.notes("guest:") == {}


@in_lobby(f"queue/20s,{COLLEAGUE}")
async def test_number_is_rung_after_waiting(place: Place) -> None:
    await place.full()
    await asyncio.sleep(22)
    text = await place.asks(1)
    assert verbs(text) == [("Say", IT.transfer), ("Dial", COLLEAGUE)]
    assert f'action="{ORIGIN}/twilio/passed?way=2"' in text and f'callerId="{CALLER}"' in text
    told = {"DialCallStatus": "completed", "DialCallDuration": "31", "CallStatus": "in-progress"}
    assert verbs(await place.lobby.came_back(sid(1), 2, told)) == [("Hangup", "")]
    report = await place.report()
    assert passed_on(report) == [("queue", None, "no_answer", 22), ("transfer", COLLEAGUE, "completed", 31)]


@in_lobby(f"queue/20s,{OURS}")
async def test_our_own_number_is_not_rung(place: Place) -> None:
    await place.full()
    await asyncio.sleep(22)
    assert verbs(await place.asks(1)) == [("Say", IT.goodbye), ("Hangup", "")]


@in_lobby("queue/20s")
async def test_report_waits_for_the_store(place: Place) -> None:
    await place.full()
    place.store.break_down("finish")
    await place.lobby.line_over(sid(1))
    await asyncio.sleep(60)
    assert await place.store.report(sid(1)) is None
    place.store.mend()
    assert (await place.report())["ended_reason"] == "full"


# ---- a message ------------------------------------------------------------------------------------------------------


@in_lobby("voicemail")
async def test_message_is_asked_for_with_both_addresses(place: Place) -> None:
    text = await place.full()
    record = ElementTree.fromstring(text or "").find("Record")
    assert record is not None
    assert dict(record.attrib) == {
        "action": f"{ORIGIN}/twilio/passed?way=1",
        "method": "POST",
        "maxLength": "120",
        "timeout": "5",
        "finishOnKey": "#",
        "playBeep": "true",
        "recordingStatusCallback": f"{ORIGIN}/twilio/recorded?way=1",
        "recordingStatusCallbackMethod": "POST",
    }
    assert await place.full() == text  # the same webhook once more
    assert place.refused == ["full"]


@pytest.mark.parametrize("first", ["action", "callback"])
@in_lobby("voicemail")
async def test_message_is_reported_once_in_whatever_order_it_is_told(place: Place, first: str) -> None:
    await place.full()
    await asyncio.sleep(20)
    tellings = [RECORDING | {"CallStatus": "in-progress"}, RECORDING]
    for told in tellings if first == "action" else reversed(tellings):
        assert verbs(await place.other.came_back(sid(1), 1, told) or "<R/>") in (
            [("Say", IT.received), ("Hangup", "")],
            [],
        )
    report = await place.report()
    assert report["ended_reason"] == "full"
    assert passed_on(report) == [("voicemail", None, "recorded", 7)]
    [left] = report["passed_on"]
    assert (left["recording_sid"], left["recording_url"]) == (RECORDING["RecordingSid"], RECORDING["RecordingUrl"])
    assert await place.lobby.came_back(sid(1), 1, RECORDING) is None  # late: it is no guest any more


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"CallStatus": "in-progress"}, "empty"),  # the verb behind it
        ({"CallStatus": "completed"}, "empty"),
        (RECORDING | {"CallStatus": "completed"}, "recorded"),  # the hang-up has ended it
        ({"CallStatus": "in-progress", "RecordingUrl": "file:///etc/passwd"}, "empty"),
    ],
)
@in_lobby("voicemail")
async def test_every_end_of_a_message_is_reported(place: Place, told: dict[str, str], status: str) -> None:
    await place.full()
    await place.lobby.came_back(sid(1), 1, told)
    assert passed_on(await place.report())[0][2] == status


@pytest.mark.parametrize("late", [False, True])
@in_lobby("voicemail")
async def test_end_of_the_line_waits_a_while_for_the_message(place: Place, late: bool) -> None:
    await place.full()
    await place.lobby.line_over(sid(1))
    await asyncio.sleep(RESULT_LIMIT_S + 3 * LOOK_S if late else RESULT_LIMIT_S / 2)
    await place.lobby.came_back(sid(1), 1, RECORDING)
    assert passed_on(await place.report())[0][2] == (None if late else "recorded")


@in_lobby("voicemail")
async def test_message_of_which_nobody_ever_tells_is_reported(place: Place) -> None:
    await place.full()
    await asyncio.sleep(200)
    assert passed_on(await place.report()) == [("voicemail", None, None, None)]


# ---- outside the hours ----------------------------------------------------------------------------------------------


@in_lobby(of=CLOSED)
async def test_ways_when_closed_are_taken_one_after_the_other(place: Place) -> None:
    text = await place.lobby.closed(place.caller(), CLOSED)
    assert verbs(text) == [("Say", "Siamo chiusi."), ("Dial", COLLEAGUE)]
    assert f'callerId="{OURS}"' in text and 'timeout="20"' in text
    busy = {"DialCallStatus": "busy", "CallStatus": "in-progress"}
    message = await place.other.came_back(sid(1), 1, busy)
    assert verbs(message)[:2] == [("Say", IT.voicemail), ("Record", "")]
    assert await place.lobby.came_back(sid(1), 1, busy) == message  # once more
    await place.lobby.came_back(sid(1), 2, RECORDING | {"CallStatus": "in-progress"})
    report = await place.report()
    assert report["ended_reason"] == "closed"
    assert passed_on(report) == [("transfer", COLLEAGUE, "busy", None), ("voicemail", None, "recorded", 7)]
    assert place.refused == []


@pytest.mark.parametrize(
    ("closed", "words"), [(None, IT.closed), (Closed(), IT.closed), (Closed("Chiuso & basta."), "Chiuso & basta.")]
)
def test_words_alone_end_the_call(closed: Closed | None, words: str) -> None:
    of = replace(flow, hours=CLOSED.hours, closed=closed)

    @in_lobby(of=of)
    async def play(place: Place) -> None:
        text = await place.lobby.closed(place.caller(caller=None), of)
        assert verbs(text) == [("Say", words), ("Hangup", "")]
        report = await place.report()
        assert (report["ended_reason"], report["caller"], report["passed_on"]) == ("closed", None, [])

    play()


@in_lobby(of=CLOSED)
async def test_caller_who_hangs_up_when_closed_is_reported(place: Place) -> None:
    await place.lobby.closed(place.caller(), CLOSED)
    await place.lobby.line_over(sid(1))
    assert passed_on(await place.report()) == [("transfer", COLLEAGUE, None, None)]
