"""What a call is about, as the engine knows it: from what the store has of the call."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from voicebot.engine.events import CallContext
from voicebot.store.contract import CallRecord

_NONE: Mapping[str, str] = MappingProxyType({})


def context_of(record: CallRecord, variables: Mapping[str, str] = _NONE) -> CallContext:
    """The context of a call. Whom we have called is its caller from here on: the one we speak with.

    Args:
        variables: what whoever placed the call knows of it.
    """
    caller, called = record.caller, record.called
    if record.direction == "outbound":
        caller, called = called, caller
    return CallContext(record.call_sid, caller, called, record.started, record.direction, variables)
