"""`voicebot deliveries`: what it shows of the outbox, and what it has sent again."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from tests.store.store_samples import START, opened
from voicebot.cli import main
from voicebot.settings import Settings
from voicebot.store.contract import Delivery, NewDelivery
from voicebot.store.sqlite import SqliteStore

SECRET = "whsec_" + base64.b64encode(b"canary of the signing secret").decode()
BODY = '{"type":"call.completed","timestamp":"2026-03-01T12:00:00Z","data":{"caller":"Zoë"}}'
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command beside a store with one delivery of each state."""
    for field in Settings.model_fields.values():
        monkeypatch.delenv(str(field.validation_alias), raising=False)
    monkeypatch.chdir(tmp_path)
    asyncio.run(_fill(tmp_path))

    def command(*arguments: str, **variables: str) -> tuple[int, str, str]:
        with monkeypatch.context() as here, pytest.raises(SystemExit) as ended:
            here.setattr("sys.argv", ["voicebot", "deliveries", *arguments])
            for name, value in variables.items():
                here.setenv(name, value)
            main()
        shown = capsys.readouterr()
        return ended.value.code if isinstance(ended.value.code, int) else 0, shown.out, shown.err

    return command


async def _fill(folder: Path) -> None:
    store = await SqliteStore.open(folder / "data" / "voicebot.db")
    for name in ("pending", "delivered", "dead", "disabled"):
        new = NewDelivery(f"msg_{name}", f"https://{name}.example/in", BODY, "crm", "hubspot")
        await opened(store, f"CA-{name}")
        await store.finish(f"CA-{name}", "{}", [new], attempt=1, ended=START)
    await store.delivered("msg_delivered", START, 202)
    await store.failed("msg_dead", START, "answered 500", attempt=1, next_at=None)
    await store.failed("msg_disabled", START, "answered 410", attempt=1, next_at=None, disable=True)
    await store.close()


def kept(folder: Path) -> dict[str, Delivery]:
    async def read() -> list[Delivery]:
        store = await SqliteStore.open(folder / "data" / "voicebot.db")
        try:
            return await store.deliveries(1000)
        finally:
            await store.close()

    return {one.webhook_id: one for one in asyncio.run(read())}


# ---- list -----------------------------------------------------------------------------------------------------------


def test_list_shows_state_and_last_outcome(run: Run) -> None:
    code, out, _ = run("list")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert set(lines) == {"msg_pending", "msg_delivered", "msg_dead", "msg_disabled"}
    assert lines["msg_dead"].endswith("dead        1 of 10  CA-dead  dead.example  answered 500")
    assert lines["msg_delivered"].endswith("delivered.example  answered 202")
    assert lines["msg_pending"].endswith("pending     0 of 10  CA-pending  pending.example")


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (("--state", "dead"), {"msg_dead"}),
        (("--call", "CA-pending"), {"msg_pending"}),
        (("--call", "CA-pending", "--state", "dead"), set()),
        (("--call", "CA-nobody"), set()),
    ],
)
def test_list_is_filtered_by_state_and_call(run: Run, options: tuple[str, ...], ids: set[str]) -> None:
    code, out, _ = run("list", "--json", *options)
    assert (code, {one["id"] for one in json.loads(out)}) == (0, ids)


def test_list_prints_json_for_scripts(run: Run) -> None:
    (dead,) = json.loads(run("list", "--state", "dead", "--json")[1])
    assert dead == {
        "id": "msg_dead",
        "call_sid": "CA-dead",
        "url": "https://dead.example/in",
        "state": "dead",
        "attempts": 1,
        "created": START.isoformat(),
        "due": None,
        "tried": START.isoformat(),
        "status": None,
        "reason": "answered 500",
        "secret": "crm",
        "bearer": "hubspot",
    }


def test_list_says_that_there_may_be_more(run: Run) -> None:
    code, out, err = run("list", "--limit", "2")
    assert (code, len(out.splitlines())) == (0, 2)
    assert "--limit shows more" in err


# ---- show -----------------------------------------------------------------------------------------------------------


def test_show_has_headers_body_and_outcome_but_no_token(run: Run) -> None:
    code, out, _ = run("show", "msg_dead", VOICEBOT_RECEIVER_SECRETS=f"crm={SECRET},hubspot=canary-token")
    assert code == 0
    assert "https://dead.example/in" in out
    assert "state     dead, 1 of 10 attempts made" in out
    assert "2026-03-01 12:00:00 UTC: answered 500" in out
    assert "webhook-id: msg_dead" in out and "webhook-signature: v1," in out
    assert "Authorization: Bearer …" in out
    assert '"caller": "Zoë"' in out
    assert "canary" not in out and SECRET not in out


def test_show_says_what_keeps_it_from_being_sent(run: Run) -> None:
    code, out, _ = run("show", "msg_dead")
    assert code == 0
    assert "cannot be sent: no secret is set as 'crm' in VOICEBOT_RECEIVER_SECRETS to sign it with" in out


def test_show_in_json_can_be_verified(run: Run) -> None:
    out = run("show", "msg_dead", "--json", VOICEBOT_RECEIVER_SECRETS=f"crm={SECRET},hubspot=canary-token")[1]
    shown = json.loads(out)
    assert shown["body"] == BODY and shown["problem"] is None
    assert Webhook(SECRET).verify(shown["body"], shown["headers"])["type"] == "call.completed"
    assert "canary" not in out


@pytest.mark.parametrize("command", [("show", "msg_gone"), ("retry", "msg_gone"), ("retry", "msg_dead", "msg_gone")])
def test_unknown_id_is_exit_code_2_and_changes_nothing(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    before = kept(tmp_path)
    code, out, err = run(*command)
    assert (code, out, err) == (2, "", "voicebot: there is no delivery msg_gone\n")
    assert kept(tmp_path) == before


# ---- retry ----------------------------------------------------------------------------------------------------------


def test_retry_sends_the_named_ones_again(run: Run, tmp_path: Path) -> None:
    before = datetime.now(UTC)
    code, out, err = run("retry", "msg_dead", "msg_disabled", "msg_dead")
    assert (code, out, err) == (0, "msg_dead\nmsg_disabled\n", "2 will be sent again\n")
    found = kept(tmp_path)
    for name in ("msg_dead", "msg_disabled"):
        assert (found[name].state, found[name].attempts) == ("pending", 0)
        due = found[name].due
        assert due is not None and due >= before.replace(microsecond=0)
    assert found["msg_delivered"].state == "delivered"


def test_retry_of_all_dead_leaves_the_others(run: Run, tmp_path: Path) -> None:
    code, out, err = run("retry", "--all-dead")
    assert (code, out, err) == (0, "msg_dead\n", "1 will be sent again\n")
    states = {name: one.state for name, one in kept(tmp_path).items()}
    assert (states["msg_dead"], states["msg_disabled"]) == ("pending", "disabled")
    assert run("retry", "--all-dead")[1:] == ("", "0 will be sent again\n")


@pytest.mark.parametrize("arguments", [(), ("msg_dead", "--all-dead")])
def test_retry_wants_ids_or_all_dead(run: Run, arguments: tuple[str, ...]) -> None:
    code, _, err = run("retry", *arguments)
    assert code == 2
    assert "name deliveries by their ids, or give --all-dead" in err
