"""The two converters, judged by what goes in and what comes out; scipy judges their filters."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal

from voicebot.audio import g711, resample
from voicebot.audio.resample import DOWN_TAPS, UP_TAPS, Downsampler, Upsampler, upsample

Converter = Upsampler | Downsampler

PASSED_HZ = [*range(300, 3_401, 100)]
STOPPED_HZ = [*range(4_600, 12_000, 100)]
QQ = resample._QQ / 3

# a converter, and the bytes of 20 ms before and after it
FRAMES = [pytest.param(Upsampler, 160, 960, id="up"), pytest.param(Downsampler, 960, 160, id="down")]
BOTH = [pytest.param(Upsampler, id="up"), pytest.param(Downsampler, id="down")]


def pcm(samples: NDArray[np.floating] | NDArray[np.integer]) -> bytes:
    return np.rint(samples).astype("<i2").tobytes()


def mulaw(samples: NDArray[np.floating]) -> bytes:
    return g711.encode(np.rint(samples).astype(np.int16))


def whole(converter: Converter, payload: bytes) -> bytes:
    return converter.convert(payload) + converter.flush()


def up(payload: bytes) -> NDArray[np.float64]:
    return np.frombuffer(whole(Upsampler(), payload), "<i2").astype(np.float64)


def down(payload: bytes) -> NDArray[np.float64]:
    return g711.decode(whole(Downsampler(), payload)).astype(np.float64)


def tone(frequency_hz: float, rate_hz: int, amplitude: float, seconds: float = 1.0) -> NDArray[np.float64]:
    return amplitude * np.sin(2 * np.pi * frequency_hz / rate_hz * np.arange(round(rate_hz * seconds)))


def middle(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is left without the onset and the end, a tenth each."""
    edge = len(samples) // 10
    return samples[edge:-edge]


def level(samples: NDArray[np.float64], frequency_hz: float, rate_hz: int) -> float:
    """Amplitude of one tone, of whole periods in a second, in `samples`."""
    window = signal.windows.blackmanharris(len(samples))
    turn = np.exp(-2j * np.pi * frequency_hz / rate_hz * np.arange(len(samples)))
    return float(2 * abs(np.sum(samples * window * turn)) / np.sum(window))


def decibels(ratio: float) -> float:
    return float(20 * np.log10(max(ratio, 1e-12)))


def rms(samples: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def speech_band_noise(rate_hz: int, seconds: float, seed: int = 7) -> NDArray[np.float64]:
    """Noise from 300 to 3,400 Hz at -20 dB of full scale."""
    white = np.random.default_rng(seed).standard_normal(round(rate_hz * seconds))
    band = signal.firwin(801, [300, 3_400], pass_zero=False, fs=rate_hz)
    noise = signal.fftconvolve(white, band, mode="same")
    return noise * (3_000 / rms(noise))


def cut(payload: bytes, places: Sequence[int]) -> Iterator[bytes]:
    bounds = [0, *sorted(place % (len(payload) + 1) for place in places), len(payload)]
    return (payload[a:b] for a, b in pairwise(bounds))


# ---- delay --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "frame_in", "frame_out"), FRAMES)
def test_little_audio_is_held_back(kind: type[Converter], frame_in: int, frame_out: int) -> None:
    converter, given_back = kind(), 0
    for count in range(1, 101):
        given_back += len(converter.convert(bytes(frame_in)))
        held_back_ms = 20 * (count - given_back / frame_out)
        assert 0 <= held_back_ms <= 1.3


def test_impulse_comes_up_in_its_place() -> None:
    impulse = bytearray(g711.SILENCE * 200)
    impulse[100] = 0x80
    assert np.argmax(up(bytes(impulse))) == 300


def test_impulse_comes_down_in_its_place() -> None:
    impulse = np.zeros(600)
    impulse[300] = 32_000
    assert np.argmax(down(pcm(impulse))) == 100


@pytest.mark.parametrize("frequency_hz", [300, 1_000, 3_400])
def test_no_delay_stands_in_the_audio(frequency_hz: int) -> None:
    slow, fast = tone(frequency_hz, 8_000, 9_000), tone(frequency_hz, 24_000, 9_000)
    for heard, sent in ((up(mulaw(slow)), fast), (down(pcm(fast)), slow)):
        correlation = signal.correlate(middle(heard), middle(sent))
        lags = signal.correlation_lags(len(middle(heard)), len(middle(sent)))
        assert lags[np.argmax(correlation)] == 0


# ---- response -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("impulse_response", [np.convolve(QQ, UP_TAPS), DOWN_TAPS], ids=["up", "down"])
def test_filters_are_flat_and_silent_where_they_should_be(impulse_response: NDArray[np.float64]) -> None:
    frequencies_hz, response = signal.freqz(impulse_response, worN=np.arange(0.0, 12_001, 5), fs=24_000)
    gain_db = 20 * np.log10(np.maximum(np.abs(response), 1e-9))
    assert np.abs(gain_db[(frequencies_hz >= 300) & (frequencies_hz <= 3_400)]).max() <= 0.1
    assert np.abs(gain_db[0]) <= 0.1
    assert gain_db[frequencies_hz >= 4_600].max() <= -64


@pytest.mark.parametrize("frequency_hz", PASSED_HZ)
def test_speech_band_goes_up_flat_without_images(frequency_hz: int) -> None:
    sent = tone(frequency_hz, 8_000, 16_000)
    heard = middle(up(mulaw(sent)))
    loudness = level(heard, frequency_hz, 24_000)
    assert abs(decibels(loudness / level(middle(sent), frequency_hz, 8_000))) <= 0.12
    spectrum = np.abs(np.fft.rfft(heard * signal.windows.blackmanharris(len(heard)))) ** 2
    above = np.fft.rfftfreq(len(heard), 1 / 24_000) >= 4_590
    assert 10 * np.log10(spectrum[above].sum() / spectrum.sum()) <= -60


@pytest.mark.parametrize("frequency_hz", PASSED_HZ)
def test_speech_band_goes_down_flat(frequency_hz: int) -> None:
    heard = middle(down(pcm(tone(frequency_hz, 24_000, 16_000))))
    assert abs(decibels(level(heard, frequency_hz, 8_000) / 16_000)) <= 0.12


@pytest.mark.parametrize("frequency_hz", STOPPED_HZ)
def test_nothing_folds_down_from_above(frequency_hz: int) -> None:
    heard = middle(down(pcm(tone(frequency_hz, 24_000, 32_000, seconds=0.3))))
    assert decibels(rms(heard) / rms(tone(frequency_hz, 24_000, 32_000))) <= -60


def test_constant_level_is_preserved() -> None:
    assert middle(up(b"\xc0" * 800)) == pytest.approx(1884, abs=15)
    assert middle(down(pcm(np.full(2_400, 1884)))) == pytest.approx(1884, abs=64)  # one step of mu-law there


def test_rounding_adds_no_offset() -> None:
    assert abs(np.mean(up(mulaw(tone(500, 8_000, 9_000))))) < 0.05


def test_speech_band_survives_up_and_down() -> None:
    said = mulaw(speech_band_noise(8_000, 2))
    heard = whole(Downsampler(), whole(Upsampler(), said))
    before, after = g711.decode(said).astype(float), g711.decode(heard).astype(float)
    assert len(heard) == len(said)
    assert decibels(rms(before) / rms(after - before)) >= 33  # one mu-law coding alone gives 36


def test_noise_at_24_khz_survives_down_and_up() -> None:
    said = speech_band_noise(24_000, 2)
    heard = np.frombuffer(whole(Upsampler(), whole(Downsampler(), pcm(said))), "<i2")
    assert decibels(rms(said) / rms(heard - said)) >= 33


# ---- chunks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BOTH)
@given(payload=st.binary(max_size=4_000), places=st.lists(st.integers(0, 10_000), max_size=30))
def test_chunks_change_no_bit(kind: type[Converter], payload: bytes, places: list[int]) -> None:
    converter = kind()
    pieces = b"".join([*map(converter.convert, cut(payload, places)), converter.flush()])
    assert pieces == whole(kind(), payload)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 159, 160, 161, 4_801, 20_000])
def test_loud_noise_is_the_same_in_chunks(kind: type[Converter], size: int) -> None:
    payload = np.random.default_rng(size).integers(0, 256, 20_000).astype(np.uint8).tobytes()
    converter = kind()
    pieces = b"".join(converter.convert(payload[at : at + size]) for at in range(0, len(payload), size))
    assert pieces + converter.flush() == whole(kind(), payload)


@pytest.mark.parametrize("kind", BOTH)
def test_empty_payload_changes_nothing(kind: type[Converter]) -> None:
    converter, other = kind(), kind()
    payload = bytes(range(256)) * 4
    first = converter.convert(payload[:100]) + converter.convert(b"")
    assert first + whole(converter, payload[100:]) == whole(other, payload)


@pytest.mark.parametrize("kind", BOTH)
def test_nothing_in_nothing_out(kind: type[Converter]) -> None:
    assert whole(kind(), b"") == b""


def test_sums_are_exact_in_float64() -> None:
    assert np.array_equal(UP_TAPS * 2**24, np.rint(UP_TAPS * 2**24))
    assert np.array_equal(DOWN_TAPS * 2**24, np.rint(DOWN_TAPS * 2**24))
    loudest = 256 * 32_124 * (5 + 60 + 30 + 4) / 81  # in 256ths, at the worst phase of the cubic
    assert loudest < 2**24  # float32 holds it
    assert max(loudest * np.abs(UP_TAPS).sum(), 32_768 * np.abs(DOWN_TAPS).sum()) * 2**24 < 2**53


# ---- utterances ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 4, 25, 26, 160, 161, 2_401])
def test_flush_gives_every_sample(count: int) -> None:
    assert len(whole(Upsampler(), bytes(count))) == 6 * count
    assert len(whole(Downsampler(), bytes(2 * count))) == round(count / 3)


def test_half_a_sample_at_the_end_is_dropped() -> None:
    converter = Downsampler()
    assert len(whole(converter, bytes(961))) == 160
    assert whole(converter, pcm(np.full(480, 900))) == whole(Downsampler(), pcm(np.full(480, 900)))


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("end", ["flush", "reset"])
def test_next_utterance_knows_nothing_of_the_last(kind: type[Converter], end: str) -> None:
    noise = np.random.default_rng(3).integers(0, 256, 3_001).astype(np.uint8).tobytes()
    converter = kind()
    converter.convert(noise)
    getattr(converter, end)()
    assert whole(converter, noise[::-1]) == whole(kind(), noise[::-1])
    converter.flush()
    assert converter.flush() == b""


def test_tail_fades_as_the_utterance_does() -> None:
    said = tone(500, 24_000, 12_000, seconds=0.2)
    converter = Downsampler()
    converter.convert(pcm(said))
    assert rms(g711.decode(converter.flush()).astype(float)) > 4_000


# ---- extremes -----------------------------------------------------------------------------------------------------


def test_full_scale_going_up_saturates() -> None:
    square = (b"\x80" * 20 + b"\x00" * 20) * 20
    heard = up(square)
    sign = np.repeat(np.where(np.frombuffer(square, np.uint8) == 0x80, 1, -1), 3)
    settled = np.abs(np.arange(len(heard)) % 60 - 29.5) < 24  # away from the edges, where the sign does change
    assert heard.max() == 32_767
    assert heard.min() == -32_768
    assert (heard[settled] * sign[settled] > 20_000).all()


def test_full_scale_going_down_saturates() -> None:
    square = np.tile(np.repeat([32_767, -32_768], 60), 20)
    heard = down(pcm(square))
    settled = np.abs(np.arange(len(heard)) % 20 - 9.5) < 8
    assert heard.max() == 32_124
    assert heard.min() == -32_124
    assert (heard[settled] * np.sign(square[::3][settled]) > 20_000).all()


def test_silence_stays_silence() -> None:
    assert whole(Upsampler(), g711.SILENCE * 800) == bytes(4_800)
    assert whole(Downsampler(), bytes(4_800)) == g711.SILENCE * 800


def test_silence_returns_after_speech() -> None:
    converter = Upsampler()
    converter.convert(mulaw(tone(700, 8_000, 20_000, seconds=0.1)))
    converter.convert(g711.SILENCE * 160)
    assert converter.convert(g711.SILENCE * 160) == bytes(960)


# ---- what we rely on soxr for -------------------------------------------------------------------------------------


def test_qq_going_up_is_the_cubic_we_design_for() -> None:
    stream = soxr.ResampleStream(8_000, 24_000, 1, dtype="float64", quality="QQ")
    impulse = np.zeros(40)
    impulse[20] = 1
    response = stream.resample_chunk(impulse)
    assert response[55:66] == pytest.approx(resample._QQ, abs=1e-6)
    assert np.count_nonzero(np.abs(response) > 1e-6) == np.count_nonzero(resample._QQ)


def test_qq_going_down_takes_every_third_sample() -> None:
    stream = soxr.ResampleStream(24_000, 8_000, 1, dtype="float32", quality="QQ")
    noise = np.random.default_rng(5).standard_normal(3_000).astype(np.float32)
    taken = np.concatenate((stream.resample_chunk(noise), stream.resample_chunk(noise[:0], last=True)))
    assert np.array_equal(taken, noise[::3])


# ---- many streams together ----------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 500)), max_size=30), st.integers(0, 2**32))
def test_streams_together_are_each_as_alone(work: list[tuple[int, int]], seed: int) -> None:
    dice = random.Random(seed)
    together, alone = [Upsampler() for _ in range(8)], [Upsampler() for _ in range(8)]
    payloads = [(number, dice.randbytes(size)) for number, size in work]
    converted: list[bytes] = []
    while payloads:
        some = dice.randint(1, len(payloads))
        converted += upsample([(together[number], payload) for number, payload in payloads[:some]])
        for number, payload in payloads[:some]:
            assert converted.pop(0) == alone[number].convert(payload)
        payloads = payloads[some:]
    assert [stream.flush() for stream in together] == [stream.flush() for stream in alone]
