"""The one writer: what is sent, when, and what became of every reply."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from itertools import permutations

import pytest

from voicebot.audio.formats import AudioFormat
from voicebot.call.ports import (
    AnswerTool,
    AppendAudio,
    CallerTranscript,
    CancelReply,
    ClipFailed,
    ClipRendered,
    CommitAudio,
    ConfigurationRejected,
    Configure,
    InsertHeard,
    InsertNote,
    InsertSaid,
    ModelCommand,
    ModelEvent,
    ModelLost,
    ModelReady,
    RenderClip,
    Reply,
    ReplyAudio,
    ReplyAudioEnded,
    ReplyEnded,
    ReplyStarted,
    ReplyWords,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    TranscriptFailed,
    Truncate,
    TurnCommitted,
    Usage,
)
from voicebot.realtime.conversation import Conversation
from voicebot.realtime.limits import Limits
from voicebot.realtime.server_events import parse
from voicebot.realtime.session import SessionConfig
from voicebot.tool_schema import ToolSchema

Json = dict[str, object]
CONFIG = SessionConfig("gpt-realtime-2.1", "marin", AudioFormat.PCMU_8K, "gpt-transcribe", ("en",))
TOOL = ToolSchema("record", "Record a value.", {"type": "object", "properties": {}})
UNIX_NOW = 1795329071.0  # an hour before the session of the samples expires
TAKEN = "conversation_already_has_active_response"


class Talk:
    """A conversation and the moment; what goes in is JSON, what comes out is decoded."""

    def __init__(self, *, ready: bool = True, limits: Limits | None = None) -> None:
        self.now = 100.0
        self.conversation = Conversation(CONFIG, self.now, limits, unix_now=UNIX_NOW)
        self.events: list[ModelEvent] = []
        if ready:
            self.says({"type": "session.created", "session": {"id": "sess_1"}})
            self.says({"type": "session.updated", "session": {}})
            assert self.sent_types() == ["session.update"]
            self.events.clear()

    def says(self, *events: Json) -> list[ModelEvent]:
        """The server sends events."""
        told: list[ModelEvent] = []
        for event in events:
            parsed = parse(json.dumps(event))
            assert parsed is not None
            told += self.conversation.handle(parsed, self.now)
        self.events += told
        return told

    def asks(self, *commands: ModelCommand) -> list[Json]:
        """The call asks for something; gives what is sent for it."""
        for command in commands:
            self.conversation.perform(command, self.now)
        return self.sent()

    def sent(self) -> list[Json]:
        return [json.loads(text) for text in self.conversation.data_to_send()]

    def sent_types(self) -> list[object]:
        return [event["type"] for event in self.sent()]

    def waits(self, seconds: float) -> list[ModelEvent]:
        """Time passes; every deadline is kept."""
        end, told = self.now + seconds, list[ModelEvent]()
        while (due := self.conversation.deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            told += self.conversation.on_deadline(self.now)
        self.now = end
        self.events += told
        return told

    def ended(self) -> list[ReplyEnded]:
        return [event for event in self.events if isinstance(event, ReplyEnded)]


def reply(reply_id: str) -> Reply:
    return Reply(reply_id, f"Instructions of {reply_id}.", (TOOL,))


def created(response_id: str, reply_id: str | None = None) -> Json:
    metadata = {"reply": reply_id} if reply_id else None
    response = {"id": response_id, "status": "in_progress", "conversation_id": "conv_1", "metadata": metadata}
    return {"type": "response.created", "response": response}


def done(response_id: str, reply_id: str | None = None, *, status: str = "completed", **fields: object) -> Json:
    metadata = {"reply": reply_id} if reply_id else None
    response = {"id": response_id, "status": status, "conversation_id": "conv_1", "metadata": metadata, **fields}
    return {"type": "response.done", "response": response}


def audio(response_id: str, payload: bytes = b"\xff" * 80, item_id: str = "item_1") -> Json:
    delta = b64encode(payload).decode()
    return {"type": "response.output_audio.delta", "response_id": response_id, "item_id": item_id, "delta": delta}


def audio_done(response_id: str, item_id: str = "item_1") -> Json:
    return {"type": "response.output_audio.done", "response_id": response_id, "item_id": item_id}


def words(response_id: str, delta: str, item_id: str = "item_1") -> Json:
    kind = "response.output_audio_transcript.delta"
    return {"type": kind, "response_id": response_id, "item_id": item_id, "delta": delta}


def all_words(response_id: str, text: str, item_id: str = "item_1") -> Json:
    kind = "response.output_audio_transcript.done"
    return {"type": kind, "response_id": response_id, "item_id": item_id, "transcript": text}


def error(code: str | None, event_id: object = None, *, kind: str = "invalid_request_error", **more: object) -> Json:
    return {"type": "error", "error": {"type": kind, "code": code, "message": "No.", "event_id": event_id, **more}}


def message(text: str) -> Json:
    return {"type": "message", "status": "completed", "content": [{"type": "output_audio", "transcript": text}]}


def call(call_id: str, *, status: str = "completed") -> Json:
    return {"type": "function_call", "status": status, "call_id": call_id, "name": "record", "arguments": "{}"}


# ---- the session ----------------------------------------------------------------------------------------------------


def test_session_is_configured_before_anything_else() -> None:
    talk = Talk(ready=False)
    assert talk.asks(reply("r1"), AppendAudio(b"\xff" * 160), RenderClip("k", "Hello.", "en")) == []
    assert talk.says({"type": "session.created", "session": {"expires_at": 1795332671}}) == []
    update = talk.sent()
    assert [event["type"] for event in update] == ["session.update"]
    assert talk.asks(Configure("Phase.", ())) == []
    assert talk.says({"type": "session.updated", "session": {}}) == [ModelReady(3600.0)]
    assert talk.sent_types() == [
        "response.create",
        "input_audio_buffer.append",
        "response.create",
        "session.update",
    ]


def test_ready_tells_the_expiry_of_the_update() -> None:
    talk = Talk(ready=False)
    talk.says({"type": "session.created", "session": {"expires_at": UNIX_NOW + 1800}})
    talk.now += 5
    updated: Json = {"type": "session.updated", "session": {"expires_at": UNIX_NOW + 3600}}
    assert talk.says(updated) == [ModelReady(3595.0)]
    assert talk.says(updated) == []


@pytest.mark.parametrize("expires_at", [6, UNIX_NOW, UNIX_NOW + 86_400, None])
def test_expiry_by_another_clock_is_unknown(expires_at: float | None) -> None:
    talk = Talk(ready=False)
    talk.says({"type": "session.created", "session": {"expires_at": expires_at}})
    assert talk.says({"type": "session.updated", "session": {}}) == [ModelReady(None)]


def test_second_session_created_is_ignored() -> None:
    talk = Talk()
    assert talk.says({"type": "session.created", "session": {}}) == []
    assert talk.sent() == []


def test_session_not_configured_in_time_is_lost() -> None:
    talk = Talk(ready=False)
    talk.says({"type": "session.created", "session": {}})
    assert talk.conversation.deadline() == talk.now + 10
    [lost] = talk.waits(10)
    assert isinstance(lost, ModelLost) and lost.retryable


def test_held_audio_keeps_the_latest_ten_seconds() -> None:
    talk = Talk(ready=False)
    for number in range(510):
        talk.asks(AppendAudio(bytes([number % 256]) * 160))
    talk.asks(CommitAudio())
    talk.says({"type": "session.created", "session": {}}, {"type": "session.updated", "session": {}})
    sent = talk.sent()
    kept = [b64decode(str(event["audio"]))[0] for event in sent if event["type"] == "input_audio_buffer.append"]
    assert kept == [number % 256 for number in range(10, 510)]
    assert sent[-1]["type"] == "input_audio_buffer.commit"


def test_too_much_held_is_a_lost_session() -> None:
    talk = Talk(ready=False, limits=Limits(held_commands=3))
    talk.asks(*[AppendAudio(b"\xff")] * 4)
    [lost] = talk.waits(0)
    assert isinstance(lost, ModelLost) and lost.retryable
    assert talk.asks(*[AppendAudio(b"\xff" * 80_000)] * 2) == []
    assert talk.conversation.deadline() is None


def test_every_event_id_is_unique() -> None:
    talk = Talk()
    sent = talk.asks(reply("r1"), *[AppendAudio(b"x")] * 3, CommitAudio(), InsertSaid("a"), InsertNote("b"))
    ids = [event["event_id"] for event in sent]
    assert len(set(ids)) == len(ids) == 7


def test_later_updates_carry_instructions_and_tools_alone() -> None:
    talk = Talk()
    [update] = talk.asks(Configure("Phase two.", (TOOL,)))
    assert update["session"] == {
        "type": "realtime",
        "instructions": "Phase two.",
        "tools": [
            {"type": "function", "name": "record", "description": "Record a value.", "parameters": TOOL.parameters}
        ],
    }


def test_refused_update_is_retried_once_then_told() -> None:
    talk = Talk()
    [first] = talk.asks(Configure("Phase two.", (TOOL,)))
    assert talk.says(error("invalid_value", first["event_id"])) == []
    [second] = talk.sent()
    assert second["session"] == first["session"] and second["event_id"] != first["event_id"]
    told = talk.says(error("invalid_value", second["event_id"], param="session.tools"))
    assert told == [ConfigurationRejected("invalid_value in session.tools")]
    assert talk.sent() == []


def test_refused_update_never_undoes_a_newer_one() -> None:
    talk = Talk()
    [older] = talk.asks(Configure("Two.", ()))
    [newer] = talk.asks(Configure("Three.", ()))
    assert talk.says(error("invalid_value", older["event_id"])) == []
    assert talk.sent() == []
    talk.says({"type": "session.updated", "session": {}})
    assert talk.says(error("invalid_value", newer["event_id"])) == []  # answered already: an error nobody expects
    assert talk.sent() == []


def test_answers_of_updates_are_matched_in_order() -> None:
    talk = Talk()
    talk.asks(Configure("Two.", ()))
    [newer] = talk.asks(Configure("Three.", ()))
    talk.says({"type": "session.updated", "session": {}})
    talk.says(error("server_error", newer["event_id"]))
    [again] = talk.sent()
    assert again["session"] == newer["session"]


@pytest.mark.parametrize(("kind", "retryable"), [("invalid_request_error", False), ("server_error", True)])
def test_refused_first_update_loses_the_session(kind: str, retryable: bool) -> None:
    talk = Talk(ready=False)
    talk.says({"type": "session.created", "session": {}})
    [first] = talk.sent()
    assert talk.says(error("bad_voice", first["event_id"])) == []
    [second] = talk.sent()
    [lost] = talk.says(error("bad_voice", second["event_id"], kind=kind, param="session.audio"))
    assert lost == ModelLost("the session was refused: bad_voice in session.audio", retryable)


# ---- plain commands and events --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (
            {"type": "input_audio_buffer.speech_started", "item_id": "u1", "audio_start_ms": 40},
            SpeechStarted("u1", 40),
        ),
        ({"type": "input_audio_buffer.speech_stopped", "item_id": "u1", "audio_end_ms": 90}, SpeechStopped("u1", 90)),
        ({"type": "input_audio_buffer.committed", "item_id": "u1"}, TurnCommitted("u1")),
        (
            {
                "type": "conversation.item.input_audio_transcription.completed",
                "item_id": "u1",
                "transcript": "Hello.",
            },
            CallerTranscript("u1", "Hello."),
        ),
        (
            {"type": "conversation.item.input_audio_transcription.failed", "item_id": "u1", "error": {"code": "x"}},
            TranscriptFailed("u1", "x"),
        ),
    ],
)
def test_caller_events_are_passed_on(event: Json, told: ModelEvent) -> None:
    assert Talk().says(event) == [told]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            Truncate("item_1", 1500),
            {
                "type": "conversation.item.truncate",
                "item_id": "item_1",
                "content_index": 0,
                "audio_end_ms": 1500,
            },
        ),
        (AppendAudio(b"\x00"), {"type": "input_audio_buffer.append", "audio": "AA=="}),
        (CommitAudio(), {"type": "input_audio_buffer.commit"}),
        (
            AnswerTool("c1", '{"ok":true}'),
            {
                "type": "conversation.item.create",
                "item": {"type": "function_call_output", "call_id": "c1", "output": '{"ok":true}'},
            },
        ),
        (
            InsertHeard("Two please."),
            {
                "type": "conversation.item.create",
                "item": {
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "Two please."}],
                },
            },
        ),
    ],
)
def test_command_becomes_its_event(command: ModelCommand, expected: Json) -> None:
    [event] = Talk().asks(command)
    event.pop("event_id")
    assert event == expected


# ---- one reply ------------------------------------------------------------------------------------------------------


def test_reply_is_told_from_start_to_end() -> None:
    talk = Talk()
    [create] = talk.asks(reply("r1"))
    assert isinstance(create["response"], dict)
    assert create["response"]["metadata"] == {"reply": "r1"}
    assert create["response"]["instructions"] == "Instructions of r1."
    usage = {"input_token_details": {"text_tokens": 5}, "output_token_details": {"audio_tokens": 7}}
    told = talk.says(
        created("resp_1", "r1"),
        words("resp_1", "Good "),
        audio("resp_1", b"\x01\x02"),
        words("resp_1", "day."),
        audio("resp_1", b"\x03"),
        audio_done("resp_1"),
        all_words("resp_1", "Good day."),
        done("resp_1", "r1", output=[message("Good day.")], usage=usage),
    )
    assert told == [
        ReplyStarted("r1"),
        ReplyWords("r1", "item_1", "Good "),
        ReplyAudio("r1", "item_1", b"\x01\x02"),
        ReplyWords("r1", "item_1", "day."),
        ReplyAudio("r1", "item_1", b"\x03"),
        ReplyAudioEnded("r1", "item_1"),
        ReplyWords("r1", "item_1", "Good day.", final=True),
        ReplyEnded("r1", "completed", (), True, Usage(input_text=5, output_audio=7)),
    ]
    assert talk.conversation.deadline() is None


def test_two_messages_and_several_calls_in_one_reply() -> None:
    talk = Talk()
    talk.asks(reply("r1"))
    told = talk.says(
        created("resp_1", "r1"),
        audio("resp_1", b"\x01", "item_1"),
        audio_done("resp_1", "item_1"),
        audio("resp_1", b"\x02", "item_2"),
        audio_done("resp_1", "item_2"),
        done("resp_1", "r1", output=[message("Let me see."), call("c1"), message("Yes."), call("c2")]),
    )
    assert [event.item_id for event in told if isinstance(event, ReplyAudio)] == ["item_1", "item_2"]
    calls = (ToolCall("c1", "record", "{}"), ToolCall("c2", "record", "{}"))
    assert told[-1] == ReplyEnded("r1", "completed", calls, spoke=True)


def test_call_without_words_did_not_speak() -> None:
    talk = Talk()
    talk.asks(reply("r1"))
    told = talk.says(created("resp_1", "r1"), done("resp_1", "r1", output=[call("c1")]))
    assert told[-1] == ReplyEnded("r1", "completed", (ToolCall("c1", "record", "{}"),), spoke=False)


def test_audio_cut_by_a_failure_is_ended() -> None:
    talk = Talk()
    talk.asks(reply("r1"))
    failure = {"error": {"code": "rate_limit_exceeded", "message": "Slow down."}}
    told = talk.says(
        created("resp_1", "r1"), audio("resp_1"), done("resp_1", "r1", status="failed", status_details=failure)
    )
    assert told[-2:] == [
        ReplyAudioEnded("r1", "item_1"),
        ReplyEnded("r1", "failed", error_code="rate_limit_exceeded", error="Slow down."),
    ]


def test_reply_is_matched_by_order_when_metadata_is_missing() -> None:
    talk = Talk()
    talk.asks(reply("r1"))
    told = talk.says(created("resp_1"), audio("resp_1"), audio_done("resp_1"), done("resp_1"))
    assert told[0] == ReplyStarted("r1")
    assert told[-1] == ReplyEnded("r1", "completed")


def test_refused_reply_ends_as_failed() -> None:
    talk = Talk()
    [create] = talk.asks(reply("r1"))
    assert talk.says(error("invalid_value", create["event_id"])) == [
        ReplyEnded("r1", "failed", error_code="invalid_value", error="No.")
    ]
    assert talk.sent() == []
    assert talk.asks(reply("r2"))  # the conversation is free again


def test_reply_never_begun_fails_in_time() -> None:
    talk = Talk()
    talk.asks(reply("r1"))
    assert talk.waits(14.9) == []
    [ended] = talk.waits(0.2)
    assert isinstance(ended, ReplyEnded) and (ended.status, ended.error_code) == ("failed", "timeout")
    assert talk.says(created("resp_1", "r1"), audio("resp_1")) == []  # too late: sent away
    assert [(event["type"], event["response_id"]) for event in talk.sent()] == [("response.cancel", "resp_1")]


def test_silent_response_is_stopped_and_fails() -> None:
    talk = Talk()
    talk.asks(reply("r1"))
    talk.says(created("resp_1", "r1"))
    talk.waits(29)
    talk.says(audio("resp_1"))
    assert talk.waits(29) == []
    assert talk.waits(2) == []
    assert [(event["type"], event["response_id"]) for event in talk.sent()] == [("response.cancel", "resp_1")]
    [ended] = talk.says(done("resp_1", "r1", status="cancelled"))
    assert isinstance(ended, ReplyEnded) and (ended.status, ended.error_code) == ("failed", "stalled")


def test_silent_response_that_never_ends_fails_too() -> None:
    talk = Talk()
    talk.asks(reply("r1"))
    talk.says(created("resp_1", "r1"))
    [ended] = talk.waits(36)
    assert isinstance(ended, ReplyEnded) and (ended.status, ended.error_code) == ("failed", "stalled")


def test_server_error_without_event_id_fails_the_asked_reply() -> None:
    talk = Talk()
    talk.asks(reply("r1"))
    [ended] = talk.says(error("server_error", kind="server_error"))
    assert isinstance(ended, ReplyEnded) and ended.error_code == "server_error"


# ---- one after the other --------------------------------------------------------------------------------------------


def test_second_reply_waits_for_a_late_done() -> None:
    talk = Talk()
    talk.asks(reply("r1"))
    talk.says(created("resp_1", "r1"))
    assert talk.asks(reply("r2")) == []
    talk.says(done("resp_1", "r1"))
    [create] = talk.sent()
    assert isinstance(create["response"], dict) and create["response"]["metadata"] == {"reply": "r2"}


def test_waiting_reply_is_replaced_by_the_next() -> None:
    talk = Talk()
    talk.asks(reply("r1"), reply("r2"), reply("r3"))
    talk.says(created("resp_1", "r1"), done("resp_1", "r1"))
    [create] = talk.sent()
    assert isinstance(create["response"], dict) and create["response"]["metadata"] == {"reply": "r3"}


def test_phase_commit_is_pipelined_in_order() -> None:
    talk = Talk()
    talk.asks(reply("r1"))
    talk.says(created("resp_1", "r1"), done("resp_1", "r1", output=[call("c1"), call("c2")]))
    sent = talk.asks(AnswerTool("c1", "{}"), AnswerTool("c2", "{}"), Configure("Two.", (TOOL,)), reply("r2"))
    assert [event["type"] for event in sent] == [
        "conversation.item.create",
        "conversation.item.create",
        "session.update",
        "response.create",
    ]


# ---- cancelling -----------------------------------------------------------------------------------------------------


def test_cancel_names_the_response_and_silences_it() -> None:
    talk = Talk()
    talk.asks(reply("r1"))
    talk.says(created("resp_1", "r1"), audio("resp_1"))
    [cancel] = talk.asks(CancelReply())
    assert (cancel["type"], cancel["response_id"]) == ("response.cancel", "resp_1")
    late = [audio("resp_1"), words("resp_1", "more"), audio_done("resp_1"), all_words("resp_1", "x")]
    assert talk.says(*late) == []
    assert talk.says(done("resp_1", "r1", status="cancelled", output=[message("Good")])) == [
        ReplyEnded("r1", "cancelled", spoke=True)
    ]
    assert talk.says(audio("resp_1")) == []


def test_cancel_before_created_is_kept_until_then() -> None:
    talk = Talk()
    talk.asks(reply("r1"))
    assert talk.asks(CancelReply()) == []
    assert talk.says(created("resp_1", "r1"), audio("resp_1")) == []
    assert [(event["type"], event["response_id"]) for event in talk.sent()] == [("response.cancel", "resp_1")]
    assert talk.says(done("resp_1", "r1", status="cancelled")) == [ReplyEnded("r1", "cancelled")]


def test_second_cancel_sends_nothing() -> None:
    talk = Talk()
    talk.asks(reply("r1"))
    talk.says(created("resp_1", "r1"))
    assert len(talk.asks(CancelReply(), CancelReply())) == 1
    assert Talk().asks(CancelReply()) == []


def test_cancel_drops_the_waiting_reply() -> None:
    talk = Talk()
    talk.asks(reply("r1"), reply("r2"), CancelReply())
    assert talk.waits(0) == [ReplyEnded("r2", "cancelled")]
    assert talk.says(created("resp_1", "r1"), done("resp_1", "r1", status="cancelled")) == [
        ReplyEnded("r1", "cancelled")
    ]
    assert [event["type"] for event in talk.sent()] == ["response.cancel"]


def test_cancelled_reply_that_waits_behind_a_stray_response_ends() -> None:
    talk = Talk()
    talk.says(created("resp_x"))
    talk.asks(reply("r1"), CancelReply())
    assert talk.waits(0) == [ReplyEnded("r1", "cancelled")]


def test_cancelled_response_that_never_ends_frees_the_conversation() -> None:
    talk = Talk()
    talk.asks(reply("r1"))
    talk.says(created("resp_1", "r1"))
    talk.asks(CancelReply(), reply("r2"))
    assert talk.waits(4.9) == []
    assert talk.waits(0.2) == [ReplyEnded("r1", "cancelled")]
    [create] = talk.sent()
    assert create["type"] == "response.create"


def test_cancel_that_comes_too_late_is_harmless() -> None:
    talk = Talk()
    talk.asks(reply("r1"))
    talk.says(created("resp_1", "r1"))
    [cancel] = talk.asks(CancelReply())
    told = talk.says(
        done("resp_1", "r1", output=[message("Good day."), call("c1")]),
        error("response_cancel_not_active", cancel["event_id"]),
    )
    assert told == [ReplyEnded("r1", "completed", (ToolCall("c1", "record", "{}"),), spoke=True)]
    assert [diagnostic.expected for diagnostic in talk.conversation.diagnostics()] == [True]


def test_reply_asked_after_a_cancel_waits_for_the_end() -> None:
    talk = Talk()
    talk.asks(reply("r1"))
    talk.asks(CancelReply(), reply("r2"))
    talk.says(created("resp_1", "r1"))
    assert talk.sent_types() == ["response.cancel"]
    talk.says(done("resp_1", "r1", status="cancelled"))
    assert talk.sent_types() == ["response.create"]


# ---- responses nobody asked for -------------------------------------------------------------------------------------


def test_unasked_response_is_cancelled_and_not_heard() -> None:
    talk = Talk()
    assert talk.says(created("resp_x"), audio("resp_x"), words("resp_x", "Hi")) == []
    assert [(event["type"], event["response_id"]) for event in talk.sent()] == [("response.cancel", "resp_x")]
    assert talk.asks(reply("r1")) == []  # the conversation is taken
    assert talk.says(done("resp_x", status="cancelled")) == []
    assert talk.sent_types() == ["response.create"]


def test_unasked_response_that_never_ends_blocks_only_shortly() -> None:
    talk = Talk()
    talk.says(created("resp_x"))
    talk.sent()
    talk.asks(reply("r1"))
    assert talk.waits(5) == []
    assert talk.sent_types() == ["response.create"]


def test_taken_conversation_is_asked_again_after_done() -> None:
    talk = Talk()
    [create] = talk.asks(reply("r1"))
    assert talk.says(error(TAKEN, create["event_id"])) == []
    [cancel] = talk.sent()
    assert cancel["type"] == "response.cancel" and "response_id" not in cancel
    assert talk.says(done("resp_x", status="cancelled")) == []
    [again] = talk.sent()
    assert again["response"] == create["response"] and again["event_id"] != create["event_id"]
    assert talk.says(created("resp_1", "r1")) == [ReplyStarted("r1")]


def test_taken_conversation_without_event_id_is_understood() -> None:
    talk = Talk()
    talk.asks(reply("r1"))
    assert talk.says(error(TAKEN)) == []
    talk.waits(0.3)
    assert talk.sent_types() == ["response.cancel", "response.create"]


def test_unasked_response_that_won_the_race_is_named() -> None:
    talk = Talk()
    [create] = talk.asks(reply("r1"))
    assert talk.says(created("resp_x")) == [ReplyStarted("r1")]  # by its order it could be ours
    assert talk.says(error(TAKEN, create["event_id"])) == []
    assert talk.says(audio("resp_x")) == []
    assert [(event["type"], event["response_id"]) for event in talk.sent()] == [("response.cancel", "resp_x")]
    talk.says(done("resp_x", status="cancelled"))
    assert talk.sent_types() == ["response.create"]
    assert talk.says(created("resp_1", "r1")) == []  # told once
    assert talk.says(done("resp_1", "r1")) == [ReplyEnded("r1", "completed")]


def test_server_known_to_echo_metadata_is_not_matched_by_order() -> None:
    talk = Talk()
    talk.asks(reply("r1"))
    talk.says(created("resp_1", "r1"), done("resp_1", "r1"))
    talk.asks(reply("r2"))
    assert talk.says(created("resp_x")) == []
    assert talk.says(created("resp_2", "r2")) == [ReplyStarted("r2")]


def test_conversation_taken_for_ever_fails_in_bounded_tries() -> None:
    talk = Talk()
    [create] = talk.asks(reply("r1"))
    tries = 1
    while not talk.ended():
        talk.says(error(TAKEN, create["event_id"]))
        talk.waits((talk.conversation.deadline() or talk.now) - talk.now)
        if creates := [event for event in talk.sent() if event["type"] == "response.create"]:
            [create] = creates
            tries += 1
    assert tries == 7
    assert [(ended.status, ended.error_code) for ended in talk.ended()] == [("failed", TAKEN)]


def test_cancel_of_a_refused_reply_ends_it_at_once() -> None:
    talk = Talk()
    [create] = talk.asks(reply("r1"))
    talk.says(error(TAKEN, create["event_id"]))
    talk.asks(CancelReply(), reply("r2"))
    assert talk.waits(0) == [ReplyEnded("r1", "cancelled")]
    [create] = talk.sent()
    assert isinstance(create["response"], dict) and create["response"]["metadata"] == {"reply": "r2"}


def test_error_about_a_running_response_does_not_end_it() -> None:
    talk = Talk()
    [create] = talk.asks(reply("r1"))
    talk.says(created("resp_1", "r1"))
    assert talk.says(error("server_error", create["event_id"], kind="server_error")) == []
    assert talk.says(done("resp_1", "r1")) == [ReplyEnded("r1", "completed")]


# ---- clips ----------------------------------------------------------------------------------------------------------


def clip_created(response_id: str, key: str | None) -> Json:
    metadata = {"clip": key} if key else None
    response = {"id": response_id, "conversation_id": None, "metadata": metadata}
    return {"type": "response.created", "response": response}


def clip_done(response_id: str, key: str | None, *, status: str = "completed", **fields: object) -> Json:
    metadata = {"clip": key} if key else None
    response = {"id": response_id, "status": status, "conversation_id": None, "metadata": metadata, **fields}
    return {"type": "response.done", "response": response}


def clip(key: str) -> RenderClip:
    return RenderClip(key, f"Text of {key}.", "en")


def test_clip_is_rendered_beside_a_reply() -> None:
    talk = Talk()
    assert len(talk.asks(reply("r1"), clip("k1"))) == 2
    told = talk.says(
        created("resp_1", "r1"),
        clip_created("resp_2", "k1"),
        audio("resp_2", b"\x01"),
        audio("resp_1", b"\x08"),
        audio("resp_2", b"\x02"),
        words("resp_2", "Text "),
        all_words("resp_2", "Text of k1."),
        audio_done("resp_2"),
        clip_done("resp_2", "k1", output=[message("Text of k1.")]),
        audio("resp_1", b"\x09"),
    )
    assert told == [
        ReplyStarted("r1"),
        ReplyAudio("r1", "item_1", b"\x08"),
        ClipRendered("k1", b"\x01\x02", "Text of k1."),
        ReplyAudio("r1", "item_1", b"\x09"),
    ]


def test_clip_is_matched_by_order_when_metadata_is_missing() -> None:
    talk = Talk()
    talk.asks(clip("k1"), clip("k2"))
    told = talk.says(
        clip_created("resp_1", None),
        clip_created("resp_2", None),
        audio("resp_2", b"\x02"),
        audio("resp_1", b"\x01"),
        all_words("resp_1", "One."),
        clip_done("resp_1", None),
        clip_done("resp_2", None),
    )
    assert told == [ClipRendered("k1", b"\x01", "One."), ClipRendered("k2", b"\x02", "")]


def test_key_under_way_is_rendered_once() -> None:
    talk = Talk()
    assert len(talk.asks(clip("k1"), clip("k1"))) == 1


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (clip_done("resp_1", "k1"), "no audio"),
        (clip_done("resp_1", "k1", status="cancelled"), "cancelled"),
        (
            clip_done("resp_1", "k1", status="failed", status_details={"error": {"code": "server_error"}}),
            "server_error",
        ),
        (
            clip_done("resp_1", "k1", status="incomplete", status_details={"reason": "max_output_tokens"}),
            "max_output_tokens",
        ),
    ],
)
def test_clip_without_audio_fails(ending: Json, reason: str) -> None:
    talk = Talk()
    talk.asks(clip("k1"))
    assert talk.says(clip_created("resp_1", "k1"), ending) == [ClipFailed("k1", reason)]
    assert talk.conversation.deadline() is None


def test_refused_clip_fails_and_leaves_the_reply_alone() -> None:
    talk = Talk()
    [_, refused] = talk.asks(reply("r1"), clip("k1"))
    assert talk.says(error("rate_limit_exceeded", refused["event_id"])) == [ClipFailed("k1", "rate_limit_exceeded")]
    assert talk.says(created("resp_1", "r1")) == [ReplyStarted("r1")]


def test_late_clip_fails_and_is_cancelled() -> None:
    talk = Talk()
    talk.asks(clip("k1"), clip("k2"))
    talk.says(clip_created("resp_1", "k1"), audio("resp_1"))
    assert talk.waits(30) == [ClipFailed("k1", "timeout"), ClipFailed("k2", "timeout")]
    assert talk.says(audio("resp_1"), clip_created("resp_2", "k2"), audio("resp_2")) == []
    assert [event["response_id"] for event in talk.sent()] == ["resp_1", "resp_2"]
    assert talk.says(clip_done("resp_1", "k1", status="cancelled")) == []


def test_second_response_of_a_clip_is_cancelled() -> None:
    talk = Talk()
    talk.asks(clip("k1"))
    talk.says(clip_created("resp_1", "k1"), clip_created("resp_1", "k1"), clip_created("resp_2", "k1"))
    assert [(event["type"], event["response_id"]) for event in talk.sent()] == [("response.cancel", "resp_2")]
    told = talk.says(audio("resp_2", b"\x02"), audio("resp_1", b"\x01"), clip_done("resp_2", "k1", status="cancelled"))
    assert told == []
    assert talk.says(clip_done("resp_1", "k1")) == [ClipRendered("k1", b"\x01", "")]


def test_repeated_created_changes_nothing() -> None:
    talk = Talk()
    talk.asks(reply("r1"))
    assert talk.says(created("resp_1", "r1"), created("resp_1", "r1")) == [ReplyStarted("r1")]
    assert talk.sent() == []


def test_endless_clip_is_cut() -> None:
    talk = Talk()
    talk.asks(clip("k1"))
    second = b"\xff" * 8000
    told = talk.says(clip_created("resp_1", "k1"), *[audio("resp_1", second)] * 61)
    assert told == [ClipFailed("k1", "too long")]
    assert talk.sent_types() == ["response.cancel"]


def test_few_clips_run_at_once_and_few_wait() -> None:
    talk = Talk(limits=Limits(clips_at_once=2, clips_waiting=3))
    assert len(talk.asks(*[clip(f"k{number}") for number in range(6)])) == 2
    assert talk.waits(0) == [ClipFailed("k5", "too many clips wait")]
    talk.says(clip_created("resp_1", "k0"), audio("resp_1"), clip_done("resp_1", "k0"))
    [next_one] = talk.sent()
    assert isinstance(next_one["response"], dict) and next_one["response"]["metadata"] == {"clip": "k2"}


# ---- errors and ends ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "retryable"),
    [
        (error("insufficient_quota"), False),
        (error("invalid_api_key"), False),
        (error("account_deactivated"), False),
        (error("billing_hard_limit_reached"), False),
        (error("beta_api_shape_disabled"), False),
        (error("session_expired"), True),
    ],
)
def test_nothing_is_said_or_sent_after_the_end(event: Json, retryable: bool) -> None:
    talk = Talk()
    talk.asks(reply("r1"), clip("k1"))
    [lost] = talk.says(event)
    assert isinstance(lost, ModelLost) and lost.retryable is retryable
    assert talk.says(created("resp_1", "r1"), error("session_expired"), done("resp_1", "r1")) == []
    assert talk.asks(reply("r2"), AppendAudio(b"x")) == []
    assert talk.waits(100) == [] and talk.conversation.deadline() is None


def test_message_of_a_fatal_error_is_not_told() -> None:
    [lost] = Talk().says({"type": "error", "error": {"code": "invalid_api_key", "message": "wrong: sk-abc***xyz"}})
    assert lost == ModelLost("invalid_api_key", retryable=False)


@pytest.mark.parametrize(("kind", "retryable"), [("invalid_request_error", False), ("server_error", True)])
def test_error_instead_of_a_session_is_the_end(kind: str, retryable: bool) -> None:
    assert Talk(ready=False).says(error(None, kind=kind)) == [ModelLost(kind, retryable)]


def test_exhausted_quota_of_a_response_is_the_end() -> None:
    talk = Talk()
    talk.asks(reply("r1"))
    failure = {"error": {"code": "insufficient_quota", "message": "Pay."}}
    told = talk.says(created("resp_1", "r1"), done("resp_1", "r1", status="failed", status_details=failure))
    assert told[1:] == [
        ReplyEnded("r1", "failed", error_code="insufficient_quota", error="Pay."),
        ModelLost("insufficient_quota", retryable=False),
    ]


def test_errors_are_kept_for_the_log() -> None:
    talk = Talk()
    [truncate] = talk.asks(Truncate("item_1", 5000))
    talk.says(error("invalid_value", truncate["event_id"]), error("input_audio_buffer_commit_empty", "x"))
    kept = talk.conversation.diagnostics()
    assert [(diagnostic.error.event_id, diagnostic.expected) for diagnostic in kept] == [
        (truncate["event_id"], False),
        ("x", True),
    ]
    assert talk.conversation.diagnostics() == []
    assert str(truncate["event_id"]).startswith("truncate_item_")


# ---- whatever the order ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("echoes", [True, False], ids=["metadata", "order"])
@pytest.mark.parametrize("begun", [True, False], ids=["running", "requested"])
def test_no_order_of_events_loses_or_doubles_a_reply(echoes: bool, begun: bool) -> None:
    """r1 is under way; then seven things happen in any order: r2 is answered exactly once if it is owed."""
    tag = "r1" if echoes else None
    response_1 = [message("One moment."), call("c1"), message("Yes."), call("c2")]
    for order in permutations(["ask", "cancel", "done", "update refused", "speech", "committed", "transcript"]):
        talk = Talk()
        talk.asks(Configure("Two.", (TOOL,)))
        talk.asks(reply("r1"))
        if begun:
            talk.says(created("resp_1", tag), audio("resp_1"))
        for happens in order:
            match happens:
                case "ask":
                    talk.conversation.perform(reply("r2"), talk.now)
                case "cancel":
                    talk.conversation.perform(CancelReply(), talk.now)
                case "done":
                    if not begun:
                        talk.says(created("resp_1", tag), audio("resp_1"))
                    talk.says(audio_done("resp_1"), done("resp_1", tag, output=response_1))
                case "update refused":
                    talk.says(error("invalid_value", "session_update_2"))
                case "speech":
                    talk.says({"type": "input_audio_buffer.speech_started", "item_id": "u", "audio_start_ms": 1})
                case "committed":
                    talk.says({"type": "input_audio_buffer.committed", "item_id": "u"})
                case "transcript":
                    kind = "conversation.item.input_audio_transcription.completed"
                    talk.says({"type": kind, "item_id": "u", "transcript": "Wait."})
        sent = talk.sent()
        creates = [event for event in sent if event["type"] == "response.create"]
        place = {happens: index for index, happens in enumerate(order)}
        dropped = place["ask"] < place["cancel"] < place["done"]  # it waited for r1 when the cancel came
        assert len(creates) == (0 if dropped else 1), order
        cancelled = place["cancel"] > max(place["ask"], place["done"])
        if creates:
            told = talk.says(created("resp_2", "r2" if echoes else None), audio("resp_2"))
            assert (told == []) is cancelled, order
            assert talk.sent_types() == (["response.cancel"] if cancelled else []), order
            talk.says(done("resp_2", "r2" if echoes else None, status="cancelled" if cancelled else "completed"))
        ended = [(ended.reply_id, ended.status, len(ended.calls)) for ended in talk.ended()]
        second = ("r2", "cancelled" if cancelled else "completed", 0)
        assert ended == [("r1", "completed", 2), *([second] if creates else [])], order
        updates = [event for event in sent if event["type"] == "session.update"]
        assert len(updates) == 1 and "audio" not in str(updates), order  # tried again, without voice and formats
        assert talk.waits(60) == ([ReplyEnded("r2", "cancelled")] if dropped else []), order
        assert talk.sent() == [], order
