"""What `doctor` finds, and `connect` changes, between a whole server and the twins of what it talks to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.short_call import FLOW, SHORT
from tests.sim.virtual_time import virtual
from voicebot.errors import SettingsError, TwilioError
from voicebot.flow.loader import FlowShelf, load_folder
from voicebot.server.connect_number import connect_number
from voicebot.server.doctor import Finding, examine
from voicebot.settings import Settings, read_settings
from voicebot.sim.account import ACCOUNT_SID, AUTH_TOKEN, WEBHOOK_SECRET
from voicebot.sim.realtime_server import API_KEY
from voicebot.sim.stage import OWN_NUMBERS, Stage, stage

OURS = OWN_NUMBERS[0]


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Site:
    """A server at work, and what an operator has set."""

    stage: Stage
    given: dict[str, object]
    flows: Path

    def settings(self, **changes: object) -> Settings:
        return read_settings(None, **(self.given | changes))

    async def findings(self, *, ahead: timedelta = timedelta(0), **changes: object) -> dict[str, list[Finding]]:
        """What the doctor finds, by what it is about."""
        found: dict[str, list[Finding]] = {}
        async for one in examine(self.settings(**changes), self.flows, lambda: now() + ahead):
            found.setdefault(one.about, []).append(one)
        return found


@asynccontextmanager
async def site(tmp_path: Path, text: str = FLOW) -> AsyncIterator[Site]:
    flows = tmp_path / "flows"
    flows.mkdir()
    (flows / "visit.py").write_text(text)
    brain = SHORT.brain()
    shelf = load_folder(flows)
    async with stage(shelf or FlowShelf({}), lambda: brain, default_flow="visit") as made:
        given: dict[str, object] = {
            "OPENAI_API_KEY": API_KEY,
            "VOICEBOT_REALTIME_URL": made.model.url,
            "VOICEBOT_MODEL": "gpt-realtime-2.1",
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "TWILIO_API_URL": made.vendor.url,
            "VOICEBOT_PUBLIC_URL": made.public_url,
            "VOICEBOT_STORE": f"sqlite:///{tmp_path}/data/voicebot.db",
            "VOICEBOT_NUMBERS": f"{OURS}=visit",
            "VOICEBOT_WEBHOOK_URL": made.crm.url,
            "VOICEBOT_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "VOICEBOT_DEFAULT_FLOW": "visit",
        }
        yield Site(made, given, flows)


def levels(found: dict[str, list[Finding]]) -> dict[str, str]:
    worst = {"ok": 0, "warning": 1, "wrong": 2}
    return {about: max((one.level for one in some), key=worst.__getitem__) for about, some in found.items()}


@virtual
async def test_healthy_house_has_nothing_to_mend(tmp_path: Path) -> None:
    async with site(tmp_path) as made:
        await connect_number(made.settings(), OURS, dry_run=False)
        found = await made.findings()
        assert made.stage.book.on_the_line() == []
        assert made.stage.vendor.violations == []
    assert levels(found) == {
        "settings": "ok",
        "keys": "warning",  # the twin's token is no real one
        "data folder": "ok",
        "store": "ok",
        "flows": "ok",
        "model": "ok",
        "public address": "ok",
        "signatures": "ok",
        "clock": "ok",
        "Twilio": "ok",
    }
    assert all(one.mend for some in found.values() for one in some if one.level != "ok")


@pytest.mark.parametrize(
    ("changes", "about", "says"),
    [
        ({"OPENAI_API_KEY": "wrong"}, "model", "no session"),
        ({"VOICEBOT_REALTIME_URL": "ws://127.0.0.1:9/v1/realtime"}, "model", "127.0.0.1:9"),
        ({"TWILIO_AUTH_TOKEN": "0" * 32}, "signatures", "does not believe"),
        ({"TWILIO_AUTH_TOKEN": "0" * 32}, "Twilio", "401"),
        ({"TWILIO_ACCOUNT_SID": "SK1"}, "keys", "TWILIO_ACCOUNT_SID"),
        ({"VOICEBOT_PUBLIC_URL": "http://127.0.0.1:9"}, "public address", "cannot be reached"),
        ({"VOICEBOT_DEFAULT_FLOW": "nosuch"}, "flows", "'nosuch'"),
        ({"VOICEBOT_STORE": "sqlite:////proc/nowhere/voicebot.db"}, "store", "/proc/nowhere"),
        ({"VOICEBOT_STORE": "sqlite:////proc/nowhere/voicebot.db"}, "data folder", "/proc/nowhere"),
        ({"VOICEBOT_DO_NOT_CALL": "/nowhere"}, "settings", "VOICEBOT_DO_NOT_CALL"),
        ({"TWILIO_AUTH_TOKEN": ""}, "settings", "TWILIO_AUTH_TOKEN"),
    ],
)
def test_what_is_wrong_is_found_with_how_to_mend_it(
    changes: dict[str, object], about: str, says: str, tmp_path: Path
) -> None:
    @virtual
    async def play() -> None:
        async with site(tmp_path) as made:
            found = await made.findings(**changes)
        wrong = [one for one in found[about] if one.level == "wrong"]
        assert any(says in one.text for one in wrong), found[about]
        assert all(one.mend for one in wrong)
        assert AUTH_TOKEN not in str(found)

    play()


@virtual
async def test_clock_that_is_off_is_found(tmp_path: Path) -> None:
    async with site(tmp_path) as made:
        [clock] = (await made.findings(ahead=timedelta(minutes=5)))["clock"]
        assert (clock.level, clock.text[:12]) == ("wrong", f"{clock.text.split()[0]} s ahead of"[:12])
        [clock] = (await made.findings(ahead=-timedelta(minutes=5)))["clock"]
        assert "behind" in clock.text


@virtual
async def test_flow_that_is_broken_is_found(tmp_path: Path) -> None:
    async with site(tmp_path) as made:
        (made.flows / "broken.py").write_text("flow = 1 +\n")
        found = await made.findings()
    [broken] = [one for one in found["flows"] if one.level == "wrong"]
    assert "broken.py" in broken.text


TEXTING = """
from voicebot.flow import Flow, Phase, Report, Sms
flow = Flow(goal="Say hello.", phases=[Phase("hello", instructions="Say hello.")], report=Report(sms=Sms("Thank you.")))
"""


@pytest.mark.parametrize(("allowed", "level"), [("", "warning"), ("+1", "ok")])
def test_text_messages_that_would_not_be_sent_are_found(allowed: str, level: str, tmp_path: Path) -> None:
    @virtual
    async def play() -> None:
        async with site(tmp_path, TEXTING) as made:
            found = await made.findings(VOICEBOT_OUTBOUND_ALLOW=allowed)
        assert levels(found)["flows"] == level
        assert ("VOICEBOT_OUTBOUND_ALLOW" in found["flows"][0].mend) is (level == "warning")

    play()


@virtual
async def test_number_that_leads_elsewhere_is_found_and_connected(tmp_path: Path) -> None:
    async with site(tmp_path) as made:
        made.stage.vendor.numbers[OURS]["voice_url"] = "https://old.example.com/voice"
        [finding] = (await made.findings())["Twilio"]
        assert finding.mend == f"voicebot connect {OURS}"
        looked = await connect_number(made.settings(), OURS, dry_run=True)
        assert made.stage.vendor.numbers[OURS] == {"voice_url": "https://old.example.com/voice"}
        done = await connect_number(made.settings(), OURS, dry_run=False)
        assert (looked.before, looked.after) == (done.before, done.after)
        url = made.stage.public_url
        assert list(done.lines()) == [
            OURS,
            f"  voice     https://old.example.com/voice → {url}/twilio/voice",
            f"  fallback  nowhere → {url}/twilio/fallback",
            f"  status    nowhere → {url}/twilio/status",
        ]
        shown = made.stage.vendor.numbers[OURS]
        assert (shown["voice_url"], shown["voice_method"]) == (f"{url}/twilio/voice", "POST")
        again = await connect_number(made.settings(), OURS, dry_run=False)
        assert not again.changes
        assert [one.method for one in made.stage.vendor.requests].count("POST") == 1
        [finding] = (await made.findings())["Twilio"]
        assert finding.level == "ok"


@virtual
async def test_number_of_another_account_is_not_connected(tmp_path: Path) -> None:
    async with site(tmp_path) as made:
        with pytest.raises(TwilioError, match="no number"):
            await connect_number(made.settings(), "+15550100999", dry_run=False)
        with pytest.raises(SettingsError, match="TWILIO_ACCOUNT_SID"):
            await connect_number(made.settings(TWILIO_ACCOUNT_SID=""), OURS, dry_run=False)


def test_finding_is_one_line_with_its_mending() -> None:
    finding = Finding("store", "wrong", "it is full", "free some space")
    assert str(finding) == "wrong    store: it is full (free some space)"
    assert json.loads(json.dumps(finding.as_json()))["mend"] == "free some space"
