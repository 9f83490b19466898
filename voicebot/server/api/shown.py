"""A call as the API shows it: from its record and digest in a list, with its report and journal on its own page."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from voicebot.call.entries import BotSaid, CallOpened, RecordingStarted, TokensSpent, TurnAnswered, read_entry
from voicebot.call.session import CallSession
from voicebot.engine.entries import CallerTurnTaken
from voicebot.flow.alone import flow_alone
from voicebot.observe.prices import Price
from voicebot.store.contract import Delivery, FoundCall, StoredEntry
from voicebot.store.digest import Digest

from .models import CallRow, CallShown, DeliveryRow, EvidenceShown, JournalEntry, Line, PhaseStay, Turn

LONGEST_TURN_MS = 20_000  # how far back the beginning of a caller's turn is looked for


def cost_of(tokens: Mapping[str, int], price: Price | None) -> float | None:
    """US dollars, where the price is known."""
    if price is None:
        return None
    known = {name: tokens.get(name, 0) for name in TokensSpent.__slots__}
    return round(price.of(TokensSpent(**known)), 6)


def row_of(found: FoundCall, price: Price | None, session: CallSession | None) -> CallRow:
    """A call in a list. `session`: where it is at work here."""
    return CallRow(**_row(found, price, session))


def _row(found: FoundCall, price: Price | None, session: CallSession | None) -> dict[str, Any]:
    record, digest = found.record, found.digest
    ended = digest if digest is not None else Digest()
    over = record.ended is not None
    state = session.core.engine if session is not None and not over else None
    return {
        "call_sid": record.call_sid,
        "state": "ended" if over else "live",
        "flow": record.flow_name,
        "flow_version": record.flow_version,
        "direction": record.direction,
        "caller": record.caller,
        "called": record.called,
        "started_at": record.started,
        "ended_at": record.ended,
        "duration_s": ended.duration_s if over else None,
        "outcome": ended.outcome,
        "ended_reason": ended.ended_reason,
        "phase": state.state.phase if state is not None else ended.last_phase,
        "progress": round(state.progress(), 3) if state is not None else ended.progress if over else None,
        "turns": ended.turns if over else None,
        "response_ms": ended.response_ms,
        "dead_air_s": dead_air_s(ended) if over else None,
        "cost_usd": cost_of(ended.tokens, price) if over else None,
        "problems": ended.problems if over else None,
        "recording": ended.recording,
    }


def dead_air_s(digest: Digest) -> float:
    """How long nobody was to be heard because of us."""
    return round((digest.waited_ms + digest.underrun_ms) / 1000, 1)


def delivery_row(delivery: Delivery) -> DeliveryRow:
    """A delivery in a list."""
    return DeliveryRow(
        webhook_id=delivery.webhook_id,
        call_sid=delivery.call_sid,
        url=_public(delivery.url),
        state=delivery.state,
        attempts=delivery.attempts,
        due=delivery.due,
        created=delivery.created,
        tried=delivery.tried,
        status=delivery.status,
        reason=delivery.reason,
    )


def _public(url: str) -> str:
    """An address without password and query, where keys are kept."""
    try:
        parts = urlsplit(url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    except ValueError:
        return ""


def entry_shown(entry: StoredEntry) -> JournalEntry:
    """An entry of a journal. The form of its flow, which is long, is left to `/flows`."""
    body = json.loads(entry.body)
    if isinstance(body, dict):
        body.pop("flow_document", None)
    return JournalEntry(sequence=entry.sequence, kind=entry.kind, at_ms=entry.at_ms, wall=entry.wall, body=body)


@dataclass(frozen=True, slots=True)
class _Times:
    """What of a journal says where things lie in time (ms since the call began)."""

    recorded_from: int | None
    turns: Mapping[int, int]  # the end of each of the caller's turns
    bot_ended: Sequence[int]
    spoken: Sequence[tuple[str, int]]  # wall times in the report's form, and ms
    latency: Sequence[Turn]
    targets: Sequence[str]


def call_shown(
    found: FoundCall,
    data: Mapping[str, Any],
    journal: Sequence[StoredEntry],
    deliveries: Sequence[Delivery],
    price: Price | None,
    session: CallSession | None,
) -> CallShown:
    """All of a call.

    Args:
        data: of its report, or what that would say by now; empty while nothing is known.
    """
    times = _times(journal, live=found.record.ended is None)
    row = _row(found, price, session)
    if found.record.ended is None and data:
        phases, response = data.get("phases") or [], data.get("response_ms") or {}
        row |= {
            "duration_s": data.get("duration_s"),
            "phase": phases[-1]["name"] if phases else None,
            "progress": data.get("progress"),
            "turns": response.get("turns", 0),
            "response_ms": response.get("median"),
            "cost_usd": cost_of(data.get("tokens") or {}, price),
            "problems": len(data.get("problems") or ()),
            "recording": (data.get("recording") or {}).get("status"),
        }
    return CallShown(
        **row,
        answered_at=data.get("answered_at"),
        answered_by=data.get("answered_by"),
        variables=data.get("variables") or {},
        observations=data.get("observations") or {},
        observation_status=data.get("observation_status") or {},
        evidence={name: _evidence(one, times) for name, one in (data.get("evidence") or {}).items()},
        summary=data.get("summary"),
        phases=[PhaseStay(**one) for one in data.get("phases") or ()],
        transcript=[Line(**one, audio_ms=_audio_at(one["at"], times)) for one in data.get("transcript") or ()],
        latency=list(times.latency),
        statements=data.get("statements") or [],
        tools=data.get("tools") or [],
        rules=data.get("rules") or [],
        judgements=data.get("judgements") or [],
        messages=data.get("messages") or [],
        transfer=data.get("transfer"),
        passed_on=data.get("passed_on") or [],
        line=data.get("line"),
        tokens=data.get("tokens") or {},
        trouble=data.get("problems") or [],
        recording_parts=(data.get("recording") or {}).get("parts") or [],
        deliveries=[delivery_row(one) for one in deliveries],
        targets=list(times.targets),
    )


def _times(journal: Sequence[StoredEntry], *, live: bool) -> _Times:
    wanted = {"call_opened", "recording_started", "caller_turn_taken", "bot_said", "turn_answered"}
    recorded_from: int | None = None
    turns: dict[int, int] = {}
    bot_ended: list[int] = []
    latency: list[Turn] = []
    targets: list[str] = []
    for one in journal:
        if one.kind not in wanted:
            continue
        match read_entry(one.kind, one.body):
            case CallOpened(flow_document=document) if live:
                targets = list(flow_alone(document).targets)
            case RecordingStarted() if recorded_from is None:
                recorded_from = one.at_ms
            case CallerTurnTaken(turn=turn):
                turns[turn] = one.at_ms
            case BotSaid():
                bot_ended.append(one.at_ms)
            case TurnAnswered(turn=turn, response_ms=response_ms):
                latency.append(Turn(turn=turn, response_ms=response_ms, at_ms=one.at_ms))
    spoken = [(_iso(one), one.at_ms) for one in journal]
    return _Times(recorded_from, turns, bot_ended, spoken, latency, targets)


def _iso(entry: StoredEntry) -> str:
    """A time as reports write it."""
    return entry.wall.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _audio_at(at: str, times: _Times) -> int | None:
    """Where what was written down at this time lies in the recording."""
    if times.recorded_from is None:
        return None
    place = bisect_left(times.spoken, (at, 0))
    if place == len(times.spoken) or times.spoken[place][0] != at:
        return None
    return max(0, times.spoken[place][1] - times.recorded_from)


def _evidence(found: Mapping[str, Any] | None, times: _Times) -> EvidenceShown | None:
    if found is None:
        return None
    end = times.turns.get(found.get("turn", 0))
    audio_ms = None
    if end is not None and times.recorded_from is not None:
        before = [ms for ms in times.bot_ended if end - LONGEST_TURN_MS <= ms < end]
        begin = before[-1] if before else max(0, end - LONGEST_TURN_MS // 4)
        audio_ms = max(0, begin - times.recorded_from)
    return EvidenceShown(**found, audio_ms=audio_ms)
