"""How soon the console's pages are there, in a real browser, with 10,000 ended calls in the store and 100 live ones.

python tests/benchmarks/console.py [--calls 10000] [--live 100] [--times 5] [--chromium /usr/bin/chromium]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import listing
from aiohttp.test_utils import TestServer
from playwright.async_api import Page, async_playwright

from voicebot.flow import Flow, Phase
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.server.app import create_app
from voicebot.settings import read_settings

TOKEN = "administers"
PAGES = (
    ("overview, 24 hours", "/console", ".over-time"),
    ("overview, 30 days", "/console?hours=720", ".over-time"),
    ("calls, live and history", "/console/calls", ".history table.rows"),
    ("calls by outcome", "/console/calls?outcome=rare", ".history table.rows"),
    ("calls by number", "/console/calls?number=%2B15550000007", ".history table.rows"),
    ("calls by what was said", "/console/calls?text=Friday", ".history table.rows"),
    ("a call", "/console/calls/CA0000000000000000000000000000000007", ".lines"),
    ("deliveries", "/console/deliveries", "table.rows"),
)


async def measure(folder: Path, times: int, chromium: str) -> None:
    settings = read_settings(
        None,
        OPENAI_API_KEY="sk",
        TWILIO_AUTH_TOKEN="t",
        VOICEBOT_PUBLIC_URL="http://127.0.0.1",
        VOICEBOT_STORE=f"sqlite:///{folder}/calls.db",
        VOICEBOT_API_TOKEN=TOKEN,
        VOICEBOT_API_RATE=1_000_000,
    )
    flow = Flow(goal="g", observations=listing.Visit, phases=[Phase("reception", instructions="Greet.")])
    app = await create_app(settings, shelf=FlowShelf({"visit": load_flow("visit", flow)}))
    async with TestServer(app) as server, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--headless", "--no-sandbox"])
        page = await browser.new_page()
        await page.goto(str(server.make_url("/console")))
        await page.get_by_label("API token").fill(TOKEN)
        await page.keyboard.press("Enter")
        await page.wait_for_selector("nav")
        for name, path, selector in PAGES:
            took = [await _shown(page, str(server.make_url(path)), selector) for _ in range(times)]
            print(f"{name:26} median {median(took):7.0f} ms  worst {max(took):7.0f} ms")
        await browser.close()


async def _shown(page: Page, url: str, selector: str) -> float:
    """Milliseconds from the address to the content, the scripts anew (304) included."""
    began = time.perf_counter()
    await page.goto(url, wait_until="commit")
    await page.wait_for_selector(selector)
    return (time.perf_counter() - began) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--live", type=int, default=100)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    listing.NOW = datetime.now(UTC)  # the browser asks for the last hours of its own clock
    with tempfile.TemporaryDirectory() as folder:
        listing.fill(Path(folder) / "calls.db", given.calls, given.live)
        asyncio.run(measure(Path(folder), given.times, given.chromium))


if __name__ == "__main__":
    main()
