"""What a call must be like that went through the death of its server; pure, for `kills.py`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from voicebot.sim.call_result import CallResult
from voicebot.sim.crm import Received
from voicebot.sim.timeline import StreamBroke, StreamClosed

GAP_LIMIT_MS = 3000.0
MOST_TURNS_LOST = 1
REPORT_TYPE = "call.completed"
COMPARED = ("outcome", "ended_reason", "observations")


@dataclass(frozen=True, slots=True)
class Reported:
    """One request that the CRM booked or saw again."""

    webhook_id: str
    data: Mapping[str, Any]

    @property
    def phases(self) -> tuple[str, ...]:
        return tuple(phase["name"] for phase in self.data["phases"])


def reports_of(received: Iterable[Received]) -> dict[str, list[Reported]]:
    """What the CRM got of each call's end, by CallSid; what proves nothing or is of something else is left out."""
    found: dict[str, list[Reported]] = {}
    for one in received:
        if one.verified and one.payload is not None and one.payload.get("type") == REPORT_TYPE:
            data = json.loads(one.body)["data"]
            found.setdefault(data["call_sid"], []).append(Reported(one.webhook_id, data))
    return found


@dataclass(frozen=True)
class Survivor:
    """A call, and what came of it. `repeated` is what the caller said again."""

    result: CallResult
    reports: Sequence[Reported]
    repeated: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """`hit`: the call lost a stream. Gaps are the worst of the call; None where there was none to measure.

    `lateness_ms` is how late the phone itself was at worst: what a late phone saw proves little.
    """

    hit: bool
    stream_gap_ms: float | None
    audible_gap_ms: float | None
    repeated: int
    reports: int
    duplicates: int
    lateness_ms: float
    wrong: tuple[str, ...]


def judge(call: Survivor, usual: Reported, gap_limit_ms: float = GAP_LIMIT_MS) -> Judgement:
    """Compare a call with one that nothing happened to.

    Args:
        usual: the report of the same call with no kill.
        gap_limit_ms: until the caller must have heard something again.
    """
    gone_on = call.result.resumptions
    audible = [one.audible_gap_ms for one in gone_on]
    heard_ms = [gap for gap in audible if gap is not None]
    wrong = [
        *_line_problems(call),
        *(f"nothing was heard for {gap:.0f} ms" for gap in heard_ms if gap > gap_limit_ms),
        *("nothing was heard any more" for gap in audible if gap is None),
        *_report_problems(call.reports, usual),
    ]
    if gone_on and len(call.repeated) > MOST_TURNS_LOST * len(gone_on):
        wrong.append(f"the caller had to say again: {list(call.repeated)}")
    return _judgement(call, wrong)


def judge_end(call: Survivor) -> Judgement:
    """Look at nothing but whether the call was reported: it may have been over when its server was killed."""
    return _judgement(call, judge_delivery(call.reports))


def _judgement(call: Survivor, wrong: Sequence[str]) -> Judgement:
    gone_on = call.result.resumptions
    heard_ms = [one.audible_gap_ms for one in gone_on if one.audible_gap_ms is not None]
    ids = Counter(one.webhook_id for one in call.reports)
    return Judgement(
        hit=_lost_a_stream(call.result),
        stream_gap_ms=max((one.stream_gap_ms for one in gone_on), default=None),
        audible_gap_ms=max(heard_ms, default=None),
        repeated=len(call.repeated),
        reports=len(ids),
        duplicates=sum(ids.values()) - len(ids),
        lateness_ms=call.result.statistics.lateness_max_ms,
        wrong=tuple(wrong),
    )


def judge_delivery(reports: Sequence[Reported]) -> tuple[str, ...]:
    """What is wrong with the reports of one call, whatever stands in them: there must be one, under one id."""
    ids = {one.webhook_id for one in reports}
    if not ids:
        return ("its report is lost",)
    return (f"it was reported under {len(ids)} ids",) if len(ids) > 1 else ()


def _lost_a_stream(result: CallResult) -> bool:
    return any(
        isinstance(event, StreamBroke) or (isinstance(event, StreamClosed) and event.by == "network")
        for event in result.events
    )


def _line_problems(call: Survivor) -> list[str]:
    result = call.result
    problems = [f"the line: {violation.problem}" for violation in result.violations]
    lost = sum(isinstance(event, StreamClosed) and event.by in ("network", "account") for event in result.events)
    if lost > len(result.resumptions):
        problems.append(f"it did not go on: {result.reason}")
    elif result.ended_by != "server":
        problems.append(f"it was ended by {result.ended_by}: {result.reason}")
    return [*problems, *(f"the caller: {problem}" for problem in result.problems)]


def _report_problems(reports: Sequence[Reported], usual: Reported) -> list[str]:
    problems = list(judge_delivery(reports))
    if not reports:
        return problems
    first = reports[0]
    if first.phases != usual.phases:
        problems.append(f"phases {' → '.join(first.phases)} instead of {' → '.join(usual.phases)}")
    for name in COMPARED:
        problems += _differences(name, usual.data[name], first.data[name])
    return problems


def _differences(name: str, usual: object, found: object) -> list[str]:
    if isinstance(usual, Mapping) and isinstance(found, Mapping):
        return [
            f"{key}: {found.get(key)!r} instead of {usual.get(key)!r}"
            for key in usual
            if found.get(key) != usual.get(key)
        ]
    return [] if found == usual else [f"{name}: {found!r} instead of {usual!r}"]


@dataclass
class Tally:
    """Many calls of one kind."""

    name: str
    calls: int = 0
    hit: int = 0
    went_on: int = 0
    stream_gaps_ms: list[float] = field(default_factory=list)
    audible_gaps_ms: list[float] = field(default_factory=list)
    repeated: int = 0
    lost: int = 0
    duplicates: int = 0
    lateness_ms: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def add(self, call_sid: str, judged: Judgement) -> None:
        self.calls += 1
        self.hit += judged.hit
        self.went_on += judged.hit and judged.audible_gap_ms is not None
        if judged.stream_gap_ms is not None:
            self.stream_gaps_ms.append(judged.stream_gap_ms)
        if judged.audible_gap_ms is not None:
            self.audible_gaps_ms.append(judged.audible_gap_ms)
        self.repeated += judged.repeated
        self.lost += not judged.reports
        self.duplicates += judged.duplicates
        self.lateness_ms = max(self.lateness_ms, judged.lateness_ms)
        self.wrong += [f"{call_sid}: {problem}" for problem in judged.wrong]

    def row(self) -> str:
        """One line of the table that `HEAD` stands above."""
        return (
            f"{self.name:24}{self.calls:6}{self.hit:6}{self.went_on:9}"
            f"{_spread(self.stream_gaps_ms):>22}{_spread(self.audible_gaps_ms):>22}"
            f"{self.repeated:10}{self.lost:7}{self.duplicates:8}{self.lateness_ms:10.0f}{len(self.wrong):7}"
        )


HEAD = (
    f"{'':24}{'calls':>6}{'hit':>6}{'went on':>9}{'stream back, ms':>22}{'heard again, ms':>22}"
    f"{'repeated':>10}{'lost':>7}{'twice':>8}{'late, ms':>10}{'wrong':>7}\n"
    f"{'':24}{'':21}{'p50 /  p95 /  max':>22}{'p50 /  p95 /  max':>22}"
)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    ordered = sorted(values)
    p50, p95 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.95))
    return f"{p50:.0f} / {p95:.0f} / {ordered[-1]:.0f}"
