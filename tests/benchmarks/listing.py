"""How long the API's lists and figures take with 10,000 ended calls in the store and 100 live ones.

python tests/benchmarks/listing.py [--calls 10000] [--live 100] [--times 20]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from aiohttp.test_utils import TestClient, TestServer

from voicebot.flow import Flow, Observations, Phase, ask
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.server.app import create_app
from voicebot.settings import read_settings
from voicebot.store import sqlite_calls, sqlite_outbox
from voicebot.store.contract import CallRecord, NewDelivery
from voicebot.store.sqlite_file import connect, create

NOW = datetime(2026, 3, 31, tzinfo=UTC)
PATHS = (
    "/calls",
    "/calls?state=live",
    "/calls?state=ended&outcome=rare",
    "/calls?number=%2B15550000007",
    "/calls?text=saffron",
    "/calls/CA0000000000000000000000000000000007",
    "/deliveries",
    "/overview",
    "/overview?from=2026-03-01T00:00:00Z",
    "/flows/visit/stats",
)


class Visit(Observations):
    name: str = ask("the caller's full name")


def fill(path: Path, ended: int, live: int) -> None:
    """Calls of the last thirty days, each with a report of some 6 kB, delivered but for one in a hundred, given up."""
    create(path, 5.0)
    connection: sqlite3.Connection = connect(path, 5.0)
    line = {"speaker": "caller", "text": "I would like a table for two on Friday evening, please.", "at": "x"}
    connection.execute("BEGIN")
    for number in range(ended + live):
        started = NOW - timedelta(seconds=(ended + live - number) * 30 * 86_400 / (ended + live))
        caller = f"+1555{number % 5000:07}"
        call_sid = f"CA{number:034}"
        record = CallRecord(call_sid, "visit", "v1", caller, "+15550100000", "inbound", started, "A-1", 1, 0)
        sqlite_calls.open_call(connection, record, max_calls=10**9)
        if number >= ended:
            continue
        data = {
            "ended_reason": "completed",
            "outcome": "rare" if number % 2500 == 0 else "served",
            "phases": [{"name": "reception"}],
            "response_ms": {"turns": 9, "median": 500 + number % 300, "worst": 900},
            "tokens": {"input_audio": 5000},
            "transcript": [line] * 60,
        }
        delivery = NewDelivery(f"msg_{number}", "https://crm.example.com/", "{}")
        report, end = json.dumps({"data": data}), started + timedelta(minutes=1)
        sqlite_calls.finish(connection, call_sid, report, [delivery], 1, end, [])
        if number % 100:
            sqlite_outbox.note_delivered(connection, delivery.webhook_id, end, 200)
        else:
            sqlite_outbox.note_failed(connection, delivery.webhook_id, end, "HTTP 500", 1, None, disable=False)
    connection.execute("COMMIT")
    connection.close()


async def measure(folder: Path, times: int) -> None:
    settings = read_settings(
        None,
        OPENAI_API_KEY="sk",
        TWILIO_AUTH_TOKEN="t",
        VOICEBOT_PUBLIC_URL="https://voice.example.com",
        VOICEBOT_STORE=f"sqlite:///{folder}/calls.db",
        VOICEBOT_API_TOKEN="administers",
        VOICEBOT_API_RATE=1_000_000,
    )
    flow = Flow(goal="g", observations=Visit, phases=[Phase("reception", instructions="Greet.")])
    app = await create_app(settings, shelf=FlowShelf({"visit": load_flow("visit", flow)}), wall=lambda: NOW)
    async with TestClient(TestServer(app)) as client:
        for path in PATHS:
            took, size = [], 0
            for _ in range(times):
                began = time.perf_counter()
                async with client.get(path, headers={"Authorization": "Bearer administers"}) as answer:
                    size = len(await answer.read())
                    assert answer.status in (200, 404), answer.status
                took.append((time.perf_counter() - began) * 1000)
            print(f"{path:45} median {median(took):7.1f} ms  worst {max(took):7.1f} ms  {size / 1000:7.1f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--live", type=int, default=100)
    parser.add_argument("--times", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder) / "calls.db", given.calls, given.live)
        asyncio.run(measure(Path(folder), given.times))


if __name__ == "__main__":
    main()
