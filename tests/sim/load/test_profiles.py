from __future__ import annotations

from itertools import pairwise

import pytest

from voicebot.sim.load.profiles import Shape, profile


@pytest.mark.parametrize(
    ("shape", "calls", "seconds", "at", "wanted"),
    [
        (Shape.ramp, 10, 100.0, [0, 9.9, 10, 50, 89, 90, 99.9, 200], [1, 1, 2, 6, 9, 10, 10, 10]),
        (Shape.steady, 100, 60.0, [0, 0.04, 1, 3.9, 3.97, 59], [1, 2, 26, 98, 100, 100]),
        (Shape.spike, 50, 30.0, [0, 9.9, 10, 15, 19.9, 20, 29.9], [1, 10, 50, 50, 50, 10, 10]),
        (Shape.spike, 3, 30.0, [0, 9, 11, 29], [1, 1, 3, 1]),
    ],
)
def test_profile_says_calls_at_a_time(
    shape: Shape, calls: int, seconds: float, at: list[float], wanted: list[int]
) -> None:
    follow = profile(shape, calls, seconds)
    assert [follow(at_s) for at_s in at] == wanted


@pytest.mark.parametrize("shape", [Shape.ramp, Shape.steady])
def test_calls_only_rise_up_to_all(shape: Shape) -> None:
    follow = profile(shape, 37, 90.0)
    wanted = [follow(at / 10) for at in range(900)]
    assert all(after - before >= 0 for before, after in pairwise(wanted))
    assert wanted[0] == 1
    assert wanted[-1] == 37


def test_soak_is_no_matter_of_time() -> None:
    with pytest.raises(ValueError, match="soak"):
        profile(Shape.soak, 10, 10.0)
