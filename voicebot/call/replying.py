"""What the caller is owed, and the reply that is under way: one at a time, none lost and none doubled."""

from __future__ import annotations

from dataclasses import dataclass

RETRY_DELAYS_S = (0.3, 1.0, 2.5)  # before asking again for a reply that failed


@dataclass(slots=True)
class AskedReply:
    """A reply that was asked for and has not ended. The audio of a cancelled one is dropped; its calls count."""

    reply_id: str
    cancelled: bool = False
    audible: bool = False


class Replying:
    """The bookkeeping of replies; when one is asked for is decided elsewhere (`CallCore`)."""

    def __init__(self) -> None:
        self.current: AskedReply | None = None
        self.retry_at: float | None = None
        """Until when none is asked for, since one has failed."""
        self._owed: list[str] | None = None  # a reply is owed; the notes that go before it
        self._notes: list[str] = []  # for the model, before the next reply, whatever it answers
        self._asked = 0
        self._failures = 0

    # ---- what is owed

    @property
    def owed(self) -> bool:
        """Whether a reply is still to be asked for."""
        return self._owed is not None

    def owe(self, note: str = "") -> None:
        """A reply is to come, once, and the model is to know `note` before it."""
        self._owed = [*(self._owed or ()), *([note] if note else ())]

    def note(self, text: str) -> None:
        """The model is to know this before its next reply, whenever that comes."""
        self._notes.append(text)

    def owe_nothing(self) -> None:
        """What was owed is not to come any more."""
        self._owed = None

    def give_up(self) -> None:
        """Nothing is owed, and nothing is tried again."""
        self._owed = self.retry_at = None

    def ask(self) -> tuple[str, list[str]]:
        """What is owed is asked for now: the reply's id, and the notes that go before it."""
        notes = [*self._notes, *(self._owed or ())]
        self._owed, self._notes = None, []
        self._asked += 1
        self.current = AskedReply(f"reply-{self._asked}")
        return self.current.reply_id, notes

    # ---- the reply under way

    def is_current(self, reply_id: str) -> bool:
        """Whether what comes of this reply is for the caller."""
        return self.current is not None and self.current.reply_id == reply_id and not self.current.cancelled

    @property
    def to_be_heard(self) -> bool:
        """Whether the reply under way has no sound yet, and is to have one."""
        return self.current is not None and not (self.current.audible or self.current.cancelled)

    @property
    def speaks(self) -> bool:
        """Whether the caller hears the reply under way."""
        return self.current is not None and self.current.audible and not self.current.cancelled

    def cancel(self) -> bool:
        """The caller is to hear no more of the reply under way; says whether there was one to be cancelled."""
        if self.current is None or self.current.cancelled:
            return False
        self.current.cancelled = True
        return True

    def end(self, reply_id: str) -> AskedReply | None:
        """The reply under way is over; None if that is another one."""
        if self.current is None or self.current.reply_id != reply_id:
            return None
        ended, self.current = self.current, None
        return ended

    # ---- failures

    def succeeded(self) -> None:
        """A reply came."""
        self._failures = 0

    def failed(self, now: float) -> bool:
        """A reply failed, or was empty; says whether another one is to be tried, which then waits."""
        self._failures += 1
        if self._failures > len(RETRY_DELAYS_S):
            return False
        self.retry_at = now + RETRY_DELAYS_S[self._failures - 1]
        return True
