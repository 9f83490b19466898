"""How often a process was asked to stop: signals that it gets itself, and what its supervisor says."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from voicebot.server.stopping import StopRequests
from voicebot.server.supervisor import READY, REQUEST

LIMIT_S = 20.0
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The supervisor's side and the worker's."""
    supervisor, worker = socket.socketpair()
    with supervisor, worker:
        yield supervisor, worker


@asynccontextmanager
async def asked(requests: StopRequests, *, hurried: bool = False) -> AsyncIterator[asyncio.Event]:
    """The first request has come when the body is over; gives what the second one sets."""
    second = asyncio.Event()
    requests.on_second(second.set)
    yield second
    async with asyncio.timeout(LIMIT_S):
        await requests.first()
        if hurried:
            await second.wait()


async def some_turns() -> None:
    """The loop has seen by now what was ready before."""
    for _ in range(5):
        await asyncio.sleep(0)


@SIGNALS
async def test_signals_count_one_by_one(number: signal.Signals) -> None:
    requests = StopRequests()
    async with asked(requests) as second:
        os.kill(os.getpid(), number)
    assert not second.is_set()
    async with asked(requests, hurried=True):
        os.kill(os.getpid(), number)


async def test_second_request_is_not_lost_before_anybody_waits_for_it() -> None:
    requests, second = StopRequests(), asyncio.Event()
    async with asyncio.timeout(LIMIT_S):
        os.kill(os.getpid(), signal.SIGTERM)
        await requests.first()
        os.kill(os.getpid(), signal.SIGINT)
        await some_turns()
        requests.on_second(second.set)
        await second.wait()


async def test_supervisor_is_heard_request_by_request(pair: tuple[socket.socket, socket.socket]) -> None:
    supervisor, worker = pair
    requests = StopRequests(worker)
    async with asked(requests) as second:
        supervisor.send(REQUEST)
    await some_turns()
    assert not second.is_set()
    async with asked(requests, hurried=True):
        supervisor.send(REQUEST)


async def test_two_requests_that_come_together_are_two(pair: tuple[socket.socket, socket.socket]) -> None:
    supervisor, worker = pair
    async with asked(StopRequests(worker), hurried=True):
        supervisor.send(REQUEST * 2)


@SIGNALS
@pytest.mark.parametrize("first", ["signal", "supervisor"])
async def test_signal_beside_a_request_says_nothing_new(
    first: str, number: signal.Signals, pair: tuple[socket.socket, socket.socket]
) -> None:
    """A service manager signals every process of a service, the supervisor and its workers."""
    supervisor, worker = pair
    requests = StopRequests(worker)
    async with asked(requests) as second:
        if first == "signal":
            os.kill(os.getpid(), number)
        else:
            supervisor.send(REQUEST)
    if first == "signal":
        supervisor.send(REQUEST)
    for _ in range(3):
        os.kill(os.getpid(), number)
        await some_turns()
    assert not second.is_set()
    async with asked(requests, hurried=True):
        supervisor.send(REQUEST)


async def test_signal_of_its_own_stops_a_worker(pair: tuple[socket.socket, socket.socket]) -> None:
    async with asked(StopRequests(pair[1])) as second:
        os.kill(os.getpid(), signal.SIGTERM)
    assert not second.is_set()


async def test_end_of_the_supervisor_is_a_request(pair: tuple[socket.socket, socket.socket]) -> None:
    supervisor, worker = pair
    requests = StopRequests(worker)
    async with asked(requests) as second:
        supervisor.close()
    await some_turns()
    assert not second.is_set()
    async with asked(requests, hurried=True):  # by whoever ends the orphan
        os.kill(os.getpid(), signal.SIGTERM)


async def test_end_of_the_supervisor_is_no_second_request(pair: tuple[socket.socket, socket.socket]) -> None:
    supervisor, worker = pair
    requests = StopRequests(worker)
    async with asked(requests) as second:
        supervisor.send(REQUEST)
        supervisor.close()
    await some_turns()
    assert not second.is_set()


async def test_supervisor_is_told_who_answers(pair: tuple[socket.socket, socket.socket]) -> None:
    supervisor, worker = pair
    StopRequests(worker).answering()
    assert supervisor.recv(16) == READY
    StopRequests().answering()  # to nobody


async def test_answering_to_a_supervisor_that_is_gone_is_no_error(pair: tuple[socket.socket, socket.socket]) -> None:
    supervisor, worker = pair
    requests = StopRequests(worker)
    async with asked(requests):
        supervisor.close()
        requests.answering()
