"""The console in a real browser, before a server that a phone calls: what an operator sees, hears and does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from tests.console.at_console import LIMIT_MS, NARROW, WIDE, AtConsole, logged_in
from tests.console.conftest import Open
from voicebot.call.entries import CallOpened, FunctionCalled, kind_of, write_entry
from voicebot.flow import Flow, HangUp, Limits, Observations, Phase, To, ask, it
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.sim.brain import Calls, Says
from voicebot.sim.caller import Listen, Say
from voicebot.sim.crm import CrmAnswer
from voicebot.sim.scenario import Exchange, Expected, Scenario
from voicebot.sim.stage import Stage, stage
from voicebot.store.contract import CallRecord, NewDelivery, StoredEntry

TOKEN, READER = "a-token-of-the-desk", "a-token-that-only-reads"


class Visit(Observations):
    name: str = ask("the caller's full name")
    matter: str = ask("what it is about")


FLOW = Flow(
    goal="Find out who calls, and why.",
    observations=Visit,
    opening="Workshop, good morning.",
    phases=[
        Phase("reception", instructions="Ask who is calling.", observations=[it.name], transitions=[To("matter")]),
        Phase("matter", instructions="Ask what it is about.", observations=[it.matter], transitions=[To("bye")]),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
    limits=Limits(silence=()),  # an operator on a slow machine takes their time
)
SHELF = FlowShelf({"workshop": load_flow("workshop", FLOW)})
TALK = Scenario(
    "talk",
    "workshop",
    (
        Exchange(
            Say("My name is Ada Lovelace."),
            (
                (Calls("record", {"name": {"value": "Ada Lovelace", "quote": "My name is Ada Lovelace"}}),),
                (Says("What is it about?"),),
            ),
        ),
        Exchange(Listen(300_000)),
    ),
    Expected(),
)
CANARY = '<img src=x onerror="window.ran=1"><script>window.ran=2</script>"\'><svg onload=window.ran=3>{{ran}}'


@asynccontextmanager
async def at_console(
    open_browser: Open, folder: Path, *, width: int = WIDE, token: str = TOKEN, crm_answers: tuple[CrmAnswer, ...] = ()
) -> AsyncIterator[AtConsole]:
    """Somebody who has logged in, at a server whose calls go as TALK does."""
    brain = TALK.brain()
    settings: dict[str, object] = {
        "VOICEBOT_API_TOKENS": f"desk=operate:{TOKEN},audit=read:{READER}",
        "VOICEBOT_RECORD": "all",
        "VOICEBOT_STORE": f"sqlite:///{folder}/calls.db",
    }
    async with (
        stage(SHELF, lambda: brain, default_flow="workshop", settings=settings, crm_answers=crm_answers) as on_stage,
        logged_in(open_browser, on_stage.public_url, token, width=width) as operator,
    ):
        yield AtConsole(operator.page, operator.origin, operator.complaints, on_stage=on_stage)


async def test_call_is_seen_steered_heard_and_reported(tmp_path: Path, open_browser: Open) -> None:
    async with (
        at_console(open_browser, tmp_path, crm_answers=(CrmAnswer(status=410),)) as operator,
        asyncio.TaskGroup() as tasks,
    ):
        page = operator.page
        await page.get_by_role("link", name="Calls", exact=True).click()
        await operator.sees(".empty", "Nobody is on the phone")
        phone = operator.on_stage.phone(TALK)
        calling = tasks.create_task(phone.call())
        row = await operator.sees("table.linked tbody tr", TALK.caller_number)
        await row.get_by_role("link").first.click()
        await operator.sees(".badge.live", "live")
        await operator.sees(".lines .caller", "My name is Ada Lovelace.")
        await operator.sees(".lines .bot", "What is it about?")
        await operator.sees(".observations li", "Ada Lovelace")

        await page.get_by_label("Say, word for word").fill("We close in ten minutes.")
        await operator.press("Say")
        await operator.sees(".lines .bot", "We close in ten minutes.")
        await operator.press("Hang up…")
        await operator.press("End it, with a goodbye")
        assert "We close in ten minutes." in [one.text for one in (await calling).bot_said]

        hear = page.locator(".hear").first
        await hear.wait_for(state="visible", timeout=LIMIT_MS)  # the call is over, and was recorded
        assert await page.locator(".operating").is_hidden()
        await hear.click()
        begun = await (await page.wait_for_function(PLAYS, timeout=LIMIT_MS)).json_value()
        await page.wait_for_function(f"() => document.querySelector('audio').currentTime > {begun}", timeout=LIMIT_MS)
        shown = await (await page.request.get(f"{operator.on_stage.public_url}/calls/{phone.call_sid}")).json()
        assert begun * 1000 >= shown["evidence"]["name"]["audio_ms"]

        await page.get_by_role("link", name="Deliveries", exact=True).click()
        await operator.sees(".rows .badge.bad", "disabled")
        await operator.press("Send again")
        await operator.sees(".rows .badge.good", "delivered")
        assert [one.status for one in operator.on_stage.crm.received] == [410, 200]
        await operator.is_at_ease()


PLAYS = "() => { const audio = document.querySelector('audio'); return audio && !audio.paused && audio.currentTime; }"


async def test_what_callers_say_runs_nowhere(tmp_path: Path, open_browser: Open) -> None:
    async with at_console(open_browser, tmp_path) as operator:
        await leave_canaries(operator.on_stage)
        page = operator.page
        await operator.go("")
        await operator.sees(".shares", CANARY)
        await operator.go("/calls")
        await operator.sees("table.linked tbody th", CANARY)
        await page.locator("table.linked tbody a").first.click()
        await operator.sees("h1", CANARY)
        await operator.sees(".lines .caller", CANARY)
        await operator.sees(".observations li", CANARY)
        for tab in ("Audio", "Cost", "Tools", "Deliveries", "Details", "Journal"):
            await page.get_by_role("tab", name=tab).click()
            await operator.sees('[role="tabpanel"]:visible', None if tab in ("Audio", "Cost") else CANARY)
        await operator.go("/deliveries")
        await operator.sees(".rows td", CANARY)
        for path in (f"/calls/{CANARY}", f"/calls?text={CANARY}&flow={CANARY}", f"/{CANARY}"):
            await operator.go(path.replace("%", "%25").replace("#", "%23"))
            await operator.sees("h1")
        assert await page.locator("main img, main script, main [onload], main [onerror]").count() == 0
        operator.complaints[:] = [one for one in operator.complaints if "404" not in one]  # of the call that is none
        await operator.is_at_ease()


async def leave_canaries(on_stage: Stage) -> None:
    """A call over, in whose every word somebody tries to run a script."""
    call_sid, began = "CA" + "f" * 32, on_stage.wall() - timedelta(minutes=2)
    record = CallRecord(call_sid, "workshop", CANARY, CANARY, CANARY, "inbound", began, "gone-000000", 1, 0)
    at = began.isoformat().replace("+00:00", "Z")
    entries = [
        CallOpened(
            flow="workshop",
            flow_version=CANARY,
            flow_document="{}",
            caller=CANARY,
            called=CANARY,
            direction="inbound",
        ),
        FunctionCalled(call_id=CANARY, name=CANARY, arguments=CANARY),
    ]
    journal = [StoredEntry(n, kind_of(one), n, began, write_entry(one)) for n, one in enumerate(entries, 1)]
    quoted = {"kind": "speech", "state": "confirmed", "score": 1.0, "quote": CANARY, "turn": 1, "at": at}
    told = {
        "ended_reason": CANARY,
        "outcome": CANARY,
        "summary": CANARY,
        "variables": {CANARY: CANARY},
        "duration_s": 9.0,
        "phases": [{"name": CANARY, "cause": CANARY, "entered_at": at, "left_at": at}],
        "transcript": [
            {"speaker": "caller", "text": CANARY, "at": at},
            {"speaker": "bot", "text": CANARY, "at": at, "interrupted": True, "unheard": CANARY},
        ],
        "observations": {CANARY: [{CANARY: CANARY}]},
        "observation_status": {CANARY: "filled"},
        "evidence": {CANARY: quoted},
        "tools": [{"tool": CANARY, "ok": True, "took_ms": 1, "at": at}],
        "statements": [{"name": CANARY, "heard": CANARY, "at": at}],
        "judgements": [{"criterion": CANARY, "holds": True, "state": "confirmed", "score": 1.0, "quote": CANARY}],
        "messages": [{"text": CANARY, "to": CANARY, "sid": None, "problem": CANARY, "code": None, "at": at}],
        "problems": [{"kind": CANARY, "text": CANARY, "at": at}],
        "tokens": {"input_audio": 5},
    }
    delivery = NewDelivery("msg_canary", f"http://127.0.0.1:9/{CANARY}", "{}")
    async with on_stage.reading() as store:
        await store.open_call(record, max_calls=10)
        await store.append(call_sid, journal, attempt=1, durable=True)
        await store.finish(call_sid, json.dumps({"data": told}), [delivery], attempt=1, ended=on_stage.wall())


async def test_console_fits_a_phone(tmp_path: Path, open_browser: Open) -> None:
    async with at_console(open_browser, tmp_path, width=NARROW) as operator:
        await leave_canaries(operator.on_stage)
        for path in ("", "/calls", f"/calls/CA{'f' * 32}", "/deliveries"):
            await operator.go(path)
            await operator.sees(".card, .figures")
            assert await operator.page.evaluate("document.documentElement.scrollWidth") <= NARROW


async def test_console_is_used_with_the_keyboard(tmp_path: Path, open_browser: Open) -> None:
    async with at_console(open_browser, tmp_path) as operator:
        await leave_canaries(operator.on_stage)
        page = operator.page
        await operator.go("/calls")
        link = page.locator("table.linked tbody a").first
        await link.focus(timeout=LIMIT_MS)
        await page.keyboard.press("Enter")
        await operator.sees(".lines")
        assert await page.evaluate("document.activeElement.id") == "main"  # where reading goes on
        await page.get_by_role("tab", name="Latency").focus()
        await page.keyboard.press("ArrowRight")
        assert await page.evaluate("document.activeElement.textContent") == "Audio"
        nameless = """() => [...document.querySelectorAll("button, a, input, select, textarea")]
            .filter((one) => !(one.textContent.trim() || one.labels?.length || one.getAttribute("aria-label")))
            .map((one) => one.outerHTML)"""
        assert await page.evaluate(nameless) == []
        assert await page.locator("main").count() == await page.locator("h1").count() == 1


async def test_session_that_is_over_leads_to_the_login(tmp_path: Path, open_browser: Open) -> None:
    async with at_console(open_browser, tmp_path) as operator:
        await operator.press("Log out")
        await operator.sees("h1", "Log in")
        await operator.go("/calls")
        await operator.sees("h1", "Log in")
        await operator.page.get_by_label("API token").fill("a guess")
        await operator.press("Log in")
        await operator.sees("[role=alert]", "This is no token of this server.")


async def test_token_that_only_reads_is_offered_nothing_to_do(tmp_path: Path, open_browser: Open) -> None:
    async with at_console(open_browser, tmp_path, token=READER) as operator, asyncio.TaskGroup() as tasks:
        await leave_canaries(operator.on_stage)
        phone = operator.on_stage.phone(TALK)
        calling = tasks.create_task(phone.call())
        await operator.sees(".who", "read")
        await operator.go("/calls")
        row = await operator.sees("table.linked tbody tr", TALK.caller_number)
        await row.get_by_role("link").first.click()
        await operator.sees(".lines .bot", "What is it about?")
        assert await operator.page.locator(".operating").count() == 0
        await operator.go("/deliveries")
        await operator.sees(".rows td", CANARY)
        assert await operator.page.get_by_role("button", name="Send again").count() == 0
        await operator.go("/flows/workshop")
        await operator.sees("svg.flow-graph")
        assert await operator.page.get_by_role("link", name="Talk with it").count() == 0
        calling.cancel()
        await operator.is_at_ease()
