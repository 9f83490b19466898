"""Metrics out of what calls write down: one entry in, some numbers up. Nothing here is on the audio path.

Every entry is decided once, in the process that has the call, and counted there at that moment. How a call ended is
counted from its report, by whoever writes it: also of calls that nobody was there to end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from voicebot.call.entries import (
    TOKEN_KINDS,
    BotSaid,
    CallOpened,
    CallTakenOver,
    Entry,
    LegLost,
    LineQuality,
    ModelConnected,
    ModelGone,
    ReplyFailed,
    StatementNotRendered,
    TextMessage,
    TokensSpent,
    TurnAnswered,
)
from voicebot.engine.entries import PhaseEntered, ProposalRefused, ToolAnswered

from .families import Families
from .prices import Price

CLIPPED_CALL = 0.01  # share of samples at the end of the scale from which a call counts as clipped
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")


class CallMetrics:
    """Counts what happens in calls of one flow."""

    def __init__(self, families: Families, flow: str, price: Price | None) -> None:
        """`price`: of the model's tokens; None if it is not known."""
        self._families, self._flow, self._price = families, flow, price

    def take(self, entry: Entry) -> None:
        """An entry of a call's journal, of which most kinds say nothing here."""
        if (count := _COUNTS.get(type(entry))) is not None:
            count(self, entry)

    def _opened(self, entry: CallOpened) -> None:
        self._families.admitted.add(self._flow)

    def _taken_over(self, entry: CallTakenOver) -> None:
        self._families.taken_over.add(self._flow)

    def _leg_lost(self, entry: LegLost) -> None:
        self._families.stream_losses.add(self._flow)

    def _phase(self, entry: PhaseEntered) -> None:
        self._families.phases.add(self._flow, entry.phase)

    def _refused(self, entry: ProposalRefused) -> None:
        self._families.proposals_refused.add(self._flow)
        if entry.subject == "transfer_call":
            self._families.transfers_refused.add(self._flow)

    def _answered(self, entry: TurnAnswered) -> None:
        self._families.response.observe(entry.response_ms / 1000, self._flow)

    def _said(self, entry: BotSaid) -> None:
        if entry.interrupted:
            self._families.interruptions.add(self._flow)

    def _connected(self, entry: ModelConnected) -> None:
        self._families.model_sessions.add(self._flow)

    def _gone(self, entry: ModelGone) -> None:
        self._families.model_losses.add("roll_over" if entry.planned else "lost" if entry.retryable else "refused")

    def _failed(self, entry: ReplyFailed) -> None:
        code = entry.code if entry.code and _CODE.fullmatch(entry.code) else "none" if entry.code is None else "other"
        self._families.model_errors.add(code)

    def _not_exact(self, entry: StatementNotRendered) -> None:
        self._families.not_exact.add(self._flow)

    def _spent(self, entry: TokensSpent) -> None:
        for kind in TOKEN_KINDS:
            if count := getattr(entry, kind):
                self._families.tokens.add(kind, by=count)
        if self._price is not None:
            self._families.cost.add(self._flow, by=max(self._price.of(entry), 0.0))

    def _tool(self, entry: ToolAnswered) -> None:
        self._families.tools.observe(entry.took_ms / 1000, self._flow, entry.tool)
        if not entry.ok and not entry.refused:
            self._families.tool_failures.add(self._flow, entry.tool)

    def _message(self, entry: TextMessage) -> None:
        self._families.messages.add(self._flow, "sent" if entry.problem is None else "failed")

    def _line(self, entry: LineQuality) -> None:
        families = self._families
        families.caller_audio.add(by=entry.caller_ms / 1000)
        families.caller_gaps.add(by=entry.gaps)
        families.caller_gap_time.add(by=entry.gap_ms / 1000)
        if entry.level_dbov is not None:
            families.caller_level.observe(entry.level_dbov)
        if entry.clipped >= CLIPPED_CALL:
            families.caller_clipped.add()
        families.underruns.add(self._flow, by=entry.underruns)
        families.underrun_time.add(self._flow, by=entry.underrun_ms / 1000)
        for delay_ms in entry.barge_ins_ms:
            families.barge_in.observe(delay_ms / 1000)


_COUNTS: Mapping[type[Entry], Callable[[CallMetrics, Any], None]] = {
    CallOpened: CallMetrics._opened,
    CallTakenOver: CallMetrics._taken_over,
    LegLost: CallMetrics._leg_lost,
    PhaseEntered: CallMetrics._phase,
    ProposalRefused: CallMetrics._refused,
    TurnAnswered: CallMetrics._answered,
    BotSaid: CallMetrics._said,
    ModelConnected: CallMetrics._connected,
    ModelGone: CallMetrics._gone,
    ReplyFailed: CallMetrics._failed,
    StatementNotRendered: CallMetrics._not_exact,
    TokensSpent: CallMetrics._spent,
    ToolAnswered: CallMetrics._tool,
    LineQuality: CallMetrics._line,
    TextMessage: CallMetrics._message,
}


def count_end(families: Families, report: Mapping[str, Any]) -> None:
    """A call's report was written. `report`: the whole body."""
    ended = report["data"]
    families.ended.add(ended["flow"], ended["ended_reason"], ended["outcome"] or "none")
    if ended["answered_at"] is not None:
        families.duration.observe(ended["duration_s"], ended["flow"])
    for way in ended["passed_on"]:
        families.passed_on.add(way["to"], way["status"] or "unknown")
