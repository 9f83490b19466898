"""Streaming conversion between the telephone's 8 kHz mu-law and the model's 24 kHz PCM16.

soxr's better qualities convert in bursts: in 20 ms chunks "HQ" holds back 43 ms of audio on average and 75 ms at worst.
Its "QQ" holds back 0.2 ms but is a bare interpolation: up, a cubic through four points, 3.9 dB down at 3.4 kHz, with
images at -7 dB; down, every third sample is taken as it is, aliases and all. So QQ converts the rate, and a short
linear-phase FIR at 24 kHz, after it on the way up and before it on the way down, does what QQ leaves undone: it lifts
the droop and stops what does not belong below 4 kHz. `python tests/benchmarks/conversion.py` measures bytes in against
bytes out, mu-law included:

                    taps   held back   300 to 3,400 Hz   4.6 kHz and up   processor time
    Upsampler         51     1.25 ms          ±0.06 dB           -63 dB    17 us per 20 ms
    Downsampler       57     1.25 ms          ±0.10 dB           -64 dB    68 us per 200 ms

The filters by themselves: ±0.08 dB and -65 dB. "Held back" counts all audio that went in and has not come out: half a
FIR (1.04 and 1.17 ms) and what soxr keeps. What comes out is aligned with what went in: once flushed, n samples up give
3 n and n samples down give n / 3 (rounded), with no delay inside the audio.

However a stream is cut into chunks, its bytes are the same. A matrix product adds in an order that depends on the size
of the chunk, so its sums are exact: samples and taps are multiples of powers of two that keep every partial sum within
the 53 bits of a float64, nothing is rounded, and the order does not matter. soxr's QQ itself gives the same samples for
every chunking, except with dtype int16, where it dithers; hence the other dtypes here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import soxr
from numpy.typing import NDArray

from . import g711

_PHONE_HZ: Final = 8_000
_MODEL_HZ: Final = 24_000
_RATIO: Final = _MODEL_HZ // _PHONE_HZ
_PCM16: Final = np.dtype("<i2")

# soxr's QQ up by three, as measured and as Lagrange interpolation gives it: its impulse response at 24 kHz.
_QQ: Final = np.array([-4, -5, 0, 30, 60, 81, 60, 30, 0, -5, -4]) / 81

_PASS_HZ: Final = 3_400
_STOP_HZ: Final = 4_600
_GRID_HZ: Final = 100  # divides both edges
_STOP_WEIGHT: Final = 10  # how much more an error counts in the stop band than in the pass band
_SWEEPS: Final = 3  # towards equal ripple; a fourth gains nothing
_TAP_STEP: Final = 2.0**-24  # samples below 2**24 times taps that sum to less than 8 need 51 bits

# Outputs computed by one row of the matrix product. More wastes multiplications by zero, fewer waste calls.
_BLOCK: Final = 20
# Longer payloads go in pieces: scratch and soxr's buffers stay small, and so does the matrix product, which BLAS would
# otherwise spread over threads at twice the processor time.
_UP_PIECE: Final = 160  # bytes of mu-law; 20 ms, as the telephone sends them
_DOWN_PIECE: Final = 2_400  # samples of PCM16; 100 ms


def _amplitude(taps: NDArray[np.float64], frequencies_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Response of a symmetric FIR at 24 kHz, its delay aside."""
    offsets = np.arange(len(taps)) - len(taps) // 2
    amplitude: NDArray[np.float64] = np.cos(2 * np.pi / _MODEL_HZ * np.outer(frequencies_hz, offsets)) @ taps
    return amplitude


def _design(length: int, companion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the taps that make `companion` and the FIR together flat to 3.4 kHz and silent from 4.6 kHz.

    Weighted least squares, then again with more weight where the error was large (Lawson's way to equal ripple).

    Args:
        length: number of taps, odd.
        companion: symmetric impulse response at 24 kHz that is in series with the FIR.
    """
    passed = np.arange(0.0, _PASS_HZ + 1, _GRID_HZ)
    stopped = np.arange(float(_STOP_HZ), _MODEL_HZ / 2 + 1, _GRID_HZ)
    frequencies = np.concatenate((passed, stopped))
    wanted = np.concatenate((np.ones_like(passed), np.zeros_like(stopped)))
    weight = np.where(wanted, 1.0, _STOP_WEIGHT)
    basis = 2 * np.cos(2 * np.pi / _MODEL_HZ * np.outer(frequencies, np.arange(length // 2 + 1)))
    basis[:, 0] = 1
    basis *= _amplitude(companion, frequencies)[:, np.newaxis]
    half = np.zeros(length // 2 + 1)
    for _ in range(_SWEEPS + 1):
        half = np.linalg.lstsq(basis * weight[:, np.newaxis], wanted * weight, rcond=None)[0]
        error = np.abs(basis @ half - wanted)
        for band in (wanted == 1, wanted == 0):
            weight[band] *= np.sqrt(error[band] / error[band].mean())
    return np.concatenate((half[:0:-1], half))


def _banded(taps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrix that turns `_BLOCK + len(taps) - 1` successive samples into `_BLOCK` filtered ones."""
    matrix = np.zeros((_BLOCK + len(taps) - 1, _BLOCK))
    for column in range(_BLOCK):
        matrix[column : column + len(taps), column] = taps
    return matrix


UP_TAPS: Final = np.rint(_design(51, _QQ / _RATIO) / _TAP_STEP) * _TAP_STEP
"""FIR at 24 kHz behind soxr QQ, shape (51,), symmetric. Gain 1 together with QQ."""

DOWN_TAPS: Final = np.rint(_design(57, np.ones(1)) / _TAP_STEP) * _TAP_STEP
"""FIR at 24 kHz before soxr QQ, shape (57,), symmetric. Gain 1."""

# The way up counts in 256ths of a PCM16 step, so that soxr's rounding to integers is far below hearing.
_UP_SCALE: Final = 256
# One column, as soxr wants it: for one-dimensional arrays its wrapper adds and takes away an axis, in twice the time.
_UP_INPUT: Final = g711.decode(bytes(range(256))).astype(np.int32)[:, np.newaxis] * _UP_SCALE
_UP_BANDED: Final = _banded(UP_TAPS / _UP_SCALE)
_UP_HELD: Final = len(UP_TAPS) - 1  # samples of a stream that its next outputs need
_DOWN_BANDED: Final = _banded(DOWN_TAPS)
# Arrays: numbers would be made into some for every call, which takes longer than the clipping.
_LOWEST: Final = np.array(-32768.0)
_HIGHEST: Final = np.array(32767.0)


class _Fir:
    """A symmetric FIR over a stream, without delay inside the audio: output k is centred on input k."""

    __slots__ = ("_banded", "_half", "_held", "_line", "_windows")

    def __init__(self, banded: NDArray[np.float64], longest: int) -> None:
        """`longest`, a multiple of `_BLOCK`, bounds what one `feed` takes."""
        self._banded = banded
        width = len(banded)
        self._half = (width - _BLOCK) // 2
        # Made once and filled again and again: the samples held back, then the new ones. What follows them is stale
        # and harmless; it meets taps of zero, or makes outputs that are cut off.
        self._line = np.zeros(2 * self._half + longest)
        step = self._line.itemsize
        rows = (longest // _BLOCK, width)
        self._windows = np.ndarray(rows, np.float64, self._line, strides=(_BLOCK * step, step))
        self.reset()

    def reset(self) -> None:
        self._held = self._half
        self._line[: self._held] = 0

    def feed(self, samples: NDArray[np.int16]) -> NDArray[np.float64]:
        """Filter what can be filtered now; half the FIR's length is held back."""
        known = self._held + len(samples)
        ready = max(known - 2 * self._half, 0)
        blocks = -(-ready // _BLOCK)
        self._line[self._held : known] = samples
        # `dot` gathers the overlapping rows and calls BLAS; before NumPy 2.3 `@` would loop instead.
        filtered: NDArray[np.float64] = self._windows[:blocks].dot(self._banded).reshape(-1)[:ready]
        self._held = known - ready
        self._line[: self._held] = self._line[ready:known]
        return filtered

    def flush(self) -> NDArray[np.float64]:
        """Filter what was held back, as if silence followed. `reset` comes next."""
        return self.feed(np.zeros(self._half, np.int16))


def _to_pcm16(samples: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.int16]:
    """Round to the nearest PCM16 sample; what is too loud saturates."""
    rounded = np.rint(samples)
    rounded.clip(_LOWEST, _HIGHEST, out=rounded)
    return rounded.astype(np.int16)


class Upsampler:
    """One stream of mu-law 8 kHz to PCM16 24 kHz. It holds back 1.25 ms and takes about 42 KiB, mostly soxr's.

    All streams are filtered in the same scratch memory, so they belong to one thread.
    """

    __slots__ = ("before", "rate", "unborn")

    def __init__(self) -> None:
        self.rate = soxr.ResampleStream(_PHONE_HZ, _MODEL_HZ, 1, dtype="int32", quality="QQ")
        """The stream of soxr's, to which `_Rows` gives what comes."""
        self.before: NDArray[np.float64] = np.zeros((_UP_HELD, 1))
        """The samples at 24 kHz before those that come: a FIR's length of them."""
        self.unborn = _UP_HELD // 2
        """Outputs to come that are centred on samples before the stream's first."""

    def convert(self, payload: bytes) -> bytes:
        """Convert the next n bytes of mu-law; gives 6 n bytes of little-endian PCM16, fewer at the start."""
        if len(payload) <= _UP_PIECE:
            return _UP_ROWS.convert([(self, payload)])[0]
        pieces = (payload[at : at + _UP_PIECE] for at in range(0, len(payload), _UP_PIECE))
        return b"".join(_UP_ROWS.convert([(self, piece)])[0] for piece in pieces)

    def flush(self) -> bytes:
        """End the utterance: give what was held back, and be ready for the next one."""
        last = self.rate.resample_chunk(np.zeros((0, 1), np.int32), last=True)
        tail = _UP_ROWS.filter([self], [np.concatenate((last, np.zeros((_UP_HELD // 2, 1), np.int32)))])[0]
        self.reset()
        return tail

    def reset(self) -> None:
        """Drop what was held back; the next payload starts a new stream."""
        self.rate.clear()
        self.before[:] = 0
        self.unborn = _UP_HELD // 2


def upsample(work: Sequence[tuple[Upsampler, bytes]]) -> list[bytes]:
    """Convert the next payloads of many streams, as each one's `convert` would.

    A step of numpy's takes much longer than its work on 20 ms of audio; here it is taken once for several streams.
    """
    converted: list[bytes] = []
    together: list[tuple[Upsampler, bytes]] = []
    streams: set[Upsampler] = set()
    for stream, payload in work:
        if len(payload) > _UP_PIECE or stream in streams or len(together) == _UP_TOGETHER:
            converted += _UP_ROWS.convert(together)
            together, streams = [], set()
        if len(payload) > _UP_PIECE:
            converted.append(stream.convert(payload))
        else:
            together.append((stream, payload))
            streams.add(stream)
    return converted + _UP_ROWS.convert(together)


class _Rows:
    """Where pieces of streams are filtered, a row for each: what came before it, the piece, and room for the next row.

    Made once and filled again and again, so that a stream keeps a FIR's length and no more. What is left of earlier
    pieces is stale and harmless: it meets taps of zero, or makes outputs that are cut off.
    """

    def __init__(self, banded: NDArray[np.float64], longest: int, count: int) -> None:
        """`longest`: samples in a piece; `count`: rows."""
        width = len(banded)
        self._banded, self._held = banded, width - _BLOCK
        self._blocks = -(-(self._held + longest) // _BLOCK)
        self._size = size = self._blocks * _BLOCK
        line = np.zeros(count * size + width)
        step = line.itemsize
        self._windows = np.ndarray((count * self._blocks, width), np.float64, line, strides=(_BLOCK * step, step))
        column = line[:, np.newaxis]
        self._before = [column[at : at + self._held] for at in range(0, count * size, size)]
        self._piece = [column[at + self._held : at + size] for at in range(0, count * size, size)]
        self._whole = [column[at : at + size] for at in range(0, count * size, size)]

    def convert(self, work: Sequence[tuple[Upsampler, bytes]]) -> list[bytes]:
        """Convert at most `count` payloads, each of another stream and no longer than a piece."""
        if not work:
            return []
        samples = _UP_INPUT.take(np.frombuffer(b"".join([payload for _, payload in work]), np.uint8), 0)
        pieces, at = [], 0
        for stream, payload in work:
            pieces.append(stream.rate.resample_chunk(samples[at : at + len(payload)]))
            at += len(payload)
        return self.filter([stream for stream, _ in work], pieces)

    def filter(self, streams: Sequence[Upsampler], pieces: Sequence[NDArray[np.int32]]) -> list[bytes]:
        """Filter the next samples of each stream; gives PCM16."""
        for row, stream in enumerate(streams):
            length = len(pieces[row])
            self._before[row][...] = stream.before
            self._piece[row][:length] = pieces[row]
            stream.before[...] = self._whole[row][length : length + self._held]
        # `dot` gathers the overlapping windows and calls BLAS; before NumPy 2.3 `@` would loop instead.
        filtered: NDArray[np.float64] = self._windows[: len(streams) * self._blocks].dot(self._banded)
        pcm = _to_pcm16(filtered).astype(_PCM16, copy=False).tobytes()
        results: list[bytes] = []
        for row, stream in enumerate(streams):
            start = 2 * row * self._size
            length = len(pieces[row])
            begin = min(stream.unborn, length)
            stream.unborn -= begin
            results.append(pcm[start + 2 * begin : start + 2 * length])
        return results


_UP_TOGETHER: Final = 6  # streams; BLAS would spread a greater product over threads
# soxr rounds its step of a third of a sample: after some thirty hours it gives one sample more. Room for it.
_UP_ROWS: Final = _Rows(_UP_BANDED, _UP_PIECE * _RATIO + _BLOCK // 2, _UP_TOGETHER)


class Downsampler:
    """One stream of PCM16 24 kHz to mu-law 8 kHz. It holds back 1.25 ms and takes about 60 KiB, mostly soxr's."""

    __slots__ = ("_fir", "_odd", "_rate")

    def __init__(self) -> None:
        self._rate = soxr.ResampleStream(_MODEL_HZ, _PHONE_HZ, 1, dtype="float32", quality="QQ")
        self._fir = _Fir(_DOWN_BANDED, _DOWN_PIECE)
        self._odd = b""

    def convert(self, payload: bytes) -> bytes:
        """Convert the next n bytes of little-endian PCM16; gives about n / 6 bytes of mu-law.

        A payload may end within a sample; the odd byte waits for the next payload.
        """
        payload = self._odd + payload
        whole = len(payload) & ~1
        self._odd = payload[whole:]
        samples = np.frombuffer(payload, _PCM16, whole // 2)
        return b"".join(self._piece(samples[at : at + _DOWN_PIECE]) for at in range(0, len(samples), _DOWN_PIECE))

    def flush(self) -> bytes:
        """End the utterance: give what was held back, and be ready for the next one. Half a sample is dropped."""
        last = self._fir.flush().astype(np.float32)[:, np.newaxis]
        tail = _to_pcm16(self._rate.resample_chunk(last, last=True)[:, 0])
        self.reset()
        return g711.encode(tail)

    def reset(self) -> None:
        """Drop what was held back; the next payload starts a new stream."""
        self._rate.clear()
        self._fir.reset()
        self._odd = b""

    def _piece(self, samples: NDArray[np.int16]) -> bytes:
        filtered = self._fir.feed(samples).astype(np.float32)[:, np.newaxis]
        return g711.encode(_to_pcm16(self._rate.resample_chunk(filtered)[:, 0]))
