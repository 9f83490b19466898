"""The network's side of a Media Stream, told the time by hand."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.sim.line import MALFORMED_FRAMES, Frame, Line, LineFaults, StreamIdentity
from voicebot.sim.playout import FRAME_BYTES, Handset
from voicebot.sim.timeline import Played, is_audible

SAMPLES = Path(__file__).parents[1] / "samples" / "twilio"
STREAM = "MZfedcba0987654321fedcba0987654321"
IDENTITY = StreamIdentity(
    "AC00000000000000000000000000000001",
    "CA1234567890abcdef1234567890abcdef",
    STREAM,
    (("token", "k3JmX0m2QmW7c1v9"), ("direction", "inbound")),
)


class Bench:
    """A line under test and its clock, which begins at 100 s with the call."""

    def __init__(self, faults: LineFaults | None = None) -> None:
        self.handset = Handset(100.0)
        self.line = Line(IDENTITY, self.handset, faults)
        self.greeting = [json.loads(frame) for frame in self.line.open(100.0)]

    def at(self, ms: float, *frames: object) -> list[dict[str, object]]:
        """What the line says when these messages of the server come at `ms`."""
        now = 100.0 + ms / 1000
        said: list[Frame] = self.line.advance(now)
        for frame in frames:
            said += self.line.receive(frame if isinstance(frame, str | bytes) else json.dumps(frame), now)
        return [json.loads(frame) for frame in said]

    def marks_until(self, ms: float) -> list[str]:
        return names(self.at(ms))


def names(messages: list[dict[str, object]]) -> list[str]:
    return [message["mark"]["name"] for message in messages if message["event"] == "mark"]  # type: ignore[index]


def media(payload: bytes) -> dict[str, object]:
    return {"event": "media", "streamSid": STREAM, "media": {"payload": base64.b64encode(payload).decode()}}


def mark(name: str) -> dict[str, object]:
    return {"event": "mark", "streamSid": STREAM, "mark": {"name": name}}


CLEAR = {"event": "clear", "streamSid": STREAM}


def sample(name: str) -> dict[str, object]:
    loaded: dict[str, object] = json.loads((SAMPLES / name).read_text())
    return loaded


def shape(value: object) -> object:
    """Names and types, without what the values are."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return [shape(inner) for inner in value] if isinstance(value, list) else type(value)


# ---- what the line says -------------------------------------------------------------------------------------------


def test_greeting_equals_the_documented_samples() -> None:
    assert Bench().greeting == [sample("from_connected.json"), sample("from_start.json")]


def test_media_has_the_documented_shape() -> None:
    (said,) = Bench().at(20)
    assert shape(said) == shape(sample("from_media.json"))
    assert base64.b64decode(said["media"]["payload"]) == b"\xff" * FRAME_BYTES  # type: ignore[index]


def test_keys_marks_and_stop_have_the_documented_shape() -> None:
    bench = Bench()
    (key,) = [json.loads(frame) for frame in bench.line.press("1")]
    (echo,) = bench.at(0, mark("resp_C9G8p7IH2WxLbkgPNouYL:0:1500"))
    (stop,) = [json.loads(frame) for frame in bench.line.stop(100.0)]
    numbered = {"sequenceNumber": ""}
    assert key | numbered == sample("from_dtmf.json") | numbered
    assert echo | numbered == sample("from_mark.json") | numbered
    assert stop | numbered == sample("from_stop.json") | numbered


def test_sequence_numbers_count_from_start() -> None:
    bench = Bench()
    said = bench.greeting[1:] + bench.at(60) + bench.at(60, mark("a"))
    assert [message["sequenceNumber"] for message in said] == ["1", "2", "3", "4", "5"]


def test_media_comes_every_20_ms_with_chunk_and_timestamp() -> None:
    bench = Bench()
    assert bench.at(19.9) == []
    inner = [message["media"] for message in bench.at(100)]
    assert [(one["chunk"], one["timestamp"]) for one in inner] == [  # type: ignore[index]
        ("1", "0"), ("2", "20"), ("3", "40"), ("4", "60"), ("5", "80"),
    ]  # fmt: skip


def test_spoken_audio_goes_out_after_it_was_captured() -> None:
    bench = Bench()
    bench.at(40)
    assert bench.handset.say(b"\x10" * 200) == 40
    payloads = [base64.b64decode(message["media"]["payload"]) for message in bench.at(80)]  # type: ignore[index]
    assert payloads == [b"\x10" * 160, b"\x10" * 40 + b"\xff" * 120]
    assert bench.handset.spoken_tape[320:640] == payloads[0] + payloads[1]


def test_server_frames_of_the_samples_are_obeyed() -> None:
    bench = Bench()
    bench.at(0, *(sample(f"to_{event}.json") for event in ("media", "mark", "clear")))
    assert bench.line.violations == []
    assert bench.line.clears[0].marks == ("resp_C9G8p7IH2WxLbkgPNouYL:0:1500",)


# ---- playout ------------------------------------------------------------------------------------------------------


def test_playout_begins_at_the_next_border_and_keeps_order() -> None:
    bench = Bench()
    bench.at(5, media(b"\x01" * 100), media(b"\x02" * 200))
    bench.at(200)
    heard = bytes(bench.handset.heard_tape)
    assert heard == b"\xff" * 160 + b"\x01" * 100 + b"\x02" * 200 + b"\xff" * (1600 - 460)
    assert bench.line.record(100.2).played == (Played(20, 0, 300),)


@pytest.mark.parametrize(
    ("length", "echoed_ms"),
    [(1, 40), (159, 40), (160, 40), (161, 60), (320, 60), (8000, 1020)],
)
def test_mark_comes_back_when_its_audio_was_played(length: int, echoed_ms: float) -> None:
    bench = Bench()
    bench.at(10, media(b"\x01" * length), mark("end"))
    assert bench.marks_until(echoed_ms - 1) == []
    assert bench.marks_until(echoed_ms) == ["end"]
    assert bench.line.record(102).marks[0].echoed_ms == echoed_ms


def test_mark_comes_back_at_once_when_nothing_is_buffered() -> None:
    assert names(Bench().at(7, mark("now"))) == ["now"]


def test_mark_waits_for_the_frame_in_the_ear() -> None:
    bench = Bench()
    bench.at(0, media(b"\x01" * 160))
    assert names(bench.at(30, mark("late"))) == []
    assert bench.marks_until(40) == ["late"]


def test_marks_between_audio_come_back_in_order() -> None:
    bench = Bench()
    bench.at(0, mark("a"), media(b"\x01" * 80), mark("b"), mark("c"), media(b"\x02" * 400), mark("d"))
    assert bench.marks_until(39) == []
    assert bench.marks_until(40) == ["b", "c"]
    assert bench.marks_until(79) == []
    assert bench.marks_until(80) == ["d"]


def test_clear_drops_what_waits_and_echoes_every_mark() -> None:
    bench = Bench()
    bench.at(0, media(b"\x01" * 800), mark("a"), media(b"\x02" * 800), mark("b"))
    assert names(bench.at(45, CLEAR)) == ["a", "b"]
    bench.at(400)
    record = bench.line.record(100.4)
    assert record.played == (Played(20, 0, 320),)  # the frame in the ear was heard to its end
    assert (record.clears[0].dropped_ms, record.clears[0].marks) == (160, ("a", "b"))
    assert [(one.flushed, one.echoed_ms) for one in record.marks] == [(True, pytest.approx(45))] * 2


def test_audio_after_a_clear_counts_on_in_the_bytes_sent() -> None:
    bench = Bench()
    bench.at(0, media(b"\x01" * 800))
    bench.at(30, CLEAR, media(b"\x02" * 160))
    bench.at(100)
    assert bench.line.record(100.1).played == (Played(20, 0, 160), Played(40, 800, 160))


def test_starved_playout_leaves_a_gap_in_the_truth() -> None:
    bench = Bench()
    bench.at(0, media(b"\x01" * 200))
    bench.at(90, media(b"\x02" * 160))
    bench.at(200)
    assert bench.line.record(100.2).played == (Played(20, 0, 200), Played(100, 200, 160))


def test_late_wakeups_change_nothing_but_when_frames_are_sent() -> None:
    script: list[tuple[float, object]] = [
        (3, media(b"\x01" * 500)), (33, mark("a")), (47, media(b"\x02" * 90)), (111, CLEAR), (150, media(b"\x03" * 333))
    ]  # fmt: skip
    punctual, late = Bench(), Bench()
    for ms in range(0, 400, 20):
        for _, frame in (due for due in script if ms <= due[0] < ms + 20):
            punctual.at(next(at for at, known in script if known is frame), frame)
        punctual.at(ms + 20)
    for ms, frame in script:
        late.at(ms, frame)
    late.at(400)
    assert late.handset.heard_tape == punctual.handset.heard_tape
    assert late.line.record(100.4) == punctual.line.record(100.4)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 700)), max_size=30))
def test_every_byte_is_heard_once_or_cleared(script: list[tuple[int, int]]) -> None:
    """Steps of (ms later, bytes sent); 0 bytes is a clear."""
    bench, now, sent = Bench(), 0, b""
    for wait_ms, length in script:
        now += wait_ms
        payload = bytes((len(sent) + index) % 100 for index in range(length))  # no byte of silence
        sent += payload
        bench.at(now, media(payload) if payload else CLEAR, mark(f"{now}:{len(sent)}"))
    bench.at(now + 5000)
    record = bench.line.record(200)
    heard = bytes(bench.handset.heard_tape)
    for played in record.played:
        start = round(played.at_ms * 8)
        assert heard[start : start + played.count] == sent[played.first_byte :][: played.count]
    dropped = sum(round(clear.dropped_ms * 8) for clear in record.clears)
    assert sum(played.count for played in record.played) + dropped == len(sent) == record.received_bytes
    assert heard.count(b"\xff") == len(heard) - (len(sent) - dropped)
    assert all(one.echoed_ms is not None for one in record.marks)
    assert bench.line.violations == []


# ---- violations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "code", "problem"),
    [
        (b"\x00", "31924", "binary"),
        ("nonsense", "31951", "not JSON"),
        ("[]", "31951", "not an object"),
        ({}, "31951", "event None"),
        ({"event": "start", "streamSid": STREAM}, "31951", "'start'"),
        ({"event": "dtmf", "streamSid": STREAM}, "31951", "'dtmf'"),
        ({"event": "clear"}, "31951", "streamSid None"),
        ({"event": "clear", "streamSid": "MZ0"}, "31951", "streamSid 'MZ0'"),
        ({"event": "media", "streamSid": STREAM}, "31951", "lacks"),
        ({"event": "media", "streamSid": STREAM, "media": {"payload": 7}}, "31951", "lacks"),
        ({"event": "media", "streamSid": STREAM, "media": {"payload": "äöü"}}, "31951", "base64"),
        ({"event": "media", "streamSid": STREAM, "media": {"payload": "abc"}}, "31951", "base64"),
        (media(b""), "31951", "empty"),
        (media(b"RIFF0000WAVE"), "31951", "file header"),
        ({"event": "mark", "streamSid": STREAM, "mark": {}}, "31951", "lacks"),
        ({"event": "mark", "streamSid": STREAM, "mark": {"name": ""}}, "31951", "lacks"),
    ],
)
def test_broken_rules_are_written_down_and_change_nothing(frame: object, code: str, problem: str) -> None:
    bench = Bench()
    assert bench.at(10, frame) == []
    (violation,) = bench.line.violations
    assert (violation.code, violation.at_ms) == (code, pytest.approx(10))
    assert problem in violation.problem
    assert bench.line.record(101).received_bytes == 0


def test_endless_playout_is_refused() -> None:
    bench = Bench()
    bench.at(0, media(b"\x01" * 4_800_000), media(b"\x01"))
    assert "ten minutes" in bench.line.violations[0].problem


def test_nothing_is_said_or_heard_after_stop() -> None:
    bench = Bench()
    bench.at(0, media(b"\x01" * 800), mark("a"))
    assert json.loads(bench.line.stop(100.05)[-1])["event"] == "stop"
    assert bench.at(500, mark("b"), "nonsense", CLEAR) == []
    assert bench.line.violations == []


# ---- faults -------------------------------------------------------------------------------------------------------


def test_fault_clear_does_not_echo_marks() -> None:
    bench = Bench(LineFaults(clear_echoes_marks=False))
    bench.at(0, media(b"\x01" * 800), mark("a"))
    assert names(bench.at(40, CLEAR)) == []
    assert bench.marks_until(1000) == []


def test_fault_marks_are_lost() -> None:
    bench = Bench(LineFaults(mark_loss=1.0))
    assert names(bench.at(0, mark("a"), media(b"\x01"), mark("b"))) + bench.marks_until(500) == []
    assert [one.echoed_ms for one in bench.line.record(101).marks] == [None, None]


def test_fault_stop_is_never_sent() -> None:
    assert [json.loads(frame)["event"] for frame in Bench(LineFaults(stop_sent=False)).line.stop(100.02)] == ["media"]


def test_fault_chunks_have_other_lengths() -> None:
    said = [one["media"] for one in Bench(LineFaults(chunk_ms=(30, 7), first_timestamp_ms=121)).at(100)]
    found = [(one["timestamp"], len(base64.b64decode(one["payload"])) // 8) for one in said]  # type: ignore[index]
    assert found == [("121", 30), ("151", 7), ("158", 30), ("188", 7)]


def test_fault_chunks_need_a_length() -> None:
    with pytest.raises(ValueError, match="at least 1 ms"):
        LineFaults(chunk_ms=(20, 0))


def test_fault_media_comes_before_start() -> None:
    greeting = Bench(LineFaults(media_before_start=True)).greeting
    assert [message["event"] for message in greeting] == ["connected", "media", "start"]


def test_fault_foreign_frames_are_injected_in_time() -> None:
    bench = Bench(LineFaults(inject=MALFORMED_FRAMES))
    early = bench.line.advance(100.139)
    assert [frame for _, frame in MALFORMED_FRAMES[:1]] == [frame for frame in early if frame == "not json"]
    late = bench.line.advance(101.0)
    assert [frame for frame in late if frame in dict(MALFORMED_FRAMES).values()] == [f for _, f in MALFORMED_FRAMES[1:]]


# ---- the handset --------------------------------------------------------------------------------------------------


def test_announcements_play_without_a_stream() -> None:
    handset = Handset(0.0)
    handset.announce(b"\x01" * 200)
    handset.advance(0.1)
    assert handset.heard_tape == b"\xff" * 160 + b"\x01" * 200 + b"\xff" * 440


def test_stream_that_opens_late_shares_the_calls_borders() -> None:
    handset = Handset(50.0)
    line = Line(IDENTITY, handset)
    line.open(50.113)
    assert len(line.advance(50.119)) == 0
    assert len(line.advance(50.120)) == 1
    assert len(handset.heard_tape) == 6 * FRAME_BYTES


def test_words_are_spoken_one_after_the_other() -> None:
    handset = Handset(0.0)
    assert [handset.say(b"\x10" * 80), handset.say(b"\x20" * 80)] == [0, 10]
    assert handset.speaking
    handset.advance(0.02)
    assert not handset.speaking
    assert handset.spoken_tape == b"\x10" * 80 + b"\x20" * 80


@pytest.mark.parametrize(
    ("payload", "audible"), [(b"\xff\x7f" * 80, False), (b"\x78\xf1", False), (b"\xff" * 159 + b"\x20", True)]
)
def test_line_noise_is_not_audible(payload: bytes, audible: bool) -> None:
    assert is_audible(payload) is audible
