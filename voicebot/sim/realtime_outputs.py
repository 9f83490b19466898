"""The two kinds of output of a response, a message and a function call, as the events that they are sent in.

output_item.added → conversation.item.added → content_part.added → deltas → *.done → content_part.done →
output_item.done / conversation.item.done
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from .brain import Calls
from .realtime_config import JsonObject
from .realtime_items import Item
from .realtime_records import SpokenItem
from .realtime_stage import Meter, Order, Stage, words_tokens
from .speech import speak

_TEXT_DELTA = 12  # characters of function arguments in one delta
_AUDIO_MS_PER_TOKEN = 50  # assistant audio; the user's costs one token per 100 ms
_WORD = re.compile(r"\s*\S+")


@dataclass(frozen=True, slots=True)
class Scene:
    """What the outputs of one response share."""

    response_id: str
    order: Order
    stage: Stage
    meter: Meter


@dataclass(slots=True)
class _Place:
    """The fields that say where in a response something stands."""

    scene: Scene
    index: int
    item: Item
    fields: JsonObject = field(init=False)

    def __post_init__(self) -> None:
        self.fields = {"response_id": self.scene.response_id, "item_id": self.item.id, "output_index": self.index}

    def emit(self, kind: str, **fields: object) -> None:
        self.scene.stage.emit(kind, **self.fields, **fields)

    def announce(self) -> None:
        """Both events that say an item has begun."""
        conversation = self.scene.order.conversation
        previous = conversation.insert(self.item) if conversation is not None else None
        events = [self._in_response("added"), self._in_conversation("added", previous)]
        if self.scene.stage.chance.flip(usual=False):
            events.reverse()
        self._send(events)

    def finish(self, status: Literal["completed", "incomplete"]) -> None:
        """Both events that say an item is done."""
        self.item.status = status
        conversation = self.scene.order.conversation
        previous = conversation.previous_of(self.item) if conversation is not None else None
        events = [self._in_response("done"), self._in_conversation("done", previous)]
        stage = self.scene.stage
        if stage.quirks.item_done_first or stage.chance.flip(usual=False):
            events.reverse()
        self._send(events)

    def _in_response(self, what: str) -> tuple[str, JsonObject]:
        return f"response.output_item.{what}", {
            "response_id": self.scene.response_id,
            "output_index": self.index,
            "item": self.item.wire(),
        }

    def _in_conversation(self, what: str, previous: str | None) -> tuple[str, JsonObject]:
        return f"conversation.item.{what}", {"previous_item_id": previous, "item": self.item.wire()}

    def _send(self, events: Sequence[tuple[str, JsonObject]]) -> None:
        for kind, fields in events:
            if self.scene.order.conversation is not None or kind.startswith("response."):
                self.scene.stage.emit(kind, **fields)


class MessageOutput:
    """A message, spoken or written."""

    def __init__(self, scene: Scene, index: int, text: str) -> None:
        self.item = Item(scene.stage.ids("item"), "message", status="in_progress", role="assistant")
        self._place = _Place(scene, index, self.item)
        self._stage, self._order, self._meter = scene.stage, scene.order, scene.meter
        self._text = text.strip()
        self._sent = ""
        self._part = {"content_index": 0}
        in_conversation = scene.order.conversation is not None
        self._truth = SpokenItem(self.item.id, scene.response_id, in_conversation, meant=self._text)
        scene.stage.spoken.append(self._truth)
        self._place.announce()
        self._emit("response.content_part.added", part=self._wire_part(""))

    def steps(self) -> Iterator[float]:
        """Send the deltas; yields seconds to wait.

        Raises:
            CutShortError: it may not go on.
        """
        if self._order.audio:
            yield from self._speak()
        else:
            yield from self._write()

    def close(self, status: Literal["completed", "incomplete"]) -> None:
        """Send what ends it."""
        if self._order.audio:
            dones = [
                ("response.output_audio.done", {}),
                ("response.output_audio_transcript.done", {"transcript": self._sent}),
            ]
            if self._stage.chance.flip(usual=False):
                dones.reverse()
        else:
            dones = [("response.output_text.done", {"text": self._sent})]
        for kind, fields in dones:
            self._emit(kind, **fields)
        self._emit("response.content_part.done", part=self._wire_part(self._sent))
        if not self.item.truncated:
            name = "transcript" if self._order.audio else "text"
            self.item.content = [{"type": f"output_{'audio' if self._order.audio else 'text'}", name: self._sent}]
        self._place.finish(status)
        self._truth.status = status

    def _speak(self) -> Iterator[float]:
        stage, codec = self._stage, self._order.codec
        samples = speak(self._text, codec.rate_hz, voice="bot")
        self.item.codec = codec
        payload = codec.encode(samples)
        words = _WORD.findall(self._text)
        size = stage.timing.delta_ms * codec.bytes_per_ms
        if stage.quirks.odd_deltas:
            size -= 1 - size % 2
        count = -(-len(payload) // size)
        for number in range(count):
            self._meter.pass_filter(number, count)
            chunk = payload[number * size : (number + 1) * size]
            due = words[_share(len(words), number, count) : _share(len(words), number + 1, count)]
            self._meter.spend(text=words_tokens("".join(due)), audio=codec.ms(chunk) / _AUDIO_MS_PER_TOKEN)
            self._send_chunk("".join(due), chunk)
            if not self.item.truncated:
                self.item.audio = samples[: (number * size + len(chunk)) // codec.sample_bytes]
            yield codec.ms(chunk) / 1000 / stage.timing.speed

    def _send_chunk(self, words: str, chunk: bytes) -> None:
        words_first = not self._stage.chance.flip(usual=False)
        if words_first:
            self._send_words(words)
        self._emit("response.output_audio.delta", delta=base64.b64encode(chunk).decode())
        if not words_first:
            self._send_words(words)
        ms = self._order.codec.ms(chunk)
        self._truth.audio_ms += ms
        self._meter.audio_ms += ms

    def _send_words(self, words: str) -> None:
        if words:
            kind = "response.output_audio_transcript.delta" if self._order.audio else "response.output_text.delta"
            self._emit(kind, delta=words)
        self._sent += words
        self._truth.sent = self._sent
        if not self.item.truncated:
            self.item.words = self._sent

    def _write(self) -> Iterator[float]:
        all_words = _WORD.findall(self._text)
        for number, words in enumerate(all_words):
            self._meter.pass_filter(number, len(all_words))
            self._meter.spend(text=words_tokens(words))
            self._send_words(words)
            yield self._stage.timing.text_s

    def _wire_part(self, words: str) -> JsonObject:
        return {"type": "audio", "transcript": words} if self._order.audio else {"type": "text", "text": words}

    def _emit(self, kind: str, **fields: object) -> None:
        self._place.emit(kind, **self._part, **fields)


class CallOutput:
    """A function call, its arguments in deltas."""

    def __init__(self, scene: Scene, index: int, call: Calls) -> None:
        ids = scene.stage.ids
        self.item = Item(ids("item"), "function_call", status="in_progress", call_id=ids("call"), name=call.name)
        self._place = _Place(scene, index, self.item)
        self._stage, self._meter = scene.stage, scene.meter
        self._arguments = call.arguments_json
        self._place.announce()

    def steps(self) -> Iterator[float]:
        """Send the deltas; yields seconds to wait.

        Raises:
            CutShortError: it may not go on.
        """
        for at in range(0, len(self._arguments), _TEXT_DELTA):
            delta = self._arguments[at : at + _TEXT_DELTA]
            self._meter.spend(text=words_tokens(delta))
            self._emit("response.function_call_arguments.delta", delta=delta)
            self.item.arguments += delta
            yield self._stage.timing.text_s

    def close(self, status: Literal["completed", "incomplete"]) -> None:
        """Send what ends it."""
        self._emit("response.function_call_arguments.done", name=self.item.name, arguments=self.item.arguments)
        self._place.finish(status)

    def _emit(self, kind: str, **fields: object) -> None:
        self._place.emit(kind, call_id=self.item.call_id, **fields)


def _share(total: int, done: int, count: int) -> int:
    """`done` of `count` parts of `total`, rounded up: words are told a little before they sound."""
    return -(-total * done // count)
