"""How a session with the model is set up: what is asked of it once, before the first word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from voicebot.audio.formats import AudioFormat
from voicebot.call.ports import TurnTaking

# Realtime API reference, `audio.input.transcription.languages`: only these take more than one hint.
_TAKES_LANGUAGES = ("gpt-transcribe", "gpt-live-transcribe")


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """What stays the same for a whole session; voice and formats are locked once the model has spoken.

    `model` is the model's name, on Azure the deployment's. `languages` are ISO 639-1 codes or tags that begin with
    one, the likeliest first. `transcription_model` None leaves the caller's words unwritten. `silence_ms` ends a turn,
    `prefix_padding_ms` is kept from before its onset, `threshold` is the VAD's, 0 to 1. With `text` the model writes
    instead of speaking, and the caller's turns are inserted as text: all that has to do with audio is left out.
    """

    model: str
    voice: str
    audio_format: AudioFormat
    transcription_model: str | None
    languages: tuple[str, ...] = ()
    silence_ms: int = 500
    prefix_padding_ms: int = 300
    threshold: float = 0.5
    noise_reduction: Literal["near_field", "far_field"] | None = None
    text: bool = False


def initial_session(config: SessionConfig) -> dict[str, object]:
    """Make the `session` object of the first `session.update`; later ones carry neither voice nor formats.

    The server's VAD reports turns, and neither creates nor interrupts responses; in text it is off, as no audio comes.
    """
    if config.text:
        return {
            "type": "realtime",
            "output_modalities": ["text"],
            "audio": {"input": {"turn_detection": None}},
            "tools": [],
            "tool_choice": "auto",
        }
    wire_format = _format(config.audio_format)
    return {
        "type": "realtime",
        "output_modalities": ["audio"],
        "audio": {
            "input": {
                "format": wire_format,
                "transcription": _transcription(config.transcription_model, config.languages),
                "noise_reduction": {"type": config.noise_reduction} if config.noise_reduction else None,
                "turn_detection": turn_detection(config, TurnTaking(config.silence_ms)),
            },
            "output": {"format": wire_format, "voice": config.voice},
        },
        "tools": [],
        "tool_choice": "auto",
    }


def hearing(config: SessionConfig, turns: TurnTaking | None, language: str | None) -> dict[str, object]:
    """Make the fields of `audio.input` that change: how turns end, and the language that the caller speaks now.

    Where the model of the transcripts takes several languages, that one becomes the likeliest; else it is the only one.
    None leaves either as it is. In text there are none.
    """
    changed: dict[str, object] = {}
    if config.text:
        return changed
    if turns is not None:
        changed["turn_detection"] = turn_detection(config, turns)
    if language is not None and (model := config.transcription_model) is not None:
        takes_several = model in _TAKES_LANGUAGES
        others = [tag for tag in config.languages if takes_several and tag.partition("-")[0].lower() != language]
        changed["transcription"] = _transcription(model, (language, *others))
    return changed


def turn_detection(config: SessionConfig, turns: TurnTaking) -> dict[str, object] | None:
    """Make the `turn_detection` object, whole: it replaces the one before. None in text, where no audio comes."""
    if config.text:
        return None
    ours: dict[str, object] = {"create_response": False, "interrupt_response": False}
    if turns.eagerness is not None:
        return {"type": "semantic_vad", "eagerness": turns.eagerness, **ours}
    return {
        "type": "server_vad",
        "threshold": config.threshold,
        "prefix_padding_ms": config.prefix_padding_ms,
        "silence_duration_ms": turns.pause_ms,
        **ours,
    }


def _format(audio_format: AudioFormat) -> dict[str, object]:
    if audio_format is AudioFormat.PCMU_8K:
        return {"type": "audio/pcmu"}
    return {"type": "audio/pcm", "rate": audio_format.rate_hz}


def _transcription(model: str | None, languages: tuple[str, ...]) -> dict[str, object] | None:
    """With several languages a single hint would spoil the others, so models that take only one get none."""
    if model is None:
        return None
    codes = list(dict.fromkeys(tag.partition("-")[0].lower() for tag in languages))
    if len(codes) == 1:
        return {"model": model, "language": codes[0]}
    if codes and model in _TAKES_LANGUAGES:
        return {"model": model, "languages": codes}
    return {"model": model}
