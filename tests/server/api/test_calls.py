"""Calls over HTTP: lists with pages and filters, what is said in them, recordings in ranges, erasure."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from tests.fakes import START, WallClock
from tests.server.test_app import SHELF, serving, settings
from voicebot.call.entries import CallOpened, RecordingStarted, kind_of, write_entry
from voicebot.recording import wav
from voicebot.recording.files import recording_id
from voicebot.server.app import create_app
from voicebot.server.recording import recordings_folder
from voicebot.settings import Settings
from voicebot.store.contract import CallRecord, NewDelivery, Store, StoredEntry
from voicebot.store.opening import open_store

HOLDER = {"Authorization": "Bearer administers"}
KEY = base64.b64encode(bytes(range(32))).decode()
ADA, BOB, HOUSE = "+15550123456", "+15550777777", "+15550100000"


def sid(number: int) -> str:
    return f"CA{number:032x}"


@dataclass
class Shown:
    """A server, and its store as another process has it."""

    client: TestClient[web.Request, web.Application]
    store: Store
    settings: Settings

    async def get(self, path: str, status: int = 200, **headers: str) -> Any:
        async with self.client.get(path, headers=HOLDER | headers) as answer:
            text = await answer.text()
            assert answer.status == status, text
            return json.loads(text)

    async def ask(self, method: str, path: str, **body: object) -> tuple[int, Any]:
        async with self.client.request(method, path, headers=HOLDER, json=body) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def begun(self, number: int, *entries: Any, caller: str = ADA, flow: str = "visit") -> CallRecord:
        started = START + timedelta(minutes=number)
        record = CallRecord(sid(number), flow, "v1", caller, HOUSE, "inbound", started, "gone-000000", 1, 0)
        await self.store.open_call(record, max_calls=10_000)
        stored = [
            StoredEntry(n, kind_of(one), n * 1000, started + timedelta(seconds=n), write_entry(one))
            for n, one in enumerate(entries, 1)
        ]
        await self.store.append(record.call_sid, stored, attempt=1, durable=True)
        return record

    async def over(self, number: int, said: str = "Hello.", *, reason: str = "completed", **changes: Any) -> CallRecord:
        record = await self.begun(number, **changes)
        data = {
            "ended_reason": reason,
            "outcome": "served" if number % 2 else None,
            "duration_s": 60.0,
            "progress": 1.0,
            "phases": [
                {
                    "name": name,
                    "cause": "start",
                    "entered_at": "2026-01-01T00:00:00Z",
                    "left_at": "2026-01-01T00:00:00Z",
                }
                for name in ("reception", "bye")[: 1 + number % 2]
            ],
            "response_ms": {"turns": 2, "median": 500, "worst": 700},
            "line": {"underrun_ms": 500},
            "tokens": {"input_text": 1_000_000},
            "transcript": [{"speaker": "caller", "text": said, "at": "2026-01-01T00:00:00Z"}],
        }
        deliveries = [NewDelivery(f"msg_{number}", "https://user:key@crm.example.com/hook?key=secret", "{}")]
        ended = record.started + timedelta(minutes=1)
        assert await self.store.finish(
            record.call_sid, json.dumps({"data": data}, ensure_ascii=False), deliveries, attempt=1, ended=ended
        )
        return record


@asynccontextmanager
async def shown(folder: Path, **changed: object) -> AsyncIterator[Shown]:
    given = settings(folder, VOICEBOT_API_TOKEN="administers", **changed)
    async with serving(await create_app(given, shelf=SHELF, wall=WallClock(START + timedelta(hours=2)))) as client:
        store = await open_store(given.store)
        try:
            yield Shown(client, store, given)
        finally:
            await store.close()


async def test_calls_are_listed_in_pages(tmp_path: Path) -> None:
    async with shown(tmp_path) as made:
        for number in range(5):
            await made.over(number)
        await made.begun(9)
        first = await made.get("/calls?limit=4")
        assert [one["call_sid"] for one in first["calls"]] == [sid(n) for n in (9, 4, 3, 2)]
        second = await made.get(f"/calls?limit=4&cursor={first['next']}")
        assert [one["call_sid"] for one in second["calls"]] == [sid(1), sid(0)]
        assert second["next"] is None
        live, ended = first["calls"][0], first["calls"][2]
        assert (live["state"], live["outcome"], live["duration_s"]) == ("live", None, None)
        assert (ended["state"], ended["outcome"], ended["phase"], ended["response_ms"]) == (
            "ended",
            "served",
            "bye",
            500,
        )
        assert (ended["dead_air_s"], ended["cost_usd"]) == (1.5, 4.0)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=live", [9]),
        ("state=ended&outcome=served", [3, 1]),
        ("ended_reason=silence", [2]),
        ("number=%2B15550777777", [2]),
        ("flow=none", []),
        ("since=2026-03-02T09:32:00Z&until=2026-03-02T09:34:00%2B00:00", [3, 2]),
        ("direction=outbound", []),
        ("text=PIZZA", [3]),
        ("text=caf%C3%A9%20%22noir%22", [1]),
        ("text=administers", []),
        ("text=ended_reason", []),  # the words, and not what they stand in
        ("state=live&text=pizza", []),
    ],
)
async def test_calls_are_found(tmp_path: Path, query: str, found: list[int]) -> None:
    async with shown(tmp_path) as made:
        await made.over(1, 'A CAFÉ "noir", please.')
        await made.over(2, reason="silence", caller=BOB)
        await made.over(3, "One pizza.")
        await made.begun(9)
        page = await made.get(f"/calls?{query}")
        assert [one["call_sid"] for one in page["calls"]] == [sid(number) for number in found]


async def test_search_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.server.api.calls.SEARCHED", 4)
    monkeypatch.setattr("voicebot.server.api.calls.SEARCHED_AT_ONCE", 2)
    async with shown(tmp_path) as made:
        for number in range(10):
            await made.over(number, "a pizza" if number in (1, 8) else "soup")
        found, cursor, pages = [], "", 0
        while cursor is not None:
            page = await made.get(f"/calls?text=pizza{cursor and f'&cursor={cursor}'}")
            found += [one["call_sid"] for one in page["calls"]]
            cursor, pages = page["next"], pages + 1
        assert (found, pages) == ([sid(8), sid(1)], 3)


@pytest.mark.parametrize("cursor", ["x", "", "%00", "MTIz", "é", "a" * 401])
async def test_odd_cursor_is_refused(tmp_path: Path, cursor: str) -> None:
    async with shown(tmp_path) as made:
        for path in ("/calls", "/deliveries"):
            assert (await made.get(f"{path}?cursor={cursor}", status=422))["code"] == "invalid"


async def test_call_is_shown_with_its_words_and_deliveries(tmp_path: Path) -> None:
    async with shown(tmp_path) as made:
        await made.over(1, "<script>alert(1)</script>")
        call = await made.get(f"/calls/{sid(1)}")
        assert [line["text"] for line in call["transcript"]] == ["<script>alert(1)</script>"]
        assert [stay["name"] for stay in call["phases"]] == ["reception", "bye"]
        assert [one["url"] for one in call["deliveries"]] == ["https://crm.example.com/hook"]
        assert (await made.get(f"/calls/{sid(2)}", status=404))["code"] == "not_found"


async def test_call_with_a_report_that_says_nothing_is_shown(tmp_path: Path) -> None:
    async with shown(tmp_path) as made:
        record = await made.begun(1)
        await made.store.finish(record.call_sid, "{}", [], attempt=1, ended=START)
        call = await made.get(f"/calls/{sid(1)}")
        assert (call["state"], call["transcript"], call["ended_reason"]) == ("ended", [], None)


@pytest.mark.parametrize("part", [{"phases": [{"name": "a"}]}, {"phases": [{"x": 1, "name": 7}]}, {"transcript": [{}]}])
async def test_call_with_a_report_of_another_version_is_shown(tmp_path: Path, part: dict[str, Any]) -> None:
    async with shown(tmp_path) as made:
        record = await made.begun(1)
        await made.store.finish(record.call_sid, json.dumps({"data": part}), [], attempt=1, ended=START)
        assert (await made.get(f"/calls/{sid(1)}"))["state"] == "ended"


async def test_live_call_is_shown_as_far_as_it_is_known(tmp_path: Path) -> None:
    loaded = SHELF.get("visit")
    opened = CallOpened("visit", loaded.version, loaded.document, ADA, HOUSE, "inbound")
    async with shown(tmp_path) as made:
        await made.begun(1, opened)
        call = await made.get(f"/calls/{sid(1)}")
        assert (call["state"], call["observations"], call["ended_reason"]) == ("live", {"name": None}, None)
        journal = await made.get(f"/calls/{sid(1)}/journal")
        assert journal["entries"][0]["kind"] == "call_opened"
        assert "flow_document" not in journal["entries"][0]["body"]
        assert (await made.get(f"/calls/{sid(1)}/journal?after=1"))["entries"] == []


async def test_call_that_nobody_has_cannot_be_steered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.server.api.operations.ANSWER_LIMIT_S", 0.01)
    async with shown(tmp_path) as made:
        await made.begun(1)
        await made.over(2)
        assert (await made.ask("POST", f"/calls/{sid(1)}/say", text="Hello."))[0] == 504
        assert (await made.ask("POST", f"/calls/{sid(2)}/hang-up"))[0] == 409
        assert (await made.ask("POST", f"/calls/{sid(3)}/note", text="x"))[0] == 404
        assert (await made.ask("POST", f"/calls/{sid(3)}/transfer", target=""))[0] == 422


# ---- recordings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", KEY])
async def test_recording_is_heard_whole_and_in_ranges(
    tmp_path: Path, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    audio = bytes(n % 251 for n in range(40_000))
    async with shown(tmp_path, VOICEBOT_RECORDING_KEY=key) as made:
        folder = recordings_folder(made.settings.data_folder, made.settings.recording_keys)
        file = folder.create(recording_id(sid(1), 1))
        for first in range(0, len(audio), 16_000):
            file.append(audio[first : first + 16_000])
        file.finish()
        file.close()
        await made.begun(1, RecordingStarted(recording_id(sid(1), 1), 1))
        await made.begun(2)
        whole = wav.header(len(audio)) + audio
        path = f"/calls/{sid(1)}/recording"
        for wanted, status, expected in [
            ("", 200, whole),
            ("bytes=0-9", 206, whole[:10]),
            ("bytes=50-20000", 206, whole[50:20_001]),
            ("bytes=39000-", 206, whole[39_000:]),
            ("bytes=-7", 206, whole[-7:]),
            ("bytes=9-1", 200, whole),
            ("lines=1-2", 200, whole),
        ]:
            async with made.client.get(path, headers=HOLDER | ({"Range": wanted} if wanted else {})) as answer:
                assert (answer.status, answer.content_type) == (status, "audio/wav")
                assert await answer.read() == expected
        async with made.client.get(path, headers=HOLDER | {"Range": "bytes=99999-"}) as answer:
            assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{len(whole)}")
        async with made.client.head(path, headers=HOLDER) as answer:
            assert (answer.status, answer.content_length) == (200, len(whole))
        assert (await made.get(f"/calls/{sid(2)}/recording", status=404))["code"] == "no_recording"
    heard = [one for one in caplog.records if one.__dict__.get("event") == "recording_played"]
    assert len(heard) == 8 and {one.__dict__["call_sid"] for one in heard} == {sid(1)}
    assert "administers" not in caplog.text


# ---- deliveries, figures, flows -------------------------------------------------------------------------------------


async def test_deliveries_are_listed_and_sent_again(tmp_path: Path) -> None:
    async with shown(tmp_path) as made:
        for number in range(3):
            await made.over(number)
        await made.store.failed("msg_1", START, "it answered 500", attempt=1, next_at=None)
        dead = await made.get("/deliveries?state=dead")
        assert [(one["webhook_id"], one["reason"]) for one in dead["deliveries"]] == [("msg_1", "it answered 500")]
        first = await made.get("/deliveries?limit=2")
        rest = await made.get(f"/deliveries?limit=2&cursor={first['next']}")
        assert [one["webhook_id"] for one in first["deliveries"] + rest["deliveries"]] == ["msg_2", "msg_1", "msg_0"]
        assert "secret" not in str(first) and "key" not in str(first)
        status, again = await made.ask("POST", "/deliveries/msg_1/retry")
        assert (status, again["webhook_id"], again["attempts"]) == (202, "msg_1", 0)
        assert (await made.ask("POST", "/deliveries/none/retry"))[0] == 404


async def test_overview_counts_by_the_hour(tmp_path: Path) -> None:
    async with shown(tmp_path) as made:
        for number in (1, 2, 3, 40, 70):  # from 9:30 on
            await made.over(number)
        await made.begun(71)
        seen = await made.get("/overview?from=2026-03-02T09:00:00Z&to=2026-03-02T12:00:00Z")
        assert [(one["hour"], one["calls"], one["live"]) for one in seen["hours"]] == [
            ("2026-03-02T09:00:00Z", 3, 0),
            ("2026-03-02T10:00:00Z", 3, 1),
            ("2026-03-02T11:00:00Z", 0, 0),
        ]
        total = seen["total"]
        assert (total["calls"], total["outcomes"]) == (6, {"none": 3, "served": 2})
        assert (total["response_ms"], total["cost_usd"], total["dead_air_s"]) == (500, 20.0, 7.5)
        assert (seen["live"], seen["whole"]) == (1, True)
        for query in (
            "from=2026-03-02T09:00:00Z&to=2026-03-01T09:00:00Z",
            "from=2025-01-01T00:00:00Z",
            "to=0001-01-01T00:00:00Z",
        ):
            assert (await made.get(f"/overview?{query}", status=422))["code"] == "invalid"


async def test_flow_tells_how_far_callers_get(tmp_path: Path) -> None:
    async with shown(tmp_path) as made:
        for number in (1, 2, 3):
            await made.over(number, reason="caller_hung_up" if number == 2 else "completed")
        stats = await made.get("/flows/visit/stats")
        assert stats["phases"] == [
            {"name": "reception", "entered": 3, "ended_here": 1, "dropped": 1},
            {"name": "bye", "entered": 2, "ended_here": 2, "dropped": 0},
        ]
        assert [(one["version"], one["calls"]) for one in stats["versions"]] == [("v1", 3)]
        assert (await made.get("/flows/visit/stats?version=v2"))["calls"] == 0
        assert (await made.get("/flows/none/stats", status=404))["code"] == "not_found"


async def test_flows_are_shown(tmp_path: Path) -> None:
    loaded = SHELF.get("visit")
    async with shown(tmp_path) as made:
        (row,) = (await made.get("/flows"))["flows"]
        assert (row["name"], row["version"], row["phases"]) == ("visit", loaded.version, ["reception"])
        assert await made.get("/flows/visit") == json.loads(loaded.document)
        assert (await made.get("/flows/visit/schema"))["title"] == "Report of a call with visit"
        assert (await made.get("/flows/visit/check"))["version"] == loaded.version
        outline = await made.get("/flows/visit/outline")
        assert (outline["version"], outline["initial_phase"]) == (loaded.version, "reception")
        assert [one["name"] for one in outline["phases"]] == ["reception"]
        assert (await made.get("/flows/..%2Fvisit", status=404))["code"] == "not_found"
        for query, kind, begin in [("", "image/svg+xml", "<svg"), ("?format=mermaid", "text/plain", "")]:
            async with made.client.get(f"/flows/visit/graph{query}", headers=HOLDER) as answer:
                assert (answer.status, answer.content_type) == (200, kind)
                assert (await answer.text()).startswith(begin)
                assert "unsafe" not in answer.headers["Content-Security-Policy"]


# ---- erasure --------------------------------------------------------------------------------------------------------


async def test_call_is_erased_with_all_that_is_of_it(tmp_path: Path) -> None:
    async with shown(tmp_path) as made:
        folder = recordings_folder(made.settings.data_folder, ())
        folder.create(recording_id(sid(1), 1)).close()
        await made.over(1)
        await made.begun(2)
        assert await made.ask("DELETE", f"/calls/{sid(1)}") == (204, None)
        assert (await made.get(f"/calls/{sid(1)}", status=404))["code"] == "not_found"
        assert folder.calls() == []
        assert (await made.get("/deliveries"))["deliveries"] == []
        assert (await made.ask("DELETE", f"/calls/{sid(1)}"))[0] == 404
        assert (await made.ask("DELETE", f"/calls/{sid(2)}"))[0] == 409


async def test_everything_of_a_number_is_erased(tmp_path: Path) -> None:
    async with shown(tmp_path) as made:
        await made.over(1)
        await made.over(2, caller=BOB)
        await made.begun(3)
        status, told = await made.ask("POST", "/erasures", number=ADA)
        assert (status, told) == (200, {"erased": [sid(1)], "live": [sid(3)]})
        assert (await made.ask("POST", "/erasures", number="555"))[0] == 422
