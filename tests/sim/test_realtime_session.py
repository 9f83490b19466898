"""A session and its events, refused and answered, alone and in whole conversations."""

import json
import typing
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sim.realtime_client import (
    RECORD,
    SAMPLES,
    TRANSCRIBED,
    Client,
    Event,
    check_types,
    error_of,
    kinds,
    one,
    only,
)
from voicebot.sim.brain import Calls, Says
from voicebot.sim.realtime_agenda import Agenda
from voicebot.sim.realtime_quirks import Timing
from voicebot.sim.realtime_records import Closing, SeededIds

# ---- session -------------------------------------------------------------------------------------------------------


def test_opens_with_the_default_session():
    created, conversation = Client().opening
    sample = json.loads((SAMPLES / "openai_server/session.created.json").read_text())["session"]
    session = created["session"]
    assert session.keys() == sample.keys()
    assert session["audio"] == sample["audio"]
    assert session["expires_at"] == 1_800_003_600
    assert conversation["conversation"]["object"] == "realtime.conversation"


def test_update_answers_with_the_effective_session():
    client = Client()
    sample = json.loads((SAMPLES / "openai_client/session.update_initial.json").read_text())
    session = one(client.send(**_as_sent(sample)), "session.updated")["session"]
    expected = json.loads((SAMPLES / "openai_server/session.updated.json").read_text())["session"]
    varying = {"id", "expires_at"}
    assert {k: v for k, v in session.items() if k not in varying} == {
        k: v for k, v in expected.items() if k not in varying
    }


def test_update_changes_only_what_it_brings():
    client = Client()
    client.configure(instructions="Be brief.", audio=TRANSCRIBED)
    session = one(client.configure(audio={"input": {"turn_detection": None}}), "session.updated")["session"]
    assert session["instructions"] == "Be brief."
    assert session["audio"]["input"]["turn_detection"] is None
    assert session["audio"]["input"]["transcription"] == {"model": "gpt-transcribe"}
    session = one(client.configure(instructions="", audio={"input": {"transcription": None}}), "session.updated")
    assert session["session"]["instructions"] == ""
    assert session["session"]["audio"]["input"]["transcription"] is None


def test_noise_reduction_keeps_its_strength():
    client = Client()
    client.configure(audio={"input": {"noise_reduction": {"type": "near_field", "strength": 0.3}}})
    updated = client.configure(audio={"input": {"noise_reduction": {"type": "far_field"}}})
    shown = one(updated, "session.updated")["session"]["audio"]["input"]["noise_reduction"]
    assert shown == {"type": "far_field", "strength": 0.3}


def _input(**fields: object) -> dict[str, object]:
    return {"audio": {"input": fields}}


@pytest.mark.parametrize(
    ("settings", "code", "param"),
    [
        ({"temperature": 0.8}, "unknown_parameter", "session.temperature"),
        ({"modalities": ["audio"]}, "unknown_parameter", "session.modalities"),
        ({"voice": "marin"}, "unknown_parameter", "session.voice"),
        (_input(gain=2), "unknown_parameter", "session.audio.input.gain"),
        ({"output_modalities": ["audio", "text"]}, "invalid_value", "session.output_modalities"),
        ({"output_modalities": ["video"]}, "invalid_value", "session.output_modalities[0]"),
        ({"instructions": None}, "invalid_value", "session.instructions"),
        ({"max_output_tokens": 5000}, "invalid_value", "session.max_output_tokens"),
        ({"max_output_tokens": "many"}, "invalid_value", "session.max_output_tokens"),
        ({"model": "gpt-realtime-2"}, "invalid_value", "session.model"),
        ({"audio": {"output": {"voice": "nobody"}}}, "invalid_value", "session.audio.output.voice"),
        ({"audio": {"output": {"speed": 2.0}}}, "invalid_value", "session.audio.output.speed"),
        (_input(format={"type": "pcm16"}), "invalid_value", "session.audio.input.format"),
        (_input(format={"type": "audio/pcm"}), "missing_required_parameter", "session.audio.input.format.rate"),
        (_input(format={"type": "audio/pcm", "rate": 8000}), "invalid_value", "session.audio.input.format.rate"),
        (
            _input(format={"type": "audio/pcmu", "rate": 8000}),
            "unknown_parameter",
            "session.audio.input.format.rate",
        ),
        (
            _input(turn_detection={"type": "server_vad", "idle_timeout_ms": 1000}),
            "invalid_value",
            "session.audio.input.turn_detection.idle_timeout_ms",
        ),
        (
            _input(turn_detection={"type": "semantic_vad", "threshold": 0.5}),
            "unknown_parameter",
            "session.audio.input.turn_detection.threshold",
        ),
        (_input(transcription={"model": "none"}), "invalid_value", "session.audio.input.transcription.model"),
        (
            _input(transcription={"model": "whisper-1", "keywords": ["pizza"]}),
            "invalid_value",
            "session.audio.input.transcription",
        ),
        ({"tools": [RECORD | {"strict": True}]}, "unknown_parameter", "session.tools[0].strict"),
        ({"tools": [RECORD | {"name": "no spaces"}]}, "invalid_value", "session.tools[0].name"),
        ({"tools": [RECORD | {"parameters": {"type": "string"}}]}, "invalid_value", "session.tools[0]"),
        ({"tools": [RECORD, RECORD]}, "invalid_value", "session.tools"),
        ({"tool_choice": {"type": "function", "name": "record"}}, "invalid_value", "session.tool_choice"),
        ({"tool_choice": {"type": "function"}}, "missing_required_parameter", "session.tool_choice.name"),
    ],
)
def test_update_is_refused_whole(settings: dict[str, object], code: str, param: str):
    client = Client()
    before = client.session.config
    assert error_of(client.configure(**{"instructions": "New."} | settings)) == (code, param)
    assert client.session.config == before


def test_update_needs_the_type():
    assert error_of(Client().send("session.update", session={})) == ("missing_required_parameter", "session.type")


@pytest.mark.parametrize(
    ("model", "accepted"), [("gpt-realtime-2.1", True), ("gpt-realtime-2.1-mini", True), ("gpt-realtime-1.5", False)]
)
def test_only_reasoning_models_reason(model: str, accepted: bool):
    answer = Client(model=model).configure(reasoning={"effort": "low"}, parallel_tool_calls=False)
    assert kinds(answer) == ["session.updated" if accepted else "error"]


def test_voice_is_locked_by_the_first_audio():
    client = Client()
    assert kinds(client.configure(audio={"output": {"voice": "cedar"}})) == ["session.updated"]
    client.send("response.create")
    client.wait(5)
    locked = ("cannot_update_voice", "session.audio.output.voice")
    assert error_of(client.configure(audio={"output": {"voice": "cedar"}})) == locked
    assert kinds(client.configure(instructions="Go on.")) == ["session.updated"]


def test_a_response_may_not_change_the_voice():
    client = Client()
    other = {"audio": {"output": {"voice": {"id": "voice_mine"}}}}
    client.send("response.create", response=other)
    shown = one(client.wait(5), "response.done")["response"]["audio"]["output"]["voice"]
    assert shown == {"id": "voice_mine"}
    refused = client.send("response.create", response=other)
    assert error_of(refused) == ("cannot_update_voice", "response.audio.output.voice")


def test_tracing_stays_as_it_is():
    client = Client()
    client.configure(tracing="auto")
    assert kinds(client.configure(tracing="auto")) == ["session.updated"]
    assert error_of(client.configure(tracing=None)) == ("invalid_value", "session.tracing")


def test_speed_waits_for_the_turn_to_end():
    client = Client()
    client.send("response.create")
    param = "session.audio.output.speed"
    assert error_of(client.configure(audio={"output": {"speed": 1.2}})) == ("invalid_value", param)


def test_session_expires():
    client = Client(timing=Timing(session_s=3600))
    assert client.wait(3599) == []
    event = one(client.wait(2), "error")["error"]
    assert (event["code"], event["message"]) == (
        "session_expired",
        "Your session hit the maximum duration of 60 minutes.",
    )
    assert client.session.closing == Closing(1001, event["message"])
    assert client.session.deadline() is None
    assert client.send("response.create") == []


# ---- events --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code", "param"),
    [
        ("{", "invalid_event", None),
        ("", "invalid_event", None),
        ("[]", "invalid_event", None),
        ("[" * 100_000, "invalid_event", None),
        ('{"type": "session.update", "session": NaN}', "invalid_event", None),
        ("{}", "invalid_event", None),
        ('{"type": 1}', "invalid_event", None),
        ('{"type": "scooby.dooby.doo"}', "invalid_value", "type"),
        ('{"type": "output_audio_buffer.clear"}', "invalid_value", "type"),
        ('{"type": "response.cancel", "why": 1}', "unknown_parameter", "why"),
        ('{"type": "conversation.item.delete"}', "missing_required_parameter", "item_id"),
        ('{"type": "input_audio_buffer.append", "audio": "?"}', "invalid_value", "audio"),
    ],
)
def test_malformed_events_are_refused(text: str, code: str, param: str | None):
    client = Client()
    client.session.handle(text, client.now)
    assert error_of(client._take()) == (code, param)


def test_errors_name_the_event():
    client = Client()
    assert client.send("nonsense", event_id="mine")[0]["error"]["event_id"] == "mine"
    assert client.send("nonsense")[0]["error"]["event_id"] is None
    assert error_of(client.send("response.cancel", event_id="x" * 513)) == ("invalid_value", "event_id")


@given(
    st.dictionaries(
        st.sampled_from(["type", "event_id", "session", "item", "response", "audio", "item_id", "audio_end_ms"]),
        st.sampled_from(["session.update", "response.create", "conversation.item.create", "input_audio_buffer.append"])
        | st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["realtime", "message"]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["type", "role", "content", "audio", "input", "tools"]), inner, max_size=3
                )
            ),
            max_leaves=8,
        ),
    )
)
def test_anything_is_answered(event: dict[str, object]):
    client = Client()
    client.session.handle(json.dumps(event), client.now)
    check_types(client._take())


def _as_sent(event: Event) -> Event:
    return {"kind": event["type"], **{name: value for name, value in event.items() if name != "type"}}


HISTORY = ["conversation.item.create_user_text", "conversation.item.create_assistant_text"]
TOOL = ["session.update_phase_switch"]
CALLED = [*TOOL, "conversation.item.create_function_call"]
CLIENT_SAMPLES: dict[str, tuple[list[str], str]] = {
    # sample: (samples sent before, the type of what answers first; an error's code)
    "conversation.item.create_assistant_text": (HISTORY[:1], "conversation.item.added"),
    "conversation.item.create_function_call": ([], "conversation.item.added"),
    "conversation.item.create_function_call_output": (CALLED, "conversation.item.added"),
    "conversation.item.create_system": ([], "conversation.item.added"),
    "conversation.item.create_user_text": ([], "conversation.item.added"),
    "conversation.item.delete": (HISTORY, "conversation.item.deleted"),
    "conversation.item.retrieve": (HISTORY, "conversation.item.retrieved"),
    "conversation.item.truncate": (HISTORY, "item_truncate_invalid_item_id"),
    "input_audio_buffer.append": ([], ""),
    "input_audio_buffer.clear": ([], "input_audio_buffer.cleared"),
    "input_audio_buffer.commit": ([], "input_audio_buffer_commit_empty"),
    "response.cancel": ([], "response_cancel_not_active"),
    "response.cancel_by_id": ([], "response_cancel_not_active"),
    "response.create_custom_input": (HISTORY, "response.created"),
    "response.create_default": ([], "response.created"),
    "response.create_forced_tool": (TOOL, "response.created"),
    "response.create_out_of_band": ([], "response.created"),
    "response.create_override": ([], "response.created"),
    "session.update_initial": ([], "session.updated"),
    "session.update_manual_turns": ([], "session.updated"),
    "session.update_pcmu_passthrough": ([], "session.updated"),
    "session.update_phase_switch": ([], "session.updated"),
    "session.update_semantic_vad": ([], "session.updated"),
}


def _sample(name: str) -> Event:
    return typing.cast(Event, json.loads((SAMPLES / f"openai_client/{name}.json").read_text()))


@pytest.mark.parametrize("name", sorted(path.stem for path in (SAMPLES / "openai_client").glob("*.json")))
def test_client_samples_get_their_answer(name: str):
    before, answer = CLIENT_SAMPLES[name]
    client = Client()
    for earlier in before:
        assert "error" not in kinds(client.send(**_as_sent(_sample(earlier))))
    events = client.send(**_as_sent(_sample(name))) + client.wait(0.1)
    first = events[0] if events else {"type": ""}
    assert first.get("error", {}).get("code", first["type"]) == answer
    check_types(events)


# ---- whole conversations -------------------------------------------------------------------------------------------


def _conversation(**options: typing.Any) -> Client:
    """A call with everything in it."""
    client = Client(
        (Says("Good evening. What may I bring you?"),),
        (Says("One moment."), Calls("record", {"n": 2})),
        (Says("Two pizzas, that is twenty euros. Shall I send them?"),),
        (Says("Good bye."),),
        (Says("They ordered two pizzas."),),
        **options,
    )
    client.configure(audio=TRANSCRIBED | {"output": {"voice": "cedar"}}, tools=[RECORD])
    client.send("response.create")
    client.wait(4)
    client.say("Two pizzas, please.")
    done = only(client.wait(6), "response.done")
    calls = [i for i in done[-1]["response"]["output"] if i["type"] == "function_call"] if done else []
    for call in calls:
        item = {"type": "function_call_output", "call_id": call["call_id"], "output": "{}"}
        client.send("conversation.item.create", item=item)
    client.send("response.create")
    client.wait(1.5)
    client.say("Yes, thank you.")
    client.wait(4)
    for said in client.session.spoken[-2:-1]:
        client.send("conversation.item.truncate", item_id=said.item_id, content_index=0, audio_end_ms=200)
        client.send("conversation.item.retrieve", item_id=said.item_id)
        client.send("conversation.item.delete", item_id=said.item_id)
    aside = {"conversation": "none", "output_modalities": ["text"], "tools": [], "metadata": {"purpose": "summary"}}
    client.send("response.create", response=aside)
    client.send("response.cancel", response_id="nobody")
    client.send("input_audio_buffer.clear")
    client.wait(4)
    return client


def test_every_event_is_of_the_vendors_types():
    client = _conversation()
    check_types(client.events)
    assert len(set(kinds(client.events))) > 25
    assert [turn.text for turn in client.session.user_turns] == ["Two pizzas, please.", "Yes, thank you."]
    assert len({event["event_id"] for event in client.events}) == len(client.events)


def test_the_same_seed_gives_the_same_call():
    assert _conversation(shuffle=7).events == _conversation(shuffle=7).events
    assert _conversation(ids=SeededIds(1)).events != _conversation(ids=SeededIds(2)).events


@pytest.mark.parametrize("seed", range(12))
def test_shuffled_orders_stay_legal(seed: int):
    events = _conversation(shuffle=seed).events
    check_types(events)
    for response_id in {event["response"]["id"] for event in events if "response" in event}:
        own = [e for e in events if e.get("response_id", e.get("response", {}).get("id")) == response_id]
        names = kinds(own)
        assert (names[0], names[-1]) == ("response.created", "response.done")
        assert Counter(names)["response.done"] == 1
        for kind in ("output_audio", "output_audio_transcript", "function_call_arguments"):
            last = {}
            for at, event in enumerate(own):
                if event["type"] == f"response.{kind}.done":
                    assert at > last.get(event["item_id"], 0)
                elif event["type"] == f"response.{kind}.delta":
                    last[event["item_id"]] = at


def test_shuffled_orders_differ():
    orders = {tuple(kinds(_conversation(shuffle=seed).events)) for seed in range(4)}
    assert len(orders) == 4


def test_nothing_is_kept_unless_asked():
    client = Client(record=False)
    client.send("response.create")
    client.wait(3)
    assert client.session.transcript == []


def test_the_transcript_holds_both_sides():
    client = _conversation()
    ours = [exchanged.event for exchanged in client.session.transcript if exchanged.sender == "server"]
    theirs = [exchanged.event for exchanged in client.session.transcript if exchanged.sender == "client"]
    assert ours == client.events
    assert Counter(event["type"] for event in theirs if event)["response.create"] == 3


def test_appointments_are_kept_in_order():
    agenda, done = Agenda(0.0), []
    agenda.after(2, lambda: done.append(("b", agenda.now)))
    agenda.after(1, lambda: agenda.after(0.5, lambda: done.append(("a", agenda.now))))
    agenda.after(1.2, lambda: done.append(("never", agenda.now))).cancelled = True
    agenda.keep(10)
    assert done == [("a", 1.5), ("b", 2)]
    assert (agenda.deadline(), agenda.now) == (None, 10)
