"""The code in which an utterance carries its own text: its signals, how to send them, find them and read them.

The code lies in 1.9-3.4 kHz, some 12 dB below the babble that makes it sound like speech. It is a row of 60 ms symbols:

    chirp | byte 0 | byte 1 | … | byte n-1 | end

The chirp rises over the code's whole band, so its correlation has one sharp peak wherever it lies, and neither noise
nor tones imitate it. A symbol is three tones at once: the high nibble, the low nibble (one of 16 each) and the place
(the byte's index modulo 8). The end has a place tone of its own and carries a CRC-8 of the text. Places tell lost and
repeated audio; and as neighbours never share a place, a symbol whose two halves disagree is out of step.
"""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SYMBOL_MS = 60

Floats = NDArray[np.float64]
Samples = NDArray[np.int16]

_RATES_HZ = (8_000, 24_000)

# The signals. Tones stand on every second bin of a symbol's spectrum, 33.3 Hz apart, as half a symbol just separates.
_BIN_HZ = 1000 / SYMBOL_MS
_FIRST_BIN, _BIN_STEP = 116, 2  # 1933 Hz … 3267 Hz
_NIBBLES, PLACES = 16, 8
END = PLACES  # the place tone of the end symbol
_TONES = 2 * _NIBBLES + PLACES + 1
_CHIRP_HZ = (1_930.0, 3_290.0)
_EDGE_MS = 4.0  # every symbol fades in and out, so that the code never clicks
TONE_PEAK, _CHIRP_PEAK = 660.0, 1_000.0

# How they are found and read.
_SLACK_MS = 1  # a symbol is read so much before its end, as a chirp's place is known to 0.25 ms
_BLOCK_MS = 128  # searched at once: candidates in its first 68 ms, the last candidate's chirp in the rest
_SEARCH_BINS = 512  # of 7.8 Hz, whatever the rate: positions come out 0.25 ms apart
# Likeness to a chirp, squared: a pure one has 1, at 20 dB SNR 0.9; at most 0.1 was measured in symbols, 0.2 in noise.
_CHIRP_LIKENESS = 0.55
_FAINTEST_CHIRP = 150.0  # peak; fainter ones are not meant for us
_EVEN_HALVES = 0.7  # of a chirp's weaker half to its stronger one; 20 ms less make it 0.33
_LEAST_TONE = 0.65  # of half a symbol to what the chirp's level lets expect; 20 ms less make it 0.33
_MOST_RIVAL = 0.5  # of the next strongest tone of a group; half a symbol 20 ms out of step has 2 for its place
_EACH_GROUP = np.arange(3)


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbol that was read."""

    value: int  # 0-255
    place: int  # 0-7, or END
    strength: float  # of the weaker half; 1 is as loud as `speak` makes it


@dataclass(frozen=True, slots=True)
class Chirp:
    """A chirp that was found."""

    offset: int  # in samples, into the block searched
    level: float  # 1 is as loud as `speak` makes it
    whole: bool  # both halves are there


class Modem:
    """The signals of the code at one rate, and how to find and read them."""

    def __init__(self, rate_hz: int) -> None:
        self.symbol_len = rate_hz * SYMBOL_MS // 1000
        self.reading_len = self.symbol_len - rate_hz * _SLACK_MS // 1000
        self.block_len = rate_hz * _BLOCK_MS // 1000
        seconds = np.arange(self.symbol_len) / rate_hz
        envelope = faded(self.symbol_len, rate_hz)
        bins = _FIRST_BIN + _BIN_STEP * np.arange(_TONES)
        self._tones: Floats = TONE_PEAK * envelope * np.sin(2 * np.pi * _BIN_HZ * np.outer(bins, seconds))
        low, high = _CHIRP_HZ
        sweep = low * seconds + (high - low) / (2 * SYMBOL_MS / 1000) * seconds**2
        self._chirp: Floats = _CHIRP_PEAK * envelope * np.sin(2 * np.pi * sweep)
        self._halves = self._half_windows(rate_hz)
        self._tone_level = self._spectra(self._tones[0, : self.reading_len])[0, 0]
        self._groups = self._columns_of_groups()
        self._positions_per_sample = _SEARCH_BINS / self.block_len
        self._band = self._search_band()
        self._chirp_spectrum = self._band_spectrum(np.pad(self._chirp, (0, self.block_len - self.symbol_len)))
        self._chirp_span = _SEARCH_BINS * SYMBOL_MS // _BLOCK_MS  # in positions
        self._chirp_shape = np.fft.ifft(self._chirp_spectrum)[: self._chirp_span]
        self._chirp_energy = float(np.sum(np.abs(self._chirp_shape) ** 2))

    def _half_windows(self, rate_hz: int) -> Floats:
        """Windows of a symbol's two halves; soft edges keep the babble's spectrum out of the code's band."""
        begin, end = self.symbol_len - self.reading_len, (self.symbol_len + round(rate_hz * _EDGE_MS / 1000)) // 2
        first = np.zeros(self.symbol_len)
        first[begin:end] = faded(end - begin, rate_hz)
        return np.stack((first, first[::-1]))[:, : self.reading_len]

    @staticmethod
    def _columns_of_groups() -> NDArray[np.intp]:
        """Which tones make up high nibble, low nibble and place; the shorter group is filled with a silent column."""
        columns = np.full((3, _NIBBLES), _TONES)
        columns[0], columns[1] = np.arange(_NIBBLES), np.arange(_NIBBLES) + _NIBBLES
        columns[2, : PLACES + 1] = np.arange(PLACES + 1) + 2 * _NIBBLES
        return columns

    def _search_band(self) -> slice:
        block_bin_hz = 1000 / _BLOCK_MS
        return slice(int((_CHIRP_HZ[0] - 60) / block_bin_hz), int((_CHIRP_HZ[1] + 60) / block_bin_hz))

    def _spectra(self, frame: Floats) -> Floats:
        """Magnitude of every tone and of a silent column, in the first and in the second half of a frame."""
        end = _FIRST_BIN + _BIN_STEP * (_TONES + 1)
        spectra: Floats = np.abs(np.fft.rfft(frame * self._halves, self.symbol_len)[:, _FIRST_BIN:end:_BIN_STEP])
        spectra[:, _TONES] = 0.0
        return spectra

    def encode(self, payload: bytes) -> Floats:
        """The whole code of a text's bytes, chirp to end."""
        values = np.frombuffer(payload + bytes([crc8(payload)]), dtype=np.uint8)
        places = np.append(np.arange(len(payload)) % PLACES, END)
        high, low, place = self._tones[:_NIBBLES], self._tones[_NIBBLES : 2 * _NIBBLES], self._tones[2 * _NIBBLES :]
        symbols = high[values >> 4] + low[values & 15] + place[places]
        return np.concatenate((self._chirp, symbols.ravel()))

    def read(self, frame: Floats, level: float) -> Symbol | None:
        """Read the symbol that fills `reading_len` samples, sent at `level`; None if there is none in step."""
        halves = self._spectra(frame)[:, self._groups]  # half × group × tone
        whole = halves.sum(axis=0)
        best = whole.argmax(axis=1)
        strongest = halves[:, _EACH_GROUP, best]  # half × group
        halves[:, _EACH_GROUP, best] = whole[_EACH_GROUP, best] = 0.0
        weaker = float(strongest.mean(axis=1).min()) / self._tone_level
        if (
            weaker < _LEAST_TONE * level
            or (whole.max(axis=1) > _MOST_RIVAL * strongest.sum(axis=0)).any()
            or (halves[:, 2].max(axis=1) > _MOST_RIVAL * strongest[:, 2]).any()
        ):
            return None
        high, low, place = best.tolist()
        return Symbol(high << 4 | low, place, weaker)

    def find_chirp(self, block: Floats) -> Chirp | None:
        """The most chirp-like place among the first `block_len - symbol_len` of a block, if it is a chirp."""
        spectrum = self._band_spectrum(block)
        heard = np.fft.ifft(spectrum)
        energy = np.cumsum(heard.real**2 + heard.imag**2)
        matched = np.fft.ifft(spectrum * self._chirp_spectrum.conj())[: _SEARCH_BINS - self._chirp_span]
        local = energy[self._chirp_span :] - energy[: _SEARCH_BINS - self._chirp_span] + 1e-9
        likeness = (matched.real**2 + matched.imag**2) / (local * self._chirp_energy)
        at = int(likeness.argmax())
        if likeness[at] < _CHIRP_LIKENESS:
            return None
        parts = (heard[at : at + self._chirp_span] * self._chirp_shape.conj()).reshape(2, -1).sum(axis=1)
        halves = np.abs(parts) * 2 / self._chirp_energy
        level = float(halves.max())
        if level < _FAINTEST_CHIRP / _CHIRP_PEAK:
            return None
        return Chirp(round(at / self._positions_per_sample), level, bool(halves.min() > _EVEN_HALVES * level))

    def _band_spectrum(self, block: Floats) -> NDArray[np.complex128]:
        spectrum = np.zeros(_SEARCH_BINS, dtype=np.complex128)
        spectrum[self._band] = np.fft.rfft(block)[self._band] / self.block_len
        return spectrum


@functools.cache
def modem_of(rate_hz: int) -> Modem:
    """The modem of a rate, 8000 or 24000.

    Raises:
        ValueError: it is another.
    """
    if rate_hz not in _RATES_HZ:
        raise ValueError(f"rate_hz must be one of {_RATES_HZ}, not {rate_hz}")
    return Modem(rate_hz)


def crc8(payload: bytes) -> int:
    """A byte of the CRC-32: misses one wrong text in 256."""
    return zlib.crc32(payload) & 0xFF


def faded(count: int, rate_hz: int) -> Floats:
    """Ones with raised-cosine edges."""
    edge = round(rate_hz * _EDGE_MS / 1000)
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)
    return np.concatenate((rise, np.ones(count - 2 * edge), rise[::-1]))
