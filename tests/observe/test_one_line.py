"""Words of strangers cannot pass for lines of the log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.observe.redaction import one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, naïve ☎ 電話", "plain words, naïve ☎ 電話"),
        ("a\r\n2026-01-01 INFO all is well", "a\\r\\n2026-01-01 INFO all is well"),
        ("\x1b[2Jgone\x07", "\\x1b[2Jgone\\x07"),
        ("\x9b31m\x85", "\\x9b31m\\x85"),
        ("\u2028\u2029\u202e", "\\u2028\\u2029\\u202e"),
        ("\ud800", "\\ud800"),
    ],
)
def test_control_characters_are_spelt_out(text: str, shown: str) -> None:
    assert one_line(text) == shown


@given(st.text(st.characters()))
def test_any_text_is_one_line_that_can_be_written(text: str) -> None:
    shown = one_line(text)
    assert len(shown.splitlines()) <= 1
    shown.encode()
    assert one_line(shown) == shown
