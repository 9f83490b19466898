"""What every store promises, whatever it is made of."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.store.store_samples import NAMES, OURS, START, THEIRS, entries, entry, new_delivery, opened, record
from voicebot.errors import CallTakenError, StoreError
from voicebot.store.contract import Backlog, CallFilter, CallRecord, Delivery, NewDelivery, Store, host_of
from voicebot.store.digest import Digest

OpenAgain = Callable[[], Awaitable[Store]]
ROOT = Path(__file__).parents[2]
PATIENCE_S = 60  # for what comes at once unless something is broken: the machine may be busy


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


async def lease(store: Store, now: datetime = START, **changes: object) -> list[Delivery]:
    limits: dict[str, object] = {"limit": 100, "lease_s": 30.0, "per_host": 100, "under_way": {}}
    return await store.due(now, **(limits | changes))  # type: ignore[arg-type]


async def enqueued(store: Store, *webhook_ids: str, url: str = "https://crm.example/hook") -> None:
    """Each of them is of a call of its own."""
    for webhook_id in webhook_ids:
        await store.enqueue(f"CA-{webhook_id}", [new_delivery(webhook_id, url)], START)


async def ended(store: Store, call_sid: str, *, after_s: float = 0, **changes: object) -> None:
    """A whole call: its journal of three entries, its report and a delivery, `msg_` and its number."""
    call = replace(record(call_sid), **changes)  # type: ignore[arg-type]
    assert await store.open_call(call, max_calls=100_000) == (call, True)
    await store.append(call_sid, entries(1, 2), attempt=1, durable=False)
    deliveries = [new_delivery(f"msg_{call_sid}")]
    assert await store.finish(call_sid, "{}", deliveries, attempt=1, ended=at(after_s), last_entries=[entry(3)])


async def standing(store: Store, call_sid: str = "CA1") -> CallRecord:
    found = await store.call(call_sid)
    assert found is not None
    return found


async def only(store: Store) -> Delivery:
    (delivery,) = await store.deliveries(10)
    return delivery


async def taken(store: Store, call_sid: str = "CA1", attempt: int = 1, owner: str = THEIRS) -> CallRecord | None:
    return await store.take_over(call_sid, attempt, owner, token_issued_at=1_772_366_500)


# ---- calls --------------------------------------------------------------------------------------------------------


async def test_open_call_keeps_first_record(store: Store) -> None:
    first = record("CA1")
    assert await store.open_call(first, max_calls=10) == (first, True)
    second = replace(first, token_issued_at=9, flow_version="new", owner=THEIRS)
    assert await store.open_call(second, max_calls=10) == (first, False)
    assert await store.call("CA1") == first


async def test_unknown_call_is_none(store: Store) -> None:
    assert await store.call("CA1") is None
    assert await store.report("CA1") is None
    assert await store.journal("CA1") == []


async def test_anonymous_caller_stays_none(store: Store) -> None:
    await store.open_call(record(caller=None), max_calls=10)
    assert (await standing(store)).caller is None


async def test_repeated_webhooks_open_one_call(open_again: OpenAgain) -> None:
    stores = [await open_again(), await open_again()]
    answers = await asyncio.gather(
        *(store.open_call(record("CA1", after_s=n), max_calls=1) for n in range(50) for store in stores)
    )
    assert sum(new for _, new in answers) == 1
    assert len({standing for standing, _ in answers}) == 1


async def test_calls_are_paged_latest_first(store: Store) -> None:
    for name, after_s in [("CA1", 0), ("CA2", 5), ("CA3", 5), ("CA4", 9)]:
        await store.open_call(record(name, after_s=after_s), max_calls=10)
    first = await store.calls(2)
    second = await store.calls(2, before=first[-1].call_sid)
    assert [call.call_sid for call in first + second] == ["CA4", "CA3", "CA2", "CA1"]
    assert await store.calls(2, before="CA1") == []


async def test_calls_are_chosen_by_number_and_end(store: Store) -> None:
    ada, bob, house = "+15550111", "+15550222", "+15550100"
    for second, (name, caller, called) in enumerate(
        [("CA1", ada, house), ("CA2", bob, house), ("CA3", house, ada), ("CA4", None, house), ("CA5", ada, house)]
    ):
        await store.open_call(record(name, after_s=second, caller=caller, called=called), max_calls=10)
    for name in ("CA2", "CA3"):
        await store.finish(name, "{}", [], attempt=1, ended=at(60))

    async def chosen(limit: int = 10, before: str | None = None, **choice: object) -> list[str]:
        return [one.call_sid for one in await store.calls(limit, before, **choice)]  # type: ignore[arg-type]

    assert await chosen(caller=ada) == ["CA5", "CA3", "CA1"]
    assert await chosen(caller=ada, limit=2) == ["CA5", "CA3"]
    assert await chosen(caller=ada, before="CA5") == ["CA3", "CA1"]
    assert await chosen(caller=ada, ended=True) == ["CA3"]
    assert await chosen(ended=False) == ["CA5", "CA4", "CA1"]
    assert await chosen(ended=True) == ["CA3", "CA2"]
    assert await chosen(ended=False, before="CA4") == ["CA1"]
    assert await chosen(caller="+15550333") == []


async def test_naive_wall_time_is_refused(store: Store) -> None:
    naive = replace(record(), started=datetime(2026, 3, 1))  # noqa: DTZ001 - the very mistake
    with pytest.raises(ValueError, match="zone"):
        await store.open_call(naive, max_calls=10)


# ---- admission ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 10])
async def test_limit_of_calls_is_exact_between_instances(open_again: OpenAgain, limit: int) -> None:
    stores = [await open_again(), await open_again()]
    answers = await asyncio.gather(
        *(store.open_call(record(f"CA{n}{k}"), max_calls=limit) for n in range(20) for k, store in enumerate(stores))
    )
    admitted = [call.call_sid for call, new in answers if call is not None and new]
    assert len(admitted) == limit
    assert answers.count((None, False)) == 40 - limit
    assert {call.call_sid for call in await stores[0].calls(100)} == set(admitted)


async def test_known_call_is_answered_in_a_full_house(store: Store) -> None:
    await store.open_call(record("CA1"), max_calls=1)
    assert await store.open_call(record("CA1"), max_calls=1) == (record("CA1"), False)
    assert await store.open_call(record("CA1"), max_calls=0) == (record("CA1"), False)
    assert await store.open_call(record("CA2"), max_calls=1) == (None, False)
    assert await store.call("CA2") is None


async def test_ended_call_leaves_its_place(store: Store) -> None:
    await store.open_call(record("CA1"), max_calls=1)
    await store.finish("CA1", "{}", [], attempt=1, ended=START)
    assert await store.open_call(record("CA2"), max_calls=1) == (record("CA2"), True)
    assert await store.open_call(record("CA1"), max_calls=0) == (replace(record("CA1"), ended=START), False)


async def test_call_that_changed_hands_takes_one_place(store: Store) -> None:
    await store.open_call(record("CA1"), max_calls=1)
    await taken(store)
    await store.claim_stream("CA1", 2, OURS)
    assert await store.open_call(record("CA2"), max_calls=1) == (None, False)
    assert await store.open_call(record("CA2"), max_calls=2) == (record("CA2"), True)


# ---- whose a call is ----------------------------------------------------------------------------------------------


async def test_stream_is_claimed_exactly_once(open_again: OpenAgain) -> None:
    stores = [await open_again(), await open_again()]
    await opened(stores[0], "CA1")
    claims = await asyncio.gather(*(store.claim_stream("CA1", 1, OURS) for _ in range(50) for store in stores))
    assert [claim for claim in claims if claim is not None] == [replace(record(), claimed=True)]
    assert await (await open_again()).claim_stream("CA1", 1, OURS) is None
    assert await standing(stores[1]) == replace(record(), claimed=True)


async def test_stream_that_lands_elsewhere_takes_its_call_along(store: Store) -> None:
    await opened(store, "CA1")
    changed = replace(record(), owner=THEIRS, attempt=2, claimed=True)
    assert await store.claim_stream("CA1", 1, THEIRS) == changed
    assert await standing(store) == changed
    for attempt, owner in ((1, OURS), (1, THEIRS), (2, OURS), (2, THEIRS)):
        assert await store.claim_stream("CA1", attempt, owner) is None
    assert await standing(store) == changed


async def test_stream_is_claimed_by_one_of_two_instances(open_again: OpenAgain) -> None:
    stores = [await open_again(), await open_again()]
    names = [f"CA{n}" for n in range(20)]
    await opened(stores[0], *names)
    claims = await asyncio.gather(
        *(store.claim_stream(name, 1, owner) for name in names for store, owner in zip(stores, NAMES, strict=True))
    )
    won = {claim.call_sid: claim for claim in claims if claim is not None}
    assert len(won) == sum(claim is not None for claim in claims) == 20
    for name in names:
        assert await standing(stores[0], name) == won[name]
        assert (won[name].owner, won[name].attempt) in ((OURS, 1), (THEIRS, 2))


@pytest.mark.parametrize("attempt", [0, 2])
async def test_stream_of_another_attempt_is_not_claimed(store: Store, attempt: int) -> None:
    await opened(store, "CA1")
    assert await store.claim_stream("CA1", attempt, OURS) is None
    assert await store.claim_stream("CA2", 1, OURS) is None
    assert await store.claim_stream("CA1", 1, OURS) is not None


async def test_take_over_makes_a_new_attempt(store: Store) -> None:
    await opened(store, "CA1")
    await store.claim_stream("CA1", 1, OURS)
    changed = replace(record(), owner=THEIRS, attempt=2, token_issued_at=1_772_366_500)
    assert await taken(store) == changed
    assert await standing(store) == changed
    assert await store.claim_stream("CA1", 1, OURS) is None
    assert await store.claim_stream("CA1", 2, THEIRS) == replace(changed, claimed=True)


async def test_call_is_taken_over_exactly_once(open_again: OpenAgain) -> None:
    stores = [await open_again(), await open_again()]
    await opened(stores[0], "CA1")
    tries = [(store, f"{name}-{n}") for n in range(50) for store, name in zip(stores, "AB", strict=True)]
    won = [
        one for one in await asyncio.gather(*(taken(store, owner=owner) for store, owner in tries)) if one is not None
    ]
    assert len(won) == 1 and won[0].attempt == 2
    assert await standing(stores[1]) == won[0]


async def test_stream_and_take_over_have_one_winner(open_again: OpenAgain) -> None:
    stores = [await open_again(), await open_again()]
    names = [f"CA{n}" for n in range(20)]
    await opened(stores[0], *names)
    won = await asyncio.gather(
        *(stores[n % 2].claim_stream(name, 1, "C-000003") for n, name in enumerate(names)),
        *(taken(stores[(n + 1) % 2], name) for n, name in enumerate(names)),
    )
    for number, name in enumerate(names):
        both = [one for one in (won[number], won[number + 20]) if one is not None]
        assert both == [await standing(stores[0], name)]
        assert both[0].attempt == 2


async def test_owner_takes_over_its_own_call(store: Store) -> None:
    await opened(store, "CA1")
    await store.claim_stream("CA1", 1, OURS)
    again = await taken(store, owner=OURS)
    assert again == replace(record(), attempt=2, token_issued_at=1_772_366_500)
    assert await taken(store, owner=OURS) is None


async def test_call_that_is_over_is_nobodys(store: Store) -> None:
    await opened(store, "CA1")
    await store.finish("CA1", "{}", [], attempt=1, ended=START)
    assert await taken(store) is None
    assert await store.claim_stream("CA1", 1, OURS) is None
    assert await taken(store, "CA2") is None
    assert await standing(store) == replace(record(), ended=START)


# ---- who is alive -------------------------------------------------------------------------------------------------


async def test_every_beat_changes_the_count(open_again: OpenAgain) -> None:
    ours, theirs = await open_again(), await open_again()
    assert await ours.beats() == {}
    seen = set()
    for _ in range(5):
        await ours.beat(OURS)
        seen.add((await theirs.beats())[OURS])
    assert len(seen) == 5
    before = await ours.beats()
    await theirs.beat(THEIRS)
    after = await ours.beats()
    assert after.keys() == {OURS, THEIRS} and after[OURS] == before[OURS]


async def test_takers_are_those_whose_last_beat_said_so(open_again: OpenAgain) -> None:
    ours, theirs = await open_again(), await open_again()
    assert await ours.takers() == frozenset()
    await ours.beat(OURS)
    await theirs.beat(THEIRS, takes_calls=False)
    assert await theirs.takers() == {OURS}
    await ours.beat(OURS, takes_calls=False)
    await theirs.beat(THEIRS)
    assert await ours.takers() == {THEIRS}
    await ours.retire(THEIRS)
    assert await theirs.takers() == frozenset()


async def test_beat_knows_the_calls_of_its_instance(store: Store) -> None:
    assert await store.beat(OURS) == {}
    await opened(store, "CA1", "CA2", "CA3")
    await opened(store, "CA4", owner=THEIRS)
    assert await store.beat(OURS) == {"CA1": 1, "CA2": 1, "CA3": 1}
    await store.finish("CA1", "{}", [], attempt=1, ended=START)
    await taken(store, "CA2")
    await taken(store, "CA3", owner=OURS)
    assert await store.beat(OURS) == {"CA3": 2}
    assert await store.beat(THEIRS) == {"CA2": 2, "CA4": 1}


async def test_retired_instance_is_forgotten_and_its_calls_are_not(store: Store) -> None:
    await opened(store, "CA1")
    await store.beat(OURS)
    await store.beat(THEIRS)
    await store.retire(OURS)
    await store.retire(OURS)
    assert (await store.beats()).keys() == {THEIRS}
    assert await standing(store) == record()
    assert await store.beat(OURS) == {"CA1": 1}  # it was only slow
    assert (await store.beats()).keys() == {OURS, THEIRS}


# ---- fencing ------------------------------------------------------------------------------------------------------


async def test_former_owner_is_refused(open_again: OpenAgain) -> None:
    ours, theirs = await open_again(), await open_again()
    await opened(ours, "CA1")
    await ours.append("CA1", entries(1, 2), attempt=1, durable=True)
    await taken(theirs)
    with pytest.raises(CallTakenError) as refused:
        await ours.append("CA1", [entry(3, '"stale"')], attempt=1, durable=True)
    assert refused.value.call_sid == "CA1"
    assert await ours.journal("CA1") == await theirs.journal("CA1") == entries(1, 2)
    await theirs.append("CA1", [entry(3)], attempt=2, durable=True)
    assert await ours.journal("CA1") == entries(1, 3)
    assert ours.healthy()


async def test_entries_of_a_former_owner_vanish(open_again: OpenAgain) -> None:
    ours, theirs = await open_again(), await open_again()
    await opened(ours, "CA1", "CA2")
    await taken(theirs)
    await ours.append("CA1", [entry(1, '"stale"')], attempt=1, durable=False)
    await ours.append("CA2", [entry(1)], attempt=1, durable=False)
    assert await ours.journal("CA1") == []
    with pytest.raises(CallTakenError):
        await ours.append("CA1", [], attempt=1, durable=True)
    await theirs.append("CA1", [entry(1)], attempt=2, durable=True)
    await ours.append("CA2", [entry(2)], attempt=1, durable=True)
    assert await ours.journal("CA1") == await theirs.journal("CA1") == [entry(1)]
    assert await theirs.journal("CA2") == entries(1, 2)


async def test_attempt_that_has_not_come_is_refused(store: Store) -> None:
    await opened(store, "CA1")
    with pytest.raises(CallTakenError):
        await store.append("CA1", [entry(1)], attempt=2, durable=True)
    assert await store.journal("CA1") == []


@pytest.mark.parametrize("over", [True, False])
async def test_call_that_is_over_or_unknown_takes_no_entries(store: Store, over: bool) -> None:
    if over:
        await opened(store, "CA1")
        await store.finish("CA1", "{}", [], attempt=1, ended=START)
    await store.append("CA1", [entry(1)], attempt=1, durable=False)
    with pytest.raises(CallTakenError):
        await store.append("CA1", [entry(2)], attempt=1, durable=True)
    assert await store.journal("CA1") == []


async def test_former_owner_cannot_finish(open_again: OpenAgain) -> None:
    ours, theirs = await open_again(), await open_again()
    await opened(ours, "CA1")
    changed = await taken(theirs)
    with pytest.raises(CallTakenError):
        await ours.finish("CA1", '"stale"', [new_delivery()], attempt=1, ended=at(9), last_entries=[entry(1)])
    assert await theirs.call("CA1") == changed
    assert await theirs.report("CA1") is None
    assert await theirs.journal("CA1") == []
    assert await theirs.deliveries(10) == []
    assert await theirs.finish("CA1", "{}", [new_delivery()], attempt=2, ended=at(9), last_entries=[entry(1)])
    assert await ours.report("CA1") == "{}"


async def test_unknown_call_cannot_be_finished(store: Store) -> None:
    with pytest.raises(CallTakenError):
        await store.finish("CA1", "{}", [new_delivery()], attempt=1, ended=START)
    assert await store.report("CA1") is None
    assert await store.deliveries(10) == []


async def test_nothing_is_lost_or_mixed_when_hands_change(open_again: OpenAgain) -> None:
    """While one instance writes, another takes over: what was acknowledged is there, what was refused is not."""
    ours, theirs = await open_again(), await open_again()
    names = [f"CA{n}" for n in range(10)]
    await opened(ours, *names)
    started = {name: asyncio.Event() for name in names}

    async def write(name: str) -> int:
        for sequence in range(1, 100_000):
            try:
                await ours.append(name, [entry(sequence, '"ours"')], attempt=1, durable=sequence % 3 == 0)
            except CallTakenError:
                return sequence
            if sequence == 3:
                started[name].set()
            await asyncio.sleep(0)
        raise AssertionError("never refused")

    async def intrude(name: str) -> list[str]:
        await started[name].wait()
        assert await taken(theirs, name) is not None
        found = [one.body for one in await theirs.journal(name)]
        await theirs.append(name, [entry(len(found) + 1, '"theirs"')], attempt=2, durable=True)
        return found

    async with asyncio.timeout(PATIENCE_S):
        refused, found = await asyncio.gather(asyncio.gather(*map(write, names)), asyncio.gather(*map(intrude, names)))
    for name, refused_at, before in zip(names, refused, found, strict=True):
        assert before == ['"ours"'] * len(before)
        assert refused_at - 3 <= len(before) < refused_at
        assert [one.body for one in await ours.journal(name)] == [*before, '"theirs"']


# ---- journals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durable", [True, False])
async def test_journal_returns_entries_as_given(store: Store, durable: bool) -> None:
    await opened(store, "CA1")
    await store.append("CA1", entries(1, 5), attempt=1, durable=durable)
    assert await store.journal("CA1") == entries(1, 5)
    assert await store.journal("CA1", after=3) == entries(4, 5)
    assert await store.journal("CA2") == []


@pytest.mark.parametrize(
    "body",
    ["{}", '{"text": "perché no? 你好 🍕"}', '{"text": "a\\u0000b"}', "[" + "1," * 50_000 + "1]", '{"nul": "\x00"}'],
    ids=["empty", "unicode", "escape", "large", "nul"],
)
async def test_body_survives_unchanged(store: Store, body: str) -> None:
    await opened(store, "CA1")
    await store.append("CA1", [entry(1, body)], attempt=1, durable=True)
    assert (await store.journal("CA1"))[0].body == body


async def test_lone_surrogate_becomes_its_escape(store: Store) -> None:
    await opened(store, "CA1")
    await store.append("CA1", [entry(1, '{"text": "\ud83d"}')], attempt=1, durable=True)
    assert (await store.journal("CA1"))[0].body == '{"text": "\\ud83d"}'


async def test_wall_times_come_back_in_utc(store: Store) -> None:
    rome = timezone(timedelta(hours=1))
    await opened(store, "CA1")
    await store.append("CA1", [replace(entry(1), wall=START.astimezone(rome))], attempt=1, durable=True)
    (found,) = await store.journal("CA1")
    assert found.wall == START and found.wall.tzinfo is UTC


async def test_durable_entries_are_seen_by_others(open_again: OpenAgain) -> None:
    ours, theirs = await open_again(), await open_again()
    await opened(ours, "CA1")
    await ours.append("CA1", entries(1, 3), attempt=1, durable=False)
    await ours.append("CA1", [entry(4)], attempt=1, durable=True)
    assert await theirs.journal("CA1") == entries(1, 4)


async def test_repeated_entry_changes_nothing(store: Store) -> None:
    await opened(store, "CA1")
    await store.append("CA1", entries(1, 3), attempt=1, durable=True)
    await store.append("CA1", entries(2, 4), attempt=1, durable=True)
    await store.append("CA1", entries(1, 4), attempt=1, durable=False)
    assert await store.journal("CA1") == entries(1, 4)


async def test_taken_place_in_journal_is_refused(store: Store, open_again: OpenAgain) -> None:
    await opened(store, "CA1")
    await store.append("CA1", [entry(1)], attempt=1, durable=True)
    with pytest.raises(StoreError, match="CA1: entry 1 "):
        await store.append("CA1", [entry(1, '{"other": 1}')], attempt=1, durable=True)
    await (await open_again()).append("CA1", [entry(1, '{"other": 1}'), entry(2)], attempt=1, durable=False)
    await store.append("CA1", [entry(3)], attempt=1, durable=True)
    assert (await store.journal("CA1"))[0] == entry(1)
    assert store.healthy()


async def test_calls_append_beside_each_other(open_again: OpenAgain) -> None:
    stores = [await open_again(), await open_again()]
    await opened(stores[0], *(f"CA{number}" for number in range(20)))

    async def talk(number: int) -> None:
        store = stores[number % 2]
        for sequence in range(1, 11):
            await store.append(f"CA{number}", [entry(sequence)], attempt=1, durable=sequence % 5 == 0)

    await asyncio.gather(*(talk(number) for number in range(20)))
    for number in range(20):
        assert await stores[(number + 1) % 2].journal(f"CA{number}") == entries(1, 10)


async def test_follow_returns_what_is_there(store: Store) -> None:
    await opened(store, "CA1")
    await store.append("CA1", entries(1, 3), attempt=1, durable=False)
    async with asyncio.timeout(PATIENCE_S):
        assert await store.follow("CA1", 1, 3600) == entries(2, 3)


@pytest.mark.parametrize("durable", [True, False])
async def test_follow_waits_for_another_instance(open_again: OpenAgain, durable: bool) -> None:
    ours, theirs = await open_again(), await open_again()
    await opened(ours, "CA1", "CA2")
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        following = [tasks.create_task(store.follow("CA1", 0, 3600)) for store in (ours, theirs, theirs)]
        await asyncio.sleep(0.2)
        await ours.append("CA2", [entry(1)], attempt=1, durable=True)  # of no interest
        await asyncio.sleep(0.2)
        assert not any(task.done() for task in following)
        await ours.append("CA1", [entry(1)], attempt=1, durable=durable)
    assert [task.result() for task in following] == [[entry(1)]] * 3


async def test_follow_comes_back_with_nothing(store: Store) -> None:
    await opened(store, "CA1")
    await store.append("CA1", [entry(1)], attempt=1, durable=True)
    async with asyncio.timeout(PATIENCE_S):
        assert await store.follow("CA1", 1, 0.3) == []
        assert await store.follow("CA1", 1, 0) == []
        assert await store.follow("CA2", 0, 0.1) == []


async def test_follow_reads_a_whole_call_in_order(open_again: OpenAgain) -> None:
    ours, theirs = await open_again(), await open_again()
    await opened(ours, "CA1")
    seen = []

    async def talk() -> None:
        for sequence in range(1, 201):
            await ours.append("CA1", [entry(sequence)], attempt=1, durable=sequence % 20 == 0)
            await asyncio.sleep(0.002)

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(talk())
        while len(seen) < 200:
            seen += await theirs.follow("CA1", len(seen), 3600)
    assert seen == entries(1, 200)


async def test_follow_ends_with_its_store(store: Store) -> None:
    await opened(store, "CA1")
    async with asyncio.timeout(PATIENCE_S):
        following = asyncio.gather(*(store.follow("CA1", 0, 3600) for _ in range(3)), return_exceptions=True)
        await asyncio.sleep(0.2)
        await store.close()
        assert [type(one) for one in await following] == [StoreError] * 3


async def test_close_writes_what_waits(open_again: OpenAgain) -> None:
    store = await open_again()
    await opened(store, "CA1")
    await store.append("CA1", entries(1, 100), attempt=1, durable=False)
    await store.close()
    assert await (await open_again()).journal("CA1") == entries(1, 100)


async def test_closed_store_says_so(store: Store) -> None:
    await store.close()
    await store.close()
    assert not store.healthy()
    with pytest.raises(StoreError, match="closed"):
        await store.append("CA1", [entry(1)], attempt=1, durable=False)
    with pytest.raises(StoreError, match="closed"):
        await store.call("CA1")
    with pytest.raises(StoreError, match="closed"):
        await store.beat(OURS)


# ---- the end of a call --------------------------------------------------------------------------------------------


async def test_finish_writes_everything_together(store: Store) -> None:
    await opened(store, "CA1")
    await store.append("CA1", entries(1, 2), attempt=1, durable=False)
    deliveries = [new_delivery("msg_1"), NewDelivery("msg_2", "https://b.example/", "[]", "CRM", "CRM_TOKEN")]
    assert await store.finish("CA1", '{"outcome": 1}', deliveries, attempt=1, ended=at(60), last_entries=entries(3, 4))
    assert await store.report("CA1") == '{"outcome": 1}'
    assert await store.journal("CA1") == entries(1, 4)
    assert await store.call("CA1") == replace(record(), ended=at(60))
    first, second = sorted(await store.deliveries(10), key=lambda delivery: delivery.webhook_id)
    assert (first.webhook_id, first.call_sid, first.url) == ("msg_1", "CA1", "https://crm.example/hook")
    assert (first.body, first.state, first.attempt) == ('{"id": "msg_1"}', "pending", 1)
    assert (first.due, first.created, first.host) == (at(60), at(60), "crm.example")
    assert (first.secret, first.bearer) == ("", "")
    assert (second.body, second.host, second.secret, second.bearer) == ("[]", "b.example", "CRM", "CRM_TOKEN")


async def test_second_finish_changes_nothing(store: Store) -> None:
    await opened(store, "CA1")
    await store.finish("CA1", '"first"', [new_delivery("msg_1")], attempt=1, ended=at(60), last_entries=[entry(1)])
    assert not await store.finish(
        "CA1", '"second"', [new_delivery("msg_2")], attempt=1, ended=at(99), last_entries=[entry(2)]
    )
    assert await store.report("CA1") == '"first"'
    assert await store.journal("CA1") == [entry(1)]
    assert (await only(store)).webhook_id == "msg_1"
    assert (await standing(store)).ended == at(60)


async def test_racing_finishes_leave_one_report(open_again: OpenAgain) -> None:
    stores = [await open_again(), await open_again()]
    await opened(stores[0], "CA1")
    wins = await asyncio.gather(
        *(
            store.finish("CA1", f'"{n}{k}"', [new_delivery(f"msg_{n}{k}")], attempt=1, ended=START)
            for n in range(20)
            for k, store in enumerate(stores)
        )
    )
    assert sum(wins) == 1
    kept = await stores[0].report("CA1")
    assert kept is not None and (await only(stores[0])).webhook_id == f"msg_{kept.strip(chr(34))}"


async def test_finish_and_take_over_have_one_winner(open_again: OpenAgain) -> None:
    stores = [await open_again(), await open_again()]
    names = [f"CA{n}" for n in range(20)]
    await opened(stores[0], *names)

    async def finish(name: str) -> bool:
        try:
            return await stores[0].finish(name, "{}", [new_delivery(f"msg_{name}")], attempt=1, ended=START)
        except CallTakenError:
            return False

    finished, over = await asyncio.gather(
        asyncio.gather(*map(finish, names)), asyncio.gather(*(taken(stores[1], name) for name in names))
    )
    for name, ended_it, took_it in zip(names, finished, over, strict=True):
        assert ended_it == (took_it is None)
        assert (await stores[1].report(name) is not None) == ended_it
        assert (await stores[1].delivery(f"msg_{name}") is not None) == ended_it
        assert (await standing(stores[1], name)).attempt == (1 if ended_it else 2)


async def test_call_without_receivers_has_report(store: Store) -> None:
    await opened(store, "CA1")
    assert await store.finish("CA1", "{}", [], attempt=1, ended=START)
    assert await store.report("CA1") == "{}"
    assert await store.deliveries(10) == []


# ---- deliveries ---------------------------------------------------------------------------------------------------


async def test_enqueued_delivery_is_due_at_once(store: Store) -> None:
    await opened(store, "CA1")
    await store.enqueue("CA1", [NewDelivery("msg_1", "https://b.example/", "{}", "CRM", "CRM_TOKEN")], at(5))
    kept = await store.delivery("msg_1")
    assert kept is not None and kept == await only(store)
    assert (kept.call_sid, kept.state, kept.due, kept.created) == ("CA1", "pending", at(5), at(5))
    (leased,) = await lease(store, at(5))
    assert (leased.secret, leased.bearer) == ("CRM", "CRM_TOKEN")
    assert await store.delivery("msg_2") is None


async def test_enqueue_leaves_alone_what_is_there(store: Store, open_again: OpenAgain) -> None:
    await opened(store, "CA1")
    await enqueued(store, "msg_1")
    await store.delivered("msg_1", at(1), 204)
    before = await store.delivery("msg_1")
    again = NewDelivery("msg_1", "https://other.example/", '"other"')
    await (await open_again()).enqueue("CA1", [again, new_delivery("msg_2")], at(9))
    assert await store.delivery("msg_1") == before
    assert await store.finish("CA1", "{}", [again, new_delivery("msg_3")], attempt=1, ended=at(10))
    assert await store.delivery("msg_1") == before
    assert {one.webhook_id for one in await lease(store, at(10))} == {"msg_2", "msg_3"}


async def test_racing_enqueues_make_one_delivery(open_again: OpenAgain) -> None:
    stores = [await open_again(), await open_again()]
    await asyncio.gather(*(store.enqueue("CA1", [new_delivery()], START) for _ in range(20) for store in stores))
    assert len(await lease(stores[0])) == 1
    assert await lease(stores[1]) == []


async def test_deliveries_are_chosen_by_state_and_call(store: Store) -> None:
    for second, (webhook_id, call_sid) in enumerate([("msg_1", "CA1"), ("msg_2", "CA2"), ("msg_3", "CA1")]):
        await store.enqueue(call_sid, [new_delivery(webhook_id)], at(second))
    await store.delivered("msg_3", at(9), 200)

    async def chosen(*choice: object, **more: object) -> list[str]:
        return [one.webhook_id for one in await store.deliveries(*choice, **more)]  # type: ignore[arg-type]

    assert await chosen(10) == ["msg_3", "msg_2", "msg_1"]
    assert await chosen(2) == ["msg_3", "msg_2"]
    assert await chosen(10, "pending") == ["msg_2", "msg_1"]
    assert await chosen(10, call_sid="CA1") == ["msg_3", "msg_1"]
    assert await chosen(1, call_sid="CA1") == ["msg_3"]
    assert await chosen(10, "pending", call_sid="CA1") == ["msg_1"]
    assert await chosen(10, "dead", call_sid="CA1") == await chosen(10, call_sid="CA3") == []


async def test_backlog_counts_what_waits(store: Store) -> None:
    assert await store.backlog() == Backlog(0, 0, 0, None)
    for second, webhook_id in enumerate(("msg_1", "msg_2", "msg_3", "msg_4", "msg_5")):
        await store.enqueue("CA1", [new_delivery(webhook_id, f"https://{webhook_id}.example/")], at(second))
    await store.delivered("msg_1", at(9), 200)
    await store.failed("msg_2", at(9), "no", attempt=1, next_at=None)
    await store.failed("msg_3", at(9), "gone", attempt=1, next_at=None, disable=True)
    await store.failed("msg_4", at(9), "later", attempt=1, next_at=at(60))
    assert await store.backlog() == Backlog(2, 1, 1, at(3))
    await store.delivered("msg_4", at(61), 200)
    await store.requeue("msg_2", at(70))
    assert await store.backlog() == Backlog(2, 0, 1, at(1))


async def test_leased_delivery_is_hidden_until_lapse(store: Store, open_again: OpenAgain) -> None:
    await enqueued(store, "msg_1")
    (leased,) = await lease(store, lease_s=30)
    other = await open_again()
    assert await lease(other, at(29.9)) == []
    assert [again.webhook_id for again in await lease(other, at(30))] == [leased.webhook_id]


async def test_due_leases_each_once_between_instances(open_again: OpenAgain) -> None:
    stores = [await open_again(), await open_again()]
    await enqueued(stores[0], *(f"msg_{n}" for n in range(60)))
    taken = await asyncio.gather(*(lease(store, limit=2) for _ in range(50) for store in stores))
    counted = Counter(delivery.webhook_id for some in taken for delivery in some)
    assert len(counted) == 60 and set(counted.values()) == {1}


async def test_due_waits_for_its_time(store: Store) -> None:
    await enqueued(store, "msg_1")
    assert await lease(store, at(-0.001)) == []
    assert len(await lease(store, START)) == 1


async def test_due_respects_limits_per_host(store: Store) -> None:
    await enqueued(store, *(f"slow_{n}" for n in range(10)), url="https://slow.example/a")
    await enqueued(store, *(f"fast_{n}" for n in range(10)), url="https://fast.example:444/b")
    first = await lease(store, per_host=3, under_way={"slow.example": 2})
    assert Counter(delivery.host for delivery in first) == {"slow.example": 1, "fast.example:444": 3}
    second = await lease(store, per_host=3, under_way={"slow.example": 3, "fast.example:444": 3})
    assert second == []
    assert len(await lease(store, limit=5)) == 5
    assert await lease(store, limit=0) == []


async def test_next_due_is_the_first_still_to_come(store: Store) -> None:
    assert await store.next_due(START) is None
    await enqueued(store, "msg_1", "msg_2")
    assert await store.next_due(at(-1)) == START
    assert await store.next_due(START) is None
    await store.failed("msg_1", START, "answered 503", attempt=1, next_at=at(300))
    await store.failed("msg_2", START, "answered 503", attempt=1, next_at=at(5))
    assert await store.next_due(START) == at(5)


async def test_delivered_row_leaves_the_queue(store: Store) -> None:
    await enqueued(store, "msg_1")
    await store.delivered("msg_1", at(1), 204)
    kept = await only(store)
    assert (kept.state, kept.status, kept.tried, kept.attempts, kept.due) == ("delivered", 204, at(1), 1, None)
    assert await lease(store, at(10_000)) == []


async def test_failed_delivery_comes_again(store: Store) -> None:
    await enqueued(store, "msg_1")
    await store.failed("msg_1", at(1), "answered 503", attempt=1, next_at=at(6))
    kept = await only(store)
    assert (kept.state, kept.reason, kept.tried, kept.attempt, kept.due) == ("pending", "answered 503", at(1), 2, at(6))
    assert await lease(store, at(5)) == []
    assert (await lease(store, at(6)))[0].attempt == 2


async def test_failure_recorded_twice_counts_once(store: Store) -> None:
    await enqueued(store, "msg_1")
    await store.failed("msg_1", at(1), "answered 503", attempt=1, next_at=at(6))
    await store.failed("msg_1", at(2), "no answer", attempt=1, next_at=at(900))
    kept = await only(store)
    assert (kept.attempt, kept.due) == (2, at(6))


async def test_success_recorded_twice_counts_once(store: Store) -> None:
    await enqueued(store, "msg_1")
    await store.delivered("msg_1", at(1), 204)
    await store.delivered("msg_1", at(2), 200)
    kept = await only(store)
    assert (kept.attempts, kept.status, kept.tried) == (1, 204, at(1))


async def test_failure_from_before_requeue_is_ignored(store: Store) -> None:
    await enqueued(store, "msg_1")
    await store.failed("msg_1", at(1), "no answer", attempt=1, next_at=at(6))
    await store.requeue("msg_1", at(2))
    await store.failed("msg_1", at(7), "no answer", attempt=2, next_at=None)
    kept = await only(store)
    assert (kept.state, kept.attempt, kept.due) == ("pending", 1, at(2))


async def test_late_success_outlives_a_failure(store: Store) -> None:
    await enqueued(store, "msg_1")
    await store.failed("msg_1", at(1), "no answer", attempt=1, next_at=None)
    await store.delivered("msg_1", at(2), 200)
    assert (await only(store)).state == "delivered"
    await store.failed("msg_1", at(3), "no answer", attempt=3, next_at=at(9))
    assert (await only(store)).state == "delivered"


async def test_last_failure_makes_a_dead_letter(store: Store) -> None:
    await enqueued(store, "msg_1", "msg_2")
    await store.failed("msg_1", at(1), "answered 500", attempt=1, next_at=None)
    (dead,) = await store.deliveries(10, "dead")
    assert (dead.webhook_id, dead.due) == ("msg_1", None)
    assert [delivery.webhook_id for delivery in await store.deliveries(10, "pending")] == ["msg_2"]


async def test_disabled_url_holds_all_its_deliveries(store: Store) -> None:
    await enqueued(store, "msg_1", "msg_2")
    await enqueued(store, "msg_3", url="https://other.example/")
    await store.failed("msg_1", at(1), "answered 410", attempt=1, next_at=None, disable=True)
    await enqueued(store, "msg_4")
    held = {delivery.webhook_id for delivery in await store.deliveries(10, "disabled")}
    assert held == {"msg_1", "msg_2", "msg_4"}
    assert [delivery.webhook_id for delivery in await lease(store, at(10_000))] == ["msg_3"]


async def test_requeue_enables_its_url(store: Store) -> None:
    await enqueued(store, "msg_1", "msg_2")
    await store.failed("msg_1", at(1), "answered 410", attempt=1, next_at=None, disable=True)
    assert await store.requeue("msg_2", at(5))
    assert {delivery.webhook_id for delivery in await lease(store, at(5))} == {"msg_1", "msg_2"}


@pytest.mark.parametrize("outcome", ["delivered", "dead", "pending"])
async def test_requeue_begins_again(store: Store, outcome: str) -> None:
    await enqueued(store, "msg_1")
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


# ---- exact statements ---------------------------------------------------------------------------------------------


async def test_note_changes_only_as_expected(open_again: OpenAgain) -> None:
    ours, theirs = await open_again(), await open_again()
    assert await ours.note("order:1") is None
    assert await ours.put_note("order:1", "made", instead_of=None)
    assert not await theirs.put_note("order:1", "made by another", instead_of=None)
    assert not await theirs.put_note("order:1", "taken", instead_of="elsewhere")
    assert await theirs.note("order:1") == "made"
    assert await theirs.put_note("order:1", "taken è", instead_of="made")
    assert await ours.note("order:1") == "taken è"
    assert not await ours.put_note("order:1", None, instead_of="made")
    assert await ours.put_note("order:1", None, instead_of="taken è")
    assert await theirs.note("order:1") is None
    assert not await ours.put_note("order:1", "again", instead_of="made")


async def test_note_may_be_written_again(store: Store) -> None:
    for _ in range(2):
        assert await store.put_note("order:1", "made", instead_of=None)
    for _ in range(2):
        assert await store.put_note("order:1", None, instead_of="made")


async def test_one_of_many_puts_the_note(open_again: OpenAgain) -> None:
    stores = [await open_again() for _ in range(4)]
    async with asyncio.TaskGroup() as tasks:
        tries = [
            tasks.create_task(one.put_note("line:1", f"of {number}", instead_of=None))
            for number, one in enumerate(stores)
        ]
    assert sum(one.result() for one in tries) == 1


async def test_notes_are_found_by_their_beginning(store: Store) -> None:
    for key in ("order:1", "order:2", "orders", "line:1", "order%:1"):
        assert await store.put_note(key, f"of {key}", instead_of=None)
    assert await store.notes("order:") == {"order:1": "of order:1", "order:2": "of order:2"}
    assert await store.notes("nothing") == {}


async def test_kept_clip_is_there_for_all(open_again: OpenAgain) -> None:
    ours, theirs = await open_again(), await open_again()
    payload = bytes(range(256)) * 4000  # a megabyte, twenty seconds of PCM16 at 24 kHz
    assert await theirs.clip("greeting") is None
    await ours.keep_clip("greeting", payload)
    await ours.keep_clip("goodbye", b"")
    assert await theirs.clip("greeting") == payload
    assert await theirs.clip("goodbye") == b""
    await theirs.keep_clip("greeting", b"another")
    assert await ours.clip("greeting") == b"another"


# ---- retention ----------------------------------------------------------------------------------------------------


async def whole(store: Store, call_sid: str) -> bool:
    """Whether all of a call of `ended` is there; it must not be there in part."""
    signs = [
        await store.call(call_sid) is not None,
        await store.journal(call_sid) == entries(1, 3),
        await store.report(call_sid) == "{}",
        await store.delivery(f"msg_{call_sid}") is not None,
        len(await store.deliveries(10, call_sid=call_sid)) == 1,
        call_sid in [call.call_sid for call in await store.calls(1000)],
    ]
    assert len(set(signs)) == 1, f"{call_sid} is there in part: {signs}"
    return signs[0]


async def test_erase_removes_one_call_whole(open_again: OpenAgain) -> None:
    ours, theirs = await open_again(), await open_again()
    for name in ("CA1", "CA2"):
        await ended(ours, name)
    assert await whole(theirs, "CA1")
    assert await theirs.erase("CA1")
    assert not await whole(ours, "CA1")
    assert await whole(ours, "CA2")
    assert not await ours.erase("CA1")
    assert await ours.journal("CA1") == []
    assert [one.webhook_id for one in await lease(ours)] == ["msg_CA2"]


async def test_live_or_unknown_call_is_not_erased(store: Store) -> None:
    await opened(store, "CA1")
    await store.append("CA1", entries(1, 2), attempt=1, durable=False)
    assert not await store.erase("CA1")
    assert not await store.erase("CA2")
    assert await store.erase_caller("+15550123") == []
    assert await store.erase_before(at(10**6)) == []
    assert await standing(store) == record()
    assert await store.journal("CA1") == entries(1, 2)


async def test_erased_call_does_not_come_back(store: Store) -> None:
    await ended(store, "CA1")
    (under_way,) = await lease(store)
    assert await store.erase("CA1")
    await store.failed(under_way.webhook_id, at(1), "no answer", attempt=1, next_at=at(6))
    await store.delivered(under_way.webhook_id, at(2), 200)
    assert not await store.requeue(under_way.webhook_id, at(3))
    await store.append("CA1", [entry(4)], attempt=1, durable=False)
    with pytest.raises(CallTakenError):
        await store.append("CA1", [entry(5)], attempt=1, durable=True)
    with pytest.raises(CallTakenError):
        await store.finish("CA1", "{}", [], attempt=1, ended=START)
    assert await taken(store) is None
    assert await store.claim_stream("CA1", 1, OURS) is None
    assert not await whole(store, "CA1")
    assert await store.journal("CA1") == []
    assert await lease(store, at(10_000)) == []


async def test_erasing_a_caller_takes_calls_from_and_to_it(store: Store) -> None:
    ada, bob, house = "+15550111", "+15550222", "+15550100"
    await ended(store, "CA1", caller=ada)
    await ended(store, "CA2", caller=bob)
    await ended(store, "CA3", caller=house, called=ada, direction="outbound")
    await ended(store, "CA4", caller=None)
    await store.open_call(record("CA5", caller=ada), max_calls=10)
    assert sorted(await store.erase_caller(ada)) == ["CA1", "CA3"]
    assert [await whole(store, name) for name in ("CA1", "CA2", "CA3", "CA4")] == [False, True, False, True]
    assert await store.call("CA5") is not None
    assert await store.erase_caller(ada) == []


async def test_erasing_a_caller_takes_all_of_many_calls(store: Store) -> None:
    names = [f"CA{n:02}" for n in range(65)]
    for name in names:
        await ended(store, name)
    assert sorted(await store.erase_caller("+15550123")) == names
    assert await store.calls(1000) == []
    assert await store.deliveries(1000) == []


async def test_old_calls_are_erased_oldest_first(store: Store) -> None:
    await ended(store, "CA1", after_s=30)
    await ended(store, "CA2", after_s=10)
    await ended(store, "CA3", after_s=20)
    await ended(store, "CA4", after_s=40)
    for name in ("CA1", "CA2", "CA3", "CA4"):
        await store.delivered(f"msg_{name}", at(50), 200)
    assert await store.erase_before(at(40), limit=2) == ["CA2", "CA3"]
    assert await store.erase_before(at(40)) == ["CA1"]
    assert await store.erase_before(at(40)) == []
    assert [await whole(store, f"CA{n}") for n in (1, 2, 3, 4)] == [False, False, False, True]
    assert await store.erase_before(at(99), limit=0) == []


async def test_old_call_is_kept_until_it_is_delivered(store: Store) -> None:
    for name in ("CA1", "CA2", "CA3", "CA4"):
        await ended(store, name)
    await store.delivered("msg_CA1", at(1), 200)
    await store.failed("msg_CA2", at(1), "answered 500", attempt=1, next_at=None)
    await store.failed("msg_CA3", at(1), "answered 500", attempt=1, next_at=at(999))
    assert sorted(await store.erase_before(at(10))) == ["CA1", "CA2"]
    assert [await whole(store, f"CA{n}") for n in (1, 2, 3, 4)] == [False, False, True, True]


async def test_many_old_calls_are_erased_within_the_limit(store: Store) -> None:
    names = [f"CA{n:02}" for n in range(50)]
    for second, name in enumerate(names):
        await ended(store, name, after_s=second)
        await store.delivered(f"msg_{name}", at(100), 200)
    assert await store.erase_before(at(1000), limit=45) == names[:45]
    assert {call.call_sid for call in await store.calls(100)} == set(names[45:])


async def test_erased_calls_receiver_stays_disabled(store: Store) -> None:
    await ended(store, "CA1")
    await store.failed("msg_CA1", at(1), "answered 410", attempt=1, next_at=None, disable=True)
    assert await store.erase("CA1")
    await enqueued(store, "msg_2")
    assert (await only(store)).state == "disabled"


# ---- crashes ------------------------------------------------------------------------------------------------------

CHILD = """
import asyncio, os, sys
from tests.store.store_samples import *
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


async def kill_after(child: asyncio.subprocess.Process, lines: int) -> int:
    """Kill it when it has said so many numbers; returns the last of them."""
    assert child.stdout is not None
    said = [int(await child.stdout.readline()) for _ in range(lines)]
    child.send_signal(signal.SIGKILL)
    await child.communicate()
    return said[-1]


async def test_durable_append_survives_instant_exit(address: str, open_again: OpenAgain) -> None:
    script = (
        "await opened(store, 'CA1')\n"
        "await store.append('CA1', entries(1, 49), attempt=1, durable=False)\n"
        "await store.append('CA1', [entry(50)], attempt=1, durable=True)\n"
        "os._exit(9)"
    )
    async with asyncio.timeout(PATIENCE_S):
        assert await (await start_child(address, script)).wait() == 9
    assert await (await open_again()).journal("CA1") == entries(1, 50)


WRITE_ON = (
    "await opened(store, 'CA1')\n"
    "for n in range(1, 100_000):\n"
    "    await store.append('CA1', [entry(n)], attempt=1, durable=n % 3 == 0)\n"
    "    if n % 3 == 0: print(n, flush=True)"
)


async def test_killed_process_leaves_prefix_of_journal(address: str, open_again: OpenAgain) -> None:
    async with asyncio.timeout(PATIENCE_S):
        acknowledged = await kill_after(await start_child(address, WRITE_ON), 30)
    kept = await (await open_again()).journal("CA1")
    assert len(kept) >= acknowledged
    assert kept == entries(1, len(kept))


async def test_call_of_a_killed_process_goes_on_in_another(address: str, open_again: OpenAgain) -> None:
    async with asyncio.timeout(PATIENCE_S):
        acknowledged = await kill_after(await start_child(address, WRITE_ON), 10)
    store = await open_again()
    assert await taken(store) == replace(record(), owner=THEIRS, attempt=2, token_issued_at=1_772_366_500)
    kept = len(await store.journal("CA1"))
    assert kept >= acknowledged
    await store.append("CA1", [entry(kept + 1)], attempt=2, durable=True)
    last = [entry(kept + 2)]
    assert await store.finish("CA1", "{}", [new_delivery()], attempt=2, ended=START, last_entries=last)
    assert await store.journal("CA1") == entries(1, kept + 2)
    assert (await only(store)).webhook_id == "msg_1"


async def test_finished_call_is_delivered_after_exit(address: str, open_again: OpenAgain) -> None:
    script = (
        "await opened(store, 'CA1')\n"
        "await store.append('CA1', [entry(1)], attempt=1, durable=False)\n"
        "await store.finish('CA1', '{}', [new_delivery()], attempt=1, ended=START, last_entries=[entry(2)])\n"
        "os._exit(9)"
    )
    async with asyncio.timeout(PATIENCE_S):
        assert await (await start_child(address, script)).wait() == 9
    store = await open_again()
    assert await store.journal("CA1") == entries(1, 2)
    assert [delivery.webhook_id for delivery in await lease(store)] == ["msg_1"]


async def test_killed_process_ends_calls_whole_or_not_at_all(address: str, open_again: OpenAgain) -> None:
    script = (
        "async def call(n):\n"
        "    await opened(store, f'CA{n}')\n"
        "    await store.append(f'CA{n}', entries(1, 2), attempt=1, durable=False)\n"
        "    await store.finish(f'CA{n}', '{}', [new_delivery(f'msg_CA{n}')], attempt=1, ended=START,\n"
        "                       last_entries=[entry(3)])\n"
        "    print(n, flush=True)\n"
        "for n in range(0, 100_000, 5): await asyncio.gather(*map(call, range(n, n + 5)))"
    )
    async with asyncio.timeout(PATIENCE_S):
        await kill_after(await start_child(address, script), 20)
    store = await open_again()
    calls = await store.calls(100_000)
    assert sum(call.ended is not None for call in calls) >= 20
    for call in calls:
        if call.ended is not None:
            assert await whole(store, call.call_sid)
        else:
            assert await store.report(call.call_sid) is None
            assert await store.deliveries(10, call_sid=call.call_sid) == []


async def test_processes_share_places_calls_and_leases(address: str, store: Store) -> None:
    await enqueued(store, *(f"msg_{n}" for n in range(30)))
    await opened(store, *(f"CA{n}" for n in range(20)))
    script = (
        "me = f'C-{os.getpid()}'\n"
        "places = [(await store.open_call(record(f'CB{n}-{me}'), max_calls=25))[1] for n in range(20)]\n"
        "taken = [await store.take_over(f'CA{n}', 1, me, token_issued_at=9) is not None for n in range(10)]\n"
        "claims = [await store.claim_stream(f'CA{n}', 1, me) is not None for n in range(10, 20)]\n"
        "leases = [await store.due(START, limit=1, lease_s=30, per_host=99, under_way={}) for n in range(30)]\n"
        "print(sum(places), sum(taken), sum(claims), sum(map(len, leases)))\n"
        "await store.close()"
    )
    async with asyncio.timeout(PATIENCE_S):
        children = [await start_child(address, script) for _ in range(3)]
        outputs = [(await child.communicate())[0].split() for child in children]
    assert [sum(map(int, column)) for column in zip(*outputs, strict=True)] == [5, 10, 10, 30]


async def test_processes_open_new_store_together(address: str) -> None:
    script = (
        "name = f'CA{os.getpid()}'\n"
        "await opened(store, name)\n"
        "await store.append(name, [entry(1)], attempt=1, durable=True)\n"
        "print(len(await store.journal(name)))\n"
        "await store.close()"
    )
    async with asyncio.timeout(PATIENCE_S):
        children = [await start_child(address, script) for _ in range(4)]
        assert [(await child.communicate())[0] for child in children] == [b"1\n"] * 4


# ---- what lists and figures need ------------------------------------------------------------------------------------


async def over(store: Store, call_sid: str, reason: str, outcome: str | None, **changes: object) -> None:
    """A call with a report that says so."""
    call = replace(record(call_sid), **changes)  # type: ignore[arg-type]
    assert await store.open_call(call, max_calls=100_000) == (call, True)
    report = json.dumps({"data": {"ended_reason": reason, "outcome": outcome, "phases": [{"name": "a"}]}})
    assert await store.finish(call_sid, report, [], attempt=1, ended=at(100))


async def test_calls_are_found_by_what_is_known_of_them(store: Store) -> None:
    await over(store, "CA1", "completed", "ordered", started=at(1))
    await over(store, "CA2", "caller_hung_up", None, started=at(2), flow_name="other")
    await over(store, "CA3", "completed", "lost", started=at(3), direction="outbound", caller="+15550777")
    await store.open_call(record("CA4", after_s=4), max_calls=10)

    async def found(**wanted: object) -> str:
        return " ".join(one.record.call_sid for one in await store.find_calls(CallFilter(**wanted), 10))  # type: ignore[arg-type]

    assert await found() == "CA4 CA3 CA2 CA1"
    assert await found(ended=False) == "CA4"
    assert await found(ended=True) == "CA3 CA2 CA1"
    assert await found(flow="other") == "CA2"
    assert await found(outcome="ordered") == "CA1"
    assert await found(ended_reason="completed") == "CA3 CA1"
    assert await found(number="+15550777") == "CA3"
    assert await found(direction="outbound") == "CA3"
    assert await found(since=at(2), until=at(4)) == "CA3 CA2"
    assert await found(since=at(2), until=at(4), ended_reason="completed", number="+15550123") == ""


async def test_found_calls_have_their_digest(store: Store) -> None:
    await over(store, "CA1", "completed", "ordered")
    await store.open_call(record("CA2", after_s=9), max_calls=10)
    live, ended = await store.find_calls(CallFilter(), 10)
    assert (live.record.call_sid, live.digest) == ("CA2", None)
    assert ended.digest == Digest("completed", "ordered", phases=("a",), last_phase="a")


async def test_pages_of_calls_stand_still_while_calls_come_and_go(store: Store) -> None:
    for number in range(1, 8):
        await over(store, f"CA{number}", "completed", None, started=at(number // 2))  # two of each start
    first = await store.find_calls(CallFilter(), 3)
    assert [one.record.call_sid for one in first] == ["CA7", "CA6", "CA5"]
    place = first[-1].record.started, first[-1].record.call_sid
    await store.erase("CA5")
    await over(store, "CA9", "completed", None, started=at(50))
    rest = await store.find_calls(CallFilter(), 10, place)
    assert [one.record.call_sid for one in rest] == ["CA4", "CA3", "CA2", "CA1"]


async def test_found_among_more_calls_than_are_looked_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.store.redis.LOOKED_AT_ONCE", 3)
    for number in range(20):
        await over(store, f"CA{number:02}", "completed" if number % 7 else "silence", None, started=at(number))
    found = await store.find_calls(CallFilter(ended_reason="silence"), 2)
    assert [one.record.call_sid for one in found] == ["CA14", "CA07"]
    place = found[-1].record.started, found[-1].record.call_sid
    assert [one.record.call_sid for one in await store.find_calls(CallFilter(ended_reason="silence"), 5, place)] == [
        "CA00"
    ]


async def test_several_reports_are_read_at_once(store: Store) -> None:
    await ended(store, "CA1")
    await ended(store, "CA2")
    assert await store.reports(["CA1", "CA2", "CA3"]) == {"CA1": "{}", "CA2": "{}"}
    assert await store.reports([]) == {}


async def test_pages_of_deliveries_stand_still_while_some_go(store: Store) -> None:
    await enqueued(store, "m1", "m2", "m3", "m4", "m5")  # all at the same moment
    await store.enqueue("CA", [new_delivery("m9")], at(5))
    first = await store.deliveries(3)
    assert [one.webhook_id for one in first] == ["m9", "m1", "m2"]
    place = first[-1].created, first[-1].webhook_id
    assert [one.webhook_id for one in await store.deliveries(10, before=place)] == ["m3", "m4", "m5"]
    assert [one.webhook_id for one in await store.deliveries(10, "pending", before=place)] == ["m3", "m4", "m5"]
    assert await store.deliveries(10, "dead", before=place) == []
    assert [one.webhook_id for one in await store.deliveries(10, call_sid="CA-m4", before=place)] == ["m4"]


async def test_letters_come_to_whom_they_are_for_in_order(open_again: OpenAgain) -> None:
    ours, theirs = await open_again(), await open_again()
    assert await theirs.take_letters(THEIRS) == []
    for letter in ("one", "two", "drei — 3"):
        await ours.post_letter(THEIRS, letter)
    await theirs.post_letter(OURS, "answer")
    assert await theirs.take_letters(THEIRS) == ["one", "two", "drei — 3"]
    assert await theirs.take_letters(THEIRS) == []
    assert await ours.take_letters(OURS) == ["answer"]


async def test_letters_of_an_instance_that_is_gone_go_too(store: Store) -> None:
    await store.post_letter(THEIRS, "one")
    await store.retire(THEIRS)
    assert await store.take_letters(THEIRS) == []
