"""`voicebot call`, `connect` and `doctor` as they are typed, with a server and its twins beside them."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.short_call import FLOW, SHORT
from tests.test_cli import Run, run
from voicebot.flow.loader import load_folder
from voicebot.sim.account import ACCOUNT_SID, AUTH_TOKEN, WEBHOOK_SECRET
from voicebot.sim.callee import Callee
from voicebot.sim.realtime_server import API_KEY
from voicebot.sim.stage import OWN_NUMBERS, Stage, stage

__all__ = ["run"]


@pytest.fixture(autouse=True)
def _no_lines_of_others() -> Iterator[None]:
    """The server in a thread logs what is no line of the command's."""
    root = logging.getLogger()
    before, root.handlers = root.handlers[:], [logging.NullHandler()]
    yield
    root.handlers = before


TOKEN = "the server's own API token"
OURS, ADA = OWN_NUMBERS[0], "+15550123456"
LIMIT_S = 60.0


@contextmanager
def server(tmp_path: Path) -> Iterator[tuple[Stage, dict[str, str]]]:
    """A server in a thread of its own, and the variables of whoever has set it up."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "visit.py").write_text(FLOW)
    made: list[Stage] = []
    up, over, loops = threading.Event(), asyncio.Event(), list[asyncio.AbstractEventLoop]()
    given = {"VOICEBOT_API_TOKEN": TOKEN, "VOICEBOT_OUTBOUND_ALLOW": "+1555"}

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        brain = SHORT.brain()
        about = {"default_flow": "visit", "settings": given, "callees": {ADA: Callee("busy", ring_s=0.3)}}
        async with stage(load_folder(tmp_path / "flows"), lambda: brain, **about) as on_stage:  # type: ignore[arg-type]
            made.append(on_stage)
            up.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert up.wait(LIMIT_S)
        yield (
            made[0],
            {
                **given,
                "OPENAI_API_KEY": API_KEY,
                "VOICEBOT_REALTIME_URL": made[0].model.url,
                "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
                "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
                "TWILIO_API_URL": made[0].vendor.url,
                "VOICEBOT_PUBLIC_URL": made[0].public_url,
                "VOICEBOT_STORE": f"sqlite:///{tmp_path}/data/voicebot.db",
                "VOICEBOT_WEBHOOK_URL": made[0].crm.url,
                "VOICEBOT_WEBHOOK_SECRET": WEBHOOK_SECRET,
                "VOICEBOT_FLOWS": str(tmp_path / "flows"),
            },
        )
    finally:
        loops[0].call_soon_threadsafe(over.set)
        thread.join(LIMIT_S)


def test_call_is_placed_and_followed(run: Run, tmp_path: Path) -> None:
    with server(tmp_path) as (made, given):
        where = ("--server", made.public_url)
        done = run("call", ADA, "visit", "--from", OURS, "--var", "order=A 17", *where, **given)
        assert done.code == 1
        assert done.out.splitlines()[-1].startswith("ended: busy, CA")
        [placed] = made.switchboard.placed
        assert (placed.to, placed.from_) == (ADA, OURS)
        refused = run("call", "+390612345678", "visit", "--from", OURS, *where, **given)
        assert refused.code == 2
        assert "VOICEBOT_OUTBOUND_ALLOW" in refused.err
        assert run("call", ADA, "visit", *where, VOICEBOT_API_TOKEN="").code == 2


def test_variable_without_a_value_is_refused(run: Run) -> None:
    done = run("call", ADA, "visit", "--var", "order")
    assert done.code == 2
    assert "--var" in done.err


def test_number_is_connected(run: Run, tmp_path: Path) -> None:
    with server(tmp_path) as (made, given):
        looked = run("connect", OURS, "--dry-run", **given)
        assert looked.code == 0
        assert looked.err == "nothing was changed\n"
        assert made.vendor.numbers[OURS] == {}
        done = run("connect", OURS, **given)
        assert (done.code, done.out) == (0, looked.out)
        assert f"nowhere → {made.public_url}/twilio/voice" in done.out
        assert run("connect", "+15550100999", **given).code == 2


def test_doctor_tells_people_and_scripts(run: Run, tmp_path: Path) -> None:
    with server(tmp_path) as (_, given):
        assert run("connect", OURS, **given).code == 0
        well = run("doctor", **given)
        assert well.code == 0
        assert "ok       signatures: what Twilio signs is believed\n" in well.out
        ill = run("doctor", "--json", **(given | {"OPENAI_API_KEY": "wrong"}))
        assert ill.code == 1
        [model] = [one for one in json.loads(ill.out)["findings"] if one["about"] == "model"]
        assert (model["level"], bool(model["mend"])) == ("wrong", True)


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_doctor_names_a_setting_that_is_wrong(run: Run, form: tuple[str, ...]) -> None:
    done = run("doctor", *form, VOICEBOT_CODEC="opus")
    assert done.code == 1
    assert "VOICEBOT_CODEC" in done.out
