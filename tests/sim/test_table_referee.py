"""What the table holds against a call's core, beside what came of the call."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.end_to_end.reception import flow
from voicebot.call.entries import BotSaid, CallEnded, Entry
from voicebot.call.events import Finish, Journal, StartTool
from voicebot.call.ports import Analyse, CancelReply, CloseLeg, Configure, ModelLost, Reply, ReplyEnded
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import PhaseEntered
from voicebot.engine.events import CallContext, CallStarted
from voicebot.sim.table_clock import Distance
from voicebot.sim.table_line import Utterance
from voicebot.sim.table_referee import Referee
from voicebot.tool_schema import ToolSchema

NEAR, FAR = Distance(0.0, 0.0), Distance(0.1, 0.1)
ENDED = (9000, CallEnded("completed"))


class Watched:
    """A referee beside an engine in its first phase."""

    def __init__(self) -> None:
        self.engine = PhaseEngine(flow, CallContext("CA0", None, None, datetime(2026, 1, 2, tzinfo=UTC)))
        self.engine.handle(CallStarted(), 0.0)
        self.referee = Referee(self.engine)

    def reply(self, name: str = "r1") -> Reply:
        return Reply(name, self.engine.instructions(0.0), self.engine.tools())

    def ask(self, name: str = "r1") -> None:
        self.referee.asked(self.reply(name), 0.0)

    @property
    def problems(self) -> list[str]:
        return self.referee.problems


def test_good_call_has_no_problems() -> None:
    call = Watched()
    call.referee.asked(Journal(PhaseEntered("reception", None, "start"), durable=True), 0.0)
    call.referee.asked(Configure("", ()), 0.0)
    call.ask("r1")
    call.referee.told(ReplyEnded("r1", "completed"))
    call.ask("r2")
    call.referee.told(ModelLost("gone", retryable=True))
    call.ask("r3")
    call.referee.asked(Finish("completed"), 0.0)
    call.referee.close([ENDED], [], NEAR)
    assert call.problems == []
    assert call.referee.ended


def test_two_replies_at_once() -> None:
    call = Watched()
    call.ask("r1")
    call.referee.told(ReplyEnded("r0", "completed"))
    call.ask("r2")
    assert call.problems == ["r2 was asked for while r1 was under way: two replies at once"]


def test_reply_before_the_phase_is_told() -> None:
    call = Watched()
    call.referee.asked(Journal(PhaseEntered("bye", "reception", "criteria"), durable=True), 0.0)
    call.ask()
    assert call.problems == ["a reply was asked for before the model was told of the phase bye"]


def test_reply_with_what_no_longer_holds() -> None:
    call = Watched()
    call.referee.asked(Reply("r1", "yesterday's", ()), 0.0)
    assert [problem.partition(" with ")[2] for problem in call.problems] == [
        "other tools than those of the phase reception",
        "stale instructions in the phase reception",
    ]


def test_tool_started_twice() -> None:
    call = Watched()
    for _ in range(2):
        call.referee.asked(StartTool("c1", "look", {}), 0.0)
    assert call.problems == ["look was started twice for one call"]


def test_anything_after_the_end() -> None:
    call = Watched()
    call.referee.asked(Finish("completed"), 0.0)
    call.referee.asked(CancelReply(), 0.0)
    assert call.problems == ["CancelReply after the call was over"]


def said(at_ms: int, heard_ms: int, sent_ms: int = 1000) -> tuple[int, Entry]:
    return at_ms, BotSaid("i", "Hello.", "Hello.", heard_ms, sent_ms, heard_ms < sent_ms, exact=False)


def played(ms: int, *, end_ms: int = 2000, cut: bool = False) -> Utterance:
    return Utterance([(end_ms - ms, b"a" * ms * 8)], 8000, end_ms, cut, end_ms)


@pytest.mark.parametrize(
    ("entry", "truth", "distance", "problem"),
    [
        (said(2000, 1000), played(1000), NEAR, None),
        (said(2040, 1000), played(1000), NEAR, None),
        (said(2100, 1000), played(1000), FAR, None),
        (said(2100, 1000), played(1000), NEAR, "was over for 100 ms before the call noticed it"),
        (said(4000, 1000), played(1000), FAR, "was over for 2000 ms before the call noticed it"),
        (said(2000, 400), played(440, cut=True), NEAR, None),
        (said(2000, 400), played(600, cut=True), FAR, None),
        (said(2000, 400), played(650, cut=True), FAR, "the caller heard 650 ms, the journal says 400 ms"),
        (said(2000, 500), played(400, cut=True), NEAR, "the caller heard 400 ms, the journal says 500 ms"),
        (said(2000, 500), played(400, cut=True), FAR, None),
    ],
)
def test_ledger_is_held_against_what_was_played(
    entry: tuple[int, Entry], truth: Utterance, distance: Distance, problem: str | None
) -> None:
    call = Watched()
    call.referee.close([entry, ENDED], [truth], distance)
    assert [one.partition("'Hello.' ")[2] for one in call.problems] == ([] if problem is None else [problem])


def test_utterance_on_its_way_to_a_closed_line_was_not_heard() -> None:
    call = Watched()
    call.referee.close([said(2000, 0), ENDED], [], NEAR)
    assert call.problems == []
    call.referee.close([said(2000, 900), ENDED], [], NEAR)
    assert call.problems == ["of 'Hello.' the caller heard 0 ms, the journal says 900 ms"]


def test_utterances_that_nobody_wrote_down() -> None:
    call = Watched()
    call.referee.close([ENDED], [played(1000)], NEAR)
    assert call.problems == ["1 utterances were sent to the line, the journal has 0"]


def test_journal_without_an_end() -> None:
    call = Watched()
    call.referee.close([said(2000, 1000)], [played(1000)], NEAR)
    assert call.problems == ["the call's journal does not end with its end"]


LOOK_BACK = Analyse("call", "Sum it up.", ToolSchema("conclude", "", {}))


@pytest.mark.parametrize(
    ("effects", "good"),
    [((CloseLeg(), LOOK_BACK), True), ((LOOK_BACK, CloseLeg()), False), ((CloseLeg(), LOOK_BACK, LOOK_BACK), False)],
)
def test_call_is_looked_back_at_once_and_after_the_line(effects: tuple[CloseLeg | Analyse, ...], good: bool) -> None:
    call = Watched()
    for effect in effects:
        call.referee.asked(effect, 0.0)
    told = ["the call was looked back at twice, or while the line was open"]
    assert call.problems == ([] if good else told)
