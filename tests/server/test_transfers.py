"""Transfers as the phone line sees them: who is rung, what is repeated, what is lost, and that one report is there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.server.test_passing import AFTER, BUSY, DIALLED, PASSED, watched
from tests.server.test_twilio_routes import CALL_SID, ORIGIN, SAMPLES, VOICE, Answer, Site, sample, site
from voicebot.server.lifecycle import CLAIM_LIMIT_S, RETURN_LIMIT_S
from voicebot.server.passing import REPEATED_S
from voicebot.sim.clock import run_virtual
from voicebot.telephony.twiml import FALLBACK_SENTENCES

WHISPER = "/twilio/whisper"
OVER = sample("connect_action") | {"CallStatus": "completed"}
WORDS = FALLBACK_SENTENCES["en"]


def played(test: Callable[[Site], Coroutine[object, object, None]]) -> Callable[[], None]:
    """Run a test with the site of a flow that has its callers joined to a desk, on the virtual clock."""

    async def play() -> None:
        async with site(flows=("desk",), default_flow="desk") as made:
            await test(made)

    def run() -> None:
        run_virtual(play(), limit_s=3600)

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def closed(made: Site) -> None:
    """A call comes, hears that it is connected, and its stream is closed."""
    socket = await made.start_stream((await made.dial()).token)
    await asyncio.sleep(6)  # the stream echoes no marks
    await socket.close()


async def rung(made: Site) -> Answer:
    """The same, and what the phone line is told then."""
    await closed(made)
    return await made.post(AFTER, sample("connect_action"))


async def report(made: Site) -> dict[str, Any]:
    await made.calls.finished()
    text = await made.store.report(CALL_SID)
    assert text is not None
    found: dict[str, Any] = json.loads(text)["data"]
    return found


async def came(made: Site) -> tuple[str, str | None, int | None]:
    """Why the call ended, and what came of the transfer."""
    found = await report(made)
    assert (await made.kinds()).count("call_ended") == 1
    return found["ended_reason"], found["transfer"]["result"], found["transfer"]["talk_s"]


# ---- what the line is told ------------------------------------------------------------------------------------------


@played
async def test_line_rings_the_target_without_a_word(made: Site) -> None:
    answer = await rung(made)
    assert answer.verbs == ["Dial"]
    dial = ElementTree.fromstring(answer.text).find("Dial")
    assert dial is not None
    assert dial.attrib == {
        "action": f"{ORIGIN}{PASSED}1",
        "method": "POST",
        "timeout": "25",
        "timeLimit": "14400",
        "callerId": "+15550100",
        "answerOnBridge": "true",
    }
    number = dial.find("Number")
    assert number is not None and number.text == "+15550177"
    assert number.attrib == {"url": f"{ORIGIN}{WHISPER}?call={CALL_SID}&way=1", "method": "POST"}
    assert await made.store.report(CALL_SID) is None
    kinds = await made.kinds()
    assert kinds[-2:] == ["line_closed", "passed_on"]


@played
async def test_whoever_answers_is_told_who_calls(made: Site) -> None:
    await rung(made)
    callee = DIALLED | {"CallSid": "CA" + "9" * 32, "ParentCallSid": CALL_SID}
    answer = await made.post(f"{WHISPER}?call={CALL_SID}&way=1", callee)
    assert answer.said == f"A call from {' '.join(VOICE['From'].removeprefix('+'))}."
    assert answer.verbs == ["Say"]


@pytest.mark.parametrize(
    ("query", "status"),
    [("call=CA1&way=1", 400), (f"call={CALL_SID}&way=0", 400), (f"call={CALL_SID}&way=2", 200), ("way=1", 400)],
)
def test_whisper_of_nothing_says_nothing(query: str, status: int) -> None:
    @played
    async def play(made: Site) -> None:
        await rung(made)
        answer = await made.post(f"{WHISPER}?{query}", DIALLED)
        assert answer.status == status
        assert "<Say" not in answer.text

    play()


@played
async def test_whisper_is_for_the_phone_line_alone(made: Site) -> None:
    await rung(made)
    path = f"{WHISPER}?call={CALL_SID}&way=1"
    assert (await made.post(path, DIALLED, auth_token="another account's")).status == 403
    assert (await made.raw("POST", path, data=DIALLED)).status == 403


@played
async def test_whisper_that_cannot_be_had_joins_them_all_the_same(made: Site) -> None:
    await rung(made)
    made.store.break_down()
    answer = await made.post(f"{WHISPER}?call={CALL_SID}&way=1", DIALLED)
    assert (answer.status, answer.verbs) == (200, [])
    made.store.mend()


# ---- what comes of it -----------------------------------------------------------------------------------------------


@played
async def test_talk_ends_the_call(made: Site) -> None:
    await rung(made)
    assert (await made.post(f"{PASSED}1", DIALLED)).verbs == ["Hangup"]
    assert await came(made) == ("transferred", "completed", 64)


@played
async def test_caller_goes_on_where_nobody_answers(made: Site) -> None:
    await rung(made)
    answer = await made.post(f"{PASSED}1", BUSY)
    assert answer.verbs == ["Connect", "Redirect"]
    socket = await made.start_stream(answer.token)
    await asyncio.sleep(1)
    assert (await made.kinds())[-2:] == ["caller_connected", "phase_entered"]
    await socket.send_str((SAMPLES / "twilio" / "from_stop.json").read_text())
    reason, result, _ = await came(made)
    assert (reason, result) == ("caller_hung_up", "busy")
    assert [phase["name"] for phase in (await report(made))["phases"]] == ["human", "nobody"]
    await socket.close()


@played
async def test_caller_who_hangs_up_while_it_rings_is_not_called_back(made: Site) -> None:
    await rung(made)
    assert (await made.post(f"{PASSED}1", OVER | {"DialCallStatus": "no-answer"})).verbs == ["Hangup"]
    assert await came(made) == ("caller_hung_up", "no_answer", None)


@played
async def test_caller_who_hangs_up_before_it_rings_is_not_transferred(made: Site) -> None:
    await closed(made)
    assert (await made.post(AFTER, OVER)).verbs == ["Hangup"]
    assert await came(made) == ("caller_hung_up", None, None)


@played
async def test_caller_who_does_not_take_the_stream_is_reported(made: Site) -> None:
    await rung(made)
    await made.post(f"{PASSED}1", BUSY)
    await asyncio.sleep(CLAIM_LIMIT_S + RETURN_LIMIT_S + 5)
    assert await came(made) == ("connection_lost", "busy", None)


# ---- repetitions ----------------------------------------------------------------------------------------------------


@played
async def test_repeated_requests_are_answered_alike(made: Site) -> None:
    first = await rung(made)
    assert await made.post(AFTER, sample("connect_action")) == first
    back = await made.post(f"{PASSED}1", BUSY)
    assert await made.post(f"{PASSED}1", BUSY) == back
    assert await made.post(f"{PASSED}1", DIALLED) == back  # the first that was told holds
    kinds = await made.kinds()
    assert [kinds.count(kind) for kind in ("passed_on", "passing_ended", "transfer_failed")] == [1, 1, 1]


@played
async def test_requests_at_one_instant_are_decided_once(made: Site) -> None:
    await rung(made)
    answers = await asyncio.gather(*(made.post(f"{PASSED}1", BUSY) for _ in range(3)))
    assert {answer.token for answer in answers} == {answers[0].token}
    kinds = await made.kinds()
    assert [kinds.count(kind) for kind in ("passed_on", "passing_ended", "call_taken_over")] == [1, 1, 1]


@played
async def test_result_on_two_instances_is_taken_once(made: Site) -> None:
    await rung(made)
    async with watched(made, "B-000002") as elsewhere:
        answers = await asyncio.gather(
            made.post(f"{PASSED}1", DIALLED), elsewhere.came_back(CALL_SID, 1, DIALLED), return_exceptions=True
        )
        assert not [answer for answer in answers if isinstance(answer, BaseException)]
        await asyncio.sleep(1)
        assert await came(made) == ("transferred", "completed", 64)
    assert (await made.kinds()).count("passing_ended") == 1


@played
async def test_result_that_was_lost_brings_the_caller_back(made: Site) -> None:
    """The request that told it failed, and Twilio asked the fallback address."""
    await rung(made)
    await asyncio.sleep(REPEATED_S + 1)
    assert (await made.post(AFTER, sample("connect_action"))).verbs == ["Connect", "Redirect"]


# ---- results that never come, and processes that die ----------------------------------------------------------------


@played
async def test_end_of_the_phone_call_bounds_the_wait(made: Site) -> None:
    await rung(made)
    await made.post("/twilio/status", sample("status_completed"))
    await asyncio.sleep(RETURN_LIMIT_S + 1)
    assert await came(made) == ("transferred", None, None)


@played
async def test_dead_owners_caller_goes_on_elsewhere(made: Site) -> None:
    await rung(made)
    async with watched(made, "B-000002") as elsewhere:  # nobody beats for the first one
        await asyncio.sleep(60)
        answer = await elsewhere.came_back(CALL_SID, 1, BUSY)
        assert not isinstance(answer, str)
        assert answer.owner == "B-000002"
        await asyncio.sleep(CLAIM_LIMIT_S + RETURN_LIMIT_S + 60)
    assert (await came(made))[1] == "busy"


@played
async def test_instance_that_died_after_it_wrote_the_result_loses_nobody(made: Site) -> None:
    """The answer to the result never arrived; the fallback address is asked."""
    await rung(made)
    await made.post(f"{PASSED}1", BUSY)
    answer = await made.post(AFTER, sample("connect_action"))
    assert answer.verbs == ["Connect", "Redirect"]


# ---- the number's fallback address ----------------------------------------------------------------------------------

FALLBACK = "/twilio/fallback"


def failed(path: str, code: str = "11205") -> dict[str, str]:
    """What Twilio posts there."""
    return sample("connect_action") | {"ErrorCode": code, "ErrorUrl": ORIGIN + path}


@played
async def test_result_whose_answer_failed_brings_the_caller_back(made: Site) -> None:
    await rung(made)
    answer = await made.post(FALLBACK, failed(f"{PASSED}1"))
    assert answer.verbs == ["Connect", "Redirect"]
    assert (await made.kinds()).count("transfer_failed") == 1


@played
async def test_call_whose_answer_failed_goes_on(made: Site) -> None:
    await closed(made)
    assert (await made.post(FALLBACK, failed(AFTER))).verbs == ["Dial"]


@played
async def test_call_that_is_over_hangs_up(made: Site) -> None:
    await rung(made)
    await made.post(f"{PASSED}1", DIALLED)
    await made.calls.finished()
    assert (await made.post(FALLBACK, failed(AFTER))).verbs == ["Hangup"]


@pytest.mark.parametrize("query", ["0", "abc", "100", ""])
def test_way_that_is_none_goes_on_as_after_a_stream(query: str) -> None:
    @played
    async def play(made: Site) -> None:
        first = await rung(made)
        assert await made.post(FALLBACK, failed(PASSED + query)) == first

    play()


@played
async def test_call_that_never_began_hears_a_sentence(made: Site) -> None:
    answer = await made.post(FALLBACK, failed("/twilio/voice"))
    assert (answer.verbs, answer.said) == (["Say", "Hangup"], WORDS.trouble)
    over = failed("/twilio/voice") | {"CallStatus": "completed"}
    assert (await made.post(FALLBACK, over)).verbs == ["Hangup"]


@pytest.mark.parametrize("broken", [False, True])
def test_call_that_never_began_is_rung_for_as_the_flow_says(broken: bool) -> None:
    async def play() -> None:
        async with site(flows=("elsewhere",), default_flow="elsewhere") as made:
            if broken:
                made.store.break_down()
            answer = await made.post(FALLBACK, failed("/twilio/voice"))
            assert (answer.verbs, answer.said) == (["Say", "Dial"], WORDS.transfer)
            dial = ElementTree.fromstring(answer.text).find("Dial")
            assert dial is not None
            assert (dial.findtext("Number"), dial.get("timeout")) == ("+15550199", "20")
            assert dial.get("action") == ORIGIN + "/twilio/overflown"

    run_virtual(play(), limit_s=3600)


@played
async def test_fallback_is_for_the_phone_line_alone(made: Site) -> None:
    assert (await made.post(FALLBACK, failed(AFTER), auth_token="another account's")).status == 403
