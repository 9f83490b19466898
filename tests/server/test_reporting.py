"""Reports of calls, whoever has them last: damaged journals, stores that fail, and hands that were quicker."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.fakes import START, BreakableStore
from voicebot.call.entries import CallEnded, LineClosed, kind_of, write_entry
from voicebot.call.past import LONGEST_GAP_S, Past
from voicebot.delivery.events import Target, Targets
from voicebot.delivery.report import bare_report
from voicebot.delivery.report_schema import report_schema
from voicebot.engine.entries import EndedReason
from voicebot.flow.loader import FlowShelf, LoadedFlow, load_folder
from voicebot.server.reporting import Reporter, fitting_reason
from voicebot.sim.clock import run_virtual, wall_clock
from voicebot.sim.scenario import load_scenarios
from voicebot.sim.table import TableRead, table_read
from voicebot.store.contract import CallRecord, StoredEntry

FLOWS = Path(__file__).parents[2] / "flows"
CRM = Target("", "https://crm.example.com/in", frozenset({"call.completed"}))
OWNER = "A-000001"


@cache
def shelf() -> FlowShelf:
    return load_folder(FLOWS)


@cache
def call() -> TableRead:
    """A whole call with a commit and a statement that must be said."""
    scenario = next(one for one in load_scenarios(FLOWS / "scenarios") if one.flow == "restaurant_ordering")
    return table_read(scenario, shelf().get(scenario.flow))


def loaded() -> LoadedFlow:
    return call().loaded


def record(**changed: Any) -> CallRecord:
    return replace(call().record, owner=OWNER, started=START, ended=None, **changed)


@dataclass
class Desk:
    """A reporter over a store on disk."""

    store: BreakableStore
    reporter: Reporter
    reported: list[float] = field(default_factory=list)

    async def keep(self, journal: Sequence[StoredEntry], **changed: Any) -> CallRecord:
        """Have an unfinished call with this journal in the store."""
        standing, is_new = await self.store.open_call(record(**changed), max_calls=10)
        assert standing is not None and is_new
        await self.store.append(standing.call_sid, journal, attempt=standing.attempt, durable=True)
        return standing

    async def data(self) -> dict[str, Any]:
        """Of the report, which its flow's schema allows."""
        text = await self.store.report(call().record.call_sid)
        assert text is not None
        report = json.loads(text)
        check(report)
        return dict(report["data"])

    async def delivered(self) -> list[dict[str, Any]]:
        return [json.loads(one.body) for one in await self.store.deliveries(10)]


def check(report: dict[str, Any]) -> None:
    schema = report_schema(loaded().name, loaded().flow)
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(report)


@asynccontextmanager
async def desk(folder: Path, *, flows: FlowShelf | None = None, late_s: float = 0.0) -> AsyncIterator[Desk]:
    """`late_s`: how long after the call's start it is reported."""
    store = await BreakableStore.open(folder / "calls.db")
    wall = wall_clock(START + timedelta(seconds=late_s))
    known = flows if flows is not None else shelf()

    def reported() -> None:
        made.reported.append(asyncio.get_running_loop().time())

    made = Desk(store, Reporter(store, Targets(CRM), lambda: known, wall, reported))
    try:
        yield made
    finally:
        store.mend()
        await store.close()


def virtual(play: Callable[[], Coroutine[object, object, None]]) -> None:
    call()  # which runs its tools on a loop of its own
    run_virtual(play(), limit_s=7200)


def unfinished() -> list[StoredEntry]:
    """The journal until the line was closed."""
    ends = next(n for n, entry in enumerate(call().stored) if entry.kind == kind_of(LineClosed("completed")))
    return [replace(entry, wall=START + timedelta(milliseconds=entry.at_ms)) for entry in call().stored[:ends]]


# ---- who ends it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False], ids=["with its flow", "from its journal"])
def test_call_that_nobody_ended_is_ended_in_its_journal(tmp_path: Path, known: bool) -> None:
    async def play() -> None:
        journal = unfinished()
        async with desk(tmp_path, late_s=journal[-1].at_ms / 1000 + 12.0) as made:
            standing = await made.keep(journal)
            flow = loaded().flow if known else None
            assert await made.reporter.report(standing, reason="connection_lost", flow=flow)
            last = (await made.store.journal(standing.call_sid))[-1]
            assert (last.sequence, last.kind) == (len(journal) + 1, "call_ended")
            assert last.at_ms == pytest.approx(journal[-1].at_ms + 12_000, abs=50)
            data = await made.data()
            assert (data["ended_reason"], data["observations"]["mode"]) == ("connection_lost", "delivery")
            assert await made.delivered() == [json.loads(await made.store.report(standing.call_sid) or "")]
            assert len(made.reported) == 1
            ended = await made.store.call(standing.call_sid)
            assert ended is not None and ended.ended is not None

    virtual(play)


@pytest.mark.parametrize("hours", [1.0, 24.0 * 30])
def test_outage_is_no_part_of_the_call(tmp_path: Path, hours: float) -> None:
    async def play() -> None:
        journal = unfinished()
        async with desk(tmp_path, late_s=hours * 3600) as made:
            standing = await made.keep(journal)
            assert await made.reporter.report(standing, reason="connection_lost")
            data = await made.data()
            assert data["duration_s"] <= journal[-1].at_ms / 1000 + LONGEST_GAP_S
            assert data["ended_at"] < "2026-03-02T10:00"

    virtual(play)


def test_end_that_stands_in_the_journal_is_kept(tmp_path: Path) -> None:
    async def play() -> None:
        journal = unfinished()
        end = StoredEntry(
            len(journal) + 1, "call_ended", journal[-1].at_ms, journal[-1].wall, write_entry(CallEnded("silence"))
        )
        async with desk(tmp_path) as made:
            standing = await made.keep([*journal, end])
            assert await made.reporter.report(standing, reason="connection_lost")
            assert (await made.data())["ended_reason"] == "silence"
            assert len(await made.store.journal(standing.call_sid)) == len(journal) + 1

    virtual(play)


def test_what_the_store_did_not_take_goes_with_the_report(tmp_path: Path) -> None:
    async def play() -> None:
        journal = unfinished()
        async with desk(tmp_path) as made:
            standing = await made.keep(journal[:20])
            assert await made.reporter.report(standing, reason="connection_lost", unwritten=journal[15:])
            kept = await made.store.journal(standing.call_sid)
            assert [entry.sequence for entry in kept] == list(range(1, len(journal) + 2))
            assert (await made.data())["observations"]["mode"] == "delivery"

    virtual(play)


def test_call_whose_journal_is_empty_has_the_report_of_its_flow(tmp_path: Path) -> None:
    async def play() -> None:
        async with desk(tmp_path) as made:
            standing = await made.keep([])
            assert await made.reporter.report(standing, reason="never_connected")
            data = await made.data()
            assert (data["ended_reason"], data["problems"], data["duration_s"]) == ("never_connected", [], 0.0)
            assert set(data["observation_status"].values()) <= {"unasked", "not_needed"}

    virtual(play)


# ---- others are quicker ---------------------------------------------------------------------------------------------


def test_call_in_other_hands_is_left_alone(tmp_path: Path) -> None:
    async def play() -> None:
        async with desk(tmp_path) as made:
            standing = await made.keep(unfinished())
            assert await made.store.take_over(standing.call_sid, 1, "B-000002", token_issued_at=1)
            assert not await made.reporter.report(standing, reason="connection_lost")
            assert await made.store.report(standing.call_sid) is None
            assert await made.delivered() == [] and made.reported == []

    virtual(play)


def test_call_is_reported_once_by_however_many(tmp_path: Path) -> None:
    async def play() -> None:
        async with desk(tmp_path) as made:
            standing = await made.keep(unfinished())
            written = await asyncio.gather(*(made.reporter.report(standing, reason="silence") for _ in range(5)))
            assert sorted(written) == [False, False, False, False, True]
            assert len(await made.delivered()) == len(made.reported) == 1

    virtual(play)


@pytest.mark.parametrize("method", ["finish", "journal", "*"])
@pytest.mark.parametrize("outage_s", [0.1, 3.0, 3000.0])
def test_report_waits_for_the_store(tmp_path: Path, method: str, outage_s: float) -> None:
    async def play() -> None:
        async with desk(tmp_path) as made:
            standing = await made.keep(unfinished())
            made.store.break_down(method)
            reporting = asyncio.ensure_future(made.reporter.report(standing, reason="connection_lost"))
            await asyncio.sleep(outage_s)
            assert not reporting.done()
            made.store.mend()
            async with asyncio.timeout(16):
                assert await reporting
            assert (await made.data())["ended_reason"] == "connection_lost"

    virtual(play)


# ---- damaged journals -----------------------------------------------------------------------------------------------


def body_is_no_json(journal: list[StoredEntry]) -> None:
    journal[7] = replace(journal[7], body="{")


def kind_is_unknown(journal: list[StoredEntry]) -> None:
    journal[7] = replace(journal[7], kind="of_a_newer_version")


def beginning_is_gone(journal: list[StoredEntry]) -> None:
    del journal[0]


def flow_is_damaged(journal: list[StoredEntry]) -> None:
    body = json.loads(journal[0].body)
    journal[0] = replace(journal[0], body=json.dumps(body | {"flow_document": "{}", "flow_version": "another"}))


def field_is_unknown(journal: list[StoredEntry]) -> None:
    where = next(n for n, entry in enumerate(journal) if entry.kind == "observation_recorded")
    body = json.loads(journal[where].body)
    journal[where] = replace(journal[where], body=json.dumps(body | {"name": "no_such_field"}))


def value_is_of_another_type(journal: list[StoredEntry]) -> None:
    where = next(
        n for n, entry in enumerate(journal) if '"mode"' in entry.body and entry.kind == "observation_recorded"
    )
    body = json.loads(journal[where].body)
    journal[where] = replace(journal[where], body=json.dumps(body | {"value": [1, 2]}))


@pytest.mark.parametrize(
    "damage",
    [
        body_is_no_json,
        kind_is_unknown,
        beginning_is_gone,
        flow_is_damaged,
        field_is_unknown,
        value_is_of_another_type,
    ],
)
def test_damaged_journal_has_a_report(
    tmp_path: Path, damage: Callable[[list[StoredEntry]], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> None:
        journal = unfinished()
        damage(journal)
        async with desk(tmp_path) as made:
            standing = await made.keep(journal)
            assert await made.reporter.report(standing, reason="connection_lost")
            text = await made.store.report(standing.call_sid)
            data = json.loads(text or "")["data"]
            assert data["ended_reason"] == "error"
            assert [problem["kind"] for problem in data["problems"]] == ["journal_damaged"]
            assert data["answered_at"] is not None
            assert len(await made.delivered()) == 1

    virtual(play)
    assert [entry.levelno for entry in caplog.records if "does not fold" in entry.message] == [logging.ERROR]


@pytest.mark.parametrize("answered", [True, False])
def test_bare_report_is_what_the_schema_allows(answered: bool) -> None:
    journal = unfinished()
    if not answered:
        journal = [entry for entry in journal if entry.kind != "caller_connected"]
    check(bare_report(record(), loaded().flow, journal, "a journal entry is damaged"))
    check(bare_report(record(), loaded().flow, [], "nothing is known"))


@pytest.mark.parametrize("seed", range(60))
def test_no_damage_leaves_a_call_without_a_report(tmp_path: Path, seed: int) -> None:
    """Entries lost, doubled, in another order, or with something else in them."""

    async def play() -> None:
        chance, journal = random.Random(seed), unfinished()
        for _ in range(chance.randint(1, 6)):
            where, other = chance.randrange(len(journal)), chance.randrange(len(journal))
            match chance.randrange(5):
                case 0:
                    del journal[where]
                case 1:
                    journal[where], journal[other] = journal[other], journal[where]
                case 2:
                    journal[where] = replace(journal[where], body=journal[other].body)
                case 3:
                    journal[where] = replace(journal[where], kind=journal[other].kind)
                case 4:
                    journal.insert(where, journal[other])
        journal = [replace(entry, sequence=number) for number, entry in enumerate(journal, 1)]
        async with desk(tmp_path) as made:
            standing = await made.keep(journal)
            assert await made.reporter.report(standing, reason="connection_lost", flow=loaded().flow)
            await made.data()

    virtual(play)


@pytest.mark.parametrize(
    ("closed", "answered_ms", "reason"),
    [(None, None, "never_connected"), (None, 200, "connection_lost"), ("silence", 200, "silence")],
)
def test_reason_that_fits_a_journal(closed: EndedReason | None, answered_ms: int | None, reason: str) -> None:
    past = Past((), 0, 0)
    past.__dict__.update(closed=closed, answered_ms=answered_ms)
    assert fitting_reason(past) == reason
