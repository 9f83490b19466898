"""What waits for one task: it loses nothing, and says when nothing comes any more."""

from __future__ import annotations

import asyncio

import pytest

from voicebot.inbox import Inbox


async def test_what_came_is_received_in_order() -> None:
    inbox = Inbox[int]()
    inbox.put([2, 3])
    inbox.put_back([1])
    assert await inbox.receive() == [1, 2, 3]
    assert inbox.waiting == []


async def test_reader_is_woken_once_something_comes() -> None:
    inbox = Inbox[int]()
    asyncio.get_running_loop().call_soon(inbox.put, [1])
    assert await inbox.receive() == [1]


async def test_cancelled_reader_loses_nothing() -> None:
    inbox = Inbox[int]()
    async with asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(inbox.receive())
        await asyncio.sleep(0)
        inbox.put([1])
        reader.cancel()
    assert await inbox.receive() == [1]


@pytest.mark.parametrize("waits", [True, False])
async def test_nothing_comes_after_the_end(waits: bool) -> None:
    inbox = Inbox[int]()
    if waits:
        asyncio.get_running_loop().call_soon(inbox.end)
    else:
        inbox.end()
    assert await inbox.receive() == []


async def test_what_came_before_the_end_is_received() -> None:
    inbox = Inbox[int]()
    inbox.put([1])
    inbox.end()
    assert [await inbox.receive(), await inbox.receive()] == [[1], []]
