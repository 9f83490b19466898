from __future__ import annotations

from xml.etree import ElementTree

import pytest

from voicebot.sim.load.plot import PANEL_HEIGHT, WIDTH, Curve, Panel, curve, svg, ticks

NS = "{http://www.w3.org/2000/svg}"


def drawn(*panels: Panel) -> ElementTree.Element:
    return ElementTree.fromstring(svg("A <title> & more", "calls", panels))


def points(root: ElementTree.Element) -> list[list[tuple[float, float]]]:
    lines = [line.get("points", "").split() for line in root.iter(f"{NS}polyline")]
    return [[(float(x), float(y)) for x, y in (pair.split(",") for pair in line)] for line in lines]


@pytest.mark.parametrize(
    ("most", "wanted"),
    [
        (0.0, [0.0, 1.0]),
        (1.0, [0.0, 0.25, 0.5, 0.75, 1.0]),
        (7.3, [0.0, 2.0, 4.0, 6.0, 8.0]),
        (1000.0, [0.0, 250.0, 500.0, 750.0, 1000.0]),
        (float("nan"), [0.0, 1.0]),
    ],
)
def test_scale_has_round_numbers(most: float, wanted: list[float]) -> None:
    assert ticks(most) == pytest.approx(wanted)


@pytest.mark.parametrize("most", [0.001, 0.99, 3.0, 17.0, 101.0, 123_456.0])
def test_scale_reaches_its_greatest_value(most: float) -> None:
    marks = ticks(most)
    assert marks[0] == 0
    assert marks[-1] >= most * (1 - 1e-9)
    assert 3 <= len(marks) <= 6


def test_curve_goes_from_left_to_right_by_its_values() -> None:
    root = drawn(Panel("p", [Curve("c", [(0, 0), (5, 50), (10, 100)])]))
    ((left, middle, right),) = points(root)
    assert left[0] < middle[0] < right[0] <= WIDTH
    assert left[1] > middle[1] > right[1]
    assert left[1] - right[1] == pytest.approx(PANEL_HEIGHT, abs=0.2)
    assert middle[1] == pytest.approx((left[1] + right[1]) / 2, abs=0.2)


def test_panels_share_one_axis() -> None:
    root = drawn(Panel("a", [Curve("c", [(0, 1), (10, 1)])]), Panel("b", [Curve("c", [(5, 1)])]))
    first, second = points(root)
    assert second[0][0] == pytest.approx((first[0][0] + first[1][0]) / 2, abs=0.2)
    assert second[0][1] > first[0][1]


def test_what_is_not_known_is_left_out() -> None:
    root = drawn(Panel("a", [curve("c", [1, 2, 3], [1.0, None, 3.0])]), Panel("b", [curve("d", [1], [None])]))
    assert [len(line) for line in points(root)] == [2]
    texts = [text.text for text in root.iter(f"{NS}text")]
    assert "a" in texts
    assert "b" not in texts
    assert "A <title> & more" in texts


def test_curves_of_a_panel_are_named() -> None:
    root = drawn(Panel("a", [Curve("p50", [(0, 1)]), Curve("p99", [(0, 2)])]))
    assert {"p50", "p99"} <= {text.text for text in root.iter(f"{NS}text")}


def test_plot_of_nothing_is_a_plot() -> None:
    assert points(drawn()) == []
