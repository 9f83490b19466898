from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.sim.utterances import RATES, TEXTS, hear
from voicebot.sim.speech import speak, speech_ms, write_wav
from voicebot.sim.speech_code import SYMBOL_MS


def test_speech_lasts_a_symbol_per_byte_and_two() -> None:
    assert speech_ms("hello") == 7 * SYMBOL_MS
    assert speech_ms("é") == 4 * SYMBOL_MS
    for rate_hz in RATES:
        assert len(speak("hello", rate_hz)) == speech_ms("hello") * rate_hz // 1000


def test_whitespace_becomes_single_spaces() -> None:
    assert speech_ms("  one \n\t two ") == speech_ms("one two")
    assert hear(speak("  one \n\t two ", 8_000))[0].text == "one two"


@pytest.mark.parametrize("text", ["", "  \n"])
def test_blank_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="blank"):
        speak(text, 8_000)
    with pytest.raises(ValueError, match="blank"):
        speech_ms(text)


def test_other_rates_and_voices_are_refused() -> None:
    with pytest.raises(ValueError, match="rate_hz"):
        speak("hello", 16_000)
    with pytest.raises(ValueError, match="voice"):
        speak("hello", 8_000, voice="dog")


def test_spoken_samples_are_shared_and_read_only() -> None:
    samples = speak("hello", 8_000)
    assert speak("hello", 8_000) is samples
    with pytest.raises(ValueError, match="read-only"):
        samples[0] = 1


@pytest.mark.parametrize("voice", ["caller", "bot"])
@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("text", TEXTS)
def test_level_suits_a_telephone(text: str, rate_hz: int, voice: str) -> None:
    samples = speak(text, rate_hz, voice=voice).astype(float)
    frames = samples.reshape(-1, rate_hz // 50)
    assert np.abs(samples).max() < 20_000
    assert np.sqrt(np.mean(frames**2, axis=1)).min() > 500  # a detector with a threshold of 300 never lets go
    assert np.abs(samples[[0, -1]]).max() < 100  # no click at the ends


@pytest.mark.parametrize("voice", ["caller", "bot"])
@pytest.mark.parametrize("rate_hz", RATES)
def test_band_suits_a_telephone(rate_hz: int, voice: str) -> None:
    power = np.abs(np.fft.rfft(speak(TEXTS[2], rate_hz, voice=voice))) ** 2
    frequency = np.linspace(0, rate_hz / 2, len(power))

    def share_db(low: float, high: float) -> float:
        return float(10 * np.log10(power[(frequency >= low) & (frequency < high)].sum() / power.sum()))

    assert share_db(0, 290) < -40
    assert share_db(3_400, rate_hz) < -50
    assert share_db(1_720, 1_850) < -45  # babble keeps out of the code
    assert -14 < share_db(1_850, 3_400) < -10


def test_voices_differ_in_pitch() -> None:
    caller, bot = (speak("aaaaaaaaaa", 8_000, voice=voice).astype(float) for voice in ("caller", "bot"))

    def pitch_hz(samples: NDArray[np.float64]) -> float:
        autocorrelation = np.fft.irfft(np.abs(np.fft.rfft(samples, 16_384)) ** 2)
        return float(8_000 / (autocorrelation[30:100].argmax() + 30))

    assert pitch_hz(caller) < 140 < 160 < pitch_hz(bot)


def test_wav_holds_both_parties(tmp_path: Path) -> None:
    left, right = speak("Hello?", 8_000), speak("Hi.", 8_000, voice="bot")
    write_wav(tmp_path / "call.wav", left, right, 8_000)
    with wave.open(str(tmp_path / "call.wav"), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8_000)
        both = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
    assert hear(both[:, 0])[0].text == "Hello?"
    assert hear(both[:, 1])[0].text == "Hi."
    assert len(both) == len(left)
