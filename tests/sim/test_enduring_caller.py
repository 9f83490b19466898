"""The caller whose call is cut: what he hears, and what he says again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from voicebot.sim.caller import Caller, Listen, Moment, Press, PressKey, PutDown, Say, Speak, Step
from voicebot.sim.enduring_caller import MOST_REPETITIONS, EnduringCaller
from voicebot.sim.listener import Heard

SPOKEN_MS = 500
AGAIN = "Say that again?"
STEPS, ANSWERS = [Say("Ada."), Say("Monday."), Listen(99_000)], ["Who?", "When?"]
Line = tuple[int, str] | tuple[int, str, bool]  # from when on, what, whether to its end


def live(caller: Caller, lines: Sequence[Line], until_ms: int) -> list[tuple[int, str]]:
    """Let time pass for a caller; each line of the bot lasts half a second. Returns what he says and presses, when."""
    done: list[tuple[int, str]] = []
    speaking_until = 0
    for at_ms in range(20, until_ms + 1, 20):
        audible = any(line[0] < at_ms <= line[0] + 500 for line in lines)
        said = tuple(
            Heard(line[1], line[0], line[0] + 500, complete=len(line) == 2, damaged=0)
            for line in lines
            if at_ms == line[0] + 600
        )
        for act in caller.step(Moment(at_ms, audible, said, at_ms < speaking_until)):
            if isinstance(act, Speak):
                speaking_until = at_ms + SPOKEN_MS
            done.append((at_ms, str(getattr(act, "text", getattr(act, "digit", "puts down")))))
            if isinstance(act, PutDown):
                return done
    return done


def words(lines: Sequence[Line], until_ms: int = 30_000, steps: Sequence[Step] = STEPS) -> list[str]:
    caller = EnduringCaller(steps, ANSWERS, asks_again=[AGAIN])
    return [text for _, text in live(caller, lines, until_ms)]


@pytest.mark.parametrize(
    ("lines", "until_ms", "said"),
    [
        pytest.param([(100, "Who?"), (3000, "When?")], 9000, ["Ada.", "Monday."], id="nothing is cut"),
        pytest.param(
            [(100, "Who?"), (3000, "Whe", False), (6000, "When?")], 11_000, ["Ada.", "Monday."], id="a line was cut"
        ),
        pytest.param(
            [(100, "Who?"), (4000, "Who?"), (7000, "When?")], 12_000, ["Ada.", "Ada.", "Monday."], id="asked again"
        ),
        pytest.param(
            [(100, "Who?"), (3000, "When?"), (5000, AGAIN)], 9000, ["Ada.", "Monday.", "Monday."], id="not understood"
        ),
        pytest.param([(100, "Who?"), (3000, "Sorry.")], 10_500, ["Ada.", "Ada."], id="an apology, and silence"),
        pytest.param([(100, "Who", False), (3000, AGAIN)], 6000, ["Ada."], id="cut before his first words"),
        pytest.param([(100, "Who", False)], 8000, ["Hello?"], id="silence before his first words"),
    ],
)
def test_what_is_not_answered_is_said_again(lines: list[Line], until_ms: int, said: list[str]) -> None:
    assert words(lines, until_ms) == said


def test_repetitions_are_counted() -> None:
    caller = EnduringCaller(STEPS, ANSWERS, asks_again=[AGAIN])
    live(caller, [(100, "Who?"), (4000, "Who?"), (7000, "When?"), (9000, AGAIN)], 14_000)
    assert caller.repeated == ["Ada.", "Monday."]
    assert caller.problems == ()


def test_line_that_sounds_like_the_last_one_is_the_next_one() -> None:
    caller = EnduringCaller(STEPS, ["Is that right?", "Is that right?"])
    assert [text for _, text in live(caller, [(100, "Is that right?"), (3000, "Is that right?")], 6000)] == [
        *("Ada.", "Monday.")
    ]
    assert caller.repeated == []


def test_silence_that_nothing_breaks_ends_his_patience() -> None:
    caller = EnduringCaller([Say("Ada."), Say("Monday.", timeout_ms=40_000)], ANSWERS)
    said = live(caller, [(100, "Who?")], 120_000)
    assert [text for _, text in said] == ["Ada."] * (1 + MOST_REPETITIONS) + ["puts down"]
    assert len(caller.problems) == 1


def test_keys_are_pressed_again() -> None:
    caller = EnduringCaller([Press("12"), Listen(99_000)], ["Which number?"], asks_again=[AGAIN])
    assert [text for _, text in live(caller, [(100, "Which number?"), (3000, AGAIN)], 6000)] == ["1", "2", "1", "2"]
    assert isinstance(PressKey("1"), PressKey)
