"""G.711 mu-law, the encoding of the telephone line (ITU-T G.711), by table.

A code is a sign bit, three bits of segment (the position of the highest set bit) and four bits of what follows it,
all complemented. The encoder is the classic one that saturates at 32635, adds the bias 132 to the magnitude and
truncates, so it is symmetric about zero; `audioop.lin2ulaw` differs from it in 381 of the 65,536 samples, all negative.

A 20 ms frame costs 2 us to decode and 2 us to encode; building the tables costs 2 ms at import.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

SILENCE: Final = b"\xff"
"""One sample of silence (+0). `SILENCE * n` is n / 8 milliseconds of it."""

_BIAS: Final = 132
_LIMIT: Final = 32635


def _decode_table() -> NDArray[np.int16]:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = (((code & 0x0F) << 3) + _BIAS << (code >> 4 & 7)) - _BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _encode_table() -> NDArray[np.uint8]:
    """The code of each sample, indexed by the sample's 16 bits read as an unsigned number."""
    magnitude = np.minimum(np.arange(32769, dtype=np.int32), _LIMIT) + _BIAS
    segment = np.frexp(magnitude)[1] - 8  # highest set bit, 7..14, as 0..7
    positive = (~(segment << 4 | magnitude >> segment + 3 & 0x0F) & 0xFF).astype(np.uint8)
    return np.concatenate((positive[:32768], positive[:0:-1] & 0x7F))  # 0..32767, then -32768..-1


_DECODE: Final = _decode_table()
_ENCODE: Final = _encode_table()


def decode(payload: bytes) -> NDArray[np.int16]:
    """Expand mu-law to PCM16 (ITU-T G.711).

    Args:
        payload: n bytes, 8 kHz mono.

    Returns:
        array of shape (n,), range ±32124.
    """
    return _DECODE.take(np.frombuffer(payload, np.uint8))


def encode(samples: NDArray[np.int16]) -> bytes:
    """Compress PCM16 to mu-law (ITU-T G.711).

    Args:
        samples: array of shape (n,), native byte order, 8 kHz mono.

    Returns:
        n bytes. `encode(decode(code))` is `code` for every code but 0x7F (-0), which becomes 0xFF (+0).
    """
    return _ENCODE.take(samples.view(np.uint16)).tobytes()
