"""G.711 mu-law as ITU-T writes it: the twin's own, which shares no mistake with the product's codec."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BIAS = 132  # 33 in the 14-bit numbers of ITU-T G.711, here in 16-bit ones
_LARGEST = 32635  # beyond this magnitude plus bias no longer fits 15 bits


def _expand(code: NDArray[np.int32]) -> NDArray[np.int16]:
    """±(((16 + mantissa) · 2 + 1) · 2^exponent - 33) in 14-bit numbers; bits travel inverted."""
    bits = ~code & 0xFF
    exponent, mantissa = bits >> 4 & 7, bits & 15
    magnitude = ((mantissa << 3) + _BIAS << exponent) - _BIAS
    return np.where(bits & 0x80, -magnitude, magnitude).astype(np.int16)


def _compress(sample: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Sign, the segment (exponent) of the biased magnitude, and the four bits below its leading one, inverted."""
    magnitude = np.minimum(np.abs(sample), _LARGEST) + _BIAS
    exponent = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    mantissa = magnitude >> exponent + 3 & 15
    sign = np.where(sample < 0, 0x80, 0)
    bits: NDArray[np.int32] = sign | exponent << 4 | mantissa
    return (~bits & 0xFF).astype(np.uint8)


_DECODE = _expand(np.arange(256, dtype=np.int32))
_ENCODE = _compress(np.arange(65_536, dtype=np.uint16).view(np.int16).astype(np.int32))


def decode(payload: bytes) -> NDArray[np.int16]:
    """Expand n bytes of mu-law to n PCM16 samples, range ±32124 (ITU-T G.711)."""
    return _DECODE[np.frombuffer(payload, dtype=np.uint8)]


def encode(samples: NDArray[np.int16]) -> bytes:
    """Compress PCM16 samples to mu-law, one byte each (ITU-T G.711)."""
    return _ENCODE[np.ascontiguousarray(samples, dtype=np.int16).view(np.uint16)].tobytes()
