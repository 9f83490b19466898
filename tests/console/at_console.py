"""The console in a real browser, as whoever holds a token has it; and everything that its policy had to refuse."""

from __future__ import annotations

import wave
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.console.conftest import Open
from tests.web_site import TOKEN, voice
from voicebot.flow.loader import FlowShelf
from voicebot.sim.brain import Brain, ScriptedBrain, Turn, VerbatimReader
from voicebot.sim.stage import Stage, stage
from voicebot.web.client import FORMAT

LIMIT_MS = 120_000

# What the twin's model hears is a code, which a browser must not take for noise around a voice.
_AS_IT_IS = """
const asked = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);
if (asked) navigator.mediaDevices.getUserMedia = (wanted) =>
  asked({ audio: { ...wanted.audio, echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
"""
_WATCHED = """
window.refused = [];
document.addEventListener("securitypolicyviolation", (event) => window.refused.push(event.violatedDirective));
"""


@dataclass
class AtConsole:
    """A page of the console, and the server behind it."""

    page: Any
    on_stage: Stage
    complaints: list[str] = field(default_factory=list)

    async def go(self, path: str) -> None:
        await self.page.goto(f"{self.on_stage.public_url}/console{path}", timeout=LIMIT_MS)

    async def see(self, selector: str, text: str = "") -> Any:
        """Wait for something that can be seen, with this text if one is given."""
        found = self.page.locator(selector)
        found = (found.filter(has_text=text) if text else found).first
        await found.wait_for(state="visible", timeout=LIMIT_MS)
        return found

    async def refused(self) -> list[str]:
        """What the page's policy had to refuse since it was loaded."""
        found: list[str] = await self.page.evaluate("window.refused")
        return found


def recording(path: Path, said: Sequence[tuple[float, str]]) -> Path:
    """A WAV of what somebody says, each after so many seconds of silence, for the browser's microphone."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(FORMAT.rate_hz)
        for pause_s, text in said:
            file.writeframes(bytes(round(FORMAT.bytes_per_ms * pause_s * 1000)) + voice(text))
        file.writeframes(bytes(FORMAT.bytes_per_ms * 60_000))
    return path


@asynccontextmanager
async def console(
    open_browser: Open,
    shelf: FlowShelf,
    turns: Sequence[Turn],
    microphone: Path,
    *,
    width: int = 1280,
    token: str = TOKEN,
    **settings: object,
) -> AsyncIterator[AtConsole]:
    """Somebody has logged in, in front of a server whose model follows a script."""
    brain: Brain = VerbatimReader(ScriptedBrain(turns))
    given = {"VOICEBOT_API_TOKEN": TOKEN, **settings}
    name = next(iter(shelf.flows), "none")
    async with (
        stage(shelf, lambda: brain, default_flow=name, settings=given) as on_stage,
        open_browser(microphone) as browser,
    ):
        page = await (await browser.new_context(viewport={"width": width, "height": 844})).new_page()
        await page.add_init_script(_AS_IT_IS + _WATCHED)
        at = AtConsole(page, on_stage)
        page.on("console", lambda message: at.complaints.append(message.text))
        page.on("pageerror", lambda error: at.complaints.append(str(error)))
        await at.go("")
        await page.fill("input[name=token]", token, timeout=LIMIT_MS)
        await page.click("button[type=submit]")
        await at.see("nav")
        yield at
