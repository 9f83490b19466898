"""Server events: every sample, every malformation, every name."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.call.ports import ToolCall, Usage
from voicebot.errors import RealtimeEventError
from voicebot.realtime import server_events as wire
from voicebot.realtime.server_events import parse

SAMPLES = Path(__file__).parents[1] / "samples"
RESPONSE_ID = "resp_C9G8p7IH2WxLbkgPNouYL"
USER_ITEM = "item_C9G8pUser000000000001"
BOT_ITEM = "item_C9G8pAssistant00000001"
USAGE = Usage(input_text=119, input_audio=13, cached_text=64, output_text=30, output_audio=91)

# What we act on; every other sample is None on purpose.
READ = {
    "conversation.item.input_audio_transcription.completed": wire.TranscriptionCompleted(
        USER_ITEM, "Hi, I need to move my appointment."
    ),
    "conversation.item.input_audio_transcription.completed_duration": wire.TranscriptionCompleted(
        USER_ITEM, "Hi, I need to move my appointment."
    ),
    "conversation.item.input_audio_transcription.failed": wire.TranscriptionFailed(USER_ITEM, "audio_unintelligible"),
    "error_active_response": "conversation_already_has_active_response",
    "error_beta_shape": "beta_api_shape_disabled",
    "error_cancel_not_active": "response_cancel_not_active",
    "error_cannot_update_voice": "cannot_update_voice",
    "error_commit_empty": "input_audio_buffer_commit_empty",
    "error_server": "server_error",
    "error_session_expired": "session_expired",
    "error_truncate_too_long": "invalid_value",
    "error_unknown_event_type": "invalid_value",
    "input_audio_buffer.committed": wire.BufferCommitted(USER_ITEM),
    "input_audio_buffer.speech_started": wire.SpeechStarted(USER_ITEM, 4180),
    "input_audio_buffer.speech_stopped": wire.SpeechStopped(USER_ITEM, 6240),
    "response.created": wire.ResponseCreated(RESPONSE_ID, {}, in_conversation=True),
    "response.done_cancelled_client": "cancelled",
    "response.done_cancelled_turn_detected": "cancelled",
    "response.done_completed": wire.ResponseDone(
        RESPONSE_ID, {}, "completed", (), "Of course. May I have your name?", USAGE, None, None
    ),
    "response.done_failed_rate_limit": wire.ResponseDone(
        RESPONSE_ID, {}, "failed", (), "", None, "rate_limit_exceeded", "Rate limit reached."
    ),
    "response.done_function_call": wire.ResponseDone(
        RESPONSE_ID,
        {},
        "completed",
        (ToolCall("call_sHlR7iaFwQ2YQOqm", "set_phase", '{"phase":"collect"}'),),
        "",
        Usage(input_text=119, input_audio=13, cached_text=64, output_text=17),
        None,
        None,
    ),
    "response.done_incomplete_content_filter": "incomplete",
    "response.done_incomplete_max_tokens": "incomplete",
    "response.done_out_of_band_text": "completed",
    "response.output_audio.done": wire.OutputAudioDone(RESPONSE_ID, BOT_ITEM),
    "response.output_audio_transcript.delta": wire.OutputTranscriptDelta(RESPONSE_ID, BOT_ITEM, "Of course."),
    "response.output_audio_transcript.done": wire.OutputTranscriptDone(
        RESPONSE_ID, BOT_ITEM, "Of course. May I have your name?"
    ),
    "response.output_text.delta": wire.OutputTranscriptDelta(RESPONSE_ID, BOT_ITEM, "The caller wants"),
    "response.output_text.done": wire.OutputTranscriptDone(
        RESPONSE_ID, BOT_ITEM, "The caller wants to move an appointment."
    ),
    "session.created": wire.SessionCreated("sess_C9G8l3zp50uFv4qgxfJ8o", 1795332671.0),
    "session.updated": wire.SessionUpdated(1795332671.0),
}


def sample(name: str) -> dict[str, object]:
    event = json.loads((SAMPLES / "openai_server" / f"{name}.json").read_text())
    assert isinstance(event, dict)
    return event


def edited(name: str, **fields: object) -> str:
    return json.dumps({**sample(name), **fields})


def done(**fields: object) -> wire.ResponseDone:
    event = parse(json.dumps({"type": "response.done", "response": {"id": "r", "status": "completed", **fields}}))
    assert isinstance(event, wire.ResponseDone)
    return event


@pytest.mark.parametrize("path", sorted((SAMPLES / "openai_server").glob("*.json")), ids=lambda path: path.stem)
def test_every_sample_is_read_as_expected(path: Path) -> None:
    event = parse(path.read_text())
    if path.stem == "response.output_audio.delta":
        assert isinstance(event, wire.OutputAudioDelta)
        assert (event.response_id, event.item_id, len(event.payload)) == (RESPONSE_ID, BOT_ITEM, 960)
    elif isinstance(event, wire.ErrorReported):
        assert event.code == READ[path.stem]
    elif isinstance(event, wire.ResponseDone) and isinstance(READ[path.stem], str):
        assert event.status == READ[path.stem]
    else:
        assert event == READ.get(path.stem)


@pytest.mark.parametrize("path", sorted((SAMPLES / "sequences").glob("*.json")), ids=lambda path: path.stem)
def test_every_server_event_of_a_sequence_parses(path: Path) -> None:
    steps = [step["event"] for step in json.loads(path.read_text()) if step["dir"] == "server"]
    kinds = [type(parse(json.dumps(event))).__name__ for event in steps]
    assert "ResponseDone" in kinds


def test_bytes_are_read_like_text() -> None:
    text = edited("session.updated")
    assert parse(text.encode()) == parse(text)


def test_error_keeps_what_ties_it_to_its_cause() -> None:
    assert parse(edited("error_cannot_update_voice")) == wire.ErrorReported(
        kind="invalid_request_error",
        code="cannot_update_voice",
        message="Cannot update a conversation's voice if assistant audio is present.",
        param="session.audio.output.voice",
        event_id="evt_cli_0001",
    )


def test_error_without_code_gives_its_type() -> None:
    event = parse('{"type":"error","error":{"type":"server_error","code":null,"message":"oops"}}')
    assert isinstance(event, wire.ErrorReported)
    assert (event.code, event.reason) == (None, "server_error")


@pytest.mark.parametrize(
    ("beta", "ga"),
    [
        ("response.audio.delta", "response.output_audio.delta"),
        ("response.audio.done", "response.output_audio.done"),
        ("response.audio_transcript.delta", "response.output_audio_transcript.delta"),
        ("response.audio_transcript.done", "response.output_audio_transcript.done"),
        ("response.text.delta", "response.output_text.delta"),
        ("response.text.done", "response.output_text.done"),
    ],
)
def test_beta_names_are_read_as_ga(beta: str, ga: str) -> None:
    assert parse(edited(ga, type=beta)) == parse(edited(ga))


@pytest.mark.parametrize("kind", ["conversation.item.created", "output_audio_buffer.started", ""])
def test_unused_and_unknown_types_are_none(kind: str) -> None:
    assert parse(json.dumps({"type": kind})) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "null",
        '"session.created"',
        "{}",
        '{"type": 1}',
        '{"type": null}',
        '{"type": "session.created"}',
        '{"type": "session.updated", "session": []}',
        '{"type": "error"}',
        '{"type": "error", "error": "bad"}',
        '{"type": "response.created", "response": {}}',
        '{"type": "response.done", "response": {"status": "completed"}}',
        '{"type": "response.done", "response": {"id": 7}}',
        '{"type": "input_audio_buffer.committed", "item_id": null}',
        '{"type": "input_audio_buffer.speech_started", "item_id": "i"}',
        '{"type": "input_audio_buffer.speech_started", "item_id": "i", "audio_start_ms": "4180"}',
        '{"type": "input_audio_buffer.speech_started", "item_id": "i", "audio_start_ms": true}',
        '{"type": "input_audio_buffer.speech_stopped", "item_id": "i", "audio_end_ms": -1}',
        '{"type": "response.output_audio.delta", "response_id": "r", "item_id": "i"}',
        '{"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": "****"}',
        '{"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": "AAA"}',
        '{"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": "è"}',
        '{"type": "response.output_audio_transcript.done", "response_id": "r", "item_id": "i"}',
        '{"type": "response.output_text.delta", "response_id": "r", "item_id": "i"}',
        '{"type": "response.output_text.done", "response_id": "r", "item_id": "i", "transcript": "t"}',
    ],
)
def test_malformed_events_are_refused(text: str) -> None:
    with pytest.raises(RealtimeEventError):
        parse(text)


def test_refusal_names_type_and_field() -> None:
    with pytest.raises(RealtimeEventError, match=r"input_audio_buffer\.committed has no text 'item_id'"):
        parse('{"type": "input_audio_buffer.committed"}')


@pytest.mark.parametrize(
    ("response", "in_conversation", "metadata"),
    [
        ({"id": "r", "conversation_id": "conv_1", "metadata": {"reply": "a"}}, True, {"reply": "a"}),
        ({"id": "r", "conversation_id": None, "metadata": {"clip": "k", "n": 1}}, False, {"clip": "k"}),
        ({"id": "r", "metadata": None}, True, {}),
        ({"id": "r", "metadata": ["reply"]}, True, {}),
    ],
)
def test_created_tells_metadata_and_conversation(
    response: dict[str, object], in_conversation: bool, metadata: dict[str, str]
) -> None:
    event = parse(json.dumps({"type": "response.created", "response": response}))
    assert event == wire.ResponseCreated("r", metadata, in_conversation)


def test_only_complete_calls_are_kept_in_order() -> None:
    def call(number: int, **more: object) -> dict[str, object]:
        return {"type": "function_call", "call_id": f"c{number}", "name": "f", "arguments": "{}", **more}

    output = [
        call(1, status="completed"),
        {"type": "message", "content": [{"type": "output_audio", "transcript": "One moment."}]},
        call(2, status="incomplete"),
        call(3, status="in_progress"),
        call(4),
        {"type": "function_call", "call_id": "c5", "name": "f", "status": "completed"},
        {"type": "mcp_call"},
        "rubbish",
    ]
    assert [made.call_id for made in done(output=output).calls] == ["c1", "c4"]
    assert [made.call_id for made in done(output=output, status="cancelled").calls] == ["c1"]


def test_words_of_two_messages_are_joined() -> None:
    output = [
        {"type": "message", "content": [{"type": "output_audio", "transcript": "Let me look."}, None]},
        {"type": "message", "content": [{"type": "output_audio", "transcript": ""}, {"type": "text", "text": "Yes."}]},
        {"type": "message", "content": [{"type": "output_audio", "transcript": None}]},
    ]
    assert done(output=output).words == "Let me look. Yes."


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"status": "failed", "status_details": {"error": {"type": "server_error"}}}, "failed", "server_error"),
        ({"status": "failed", "status_details": None}, "failed", "failed"),
        ({"status": "incomplete", "status_details": {"reason": "content_filter"}}, "incomplete", "content_filter"),
        ({"status": "cancelled", "status_details": {"reason": "turn_detected"}}, "cancelled", None),
        ({"status": "in_progress"}, "failed", "failed"),
        ({"status": 3}, "failed", "failed"),
    ],
)
def test_outcome_of_a_response_is_told(fields: dict[str, object], status: str, code: str | None) -> None:
    event = done(**fields)
    assert (event.status, event.error_code) == (status, code)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, None),
        ({}, Usage()),
        ({"input_token_details": {"text_tokens": 9, "cached_tokens": 4}}, Usage(input_text=9, cached_text=4)),
        (
            {
                "input_token_details": {
                    "audio_tokens": 9,
                    "cached_tokens": 4,
                    "cached_tokens_details": {"text_tokens": 1, "audio_tokens": 3},
                },
                "output_token_details": {"audio_tokens": 7, "text_tokens": None},
            },
            Usage(input_audio=9, cached_text=1, cached_audio=3, output_audio=7),
        ),
        ({"input_token_details": {"text_tokens": -3, "audio_tokens": True}}, Usage()),
    ],
)
def test_usage_counts_each_modality(usage: object, expected: Usage | None) -> None:
    assert done(usage=usage).usage == expected


@pytest.mark.parametrize("expires_at", [None, "soon", 0, -1, True, 1e300])
def test_odd_expiry_is_unknown(expires_at: object) -> None:
    assert parse(json.dumps({"type": "session.updated", "session": {"expires_at": expires_at}})) == wire.SessionUpdated(
        None
    )


@settings(deadline=None)
@given(st.binary(max_size=500))
def test_audio_survives_base64(payload: bytes) -> None:
    delta = b64encode(payload).decode()
    text = json.dumps({"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": delta})
    assert parse(text) == wire.OutputAudioDelta("r", "i", payload)


KINDS = sorted({str(sample(path.stem)["type"]) for path in (SAMPLES / "openai_server").glob("*.json")})
FIELDS = ["response", "session", "error", "item_id", "response_id", "delta", "transcript", "audio_start_ms", "output"]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*FIELDS, "id", "status", "metadata", "usage", "type"]), inner, max_size=5)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES))
def test_any_fields_are_read_or_refused(kind: str, fields: dict[str, object]) -> None:
    try:
        parse(json.dumps({**fields, "type": kind}))
    except RealtimeEventError:
        return


@settings(deadline=None)
@given(st.text(max_size=50) | st.binary(max_size=50))
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    try:
        parse(text)
    except RealtimeEventError:
        return
