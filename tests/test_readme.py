"""What the README says is so: the two commands that `.ci/run` runs, its settings, its code.

What every page is held to stands in `tests/docs/`.
"""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.docs.pages import block_with
from voicebot.delivery.signing import headers
from voicebot.flow.loader import load_file
from voicebot.settings import Settings, read_settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
VARIABLE = re.compile(r"\b(?:VOICEBOT|TWILIO|OPENAI|OTEL)_[A-Z_]+\b")
SETTINGS = {str(field.validation_alias): field for field in Settings.model_fields.values()}


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


# ---- settings -------------------------------------------------------------------------------------------------------


def test_settings_of_its_example_are_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Once what is cut short in it is filled in."""
    for variable in SETTINGS:
        monkeypatch.delenv(variable, raising=False)
    example = block_with("README.md", "sh", "OPENAI_API_KEY=")
    (tmp_path / ".env").write_text(example.replace("whsec_…", "whsec_" + "c2Vj" * 10), encoding="utf-8")
    settings = read_settings(tmp_path / ".env")
    settings.require_serving()
    assert settings.default_flow == "reception"
    assert set(VARIABLE.findall(example)) <= SETTINGS.keys()


# ---- code -----------------------------------------------------------------------------------------------------------


def test_its_flow_loads_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "practice.py").write_text(block_with("README.md", "python", "Flow("), encoding="utf-8")
    assert list(load_file(tmp_path / "practice.py").flow.specs) == ["name", "reason"]


def test_its_verification_takes_our_signature() -> None:
    source = block_with("README.md", "python", "standardwebhooks")
    secret, body = "whsec_" + "c2Vj" * 10, '{"type": "call.completed", "data": {}}'
    given = {"request_body": body, "request_headers": headers([secret], "msg_1", datetime.now(UTC), body)}
    exec(compile(source.replace("whsec_…", secret), "README.md", "exec"), given)  # noqa: S102 - the README's own code
    assert given["payload"] == {"type": "call.completed", "data": {}}
