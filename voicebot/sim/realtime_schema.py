"""What a client may send to the Realtime API, and how the API says no (Realtime API reference, client events)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

from pydantic import Discriminator, Field, Tag, ValidationError
from pydantic_core import ErrorDetails

from .realtime_config import (
    Format,
    FunctionTool,
    JsonObject,
    MaxTokens,
    Modalities,
    Reasoning,
    Refused,
    SessionConfig,
    Strict,
    ToolChoice,
    Voice,
)

# ---- conversation items --------------------------------------------------------------------------------------------

# Ids are at most 32 characters; call ids are letters, digits, `_` and `-`.
ItemId = Annotated[str, Field(min_length=1, max_length=32)]
CallId = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$", max_length=32)]


class InputText(Strict):
    type: Literal["input_text"]
    text: str


class InputAudioPart(Strict):
    type: Literal["input_audio"]
    audio: str
    transcript: str | None = None


class InputImage(Strict):
    type: Literal["input_image"]
    image_url: str = Field(pattern=r"^data:image/")
    detail: Literal["auto", "low", "high"] = "auto"


class OutputText(Strict):
    type: Literal["output_text"]
    text: str


class _NewItem(Strict):
    id: ItemId | None = None
    object: Literal["realtime.item"] | None = None
    status: Literal["completed", "incomplete", "in_progress"] | None = None


class UserMessage(_NewItem):
    type: Literal["message"]
    role: Literal["user"]
    content: list[Annotated[InputText | InputAudioPart | InputImage, Field(discriminator="type")]] = Field(min_length=1)


class AssistantMessage(_NewItem):
    """Words only: audio of the assistant cannot be created by a client."""

    type: Literal["message"]
    role: Literal["assistant"]
    content: list[OutputText] = Field(min_length=1)


class SystemMessage(_NewItem):
    type: Literal["message"]
    role: Literal["system"]
    content: list[InputText] = Field(min_length=1)


class FunctionCall(_NewItem):
    type: Literal["function_call"]
    name: str
    arguments: str
    call_id: CallId | None = None


class FunctionCallOutput(_NewItem):
    type: Literal["function_call_output"]
    call_id: CallId
    output: str


class ItemReference(Strict):
    type: Literal["item_reference"]
    id: str


def _item_kind(value: object) -> str | None:
    if not isinstance(value, Mapping):
        return None
    return str(value.get("role")) if value.get("type") == "message" else str(value.get("type"))


_AnyNewItem = (
    Annotated[UserMessage, Tag("user")]
    | Annotated[AssistantMessage, Tag("assistant")]
    | Annotated[SystemMessage, Tag("system")]
    | Annotated[FunctionCall, Tag("function_call")]
    | Annotated[FunctionCallOutput, Tag("function_call_output")]
)
NewItem = Annotated[_AnyNewItem, Discriminator(_item_kind)]
InputItem = Annotated[_AnyNewItem | Annotated[ItemReference, Tag("item_reference")], Discriminator(_item_kind)]


# ---- a response's own settings -------------------------------------------------------------------------------------


class ResponseAudioOutput(Strict):
    format: Format | None = None
    voice: Voice | None = None


class ResponseAudio(Strict):
    output: ResponseAudioOutput = ResponseAudioOutput()


Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]


class ResponseParams(Strict):
    """What `response.create` overrides, for this response only."""

    instructions: str | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: ToolChoice | None = None
    output_modalities: Modalities | None = None
    audio: ResponseAudio = ResponseAudio()
    max_output_tokens: MaxTokens | None = None
    metadata: Metadata | None = None
    conversation: Literal["auto", "none"] = "auto"
    input: list[InputItem] | None = None
    reasoning: Reasoning | None = None
    parallel_tool_calls: bool | None = None
    prompt: None = None


# ---- client events -------------------------------------------------------------------------------------------------


class _Event(Strict):
    event_id: str | None = Field(None, max_length=512)


class UpdateSession(_Event):
    type: Literal["session.update"]
    session: SessionConfig


class AppendAudio(_Event):
    type: Literal["input_audio_buffer.append"]
    audio: str


class CommitAudio(_Event):
    type: Literal["input_audio_buffer.commit"]


class ClearAudio(_Event):
    type: Literal["input_audio_buffer.clear"]


class CreateItem(_Event):
    type: Literal["conversation.item.create"]
    item: NewItem
    previous_item_id: str | None = None


class RetrieveItem(_Event):
    type: Literal["conversation.item.retrieve"]
    item_id: str


class DeleteItem(_Event):
    type: Literal["conversation.item.delete"]
    item_id: str


class TruncateItem(_Event):
    type: Literal["conversation.item.truncate"]
    item_id: str
    content_index: int = Field(ge=0)
    audio_end_ms: int = Field(ge=0)


class CreateResponse(_Event):
    type: Literal["response.create"]
    response: ResponseParams = ResponseParams()


class CancelResponse(_Event):
    type: Literal["response.cancel"]
    response_id: str | None = None


ClientEvent = (
    UpdateSession
    | AppendAudio
    | CommitAudio
    | ClearAudio
    | CreateItem
    | RetrieveItem
    | DeleteItem
    | TruncateItem
    | CreateResponse
    | CancelResponse
)

_EVENTS: Final[Mapping[str, type[ClientEvent]]] = {
    "session.update": UpdateSession,
    "input_audio_buffer.append": AppendAudio,
    "input_audio_buffer.commit": CommitAudio,
    "input_audio_buffer.clear": ClearAudio,
    "conversation.item.create": CreateItem,
    "conversation.item.retrieve": RetrieveItem,
    "conversation.item.delete": DeleteItem,
    "conversation.item.truncate": TruncateItem,
    "response.create": CreateResponse,
    "response.cancel": CancelResponse,
}


def _no_number(name: str) -> object:
    """NaN and the infinities, which Python would take, are not JSON."""
    raise ValueError(name)


_JSON = json.JSONDecoder(parse_constant=_no_number)


def load(text: str) -> JsonObject:
    """The JSON object of one frame.

    Raises:
        Refused: `invalid_event`.
    """
    try:
        raw = _JSON.decode(text)
    except (ValueError, RecursionError) as exc:
        raise Refused("invalid_event", "The event is not valid JSON.") from exc
    if not isinstance(raw, dict):
        raise Refused("invalid_event", "The event must be a JSON object.")
    return raw


def read(raw: JsonObject) -> ClientEvent:
    """Validate one client event.

    Raises:
        Refused: with the code, the sentence and the parameter of the API's `error`.
    """
    kind = raw.get("type")
    if not isinstance(kind, str):
        raise Refused("invalid_event", "The 'type' field is missing.")
    if kind not in _EVENTS:
        raise Refused("invalid_value", f"Invalid value: '{kind}'. Supported values are: {_listed(_EVENTS)}.", "type")
    try:
        return _EVENTS[kind].model_validate(raw)
    except ValidationError as exc:
        raise _refusal(exc, raw) from exc


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _refusal(error: ValidationError, raw: JsonObject) -> Refused:
    """The API names one fault; of several, the one that lies deepest is the most exact."""
    detail = max(error.errors(include_url=False), key=lambda one: len(_path(one, raw)))
    param = _dotted(_path(detail, raw))
    match detail["type"]:
        case "union_tag_invalid":
            tag, expected = detail["ctx"]["tag"], detail["ctx"]["expected_tags"]
            return Refused("invalid_value", f"Invalid value: '{tag}'. Supported values are: {expected}.", param)
        case "extra_forbidden":
            return Refused("unknown_parameter", f"Unknown parameter: '{param}'.", param)
        case "missing":
            return Refused("missing_required_parameter", f"Missing required parameter: '{param}'.", param)
        case "literal_error":
            expected = detail["ctx"]["expected"]
            return Refused(
                "invalid_value", f"Invalid value: '{detail['input']}'. Supported values are: {expected}.", param
            )
    return Refused("invalid_value", f"Invalid value for '{param}': {detail['msg']}.", param)


def _path(detail: ErrorDetails, raw: JsonObject) -> list[str | int]:
    """Where the fault lies in the client's own object, without the names that pydantic gives to union members."""
    path: list[str | int] = []
    here: object = raw
    for part in detail["loc"]:
        match here, part:
            case dict(), str() if part in here:
                here = here[part]
            case list(), int() if part < len(here):
                here = here[part]
            case _:
                continue
        path.append(part)
    return [*path, detail["loc"][-1]] if detail["type"] == "missing" else path


def _dotted(path: Sequence[str | int]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")
