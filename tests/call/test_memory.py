"""What a new connection to the model is told."""

from __future__ import annotations

from voicebot.call.memory import LONGEST, Memory
from voicebot.call.ports import AnswerTool, InsertCall, InsertHeard, InsertNote, InsertSaid, ModelCommand, ToolCall

HOURS = ToolCall("c1", "hours", "{}")


def told(memory: Memory) -> list[ModelCommand]:
    """All but the note that closes it, where there is something to tell."""
    commands = memory.tell()
    assert not commands or isinstance(commands[-1], InsertNote)
    return commands[:-1]


def test_conversation_is_told_in_order() -> None:
    memory = Memory()
    memory.said("Good evening.")
    memory.turn("u1")
    memory.called(HOURS)
    assert memory.answered("c1", "nine to five") == [AnswerTool("c1", "nine to five")]
    memory.said("From nine to five.")
    memory.heard("u1", "When are you open?")
    assert told(memory) == [
        InsertSaid("Good evening."),
        InsertHeard("When are you open?"),
        InsertCall(HOURS),
        AnswerTool("c1", "nine to five"),
        InsertSaid("From nine to five."),
    ]


def test_words_that_never_came_are_left_out() -> None:
    memory = Memory()
    memory.turn("u1")
    memory.said("  ")
    memory.heard("u2", "words of another call")
    assert memory.tell() == [], "nobody is to go on with a call that has not begun"


def test_call_without_an_answer_is_told_with_it() -> None:
    memory = Memory()
    memory.called(HOURS)
    assert told(memory) == []
    assert memory.answered("c1", "nine") == [InsertCall(HOURS), AnswerTool("c1", "nine")]
    assert told(memory) == [InsertCall(HOURS), AnswerTool("c1", "nine")]


def test_answer_to_an_unknown_call_is_passed_on() -> None:
    assert Memory().answered("c9", "so") == [AnswerTool("c9", "so")]


def test_oldest_is_forgotten_first() -> None:
    memory = Memory()
    for number in range(LONGEST + 5):
        memory.said(f"line {number}")
    commands = told(memory)
    assert len(commands) == LONGEST
    assert commands[0] == InsertSaid("line 5")
