"""The codec of Media Streams: every sample both ways, and nothing but `MediaStreamError` for what is malformed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.errors import MediaStreamError
from voicebot.telephony.media_streams import (
    Connected,
    Dtmf,
    Mark,
    Media,
    Message,
    Start,
    Stop,
    clear_message,
    mark_message,
    media_message,
    parse,
)

SAMPLES = Path(__file__).parents[1] / "samples" / "twilio"
STREAM = "MZfedcba0987654321fedcba0987654321"
CALL = "CA1234567890abcdef1234567890abcdef"
ACCOUNT = "AC00000000000000000000000000000001"


def sample(name: str) -> str:
    return (SAMPLES / f"{name}.json").read_text()


def media(**fields: object) -> str:
    return json.dumps({"event": "media", "streamSid": STREAM, "media": {"payload": "AAAA", "timestamp": "5", **fields}})


def start(**fields: object) -> str:
    message = json.loads(sample("from_start"))
    message["start"].update(fields)
    return json.dumps(message)


def without(text: str, *path: str) -> str:
    message = json.loads(text)
    inner = message
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return json.dumps(message)


def test_every_sample_message_parses() -> None:
    expected: dict[str, Message] = {
        "from_connected": Connected(),
        "from_start": Start(STREAM, CALL, ACCOUNT, {"token": "k3JmX0m2QmW7c1v9", "direction": "inbound"}),
        "from_dtmf": Dtmf("1"),
        "from_mark": Mark("resp_C9G8p7IH2WxLbkgPNouYL:0:1500"),
        "from_stop": Stop(),
    }
    for name, message in expected.items():
        assert parse(sample(name)) == message
        assert parse(sample(name), STREAM) == message


def test_media_sample_gives_160_bytes() -> None:
    message = parse(sample("from_media"), STREAM)
    assert isinstance(message, Media)
    assert (len(message.payload), message.timestamp_ms) == (160, 121)
    assert message.payload[:3] == b"\xff\xb9\xab"


def test_written_messages_equal_the_samples() -> None:
    heard = parse(sample("from_media"))
    assert isinstance(heard, Media)
    written = {
        "to_media": media_message(STREAM, heard.payload),
        "to_mark": mark_message(STREAM, "resp_C9G8p7IH2WxLbkgPNouYL:0:1500"),
        "to_clear": clear_message(STREAM),
    }
    for name, text in written.items():
        assert text == json.dumps(json.loads(sample(name)), separators=(",", ":"))


@given(st.binary(max_size=5000))
def test_written_audio_reads_back_unchanged(payload: bytes) -> None:
    written = json.loads(media_message(STREAM, payload))
    assert parse(media(payload=written["media"]["payload"])) == Media(payload, 5)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_written_mark_reads_back_unchanged(name: str) -> None:
    assert parse(mark_message(STREAM, name), STREAM) == Mark(name)


@pytest.mark.parametrize(
    "text",
    [
        '{"event": "an-event-of-next-year", "streamSid": "MZfedcba0987654321fedcba0987654321"}',
        '{"event": "clear"}',
        media(track="outbound"),
        '{"event": ""}',
    ],
)
def test_messages_without_use_are_skipped(text: str) -> None:
    assert parse(text, STREAM) is None


@pytest.mark.parametrize(
    "text",
    [
        media(timestamp=5),
        media(track="inbound", chunk="1"),
        without(media(), "streamSid"),
        media(payload="AAAA", later="field"),
    ],
)
def test_fields_we_do_not_use_may_vary(text: str) -> None:
    assert parse(text, STREAM) == Media(b"\0\0\0", 5)


def test_start_without_parameters_has_none() -> None:
    message = parse(without(sample("from_start"), "start", "customParameters"))
    assert isinstance(message, Start)
    assert message.parameters == {}


MALFORMED = [
    ("", "not valid JSON"),
    ("{", "not valid JSON"),
    ("\x00", "not valid JSON"),
    ('{"event": "stop"} trailing', "not valid JSON"),
    ('{"event": "mark", "mark": {"name": "\\ud800"}}', "not valid JSON"),
    ('{"event": "media", "media": {"timestamp": NaN}}', "not valid JSON"),
    ("[" * 100_000 + "]" * 100_000, "not valid JSON"),
    ('{"event":' * 5000 + "1" + "}" * 5000, "not valid JSON"),
    ("[]", "not a JSON object"),
    ("null", "not a JSON object"),
    ("1" * 300, "not a JSON object"),
    ('"media"', "not a JSON object"),
    ("{}", "no event name"),
    ('{"event": 1}', "no event name"),
    ('{"event": ["media"]}', "no event name"),
    ('{"event": null}', "no event name"),
    ('{"event": "media"}', "media is missing"),
    ('{"event": "media", "media": []}', "media is missing or not an object"),
    ('{"event": "media", "media": "AAAA"}', "media is missing or not an object"),
    (without(media(), "media", "payload"), "media.payload"),
    (media(payload=7), "media.payload"),
    (media(payload="A"), "not valid base64"),
    (media(payload="AAA"), "not valid base64"),
    (media(payload="AA=A"), "not valid base64"),
    (media(payload="AAAA\n"), "not valid base64"),
    (media(payload="AA_-"), "not valid base64"),
    (media(payload="AAA\u00e9"), "not valid base64"),
    (media(payload="%%%%"), "not valid base64"),
    (without(media(), "media", "timestamp"), "media.timestamp"),
    (media(timestamp="-1"), "media.timestamp"),
    (media(timestamp=-1), "media.timestamp"),
    (media(timestamp=1.5), "media.timestamp"),
    (media(timestamp=True), "media.timestamp"),
    (media(timestamp="1e3"), "media.timestamp"),
    (media(timestamp=" 5"), "media.timestamp"),
    (media(timestamp="1_000"), "media.timestamp"),
    (media(timestamp="\u0665"), "media.timestamp"),
    (media(timestamp=""), "media.timestamp"),
    (media(timestamp="9" * 10_000), "media.timestamp"),
    (media(timestamp=10**18), "media.timestamp"),
    (media(timestamp={"a": []}), "media.timestamp"),
    (media(track="sideways"), "media.track"),
    (media(track=1), "media.track"),
    ('{"event": "dtmf"}', "dtmf is missing"),
    ('{"event": "dtmf", "dtmf": {}}', "dtmf.digit"),
    ('{"event": "dtmf", "dtmf": {"digit": ""}}', "dtmf.digit"),
    ('{"event": "dtmf", "dtmf": {"digit": "12"}}', "dtmf.digit"),
    ('{"event": "dtmf", "dtmf": {"digit": "E"}}', "dtmf.digit"),
    ('{"event": "dtmf", "dtmf": {"digit": 1}}', "dtmf.digit"),
    ('{"event": "mark"}', "mark is missing"),
    ('{"event": "mark", "mark": {"name": 5}}', "mark.name"),
    ('{"event": "start"}', "start is missing"),
    (without(sample("from_start"), "start", "streamSid"), "start.streamSid"),
    (without(sample("from_start"), "start", "callSid"), "start.callSid"),
    (without(sample("from_start"), "start", "accountSid"), "start.accountSid"),
    (without(sample("from_start"), "start", "mediaFormat"), "start.mediaFormat"),
    (start(streamSid="MZ1"), "start.streamSid"),
    (start(streamSid='MZ","event":"clear","a":"0000000000'), "start.streamSid"),
    (start(streamSid=STREAM + "\n"), "start.streamSid"),
    (start(streamSid="MZ" + "0" * 32), "two values of streamSid"),
    (start(callSid="CA\n" + "0" * 31), "start.callSid"),
    (start(callSid=["CA"]), "start.callSid"),
    (start(mediaFormat={}), "start.mediaFormat.encoding is missing"),
    (start(mediaFormat={"encoding": "audio/opus"}), "start.mediaFormat.encoding is 'audio/opus'"),
    (start(mediaFormat={"encoding": "audio/x-mulaw", "sampleRate": 16000}), "sampleRate is 16000"),
    (start(mediaFormat={"encoding": "audio/x-mulaw", "sampleRate": 10**18}), "sampleRate is a huge number"),
    (start(mediaFormat={"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 2}), "channels is 2"),
    (start(mediaFormat={"encoding": [[[]]]}), "encoding is of type list"),
    (start(customParameters=[]), "customParameters"),
    (start(customParameters={"token": 5}), "customParameters"),
    (start(customParameters={"token": {"a": "b"}}), "customParameters"),
]


@pytest.mark.parametrize(("text", "problem"), MALFORMED)
def test_malformed_messages_name_their_problem(text: str, problem: str) -> None:
    with pytest.raises(MediaStreamError, match=problem.replace(".", r"\.")):
        parse(text)


@pytest.mark.parametrize("name", ["from_start", "from_media", "from_dtmf", "from_mark", "from_stop"])
def test_frames_of_another_stream_are_refused(name: str) -> None:
    with pytest.raises(MediaStreamError, match="not this stream's"):
        parse(sample(name), "MZ" + "0" * 32)


def test_errors_and_reprs_hold_no_content() -> None:
    secret = "c2VjcmV0IGF1ZGlv"
    with pytest.raises(MediaStreamError) as refused:
        parse(media(payload=secret, timestamp="x"))
    assert secret not in str(refused.value)
    assert "k3JmX0m2QmW7c1v9" not in repr(parse(sample("from_start")))
    assert "secret" not in repr(parse(media(payload=secret)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
NAMES = [
    "event", "streamSid", "media", "start", "mark", "dtmf", "payload", "timestamp", "track", "digit", "name",
    "mediaFormat", "encoding", "customParameters", "callSid", "accountSid",
]  # fmt: skip
SHAPED = st.recursive(
    JSON | st.sampled_from([STREAM, CALL, ACCOUNT, "inbound", "AAAA", "5", "audio/x-mulaw"]),
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=20,
)


def parse_or_refuse(text: str) -> None:
    """The property: whatever comes, a message, None, or the one documented error."""
    for stream_sid in (None, STREAM):
        try:
            parse(text, stream_sid)
        except MediaStreamError as exc:
            assert len(str(exc)) < 200


@given(st.text())
def test_any_text_parses_or_is_refused(text: str) -> None:
    parse_or_refuse(text)


@given(JSON)
def test_any_json_parses_or_is_refused(message: object) -> None:
    parse_or_refuse(json.dumps(message))


@given(st.sampled_from(["start", "media", "mark", "dtmf", "stop", "connected"]), SHAPED, SHAPED)
def test_any_shaped_message_parses_or_is_refused(event: str, inner: object, stream: object) -> None:
    parse_or_refuse(json.dumps({"event": event, event: inner, "streamSid": stream}))


@given(st.sampled_from(sorted(SAMPLES.glob("from_*.json"))), st.data())
def test_any_damage_parses_or_is_refused(path: Path, data: st.DataObject) -> None:
    text = path.read_text()
    at = data.draw(st.integers(0, len(text)))
    parse_or_refuse(text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 3)) :])
