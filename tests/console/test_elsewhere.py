"""The console of one instance in a real browser, before a call that another one has; Redis between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp.test_utils import unused_port

from tests.console.at_console import Operator, logged_in
from tests.console.conftest import Open
from tests.end_to_end.test_operations import ASKS, SHELF, TALK, TOKEN, other_instance
from tests.redis_server import RedisServer
from voicebot.sim.phone import DialOutcome, Phone
from voicebot.sim.stage import Stage, stage
from voicebot.sim.timeline import VerbPlayed


@asynccontextmanager
async def instance_with_calls(redis_server: RedisServer) -> AsyncIterator[Stage]:
    brain = TALK.brain()
    settings: dict[str, object] = {"VOICEBOT_STORE": redis_server.address, "VOICEBOT_API_TOKEN": TOKEN}
    async with stage(SHELF, lambda: brain, default_flow="switchboard", settings=settings) as on_stage:
        yield on_stage


async def watch(operator: Operator, phone: Phone) -> None:
    """Find the call among the live ones, and open it."""
    await operator.go("/calls")
    row = await operator.sees("table.linked tbody tr", phone.from_)
    await row.get_by_role("link").first.click()
    await operator.sees(".badge.live", "live")
    await operator.sees(".lines .bot", ASKS.text)


async def test_call_of_another_instance_is_watched_and_steered(redis_server: RedisServer, open_browser: Open) -> None:
    async with (
        instance_with_calls(redis_server) as on_stage,
        other_instance(on_stage, unused_port()) as origin,
        logged_in(open_browser, origin, TOKEN) as operator,
        asyncio.TaskGroup() as tasks,
    ):
        phone = on_stage.phone(TALK, dial=DialOutcome(talk_s=2.0))
        calling = tasks.create_task(phone.call())
        await watch(operator, phone)
        await operator.sees(".observations li", "Ada Lovelace")

        await operator.page.get_by_label("Note to the model, which nobody hears").fill("They are a regular customer.")
        await operator.press("Send")
        await operator.sees(".operating", "The model has it.")
        await operator.page.get_by_label("Join the caller to").select_option("bench")
        await operator.press("Transfer")
        result = await calling
        assert [one.verb for one in result.events if isinstance(one, VerbPlayed)] == ["Connect", "Dial", "Hangup"]
        await operator.sees(".badge", "transferred")  # without having been asked for again
        assert await operator.page.locator(".operating").is_hidden()
        async with on_stage.reading() as store:
            journal = await store.journal(phone.call_sid)
        assert "They are a regular customer." in "".join(one.body for one in journal)
        await operator.is_at_ease()


async def test_page_says_that_it_sees_nothing_and_goes_on(redis_server: RedisServer, open_browser: Open) -> None:
    async with instance_with_calls(redis_server) as on_stage, asyncio.TaskGroup() as tasks:
        port = unused_port()
        async with AsyncExitStack() as stopped, logged_in_at(on_stage, port, stopped, open_browser) as operator:
            phone = on_stage.phone(TALK)
            calling = tasks.create_task(phone.call())
            await watch(operator, phone)
            await stopped.aclose()
            await operator.sees(".page-head .badge", "connection lost, trying again")
            async with other_instance(on_stage, port):
                await operator.page.get_by_text("connection lost").wait_for(state="hidden")
                await operator.press("Hang up…")
                await operator.press("End it, with a goodbye")
                await calling
                await operator.sees(".badge.good, .badge", "completed")


@asynccontextmanager
async def logged_in_at(
    on_stage: Stage, port: int, stopped: AsyncExitStack, open_browser: Open
) -> AsyncIterator[Operator]:
    """Somebody at an instance that is gone once `stopped` is closed."""
    origin = await stopped.enter_async_context(other_instance(on_stage, port))
    async with logged_in(open_browser, origin, TOKEN) as operator:
        yield operator
