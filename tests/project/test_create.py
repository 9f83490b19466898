"""A new project: it is checked and rehearsed as it is, and nothing that was there is changed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from voicebot.errors import ProjectError, SettingsError
from voicebot.flow.loader import flow_files, inspect_file, load_file, load_folder, shipped_flows
from voicebot.project import create
from voicebot.project.create import copy_project, create_project, told
from voicebot.settings import read_settings
from voicebot.sim.coverage import coverage
from voicebot.sim.scenario import load_scenarios
from voicebot.sim.suite import Outcome, scenarios_of, variations, whole_call

SHIPPED = [path.stem for path in flow_files(shipped_flows())]


def rehearsed(flows: Path, name: str, seeds: tuple[int, ...] = (1,), only: str | None = None) -> list[Outcome]:
    """What comes of the flow's scenarios in words."""
    loaded = load_file(flows / f"{name}.py")
    scenarios = [one for one in load_scenarios(flows / "scenarios", [name]) if only in (None, one.name)]
    return [outcome for one in scenarios for outcome in variations(one, loaded, seeds)]


def everything(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


# ---- what is made ---------------------------------------------------------------------------------------------------


def test_first_flow_is_checked_rehearsed_and_covered(tmp_path: Path) -> None:
    create_project(tmp_path)
    inspected = inspect_file(tmp_path / "flows" / "reception.py")
    assert [str(finding) for finding in inspected.findings] == []
    assert inspected.loaded is not None
    outcomes = rehearsed(tmp_path / "flows", "reception", (1, 2))
    assert [one.problems for one in outcomes if one.problems] == []
    assert len(outcomes) == 10
    reached = frozenset(point for one in outcomes for point in one.covered)
    assert coverage(inspected.loaded.flow, reached).missed == ()


def test_first_flow_is_rehearsed_over_the_whole_path(tmp_path: Path) -> None:
    create_project(tmp_path)
    (scenario,) = scenarios_of(tmp_path / "flows", ["reception:call back"])
    assert whole_call(scenario, load_folder(tmp_path / "flows")).problems == ()


@pytest.mark.parametrize("flow", SHIPPED)
def test_shipped_flow_is_copied_with_all_that_it_needs(flow: str, tmp_path: Path) -> None:
    files = copy_project(tmp_path, flow, shipped_flows())
    assert files[0] == Path("flows", f"{flow}.py")
    assert load_file(tmp_path / files[0]).version == load_file(shipped_flows() / f"{flow}.py").version
    assert {path.suffix for path in (tmp_path / "flows" / "scenarios").iterdir()} <= {".py", ".yaml"}
    assert (Path("flows", "menu.md") in files) == (flow == "restaurant_ordering")
    scenario = next(one for one in load_scenarios(tmp_path / "flows" / "scenarios") if not one.needs_whole_call)
    (outcome,) = rehearsed(tmp_path / "flows", flow, only=scenario.name)
    assert outcome.problems == ()


def test_flow_goes_by_the_name_that_is_given(tmp_path: Path) -> None:
    files = create_project(tmp_path, name="front_desk")
    assert [str(path) for path in files] == [
        *("flows/front_desk.py", "flows/scenarios/front_desk.yaml", ".env.example", ".gitignore", "README.md"),
    ]
    assert {one.flow for one in load_scenarios(tmp_path / "flows" / "scenarios")} == {"front_desk"}


def test_its_page_has_five_lines(tmp_path: Path) -> None:
    create_project(tmp_path / "Zoë & Sons", name="front_desk")
    lines = (tmp_path / "Zoë & Sons" / "README.md").read_text(encoding="utf-8").splitlines()
    assert (len(lines), lines[0]) == (5, "# Zoë & Sons")
    assert "`flows/front_desk.py`" in lines[2] and "{" not in "".join(lines)


def test_its_settings_are_those_there_are(tmp_path: Path) -> None:
    """As they stand they stop nothing but `serve`, which says what is missing; filled in, they serve."""
    create_project(tmp_path)
    text = (tmp_path / ".env.example").read_text()
    (tmp_path / ".env").write_text(text)
    with pytest.raises(SettingsError, match="is not set"):
        read_settings(tmp_path / ".env").require_serving()
    filled = text.replace("# VOICEBOT_", "VOICEBOT_").replace("whsec_\n", "whsec_" + "c2Vj" * 10 + "\n")
    for name, value in {
        "OPENAI_API_KEY": "sk-1",
        "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "TWILIO_AUTH_TOKEN": "token",
        "VOICEBOT_PUBLIC_URL": "https://voice.example.com",
        "VOICEBOT_API_TOKEN": "a-token-of-the-api",
    }.items():
        assert f"{name}=\n" in filled
        filled = filled.replace(f"{name}=\n", f"{name}={value}\n")
    (tmp_path / ".env").write_text(filled)
    settings = read_settings(tmp_path / ".env")
    settings.require_serving()
    assert settings.webhook_url and settings.retention_days == 30


def test_what_is_secret_is_ignored_by_git(tmp_path: Path) -> None:
    create_project(tmp_path)
    assert {".env", "data/", "*.wav"} <= set((tmp_path / ".gitignore").read_text().splitlines())


@pytest.mark.parametrize("place", ["new", "a/b/new", "with space", "-dash", "日本", "empty"])
def test_folder_may_have_any_name(place: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    create_project(tmp_path / place)
    assert load_file(tmp_path / place / "flows" / "reception.py").name == "reception"


@pytest.mark.parametrize("there", [".git", ".venv", ".DS_Store"])
def test_what_comes_first_is_not_in_the_way(there: str, tmp_path: Path) -> None:
    (tmp_path / there).mkdir()
    create_project(tmp_path)
    assert (tmp_path / "flows" / "reception.py").is_file()


def test_next_commands_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    there = Path("my project")
    *_, begin, test, chat = told(there, create_project(there))
    assert (begin, test, chat) == (
        *("  cd 'my project' && voicebot check", "  voicebot test", "  voicebot chat reception"),
    )
    monkeypatch.chdir(there)
    assert list(told(Path("."), [Path("flows/a.py")]))[-3:] == [
        "  voicebot check",
        "  voicebot test",
        "  voicebot chat a",
    ]


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_what_is_in_the_way_is_named_and_kept(tmp_path: Path) -> None:
    for name in ("notes.txt", "plan.md", "b.txt", "a.txt"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "flows").mkdir()
    before = everything(tmp_path)
    with pytest.raises(ProjectError) as refused:
        create_project(tmp_path)
    assert refused.value.problem == f"{tmp_path} is not empty: it has a.txt, b.txt, flows/ and 2 more"
    assert refused.value.mend == "name a new folder, or an empty one"
    assert everything(tmp_path) == before and list((tmp_path / "flows").iterdir()) == []


@pytest.mark.parametrize("there", ["file", "file/below", "link to nowhere"])
def test_no_folder_can_be_there(there: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link to nowhere").symlink_to(tmp_path / "nowhere" / "else")
    before = everything(tmp_path)
    with pytest.raises(ProjectError, match=r"is no folder|cannot be written"):
        create_project(tmp_path / there)
    assert everything(tmp_path) == before and not (tmp_path / "nowhere").exists()


def test_folder_that_may_not_be_written_to_is_said() -> None:
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        if root:
            os.seteuid(65534)  # root may write anywhere
        try:
            with pytest.raises(ProjectError, match=r"cannot be written: Permission denied"):
                create_project(Path(folder, "new"))
        finally:
            if root:
                os.seteuid(0)
            os.chmod(folder, 0o755)


@pytest.mark.parametrize("last", ["x" * 300, "flows/reception.py/x"], ids=["file", "folder"])
def test_what_was_begun_is_taken_back(last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of the files cannot be written: the next try finds the folder as it was."""
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(create, "_around", lambda folder, flow: {Path(last): "what cannot be written"})
    for folder in (tmp_path, tmp_path / "new" / "one"):
        with pytest.raises(ProjectError, match="cannot be written: File"):
            create_project(folder)
    assert [path.name for path in tmp_path.iterdir()] == [".git"]


@pytest.mark.parametrize("name", ["", "2x", "Front", "front desk", "../x", "a/b", "test_x", "_x", "é", "x" * 41, "x\n"])
def test_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="is no name for a flow"):
        create_project(tmp_path, name=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flow", ["none", "../cli", "README", "", "restaurant_ordering.py"])
def test_flow_that_is_not_shipped_is_refused(flow: str, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"is shipped .one of appointment_reminder, "):
        copy_project(tmp_path, flow, shipped_flows())
    assert list(tmp_path.iterdir()) == []
