"""Each rule of the linter finds what it is for, and nothing in a flow that is sound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from voicebot.flow import (
    After,
    Analysis,
    AskAgain,
    Flow,
    HangUp,
    Limits,
    Observations,
    Phase,
    Report,
    Say,
    To,
    ToolContext,
    ask,
    it,
    otherwise,
    tool,
)
from voicebot.flow.check import RULES, Finding, check, check_together
from voicebot.flow.tools import Tool


def short(value: str) -> str:
    return value[:10]


def named(name: str) -> Callable[[str], str]:
    def check_it(value: str) -> str:
        return value

    check_it.__name__ = name
    return check_it


class Visit(Observations):
    name: str = ask("a name", check=short)
    urgent: bool = ask("whether it is urgent")
    note: str = ask("anything else", optional=True)


def sound(**changes: Any) -> Flow:
    """A flow without a finding."""
    given: dict[str, Any] = {
        "goal": "Find out who calls.",
        "observations": Visit,
        "phases": (
            Phase(
                "reception",
                instructions="Ask.",
                observations=(it.name, it.urgent),
                transitions=(To("doctor", when=it.urgent.yes), To("bye", when=it.urgent.no)),
            ),
            Phase("doctor", instructions="Calm them.", observations=(it.note,), transitions=(To("bye"),)),
            Phase("bye", instructions="Say goodbye.", end=HangUp()),
        ),
    }
    return Flow(**(given | changes))


def rules(flow: Flow) -> list[str]:
    return [finding.rule for finding in check(flow)]


def phase(name: str = "a", **given: Any) -> Phase:
    return Phase(name, **({"instructions": "Talk."} | given))


def bye() -> Phase:
    return phase("bye", end=HangUp())


@tool
def ping() -> str:
    """Say whether we are there."""
    return "pong"


@tool
def pong() -> str:
    """Another of the same name."""
    return "ping"


object.__setattr__(pong, "name", "ping")


def test_sound_flow_has_no_finding() -> None:
    assert check(sound()) == []


def test_least_flow_has_no_finding() -> None:
    assert check(Flow(goal="g", observations=Visit, phases=(phase(),))) == []


BYE = (To("bye"),)
LAST_WORDS = Say("Goodbye.", name="goodbye")
NEITHER = (To("bye", when=it.name == "x"), To("bye", when=it.urgent.no))
FLAWS: list[tuple[str, str, dict[str, Any]]] = [
    ("F001", "2 phases are named 'a'", {"phases": (phase(), phase())}),
    ("F002", "the initial phase 'x' does not exist", {"initial_phase": "x"}),
    ("F002", "phase 'a' leads to 'x'", {"phases": (phase(transitions=(To("x"),)),), "observations": Observations}),
    ("F002", "phase 'a' leads to 'y'", {"phases": (phase(may_jump=("y",)),), "observations": Observations}),
    ("F002", "silence leads to 'x'", {"limits": Limits(silence=(After(5, To("x")),))}),
    ("F003", "phase 'a' collects 'x'", {"phases": (phase(observations=("x", *Visit.model_fields)),)}),
    ("F003", "it.x is no observation", {"phases": (phase(success_criteria=(it.x.yes,)),)}),
    ("F003", "it.x is no observation", {"phases": (phase(transitions=(To("bye", when=it.x.yes), To("bye"))), bye())}),
    ("F003", "it.x is no observation", {"report": Report(outcome={"done": it.x.yes})}),
    ("F003", "it.x is no observation", {"report": Report(analysis=Analysis(when=it.x.yes))}),
    ("F016", "of analysis 'report' never", {"report": Report(analysis=Analysis(when=it.urgent.yes & it.urgent.no))}),
    ("F004", "no way leads to phase 'b'", {"phases": (phase(transitions=BYE), phase("b", transitions=BYE), bye())}),
    ("F005", "phase 'a' leads nowhere", {"phases": (phase(may_jump=("bye",)), bye())}),
    ("F006", "phase 'bye' ends the call", {"phases": (phase("bye", end=HangUp(), transitions=BYE),)}),
    ("F006", "phase 'bye' ends the call", {"phases": (phase("bye", end=HangUp(), must_say=(LAST_WORDS,)),)}),
    ("F007", "phase 'a' may be done", {"phases": (phase(transitions=(To("bye", when=it.urgent.yes),)), bye())}),
    ("F007", "phase 'a' may be done", {"phases": (phase(transitions=NEITHER), bye())}),
    ("F008", "no phase collects 'urgent'", {"phases": (phase(observations=("name",)),)}),
    ("F009", "phase 'a' has 2 tools named 'ping'", {"phases": (phase(tools=(ping, pong)),)}),
    ("F009", "phase 'a' has 2 tools named 'ping'", {"phases": (phase(tools=(ping,)),), "tools_everywhere": (pong,)}),
    ("F010", "no time zone is named 'Rome'", {"timezone": "Rome"}),
    ("F010", "no time zone is named '../x'", {"timezone": "../x"}),
    ("F010", "no time zone is named ''", {"timezone": ""}),
    ("F011", "phase 'a' has no instructions", {"phases": (phase(instructions=" "),)}),
]  # fmt: skip
ERRORS = {"F001", "F002", "F003", "F006", "F009", "F010", "F012"}


@pytest.mark.parametrize(("rule", "problem", "changes"), FLAWS, ids=[f"{rule} {said}" for rule, said, _ in FLAWS])
def test_flaw_is_found(rule: str, problem: str, changes: dict[str, Any]) -> None:
    found = [finding for finding in check(sound(**changes)) if finding.rule == rule]
    assert any(problem in finding.problem for finding in found), found
    for finding in found:
        assert finding.severity == ("error" if rule in ERRORS else "warning")
        assert finding.where is not None
        assert finding.where.startswith(f"{__file__}:")
        assert finding.mend


def test_needed_if_is_looked_at_too() -> None:
    class Wrong(Observations):
        name: str = ask("a name", needed_if=it.nobody.yes)

    (finding,) = check(Flow(goal="g", observations=Wrong, phases=(phase(),)))
    assert (finding.rule, finding.problem) == ("F003", "it.nobody is no observation")


def test_checks_of_one_name_are_told_apart() -> None:
    class Wrong(Observations):
        name: str = ask("a name", check=lambda value: value)
        town: str = ask("a town", check=lambda value: value.title())

    (finding,) = check(Flow(goal="g", observations=Wrong, phases=(phase(),)))
    assert (finding.rule, finding.problem) == ("F012", "another check is named '<lambda>' too")


def test_one_check_may_serve_twice() -> None:
    class Twice(Observations):
        name: str = ask("a name", check=short)
        town: str = ask("a town", check=short)

    assert check(Flow(goal="g", observations=Twice, phases=(phase(),))) == []


@pytest.mark.parametrize(
    "guards",
    [
        (it.urgent.yes, it.urgent.no),
        (it.urgent.no, it.urgent.yes),
        (it.name == "x", ~(it.name == "x")),
        (it.name == "x", None),
        (it.name == "x", otherwise),
    ],
    ids=repr,
)
def test_guards_that_leave_no_gap_are_fine(guards: tuple[Any, Any]) -> None:
    transitions = tuple(To("bye", when=guard) for guard in guards)
    assert "F007" not in rules(sound(phases=(phase(transitions=transitions), bye())))


@pytest.mark.parametrize("field", ["note", "phone"])
def test_what_need_not_be_asked_need_not_be_collected(field: str) -> None:
    class Some(Observations):
        name: str = ask("a name")
        note: str = ask("a note", optional=True)
        phone: str = ask("a number", default_from="caller")

    flow = Flow(goal="g", observations=Some, phases=(phase(observations=("name",)),))
    assert rules(flow) == []


def test_phase_that_only_silence_reaches_is_reachable() -> None:
    limits = Limits(silence=(After(5, AskAgain()), After(9, To("nobody")), After(20, HangUp())))
    phases = (phase(transitions=(To("bye"),)), phase("nobody", transitions=(To("bye"),)), bye())
    assert check(sound(phases=phases, limits=limits)) == []


def test_phase_that_only_a_jump_reaches_is_reachable() -> None:
    phases = (phase(transitions=(To("bye"),), may_jump=("help",)), phase("help", transitions=(To("a"),)), bye())
    assert check(sound(phases=phases)) == []


def test_errors_come_before_warnings() -> None:
    findings = check(sound(timezone="Rome", phases=(phase(instructions=""), phase("b", transitions=(To("x"),)))))
    severities = [finding.severity for finding in findings]
    assert severities == sorted(severities)
    assert set(severities) == {"error", "warning"}


def test_errors_in_names_come_before_what_follows_from_them() -> None:
    phases = (phase(transitions=(To("x"),)), phase("b", transitions=(To("bye"),)), bye())
    assert rules(sound(phases=phases)) == ["F002"]
    assert "F004" in rules(sound(phases=(phase(transitions=(To("bye"),)), *phases[1:])))


def test_observations_that_are_none_are_a_finding() -> None:
    class Plain(Observations):
        name: str = "nobody"

    (finding,) = check(Flow(goal="g", observations=Plain, phases=(phase(),)))
    assert (finding.rule, finding.severity) == ("F000", "error")
    assert "Plain.name" in finding.problem


def test_numbers_lead_to_one_flow() -> None:
    flows = {
        "first": sound(numbers=("+15550100001", "+15550100002")),
        "second": sound(numbers=("+15550100003", "+15550100003")),
        "third": sound(numbers=("+15550100002",)),
    }
    (finding,) = check_together(flows)
    assert (finding.rule, finding.severity) == ("F033", "warning")
    assert finding.problem == "+15550100002 leads to flow 'first' already"


def test_what_a_tool_hands_in_need_not_be_collected() -> None:
    """Whether `record` is named in the tool itself, in a helper of it, or in a function inside it."""

    @tool
    def inside(context: ToolContext) -> str:
        """Look it up."""
        return str([context.record(urgent=one) for one in (True,)])

    @tool
    def outside(context: ToolContext) -> str:
        """Look it up."""
        return _handed(context)

    @tool
    def never(context: ToolContext) -> str:
        """Look it up."""
        return context.call_sid

    def with_tool(used: Tool) -> Flow:
        return sound(phases=(phase(observations=("name",), tools=(used,), success_criteria=(it.urgent.yes,)),))

    assert rules(with_tool(inside)) == rules(with_tool(outside)) == []
    assert rules(with_tool(never)) == ["F017", "F008"]


def _handed(context: ToolContext) -> str:
    context.record(urgent=True)
    return "found"


@pytest.mark.parametrize(
    ("where", "file", "line"),
    [("flows/a.py:3", "flows/a.py", 3), ("a.py", "a.py", None), (r"C:\a.py:12", r"C:\a.py", 12), (None, None, None)],
)
def test_finding_knows_file_and_line(where: str | None, file: str | None, line: int | None) -> None:
    finding = Finding("F002", "error", where, "it leads nowhere", "mend it")
    assert (finding.file, finding.line) == (file, line)


def test_every_rule_has_an_id_of_its_own() -> None:
    ids = [rule.id for rule in RULES]
    assert ids == [f"F{number:03}" for number in range(len(RULES))]
    assert all(rule.title and "\n" not in rule.title for rule in RULES)


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("a.py:3", "a.py:3: error F002: it leads nowhere (mend it)"),
        (None, "flow: error F002: it leads nowhere (mend it)"),
    ],
)
def test_finding_is_one_readable_line(where: str | None, text: str) -> None:
    assert str(Finding("F002", "error", where, "it leads nowhere", "mend it")) == text
    assert str(Finding("F002", "error", where, "it leads nowhere", "")) == text.removesuffix(" (mend it)")
