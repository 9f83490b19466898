"""Calls, repetitions and stolen tokens that come to several real processes in one instant."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.attackers import ORIGIN, Answered, start_stream, voice_webhook
from tests.fakes import environment
from tests.redis_server import RedisServer
from tests.short_call import FLOW, SHORT
from voicebot.sim.account import STREAM_SECRET
from voicebot.sim.fleet import PUBLIC_HOST, Fleet, fleet
from voicebot.telephony import tokens, twiml

PLACES = 7
STORES = ("workers on SQLite", "instances on Redis")


@asynccontextmanager
async def two_processes(
    kind: str, folder: Path, redis_server: RedisServer
) -> AsyncIterator[tuple[Fleet, Sequence[int]]]:
    """Two workers of one instance, or two instances; with the ports of each."""
    (folder / "flows").mkdir()
    (folder / "flows" / "visit.py").write_text(FLOW)
    workers = 2 if kind == "workers on SQLite" else 1
    async with fleet(
        folder,
        SHORT.steady_brain,
        flows=folder / "flows",
        environment=environment(),
        names=("a",) if workers == 2 else ("a", "b"),
        store=None if workers == 2 else redis_server.address,
        settings={"VOICEBOT_MAX_CALLS": str(PLACES)},
        workers=workers,
    ) as made:
        processes = [*made.workers.values()] or [*made.instances.values()]
        yield made, [one.port for one in processes]


def call_sids(count: int) -> list[str]:
    return [f"CA{number:032x}" for number in range(1, count + 1)]


@pytest.mark.parametrize("kind", STORES)
async def test_two_processes_admit_and_refuse_as_one(kind: str, tmp_path: Path, redis_server: RedisServer) -> None:
    async with two_processes(kind, tmp_path, redis_server) as (made, ports), aiohttp.ClientSession() as http:
        first, *others = call_sids(PLACES + 1)
        token = await _replayed_webhook_is_one_call(made, ports, http, first)
        answers = await _one_call_too_many_is_the_only_one_refused(ports, http, others)
        await _stolen_tokens_are_refused(ports, http, first, token, answers)


async def _replayed_webhook_is_one_call(
    made: Fleet, ports: Sequence[int], http: aiohttp.ClientSession, call_sid: str
) -> str:
    """Returns its token, which has had its stream."""
    answers = await asyncio.gather(*(voice_webhook(http, ports[number % 2], call_sid) for number in range(100)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].verbs[0] == "Connect"
    assert made.model.connections <= 1
    token = answers[0].token
    opened = await asyncio.gather(*(start_stream(http, ports[number % 2], call_sid, token) for number in range(20)))
    assert opened.count(True) == 1
    assert made.model.connections <= 2  # the one where the stream lands may not be the one that was asked
    return token


async def _one_call_too_many_is_the_only_one_refused(
    ports: Sequence[int], http: aiohttp.ClientSession, sids: Sequence[str]
) -> dict[str, Answered]:
    """One place is taken already. Returns those admitted."""
    webhooks = (voice_webhook(http, ports[number % 2], call_sid) for number, call_sid in enumerate(sids))
    answers = dict(zip(sids, await asyncio.gather(*webhooks), strict=True))
    assert Counter(answer.verbs[0] for answer in answers.values()) == {"Connect": PLACES - 1, "Say": 1}
    (refused,) = (call_sid for call_sid, answer in answers.items() if answer.verbs[0] == "Say")
    assert answers[refused].text == twiml.say_goodbye("en")
    for port in ports:  # whichever process is asked, and however often
        again = await asyncio.gather(*(voice_webhook(http, port, call_sid) for call_sid in sids))
        assert [answer.text for answer in again] == [answer.text for answer in answers.values()]
    return {call_sid: answer for call_sid, answer in answers.items() if call_sid != refused}


async def _stolen_tokens_are_refused(
    ports: Sequence[int], http: aiohttp.ClientSession, used: str, used_token: str, admitted: Mapping[str, Answered]
) -> None:
    (call_sid, answer), (_, another), *_ = admitted.items()
    secret, now = STREAM_SECRET.encode(), int(time.time())
    bad = {
        "used": (used, used_token),
        "another call's": (call_sid, another.token),
        "late": (call_sid, tokens.mint(secret, call_sid, 1, now - 3600)),
        "from the future": (call_sid, tokens.mint(secret, call_sid, 1, now + 3600)),
        "another attempt's": (call_sid, tokens.mint(secret, call_sid, 2, now)),
        "another secret's": (call_sid, tokens.mint(b"another secret of theirs", call_sid, 1, now)),
        "of no call": ("CA" + "f" * 32, tokens.mint(secret, "CA" + "f" * 32, 1, now)),
        "none": (call_sid, ""),
    }
    tried = [(name, start_stream(http, port, *wrong)) for name, wrong in bad.items() for port in ports]
    taken = await asyncio.gather(*(stream for _, stream in tried))
    assert [name for (name, _), was_taken in zip(tried, taken, strict=True) if was_taken] == []
    assert await start_stream(http, ports[1], call_sid, answer.token)  # the right one, after all that
    assert not await start_stream(http, ports[0], call_sid, answer.token)


def test_addresses_are_those_of_the_fleet() -> None:
    assert f"https://{PUBLIC_HOST}" == ORIGIN
