"""What a model that is new to the call must be told: the conversation as it was heard and done.

A connection to the model can break, and its successor knows nothing. The order of the conversation is kept here, with
what the caller really heard of each utterance, so that it can be put into a fresh session (Realtime API reference,
`conversation.item.create`: the caller's words as text, the assistant's as text, calls with their outputs).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from voicebot.engine.entries import CallerSaid, CallerTurnTaken

from .entries import BotSaid, Entry, FunctionAnswered, FunctionCalled
from .ports import AnswerTool, InsertCall, InsertHeard, InsertNote, InsertSaid, ModelCommand, ToolCall

LONGEST = 400  # items: more than an hour of talk
_GO_ON = "The connection was lost for a moment. Go on with the call where it was; do not greet again."


@dataclass(frozen=True, slots=True)
class _Turn:
    """The caller's turn; its words may come later, or never."""

    item_id: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class _Said:
    text: str


@dataclass(frozen=True, slots=True)
class _Called:
    """A function call; without its answer it is not to be told."""

    call: ToolCall
    output: str | None = None


class Memory:
    """The conversation of one call, in order, the oldest forgotten past `LONGEST` items."""

    def __init__(self) -> None:
        self._items: list[_Turn | _Said | _Called] = []
        self._untold: set[str] = set()

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Memory:
        """The conversation that a journal tells of."""
        memory = cls()
        for entry in entries:
            match entry:
                case CallerTurnTaken(item_id=item_id):
                    memory.turn(item_id)
                case CallerSaid(item_id=item_id, text=text):
                    memory.heard(item_id, text)
                case BotSaid(heard_text=heard_text):
                    memory.said(heard_text)
                case FunctionCalled(call_id=call_id, name=name, arguments=arguments):
                    memory.called(ToolCall(call_id, name, arguments))
                case FunctionAnswered(call_id=call_id, output=output):
                    memory.answered(call_id, output)
        return memory

    def turn(self, item_id: str) -> None:
        """The caller's turn is over."""
        self._keep(_Turn(item_id))

    def heard(self, item_id: str, text: str) -> None:
        """The words of the caller's turn came."""
        for position, item in enumerate(self._items):
            if isinstance(item, _Turn) and item.item_id == item_id:
                self._items[position] = replace(item, text=text)

    def said(self, text: str) -> None:
        """The caller has heard these words of the bot."""
        if text.strip():
            self._keep(_Said(text))

    def called(self, call: ToolCall) -> None:
        """The model called a function."""
        self._keep(_Called(call))

    def answered(self, call_id: str, output: str) -> list[ModelCommand]:
        """A function call is answered; returns what tells the model, which may not know of the call any more."""
        call = next(
            (item.call for item in self._items if isinstance(item, _Called) and item.call.call_id == call_id), None
        )
        if call is not None:
            self._items[self._items.index(_Called(call))] = _Called(call, output)
        untold = call is not None and call_id in self._untold
        self._untold.discard(call_id)
        answer = AnswerTool(call_id, output)
        return [InsertCall(call), answer] if call is not None and untold else [answer]

    def tell(self) -> list[ModelCommand]:
        """Everything, for a model that knows nothing. Calls without an answer are told when that comes."""
        commands: list[ModelCommand] = []
        for item in self._items:
            match item:
                case _Turn(text=text) if text.strip():
                    commands.append(InsertHeard(text))
                case _Said(text=text):
                    commands.append(InsertSaid(text))
                case _Called(call=call, output=str(output)):
                    commands += [InsertCall(call), AnswerTool(call.call_id, output)]
                case _Called(call=call):
                    self._untold.add(call.call_id)
        return [*commands, InsertNote(_GO_ON)] if commands else []  # else the call is still to begin

    def _keep(self, item: _Turn | _Said | _Called) -> None:
        self._items.append(item)
        del self._items[:-LONGEST]
