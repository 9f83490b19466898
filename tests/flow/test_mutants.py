"""Each rule of the linter fires on the flows that are broken in its way, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.mutants import CLEAN, MUTANTS, Mutant
from voicebot.flow.check import RULES
from voicebot.flow.loader import inspect_file

FOUND_BETWEEN_FLOWS = {"F033"}


@pytest.mark.parametrize("name", CLEAN)
def test_nothing_fires_on_a_clean_flow(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.py"
    path.write_text(CLEAN[name], encoding="utf-8")
    inspected = inspect_file(path)
    assert inspected.findings == ()
    assert inspected.loaded is not None


@pytest.mark.parametrize("mutant", MUTANTS, ids=[f"{one.rule} {one.what}" for one in MUTANTS])
def test_mutant_is_found_by_its_rule_alone(mutant: Mutant, tmp_path: Path) -> None:
    path = tmp_path / "mutant.py"
    path.write_text(mutant.text, encoding="utf-8")
    inspected = inspect_file(path)
    assert {finding.rule for finding in inspected.findings} == {mutant.rule} | mutant.also
    for finding in inspected.findings:
        assert finding.file == str(path)
        assert finding.line is not None or finding.rule == "F000"
    broken = any(finding.severity == "error" for finding in inspected.findings)
    assert (inspected.loaded is None) == broken


def test_every_rule_has_a_mutant() -> None:
    assert {mutant.rule for mutant in MUTANTS} | FOUND_BETWEEN_FLOWS == {rule.id for rule in RULES}
