"""The application as it is put together: what it needs, what it opens, and that it closes all of it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from twilio.request_validator import RequestValidator

from tests.fakes import WallClock
from voicebot.errors import FlowError, SettingsError, StoreError
from voicebot.flow import Flow, Observations, Phase, Receiver, Report, ask
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.server.app import CALLS, MAX_BODY_BYTES, create_app, utc_now
from voicebot.settings import Settings, read_settings
from voicebot.sim.crm import CrmAnswer, CrmSink
from voicebot.store.opening import open_store

SIGNING = "whsec_" + "c2VjcmV0IG9mIHRoZSByZXBvcnRzIGluIHRlc3Rz"
TO_CRM = {"VOICEBOT_WEBHOOK_SECRET": SIGNING, "VOICEBOT_WEBHOOK_PRIVATE": "127.0.0.1"}
ORIGIN = "https://voice.example.com"
CALL = {"CallSid": "CA" + "1" * 32, "From": "+15550123456", "To": "+15550100000", "CallStatus": "ringing"}


class Visit(Observations):
    name: str = ask("the caller's full name")


SHELF = FlowShelf(
    {
        "visit": load_flow(
            "visit", Flow(goal="g", observations=Visit, phases=[Phase("reception", instructions="Greet.")])
        )
    }
)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In an empty folder, without any variable of the developer's."""
    for field in Settings.model_fields.values():
        monkeypatch.delenv(str(field.validation_alias), raising=False)
    monkeypatch.chdir(tmp_path)


def settings(folder: Path, **changed: object) -> Settings:
    return read_settings(
        None,
        **{
            "OPENAI_API_KEY": "sk-canary",
            "VOICEBOT_REALTIME_URL": "ws://127.0.0.1:9/v1/realtime",
            "TWILIO_AUTH_TOKEN": "auth-token",
            "VOICEBOT_PUBLIC_URL": ORIGIN,
            "VOICEBOT_STORE": f"sqlite:///{folder}/data/calls.db",
        }
        | changed,
    )


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    async with TestClient(TestServer(app)) as client:
        yield client


async def dial(client: TestClient[web.Request, web.Application], path: str = "/twilio/voice") -> str:
    signature = RequestValidator("auth-token").compute_signature(ORIGIN + path, CALL)
    async with client.post(path, data=CALL, headers={"X-Twilio-Signature": signature}) as answer:
        return await answer.text()


@pytest.mark.parametrize("missing", ["TWILIO_AUTH_TOKEN", "VOICEBOT_PUBLIC_URL"])
async def test_missing_setting_opens_nothing(tmp_path: Path, missing: str) -> None:
    with pytest.raises(SettingsError, match=f"^{missing}: "):
        await create_app(settings(tmp_path, **{missing: ""}), shelf=SHELF)
    assert os.listdir(tmp_path) == []


async def test_missing_flow_folder_opens_nothing(tmp_path: Path) -> None:
    with pytest.raises(FlowError, match="VOICEBOT_FLOWS"):
        await create_app(settings(tmp_path, VOICEBOT_FLOWS=str(tmp_path / "none")))
    assert os.listdir(tmp_path) == []


async def test_store_that_cannot_be_opened_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StoreError, match=r"folder\.db"):
        await create_app(settings(tmp_path, VOICEBOT_STORE=f"sqlite:///{tmp_path}/folder.db"), shelf=SHELF)


async def test_broken_flow_is_logged_and_the_others_serve(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    flows = tmp_path / "flows"
    flows.mkdir()
    (flows / "broken.py").write_text("flow = (")
    (flows / "visit.py").write_text(
        "from voicebot.flow import Flow, Observations, Phase, ask\n"
        "class Visit(Observations):\n    name: str = ask('the name')\n"
        "flow = Flow(goal='g', observations=Visit, phases=[Phase('reception', instructions='Greet.')])\n"
    )
    async with serving(await create_app(settings(tmp_path, VOICEBOT_FLOWS=str(flows)))) as client:
        assert "<Connect" in await dial(client)
    assert [record.levelname for record in caplog.records if "broken.py:1" in record.getMessage()] == ["ERROR"]


async def test_flow_that_a_setting_names_in_vain_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    chosen = settings(
        tmp_path, VOICEBOT_DEFAULT_FLOW="nosuch", VOICEBOT_NUMBERS="+15550100=visit,+15550101=gone,+15550102=gone"
    )
    async with serving(await create_app(chosen, shelf=SHELF)):
        pass
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert [re.search(r"names '(\w+)'", error)[1] for error in errors] == ["gone", "nosuch"]  # type: ignore[index]


async def test_end_closes_and_reports_everything(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    app = await create_app(chosen, shelf=SHELF)
    async with serving(app) as client:
        await dial(client)
        assert app[CALLS].count == 1
    assert app[CALLS].count == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("store-")] == []
    store = await open_store(chosen.store)
    try:
        report = await store.report(CALL["CallSid"])
        assert report is not None
        assert json.loads(report)["data"]["ended_reason"] == "shutdown"
    finally:
        await store.close()


async def test_report_goes_to_the_receiver_by_itself(tmp_path: Path) -> None:
    async with CrmSink(SIGNING) as crm:
        chosen = settings(tmp_path, **TO_CRM, VOICEBOT_WEBHOOK_URL=crm.url)
        app = await create_app(chosen, shelf=SHELF)
        async with serving(app) as client:
            await dial(client)
            await dial(client, "/twilio/after")
            (received,) = await crm.wait_for_reports(1, timeout_s=10)
    assert received.problem is None
    assert received.payload is not None and received.payload["type"] == "call.completed"


def with_receiver(url: str) -> FlowShelf:
    """A flow that tells a receiver of its own how its calls begin and end."""

    def short(event: Mapping[str, Any]) -> dict[str, Any]:
        return {"kind": event["type"], "call": event["data"]["call_sid"]}

    receiver = Receiver(
        "wall", url=url, events=["call.started", "call.completed"], body=short, secret="wall", bearer="wall_token"
    )
    phases = [Phase("reception", instructions="Greet.")]
    flow = Flow(goal="g", observations=Visit, phases=phases, report=Report(receivers=[receiver]))
    return FlowShelf({"visit": load_flow("visit", flow)})


async def test_receiver_of_the_flow_is_told_beside_the_default_one(tmp_path: Path) -> None:
    own = "whsec_" + "b3duIHNlY3JldCBvZiB0aGUgd2FsbCBpbiB0ZXN0cw=="
    async with CrmSink(SIGNING) as crm, CrmSink(own) as wall:
        chosen = settings(
            tmp_path,
            **TO_CRM,
            VOICEBOT_WEBHOOK_URL=crm.url,
            VOICEBOT_RECEIVER_SECRETS=f"wall={own},wall_token=canary-token",
        )
        async with serving(await create_app(chosen, shelf=with_receiver(wall.url))) as client:
            await dial(client)
            await dial(client, "/twilio/after")
            await crm.wait_for_reports(1, timeout_s=10)
            told = await wall.wait_for_reports(2, timeout_s=10)
    assert [one.payload and one.payload["type"] for one in crm.received] == ["call.completed"]
    assert all(one.verified for one in told)
    assert sorted(str(one.payload and one.payload["kind"]) for one in told) == ["call.completed", "call.started"]


@pytest.mark.parametrize(("keys", "missing"), [("wall=whsec_" + "c2Vj" * 10, "wall_token"), ("wall_token=x", "wall")])
async def test_key_that_a_receiver_lacks_stops_the_start(tmp_path: Path, keys: str, missing: str) -> None:
    chosen = settings(tmp_path, VOICEBOT_RECEIVER_SECRETS=keys)
    with pytest.raises(SettingsError, match=rf"VOICEBOT_RECEIVER_SECRETS: has no '{missing}', .* flow 'visit'"):
        await create_app(chosen, shelf=with_receiver("https://wall.example"))
    assert not (tmp_path / "data").exists()


async def test_private_receiver_is_refused_unless_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = asyncio.Event()

    def notice(record: logging.LogRecord) -> bool:
        if "127.0.0.1 is no public address; VOICEBOT_WEBHOOK_PRIVATE may allow it" in record.getMessage():
            refused.set()
        return True

    monkeypatch.setattr(logging.getLogger("voicebot.delivery.worker"), "filters", [notice])
    async with CrmSink(SIGNING) as crm:
        chosen = settings(tmp_path, VOICEBOT_WEBHOOK_SECRET=SIGNING, VOICEBOT_WEBHOOK_URL=crm.url)
        async with serving(await create_app(chosen, shelf=SHELF)) as client:
            await dial(client)
            await dial(client, "/twilio/after")
            async with asyncio.timeout(30):
                await refused.wait()
        assert crm.received == []


async def test_report_that_one_process_left_another_delivers(tmp_path: Path) -> None:
    clock = WallClock(utc_now())
    async with CrmSink(SIGNING, wall=clock, answers=[CrmAnswer(503)]) as crm:
        chosen = settings(tmp_path, **TO_CRM, VOICEBOT_WEBHOOK_URL=crm.url)
        async with serving(await create_app(chosen, shelf=SHELF, wall=clock)) as client:
            await dial(client)
            await dial(client, "/twilio/after")
            await crm.wait_for(1, timeout_s=10)
        clock.advance(60)
        async with serving(await create_app(chosen, shelf=SHELF, wall=clock)):
            await crm.wait_for_reports(1, timeout_s=10)
    assert len({received.webhook_id for received in crm.received}) == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/calls/CA1/report", 401),
        ("POST", "/twilio/voice", 403),
        ("POST", "/twilio/after", 403),
        ("POST", "/twilio/status", 403),
        ("POST", "/twilio/stream-status", 403),
        ("GET", "/twilio/media", 403),
        ("GET", "/", 404),
        ("GET", "/twilio", 404),
        ("GET", "/twilio/voice", 405),
    ],
)
async def test_routes_are_the_documented_ones(tmp_path: Path, method: str, path: str, status: int) -> None:
    app = await create_app(settings(tmp_path), shelf=SHELF)
    async with serving(app) as client, client.request(method, path) as answer:
        assert answer.status == status
        assert "Traceback" not in await answer.text()


async def test_bodies_are_bounded(tmp_path: Path) -> None:
    async with serving(await create_app(settings(tmp_path), shelf=SHELF)) as client:
        form = {"X": "x" * MAX_BODY_BYTES}
        async with client.post("/twilio/voice", data=form, headers={"X-Twilio-Signature": "x"}) as answer:
            assert answer.status == 413


@pytest.mark.parametrize(("token", "status"), [("", 401), ("a token", 404)])
async def test_reports_are_open_to_the_token_alone(tmp_path: Path, token: str, status: int) -> None:
    app = await create_app(settings(tmp_path, VOICEBOT_API_TOKEN=token), shelf=SHELF)
    headers = {"Authorization": f"Bearer {token}"}
    async with serving(app) as client, client.get("/calls/CA1/report", headers=headers) as answer:
        assert answer.status == status


async def test_stream_secret_is_kept_beside_the_store(tmp_path: Path) -> None:
    async with serving(await create_app(settings(tmp_path), shelf=SHELF)):
        assert (tmp_path / "data" / "secret").stat().st_mode & 0o777 == 0o600
    kept = (tmp_path / "data" / "secret").read_bytes()
    async with serving(await create_app(settings(tmp_path), shelf=SHELF)):
        assert (tmp_path / "data" / "secret").read_bytes() == kept


def test_time_of_day_is_aware() -> None:
    assert utc_now().utcoffset() is not None
