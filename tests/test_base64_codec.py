"""One behaviour of base64, with and without pybase64."""

from __future__ import annotations

import base64
import importlib.util
import sys
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot import base64_codec


def _load_without_pybase64() -> ModuleType:
    spec = importlib.util.spec_from_file_location("base64_codec_plain", base64_codec.__file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pybase64", None)
        spec.loader.exec_module(module)
    return module


PLAIN = _load_without_pybase64()
BOTH = pytest.mark.parametrize("codec", [base64_codec, PLAIN], ids=["installed", "plain"])


@BOTH
@given(payload=st.binary(max_size=400))
def test_bytes_come_back_as_they_were(codec: ModuleType, payload: bytes) -> None:
    text = codec.encode(payload)
    assert text == base64.b64encode(payload).decode()
    assert codec.decode(text) == payload


@BOTH
@pytest.mark.parametrize(
    "text",
    ["YQ=", "YQ", "YQ= =", "YQ==\n", " YQ==", "YW-_", "é", "YQ==YQ==", "Y Q==", "====", "A===", "\0", "YQ\u200b=="],
)
def test_anything_else_is_refused(codec: ModuleType, text: str) -> None:
    with pytest.raises(ValueError):
        codec.decode(text)


@given(text=st.text(st.sampled_from("Aa9+/=-_ \né"), max_size=12))
def test_both_refuse_the_same(text: str) -> None:
    assert _outcome(base64_codec, text) == _outcome(PLAIN, text)


def _outcome(codec: ModuleType, text: str) -> bytes | None:
    try:
        decoded: bytes = codec.decode(text)
    except ValueError:
        return None
    return decoded
