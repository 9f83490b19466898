"""Rules about recording: that a caller is told, and can decline where the flow says so."""

from __future__ import annotations

from collections.abc import Iterator

from ..model import Flow
from ..source import place_of
from .findings import Flaw, LintRule, instead
from .study import Study


def _untold(study: Study) -> Iterator[Flaw]:
    record = study.flow.record
    if record is not None and not record.consent:
        mend = "name the statement that tells them in consent=, or write consent=None if they are told elsewhere"
        yield Flaw(place_of(record), "calls are recorded, and no caller is told", mend)


def _names(study: Study) -> Iterator[Flaw]:
    flow, record = study.flow, study.flow.record
    if record is None:
        return
    statements = [*flow.statements, *([flow.opening.name] if flow.opening is not None and flow.opening.name else [])]
    if record.asks and record.consent and record.consent not in statements:
        mend = instead(record.consent, statements, "statements")
        yield Flaw(place_of(record), f"nothing is said as {record.consent!r}, so no recording ever begins", mend)
    ways = [*(rule.name for rule in flow.rules), *_tools(flow)]
    if record.refusal and record.refusal not in ways:
        mend = instead(record.refusal, ways, "rules and tools")
        yield Flaw(place_of(record), f"{record.refusal!r} is no rule and no tool, so nobody can decline", mend)


def _tools(flow: Flow) -> Iterator[str]:
    for phase in flow.phases:
        yield from (tool.name for tool in flow.tools_in(phase))


def _cut_off(study: Study) -> Iterator[Flaw]:
    flow, record, opening = study.flow, study.flow.record, study.flow.opening
    if record is None or opening is None or not opening.interruptible:
        return
    if record.consent and record.consent == opening.name and record.consent not in flow.statements:
        problem = "who speaks into the opening has not been told, and the call is not recorded"
        yield Flaw(place_of(record), problem, "write interruptible=False in the opening")


RULES = (
    LintRule("F037", "error", "calls are recorded without a word about whether callers are told", _untold),
    LintRule("F038", "error", "a recording hangs on a statement, a rule or a tool that is none", _names),
    LintRule("F039", "warning", "a caller may miss that the call is recorded", _cut_off),
)
