from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.sim.load.test_figures import row
from tests.sim.load.test_soak import BASE, END, soaked
from voicebot.sim.load.course import Course
from voicebot.sim.load.finder import Search
from voicebot.sim.load.plan import Plan, Theirs
from voicebot.sim.load.profiles import Shape
from voicebot.sim.load.server import Ours
from voicebot.sim.load.sheet import (
    course_document,
    course_plot,
    soak_document,
    soak_plot,
    steps_document,
    steps_plot,
)
from voicebot.sim.load.table import Sample
from voicebot.sim.load.target import Target

OURS = Ours({"SECRET": "canary"})
SAMPLES = [Sample(float(at), 2, 0.3, 80.0 + at, None, 1.0, 2.0, 0.1, 0.5, 0, 0) for at in range(5)]


def through_json(document: Mapping[str, object]) -> dict[str, Any]:
    text = json.dumps(document)
    assert "canary" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_loads_are_a_document() -> None:
    search = Search(50)
    search.tell(50, carried=True)
    rows = [row(calls=1), row(calls=50, underruns=1)]
    found = through_json(steps_document(Plan(OURS, (1, 50)), rows, search))
    assert [load["calls"] for load in found["loads"]] == [1, 50]
    assert [load["failed"] for load in found["loads"]] == [False, True]
    assert found["loads"][0]["uplink_p99_ms"] == 2.0
    assert found["found"] == {"carried": 50, "too_many": None}
    assert (found["server"], found["profile"], found["workers"]) == ("ours", "steps", 1)


def test_course_is_a_document() -> None:
    plan = Plan(Theirs(Target("https://x.example/v"), "https://x.example"), (2,), shape=Shape.ramp)
    found = through_json(course_document(plan, Course(SAMPLES, row(), [])))
    assert [sample["memory_mib"] for sample in found["samples"]] == [80.0, 81.0, 82.0, 83.0, 84.0]
    assert (found["server"], found["profile"], found["workers"]) == ("https://x.example", "ramp", None)


def test_soak_is_a_document() -> None:
    made = soaked(replace(END, tasks=14))
    found = through_json(soak_document(Plan(OURS, (50,), shape=Shape.soak, total=1_000), made))
    assert found["base"]["tasks"] == 12
    assert found["end"]["tasks"] == 14
    assert found["wrong"] == ["2 tasks are left over"]
    assert found["reports"] == {"1": 1_200}
    assert len(found["samples"]) == 3


@pytest.mark.parametrize(
    ("drawn", "titles"),
    [
        (steps_plot([row(calls=50), row(calls=1)]), {"uplink, ms", "server's memory, KiB per call"}),
        (course_plot("ramp", SAMPLES), {"calls", "server's memory, MiB", "uplink, ms"}),
        (soak_plot([BASE, END]), {"memory, MiB", "file descriptors", "tasks", "calls at work"}),
    ],
    ids=["steps", "course", "soak"],
)
def test_plot_has_its_panels(drawn: str, titles: set[str]) -> None:
    texts = {element.text for element in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")}
    assert titles <= texts


def test_curves_go_by_the_number_of_calls() -> None:
    drawn = steps_plot([row(calls=50), row(calls=1), row(calls=25)])
    lines = ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}polyline")
    for line in lines:
        places = [float(pair.split(",")[0]) for pair in line.get("points", "").split()]
        assert places == sorted(places)
