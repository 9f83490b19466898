"""What a client may send, and the form of what it is sent."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.errors import RealtimeMessageError
from voicebot.web.messages import (
    LONGEST_TEXT,
    Audio,
    HangUp,
    Keys,
    Message,
    Played,
    Text,
    audio_message,
    event_message,
    parse,
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type":"audio","audio":"AAEC"}', Audio(b"\0\1\2")),
        ('{"type":"audio","audio":""}', Audio(b"")),
        ('{"type":"played","epoch":0,"ms":12.5}', Played(0, 12.5)),
        ('{"type":"played","epoch":3,"ms":12,"more":1}', Played(3, 12.0)),
        ('{"type":"text","text":"  Hello  "}', Text("Hello")),
        ('{"type":"keys","keys":"12#"}', Keys("12#")),
        ('{"type":"hang_up"}', HangUp()),
        ('{"type":"of a later version"}', None),
    ],
)
def test_messages_are_read(text: str, message: Message | None) -> None:
    assert parse(text.encode()) == message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"type":1}',
        '{"type":"audio"}',
        '{"type":"audio","audio":"A"}',
        '{"type":"audio","audio":"A A="}',
        '{"type":"played","epoch":0}',
        '{"type":"played","epoch":0,"ms":-1}',
        '{"type":"played","epoch":0,"ms":true}',
        '{"type":"played","epoch":0.5,"ms":1}',
        '{"type":"played","epoch":0,"ms":' + "9" * 400 + "}",
        '{"type":"text","text":"   "}',
        '{"type":"text","text":"' + "x" * (LONGEST_TEXT + 1) + '"}',
        '{"type":"keys","keys":""}',
        '{"type":"keys","keys":"12 3"}',
        '{"type":"keys","keys":"' + "1" * 33 + '"}',
        "[" * 100_000,
    ],
)
def test_what_is_malformed_is_refused(text: str) -> None:
    with pytest.raises(RealtimeMessageError):
        parse(text.encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    try:
        parse(text)
    except RealtimeMessageError as exc:
        assert str(exc)


@given(
    st.dictionaries(
        st.sampled_from(["type", "audio", "epoch", "ms", "text", "keys"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=9)
        | st.sampled_from(["audio", "played"]),
    )
)
def test_any_object_is_read_or_refused(made: dict[str, object]) -> None:
    try:
        parse(json.dumps(made).encode())
    except RealtimeMessageError as exc:
        assert str(exc)


@given(st.binary(max_size=100))
def test_audio_in_json_is_read_as_it_was_written(payload: bytes) -> None:
    assert parse(audio_message(payload).encode()) == Audio(payload)


def test_events_are_objects_with_a_type() -> None:
    assert json.loads(event_message("phase", name="bye")) == {"type": "phase", "name": "bye"}
