"""What is missing or wrong before anybody calls, and how to mend it: what `voicebot doctor` does.

Every examination looks at one thing as a call would use it, and none begins a call or costs anything. They run one
after the other; what one finds does not keep the others from looking.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import aiohttp

from voicebot.audio.formats import AudioFormat
from voicebot.errors import FlowError, ModelUnavailableError, SettingsError, StoreError, TwilioError
from voicebot.flow.check import check_together
from voicebot.flow.loader import InspectedFile, flow_files, inspect_file
from voicebot.realtime.leg import connect
from voicebot.realtime.session import SessionConfig
from voicebot.settings import Settings
from voicebot.store.opening import open_store
from voicebot.telephony.signatures import sign_webhook

from .connect_number import addresses, rest_of
from .do_not_call import DoNotCall

LIMIT_S = 10.0  # of each request
MOST_SKEW_S = 30.0  # stream tokens are good for a minute, webhook signatures of reports for five
ECHO_PATH = "/twilio/stream-status"  # signed as all of Twilio's requests are; nothing comes of one without an error
_ACCOUNT = re.compile(r"AC[0-9a-f]{32}")
_AUTH_TOKEN = re.compile(r"[0-9a-f]{32}")
_SHORTEST_TOKEN = 16  # characters

Level = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `mend` says what to do, where something is to be done."""

    about: str
    level: Level
    text: str
    mend: str = ""

    def __str__(self) -> str:
        advice = f" ({self.mend})" if self.mend else ""
        return f"{self.level:<7}  {self.about}: {self.text}{advice}"

    def as_json(self) -> dict[str, str]:
        """For scripts."""
        return asdict(self)


async def examine(settings: Settings, flows: Path, wall: Callable[[], datetime]) -> AsyncIterator[Finding]:
    """Look at everything.

    Args:
        flows: the folder of flows.
        wall: the time of day, aware UTC.
    """
    for look in (_settings, _keys, _data_folder, _store):
        for finding in await look(settings):
            yield finding
    inspected = await asyncio.to_thread(_inspected, flows)
    for finding in _flows(settings, flows, inspected):
        yield finding
    for finding in await _model(settings):
        yield finding
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LIMIT_S)) as session:
        for finding in await _public(settings, session, wall):
            yield finding
        for finding in await _account(settings, session, inspected):
            yield finding


# ---- what stands in the settings ------------------------------------------------------------------------------------


async def _settings(settings: Settings) -> list[Finding]:
    found: list[Finding] = []
    try:
        settings.require_serving()
    except SettingsError as exc:
        found.append(Finding("settings", "wrong", f"{exc.variable} {exc.problem}", exc.mend))
    if not settings.webhook_url:
        mend = "set VOICEBOT_WEBHOOK_URL, or give the flows receivers"
        found.append(Finding("settings", "warning", "reports are kept, and delivered to nobody", mend))
    if await DoNotCall(settings.do_not_call).numbers() is None:
        mend = "see that it is there, readable, and has a number with its country on each line"
        found.append(Finding("settings", "wrong", "VOICEBOT_DO_NOT_CALL cannot be read: nobody is called", mend))
    return found or [Finding("settings", "ok", "a server can answer the phone with them")]


async def _keys(settings: Settings) -> list[Finding]:
    """Whether keys look like keys; nothing of them is shown."""
    found: list[Finding] = []
    vendor = (urlsplit(settings.realtime_url).hostname or "").endswith("openai.com")
    if vendor and not settings.openai_api_key.get_secret_value().startswith("sk-"):
        found.append(Finding("keys", "wrong", "OPENAI_API_KEY does not begin with sk-", "copy the whole key again"))
    if settings.twilio_account_sid and not _ACCOUNT.fullmatch(settings.twilio_account_sid):
        mend = "copy it again: AC and 32 hexadecimal digits"
        found.append(Finding("keys", "wrong", "TWILIO_ACCOUNT_SID is no account's", mend))
    if any(not _AUTH_TOKEN.fullmatch(one.get_secret_value()) for one in settings.twilio_auth_tokens):
        mend = "copy it again: 32 hexadecimal digits; an API key's secret signs no webhooks"
        found.append(Finding("keys", "warning", "TWILIO_AUTH_TOKEN does not look like one", mend))
    if short := [one for one in settings.all_api_tokens if len(one.token.get_secret_value()) < _SHORTEST_TOKEN]:
        mend = f"make one of {_SHORTEST_TOKEN} characters or more"
        variable = "VOICEBOT_API_TOKEN" if short[0].name == "admin" else "VOICEBOT_API_TOKENS"
        found.append(Finding("keys", "warning", f"{variable} can be guessed", mend))
    return found or [Finding("keys", "ok", "they look as they should")]


# ---- what is on this machine ----------------------------------------------------------------------------------------


async def _data_folder(settings: Settings) -> list[Finding]:
    folder = settings.data_folder
    try:
        await asyncio.to_thread(_write_there, folder)
    except OSError as exc:
        mend = "let this user write there, or name another place in VOICEBOT_STORE"
        return [Finding("data folder", "wrong", f"{folder} cannot be written to: {exc.strerror}", mend)]
    return [Finding("data folder", "ok", f"{folder} can be written to")]


def _write_there(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"doctor")


async def _store(settings: Settings) -> list[Finding]:
    key, body = f"doctor:{uuid.uuid4().hex}", "is read again"
    try:
        store = await open_store(settings.store)
        try:
            await store.put_note(key, body, instead_of=None)
            same = await store.note(key) == body
            await store.put_note(key, None, instead_of=body)
        finally:
            await store.close()
    except StoreError as exc:
        return [Finding("store", "wrong", str(exc), "see VOICEBOT_STORE")]
    if not same:
        return [Finding("store", "wrong", "what was written is not what is read", "see VOICEBOT_STORE")]
    return [Finding("store", "ok", "can be written and read")]


def _inspected(folder: Path) -> list[InspectedFile] | FlowError:
    try:
        return [inspect_file(path) for path in flow_files(folder)]
    except FlowError as exc:
        return exc


def _flows(settings: Settings, folder: Path, inspected: list[InspectedFile] | FlowError) -> list[Finding]:
    if isinstance(inspected, FlowError):
        return [Finding("flows", "wrong", inspected.problem, inspected.mend or "")]
    if not inspected:
        return [Finding("flows", "wrong", f"{folder} has none", "a flow is a Python file that defines `flow`")]
    loaded = {one.loaded.name: one.loaded.flow for one in inspected if one.loaded is not None}
    flaws = [*(flaw for one in inspected for flaw in one.findings), *check_together(loaded)]
    found = [
        Finding("flows", "wrong" if flaw.severity == "error" else "warning", f"{flaw.file}:{flaw.line}: {flaw.problem}",
                flaw.mend)
        for flaw in flaws
    ]  # fmt: skip
    for name in sorted({settings.default_flow, *settings.numbers.values()} - {"", *loaded}):
        mend = f"name one of {', '.join(loaded) or 'none'} in VOICEBOT_NUMBERS and VOICEBOT_DEFAULT_FLOW"
        found.append(Finding("flows", "wrong", f"no flow {name!r} is loaded", mend))
    texting = sorted(name for name, flow in loaded.items() if flow.report.sms)
    if texting and not (settings.twilio_account_sid and settings.outbound_allow.allowed):
        problem = f"{', '.join(texting)}: text messages at the end of calls are not sent"
        mend = "set TWILIO_ACCOUNT_SID, and in VOICEBOT_OUTBOUND_ALLOW the beginnings of the numbers that may get them"
        found.append(Finding("flows", "warning", problem, mend))
    return found or [Finding("flows", "ok", ", ".join(loaded))]


# ---- what is elsewhere ----------------------------------------------------------------------------------------------


async def _model(settings: Settings) -> list[Finding]:
    """A session with the model, opened and closed: nothing is said in it."""
    host = urlsplit(settings.realtime_url).netloc
    config = SessionConfig(
        model=settings.model,
        voice="marin",
        audio_format=AudioFormat(settings.codec),
        transcription_model=settings.transcription_model or None,
        languages=("en",),
    )
    try:
        leg = await connect(
            settings.realtime_url,
            api_key=settings.openai_api_key.get_secret_value(),
            config=config,
            open_timeout_s=LIMIT_S,
        )
    except ModelUnavailableError as exc:
        mend = "see to network and firewall" if exc.retryable else "see OPENAI_API_KEY, VOICEBOT_MODEL and the account"
        return [Finding("model", "wrong", f"no session with {settings.model} at {host}: {exc}", mend)]
    await leg.close()
    return [Finding("model", "ok", f"a session with {settings.model} at {host} came about")]


async def _public(settings: Settings, session: aiohttp.ClientSession, wall: Callable[[], datetime]) -> list[Finding]:
    """Our own address, as Twilio sees it: whether it is reached, and whether what Twilio signs is believed there."""
    url = settings.public_url
    if not url or not settings.twilio_auth_tokens:
        return []
    try:
        async with session.get(f"{url}/healthz", allow_redirects=False) as answer:
            healthy, date = answer.status == 200, answer.headers.get("Date")
            status = answer.status
    except (aiohttp.ClientError, OSError, TimeoutError) as exc:
        why = "no answer in time" if isinstance(exc, TimeoutError) else str(exc)
        mend = "start `voicebot serve`; see to DNS, certificate, proxy and firewall"
        return [Finding("public address", "wrong", f"{url} cannot be reached: {why}", mend)]
    if not healthy:
        mend = "see that VOICEBOT_PUBLIC_URL is ours, and that its proxy passes on every path"
        return [Finding("public address", "wrong", f"{url}/healthz answered {status}", mend)]
    found = [Finding("public address", "ok", f"{url} is reached"), await _signature(settings, session)]
    return found + ([_clock(url, date, wall())] if date else [])


async def _signature(settings: Settings, session: aiohttp.ClientSession) -> Finding:
    url = settings.public_url + ECHO_PATH
    form = {"AccountSid": settings.twilio_account_sid, "CallSid": "CA" + "0" * 32, "StreamEvent": "stream-started"}
    signature = sign_webhook(settings.twilio_auth_tokens[0].get_secret_value(), url, form)
    try:
        headers = {"X-Twilio-Signature": signature}
        async with session.post(url, data=form, headers=headers, allow_redirects=False) as answer:
            status = answer.status
    except (aiohttp.ClientError, OSError, TimeoutError) as exc:
        return Finding("signatures", "wrong", f"a signed request was not answered: {exc}", "see to the proxy")
    if status == 204:
        return Finding("signatures", "ok", "what Twilio signs is believed")
    if status == 403:
        mend = "give the server the same TWILIO_AUTH_TOKEN and VOICEBOT_PUBLIC_URL; no proxy may change paths or forms"
        return Finding("signatures", "wrong", "the server does not believe what Twilio signs", mend)
    return Finding("signatures", "wrong", f"a signed request was answered {status}", "see what answers there")


def _clock(where: str, date: str, now: datetime) -> Finding:
    try:
        skew_s = (now - parsedate_to_datetime(date)).total_seconds()
    except (ValueError, TypeError):
        return Finding("clock", "warning", f"{where} does not tell the time", "")
    if abs(skew_s) > MOST_SKEW_S:
        text = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} that of {urlsplit(where).netloc}"
        return Finding("clock", "wrong", text, "have NTP set the clocks: tokens and signatures go by them")
    return Finding("clock", "ok", f"agrees with that of {urlsplit(where).netloc}")


async def _account(
    settings: Settings, session: aiohttp.ClientSession, inspected: list[InspectedFile] | FlowError
) -> list[Finding]:
    """Whether the account lets us in, and whether our numbers lead here."""
    if not settings.twilio_account_sid:
        mend = "set TWILIO_ACCOUNT_SID; without it calls are neither placed nor rescued"
        return [Finding("Twilio", "warning", "there is no account to ask with", mend)]
    try:
        rest = rest_of(settings, session)
        flows = [] if isinstance(inspected, FlowError) else [one.loaded.flow for one in inspected if one.loaded]
        numbers = dict.fromkeys([*settings.numbers, *(number for flow in flows for number in flow.numbers)])
        wanted = addresses(settings.public_url)
        found = []
        for number in numbers:
            own = await rest.own_number(number)
            if own is None:
                text = f"the account has no number {number}"
                found.append(Finding("Twilio", "warning", text, "see VOICEBOT_NUMBERS and the flows' numbers"))
            elif own.urls != wanted:
                mend = f"voicebot connect {number}"
                found.append(Finding("Twilio", "warning", f"calls of {number} do not lead here", mend))
        if not numbers:
            await rest.own_number("+15550100000")  # only to be let in
    except SettingsError:
        return []  # said before
    except TwilioError as exc:
        mend = "copy TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN again" if exc.status == 401 else "see to the network"
        return [Finding("Twilio", "wrong", str(exc), mend)]
    return found or [
        Finding("Twilio", "ok", "the account lets us in" + (", and its numbers lead here" if numbers else ""))
    ]
