"""`voicebot demo`: a whole call with nothing configured, shown as it runs.

What is printed while the call runs is its journal, read from the store as any other process could; what is printed at
the end is what the CRM received and what the phone measured.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from voicebot.audio.formats import AudioFormat
from voicebot.call import entries as call_entries
from voicebot.call.entries import Entry, read_entry
from voicebot.call.ports import ClipFailed, ClipRendered, ModelLost, RenderClip
from voicebot.engine import entries as engine_entries
from voicebot.errors import ModelUnavailableError, SettingsError
from voicebot.flow.loader import FlowShelf, LoadedFlow
from voicebot.realtime.leg import connect
from voicebot.realtime.session import SessionConfig
from voicebot.settings import read_settings
from voicebot.store.contract import StoredEntry

from .clock import run_virtual
from .person import RATE_HZ
from .scenario import Scenario, load_scenarios
from .speech import write_wav
from .stage import LiveModel, Rehearsal, Stage, rehearse

LOOK_EVERY_S = 0.1
CALL_LIMIT_S = 900.0
RENDER_LIMIT_S = 120.0
CALLER_VOICE = "cedar"


def run_demo(loaded: LoadedFlow, shelf: FlowShelf, *, fast: bool, live: bool, codec: str, wav: Path) -> int:
    """Play the flow's first scenario; returns the exit code, 0 when everything went as it should.

    Raises:
        ScenarioError: the flow has no scenario beside it.
        SettingsError: `live` without a key.
    """
    assert loaded.path is not None
    scenario = load_scenarios(loaded.path.parent / "scenarios", [loaded.name])[0]
    console = Console(highlight=False)
    _introduce(console, loaded, scenario, fast=fast, live=live)
    play = _play(console, scenario, shelf, live=live, codec=codec)
    rehearsal = run_virtual(play, limit_s=CALL_LIMIT_S) if fast else asyncio.run(play)
    write_wav(wav, *rehearsal.result.stereo(), RATE_HZ)
    _conclude(console, rehearsal, wav)
    return 1 if rehearsal.problems else 0


async def _play(console: Console, scenario: Scenario, shelf: FlowShelf, *, live: bool, codec: str) -> Rehearsal:
    @asynccontextmanager
    async def watch(stage: Stage, call_sid: str) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(_watch(console, stage, call_sid))
            yield
            await asyncio.sleep(2 * LOOK_EVERY_S)
            watching.cancel()

    return await rehearse(
        scenario, shelf, codec=codec, live=await _live_model(scenario) if live else None, beside=watch
    )


async def _live_model(scenario: Scenario) -> LiveModel:
    """The real model of the settings, and the caller's lines spoken by it beforehand, in another voice.

    Raises:
        SettingsError: there is no key.
        ModelUnavailableError: the model cannot be reached, or did not speak a line.
    """
    settings = read_settings()
    key = settings.openai_api_key.get_secret_value()
    if not key:
        raise SettingsError("OPENAI_API_KEY", "is not set", "The live demo speaks with the real model.")
    config = SessionConfig(settings.model, CALLER_VOICE, AudioFormat.PCMU_8K, transcription_model=None)
    leg = await connect(settings.realtime_url, api_key=key, config=config)
    lines = dict.fromkeys(scenario.spoken(), b"")
    try:
        async with asyncio.timeout(RENDER_LIMIT_S):
            await leg.send([RenderClip(line, line, "en") for line in lines])
            while not all(lines.values()):
                for event in await leg.receive():
                    match event:
                        case ClipRendered(key=line, payload=payload):
                            lines[line] = payload
                        case ClipFailed(reason=reason) | ModelLost(reason=reason):
                            raise ModelUnavailableError(f"a line of the caller's: {reason}", retryable=True)
    except TimeoutError as exc:
        raise ModelUnavailableError("the caller's lines took too long", retryable=True) from exc
    finally:
        await leg.close()
    reach = {
        "OPENAI_API_KEY": settings.openai_api_key,
        "VOICEBOT_REALTIME_URL": settings.realtime_url,
        "VOICEBOT_MODEL": settings.model,
        "VOICEBOT_TRANSCRIPTION_MODEL": settings.transcription_model,
    }
    return LiveModel(dict(reach), lines.__getitem__)


# ---- while the call runs ---------------------------------------------------------------------------------------------


async def _watch(console: Console, stage: Stage, call_sid: str) -> None:
    """Print each journal entry as it comes."""
    seen = 0
    async with stage.reading() as store:
        while True:
            for stored in await store.journal(call_sid, seen):
                seen = stored.sequence
                _show(console, stored)
            await asyncio.sleep(LOOK_EVERY_S)


def _show(console: Console, stored: StoredEntry) -> None:
    shown = _line(read_entry(stored.kind, stored.body))
    if shown is None:
        return
    row = Table.grid(padding=(0, 1))
    row.add_column(width=7, justify="right", style="dim")
    row.add_column(width=7)
    row.add_column(overflow="fold")
    row.add_row(f"{stored.at_ms / 1000:.1f}s", *shown)
    console.print(row)


def _line(entry: Entry) -> tuple[str, str] | None:
    """How an entry reads: who or what, and the words; None for one that only machines read."""
    match entry:
        case call_entries.CallerConnected():
            return "", "[dim]the caller is on the line[/]"
        case engine_entries.CallerSaid(text=text):
            return "[bold cyan]caller[/]", escape(text)
        case engine_entries.CallerUnclear():
            return "[bold cyan]caller[/]", "[dim](nothing understood)[/]"
        case call_entries.BotSaid(interrupted=True, text=text, heard_text=heard):
            return "[bold green]bot[/]", f"{escape(heard)} [yellow]✂[/][dim strike]{escape(text[len(heard) :])}[/]"
        case call_entries.BotSaid(text=text, exact=exact):
            return "[bold green]bot[/]", escape(text) + ("  [dim](exact words)[/]" if exact else "")
        case engine_entries.PhaseEntered(phase=phase):
            return "[magenta]phase[/]", f"[magenta]{phase}[/]"
        case engine_entries.ObservationRecorded(name=name, value=value, quote=quote):
            shown = escape(json.dumps(value, ensure_ascii=False))
            return "[blue]noted[/]", f"{name} = {shown}" + (f"  [dim]«{escape(quote)}»[/]" if quote else "")
        case engine_entries.ObservationDeclined(name=name):
            return "[blue]noted[/]", f"{name}: the caller does not want to tell"
        case engine_entries.ObservationFilled(name=name, value=value, quote=quote):
            shown = escape(json.dumps(value, ensure_ascii=False))
            return "[blue]filled[/]", f"{name} = {shown}  [dim]«{escape(quote)}», after the call[/]"
        case call_entries.CallAnalysed(status="done", summary=summary):
            return "[blue]summary[/]", escape(summary or "")
        case call_entries.CallAnalysed(reason=reason):
            return "[blue]summary[/]", f"[dim](none: {escape(reason)})[/]"
        case engine_entries.ProposalRefused(subject=subject, problem=problem):
            return "[red]refused[/]", f"{escape(subject)}: {escape(problem)}"
        case engine_entries.ToolAnswered(tool=tool, output=output, took_ms=took_ms):
            return "[blue]tool[/]", f"{tool} → {escape(_clipped(output))}  [dim]{took_ms} ms[/]"
        case call_entries.CallEnded(reason=reason):
            return "", f"[dim]the call has ended: {reason}[/]"
    return None


def _clipped(text: str, limit: int = 100) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


# ---- before and after ------------------------------------------------------------------------------------------------


def _introduce(console: Console, loaded: LoadedFlow, scenario: Scenario, *, fast: bool, live: bool) -> None:
    clock = "on a virtual clock" if fast else "in real time"
    model = "the real model" if live else "a twin of the model"
    console.print(
        Panel(
            f"{escape(loaded.flow.goal)}\n[dim]{escape(scenario.title or scenario.name)}[/]\n\n"
            f"[dim]A twin of the phone line dials {scenario.called_number}; the server answers with {model}, {clock}.\n"
            "Everything runs on this machine: signed webhooks, Media Streams in mu-law, the Realtime protocol.[/]",
            title=f"voicebot · {loaded.name}",
            title_align="left",
            border_style="magenta",
        )
    )


def _conclude(console: Console, rehearsal: Rehearsal, wav: Path) -> None:
    console.print()
    if rehearsal.received:
        _show_report(console, rehearsal)
    console.print(_figures(rehearsal))
    console.print(f"recording: {wav} [dim](left: the caller; right: what the caller heard)[/]")
    for problem in rehearsal.problems:
        console.print(f"[bold red]problem[/]    {escape(problem)}")
    if not rehearsal.problems:
        console.print("[bold green]All as it should be.[/]")


def _show_report(console: Console, rehearsal: Rehearsal) -> None:
    received = rehearsal.received[0]
    verified = "[green]signature verified[/]" if received.verified else f"[red]{escape(received.problem or '')}[/]"
    console.print(
        Panel(
            "\n".join(_report_lines(json.loads(received.body))),
            title=f"the report, as the CRM received it · {verified}",
            title_align="left",
            subtitle=received.webhook_id,
            subtitle_align="left",
            border_style="blue",
        )
    )


def _report_lines(body: dict[str, Any]) -> Iterator[str]:
    """The report, a line a field; what was shown while the call ran is only counted."""
    data = body["data"]
    yield f"[dim]type[/] {body['type']}  [dim]timestamp[/] {body['timestamp']}"
    for name, value in data.items():
        if name == "transcript":
            yield f"[dim]{name}[/] {len(value or ())} lines, as above"
        elif name == "observations":
            yield f"[dim]{name}, observation_status, evidence[/]"
            for field, found in value.items():
                source = data["evidence"][field] or {}
                quote = f" «{source['quote']}»" if source.get("quote") else ""
                status = f"{data['observation_status'][field]}{escape(quote)}"
                yield f"    [blue]{field}[/] {escape(_compact(found))}  [dim]{status}[/]"
        elif name == "phases":
            yield f"[dim]{name}[/] [magenta]{' → '.join(phase['name'] for phase in value)}[/]"
        elif name not in ("observation_status", "evidence"):
            yield f"[dim]{name}[/] {escape(_compact(value))}"


def _compact(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _figures(rehearsal: Rehearsal) -> Table:
    statistics = rehearsal.result.statistics
    table = Table(title="measured on the phone line, by audio alone", title_justify="left", show_header=False)
    table.add_column(style="dim")
    table.add_column()
    waits = statistics.latencies_ms
    if waits:
        table.add_row(
            "caller's last word → bot's first sound", f"median {median(waits):.0f} ms, worst {max(waits):.0f}"
        )
    for cut in statistics.interruptions:
        table.add_row(
            "caller interrupts → bot is silent", f"{cut.latency_ms:.0f} ms  [dim](speech detection included)[/]"
        )
    table.add_row("breaks inside the bot's speech", str(len(statistics.underruns)))
    said = [one for one in rehearsal.result.bot_said if one.text]
    whole = sum(not one.damaged for one in said)
    table.add_row("bot's utterances recognised by the caller's ear", f"{whole} of {len(said)}")
    spoken = rehearsal.result.caller_said
    table.add_row("caller's utterances recognised by the model's ear", f"{rehearsal.understood} of {len(spoken)}")
    table.add_row("call", f"{rehearsal.result.duration_ms / 1000:.1f} s")
    return table
