"""What receivers are told of a call: its events as a fold over the journal, and the id of each delivery.

Whoever computes them, whenever and on whichever instance, gets the same events with the same bodies and ids. So some
may be put into the outbox as they happen, and all of them with the report at the end: those that are there already are
left alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from voicebot.call.entries import read_entry
from voicebot.engine.entries import PhaseEntered
from voicebot.errors import JournalError
from voicebot.flow.model import Flow
from voicebot.flow.receivers import Shape
from voicebot.store.contract import CallRecord, StoredEntry
from voicebot.webhook_events import REPORT_EVENT, WebhookEvent

from .report import head_of, iso

_PHASE_ENTERED = "phase_entered"
_OPENED = "call_opened"
LIVE_EVENTS: Mapping[str, WebhookEvent] = {_OPENED: "call.started", _PHASE_ENTERED: "call.phase_changed"}
"""What receivers can be told of while a call runs, by the kind of the entry that it happens with."""


@dataclass(frozen=True, slots=True)
class CallHappening:
    """An event of a call. `key` tells it apart from others of its kind in the same call; `body` is what is sent."""

    event: WebhookEvent
    key: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """Somebody who is told of calls. `name` is the receiver's within its flow, empty for the one of the settings."""

    name: str
    url: str
    events: frozenset[str]
    shape: Shape | None = None
    secret: str = ""
    bearer: str = ""
    secrets: tuple[str, ...] = ()  # the secret observations that it gets


@dataclass(frozen=True, slots=True)
class Targets:
    """Who is told of calls: the receiver of the settings, if there is one, and those of each flow.

    Whole reports can be read at `public_url`, unless it is None.
    """

    default: Target | None = None
    public_url: str | None = None

    def of(self, flow: Flow | None) -> tuple[Target, ...]:
        """Everybody who is told of calls with this flow; without one, the receiver of the settings."""
        named = (
            Target(one.name, one.url, frozenset(one.events), one.body, one.secret, one.bearer, one.secrets)
            for one in (flow.report.receivers if flow is not None else ())
        )
        return (*(() if self.default is None else (self.default,)), *named)

    def report_url(self, call_sid: str) -> str | None:
        """Where the whole report of a call can be read."""
        return f"{self.public_url}/calls/{call_sid}/report" if self.public_url else None


def webhook_id(call_sid: str, event: str, key: str = "", receiver: str = "") -> str:
    """The delivery's id: the same for the same event of the same call to the same receiver.

    By it receivers drop a repetition. One receiver's differs from another's, as an outbox has one row of each.
    """
    named = f"{event}:{call_sid}" + (f":{key}" if key else "") + (f"@{receiver}" if receiver else "")
    return "msg_" + hashlib.sha256(named.encode()).hexdigest()[:32]


def happening_of(record: CallRecord, entry: StoredEntry) -> CallHappening | None:
    """What receivers are told of one entry of a running call's journal, if anything.

    Raises:
        JournalError: the entry is damaged.
    """
    if entry.kind == _OPENED:
        started = iso(record.started)
        return CallHappening("call.started", "", _body("call.started", started, head_of(record)))
    if entry.kind != _PHASE_ENTERED:
        return None
    entered = read_entry(entry.kind, entry.body)
    assert isinstance(entered, PhaseEntered)
    at = iso(entry.wall)
    data = {
        **head_of(record),
        "phase": entered.phase,
        "previous_phase": entered.previous,
        "cause": entered.cause,
        "entered_at": at,
        "sequence": entry.sequence,
    }
    return CallHappening("call.phase_changed", str(entry.sequence), _body("call.phase_changed", at, data))


def happenings_of(
    record: CallRecord, journal: Sequence[StoredEntry], report: Mapping[str, Any]
) -> Iterator[CallHappening]:
    """Everything that receivers are told of an ended call, in order; nothing of an entry that is damaged.

    Args:
        report: as `fold_report` made it of the same journal.
    """
    for entry in journal:
        with suppress(JournalError):
            if (happening := happening_of(record, entry)) is not None:
                yield happening
    yield CallHappening(REPORT_EVENT, "", report)
    if report["data"].get("analysis") == "done":
        yield CallHappening("call.analyzed", "", {**report, "type": "call.analyzed"})


def _body(event: WebhookEvent, timestamp: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": event, "timestamp": timestamp, "data": data}
