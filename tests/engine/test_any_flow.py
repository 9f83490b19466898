"""Whatever the flow says and whatever happens in the call, the engine keeps its promises (see `Watched`)."""

from __future__ import annotations

from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.engine.any_flow import Author, World
from tests.engine.watched import Watched
from voicebot.call.entries import kind_of, read_entry, write_entry
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.events import EndWanted

# True randomness is ten times as fast and makes longer calls; with False a failing call is made as short as it can be.
CHANCE = st.randoms(use_true_random=True)
STEPS = 40


def happened(chance: Random, steps: int = STEPS) -> Watched:
    line = Watched(Author(chance).flow())
    world = World(chance, line)
    for _ in range(steps):
        world.step()
    return line


@given(CHANCE)
@settings(deadline=None, max_examples=120)
def test_whatever_happens_the_engine_keeps_its_promises(chance: Random) -> None:
    line = happened(chance)
    line.take(EndWanted())
    assert line.engine.state.closing is not None


@given(CHANCE)
@settings(deadline=None, max_examples=30)
def test_journal_gives_the_whole_engine_back(chance: Random) -> None:
    line = happened(chance, chance.randint(1, STEPS))
    stored = [(at, kind_of(entry), write_entry(entry)) for at, entry in line.timed]
    again = PhaseEngine(line.flow, line.engine.context)
    again.restore(((at, read_entry(kind, body)) for at, kind, body in stored), line.timed[0][0])  # type: ignore[misc]
    assert again.state == line.engine.state
    assert again.tools() == line.engine.tools()
    assert again.deadline() == line.engine.deadline()
    assert again.instructions(line.now) == line.engine.instructions(line.now)
    assert (again.busy, again.fillers()) == (line.engine.busy, line.engine.fillers())


@given(CHANCE)
@example(Random(1370215293744244))  # a held tool fails for good at the limit of evidence, while another one is at work
@settings(deadline=None, max_examples=60)
def test_call_goes_on_from_wherever_its_journal_ends(chance: Random) -> None:
    """Even in the middle of an event: what was under way is answered for, and the promises hold from there."""
    line = happened(chance)
    again = Watched(line.flow, line.timed[: chance.randint(1, len(line.timed))])
    world = World(chance, again)
    for _ in range(STEPS // 2):
        world.step()
