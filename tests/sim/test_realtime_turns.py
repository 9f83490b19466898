"""The caller's turns: cut, committed, transcribed, and missed."""

import base64

import numpy as np
import pytest

from tests.sim.realtime_client import (
    COMPLETED,
    OUR_TURNS,
    TRANSCRIBED,
    Client,
    error_of,
    kinds,
    one,
    reference_order,
    silence,
    without_repeats,
)
from voicebot.sim.brain import Says
from voicebot.sim.realtime_audio import codec_of, words_in
from voicebot.sim.realtime_config import Pcma
from voicebot.sim.realtime_quirks import Timing
from voicebot.sim.speech import speak, speech_ms


def test_spoken_turn_has_the_order_of_the_reference():
    client = Client((Says("Of course. May I have your name?"),))
    client.configure(audio=TRANSCRIBED)
    events = client.say("Hi, I need to move my appointment.") + client.wait(3)
    assert without_repeats(kinds(events)) == without_repeats(reference_order("spoken_turn"))
    assert one(events, COMPLETED)["transcript"] == ("Hi, I need to move my appointment.")
    assert client.brain.asked[0].items[-1].text == "Hi, I need to move my appointment."


def test_what_was_heard_is_decoded_from_the_audio():
    client = Client()
    client.configure(audio={"input": {"format": {"type": "audio/pcmu"}, "turn_detection": OUR_TURNS}})
    client.play(silence(0.5, 8000), 8000)
    client.say("A table for two, please.", rate_hz=8000)
    (turn,) = client.session.user_turns
    assert (turn.text, turn.complete, turn.damaged) == ("A table for two, please.", True, 0)
    assert turn.start_ms == pytest.approx(200, abs=30)
    assert turn.end_ms - turn.start_ms == pytest.approx(speech_ms("A table for two, please.") + 800, abs=60)


def test_noise_has_no_words():
    client = Client()
    client.configure(audio=TRANSCRIBED)
    noise = (np.random.default_rng(1).standard_normal(12000) * 2000).astype(np.int16)
    events = client.play(np.concatenate([noise, silence(0.8)]))
    assert one(events, COMPLETED)["transcript"] == ""
    assert client.session.user_turns[0].text == ""


def test_turns_of_our_own_get_no_response():
    client = Client()
    client.configure(audio={"input": {"turn_detection": OUR_TURNS}})
    events = client.say("Hello there.") + client.wait(5)
    assert kinds(events)[-1] == "conversation.item.done"


def test_padding_and_silence_belong_to_the_turn():
    client = Client()
    client.configure(audio={"input": {"turn_detection": OUR_TURNS | {"prefix_padding_ms": 100}}})
    client.play(silence(1))
    events = client.say("Hello there.")
    started, stopped = (
        one(events, "input_audio_buffer.speech_started"),
        one(events, "input_audio_buffer.speech_stopped"),
    )
    assert started["audio_start_ms"] == pytest.approx(900, abs=25)
    assert stopped["audio_end_ms"] == pytest.approx(1000 + speech_ms("Hello there.") + 500, abs=60)
    assert started["item_id"] == stopped["item_id"] == one(events, "input_audio_buffer.committed")["item_id"]


@pytest.mark.parametrize(
    ("eagerness", "text", "waits_ms"),
    [
        ("low", "I would like to", 8000),
        ("auto", "I would like to", 4000),
        ("high", "I would like to", 2000),
        ("low", "I would like to order.", 400),
    ],
)
def test_semantic_detection_waits_for_the_end(eagerness: str, text: str, waits_ms: int):
    client = Client()
    client.configure(audio={"input": {"turn_detection": {"type": "semantic_vad", "eagerness": eagerness}}})
    events = client.say(text, then_s=waits_ms / 1000 + 0.5)
    stopped = one(events, "input_audio_buffer.speech_stopped")
    assert stopped["audio_end_ms"] == pytest.approx(speech_ms(text) + waits_ms, abs=100)


def test_manual_turns_are_the_clients():
    client = Client()
    client.configure(audio={"input": {"turn_detection": None}})
    assert client.say("Hello there.", then_s=0.1) == []
    committed = client.send("input_audio_buffer.commit")
    assert kinds(committed) == ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]
    assert client.session.user_turns[0].text == "Hello there."
    assert error_of(client.send("input_audio_buffer.commit"))[0] == "input_audio_buffer_commit_empty"


def test_a_cut_turn_keeps_what_was_said():
    client = Client()
    client.configure(audio={"input": {"turn_detection": OUR_TURNS}})
    speech = speak("This is a rather long sentence.", 24000)
    started = one(client.play(speech[: len(speech) // 2]), "input_audio_buffer.speech_started")
    committed = one(client.send("input_audio_buffer.commit"), "input_audio_buffer.committed")
    assert committed["item_id"] == started["item_id"]
    (turn,) = client.session.user_turns
    assert not turn.complete
    assert len(turn.text) > 5
    assert "This is a rather long sentence.".startswith(turn.text)


@pytest.mark.parametrize("ms", [0, 99])
def test_too_little_audio_is_not_committed(ms: int):
    client = Client()
    client.configure(audio={"input": {"turn_detection": None}})
    client.play(silence(ms / 1000))
    error = client.send("input_audio_buffer.commit")[0]["error"]
    assert error["code"] == "input_audio_buffer_commit_empty"
    assert error["message"].endswith(f"buffer only has {ms}.00ms of audio.")


def test_an_event_holds_so_much_audio():
    audio = base64.b64encode(bytes(15 * 1024 * 1024 + 2)).decode()
    assert error_of(Client().send("input_audio_buffer.append", audio=audio)) == ("invalid_value", "audio")


def test_transcription_is_billed_as_its_model_is():
    client = Client()
    client.configure(audio={"input": {"transcription": {"model": "gpt-realtime-whisper"}}})
    usage = one(client.say("Hello there.") + client.wait(1), COMPLETED)["usage"]
    assert usage == {"type": "duration", "seconds": pytest.approx(speech_ms("Hello there.") / 1000 + 0.2, abs=0.1)}


def test_deleted_turns_are_not_transcribed():
    client = Client(timing=Timing(transcript_delay_s=2))
    client.configure(audio=TRANSCRIBED)
    item_id = one(client.say("Hello there."), "input_audio_buffer.committed")["item_id"]
    client.send("conversation.item.delete", item_id=item_id)
    client.wait(5)
    assert COMPLETED not in kinds(client.events)


def test_cleared_audio_is_forgotten():
    client = Client()
    client.configure(audio={"input": {"turn_detection": None}})
    client.say("Forget this.", then_s=0.1)
    assert kinds(client.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    client.say("Keep this.", then_s=0.1)
    client.send("input_audio_buffer.commit")
    assert client.session.user_turns[0].text == "Keep this."


def test_samples_may_be_split_between_appends():
    client = Client()
    client.configure(audio={"input": {"turn_detection": None}})
    payload = speak("Odd bytes.", 24000).astype("<i2").tobytes()
    for at in range(0, len(payload), 4001):
        client.send("input_audio_buffer.append", audio=base64.b64encode(payload[at : at + 4001]).decode())
    client.send("input_audio_buffer.commit")
    assert client.session.user_turns[0].text == "Odd bytes."


def test_formats_may_change_between_turns():
    client = Client()
    client.configure(audio={"input": {"turn_detection": OUR_TURNS}})
    client.say("First.")
    client.configure(audio={"input": {"format": {"type": "audio/pcmu"}}})
    client.say("Second.", rate_hz=8000)
    assert [turn.text for turn in client.session.user_turns] == ["First.", "Second."]
    assert client.session.user_turns[1].start_ms > client.session.user_turns[0].end_ms - 500


def test_alaw_is_near_enough():
    codec = codec_of(Pcma(type="audio/pcma"))
    samples = speak("Hello.", 8000)
    back = codec.decode(codec.encode(samples))
    assert codec.encode(back) == codec.encode(samples)
    assert words_in(back, 8000) == "Hello."
    assert list(codec.decode(bytes([0xD5, 0x55, 0xAA, 0x2A]))) == [8, -8, 32256, -32256]


def test_idle_caller_is_asked_again():
    client = Client((Says("Hello."),), (Says("Are you there?"),))
    detection = OUR_TURNS | {"idle_timeout_ms": 5000}
    client.configure(audio={"input": {"turn_detection": detection}})
    client.send("response.create")
    client.play(silence(1))
    spoken_s = speech_ms("Hello.") / 1000
    quiet = client.play(silence(spoken_s + 4))
    assert "input_audio_buffer.timeout_triggered" not in kinds(quiet)
    events = client.play(silence(3))
    triggered = one(events, "input_audio_buffer.timeout_triggered")
    assert triggered["audio_end_ms"] - triggered["audio_start_ms"] == 5000
    assert triggered["item_id"] == one(events, "input_audio_buffer.committed")["item_id"]
    assert "response.created" in kinds(events)


def test_a_caller_who_speaks_is_not_idle():
    client = Client((Says("Hello."),))
    client.configure(audio={"input": {"turn_detection": OUR_TURNS | {"idle_timeout_ms": 5000}}})
    client.send("response.create")
    client.wait(2)
    client.say("Hello to you.")
    assert "input_audio_buffer.timeout_triggered" not in kinds(client.wait(20))
