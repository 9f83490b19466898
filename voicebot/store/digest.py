"""The digest of a report: what lists and figures go by, so that nobody folds a journal or reads a report for a row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, cast

from voicebot.json_codec import loads


@dataclass(frozen=True, slots=True)
class Digest:
    """An ended call in short.

    Attributes:
        turns: of the caller, that were answered.
        response_ms: the median wait for the first audio of an answer; None where nothing was answered.
        waited_ms: these waits in sum, estimated from the median where a report does not say.
        underrun_ms: silence in the bot's own speech.
        tokens: as the report counts them.
        phases: those that were entered, in the order of the first time; `last_phase` is where the call ended.
        problems: how many.
        recording: its status, None for a call that was not recorded.
    """

    ended_reason: str | None = None
    outcome: str | None = None
    progress: float = 0.0
    duration_s: float = 0.0
    turns: int = 0
    response_ms: int | None = None
    waited_ms: int = 0
    underrun_ms: int = 0
    tokens: Mapping[str, int] = field(default_factory=dict, hash=False)
    phases: tuple[str, ...] = ()
    last_phase: str | None = None
    problems: int = 0
    recording: str | None = None


def digest_of(report: str) -> Digest:
    """The digest of a report (JSON text); of one that holds little, what it holds."""
    told = json.loads(report)
    data: dict[str, Any] = told.get("data", {}) if isinstance(told, dict) else {}
    phases = [str(one.get("name")) for one in data.get("phases") or ()]
    response: dict[str, Any] = data.get("response_ms") or {}
    turns, median = response.get("turns", 0), response.get("median")
    return Digest(
        ended_reason=data.get("ended_reason"),
        outcome=data.get("outcome"),
        progress=data.get("progress") or 0.0,
        duration_s=data.get("duration_s") or 0.0,
        turns=turns,
        response_ms=median,
        waited_ms=response.get("total", turns * (median or 0)),
        underrun_ms=(data.get("line") or {}).get("underrun_ms", 0),
        tokens=data.get("tokens") or {},
        phases=tuple(dict.fromkeys(phases)),
        last_phase=phases[-1] if phases else None,
        problems=len(data.get("problems") or ()),
        recording=(data.get("recording") or {}).get("status"),
    )


def write_digest(digest: Digest) -> str:
    """As JSON text, by the names of its fields."""
    return json.dumps(asdict(digest), ensure_ascii=False, separators=(",", ":"))


def read_digest(text: str | None) -> Digest | None:
    """As `write_digest` wrote it; what a newer version knows besides is left out."""
    if not text:
        return None
    found = cast(dict[str, Any], loads(text))
    found["phases"] = tuple(found.get("phases", ()))
    if not found.keys() <= _NAMES:
        found = {name: value for name, value in found.items() if name in _NAMES}
    return Digest(**found)


_NAMES = {one.name for one in fields(Digest)}
