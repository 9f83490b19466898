"""What every store promises, whatever it is made of."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.store.store_samples import START, entries, entry, new_delivery, record
from voicebot.errors import StoreError
from voicebot.store.contract import Delivery, Store, host_of

OpenAgain = Callable[[], Awaitable[Store]]
ROOT = Path(__file__).parents[2]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


async def lease(store: Store, now: datetime = START, **changes: object) -> list[Delivery]:
    limits: dict[str, object] = {"limit": 100, "lease_s": 30.0, "per_host": 100, "under_way": {}}
    return await store.due(now, **(limits | changes))  # type: ignore[arg-type]


async def finished(store: Store, *webhook_ids: str, url: str = "https://crm.example/hook") -> None:
    for webhook_id in webhook_ids:
        assert await store.finish(f"CA-{webhook_id}", "{}", [new_delivery(webhook_id, url)], ended=START)


async def only(store: Store) -> Delivery:
    (delivery,) = await store.deliveries(10)
    return delivery


# ---- calls --------------------------------------------------------------------------------------------------------


async def test_open_call_keeps_first_record(store: Store) -> None:
    first = record("CA1")
    assert await store.open_call(first) == (first, True)
    assert await store.open_call(replace(first, token_issued_at=9, flow_version="new")) == (first, False)
    assert await store.call("CA1") == first


async def test_unknown_call_is_none(store: Store) -> None:
    assert await store.call("CA1") is None
    assert await store.report("CA1") is None
    assert await store.journal("CA1") == []


async def test_anonymous_caller_stays_none(store: Store) -> None:
    await store.open_call(record(caller=None))
    found = await store.call("CA1")
    assert found is not None and found.caller is None


async def test_repeated_webhooks_open_one_call(open_again: OpenAgain) -> None:
    stores = [await open_again(), await open_again()]
    answers = await asyncio.gather(*(store.open_call(record("CA1", after_s=n)) for n in range(50) for store in stores))
    assert sum(new for _, new in answers) == 1
    assert len({standing for standing, _ in answers}) == 1


async def test_calls_are_paged_latest_first(store: Store) -> None:
    for name, after_s in [("CA1", 0), ("CA2", 5), ("CA3", 5), ("CA4", 9)]:
        await store.open_call(record(name, after_s=after_s))
    first = await store.calls(2)
    second = await store.calls(2, before=first[-1].call_sid)
    assert [call.call_sid for call in first + second] == ["CA4", "CA3", "CA2", "CA1"]
    assert await store.calls(2, before="CA1") == []


async def test_naive_wall_time_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="zone"):
        await store.open_call(replace(record(), started=datetime(2026, 3, 1)))  # noqa: DTZ001 - the very mistake


# ---- tokens -------------------------------------------------------------------------------------------------------


async def test_token_is_claimed_exactly_once(open_again: OpenAgain) -> None:
    stores = [await open_again(), await open_again()]
    claims = await asyncio.gather(*(store.claim_token("CA1", 1, START) for _ in range(50) for store in stores))
    assert sum(claims) == 1
    assert not await (await open_again()).claim_token("CA1", 1, START)


async def test_each_attempt_has_its_token(store: Store) -> None:
    assert await store.claim_token("CA1", 1, START)
    assert await store.claim_token("CA1", 2, START)
    assert await store.claim_token("CA2", 1, START)


# ---- journal ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durable", [True, False])
async def test_journal_returns_entries_as_given(store: Store, durable: bool) -> None:
    await store.append("CA1", entries(1, 5), durable=durable)
    assert await store.journal("CA1") == entries(1, 5)
    assert await store.journal("CA1", after=3) == entries(4, 5)
    assert await store.journal("CA2") == []


@pytest.mark.parametrize(
    "body",
    ["{}", '{"text": "perché no? 你好 🍕"}', '{"text": "a\\u0000b"}', "[" + "1," * 50_000 + "1]", '{"nul": "\x00"}'],
    ids=["empty", "unicode", "escape", "large", "nul"],
)
async def test_body_survives_unchanged(store: Store, body: str) -> None:
    await store.append("CA1", [entry(1, body)], durable=True)
    assert (await store.journal("CA1"))[0].body == body


async def test_lone_surrogate_becomes_its_escape(store: Store) -> None:
    await store.append("CA1", [entry(1, '{"text": "\ud83d"}')], durable=True)
    assert (await store.journal("CA1"))[0].body == '{"text": "\\ud83d"}'


async def test_wall_times_come_back_in_utc(store: Store) -> None:
    rome = timezone(timedelta(hours=1))
    await store.append("CA1", [replace(entry(1), wall=START.astimezone(rome))], durable=True)
    (found,) = await store.journal("CA1")
    assert found.wall == START and found.wall.tzinfo is UTC


async def test_durable_entries_are_seen_by_others(open_again: OpenAgain) -> None:
    ours, theirs = await open_again(), await open_again()
    await ours.append("CA1", entries(1, 3), durable=False)
    await ours.append("CA1", [entry(4)], durable=True)
    assert await theirs.journal("CA1") == entries(1, 4)


async def test_repeated_entry_changes_nothing(store: Store) -> None:
    await store.append("CA1", entries(1, 3), durable=True)
    await store.append("CA1", entries(2, 4), durable=True)
    await store.append("CA1", entries(1, 4), durable=False)
    assert await store.journal("CA1") == entries(1, 4)


async def test_taken_place_in_journal_is_refused(store: Store, open_again: OpenAgain) -> None:
    await store.append("CA1", [entry(1)], durable=True)
    with pytest.raises(StoreError, match="CA1: entry 1 "):
        await store.append("CA1", [entry(1, '{"other": 1}')], durable=True)
    await (await open_again()).append("CA1", [entry(1, '{"other": 1}'), entry(2)], durable=False)
    await store.append("CA1", [entry(3)], durable=True)
    assert (await store.journal("CA1"))[0] == entry(1)
    assert store.healthy()


async def test_calls_append_beside_each_other(open_again: OpenAgain) -> None:
    stores = [await open_again(), await open_again()]

    async def talk(number: int) -> None:
        store = stores[number % 2]
        for sequence in range(1, 11):
            await store.append(f"CA{number}", [entry(sequence)], durable=sequence % 5 == 0)

    await asyncio.gather(*(talk(number) for number in range(20)))
    for number in range(20):
        assert await stores[(number + 1) % 2].journal(f"CA{number}") == entries(1, 10)


async def test_close_writes_what_waits(open_again: OpenAgain) -> None:
    store = await open_again()
    await store.append("CA1", entries(1, 100), durable=False)
    await store.close()
    assert await (await open_again()).journal("CA1") == entries(1, 100)


async def test_closed_store_says_so(store: Store) -> None:
    await store.close()
    await store.close()
    assert not store.healthy()
    with pytest.raises(StoreError, match="closed"):
        await store.append("CA1", [entry(1)], durable=False)
    with pytest.raises(StoreError, match="closed"):
        await store.call("CA1")
    with pytest.raises(StoreError, match="closed"):
        await store.claim_token("CA1", 1, START)


# ---- the end of a call --------------------------------------------------------------------------------------------


async def test_finish_writes_everything_together(store: Store) -> None:
    opened = record()
    await store.open_call(opened)
    await store.append("CA1", entries(1, 2), durable=False)
    assert await store.finish("CA1", '{"outcome": 1}', [new_delivery()], ended=at(60), last_entries=entries(3, 4))
    assert await store.report("CA1") == '{"outcome": 1}'
    assert await store.journal("CA1") == entries(1, 4)
    assert await store.call("CA1") == replace(opened, ended=at(60))
    waiting = await only(store)
    assert (waiting.webhook_id, waiting.call_sid, waiting.url) == ("msg_1", "CA1", "https://crm.example/hook")
    assert (waiting.body, waiting.state, waiting.attempt) == ('{"id": "msg_1"}', "pending", 1)
    assert (waiting.due, waiting.created, waiting.host) == (at(60), at(60), "crm.example")


async def test_second_finish_changes_nothing(store: Store) -> None:
    await store.open_call(record())
    await store.finish("CA1", '"first"', [new_delivery("msg_1")], ended=at(60), last_entries=[entry(1)])
    assert not await store.finish("CA1", '"second"', [new_delivery("msg_2")], ended=at(99), last_entries=[entry(2)])
    assert await store.report("CA1") == '"first"'
    assert await store.journal("CA1") == [entry(1)]
    assert (await only(store)).webhook_id == "msg_1"
    found = await store.call("CA1")
    assert found is not None and found.ended == at(60)


async def test_racing_finishes_leave_one_report(open_again: OpenAgain) -> None:
    stores = [await open_again(), await open_again()]
    wins = await asyncio.gather(
        *(
            store.finish("CA1", f'"{n}{k}"', [new_delivery(f"msg_{n}{k}")], ended=START)
            for n in range(20)
            for k, store in enumerate(stores)
        )
    )
    assert sum(wins) == 1
    kept = await stores[0].report("CA1")
    assert kept is not None and (await only(stores[0])).webhook_id == f"msg_{kept.strip(chr(34))}"


async def test_call_without_receivers_has_report(store: Store) -> None:
    assert await store.finish("CA1", "{}", [], ended=START)
    assert await store.report("CA1") == "{}"
    assert await store.deliveries(10) == []


# ---- outbox -------------------------------------------------------------------------------------------------------


async def test_leased_delivery_is_hidden_until_lapse(store: Store, open_again: OpenAgain) -> None:
    await finished(store, "msg_1")
    (leased,) = await lease(store, lease_s=30)
    other = await open_again()
    assert await lease(other, at(29.9)) == []
    assert [again.webhook_id for again in await lease(other, at(30))] == [leased.webhook_id]


async def test_due_leases_each_once_between_instances(open_again: OpenAgain) -> None:
    stores = [await open_again(), await open_again()]
    await finished(stores[0], *(f"msg_{n}" for n in range(60)))
    taken = await asyncio.gather(*(lease(store, limit=2) for _ in range(50) for store in stores))
    counted = Counter(delivery.webhook_id for some in taken for delivery in some)
    assert len(counted) == 60 and set(counted.values()) == {1}


async def test_due_waits_for_its_time(store: Store) -> None:
    await finished(store, "msg_1")
    assert await lease(store, at(-0.001)) == []
    assert len(await lease(store, START)) == 1


async def test_due_respects_limits_per_host(store: Store) -> None:
    await finished(store, *(f"slow_{n}" for n in range(10)), url="https://slow.example/a")
    await finished(store, *(f"fast_{n}" for n in range(10)), url="https://fast.example:444/b")
    first = await lease(store, per_host=3, under_way={"slow.example": 2})
    assert Counter(delivery.host for delivery in first) == {"slow.example": 1, "fast.example:444": 3}
    second = await lease(store, per_host=3, under_way={"slow.example": 3, "fast.example:444": 3})
    assert second == []
    assert len(await lease(store, limit=5)) == 5
    assert await lease(store, limit=0) == []


async def test_next_due_is_the_first_still_to_come(store: Store) -> None:
    assert await store.next_due(START) is None
    await finished(store, "msg_1", "msg_2")
    assert await store.next_due(at(-1)) == START
    assert await store.next_due(START) is None
    await store.failed("msg_1", START, "answered 503", attempt=1, next_at=at(300))
    await store.failed("msg_2", START, "answered 503", attempt=1, next_at=at(5))
    assert await store.next_due(START) == at(5)


async def test_delivered_row_leaves_the_queue(store: Store) -> None:
    await finished(store, "msg_1")
    await store.delivered("msg_1", at(1), 204)
    kept = await only(store)
    assert (kept.state, kept.status, kept.tried, kept.attempts, kept.due) == ("delivered", 204, at(1), 1, None)
    assert await lease(store, at(10_000)) == []


async def test_failed_delivery_comes_again(store: Store) -> None:
    await finished(store, "msg_1")
    await store.failed("msg_1", at(1), "answered 503", attempt=1, next_at=at(6))
    kept = await only(store)
    assert (kept.state, kept.reason, kept.tried, kept.attempt, kept.due) == ("pending", "answered 503", at(1), 2, at(6))
    assert await lease(store, at(5)) == []
    assert (await lease(store, at(6)))[0].attempt == 2


async def test_failure_recorded_twice_counts_once(store: Store) -> None:
    await finished(store, "msg_1")
    await store.failed("msg_1", at(1), "answered 503", attempt=1, next_at=at(6))
    await store.failed("msg_1", at(2), "no answer", attempt=1, next_at=at(900))
    kept = await only(store)
    assert (kept.attempt, kept.due) == (2, at(6))


async def test_success_recorded_twice_counts_once(store: Store) -> None:
    await finished(store, "msg_1")
    await store.delivered("msg_1", at(1), 204)
    await store.delivered("msg_1", at(2), 200)
    kept = await only(store)
    assert (kept.attempts, kept.status, kept.tried) == (1, 204, at(1))


async def test_failure_from_before_requeue_is_ignored(store: Store) -> None:
    await finished(store, "msg_1")
    await store.failed("msg_1", at(1), "no answer", attempt=1, next_at=at(6))
    await store.requeue("msg_1", at(2))
    await store.failed("msg_1", at(7), "no answer", attempt=2, next_at=None)
    kept = await only(store)
    assert (kept.state, kept.attempt, kept.due) == ("pending", 1, at(2))


async def test_late_success_outlives_a_failure(store: Store) -> None:
    await finished(store, "msg_1")
    await store.failed("msg_1", at(1), "no answer", attempt=1, next_at=None)
    await store.delivered("msg_1", at(2), 200)
    assert (await only(store)).state == "delivered"
    await store.failed("msg_1", at(3), "no answer", attempt=3, next_at=at(9))
    assert (await only(store)).state == "delivered"


async def test_last_failure_makes_a_dead_letter(store: Store) -> None:
    await finished(store, "msg_1", "msg_2")
    await store.failed("msg_1", at(1), "answered 500", attempt=1, next_at=None)
    (dead,) = await store.deliveries(10, "dead")
    assert (dead.webhook_id, dead.due) == ("msg_1", None)
    assert [delivery.webhook_id for delivery in await store.deliveries(10, "pending")] == ["msg_2"]


async def test_disabled_url_holds_all_its_deliveries(store: Store) -> None:
    await finished(store, "msg_1", "msg_2")
    await finished(store, "msg_3", url="https://other.example/")
    await store.failed("msg_1", at(1), "answered 410", attempt=1, next_at=None, disable=True)
    await finished(store, "msg_4")
    held = {delivery.webhook_id for delivery in await store.deliveries(10, "disabled")}
    assert held == {"msg_1", "msg_2", "msg_4"}
    assert [delivery.webhook_id for delivery in await lease(store, at(10_000))] == ["msg_3"]


async def test_requeue_enables_its_url(store: Store) -> None:
    await finished(store, "msg_1", "msg_2")
    await store.failed("msg_1", at(1), "answered 410", attempt=1, next_at=None, disable=True)
    assert await store.requeue("msg_2", at(5))
    assert {delivery.webhook_id for delivery in await lease(store, at(5))} == {"msg_1", "msg_2"}


@pytest.mark.parametrize("outcome", ["delivered", "dead", "pending"])
async def test_requeue_begins_again(store: Store, outcome: str) -> None:
    await finished(store, "msg_1")
    if outcome == "delivered":
        await store.delivered("msg_1", at(1), 200)
    else:
        await store.failed("msg_1", at(1), "no", attempt=1, next_at=at(999) if outcome == "pending" else None)
    assert await store.requeue("msg_1", at(5))
    (again,) = await lease(store, at(5))
    assert (again.attempt, again.state) == (1, "pending")


async def test_requeue_of_unknown_is_false(store: Store) -> None:
    assert not await store.requeue("msg_1", START)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://CRM.Example/hook?key=1", "crm.example"),
        ("http://user:secret@crm.example:8080/", "crm.example:8080"),
        ("http://[::1]:80/", "[::1]:80"),
        ("not a url", ""),
        ("http://[broken", ""),
    ],
)
def test_host_tells_receivers_apart(url: str, host: str) -> None:
    assert host_of(url) == host


# ---- crashes ------------------------------------------------------------------------------------------------------

CHILD = """
import asyncio, os, sys
from tests.store.store_samples import START, entry, new_delivery
from voicebot.store.opening import open_store

async def main(address, script):
    store = await open_store(address)
    {script}

asyncio.run(main(*sys.argv[1:]))
"""


async def start_child(address: str, script: str) -> asyncio.subprocess.Process:
    program = CHILD.replace("{script}", script.replace("\n", "\n    "))
    arguments = (sys.executable, "-c", program, address, script)
    return await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE)


async def test_durable_append_survives_instant_exit(address: str, open_again: OpenAgain) -> None:
    script = (
        "await store.append('CA1', [entry(n) for n in range(1, 50)], durable=False)\n"
        "await store.append('CA1', [entry(50)], durable=True)\n"
        "os._exit(9)"
    )
    async with asyncio.timeout(20):
        assert await (await start_child(address, script)).wait() == 9
    assert await (await open_again()).journal("CA1") == entries(1, 50)


async def test_killed_process_leaves_prefix_of_journal(address: str, open_again: OpenAgain) -> None:
    script = (
        "for n in range(1, 100_000):\n"
        "    await store.append('CA1', [entry(n)], durable=n % 3 == 0)\n"
        "    if n % 3 == 0: print(n, flush=True)"
    )
    async with asyncio.timeout(20):
        child = await start_child(address, script)
        assert child.stdout is not None
        acknowledged = [int(await child.stdout.readline()) for _ in range(30)][-1]
        child.send_signal(signal.SIGKILL)
        await child.communicate()
    kept = await (await open_again()).journal("CA1")
    assert len(kept) >= acknowledged
    assert kept == entries(1, len(kept))


async def test_finished_call_is_delivered_after_exit(address: str, open_again: OpenAgain) -> None:
    script = (
        "await store.append('CA1', [entry(1)], durable=False)\n"
        "await store.finish('CA1', '{}', [new_delivery()], ended=START, last_entries=[entry(2)])\n"
        "os._exit(9)"
    )
    async with asyncio.timeout(20):
        assert await (await start_child(address, script)).wait() == 9
    store = await open_again()
    assert await store.journal("CA1") == entries(1, 2)
    assert [delivery.webhook_id for delivery in await lease(store)] == ["msg_1"]


async def test_processes_share_tokens_and_leases(address: str, store: Store) -> None:
    await finished(store, *(f"msg_{n}" for n in range(30)))
    script = (
        "claims = [await store.claim_token(f'CA{n}', 1, START) for n in range(30)]\n"
        "leases = [await store.due(START, limit=1, lease_s=30, per_host=99, under_way={}) for n in range(30)]\n"
        "print(sum(claims), sum(map(len, leases)))\n"
        "await store.close()"
    )
    async with asyncio.timeout(20):
        children = [await start_child(address, script) for _ in range(3)]
        outputs = [(await child.communicate())[0].split() for child in children]
    assert [sum(map(int, column)) for column in zip(*outputs, strict=True)] == [30, 30]


async def test_processes_open_new_store_together(address: str) -> None:
    script = (
        "await store.append(f'CA{os.getpid()}', [entry(1)], durable=True)\n"
        "print(len(await store.journal(f'CA{os.getpid()}')))\n"
        "await store.close()"
    )
    async with asyncio.timeout(20):
        children = [await start_child(address, script) for _ in range(4)]
        assert [(await child.communicate())[0] for child in children] == [b"1\n"] * 4
