"""The playback ledger: how much of what was sent the caller has heard.

Theory of operation. Audio is sent faster than it is played, so bytes sent say nothing about bytes heard. Each item
(one utterance) is bracketed by marks, with more in between; the phone line echoes a mark when everything before it
has been played. Two bounds give the heard time of an item at any moment:

* from the echoes: the last mark that came back, plus the time since then;
* from the clock: what a line without any delay could have played of what had been sent by then.

The smaller one is the answer, and it is never more than what was sent. It lags the truth by at most the one-way delay
of an echo. A `clear` makes the line echo every pending mark at once, which proves nothing; so `clear` forgets them and
advances the epoch that every mark's name carries, and a late echo is then an unknown name.

Times are seconds on the caller's clock `now`; audio positions are milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MARK_EVERY_MS = 200.0
LOST_MARK_GRACE_S = 2.0


@dataclass(frozen=True, slots=True)
class Heard:
    """An item is over. `complete` says that its last mark came back, unflushed."""

    item_id: str
    heard_ms: float
    sent_ms: float
    complete: bool


@dataclass(slots=True)
class _Item:
    item_id: str
    sent_ms: float = 0.0
    marked_ms: float = 0.0
    echoed_ms: float | None = None
    echoed_at: float = 0.0
    last_mark: str | None = None  # set when no more audio follows
    # Stretches of playback without a gap, if the line had no delay: (begins at, position then).
    stretches: list[tuple[float, float]] = field(default_factory=list)

    def heard_ms(self, now: float) -> float:
        if self.echoed_ms is None:
            return 0.0
        by_echo = self.echoed_ms + (now - self.echoed_at) * 1000
        begins_at, position = next((s for s in reversed(self.stretches) if s[0] <= now), (now, 0.0))
        by_clock = position + (now - begins_at) * 1000
        return max(0.0, min(by_echo, by_clock, self.sent_ms))


class Playback:
    """The ledger of one call's playback."""

    def __init__(self, mark_every_ms: float = MARK_EVERY_MS) -> None:
        self._mark_every_ms = mark_every_ms
        self._items: dict[str, _Item] = {}
        self._pending: dict[str, tuple[str, float]] = {}
        self._epoch = 0
        self._count = 0
        self._line_free_at = 0.0
        self._quiet_since: float | None = None
        self.underruns, self.underrun_ms = 0, 0.0  # times that an item ran dry while more of it was to come

    # ---- what was sent --------------------------------------------------------------------------------------------

    def begin(self, item_id: str) -> str:
        """A new item follows what was sent; send the returned mark before its audio."""
        self._items[item_id] = _Item(item_id)
        return self._mark(item_id, 0.0)

    def sent(self, item_id: str, duration_ms: float, now: float) -> str | None:
        """Audio of an item was sent; send the returned mark after it, if there is one."""
        item = self._items[item_id]
        begins_at = max(now, self._line_free_at)
        if not item.stretches or begins_at > self._line_free_at:
            if item.stretches:
                self.underruns += 1
                self.underrun_ms += (begins_at - self._line_free_at) * 1000
            item.stretches.append((begins_at, item.sent_ms))
        item.sent_ms += duration_ms
        self._line_free_at = begins_at + duration_ms / 1000
        if item.sent_ms - item.marked_ms < self._mark_every_ms:
            return None
        item.marked_ms = item.sent_ms
        return self._mark(item_id, item.sent_ms)

    def end(self, item_id: str) -> str:
        """No more audio of this item follows; send the returned mark, which tells that all of it was heard."""
        item = self._items[item_id]
        item.last_mark = self._mark(item_id, item.sent_ms)
        return item.last_mark

    def _mark(self, item_id: str, position_ms: float) -> str:
        self._count += 1
        name = f"{self._epoch}.{self._count}.{position_ms:.0f}.{item_id}"[:120]
        self._pending[name] = (item_id, position_ms)
        return name

    # ---- what came back -------------------------------------------------------------------------------------------

    def passed(self, name: str, now: float) -> bool:
        """A mark came back that is not the last of its item, or is unknown; False for a last one, which is `echoed`."""
        found = self._pending.get(name)
        if found is None:
            return True
        item = self._items[found[0]]
        if name == item.last_mark:
            return False
        del self._pending[name]
        item.echoed_ms, item.echoed_at = found[1], now
        return True

    def echoed(self, name: str, now: float) -> Heard | None:
        """A mark came back; returns the item it completes, if it was its last. Unknown names are ignored."""
        if self.passed(name, now):
            return None
        item = self._items[self._pending.pop(name)[0]]
        item.echoed_ms, item.echoed_at = item.sent_ms, now
        # Echoes come in order: any of this item's that is not here by now got lost.
        self._pending = {mark: of for mark, of in self._pending.items() if of[0] != item.item_id}
        return self._finish(item, item.sent_ms, now, complete=True)

    def clear(self, now: float) -> list[Heard]:
        """The line is told to drop what it has not played; returns every item that this ends."""
        cut = [self._finish(item, item.heard_ms(now), now, complete=False) for item in list(self._items.values())]
        self._pending.clear()
        self._epoch += 1
        self._line_free_at = now
        return cut

    def expire(self, now: float) -> list[Heard]:
        """Items whose last mark never came, long after they must have been played out; they count as heard."""
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return []
        over = [self._finish(item, item.sent_ms, now, complete=False) for item in list(self._items.values())]
        self._pending.clear()
        return over

    def _finish(self, item: _Item, heard_ms: float, now: float, *, complete: bool) -> Heard:
        del self._items[item.item_id]
        if not self._items:
            self._quiet_since = now
        return Heard(item.item_id, heard_ms, item.sent_ms, complete)

    # ---- what is asked --------------------------------------------------------------------------------------------

    @property
    def playing(self) -> bool:
        """Whether anything that was sent may still be heard."""
        return bool(self._items)

    @property
    def quiet_since(self) -> float | None:
        """When the last item ended; None while one plays, or before the first."""
        return None if self._items else self._quiet_since

    def heard_ms(self, item_id: str, now: float) -> float:
        """How much of an item under way has been heard; 0 for one that is not."""
        item = self._items.get(item_id)
        return item.heard_ms(now) if item else 0.0

    def deadline(self) -> float | None:
        """When `expire` may have something to say: every item is ended and its marks are overdue."""
        if not self._items or any(item.last_mark is None for item in self._items.values()):
            return None
        return self._line_free_at + LOST_MARK_GRACE_S
