"""How a call reads on the screen: each journal entry as a row, the report at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from voicebot.call import entries as call_entries
from voicebot.call.entries import Entry, kind_of
from voicebot.engine import entries as engine_entries

from .screen import Row

_LONGEST = 160  # characters of a tool's answer, or of an observation's value
_EVERYDAY = frozenset({"record", "judge", "apply_rule", "switch_language"})  # what comes of them is shown

# What only machines read, and what shows otherwise.
_UNSEEN: tuple[type[Entry], ...] = (
    call_entries.CallOpened,
    call_entries.CallerConnected,
    call_entries.ModelConnected,
    call_entries.FunctionAnswered,
    call_entries.TurnAnswered,
    call_entries.TokensSpent,
    call_entries.LineClosed,
    call_entries.LineQuality,
    call_entries.CallEnded,
    engine_entries.CallerTurnTaken,
    engine_entries.StatementBegun,
    engine_entries.ClosingBegan,
)


class Shown:
    """The rows of one call, entry by entry; it remembers which values were there, to say which have changed."""

    def __init__(self, tools: Sequence[str]) -> None:
        """
        Args:
            tools: names of the flow's own tools, whose use has rows of its own.
        """
        self._values: dict[str, object] = {}
        self._hidden = _EVERYDAY | set(tools)

    def row(self, entry: Entry) -> Row | None:
        """How an entry reads; None for one that is not shown, and for a phase, which is a rule and no row."""
        if isinstance(entry, (*_UNSEEN, engine_entries.PhaseEntered)):
            return None
        if isinstance(entry, engine_entries.EvidenceWeighed) and entry.state == "confirmed":  # as it should be
            return None
        if isinstance(entry, call_entries.ModelGone) and entry.planned:
            return None
        return self._speech(entry) or self._finding(entry) or self._work(entry) or _anything(entry)

    def _speech(self, entry: Entry) -> Row | None:
        match entry:
            case engine_entries.CallerSaid(text=text):
                return Row("caller", text, style="bold cyan")
            case call_entries.BotSaid(text=text, exact=exact):
                return Row("bot", text, "(exact words)" if exact else "", "bold green")
            case call_entries.KeyPress(digit=digit):
                return Row("caller", f"presses {digit}", style="bold cyan")
            case engine_entries.SilenceNoticed(rung=rung):
                return Row("caller", f"is silent (rung {rung + 1} of the ladder)", style="bold cyan")
            case engine_entries.StatementHeard(name=name):
                return Row("heard", f"{name}, to its end", style="green")
            case engine_entries.StatementCut(name=name):
                return Row("cut", f"{name} was not heard to its end", style="yellow")
        return None

    def _finding(self, entry: Entry) -> Row | None:
        match entry:
            case engine_entries.ObservationRecorded(name=name, value=value, kind=kind, quote=quote):
                old, self._values[name] = self._values.get(name), value
                label = "noted" if old in (None, value) else "changed"
                source = _quoted(quote) if kind == "speech" else f"({kind})"
                return Row(label, f"{name} = {short(value)}", source, "blue" if label == "noted" else "bold blue")
            case engine_entries.ObservationFilled(name=name, value=value, quote=quote):
                return Row("filled", f"{name} = {short(value)}, after the call", _quoted(quote), "blue")
            case engine_entries.ObservationDeclined(name=name, quote=quote):
                return Row("noted", f"{name}: the caller does not want to tell it", _quoted(quote), "blue")
            case engine_entries.ObservationConfirmed(name=name, quote=quote):
                return Row("agreed", f"{name}, after it was read back", _quoted(quote), "blue")
            case engine_entries.ObservationWithdrawn(name=name, reason=reason):
                self._values.pop(name, None)
                return Row("withdrawn", f"{name}: {reason.replace('_', ' ')}", style="red")
            case engine_entries.JudgementMade(criterion=criterion, holds=holds, quote=quote):
                return Row("judged", f"{criterion}: {'holds' if holds else 'does not hold'}", _quoted(quote), "blue")
            case engine_entries.EvidenceWeighed(subject=subject, state=state, score=score):
                return Row("evidence", f"{subject}: {state}", "" if score is None else f"score {score:.2f}", "red")
            case engine_entries.RuleApplied(rule=rule, quote=quote):
                return Row("rule", rule, _quoted(quote), "bold magenta")
            case engine_entries.ProposalRefused(subject=subject, problem=problem):
                return Row("refused", f"{subject}: {problem}", style="red")
        return None

    def _work(self, entry: Entry) -> Row | None:
        match entry:
            case engine_entries.ToolStarted(tool=tool, arguments=arguments):
                return Row("tool", f"{tool}({'' if arguments in ('', '{}') else _clipped(arguments)})", style="yellow")
            case engine_entries.ToolAnswered(tool=tool, output=output, ok=ok, took_ms=took_ms):
                return Row("tool", f"{tool} → {_clipped(output)}", f"{took_ms} ms" if ok else "failed", "yellow")
            case engine_entries.ToolHeld(tool=tool):
                return Row("tool", f"{tool} waits until what it rests on is borne out", style="yellow")
            case engine_entries.AskedAgain(tool=tool, subjects=subjects):
                return Row("doubt", f"{tool} waits; asked once more: {', '.join(subjects)}", style="yellow")
            case engine_entries.TimeRanOut(limit=limit):
                return Row("time", f"the time for the {limit} is over", style="yellow")
            case engine_entries.CostReached(usd=usd):
                return Row("cost", f"the call has cost ${usd:.2f}, which is what it may", style="yellow")
            case engine_entries.LanguageSwitched(language=language, cause=cause, quote=quote):
                why = _quoted(quote) if cause == "request" else "(by the transcripts)"
                return Row("language", language, why, "bold magenta")
            case call_entries.FunctionCalled(name=name, arguments=arguments) if name not in self._hidden:
                return Row("asks", f"{name}({_clipped(arguments)})", style="yellow")
            case call_entries.ReplyFailed(problem=problem, retried=retried):
                return Row("problem", f"a reply failed: {problem}", "asked again" if retried else "", "bold red")
            case call_entries.StatementNotRendered(text=text, reason=reason):
                return Row("problem", f"not spoken exactly: {text}", reason, "bold red")
            case call_entries.CallAnalysed(status="done", summary=summary):
                return Row("summary", summary or "", style="blue")
            case call_entries.CallAnalysed(reason=reason):
                return Row("problem", f"the call was not summed up: {reason}", style="yellow")
            case call_entries.ModelGone(reason=reason, retryable=retryable):
                return Row("problem", f"the model is gone: {reason}", "tried again" if retryable else "", "bold red")
        return None


def _anything(entry: Entry) -> Row | None:
    """An entry that has no words of its own here: its kind and its fields."""
    if isinstance(entry, call_entries.FunctionCalled):
        return None
    held = ((one.name, getattr(entry, one.name)) for one in fields(entry))
    told = (f"{name} {short(value)}" for name, value in held if value not in ("", None) and name != "turn")
    return Row(kind_of(entry).replace("_", " ").split(" ")[0], f"{kind_of(entry).replace('_', ' ')}: {', '.join(told)}")


def report_rows(data: Mapping[str, Any]) -> Iterator[Row]:
    """What the report says came of the call."""
    yield Row("outcome", data["outcome"] or "none", f"({data['ended_reason']})", "bold")
    yield Row("progress", f"{data['progress']:.0%}")
    yield Row("phases", " → ".join(phase["name"] for phase in data["phases"]), style="magenta")
    if data["summary"]:
        yield Row("summary", data["summary"])
    for statement in data["statements"]:
        yield Row("said", f"{statement['name']}: {statement['heard'] or 'not heard'}", style="green")
    for name, value in data["observations"].items():
        found = data["evidence"][name] or {}
        source = _quoted(found.get("quote") or "") or (f"({found['kind']})" if found else "")
        status = data["observation_status"][name]
        shown = short(value) if status == "filled" else status.replace("_", " ")
        yield Row("", f"{name} = {shown}" if status == "filled" else f"{name}: {shown}", source)


def _quoted(quote: str) -> str:
    return f"«{quote}»" if quote else ""


def short(value: object) -> str:
    """A value in JSON form, on one line and not too long."""
    return _clipped(json.dumps(value, ensure_ascii=False, default=str))


def _clipped(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST else flat[: _LONGEST - 1] + "…"
