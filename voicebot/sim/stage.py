"""The stage: the product's own server between a twin phone, a twin model and a twin CRM, all on loopback.

The one module of the twin that knows the product; it starts it as `serve` does and then judges it from outside. It runs
on any event loop: on real sockets in real time, or on the twin's virtual clock.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Any

from aiohttp import web

from voicebot.errors import ScenarioError
from voicebot.flow.loader import FlowShelf, LoadedFlow
from voicebot.flow.model import Flow
from voicebot.observe.tracing import Tracing
from voicebot.server.app import create_app
from voicebot.settings import read_settings
from voicebot.store.contract import Store, StoredEntry
from voicebot.store.opening import open_store

from .account import ACCOUNT_SID, AUTH_TOKEN, STREAM_SECRET, WEBHOOK_SECRET
from .brain import Brain
from .call_book import CallBook
from .call_result import CallResult
from .callee import Callee
from .clock import VirtualLoop, wall_clock
from .cooperative import CooperativeBrain
from .crm import CrmAnswer, CrmSink, Received
from .dial_outcome import Dials
from .line import LineFaults
from .parties import Rung
from .person import coded_voice
from .phone import Phone
from .realtime_quirks import Quirks, Timing
from .realtime_server import API_KEY, RealtimeServer
from .realtime_session import RealtimeSession
from .scenario import Scenario
from .second_legs import API_TOKEN, callee_of, dial_outcomes, place_call, rung_problems
from .switchboard import Switchboard
from .table_caller import PatientCaller
from .timeline import VerbPlayed
from .twilio_rest import TwilioRest
from .verdict import VIRTUAL_START, misheard, misheard_by_machine, report_problems

REPORT_LIMIT_S = 30.0
PLACED_CALL_LIMIT_S = 7200.0
OWN_NUMBERS = ("+15550100000",)
_NOBODY: Mapping[str, Callee | Sequence[Callee]] = MappingProxyType({})
_VIRTUAL_PORT = 8080


@dataclass(frozen=True)
class Stage:
    """A server at work between its twins."""

    public_url: str
    model: RealtimeServer
    crm: CrmSink
    store_address: str
    wall: Callable[[], datetime]
    book: CallBook
    vendor: TwilioRest
    switchboard: Switchboard

    def phone(
        self,
        scenario: Scenario,
        *,
        faults: LineFaults | None = None,
        dial: Dials = (),
        voice: Callable[[str], bytes] = coded_voice,
    ) -> Phone:
        """A phone that will place the scenario's call."""
        return Phone(
            f"{self.public_url}/twilio/voice",
            to=scenario.called_number,
            from_=scenario.caller_number,
            account_sid=ACCOUNT_SID,
            auth_token=AUTH_TOKEN,
            behaviour=PatientCaller(scenario.steps()),
            status_url=f"{self.public_url}/twilio/status",
            faults=faults or LineFaults(),
            dial=dial,
            wall=self.wall,
            voice=voice,
            book=self.book,
        )

    async def first_placed(self) -> CallResult:
        """The first call that the server has placed, when it is over."""
        return (await self.switchboard.wait_for(1, PLACED_CALL_LIMIT_S))[0]

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Store]:
        """The server's store, opened as another process would."""
        store = await open_store(self.store_address)
        try:
            yield store
        finally:
            await store.close()


@asynccontextmanager
async def stage(
    shelf: FlowShelf,
    brain_factory: Callable[[], Brain],
    *,
    default_flow: str,
    codec: str = "pcm",
    timing: Timing | Sequence[Timing] | None = None,
    quirks: Quirks | Sequence[Quirks] = (),
    shuffle: int | None = None,
    settings: dict[str, object] | None = None,
    tracing: Tracing | None = None,
    crm_answers: Sequence[CrmAnswer] = (),
    callees: Mapping[str, Callee | Sequence[Callee]] = _NOBODY,
    numbers: Sequence[str] = OWN_NUMBERS,
    receivers: bool = False,
    at: datetime = VIRTUAL_START,
) -> AsyncIterator[Stage]:
    """Start the twins and the product's server; stop them in order.

    The twin's CRM is told of the calls, and nobody else: receivers of the flows' own, which are real, are left out.

    Args:
        settings: variables that go before the stage's own, as for `--live`.
        tracing: where the server's spans go.
        crm_answers: for the first requests of the CRM, in order.
        callees: whom the server may call.
        numbers: those that the account has.
        receivers: tell the receivers of the flows' own, too, since they are twins.
        at: the time of day at the beginning, on a virtual clock; aware.
    """
    loop = asyncio.get_running_loop()
    virtual = isinstance(loop, VirtualLoop)
    wall = wall_clock(at) if virtual else _real_clock(loop)
    with tempfile.TemporaryDirectory(prefix="voicebot-") as folder:
        store_address = str((settings or {}).get("VOICEBOT_STORE", f"sqlite:///{folder}/calls.db"))
        async with (
            RealtimeServer(brain_factory, timing=timing, quirks=quirks, shuffle=shuffle, wall=wall) as model,
            CrmSink(WEBHOOK_SECRET, answers=crm_answers, wall=wall) as crm,
            Switchboard(callees, wall=wall, book=(book := CallBook())) as switchboard,
            TwilioRest(ACCOUNT_SID, AUTH_TOKEN, book, numbers=numbers, place=switchboard.ring) as vendor,
        ):
            site_port = _VIRTUAL_PORT if virtual else _free_port()
            public_url = f"http://127.0.0.1:{site_port}"
            given: dict[str, object] = {
                "OPENAI_API_KEY": API_KEY,
                "VOICEBOT_REALTIME_URL": model.url,
                "VOICEBOT_MODEL": "gpt-realtime-2.1",
                "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
                "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
                "TWILIO_API_URL": vendor.url,
                "VOICEBOT_PUBLIC_URL": public_url,
                "VOICEBOT_STORE": store_address,
                "VOICEBOT_NUMBERS": "",
                "VOICEBOT_DEFAULT_FLOW": default_flow,
                "VOICEBOT_WEBHOOK_URL": crm.url,
                "VOICEBOT_WEBHOOK_SECRET": WEBHOOK_SECRET,
                "VOICEBOT_WEBHOOK_PRIVATE": "127.0.0.1",
                "VOICEBOT_SECRET": STREAM_SECRET,
                "VOICEBOT_CODEC": codec,
                "VOICEBOT_DRAIN_S": 5.0,
                "VOICEBOT_SHED_LAG_MS": 0,  # the twins' own work is in the same loop
            }
            app = await create_app(
                read_settings(None, **(given | (settings or {}))),
                shelf=shelf if receivers else _without_receivers(shelf),
                wall=wall,
                tracing=tracing,
            )
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", site_port).start()
                yield Stage(public_url, model, crm, store_address, wall, book, vendor, switchboard)
            finally:
                await runner.cleanup()


def _without_receivers(shelf: FlowShelf) -> FlowShelf:
    flows = {
        name: replace(loaded, flow=replace(loaded.flow, report=replace(loaded.flow.report, receivers=())))
        for name, loaded in shelf.flows.items()
    }
    return replace(shelf, flows=flows)


def _real_clock(loop: asyncio.AbstractEventLoop) -> Callable[[], datetime]:
    return lambda: datetime.now(UTC)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ---- rehearsals -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LiveModel:
    """A real model: the settings that reach it, and a voice for the caller that it understands."""

    settings: dict[str, object]
    voice: Callable[[str], bytes]


@dataclass(frozen=True)
class Rehearsal:
    """A scenario's call, what came of it, and every way in which it was not as expected."""

    scenario: Scenario
    result: CallResult
    received: tuple[Received, ...]
    journal: tuple[StoredEntry, ...]
    sessions: tuple[RealtimeSession, ...]
    problems: tuple[str, ...] = field(default=())

    @property
    def understood(self) -> int:
        """How many of the caller's utterances the model's ear recognised, from audio alone."""
        heard = {line["text"] for line in self.report.get("transcript") or () if line["speaker"] == "caller"}
        return sum(said.text in heard for said in self.result.caller_said)

    @property
    def report(self) -> dict[str, Any]:
        """`data` of the report as the CRM received it; empty if it received none."""
        if not self.received:
            return {}
        found: dict[str, Any] = json.loads(self.received[0].body)["data"]
        return found


async def rehearse(
    scenario: Scenario,
    shelf: FlowShelf,
    *,
    codec: str = "pcm",
    timing: Timing | Sequence[Timing] | None = None,
    quirks: Quirks | Sequence[Quirks] = (),
    shuffle: int | None = None,
    faults: LineFaults | None = None,
    dial: Dials = (),
    live: LiveModel | None = None,
    beside: Callable[[Stage, str], AbstractAsyncContextManager[None]] | None = None,
) -> Rehearsal:
    """Play a scenario's call through the product, and compare it with what is expected.

    Args:
        quirks: what is wrong with the model, connection by connection.
        dial: what becomes of whom the phone line rings for the caller, one after the other, instead of what the
            scenario says.
        live: a real model in the place of the twin's; it follows no script, so its words are not compared.
        beside: entered with the stage and the CallSid while the call runs.

    Raises:
        ScenarioError: a call of the flow's is not placed, or the flow has no target that the scenario names.
    """
    brain, voice = scenario.brain(), live.voice if live else coded_voice
    flow = shelf.get(scenario.flow).flow
    rung = _rung(scenario, flow)
    dials = dial or {address: dial_outcomes(outcomes) for address, outcomes in rung.values()}
    call, behaviour = scenario.calls_out, partial(PatientCaller, scenario.steps())
    async with stage(
        shelf,
        (lambda: brain) if scenario.talks else CooperativeBrain,
        default_flow=scenario.flow,
        codec=codec,
        timing=timing,
        quirks=quirks,
        shuffle=shuffle,
        settings=_settings(scenario) | (live.settings if live else {}),
        callees={scenario.caller_number: callee_of(call, behaviour, dials, voice)} if call is not None else _NOBODY,
        numbers=(*OWN_NUMBERS, scenario.called_number),
        at=scenario.at or VIRTUAL_START,
    ) as on_stage:
        calling: Callable[[], Awaitable[CallResult]]
        if call is not None:
            call_sid, calling = await place_call(on_stage.public_url, scenario, call), on_stage.first_placed
        else:
            phone = on_stage.phone(scenario, faults=faults, dial=dials, voice=voice)
            call_sid, calling = phone.call_sid, phone.call
        async with beside(on_stage, call_sid) if beside else nullcontext():
            result = await calling()
            await _report_or_not(on_stage)
        async with on_stage.reading() as store:
            journal = await store.journal(result.call_sid)
        received = tuple(on_stage.crm.received)
        misconduct = [str(problem) for problem in on_stage.model.problems]
        sessions = tuple(on_stage.model.sessions)
        asked = [f"of Twilio's REST API: {problem}" for problem in on_stage.vendor.violations]
    rehearsal = Rehearsal(scenario, result, received, tuple(journal), sessions)
    problems = [
        *(f"the caller: {problem}" for problem in result.problems),
        *(f"the line: {violation}" for violation in result.violations),
        *asked,
        *(() if dial else rung_problems(rung, result)),
        *_delivery_problems(rehearsal),
    ]
    if live is None:
        silences = sum(entry.kind == "silence_noticed" for entry in journal)
        problems += [
            *(f"the model: {problem}" for problem in (*brain.problems, *brain.unconsumed())),
            *(f"towards the model: {problem}" for problem in misconduct),
            *_misheard(scenario, shelf.get(scenario.flow), result),
            *(report_problems(scenario, rehearsal.report, silences=silences) if received else ()),
        ]
    return Rehearsal(scenario, result, received, tuple(journal), sessions, tuple(problems))


def _settings(scenario: Scenario) -> dict[str, object]:
    """What the server must be told: it may call and write to the scenario's person, and to nobody else."""
    number = scenario.caller_number
    allowed: dict[str, object] = {"VOICEBOT_OUTBOUND_ALLOW": number} if number.startswith("+") else {}
    token: dict[str, object] = {"VOICEBOT_API_TOKEN": API_TOKEN} if scenario.calls_out is not None else {}
    return {**allowed, **token, **scenario.settings}


def _rung(scenario: Scenario, flow: Flow) -> dict[str, tuple[str, Sequence[Rung]]]:
    """By the scenario's names of those whom the phone line rings their addresses, and what becomes of them.

    Raises:
        ScenarioError: the flow has no such target.
    """
    found: dict[str, tuple[str, Sequence[Rung]]] = {}
    for name, outcomes in scenario.transfer.items():
        if name not in flow.targets and not name.startswith(("+", "sip:")):
            known = ", ".join(flow.targets) or "none"
            raise ScenarioError(f"{scenario.place}: {scenario.flow} has no target {name!r} (there are: {known})")
        found[name] = (flow.targets[name].address if name in flow.targets else name, outcomes)
    return found


def _misheard(scenario: Scenario, loaded: LoadedFlow, result: CallResult) -> list[str]:
    if scenario.talks:
        return misheard(scenario, loaded, result.bot_said, _announced(result))
    return misheard_by_machine(loaded, result.bot_said, result.caller_said)


def _announced(result: CallResult) -> list[str]:
    """What the phone line said itself."""
    return [event.detail for event in result.events if isinstance(event, VerbPlayed) and event.verb == "Say"]


async def _report_or_not(on_stage: Stage) -> None:
    """Wait for the report; one that never comes is found missing afterwards."""
    with suppress(TimeoutError):
        await on_stage.crm.wait_for(1, REPORT_LIMIT_S)


def _delivery_problems(rehearsal: Rehearsal) -> list[str]:
    if len(rehearsal.received) != 1:
        return [f"the CRM received {len(rehearsal.received)} reports instead of one"]
    return [f"the report: {one.problem}" for one in rehearsal.received if not one.verified or one.problem]
