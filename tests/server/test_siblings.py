"""Workers that tell each other their metrics, over real sockets in a folder."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from voicebot.observe.registry import Counter, exposition
from voicebot.server import siblings as module
from voicebot.server.siblings import Siblings


def text_of(number: int) -> str:
    calls = Counter("calls_total", "Calls.")
    calls.add(by=number * 10)
    return exposition([calls], str(number))


def found(text: str) -> dict[tuple[str, str], float]:
    samples = (one for family in text_string_to_metric_families(text) for one in family.samples)
    return {(one.name, one.labels["worker"]): one.value for one in samples}


async def test_whoever_is_asked_tells_of_all(tmp_path: Path) -> None:
    workers = [Siblings(tmp_path, number) for number in (1, 2, 3)]
    async with AsyncExitStack() as running:
        for worker in workers:
            await running.enter_async_context(worker.answering(lambda number=worker.number: text_of(number)))  # type: ignore[misc]
        for worker in workers:
            assert found(await worker.with_others(text_of(worker.number))) == {
                **{("calls_total", str(number)): number * 10 for number in (1, 2, 3)},
                **{("voicebot_worker_up", str(number)): 1 for number in (1, 2, 3)},
            }
    assert os.listdir(tmp_path) == []


async def test_dead_worker_is_said_to_be_down(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "2.sock"))
    one = Siblings(tmp_path, 1)
    async with one.answering(lambda: text_of(1)):
        assert found(await one.with_others(text_of(1))) == {
            ("calls_total", "1"): 10,
            ("voicebot_worker_up", "1"): 1,
            ("voicebot_worker_up", "2"): 0,
        }


async def test_hanging_worker_holds_nobody_up_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_LIMIT_S", 0.05)

    async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(says_nothing, tmp_path / "2.sock")
    async with server:
        text = await Siblings(tmp_path, 1).with_others(text_of(1))
    assert found(text)["voicebot_worker_up", "2"] == 0


async def test_folder_that_is_gone_costs_numbers_and_no_calls(tmp_path: Path) -> None:
    one = Siblings(tmp_path / "gone", 1)
    async with one.answering(lambda: text_of(1)):
        assert found(await one.with_others(text_of(1)))["calls_total", "1"] == 10


async def test_replaced_worker_takes_its_place_again(tmp_path: Path) -> None:
    (tmp_path / "1.sock").touch()  # left by who was killed
    async with Siblings(tmp_path, 1).answering(lambda: text_of(1)):
        assert found(await Siblings(tmp_path, 2).with_others(text_of(2)))["calls_total", "1"] == 10
