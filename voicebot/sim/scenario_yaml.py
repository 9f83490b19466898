"""Scenarios in YAML, read into the same `Scenario` that Python writes; the form stands in `scenario_form`.

What the model makes of the caller's words and the functions it calls come in one response, `bot` speaks in the next.
A value's quote is the whole of the caller's last line, unless `quotes` says which words of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from voicebot.errors import ScenarioError

from .brain import Calls, Output, Says
from .caller import HangUp, Hear, Interrupt, LeaveMessage, Listen, Press, Say, Step, Wait
from .scenario import Exchange, Expected, Scenario, concluded, confirmed, declined, judged_as, noted, rule
from .scenario_form import SCRIPTS, Entry, Expect, Form, FunctionCall, LookBack, OutForm, RungForm, Script
from .yaml_tree import SAYS_NOTHING, Key, YamlProblem, YamlTree, read_tree


def read_yaml(path: Path) -> list[Scenario]:
    """Read a file of scenarios.

    Raises:
        ScenarioError: what is wrong with it, one line each: file, line, and how to mend it.
    """
    try:
        tree = read_tree(path.read_text(encoding="utf-8"))
        scripts = SCRIPTS.validate_python(tree.values)
        return [_scenario(script, path, tree, number) for number, script in enumerate(scripts)]
    except OSError as exc:
        raise ScenarioError(f"{path}: cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ScenarioError(f"{path}: is no text in UTF-8") from exc
    except YamlProblem as exc:
        raise ScenarioError(_sentence(path, exc)) from exc
    except ValidationError as exc:
        problems = sorted((_problem(tree, one) for one in exc.errors(include_url=False)), key=lambda one: one.line)
        raise ScenarioError("\n".join(dict.fromkeys(_sentence(path, one) for one in problems))) from exc


# ---- from a script to a scenario ------------------------------------------------------------------------------------


def _scenario(script: Script, path: Path, tree: YamlTree, number: int) -> Scenario:
    return Scenario(
        script.name,
        script.flow or path.stem,
        tuple(_exchanges(script.script or (), tree, number)),
        _expected(script.expect),
        caller_number=script.from_,
        called_number=script.to,
        title=script.title,
        analysis=_analysis(script.analysis),
        calls_out=None if script.calls_out is None else script.calls_out.call(),
        transfer={name: tuple(one.rung() for one in rung) for name, rung in script.transfer.items()},
        variations=script.variations,
        at=script.at,
        settings={name: str(value) for name, value in script.settings.items()},
        place=f"{path}:{tree.line((number,))}",
    )


def _expected(expect: Expect) -> Expected:
    return Expected(
        phases=None if expect.phases is None else tuple(expect.phases),
        observations=expect.observations,
        outcome=expect.outcome,
        ended_reason=expect.ended_reason,
        interruptions=expect.interruptions,
        statements=tuple(expect.statements),
        evidence=expect.evidence,
        tools=None if expect.tools is None else tuple(expect.tools),
        silences=expect.silences,
        max_response_ms=expect.max_response_ms,
        analysis=expect.analysis,
        summary=expect.summary,
        filled_after=None if expect.filled_after is None else tuple(expect.filled_after),
        passed_on=None if expect.passed_on is None else tuple(expect.passed_on),
        report=expect.report,
    )


def _analysis(looks_back: LookBack | None) -> Calls | None:
    if looks_back is None:
        return None
    said = {name: (value, looks_back.quotes[name]) for name, value in looks_back.means.items()}
    return concluded(looks_back.summary, **said)


def _exchanges(entries: Sequence[Entry], tree: YamlTree, number: int) -> Iterator[Exchange]:
    """An exchange for each act of the caller, with the responses of its entry and of those that follow without one."""
    exchange: Exchange | None = None
    last_words: str | None = None
    for position, entry in enumerate(entries):
        last_words = entry.caller or last_words
        replies = tuple(_replies(entry, last_words, tree.line((number, "script", position))))
        if exchange is not None and not entry.acts:
            exchange = Exchange(exchange.caller, exchange.replies + replies)
            continue
        if exchange is not None:
            yield exchange
        exchange = Exchange(_step(entry), replies)
    if exchange is not None:
        yield exchange


def _step(entry: Entry) -> Step | None:
    if entry.caller is not None:
        if entry.interrupts_after_ms is None:
            return Say(entry.caller, entry.timeout_ms)
        return Interrupt(entry.caller, entry.interrupts_after_ms, entry.timeout_ms)
    if entry.presses is not None:
        return Press(entry.presses, not entry.at_once, entry.timeout_ms)
    if entry.leaves_message is not None:
        return LeaveMessage(entry.leaves_message, entry.timeout_ms)
    if entry.waits_ms is not None:
        return Wait(entry.waits_ms)
    match entry.does:
        case "hang up":
            return HangUp()
        case "hear":
            return Hear(entry.timeout_ms)
        case "listen":
            return Listen(entry.timeout_ms)
    return None


def _replies(entry: Entry, last_words: str | None, line: int) -> Iterator[tuple[Output, ...]]:
    silent = (*_understood(entry, last_words, line), *map(_call, entry.calls))
    if silent:
        yield silent
    if entry.bot is not None:
        yield (Says(entry.bot), *map(_call, entry.then_calls))
    for response in entry.responses:
        yield tuple(_call(one.calls[0]) if one.says is None else Says(one.says) for one in response)


def _understood(entry: Entry, last_words: str | None, line: int) -> Iterator[Calls]:
    """What the model makes of the caller's words."""
    quotes = {name: entry.quotes.get(name, last_words) for name in entry.quotable}
    if wordless := [name for name, words in quotes.items() if words is None]:
        raise YamlProblem(line, f"the caller has said nothing yet that says {wordless[0]!r}", "add it to `quotes`")
    said = {name: words for name, words in quotes.items() if words is not None}
    if entry.means:
        yield noted(**{name: (value, said[name]) for name, value in entry.means.items()})
    if entry.confirms:
        yield confirmed(**{name: said[name] for name in entry.confirms})
    if entry.declines:
        yield declined(**{name: said[name] for name in entry.declines})
    for criterion, holds in entry.judges.items():
        yield judged_as(criterion, holds, said[criterion])
    for name in entry.asks_rule:
        yield rule(name, said[name])


def _call(call: FunctionCall) -> Calls:
    return Calls(call.name, call.arguments)


# ---- what is wrong, and where ---------------------------------------------------------------------------------------

_MODELS: Mapping[Key, type[Form]] = {
    "script": Entry,
    "expect": Expect,
    "analysis": LookBack,
    "calls_out": OutForm,
    "transfer": RungForm,
}


def _problem(tree: YamlTree, error: ErrorDetails) -> YamlProblem:
    """An error of pydantic's, with the line and a way to mend it."""
    at: tuple[Key, ...] = tuple(error["loc"])
    context: Mapping[str, Any] = error.get("ctx", {})
    given = error["input"]
    key = next((part for part in reversed(at) if isinstance(part, str)), "")
    match error["type"]:
        case "extra_forbidden":
            return YamlProblem(tree.key_line(at), f"there is no {key!r} here", _nearest(at))
        case "missing":
            return YamlProblem(tree.line(at[:-1]), f"{key!r} is missing", "add it")
        case "script":
            line = tree.key_line((*at, *context["key"])) if context["key"] else tree.line(at)
            return YamlProblem(line, context["problem"], context["mend"])
        case "string_type" if given is None:
            return YamlProblem(tree.line(at), f"{key!r} says nothing", SAYS_NOTHING)
        case "string_type" if isinstance(given, bool | int | float):
            return YamlProblem(tree.line(at), f"{key!r} must be text", "put it in quotation marks")
        case "string_pattern_mismatch":
            return YamlProblem(tree.line(at), f"{given!r} are no keys of a telephone", "use 0-9 * # A-D")
        case "list_type" | "too_short" if not at:
            return YamlProblem(tree.line(at), "there is no list of scenarios", "begin each with `- name: …`")
        case "too_short" | "string_too_short":
            return YamlProblem(tree.line(at), f"{key!r} is empty", "fill it, or leave it out")
        case _:
            message = error["msg"][:1].lower() + error["msg"][1:]
            return YamlProblem(tree.line(at), f"{key!r}: {message}" if key else message)


def _nearest(at: Sequence[Key]) -> str:
    """What may have been meant by an unknown key."""
    model = next((_MODELS[part] for part in at[:-1] if part in _MODELS), Script)
    names = [known.alias or name for name, known in model.model_fields.items()]
    near = get_close_matches(str(at[-1]), names, 1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"


def _sentence(path: Path, problem: YamlProblem) -> str:
    advice = f" ({problem.mend})" if problem.mend else ""
    return f"{path}:{problem.line}: {problem.problem}{advice}"
