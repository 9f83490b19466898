"""The phone against a tiny server of these tests, most of it in virtual time."""

from __future__ import annotations

import asyncio
import base64
from datetime import datetime
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web
from twilio.request_validator import RequestValidator

from tests.sim.phone_server import (
    ACCOUNT,
    CALL_SID,
    CONNECT,
    TOKEN,
    Asked,
    Server,
    Stream,
    call,
    conversation,
    dial,
    of,
    sample,
    steps,
)
from voicebot.sim import g711
from voicebot.sim.call_result import CallResult
from voicebot.sim.caller import (
    Act,
    Caller,
    HangUp,
    Hear,
    Interrupt,
    LeaveMessage,
    Listen,
    Moment,
    Press,
    Say,
    Speak,
    Wait,
)
from voicebot.sim.carrier import signature
from voicebot.sim.clock import run_virtual
from voicebot.sim.line import LineFaults
from voicebot.sim.phone import DialOutcome, Phone
from voicebot.sim.speech import speak
from voicebot.sim.timeline import (
    BotSaid,
    CallEnded,
    CallerSaid,
    Cleared,
    KeyPressed,
    MessageRecorded,
    StreamClosed,
    StreamOpened,
    VerbPlayed,
    WebhookAnswered,
)

# ---- a call -------------------------------------------------------------------------------------------------------


def test_call_runs_from_webhook_to_hangup() -> None:
    server = Server()
    result = call(server)
    assert conversation(result) == ["Hello there.", "Hi", "Goodbye."]
    assert all(said.complete for said in result.bot_said)
    assert all(said.complete for said in result.caller_said)
    assert [said.damaged for said in result.bot_said] == [0, 0]
    assert (result.ended_by, result.call_sid, result.problems, result.violations) == ("server", CALL_SID, (), ())
    assert [asked.path for asked in server.asked if asked.path != "/stream"] == ["/voice", "/after", "/status"]
    kinds = [type(event) for event in result.events if not isinstance(event, WebhookAnswered)]
    assert kinds == [VerbPlayed, StreamOpened, BotSaid, CallerSaid, BotSaid, StreamClosed, CallEnded]
    (closed,) = of(result, StreamClosed)
    assert (closed.by, closed.code) == ("server", 1000)


async def test_call_runs_over_real_sockets_too() -> None:
    async def hasty(stream: Stream) -> None:
        await stream.until("start")
        await stream.say("Yes?")
        await stream.until("mark", "Yes?")

    async with Server(hasty) as server, asyncio.timeout(10):
        result = await dial(server, steps(Listen()))
    assert conversation(result) == ["Yes?"]
    assert result.ended_by == "server"
    assert len(result.statistics.lateness_ms) > 10
    assert result.duration_ms == pytest.approx(len(result.statistics.lateness_ms) * 20, abs=200)


def test_events_are_told_as_they_come() -> None:
    told: list[object] = []
    result = call(Server(), on_event=told.append)
    assert sorted(map(repr, told)) == sorted(map(repr, result.events))


def test_form_fields_equal_the_documented_samples() -> None:
    server = Server(documents={"/after": "<Response><Dial action='/dialled'>+1</Dial></Response>"})
    call(server)
    assert server.forms("/voice") == [sample("voice_inbound.json")]
    assert server.forms("/after") == [sample("connect_action.json")]
    (dialled,) = server.forms("/dialled")
    assert dialled.keys() == sample("dial_action.json").keys()
    (ended,) = server.forms("/status")
    assert ended.keys() == sample("status_completed.json").keys()
    assert ended["CallStatus"] == "completed"
    assert parsedate_to_datetime(ended["Timestamp"]).tzinfo is not None
    started, stopped = server.forms("/stream")
    assert started.keys() == sample("stream_started.json").keys()
    assert (started["StreamEvent"], started["StreamName"]) == ("stream-started", "main")
    assert stopped["StreamEvent"] == "stream-stopped"
    assert datetime.fromisoformat(stopped["Timestamp"]).tzinfo is not None


def test_anonymous_caller_has_no_place() -> None:
    server = Server()

    async def main() -> None:
        async with server:
            phone = Phone(
                f"http://{server.host}/voice",
                to="+14155550100",
                from_="anonymous",
                account_sid=ACCOUNT,
                auth_token=TOKEN,
                call_sid=CALL_SID,
                behaviour=steps(HangUp()),
            )
            await phone.call()

    run_virtual(main())
    expected = sample("voice_inbound_anonymous_forwarded.json")
    del expected["ForwardedFrom"]
    assert server.forms("/voice") == [expected]


def test_duration_counts_from_the_answer() -> None:
    async def slow(asked: Asked) -> web.Response:
        await asyncio.sleep(5)
        return web.Response(text="<Response><Pause length='3'/></Response>", content_type="text/xml")

    server = Server(documents={"/voice": slow})
    result = call(server, steps(Listen()))
    assert result.duration_ms == pytest.approx(8000, abs=40)
    (ended,) = server.forms("/status")
    assert (ended["CallDuration"], ended["Duration"]) == ("3", "1")
    left, right = result.stereo()
    assert len(left) == len(right) == len(result.heard_tape)
    assert len(left) / 8 == pytest.approx(8000, abs=40)


# ---- signatures ---------------------------------------------------------------------------------------------------


def test_signature_equals_the_vendors_vectors() -> None:
    vectors = sample("signature_vectors.json")
    post, socket = vectors["http_post"], vectors["websocket"]
    assert signature(TOKEN, post["url"], post["params"]) == post["X-Twilio-Signature"]
    assert signature(TOKEN, socket["url"]) == socket["x-twilio-signature"]


def test_every_request_passes_the_vendors_validator() -> None:
    server = Server(documents={"/after": "<Response><Redirect>/x?a=1&amp;b=%2B</Redirect></Response>"})
    call(server)
    validator = RequestValidator(TOKEN)
    assert {asked.path for asked in server.asked} == {"/voice", "/after", "/x", "/status", "/stream"}
    assert all(validator.validate(asked.url, asked.form, asked.signature) for asked in server.asked)
    handshake = server.streams[0].request.headers["x-twilio-signature"]
    assert validator.validate(f"ws://{server.host}/media", {}, handshake)


def test_public_address_is_signed_wherever_it_is_reached() -> None:
    server = Server(documents={"/voice": CONNECT.replace("ws://HOST", "wss://agent.example.com")})

    async def main() -> CallResult:
        async with server:
            return await Phone(
                "https://agent.example.com/voice",
                to="+1",
                from_="+2",
                account_sid=ACCOUNT,
                auth_token=TOKEN,
                behaviour=steps(Say("Hi"), Listen()),
                via={"agent.example.com": server.host},
            ).call()

    assert conversation(run_virtual(main())) == ["Hello there.", "Hi", "Goodbye."]
    validator = RequestValidator(TOKEN)
    voice = server.asked[0]
    assert voice.url == "http://agent.example.com/voice"
    assert validator.validate("https://agent.example.com/voice", voice.form, voice.signature)
    handshake = server.streams[0].request.headers["x-twilio-signature"]
    assert handshake == signature(TOKEN, "wss://agent.example.com/media")


@pytest.mark.parametrize("fault", ["forged", "missing"])
def test_faulty_signatures_are_faulty_where_asked_for(fault: Any) -> None:
    server = Server()
    call(server, faults=LineFaults(webhook_signature=fault))
    validator = RequestValidator(TOKEN)
    assert not any(validator.validate(asked.url, asked.form, asked.signature) for asked in server.asked)
    assert (server.asked[0].signature == "") == (fault == "missing")
    assert "x-twilio-signature" in server.streams[0].request.headers

    server = Server()
    call(server, faults=LineFaults(stream_signature=fault))
    assert all(validator.validate(asked.url, asked.form, asked.signature) for asked in server.asked)
    handshake = server.streams[0].request.headers.get("x-twilio-signature")
    assert handshake != signature(TOKEN, f"ws://{server.host}/media")
    assert (handshake is None) == (fault == "missing")


# ---- the stream ---------------------------------------------------------------------------------------------------


def test_stream_speaks_the_protocol_in_order() -> None:
    server = Server()
    call(server, steps(Press("1#"), Wait(100), HangUp()))
    events = server.streams[0].events
    assert [event["event"] for event in events[:3]] == ["connected", "start", "media"]
    assert events[1]["start"]["customParameters"] == {"token": "t0"}
    assert events[1]["start"]["callSid"] == CALL_SID
    assert [event["dtmf"]["digit"] for event in events if event["event"] == "dtmf"] == ["1", "#"]
    assert events[-1]["event"] == "stop"
    assert [int(event["sequenceNumber"]) for event in events[1:]] == list(range(1, len(events)))
    inner = [event["media"] for event in events if event["event"] == "media"]
    assert [int(media["chunk"]) for media in inner] == list(range(1, len(inner) + 1))
    assert {int(b["timestamp"]) - int(a["timestamp"]) for a, b in pairwise(inner)} == {20}


def test_caller_hangup_stops_and_closes_the_stream() -> None:
    server = Server()
    result = call(server, steps(Hear(), HangUp()))
    assert (result.ended_by, result.problems) == ("caller", ())
    assert of(result, StreamClosed)[0].by == "caller"
    assert server.forms("/after") == []
    assert server.forms("/status")[0]["CallStatus"] == "completed"
    assert [form["StreamEvent"] for form in server.forms("/stream")] == ["stream-started", "stream-stopped"]


async def interrupted(stream: Stream) -> None:
    """Talks long, clears 250 ms after the caller began to speak, and answers half a second after his words."""
    await stream.until("start")
    await stream.say("This is a very long statement that nobody would like to hear to its end.")
    while max(base64.b64decode((await stream.next() or {}).get("media", {}).get("payload", "")) or b"\0") == 0xFF:
        pass
    for _ in range(12):
        await stream.until("media")
    await stream.send({"event": "clear"})
    await stream.until_said("Stop it please")
    for _ in range(25):
        await stream.until("media")
    await stream.say("As you like.")
    await stream.until("mark", "As you like.")


def test_interrupted_bot_is_heard_up_to_the_clear() -> None:
    server = Server(interrupted)
    result = call(server, steps(Interrupt("Stop it please", after_ms=1000), Listen()))
    cut, answer = result.bot_said
    (caller,) = result.caller_said
    (cleared,) = of(result, Cleared)
    assert not cut.complete
    assert "This is a very long statement".startswith(cut.text)
    assert 0 <= cut.end_ms - cleared.at_ms <= 20
    assert caller.start_ms - cut.start_ms == pytest.approx(1000, abs=20)
    assert (answer.text, answer.complete) == ("As you like.", True)
    (record,) = result.streams
    assert [(mark.name, mark.flushed) for mark in record.marks][1] == ("As you like.", False)
    assert record.marks[0].flushed
    assert record.received_bytes == sum(one.count for one in record.played) + cleared.dropped_ms * 8
    (interruption,) = result.statistics.interruptions
    assert interruption.latency_ms == pytest.approx(260, abs=41)
    (turn,) = result.statistics.turns
    assert turn.latency_ms == pytest.approx(answer.start_ms - caller.end_ms, abs=4)  # a soft first letter
    assert result.statistics.underruns == ()


def test_starved_utterance_is_an_underrun() -> None:
    async def stuttering(stream: Stream) -> None:
        await stream.until("start")
        payload = g711.encode(speak("Half of this comes late.", 8000, voice="bot"))
        await stream.play(payload[: len(payload) // 2])
        for _ in range(50):
            await stream.until("media")
        await stream.play(payload[len(payload) // 2 :])
        await stream.say("Yes.")
        await stream.until("mark", "Yes.")

    statistics = call(Server(stuttering), steps(Listen())).statistics
    (gap,) = statistics.underruns
    assert gap in statistics.gaps
    assert gap.length_ms > 20


def test_violations_of_the_server_are_reported() -> None:
    async def sloppy(stream: Stream) -> None:
        await stream.until("start")
        await stream.send({"event": "media", "streamSid": "MZ0", "media": {"payload": "/w=="}})
        await stream.send({"event": "stop"})
        await stream.socket.send_bytes(b"\xff" * 160)
        await stream.say("Well.")
        await stream.until("mark", "Well.")

    result = call(Server(sloppy), steps(Listen()))
    assert [violation.code for violation in result.violations] == ["31951", "31951", "31924"]
    assert conversation(result) == ["Well."]


def test_second_stream_of_the_call_goes_on_with_the_tape() -> None:
    server = Server(documents={"/after": CONNECT.replace('action="/after"', "").replace('"main"', '"again"')})
    result = call(server, steps(Say("Hi"), Say("Hi"), Listen()))
    assert conversation(result) == ["Hello there.", "Hi", "Goodbye.", "Hello there.", "Hi", "Goodbye.", "Next verb."]
    assert len({record.stream_sid for record in result.streams}) == 2
    assert result.violations == ()


def test_streams_of_one_name_are_a_violation() -> None:
    server = Server(documents={"/after": CONNECT.replace('action="/after"', "")})
    result = call(server, steps(Say("Hi"), Say("Hi"), Listen()))
    assert ["two streams" in violation.problem for violation in result.violations] == [True]


# ---- verbs --------------------------------------------------------------------------------------------------------


def test_said_verb_is_heard_by_the_caller() -> None:
    server = Server(documents={"/voice": "<Response><Say loop='2'>We are closed.</Say><Pause/></Response>"})
    result = call(server, steps(Listen()))
    assert conversation(result) == ["We are closed."] * 2
    assert [(verb.verb, verb.detail) for verb in of(result, VerbPlayed)] == [
        ("Say", "We are closed."),
        ("Pause", "1 s"),
    ]


def test_caller_hangs_up_in_the_middle_of_a_verb() -> None:
    server = Server(documents={"/voice": "<Response><Pause length='60'/><Say>Too late.</Say></Response>"})
    result = call(server, steps(Wait(2000), HangUp()))
    assert (result.ended_by, conversation(result)) == ("caller", [])
    assert result.duration_ms == pytest.approx(2020, abs=40)


@pytest.mark.parametrize(
    ("document", "played", "status"),
    [
        ("<Response/>", [], "completed"),
        ("<Response><Hangup/></Response>", ["Hangup"], "completed"),
        ("<Response><Reject reason='busy'/></Response>", ["Reject"], "busy"),
        ("<Response><Reject/></Response>", ["Reject"], "no-answer"),
        ("<Response><Play digits='12'/><Play>/a.mp3</Play></Response>", ["Play", "Play"], "completed"),
        ("<Response><Redirect>/other</Redirect></Response>", ["Redirect", "Pause"], "completed"),
    ],
)
def test_verbs_are_played_to_the_end_of_the_call(document: str, played: list[str], status: str) -> None:
    server = Server(documents={"/voice": document, "/other": "<Response><Pause/></Response>"})
    result = call(server, steps(Listen()))
    assert [verb.verb for verb in of(result, VerbPlayed)] == played
    assert (result.ended_by, server.forms("/status")[0]["CallStatus"]) == ("server", status)


@pytest.mark.parametrize(
    ("outcome", "fields", "lasts_ms"),
    [
        (DialOutcome(), {"DialCallStatus": "completed", "DialCallDuration": "10", "DialBridged": "true"}, 12_000),
        (DialOutcome("busy"), {"DialCallStatus": "busy", "DialBridged": "false"}, 2_000),
        (DialOutcome("no-answer"), {"DialCallStatus": "no-answer", "DialBridged": "false"}, 7_000),
    ],
)
def test_dial_posts_its_outcome(outcome: DialOutcome, fields: dict[str, str], lasts_ms: float) -> None:
    server = Server(documents={"/voice": "<Response><Dial action='/done' timeout='7'>+15550199</Dial></Response>"})
    result = call(server, steps(Listen()), dial=outcome)
    (form,) = server.forms("/done")
    assert form.items() >= fields.items()
    assert [(verb.verb, verb.detail) for verb in of(result, VerbPlayed)] == [("Dial", "+15550199")]
    assert result.duration_ms == pytest.approx(lasts_ms, abs=40)


def test_dials_have_their_outcomes_in_order() -> None:
    dial = "<Dial timeout='5'>+15550199</Dial>"
    server = Server(
        documents={"/voice": f"<Response>{dial}{dial}<Dial action='/done' timeout='6'>+1</Dial></Response>"}
    )
    result = call(server, steps(Listen()), dial=(DialOutcome("busy"), DialOutcome("no-answer")))
    assert result.duration_ms == pytest.approx(2_000 + 5_000 + 6_000, abs=100)
    assert server.forms("/done")[0]["DialCallStatus"] == "no-answer"


RECORD = (
    "<Response><Say>Speak.</Say><Record action='/left' timeout='2' recordingStatusCallback='/recording'/>"
    "<Pause length='1'/></Response>"
)


@pytest.mark.parametrize(
    ("caller", "digits"),
    [
        (steps(LeaveMessage("Call me."), Listen()), ""),
        (steps(LeaveMessage("Call me."), Press("5", after_bot=False), Listen()), "5"),
        (steps(LeaveMessage("Call me."), Wait(500), HangUp()), "hangup"),
    ],
)
def test_message_is_recorded_after_the_tone(caller: Caller, digits: str) -> None:
    server = Server(documents={"/voice": RECORD})
    result = call(server, caller)
    assert result.problems == ()
    (message,) = of(result, MessageRecorded)
    assert message.text == "Call me."
    (form,) = server.forms("/left")
    assert form["RecordingSid"] == message.recording_sid
    assert form["RecordingUrl"].endswith(f"/Recordings/{message.recording_sid}")
    assert (form["RecordingDuration"], form["Digits"]) == (str(message.length_s), digits)
    assert form["CallStatus"] == ("completed" if digits == "hangup" else "in-progress")
    (told,) = server.forms("/recording")
    assert told.keys() == sample("recording_status.json").keys()
    assert told.items() >= {"RecordingStatus": "completed", "RecordingSid": message.recording_sid}.items()


def test_caller_who_says_nothing_leaves_no_recording() -> None:
    server = Server(documents={"/voice": RECORD})
    result = call(server, steps(Listen()))
    assert of(result, MessageRecorded) == server.forms("/left") == server.forms("/recording") == []
    assert [verb.verb for verb in of(result, VerbPlayed)] == ["Say", "Record", "Pause"]


@pytest.mark.parametrize(("wait_ms", "status"), [(1_000, "canceled"), (5_000, "completed")])
def test_action_of_a_dial_is_asked_though_the_caller_has_hung_up(wait_ms: float, status: str) -> None:
    server = Server(documents={"/voice": "<Response><Dial action='/done'>+15550199</Dial></Response>"})
    call(server, steps(Wait(wait_ms), HangUp()))
    (form,) = server.forms("/done")
    assert (form["CallStatus"], form["DialCallStatus"]) == ("completed", status)


def test_verb_that_the_line_cannot_play_is_a_violation() -> None:
    server = Server(documents={"/voice": "<Response><Gather/><Say speed='3'>Well.</Say></Response>"})
    result = call(server, steps(Listen()))
    assert [violation.code for violation in result.violations] == ["12200", "12200"]
    assert conversation(result) == ["Well."]


# ---- other callers ------------------------------------------------------------------------------------------------


class Parrot:
    """Repeats what it hears, once; a caller that follows no script."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.ended_ms: float | None = None

    def step(self, moment: Moment) -> list[Act]:
        return [Speak(heard.text) for heard in moment.said]

    def line_ended(self, at_ms: float) -> None:
        self.ended_ms = at_ms


def test_any_conversation_can_be_on_the_phone() -> None:
    async def echoed(stream: Stream) -> None:
        await stream.until("start")
        await stream.say("Polly wants a cracker.")
        await stream.until_said("Polly wants a cracker.")

    parrot = Parrot()
    result = call(Server(echoed), parrot)
    assert conversation(result) == ["Polly wants a cracker."] * 2
    assert parrot.ended_ms == pytest.approx(result.duration_ms, abs=20)


def test_keys_are_told() -> None:
    result = call(Server(), steps(Press("42"), HangUp()))
    assert [key.digit for key in of(result, KeyPressed)] == ["4", "2"]
