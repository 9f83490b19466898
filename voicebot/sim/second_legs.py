"""A scenario's other legs on the twin: what becomes of whom its flow calls, and of whom the phone line rings for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import aiohttp

from voicebot.errors import ScenarioError

from .call_result import CallResult
from .callee import GREETING, Callee, machine
from .caller import Conversation
from .dial_outcome import DialOutcome, Dials
from .parties import CallOut, Rung
from .scenario import Scenario
from .timeline import VerbPlayed, Whispered

API_TOKEN = "the rehearsal's API token"
PLACED_LIMIT_S = 60.0  # until the server has asked for the call
_UNANSWERED: Mapping[str, Literal["busy", "no-answer", "failed"]] = {
    "busy": "busy",
    "no answer": "no-answer",
    "failed": "failed",
}


def callee_of(
    call: CallOut,
    person: Callable[[], Conversation],
    dial: Dials,
    voice: Callable[[str], bytes],
) -> Callee:
    """Whom the flow calls.

    Args:
        person: makes the human being who answers.
        dial: what becomes of whom the line rings for them, by address.
        voice: gives their words as mu-law at 8 kHz.
    """
    ring_s = call.rings_ms / 1000
    match call.meets:
        case "person":
            return Callee(ring_s=ring_s, behaviour=person, voice=voice, dial=dial)
        case "machine":
            return machine(call.greeting or GREETING, tone=call.tone, ring_s=ring_s)
        case unanswered:
            return Callee(_UNANSWERED[unanswered], ring_s=ring_s)


def dial_outcomes(rung: Sequence[Rung]) -> list[DialOutcome]:
    """What becomes of one dial after the other."""
    return [
        DialOutcome(_UNANSWERED.get(one.result, "completed"), one.rings_ms / 1000, one.talks_ms / 1000) for one in rung
    ]


async def place_call(public_url: str, scenario: Scenario, call: CallOut) -> str:
    """Have the server call the scenario's person, as a program would; returns the CallSid.

    Raises:
        ScenarioError: it does not.
    """
    body = {
        "to": scenario.caller_number,
        "from": scenario.called_number,
        "flow": scenario.flow,
        "variables": dict(call.variables),
    }
    headers = {"Authorization": f"Bearer {API_TOKEN}"}
    timeout = aiohttp.ClientTimeout(total=PLACED_LIMIT_S)
    async with (
        aiohttp.ClientSession(headers=headers, timeout=timeout) as http,
        http.post(f"{public_url}/calls", json=body) as answer,
    ):
        if answer.status != 201:
            raise ScenarioError(f"{scenario.place}: the call is not placed: {answer.status} {await answer.text()}")
        placed = await answer.json()
        return str(placed["call_sid"])


def rung_problems(rung: Mapping[str, tuple[str, Sequence[Rung]]], result: CallResult) -> Iterator[str]:
    """Who was rung for the caller, and what they were told, against what the scenario says of them.

    Args:
        rung: by the scenario's name of a target its address, and what becomes of each call to it.
    """
    dials: Counter[str] = Counter()
    told: dict[tuple[str, int], str] = {}
    latest = ""
    for event in result.events:
        match event:
            case VerbPlayed(verb="Dial", detail=address):
                dials[address], latest = dials[address] + 1, address
            case Whispered(text=words):
                told[latest, dials[latest]] = words
            case _:
                continue
    for name, (address, outcomes) in rung.items():
        if dials[address] != len(outcomes):
            yield f"the phone line rang {name} {_times(dials[address])}, the scenario says {_times(len(outcomes))}"
        for number, one in enumerate(outcomes, 1):
            heard = told.get((address, number))
            if one.hears is not None and heard != one.hears:
                yield f"whoever answered at {name} was told {heard!r} instead of {one.hears!r}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
