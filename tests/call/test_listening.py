"""What a caller's voice does while the bot speaks: a hum lets it go on, a word that lasts stops it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.call.test_core import MS, Call, flow, kinds, only
from voicebot.audio.formats import AudioFormat
from voicebot.audio.g711 import encode
from voicebot.audio.voice import VoiceMeter
from voicebot.call import entries, ports
from voicebot.call.listening import HUM_LIMIT_S, is_hum
from voicebot.engine.entries import CallerTurnTaken
from voicebot.flow import Patience
from voicebot.flow.json_form import flow_from_json, flow_to_json

SLOW = Patience(stops_after="300ms", hums=True)
VOICE = (np.sin(np.arange(480) / 4) * 6000).astype("<i2").tobytes()  # 20 ms
HISS = (np.sin(np.arange(480) / 4) * 60).astype("<i2").tobytes()


def speaking(patience: Patience = SLOW) -> Call:
    """A call whose bot is in the middle of a long sentence, and whose caller begins to speak."""
    call = Call(of=replace(flow(), patience=patience))
    call.prepare()
    call.connect()
    call.says("A long sentence that goes on for a while", ms=8000)
    call.ends()
    call.wait(1.0)
    call.feed(ports.SpeechStarted("u1", 0))
    return call


def sound(call: Call, frame: bytes, ms: int) -> list[str]:
    """So much of the caller's audio comes; what it does beside being passed on."""
    made: list[str] = []
    for _ in range(ms // 20):
        made += kinds(call.feed(ports.CallerAudio(frame))) + kinds(call.wait(0.02))
    return [kind for kind in made if kind != "AppendAudio"]


def stops(call: Call) -> None:
    call.feed(ports.SpeechStopped("u1", 500), ports.TurnCommitted("u1"))


def test_voice_that_lasts_stops_the_bot() -> None:
    call = speaking()
    assert call.core.listens_closely
    assert sound(call, VOICE, 280) == []
    assert "ClearPlayback" in sound(call, VOICE, 40)
    assert not call.core.listens_closely


def test_bot_without_patience_stops_at_once() -> None:
    call = speaking(Patience())
    assert len(call.all(ports.ClearPlayback)) == 1
    assert not call.core.listens_closely


def test_noise_of_the_line_does_not_stop_the_bot() -> None:
    call = speaking()
    assert sound(call, HISS, 800) == []
    stops(call)
    assert call.all(ports.ClearPlayback) == []


def test_hum_is_no_turn() -> None:
    call = speaking()
    sound(call, VOICE, 200)
    stops(call)
    call.feed(ports.CallerTranscript("u1", "Mm-hmm."))
    assert call.entries(entries.CallerHummed) == [entries.CallerHummed("u1", "Mm-hmm.")]
    assert call.entries(CallerTurnTaken) == []
    assert len(call.all(ports.Reply)) == 1
    assert call.all(ports.ClearPlayback) == []


def test_short_word_that_says_something_is_a_turn() -> None:
    call = speaking()
    sound(call, VOICE, 200)
    stops(call)
    assert call.entries(CallerTurnTaken) == []
    call.feed(ports.CallerTranscript("u1", "Stop!"))
    assert [one.item_id for one in call.entries(CallerTurnTaken)] == ["u1"]
    assert len(call.all(ports.Reply)) == 2


def test_hum_after_the_bot_has_finished_is_an_answer() -> None:
    call = speaking()
    sound(call, VOICE, 200)
    stops(call)
    call.echo_all()
    call.feed(ports.CallerTranscript("u1", "Yes."))
    assert len(call.entries(CallerTurnTaken)) == 1


@pytest.mark.parametrize("late", [True, False])
def test_aside_whose_words_never_come_is_a_turn(late: bool) -> None:
    call = speaking()
    stops(call)
    if late:
        call.wait(HUM_LIMIT_S + 0.1)
    else:
        call.feed(ports.TranscriptFailed("u1", "no"))
    assert len(call.entries(CallerTurnTaken)) == 1


def test_short_speech_is_a_turn_where_hums_are() -> None:
    call = speaking(Patience(stops_after="300ms"))
    sound(call, VOICE, 200)
    stops(call)
    assert len(call.entries(CallerTurnTaken)) == 1
    assert call.all(ports.ClearPlayback) == []


def test_speech_without_sound_stops_the_bot_by_its_length() -> None:
    call = speaking()
    assert "ClearPlayback" not in kinds(call.wait(0.8))
    assert "ClearPlayback" in kinds(call.wait(0.2))


@pytest.mark.parametrize("text", ["Mhm.", "Uh-huh", "Okay, okay.", "yes", "Sì, certo", "D'accord", "Ja, genau."])
def test_hums_are_known(text: str) -> None:
    assert is_hum(text)


@pytest.mark.parametrize("text", ["", "…", "No.", "Wait", "yes but no", "okay okay okay okay", "two"])
def test_what_says_something_is_no_hum(text: str) -> None:
    assert not is_hum(text)


# ---- turn taking ----------------------------------------------------------------------------------------------------


def test_model_is_told_of_a_phases_patience_and_only_when_it_changes() -> None:
    plain = flow()
    phases = (replace(plain.phases[0], patience=Patience(eagerness="low")), *plain.phases[1:])
    call = Call(of=replace(plain, phases=phases))
    call.prepare()
    assert [one.turns for one in only(call.connect(), ports.Configure)] == [ports.TurnTaking(500, "low")]
    assert Call().core.engine.patience == Patience()
    default = Call()
    default.prepare()
    assert [one.turns for one in only(default.connect(), ports.Configure)] == [None]


def test_json_form_gives_the_same_patience() -> None:
    made = replace(flow(), patience=SLOW, noise_reduction="near_field")
    again = flow_from_json(flow_to_json(replace(made, tools_everywhere=())))
    assert again.patience == SLOW
    assert again.noise_reduction == "near_field"


@pytest.mark.parametrize(
    "given", [{"pause": "50ms"}, {"pause": "9s"}, {"stops_after": "4s"}, {"hums": True}, {"eagerness": "none"}]
)
def test_patience_that_cannot_be_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(given))):
        Patience(**given)  # type: ignore[arg-type]


# ---- the measure ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("frame", "voiced_ms"), [(VOICE, 20), (HISS, 0), (b"", 0)])
def test_voice_is_told_from_hiss(frame: bytes, voiced_ms: float) -> None:
    assert VoiceMeter(AudioFormat.PCM16_24K).take(frame) == voiced_ms


def test_voice_is_told_in_mu_law_too() -> None:
    samples = (np.sin(np.arange(160)) * 6000).astype(np.int16)
    assert VoiceMeter(AudioFormat.PCMU_8K).take(encode(samples)) == 20
    assert VoiceMeter(AudioFormat.PCMU_8K).take(AudioFormat.PCMU_8K.silence(160)) == 0
    assert len(VOICE) == 20 * MS
