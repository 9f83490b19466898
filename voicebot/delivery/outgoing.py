"""From a call's events to rows of the outbox: who is told of what, and the body that each gets."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from pydantic_core import to_json

from voicebot.call.author_code import NotRun, Raised, Returned, run_author_code
from voicebot.call.daemon_threads import DaemonThreads
from voicebot.flow.model import Flow
from voicebot.flow.receivers import Shape
from voicebot.log_events import named
from voicebot.store.contract import CallRecord, NewDelivery, StoredEntry

from .events import CallHappening, Target, Targets, happening_of, happenings_of, webhook_id
from .placeholders import with_placeholders
from .report import posted_body, whole_body

log = logging.getLogger(__name__)

SHAPE_LIMIT_S = 2.0
LARGEST_SHAPED_BYTES = 1_000_000
SHAPE_THREADS = DaemonThreads("body", most=8)  # of the process; apart from the tools' and handlers'


async def deliveries_of(
    record: CallRecord,
    flow: Flow | None,
    journal: Sequence[StoredEntry],
    report: Mapping[str, Any],
    targets: Targets,
) -> list[NewDelivery]:
    """Everything to be delivered of an ended call, within about `SHAPE_LIMIT_S`.

    Args:
        flow: None if nobody can say any more which it was.
        report: as `fold_report` made it of this journal.
    """
    return await _addressed(record, flow, happenings_of(record, journal, report), targets)


async def fresh_deliveries(record: CallRecord, flow: Flow, entry: StoredEntry, targets: Targets) -> list[NewDelivery]:
    """What is to be delivered of a running call because of this entry of its journal, mostly nothing.

    Raises:
        JournalError: the entry is damaged.
    """
    happening = happening_of(record, entry)
    return [] if happening is None else await _addressed(record, flow, [happening], targets)


async def _addressed(
    record: CallRecord, flow: Flow | None, happenings: Iterable[CallHappening], targets: Targets
) -> list[NewDelivery]:
    everybody = targets.of(flow)
    told = [
        (one.event, one.key, target, *with_placeholders(one.body, target.secrets))
        for one in happenings
        for target in everybody
        if one.event in target.events
    ]
    async with asyncio.TaskGroup() as tasks:  # at once, so that one function that hangs costs its limit once
        texts = [
            tasks.create_task(_text(record, CallHappening(event, key, body), target, targets))
            for event, key, target, body, _ in told
        ]
    return [
        NewDelivery(
            webhook_id(record.call_sid, event, key, target.name),
            target.url,
            text.result(),
            target.secret,
            target.bearer,
            secrets,
        )
        for (event, key, target, _, secrets), text in zip(told, texts, strict=True)
    ]


async def _text(record: CallRecord, happening: CallHappening, target: Target, targets: Targets) -> str:
    """The body as it is posted: the receiver's own, or the standard one."""
    url = targets.report_url(record.call_sid)
    if target.shape is None:
        return _standard(happening.body, url)
    outcome = await run_author_code(
        partial(_shaped, target.shape, _with_link(happening.body, url)),
        _as_text,
        limit_s=SHAPE_LIMIT_S,
        threads=SHAPE_THREADS,
    )
    match outcome:
        case Returned(value=text):
            return text
        case Raised(error=TimeoutError()):
            why = f"took longer than {SHAPE_LIMIT_S:g} s"
        case Raised():
            why = f"failed: {outcome}"
        case NotRun():
            why = "was not run: every thread is at work"
    note = f"the body function {target.shape.name} {why}"
    log.warning(
        "receiver %s gets the standard body of %s: %s",
        target.name,
        happening.event,
        note,
        extra=named("delivery_body_failed", record.call_sid),
    )
    return _standard(_noted(happening.body, note), url)


def _standard(body: Mapping[str, Any], report_url: str | None) -> str:
    return posted_body(body, report_url) if "transcript" in body["data"] else whole_body(body)


def _with_link(body: Mapping[str, Any], report_url: str | None) -> Mapping[str, Any]:
    """For a function that leaves the transcript out: it may name where it stands."""
    return {**body, "data": {**body["data"], "transcript_url": report_url}} if "transcript" in body["data"] else body


def _noted(body: Mapping[str, Any], text: str) -> Mapping[str, Any]:
    """The body with what went wrong among its problems."""
    note = {"kind": "body_not_shaped", "text": text, "at": body["timestamp"]}
    return {**body, "data": {**body["data"], "problems": [*body["data"].get("problems", ()), note]}}


def _shaped(shape: Shape, body: Mapping[str, Any]) -> object:
    return shape(copy.deepcopy(dict(body)))  # a copy: whatever it does to it, the others' bodies stay whole


def _as_text(made: object) -> str:
    """What a body function returned, as JSON text.

    Raises:
        TypeError, ValueError: it is no object that JSON can hold, or too large.
    """
    if not isinstance(made, Mapping):
        raise TypeError("a body is a mapping")
    encoded = to_json(made, inf_nan_mode="null")
    if len(encoded) > LARGEST_SHAPED_BYTES:
        raise ValueError("a body has at most a million bytes")
    return encoded.decode()
