"""The pages on deliveries are right: their code verifies what we sign, and makes what CRMs take."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.delivery.test_report import CALL, FLOW, WHOLE, stored
from tests.docs.pages import block_with, blocks, text_of
from voicebot.call.entries import CallEnded, CallOpened
from voicebot.delivery.events import Targets, happening_of
from voicebot.delivery.guard import AddressGuard, read_allowed
from voicebot.delivery.keys import Keyring
from voicebot.delivery.outgoing import deliveries_of
from voicebot.delivery.post import LIMIT_S, WebhookPost
from voicebot.delivery.report import fold_report
from voicebot.delivery.schedule import DELAYS_S
from voicebot.delivery.signing import headers
from voicebot.flow import Flow, Report
from voicebot.flow.check import check
from voicebot.store.contract import CallRecord, Delivery
from voicebot.webhook_events import WEBHOOK_EVENTS

PAGE_NAME = "voicebot/delivery/README.md"
PAGE = text_of(PAGE_NAME)
NODE = shutil.which("node")
SECRETS = ["whsec_" + base64.b64encode(letter * 32).decode() for letter in (b"n", b"o")]
BODY = '{"type":"call.completed","data":{"name":"Zoë"}}'
WITHHELD = CallRecord("CA2", "order", "3f2a", None, None, "inbound", CALL.started, "A-000001", 1, 0)


def run(code: str, given: dict[str, Any] | None = None) -> dict[str, Any]:
    module = {"__name__": "page", **(given or {})}
    exec(compile(code, "README.md", "exec", dont_inherit=True), module)  # noqa: S102 - our own page
    return module


# ---- signatures -----------------------------------------------------------------------------------------------------


def cases() -> list[tuple[str, Mapping[str, str], str, bool]]:
    """What a receiver may be sent: body, headers, its secret, and whether it is ours."""
    now = datetime.now(UTC)
    sent = headers(SECRETS, "msg_1", now, BODY)
    old = headers(SECRETS, "msg_1", datetime.fromtimestamp(now.timestamp() - 3600, UTC), BODY)
    return [
        (BODY, sent, SECRETS[0], True),
        (BODY, sent, SECRETS[1], True),
        (BODY, sent, "whsec_" + base64.b64encode(b"x" * 32).decode(), False),
        (BODY.replace("Zoë", "Eve"), sent, SECRETS[0], False),
        (BODY, old, SECRETS[0], False),
        (BODY, {**sent, "webhook-id": "msg_2"}, SECRETS[0], False),
        (BODY, {**sent, "webhook-signature": "nonsense"}, SECRETS[0], False),
        (BODY, {**sent, "webhook-signature": "v1,"}, SECRETS[0], False),
        (BODY, {**sent, "webhook-timestamp": "soon"}, SECRETS[0], False),
        (BODY, {}, SECRETS[0], False),
    ]


def test_python_verifies_what_we_sign() -> None:
    code = block_with(PAGE_NAME, "python", "standardwebhooks")
    verified = run(code)["verified"]
    for body, sent, secret, ours in cases():
        assert verified(body.encode(), sent, secret) == (json.loads(body) if ours else None), (sent, secret)


@pytest.mark.skipif(NODE is None, reason="no Node here: apt-get install nodejs")
def test_node_verifies_what_we_sign(tmp_path: Path) -> None:
    (tmp_path / "verify.mjs").write_text(block_with(PAGE_NAME, "js", "createHmac"), encoding="utf-8")
    (tmp_path / "main.mjs").write_text(
        "import { readFileSync } from 'node:fs';\n"
        "import { verified } from './verify.mjs';\n"
        "const cases = JSON.parse(readFileSync('cases.json'));\n"
        "const both = ([body, head, secret]) => [body, Buffer.from(body)].map((b) => verified(b, head, secret));\n"
        "console.log(JSON.stringify(cases.map(both)));\n"
    )
    (tmp_path / "cases.json").write_text(json.dumps(cases()), encoding="utf-8")
    shown = subprocess.run([str(NODE), "main.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert shown.returncode == 0, shown.stderr
    expected = [[json.loads(body) if ours else None] * 2 for body, _, _, ours in cases()]
    assert json.loads(shown.stdout) == expected


# ---- what the page says of us ---------------------------------------------------------------------------------------


def test_its_receivers_are_right() -> None:
    code = block_with(PAGE_NAME, "python", "Receiver(")
    report = run(code)["report"]
    assert isinstance(report, Report)
    assert [str(one) for one in check(flow_with(report)) if one.rule == "F035"] == []


def test_its_events_are_those_there_are() -> None:
    assert re.findall(r"^\| `(call\.\w+)` \|", PAGE, re.MULTILINE) == list(WEBHOOK_EVENTS)


def test_its_body_has_the_fields_of_one() -> None:
    (example,) = (json.loads(one.text) for one in blocks(PAGE_NAME, "json"))
    happening = happening_of(CALL, stored(WHOLE)[14])
    assert happening is not None
    assert list(example["data"]) == list(happening.body["data"])
    assert (example["type"], example["timestamp"]) == (happening.event, happening.body["timestamp"])


def test_its_schedule_is_ours() -> None:
    (words,) = re.findall(r"at once, then after (.*?), each", PAGE, re.DOTALL)
    units = {"s": 1, "min": 60, "h": 3600}
    assert tuple(int(n) * units[unit] for n, unit in re.findall(r"(\d+) (s|min|h)\b", words)) == DELAYS_S
    assert f"within {LIMIT_S:g} seconds" in PAGE


# ---- CRMs -----------------------------------------------------------------------------------------------------------


@cache
def examples() -> dict[str, Report]:
    """The reports of the page about flows, by their receiver's name."""
    code = [one.text for one in blocks("flows/README.md", "python") if "Receiver(" in one.text]
    found: dict[str, Report] = {}
    module: dict[str, Any] = {}
    for one in code:
        module = run(one, module)
        found[module["report"].receivers[0].name] = module["report"]
    return found


def flow_with(report: Report) -> Flow:
    receivers = report.receivers
    return Flow(goal=FLOW.goal, observations=FLOW.observations, phases=FLOW.phases, report=Report(receivers=receivers))


async def sent(name: str, call: CallRecord = CALL, *, answered: bool = True) -> Delivery:
    """What the example's receiver would be posted of a call."""
    opened = CallOpened("order", "3f2a", "{}", call.caller, call.called, "inbound")
    lines = WHOLE if answered else [(0, opened), (15_000, CallEnded("never_connected"))]
    flow, journal = flow_with(examples()[name]), stored(lines)
    (made,) = await deliveries_of(call, flow, journal, fold_report(call, flow, journal), Targets())
    waiting = Delivery(made.webhook_id, call.call_sid, made.url, made.body, "pending", 0, None, call.started)
    return replace(waiting, secret=made.secret, bearer=made.bearer)


async def test_hubspot_gets_a_call() -> None:
    delivery = await sent("hubspot")
    assert delivery.url == "https://api.hubapi.com/crm/v3/objects/calls"
    assert json.loads(delivery.body) == {
        "properties": {
            "hs_timestamp": "2026-03-01T12:00:00.123Z",
            "hs_call_title": "order: completed",
            "hs_call_body": "mode: pickup<br>guests: 2<br>phone: +15550123",
            "hs_call_duration": 11_200,
            "hs_call_from_number": "+15550123",
            "hs_call_to_number": "+15550100",
            "hs_call_direction": "INBOUND",
            "hs_call_status": "COMPLETED",
        }
    }


async def test_hubspot_gets_no_number_that_is_withheld() -> None:
    properties = json.loads((await sent("hubspot", WITHHELD, answered=False)).body)["properties"]
    assert not {"hs_call_from_number", "hs_call_to_number"} & properties.keys()
    assert (properties["hs_call_status"], properties["hs_call_duration"]) == ("NO_ANSWER", 0)


async def test_salesforce_gets_a_task() -> None:
    delivery = await sent("salesforce")
    assert re.fullmatch(r"https://\w+\.my\.salesforce\.com/services/data/v\d+\.0/sobjects/Task/", delivery.url)
    assert json.loads(delivery.body) == {
        "Subject": "Call from +15550123: completed",
        "Description": "mode: pickup\nguests: 2\nphone: +15550123",
        "Status": "Completed",
        "TaskSubtype": "Call",
        "CallType": "Inbound",
        "CallDurationInSeconds": 11,
        "CallDisposition": "completed",
        "CallObject": "CA1",
        "ActivityDate": "2026-03-01",
    }
    withheld = json.loads((await sent("salesforce", WITHHELD, answered=False)).body)
    assert withheld["Subject"] == "Call from a withheld number: never_connected"


@pytest.mark.parametrize("name", ["hubspot", "salesforce"])
async def test_crm_is_shown_its_token(name: str) -> None:
    """Over HTTP: such a service takes no call without its token, and answers 201."""
    taken: list[dict[str, Any]] = []

    async def create(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer token-of-the-crm":
            return web.Response(status=401)
        taken.append(await request.json())
        return web.Response(status=201)

    app = web.Application()
    app.router.add_post("/{path:.*}", create)
    delivery = await sent(name)
    keys = Keyring(SECRETS, {name: ["token-of-the-crm"]})
    async with TestServer(app) as server:
        post = WebhookPost(AddressGuard(read_allowed(["127.0.0.1"])), keys, lambda: datetime.now(UTC))
        local = re.sub(r"https://[^/]+", str(server.make_url("")).rstrip("/"), delivery.url)
        assert await post(replace(delivery, url=local)) == 201
        await post.close()
    assert taken == [json.loads(delivery.body)]
