"""What the flow's own code wants: bounded words, handed over from whichever thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from voicebot.call.events import EndWanted, NoteWanted, SayWanted
from voicebot.call.wishes import Wish, Wishes, as_text, to_be_said
from voicebot.flow.model import Say
from voicebot.flow.wording import LONGEST_SAY


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("  One moment.\n", "One moment."),
        ("", ""),
        (" \n\t", ""),
        ("half of a pair: \ud83d", "half of a pair: ?"),
        ("x" * LONGEST_SAY, "x" * LONGEST_SAY),
        ("x" * (LONGEST_SAY + 1), "x" * (LONGEST_SAY - 1) + "…"),
    ],
)
def test_words_are_fit_to_be_said(text: str, words: str) -> None:
    assert to_be_said(text) == words
    if words:
        assert Say(words).text == words


def test_texts_have_their_limit() -> None:
    assert as_text("abcdef", 4) == "abc…"


async def test_wishes_of_the_loops_thread_are_there_at_once() -> None:
    came: list[int] = []
    wishes = Wishes(lambda: came.append(len(came)))
    wishes.add(SayWanted("a"))
    wishes.add(NoteWanted("b"))
    assert came == [0, 1]
    assert wishes.take() == [SayWanted("a"), NoteWanted("b")]
    assert wishes.take() == []


async def test_wishes_of_threads_arrive_in_order() -> None:
    here, arrived_in = threading.get_ident(), set()
    wishes = Wishes(lambda: arrived_in.add(threading.get_ident()))
    wanted: list[Wish] = [*(SayWanted(str(number)) for number in range(100)), EndWanted()]

    def want() -> None:
        for wish in wanted:
            wishes.add(wish)

    await asyncio.to_thread(want)
    assert wishes.take() == wanted
    assert arrived_in == {here}


def test_wish_after_the_loop_is_for_nobody() -> None:
    async def make() -> Wishes:
        return Wishes(lambda: None)

    wishes = asyncio.run(make())
    thread = threading.Thread(target=wishes.add, args=(EndWanted(),))
    thread.start()
    thread.join()
    assert wishes.take() == []
