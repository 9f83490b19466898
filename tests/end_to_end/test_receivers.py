"""A rehearsal tells the twin's CRM and nobody else, whatever receivers the flow has."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.end_to_end.reception import VISIT, flow
from voicebot.flow import Receiver, Report
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.sim.clock import run_virtual
from voicebot.sim.stage import rehearse


def test_rehearsal_posts_nothing_to_receivers_of_the_flow() -> None:
    connections = 0

    async def play() -> tuple[str, ...]:
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            writer.close()

        async with await asyncio.start_server(connected, "127.0.0.1", 9100):
            receiver = Receiver("real", url="http://127.0.0.1:9100/in", bearer="real")
            listed = replace(flow, report=Report(outcome=flow.report.outcome, receivers=[receiver]))
            rehearsal = await rehearse(VISIT, FlowShelf({"visit": load_flow("visit", listed)}))
            return rehearsal.problems

    assert run_virtual(play()) == ()
    assert connections == 0
