"""A real browser: Debian's Chromium, with a microphone that plays a file. Without one these tests are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.async_api import Browser

CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
_QUIETLY = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--autoplay-policy=no-user-gesture-required", "--use-fake-device-for-media-stream"),
    "--use-fake-ui-for-media-stream",
)

Open = Callable[[Path], AbstractAsyncContextManager["Browser"]]


def _executable() -> str | None:
    return next((path for path in CHROMIUM if Path(path).exists()), None) or shutil.which("chromium")


@pytest.fixture
def open_browser() -> Open:
    """Open a browser whose microphone plays a WAV file, once, from when it is opened."""
    async_api: Any = pytest.importorskip("playwright.async_api", reason="pip install 'voicebot[test]' for a browser")
    if (executable := _executable()) is None:
        pytest.skip("no Chromium here: apt-get install chromium")

    @asynccontextmanager
    async def browser(microphone: Path) -> Any:
        async with async_api.async_playwright() as playwright:
            arguments = [*_QUIETLY, f"--use-file-for-fake-audio-capture={microphone}%noloop"]
            opened = await playwright.chromium.launch(executable_path=executable, args=arguments)
            try:
                yield opened
            finally:
                await opened.close()

    return browser
