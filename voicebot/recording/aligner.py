"""Both sides of a call on one time line: what the caller said on the left, what the caller heard on the right.

Theory of operation. Positions are samples of the line's own clock: that of the caller's frames, whose time stamps say
where each lies. What is missing between two of them was lost, and is silence.

Our audio is sent faster than it is played, over a network that takes its time. Where the line played it, its echoes of
marks tell, since frames and echoes come in order in one socket: an echo that comes after the frame that ended at `p`
was sent when the line stood at `p`, whatever the network's delay was. The line plays whole frames, on the borders of
the caller's. So

* an echo at `p` while the line has nothing to play says that what comes next begins with the frame after `p`. The
  ledger sends a mark before each utterance; where the line may have run dry within one, a mark of our own goes first;
* what is sent while the line plays follows without a gap;
* an echo that comes a frame or more later than all that says that the line ran dry unseen. The gap then lies before the
  piece that was sent latest for its place;
* after a `clear` goes a mark of our own. Its echo says where the line stopped, at the end of the frame in the caller's
  ear. Echoes that come before it, and sooner than their audio can have been played, were flushed.

Held is only what may still change: our audio that was sent and not yet played, and of the caller's what lies beside it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from voicebot.audio.g711 import SILENCE

PER_MS = 8  # samples of a side
FRAME = 20 * PER_MS
NEAR = 10 * PER_MS  # a frame whose stamp is no further off follows the one before it
LONGEST_GAP = 60_000 * PER_MS  # of a time stamp that jumps; further, it is not believed
LOST = 3_000 * PER_MS  # after which an echo that is due is taken for lost
LOOK_EVERY = 500 * PER_MS  # whether one is lost


@dataclass(slots=True)
class _Piece:
    """Audio of ours, and where the line stood when it was sent."""

    payload: bytes
    sent_at: int


@dataclass(slots=True)
class _Stretch:
    """Audio of ours up to a mark, which was sent when the line stood at `sent_at`.

    `clears`: the mark follows a `clear`, so that the audio was cut. `flushed_at`: where the line stood when the mark
    came back too soon.
    """

    pieces: list[_Piece]
    mark: str
    sent_at: int
    clears: bool = False
    flushed_at: int | None = None


@dataclass(slots=True)
class _Pause:
    """The caller is silent from `begin` on, to `end` once it is known."""

    begin: int
    end: int | None = None


@dataclass(slots=True)
class _Track:
    """One side, from `Aligner._base` on."""

    samples: bytearray = field(default_factory=bytearray)

    def put(self, offset: int, payload: bytes) -> None:
        """Lay `payload` down `offset` samples on; what lies there already stays."""
        if (gap := offset - len(self.samples)) > 0:
            self.samples += SILENCE * gap
        self.samples += payload[max(0, -gap) :]

    def take(self, count: int) -> bytes:
        taken = bytes(self.samples[:count]).ljust(count, SILENCE)
        del self.samples[:count]
        return taken


class Aligner:
    """The time line of one stream. Payloads are mu-law at 8 kHz; it needs no clock but the stream's."""

    def __init__(self) -> None:
        self._left, self._right = _Track(), _Track()
        self._base = 0  # where both tracks begin: all before it was given out or dropped
        self._keep_from: int | None = None
        self._pauses: deque[_Pause] = deque()
        self._begun = False  # a frame has come
        self._origin = 0  # where the first one began: borders are counted from it
        self._came_to = 0  # the end of the last frame
        self._laid_to = 0  # the end of our audio that is laid down
        self._free_from = 0  # what is laid down next begins no earlier
        self._way = LOST  # how far the line went on from a mark's being sent to its echo, when it had nothing to play
        self._open: list[_Piece] = []  # sent, and no mark after it yet
        self._stretches: deque[_Stretch] = deque()
        self._played_by = 0  # when all that was sent can have been played at the earliest
        self._marked_at: int | None = None  # where the line stood when the last mark was sent
        self._look_from = 0
        self._count = 0
        self._own_marks: set[str] = set()

    # ---- the caller's side ----------------------------------------------------------------------------------------

    def heard(self, payload: bytes, timestamp_ms: int) -> None:
        """A frame of the caller, which begins at `timestamp_ms` of the stream."""
        begins = timestamp_ms * PER_MS
        if not self._begun:
            self._begun = True
            self._base = self._origin = self._came_to = self._laid_to = self._free_from = begins
            for piece in self._unplayed():
                piece.sent_at = begins
            for stretch in self._stretches:
                stretch.sent_at = begins
        ahead = begins - self._came_to
        if abs(ahead) <= NEAR or ahead > LONGEST_GAP:
            begins = self._came_to
        self._left.put(begins - self._base, payload)
        self._came_to = max(self._came_to, begins + len(payload))
        if self._came_to >= self._look_from:
            self._look_from = self._came_to + LOOK_EVERY
            if self._open or self._stretches:
                self._give_up_what_is_overdue()

    # ---- our side -------------------------------------------------------------------------------------------------

    def sent(self, payload: bytes) -> str | None:
        """Audio goes to the line, to be played after all that went before.

        Returns a mark that must be sent before it, if there is one: where the line may have run dry, it says when.
        """
        piece, mark = _Piece(payload, self._came_to), None
        marked = not self._open and self._marked_at == self._came_to
        if not marked and self._played_by <= self._came_to + 2 * FRAME:
            mark = self._own_mark()
        self._played_by = self._begin_of(piece, self._played_by) + len(payload)
        self._open.append(piece)
        return mark

    def marked(self, name: str) -> None:
        """A mark goes to the line."""
        self._mark(name)

    def cleared(self) -> str:
        """The line is told to drop what it has not played; returns the mark that must be sent right after that."""
        self._played_by = self._came_to
        return self._own_mark(clears=True)

    def _own_mark(self, *, clears: bool = False) -> str:
        self._count += 1
        name = f"recording:{self._count}"
        self._own_marks.add(name)
        self._mark(name, clears=clears)
        return name

    def _mark(self, name: str, *, clears: bool = False) -> None:
        self._stretches.append(_Stretch(self._open, name, self._came_to, clears))
        self._open, self._marked_at = [], self._came_to

    def echoed(self, name: str) -> bool:
        """A mark came back; returns whether it was one of ours, and so is of no meaning to anybody else."""
        known = next((number for number, one in enumerate(self._stretches) if one.mark == name), None)
        if known is not None:
            self._passed(known)
        own = name in self._own_marks
        self._own_marks.discard(name)
        return own

    def _passed(self, number: int) -> None:
        """The line has come to the mark of a stretch, or has dropped it."""
        position, stretches = self._came_to, list(self._stretches)
        passed, sent_later = stretches[: number + 1], stretches[number + 1 :]
        if any(stretch.clears for stretch in sent_later):
            pieces = [piece for stretch in passed for piece in stretch.pieces]
            too_soon = self._end_of(pieces) - position
            if too_soon > 0:  # dropped: the echo of the mark that follows the `clear` says more
                passed[-1].flushed_at = position if too_soon > 2 * FRAME else None
                return
        pieces = []
        for stretch in passed:
            self._stretches.popleft()
            pieces += stretch.pieces
            if stretch.flushed_at is not None:
                position = min(position, self._border_after(stretch.flushed_at))
            if stretch.clears:
                self._lay_in_turn(pieces, position)
                self._free_from = max(self._free_from, position)
                pieces, position = [], self._came_to
        self._over_by(pieces, position, passed[-1])
        if position - self._laid_to >= FRAME:  # the line had nothing more to play
            self._free_from = max(self._free_from, self._border_after(position))

    def _over_by(self, pieces: list[_Piece], position: int, until: _Stretch) -> None:
        """The line had played these by `position`: just then, if the mark had to wait for them; else before."""
        took = position - until.sent_at
        if not pieces:
            if not until.clears and until.sent_at > self._origin and position - self._laid_to >= FRAME:
                self._way = took
        elif took > self._way + FRAME and until.mark not in self._own_marks:
            self._lay_until(pieces, position)
        else:
            self._lay_in_turn(pieces, position)

    def _end_of(self, pieces: list[_Piece]) -> int:
        """Where these are over at the earliest."""
        end = max(self._laid_to, self._free_from)
        for piece in pieces:
            end = self._begin_of(piece, end) + len(piece.payload)
        return end

    def _begin_of(self, piece: _Piece, free_from: int, way: int = 0) -> int:
        """Where the line begins with a piece: at `free_from`, or with the frame after it came, if that is later.

        Args:
            way: from its being sent to its being there.
        """
        came_at = piece.sent_at + way
        return self._border_after(came_at) if came_at >= free_from else free_from

    def _border_before(self, position: int) -> int:
        return position - (position - self._origin) % FRAME

    def _border_after(self, position: int) -> int:
        return self._border_before(position) + FRAME

    def _lay_until(self, pieces: list[_Piece], position: int) -> None:
        """The last of these was over at `position`, or up to a frame before it."""
        if position - self._end_of(pieces) < FRAME:
            self._lay_in_turn(pieces, position)
            return
        first = self._latest_for_its_place(pieces)
        before, size = pieces[:first], sum(len(piece.payload) for piece in pieces[:first])
        rest = b"".join(piece.payload for piece in pieces[first:])
        begins_last = max(self._laid_to + size, self._border_before(position - len(rest)))
        for piece in before:
            self._lay(piece.payload, min(self._begin_of(piece, self._laid_to, self._way), begins_last - size))
            size -= len(piece.payload)
        self._lay(rest, begins_last)

    def _latest_for_its_place(self, pieces: list[_Piece]) -> int:
        """Before which of these the line ran dry: the one that was sent latest, seen from where it would have lain."""
        place, lateness = self._laid_to, []
        for piece in pieces:
            lateness.append(piece.sent_at - place)
            place += len(piece.payload)
        return lateness.index(max(lateness))

    def _lay_in_turn(self, pieces: list[_Piece], until: int) -> None:
        """One after the other, each as soon as it can have been played; what lies behind `until` was not."""
        for piece in pieces:
            begins = self._begin_of(piece, max(self._laid_to, self._free_from))
            if begins < until:
                self._lay(piece.payload[: until - begins], begins)

    def _lay(self, payload: bytes, begins: int) -> None:
        self._right.put(begins - self._base, payload)
        self._laid_to = begins + len(payload)

    def _give_up_what_is_overdue(self) -> None:
        """Echoes may be lost: what must have been played long ago is laid down as if its echo had come in time."""
        first = self._stretches[0] if self._stretches else _Stretch(self._open, "", self._open[-1].sent_at)
        ends = self._end_of(first.pieces)
        if self._came_to < max(ends, first.sent_at) + LOST:
            return
        if self._stretches:
            self._stretches.popleft()
        else:
            self._open = []
        if first.clears:
            self._lay_in_turn(first.pieces, self._border_after(first.sent_at))
        elif first.pieces:
            self._lay_until(first.pieces, ends)

    def _unplayed(self) -> list[_Piece]:
        return [*(piece for stretch in self._stretches for piece in stretch.pieces), *self._open]

    # ---- what is kept ---------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """Give out what comes from now on; nothing before the first time."""
        self._keep_from = self._came_to if self._begun else 0

    def pause(self) -> None:
        """The caller is silent from now on: nothing is kept of what comes until `resume`."""
        if not self.paused:
            self._pauses.append(_Pause(self._came_to))

    def resume(self) -> None:
        """What comes from now on is kept again."""
        if self.paused:
            self._pauses[-1].end = self._came_to

    @property
    def paused(self) -> bool:
        return bool(self._pauses) and self._pauses[-1].end is None

    @property
    def held(self) -> int:
        """Bytes that are held, of both sides."""
        unplayed = sum(len(piece.payload) for piece in self._unplayed())
        return len(self._left.samples) + len(self._right.samples) + unplayed

    @property
    def ready(self) -> int:
        """Samples that can be given out."""
        return max(0, self._settled() - self._base)

    def take(self) -> bytes:
        """What cannot change any more: stereo mu-law, a byte of the left and a byte of the right in turn."""
        return self._give_out(self._settled())

    def finish(self) -> bytes:
        """The stream is over: all the rest. What the line had not played by then was never heard."""
        self._lay_in_turn(self._unplayed(), self._came_to)
        self._stretches.clear()
        self._open = []
        return self._give_out(self._came_to)

    def _settled(self) -> int:
        """Up to where nothing changes any more: the next audio of ours lies behind what is laid down and was sent."""
        pieces = self._stretches[0].pieces if self._stretches else self._open
        if not pieces:
            pieces = self._unplayed()[:1]
        if not pieces:
            return self._came_to
        return min(self._came_to, max(self._laid_to, pieces[0].sent_at))

    def _give_out(self, until: int) -> bytes:
        count = max(0, until - self._base)
        begins, self._base = self._base, self._base + count
        left, right = bytearray(self._left.take(count)), bytearray(self._right.take(count))
        for pause in self._pauses:
            low = max(0, pause.begin - begins)
            high = count if pause.end is None else min(count, pause.end - begins)
            if low < high:
                left[low:high] = SILENCE * (high - low)
        while self._pauses and (end := self._pauses[0].end) is not None and end <= self._base:
            self._pauses.popleft()
        dropped = count if self._keep_from is None else min(count, max(0, self._keep_from - begins))
        both = bytearray(2 * (count - dropped))
        both[::2], both[1::2] = left[dropped:], right[dropped:]
        return bytes(both)
