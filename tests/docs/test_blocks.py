"""Every fenced block of every page is held to what it says: run, loaded, or read by what really reads it.

Which block is held how is decided by `held`; one that nobody holds fails. What hangs on one page alone is tested beside
what it describes (`BY_A_TEST`), and this file says where.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.commands import problem_with, problems_in, simple_commands
from tests.docs.following import FOLLOWED, follow, typed
from tests.docs.pages import ROOT, Block, blocks, inline, page_names
from tests.flow.test_shipped_flows import from_json
from voicebot.flow import Flow
from voicebot.flow.check import check
from voicebot.flow.loader import load_flow
from voicebot.sim.scenario_yaml import read_yaml
from voicebot.sim.table import table_read

PAGES = page_names()
BLOCKS = [block for page in PAGES for block in blocks(page)]

# Blocks that a test beside what they describe runs: page, language, words of the block; the test.
BY_A_TEST: dict[tuple[str, str, str], str] = {
    ("README.md", "python", "standardwebhooks"): "tests/test_readme.py::test_its_verification_takes_our_signature",
    ("README.md", "sh", "OPENAI_API_KEY="): "tests/test_readme.py::test_settings_of_its_example_are_accepted",
    ("README.md", "sh", "voicebot demo"): "tests/test_readme.py::test_marked_commands_do_the_two_jobs",
    ("README.md", "sh", "pytest"): "tests/test_readme.py::test_marked_commands_do_the_two_jobs",
    ("deploy/README.md", "console", "/calls"): "tests/docs/test_names.py::test_call_is_placed_as_the_page_says",
    ("deploy/README.md", "sh", "azure.com"): "tests/docs/test_names.py::test_azure_is_reached_as_the_page_says",
    ("deploy/README.md", "sh", "$URL/calls"): "tests/server/api/test_examples.py::test_examples_do_what_they_show",
    ("voicebot/delivery/README.md", "json", "call.phase_changed"): (
        "tests/delivery/test_delivery_page.py::test_its_body_has_the_fields_of_one"
    ),
    ("voicebot/delivery/README.md", "js", "createHmac"): (
        "tests/delivery/test_delivery_page.py::test_node_verifies_what_we_sign"
    ),
    ("voicebot/sim/README.md", "python", "async def test_"): "tests/sim/test_sim_readme.py::test_example_runs",
    ("voicebot/web/README.md", "sh", "/conversations"): (
        "tests/web/test_web_readme.py::test_request_is_one_that_is_understood"
    ),
    ("voicebot/web/README.md", "json", "session_id"): (
        "tests/web/test_web_readme.py::test_messages_of_the_server_come_as_they_are_shown"
    ),
    ("voicebot/web/README.md", "json", '"played"'): (
        "tests/web/test_web_readme.py::test_messages_of_clients_are_understood"
    ),
    ("voicebot/web/README.md", "js", "Conversation"): (
        "tests/web/test_web_readme.py::test_javascript_snippet_names_what_is_there"
    ),
    ("voicebot/web/README.md", "python", "Client"): "tests/web/test_web_readme.py::test_python_snippet_runs",
}

# Blocks that nothing can run, each with why.
PROSE: dict[tuple[str, str], str] = {
    ("voicebot/README.md", "caller ⇄ Twilio"): "a drawing",
    ("voicebot/sim/README.md", "voicebot serve, one process"): "figures of a load, measured as the page says",
}


# ---- who holds what -------------------------------------------------------------------------------------------------


def holder(block: Block) -> str | None:
    """The test beside what the block describes that runs it."""
    found = [
        test
        for (page, language, words), test in BY_A_TEST.items()
        if (page, language) == (block.page, block.language) and words in block.text
    ]
    assert len(found) < 2, f"{block} is claimed by {found}"
    return found[0] if found else None


def is_prose(block: Block) -> bool:
    return any(page == block.page and words in block.text for page, words in PROSE)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block_is_held(block: Block, tmp_path: Path) -> None:
    if is_prose(block):
        assert block.language in ("", "text"), f"{block}: prose has no language"
        return
    assert block.language in HOLDERS, f"{block}: nobody holds a block of {block.language!r}; say in this file who does"
    HOLDERS[block.language](block, tmp_path)


def test_claims_are_about_blocks_that_there_are() -> None:
    for page, language, words in BY_A_TEST:
        assert any(words in block.text for block in blocks(page, language)), (page, language, words)
    for page, words in PROSE:
        assert any(words in block.text for block in blocks(page)), (page, words)


@pytest.mark.parametrize("test", sorted(set(BY_A_TEST.values())))
def test_tests_that_are_named_exist(test: str) -> None:
    file, _, function = test.partition("::")
    defined = {getattr(node, "name", "") for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))}
    assert function in defined


def test_no_block_hides_behind_indentation() -> None:
    """Code that is indented instead of fenced has no language, and would be held by nobody."""
    from tests.docs.pages import tokens

    assert [page for page in PAGES for token in tokens(page) if token.type == "code_block"] == []


# ---- Python ---------------------------------------------------------------------------------------------------------


@cache
def _modules(page: str) -> tuple[dict[str, Any], ...]:
    """What each Python block of a page defines, on top of those before it."""
    modules: list[dict[str, Any]] = []
    for block in blocks(page, "python"):
        module = dict(modules[-1]) if modules else {"__name__": "page"}
        if holder(block) is None or "def " in block.text:
            filled = "\n" * block.line + block.text  # so that an error names the line of the page
            exec(compile(filled, str(ROOT / page), "exec", dont_inherit=True), module)  # noqa: S102 - our own page
        modules.append(module)
    return tuple(modules)


def python(block: Block, folder: Path) -> None:
    """It runs; a flow has nothing that `voicebot check` finds, and a rehearsal goes as it says."""
    number = blocks(block.page, "python").index(block)
    module = _modules(block.page)[number]
    before = _modules(block.page)[number - 1] if number else {}
    flow = module.get("flow")
    if flow is not None and flow is not before.get("flow"):
        assert isinstance(flow, Flow)
        assert [str(finding) for finding in check(flow)] == []
        loaded = load_flow("page", flow)
        assert load_flow("page", from_json(loaded)).document == loaded.document
    if module.get("scenarios") is not before.get("scenarios"):
        assert isinstance(flow, Flow)
        for scenario in module["scenarios"]:
            assert table_read(scenario, load_flow(scenario.flow, flow)).problems == ()


# ---- commands -------------------------------------------------------------------------------------------------------


def shell(block: Block, folder: Path) -> None:
    """Its commands are understood; those under `try` are run, in `test_page_can_be_followed`."""
    _understood(block, block.text)


def console(block: Block, folder: Path) -> None:
    """The same, with what is printed."""
    assert block.text.startswith("$ ")
    for one in typed(block):
        _understood(block, one.command)


def _understood(block: Block, script: str) -> None:
    if "curl" in {words[0] for words in simple_commands(script)} and "://127.0.0.1" not in script:
        assert holder(block), f"{block}: name the test that sends what it shows"
    assert problems_in(script) == [], str(block)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if any(one.marker == "try" for one in blocks(page))])
def test_page_can_be_followed(page: str, tmp_path: Path) -> None:
    follow(page, tmp_path)


COMMANDS = [
    (page, token.content)
    for page in PAGES
    if page != "CHANGELOG.md"  # there they may be of an older version
    for token in inline(page, "code_inline")
    if token.content.startswith("voicebot ")
]


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[command for _, command in COMMANDS])
def test_command_in_a_sentence_is_one(page: str, command: str) -> None:
    for words in simple_commands(command.replace("{flow}", "reception")):
        if words[0] == "voicebot":
            assert problem_with(words[1:], whole=False) is None, f"{page}: {command}"


# ---- what others read -----------------------------------------------------------------------------------------------


def as_json(block: Block, folder: Path) -> None:
    """One object after another, each well formed."""
    decoder, rest = json.JSONDecoder(), block.text.strip()
    while rest:
        _, end = decoder.raw_decode(rest)
        rest = rest[end:].strip()


def as_yaml(block: Block, folder: Path) -> None:
    """Scenarios are read as `voicebot test` does; the rest is well formed."""
    if block.text.startswith("- name: "):
        (folder / "page.yaml").write_text(block.text, encoding="utf-8")
        assert read_yaml(folder / "page.yaml")
    else:
        assert yaml.safe_load(block.text)


def javascript(block: Block, folder: Path) -> None:
    """What a browser or Node is given is well formed; what it does, another test says."""
    assert holder(block), f"{block}: name the test that runs it"
    if node := shutil.which("node"):
        (folder / "page.mjs").write_text(block.text, encoding="utf-8")
        told = subprocess.run([node, "--check", "page.mjs"], cwd=folder, capture_output=True, text=True, timeout=120)
        assert told.returncode == 0, told.stderr


def change(block: Block, folder: Path) -> None:
    """A change of a file that the page's reader has made before: `test_page_can_be_followed` makes it."""
    assert block.marker.startswith("edit: ") and any(one.marker == "try" for one in blocks(block.page))


HOLDERS: dict[str, Callable[[Block, Path], None]] = {
    "python": python,
    "sh": shell,
    "console": console,
    "json": as_json,
    "yaml": as_yaml,
    "js": javascript,
    "diff": change,
}


def test_markers_are_understood() -> None:
    """A comment right above a block says what is done with it, or names it for the test that reads it."""
    named = {
        *("run", "test", "api examples", "begin", "begun", "client messages", "server messages"),
        *("javascript", "python", "azure"),
    }
    for block in BLOCKS:
        assert not block.marker or block.marker in named or FOLLOWED.fullmatch(block.marker), f"{block}: {block.marker}"


def test_language_is_one_word() -> None:
    assert [str(block) for block in BLOCKS if not re.fullmatch(r"[a-z]*", block.language)] == []
