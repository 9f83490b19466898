"""Each quirk changes one fact of the protocol."""

import base64
import typing
from collections.abc import Sequence

import numpy as np
import pytest

from tests.sim.realtime_client import (
    COMPLETED,
    OUR_TURNS,
    RECORD,
    TRANSCRIBED,
    Client,
    Event,
    audio_of,
    kinds,
    one,
    only,
    silence,
    spoken_item,
)
from voicebot.sim.brain import Output, Says
from voicebot.sim.realtime_audio import words_in
from voicebot.sim.realtime_quirks import Quirks, Timing
from voicebot.sim.realtime_records import Closing

LONG = "A long answer that takes its time, word after word after word."


def _turn(quirks: Quirks, *replies: Sequence[Output], **settings: object) -> tuple[Client, list[Event]]:
    """A spoken turn and its answer, by a server with quirks."""
    client = Client(*(replies or ((Says("Good day to you."),),)), quirks=quirks)
    client.configure(audio=TRANSCRIBED, tools=[RECORD], **settings)
    return client, client.say("Hello there.") + client.wait(8)


def _at(client: Client, kind: str) -> float:
    return next(e.at for e in client.session.transcript if e.event is not None and e.event["type"] == kind)


def test_transcript_may_come_late():
    client, events = _turn(Quirks(transcript_late_s=5))
    assert one(events, COMPLETED)
    assert _at(client, COMPLETED) > _at(client, "response.done")


@pytest.mark.parametrize(("transcript", "expected"), [("missing", []), ("failed", ["failed"])])
def test_transcript_may_not_come(transcript: typing.Literal["missing", "failed"], expected: list[str]):
    _, events = _turn(Quirks(transcript=transcript))
    found = [kind.rpartition(".")[2] for kind in kinds(events) if "transcription" in kind]
    assert found == expected


def test_deltas_may_be_odd():
    _, events = _turn(Quirks(odd_deltas=True))
    sizes = [len(base64.b64decode(e["delta"])) for e in only(events, "response.output_audio.delta")]
    assert all(size % 2 for size in sizes[:-1])
    assert words_in(np.frombuffer(audio_of(events), dtype="<i2"), 24000) == "Good day to you."


def test_a_preamble_is_a_message_of_its_own():
    _, events = _turn(Quirks(preamble="Let me see."))
    output = one(events, "response.done")["response"]["output"]
    assert [item["content"][0]["transcript"] for item in output] == ["Let me see.", "Good day to you."]


def test_an_update_may_be_rejected():
    client = Client(quirks=Quirks(reject_updates=(2,)))
    answers = [kinds(client.configure(instructions=str(n)))[0] for n in range(3)]
    assert answers == ["session.updated", "error", "session.updated"]


def test_done_may_come_late():
    client, _ = _turn(Quirks(done_late_s=2))
    assert _at(client, "response.done") - _at(client, "response.output_item.done") == pytest.approx(2)


@pytest.mark.parametrize(("where", "after"), [("end", "response.done"), ("start", "response.created"), ("missing", "")])
def test_rate_limits_may_stand_elsewhere(where: typing.Literal["end", "start", "missing"], after: str):
    _, events = _turn(Quirks(rate_limits=where))
    names = kinds(events)
    found = [names[at - 1] for at, name in enumerate(names) if name == "rate_limits.updated"]
    assert found == ([after] if after else [])


def test_done_events_may_be_swapped():
    _, events = _turn(Quirks(item_done_first=True))
    names = kinds(events)
    assert names.index("response.output_item.done") == names.index("conversation.item.done", 10) + 1


@pytest.mark.parametrize("code", ["server_error", "rate_limit_exceeded"])
def test_a_response_may_fail(code: typing.Literal["server_error", "rate_limit_exceeded"]):
    client, events = _turn(Quirks(fail_responses=(1,), fail_code=code))
    done = one(events, "response.done")["response"]
    assert (done["status"], done["status_details"]["error"]["code"]) == ("failed", code)
    assert (done["output"], done["usage"], client.brain.asked) == ([], None, [])
    client.send("response.create")
    assert one(client.wait(5), "response.done")["response"]["status"] == "completed"


def test_an_out_of_band_response_may_fail():
    client = Client(quirks=Quirks(fail_out_of_band=(1,)))
    client.send("response.create", response={"conversation": "none"})
    assert one(client.wait(5), "response.done")["response"]["status"] == "failed"


@pytest.mark.parametrize("modality", ["audio", "text"])
def test_a_response_may_be_filtered(modality: str):
    _, events = _turn(Quirks(filter_responses=(1,)), (Says(LONG),), output_modalities=[modality])
    done = one(events, "response.done")["response"]
    assert (done["status"], done["status_details"]["reason"]) == ("incomplete", "content_filter")
    words = done["output"][0]["content"][0]
    assert 0 < len(words.get("transcript", words.get("text"))) < len(LONG)


def test_conversation_created_may_be_missing():
    assert kinds(Client(quirks=Quirks(no_conversation_created=True)).opening) == ["session.created"]


def test_noise_may_be_taken_for_speech():
    client = Client(quirks=Quirks(noise_at_ms=(500,)))
    client.configure(audio={"input": {"turn_detection": OUR_TURNS}})
    events = client.play(silence(2))
    assert one(events, "input_audio_buffer.speech_started")["audio_start_ms"] == pytest.approx(200, abs=30)
    assert one(events, "input_audio_buffer.speech_stopped")
    assert client.session.user_turns[0].text == ""


def test_truncation_may_be_ignored():
    client = Client(quirks=Quirks(ignores_truncate=True))
    sent = {"item_id": spoken_item(client), "content_index": 0, "audio_end_ms": 100}
    assert client.send("conversation.item.truncate", **sent) == []


@pytest.mark.parametrize("count", [0, 1, 7])
def test_the_socket_may_break_anywhere(count: int):
    client, _ = _turn(Quirks(drop_at_event=count))
    assert len(client.events) == count
    assert client.session.closing == Closing(None)


def test_an_error_may_answer_nothing():
    client = Client(quirks=Quirks(error_at_event=2))
    assert kinds(client.opening) == ["session.created", "conversation.created", "error"]
    assert (client.opening[2]["error"]["type"], client.opening[2]["error"]["event_id"]) == ("server_error", None)


def test_opening_may_take_its_time():
    client = Client(timing=Timing(open_s=2))
    assert client.opening == client.wait(1.9) == []
    assert kinds(client.wait(0.2)) == ["session.created", "conversation.created"]


def test_unknown_events_may_come_between():
    _, events = _turn(Quirks(unknown_events=True))
    assert "session.weather.updated" in kinds(events)


def test_turn_detection_may_disobey():
    client = Client((Says(LONG),), quirks=Quirks(vad_responds=True, vad_interrupts=True))
    client.configure(audio={"input": {"turn_detection": OUR_TURNS}})
    client.send("response.create")
    client.wait(0.4)
    events = client.say("Stop!")
    assert one(events, "response.done")["response"]["status_details"]["reason"] == "turn_detected"
    assert one(events, "response.created")


def test_metadata_may_be_lost():
    client = Client(quirks=Quirks(no_metadata=True))
    client.send("response.create", response={"metadata": {"key": "1"}})
    assert one(client.wait(5), "response.done")["response"]["metadata"] is None


def test_exact_words_may_be_misread():
    client = Client(quirks=Quirks(misreadings=1))
    read = []
    for _ in range(2):
        client.send(
            "response.create", response={"conversation": "none", "instructions": "<verbatim>It is 20 euros.</verbatim>"}
        )
        read.append(one(client.wait(5), "response.output_audio_transcript.done")["transcript"])
    assert read == ["It is 30 euros.", "It is 20 euros."]
