"""One scenario over real sockets in real time and in memory on the virtual clock: the same call."""

from __future__ import annotations

import asyncio
import json
import re

from tests.end_to_end.reception import VISIT, shelf
from voicebot.sim.clock import run_virtual
from voicebot.sim.stage import Rehearsal, rehearse

# What depends on when things happened, or is made anew for each call.
TIMES = {"response_ms", "heard_ms", "sent_ms", "took_ms"}
NAMES = {"stream_sid", "item_id", "call_id"}


def essence(rehearsal: Rehearsal) -> list[tuple[str, object]]:
    """The journal without its times; names of items become the order in which they first appear.

    Where a sentence was cut is a matter of milliseconds, so a cut one is compared by its full text.
    """
    order: dict[str, int] = {}
    lines = []
    for entry in rehearsal.journal:
        body = json.loads(entry.body)
        if body.get("interrupted"):
            body["heard_text"] = "cut"
        for name in NAMES & body.keys():
            body[name] = order.setdefault(body[name], len(order))
        if entry.kind in ("tokens_spent", "line_quality"):
            body = {}  # the one counts what was heard of a cut sentence, the other is all measured
        lines.append((entry.kind, {key: value for key, value in body.items() if key not in TIMES}))
    return settled(lines)


def settled(lines: list[tuple[str, object]]) -> list[tuple[str, object]]:
    """Transcripts and the model's readiness come when they come: their place is no part of the journal's meaning."""
    loose = ("caller_said", "model_connected")
    return [line for line in lines if line[0] not in loose] + sorted(
        (line for line in lines if line[0] in loose), key=str
    )


def test_real_and_virtual_time_agree() -> None:
    virtual = run_virtual(rehearse(VISIT, shelf))
    real = asyncio.run(rehearse(VISIT, shelf))
    assert virtual.problems == real.problems == ()
    assert essence(virtual) == essence(real)
    times = [entry.at_ms for entry in real.journal]
    assert re.fullmatch(r"\d+", str(times[-1])) and times == sorted(times)


def test_virtual_time_repeats_exactly() -> None:
    first, second = (run_virtual(rehearse(VISIT, shelf)) for _ in range(2))
    keep = [(entry.kind, entry.at_ms) for entry in first.journal]
    assert keep == [(entry.kind, entry.at_ms) for entry in second.journal]
