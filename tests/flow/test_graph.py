from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.flow.drawings import FLOW
from voicebot.flow.graph import ANYWHERE, Edge, box_lines, edges, mermaid
from voicebot.flow.loader import load_file, load_folder

HERE = Path(__file__).parent
SHIPPED = load_folder(HERE.parents[1] / "flows").flows
CLINIC = load_file(HERE / "clean_flows" / "clinic.py").flow


def test_edges_are_those_the_engine_takes() -> None:
    assert list(edges(FLOW)) == [
        Edge("order", "again", "mode == 'a|b'", "transition"),
        Edge("order", "end", "", "transition"),
        Edge("again", "order", "", "transition"),
        Edge("again", "end", "stuck for 3 turns or 90 s", "stuck"),
        Edge(ANYWHERE, "end", "stuck for 9 turns", "stuck"),
        Edge(ANYWHERE, "end", "they ask for | a human & mode.filled", "rule"),
        Edge(ANYWHERE, "again", "key #", "rule"),
        Edge(ANYWHERE, "end", "after 20 s of silence", "silence"),
    ]


def test_failures_are_drawn_where_they_happen() -> None:
    failed = [edge for edge in edges(CLINIC) if edge.kind == "failure"]
    assert failed == [
        Edge("emergency", "call_back", "call_the_dentist failed", "failure"),
        Edge("booking", "call_back", "book failed", "failure"),
    ]


def test_box_says_what_a_phase_is_about() -> None:
    boxes = {phase.name: box_lines(CLINIC, phase) for phase in CLINIC.phases}
    assert boxes["reception"] == ["name, read back", "reason"]
    assert boxes["emergency"] == ["pain?"]
    assert boxes["date"] == ["day", "at", "note?", "until ~(at < '09:00:00')"]
    assert boxes["confirm"] == [
        "phone",
        "accepted",
        "= fee",
        "says “price”",
        "says “terms”",
        "until heard('price')",
        "until accepted.no | judged('the caller sounded sure')",
    ]
    assert boxes["booking"] == ["accepted", "= fee", "until accepted.yes", "does book once"]
    assert boxes["survey"] == ["lasts 30 s"]
    assert boxes["bye"] == []


def test_mermaid_names_every_phase_and_guard() -> None:
    text = mermaid(FLOW)
    assert text.splitlines() == [
        "flowchart TD",
        '    order["<b>order</b><br/>mode<br/>note?"]',
        '    again["<b>again</b>"]',
        '    END(["<b>end</b>"])',
        '    ANY{{"<b>any phase</b><br/>they speak of the weather: says “Let us go on.”<br/>key *: hangs up"}}',
        "    order -->|\"mode == 'a#124;b'\"| again",
        "    order --> END",
        "    again --> order",
        '    again -.->|"stuck for 3 turns or 90 s"| END',
        '    ANY -.->|"stuck for 9 turns"| END',
        '    ANY -.->|"they ask for #124; a human &amp; mode.filled"| END',
        '    ANY -.->|"key #"| again',
        '    ANY -.->|"after 20 s of silence"| END',
        "    style order stroke-width:3px",
    ]


@pytest.mark.parametrize("name", SHIPPED)
def test_mermaid_of_a_shipped_flow_has_each_phase_once(name: str) -> None:
    text = mermaid(SHIPPED[name].flow)
    assert sorted(re.findall(r"<b>(\w+)</b>", text)) == sorted(SHIPPED[name].flow.by_name)
