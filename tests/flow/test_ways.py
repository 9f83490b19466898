"""Every way of a flow, each with where it is written."""

from __future__ import annotations

from pathlib import Path

from tests.flow.mutants import CLEAN
from voicebot.flow.loader import load_file
from voicebot.flow.ways import Way, ways

CLINIC = Path(__file__).parent / "clean_flows" / "clinic.py"


def shown(way: Way) -> str:
    return f"{way.start} → {way.end}: {way.kind} {way.cause}".strip()


def test_every_way_is_there_in_order() -> None:
    found = list(ways(load_file(CLINIC).flow))
    assert [shown(way) for way in found] == [
        "reception → emergency: transition",
        "reception → insurance: transition",
        "emergency → at_once: transition",
        "emergency → insurance: transition",
        "emergency → call_back: stuck stuck for 180 s",
        "emergency → call_back: failure call_the_dentist",
        "insurance → date: transition",
        "insurance → reception: jump",
        "date → call_back: transition",
        "date → confirm: transition",
        "confirm → booking: transition",
        "confirm → not_booked: transition",
        "booking → survey: transition",
        "booking → call_back: failure book",
        "survey → bye: transition",
        "survey → bye: stuck not done in 30 s",
        "None → call_back: stuck stuck for 12 turns",
        "None → call_back: rule human",
        "None → call_back: rule operator",
    ]


def test_way_knows_its_line() -> None:
    lines = CLEAN["clinic"].splitlines()
    for way in ways(load_file(CLINIC).flow):
        assert way.where is not None
        file, _, line = way.where.rpartition(":")
        assert file == str(CLINIC)
        if way.kind in ("transition", "rule"):
            assert way.end in lines[int(line) - 1] or way.cause in lines[int(line) - 1]
