"""One reply of the model at the table, from its request to its end, in any order of events that the port allows.

ReplyStarted → per message: audio and words → ReplyAudioEnded → … → ReplyEnded, with the complete calls
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from voicebot.call.ports import (
    ModelEvent,
    Reply,
    ReplyAudio,
    ReplyAudioEnded,
    ReplyEnded,
    ReplyStarted,
    ReplyWords,
    ToolCall,
    Usage,
)

from .brain import Calls, Output, Says
from .table_chance import Chance
from .table_clock import Ids
from .table_items import TableItems
from .table_speech import one_line, spoken
from .timeline import BYTES_PER_MS

Status = Literal["completed", "cancelled", "failed"]

# Delays in seconds: the usual one, as of the twin's server, the shortest and the longest. With all of them at their
# longest the caller waits three seconds for an answer that needs a function call: slow, and not yet broken.
CREATED_S = (0.02, 0.0, 0.1)
FIRST_OUTPUT_S = (0.35, 0.05, 0.6)
BETWEEN_OUTPUTS_S = (0.02, 0.0, 0.15)
CALL_S = (0.05, 0.0, 0.15)
DONE_S = (0.0, 0.0, 0.3)

_CHARACTERS_PER_TOKEN = 4
_AUDIO_MS_PER_TOKEN = 50
_WORD = re.compile(r"\S+\s*")


class Progress(Enum):
    """How far a reply is."""

    REQUESTED = "requested"  # a cancel waits for its beginning
    RUNNING = "running"
    ENDING = "ending"  # nothing but its end is still to come: too late to cancel
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Means:
    """What the replies of one call share. `speed` is that of generation against playback."""

    tell: Callable[[ModelEvent], None]
    items: TableItems
    chance: Chance
    ids: Ids
    delta_ms: int
    speed: float


@dataclass(frozen=True, slots=True)
class _Message:
    """The message under way."""

    item_id: str
    text: str


class TableResponse:
    """A reply under way. `steps` tells what is due and yields the seconds until more is."""

    def __init__(self, reply: Reply, outputs: Sequence[Output], means: Means, *, fails: bool) -> None:
        self.reply = reply
        self.progress = Progress.REQUESTED
        self.unwanted = False  # cancelled before it began
        self._outputs, self._means, self._fails = outputs, means, fails
        self._message: _Message | None = None
        self._calls: list[ToolCall] = []
        self._spoke = False
        self._audio_ms = 0.0

    def steps(self) -> Iterator[float]:
        """Play the reply out; yields seconds to wait."""
        chance = self._means.chance
        yield chance.wait(*CREATED_S)
        if self.unwanted:
            self.finish("cancelled")
            return
        self.progress = Progress.RUNNING
        self._means.tell(ReplyStarted(self.reply.reply_id))
        yield chance.wait(*FIRST_OUTPUT_S)
        if self._fails:
            self.finish("failed")
            return
        for number, output in enumerate(self._outputs):
            if number:
                yield chance.wait(*BETWEEN_OUTPUTS_S)
            yield from self._speak(output.text) if isinstance(output, Says) else self._call(output)
        self.progress = Progress.ENDING
        yield chance.wait(*DONE_S)
        self.finish("completed")

    def cut(self) -> None:
        """It is cancelled: nothing more is sent but its end."""
        self.progress = Progress.ENDING
        self._close_message()

    def finish(self, status: Status) -> None:
        """Tell its end."""
        self.progress = Progress.OVER
        failed = status == "failed"
        self._means.tell(
            ReplyEnded(
                self.reply.reply_id,
                status,
                tuple(self._calls),
                self._spoke,
                None if failed else self._usage(),
                "server_error" if failed else None,
                "The server had an error while processing your request." if failed else None,
            )
        )

    def _speak(self, text: str) -> Iterator[float]:
        means, reply_id = self._means, self.reply.reply_id
        item_id = means.ids("item-bot")
        self._message = message = _Message(item_id, one_line(text))
        means.items.add_message(item_id)
        yield from self._sound(message, means.chance.pick("beside", ("before", "after")))
        ends: list[ModelEvent] = [
            ReplyAudioEnded(reply_id, item_id),
            ReplyWords(reply_id, item_id, message.text, final=True),
        ]
        if means.chance.flip():
            ends.reverse()
        for event in ends:
            means.tell(event)
        self._close_message()

    def _sound(self, message: _Message, words_come: Literal["beside", "before", "after"]) -> Iterator[float]:
        """The audio in pieces, with its words beside it, all before it, or none until its end."""
        means, audio = self._means, spoken(message.text)
        size = means.delta_ms * BYTES_PER_MS
        pieces = -(-len(audio) // size)
        words = _WORD.findall(message.text)
        if words_come == "before":
            self._tell_words(message, message.text)
        for number in range(pieces):
            piece = audio[number * size : (number + 1) * size]
            due = "".join(words[_share(len(words), number, pieces) : _share(len(words), number + 1, pieces)])
            sounds_first = words_come == "beside" and means.chance.flip()
            if due and words_come == "beside" and not sounds_first:
                self._tell_words(message, due)
            self._spoke = True
            means.tell(ReplyAudio(self.reply.reply_id, message.item_id, piece))
            means.items.sound(message.item_id, len(piece) / BYTES_PER_MS)
            if due and sounds_first:
                self._tell_words(message, due)
            self._audio_ms += len(piece) / BYTES_PER_MS
            yield len(piece) / BYTES_PER_MS / 1000 / means.speed

    def _tell_words(self, message: _Message, words: str) -> None:
        self._means.tell(ReplyWords(self.reply.reply_id, message.item_id, words))

    def _close_message(self) -> None:
        message, self._message = self._message, None
        if message is not None:
            self._means.items.end_message(message.item_id, message.text)

    def _call(self, call: Calls) -> Iterator[float]:
        means = self._means
        yield means.chance.wait(*CALL_S)
        call_id = means.ids("call")
        means.items.call(call_id, call.name, call.arguments_json)
        self._calls.append(ToolCall(call_id, call.name, call.arguments_json))

    def _usage(self) -> Usage:
        return Usage(
            input_text=len(self.reply.instructions) // _CHARACTERS_PER_TOKEN,
            output_text=sum(len(call.arguments) for call in self._calls) // _CHARACTERS_PER_TOKEN,
            output_audio=round(self._audio_ms / _AUDIO_MS_PER_TOKEN),
        )


def _share(total: int, done: int, pieces: int) -> int:
    """`done` of `pieces` parts of `total`, rounded up: words are told a little before they sound."""
    return -(-total * done // pieces)
