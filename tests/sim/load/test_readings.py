from __future__ import annotations

from array import array

import pytest

from voicebot.sim.load.readings import Readings, percentile_ms


@pytest.mark.parametrize(
    ("values_s", "percent", "wanted_ms"),
    [
        ([], 50, None),
        ([0.003], 99, 3.0),
        ([0.004, 0.001, 0.002, 0.003], 50, 2.0),
        ([one / 1000 for one in range(101)], 99, 99.0),
        ([one / 1000 for one in range(101)], 0, 0.0),
        ([one / 1000 for one in range(101)], 100, 100.0),
    ],
)
def test_percentile_is_a_value_that_was(values_s: list[float], percent: float, wanted_ms: float | None) -> None:
    assert percentile_ms(array("d", values_s), percent) == wanted_ms


def test_values_are_kept_while_recording() -> None:
    readings = Readings()
    for recording in (False, True, False):
        readings.recording = recording
        readings.note(readings.uplink_s, 1.0)
    assert list(readings.uplink_s) == [1.0]


def test_failures_are_counted_at_any_time() -> None:
    readings = Readings()
    readings.fail("x")
    readings.fail("x")
    readings.fail("y" * 1000)
    assert readings.failures["x"] == 2
    assert max(map(len, readings.failures)) == 120
