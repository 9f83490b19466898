"""Recorded calls, read from the store and replayed against the flows as they are now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from voicebot.call.about import context_of
from voicebot.call.entries import CallOpened, read_entry
from voicebot.call.replay import Difference, replay
from voicebot.errors import StoreError
from voicebot.flow.loader import FlowShelf
from voicebot.store.contract import CallRecord, Store
from voicebot.store.opening import open_store


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one call's replay. `note` is set when it could not be replayed."""

    call_sid: str
    flow: str
    difference: Difference | None = None
    note: str | None = None

    @property
    def changed(self) -> bool:
        """Whether the call would go another way."""
        return self.difference is not None

    def __str__(self) -> str:
        if self.note is not None:
            return f"{self.call_sid}  {self.flow}  not replayed: {self.note}"
        if self.difference is None:
            return f"{self.call_sid}  {self.flow}  the same"
        at, then, now = self.difference.at_ms / 1000, self.difference.then, self.difference.now
        return f"{self.call_sid}  {self.flow}  differs at {at:.1f} s: was {then}, would be {now}"


async def replay_calls(address: str, shelf: FlowShelf, call_sids: Sequence[str], latest: int) -> list[Verdict]:
    """Replay calls of the store at `address`, the named ones or the `latest`, oldest first.

    Raises:
        StoreError: the store cannot be read, or does not know a named call.
    """
    store = await open_store(address)
    try:
        if call_sids:
            records = [await _known(store, call_sid) for call_sid in call_sids]
        else:
            records = (await store.calls(latest))[::-1]
        return [await _verdict(store, shelf, record) for record in records]
    finally:
        await store.close()


async def _known(store: Store, call_sid: str) -> CallRecord:
    record = await store.call(call_sid)
    if record is None:
        raise StoreError(f"no call {call_sid} is recorded")
    return record


async def _verdict(store: Store, shelf: FlowShelf, record: CallRecord) -> Verdict:
    if record.flow_name not in shelf.flows:
        return Verdict(record.call_sid, record.flow_name, note="the flow is not loaded")
    journal = [(one.at_ms, read_entry(one.kind, one.body)) for one in await store.journal(record.call_sid)]
    opened = (entry for _, entry in journal if isinstance(entry, CallOpened))
    variables = next((entry.variables for entry in opened), {})
    context = context_of(record, variables)
    return Verdict(record.call_sid, record.flow_name, replay(shelf.get(record.flow_name).flow, context, journal))
