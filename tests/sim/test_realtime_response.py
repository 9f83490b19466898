"""Responses: their events, their time, and how they end."""

import json

import numpy as np
import pytest

from tests.sim.realtime_client import (
    OUR_TURNS,
    RECORD,
    Client,
    audio_of,
    error_of,
    kinds,
    message,
    one,
    only,
    reference_order,
    silence,
    user_text,
    without_repeats,
)
from voicebot.sim import g711
from voicebot.sim.brain import Calls, Says
from voicebot.sim.realtime_audio import words_in
from voicebot.sim.realtime_quirks import Timing
from voicebot.sim.speech import speak, speech_ms


def test_function_call_has_the_order_of_the_reference():
    client = Client((Calls("record", {"n": 2}),), (Says("Noted."),))
    client.configure(tools=[RECORD])
    client.send("conversation.item.create", item=user_text("Two please"))
    client.send("response.create")
    events = client.wait(2)
    done = one(events, "response.done")["response"]
    (call,) = done["output"]
    assert (call["name"], json.loads(call["arguments"])) == ("record", {"n": 2})
    deltas = only(events, "response.function_call_arguments.delta")
    assert "".join(event["delta"] for event in deltas) == call["arguments"]
    events += client.configure(instructions="Next phase.", tools=[RECORD])
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "{}"}
    events += client.send("conversation.item.create", item=output)
    events += client.send("response.create") + client.wait(0.1)
    assert without_repeats(kinds(events)) == without_repeats(reference_order("function_call_turn"))
    assert [item.kind for item in client.brain.asked[1].items] == ["message", "function_call", "function_call_output"]
    assert client.session.problems == []


def test_a_call_without_output_is_noted():
    client = Client((Calls("record"),))
    client.configure(tools=[RECORD])
    client.send("response.create")
    client.wait(2)
    client.send("response.create")
    assert len(client.session.problems) == 1
    assert "had no output" in client.session.problems[0]


def test_several_outputs_stand_in_one_response():
    client = Client((Says("One moment."), Calls("record", {"n": 1}), Calls("record", {"n": 2})))
    client.configure(tools=[RECORD])
    client.send("response.create")
    events = client.wait(5)
    added = only(events, "response.output_item.added")
    assert [event["output_index"] for event in added] == [0, 1, 2]
    output = one(events, "response.done")["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call", "function_call"]
    assert {item["status"] for item in output} == {"completed"}


def test_audio_comes_in_time_and_whole():
    text = "Your table is booked for eight."
    client = Client((Says(text),), timing=Timing(first_audio_s=0.5, created_s=0.1, speed=2.0, delta_ms=100))
    client.send("response.create")
    assert client.wait(0.59) == client.events[-1:]
    first = client.wait(0.02)
    assert len(only(first, "response.output_audio.delta")) == 1
    events = client.wait(speech_ms(text) / 1000 / 2 + 0.1)
    assert kinds(events)[-2] == "response.done"
    spoken = np.frombuffer(audio_of(client.events), dtype="<i2")
    assert np.array_equal(spoken, speak(text, 24000, voice="bot"))
    words = only(client.events, "response.output_audio_transcript.delta")
    assert "".join(event["delta"] for event in words) == text


def test_audio_has_the_sessions_output_format():
    client = Client((Says("Hello."),))
    client.configure(audio={"output": {"format": {"type": "audio/pcmu"}}})
    client.send("response.create")
    events = client.wait(3)
    assert words_in(g711.decode(audio_of(events)), 8000) == "Hello."
    assert one(events, "response.done")["response"]["audio"]["output"]["format"] == {"type": "audio/pcmu"}


def test_text_responses_have_no_audio():
    client = Client((Says("The caller wants a table."),))
    client.send("response.create", response={"output_modalities": ["text"]})
    events = client.wait(3)
    assert audio_of(events) == b""
    assert (
        "".join(event["delta"] for event in only(events, "response.output_text.delta")) == "The caller wants a table."
    )
    (item,) = one(events, "response.done")["response"]["output"]
    assert item["content"] == [{"type": "output_text", "text": "The caller wants a table."}]


def test_one_response_at_a_time():
    client = Client()
    client.send("response.create")
    assert error_of(client.send("response.create"))[0] == "conversation_already_has_active_response"
    client.wait(0.3)
    refused = client.send("response.create", event_id="second")
    assert error_of(refused)[0] == "conversation_already_has_active_response"
    assert refused[0]["error"]["event_id"] == "second"
    assert len(only(client.wait(5), "response.done")) == 1
    assert len(client.brain.asked) == 1
    client.send("response.create")
    assert len(only(client.wait(5), "response.done")) == 1


def test_turn_detection_may_win_the_race():
    client = Client()
    events = client.say("Hello there.", then_s=0.25)
    assert "input_audio_buffer.committed" in kinds(events)
    assert error_of(client.send("response.create"))[0] == "conversation_already_has_active_response"


def test_turn_detection_may_lose_the_race():
    client = Client((Says("A long answer that takes its time, word after word after word."),))
    detection = {"type": "server_vad", "interrupt_response": False}
    client.configure(audio={"input": {"turn_detection": detection}})
    client.play(speak("Hello there.", 24000))
    client.send("response.create")
    error = one(client.play(silence(0.4)), "error")["error"]
    assert (error["code"], error["event_id"]) == ("conversation_already_has_active_response", None)


def test_out_of_band_leaves_the_conversation_alone():
    client = Client((Says("Hello."),), (Says("Angry? No."),))
    client.send("conversation.item.create", item=user_text("Hi"))
    client.send("response.create")
    settings = {"conversation": "none", "input": [], "metadata": {"purpose": "mood"}, "instructions": "Judge."}
    assert kinds(client.send("response.create", response=settings)) == []
    events = client.wait(5)
    out_of_band = [e for e in events if e.get("response", {}).get("metadata") == {"purpose": "mood"}]
    assert kinds(out_of_band) == ["response.created", "response.done"]
    assert {event["response"]["conversation_id"] for event in out_of_band} == {None}
    item = out_of_band[1]["response"]["output"][0]["id"]
    assert not [e for e in events if e["type"].startswith("conversation.item") and e["item"]["id"] == item]
    asked = client.brain.asked[1]
    assert (asked.items, asked.instructions, asked.out_of_band) == ((), "Judge.", True)
    assert asked.metadata == {"purpose": "mood"}
    client.send("response.create")
    assert [item.text for item in client.brain.asked[2].items] == ["Hi", "Hello."]


def test_input_replaces_the_context():
    client = Client()
    client.send("conversation.item.create", item=user_text("a"))
    client.send("conversation.item.create", item=user_text("b"))
    chosen = [{"type": "item_reference", "id": "b"}, message("user", "input_text", text="And?")]
    client.send("response.create", response={"input": chosen})
    assert [item.text for item in client.brain.asked[0].items] == ["b", "And?"]


def test_exact_words_are_read_by_the_server():
    client = Client()
    text = "This call may be recorded."
    client.send(
        "response.create",
        response={"conversation": "none", "input": [], "instructions": f"Read: <verbatim>{text}</verbatim>"},
    )
    events = client.wait(5)
    assert words_in(np.frombuffer(audio_of(events), dtype="<i2"), 24000) == text
    assert one(events, "response.output_audio_transcript.done")["transcript"] == text
    assert client.brain.asked == []


def test_a_response_overrides_the_session():
    client = Client()
    client.configure(instructions="Session.", tools=[RECORD])
    other = RECORD | {"name": "other"}
    override = {"instructions": "Response.", "tools": [other], "tool_choice": "none", "max_output_tokens": 50}
    client.send("response.create", response=override)
    client.wait(5)
    client.send("response.create")
    first, second = client.brain.asked
    assert (first.instructions, first.tool_names, first.tool_choice) == ("Response.", ("other",), "none")
    assert (second.instructions, second.tool_names, second.tool_choice) == ("Session.", ("record",), "auto")
    assert one(client.events, "response.done")["response"]["max_output_tokens"] == 50


@pytest.mark.parametrize(
    ("response", "code", "param"),
    [
        ({"modalities": ["audio"]}, "unknown_parameter", "response.modalities"),
        ({"temperature": 1}, "unknown_parameter", "response.temperature"),
        ({"conversation": "other"}, "invalid_value", "response.conversation"),
        ({"tool_choice": {"type": "function", "name": "nobody"}}, "invalid_value", "response.tool_choice"),
        ({"input": [{"type": "item_reference", "id": "nobody"}]}, "invalid_value", "response.input[0].id"),
        ({"metadata": {"a": 1}}, "invalid_value", "response.metadata.a"),
        ({"metadata": {"a": "x" * 513}}, "invalid_value", "response.metadata.a"),
        ({"metadata": {str(n): "" for n in range(17)}}, "invalid_value", "response.metadata"),
    ],
)
def test_wrong_responses_are_refused(response: dict[str, object], code: str, param: str):
    client = Client()
    assert error_of(client.send("response.create", response=response)) == (code, param)
    assert client.wait(5) == []


@pytest.mark.parametrize(
    ("choice", "names"),
    [("none", []), ("required", ["record"]), ({"type": "function", "name": "record"}, ["record"])],
)
def test_tool_choice_is_honoured(choice: object, names: list[str]):
    client = Client((Says("Hm."), Calls("record", {"n": 1})))
    client.configure(tools=[RECORD])
    client.send("response.create", response={"tool_choice": choice})
    output = one(client.wait(5), "response.done")["response"]["output"]
    assert [item["name"] for item in output if item["type"] == "function_call"] == names
    assert client.session.problems == []


def test_a_brain_that_must_call_is_made_to():
    client = Client((Says("I would rather talk."),))
    client.configure(tools=[RECORD], tool_choice="required")
    client.send("response.create")
    output = one(client.wait(5), "response.done")["response"]["output"]
    assert [(item["type"], item["arguments"]) for item in output] == [("function_call", "{}")]
    assert client.session.problems == ["the brain did not call though tool_choice was required"]


def test_token_limit_ends_a_response():
    client = Client((Says("A long answer that takes its time, word after word after word."),))
    client.send("response.create", response={"max_output_tokens": 20})
    events = client.wait(5)
    done = one(events, "response.done")["response"]
    assert (done["status"], done["status_details"]["reason"]) == ("incomplete", "max_output_tokens")
    (item,) = done["output"]
    assert item["status"] == "incomplete"
    assert one(events, "response.output_audio.done")
    assert client.session.spoken[0].status == "incomplete"
    assert 0 < len(audio_of(events)) < 48 * 1000


def test_usage_counts_and_caches():
    client = Client((Says("Hello."),), (Says("Good bye."),))
    client.configure(instructions="x" * 400)
    first = one(client.say("Good morning.") + client.wait(3), "response.done")["response"]["usage"]
    client.send("response.create")
    second = one(client.wait(3), "response.done")["response"]["usage"]
    assert first["total_tokens"] == first["input_tokens"] + first["output_tokens"]
    assert first["input_token_details"]["audio_tokens"] == pytest.approx(speech_ms("Good morning.") / 100 + 2, abs=3)
    assert first["input_token_details"]["cached_tokens"] == 0
    assert second["input_token_details"]["cached_tokens"] == first["input_tokens"]
    assert first["output_token_details"]["audio_tokens"] == pytest.approx(speech_ms("Hello.") / 50, abs=1)


def test_cancelled_response_closes_what_is_open():
    client = Client((Says("A long answer that takes its time, word after word after word."),))
    client.send("response.create")
    client.wait(0.6)
    events = client.send("response.cancel")
    assert kinds(events) == [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
        "rate_limits.updated",
    ]
    done = one(events, "response.done")["response"]
    assert (done["status"], done["status_details"]["reason"]) == ("cancelled", "client_cancelled")
    transcript = done["output"][0]["content"][0]["transcript"]
    assert "A long answer that takes its time".startswith(transcript[:10])
    assert client.wait(5) == []
    assert client.session.spoken[0].sent == transcript
    assert error_of(client.send("response.cancel"))[0] == "response_cancel_not_active"


def test_a_cancel_before_created_is_lost():
    client = Client(timing=Timing(created_s=0.1))
    client.send("response.create")
    client.wait(0.05)
    assert error_of(client.send("response.cancel"))[0] == "response_cancel_not_active"
    assert one(client.wait(5), "response.done")["response"]["status"] == "completed"


def test_a_cancel_by_id_finds_its_response():
    client = Client()
    client.send("response.create")
    client.send("response.create", response={"conversation": "none", "output_modalities": ["text"]})
    created = only(client.wait(0.1), "response.created")
    by_band = {event["response"]["conversation_id"] is None: event["response"]["id"] for event in created}
    done = one(client.send("response.cancel", response_id=by_band[True]), "response.done")
    assert (done["response"]["id"], done["response"]["output"]) == (by_band[True], [])
    assert error_of(client.send("response.cancel", response_id=by_band[True]))[0] == "response_cancel_not_active"
    assert one(client.wait(5), "response.done")["response"]["id"] == by_band[False]


def test_a_cancelled_call_is_incomplete():
    client = Client((Calls("record", {"text": "x" * 400}),))
    client.configure(tools=[RECORD])
    client.send("response.create")
    client.wait(0.5)
    events = client.send("response.cancel")
    assert kinds(events)[0] == "response.function_call_arguments.done"
    assert one(events, "response.done")["response"]["output"][0]["status"] == "incomplete"


def test_interruption_has_the_order_of_the_reference():
    client = Client((Says("A long answer that takes its time, word after word after word, and on and on."),))
    client.send("response.create")
    events = client.wait(0.45)
    spoken = client.play(speak("Stop!", 24000)[:4800])
    item_id = one(events, "response.output_item.added")["item"]["id"]
    heard = int(client.session.spoken[0].audio_ms)
    events += spoken
    events += client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=heard)
    expected = without_repeats(reference_order("interruption"))
    assert [kind for kind in without_repeats(kinds(events)) if kind != "rate_limits.updated"] == expected
    done = one(events, "response.done")["response"]
    assert (done["status"], done["status_details"]["reason"]) == ("cancelled", "turn_detected")


def test_an_interruption_reaches_a_response_not_yet_created():
    client = Client(timing=Timing(created_s=5))
    client.send("response.create")
    events = client.play(speak("Stop!", 24000)[:4800])
    assert without_repeats(kinds(events))[:3] == [
        "input_audio_buffer.speech_started",
        "response.created",
        "response.done",
    ]


def test_interruptions_may_be_left_to_the_client():
    client = Client((Says("A long answer that takes its time, word after word after word."),))
    client.configure(audio={"input": {"turn_detection": OUR_TURNS}})
    client.send("response.create")
    client.wait(0.4)
    client.say("Stop!")
    client.wait(5)
    assert one(client.events, "response.done")["response"]["status"] == "completed"
