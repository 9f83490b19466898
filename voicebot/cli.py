"""The command line. Each command imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from voicebot import __version__

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from voicebot.flow.check import Finding
    from voicebot.flow.loader import FlowShelf, InspectedFile
    from voicebot.recording.files import RecordingFolder
    from voicebot.store.contract import DeliveryState

T = TypeVar("T")

app = typer.Typer(
    name="voicebot",
    help="A telephone voice agent that businesses can trust with their number.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich's Markdown for it would take as long as all the rest of `--help`
    context_settings={"help_option_names": ["-h", "--help"]},
)
flows_app = typer.Typer(help="Look at the flows that are loaded.", no_args_is_help=True)
app.add_typer(flows_app, name="flows")
calls_app = typer.Typer(help="Look at recorded calls, erase them, export them.", no_args_is_help=True)
app.add_typer(calls_app, name="calls")
deliveries_app = typer.Typer(help="Look at what is delivered to receivers, and send it again.", no_args_is_help=True)
app.add_typer(deliveries_app, name="deliveries")

FolderOption = Annotated[
    Path | None, typer.Option("--flows", help="Folder of flows; default: VOICEBOT_FLOWS, ./flows, or those shipped.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
NumberOption = Annotated[str | None, typer.Option("--caller", help="Calls from or to this number, as in +15550123.")]


class Codec(StrEnum):
    """How audio travels to the model."""

    pcm = "pcm"
    pcmu = "pcmu"


class Profile(StrEnum):
    """How a load goes over time."""

    ramp = "ramp"
    steady = "steady"
    spike = "spike"
    soak = "soak"


class State(StrEnum):
    """How a delivery stands."""

    pending = "pending"
    delivered = "delivered"
    dead = "dead"
    disabled = "disabled"


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def demo(
    flow: Annotated[str, typer.Argument(help="Which flow to rehearse.")] = "restaurant_ordering",
    fast: Annotated[bool, typer.Option("--fast", help="On a virtual clock: a minute of call in seconds.")] = False,
    live: Annotated[bool, typer.Option("--live", help="With the real model; needs OPENAI_API_KEY and costs.")] = False,
    codec: Annotated[Codec, typer.Option(help="pcm: 24 kHz to the model. pcmu: mu-law passes through.")] = Codec.pcm,
    wav: Annotated[Path, typer.Option(help="Where the recording of the call goes.")] = Path("voicebot-demo.wav"),
    folder: FolderOption = None,
) -> None:
    """Place a whole call on this machine, with nothing configured.

    A caller, the server, a model and a CRM: all of them are here, and what they say and do is shown as the call runs.
    """
    from voicebot.sim.demo import run_demo

    if fast and live:
        raise typer.BadParameter("the real model does not run on a virtual clock: choose --fast or --live")
    if not wav.parent.is_dir() or wav.is_dir():
        raise typer.BadParameter(f"{wav} cannot be written: name a file in a folder that exists", param_hint="--wav")
    shelf = _shelf(folder)
    raise typer.Exit(run_demo(shelf.get(flow), shelf, fast=fast, live=live, codec=codec.value, wav=wav))


@app.command()
def init(
    project: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is empty, or does not exist yet.")],
    name: Annotated[str | None, typer.Option(help="Of the first flow; default: reception.")] = None,
    source: Annotated[
        str | None, typer.Option("--from", help="Begin with a flow that is shipped, as restaurant_ordering.")
    ] = None,
) -> None:
    """Make a new project: a first flow with its rehearsals, and settings to fill in.

    It passes `voicebot check` and `voicebot test` as it is. Nothing that is there is changed.
    """
    from voicebot.flow.loader import shipped_flows
    from voicebot.project.create import FIRST_FLOW, copy_project, create_project, told

    if name is not None and source is not None:
        raise typer.BadParameter("a flow that is shipped keeps its name: leave out --name", param_hint="--from")
    if source is not None:
        files = copy_project(project, source, shipped_flows())
    else:
        files = create_project(project, name=FIRST_FLOW if name is None else name)
    for line in told(project, files):
        print(line)


@app.command()
def chat(
    flow: Annotated[str, typer.Argument(help="Which flow to talk through: its name, or its file.")],
    caller: Annotated[str | None, typer.Option(help="The caller's number, as in +15550123; default: withheld.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Without the real model, even if there is a key.")] = False,
    folder: FolderOption = None,
) -> None:
    """Talk through a flow in text: you are the caller, and see phases and observations as they change.

    With OPENAI_API_KEY set, the real model writes; without it, a stand-in that asks for one thing after the other.
    Works with a pipe too: a line is what the caller says in one turn.
    """
    from voicebot.chat.terminal import Company, real_model, run_chat
    from voicebot.flow.loader import load_file
    from voicebot.settings import read_settings
    from voicebot.sim import cooperative
    from voicebot.sim.realtime_server import API_KEY, RealtimeServer
    from voicebot.sim.realtime_session import DEFAULT_MODEL

    _check_number(caller)
    loaded = load_file(Path(flow)) if flow.endswith(".py") else _shelf(folder).get(flow)
    settings = read_settings()
    key = settings.openai_api_key.get_secret_value()
    if key and not offline:
        company = real_model(settings.realtime_url, key, settings.model)
    else:
        why = "as you asked" if key else "as OPENAI_API_KEY is not set"
        twin = RealtimeServer(cooperative.CooperativeBrain, timing=cooperative.AT_ONCE, record=False)
        company = Company(twin, API_KEY, DEFAULT_MODEL, f"You speak with a stand-in, {why}. {cooperative.ABILITIES}")
    run_chat(loaded, company, caller=caller)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8080,
    workers: Annotated[
        int, typer.Option(help="Processes that share the port; worker k listens on port + k too.", min=1, max=256)
    ] = 1,
    reload: Annotated[
        bool, typer.Option("--reload", help="Load flow files anew when they change, while you write them.")
    ] = False,
    # A setting like the others; here too, since the process over the workers reads no settings: it stays small.
    log: Annotated[str, typer.Option(envvar="VOICEBOT_LOG", hidden=True)] = "auto",
) -> None:
    """Answer the phone: serve Twilio's webhooks and media streams."""
    if workers > 1:
        if reload:
            raise typer.BadParameter("flow files are followed by one process only: leave out --workers or --reload")
        from voicebot.server.supervisor import supervise

        raise typer.Exit(supervise(host, port, workers, log_form=log))
    from voicebot.server.serve import run_server
    from voicebot.settings import read_settings

    run_server(read_settings(), host, port, reload=reload)


@app.command(hidden=True)
def worker(
    number: int,
    shared: Annotated[list[int], typer.Option(help="Descriptors of sockets that all workers listen on.")],
    own: Annotated[list[int], typer.Option(help="Descriptors of sockets that this one listens on besides.")],
    link: Annotated[int, typer.Option(help="Descriptor of the socket shared with the supervisor.")],
    meeting: Annotated[Path, typer.Option(help="Folder where the workers tell each other their metrics.")],
) -> None:
    """One process of `serve --workers`, which starts it."""
    from voicebot.server.serve import Place, run_worker
    from voicebot.server.sockets import inherited
    from voicebot.settings import read_settings

    place = Place(number, [*map(inherited, shared)], [*map(inherited, own)], inherited(link), meeting)
    run_worker(read_settings(), place)


@app.command()
def check(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Flow files or folders of them; default: the flow folder.")
    ] = None,
    folder: FolderOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print files and findings as JSON.")] = False,
    rules: Annotated[bool, typer.Option("--rules", help="Print every rule with its id, and check nothing.")] = False,
) -> None:
    """Say what is wrong with flows before anybody calls.

    One line each: file, line, severity, rule, and how to mend it. Exit code 1 when there is an error.
    """
    from voicebot.flow.check import RULES, check_together
    from voicebot.flow.loader import inspect_file

    if rules:
        for rule in RULES:
            print(f"{rule.id}  {rule.severity:<7}  {rule.title}")
        raise typer.Exit
    inspected = [inspect_file(path) for path in _files_to_check(files or [folder or _flow_folder()])]
    loaded = {one.loaded.name: one.loaded.flow for one in inspected if one.loaded is not None}
    findings = [*(finding for one in inspected for finding in one.findings), *check_together(loaded)]
    if as_json:
        _print_json(inspected, findings)
    else:
        _print_findings(inspected, findings)
    errors = sum(finding.severity == "error" for finding in findings)
    raise typer.Exit(1 if errors or (strict and findings) else 0)


def _files_to_check(given: list[Path]) -> list[Path]:
    """The files themselves, and the flow files of what is a folder."""
    from voicebot.errors import FlowError
    from voicebot.flow.loader import flow_files

    alone = [path for path in given if path.suffix and not path.is_dir()]
    paths = [path for one in given for path in ([one] if one in alone else flow_files(one))]
    if not paths:
        raise FlowError(f"there is no flow in {given[0]}", mend="a flow is a Python file that defines `flow`")
    return paths


def _print_findings(inspected: list[InspectedFile], findings: list[Finding]) -> None:
    for one in inspected:
        for finding in one.findings:
            print(finding)
        if one.loaded is not None:
            flow = one.loaded.flow
            print(f"{one.path}: {len(flow.phases)} phases, {len(flow.specs)} observations, {one.loaded.version}")
    for finding in findings[sum(len(one.findings) for one in inspected) :]:
        print(finding)
    errors = sum(finding.severity == "error" for finding in findings)
    print(f"{len(inspected)} files, {errors} errors, {len(findings) - errors} warnings")


def _print_json(inspected: list[InspectedFile], findings: list[Finding]) -> None:
    import json

    files = [
        {
            "file": str(one.path),
            "flow": one.path.stem,
            "loads": one.loaded is not None,
            "version": one.loaded.version if one.loaded is not None else None,
            "phases": len(one.loaded.flow.phases) if one.loaded is not None else None,
            "observations": len(one.loaded.flow.specs) if one.loaded is not None else None,
        }
        for one in inspected
    ]
    found = [
        {
            "file": finding.file,
            "line": finding.line,
            "rule": finding.rule,
            "severity": finding.severity,
            "problem": finding.problem,
            "mend": finding.mend,
        }
        for finding in findings
    ]
    print(json.dumps({"files": files, "findings": found}, indent=2, ensure_ascii=False))


@app.command()
def graph(
    name: Annotated[str, typer.Argument(help="Which flow to draw: its name, or a flow file.")],
    svg: Annotated[Path | None, typer.Option(help="Write an SVG image there instead of Mermaid text.")] = None,
    folder: FolderOption = None,
) -> None:
    """Draw a flow as a diagram, from the same data the engine runs."""
    from voicebot.flow.graph import mermaid
    from voicebot.flow.loader import load_file
    from voicebot.flow.svg import svg as drawn

    path = Path(name)
    flow = load_file(path).flow if path.suffix == ".py" else _shelf(folder).get(name).flow
    if svg is None:
        print(mermaid(flow), end="")
        return
    try:
        svg.write_text(drawn(flow), encoding="utf-8")
    except OSError as exc:
        print(f"voicebot: {svg} cannot be written: {exc.strerror}", file=sys.stderr)
        raise typer.Exit(2) from exc


@app.command()
def test(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Flows to test, or single scenarios as FLOW:SCENARIO; default: all that have scenarios."),
    ] = None,
    variations: Annotated[
        int, typer.Option(help="How often each scenario is played in words, with other delays and orders.", min=0)
    ] = 20,
    seed: Annotated[int | None, typer.Option(help="Play this one variation again, and nothing else.", min=0)] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="The variations only, without audio and sockets, where there are any.")
    ] = False,
    junit: Annotated[Path | None, typer.Option(help="Write the outcomes there as JUnit XML.")] = None,
    folder: FolderOption = None,
) -> None:
    """Rehearse the flows: play every scenario beside them as a whole call, and say what was covered.

    Once over the whole path, from the phone's audio to the report; then as often as --variations says in words alone,
    each time with other delays and another order of events. A variation that fails is named by its seed.
    """
    import time
    from itertools import groupby

    from voicebot.sim import suite, suite_lines
    from voicebot.sim.coverage import coverage

    if quick and seed is None and not variations:
        raise typer.BadParameter("--quick with --variations 0 leaves nothing to play")
    chosen, began = folder or _flow_folder(), time.monotonic()
    seeds = tuple(range(1, variations + 1)) if seed is None else (seed,)
    plan = suite.Plan(chosen, tuple(names or ()), seeds, quick or seed is not None)
    outcomes: list[suite.Outcome] = []
    counted = _counted(suite.run_suite(plan), suite.call_count(plan))
    for _, group in groupby(counted, lambda outcome: (outcome.flow, outcome.scenario)):
        of_scenario = list(group)
        outcomes += of_scenario
        for line in suite_lines.scenario_lines(of_scenario):
            print(line)
    shelf = _shelf(chosen)
    for flow in dict.fromkeys(outcome.flow for outcome in outcomes if seed is None):
        of_flow = [one for one in outcomes if one.flow == flow]
        reached = frozenset(point for one in of_flow for point in one.covered)
        print(suite_lines.flow_line(flow, of_flow, coverage(shelf.get(flow).flow, reached)))
    if junit is not None:
        suite.write_junit(junit, outcomes)
    print(suite_lines.last_line(outcomes, time.monotonic() - began))
    raise typer.Exit(1 if any(outcome.problems for outcome in outcomes) else 0)


@app.command()
def load(
    calls: Annotated[
        str,
        typer.Option(
            help="Calls at once, one load after the other. A profile takes the greatest; --find begins there."
        ),
    ] = "1,25,50",
    seconds: Annotated[
        float | None, typer.Option(help="Length of each window (12), or of a whole profile (60).", min=1, max=86_400)
    ] = None,
    codec: Annotated[Codec, typer.Option(help="The model's audio: 24 kHz, or mu-law straight through.")] = Codec.pcm,
    runs: Annotated[int, typer.Option(help="Measure each load so often, and show medians.", min=1, max=100)] = 1,
    profile: Annotated[Profile | None, typer.Option(help="How the load goes over time.")] = None,
    find: Annotated[bool, typer.Option("--find", help="Find the most calls at once that the server carries.")] = False,
    total: Annotated[int, typer.Option(help="Calls of a soak, all together.", min=1, max=1_000_000)] = 10_000,
    workers: Annotated[int, typer.Option(help="Processes of our server.", min=1, max=256)] = 1,
    store: Annotated[
        str | None, typer.Option(help="Our server's store; the calls stay in it. Default: a file that goes away.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Call this server instead of one of ours, as in https://voice.example.com.")
    ] = None,
    auth_token_env: Annotated[
        str, typer.Option(help="With --url: the variable that holds the account's auth token.")
    ] = "TWILIO_AUTH_TOKEN",
    to: Annotated[str, typer.Option(help="With --url: the number to dial.")] = "+15550100000",
    model_listen: Annotated[
        str | None,
        typer.Option(help="With --url: where the model listens that the server is set to use, as in 127.0.0.1:9000."),
    ] = None,
    pid: Annotated[
        int | None, typer.Option(help="With --url: the server's process on this machine, to be looked at.", min=1)
    ] = None,
    first: Annotated[
        bool, typer.Option("--first", help="Before all other processes of a busy machine (root only).")
    ] = False,
    to_json: Annotated[Path | None, typer.Option("--json", help="Write the figures there as JSON.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw them there as SVG.")] = None,
) -> None:
    """Put a server under the load of whole calls: what a call costs, and what the server adds in delay.

    Starts a server of ours on a core of its own, and calls it with phones that speak to a model, all on this machine.
    Exit code 1 when calls failed, an answer had gaps, a soak left something over, or nothing could be measured.
    """
    from voicebot.errors import ScenarioError
    from voicebot.settings import foreign_environment, secret_variable
    from voicebot.sim.load.command import Output, run_load
    from voicebot.sim.load.plan import Request
    from voicebot.sim.load.profiles import Shape

    for path in (to_json, plot):
        if path is not None and (path.is_dir() or not path.parent.is_dir()):
            raise typer.BadParameter(f"{path} cannot be written: name a file in a folder that exists")
    request = Request(
        calls=calls,
        seconds=seconds,
        codec=codec.value,
        runs=runs,
        profile=Shape(profile.value) if profile else None,
        find=find,
        total=total,
        workers=workers,
        store=store,
        first=first,
        url=url,
        to=to,
        model_listen=model_listen,
        pid=pid,
    )
    try:
        plan = request.plan(foreign_environment(), lambda: secret_variable(auth_token_env).get_secret_value())
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from exc
    shown = sys.stderr.isatty()

    def progress(text: str) -> None:
        if shown:
            print(f"\r{text:<60}\r", end="", file=sys.stderr, flush=True)

    output = Output(lambda text: print(text, flush=True), progress, to_json, plot)
    try:
        well = run_load(plan, output)
    except ScenarioError as exc:
        print(f"voicebot: {exc}", file=sys.stderr)
        raise typer.Exit(1) from exc
    raise typer.Exit(0 if well else 1)


@app.command()
def call(
    to: Annotated[str, typer.Argument(help="The number to call, as in +390612345678.")],
    flow: Annotated[str, typer.Argument(help="Which flow talks.")],
    var: Annotated[
        list[str] | None, typer.Option(help="What the flow is to know of this call, as name=value; several times.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="Which of your numbers calls; default: the first of the flow's.")
    ] = None,
    server: Annotated[str, typer.Option(help="Where `voicebot serve` answers.")] = "http://127.0.0.1:8080",
) -> None:
    """Have a running server call somebody, and follow the call until it ends.

    The server calls only numbers that VOICEBOT_OUTBOUND_ALLOW allows. Its token is read from VOICEBOT_API_TOKEN. Exit
    code 0 when somebody answered and the conversation came to its end, 1 when it did not, 2 when it was not placed.
    """
    import asyncio

    from voicebot.server.place_call import place_and_follow
    from voicebot.settings import read_settings

    pairs = [one.partition("=") for one in var or ()]
    if bad := [name for name, equals, _ in pairs if not (name and equals)]:
        raise typer.BadParameter(f"{bad[0]!r} is no name=value", param_hint="--var")
    body: dict[str, object] = {"to": to, "flow": flow, "variables": {name: value for name, _, value in pairs}}
    if from_ is not None:
        body["from"] = from_
    token = next((one.token.get_secret_value() for one in read_settings().all_api_tokens if one.scope != "read"), "")
    outcome = asyncio.run(place_and_follow(server, token, body, lambda line: print(line, flush=True)))
    print(outcome)
    raise typer.Exit(0 if outcome.talked else 1)


@app.command()
def connect(
    number: Annotated[str, typer.Argument(help="A number of your Twilio account, as in +390612345678.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
) -> None:
    """Point a Twilio number here: its voice, fallback and status addresses, shown before and after.

    They lead to VOICEBOT_PUBLIC_URL. Needs TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN.
    """
    import asyncio

    from voicebot.server.connect_number import connect_number
    from voicebot.settings import read_settings

    done = asyncio.run(connect_number(read_settings(), number, dry_run=dry_run))
    for line in done.lines():
        print(line)
    if dry_run and done.changes:
        print("nothing was changed", file=sys.stderr)


@app.command()
def doctor(folder: FolderOption = None, as_json: JsonOption = False) -> None:
    """Say what is missing or wrong before anybody calls, and how to mend it. It begins no call and costs nothing.

    Settings, keys, data folder, store, flows, the model, the public address with its signatures, the clock, the Twilio
    account. Exit code 1 when something must be mended.
    """
    import asyncio
    import json

    from voicebot.errors import SettingsError
    from voicebot.server.app import utc_now
    from voicebot.server.doctor import Finding, examine
    from voicebot.settings import read_settings

    found: list[Finding] = []

    def tell(finding: Finding) -> None:
        found.append(finding)
        if not as_json:
            print(finding, flush=True)

    async def look() -> None:
        async for finding in examine(read_settings(), folder or _flow_folder(), utc_now):
            tell(finding)

    try:
        asyncio.run(look())
    except SettingsError as exc:
        tell(Finding("settings", "wrong", f"{exc.variable} {exc.problem}", exc.mend))
    if as_json:
        print(json.dumps({"findings": [finding.as_json() for finding in found]}, indent=2, ensure_ascii=False))
    raise typer.Exit(1 if any(finding.level == "wrong" for finding in found) else 0)


@app.command()
def replay(
    call_sids: Annotated[list[str] | None, typer.Argument(help="Calls to replay; default: the latest ones.")] = None,
    latest: Annotated[int, typer.Option(help="How many of the latest calls.", min=1, max=1000)] = 100,
    folder: FolderOption = None,
) -> None:
    """Replay recorded calls against the flows as they are now: which would go another way, and where first."""
    import asyncio

    from voicebot.server.recorded import replay_calls
    from voicebot.settings import read_settings

    verdicts = asyncio.run(replay_calls(read_settings().store, _shelf(folder), call_sids or (), latest))
    for verdict in verdicts:
        print(verdict)
    changed = sum(verdict.changed for verdict in verdicts)
    print(f"{len(verdicts)} calls, {changed} would go another way")
    raise typer.Exit(1 if changed else 0)


@calls_app.command("list")
def calls_list(
    caller: NumberOption = None,
    live: Annotated[bool | None, typer.Option("--live/--ended", help="Only calls at work, or only those over.")] = None,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=100_000)] = 20,
    as_json: JsonOption = False,
) -> None:
    """The latest calls: when, which flow, from whom, and what came of them."""
    import asyncio
    import json

    from voicebot.server import record_lines, records

    _check_number(caller)
    ended = None if live is None else not live
    found = asyncio.run(records.list_calls(_store(), limit=limit, number=caller, ended=ended))
    if as_json:
        print(json.dumps({"calls": [records.as_json(call) for call in found]}, indent=2, ensure_ascii=False))
        return
    for line in record_lines.list_lines(found):
        print(line)


@calls_app.command("show")
def calls_show(call_sid: str, as_json: JsonOption = False) -> None:
    """A call: phases, observations with their evidence, what was said and heard, and why it ended.

    Of a call at work, what is known so far.
    """
    import asyncio
    import json

    from voicebot.server import record_lines, records

    call = asyncio.run(records.known_call(_store(), call_sid))
    if as_json:
        print(json.dumps(records.as_json(call), indent=2, ensure_ascii=False))
        return
    for line in record_lines.call_lines(call):
        print(line)


@calls_app.command("report")
def calls_report(call_sid: str) -> None:
    """A call's report in JSON, as it is kept."""
    import asyncio

    from voicebot.server.records import report_of

    print(asyncio.run(report_of(_store(), call_sid)))


@calls_app.command("erase")
def calls_erase(
    call_sids: Annotated[list[str] | None, typer.Argument(help="Calls to erase.")] = None,
    caller: NumberOption = None,
    older_than: Annotated[
        str | None, typer.Option(help="Calls that ended so long ago, as in 30d or 12h, and whose report is delivered.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase calls for good: record, journal, report, deliveries and recording. A call at work is left alone.

    Exit code 1 when a named call is not erased.
    """
    import asyncio
    from datetime import UTC, datetime

    from voicebot.server import record_lines, records

    _check_number(caller)
    if sum((bool(call_sids), caller is not None, older_than is not None)) != 1:
        raise typer.BadParameter("name calls, or give --caller, or --older-than: one of the three")
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("nobody is there to ask: add --yes")
    before = datetime.now(UTC) - _age(older_than, "--older-than") if older_than is not None else None
    chosen = records.Selection(tuple(call_sids or ()), caller, before)
    found = asyncio.run(records.to_erase(_store(), chosen))
    for line in record_lines.erasure_lines(found):
        print(line)
    if found.calls and (yes or typer.confirm("Erase for good?")):
        erased = asyncio.run(records.erase(_store(), chosen, _recordings()))
        for call_sid in erased:
            print(f"erased: {call_sid}")
        print(f"calls erased: {len(erased)}")
    raise typer.Exit(1 if call_sids and found.kept else 0)


@calls_app.command("export")
def calls_export(
    call_sid: Annotated[
        str | None, typer.Argument(help="With --audio: the call whose recording is played out.")
    ] = None,
    audio: Annotated[Path | None, typer.Option(help="Write a call's recording to this WAV file, unsealed.")] = None,
    to: Annotated[Path | None, typer.Option(help="Write to this file; default: standard output.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only calls that started then or later: a date (UTC), or how long ago, as in 7d.")
    ] = None,
) -> None:
    """Every call as a line of JSON, oldest first: its record, its journal and its report; or one call's recording."""
    import asyncio

    from voicebot.server.records import export, recorded_parts

    if (call_sid is None) != (audio is None):
        raise typer.BadParameter("name a call and give --audio, or neither")
    if call_sid is not None and audio is not None:
        from voicebot.server.recording import play_out

        length_ms = play_out(_recordings(), asyncio.run(recorded_parts(_store(), call_sid)), audio)
        print(f"{length_ms / 1000:.1f} s in {audio}")
        return

    begin = _moment(since) if since is not None else None
    if to is None:
        asyncio.run(export(_store(), since=begin, write=sys.stdout.write))
        return
    try:
        with open(to, "w", encoding="utf-8", opener=_private) as file:
            count = asyncio.run(export(_store(), since=begin, write=file.write))
    except OSError as exc:
        print(f"voicebot: {to} cannot be written: {exc.strerror}", file=sys.stderr)
        raise typer.Exit(2) from exc
    print(f"{count} calls in {to}")


@flows_app.command("list")
def flows_list(folder: FolderOption = None) -> None:
    """Every flow with its version and goal."""
    shelf = _shelf(folder)
    width = max(map(len, shelf.flows), default=0)
    for name, loaded in shelf.flows.items():
        print(f"{name:<{width}}  {loaded.version}  {loaded.flow.goal}")
    for problem in shelf.problems:
        print(f"not loaded: {problem}", file=sys.stderr)
    raise typer.Exit(1 if shelf.problems else 0)


@flows_app.command("show")
def flows_show(name: str, folder: FolderOption = None) -> None:
    """A flow in its JSON form."""
    import json

    print(json.dumps(json.loads(_shelf(folder).get(name).document), indent=2, ensure_ascii=False))


@flows_app.command("schema")
def flows_schema(name: str, folder: FolderOption = None) -> None:
    """JSON Schema of the reports that calls with this flow send."""
    import json

    from voicebot.delivery.report_schema import report_schema

    print(json.dumps(report_schema(name, _shelf(folder).get(name).flow), indent=2, ensure_ascii=False))


@flows_app.command("scenario-schema")
def flows_scenario_schema() -> None:
    """JSON Schema of scenarios in YAML, for editors."""
    import json

    from voicebot.sim.scenario_form import scenario_schema

    print(json.dumps(scenario_schema(), indent=2, ensure_ascii=False))


def _store() -> str:
    from voicebot.settings import read_settings

    return read_settings().store


def _check_number(number: str | None) -> None:
    if number is not None and not (number[:1] == "+" and number[1:].isdecimal() and 8 <= len(number) <= 16):
        raise typer.BadParameter(f"{number!r} is no number: write it as in +15550123456", param_hint="--caller")


def _age(text: str, option: str) -> timedelta:
    """How long ago, from `30d`, `12h` or `2w`."""
    from datetime import timedelta

    units = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
    if text[-1:] not in units or not (text[:-1].isascii() and text[:-1].isdecimal() and len(text) <= 6):
        raise typer.BadParameter(f"{text!r} is no time: write it as in 30d, 12h or 2w", param_hint=option)
    return int(text[:-1]) * units[text[-1]]


def _moment(text: str) -> datetime:
    """A date, with a time or without (UTC unless it says otherwise), or how long ago."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return datetime.now(UTC) - _age(text, "--since")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _private(path: str, flags: int) -> int:
    """Open a file that others must not read."""
    import os

    return os.open(path, flags, 0o600)


@deliveries_app.command("list")
def deliveries_list(
    state: Annotated[State | None, typer.Option(help="Only those that stand so.")] = None,
    call: Annotated[str | None, typer.Option(help="Only those of this call.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many, the latest.", min=1, max=10_000)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
) -> None:
    """The latest deliveries: id, state, attempts, call, host, and what came of the last attempt."""
    import asyncio
    import json

    from voicebot.delivery.lines import as_json as in_json
    from voicebot.delivery.lines import list_lines
    from voicebot.server.deliveries import list_deliveries
    from voicebot.settings import read_settings

    wanted: DeliveryState | None = None if state is None else state.value
    found = asyncio.run(list_deliveries(read_settings().store, limit, wanted, call))
    if as_json:
        print(json.dumps([in_json(one) for one in found], indent=2, ensure_ascii=False))
        return
    for line in list_lines(found):
        print(line)
    if len(found) == limit:
        print(f"the latest {limit}; --limit shows more", file=sys.stderr)


@deliveries_app.command("show")
def deliveries_show(
    delivery_id: Annotated[str, typer.Argument(help="Its id, as `list` shows it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, with the body as it is sent.")] = False,
) -> None:
    """Everything of one delivery: how it stands, its headers as they would be sent now, and its body."""
    import asyncio
    import json

    from voicebot.delivery.lines import show_lines, whole_as_json
    from voicebot.server.app import keyring, utc_now
    from voicebot.server.deliveries import find_delivery
    from voicebot.settings import read_settings

    settings = read_settings()
    found, keys = asyncio.run(find_delivery(settings.store, delivery_id)), keyring(settings)
    if as_json:
        print(json.dumps(whole_as_json(found, keys, utc_now()), indent=2, ensure_ascii=False))
        return
    for line in show_lines(found, keys, utc_now()):
        print(line)


@deliveries_app.command("retry")
def deliveries_retry(
    delivery_ids: Annotated[list[str] | None, typer.Argument(help="Which to send again, by id.")] = None,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="Every one that was given up.")] = False,
) -> None:
    """Send deliveries again, under the same id and from the first attempt on; enables a disabled receiver.

    A server that runs on the same store sends them within half a minute.
    """
    import asyncio

    from voicebot.server.app import utc_now
    from voicebot.server.deliveries import send_again, send_dead_again
    from voicebot.settings import read_settings

    if bool(delivery_ids) == all_dead:
        raise typer.BadParameter("name deliveries by their ids, or give --all-dead")
    store = read_settings().store
    sent = asyncio.run(
        send_dead_again(store, utc_now()) if all_dead else send_again(store, delivery_ids or (), utc_now())
    )
    for one in sent:
        print(one)
    print(f"{len(sent)} will be sent again", file=sys.stderr)


def _recordings() -> RecordingFolder:
    """Where the recordings of the settings' store are, with the keys that open them."""
    from voicebot.server.recording import recordings_folder
    from voicebot.settings import read_settings

    settings = read_settings()
    return recordings_folder(settings.data_folder, settings.recording_keys)


def _flow_folder() -> Path:
    """The folder that is set, else `./flows`, else the flows that come with the package."""
    from voicebot.flow.loader import shipped_flows
    from voicebot.settings import read_settings

    chosen = read_settings().flows
    if chosen.is_dir() or chosen != Path("flows"):
        return chosen
    return shipped_flows()


def _counted(things: Iterable[T], total: int) -> Iterator[T]:
    """Pass things on; at a terminal, say how many there were so far."""
    shown = sys.stderr.isatty()
    for number, thing in enumerate(things, 1):
        if shown:
            print(f"\r{number}/{total} calls\r", end="", file=sys.stderr, flush=True)
        yield thing


def _shelf(folder: Path | None) -> FlowShelf:
    from voicebot.flow.loader import load_folder

    return load_folder(folder or _flow_folder())


def main() -> None:
    """Entry point: our own errors are one line on stderr and exit code 2."""
    from voicebot.errors import VoicebotError

    try:
        app()
    except VoicebotError as exc:
        print(f"voicebot: {exc}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
