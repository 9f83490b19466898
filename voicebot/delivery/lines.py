"""Deliveries as the command line shows them: as lines, and as what JSON holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from pydantic import JsonValue

from voicebot.errors import DeliveryError
from voicebot.store.contract import Delivery

from .keys import Keyring
from .post import request_headers
from .schedule import ATTEMPTS


def list_lines(deliveries: Sequence[Delivery]) -> Iterator[str]:
    """One line each: id, state, attempts, call, host, and what came of the last attempt."""
    for one in deliveries:
        state = f"{one.state:<9}  {one.attempts:>2} of {ATTEMPTS}"
        yield f"{one.webhook_id}  {state}  {one.call_sid}  {one.host}  {_last(one)}".rstrip()


def show_lines(delivery: Delivery, keys: Keyring, now: datetime) -> Iterator[str]:
    """Everything of one: where it goes, how it stands, the headers of an attempt made `now`, and its body."""
    yield f"delivery  {delivery.webhook_id}"
    yield f"call      {delivery.call_sid}"
    yield f"to        {delivery.url}"
    yield f"state     {delivery.state}, {delivery.attempts} of {ATTEMPTS} attempts made"
    yield f"created   {_moment(delivery.created)}"
    if delivery.due is not None:
        yield f"due       {_moment(delivery.due)}"
    if delivery.tried is not None:
        yield f"last      {_moment(delivery.tried)}: {_last(delivery)}"
    yield ""
    headers, problem = _headers(delivery, keys, now)
    yield from (f"{name}: {value}" for name, value in headers.items())
    if problem:
        yield f"cannot be sent: {problem}"
    yield ""
    yield _readable(delivery.body)


def as_json(delivery: Delivery) -> dict[str, JsonValue]:
    """What a list of deliveries says of one; without its body."""
    return {
        "id": delivery.webhook_id,
        "call_sid": delivery.call_sid,
        "url": delivery.url,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "created": delivery.created.isoformat(),
        "due": _iso(delivery.due),
        "tried": _iso(delivery.tried),
        "status": delivery.status,
        "reason": delivery.reason,
        "secret": delivery.secret,
        "bearer": delivery.bearer,
    }


def whole_as_json(delivery: Delivery, keys: Keyring, now: datetime) -> dict[str, JsonValue]:
    """Everything of one; `body` is the text that is sent and signed, `problem` what keeps it from being sent."""
    headers, problem = _headers(delivery, keys, now)
    return {**as_json(delivery), "headers": dict(headers), "problem": problem, "body": delivery.body}


def _headers(delivery: Delivery, keys: Keyring, now: datetime) -> tuple[Mapping[str, str], str | None]:
    """What an attempt would carry, with the token left out; or why there would be none."""
    try:
        headers = request_headers(delivery, keys, now)
    except DeliveryError as exc:
        return {}, exc.reason
    return headers | ({"Authorization": "Bearer …"} if "Authorization" in headers else {}), None


def _last(delivery: Delivery) -> str:
    if delivery.tried is None:
        return ""
    return delivery.reason or f"answered {delivery.status}"


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(moment: datetime) -> str:
    return f"{moment:%F %T} UTC"


def _readable(body: str) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body
