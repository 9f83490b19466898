"""The conversation as the model at the table keeps it: items in order, and what may be done to them."""

from __future__ import annotations

from dataclasses import replace

from .brain import ContextItem
from .table_speech import text_within


class TableItems:
    """Items of one conversation. What breaks its rules is returned as a sentence, and not done."""

    def __init__(self) -> None:
        self._items: list[ContextItem] = []
        self._places: dict[str, int] = {}  # of items that have an id
        self._audio_ms: dict[str, float] = {}  # of the assistant's messages, as far as it was sent
        self._open_calls: dict[str, None] = {}
        self._answered: set[str] = set()

    def seen(self) -> tuple[ContextItem, ...]:
        """All items, as a model sees them."""
        return tuple(self._items)

    def add(self, item: ContextItem) -> None:
        if item.item_id:
            self._places[item.item_id] = len(self._items)
        self._items.append(item)

    def add_message(self, item_id: str) -> None:
        """A message of the assistant begins."""
        self._audio_ms[item_id] = 0.0
        self.add(ContextItem("message", "assistant", item_id=item_id))

    def sound(self, item_id: str, audio_ms: float) -> None:
        """More audio of a message was sent."""
        self._audio_ms[item_id] += audio_ms

    def end_message(self, item_id: str, text: str) -> None:
        """A message is over. It says as much of its text as was sent of it, or was left by a truncation."""
        place = self._places[item_id]
        self._items[place] = replace(self._items[place], text=text_within(text, self._audio_ms[item_id]))

    def truncate(self, item_id: str, audio_end_ms: int) -> str | None:
        """The caller heard no more than this of a message."""
        if item_id not in self._audio_ms:
            return f"truncated {item_id!r}, which is no message of the model's"
        if audio_end_ms > self._audio_ms[item_id]:
            return f"truncated {item_id!r} at {audio_end_ms} ms of {self._audio_ms[item_id]:.0f} ms"
        self._audio_ms[item_id] = audio_end_ms
        place = self._places[item_id]
        self._items[place] = replace(self._items[place], text=text_within(self._items[place].text, audio_end_ms))
        return None

    def call(self, call_id: str, name: str, arguments: str) -> None:
        """The model called a function."""
        self._open_calls[call_id] = None
        self.add(ContextItem("function_call", name=name, arguments=arguments, call_id=call_id))

    def answer(self, call_id: str, output: str) -> str | None:
        """A function's output came."""
        if call_id in self._answered:
            return f"answered the call {call_id!r} twice"
        if call_id not in self._open_calls:
            return f"answered {call_id!r}, which nobody called"
        del self._open_calls[call_id]
        self._answered.add(call_id)
        self.add(ContextItem("function_call_output", output=output, call_id=call_id))
        return None

    def unanswered(self) -> list[str]:
        """Calls that still wait for their output."""
        return list(self._open_calls)
