"""What the pages name exists: settings and their defaults, metrics, log events, alerts, files, functions."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
from pathlib import Path

import pytest

import voicebot.flow
from tests.docs.commands import SETTINGS
from tests.docs.pages import ROOT, block_with, blocks, inline, marked, page_names, text_of
from voicebot.engine.entries import EndedReason, EvidenceState
from voicebot.flow import Flow, Limits, Phase, PhaseLimits, Report, ask
from voicebot.flow.check import RULES
from voicebot.log_events import LOG_EVENTS
from voicebot.observe.families import Families
from voicebot.realtime.endpoint import endpoint
from voicebot.server.api.models import OrderShown
from voicebot.server.outbound_routes import CallBody
from voicebot.settings import Settings, read_settings

PAGES = [page for page in page_names() if page != "CHANGELOG.md"]  # there, names may be of older versions
VARIABLE = re.compile(r"\b(?:VOICEBOT|TWILIO|OPENAI)_[A-Z_]*[A-Z]\b")
OPERATORS, TROUBLES, FLOWS = "deploy/README.md", "deploy/troubleshooting.md", "flows/README.md"
FIELDS = {str(field.validation_alias): field for field in Settings.model_fields.values()}
METRICS = {family.name for family in (*Families().own, *Families().shared)} | {"voicebot_worker_up"}


def code_of(page: str) -> list[str]:
    return [token.content for token in inline(page, "code_inline")]


# ---- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_that_is_named_exists(page: str) -> None:
    assert set(VARIABLE.findall(text_of(page))) - SETTINGS == set()


def rows() -> list[str]:
    return [line for line in text_of(OPERATORS).split("\n## Settings\n")[1].splitlines() if line.startswith("| `")]


def test_every_setting_stands_in_the_table() -> None:
    named = re.findall(r"`([A-Z_]+)`", "\n".join(line.split("|")[1] for line in rows()))
    assert sorted(named) == sorted(SETTINGS)


@pytest.mark.parametrize("variable", sorted(SETTINGS))
def test_default_that_is_stated_is_the_default(variable: str) -> None:
    row = next(line for line in rows() if f"`{variable}`" in line.split("|")[1])
    *_, unset, _ = (cell.strip() for cell in row.split("|"))
    names = re.findall(r"`([A-Z_]+)`", row.split("|")[1])
    default = FIELDS[variable].get_default(call_default_factory=True)
    if stated := re.fullmatch(r"`([^`]+)`", unset):
        assert stated[1] == str(default)
    elif isinstance(default, int | float):
        assert unset.split(", ")[names.index(variable)] == f"{default:g}"


def test_azure_is_reached_as_the_page_says(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(marked(OPERATORS, "azure"), encoding="utf-8")
    settings = read_settings(tmp_path / ".env")
    there = endpoint(settings.realtime_url, settings.model)
    assert there.key_header == "api-key"
    assert there.address.endswith(".openai.azure.com/openai/v1/realtime?model=my-realtime-deployment")
    assert settings.transcription_model == "my-transcribe-deployment"


def test_call_is_placed_as_the_page_says() -> None:
    """The body is one that is understood, and the answer has the fields of one."""
    shown = block_with(OPERATORS, "console", "/calls")
    body = re.search(r"--json '(.*)'", shown)
    assert body is not None and CallBody.model_validate_json(body[1]).from_ == "+390687654321"
    answered = json.loads(shown.split(body[0])[1])
    assert list(answered) == list(OrderShown.model_fields)


# ---- what operators look at -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_every_metric_that_is_named_exists(page: str) -> None:
    named = re.findall(r"\bvoicebot_[a-z]+(?:_[a-z]+)+\b", text_of(page))
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in named if name not in METRICS} - METRICS == set()


def test_alerts_that_are_named_exist() -> None:
    rules = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    for page in PAGES:
        for name in re.findall(r"`(Voicebot[A-Z][A-Za-z]+)`", text_of(page)):
            assert f"alert: {name}\n" in rules, f"{page}: {name}"


def test_log_events_for_troubles_exist() -> None:
    """Whatever is written as an event, a metric or a reason in the first cell of a row is one."""
    reasons = set(EndedReason.__args__) | set(EvidenceState.__args__)  # type: ignore[attr-defined]
    cells = [line.split("|")[1] for line in text_of(TROUBLES).splitlines() if line.startswith("| ")]
    named = {name for cell in cells for name in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", cell)}
    assert len(named & LOG_EVENTS) > 20
    assert named - LOG_EVENTS - METRICS - reasons - {"not_allowed", "do_not_call"} == set()


def test_events_in_prose_for_operators_exist() -> None:
    text = text_of(OPERATORS).split("<!-- log events -->")[0]
    like_events = {name for name in re.findall(r"\(`([a-z]+(?:_[a-z]+)+)`", text) if name.split("_")[0] == "store"}
    assert like_events - LOG_EVENTS == set()


def test_rules_of_the_linter_that_are_named_exist() -> None:
    known = {rule.id for rule in RULES}
    for page in PAGES:
        assert set(re.findall(r"\bF0\d\d\b", text_of(page))) - known == set(), page


# ---- files and functions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page: str) -> None:
    written = {one.marker.partition(": ")[2] for other in PAGES for one in blocks(other)}
    made_by_init = {"flows/reception.py", "flows/scenarios/reception.yaml", "flows/practice.py"}
    folders = "tests|voicebot|flows|deploy"
    named = [name for code in code_of(page) for name in re.findall(rf"(?:^|\s)((?:{folders})/[\w/.-]+\.\w+)$", code)]
    there = {name for name in named if (ROOT / name).exists()}
    assert set(named) - there - written - made_by_init - {"flows/{flow}.py", "flows/scenarios/{flow}.yaml"} == set()


def test_functions_are_where_the_page_for_contributors_says() -> None:
    rows = [line for line in text_of("voicebot/README.md").splitlines() if line.startswith("| ") and "`_" in line]
    pairs = [pair for row in rows for pair in re.findall(r"\]\((\S+\.py)\), `(\w+)`", row)]
    assert len(pairs) >= 4
    for file, function in pairs:
        tree = ast.parse((ROOT / "voicebot" / file).read_text(encoding="utf-8"))
        defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert function in defined, f"{file} has no {function}"


def test_every_room_stands_on_the_page_for_contributors() -> None:
    rooms = set(re.findall(r"^\| `(\w+)/` \|", text_of("voicebot/README.md"), re.MULTILINE))
    packages = {path.parent.name for path in (ROOT / "voicebot").glob("*/__init__.py")}
    assert rooms == packages


# ---- what a flow can say --------------------------------------------------------------------------------------------


def test_page_on_flows_uses_all_that_there_is() -> None:
    """Every name that authors import stands in code that is run."""
    used: set[str] = set()
    for block in blocks(FLOWS, "python"):
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.ImportFrom) and node.module == "voicebot.flow":
                used |= {alias.name for alias in node.names}
    assert used == set(voicebot.flow.__all__)


def at_a_glance() -> set[str]:
    table = text_of(FLOWS).split("\n## At a glance\n")[1]
    return set(re.findall(r"`(\w+)`", table))


def test_all_names_are_seen_at_a_glance() -> None:
    assert set(voicebot.flow.__all__) - at_a_glance() == set()


@pytest.mark.parametrize("kind", [Flow, Phase, Limits, PhaseLimits, Report], ids=lambda kind: kind.__name__)
def test_all_parts_are_seen_at_a_glance(kind: type) -> None:
    fields = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    assert fields - at_a_glance() == set()


def test_all_of_ask_is_seen_at_a_glance() -> None:
    assert set(inspect.signature(ask).parameters) - {"description"} - at_a_glance() == set()
