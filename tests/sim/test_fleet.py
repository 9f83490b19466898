"""Real servers as processes of their own: they start, die, come back, and leave nothing behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.end_to_end.reception import VISIT
from tests.fakes import environment
from voicebot.errors import ScenarioError
from voicebot.sim.call_result import CallResult
from voicebot.sim.caller import HangUp, Hear
from voicebot.sim.fleet import Fleet, fleet
from voicebot.sim.instance import Instance, Worker
from voicebot.sim.table_caller import PatientCaller
from voicebot.sim.timeline import Event, StreamClosed, StreamOpened

CALL_LIMIT_S = 60.0
FLOW = """
from voicebot.flow import Flow, Phase
flow = Flow(goal="Say hello.", opening="Hello!", phases=[Phase("hello", instructions="Say hello.")])
"""


@asynccontextmanager
async def two(folder: Path, **settings: str) -> AsyncIterator[Fleet]:
    (folder / "flows").mkdir()
    (folder / "flows" / "hello.py").write_text(FLOW)
    brain = VISIT.brain()
    async with fleet(
        folder, lambda: brain, flows=folder / "flows", environment=environment(), settings=settings
    ) as made:
        yield made


async def call(made: Fleet, on_event: object = None) -> CallResult:
    phone = made.phone(PatientCaller([Hear(), HangUp()]), on_event=on_event)  # type: ignore[arg-type]
    async with asyncio.timeout(CALL_LIMIT_S):
        return await phone.call()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
async def test_instance_dies_and_the_other_one_answers(tmp_path: Path) -> None:
    async with two(tmp_path) as made:
        pids = [instance.pid for instance in made.running()]
        assert len(set(pids)) == 2

        def kill(event: Event) -> None:
            if isinstance(event, StreamOpened) and len(made.running()) == 2:
                made.instances[made.balancer.streams()[0].backend].kill()

        cut = await call(made, kill)
        (dead,) = [one for one in made.instances.values() if not one.running]
        assert await dead.exited() == -9
        assert len(cut.resumptions) == 1  # in the other one
        assert next(event for event in cut.events if isinstance(event, StreamClosed)).by == "network"
        for _ in range(2):
            result = await call(made)
            assert [said.text for said in result.bot_said] == ["Hello!"]
        await dead.start()
        assert (await dead.get("/readyz"))[0] == 200
        assert (dead.starts, len(made.running())) == (2, 2)
        await dead.restart()
        assert dead.starts == 3
        pids += [instance.pid for instance in made.running()]
    assert not any(map(alive, pids))


async def test_instance_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="VOICEBOT_MAX_CALLS"):
        async with two(tmp_path, VOICEBOT_MAX_CALLS="many"):
            pass


async def test_error_of_the_body_stays_as_it_is_and_nothing_is_left(tmp_path: Path) -> None:
    pids: list[int] = []
    with pytest.raises(ZeroDivisionError):
        async with two(tmp_path) as made:
            pids += [instance.pid for instance in made.running()]
            raise ZeroDivisionError
    assert len(pids) == 2
    assert not any(map(alive, pids))


async def test_worker_is_known_by_what_its_supervisor_logs(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as tasks:
        instance = Instance("a", tmp_path, {}, tasks)
        instance.port = 8000
        instance.log += [
            f"INFO supervisor worker {number} is process {pid}\n" for number, pid in ((1, 7), (2, 8), (1, 9))
        ]
        worker = Worker(instance, 1)
        assert (worker.name, worker.port, worker.pids) == ("a-1", 8001, [7, 9])
        assert Worker(instance, 3).pids == []
        with pytest.raises(TimeoutError):
            await Worker(instance, 3).back(within_s=0.1)
        with pytest.raises(ScenarioError, match="never started"):
            assert instance.pid
