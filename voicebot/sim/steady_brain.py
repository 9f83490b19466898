"""A model that follows a script by what stands in the conversation, and by nothing else.

A `ScriptedBrain` keeps its place in the script, so each call needs its own, and a call that goes on elsewhere confuses
it. This one finds its place anew for each response. So any number of calls may share it, a call may change hands in the
middle of any reply, and the caller may say things twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from .brain import Calls, Context, ContextItem, Output, Says, Turn

AGAIN = "Sorry, could you say that again, please?"


class SteadyBrain:
    """Plays the model's side of a dialogue.

    Words that stand in no turn, as those that were cut by a break, it asks for again. Where it is asked to go on
    though it has said all there is to say, it says its last line once more.

    Args:
        turns: the dialogue in order.
    """

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns = tuple(turns)

    def respond(self, context: Context) -> Sequence[Output]:
        if context.out_of_band:
            return (Says("There is nothing to add."),)
        spoken = [number for number, item in enumerate(context.items) if item.role == "user" and item.text.strip()]
        places = self._places([context.items[number].text for number in spoken])
        place = places[-1] if places else -1
        if place is None:
            return (Says(AGAIN),)
        since = context.items[spoken[-1] + 1 :] if spoken else context.items
        since_first = context.items[spoken[places.index(place)] + 1 :] if spoken else context.items
        for reply in self._replies(place):
            due = tuple(
                output
                for output in reply
                if (_is_untold(output, since) if isinstance(output, Says) else _is_undone(output, since_first, context))
            )
            if due:
                return due
        return (Says(self._last_line(place)),)

    def _places(self, words: Sequence[str]) -> list[int | None]:
        """The turn of each of the caller's utterances; None where they stand in no turn."""
        places: list[int | None] = []
        last = -1
        for text in words:
            following = (number for number in range(last + 1, len(self._turns)) if self._hears(number, text))
            before = (number for number in range(last, -1, -1) if self._hears(number, text))
            places.append(next(following, next(before, None)))
            last = places[-1] if places[-1] is not None else last
        return places

    def _hears(self, number: int, text: str) -> bool:
        hears = self._turns[number].hears
        return hears is not None and _bare(hears) == _bare(text)

    def _replies(self, place: int) -> Iterator[tuple[Output, ...]]:
        """Those of the turn, and of the turns behind it that nobody's words ask for."""
        if place >= 0:
            yield from self._turns[place].replies
        for turn in self._turns[place + 1 :]:
            if turn.hears is not None:
                return
            yield from turn.replies

    def _last_line(self, place: int) -> str:
        lines = [output.text for reply in self._replies(place) for output in reply if isinstance(output, Says)]
        return lines[-1] if lines else AGAIN


def _is_untold(line: Says, since: Sequence[ContextItem]) -> bool:
    """Whether it was not said in full since the caller spoke last."""
    return all(_bare(item.text) != _bare(line.text) for item in since if item.role == "assistant")


def _is_undone(call: Calls, since: Sequence[ContextItem], context: Context) -> bool:
    """Whether it can be called, and was not since the caller first said what it comes of."""
    return call.name in context.tool_names and not any(_is_call(item, call) for item in since)


def _is_call(item: ContextItem, call: Calls) -> bool:
    if item.kind != "function_call" or item.name != call.name:
        return False
    try:
        return bool(json.loads(item.arguments) == json.loads(call.arguments_json))
    except ValueError:
        return item.arguments == call.arguments_json


def _bare(text: str) -> str:
    return " ".join(text.casefold().split())
