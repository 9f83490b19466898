"""Callers by the table: what the bot sounds like over time, and what the caller does about it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from voicebot.sim.caller import (
    Act,
    Caller,
    HangUp,
    Hear,
    Interrupt,
    Listen,
    Moment,
    Press,
    PressKey,
    PutDown,
    Say,
    Speak,
    Step,
    Wait,
)
from voicebot.sim.listener import Heard

SPOKEN_MS = 1000  # every word of the caller lasts so long


def live(caller: Caller, bot: Sequence[tuple[int, int]], until_ms: int = 20_000) -> list[tuple[int, Act]]:
    """Let time pass for a caller; `bot` are the spans in which the bot is audible."""
    done: list[tuple[int, Act]] = []
    speaking_until = 0
    for at_ms in range(20, until_ms + 1, 20):
        audible = any(start < at_ms <= end for start, end in bot)
        for act in caller.step(Moment(at_ms, audible, (), at_ms < speaking_until)):
            done.append((at_ms, act))
            if isinstance(act, Speak):
                speaking_until = max(speaking_until, at_ms) + SPOKEN_MS
            if isinstance(act, PutDown):
                return done
    return done


@pytest.mark.parametrize(
    ("steps", "bot", "done"),
    [
        pytest.param([Say("a")], [(100, 900)], [(1600, Speak("a"))], id="speaks 700 ms after the bot"),
        pytest.param([Say("a")], [(100, 900), (1200, 2000)], [(2700, Speak("a"))], id="a pause between words is none"),
        pytest.param([Say("a")], [(100, 900), (1580, 2000)], [(2700, Speak("a"))], id="waits on just before his turn"),
        pytest.param(
            [Say("a"), Say("b")], [(100, 900), (3000, 4000)], [(1600, Speak("a")), (4700, Speak("b"))], id="two turns"
        ),
        pytest.param(
            [Say("a"), Say("b")],
            [(100, 900), (2500, 4000)],
            [(1600, Speak("a")), (4700, Speak("b"))],
            id="an answer that begins under his last words counts",
        ),
        pytest.param(
            [Say("a"), Say("b")],
            [(100, 900), (1700, 2000), (3500, 4000)],
            [(1600, Speak("a")), (4700, Speak("b"))],
            id="what was cut off under his words does not count",
        ),
        pytest.param([Interrupt("a")], [(100, 5000)], [(900, Speak("a"))], id="interrupts"),
        pytest.param(
            [Interrupt("a", after_ms=300), Say("b")],
            [(100, 600), (2000, 3000)],
            [(400, Speak("a")), (3700, Speak("b"))],
            id="the tail of what he interrupted is no answer",
        ),
        pytest.param(
            [Interrupt("a", after_ms=300), Say("b")],
            [(100, 1900), (2600, 3000)],
            [(400, Speak("a")), (3700, Speak("b"))],
            id="nor is one that does not stop at once",
        ),
        pytest.param(
            [Interrupt("a")], [(100, 500), (2000, 5000)], [(2800, Speak("a"))], id="lets a short utterance pass"
        ),
        pytest.param(
            [Press("1*")], [(100, 900)], [(1600, PressKey("1")), (1800, PressKey("*"))], id="presses keys after the bot"
        ),
        pytest.param([Press("1", after_bot=False)], [(100, 900)], [(20, PressKey("1"))], id="or at once"),
        pytest.param(
            [Hear(), Press("1", after_bot=False), Say("a")],
            [(100, 900), (1500, 2100)],
            [(2820, PressKey("1"))],
            id="a key after which nothing is said is waited upon",
        ),
        pytest.param(
            [Wait(500), Press("1", after_bot=False), Say("a")],
            [(100, 900)],
            [(540, PressKey("1")), (1600, Speak("a"))],
            id="keys do not interrupt: what is being said counts",
        ),
        pytest.param([Wait(500), HangUp()], [], [(540, PutDown())], id="hangs up after a while"),
        pytest.param([Hear(), HangUp()], [(100, 900)], [(1620, PutDown())], id="hears the bot out and hangs up"),
        pytest.param([Say("a"), HangUp()], [(100, 900)], [(1600, Speak("a")), (2600, PutDown())], id="ends his words"),
        pytest.param(
            [Wait(2000), Say("a")], [(100, 900)], [(2040, Speak("a"))], id="what was said while he waited counts"
        ),
    ],
)
def test_script_is_followed(steps: list[Step], bot: list[tuple[int, int]], done: list[tuple[int, Act]]) -> None:
    caller = Caller(steps)
    assert live(caller, bot) == done
    assert caller.problems == ()


@pytest.mark.parametrize(
    ("steps", "bot", "left_ms", "problem"),
    [
        ([Say("a")], [], 30_020, "30 s of silence before step 1, Say(text='a'"),
        ([Say("a", timeout_ms=5000)], [(100, 400), (800, 900)], None, ""),
        ([Say("a"), Say("b", timeout_ms=5000)], [(100, 900)], 1600 + SPOKEN_MS + 5000, "before step 2, Say(text='b'"),
        ([Interrupt("a", timeout_ms=2000)], [(100, 400)], 2400, "before step 1, Interrupt"),
        ([Press("1", timeout_ms=2000)], [], 2020, "before step 1, Press"),
        ([Hear(timeout_ms=2000)], [], 2020, "before step 1, Hear"),
        ([Listen(timeout_ms=2000)], [(100, 400)], 2400, "before step 1, Listen"),
        ([Wait(100)], [(100, 400)], 30_400, "before the end"),
        ([Wait(31_000), Say("a")], [(30_000, 30_500)], None, ""),
    ],
)
def test_silence_ends_the_call_as_a_failure(
    steps: list[Step], bot: list[tuple[int, int]], left_ms: int | None, problem: str
) -> None:
    caller = Caller(steps)
    done = live(caller, bot, until_ms=34_000 if left_ms else 31_500)
    assert [at_ms for at_ms, act in done if isinstance(act, PutDown)] == ([left_ms] if left_ms else [])
    assert problem in "".join(caller.problems)


@pytest.mark.parametrize(
    ("steps", "lived_ms", "problem"),
    [
        ([Say("a"), Listen()], 1000, "before step 1, Say(text='a'"),
        ([Say("a"), Listen()], 2000, "while the caller spoke step 1"),
        ([Say("a"), Listen()], 5000, None),
        ([Say("a")], 5000, None),
        ([Say("a"), Say("b")], 5000, "before step 2"),
    ],
)
def test_line_that_ends_early_is_a_problem(steps: list[Step], lived_ms: int, problem: str | None) -> None:
    caller = Caller(steps)
    live(caller, [(100, 900)], until_ms=lived_ms)
    caller.line_ended(lived_ms)
    assert len(caller.problems) == (problem is not None)
    assert (problem or "") in "".join(caller.problems)


def test_pause_is_a_parameter() -> None:
    assert live(Caller([Say("a")], pause_ms=100), [(100, 900)]) == [(1000, Speak("a"))]


def test_words_without_a_pause_between_them_are_two_utterances() -> None:
    """He interrupts; the bot's reply follows its cut utterance so closely that there is no silence to hear."""
    caller = Caller([Interrupt("a", after_ms=300), Say("b")])
    cut = Heard("I was say", 80, 700, complete=False, damaged=0)
    acts = []
    for at_ms in range(20, 4000, 20):
        said = (cut,) if at_ms == 780 else ()
        acts += [(at_ms, act) for act in caller.step(Moment(at_ms, 80 < at_ms <= 1500, said, 380 < at_ms < 700))]
    assert acts == [(380, Speak("a")), (2200, Speak("b"))]


@pytest.mark.parametrize("digits", ["", "12 3", "x"])
def test_keys_must_be_on_a_telephone(digits: str) -> None:
    with pytest.raises(ValueError, match="keys of a telephone"):
        Press(digits)
