"""Looks back at the conversation: beside the replies, bounded, and told from everything else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.realtime.test_conversation import Json, Talk, clip, clip_created, clip_done, created, done, error, reply
from voicebot.call.ports import (
    Analyse,
    Analysed,
    AnalysisFailed,
    ClipFailed,
    ModelLost,
    ReplyEnded,
    ReplyStarted,
    Usage,
)
from voicebot.realtime.limits import Limits
from voicebot.tool_schema import ToolSchema

CONCLUDE = ToolSchema("conclude", "Write it down.", {"type": "object", "properties": {}})
LOOK_BACK = Analyse("call", "Sum it up.", CONCLUDE)
ANSWER = '{"summary":"Ada calls."}'
CALLED: Json = {
    "output": [
        {
            "type": "function_call",
            "id": "i1",
            "status": "completed",
            "call_id": "c1",
            "name": "conclude",
            "arguments": ANSWER,
        }
    ],
    "usage": {"input_token_details": {"text_tokens": 90}, "output_token_details": {"text_tokens": 12}},
}
SPENT = Usage(input_text=90, output_text=12)


def began(response_id: str, key: str | None = "call") -> Json:
    response = {"id": response_id, "conversation_id": None, "metadata": {"analysis": key} if key else None}
    return {"type": "response.created", "response": response}


def over(response_id: str, key: str | None = "call", *, status: str = "completed", **fields: Any) -> Json:
    metadata = {"analysis": key} if key else None
    response = {"id": response_id, "status": status, "conversation_id": None, "metadata": metadata, **fields}
    return {"type": "response.done", "response": response}


def asked(**limits: Any) -> tuple[Talk, Json]:
    talk = Talk(limits=Limits(**limits))
    [sent] = talk.asks(LOOK_BACK)
    return talk, sent


def test_analysis_is_answered_by_its_function() -> None:
    talk, sent = asked()
    assert sent["type"] == "response.create"
    assert talk.says(began("resp_1"), over("resp_1", **CALLED)) == [Analysed("call", ANSWER, SPENT)]
    assert talk.conversation.deadline() is None


def test_analysis_runs_beside_a_reply_and_touches_it_not() -> None:
    talk, _ = asked()
    [sent] = talk.asks(reply("r1"))
    assert sent["type"] == "response.create"
    told = talk.says(created("resp_1", "r1"), began("resp_2"), over("resp_2", **CALLED), done("resp_1", "r1"))
    assert [type(event) for event in told] == [ReplyStarted, Analysed, ReplyEnded]
    assert talk.sent() == []


def test_text_of_an_analysis_is_no_words_of_a_reply() -> None:
    talk, _ = asked()
    talk.says(began("resp_1"))
    assert (
        talk.says({"type": "response.output_text.done", "response_id": "resp_1", "item_id": "i", "text": "Well."}) == []
    )


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (over("resp_1"), "the model did not call the function"),
        (over("resp_1", **{**CALLED, "status": "cancelled"}), "cancelled"),
        (over("resp_1", status="incomplete", status_details={"reason": "max_output_tokens"}), "max_output_tokens"),
        (over("resp_1", status="failed", status_details={"error": {"code": "server_error"}}), "server_error"),
    ],
)
def test_analysis_without_a_whole_answer_fails(ending: Json, reason: str) -> None:
    talk, _ = asked()
    [told] = talk.says(began("resp_1"), ending)
    assert isinstance(told, AnalysisFailed)
    assert (told.key, told.reason) == ("call", reason)


def test_refused_analysis_fails() -> None:
    talk, sent = asked()
    assert talk.says(error("rate_limit_exceeded", sent["event_id"])) == [AnalysisFailed("call", "rate_limit_exceeded")]
    assert talk.asks(LOOK_BACK) != []


def test_error_of_something_else_leaves_it_alone() -> None:
    talk, sent = asked()
    assert talk.says(error("invalid_value", "truncate_item_7")) == []
    talk.says(began("resp_1"))
    assert talk.says(error("server_error", sent["event_id"])) == []
    assert talk.says(over("resp_1", **CALLED)) == [Analysed("call", ANSWER, SPENT)]


@pytest.mark.parametrize("exists", [True, False])
def test_late_analysis_is_given_up_and_cancelled(exists: bool) -> None:
    talk, _ = asked(analysis_s=8.0)
    if exists:
        talk.says(began("resp_1"))
    assert talk.waits(7.9) == []
    assert talk.waits(0.1) == [AnalysisFailed("call", "timeout")]
    if not exists:
        assert talk.says(began("resp_1")) == []
    assert [(one["type"], one.get("response_id")) for one in talk.sent()] == [("response.cancel", "resp_1")]
    assert talk.says(over("resp_1", **CALLED)) == []


def test_second_one_at_the_same_time_fails() -> None:
    talk, _ = asked()
    assert talk.asks(Analyse("other", "Again.", CONCLUDE)) == []
    assert talk.waits(0) == [AnalysisFailed("other", "another one is under way")]
    assert talk.says(began("resp_1"), over("resp_1", **CALLED)) == [Analysed("call", ANSWER, SPENT)]


def test_response_of_another_key_is_sent_away() -> None:
    talk, _ = asked()
    assert talk.says(began("resp_1", "other"), over("resp_1", "other", **CALLED)) == []
    assert [one["type"] for one in talk.sent()] == ["response.cancel"]
    talk.says(began("resp_2"), began("resp_2"), began("resp_3"))
    assert [(one["type"], one["response_id"]) for one in talk.sent()] == [("response.cancel", "resp_3")]
    assert talk.says(over("resp_3", **CALLED)) == []
    assert talk.says(over("resp_2", **CALLED)) == [Analysed("call", ANSWER, SPENT)]


def test_without_metadata_the_clips_that_wait_come_first() -> None:
    talk = Talk()
    talk.asks(clip("k1"), LOOK_BACK)
    talk.says(clip_created("resp_1", None), began("resp_2", None))
    told = talk.says(over("resp_2", None, **CALLED), clip_done("resp_1", None))
    assert told == [Analysed("call", ANSWER, SPENT), ClipFailed("k1", "no audio")]
    assert talk.sent() == []


def test_done_alone_is_enough() -> None:
    talk, _ = asked()
    assert talk.says(over("resp_1", **CALLED)) == [Analysed("call", ANSWER, SPENT)]


def test_exhausted_account_loses_the_session() -> None:
    talk, _ = asked()
    details = {"error": {"code": "insufficient_quota"}}
    told = talk.says(began("resp_1"), over("resp_1", status="failed", status_details=details))
    assert told == [AnalysisFailed("call", "insufficient_quota"), ModelLost("insufficient_quota", retryable=False)]
