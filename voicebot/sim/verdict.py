"""What the stage and the table share: the day on which calls are played, and the comparison with what is expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from voicebot.call.statements import apology_of, hold_words, words_of_return, words_when_unreached
from voicebot.engine.keypad import words_for
from voicebot.engine.spending import words_of_cost
from voicebot.flow.loader import LoadedFlow
from voicebot.flow.model import Flow
from voicebot.flow.tools import Tool
from voicebot.flow.ways_out import Transfer
from voicebot.flow.wording import texts_of

from .brain import Says
from .caller import Hear, Interrupt, Press, Say
from .matchers import differences
from .scenario import Scenario
from .table_speech import one_line
from .timeline import BotSaid, CallerSaid

ONLY_WHOLE = ("line", "recording")  # of a report: what a table has none of
VIRTUAL_START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def opening_of(loaded: LoadedFlow) -> str | None:
    """The exact words that a flow's calls begin with, if there are any."""
    return loaded.flow.opening.text if loaded.flow.opening is not None else None


def answered_lines(scenario: Scenario, opening: str | None) -> list[str | None]:
    """For each of the caller's steps, the bot's last line since the caller last did something; None where none was.

    `Hear` hears anything: it lets pass what stands in no script, such as what bridges the work of a tool.
    """
    lines: list[str | None] = []
    latest = None if opening is None else one_line(opening)
    for exchange in scenario.exchanges:
        if exchange.caller is not None:
            lines.append(None if isinstance(exchange.caller, Hear) else latest)
        if isinstance(exchange.caller, Say | Interrupt | Press):
            latest = None
        said = [output.text for reply in exchange.replies for output in reply if isinstance(output, Says)]
        latest = one_line(said[-1]) if said else latest
    return lines


def misheard(
    scenario: Scenario, loaded: LoadedFlow, bot_said: Sequence[BotSaid], announced: Sequence[str] = ()
) -> list[str]:
    """What the caller heard, by his ear alone, against the script: each line once, in order, whole or cut.

    What fills the time while a tool works may be heard or not: it depends on how long that took. Nor does it count what
    is said in need: a word for a caller who waits, an apology, what asks for keys, what goes before a transfer and
    after one that failed, and what the phone line announced itself.
    """
    opening = opening_of(loaded)
    answered = scenario.expected.phases != ()
    lines = [opening] if opening is not None and answered else []
    lines += [
        output.text
        for exchange in scenario.exchanges
        for reply in exchange.replies
        for output in reply
        if isinstance(output, Says)
    ]
    statements = [one_line(text) for text in scenario.expected.statements]
    everything = [said for said in bot_said if said.text]
    tools = [tool.filler for tool in loaded.functions.values() if isinstance(tool, Tool)]
    fillers = [one_line(text) for filler in tools for text in texts_of(filler).values()]
    exact = (*_beside_the_script(loaded.flow), *announced)
    beside = [*statements, *fillers, *map(one_line, exact)]
    heard = [said for said in everything if not any(text.startswith(said.text) for text in beside)]
    whole = {said.text for said in everything if said.complete and not said.damaged}
    problems = [f"the caller never heard the statement {text!r}" for text in statements if text not in whole]
    for number, line in enumerate(lines):
        wanted = one_line(line)
        if number >= len(heard):
            problems.append(f"the caller never heard: {wanted!r}")
            continue
        said = heard[number]
        if said.damaged or (said.complete and said.text != wanted) or not wanted.startswith(said.text):
            problems.append(f"the caller heard {said.text!r} instead of {wanted!r}")
    problems += [f"the caller heard {said.text!r}, which nobody was to say" for said in heard[len(lines) :]]
    return problems


def misheard_by_machine(
    loaded: LoadedFlow, bot_said: Sequence[BotSaid], caller_said: Sequence[CallerSaid]
) -> list[str]:
    """What an answering machine recorded behind its greeting: the flow's message, whole, and nothing else."""
    behind_ms = max((said.end_ms for said in caller_said), default=float("-inf"))
    recorded = [said for said in bot_said if said.text and said.end_ms > behind_ms]
    message = one_line(loaded.flow.message.text) if loaded.flow.message is not None else None
    whole = [said for said in recorded if said.text == message and said.complete and said.start_ms >= behind_ms]
    problems = [f"the machine never recorded: {message!r}"] if message is not None and caller_said and not whole else []
    return problems + [
        f"the machine recorded {said.text!r}, which nobody was to say"
        for said in recorded
        if said.start_ms >= behind_ms and said.text != message
    ]


def _beside_the_script(flow: Flow) -> Iterator[str]:
    """What may be said exactly without being scripted, in every language of the flow."""
    by_keys = [spec for spec in flow.specs.values() if spec.ask.keypad is not None]
    for code in flow.languages:
        in_need = [words(flow, code) for words in (hold_words, words_of_return, words_when_unreached, apology_of)]
        yield from (say.text for say in in_need if say is not None)
        yield words_of_cost(flow, code).text
        yield from (
            words_for(flow, spec, language=code, again=again).text for spec in by_keys for again in (False, True)
        )
    for phase in flow.phases:
        if isinstance(phase.end, Transfer):
            yield from texts_of(phase.end.say).values()


def report_problems(
    scenario: Scenario,
    report: Mapping[str, Any],
    *,
    silences: int,
    response_counts: bool = True,
    whole: bool = True,
) -> list[str]:
    """A report against what the scenario expects of it.

    Args:
        report: `data` of the report.
        silences: rungs of the silence ladder that were reached.
        response_counts: compare how long the caller waited, too.
        whole: the call was a whole one; the report of one at the table lacks `ONLY_WHOLE`.
    """
    expected, spoken = scenario.expected, list(scenario.spoken())
    found = {
        "phases": tuple(phase["name"] for phase in report["phases"]),
        "outcome": report["outcome"],
        "ended_reason": report["ended_reason"],
        "interruptions": sum(1 for line in report["transcript"] or () if line.get("interrupted")),
        "tools": tuple(tool["tool"] for tool in report["tools"]),
        "silences": silences,
        "analysis": report["analysis"],
        "summary": report["summary"],
        "filled_after": tuple(report["filled_after"]),
        "passed_on": tuple(f"{one['to']}: {one['status']}" for one in report["passed_on"]),
    }
    problems = [
        f"{name}: expected {wanted!r}, reported {value!r}"
        for name, value in found.items()
        if (wanted := getattr(expected, name)) is not None and value != wanted
    ]
    for name, wanted in expected.observations.items():
        if report["observations"].get(name) != wanted:
            problems.append(f"{name}: expected {wanted!r}, reported {report['observations'].get(name)!r}")
    for name, state in expected.evidence.items():
        evidence = report["evidence"].get(name) or {}
        if evidence.get("state") != state:
            problems.append(f"evidence of {name}: expected {state!r}, reported {evidence.get('state')!r}")
    worst_ms = (report["response_ms"] or {}).get("worst", 0)
    if response_counts and expected.max_response_ms is not None and worst_ms > expected.max_response_ms:
        problems.append(f"the caller waited {worst_ms} ms for an answer, expected {expected.max_response_ms} at most")
    told = {name: value for name, value in expected.report.items() if whole or name not in ONLY_WHOLE}
    problems += differences(told, report)
    if not scenario.talks:
        return problems
    reported = [line["text"] for line in report["transcript"] or () if line["speaker"] == "caller" and line["text"]]
    if reported != [one_line(text) for text in spoken]:
        problems.append(f"the transcript has the caller say {reported!r}, but it was {spoken!r}")
    return problems
