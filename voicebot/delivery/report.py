"""The report of a call: a fold over its journal, and nothing else.

The same journal always gives the same report, whenever and wherever it is folded. The body follows Standard Webhooks:
`{"type": "call.completed", "timestamp": …, "data": {…}}`, with `data` flat, times in ISO 8601 (UTC), numbers in E.164.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any, get_args

from pydantic import ValidationError

from voicebot.call import entries as call_entries
from voicebot.call.about import context_of
from voicebot.call.entries import Entry, read_entry
from voicebot.engine import entries as engine_entries
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.state import Observed
from voicebot.errors import JournalError
from voicebot.flow.model import Flow
from voicebot.store.contract import CallRecord, StoredEntry
from voicebot.webhook_events import REPORT_EVENT

from .report_schema import RECORDED

MAX_BODY_BYTES = 20_000  # Standard Webhooks: bodies stay below 20 kB


@dataclass(frozen=True, slots=True)
class _Line:
    """A journal entry, read."""

    entry: Entry
    at_ms: int
    wall: str


def fold_report(record: CallRecord, flow: Flow, journal: Sequence[StoredEntry]) -> dict[str, Any]:
    """The whole report of a call.

    Args:
        record: what is known of the call besides its journal.
        flow: the flow that the call ran.
        journal: its entries, in order.

    Raises:
        JournalError: an entry is damaged, or is not of a call with this flow.
    """
    lines = [_Line(read_entry(one.kind, one.body), one.at_ms, iso(one.wall)) for one in journal]
    engine = PhaseEngine(flow, context_of(record))
    try:
        engine.restore(((line.at_ms / 1000, line.entry) for line in lines if isinstance(line.entry, _ENGINE)), 0.0)
        progress, outcome = engine.progress(), engine.outcome()
    except (KeyError, ValidationError) as exc:
        raise JournalError(f"the journal of {record.call_sid} does not fit the flow {record.flow_name}") from exc
    ended = next((line for line in reversed(lines) if isinstance(line.entry, call_entries.CallEnded)), None)
    last = ended or (lines[-1] if lines else None)
    answered = next((line for line in lines if isinstance(line.entry, call_entries.CallerConnected)), None)
    ended_at = last.wall if last else iso(record.started)
    data = {
        **head_of(record),
        "variables": dict(_variables(lines)),
        "answered_at": answered.wall if answered else None,
        "answered_by": _answered_by(lines),
        "ended_at": ended_at,
        "duration_s": round((last.at_ms - answered.at_ms) / 1000, 1) if last and answered else 0.0,
        "ended_reason": ended.entry.reason if ended and isinstance(ended.entry, call_entries.CallEnded) else "error",
        "outcome": outcome,
        "progress": round(progress, 3),
        "observations": {name: found.json_value if (found := _found(engine, name)) else None for name in flow.specs},
        "observation_status": {name: engine.status(name) for name in flow.specs},
        "evidence": _evidence(flow, engine, lines),
        **_analysis(engine, lines),
        "judgements": list(_judgements(engine)),
        "rules": list(_rules(lines)),
        "phases": list(_phases(lines)),
        "statements": list(_statements(flow, lines)),
        "tools": list(_tools(lines)),
        "messages": list(_messages(lines)),
        "transfer": _transfer(lines),
        "passed_on": list(_passed_on(lines)),
        "language": engine.language,
        "languages": list(_languages(lines)),
        "transcript": list(_transcript(lines)),
        "transcript_url": None,
        "response_ms": _response_ms(lines),
        "line": _line(lines),
        "recording": _recording(lines),
        "tokens": _tokens(lines),
        "cost": _cost(lines),
        "problems": list(_problems(lines)),
    }
    return {"type": REPORT_EVENT, "timestamp": ended_at, "data": data}


def bare_report(record: CallRecord, flow: Flow | None, journal: Sequence[StoredEntry], problem: str) -> dict[str, Any]:
    """The report of a call whose journal does not fold: what is known without it, and why there is no more.

    Its observations are all empty: nobody can say what was recorded.
    """
    names = tuple(flow.specs) if flow is not None else ()
    ended_at = iso(journal[-1].wall if journal else record.started)
    answered = next((one for one in journal if one.kind == "caller_connected"), None)
    lists = ("judgements", "rules", "phases", "statements", "tools", "messages", "passed_on", "languages", "transcript")
    data = {
        **head_of(record),
        "variables": {},
        "answered_at": iso(answered.wall) if answered else None,
        "answered_by": None,
        "ended_at": ended_at,
        "duration_s": round((journal[-1].at_ms - answered.at_ms) / 1000, 1) if answered else 0.0,
        "ended_reason": "error",
        "outcome": None,
        "progress": 0.0,
        "observations": dict.fromkeys(names),
        "observation_status": dict.fromkeys(names, "unasked"),
        "evidence": dict.fromkeys(names),
        "analysis": None,
        "summary": None,
        "filled_after": [],
        **{name: [] for name in lists},
        "transfer": None,
        "language": None,
        "transcript_url": None,
        "response_ms": None,
        "line": None,
        "recording": None,
        "tokens": _tokens(()),
        "cost": None,
        "problems": [{"kind": "journal_damaged", "text": problem, "at": ended_at}],
    }
    return {"type": REPORT_EVENT, "timestamp": ended_at, "data": data}


def whole_body(report: Mapping[str, Any]) -> str:
    """The report as it is kept."""
    return json.dumps(report, ensure_ascii=False, separators=(",", ":"))


def posted_body(report: Mapping[str, Any], transcript_url: str | None) -> str:
    """The report as it is posted: below 20 kB, with the transcript by link when it does not fit.

    Where that is not enough, the quotes go too, then tools, languages and problems: all of it stands in the whole
    report.

    Args:
        transcript_url: where the whole report can be read, None if it cannot.
    """
    data = report["data"]
    by_link = {**data, "transcript": None, "transcript_url": transcript_url}
    unquoted = {
        **by_link,
        "evidence": {
            name: found and {**found, "quote": None, "agreed": None} for name, found in data["evidence"].items()
        },
        "judgements": [{**one, "quote": None} for one in data["judgements"]],
        "languages": [{**one, "quote": None} for one in data["languages"]],
    }
    shortest = {**unquoted, "tools": [], "languages": [], "problems": []}
    bodies = (whole_body({**report, "data": one}) for one in (data, by_link, unquoted, shortest))
    return next(
        (body for body in bodies if len(body.encode()) < MAX_BODY_BYTES), whole_body({**report, "data": shortest})
    )


# ---- the parts of a report ------------------------------------------------------------------------------------------

_ENGINE = get_args(engine_entries.EngineEntry)


def head_of(record: CallRecord) -> dict[str, Any]:
    """Which call it is: what is known without its journal."""
    return {
        "call_sid": record.call_sid,
        "flow": record.flow_name,
        "flow_version": record.flow_version,
        "direction": record.direction,
        "caller": record.caller,
        "called": record.called,
        "started_at": iso(record.started),
    }


def _found(engine: PhaseEngine, name: str) -> Observed | None:
    """The value of a field, whether it was recorded in the call or filled in after it."""
    return engine.state.observed.get(name) or engine.state.filled.get(name)


def _variables(lines: Sequence[_Line]) -> Mapping[str, str]:
    """What an outbound call was placed with."""
    opened = next((line.entry for line in lines if isinstance(line.entry, call_entries.CallOpened)), None)
    return opened.variables if opened is not None else {}


def _answered_by(lines: Sequence[_Line]) -> str | None:
    """Who has answered our call, as the phone line found out; null for other calls, and where it did not."""
    known = (line.entry.answered_by for line in lines if isinstance(line.entry, call_entries.AnswererKnown))
    return next(known, None)


def _analysis(engine: PhaseEngine, lines: Sequence[_Line]) -> dict[str, Any]:
    """What the model wrote when the call was over; a call that never came to that was skipped."""
    made = next((line.entry for line in reversed(lines) if isinstance(line.entry, call_entries.CallAnalysed)), None)
    skipped = "skipped" if engine.analysis_wanted else None
    return {
        "analysis": made.status if made is not None else skipped,
        "summary": made.summary if made is not None else None,
        "filled_after": [name for name in engine.flow.specs if name in engine.state.filled],
    }


def _evidence(flow: Flow, engine: PhaseEngine, lines: Sequence[_Line]) -> dict[str, Any]:
    """Where each value came from, and whether the caller's words bear it out; of what was declined, the words."""
    found: dict[str, Any] = dict.fromkeys(flow.specs)
    for line in lines:
        match line.entry:
            case engine_entries.ObservationRecorded(name=name, value=value):
                observed = engine.state.observed.get(name)
                if observed is not None and observed.json_value == value:
                    found[name] = _testimony(observed, line.wall)
            case engine_entries.ObservationFilled(name=name):
                found[name] = _testimony(engine.state.filled[name], line.wall)
            case engine_entries.ObservationDeclined(name=name, quote=quote, turn=turn) if found[name] is None:
                declined = {"kind": "speech", "state": "unverifiable", "score": None, "quote": quote, "agreed": None}
                found[name] = {**declined, "turn": turn, "at": line.wall}
    return found


def _testimony(observed: Observed, at: str) -> dict[str, Any]:
    quote, agreed = observed.quote, observed.agreed
    return {
        "kind": observed.kind,
        "state": _at_last(quote.state),
        "score": quote.score,
        "quote": quote.text or None,
        "agreed": agreed.text if agreed else None,
        "turn": quote.turn,
        "at": at,
    }


def _at_last(state: str) -> str:
    """The state of evidence when no more transcripts come."""
    return "unverifiable" if state == "provisional" else state


def _judgements(engine: PhaseEngine) -> Iterator[dict[str, Any]]:
    for criterion, verdict in engine.state.verdicts.items():
        quote = verdict.quote
        told = {"criterion": criterion, "holds": verdict.holds, "state": _at_last(quote.state), "score": quote.score}
        yield {**told, "quote": quote.text, "turn": quote.turn}


def _rules(lines: Sequence[_Line]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if isinstance(line.entry, engine_entries.RuleApplied):
            yield {"rule": line.entry.rule, "quote": line.entry.quote or None, "at": line.wall}


def _phases(lines: Sequence[_Line]) -> Iterator[dict[str, Any]]:
    entered = [(line.entry, line.wall) for line in lines if isinstance(line.entry, engine_entries.PhaseEntered)]
    last = max((n for n, line in enumerate(lines) if isinstance(line.entry, engine_entries.PhaseEntered)), default=0)
    over = next((line.wall for line in lines[last:] if isinstance(line.entry, call_entries.PassedOn)), None)
    for number, (entry, wall) in enumerate(entered, 1):
        left = entered[number][1] if number < len(entered) else over or lines[-1].wall
        yield {"name": entry.phase, "cause": entry.cause, "entered_at": wall, "left_at": left}


def _statements(flow: Flow, lines: Sequence[_Line]) -> Iterator[dict[str, Any]]:
    """What had to be said word for word: as it was heard to its end, or null."""
    heard = {
        line.entry.name: (line.entry.text, line.wall)
        for line in lines
        if isinstance(line.entry, engine_entries.StatementHeard)
    }
    for name in flow.statements:
        text, at = heard.get(name, (None, None))
        yield {"name": name, "heard": text, "at": at}


def _tools(lines: Sequence[_Line]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if isinstance(line.entry, engine_entries.ToolAnswered):
            yield {"tool": line.entry.tool, "ok": line.entry.ok, "took_ms": line.entry.took_ms, "at": line.wall}


def _messages(lines: Sequence[_Line]) -> Iterator[dict[str, Any]]:
    """Text messages, of tools and at the end of the call; one that was not sent has a problem."""
    for line in lines:
        if isinstance(line.entry, call_entries.TextMessage):
            one = line.entry
            told = {"text": one.text, "to": one.to, "sid": one.message_sid, "problem": one.problem, "code": one.code}
            yield {**told, "at": line.wall}


def _transfer(lines: Sequence[_Line]) -> dict[str, Any] | None:
    """The last transfer that the conversation led to, and what came of it; null where there was none.

    Its result is null if nobody was rung any more, or if the phone line never told.
    """
    begun = next((line for line in reversed(lines) if isinstance(line.entry, engine_entries.TransferBegan)), None)
    if begun is None or not isinstance(begun.entry, engine_entries.TransferBegan):
        return None
    after = [line.entry for line in lines[lines.index(begun) :]]
    rung = next((one for one in after if isinstance(one, call_entries.PassedOn) and one.name is not None), None)
    ended = (one for one in after if isinstance(one, call_entries.PassingEnded) and rung and one.number == rung.number)
    result = next(ended, None)
    return {
        "target": begun.entry.target,
        "number": rung.target if rung else None,
        "result": result.status if result else None,
        "talk_s": result.duration_s if result else None,
        "quote": begun.entry.quote or None,
        "at": begun.wall,
    }


def _passed_on(lines: Sequence[_Line]) -> Iterator[dict[str, Any]]:
    """Where the phone line took the caller, and what came of it: nulls where nobody ever told."""
    results = {line.entry.number: line.entry for line in lines if isinstance(line.entry, call_entries.PassingEnded)}
    for line in lines:
        if isinstance(line.entry, call_entries.PassedOn):
            result = results.get(line.entry.number)
            yield {
                "to": line.entry.to,
                "target": line.entry.target,
                "status": result.status if result else None,
                "duration_s": result.duration_s if result else None,
                "recording_sid": result.recording_sid if result else None,
                "recording_url": result.recording_url if result else None,
                "at": line.wall,
            }


def _transcript(lines: Sequence[_Line]) -> Iterator[dict[str, Any]]:
    """Who said what, in the order of speaking: a caller's turn stands where it ended, not where its words came."""
    words = {line.entry.item_id: line.entry.text for line in lines if isinstance(line.entry, engine_entries.CallerSaid)}
    for line in lines:
        match line.entry:
            case engine_entries.CallerTurnTaken(item_id=item_id):
                yield {"speaker": "caller", "text": words.get(item_id), "at": line.wall}
            case call_entries.BotSaid(text=text, heard_text=heard, interrupted=interrupted):
                said = {"speaker": "bot", "text": heard, "at": line.wall}
                yield {**said, "interrupted": True, "unheard": text[len(heard) :].strip()} if interrupted else said
            case call_entries.CallerHummed(text=text):
                yield {"speaker": "caller", "text": text, "at": line.wall}
            case call_entries.KeyPress(digit=digit):
                yield {"speaker": "caller", "key": digit, "text": None, "at": line.wall}


def _response_ms(lines: Sequence[_Line]) -> dict[str, Any] | None:
    waits = sorted(line.entry.response_ms for line in lines if isinstance(line.entry, call_entries.TurnAnswered))
    if not waits:
        return None
    return {"turns": len(waits), "median": round(median(waits)), "worst": waits[-1]}


def _line(lines: Sequence[_Line]) -> dict[str, Any] | None:
    """How the caller's line was, over all the streams that the call had; null for a call that had none."""
    measured = [line.entry for line in lines if isinstance(line.entry, call_entries.LineQuality)]
    if not measured:
        return None
    levels = [(one.level_dbov, one.caller_ms) for one in measured if one.level_dbov is not None]
    caller_ms, weight = sum(one.caller_ms for one in measured), sum(ms for _, ms in levels)
    barge_ins = sorted(ms for one in measured for ms in one.barge_ins_ms)
    return {
        "caller_ms": caller_ms,
        "gaps": sum(one.gaps for one in measured),
        "gap_ms": sum(one.gap_ms for one in measured),
        "level_dbov": round(sum(level * ms for level, ms in levels) / weight, 1) if weight else None,
        "clipped": round(sum(one.clipped * one.caller_ms for one in measured) / caller_ms, 4) if caller_ms else 0.0,
        "underruns": sum(one.underruns for one in measured),
        "underrun_ms": sum(one.underrun_ms for one in measured),
        "barge_in_ms": {
            "times": len(barge_ins),
            "median": round(median(barge_ins), 2) if barge_ins else None,
            "worst": barge_ins[-1] if barge_ins else None,
        },
    }


def _recording(lines: Sequence[_Line]) -> dict[str, Any] | None:
    """What was recorded, in parts where it could not go on in the same file; null for a call that was not."""
    parts: dict[str, dict[str, Any]] = {}
    for line in lines:
        match line.entry:
            case call_entries.RecordingStarted(recording_id=part_id):
                unknown = {"status": "open", "duration_ms": None, "size_bytes": None, "sha256": None}
                began = parts.get(part_id, {}).get("started_at", line.wall)
                parts[part_id] = {"id": part_id, "started_at": began, **unknown}
            case call_entries.RecordingEnded(status="erased"):
                for part in parts.values():
                    part |= {"status": "erased", "duration_ms": 0, "size_bytes": 0, "sha256": None}
            case call_entries.RecordingEnded() as ended if ended.recording_id in parts:
                parts[ended.recording_id] |= {
                    "status": ended.status,
                    "duration_ms": ended.duration_ms,
                    "size_bytes": ended.size_bytes,
                    "sha256": ended.sha256,
                }
    if not parts:
        return None
    listed = list(parts.values())
    worst = next((status for status in RECORDED if any(part["status"] == status for part in listed)), "kept")
    return {
        "id": listed[0]["id"],
        "status": worst,
        "channels": 2,
        "duration_ms": sum(part["duration_ms"] or 0 for part in listed),
        "parts": listed,
    }


def _languages(lines: Sequence[_Line]) -> Iterator[dict[str, Any]]:
    """When the call went on in another language, and why."""
    for line in lines:
        if isinstance(line.entry, engine_entries.LanguageSwitched):
            told = {"language": line.entry.language, "cause": line.entry.cause, "quote": line.entry.quote or None}
            yield {**told, "at": line.wall}


def _spent(lines: Sequence[_Line]) -> Iterator[call_entries.TokensSpent]:
    return (line.entry for line in lines if isinstance(line.entry, call_entries.TokensSpent))


def _tokens(lines: Sequence[_Line]) -> dict[str, int]:
    spent = list(_spent(lines))
    return {kind: sum(getattr(one, kind) for one in spent) for kind in call_entries.TOKEN_KINDS}


def _cost(lines: Sequence[_Line]) -> dict[str, Any] | None:
    """What the model's tokens cost, as far as their prices were known, and whether that was all a call may cost."""
    known = [spent.usd for spent in _spent(lines) if spent.usd is not None]
    if not known:
        return None
    reached = any(isinstance(line.entry, engine_entries.CostReached) for line in lines)
    return {"usd": round(sum(known), 6), "limit_reached": reached}


def _problems(lines: Sequence[_Line]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines):
        match line.entry:
            case call_entries.CallTakenOver() if _comes_back(lines[number - 1]):
                continue
            case call_entries.ModelGone(reason=reason, planned=False):
                yield {"kind": "model_lost", "text": reason, "at": line.wall}
            case call_entries.LegLost():
                yield {"kind": "stream_lost", "text": "the caller's stream broke", "at": line.wall}
            case call_entries.CallTakenOver(attempt=attempt):
                yield {"kind": "resumed", "text": f"another process went on, number {attempt}", "at": line.wall}
            case call_entries.ReplyFailed(problem=problem):
                yield {"kind": "reply_failed", "text": problem, "at": line.wall}
            case engine_entries.ObservationWithdrawn(name=name, reason="contradicted"):
                yield {"kind": "not_said", "text": f"{name} was taken back: the caller did not say so", "at": line.wall}
            case engine_entries.AskedAgain(tool=tool, subjects=subjects):
                text = f"the caller was asked once more before {tool}: {', '.join(subjects)}"
                yield {"kind": "not_verified", "text": text, "at": line.wall}
            case engine_entries.ToolAnswered(tool=tool, ok=False, refused=False):
                yield {"kind": "tool_failed", "text": f"{tool} did not come back with a result", "at": line.wall}
            case call_entries.RecordingEnded(status="cut_short", reason=reason):
                yield {"kind": "recording_cut_short", "text": reason or "it did not come to its end", "at": line.wall}
            case call_entries.StatementNotRendered(reason=reason):
                yield {"kind": "statement_not_exact", "text": reason, "at": line.wall}


def _comes_back(before: _Line) -> bool:
    """Whether a call that is taken over goes on as planned, after a transfer that nobody answered."""
    return isinstance(before.entry, engine_entries.TransferFailed)


def iso(wall: datetime) -> str:
    """A moment as reports have it: ISO 8601, UTC, to the millisecond."""
    return wall.isoformat(timespec="milliseconds").replace("+00:00", "Z")
