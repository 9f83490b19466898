"""The key that seals recordings, as the operator writes it."""

from __future__ import annotations

import base64
import binascii

KEY_BYTES = 32


def read_key(text: str) -> bytes:
    """A key as the operator writes it: base64 of 32 bytes.

    Raises:
        ValueError: it is none.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError("is no base64 of 32 bytes")
    return key
