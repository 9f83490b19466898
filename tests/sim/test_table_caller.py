"""The caller's side of the table: one who rests while nothing changes behaves as one who is asked every 20 ms."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from tests.end_to_end.reception import VISIT, shelf
from voicebot.sim.brain import Says, ScriptedBrain, Turn
from voicebot.sim.caller import (
    Act,
    Caller,
    HangUp,
    Hear,
    Interrupt,
    Listen,
    Moment,
    Press,
    Say,
    Step,
    Wait,
)
from voicebot.sim.listener import Heard
from voicebot.sim.table import TableRead, play
from voicebot.sim.table_caller import PatientCaller

VISITED = shelf.get("visit")
CHOICES: list[Callable[[random.Random], Step]] = [
    lambda chance: Say("hello there " * chance.randint(1, 3), timeout_ms=chance.choice([2000, 30_000])),
    lambda chance: Interrupt("stop it", after_ms=chance.choice([0, 200, 800, 3000]), timeout_ms=3000),
    lambda chance: Press(chance.choice(["1", "123"]), after_bot=chance.random() < 0.5, timeout_ms=5000),
    lambda chance: Hear(timeout_ms=9000),
    lambda chance: Wait(chance.choice([0, 10, 500, 1234, 9000])),
    lambda chance: HangUp() if chance.random() < 0.3 else Wait(5),
    lambda chance: Listen(timeout_ms=3000) if chance.random() < 0.2 else Hear(),
]


class Restless(PatientCaller):
    """One who wants to be asked every 20 ms."""

    def rests_until_ms(self, moment: Moment) -> float:
        return 0.0


def course(read: TableRead) -> tuple[object, ...]:
    """All that came of a call."""
    return read.journal, read.heard, read.said, read.problems, read.duration_s


def steps_of(seed: int) -> list[Step]:
    chance = random.Random(seed)
    return [chance.choice(CHOICES)(chance) for _ in range(chance.randint(1, 8))]


@pytest.mark.parametrize("seed", range(60))
def test_rest_changes_nothing_for_any_script(seed: int) -> None:
    played = [
        play(VISITED, VISIT.brain(), caller(steps_of(seed)), seed=seed, limit_s=200)
        for caller in (PatientCaller, Caller)
    ]
    assert course(played[0]) == course(played[1])


class Counted(PatientCaller):
    asked = 0

    def step(self, moment: Moment) -> Sequence[Act]:
        self.asked += 1
        return super().step(moment)


def test_resting_caller_is_asked_seldom() -> None:
    caller = Counted(VISIT.steps())
    played = play(VISITED, VISIT.brain(), caller)
    assert caller.asked < played.duration_s * 50 / 20


def heard(text: str, end_ms: float) -> Heard:
    return Heard(text, end_ms - 500, end_ms, complete=True, damaged=0)


def moments(caller: Caller, until_ms: int, sound: tuple[int, int], words: Heard | None = None) -> list[Act]:
    """Let time pass, with sound from one time to another, and words that are understood 100 ms after their end."""
    acts: list[Act] = []
    for at_ms in range(20, until_ms, 20):
        said = (words,) if words is not None and at_ms == words.end_ms + 100 else ()
        acts += caller.step(Moment(at_ms, sound[0] < at_ms <= sound[1], said))
    return acts


def test_caller_waits_for_the_line_that_he_answers() -> None:
    caller = PatientCaller([Say("Two, please.")], ["How many?"])
    assert moments(caller, 5000, (100, 600), heard("One moment.", 600)) == []
    caller = PatientCaller([Say("Two, please.")], ["How many?"])
    assert len(moments(caller, 5000, (100, 600), heard("How many?", 600))) == 1


@pytest.mark.parametrize("gap_ms", [0, 40, 200, 280, 600])
def test_utterance_after_a_short_silence_is_another_one(gap_ms: int) -> None:
    """He speaks under the first one's end, and answers the second."""
    caller = PatientCaller([Press("1", after_bot=False), Say("Two, please.")])
    acts: list[Act] = []
    for at_ms in range(20, 5000, 20):
        audible = 0 < at_ms <= 600 or 600 + gap_ms < at_ms <= 1600
        said = (heard("One moment.", 600),) if at_ms == 700 else ()
        acts += caller.step(Moment(at_ms, audible, said))
    assert len(acts) == 2


@pytest.mark.parametrize("step", [Interrupt("Stop!", after_ms=300), Press("1", after_bot=False), Wait(10)])
def test_other_steps_wait_for_no_line(step: Step) -> None:
    caller = PatientCaller([step, Press("2", after_bot=False)], ["How many?", None])
    assert moments(caller, 5000, (100, 600), heard("One moment.", 600))


def test_pause_before_the_line_does_not_end_a_turn() -> None:
    """A filler, a pause, and the answer: the caller of the table answers the answer."""
    brain = ScriptedBrain([Turn(None, ((Says("One moment."),),)), Turn(None, ((Says("How many?"),),)), Turn("Two.")])
    caller = PatientCaller([Say("Two.")], ["How many?"])
    read = play(VISITED, brain, caller, limit_s=60)
    first = next(said for said in read.said)
    assert not [said for said in read.heard if said.text == "How many?" and said.end_ms > first.start_ms]
