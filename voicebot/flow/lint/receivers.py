"""Rules about receivers: that what is sent to them can be sent, and can be told apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from voicebot.webhook_events import WEBHOOK_EVENTS

from ..receivers import Receiver
from ..source import place_of
from .findings import Flaw, LintRule, instead
from .study import Study

_SETTING = "VOICEBOT_RECEIVER_SECRETS"
_SECRET_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


def _receivers(study: Study) -> Iterator[Flaw]:
    names: set[str] = set()
    for receiver in study.flow.report.receivers:
        for problem, mend in (*_address(receiver), *_events(receiver), *_secrets(receiver)):
            yield Flaw(place_of(receiver), f"receiver {receiver.name!r} {problem}", mend)
        if receiver.name in names:
            yield Flaw(place_of(receiver), f"another receiver is named {receiver.name!r} too", "give each its own name")
        names.add(receiver.name)


def _address(receiver: Receiver) -> Iterator[tuple[str, str]]:
    """What is wrong with its URL; the URL itself is not repeated, as its path may be a secret."""
    mend = "write an http or https address, as in https://crm.example.com/calls"
    try:
        parts = urlsplit(receiver.url)
        host, port = parts.hostname, parts.port
    except ValueError:
        yield "has a url that is none", mend
        return
    if parts.scheme not in ("http", "https") or not host or port == 0 or any(map(str.isspace, receiver.url)):
        yield "has a url that is no http or https address", mend
    elif "@" in parts.netloc:
        yield "has a url with a password in it", f"name a token of {_SETTING} in bearer="


def _events(receiver: Receiver) -> Iterator[tuple[str, str]]:
    if not receiver.events:
        yield "is told of no events", f"events: {', '.join(WEBHOOK_EVENTS)}"
    for event in receiver.events:
        if event not in WEBHOOK_EVENTS:
            yield f"asks for {event!r}, which is no event", instead(event, WEBHOOK_EVENTS, "events")


def _secrets(receiver: Receiver) -> Iterator[tuple[str, str]]:
    for field, name in (("secret", receiver.secret), ("bearer", receiver.bearer)):
        if name and (name.startswith("whsec_") or not _SECRET_NAME.fullmatch(name)):
            yield f"has a {field} that is no name", f"put the value into {_SETTING}, and its name here"


RULES = (LintRule("F035", "error", "a receiver cannot be told of calls as it is written", _receivers),)
