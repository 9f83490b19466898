"""A server between its twins, to be talked with over the web."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np

from voicebot.flow import Flow, HangUp, Number, Observations, Phase, Say, To, Transfer, ask, it, tool
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.sim.brain import Brain, Output, Says, ScriptedBrain, Turn, VerbatimReader
from voicebot.sim.listener import Listener
from voicebot.sim.scenario import noted
from voicebot.sim.speech import speak
from voicebot.sim.stage import Stage, stage
from voicebot.store.contract import StoredEntry
from voicebot.web.client import FORMAT, begin

TOKEN = "the API's own token"
AUTH = {"Authorization": f"Bearer {TOKEN}"}
GREETING = "Good evening, this is the practice. Who is calling, please?"
LONG = (
    "Of course. We are open from Monday to Friday, from nine in the morning until six in the evening, "
    "and on Saturdays until noon. On Sundays there is nobody here at all."
)


class Visit(Observations):
    name: str = ask("the caller's name")


@tool
def opening_hours() -> str:
    """When the practice is open."""
    return "nine to six"


def flow(**more: Any) -> Flow:
    return Flow(
        goal="Find out who is calling.",
        observations=Visit,
        phases=[
            Phase(
                "reception",
                instructions="Ask who is calling.",
                observations=[it.name],
                tools=[opening_hours],
                transitions=[To("bye")],
            ),
            Phase("bye", instructions="Say goodbye.", end=HangUp()),
        ],
        **more,
    )


VISIT = flow()
JOIN = Flow(
    goal="Join them to somebody.",
    targets={"desk": Number("+15550177")},
    phases=[Phase("human", instructions="Say that you connect them.", end=Transfer("desk"))],
)
SHELF = FlowShelf(
    {
        "visit": load_flow("visit", VISIT),
        "exact": load_flow("exact", flow(opening=Say("Hello, and welcome."))),
        "join": load_flow("join", JOIN),
    }
)
ADA = noted(name=("Ada", "this is Ada"))
GOODBYE: tuple[tuple[Output, ...], ...] = ((ADA,), (Says("Thank you, Ada. Goodbye!"),))
SCRIPT = (Turn(None, ((Says(GREETING),),)), Turn("Hello, this is Ada.", GOODBYE))


@dataclass
class Site:
    """A server at work, and what its twins saw."""

    on_stage: Stage
    brain: ScriptedBrain

    @property
    def origin(self) -> str:
        return self.on_stage.public_url

    async def begin(self, **body: Any) -> dict[str, Any]:
        return await begin(self.origin, TOKEN, **(body or {"flow": "visit"}))

    async def report(self, session_id: str) -> dict[str, Any]:
        """The report, as whoever holds the token reads it."""
        async with (
            aiohttp.ClientSession(headers=AUTH) as http,
            http.get(f"{self.origin}/calls/{session_id}/report") as answer,
        ):
            answer.raise_for_status()
            found: dict[str, Any] = (await answer.json(content_type=None))["data"]
            return found

    async def journal(self, session_id: str) -> list[StoredEntry]:
        async with self.on_stage.reading() as store:
            return await store.journal(session_id)


@asynccontextmanager
async def site(turns: Sequence[Turn] = SCRIPT, *, lenient: bool = False, **settings: object) -> AsyncIterator[Site]:
    """A server whose model follows a script; `lenient` if the caller does not."""
    script = ScriptedBrain(turns)
    brain: Brain = VerbatimReader(script)
    given = {"VOICEBOT_API_TOKEN": TOKEN, **settings}
    async with stage(SHELF, lambda: brain, default_flow="visit", settings=given) as on_stage:
        yield Site(on_stage, script)
        assert on_stage.model.problems == []
    assert lenient or script.problems == []


def voice(text: str) -> bytes:
    return speak(text, FORMAT.rate_hz, voice="caller").astype("<i2").tobytes()


def words_in(audio: bytes) -> list[str]:
    """What somebody at the loudspeaker has understood."""
    listener = Listener(FORMAT.rate_hz)
    heard = listener.feed(np.frombuffer(audio, "<i2")) + listener.flush()
    return [one.text for one in heard]
