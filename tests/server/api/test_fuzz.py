"""The API under requests drawn from its own document, in every state of knowing a token: nothing breaks, and every
answer is one that the document promises."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import hypothesis
import jsonschema
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import strategies as st

from tests.fakes import START, WallClock
from tests.server.api.drawn import Drawn, requests
from tests.server.test_app import SHELF, settings
from voicebot.server.api.problems import PROBLEM_JSON
from voicebot.server.app import create_app
from voicebot.store.contract import CallRecord, NewDelivery
from voicebot.store.opening import open_store

EXAMPLES = 150  # for each state; a suite has not the time for more
LONGEST_S = 45.0  # on a machine that is busy, fewer are drawn
STATES = {"none": "", "wrong": "no-such-token", "read": "reads", "operate": "operates", "admin": "administers"}
TOKENS = "eye=read:reads,desk=operate:operates,root=admin:administers"
CALLS = [f"CA{number:032x}" for number in range(6)]
KNOWN = {"call_sid": CALLS, "name": ["visit"], "webhook_id": ["msg_1"], "order_id": ["CO" + "0" * 32]}


async def filled(address: str) -> None:
    """Calls that are over and at work, with a report and a delivery each."""
    store = await open_store(address)
    for number, call_sid in enumerate(CALLS):
        started = START + timedelta(minutes=number)
        record = CallRecord(call_sid, "visit", "v1", "+15550123456", "+15550100000", "inbound", started, "gone", 1, 0)
        await store.open_call(record, max_calls=100)
        if number % 2:
            report = json.dumps({"data": {"ended_reason": "completed", "outcome": None, "transcript": []}})
            delivery = NewDelivery(f"msg_{number}", "https://crm.example.com/hook?key=1", "{}")
            await store.finish(call_sid, report, [delivery], attempt=1, ended=started)
    await store.close()


def test_every_answer_is_one_that_the_document_promises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.server.api.operations.ANSWER_LIMIT_S", 0.05)
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        given = settings(tmp_path, VOICEBOT_API_TOKENS=TOKENS, VOICEBOT_API_RATE=10_000_000)
        runner.run(filled(given.store))
        wall = WallClock(START + timedelta(hours=1))

        async def begin() -> tuple[TestClient[web.Request, web.Application], dict[str, Any]]:
            client = TestClient(TestServer(await create_app(given, shelf=SHELF, wall=wall)))
            await client.start_server()
            async with client.get("/openapi.json") as answer:
                return client, await answer.json()

        client, document = runner.run(begin())
        validators = {
            name: jsonschema.Draft202012Validator(
                {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
            )
            for name in document["components"]["schemas"]
        }
        seen: Counter[int] = Counter()
        until = loop.time() + LONGEST_S

        @hypothesis.settings(max_examples=EXAMPLES * len(STATES), deadline=None, database=None, derandomize=True)
        @hypothesis.given(requests(document, KNOWN), st.sampled_from(sorted(STATES)))
        def fuzz(drawn: Drawn, state: str) -> None:
            if loop.time() > until:
                return
            token = {"Authorization": f"Bearer {STATES[state]}"} if STATES[state] else {}
            # Every stranger comes from an address of their own, so that wrong tokens are told apart from too many.
            stranger = {"X-Forwarded-For": f"198.51.{sum(seen.values()) // 250 % 250}.{sum(seen.values()) % 250}"}
            status = loop.run_until_complete(asked(client, drawn, {**token, **stranger, **drawn.headers}, validators))
            seen[status] += 1
            if drawn.operation["security"] and state in ("none", "wrong"):
                assert status == 401

        try:
            fuzz()
        finally:
            runner.run(client.close())
        assert {200, 401, 403, 404, 422} <= set(seen)


async def asked(
    client: TestClient[web.Request, web.Application],
    drawn: Drawn,
    headers: Mapping[str, str],
    validators: Mapping[str, jsonschema.Draft202012Validator],
) -> int:
    """Ask, and see that the answer is as the document says; returns its status."""
    from yarl import URL

    url = client.make_url("/")
    target = URL(f"{url.origin()}{drawn.path}", encoded=True)
    async with client.session.request(drawn.method, target, headers=headers, data=drawn.body) as answer:
        content = await answer.read()
    if answer.status == 404 and "404" not in drawn.operation["responses"]:
        return answer.status
    promised = drawn.operation["responses"].get(str(answer.status))
    assert promised is not None, (answer.status, content)
    kinds = promised.get("content", {})
    assert (answer.content_type in kinds) if kinds else not content, (answer.content_type, content)
    if answer.status == 504:  # nobody is there any more who has the calls at work
        assert json.loads(content)["code"] == "no_answer", content
    elif answer.status in (500, 502) or (answer.status == 503 and answer.content_type == PROBLEM_JSON):
        assert drawn.operation["operationId"] == "place_call", content  # nobody has an account here
    if content and answer.content_type in ("application/json", PROBLEM_JSON):
        form = kinds[answer.content_type]["schema"].get("$ref", "").rpartition("/")[2]
        if form:
            validators[form].validate(json.loads(content))
    return answer.status
