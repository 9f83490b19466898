"""The drawn diagram: everything is in it once, and nothing lies on anything else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.flow.drawings import FLOW
from voicebot.flow import Flow, HangUp, Phase, To
from voicebot.flow.graph import ANYWHERE, edges
from voicebot.flow.loader import load_file, load_folder
from voicebot.flow.svg import svg

HERE = Path(__file__).parent
FLOWS = {name: loaded.flow for name, loaded in load_folder(HERE.parents[1] / "flows").flows.items()}
FLOWS |= {path.stem: load_file(path).flow for path in sorted((HERE / "clean_flows").glob("*.py"))}
FLOWS["hostile"] = FLOW
NAMESPACE = "{http://www.w3.org/2000/svg}"
Rectangle = tuple[float, float, float, float]


def drawn(flow: Flow) -> ElementTree.Element:
    return ElementTree.fromstring(svg(flow))


def boxes(image: ElementTree.Element) -> Iterator[Rectangle]:
    for frame in image.iter(f"{NAMESPACE}rect"):
        x, y, width, height = (float(frame.get(name, "")) for name in ("x", "y", "width", "height"))
        yield x, y, x + width, y + height


@pytest.mark.parametrize("name", FLOWS)
def test_every_phase_is_drawn_once(name: str) -> None:
    image = drawn(FLOWS[name])
    names = [text.text for text in image.iter(f"{NAMESPACE}text") if text.get("class") == "name"]
    everywhere = {edge.start for edge in edges(FLOWS[name])} & {ANYWHERE}
    assert sorted(filter(None, names)) == sorted([*FLOWS[name].by_name, *everywhere])


@pytest.mark.parametrize("name", FLOWS)
def test_every_way_is_drawn_once(name: str) -> None:
    lines = [path for path in drawn(FLOWS[name]).iter(f"{NAMESPACE}path") if path.get("data-end")]
    found = [(path.get("data-start"), path.get("data-end"), path.get("class")) for path in lines]
    assert sorted(map(str, found)) == sorted(str((edge.start, edge.end, edge.kind)) for edge in edges(FLOWS[name]))


@pytest.mark.parametrize("name", FLOWS)
def test_no_box_lies_on_another(name: str) -> None:
    for (x0, y0, x1, y1), (left, top, right, bottom) in combinations(boxes(drawn(FLOWS[name])), 2):
        assert x1 <= left or right <= x0 or y1 <= top or bottom <= y0


@pytest.mark.parametrize("name", FLOWS)
def test_no_lane_crosses_a_box(name: str) -> None:
    image = drawn(FLOWS[name])
    for path in image.iter(f"{NAMESPACE}path"):
        points = list(corners(path.get("d", "")))
        for (x0, y0), (x1, y1) in pairwise(points):
            for left, top, right, bottom in boxes(image):
                beside = max(x0, x1) <= left or right <= min(x0, x1)
                assert beside or max(y0, y1) <= top or bottom <= min(y0, y1)


def corners(path: str) -> Iterator[tuple[float, float]]:
    """The points of a path of straight lines; none of a curve's."""
    x = y = 0.0
    if "C" in path or "L" in path:
        return
    for letter, given in re.findall(r"([MHV])([\d. -]+)", path):
        numbers = [float(number) for number in given.split()]
        if letter == "M":
            x, y = numbers
        elif letter == "H":
            (x,) = numbers
        else:
            (y,) = numbers
        yield x, y


@pytest.mark.parametrize("name", FLOWS)
def test_all_lies_within_the_image(name: str) -> None:
    image = drawn(FLOWS[name])
    _, _, width, height = (float(number) for number in image.get("viewBox", "").split())
    for left, top, right, bottom in boxes(image):
        assert left >= 0
        assert top >= 0
        assert right <= width
        assert bottom <= height
    for path in image.iter(f"{NAMESPACE}path"):
        for x, y in corners(path.get("d", "")):
            assert 0 <= x <= width
            assert 0 <= y <= height


def test_hostile_words_are_only_words() -> None:
    title = drawn(FLOW).find(f"{NAMESPACE}title")
    assert title is not None
    assert title.text == 'An "order" <now>'


def test_many_ways_are_laid_out_at_once() -> None:
    names = [f"p{number}" for number in range(40)]
    following = {name: names[number + 1 :] for number, name in enumerate(names)}
    phases = [Phase(name, transitions=[To(other) for other in following[name]]) for name in names[:-1]]
    flow = Flow(goal="Go on.", phases=[*phases, Phase("p39", end=HangUp())])
    assert len(list(boxes(drawn(flow)))) == 40
