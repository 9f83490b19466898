"""The session object of the Realtime API: its settings, their defaults, what goes together (Realtime API reference)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from voicebot.errors import RemoteProtocolError

JsonObject = dict[str, object]


class Refused(RemoteProtocolError):
    """The server answers a client event with `error` and changes nothing.

    `event_id` is the refused event's, once known.
    """

    def __init__(
        self, code: str, message: str, param: str | None = None, *, kind: str = "invalid_request_error"
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.param, self.kind = code, message, param, kind
        self.event_id: str | None = None


class Strict(BaseModel):
    """Refuses fields it does not know and values of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


# ---- audio formats, turn detection, transcription ------------------------------------------------------------------


class Pcm(Strict):
    type: Literal["audio/pcm"]
    rate: Literal[24000]


class Pcmu(Strict):
    type: Literal["audio/pcmu"]


class Pcma(Strict):
    type: Literal["audio/pcma"]


Format = Annotated[Pcm | Pcmu | Pcma, Field(discriminator="type")]


class ServerVad(Strict):
    """`silence_duration_ms`: the reference says 500, its own `session.created` shows 200; the shorter one is kept."""

    type: Literal["server_vad"]
    threshold: float = Field(0.5, ge=0, le=1)
    prefix_padding_ms: int = Field(300, ge=0)
    silence_duration_ms: int = Field(200, ge=0)
    idle_timeout_ms: int | None = Field(None, ge=5000, le=30000)
    create_response: bool = True
    interrupt_response: bool = True


class SemanticVad(Strict):
    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True


TurnDetection = Annotated[ServerVad | SemanticVad, Field(discriminator="type")]


class Transcription(Strict):
    model: Literal[
        "whisper-1",
        "gpt-transcribe",
        "gpt-live-transcribe",
        "gpt-4o-mini-transcribe",
        "gpt-4o-mini-transcribe-2025-12-15",
        "gpt-4o-transcribe",
        "gpt-4o-transcribe-diarize",
        "gpt-realtime-whisper",
    ]
    language: str | None = None
    languages: list[str] | None = None
    prompt: str | None = None
    keywords: list[str] | None = None
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None

    @model_validator(mode="after")
    def _supported(self) -> Transcription:
        whisper = self.model == "gpt-realtime-whisper"
        guided = self.model in ("gpt-transcribe", "gpt-live-transcribe")
        for name, allowed in (
            ("keywords", guided),
            ("languages", guided),
            ("delay", whisper),
            ("prompt", not whisper),
        ):
            if getattr(self, name) is not None and not allowed:
                raise PydanticCustomError(
                    "unsupported", "{name} is not supported by {model}", {"name": name, "model": self.model}
                )
        return self


class NoiseReduction(Strict):
    type: Literal["near_field", "far_field"]
    strength: float | None = Field(None, ge=0, le=1)


# ---- tools, and the limits of a response ---------------------------------------------------------------------------


def _no_parameters() -> JsonObject:
    return {"type": "object", "properties": {}}


class FunctionTool(Strict):
    type: Literal["function"]
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str = ""
    parameters: JsonObject = Field(default_factory=_no_parameters)

    @model_validator(mode="after")
    def _object(self) -> FunctionTool:
        if self.parameters.get("type") != "object":
            raise PydanticCustomError("schema", "parameters must be a JSON Schema of type object")
        return self


class NamedTool(Strict):
    type: Literal["function"]
    name: str


ToolChoice = Literal["auto", "none", "required"] | NamedTool
MaxTokens = Annotated[int, Field(ge=1, le=4096)] | Literal["inf"]
Modalities = Annotated[list[Literal["audio", "text"]], Field(min_length=1, max_length=1)]


class Reasoning(Strict):
    effort: Literal["minimal", "low", "medium", "high", "xhigh"]


class TokenLimits(Strict):
    post_instructions: int = Field(ge=0)


class RetentionRatio(Strict):
    type: Literal["retention_ratio"]
    retention_ratio: float = Field(ge=0, le=1)
    token_limits: TokenLimits | None = None


class Tracing(Strict):
    workflow_name: str | None = None
    group_id: str | None = None
    metadata: JsonObject | None = None


class CustomVoice(Strict):
    id: str = Field(pattern=r"^voice_")


Voice = Literal["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"] | CustomVoice


# ---- the session ---------------------------------------------------------------------------------------------------


class AudioInput(Strict):
    format: Format = Pcm(type="audio/pcm", rate=24000)
    transcription: Transcription | None = None
    noise_reduction: NoiseReduction | None = None
    turn_detection: TurnDetection | None = ServerVad(type="server_vad")


class AudioOutput(Strict):
    format: Format = Pcm(type="audio/pcm", rate=24000)
    voice: Voice = "marin"
    speed: float = Field(1.0, ge=0.25, le=1.5)


class Audio(Strict):
    input: AudioInput = AudioInput()
    output: AudioOutput = AudioOutput()


class SessionConfig(Strict):
    """The session's settings. Validates an update too: `model_fields_set` then says which fields it brings."""

    type: Literal["realtime"]
    model: str = ""
    output_modalities: Modalities = ["audio"]
    instructions: str = "You are a helpful, witty and friendly voice assistant."
    audio: Audio = Audio()
    tools: list[FunctionTool] = []
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    max_output_tokens: MaxTokens = "inf"
    truncation: Literal["auto", "disabled"] | RetentionRatio = "auto"
    tracing: Literal["auto"] | Tracing | None = None
    include: list[Literal["item.input_audio_transcription.logprobs"]] | None = None
    prompt: None = None

    def updated(self, patch: SessionConfig) -> SessionConfig:
        """This configuration with what `patch` brings; objects below `audio` are merged, all others replaced.

        Raises:
            Refused: the fields do not go together.
        """
        merged = _merge(self.model_dump(), patch.model_dump(exclude_unset=True))
        config = SessionConfig.model_validate(merged)
        check_tools(config.tools, config.tool_choice, "session")
        return config

    def wire(self) -> JsonObject:
        """As `session.updated` shows it."""
        shown = self.model_dump()
        source = shown["audio"]["input"]
        for name in ("transcription", "noise_reduction"):
            if source[name]:
                source[name] = _without_nulls(source[name])
        for name in ("parallel_tool_calls", "reasoning"):
            if shown[name] is None:
                del shown[name]
        return shown


_MERGED = frozenset({"audio", "input", "output", "noise_reduction"})


def _merge(old: Mapping[str, object], new: Mapping[str, object]) -> JsonObject:
    merged = dict(old)
    for name, value in new.items():
        before = old.get(name)
        if name in _MERGED and isinstance(before, dict) and isinstance(value, dict):
            value = _merge(before, value)
        merged[name] = value
    return merged


def _without_nulls(value: Mapping[str, object]) -> JsonObject:
    return {name: part for name, part in value.items() if part is not None}


def check_tools(tools: Sequence[FunctionTool], choice: str | NamedTool, where: str) -> None:
    """Refuse tools of the same name, and a choice of a tool that is not there."""
    names = [tool.name for tool in tools]
    for name in names:
        if names.count(name) > 1:
            raise Refused("invalid_value", f"Invalid tools: duplicate function name '{name}'.", f"{where}.tools")
    if isinstance(choice, NamedTool) and choice.name not in names:
        raise Refused("invalid_value", f"Tool choice '{choice.name}' not found in tools.", f"{where}.tool_choice")
