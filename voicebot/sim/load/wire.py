"""JSON of the load's own messages, by orjson where it is installed: what it takes is the load's time, not the server's.

A message that does not parse is a failure of the server under load; whoever reads counts it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

try:
    import orjson
except ImportError:

    def read(text: bytes) -> dict[str, Any]:
        """Read a message.

        Raises:
            ValueError: it is no JSON.
        """
        message: dict[str, Any] = json.loads(text)
        return message

    def write(message: Mapping[str, object]) -> bytes:
        """Write a message."""
        return json.dumps(message, separators=(",", ":")).encode()

else:

    def read(text: bytes) -> dict[str, Any]:
        """Read a message.

        Raises:
            ValueError: it is no JSON.
        """
        message: dict[str, Any] = orjson.loads(text)
        return message

    def write(message: Mapping[str, object]) -> bytes:
        """Write a message."""
        return orjson.dumps(message)


def decoded_size(base64_text: str) -> int:
    """Bytes that a piece of base64 stands for."""
    return len(base64_text) // 4 * 3 - (base64_text[-1:] == "=") - (base64_text[-2:-1] == "=")
