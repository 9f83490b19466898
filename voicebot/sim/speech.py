"""Speech that carries its own text, so that what was said and heard is proven by the audio alone.

An utterance is babble (harmonics of a voice shaped by the letters' formants, 300-1700 Hz) with a code beside it that
carries its text; `speech_code` explains the code, and `Listener` reads it.
"""

from __future__ import annotations

import functools
import math
import unicodedata
import wave
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .speech_code import SYMBOL_MS, Floats, Samples, faded, modem_of

_BABBLE_HZ = 4_000  # babble is made at this rate and interpolated: its band ends at 1700 Hz
_BABBLE_BAND_HZ = (300.0, 350.0, 1_550.0, 1_700.0)  # silent below and above the outer two, flat between the inner two
_BABBLE_RMS, _BABBLE_PEAK = 3_200.0, 15_500.0


@dataclass(frozen=True, slots=True)
class _Sound:
    """How a letter sounds: strength of voice and of breath (0-1), the first two formants in Hz."""

    voiced: float
    breath: float
    formants_hz: tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Voice:
    """A speaker: mean pitch, and the factor of a shorter vocal tract on formants."""

    pitch_hz: float
    tract: float


_VOICES = {"caller": _Voice(112.0, 1.0), "bot": _Voice(196.0, 1.1)}
_VOWELS = {
    "a": _Sound(1.0, 0.0, (730.0, 1_090.0)),
    "e": _Sound(0.95, 0.0, (500.0, 1_450.0)),
    "i": _Sound(0.85, 0.0, (350.0, 1_550.0)),
    "o": _Sound(1.0, 0.0, (560.0, 860.0)),
    "u": _Sound(0.85, 0.0, (380.0, 820.0)),
}
_SOUNDS = (
    _VOWELS
    | dict.fromkeys("y", _Sound(0.7, 0.0, (360.0, 1_500.0)))
    | dict.fromkeys("lrw", _Sound(0.6, 0.0, (400.0, 1_000.0)))
    | dict.fromkeys("mn", _Sound(0.5, 0.0, (320.0, 1_100.0)))
    | dict.fromkeys("vzj", _Sound(0.35, 0.12, (340.0, 1_250.0)))
    | dict.fromkeys("bdg", _Sound(0.3, 0.05, (330.0, 1_200.0)))
    | dict.fromkeys("fhsx", _Sound(0.06, 0.3, (450.0, 1_400.0)))
    | dict.fromkeys("ckpqt", _Sound(0.04, 0.22, (500.0, 1_300.0)))
)
_PAUSE = _Sound(0.12, 0.02, (450.0, 1_100.0))


def speech_ms(text: str) -> int:
    """How long `speak` takes over a text: a symbol per byte of UTF-8, one before them and one after.

    Raises:
        ValueError: the text is blank.
    """
    return SYMBOL_MS * (len(_normalise(text).encode()) + 2)


def speak(text: str, rate_hz: int, *, voice: str = "caller") -> Samples:
    """Say a text, whitespace runs as single spaces; equal arguments give equal (shared, read-only) samples.

    Args:
        rate_hz: 8000 or 24000.
        voice: "caller" (a low pitch) or "bot" (a high one).

    Returns:
        PCM16 of `speech_ms(text)`: RMS some 3200, peak below 20000, within 300-3400 Hz, no fade longer than 4 ms.

    Raises:
        ValueError: the text is blank, or rate or voice is not one of the above.
    """
    if voice not in _VOICES:
        raise ValueError(f"voice must be one of {', '.join(_VOICES)}, not {voice!r}")
    return _spoken(_normalise(text), rate_hz, voice)


def write_wav(path: Path, left: Samples, right: Samples, rate_hz: int) -> None:
    """Write two parties of a call as a stereo PCM16 WAV; the shorter one is silent at its end."""
    both = np.zeros((max(len(left), len(right)), 2), dtype="<i2")
    both[: len(left), 0], both[: len(right), 1] = left, right
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(both.tobytes())


def _normalise(text: str) -> str:
    normal = " ".join(text.split())
    if not normal:
        raise ValueError("a blank text cannot be spoken")
    return normal


@functools.lru_cache(maxsize=128)
def _spoken(text: str, rate_hz: int, voice: str) -> Samples:
    code = modem_of(rate_hz).encode(text.encode())
    samples: Samples = np.rint(code + _babble(text, rate_hz, _VOICES[voice])).astype(np.int16)
    samples.setflags(write=False)
    return samples


def _babble(text: str, rate_hz: int, voice: _Voice) -> Floats:
    symbols = speech_ms(text) // SYMBOL_MS
    count = symbols * _BABBLE_HZ * SYMBOL_MS // 1000
    seconds = np.arange(count) / _BABBLE_HZ
    sounds = _score(text)
    pitch = voice.pitch_hz * _melody(seconds / seconds[-1], seconds, rising=text.endswith("?"))
    wave_form = _voiced(pitch, sounds, seconds, voice) + _breath(zlib.crc32(text.encode()), sounds, seconds)
    wave_form = _band_limited(wave_form * faded(count, _BABBLE_HZ), count * rate_hz // _BABBLE_HZ)
    return _levelled(wave_form * faded(len(wave_form), rate_hz))


def _score(text: str) -> list[_Sound]:
    """One sound per symbol: a letter lasts as long as its bytes; chirp and end go with the first and last letter."""
    sounds = [sound for char in text for sound in [_sound(char)] * len(char.encode())]
    return [sounds[0], *sounds, sounds[-1]]


def _sound(char: str) -> _Sound:
    base = unicodedata.normalize("NFD", char)[0].lower()
    if base in _SOUNDS:
        return _SOUNDS[base]
    return list(_VOWELS.values())[ord(base) % len(_VOWELS)] if base.isalnum() else _PAUSE


def _melody(progress: Floats, seconds: Floats, *, rising: bool) -> Floats:
    """Pitch against its mean: falls over the utterance, moves from word to word, rises at the end of a question."""
    accents = 0.05 * np.sin(2 * np.pi * 1.7 * seconds) + 0.012 * np.sin(2 * np.pi * 5.1 * seconds)
    lift = 0.35 * np.clip(progress - 0.8, 0, None) / 0.2 if rising else 0.0
    melody: Floats = 1.1 - 0.2 * progress + accents + lift
    return melody


def _voiced(pitch: Floats, sounds: list[_Sound], seconds: Floats, voice: _Voice) -> Floats:
    """Harmonics of the pitch, each as strong as the formants are at its frequency (the source-filter model)."""
    first = voice.tract * _glide([sound.formants_hz[0] for sound in sounds], seconds)
    second = voice.tract * _glide([sound.formants_hz[1] for sound in sounds], seconds)
    strength = _glide([sound.voiced for sound in sounds], seconds)
    phase = 2 * np.pi * np.cumsum(pitch) / _BABBLE_HZ
    harmonics = np.arange(1, int(_BABBLE_BAND_HZ[3] / pitch.min()) + 1)[:, np.newaxis]
    frequency = harmonics * pitch
    colour = 1 / (1 + ((frequency - first) / 110) ** 2) + 0.6 / (1 + ((frequency - second) / 130) ** 2) + 0.02
    dispersal = 2.4 * harmonics**2  # harmonics in phase would be a train of high peaks
    voiced: Floats = strength * np.sum(colour * np.sin(harmonics * phase + dispersal), axis=0)
    return voiced


def _breath(seed: int, sounds: list[_Sound], seconds: Floats) -> Floats:
    strength = _glide([sound.breath for sound in sounds], seconds)
    return strength * np.random.default_rng(seed).standard_normal(len(seconds))


def _glide(targets: list[float], seconds: Floats) -> Floats:
    """Move from letter to letter as a mouth does: the value of each is reached in the middle of its symbol."""
    middles = (np.arange(len(targets)) + 0.5) * SYMBOL_MS / 1000
    return np.interp(seconds, middles, targets)


def _band_limited(wave_form: Floats, count: int) -> Floats:
    """Keep the band of the babble, and interpolate to `count` samples."""
    spectrum = np.fft.rfft(wave_form)
    frequency = np.arange(len(spectrum)) * _BABBLE_HZ / len(wave_form)
    spectrum *= np.interp(frequency, _BABBLE_BAND_HZ, (0.0, 1.0, 1.0, 0.0))
    return np.fft.irfft(spectrum, count)


def _levelled(wave_form: Floats) -> Floats:
    rms, peak = math.sqrt(float(np.mean(wave_form**2))), float(np.abs(wave_form).max())
    return wave_form * min(_BABBLE_RMS / rms, _BABBLE_PEAK / peak)
