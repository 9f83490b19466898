"""Everything that reads what others wrote, as functions of bytes: each raises what it declares, and nothing else.

A target takes any bytes, hands them to its parser, and swallows the declared errors alone; whatever else comes out is a
defect. `seeds` are well-formed inputs, from which fuzzers begin.
"""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from multidict import MultiDict

from voicebot.call.entries import read_entry
from voicebot.errors import (
    FlowError,
    JournalError,
    MediaStreamError,
    RealtimeEventError,
    RefusedRequestError,
    ScenarioError,
    SettingsError,
    StoreError,
)
from voicebot.flow.alone import flow_alone
from voicebot.flow.loader import load_folder
from voicebot.observe.redaction import one_line
from voicebot.realtime import server_events
from voicebot.server.proxies import Proxies, read_address
from voicebot.settings import read_settings
from voicebot.sim.realtime_schema import load, read
from voicebot.sim.realtime_wire import Refused
from voicebot.sim.scenario_yaml import read_yaml
from voicebot.store.sqlite import SqliteStore
from voicebot.telephony import media_streams, tokens
from voicebot.telephony.signatures import SignatureChecker

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "tests" / "samples"
ORIGIN = "https://voice.example.com"
CALL_SID = "CA" + "0" * 32
NOW = 1_790_000_000
SECRET = b"the secret of stream tokens"
VARIABLES = (
    *("VOICEBOT_PUBLIC_URL", "VOICEBOT_REALTIME_URL", "VOICEBOT_STORE", "VOICEBOT_NUMBERS", "VOICEBOT_WEBHOOK_URL"),
    *("VOICEBOT_WEBHOOK_SECRET", "VOICEBOT_WEBHOOK_EVENTS", "VOICEBOT_WEBHOOK_PRIVATE", "VOICEBOT_RECEIVER_SECRETS"),
    *("VOICEBOT_TRUSTED_PROXIES", "VOICEBOT_OVERFLOW", "VOICEBOT_SHED_LAG_MS", "VOICEBOT_MAX_CALLS"),
    *("VOICEBOT_INSTANCE", "VOICEBOT_SECRET", "VOICEBOT_RETENTION_DAYS", "TWILIO_API_URL", "TWILIO_AUTH_TOKEN"),
)


@dataclass(frozen=True)
class Target:
    """One parser. `is_slow`: an example takes milliseconds."""

    name: str
    feed: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    is_slow: bool = False


def _text(data: bytes) -> str:
    """Any text, lone surrogates and all."""
    return data.decode("utf-8", "surrogatepass" if b"\xed" in data else "replace") if _decodes(data) else repr(data)


def _decodes(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def _files(folder: str, pattern: str = "*.json") -> list[bytes]:
    return [path.read_bytes() for path in sorted((SAMPLES / folder).glob(pattern))]


# ---- the telephone line ---------------------------------------------------------------------------------------------


def media_stream(data: bytes) -> None:
    for stream_sid in (None, "MZ" + "1" * 32):
        try:
            media_streams.parse(_text(data), stream_sid)
        except MediaStreamError as exc:
            assert len(str(exc)) < 300


_CHECKER = SignatureChecker(["auth-token", "another"], ORIGIN)


def webhook(data: bytes) -> None:
    """A path, a signature and a form, a line each."""
    path, signature, form = [*_text(data).split("\n", 2), "", ""][:3]
    try:
        fields = MultiDict(parse_qsl(form, keep_blank_values=True, max_num_fields=2000))
    except ValueError:
        return
    try:
        _CHECKER.check_webhook(path, fields, signature)
    except RefusedRequestError as exc:
        one_line(str(exc)).encode()
    try:
        _CHECKER.check_handshake(path, signature or None)
    except RefusedRequestError as exc:
        one_line(str(exc)).encode()


def _webhook_seeds() -> list[bytes]:
    return [
        b"/twilio/voice\nAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n" + urlencode(json.loads(form)).encode()
        for form in _files("twilio_webhooks")
        if isinstance(json.loads(form), dict) and all(isinstance(value, str) for value in json.loads(form).values())
    ] or [b"/twilio/voice\nAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nCallSid=" + CALL_SID.encode()]


def stream_token(data: bytes) -> None:
    try:
        claim = tokens.verify(SECRET, _text(data), CALL_SID, NOW)
    except RefusedRequestError:
        return
    assert tokens.mint(SECRET, CALL_SID, claim.attempt, claim.issued_at) == _text(data)


def forwarded(data: bytes) -> None:
    headers = _text(data).split("\n")
    trusted = Proxies(read_settings(None).trusted_proxies)
    assert trusted.client(read_address("127.0.0.1"), headers) is not None


# ---- the model ------------------------------------------------------------------------------------------------------


def server_event(data: bytes) -> None:
    for text in (data, _text(data)):
        try:
            server_events.parse(text)
        except RealtimeEventError as exc:
            str(exc)


def client_event(data: bytes) -> None:
    try:
        read(load(_text(data)))
    except Refused as exc:
        str(exc)


# ---- what operators and authors write -------------------------------------------------------------------------------


def flow_json(data: bytes) -> None:
    try:
        flow_alone(_text(data))
    except FlowError as exc:
        str(exc)


@cache
def _flow_seeds() -> list[bytes]:
    return [loaded.document.encode() for loaded in load_folder(ROOT / "flows").flows.values()]


def setting(data: bytes) -> None:
    """The number of a variable, and its value."""
    variable, value = VARIABLES[data[0] % len(VARIABLES)] if data else VARIABLES[0], _text(data[1:])
    try:
        str(read_settings(None, **{variable: value}))
    except SettingsError as exc:
        assert exc.variable == variable


def _setting_seeds() -> list[bytes]:
    values = {
        "VOICEBOT_PUBLIC_URL": ORIGIN,
        "VOICEBOT_STORE": "redis+sentinel://user:word@a:1,b:2/mymaster/3",
        "VOICEBOT_NUMBERS": "+15550100=a,+15550101=b",
        "VOICEBOT_WEBHOOK_PRIVATE": "crm.internal,10.0.0.0/8,fd00::/8",
        "VOICEBOT_RECEIVER_SECRETS": "crm=whsec_c2VjcmV0IG9mIHRoZSByZXBvcnRzIGluIHRlc3Rz,hubspot=pat-1",
        "VOICEBOT_TRUSTED_PROXIES": "10.0.0.0/8,::1",
        "VOICEBOT_OVERFLOW": "+15550199199",
        "VOICEBOT_SHED_LAG_MS": "1e2",
    }
    return [bytes([VARIABLES.index(name)]) + value.encode() for name, value in values.items()]


def env_file(data: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".env") as file:
        file.write(data)
        file.flush()
        try:
            read_settings(Path(file.name))
        except SettingsError as exc:
            str(exc)


def scenario(data: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(data)
        file.flush()
        try:
            read_yaml(Path(file.name))
        except ScenarioError as exc:
            str(exc)


_BOMB = b"a: &a [x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (letter, letter, b", ".join([b"*%c" % (letter - 1)] * 8)) for letter in b"bcdefghi"
)


def _scenario_seeds() -> list[bytes]:
    return [
        *(path.read_bytes() for path in sorted((ROOT / "flows").rglob("*.yaml"))),
        b"- name: short\n  flow: visit\n  script:\n    - say: Ada here.\n      bot: Thank you.\n"
        b"  expect:\n    ended: completed\n",
        _BOMB,
    ]


# ---- what the store holds -------------------------------------------------------------------------------------------


def journal_entry(data: bytes) -> None:
    """The kind of an entry, and its body on the next line."""
    kind, _, body = _text(data).partition("\n")
    try:
        read_entry(kind, body)
    except JournalError as exc:
        str(exc)


def _entry_seeds() -> list[bytes]:
    from voicebot.call import entries

    kinds = entries._KINDS
    return [f"{kind}\n".encode() + b"{}" for kind in kinds] + [
        b'call_ended\n{"reason":"completed"}',
        b'call_opened\n{"flow":"a","flow_version":"b","flow_document":"{}","caller":null,"called":null,"direction":"inbound"}',
    ]


def store_file(data: bytes) -> None:
    """Places and bytes that are changed in a small store's file, three of each change."""
    content = bytearray(_store())
    for at in range(0, len(data) - 2, 3):
        content[int.from_bytes(data[at : at + 2], "big") * 7 % len(content)] = data[at + 2]

    async def look(path: Path) -> None:
        store = await SqliteStore.open(path)
        try:
            for record in await store.calls(10):
                for entry in await store.journal(record.call_sid):
                    read_entry(entry.kind, entry.body)
        finally:
            await store.close()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "calls.db"
        path.write_bytes(content)
        try:
            asyncio.run(look(path))
        except StoreError as exc:
            str(exc)


@cache
def _store() -> bytes:
    from datetime import UTC, datetime

    from voicebot.store.contract import CallRecord, StoredEntry

    async def fill(path: Path) -> None:
        store = await SqliteStore.open(path)
        now = datetime(2026, 3, 2, tzinfo=UTC)
        await store.open_call(
            CallRecord(CALL_SID, "visit", "v1", "+15550123456", "+15550100000", "inbound", now, "a-1", 1, NOW),
            max_calls=5,
        )
        entries = [StoredEntry(1, "line_closed", 5, now, '{"reason":"completed"}')]
        await store.append(CALL_SID, entries, attempt=1, durable=True)
        await store.close()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "calls.db"
        asyncio.run(fill(path))
        return path.read_bytes()


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("media stream", media_stream, lambda: _files("twilio", "from_*.json")),
        Target("webhook", webhook, _webhook_seeds),
        Target("stream token", stream_token, lambda: [tokens.mint(SECRET, CALL_SID, 1, NOW).encode()]),
        Target("forwarded", forwarded, lambda: [b"203.0.113.9, 10.0.0.1\n[2001:db8::1]:80, 127.0.0.1"], is_slow=True),
        Target("server event", server_event, lambda: _files("openai_server")),
        Target("client event", client_event, lambda: _files("openai_client")),
        Target("flow JSON", flow_json, _flow_seeds, is_slow=True),
        Target("setting", setting, _setting_seeds, is_slow=True),
        Target(
            "env file", env_file, lambda: [b'VOICEBOT_MODEL="x y" # why\nexport VOICEBOT_MAX_CALLS=5\n'], is_slow=True
        ),
        Target("scenario", scenario, _scenario_seeds, is_slow=True),
        Target("journal entry", journal_entry, _entry_seeds),
        Target("store file", store_file, lambda: [bytes(range(30)), b""], is_slow=True),
    )
}

logging.getLogger("dotenv").setLevel(logging.CRITICAL)  # it comments on each bad line
