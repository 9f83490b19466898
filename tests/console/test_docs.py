"""The project's pages in a real browser: read in the console, under its policy, on a wide and on a narrow screen."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.console.at_console import LIMIT_MS, AtConsole, console, recording
from tests.console.conftest import Open
from voicebot.flow.loader import FlowShelf
from voicebot.server import docs

WIDEST = """Math.max(...[...document.querySelectorAll("body *")]
  .filter((one) => !one.closest(".table-wrap, pre, nav")).map((one) => one.getBoundingClientRect().right))"""
IN_SIGHT = """(id) => new Promise((seen) => {
  const look = () => {
    const place = document.getElementById(id)?.getBoundingClientRect();
    if (place && place.top >= 0 && place.top < innerHeight) seen();
    else requestAnimationFrame(look);
  };
  look();
})"""
PICTURES = """Promise.all([...document.images].map((one) => {
  one.loading = "eager";
  return one.decode().then(() => one.naturalWidth);
}))"""


async def is_seen(at: AtConsole, anchor: str) -> None:
    """Wait until a heading stands in the window, below the frame's top."""
    async with asyncio.timeout(LIMIT_MS / 1000):
        await at.page.evaluate(IN_SIGHT, anchor)


@pytest.mark.slow
async def test_pages_are_read_in_the_console(open_browser: Open, tmp_path: Path) -> None:
    async with console(open_browser, FlowShelf({}), (), recording(tmp_path / "nothing.wav", ())) as at:
        await at.page.click("nav >> text=Docs")
        await at.sees(".doc h1", "voicebot")
        assert await at.page.title() == "Start · voicebot"
        assert min(await at.page.evaluate(PICTURES)) > 0

        await at.page.click(".doc >> text=flows/README.md")  # a link among pages, taken without loading anew
        await at.sees(".doc h1", "Writing a flow")
        assert at.page.url.endswith("/console/docs/flows")
        await at.page.click(".doc-list >> text=At a glance")
        await is_seen(at, "at-a-glance")
        assert at.page.url.endswith("/console/docs/flows#at-a-glance")
        await at.page.click(".doc td a >> text=languages")
        await is_seen(at, "languages")

        await at.page.click(".doc a[href='/console/docs/deliveries']")
        await at.sees(".doc h1", "Deliveries")
        await at.page.go_back(timeout=LIMIT_MS)
        await at.sees(".doc h1", "Writing a flow")
        await at.go("/docs/running#the-model")
        await is_seen(at, "the-model")

        await at.go("/docs/none")
        await at.sees(".error", "there is no such page")
        assert [one for one in at.complaints if "404" not in one] == []


@pytest.mark.slow
async def test_every_page_fits_a_narrow_screen(open_browser: Open, tmp_path: Path) -> None:
    async with console(open_browser, FlowShelf({}), (), recording(tmp_path / "nothing.wav", ()), width=390) as at:
        for page in docs.PAGES:
            await at.go(f"/docs/{page.name}")
            await at.sees(".doc h1")
            assert await at.page.locator(".doc-list > ul > li > a[aria-current]").text_content() == page.title
            assert await at.page.evaluate("document.documentElement.scrollWidth") <= 390, page.name
            assert await at.page.evaluate(WIDEST) <= 390, page.name
            await at.is_at_ease()
