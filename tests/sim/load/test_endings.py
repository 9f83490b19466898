from __future__ import annotations

from collections import Counter

import pytest

from voicebot.sim.load.endings import BAD, BAD_EVERY, Ending, ending


def test_one_call_in_five_ends_badly() -> None:
    ends = [ending(number) for number in range(1_000)]
    assert sum(how is not Ending.WELL for how in ends) == 1_000 // BAD_EVERY
    assert ends[0] is Ending.WELL
    assert ends[4] is not Ending.WELL


def test_bad_ends_take_turns() -> None:
    counted = Counter(ending(number) for number in range(BAD_EVERY * len(BAD) * 7))
    assert {counted[how] for how in BAD} == {7}


@pytest.mark.parametrize("bad_every", [1, 2])
def test_share_of_bad_ends_can_be_told(bad_every: int) -> None:
    ends = [ending(number, bad_every) for number in range(bad_every * len(BAD))]
    assert {how for how in ends if how is not Ending.WELL} == set(BAD)
    assert sum(how is Ending.WELL for how in ends) == (bad_every - 1) * len(BAD)
