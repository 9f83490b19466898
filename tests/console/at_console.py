"""The console in a real browser, as whoever holds a token has it; and everything that its policy has refused."""

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
NARROW, WIDE = 390, 1280

# What the twin's model hears is a code, which a browser must not take for noise around a voice.
_AS_IT_IS = """
const asked = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);
if (asked) navigator.mediaDevices.getUserMedia = (wanted) =>
  asked({ audio: { ...wanted.audio, echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
"""
_WATCHED = """
window.refused = [];
document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
  window.refused.push(`${violatedDirective} ${blockedURI}`));
"""


@dataclass
class Operator:
    """Somebody who has logged in, and whatever a browser has complained of."""

    page: Any
    origin: str
    complaints: list[str] = field(default_factory=list)

    async def go(self, path: str) -> None:
        await self.page.goto(f"{self.origin}/console{path}", timeout=LIMIT_MS)

    async def sees(self, selector: str, text: str | None = None) -> Any:
        """The first of these that holds this text, once it can be seen."""
        found = self.page.locator(selector, has_text=text) if text is not None else self.page.locator(selector)
        await found.first.wait_for(state="visible", timeout=LIMIT_MS)
        return found.first

    async def press(self, name: str) -> None:
        await self.page.get_by_role("button", name=name, exact=True).first.click(timeout=LIMIT_MS)

    async def is_at_ease(self) -> None:
        """No script of anybody's ran, the policy refused nothing, and the page has no fault."""
        assert await self.page.evaluate("window.ran") is None
        assert await self.page.evaluate("window.refused") == []
        assert self.complaints == []


@dataclass
class AtConsole(Operator):
    """An operator, and the server behind the page."""

    on_stage: Stage = field(kw_only=True)


@asynccontextmanager
async def logged_in(
    open_browser: Open, origin: str, token: str, *, microphone: Path = Path("none.wav"), width: int = WIDE
) -> AsyncIterator[Operator]:
    """Open a browser at the console of a server, and log in."""
    async with open_browser(microphone) as browser:
        page = await (await browser.new_context(viewport={"width": width, "height": 844})).new_page()
        await page.add_init_script(_AS_IT_IS + _WATCHED)
        operator = Operator(page, origin)
        page.on("console", lambda message: operator.complaints.append(message.text))
        page.on("pageerror", lambda error: operator.complaints.append(str(error)))
        await operator.go("")
        await page.get_by_label("API token").fill(token, timeout=LIMIT_MS)
        await page.keyboard.press("Enter")
        await operator.sees("nav")
        yield operator


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
    width: int = WIDE,
    token: str = TOKEN,
    **settings: object,
) -> AsyncIterator[AtConsole]:
    """Somebody has logged in, in front of a server whose model follows a script."""
    brain: Brain = VerbatimReader(ScriptedBrain(turns))
    given = {"VOICEBOT_API_TOKEN": TOKEN, **settings}
    name = next(iter(shelf.flows), "none")
    async with (
        stage(shelf, lambda: brain, default_flow=name, settings=given) as on_stage,
        logged_in(open_browser, on_stage.public_url, token, microphone=microphone, width=width) as operator,
    ):
        yield AtConsole(operator.page, operator.origin, operator.complaints, on_stage=on_stage)
