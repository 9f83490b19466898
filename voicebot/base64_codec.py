"""Base64 with one behaviour, whether pybase64 is installed or not: RFC 4648, padded, no line breaks, strict.

Every frame of audio passes here: pybase64 takes 0.4 us for 20 ms of PCM16, the standard library 1.7 us.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from functools import partial
from typing import Final

try:
    import pybase64
except ImportError:
    _FAST = False
else:
    _FAST = True


def _plain_encode(payload: bytes) -> str:
    return b2a_base64(payload, newline=False).decode("ascii")


def _plain_decode(text: str) -> bytes:
    return a2b_base64(text, strict_mode=True)


if _FAST:
    # No functions of ours around the library's: a call costs half of what the work does.
    _encode: Callable[[bytes], str] = pybase64.b64encode_as_string
    _decode: Callable[[str], bytes] = partial(pybase64.b64decode, validate=True)
else:
    _encode, _decode = _plain_encode, _plain_decode

encode: Final = _encode
"""Write bytes as base64."""

decode: Final = _decode
"""Read base64; ValueError if the text is not base64, whole and with its padding."""
