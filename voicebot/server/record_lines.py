"""How the records of calls read in a terminal, or in a pipe."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from voicebot.store.contract import CallRecord, Delivery

from .records import Erasure, KnownCall

_LONGEST = 200  # characters of a value


def list_lines(calls: Sequence[KnownCall]) -> Iterator[str]:
    """A table: one call, one line."""
    rows = [("started (UTC)", "call", "flow", "from", "to", "state")]
    rows += [
        (
            _time(call.record.started),
            call.record.call_sid,
            call.record.flow_name,
            call.record.caller or "withheld",
            call.record.called or "",
            _state(call),
        )
        for call in calls
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def call_lines(call: KnownCall) -> Iterator[str]:
    """All that is known of a call."""
    record, data = call.record, call.data
    yield f"{record.call_sid}  {record.flow_name} {record.flow_version}  {record.direction}"
    yield f"from {record.caller or 'withheld'} to {record.called or 'unknown'}, {_time(record.started)} UTC"
    yield _state(call)
    if data is None:
        yield "nothing is written down yet"
        return
    for title, lines in (
        ("phases", _phases(record, data)),
        ("observations", _observations(data)),
        ("judged", _judgements(data)),
        ("rules", _rules(record, data)),
        ("word for word", _statements(record, data)),
        ("tools", _tools(record, data)),
        ("passed on", _passed_on(record, data)),
        ("recording", _recording(record, data)),
        ("transcript, as heard", _transcript(record, data)),
        ("problems", _problems(record, data)),
        ("deliveries", map(_delivery, call.deliveries)),
    ):
        yield from _section(title, lines)


def erasure_lines(found: Erasure) -> Iterator[str]:
    """What would be erased, and what would not."""
    for line in found.kept:
        yield f"not erased: {line}"
    if not found.calls:
        yield "there is no call to erase"
        return
    begun = sorted(record.started for record in found.calls)
    when = f"of {_time(begun[0])}" if len(begun) == 1 else f"from {_time(begun[0])} to {_time(begun[-1])}"
    yield f"{_count(len(begun), 'call')} {when} UTC: journal, report, deliveries and recording"
    if found.undelivered:
        yield f"the report of {found.undelivered} of them has not been delivered, and then never will be"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


# ---- the parts of a call ------------------------------------------------------------------------------------------


def _state(call: KnownCall) -> str:
    record, data = call.record, call.data
    if record.ended is None:
        owner = f" at {record.owner}" if record.owner else ""
        again = f", attempt {record.attempt}" if record.attempt > 1 else ""
        known = f", {data['progress']:.0%} done" if data else ""
        return f"at work{owner}{again}{known}"
    if data is None:
        return "over"
    outcome = f", outcome {data['outcome']}" if data.get("outcome") else ""
    return f"{data['ended_reason']} after {data['duration_s']:g} s{outcome}, {data['progress']:.0%} done"


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if number == 0:
            yield ""
            yield title
        yield f"  {line}"


def _phases(record: CallRecord, data: Mapping[str, Any]) -> Iterator[str]:
    width = max((len(one["name"]) for one in data["phases"]), default=0)
    for one in data["phases"]:
        yield f"{_since(record, one['entered_at'])}  {one['name']:<{width}}  {one['cause']}"


def _observations(data: Mapping[str, Any]) -> Iterator[str]:
    width = max(map(len, data["observations"]), default=0)
    for name, value in data["observations"].items():
        status, evidence = data["observation_status"][name], data["evidence"][name]
        shown = _short(value) if status == "filled" else status.replace("_", " ")
        yield f"{name:<{width}}  {shown}{_testimony(evidence)}"


def _judgements(data: Mapping[str, Any]) -> Iterator[str]:
    for one in data["judgements"]:
        yield f"{_plain(one['criterion'])}: {'yes' if one['holds'] else 'no'}{_testimony(one)}"


def _rules(record: CallRecord, data: Mapping[str, Any]) -> Iterator[str]:
    for one in data["rules"]:
        yield f"{_since(record, one['at'])}  {_plain(one['rule'])}{_quoted(one['quote'])}"


def _statements(record: CallRecord, data: Mapping[str, Any]) -> Iterator[str]:
    for one in data["statements"]:
        heard = f"{_since(record, one['at'])}  {one['name']}: {_plain(one['heard'])}" if one["heard"] else None
        yield heard or f"{'':>8}  {one['name']}: not heard to its end"


def _tools(record: CallRecord, data: Mapping[str, Any]) -> Iterator[str]:
    for one in data["tools"]:
        yield f"{_since(record, one['at'])}  {one['tool']}  {'ok' if one['ok'] else 'no result'}, {one['took_ms']} ms"


def _passed_on(record: CallRecord, data: Mapping[str, Any]) -> Iterator[str]:
    for one in data.get("passed_on", ()):
        lasted = f", {one['duration_s']} s" if one["duration_s"] is not None else ""
        where = _plain("  ".join(filter(None, (one["target"], one["recording_url"]))))
        came = (one["status"] or "result unknown").replace("_", " ")
        yield f"{_since(record, one['at'])}  {one['to']}  {came}{lasted}  {where}".rstrip()


def _recording(record: CallRecord, data: Mapping[str, Any]) -> Iterator[str]:
    for one in (data.get("recording") or {}).get("parts", ()):
        length = f"  {one['duration_ms'] / 1000:.1f} s" if one["duration_ms"] else ""
        yield f"{_since(record, one['started_at'])}  {one['id']}  {one['status'].replace('_', ' ')}{length}"


def _transcript(record: CallRecord, data: Mapping[str, Any]) -> Iterator[str]:
    for one in data["transcript"] or ():
        yield f"{_since(record, one['at'])}  {one['speaker']:<6}  {_spoken(one)}"


def _spoken(one: Mapping[str, Any]) -> str:
    if "key" in one:
        return f"presses {one['key']}"
    if one["text"] is None:
        return "(no transcript)"
    cut = f" ✂ {_plain(one['unheard'])}" if one.get("unheard") else " ✂" if one.get("interrupted") else ""
    return _plain(one["text"]) + cut


def _problems(record: CallRecord, data: Mapping[str, Any]) -> Iterator[str]:
    for one in data["problems"]:
        yield f"{_since(record, one['at'])}  {one['kind'].replace('_', ' ')}: {_plain(one['text'])}"


def _delivery(one: Delivery) -> str:
    why = f": {one.reason}" if one.reason else ""
    return f"{one.webhook_id}  {one.host}  {one.state} after {_count(one.attempts, 'attempt')}{_plain(why)}"


def _testimony(evidence: Mapping[str, Any] | None) -> str:
    """Where a value came from, and whether the caller's words bear it out."""
    if evidence is None:
        return ""
    if evidence.get("kind", "speech") != "speech":
        return f"  ({evidence['kind']})"
    score = f" {evidence['score']:.2f}" if evidence["score"] is not None else ""
    return f"  {evidence['state']}{score}{_quoted(evidence['quote'])}{_quoted(evidence.get('agreed'), 'agreed ')}"


def _quoted(quote: str | None, before: str = "") -> str:
    return f"  {before}«{_plain(quote)}»" if quote else ""


def _since(record: CallRecord, at: str) -> str:
    """Seconds from the call's start."""
    return f"{(datetime.fromisoformat(at) - record.started).total_seconds():6.1f} s"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _short(value: object) -> str:
    flat = _plain(json.dumps(value, ensure_ascii=False))
    return flat if len(flat) <= _LONGEST else flat[: _LONGEST - 1] + "…"


def _plain(text: str) -> str:
    """One line without control characters: what a caller or a model says must not steer the terminal."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
