"""pytest plays scenarios: `pytest flows` rehearses `flows/scenarios/NAME.py` and `NAME.yaml` of every `flows/NAME.py`.

Each scenario is a test of its own, marked `voicebot`; it fails with what went another way, not with a traceback. pytest
loads this module in every run of anyone's tests: nothing else of this package is imported before there is a scenario.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from voicebot.flow.loader import FlowShelf

    from .scenario import Scenario
    from .stage import Rehearsal
    from .table import TableRead

CALL_LIMIT_S = 3600.0  # of virtual time
_SUFFIXES = (".py", ".yaml", ".yml")
_SHELVES = pytest.StashKey[dict[Path, "FlowShelf"]]()  # a folder's flows are loaded once in a session


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("voicebot", "rehearsals of voicebot's flows").addoption(
        "--voicebot-quick",
        action="store_true",
        help="play scenarios in words alone, without audio and sockets: much faster, and nearly as strict",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "voicebot: a rehearsal of a flow, one of its scenarios")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ScenarioFile | None:
    """Take files of scenarios that stand beside their flow, and nothing else."""
    if file_path.parent.name != "scenarios" or file_path.suffix not in _SUFFIXES:
        return None
    flow_file = file_path.parent.parent / f"{file_path.stem}.py"
    if not flow_file.is_file() or b"voicebot" not in flow_file.read_bytes():  # others have scenarios, too
        return None
    found: ScenarioFile = ScenarioFile.from_parent(parent, path=file_path)
    return found


class ScenarioFile(pytest.File):
    """A file of scenarios."""

    def collect(self) -> Iterator[ScenarioItem]:
        from voicebot.errors import ScenarioError

        from .scenario import load_scenarios

        try:
            scenarios = load_scenarios(self.path)
        except ScenarioError as exc:
            raise self.CollectError(str(exc)) from exc
        for scenario in scenarios:
            item: ScenarioItem = ScenarioItem.from_parent(self, name=scenario.name)
            item.scenario = scenario
            item.add_marker("voicebot")
            yield item


class ScenarioItem(pytest.Item):
    """A scenario, played as a whole call on a clock of its own."""

    scenario: Scenario

    def runtest(self) -> None:
        from voicebot.errors import FlowError

        try:
            played = _played(self.scenario, self._shelf(), quick=self.config.getoption("--voicebot-quick"))
        except FlowError as exc:
            pytest.fail(str(exc), pytrace=False)
        if played.problems:
            self.add_report_section("call", "conversation", "\n".join(_conversation(played)))
            pytest.fail("\n".join((*played.problems, f"({self.scenario.place})")), pytrace=False)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        file, _, line = self.scenario.place.rpartition(":")
        known = Path(file) == self.path and line.isdigit()
        return self.path, int(line) - 1 if known else None, f"{self.scenario.flow}: {self.name}"

    def _shelf(self) -> FlowShelf:
        from voicebot.flow.loader import load_folder

        folder = self.path.parent.parent
        shelves = self.config.stash.setdefault(_SHELVES, {})
        if folder not in shelves:
            shelves[folder] = load_folder(folder)
        return shelves[folder]


def _played(scenario: Scenario, shelf: FlowShelf, *, quick: bool) -> Rehearsal | TableRead:
    if scenario.flow not in shelf.flows and shelf.problems:  # a broken file says more than a flow that is not there
        raise shelf.problems[0]
    if quick and not scenario.needs_whole_call:
        from .table import table_read

        return table_read(scenario, shelf.get(scenario.flow), limit_s=CALL_LIMIT_S)
    from .clock import run_virtual
    from .stage import rehearse

    return run_virtual(rehearse(scenario, shelf), limit_s=CALL_LIMIT_S)


def _conversation(played: Rehearsal | TableRead) -> Iterator[str]:
    """Who said what, as the report has it."""
    for line in played.report.get("transcript") or ():
        cut = " …" if line.get("interrupted") else ""
        yield f"{line['speaker']:>6}: {line['text'] or line.get('key') or ''}{cut}"
