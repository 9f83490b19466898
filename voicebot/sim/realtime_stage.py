"""What a response is made from: what was asked for, the means it plays with, and the account of what it put out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .brain import Context
from .realtime_audio import Codec
from .realtime_config import Format
from .realtime_items import Conversation
from .realtime_quirks import Chance, Quirks, Timing
from .realtime_records import Ids, SpokenItem
from .realtime_wire import Emit


@dataclass(frozen=True, slots=True)
class Stage:
    """What responses and turns play on: the session's means, as far as they need them."""

    emit: Emit
    ids: Ids
    timing: Timing
    quirks: Quirks
    chance: Chance
    spoken: list[SpokenItem]


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for, session settings and overrides resolved.

    Attributes:
        conversation: None for an out-of-band response.
        input_tokens, cached_tokens: (text, audio) of the context.
        fault: the code it fails with, or `content_filter` to end halfway.
    """

    context: Context
    conversation: Conversation | None
    audio: bool
    form: Format
    codec: Codec
    voice: object
    max_tokens: int | Literal["inf"]
    metadata: Mapping[str, str] | None
    input_tokens: tuple[int, int] = (0, 0)
    cached_tokens: tuple[int, int] = (0, 0)
    fault: str | None = None


class CutShortError(Exception):
    """The response may not go on. `args[0]` is the reason of `incomplete`."""


class Meter:
    """Counts what a response puts out, and stops it where its order says so.

    Attributes:
        text, audio: tokens of output.
        audio_ms: sent in all its items.
    """

    def __init__(self, order: Order) -> None:
        self.text = self.audio = self.audio_ms = 0.0
        self._order = order

    @property
    def tokens(self) -> int:
        return round(self.text) + round(self.audio)

    def spend(self, *, text: float = 0, audio: float = 0) -> None:
        """Count output tokens.

        Raises:
            CutShortError: the limit is reached.
        """
        self.text += text
        self.audio += audio
        if self._order.max_tokens != "inf" and self.tokens > self._order.max_tokens:
            raise CutShortError("max_output_tokens")

    def pass_filter(self, done: int, total: int) -> None:
        """Ask the content filter whether the words may go on.

        Raises:
            CutShortError: it stops this response, halfway.
        """
        if self._order.fault == "content_filter" and done * 2 >= total:
            raise CutShortError("content_filter")


def words_tokens(text: str) -> float:
    """A rough count of tokens: four characters each."""
    return len(text) / 4
