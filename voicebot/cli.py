"""The command line. Each command imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voicebot import __version__

if TYPE_CHECKING:
    from voicebot.flow.loader import FlowShelf

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

FolderOption = Annotated[
    Path | None, typer.Option("--flows", help="Folder of flows; default: VOICEBOT_FLOWS, ./flows, or those shipped.")
]


class Codec(StrEnum):
    """How audio travels to the model."""

    pcm = "pcm"
    pcmu = "pcmu"


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
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8080,
) -> None:
    """Answer the phone: serve Twilio's webhooks and media streams."""
    from voicebot.server.serve import run_server
    from voicebot.settings import read_settings

    run_server(read_settings(), host, port)


@app.command()
def check(
    files: Annotated[list[Path] | None, typer.Argument(help="Flow files; default: every one of the folder.")] = None,
    folder: FolderOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
) -> None:
    """Say what is wrong with flows before anybody calls.

    One line each: file, line, severity, rule, and how to mend it. Exit code 1 when there is an error.
    """
    from voicebot.errors import FlowError
    from voicebot.flow.check import check as findings_of
    from voicebot.flow.loader import flow_files, load_file

    errors = warnings = 0
    paths = files or flow_files(folder or _flow_folder())
    for path in paths:
        try:
            loaded = load_file(path)
        except FlowError as exc:
            errors += 1
            print(f"{exc.where or path}: error: {exc.problem}" + (f" ({exc.mend})" if exc.mend else ""))
            continue
        findings = findings_of(loaded.flow)
        warnings += len(findings)
        for finding in findings:
            print(finding)
        print(f"{path}: {len(loaded.flow.phases)} phases, {len(loaded.flow.specs)} observations, {loaded.version}")
    print(f"{len(paths)} files, {errors} errors, {warnings} warnings")
    raise typer.Exit(1 if errors or (strict and warnings) else 0)


@app.command()
def graph(
    name: Annotated[str, typer.Argument(help="Which flow to draw.")],
    svg: Annotated[Path | None, typer.Option(help="Write an SVG image there instead of Mermaid text.")] = None,
    folder: FolderOption = None,
) -> None:
    """Draw a flow as a diagram, from the same data the engine runs."""
    from voicebot.flow import graph as drawing

    flow = _shelf(folder).get(name).flow
    if svg is None:
        print(drawing.mermaid(flow), end="")
    else:
        svg.write_text(drawing.svg(flow), encoding="utf-8")


@app.command()
def test(
    names: Annotated[list[str] | None, typer.Argument(help="Flows to test; default: all that have scenarios.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the outcomes there as JUnit XML.")] = None,
    folder: FolderOption = None,
) -> None:
    """Rehearse the flows: play every scenario beside them as a whole call, and say what was covered."""
    from voicebot.sim import suite

    chosen = folder or _flow_folder()
    shelf = _shelf(chosen)
    outcomes = []
    for outcome in suite.run_suite(chosen, names or ()):
        outcomes.append(outcome)
        verdict = "failed" if outcome.problems else "passed"
        print(
            f"{verdict}  {outcome.flow}: {outcome.scenario}  ({outcome.call_s:.0f} s of call in {outcome.took_s:.1f} s)"
        )
        for problem in outcome.problems:
            print(f"        {problem}")
    for flow in dict.fromkeys(outcome.flow for outcome in outcomes):
        covered = suite.coverage(shelf.get(flow).flow, [one for one in outcomes if one.flow == flow])
        shown = f"phases {covered.phases[0]}/{covered.phases[1]}, ways {covered.ways[0]}/{covered.ways[1]}"
        print(f"covered {flow}: {shown}" + (f"; never: {', '.join(covered.missed)}" if covered.missed else ""))
    if junit is not None:
        suite.write_junit(junit, outcomes)
    failed = sum(bool(outcome.problems) for outcome in outcomes)
    print(f"{len(outcomes) - failed} passed, {failed} failed")
    raise typer.Exit(1 if failed else 0)


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

    from voicebot.delivery.report import report_schema

    print(json.dumps(report_schema(name, _shelf(folder).get(name).flow), indent=2, ensure_ascii=False))


def _flow_folder() -> Path:
    """The folder that is set, else `./flows`, else the flows that come with the package."""
    from voicebot.flow.loader import shipped_flows
    from voicebot.settings import read_settings

    chosen = read_settings().flows
    if chosen.is_dir() or chosen != Path("flows"):
        return chosen
    return shipped_flows()


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
