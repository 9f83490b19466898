"""The command line: what each command prints, with which exit code, and what it costs to start."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import subprocess
import sys
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes import environment
from tests.store.store_samples import START, opened
from voicebot import __version__
from voicebot.call.entries import RecordingStarted, kind_of, write_entry
from voicebot.cli import main
from voicebot.flow.json_form import flow_from_json
from voicebot.recording import wav
from voicebot.recording.files import RecordingFolder
from voicebot.settings import Settings
from voicebot.store.contract import StoredEntry
from voicebot.store.opening import open_store

GOOD = """
from voicebot.flow import Flow, HangUp, Observations, Phase, To, ask, it

class Visit(Observations):
    name: str = ask("the caller's name")

flow = Flow(
    goal="Find out who is calling.",
    observations=Visit,
    opening="Hello!",
    phases=[
        Phase("reception", instructions="Ask who is calling.", observations=[it.name], transitions=[To("bye")]),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
)
"""
SCENARIO = """
from voicebot.sim.brain import Calls, Says
from voicebot.sim.scenario import Exchange, Expected, Say, Scenario

scenarios = [
    Scenario(
        "short",
        "visit",
        (
            Exchange(
                Say("Ada here."),
                ((Calls("record", {"name": {"value": "Ada", "quote": "Ada here"}}),), (Says("Goodbye!"),)),
            ),
        ),
        Expected(phases=("reception", "bye"), observations={"name": "Ada"}, ended_reason="completed"),
    )
]
"""
BROKEN = "from voicebot.flow import Flow\nflow = Flow(goal='x', phases=[\n"
DOUBTFUL = GOOD.replace('instructions="Ask who is calling.", ', "")
SERVING = {
    "TWILIO_AUTH_TOKEN": "canary-token",
    "VOICEBOT_PUBLIC_URL": "https://voice.example.com",
    "OPENAI_API_KEY": "sk-canary",
}


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in an empty folder, with no variable of the developer's."""
    for field in Settings.model_fields.values():
        monkeypatch.delenv(str(field.validation_alias), raising=False)
    monkeypatch.chdir(tmp_path)

    def command(*arguments: object, **variables: str) -> Outcome:
        with monkeypatch.context() as here, pytest.raises(SystemExit) as ended:
            here.setattr("sys.argv", ["voicebot", *map(str, arguments)])
            for name, value in variables.items():
                here.setenv(name, value)
            main()
        shown = capsys.readouterr()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else 0, shown.out, shown.err)

    return command


def folder_of(path: Path, **files: str) -> Path:
    """A folder of flow files; with the scenarios of `visit` beside them."""
    (path / "scenarios").mkdir(parents=True)
    for name, text in files.items():
        (path / f"{name}.py").write_text(text)
    (path / "scenarios" / "visit.py").write_text(SCENARIO)
    return path


# ---- the start ------------------------------------------------------------------------------------------------------


HEAVY = {"aiohttp", "numpy", "twilio", "pydantic", "websockets", "soxr", "asyncio", "sqlite3", "rich", "uvloop"}


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], HEAVY),
        (["--version"], HEAVY - {"pydantic"}),  # with which typer itself reads an option
        (["serve", "--help"], HEAVY - {"pydantic"}),
        (["flows", "--help"], HEAVY - {"pydantic"}),
        (["calls", "erase", "--help"], HEAVY - {"pydantic"}),
        (["deliveries", "--help"], HEAVY - {"pydantic"}),
    ],
)
def test_help_imports_nothing_heavy(arguments: list[str], heavy: set[str], tmp_path: Path) -> None:
    program = (
        "import sys\n"
        f"sys.argv = ['voicebot', *{arguments}]\n"
        "from voicebot.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded & heavy == set()
    assert "voicebot" in loaded


def test_module_runs_as_the_command_does(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "voicebot", "--version"], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


def test_help_names_every_command(run: Run) -> None:
    shown = run("--help")
    assert shown.code == 0
    for command in ("demo", "serve", "check", "flows", "calls"):
        assert f"\n  {command} " in shown.out
        assert run(command, "--help").code == 0
    assert run("-h").out == shown.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("nosuch",),
        ("--nosuch",),
        ("serve", "--port", "70000"),
        ("serve", "--port", "eighty"),
        ("demo", "--codec", "opus"),
        ("flows", "show"),
        ("flows",),
        ("calls",),
        ("calls", "show"),
        ("calls", "list", "--limit", "0"),
        ("calls", "list", "--caller", "0039555"),
        ("calls", "erase", "--yes"),
        ("calls", "erase", "CA1", "--caller", "+15550123", "--yes"),
        ("calls", "erase", "--caller", "+15550123", "--older-than", "30d", "--yes"),
        ("calls", "erase", "--older-than", "30", "--yes"),
        ("calls", "erase", "--older-than", "³d", "--yes"),
        ("calls", "erase", "--older-than", "9999999w", "--yes"),
        ("calls", "export", "--since", "yesterday"),
    ],
)
def test_wrong_usage_is_exit_code_2(run: Run, arguments: tuple[str, ...]) -> None:
    shown = run(*arguments)
    assert shown.code == 2
    assert "Traceback" not in shown.err


# ---- check ----------------------------------------------------------------------------------------------------------


def test_check_passes_a_good_flow(run: Run, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine", visit=GOOD)
    for shown in (
        run("check", "--flows", folder),
        run("check", folder / "visit.py"),
        run("check", VOICEBOT_FLOWS=str(folder)),
    ):
        assert shown.code == 0
        lines = shown.out.splitlines()
        assert lines[0].startswith(f"{folder / 'visit.py'}: 2 phases, 1 observations, ")
        assert lines[-1] == "1 files, 0 errors, 0 warnings"


def test_check_names_file_and_line_of_an_error(run: Run, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine", visit=GOOD, broken=BROKEN, empty="")
    shown = run("check", "--flows", folder)
    assert shown.code == 1
    assert f"{folder / 'broken.py'}:2: error F000: syntax error" in shown.out
    assert f"{folder / 'empty.py'}: error F000: the file defines no flow" in shown.out
    assert shown.out.endswith("3 files, 2 errors, 0 warnings\n")


def test_check_lets_warnings_pass_unless_strict(run: Run, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine", visit=DOUBTFUL)
    shown, strict = run("check", "--flows", folder), run("check", "--flows", folder, "--strict")
    assert (shown.code, strict.code) == (0, 1)
    assert f"{folder / 'visit.py'}:12: warning F011: phase 'reception' has no instructions" in shown.out
    assert "0 errors, 1 warnings" in shown.out
    assert shown.out == strict.out


def test_check_of_a_missing_file_is_an_error(run: Run, tmp_path: Path) -> None:
    shown = run("check", "nosuch.py")
    assert shown.code == 1
    assert shown.out.startswith("nosuch.py: error F000: cannot be read: No such file")


def test_check_shows_every_error_of_a_file(run: Run, tmp_path: Path) -> None:
    wrong = GOOD.replace('To("bye")', 'To("by")').replace("[it.name]", "[it.nam]")
    shown = run("check", folder_of(tmp_path / "mine", visit=wrong) / "visit.py")
    assert shown.code == 1
    assert "error F002: phase 'reception' leads to 'by', which does not exist" in shown.out
    assert "error F003: phase 'reception' collects 'nam', which is no observation (did you mean 'name'?)" in shown.out
    assert shown.out.endswith("1 files, 2 errors, 0 warnings\n")


def test_check_takes_folders_as_files(run: Run, tmp_path: Path) -> None:
    one, other = folder_of(tmp_path / "one", visit=GOOD), folder_of(tmp_path / "other", again=GOOD)
    shown = run("check", one, other / "again.py")
    assert shown.code == 0
    assert shown.out.endswith("2 files, 0 errors, 0 warnings\n")


def test_check_finds_a_number_that_two_flows_answer(run: Run, tmp_path: Path) -> None:
    numbered = GOOD.replace('opening="Hello!"', 'numbers=["+15550100001"]')
    shown = run("check", "--flows", folder_of(tmp_path / "mine", first=numbered, second=numbered))
    assert shown.code == 0
    assert "second.py:7: warning F033: +15550100001 leads to flow 'first' already" in shown.out
    assert shown.out.endswith("2 files, 0 errors, 1 warnings\n")


def test_check_prints_json_for_scripts(run: Run, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine", broken=BROKEN, visit=DOUBTFUL)
    shown = run("check", "--flows", folder, "--json")
    assert shown.code == 1
    printed = json.loads(shown.out)
    broken, visit = printed["files"]
    assert (broken["file"], broken["flow"], broken["loads"]) == (str(folder / "broken.py"), "broken", False)
    assert (visit["loads"], visit["phases"], visit["observations"]) == (True, 2, 1)
    error, warning = printed["findings"]
    assert (error["rule"], error["severity"], error["line"]) == ("F000", "error", 2)
    assert warning == {
        "file": str(folder / "visit.py"),
        "line": 12,
        "rule": "F011",
        "severity": "warning",
        "problem": "phase 'reception' has no instructions",
        "mend": "say what it is for",
    }
    assert run("check", folder / "visit.py", "--json").code == 0
    assert run("check", folder / "visit.py", "--json", "--strict").code == 1


def test_check_lists_its_rules(run: Run) -> None:
    shown = run("check", "--rules")
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[0] == "F000  error    the file cannot be loaded"
    assert lines[11] == "F011  warning  a phase has no instructions"
    assert lines == sorted(lines)


def test_check_of_nothing_is_exit_code_2(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments in (("check", "--flows", "empty"), ("check", "empty")):
        shown = run(*arguments)
        assert (shown.code, shown.out) == (2, "")
        assert shown.err == "voicebot: there is no flow in empty (a flow is a Python file that defines `flow`)\n"


# ---- graph ----------------------------------------------------------------------------------------------------------


def test_graph_draws_a_flow_by_name_or_file(run: Run, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine", visit=GOOD)
    by_name, by_file = run("graph", "visit", "--flows", folder), run("graph", folder / "visit.py")
    assert (by_name.code, by_name.err) == (0, "")
    assert by_name.out.startswith("flowchart TD\n")
    assert by_file.out == by_name.out
    image = tmp_path / "visit.svg"
    assert run("graph", "visit", "--flows", folder, "--svg", image).code == 0
    assert image.read_text(encoding="utf-8").startswith("<svg ")


def test_graph_that_cannot_be_written_is_one_line(run: Run, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine", visit=GOOD)
    for target, why in ((tmp_path / "no" / "visit.svg", "No such file or directory"), (tmp_path, "Is a directory")):
        shown = run("graph", "visit", "--flows", folder, "--svg", target)
        assert (shown.code, shown.out) == (2, "")
        assert shown.err == f"voicebot: {target} cannot be written: {why}\n"


def test_missing_folder_is_exit_code_2(run: Run) -> None:
    for command in (("check",), ("flows", "list"), ("flows", "show", "visit"), ("demo", "visit")):
        shown = run(*command, VOICEBOT_FLOWS="nosuch")
        assert (shown.code, shown.out) == (2, "")
        assert (
            shown.err == "voicebot: the flow folder nosuch does not exist (set VOICEBOT_FLOWS to a folder of flows)\n"
        )


def test_shipped_flows_serve_where_there_are_none(run: Run, tmp_path: Path) -> None:
    assert "restaurant_ordering" in run("flows", "list").out
    folder_of(tmp_path / "flows", visit=GOOD)
    shown = run("flows", "list")
    assert "visit" in shown.out
    assert "restaurant_ordering" not in shown.out


# ---- flows ----------------------------------------------------------------------------------------------------------


def test_list_shows_what_loaded_and_what_did_not(run: Run, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine", visit=GOOD, broken=BROKEN)
    shown = run("flows", "list", "--flows", folder)
    assert shown.code == 1
    assert shown.out.startswith("visit  ")
    assert shown.out.endswith("  Find out who is calling.\n")
    assert shown.err.startswith(f"not loaded: {folder / 'broken.py'}:2: ")
    (folder / "broken.py").unlink()
    assert run("flows", "list", "--flows", folder).code == 0


def test_show_prints_a_flow_that_loads_again(run: Run, tmp_path: Path) -> None:
    shown = run("flows", "show", "visit", "--flows", folder_of(tmp_path / "mine", visit=GOOD))
    assert shown.code == 0
    again = flow_from_json(shown.out)
    assert again.goal == "Find out who is calling."
    assert [phase.name for phase in again.phases] == ["reception", "bye"]


def test_schema_describes_the_flows_report(run: Run, tmp_path: Path) -> None:
    shown = run("flows", "schema", "visit", "--flows", folder_of(tmp_path / "mine", visit=GOOD))
    assert shown.code == 0
    schema = json.loads(shown.out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert list(schema["properties"]["data"]["properties"]["observations"]["properties"]) == ["name"]


@pytest.mark.parametrize("command", [("flows", "show"), ("flows", "schema"), ("demo",)])
def test_unknown_flow_lists_those_there_are(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    shown = run(*command, "nosuch", "--flows", folder_of(tmp_path / "mine", visit=GOOD))
    assert (shown.code, shown.out) == (2, "")
    assert shown.err == "voicebot: no flow is named 'nosuch' (loaded flows: visit)\n"


# ---- init -----------------------------------------------------------------------------------------------------------


def test_init_makes_a_project_and_says_what_is_next(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = run("init", "practice", "--name", "front_desk")
    assert (shown.code, shown.err) == (0, "")
    *_, check, test, chat = shown.out.splitlines()
    assert (check, test) == ("  cd practice && voicebot check", "  voicebot test")
    monkeypatch.chdir(tmp_path / "practice")
    assert run("check", "--strict").code == 0
    assert run("test", "front_desk:call back", "--quick", "--variations", "1").code == 0
    assert chat == "  voicebot chat front_desk"


def test_init_begins_with_a_flow_that_is_shipped(run: Run, tmp_path: Path) -> None:
    assert run("init", "trattoria", "--from", "restaurant_ordering").code == 0
    assert (tmp_path / "trattoria" / "flows" / "menu.md").is_file()


def test_init_refuses_what_cannot_be(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    for arguments, words in [
        (("mine",), "voicebot: mine is not empty: it has notes.txt (name a new folder, or an empty one)"),
        (("mine/notes.txt",), "voicebot: mine/notes.txt is no folder"),
        (("new", "--name", "Front Desk"), "voicebot: 'Front Desk' is no name for a flow"),
        (("new", "--from", "nosuch"), "voicebot: no flow 'nosuch' is shipped"),
        (("new", "--from", "restaurant_ordering", "--name", "x"), "leave out --name"),
        ((), "Missing argument 'DIR'"),
    ]:
        shown = run("init", *arguments)
        assert (shown.code, shown.out) == (2, "")
        assert words in shown.err and "Traceback" not in shown.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


# ---- demo -----------------------------------------------------------------------------------------------------------


def test_demo_leaves_a_recording_and_exit_code_0(run: Run, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine", visit=GOOD)
    shown = run("demo", "visit", "--fast", "--flows", folder, "--codec", "pcmu", "--wav", tmp_path / "it.wav")
    assert (shown.code, shown.err) == (0, "")
    assert "signature verified" in shown.out
    with wave.open(str(tmp_path / "it.wav")) as recording:
        assert (recording.getnchannels(), recording.getsampwidth()) == (2, 2)
        assert recording.getnframes() > recording.getframerate()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["it.wav", "mine"]


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ('"name": "Ada"', '"name": "Grace"'),
        ('"reception", "bye"', '"reception",'),
        ('ended_reason="completed"', 'ended_reason="silence"'),
        ('Says("Goodbye!"),)', 'Says("Goodbye!"),), (Says("Never said."),)'),
    ],
)
def test_demo_that_goes_wrong_is_exit_code_1(run: Run, tmp_path: Path, expected: str, found: str) -> None:
    folder = folder_of(tmp_path / "mine", visit=GOOD)
    scenarios = folder / "scenarios" / "visit.py"
    assert expected in SCENARIO
    scenarios.write_text(SCENARIO.replace(expected, found))
    shown = run("demo", "visit", "--fast", "--flows", folder)
    assert shown.code == 1
    assert "problem" in shown.out
    assert "All as it should be" not in shown.out
    assert "Traceback" not in shown.err


def test_demo_heeds_no_setting_for_serving(run: Run, tmp_path: Path) -> None:
    """Whatever stands in the environment for serving, the demo plays between its own twins."""
    folder = folder_of(tmp_path / "mine", visit=GOOD)
    elsewhere = {
        "VOICEBOT_PUBLIC_URL": "https://voice.example.com",
        "VOICEBOT_WEBHOOK_URL": "https://crm.example.com",
        "VOICEBOT_DEFAULT_FLOW": "nosuch",
        "VOICEBOT_NUMBERS": "+15550100000=nosuch",
        "VOICEBOT_STORE": f"sqlite:///{tmp_path}/nowhere/calls.db",
        "VOICEBOT_REALTIME_URL": "wss://realtime.example.com",
    }
    assert run("demo", "visit", "--fast", "--flows", folder, **elsewhere).code == 0
    assert not (tmp_path / "nowhere").exists()


def test_demo_refuses_what_cannot_be(run: Run, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine", visit=GOOD, other=GOOD)
    for arguments, words in [
        (("visit", "--fast", "--live"), "choose --fast or --live"),
        (("visit", "--fast", "--wav", tmp_path / "no" / "it.wav"), "name a file in a folder that exists"),
        (("visit", "--fast", "--wav", tmp_path), "name a file in a folder that exists"),
        (("other", "--fast"), "there is no scenario file"),
        (("visit", "--live"), "OPENAI_API_KEY: is not set"),
    ]:
        shown = run("demo", *arguments, "--flows", folder)
        assert shown.code == 2
        assert words in shown.err
        assert "Traceback" not in shown.err


# ---- calls ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> str:
    """The address of a store with a call that is over, and one at work."""
    address = f"sqlite:///{tmp_path}/calls.db"

    async def keep() -> None:
        store = await open_store(address)
        await opened(store, "CA1", "CA2")
        data = {"ended_reason": "completed", "duration_s": 5.0, "outcome": None, "progress": 1.0}
        await store.finish("CA1", json.dumps({"data": data}), [], attempt=1, ended=START)
        await store.close()

    asyncio.run(keep())
    return address


def test_calls_are_listed_as_table_and_json(run: Run, kept: str) -> None:
    shown = run("calls", "list", VOICEBOT_STORE=kept)
    assert shown.code == 0
    assert [line.split()[2] for line in shown.out.splitlines()[1:]] == ["CA2", "CA1"]
    for arguments, call_sids in [
        (("--live",), ["CA2"]),
        (("--ended",), ["CA1"]),
        (("--caller", "+15550123"), ["CA2", "CA1"]),
        (("--caller", "+15550999"), []),
        (("--limit", "1"), ["CA2"]),
    ]:
        found = json.loads(run("calls", "list", "--json", *arguments, VOICEBOT_STORE=kept).out)["calls"]
        assert [call["record"]["call_sid"] for call in found] == call_sids


def test_call_is_shown_as_text_and_json(run: Run, kept: str) -> None:
    assert "at work at A-000001" in run("calls", "show", "CA2", VOICEBOT_STORE=kept).out
    assert json.loads(run("calls", "show", "CA2", "--json", VOICEBOT_STORE=kept).out)["data"] is None
    assert json.loads(run("calls", "report", "CA1", VOICEBOT_STORE=kept).out)["data"]["progress"] == 1.0


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("show", "CA9"), "no call CA9 is recorded"),
        (("report", "CA9"), "no call CA9 is recorded"),
        (("report", "CA2"), "call CA2 has no report yet"),
    ],
)
def test_call_that_is_not_there_is_one_line(run: Run, kept: str, command: tuple[str, ...], words: str) -> None:
    shown = run("calls", *command, VOICEBOT_STORE=kept)
    assert (shown.code, shown.out, shown.err.count("\n")) == (2, "", 1)
    assert words in shown.err


def test_erasing_needs_a_yes(run: Run, kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    refused = run("calls", "erase", "CA1", VOICEBOT_STORE=kept)
    assert refused.code == 2 and "add --yes" in refused.err
    for answer, erased in (("n\n", False), ("\n", False), ("y\n", True)):
        terminal = io.StringIO(answer)
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr("sys.stdin", terminal)
        shown = run("calls", "erase", "CA1", VOICEBOT_STORE=kept)
        assert shown.code == 0
        assert "1 call of 2026-03-01 12:00:00 UTC" in shown.out
        assert ("erased: CA1" in shown.out) == erased
    assert run("calls", "show", "CA1", VOICEBOT_STORE=kept).code == 2


def test_erasing_says_what_it_did(run: Run, kept: str) -> None:
    shown = run("calls", "erase", "CA1", "CA2", "CA9", "--yes", VOICEBOT_STORE=kept)
    assert shown.code == 1
    assert shown.out.splitlines() == [
        "not erased: CA2 is still at work",
        "not erased: no call CA9 is recorded",
        "1 call of 2026-03-01 12:00:00 UTC: journal, report, deliveries and recording",
        "erased: CA1",
        "calls erased: 1",
    ]
    nothing = run("calls", "erase", "--older-than", "30d", "--yes", VOICEBOT_STORE=kept)
    assert (nothing.code, nothing.out) == (0, "there is no call to erase\n")


def test_recording_is_played_out_and_erased(run: Run, kept: str, tmp_path: Path) -> None:
    call_sid, key = "CA" + "0" * 32, base64.b64encode(bytes(32)).decode()
    folder = RecordingFolder(tmp_path / "recordings", [bytes(32)])
    file = folder.create(f"{call_sid}-1")
    file.append(b"\x12" * 48_000)
    file.finish()
    file.close()

    async def keep() -> None:
        store = await open_store(kept)
        await opened(store, call_sid)
        entry = RecordingStarted(f"{call_sid}-1", 1)
        line = StoredEntry(1, kind_of(entry), 900, START, write_entry(entry))
        await store.append(call_sid, [line], attempt=1, durable=True)
        await store.finish(call_sid, "{}", [], attempt=1, ended=START)
        await store.close()

    asyncio.run(keep())
    environment = {"VOICEBOT_STORE": kept, "VOICEBOT_RECORDING_KEY": key}
    out = tmp_path / "out.wav"
    shown = run("calls", "export", call_sid, "--audio", out, **environment)
    assert (shown.code, shown.out) == (0, f"3.0 s in {out}\n")
    assert out.read_bytes() == wav.header(48_000) + b"\x12" * 48_000
    sealed = run("calls", "export", call_sid, "--audio", out, VOICEBOT_STORE=kept)
    assert sealed.code == 2 and "VOICEBOT_RECORDING_KEY" in sealed.err
    assert "was not recorded" in run("calls", "export", "CA2", "--audio", out, **environment).err
    assert run("calls", "export", call_sid, **environment).code == 2
    assert run("calls", "erase", call_sid, "--yes", VOICEBOT_STORE=kept).code == 0
    assert folder.calls() == []


def test_export_is_for_its_owner_only(run: Run, kept: str, tmp_path: Path) -> None:
    shown = run("calls", "export", VOICEBOT_STORE=kept)
    assert [json.loads(line)["record"]["call_sid"] for line in shown.out.splitlines()] == ["CA1", "CA2"]
    said = run("calls", "export", "--to", tmp_path / "calls.jsonl", "--since", "2026-03-01", VOICEBOT_STORE=kept)
    assert (said.code, said.out) == (0, f"2 calls in {tmp_path / 'calls.jsonl'}\n")
    assert (tmp_path / "calls.jsonl").read_text() == shown.out
    assert (tmp_path / "calls.jsonl").stat().st_mode & 0o777 == 0o600
    for since, count in (("2026-03-01T12:00:01", 0), ("2026-03-01T13:00:00+01:00", 2), ("1w", 0)):
        exported = run("calls", "export", "--since", since, VOICEBOT_STORE=kept)
        assert (exported.code, exported.out.count("\n")) == (0, count)
    refused = run("calls", "export", "--to", tmp_path, VOICEBOT_STORE=kept)
    assert refused.code == 2 and "cannot be written" in refused.err


# ---- serve ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", SERVING)
def test_serve_names_the_setting_that_is_missing(run: Run, missing: str) -> None:
    shown = run("serve", **{name: value for name, value in SERVING.items() if name != missing})
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith(f"voicebot: {missing}: is not set")
    assert shown.err.count("\n") == 1
    assert "canary" not in shown.err


def test_serve_names_the_setting_that_is_wrong(run: Run) -> None:
    shown = run("serve", **(SERVING | {"VOICEBOT_WEBHOOK_SECRET": "canary"}))
    assert shown.code == 2
    assert shown.err.startswith("voicebot: VOICEBOT_WEBHOOK_SECRET: must begin with whsec_")
    assert "canary" not in shown.err


def test_serve_follows_files_in_one_process_only(run: Run) -> None:
    shown = run("serve", "--reload", "--workers", "2", **SERVING)
    assert shown.code == 2
    assert "leave out --workers or --reload" in shown.err


@pytest.mark.parametrize("workers", ["0", "-1", "257", "some"])
def test_serve_refuses_a_senseless_number_of_workers(run: Run, workers: str) -> None:
    assert run("serve", "--workers", workers, **SERVING).code == 2


def test_help_keeps_the_supervisors_command_to_itself(run: Run) -> None:
    assert "\n  worker " not in run("--help").out


def test_serve_needs_flows(run: Run) -> None:
    shown = run("serve", **SERVING)
    assert shown.code == 2
    assert shown.err == "voicebot: the flow folder flows does not exist (set VOICEBOT_FLOWS to a folder of flows)\n"


def test_serve_needs_a_store(run: Run, tmp_path: Path) -> None:
    folder_of(tmp_path / "flows", visit=GOOD)
    shown = run("serve", **(SERVING | {"VOICEBOT_STORE": f"sqlite:///{tmp_path}/flows", "VOICEBOT_SECRET": "x" * 16}))
    assert shown.code == 2
    assert shown.err.startswith("voicebot: ")
    assert "Traceback" not in shown.err


def test_interrupt_is_exit_code_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("voicebot.server.serve.run_server", interrupted)
    assert run("serve", **SERVING).code == 130
