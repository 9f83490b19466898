"""The conversation's items, made, found, deleted and truncated."""

import base64

import numpy as np
import pytest

from tests.sim.realtime_client import (
    RECORD,
    TRANSCRIBED,
    Client,
    check_types,
    error_of,
    kinds,
    message,
    one,
    spoken_item,
    user_text,
)
from voicebot.sim.brain import Calls, Says
from voicebot.sim.realtime_audio import words_in
from voicebot.sim.speech import speak

# ---- items ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "code", "param"),
    [
        (message("user", "text", text="x"), "invalid_value", "item.content[0]"),
        (message("user", "output_text", text="x"), "invalid_value", "item.content[0]"),
        (message("assistant", "input_text", text="x"), "invalid_value", "item.content[0].type"),
        (message("assistant", "output_audio", audio="", transcript="x"), "invalid_value", "item.content[0].type"),
        (message("system", "output_text", text="x"), "invalid_value", "item.content[0].type"),
        (message("user", "input_text"), "missing_required_parameter", "item.content[0].text"),
        (message("user", "input_audio", audio="!"), "invalid_value", "item.content[0].audio"),
        (message("tool", "input_text", text="x"), "invalid_value", "item"),
        ({"type": "function_call_output", "call_id": "none", "output": ""}, "invalid_tool_call_id", None),
        ({"type": "function_call", "call_id": "a/b", "name": "f", "arguments": ""}, "invalid_value", "item.call_id"),
        ({"type": "function_call_output", "output": ""}, "missing_required_parameter", "item.call_id"),
        (message("user", "input_text", text="x") | {"id": "i" * 33}, "invalid_value", "item.id"),
        (message("user", "input_text", text="x") | {"id": "first"}, "invalid_value", "item.id"),
    ],
)
def test_wrong_items_are_refused(item: dict[str, object], code: str, param: str | None):
    client = Client()
    client.send("conversation.item.create", item=message("user", "input_text", text="x") | {"id": "first"})
    assert error_of(client.send("conversation.item.create", item=item)) == (code, param)


@pytest.mark.parametrize(
    ("previous", "order"),
    [
        ({}, ["a", "b", "c"]),
        ({"previous_item_id": "root"}, ["c", "a", "b"]),
        ({"previous_item_id": "a"}, ["a", "c", "b"]),
    ],
)
def test_items_stand_where_they_were_put(previous: dict[str, str], order: list[str]):
    client = Client()
    client.send("conversation.item.create", item=user_text("a"))
    client.send("conversation.item.create", item=user_text("b"))
    added = client.send("conversation.item.create", item=user_text("c"), **previous)
    place = order.index("c")
    assert [event["previous_item_id"] for event in added] == [order[place - 1] if place else None] * 2
    client.send("response.create")
    client.wait(0.1)
    assert [item.text for item in client.brain.asked[0].items] == order


def test_items_cannot_follow_what_is_not_there():
    refused = Client().send("conversation.item.create", item=user_text("a"), previous_item_id="b")
    assert error_of(refused) == ("invalid_value", "previous_item_id")


@pytest.mark.parametrize(
    ("kind", "fields", "code"),
    [
        ("conversation.item.retrieve", {}, "item_retrieve_invalid_item_id"),
        ("conversation.item.delete", {}, "item_delete_invalid_item_id"),
        ("conversation.item.truncate", {"content_index": 0, "audio_end_ms": 0}, "item_truncate_invalid_item_id"),
    ],
)
def test_unknown_items_are_refused(kind: str, fields: dict[str, int], code: str):
    assert error_of(Client().send(kind, item_id="nobody", **fields)) == (code, "item_id")


def test_retrieved_items_hold_their_audio():
    client = Client((Says("Good morning."),))
    client.configure(audio=TRANSCRIBED)
    spoken = client.say("Good morning.") + client.wait(3)
    user = one(spoken, "input_audio_buffer.committed")["item_id"]
    assistant = one(spoken, "response.output_item.added")["item"]["id"]
    for item_id in (user, assistant):
        item = one(client.send("conversation.item.retrieve", item_id=item_id), "conversation.item.retrieved")["item"]
        (part,) = item["content"]
        assert part["transcript"] == "Good morning."
        assert words_in(np.frombuffer(base64.b64decode(part["audio"]), dtype="<i2"), 24000) == "Good morning."


def test_items_may_bring_their_own_audio():
    client = Client()
    audio = base64.b64encode(speak("A picture.", 24000).astype("<i2").tobytes()).decode()
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
    content = [{"type": "input_audio", "audio": audio}, image, {"type": "input_text", "text": "See?"}]
    added = client.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    check_types(added)
    client.send("response.create")
    assert client.brain.asked[0].items[0].text == "A picture. See?"


def test_deleted_items_are_gone():
    client = Client()
    client.send("conversation.item.create", item=user_text("a"))
    assert one(client.send("conversation.item.delete", item_id="a"), "conversation.item.deleted")["item_id"] == "a"
    client.send("response.create")
    assert client.brain.asked[0].items == ()


def test_a_refused_response_notes_nothing():
    client = Client((Calls("record"),))
    client.configure(tools=[RECORD])
    client.send("response.create")
    client.wait(0.375)
    assert error_of(client.send("response.create"))[0] == "conversation_already_has_active_response"
    assert client.session.problems == []


def test_a_call_answered_twice_is_noted():
    client = Client((Calls("record"),))
    client.configure(tools=[RECORD])
    client.send("response.create")
    call_id = one(client.wait(2), "response.function_call_arguments.done")["call_id"]
    for _ in range(2):
        item = {"type": "function_call_output", "call_id": call_id, "output": "{}"}
        assert "error" not in kinds(client.send("conversation.item.create", item=item))
    assert client.session.problems == [f"call {call_id} was answered twice"]


# ---- truncation ----------------------------------------------------------------------------------------------------


def test_truncation_leaves_what_was_heard():
    client = Client()
    item_id = spoken_item(client)
    truncated = client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=900)
    assert kinds(truncated) == ["conversation.item.truncated"]
    assert (truncated[0]["item_id"], truncated[0]["audio_end_ms"]) == (item_id, 900)
    assert client.session.spoken[0].truncated_at_ms == 900
    item = one(client.send("conversation.item.retrieve", item_id=item_id), "conversation.item.retrieved")["item"]
    assert item["content"][0]["transcript"] is None
    assert len(base64.b64decode(item["content"][0]["audio"])) == 900 * 48
    client.send("response.create")
    seen = client.brain.asked[-1].items[0].text
    assert "One, two, three, four, five.".startswith(seen)
    assert 0 < len(seen) < 16


@pytest.mark.parametrize("beyond_ms", [1, 1000])
def test_truncation_beyond_the_audio_is_refused(beyond_ms: int):
    client = Client()
    item_id = spoken_item(client)
    length_ms = int(client.session.spoken[0].audio_ms)
    sent = {"item_id": item_id, "content_index": 0, "audio_end_ms": length_ms + beyond_ms}
    error = one(client.send("conversation.item.truncate", **sent), "error")["error"]
    assert error["message"] == f"Audio content of {length_ms}ms is already shorter than {length_ms + beyond_ms}ms"
    assert error["code"] == "invalid_value"
    whole = {**sent, "audio_end_ms": length_ms}
    assert kinds(client.send("conversation.item.truncate", **whole)) == ["conversation.item.truncated"]


def test_truncation_counts_what_was_generated():
    client = Client((Says("One, two, three, four, five, six, seven, eight, nine, ten."),))
    client.send("response.create")
    item_id = one(client.wait(0.5), "response.output_item.added")["item"]["id"]
    sent_ms = int(client.session.spoken[0].audio_ms)
    assert 0 < sent_ms < 1000
    too_far = {"item_id": item_id, "content_index": 0, "audio_end_ms": sent_ms + 1}
    assert error_of(client.send("conversation.item.truncate", **too_far))[0] == "invalid_value"


@pytest.mark.parametrize(
    ("item", "fields", "param"),
    [
        ("text", {}, "item_id"),
        ("user", {}, "item_id"),
        ("spoken", {"content_index": 1}, "content_index"),
        ("spoken", {"audio_end_ms": -1}, "audio_end_ms"),
        ("spoken", {"audio_end_ms": 10.5}, "audio_end_ms"),
    ],
)
def test_only_assistant_audio_is_truncated(item: str, fields: dict[str, float], param: str):
    client = Client()
    ids = {"spoken": spoken_item(client), "text": "text", "user": "user"}
    client.send("conversation.item.create", item=message("assistant", "output_text", text="x") | {"id": "text"})
    client.send("conversation.item.create", item=user_text("user"))
    sent = {"item_id": ids[item], "content_index": 0, "audio_end_ms": 100} | fields
    assert error_of(client.send("conversation.item.truncate", **sent)) == ("invalid_value", param)
