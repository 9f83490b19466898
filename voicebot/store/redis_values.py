"""How our values stand in Redis: as text; wall times as whole microseconds; what is None has no field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import cast

from .contract import (
    Backlog,
    CallFilter,
    CallRecord,
    Delivery,
    DeliveryState,
    Direction,
    FoundCall,
    NewDelivery,
    StoredEntry,
    host_of,
)
from .digest import read_digest
from .redis_program import Argument, encoded
from .values import from_us, sound, split_names, to_us

# What Redis answers, once errors are raised (https://redis.io/docs/latest/develop/reference/protocol-spec/, RESP2).
Reply = bytes | int | list["Reply"] | None


def items(reply: Reply) -> list[Reply]:
    return reply if isinstance(reply, list) else []


def text(reply: Reply) -> str:
    return cast(bytes, reply).decode()


def texts(reply: Reply) -> list[str]:
    return [text(item) for item in items(reply)]


def number(reply: Reply) -> int:
    return int(cast(bytes, reply))


def counts(reply: Reply) -> dict[str, int]:
    """Of a hash whose values are numbers."""
    flat = items(reply)
    return {text(name): number(value) for name, value in zip(flat[::2], flat[1::2], strict=True)}


def _text_or_none(reply: Reply) -> str | None:
    return None if reply is None else text(reply)


def _time_or_none(reply: Reply) -> datetime | None:
    return None if reply is None else from_us(number(reply))


# ---- calls --------------------------------------------------------------------------------------------------------


def record_fields(record: CallRecord) -> list[Argument]:
    """Names and values, as `program.open_call` takes them."""
    fields: dict[str, Argument | None] = {
        "flow_name": record.flow_name,
        "flow_version": record.flow_version,
        "caller": record.caller,
        "called": record.called,
        "direction": record.direction,
        "started_us": to_us(record.started),
        "owner": record.owner,
        "attempt": record.attempt,
        "token_issued_at": record.token_issued_at,
        "claimed": int(record.claimed),
        "ended_us": None if record.ended is None else to_us(record.ended),
    }
    return [part for name, value in fields.items() if value is not None for part in (name, value)]


def call_record(reply: Reply) -> CallRecord | None:
    """Of what `record` of the program returns."""
    if reply is None:
        return None
    sid, flow, version, caller, called, direction, started, owner, attempt, token, claimed, ended = items(reply)
    return CallRecord(
        call_sid=text(sid),
        flow_name=text(flow),
        flow_version=text(version),
        caller=_text_or_none(caller),
        called=_text_or_none(called),
        direction=cast(Direction, text(direction)),
        started=from_us(number(started)),
        owner=text(owner),
        attempt=number(attempt),
        token_issued_at=number(token),
        claimed=number(claimed) == 1,
        ended=_time_or_none(ended),
    )


def call_records(reply: Reply) -> list[CallRecord]:
    return [record for item in items(reply) if (record := call_record(item)) is not None]


def filter_arguments(wanted: CallFilter) -> list[Argument]:
    """As `program.find_calls` takes them."""
    times = ("" if moment is None else to_us(moment) for moment in (wanted.since, wanted.until))
    ended = "" if wanted.ended is None else str(int(wanted.ended))
    chosen = (wanted.flow, wanted.direction, wanted.outcome, wanted.ended_reason)
    return [wanted.number or "", ended, *times, *(one or "" for one in chosen)]


def found_calls(reply: Reply) -> list[FoundCall]:
    """Of records, each with its digest after it."""
    flat = items(reply)
    pairs = [(call_record(one), _text_or_none(digest)) for one, digest in zip(flat[::2], flat[1::2], strict=True)]
    return [FoundCall(record, read_digest(digest)) for record, digest in pairs if record is not None]


# ---- journals -----------------------------------------------------------------------------------------------------


def entry_arguments(entry: StoredEntry) -> tuple[bytes | int, ...]:
    """As `program.append` takes them.

    Raises:
        ValueError: its wall time has no zone.
    """
    return (entry.sequence, encoded(entry.kind), entry.at_ms, to_us(entry.wall), encoded(sound(entry.body)))


def stored_entries(reply: Reply) -> list[StoredEntry]:
    """Of what XRANGE returns."""
    return [_stored_entry(item) for item in items(reply)]


def _stored_entry(reply: Reply) -> StoredEntry:
    id_, fields = items(reply)
    _, kind, _, at_ms, _, wall_us, _, body = items(fields)
    sequence = int(text(id_).partition("-")[0])
    return StoredEntry(sequence, text(kind), number(at_ms), from_us(number(wall_us)), text(body))


# ---- secrets ------------------------------------------------------------------------------------------------------


def sealed_values(reply: Reply) -> dict[str, bytes]:
    """Of a hash whose values are bytes."""
    flat = items(reply)
    return {text(name): value for name, value in zip(flat[::2], flat[1::2], strict=True) if isinstance(value, bytes)}


# ---- outbox -------------------------------------------------------------------------------------------------------


def delivery_arguments(new: NewDelivery) -> tuple[Argument, ...]:
    return (new.webhook_id, new.url, host_of(new.url), sound(new.body), new.secret, new.bearer, ",".join(new.secrets))


def delivery(reply: Reply) -> Delivery | None:
    """Of what `delivery` of the program returns."""
    if reply is None:
        return None
    id_, sid, url, body, state, attempts, due, created, tried, status, reason, secret, bearer, secrets = items(reply)
    return Delivery(
        webhook_id=text(id_),
        call_sid=text(sid),
        url=text(url),
        body=text(body),
        state=cast(DeliveryState, text(state)),
        attempts=number(attempts),
        due=_time_or_none(due),
        created=from_us(number(created)),
        tried=_time_or_none(tried),
        status=None if status is None else number(status),
        reason=_text_or_none(reason),
        secret=text(secret),
        bearer=text(bearer),
        secrets=() if secrets is None else split_names(text(secrets)),
    )


def deliveries(reply: Reply) -> list[Delivery]:
    return [row for item in items(reply) if (row := delivery(item)) is not None]


def backlog(reply: Reply) -> Backlog:
    """Of what `backlog` of the program returns."""
    pending, dead, disabled, oldest = items(reply)
    return Backlog(number(pending), number(dead), number(disabled), _time_or_none(oldest))


def flat(parts: Iterable[Sequence[Argument]]) -> list[Argument]:
    return [argument for part in parts for argument in part]
