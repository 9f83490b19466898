"""JSON with one behaviour, whether orjson is installed or not.

What RFC 8259 does not allow is a `ValueError` in both directions: NaN and infinities, lone surrogates, a byte order
mark, values JSON has no form for, nesting too deep to read. Text is compact and not escaped to ASCII.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Final, NoReturn

try:
    import orjson
except ImportError:
    _FAST = False
else:
    _FAST = True


def _plain_loads(text: str | bytes) -> object:
    try:
        if isinstance(text, bytes):
            text = text.decode()
        value: object = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()  # an escaped lone surrogate would fail far from here
    except RecursionError as exc:
        raise ValueError("JSON is nested too deep") from exc
    return value


def _plain_dumps(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()  # refuses lone surrogates, which would fail at the socket
    except (TypeError, RecursionError) as exc:
        raise ValueError(f"value has no JSON form: {exc}") from exc
    return text


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError("number is too large for a double")
    return value


def _refuse_non_finite(value: object) -> None:
    if isinstance(value, dict):
        for inner in value.values():
            _refuse_non_finite(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_non_finite(inner)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("NaN and infinities are not JSON")


if _FAST:
    # The standard library has no form for these, so neither do we.
    _LIKE_STDLIB = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME

    _loads: Callable[[str | bytes], object] = orjson.loads

    def dumps(value: object) -> str:
        """Write one value of dicts with string keys, lists, tuples, strings, finite numbers, bools and None.

        Raises:
            ValueError: the value has no JSON form.
        """
        try:
            encoded = orjson.dumps(value, option=_LIKE_STDLIB)
        except TypeError:  # also integers over 64 bits, which JSON allows
            return _plain_dumps(value)
        if b"null" in encoded:  # orjson writes NaN so
            _refuse_non_finite(value)
        return encoded.decode()

else:
    _loads = _plain_loads
    dumps = _plain_dumps

loads: Final = _loads
"""Read one JSON value; bytes are UTF-8. ValueError if the text is not JSON, or nested too deep."""
