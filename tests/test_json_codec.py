"""One behaviour of JSON, with and without orjson."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot import json_codec


def _load_without_orjson() -> ModuleType:
    spec = importlib.util.spec_from_file_location("json_codec_plain", json_codec.__file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    kept = sys.modules.get("orjson")
    sys.modules["orjson"] = None  # type: ignore[assignment]
    try:
        spec.loader.exec_module(module)
    finally:
        if kept is None:
            del sys.modules["orjson"]
        else:
            sys.modules["orjson"] = kept
    return module


PLAIN = _load_without_orjson()
BOTH = pytest.mark.parametrize("codec", [json_codec, PLAIN], ids=["installed", "plain"])

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@dataclass
class Point:
    x: int


@BOTH
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1,]",
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1e999",
        '"\x01"',
        "\ufeff1",
        '"\\ud800"',
        '{"a": "\\uDC00 alone"}',
        "[" * 100_000,
        b"\xff\xfe1\x00",
        b'"\xff"',
    ],
    ids=lambda text: repr(text[:12]),
)
def test_malformed_text_is_always_value_error(codec: ModuleType, text: str | bytes) -> None:
    with pytest.raises(ValueError):
        codec.loads(text)


@BOTH
@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        {"a": [float("inf")]},
        (-float("inf"),),
        {"a": None, "b": float("nan")},
        object(),
        b"bytes",
        Point(1),
        datetime(2026, 1, 1, tzinfo=UTC),
        "\ud800",
        {"k": "\udc00"},
    ],
)
def test_values_without_json_form_are_refused(codec: ModuleType, value: object) -> None:
    with pytest.raises(ValueError):
        codec.dumps(value)


@BOTH
def test_circular_value_is_value_error(codec: ModuleType) -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(ValueError):
        codec.dumps(loop)


@BOTH
def test_text_is_compact_and_not_escaped(codec: ModuleType) -> None:
    assert codec.dumps({"name": "Zoë", "n": [1, None, (2.5,)]}) == '{"name":"Zoë","n":[1,null,[2.5]]}'


@BOTH
def test_integers_over_64_bits_are_written_whole(codec: ModuleType) -> None:
    assert codec.dumps({"n": 10**30}) == '{"n":1000000000000000000000000000000}'


@BOTH
def test_bytes_are_read_as_utf8(codec: ModuleType) -> None:
    assert codec.loads('{"è": "\\ud83d\\ude00"}'.encode()) == {"è": "😀"}


def test_plain_copy_does_not_use_orjson() -> None:
    assert PLAIN.loads.__name__ == "_plain_loads"


@settings(deadline=None)
@given(JSON_VALUES)
def test_every_value_survives_both_codecs(value: object) -> None:
    assert json.loads(json_codec.dumps(value)) == json.loads(PLAIN.dumps(value)) == value
    assert PLAIN.loads(json_codec.dumps(value)) == value


@settings(deadline=None)
@given(st.text(max_size=60) | st.binary(max_size=60))
def test_any_input_is_read_or_value_error(text: str | bytes) -> None:
    for codec in (json_codec, PLAIN):
        try:
            codec.loads(text)
        except ValueError:
            continue
