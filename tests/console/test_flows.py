"""The pages of flows in a real browser: the list, one flow's picture, findings and figures; hostile names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.console.at_console import console, recording
from tests.console.conftest import Open
from tests.console.test_talk import HOSTILE, begin
from tests.web_site import GREETING, SHELF, flow
from voicebot.errors import FlowError
from voicebot.flow import Flow, Number, Phase, Transfer
from voicebot.flow.check import check
from voicebot.flow.loader import FlowShelf, load_flow, load_folder, shipped_flows
from voicebot.sim.brain import Says, Turn

SHIPPED = load_folder(shipped_flows())
BROKEN = FlowError("there is no phase 'adress'", where="flows/broken.py:41", mend="write 'address'")

# Boxes that overlap, ways that end away from their box, and labels that lie on a box.
MISPLACED = """async (outline) => {
  const { picture } = await import("/console/static/graph.js");
  const { element } = picture(outline);
  document.body.append(element);
  const found = [];
  const boxes = [...element.querySelectorAll("rect")].map((one) => one.getBBox());
  const texts = [...element.querySelectorAll(".guard")].map((one) => one.getBBox());
  const meet = (one, other) =>
    one.x < other.x + other.width && other.x < one.x + one.width &&
    one.y < other.y + other.height && other.y < one.y + one.height;
  boxes.forEach((box, n) => {
    for (const other of boxes.slice(n + 1)) if (meet(box, other)) found.push("box on box");
    for (const text of texts) if (meet(box, text)) found.push("label on box");
  });
  const near = ({ x, y }) => boxes.some((box) => x >= box.x && x <= box.x + box.width &&
    (Math.abs(y - box.y) < 1 || Math.abs(y - box.y - box.height) < 1));
  for (const way of element.querySelectorAll(".way")) {
    const ends = [way.getPointAtLength(0), way.getPointAtLength(way.getTotalLength())];
    if (!ends.every(near)) found.push("a way that hangs loose");
  }
  return { found, boxes: boxes.length };
}"""


@pytest.fixture
def silence(tmp_path: Path) -> Path:
    return recording(tmp_path / "silence.wav", ())


async def test_flows_are_listed_with_what_is_wrong(silence: Path, open_browser: Open) -> None:
    doubtful = Flow(
        goal="Join them to somebody.",
        targets={"desk": Number("+15550177"), "nobody": Number("+15550178")},
        phases=[Phase("human", instructions="Say that you connect them.", end=Transfer("desk"))],
    )
    findings = check(doubtful)
    assert findings, "this flow is here for its findings"
    shelf = FlowShelf({"doubtful": load_flow("doubtful", doubtful), **SHELF.flows}, (BROKEN,))
    async with console(open_browser, shelf, (), silence) as at:
        await at.page.click("nav >> text=Flows")
        await at.sees("section", "1 not loaded")
        for words in (BROKEN.problem, BROKEN.where, BROKEN.mend):
            await at.sees(".finding", words)
        await at.sees("tr", "Find out who is calling.")
        await at.page.click("text=doubtful")
        await at.sees(".page-head .badge", "warning")
        for words in (findings[0].problem, findings[0].rule, findings[0].mend, findings[0].where):
            assert words
            await at.sees(".findings li", words)
        await at.is_at_ease()


async def test_figures_of_real_calls_are_shown(silence: Path, open_browser: Open) -> None:
    turns = (Turn(None, ((Says(GREETING),),)),)
    async with console(open_browser, SHELF, turns, silence) as at:
        await begin(at, "visit", writing=True)
        await at.sees(".line.bot", GREETING)
        await at.page.click("text=Hang up")
        await at.sees(".result")
        await at.go("/flows/visit")
        await at.sees(".lost", "1 (100 %)")
        await at.sees("dl.facts", "caller hung up")
        await at.sees("tr", SHELF.get("visit").version)
        await at.page.click("[role=tab]:has-text('List')")
        await at.sees("ol.phase-list li", "reception: the call begins here; name")
        await at.page.click("[role=tab]:has-text('Report schema')")
        await at.sees("pre", "Report of a call with visit")
        await at.page.click("text=Talk with it")
        await at.sees("form.begin")
        assert await at.page.locator("select[name=flow]").input_value() == "visit"
        await at.is_at_ease()


async def test_pictures_of_all_flows_are_neat(silence: Path, open_browser: Open) -> None:
    async with console(open_browser, SHIPPED, (), silence, width=390) as at:
        for name, loaded in SHIPPED.flows.items():
            await at.go(f"/flows/{name}")
            await at.sees("svg.flow-graph")
            assert await at.page.evaluate("document.documentElement.scrollWidth") == 390
            outline = await at.page.evaluate(f"fetch('/flows/{name}/outline').then((answer) => answer.json())")
            drawn: Mapping[str, Any] = await at.page.evaluate(MISPLACED, outline)
            assert drawn["found"] == [], name
            assert drawn["boxes"] >= len(loaded.flow.phases)
        await at.is_at_ease()


async def test_hostile_flow_is_shown_and_not_run(silence: Path, open_browser: Open) -> None:
    hostile = replace(flow(), goal=HOSTILE)
    name = "</script>" + HOSTILE
    broken = FlowError(HOSTILE, where=HOSTILE, mend=HOSTILE)
    async with console(open_browser, FlowShelf({name: load_flow(name, hostile)}, (broken,)), (), silence) as at:
        await at.go("/flows")
        await at.sees(".finding", HOSTILE)
        await at.page.click(".row-link")
        await at.sees("h1", name)
        await at.sees(".goal", HOSTILE)
        await at.go(f"/talk?flow={quote(name)}")
        await at.sees("form.begin p", HOSTILE)
        await at.is_at_ease()
