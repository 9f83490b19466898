"""`voicebot replay` over a real store."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.end_to_end.reception import HANGS_UP, VISIT, flow, shelf
from voicebot.errors import StoreError
from voicebot.flow import Phase, To, it
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.server.recorded import Verdict, replay_calls
from voicebot.sim.clock import run_virtual
from voicebot.sim.stage import stage


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a store with two calls: a whole one, then one that the caller ended."""
    address = f"sqlite:///{tmp_path_factory.mktemp('recorded') / 'calls.db'}"

    async def play() -> None:
        for scenario in (VISIT, HANGS_UP):
            brain = scenario.brain()
            settings: dict[str, object] = {"VOICEBOT_STORE": address}
            async with stage(shelf, lambda brain=brain: brain, default_flow="visit", settings=settings) as made:  # type: ignore[misc]
                await made.phone(scenario).call()
                await made.crm.wait_for(1, 30.0)

    run_virtual(play())
    return address


def verdicts(address: str, flows: FlowShelf, *call_sids: str, latest: int = 10) -> list[Verdict]:
    return asyncio.run(replay_calls(address, flows, call_sids, latest))


def test_unchanged_flow_goes_the_same_way(recorded: str) -> None:
    found = verdicts(recorded, shelf)
    assert [str(one).split("  ")[1:] for one in found] == [["visit", "the same"]] * 2
    assert not any(one.changed for one in found)


def test_edited_guard_flags_exactly_the_affected_call(recorded: str) -> None:
    other = Phase("other", instructions="Ask more.", observations=(it.reason,), transitions=(To("bye"),))
    edited = replace(
        flow,
        phases=(
            replace(flow.phases[0], transitions=(To("other", when=it.reason == "toothache"), To("bye"))),
            other,
            flow.phases[1],
        ),
    )
    found = verdicts(recorded, FlowShelf({"visit": load_flow("visit", edited)}))
    assert [one.changed for one in found] == [True, False]
    assert "differs at" in str(found[0])


def test_named_calls_alone_are_replayed(recorded: str) -> None:
    [first, _] = verdicts(recorded, shelf)
    assert verdicts(recorded, shelf, first.call_sid) == [first]
    with pytest.raises(StoreError, match="CA_unknown"):
        verdicts(recorded, shelf, "CA_unknown")


def test_call_of_a_flow_that_is_gone_is_said(recorded: str) -> None:
    [one] = verdicts(recorded, FlowShelf({}), latest=1)
    assert "not replayed: the flow is not loaded" in str(one)
