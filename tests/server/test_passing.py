"""Where the phone line takes callers: who decides, what is repeated, what is lost, and that one report is written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.fakes import START, calls_over
from tests.server.test_twilio_routes import CALL_SID, FLOWS, ORIGIN, VOICE, Answer, Site, sample, site
from voicebot.audio.formats import AudioFormat
from voicebot.delivery.events import Targets
from voicebot.flow.loader import FlowShelf
from voicebot.server.lifecycle import MOST_ATTEMPTS, RETURN_LIMIT_S, ModelAccess
from voicebot.server.passing import REPEATED_S, SLACK_S, Passing
from voicebot.server.reporting import Reporter
from voicebot.server.watch import ADRIFT_S, Watch
from voicebot.sim.clock import run_virtual, wall_clock
from voicebot.telephony.twiml import FALLBACK_SENTENCES

AFTER, PASSED = "/twilio/after", "/twilio/passed?way="
WORDS = FALLBACK_SENTENCES["en"]
DIALLED = sample("dial_action")
BUSY = DIALLED | {"DialCallStatus": "busy"}
RECORDED = sample("connect_action") | {
    name: sample("recording_status")[name] for name in ("RecordingSid", "RecordingUrl", "RecordingDuration")
}


def played(test: Callable[[Site], Coroutine[object, object, None]]) -> Callable[[], None]:
    """Run a test with the site of a flow that has ways out and no model, on the virtual clock."""

    async def play() -> None:
        async with site(flows=("elsewhere",), default_flow="elsewhere") as made:
            made.model.available = False
            await test(made)

    def run() -> None:
        run_virtual(play(), limit_s=3600)

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def model_gone(made: Site) -> Answer:
    """A call comes, and its model never does: what the phone line is told then."""
    socket = await made.start_stream((await made.dial()).token)
    await asyncio.sleep(2)  # all tries
    answer = await made.post(AFTER, sample("connect_action"))
    await socket.close()
    return answer


async def passings(made: Site) -> list[dict[str, Any]]:
    """The report's, without the times."""
    await made.calls.finished()
    text = await made.store.report(CALL_SID)
    assert text is not None
    found = json.loads(text)["data"]
    assert found["ended_reason"] == "model_failed"
    return [{name: value for name, value in one.items() if name != "at"} for one in found["passed_on"]]


def transfer(status: str | None, duration_s: int | None = None) -> dict[str, Any]:
    told = {"to": "transfer", "target": "+15550199", "status": status}
    return {**told, "duration_s": duration_s, "recording_sid": None, "recording_url": None}


def voicemail(status: str | None, duration_s: int | None = None, url: str | None = None) -> dict[str, Any]:
    told = {"to": "voicemail", "target": None, "status": status, "duration_s": duration_s}
    return {**told, "recording_sid": RECORDED["RecordingSid"] if url else None, "recording_url": url}


# ---- what the line is told ------------------------------------------------------------------------------------------


@played
async def test_line_rings_whom_the_flow_names(made: Site) -> None:
    answer = await model_gone(made)
    assert answer.verbs == ["Say", "Dial"]
    assert answer.said == WORDS.transfer
    dial = ElementTree.fromstring(answer.text).find("Dial")
    assert dial is not None
    assert dial.attrib == {
        "action": f"{ORIGIN}{PASSED}1",
        "method": "POST",
        "timeout": "20",
        "timeLimit": "14400",
        "callerId": VOICE["From"],
    }
    assert dial.findtext("Number") == "+15550199"
    assert await made.store.report(CALL_SID) is None


@played
async def test_line_records_where_nobody_answers(made: Site) -> None:
    await model_gone(made)
    answer = await made.post(f"{PASSED}1", BUSY)
    assert answer.verbs == ["Say", "Record", "Redirect"]
    assert answer.said == WORDS.voicemail
    record = ElementTree.fromstring(answer.text).find("Record")
    assert record is not None
    assert record.attrib == {
        "action": f"{ORIGIN}{PASSED}2",
        "method": "POST",
        "maxLength": "120",
        "timeout": "5",
        "finishOnKey": "#",
        "playBeep": "true",
        "recordingStatusCallback": f"{ORIGIN}/twilio/recorded?way=2",
        "recordingStatusCallbackMethod": "POST",
    }
    assert await made.store.report(CALL_SID) is None
    thanks = await made.post(f"{PASSED}2", RECORDED)
    assert (thanks.verbs, thanks.said) == (["Say", "Hangup"], WORDS.received)
    assert await passings(made) == [transfer("busy"), voicemail("recorded", 182, RECORDED["RecordingUrl"])]


@played
async def test_recording_is_noted_once_whoever_tells_of_it_first(made: Site) -> None:
    await model_gone(made)
    await made.post(f"{PASSED}1", BUSY)
    for _ in range(2):
        assert (await made.post("/twilio/recorded?way=2", sample("recording_status"))).status == 204
    assert (await made.post(f"{PASSED}2", RECORDED)).said == WORDS.received
    assert await passings(made) == [transfer("busy"), voicemail("recorded", 182, RECORDED["RecordingUrl"])]


@pytest.mark.parametrize(
    ("told", "came"),
    [
        ({"DialCallStatus": "completed", "DialCallDuration": "64"}, ("completed", 64)),
        ({"DialCallStatus": "answered"}, ("completed", None)),
        ({"DialCallStatus": "no-answer"}, ("no_answer", None)),
        ({"DialCallStatus": "weather", "DialCallDuration": "-1"}, ("failed", None)),
        ({}, ("failed", None)),
    ],
)
def test_result_of_a_dial_is_read(told: Mapping[str, str], came: tuple[str, int | None]) -> None:
    @played
    async def play(made: Site) -> None:
        await model_gone(made)
        over = sample("connect_action") | {"CallStatus": "completed"}
        assert (await made.post(f"{PASSED}1", over | told)).status == 200
        assert await passings(made) == [transfer(*came)]

    play()


@pytest.mark.parametrize("url", ["", "javascript:alert(1)", "https://x/" + "a" * 3000])
def test_recording_that_is_none_is_no_message(url: str) -> None:
    @played
    async def play(made: Site) -> None:
        await model_gone(made)
        await made.post(f"{PASSED}1", BUSY)
        answer = await made.post(f"{PASSED}2", RECORDED | {"RecordingUrl": url})
        assert answer.said == WORDS.trouble
        assert await passings(made) == [transfer("busy"), voicemail("empty")]

    play()


@played
async def test_caller_who_hung_up_is_not_passed_on_further(made: Site) -> None:
    await model_gone(made)
    await made.post(f"{PASSED}1", BUSY | {"CallStatus": "completed"})
    assert await passings(made) == [transfer("busy")]


# ---- repetitions ----------------------------------------------------------------------------------------------------


@played
async def test_repeated_requests_are_answered_alike(made: Site) -> None:
    first = await model_gone(made)
    assert await made.post(AFTER, sample("connect_action")) == first
    second = await made.post(f"{PASSED}1", BUSY)
    assert await made.post(f"{PASSED}1", BUSY) == second
    assert await made.post(f"{PASSED}1", DIALLED) == second  # the first that was told holds
    thanks = await made.post(f"{PASSED}2", RECORDED)
    assert len(await passings(made)) == 2
    assert await made.post(f"{PASSED}2", RECORDED) == thanks
    assert await made.post(f"{PASSED}1", BUSY) == thanks
    assert (await made.kinds()).count("passing_ended") == 2


@played
async def test_requests_at_one_instant_are_decided_once(made: Site) -> None:
    await model_gone(made)
    answers = await asyncio.gather(*(made.post(f"{PASSED}1", BUSY) for _ in range(3)))
    assert {answer.said for answer in answers} == {WORDS.voicemail}
    kinds = await made.kinds()
    assert (kinds.count("passed_on"), kinds.count("passing_ended")) == (2, 1)


@played
async def test_line_that_comes_back_without_a_result_goes_on(made: Site) -> None:
    """The request that told it was lost, and Twilio asked the fallback address."""
    await model_gone(made)
    await asyncio.sleep(REPEATED_S + 1)
    answer = await made.post(AFTER, sample("connect_action"))
    assert answer.said == WORDS.voicemail
    await made.post(f"{PASSED}2", RECORDED)
    assert (await passings(made))[0] == transfer("failed")


@pytest.mark.parametrize("way", ["", "0", "x", "100"])
def test_way_that_is_none_is_refused(way: str) -> None:
    @played
    async def play(made: Site) -> None:
        await model_gone(made)
        assert (await made.post(PASSED + way, DIALLED)).status == 400
        assert await made.store.report(CALL_SID) is None

    play()


@played
async def test_result_of_a_call_that_was_never_passed_on_hangs_up(made: Site) -> None:
    assert (await made.post(f"{PASSED}1", DIALLED)).verbs == ["Hangup"]
    made.model.available = True
    await made.dial()
    assert (await made.post(f"{PASSED}1", DIALLED)).verbs == ["Hangup"]
    assert made.session().ending is None


@played
async def test_forged_result_is_forbidden(made: Site) -> None:
    await model_gone(made)
    assert (await made.post(f"{PASSED}1", DIALLED, auth_token="another account's")).status == 403
    assert (await made.kinds())[-1] == "passed_on"


# ---- other causes, and none ---------------------------------------------------------------------------------------


@played
async def test_call_that_was_cut_off_too_often_is_passed_on(made: Site) -> None:
    await made.dial()
    await asyncio.sleep(0.5)
    for attempt in range(1, MOST_ATTEMPTS):
        await made.store.take_over(CALL_SID, attempt, "B-000001", token_issued_at=0)
    answer = await made.post(AFTER, sample("connect_action"))
    assert answer.said == WORDS.transfer
    assert await made.post(AFTER, sample("connect_action")) == answer
    await made.post(f"{PASSED}1", DIALLED)
    await made.calls.finished()
    assert await made.ended_reason() == "connection_lost"


@played
async def test_caller_who_left_meanwhile_is_reported_at_once(made: Site) -> None:
    socket = await made.start_stream((await made.dial()).token)
    await asyncio.sleep(2)
    over = sample("connect_action") | {"CallStatus": "completed"}
    assert (await made.post(AFTER, over)).verbs == ["Hangup"]
    async with asyncio.timeout(1):
        assert await passings(made) == []
    await socket.close()


# ---- results that never come --------------------------------------------------------------------------------------


@played
async def test_end_of_the_phone_call_bounds_the_wait(made: Site) -> None:
    await model_gone(made)
    assert (await made.post("/twilio/status", sample("status_completed"))).status == 204
    await asyncio.sleep(RETURN_LIMIT_S - 1)
    assert await made.store.report(CALL_SID) is None
    await asyncio.sleep(2)
    assert await passings(made) == [transfer(None)]


@played
async def test_result_that_follows_the_end_of_the_phone_call_counts(made: Site) -> None:
    await model_gone(made)
    await made.post("/twilio/status", sample("status_completed"))
    await made.post(f"{PASSED}1", DIALLED | {"CallStatus": "completed"})
    assert await passings(made) == [transfer("completed", 64)]


@asynccontextmanager
async def watched(made: Site, owner: str = "") -> AsyncIterator[Passing]:
    """Another instance, or this one, watches; what it would pass on."""
    wall, shelf = wall_clock(START), FlowShelf(FLOWS)
    calls = made.calls
    if owner:
        access = ModelAccess(made.model.url, lambda: "key", "m", "t", AudioFormat.PCMU_8K)
        calls = calls_over(made.store, access, FLOWS, wall=wall, owner=owner)
    reporter = Reporter(made.store, Targets(), lambda: shelf, wall, lambda: None)
    watch = asyncio.create_task(Watch(made.store, calls, reporter, None, ORIGIN + AFTER, wall).run())
    try:
        yield Passing(store=made.store, calls=calls, shelf=lambda: shelf, public_url=ORIGIN, wall=wall)
    finally:
        watch.cancel()
        await asyncio.wait([watch])


@played
async def test_call_is_let_be_until_its_result_must_have_come(made: Site) -> None:
    await model_gone(made)
    await made.post(f"{PASSED}1", BUSY)
    async with watched(made):
        await asyncio.sleep(120 + SLACK_S - 1)
        assert await made.store.report(CALL_SID) is None
        await asyncio.sleep(2 * ADRIFT_S)
        assert await passings(made) == [transfer("busy"), voicemail(None)]


@played
async def test_dead_owners_call_waits_for_its_result_elsewhere(made: Site) -> None:
    await model_gone(made)
    async with watched(made, "B-000002") as elsewhere:  # nobody beats for the first one
        await asyncio.sleep(60)
        record = await made.store.call(CALL_SID)
        assert record is not None and record.owner == "B-000002" and record.ended is None
        assert WORDS.voicemail in await elsewhere.came_back(CALL_SID, 1, BUSY)
        assert WORDS.received in await elsewhere.came_back(CALL_SID, 2, RECORDED)
        await asyncio.sleep(1)
        assert await passings(made) == [transfer("busy"), voicemail("recorded", 182, RECORDED["RecordingUrl"])]
