"""What the README says is so: its commands, its settings, its flow, its links."""

from __future__ import annotations

import ast
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from voicebot.delivery.signing import headers
from voicebot.flow.check import check
from voicebot.flow.loader import load_file
from voicebot.settings import Settings, read_settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
VARIABLE = re.compile(r"\b(?:VOICEBOT|TWILIO|OPENAI|OTEL)_[A-Z_]+\b")
SETTINGS = {str(field.validation_alias): field for field in Settings.model_fields.values()}


def blocks(language: str) -> list[str]:
    """The README's code blocks in a language, with the indentation of a list taken off."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", README, flags=re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def marked(name: str) -> str:
    """The one command under a marker, as `.ci/run` reads it."""
    found = re.search(rf"<!-- {name} -->\n```sh\n(.*?)\n```\n", README, flags=re.DOTALL)
    assert found is not None
    (line,) = found[1].splitlines()
    return line


# ---- commands -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["run", "test"])
def test_marked_command_is_one_line_in_an_environment_of_its_own(name: str) -> None:
    assert marked(name).startswith("python3 -m venv .venv && .venv/bin/pip install -q ")
    assert f"<!-- {name} -->" in README
    assert "readme_command " + name in (ROOT / ".ci" / "run").read_text()


def test_marked_commands_do_the_two_jobs() -> None:
    assert marked("run").endswith("&& .venv/bin/voicebot demo")
    assert ".venv/bin/pytest" in marked("test")


def test_extras_it_installs_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {extra for extras in re.findall(r"\.\[([a-z,]+)\]", README) for extra in extras.split(",")}
    assert named
    assert named <= project["optional-dependencies"].keys()
    assert project["scripts"] == {"voicebot": "voicebot.cli:main"}


def test_voicebot_commands_it_names_exist() -> None:
    from voicebot.cli import app

    top = {str(command.name or command.callback.__name__) for command in app.registered_commands if command.callback}
    below = {
        f"{group.name} {command.name}"
        for group in app.registered_groups
        if group.typer_instance is not None
        for command in group.typer_instance.registered_commands
    }
    groups = "|".join(str(group.name) for group in app.registered_groups)
    named = set(
        re.findall(rf"voicebot ((?:(?:{groups}) )?[a-z]+)\b", "\n".join(re.findall(r"`(voicebot [^`]*)`", README)))
    )
    assert {"serve", "check", "demo", "flows schema"} <= named
    assert named <= top | below


# ---- settings -------------------------------------------------------------------------------------------------------


def test_every_setting_it_names_exists() -> None:
    assert set(VARIABLE.findall(README)) - SETTINGS.keys() == set()


def test_every_setting_stands_in_its_table() -> None:
    table = set(VARIABLE.findall("\n".join(line for line in README.splitlines() if line.startswith("| `"))))
    assert SETTINGS.keys() - table == set()


@pytest.mark.parametrize("variable", SETTINGS)
def test_default_it_states_is_the_default(variable: str) -> None:
    row = next(line for line in README.splitlines() if line.startswith("| `") and f"`{variable}`" in line)
    *_, unset, _ = (cell.strip() for cell in row.split("|"))
    names = VARIABLE.findall(row.split("|")[1])
    default = SETTINGS[variable].get_default(call_default_factory=True)
    if stated := re.fullmatch(r"`([^`]+)`", unset):
        assert stated[1] == str(default)
    elif isinstance(default, int | float):
        assert unset.split(", ")[names.index(variable)] == f"{default:g}"


def test_settings_of_its_example_are_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Once what is cut short in it is filled in."""
    for variable in SETTINGS:
        monkeypatch.delenv(variable, raising=False)
    (example,) = (text for text in blocks("sh") if "OPENAI_API_KEY=" in text)
    (tmp_path / ".env").write_text(example.replace("whsec_…", "whsec_" + "c2Vj" * 10), encoding="utf-8")
    settings = read_settings(tmp_path / ".env")
    settings.require_serving()
    assert settings.default_flow == "restaurant_ordering"
    assert set(VARIABLE.findall(example)) <= SETTINGS.keys()


# ---- code -----------------------------------------------------------------------------------------------------------


def test_its_flow_loads_without_a_finding(tmp_path: Path) -> None:
    (source,) = (text for text in blocks("python") if "Flow(" in text)
    (tmp_path / "practice.py").write_text(source, encoding="utf-8")
    loaded = load_file(tmp_path / "practice.py")
    assert [str(finding) for finding in check(loaded.flow)] == []
    assert list(loaded.flow.specs) == ["name", "reason"]


def test_its_verification_takes_our_signature() -> None:
    (source,) = (text for text in blocks("python") if "standardwebhooks" in text)
    secret, body = "whsec_" + "c2Vj" * 10, '{"type": "call.completed", "data": {}}'
    given = {"request_body": body, "request_headers": headers([secret], "msg_1", datetime.now(UTC), body)}
    exec(compile(source.replace("whsec_…", secret), "README.md", "exec"), given)  # noqa: S102 - the README's own code
    assert given["payload"] == {"type": "call.completed", "data": {}}


# ---- places ---------------------------------------------------------------------------------------------------------


def test_files_it_links_to_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if not link.startswith("https://")]
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_files_it_names_exist() -> None:
    named = re.findall(r"\b(?:tests|voicebot|flows|deploy)/[\w/]+\.\w+", README)
    given_by_the_reader = {"flows/practice.py"}
    assert named
    assert [name for name in named if name not in given_by_the_reader and not (ROOT / name).exists()] == []


def test_functions_it_names_are_where_it_says() -> None:
    rows = [line for line in README.splitlines() if line.startswith("| ") and "`_" in line]
    pairs = [pair for row in rows for pair in re.findall(r"\]\((\S+\.py)\), `(\w+)`", row)]
    assert len(pairs) >= 3
    for file, function in pairs:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert function in defined, f"{file} has no {function}"
