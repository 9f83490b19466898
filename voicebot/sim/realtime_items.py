"""The conversation as the Realtime server keeps it: items in order, with what a model makes of each."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Literal

from .brain import ContextItem
from .realtime_audio import Codec, words_in
from .realtime_config import JsonObject, Refused
from .realtime_schema import (
    AssistantMessage,
    FunctionCall,
    FunctionCallOutput,
    InputAudioPart,
    InputImage,
    SystemMessage,
    UserMessage,
)
from .realtime_wire import Emit
from .speech_code import Samples


@dataclass(slots=True, eq=False)
class Item:
    """One conversation item.

    Attributes:
        content: the parts of a message as they stand on the wire, without audio.
        words: what a model understands of a message, whether it was written or spoken.
        audio: of a spoken message, as much as was received or sent; at `codec`'s rate.
    """

    id: str
    kind: Literal["message", "function_call", "function_call_output"]
    status: Literal["in_progress", "completed", "incomplete"] = "completed"
    role: Literal["user", "assistant", "system", ""] = ""
    content: list[JsonObject] = field(default_factory=list)
    words: str = ""
    audio: Samples | None = None
    codec: Codec | None = None
    truncated: bool = False
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    output: str = ""

    @property
    def audio_ms(self) -> float:
        if self.audio is None or self.codec is None:
            return 0.0
        return len(self.audio) * 1000 / self.codec.rate_hz

    def wire(self, *, with_audio: bool = False) -> JsonObject:
        """As events show it; audio is only in `conversation.item.retrieved`."""
        shown: JsonObject = {"id": self.id, "object": "realtime.item", "type": self.kind, "status": self.status}
        match self.kind:
            case "message":
                shown |= {"role": self.role, "content": [dict(part) for part in self.content]}
                if with_audio and self.audio is not None and self.codec is not None:
                    encoded = base64.b64encode(self.codec.encode(self.audio)).decode()
                    shown["content"] = [{**part, "audio": encoded} for part in self.content]
            case "function_call":
                shown |= {"call_id": self.call_id, "name": self.name, "arguments": self.arguments}
            case "function_call_output":
                shown |= {"call_id": self.call_id, "output": self.output}
        return shown

    def seen(self) -> ContextItem:
        """As a model sees it."""
        return ContextItem(
            kind=self.kind,
            role=self.role,
            text=self.words,
            name=self.name,
            arguments=self.arguments,
            output=self.output,
            call_id=self.call_id,
            item_id=self.id,
        )

    def truncate(self, audio_end_ms: int) -> None:
        """Forget audio after `audio_end_ms`, and the transcript whole: the model knows what is left by ear.

        Raises:
            Refused: this is not audio of the assistant, or it is shorter.
        """
        if self.role != "assistant" or self.audio is None or self.codec is None:
            raise Refused("invalid_value", "Only model output audio messages can be truncated.", "item_id")
        if audio_end_ms > self.audio_ms:
            raise Refused(
                "invalid_value", f"Audio content of {int(self.audio_ms)}ms is already shorter than {audio_end_ms}ms"
            )
        self.audio = self.audio[: audio_end_ms * self.codec.rate_hz // 1000]
        self.words = words_in(self.audio, self.codec.rate_hz)
        self.content = [{"type": "output_audio", "transcript": None}]
        self.truncated = True


def made_of(
    new: UserMessage | AssistantMessage | SystemMessage | FunctionCall | FunctionCallOutput,
    item_id: str,
    call_id: str,
    codec: Codec,
) -> Item:
    """The item that a client describes. `call_id` is for a call that has none.

    Raises:
        Refused: its audio is not base64.
    """
    match new:
        case FunctionCall():
            call_id = new.call_id or call_id
            return Item(item_id, "function_call", name=new.name, call_id=call_id, arguments=new.arguments)
        case FunctionCallOutput():
            return Item(item_id, "function_call_output", call_id=new.call_id, output=new.output)
    item = Item(item_id, "message", role=new.role)
    words = []
    for at, part in enumerate(new.content):
        shown = part.model_dump()
        match part:
            case InputAudioPart():
                del shown["audio"]
                item.codec, item.audio = codec, codec.decode(unbase64(part.audio, f"item.content[{at}].audio"))
                words.append(words_in(item.audio, codec.rate_hz))
            case InputImage():
                pass
            case _:
                words.append(part.text)
        item.content.append(shown)
    item.words = " ".join(word for word in words if word)
    return item


def unbase64(text: str, param: str) -> bytes:
    """The bytes of an audio field.

    Raises:
        Refused: it is not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as exc:
        raise Refused("invalid_value", f"Invalid '{param}'. Expected base64-encoded audio bytes.", param) from exc


class Conversation:
    """Items in order."""

    def __init__(self, conversation_id: str) -> None:
        self.id = conversation_id
        self.items: list[Item] = []

    @property
    def last_id(self) -> str | None:
        return self.items[-1].id if self.items else None

    def find(self, item_id: str) -> Item | None:
        return next((item for item in self.items if item.id == item_id), None)

    def get(self, item_id: str, action: Literal["retrieve", "delete", "truncate"]) -> Item:
        """The item of this id.

        Raises:
            Refused: there is none.
        """
        item = self.find(item_id)
        if item is None:
            raise Refused(
                f"item_{action}_invalid_item_id",
                f"Error {action[:-1]}ing item: the item with id '{item_id}' does not exist.",
                "item_id",
            )
        return item

    def insert(self, item: Item, previous_item_id: str | None = None) -> str | None:
        """Put `item` after another, first (`root`), or last (None); the id of the item it stands behind.

        Raises:
            Refused: that item, or the call that this output answers, does not exist; or the id does already.
        """
        if self.find(item.id):
            raise Refused("invalid_value", f"An item with id '{item.id}' already exists.", "item.id")
        if item.kind == "function_call_output" and not self._has_call(item.call_id):
            raise Refused("invalid_tool_call_id", f"Tool call ID '{item.call_id}' not found in conversation.")
        place = self._place_after(previous_item_id)
        self.items.insert(place, item)
        return self.items[place - 1].id if place else None

    def add(self, item: Item, emit: Emit, previous_item_id: str | None = None) -> None:
        """Insert an item that is whole from the beginning, and tell of it.

        Raises:
            Refused: as `insert`.
        """
        previous = self.insert(item, previous_item_id)
        for what in ("added", "done"):
            emit(f"conversation.item.{what}", previous_item_id=previous, item=item.wire())

    def previous_of(self, item: Item) -> str | None:
        place = self.items.index(item) if item in self.items else len(self.items)
        return self.items[place - 1].id if place else None

    def answers(self, call_id: str) -> int:
        """How many outputs this call has."""
        return sum(item.kind == "function_call_output" and item.call_id == call_id for item in self.items)

    def _has_call(self, call_id: str) -> bool:
        return any(item.kind == "function_call" and item.call_id == call_id for item in self.items)

    def _place_after(self, previous_item_id: str | None) -> int:
        if previous_item_id is None:
            return len(self.items)
        if previous_item_id == "root":
            return 0
        for place, item in enumerate(self.items, 1):
            if item.id == previous_item_id:
                return place
        raise Refused("invalid_value", f"The item with id '{previous_item_id}' does not exist.", "previous_item_id")
