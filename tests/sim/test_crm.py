"""The CRM sink: what it proves, what it books, and how it misbehaves."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from standardwebhooks import Webhook
from yarl import URL

from voicebot.sim.clock import run_virtual, wall_clock
from voicebot.sim.crm import CrmAnswer, CrmSink

VECTOR = json.loads((Path(__file__).parents[1] / "samples" / "standard_webhooks" / "vector.json").read_text())
SECRET = VECTOR["secret"]
REPORT = json.dumps({"type": "call.completed", "timestamp": "2026-11-22T06:30:00Z", "data": {"name": "Ada"}}).encode()


def signed(
    webhook_id: str, body: bytes = REPORT, *, at: datetime | None = None, secret: str = SECRET
) -> dict[str, str]:
    at = at or datetime.now(UTC)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, at, body.decode()),
        "content-type": "application/json",
    }


async def post(sink: CrmSink, headers: dict[str, str], body: bytes = REPORT) -> int:
    async with (
        asyncio.timeout(5),
        aiohttp.ClientSession() as session,
        session.post(sink.url, data=body, headers=headers, allow_redirects=False) as response,
    ):
        return response.status


async def test_signed_report_is_verified_and_booked() -> None:
    async with CrmSink(SECRET) as sink:
        assert await post(sink, signed("msg_1")) == 200
        (received,) = await sink.wait_for(1, timeout_s=5)
    assert (received.webhook_id, received.body, received.verified) == ("msg_1", REPORT, True)
    assert (received.problem, received.status) == (None, 200)
    assert received.payload is not None and received.payload["data"] == {"name": "Ada"}


async def test_rotated_secrets_are_accepted_side_by_side() -> None:
    async with CrmSink(SECRET) as sink:
        headers, old = signed("msg_1"), signed("msg_1", secret="whsec_" + "A" * 32)
        headers["webhook-signature"] = f"{old['webhook-signature']} {headers['webhook-signature']}"
        assert await post(sink, headers) == 200


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_2"},
        {"webhook-id": ""},
        {"webhook-timestamp": "0"},
        {"webhook-timestamp": "soon"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "nonsense"},
        {"webhook-signature": "v1,not-base64"},
        {"webhook-signature": "v1a,AAAA"},
    ],
)
@pytest.mark.parametrize("by_own_clock", [False, True])
async def test_unproven_request_is_refused_and_not_booked(change: dict[str, str], by_own_clock: bool) -> None:
    async with CrmSink(SECRET, wall=(lambda: datetime.now(UTC)) if by_own_clock else None) as sink:
        assert await post(sink, signed("msg_1") | change) == 401
        assert not sink.received[0].verified
        assert sink.received[0].problem
        assert sink.reports() == []


async def test_changed_body_is_refused() -> None:
    async with CrmSink(SECRET) as sink:
        assert await post(sink, signed("msg_1"), REPORT + b" ") == 401


@pytest.mark.parametrize(
    ("webhook_id", "body", "problem"),
    [
        ("msg.1", REPORT, "dot"),
        ("msg_1", b"hello", "not a JSON object"),
        ("msg_1", b"[]", "not a JSON object"),
        ("msg_1", b'{"type": "call completed", "timestamp": "x", "data": {}}', "type is"),
        ("msg_1", b'{"type": "call.completed", "data": {}}', "lacks timestamp"),
        ("msg_1", REPORT[:-1] + b',"x":"' + b"y" * 20_000 + b'"}', "bytes"),
    ],
)
async def test_malformed_report_is_told_though_signed(webhook_id: str, body: bytes, problem: str) -> None:
    async with CrmSink(SECRET) as sink:
        await post(sink, signed(webhook_id, body), body)
        assert sink.received[0].verified
        assert problem in (sink.received[0].problem or "")


async def test_wrong_content_type_is_told() -> None:
    async with CrmSink(SECRET) as sink:
        await post(sink, signed("msg_1") | {"content-type": "text/plain"})
        assert sink.received[0].problem == "content type is text/plain"


async def test_repeated_report_is_booked_once() -> None:
    async with CrmSink(SECRET, answers=[CrmAnswer(500)]) as sink:
        assert [await post(sink, signed(webhook_id)) for webhook_id in ("a", "a", "b", "a")] == [500, 200, 200, 200]
        assert len(sink.received) == 4
        assert [one.webhook_id for one in sink.reports()] == ["a", "b"]


async def test_recovered_sink_forgets_its_script() -> None:
    async with CrmSink(SECRET, answers=[CrmAnswer(500)] * 9) as sink:
        assert await post(sink, signed("a")) == 500
        sink.recover()
        assert await post(sink, signed("a")) == 200


async def test_answers_follow_the_script() -> None:
    async with CrmSink(SECRET, answers=[CrmAnswer(503, retry_after="7")]) as sink:
        sink.answer_with(CrmAnswer(302, location="/elsewhere"), CrmAnswer(410))
        async with aiohttp.ClientSession() as session:
            answers = []
            for _ in range(3):
                async with session.post(sink.url, data=REPORT, headers=signed("a"), allow_redirects=False) as response:
                    answers.append((response.status, dict(response.headers)))
        assert [status for status, _ in answers] == [503, 302, 410]
        assert answers[0][1]["Retry-After"] == "7"
        assert answers[1][1]["Location"] == "/elsewhere"


async def test_followed_redirect_is_seen() -> None:
    async with (
        CrmSink(SECRET, answers=[CrmAnswer(307, location="/elsewhere")]) as sink,
        aiohttp.ClientSession() as session,
        session.post(sink.url, data=REPORT, headers=signed("a")),
    ):
        assert [one.path for one in sink.received] == ["/reports", "/elsewhere"]


async def test_reset_breaks_the_connection_after_the_request() -> None:
    async with CrmSink(SECRET, answers=[CrmAnswer(reset=True)]) as sink:
        with pytest.raises(aiohttp.ClientConnectionError):
            await post(sink, signed("a"))
        assert [one.status for one in sink.received] == [None]
        assert await post(sink, signed("a")) == 200


def test_hanging_request_lasts_until_the_sink_goes() -> None:
    async def main() -> None:
        async with CrmSink(SECRET, answers=[CrmAnswer(hang=True)]) as sink:
            with pytest.raises(TimeoutError):
                await post(sink, signed("a"))
            assert sink.reports() == []

    run_virtual(main())


def test_slow_answer_comes_in_its_time() -> None:
    async def main() -> float:
        async with CrmSink(SECRET, answers=[CrmAnswer(delay_s=3)]) as sink:
            assert await post(sink, signed("a")) == 200
            return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(3)


def test_freshness_is_judged_by_the_given_clock() -> None:
    start = datetime(2030, 1, 1, tzinfo=UTC)

    async def main() -> list[int]:
        wall = wall_clock(start)
        async with CrmSink(SECRET, wall=wall) as sink:
            offsets = (timedelta(0), timedelta(minutes=4), timedelta(minutes=-6), timedelta(minutes=6))
            return [await post(sink, signed("a", at=wall() + offset)) for offset in offsets]

    assert run_virtual(main()) == [200, 200, 401, 401]


async def test_waiting_for_too_few_reports_times_out() -> None:
    async with CrmSink(SECRET, answers=[CrmAnswer(500)]) as sink:
        await post(sink, signed("a"))
        assert len(await sink.wait_for(1, timeout_s=5)) == 1
        with pytest.raises(TimeoutError):
            await sink.wait_for_reports(1, timeout_s=0.01)


async def test_waiting_ends_when_the_report_comes() -> None:
    async with CrmSink(SECRET) as sink, asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(sink.wait_for_reports(1, timeout_s=5))
        await post(sink, signed("a"))
        assert [one.webhook_id for one in await waiting] == ["a"]


def test_sink_has_no_address_before_it_is_up() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        _ = CrmSink(SECRET).url


async def test_idle_connections_are_closed_and_others_taken() -> None:
    async with CrmSink(SECRET) as sink, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(sink.url).port)
        writer.write(b"POST /reports HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        await reader.readuntil(b"\r\n\r\n")
        sink.close_connections()
        await reader.read()  # to its end
        writer.close()
        assert await post(sink, signed("msg_1")) == 200
