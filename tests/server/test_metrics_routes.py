"""Who may scrape, and what the answer is beside the numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server.test_app import SHELF, serving, settings
from voicebot.server.app import create_app
from voicebot.server.attempts import MOST_WRONG
from voicebot.server.metrics_routes import _is_near

TOKEN = {"VOICEBOT_API_TOKEN": "the token"}


@pytest.mark.parametrize(
    ("given", "headers", "status"),
    [
        ({}, {}, 200),
        ({}, {"X-Forwarded-For": "127.0.0.1"}, 403),
        ({}, {"Forwarded": "for=127.0.0.1"}, 403),
        ({}, {"Via": "1.1 proxy"}, 403),
        (TOKEN, {}, 401),
        (TOKEN, {"Authorization": "Bearer wrong"}, 401),
        (TOKEN, {"Authorization": "Bearer the tokené"}, 401),
        (TOKEN, {"Authorization": "Bearer the token"}, 200),
        (TOKEN, {"Authorization": "Bearer the token", "X-Forwarded-For": "203.0.113.9"}, 200),
    ],
)
async def test_near_ones_and_the_token_may_scrape(
    given: dict[str, str], headers: dict[str, str], status: int, tmp_path: Path
) -> None:
    app = await create_app(settings(tmp_path, **given), shelf=SHELF)
    async with serving(app) as client, client.get("/metrics", headers=headers) as answer:
        assert answer.status == status
        text = await answer.text()
        assert ("voicebot_calls_active" in text) is (status == 200)
        if status == 200:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")


async def test_token_cannot_be_tried_on_one_route_after_the_other(tmp_path: Path) -> None:
    app = await create_app(settings(tmp_path, **TOKEN), shelf=SHELF)
    routes = ("/metrics", "/calls/CA1/report")
    tried = []
    async with serving(app) as client:
        for number in range(MOST_WRONG + 2):
            async with client.get(routes[number % 2], headers={"Authorization": f"Bearer {number}"}) as answer:
                tried.append(answer.status)
        async with client.get("/metrics", headers={"Authorization": "Bearer the token"}) as answer:
            tried.append(answer.status)  # who tries learns nothing
    assert tried == [401] * MOST_WRONG + [429] * 3


@pytest.mark.parametrize(
    ("address", "near"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("10.2.3.4", True),
        ("192.168.1.1", True),
        ("fd00::1", True),
        ("8.8.8.8", False),
        ("2001:4860::1", False),
        ("", False),
        (None, False),
        ("unix", False),
    ],
)
def test_near_is_this_machine_or_a_private_network(address: str | None, near: bool) -> None:
    assert _is_near(address) is near


async def test_store_that_does_not_answer_leaves_the_rest(tmp_path: Path) -> None:
    from tests.fakes import START, BreakableStore, calls_over
    from tests.server.test_status_routes import VISIT
    from voicebot.audio.formats import AudioFormat
    from voicebot.server.lifecycle import ModelAccess
    from voicebot.server.observing import Observing

    store = await BreakableStore.open(tmp_path / "calls.db")
    try:
        access = ModelAccess("ws://127.0.0.1:9", lambda: "", "m", "", AudioFormat.PCMU_8K)
        calls, observing = calls_over(store, access, {"visit": VISIT}), Observing(loop_lag=lambda: 0.25, worker=3)
        assert 'voicebot_deliveries{state="pending"} 0' in await observing.shared_text(store, START)
        store.break_down()
        assert await observing.shared_text(store, START) == ""
        text = observing.own_text(calls, store)
        assert 'voicebot_store_healthy{worker="3"} 0' in text
        assert 'voicebot_event_loop_lag_seconds{worker="3"} 0.25' in text
        assert 'voicebot_calls_limit{worker="3"} 2' in text
    finally:
        store.mend()
        await store.close()
