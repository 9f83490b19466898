from __future__ import annotations

import re

import pytest

from tests.sim.load.test_figures import row
from voicebot.sim.load.table import LOADS, SAMPLES, Sample, compared, head_lines, line, load_lines, percent, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0.00"), (3.456, "3.46"), (45.67, "45.7"), (-45.67, "-45.7"), (1234.5, "1234")],
)
def test_figure_takes_few_characters(value: float | None, text: str) -> None:
    assert shown(value) == text


def test_share_is_a_percentage() -> None:
    assert (percent(0.256), percent(None)) == ("26%", "-")


def ends(text: str) -> list[int]:
    """Where the columns end."""
    return [found.end() for found in re.finditer(r"\S+(?: \S+)*", text)]


def test_figures_stand_below_their_heads() -> None:
    _, head = head_lines(LOADS)
    (figures,) = load_lines(row())
    assert ends(head) == ends(figures)
    assert len(figures) <= 125


def test_samples_stand_below_their_heads() -> None:
    _, head = head_lines(SAMPLES)
    sample = Sample(12.0, 25, 0.31, 80.25, None, 0.61, 2.4, 0.2, 0.3, 0, 1)
    text = line(SAMPLES, sample)
    assert ends(head) == ends(text)
    assert text.split() == ["12", "25", "31%", "80.2", "-", "0.61/2.40", "20%", "0.30", "0", "1"]


def test_figures_that_are_missing_are_dashes() -> None:
    (figures,) = load_lines(row(downlink_p50_ms=None, downlink_p99_ms=None, cpu_ms_per_call_second=None))
    assert figures.split()[1] == "-"
    assert figures.split()[4] == "-"


def test_faults_and_limits_stand_below() -> None:
    lines = load_lines(row(failures={"the server closed a stream": 3}, underruns=2, generator_share=0.99))
    assert len(lines) == 4
    assert lines[1].strip() == "FAILED: 3 × the server closed a stream"
    assert "note:" in lines[3]


def test_compared_things_are_aligned() -> None:
    assert compared(["", "before", "after"], [["memory", "1", "20"], ["tasks", "300", "4"]]) == [
        "        before  after",
        "memory       1     20",
        "tasks      300      4",
    ]
