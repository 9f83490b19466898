from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from voicebot.flow import Flow, HangUp, Limits, Observations, Phase, To, ask, it
from voicebot.flow.graph import Edge, edges, mermaid, svg
from voicebot.flow.loader import load_folder
from voicebot.flow.model import After

SHIPPED = load_folder(Path(__file__).parents[2] / "flows").flows


class Order(Observations):
    mode: str = ask("pickup or <delivery>")
    note: str = ask("a note", optional=True)


FLOW = Flow(
    goal='An "order" <now>',
    observations=Order,
    limits=Limits(silence=(After("20s", To("bye")),)),
    phases=(
        Phase(
            "order",
            observations=(it.mode, it.note),
            transitions=(To("again", when=it.mode == "a|b"), To("bye")),
            may_jump=("bye", "again"),
        ),
        Phase("again", transitions=(To("order"),)),
        Phase("bye", end=HangUp()),
    ),
)


def test_edges_are_those_the_engine_takes() -> None:
    assert list(edges(FLOW)) == [
        Edge("order", "again", "mode == 'a|b'", "transition"),
        Edge("order", "bye", "", "transition"),
        Edge("again", "order", "", "transition"),
        Edge("order", "bye", "after 20 s of silence", "silence"),
    ]


def test_mermaid_names_every_phase_and_guard() -> None:
    text = mermaid(FLOW)
    assert text.splitlines()[0] == "flowchart TD"
    assert 'order["<b>order</b><br/>mode<br/>note?"]' in text
    assert 'bye(["<b>bye</b>"])' in text
    assert "order -->|\"mode == 'a#124;b'\"| again" in text


@pytest.mark.parametrize("name", SHIPPED)
def test_svg_shows_every_phase_once(name: str) -> None:
    flow = SHIPPED[name].flow
    image = ElementTree.fromstring(svg(flow))
    names = [text.text for text in image.iter("{http://www.w3.org/2000/svg}text") if text.get("class") == "name"]
    assert sorted(names) == sorted(flow.by_name)
    arrows = [path for path in image.iter("{http://www.w3.org/2000/svg}path") if path.get("marker-end")]
    assert len(arrows) == len(list(edges(flow)))


def test_svg_survives_hostile_words() -> None:
    assert ElementTree.fromstring(svg(FLOW)).find("{http://www.w3.org/2000/svg}title").text == 'An "order" <now>'  # type: ignore[union-attr]
