"""The linter: what is wrong with a flow before anybody calls.

Each rule has an id that stays. An `error` keeps the flow from being loaded; a `warning` does not. The rules that reason
over what calls can come to look at a flow only once its names are right.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from voicebot.errors import FlowError

from .lint.findings import Finding, LintRule, Severity
from .lint.rules import RULES, SHARED_NUMBER, UNLOADABLE
from .lint.study import Study
from .model import Flow
from .source import place_of

__all__ = ["RULES", "Finding", "LintRule", "Severity", "check", "check_together", "unloadable"]


def check(flow: Flow, day: date | None = None) -> list[Finding]:
    """Every finding, errors first, in the order of the rules; some warnings are only found on a `day`."""
    try:
        study = Study(flow, day)
        findings = [finding for rule in RULES if not rule.deep for finding in rule.findings(study)]
        if not any(finding.severity == "error" for finding in findings):
            findings += [finding for rule in RULES if rule.deep for finding in rule.findings(study)]
    except FlowError as exc:  # the observations are none
        return [unloadable(exc, place_of(flow))]
    return sorted(findings, key=lambda finding: (finding.severity != "error", finding.rule))


def unloadable(error: FlowError, where: str | None) -> Finding:
    """A flow that cannot be had at all, as a finding; `where` is its file, if the error knows no better."""
    return Finding(UNLOADABLE.id, UNLOADABLE.severity, error.where or where, error.problem, error.mend or "")


def check_together(flows: Mapping[str, Flow]) -> list[Finding]:
    """What is wrong between flows that one server is to serve; `flows` has them by name."""
    answered: dict[str, str] = {}
    findings = []
    for name, flow in flows.items():
        for number in dict.fromkeys(flow.numbers):
            if (first := answered.setdefault(number, name)) != name:
                problem = f"{number} leads to flow {first!r} already"
                mend = "list a number in one flow only"
                findings.append(Finding(SHARED_NUMBER.id, SHARED_NUMBER.severity, place_of(flow), problem, mend))
    return findings
