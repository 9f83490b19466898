"""What the conversion between 8 kHz mu-law and 24 kHz PCM16 costs in time and in quality, beside plain soxr.

    python tests/benchmarks/conversion.py            a table
    python tests/benchmarks/conversion.py --json     the same figures for a machine

Every figure is of bytes in against bytes out, mu-law included, in chunks as a call has them: 20 ms up, 200 ms down.

- held back: audio that went in and has not come out, after each 20 ms chunk of five seconds (its first second aside).
- response: highest and lowest gain of tones from 300 to 3,400 Hz.
- rejection: the loudest tone's power that comes out where it does not belong: up, above 4.6 kHz, of speech-band tones;
  down, anywhere, of tones from 4.6 kHz on.
- time: processor time, the least of many rounds in which the subjects take turns.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))

from voicebot.audio import g711
from voicebot.audio.resample import Downsampler, Upsampler

SPEECH_HZ = range(300, 3_401, 100)
ABOVE_HZ = range(4_600, 12_000, 100)
ROUNDS = 60


class Stream(Protocol):
    def convert(self, payload: bytes) -> bytes: ...
    def flush(self) -> bytes: ...


class PlainUp:
    """The way of most samples: table, soxr, bytes."""

    def __init__(self, quality: str) -> None:
        self._rate = soxr.ResampleStream(8_000, 24_000, 1, dtype="int16", quality=quality)

    def convert(self, payload: bytes) -> bytes:
        return bytes(self._rate.resample_chunk(g711.decode(payload)))

    def flush(self) -> bytes:
        return bytes(self._rate.resample_chunk(np.zeros(0, np.int16), last=True))


class PlainDown:
    def __init__(self, quality: str) -> None:
        self._rate = soxr.ResampleStream(24_000, 8_000, 1, dtype="int16", quality=quality)

    def convert(self, payload: bytes) -> bytes:
        return g711.encode(self._rate.resample_chunk(np.frombuffer(payload, np.int16)))

    def flush(self) -> bytes:
        return g711.encode(self._rate.resample_chunk(np.zeros(0, np.int16), last=True))


@dataclass(frozen=True, slots=True)
class Subject:
    name: str
    up: Callable[[], Stream]
    down: Callable[[], Stream]


@dataclass(frozen=True, slots=True)
class Figures:
    """One direction of one subject."""

    subject: str
    direction: str
    held_back_mean_ms: float
    held_back_max_ms: float
    gain_max_db: float
    gain_min_db: float
    rejection_db: float
    chunk_ms: int
    us_per_chunk: float


SUBJECTS = [
    Subject("voicebot", Upsampler, Downsampler),
    Subject("soxr QQ", lambda: PlainUp("QQ"), lambda: PlainDown("QQ")),
    Subject("soxr HQ", lambda: PlainUp("HQ"), lambda: PlainDown("HQ")),
]


def tone(frequency_hz: float, rate_hz: int, amplitude: float) -> NDArray[np.int16]:
    """One second of a tone."""
    turn = 2 * np.pi * frequency_hz / rate_hz
    samples: NDArray[np.int16] = np.rint(amplitude * np.sin(turn * np.arange(rate_hz))).astype(np.int16)
    return samples


def spectrum(samples: NDArray[np.int16]) -> NDArray[np.float64]:
    """Power per bin of 1.25 Hz, of the middle eight tenths; the window's side lobes are below -100 dB."""
    edge = len(samples) // 10
    middle = samples[edge:-edge].astype(np.float64)
    window = np.kaiser(len(middle), 14)
    power: NDArray[np.float64] = np.abs(np.fft.rfft(middle * window) / window.sum()) ** 2
    return power


def through(stream: Stream, payload: bytes) -> bytes:
    return stream.convert(payload) + stream.flush()


def power_near(power: NDArray[np.float64], frequency_hz: float) -> float:
    at = round(frequency_hz / 1.25)
    return float(power[at - 20 : at + 21].sum())


def decibels(power: float) -> float:
    return float(10 * np.log10(max(power, 1e-20)))


def response_up(make: Callable[[], Stream]) -> tuple[list[float], float]:
    """Gains of the speech band, and the worst image, in dB."""
    gains, images = [], []
    for frequency_hz in SPEECH_HZ:
        payload = g711.encode(tone(frequency_hz, 8_000, 16_000))
        sent = spectrum(g711.decode(payload))
        heard = spectrum(np.frombuffer(through(make(), payload), np.int16))
        loudness = power_near(heard, frequency_hz)
        gains.append(decibels(loudness / power_near(sent, frequency_hz)))
        images.append(decibels(float(heard[round(4_590 / 1.25) :].sum()) / loudness))
    return gains, max(images)


def response_down(make: Callable[[], Stream]) -> tuple[list[float], float]:
    """Gains of the speech band, and the worst alias, in dB."""

    def heard(frequency_hz: float, amplitude: float) -> NDArray[np.float64]:
        return spectrum(g711.decode(through(make(), tone(frequency_hz, 24_000, amplitude).tobytes())))

    gains = [
        decibels(power_near(heard(f, 16_000), f) / power_near(spectrum(tone(f, 24_000, 16_000)), f)) for f in SPEECH_HZ
    ]
    loudest = float(spectrum(tone(6_000, 24_000, 32_000)).sum())
    return gains, max(decibels(float(heard(f, 32_000).sum()) / loudest) for f in ABOVE_HZ)


def held_back_ms(stream: Stream, frame_in: int, frame_out: int) -> list[float]:
    """Audio held back after each of 250 chunks of 20 ms but the first 50."""
    given_back, held = 0, []
    for count in range(1, 251):
        given_back += len(stream.convert(bytes(frame_in)))
        held.append(20 * (count - given_back / frame_out))
    return held[50:]


def processor_us(streams: list[Stream], payload: bytes) -> list[float]:
    """Least microseconds of one `convert` of each stream."""
    least = [float("inf")] * len(streams)
    repeats = 50
    for _ in range(ROUNDS):
        for at, stream in enumerate(streams):
            begun = time.process_time_ns()
            for _ in range(repeats):
                stream.convert(payload)
            least[at] = min(least[at], (time.process_time_ns() - begun) / repeats / 1_000)
    return least


def measure() -> list[Figures]:
    noise = np.random.default_rng(1).normal(0, 3_000, 4_800).astype(np.int16)
    frame, delta = g711.encode(noise[:160]), noise.tobytes()
    up_us = processor_us([subject.up() for subject in SUBJECTS], frame)
    down_us = processor_us([subject.down() for subject in SUBJECTS], delta)
    figures: list[Figures] = []
    for subject, up, down in zip(SUBJECTS, up_us, down_us, strict=True):
        for direction, held, (gains, rejection), chunk_ms, cost in (
            ("up", held_back_ms(subject.up(), 160, 960), response_up(subject.up), 20, up),
            ("down", held_back_ms(subject.down(), 960, 160), response_down(subject.down), 200, down),
        ):
            figures.append(
                Figures(
                    subject=subject.name,
                    direction=direction,
                    held_back_mean_ms=round(sum(held) / len(held), 2),
                    held_back_max_ms=round(max(held), 2),
                    gain_max_db=round(max(gains), 2),
                    gain_min_db=round(min(gains), 2),
                    rejection_db=round(rejection, 1),
                    chunk_ms=chunk_ms,
                    us_per_chunk=round(cost, 1),
                )
            )
    return figures


def show(figures: list[Figures]) -> None:
    print(f"{'':17}{'held back, ms':>16}{'300-3,400 Hz, dB':>21}{'4.6 kHz up, dB':>17}{'processor time':>24}")
    for row in figures:
        print(
            f"{row.subject:10}{row.direction:7}{row.held_back_mean_ms:7.2f} max{row.held_back_max_ms:6.2f}"
            f"{row.gain_max_db:+12.2f} /{row.gain_min_db:+7.2f}{row.rejection_db:17.1f}"
            f"{row.us_per_chunk:10.1f} us per {row.chunk_ms:3} ms"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Delay, response and cost of the audio conversion.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    figures = measure()
    if parser.parse_args().json:
        print(json.dumps([asdict(row) for row in figures], indent=2))
    else:
        show(figures)


if __name__ == "__main__":
    main()
