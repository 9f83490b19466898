"""The playback ledger against a phone that plays, with delays, gaps, flushes and lost marks."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.call.playback import LOST_MARK_GRACE_S, MARK_EVERY_MS, Heard, Playback

DELAYS_MS = (0, 50, 150)


@dataclass
class Chunk:
    """Audio or a mark on its way to, or in, the phone's buffer."""

    arrives_at: float
    item_id: str = ""
    duration_ms: float = 0.0
    mark: str | None = None


@dataclass
class Phone:
    """The far end of the line: plays what has arrived, in order, and echoes marks. Told the time like the ledger.

    `down_s` and `up_s` are the one-way delays. Nothing of the ledger is used here.
    """

    down_s: float = 0.0
    up_s: float = 0.0
    queue: list[Chunk] = field(default_factory=list)
    heard_ms: dict[str, float] = field(default_factory=dict)
    played_to: float = 0.0
    flushes: list[tuple[float, list[Chunk]]] = field(default_factory=list)
    echoes: list[tuple[float, str]] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)

    def audio(self, item_id: str, duration_ms: float, now: float) -> None:
        self.queue.append(Chunk(now + self.down_s, item_id, duration_ms))

    def mark(self, name: str, now: float) -> None:
        self.queue.append(Chunk(now + self.down_s, mark=name))

    def clear(self, now: float) -> None:
        """Drop at its arrival whatever was sent before it: what is sent from here on is another queue."""
        self.flushes.append((now + self.down_s, self.queue))
        self.queue = []

    def play(self, until: float) -> None:
        """Play on, with every flush at its moment."""
        while self.flushes and self.flushes[0][0] <= until:
            at, queue = self.flushes.pop(0)
            self._play(queue, at)
            for chunk in queue:
                self._echo(chunk.mark, at)
        self._play(self.flushes[0][1] if self.flushes else self.queue, until)

    def _play(self, queue: list[Chunk], until: float) -> None:
        while queue and queue[0].arrives_at <= until:
            chunk = queue[0]
            begins = max(chunk.arrives_at, self.played_to)
            if chunk.mark is not None:
                if begins > until:
                    break
                self._echo(chunk.mark, begins)
            else:
                plays_ms = min(chunk.duration_ms, (until - begins) * 1000)
                if plays_ms < 0:
                    break
                self.heard_ms[chunk.item_id] = self.heard_ms.get(chunk.item_id, 0.0) + plays_ms
                self.played_to = begins + plays_ms / 1000
                if plays_ms < chunk.duration_ms - 1e-9:
                    chunk.duration_ms -= plays_ms
                    chunk.arrives_at = begins
                    return
            queue.pop(0)

    def _echo(self, mark: str | None, at: float) -> None:
        if mark is not None and mark not in self.lost:
            self.echoes.append((at + self.up_s, mark))

    def echoed(self, until: float) -> list[tuple[float, str]]:
        """Marks that have come back by `until`, in order."""
        due = [echo for echo in self.echoes if echo[0] <= until]
        self.echoes = [echo for echo in self.echoes if echo[0] > until]
        return due


class Line:
    """A ledger and a phone that see the same call, and the moment."""

    def __init__(self, down_ms: float = 0, up_ms: float = 0) -> None:
        self.now = 10.0
        self.delay_ms = max(down_ms, up_ms)
        self.ledger = Playback()
        self.phone = Phone(down_ms / 1000, up_ms / 1000, played_to=self.now)
        self.sent_ms: dict[str, float] = {}
        self.open: set[str] = set()
        self.over: list[Heard] = []
        self.marks: list[str] = []

    def _mark(self, name: str | None) -> None:
        if name is not None:
            self.marks.append(name)
            self.phone.mark(name, self.now)

    def begin(self, item_id: str) -> None:
        self.sent_ms[item_id] = 0.0
        self.open.add(item_id)
        self._mark(self.ledger.begin(item_id))

    def send(self, item_id: str, duration_ms: float) -> None:
        self.sent_ms[item_id] += duration_ms
        self.phone.audio(item_id, duration_ms, self.now)
        self._mark(self.ledger.sent(item_id, duration_ms, self.now))

    def end(self, item_id: str) -> None:
        self.open.discard(item_id)
        self._mark(self.ledger.end(item_id))

    def say(self, item_id: str, *durations_ms: float) -> None:
        self.begin(item_id)
        for duration_ms in durations_ms:
            self.send(item_id, duration_ms)
        self.end(item_id)

    def clear(self) -> list[Heard]:
        self.phone.clear(self.now)
        cut = self.ledger.clear(self.now)
        self.over += cut
        self.open.clear()
        return cut

    def pass_ms(self, duration_ms: float) -> None:
        """Let time pass, with every echo at its moment."""
        until = self.now + duration_ms / 1000
        while True:
            self.phone.play(until)
            due = sorted(self.phone.echoed(until))
            if not due:
                break
            for at, mark in due:
                self.now = at
                heard = self.ledger.echoed(mark, at)
                self.over += [heard] if heard else []
        self.now = until

    def truth_ms(self, item_id: str) -> float:
        """What the phone has played of an item up to now."""
        self.phone.play(self.now)
        return self.phone.heard_ms.get(item_id, 0.0)

    def error_ms(self, item_id: str) -> float:
        return self.ledger.heard_ms(item_id, self.now) - self.truth_ms(item_id)


# ---- one item -----------------------------------------------------------------------------------------------------


def test_nothing_is_heard_before_anything_is_sent() -> None:
    line = Line()
    assert line.ledger.heard_ms("a", line.now) == 0.0
    assert not line.ledger.playing
    assert line.ledger.quiet_since is None
    assert line.ledger.deadline() is None


@pytest.mark.parametrize("up_ms", DELAYS_MS)
@pytest.mark.parametrize("down_ms", DELAYS_MS)
def test_heard_time_follows_the_phone(down_ms: float, up_ms: float) -> None:
    line = Line(down_ms, up_ms)
    line.say("a", *[100.0] * 20)
    for _ in range(110):
        line.pass_ms(20)
        if line.ledger.playing:
            assert -up_ms - 1 <= line.error_ms("a") <= 1  # late by an echo's way, and never ahead
    assert line.over == [] or line.over[-1].complete


@pytest.mark.parametrize("up_ms", DELAYS_MS)
@pytest.mark.parametrize("down_ms", DELAYS_MS)
def test_item_is_over_when_its_last_mark_is_back(down_ms: float, up_ms: float) -> None:
    line = Line(down_ms, up_ms)
    line.say("a", 500.0, 500.0)
    line.pass_ms(1000 + down_ms + up_ms - 1)
    assert line.over == []
    assert line.ledger.playing
    line.pass_ms(2)
    assert line.over == [Heard("a", 1000.0, 1000.0, complete=True)]
    assert not line.ledger.playing
    assert line.ledger.quiet_since == pytest.approx(10.0 + (1000 + down_ms + up_ms) / 1000)


def test_nothing_counts_as_heard_before_the_first_echo() -> None:
    line = Line(150, 150)
    line.say("a", 1000.0)
    line.pass_ms(299)
    assert line.ledger.heard_ms("a", line.now) == 0.0
    line.pass_ms(2)
    assert line.ledger.heard_ms("a", line.now) == pytest.approx(1.0, abs=1)


def test_underrun_stops_the_clock() -> None:
    line = Line(0, 50)
    line.begin("a")
    line.send("a", 300.0)
    line.pass_ms(1000)
    assert line.ledger.heard_ms("a", line.now) == 300.0
    line.send("a", 300.0)
    line.pass_ms(100)
    assert abs(line.error_ms("a")) <= 50
    assert line.truth_ms("a") == pytest.approx(400.0)


def test_never_more_than_was_sent() -> None:
    line = Line()
    line.begin("a")
    line.send("a", 120.0)
    line.pass_ms(60_000)
    assert line.ledger.heard_ms("a", line.now) == 120.0


def test_item_without_audio_is_complete() -> None:
    line = Line(50, 50)
    line.begin("a")
    line.end("a")
    line.pass_ms(101)
    assert line.over == [Heard("a", 0.0, 0.0, complete=True)]


def test_marks_stand_at_each_begin_interval_and_end() -> None:
    ledger = Playback(mark_every_ms=200.0)
    marks = [ledger.begin("a")]
    marks += [mark for n in range(10) if (mark := ledger.sent("a", 100.0, float(n)))]
    marks.append(ledger.end("a"))
    assert [mark.split(".")[2] for mark in marks] == ["0", "200", "400", "600", "800", "1000", "1000"]


def test_marks_are_unique_and_short() -> None:
    ledger = Playback()
    marks = [ledger.begin("i" * 200), ledger.begin("j" * 200), ledger.end("i" * 200)]
    ledger.clear(1.0)
    marks += [ledger.begin("i" * 200), ledger.end("i" * 200)]
    assert len(set(marks)) == 5
    assert [mark.split(".")[0] for mark in marks] == ["0", "0", "0", "1", "1"]
    assert all(len(mark) <= 120 for mark in marks)
    assert ledger.echoed(marks[4], 2.0) is not None


# ---- several items ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("up_ms", DELAYS_MS)
@pytest.mark.parametrize("down_ms", DELAYS_MS)
def test_second_item_waits_for_the_first(down_ms: float, up_ms: float) -> None:
    line = Line(down_ms, up_ms)
    line.say("a", 400.0)
    line.say("b", 400.0)
    for _ in range(60):
        line.pass_ms(20)
        for item_id in ("a", "b"):
            if not any(heard.item_id == item_id for heard in line.over):
                assert abs(line.error_ms(item_id)) <= line.delay_ms + 1
    assert [(heard.item_id, heard.complete) for heard in line.over] == [("a", True), ("b", True)]


def test_quiet_begins_when_the_last_item_is_over() -> None:
    line = Line()
    line.say("a", 200.0)
    line.say("b", 200.0)
    line.pass_ms(300)
    assert line.ledger.quiet_since is None
    line.pass_ms(200)
    assert line.ledger.quiet_since == pytest.approx(10.4)
    line.begin("c")
    assert line.ledger.quiet_since is None


# ---- clear --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("up_ms", DELAYS_MS)
@pytest.mark.parametrize("down_ms", DELAYS_MS)
@pytest.mark.parametrize("after_ms", [0, 10, 190, 555, 999])
def test_clear_tells_what_was_heard(down_ms: float, up_ms: float, after_ms: float) -> None:
    line = Line(down_ms, up_ms)
    line.say("a", *[100.0] * 10)
    line.say("b", 300.0)
    line.pass_ms(after_ms)
    truth = {item_id: line.truth_ms(item_id) for item_id in ("a", "b")}
    cut = line.clear()
    assert [heard.item_id for heard in cut] == ["a", "b"]
    for heard in cut:
        assert abs(heard.heard_ms - truth[heard.item_id]) <= line.delay_ms + 1
        assert heard.heard_ms <= heard.sent_ms
        assert not heard.complete
    assert not line.ledger.playing
    assert line.ledger.quiet_since == line.now


def test_flushed_marks_prove_nothing() -> None:
    line = Line(50, 50)
    line.say("a", *[500.0] * 4)
    line.pass_ms(300)
    line.clear()
    line.say("b", 500.0)
    assert not any(heard.item_id == "b" for heard in line.over)
    line.pass_ms(150)
    assert [heard.item_id for heard in line.over] == ["a"]
    assert abs(line.error_ms("b")) <= 51
    line.pass_ms(1000)
    assert line.over[-1] == Heard("b", 500.0, 500.0, complete=True)


def test_same_item_may_begin_again_after_a_clear() -> None:
    line = Line(0, 0)
    line.say("a", 500.0)
    stale = list(line.marks)
    line.clear()
    line.say("a", 200.0)
    for mark in stale:
        assert line.ledger.echoed(mark, line.now) is None
    line.pass_ms(201)
    assert line.over[-1] == Heard("a", 200.0, 200.0, complete=True)


def test_clear_of_nothing_is_harmless() -> None:
    assert Playback().clear(5.0) == []


def test_unknown_mark_is_ignored() -> None:
    ledger = Playback()
    ledger.begin("a")
    assert ledger.echoed("0.9.100.a", 1.0) is None
    assert ledger.echoed("", 1.0) is None
    assert ledger.heard_ms("a", 1.0) == 0.0


def test_mark_counts_once() -> None:
    line = Line()
    line.say("a", 100.0)
    line.pass_ms(101)
    for mark in line.marks:
        assert line.ledger.echoed(mark, line.now) is None
    assert len(line.over) == 1


# ---- lost marks ---------------------------------------------------------------------------------------------------


def test_lost_mark_in_the_middle_changes_nothing_much() -> None:
    line = Line(50, 50)
    line.begin("a")
    for _ in range(10):
        line.send("a", 100.0)
        line.phone.lost |= set(line.marks[1:])
    line.end("a")
    line.phone.lost.discard(line.marks[-1])
    line.pass_ms(700)
    assert abs(line.error_ms("a")) <= 51
    line.pass_ms(401)
    assert line.over == [Heard("a", 1000.0, 1000.0, complete=True)]


def test_item_whose_last_mark_is_lost_expires() -> None:
    line = Line()
    line.say("a", 1000.0)
    line.phone.lost |= set(line.marks[-1:])
    due = line.ledger.deadline()
    assert due == pytest.approx(11.0 + LOST_MARK_GRACE_S)
    line.pass_ms(2900)
    assert line.ledger.expire(line.now) == []
    line.pass_ms(101)
    assert line.ledger.expire(line.now) == [Heard("a", 1000.0, 1000.0, complete=False)]
    assert not line.ledger.playing
    assert line.ledger.deadline() is None
    assert line.ledger.echoed(line.marks[-1], line.now) is None


def test_item_of_which_no_mark_came_back_counts_as_heard() -> None:
    ledger = Playback()
    ledger.begin("a")
    ledger.sent("a", 1000.0, 10.0)
    ledger.end("a")
    assert ledger.heard_ms("a", 20.0) == 0.0
    assert ledger.expire(20.0) == [Heard("a", 1000.0, 1000.0, complete=False)]
    assert ledger.quiet_since == 20.0


def test_mark_that_comes_after_the_last_is_ignored() -> None:
    ledger = Playback()
    begin = ledger.begin("a")
    middle = ledger.sent("a", 300.0, 10.0)
    assert middle is not None
    assert ledger.echoed(ledger.end("a"), 10.3) is not None
    assert ledger.echoed(middle, 10.4) is None
    assert ledger.echoed(begin, 10.4) is None


def test_item_that_is_not_ended_does_not_expire() -> None:
    line = Line()
    line.say("a", 100.0)
    line.begin("b")
    line.send("b", 100.0)
    assert line.ledger.deadline() is None
    assert line.ledger.expire(line.now + 100) == []
    line.end("b")
    assert line.ledger.deadline() == pytest.approx(10.2 + LOST_MARK_GRACE_S)


# ---- against the phone, at random ---------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from([20.0, 60.0, 100.0, 200.0, 333.0, 1000.0])),
        st.tuples(st.just("pass"), st.sampled_from([1.0, 20.0, 90.0, 250.0, 700.0])),
        st.tuples(st.just("pass"), st.floats(0, 400)),
        st.tuples(st.just("next"), st.just(0.0)),
        st.tuples(st.just("end"), st.just(0.0)),
        st.tuples(st.just("clear"), st.just(0.0)),
    ),
    max_size=40,
)


@given(STEPS, st.sampled_from(DELAYS_MS), st.sampled_from(DELAYS_MS))
@settings(deadline=None)
def test_error_is_at_most_the_delay(steps: list[tuple[str, float]], down_ms: float, up_ms: float) -> None:
    line = Line(down_ms, up_ms)
    count = 0
    for step, amount in steps:
        item_id = f"item-{count}"
        match step:
            case "send":
                if item_id not in line.open:
                    count += 1
                    item_id = f"item-{count}"
                    line.begin(item_id)
                line.send(item_id, amount)
            case "pass":
                line.pass_ms(amount)
            case "next" | "end":
                if item_id in line.open:
                    line.end(item_id)
            case "clear":
                truth = {item_id: line.truth_ms(item_id) for item_id in line.sent_ms}
                for heard in line.clear():
                    assert abs(heard.heard_ms - truth[heard.item_id]) <= line.delay_ms + 20
                    assert 0 <= heard.heard_ms <= heard.sent_ms == line.sent_ms[heard.item_id]
        over = {heard.item_id for heard in line.over}
        for item_id in line.sent_ms.keys() - over:
            assert abs(line.error_ms(item_id)) <= line.delay_ms + 20
            assert 0 <= line.ledger.heard_ms(item_id, line.now) <= line.sent_ms[item_id]
        for heard in line.over:
            if heard.complete:
                assert line.truth_ms(heard.item_id) == pytest.approx(heard.sent_ms, abs=0.01)
                assert heard.heard_ms == heard.sent_ms
    while line.open:
        line.end(line.open.pop())
    line.pass_ms(sum(line.sent_ms.values()) + down_ms + up_ms + 1)
    assert not line.ledger.playing
    assert sorted(heard.item_id for heard in line.over) == sorted(line.sent_ms)


@given(st.lists(st.floats(1, 500), min_size=1, max_size=30))
def test_marks_are_never_further_apart_than_they_should(durations_ms: list[float]) -> None:
    ledger = Playback()
    positions, sent_ms = [0.0], 0.0
    ledger.begin("a")
    for duration_ms in durations_ms:
        sent_ms += duration_ms
        if ledger.sent("a", duration_ms, 0.0) is not None:
            positions.append(sent_ms)
    widest_ms = MARK_EVERY_MS + max(durations_ms) + 0.001
    assert all(after - before < widest_ms for before, after in pairwise([*positions, sent_ms]))


def test_underruns_are_counted_and_timed() -> None:
    playback = Playback()
    playback.begin("a1")
    playback.sent("a1", 100, 0.0)
    playback.sent("a1", 100, 0.05)  # in time
    playback.sent("a1", 100, 0.45)  # a quarter of a second late
    playback.sent("a1", 100, 0.56)  # 10 ms late
    playback.end("a1")
    assert (playback.underruns, round(playback.underrun_ms)) == (2, 260)


def test_pause_between_items_is_no_underrun() -> None:
    playback = Playback()
    for item_id, at in (("a1", 0.0), ("a2", 5.0)):
        playback.begin(item_id)
        playback.sent(item_id, 100, at)
        playback.end(item_id)
    assert (playback.underruns, playback.underrun_ms) == (0, 0.0)
