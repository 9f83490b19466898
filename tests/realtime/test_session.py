"""The session we ask for, judged by the vendor's types."""

from __future__ import annotations

from dataclasses import replace

import pytest
from openai.types.realtime import RealtimeSessionCreateRequest

from voicebot.audio.formats import AudioFormat
from voicebot.call.ports import TurnTaking
from voicebot.realtime.client_events import phase_session
from voicebot.realtime.session import SessionConfig, hearing, initial_session

PCM = {"type": "audio/pcm", "rate": 24000}
PCMU = {"type": "audio/pcmu"}


def session(
    audio_format: AudioFormat = AudioFormat.PCM16_24K,
    transcription_model: str | None = "gpt-transcribe",
    languages: tuple[str, ...] = (),
) -> RealtimeSessionCreateRequest:
    config = SessionConfig("gpt-realtime-2.1", "marin", audio_format, transcription_model, languages)
    return RealtimeSessionCreateRequest.model_validate(initial_session(config), strict=True)


def test_whole_session_is_asked_for() -> None:
    config = SessionConfig(
        model="gpt-realtime-2.1",
        voice="cedar",
        audio_format=AudioFormat.PCM16_24K,
        transcription_model="gpt-transcribe",
        languages=("en",),
        silence_ms=400,
        prefix_padding_ms=200,
        threshold=0.6,
        noise_reduction="near_field",
    )
    assert initial_session(config) == {
        "type": "realtime",
        "output_modalities": ["audio"],
        "audio": {
            "input": {
                "format": PCM,
                "transcription": {"model": "gpt-transcribe", "language": "en"},
                "noise_reduction": {"type": "near_field"},
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.6,
                    "prefix_padding_ms": 200,
                    "silence_duration_ms": 400,
                    "create_response": False,
                    "interrupt_response": False,
                },
            },
            "output": {"format": PCM, "voice": "cedar"},
        },
        "tools": [],
        "tool_choice": "auto",
    }


def test_text_asks_for_nothing_that_is_heard() -> None:
    config = SessionConfig("gpt-realtime-2.1", "cedar", AudioFormat.PCMU_8K, "gpt-transcribe", ("en",), text=True)
    asked = initial_session(config)
    assert asked == {
        "type": "realtime",
        "output_modalities": ["text"],
        "audio": {"input": {"turn_detection": None}},
        "tools": [],
        "tool_choice": "auto",
    }
    assert RealtimeSessionCreateRequest.model_validate(asked, strict=True).output_modalities == ["text"]


@pytest.mark.parametrize(("audio_format", "wire_format"), [(AudioFormat.PCM16_24K, PCM), (AudioFormat.PCMU_8K, PCMU)])
def test_format_is_the_same_both_ways(audio_format: AudioFormat, wire_format: dict[str, object]) -> None:
    asked = session(audio_format).model_dump(exclude_unset=True)
    assert asked["audio"]["input"]["format"] == asked["audio"]["output"]["format"] == wire_format


@pytest.mark.parametrize(
    ("model", "languages", "transcription"),
    [
        (None, ("en",), None),
        ("gpt-transcribe", (), {"model": "gpt-transcribe"}),
        ("gpt-transcribe", ("it",), {"model": "gpt-transcribe", "language": "it"}),
        ("gpt-transcribe", ("en-GB", "en-US"), {"model": "gpt-transcribe", "language": "en"}),
        ("gpt-transcribe", ("en", "it"), {"model": "gpt-transcribe", "languages": ["en", "it"]}),
        ("gpt-live-transcribe", ("en", "it"), {"model": "gpt-live-transcribe", "languages": ["en", "it"]}),
        ("gpt-realtime-whisper", ("en", "it"), {"model": "gpt-realtime-whisper"}),
        ("gpt-realtime-whisper", ("it-IT",), {"model": "gpt-realtime-whisper", "language": "it"}),
    ],
)
def test_language_hint_fits_the_transcription_model(
    model: str | None, languages: tuple[str, ...], transcription: dict[str, object] | None
) -> None:
    asked = session(transcription_model=model, languages=languages).model_dump(exclude_unset=True)
    assert asked["audio"]["input"]["transcription"] == transcription


@pytest.mark.parametrize("audio_format", list(AudioFormat))
def test_server_never_owns_the_turn(audio_format: AudioFormat) -> None:
    audio = session(audio_format).audio
    assert audio is not None and audio.input is not None
    detection = audio.input.turn_detection
    assert detection is not None and detection.type == "server_vad"
    assert (detection.create_response, detection.interrupt_response) == (False, False)


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        (
            TurnTaking(800),
            {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 800},
        ),
        (TurnTaking(800, "low"), {"type": "semantic_vad", "eagerness": "low"}),
    ],
)
def test_phase_may_change_when_turns_end(turns: TurnTaking, said: dict[str, object]) -> None:
    config = SessionConfig("m", "marin", AudioFormat.PCM16_24K, None)
    wanted = {**said, "create_response": False, "interrupt_response": False}
    made = phase_session("Ask.", (), hearing(config, turns, None))
    assert made["audio"] == {"input": {"turn_detection": wanted}}
    assert "audio" not in phase_session("Ask.", ())
    assert hearing(replace(config, text=True), turns, "it") == {}


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("gpt-transcribe", {"languages": ["it", "en"]}),  # the likeliest first
        ("gpt-realtime-whisper", {"language": "it"}),
    ],
)
def test_language_of_the_caller_is_a_hint_for_the_transcripts(model: str, hint: dict[str, object]) -> None:
    config = SessionConfig("m", "marin", AudioFormat.PCM16_24K, model, ("en", "it"))
    assert hearing(config, None, "it") == {"transcription": {"model": model, **hint}}
    assert hearing(replace(config, transcription_model=None), None, "it") == {}
    assert hearing(config, None, None) == {}
