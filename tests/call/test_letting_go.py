"""A call is let go for others to go on with: what is written down, and in which order it is done."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.call.test_core import ENDS, MS, NAME, Call, finished, kinds, only, talking
from tests.call.test_reconnecting import connected
from voicebot.call import entries, ports
from voicebot.call.core import Stage
from voicebot.call.events import Effect, Finish, Journal, LetGo


def steps(effects: list[Effect]) -> list[str]:
    """Every effect by name, entries as what they tell."""
    return [type(one.entry).__name__ if isinstance(one, Journal) else type(one).__name__ for one in effects]


def lost(call: Call) -> list[Effect]:
    return call.feed(ports.CallerLeft("lost"))


def handed_over(call: Call) -> list[Effect]:
    return call._keep(call.core.hand_over(call.now))


@pytest.mark.parametrize(("let_go", "entry"), [(lost, "LegLost"), (handed_over, "HandedOver")])
def test_it_is_written_down_before_the_line_is_closed(let_go: Callable[[Call], list[Effect]], entry: str) -> None:
    call = talking()
    effects = let_go(call)
    assert steps(effects) == [entry, "CloseLeg", "LetGo"]
    assert [one.durable for one in only(effects, Journal)] == [True]
    assert call.core.stage is Stage.ENDED
    assert not call.entries(entries.CallEnded) and not call.entries(entries.LineClosed)


@pytest.mark.parametrize("let_go", [lost, handed_over])
def test_what_was_heard_of_an_utterance_is_kept(let_go: Callable[[Call], list[Effect]]) -> None:
    call = talking()
    call.speak()
    call.says("One moment, please, I am looking.", ms=4000)
    call.wait(1.0)
    effects = let_go(call)
    assert steps(effects)[:1] == ["BotSaid"]
    [said] = [one.entry for one in only(effects, Journal) if isinstance(one.entry, entries.BotSaid)]
    assert said.interrupted and 0 <= said.heard_ms < said.sent_ms == 4000


@pytest.mark.parametrize("let_go", [lost, handed_over])
def test_nothing_follows(let_go: Callable[[Call], list[Effect]]) -> None:
    call = connected()
    call.speak()
    let_go(call)
    before = len(call.done)
    call.ends(NAME)
    call.feed(ports.CallerAudio(b"\1" * 20 * MS), ports.CallerTranscript("u1", "I am Ada"))
    call.feed(ports.ModelLost("closed", False), ports.CallerLeft("hangup"))
    handed_over(call)
    call.core.abandon("shutdown", call.now)
    call.wait(600)
    assert len(call.done) == before
    assert call.core.deadline() is None


def test_call_that_waits_for_its_stream_is_handed_over() -> None:
    call = Call()
    call.prepare()
    assert steps(handed_over(call)) == ["HandedOver", "CloseLeg", "LetGo"]
    assert call.connect() == []


@pytest.mark.parametrize("how", ["closing", "leaving", "ended"])
def test_call_that_is_ending_ends_here(how: str) -> None:
    call = talking()
    call.speak()
    call.ends(ENDS)
    if how != "closing":
        call.says("Goodbye.")
        call.ends()
        call.echo_all()
    if how == "ended":
        call.wait(600)
    assert not only(handed_over(call), LetGo)
    call.echo_all()
    call.wait(600)
    assert finished(call) is not None
    assert call.all(LetGo) == []


def test_stream_that_breaks_during_the_goodbye_is_the_end() -> None:
    call = talking()
    call.speak()
    call.ends(ENDS)
    lost(call)
    call.wait(600)
    assert call.all(LetGo) == []
    assert len(call.all(Finish)) == 1


# ---- the end that is ours, and the one that is not ------------------------------------------------------------------


def test_our_own_end_is_written_down_before_the_line_is_closed() -> None:
    call = talking()
    call.speak()
    call.ends(ENDS)
    call.says("Goodbye.")
    call.ends()
    call.wait(1.0)
    effects = call.echo_all()
    order = steps(effects)
    assert order.index("LineClosed") < order.index("CloseLeg")
    [closed] = [one for one in only(effects, Journal) if isinstance(one.entry, entries.LineClosed)]
    assert closed.durable and closed.entry == entries.LineClosed("caller_finished")
    assert not call.core.left_by_caller


def test_caller_who_hangs_up_has_closed_the_line() -> None:
    call = talking()
    call.speak()
    effects = call.feed(ports.CallerLeft("hangup"))
    assert "CloseLeg" in kinds(effects)
    assert call.core.left_by_caller
    call.wait(600)
    assert call.entries(entries.LineClosed) == []
    assert finished(call) == "caller_hung_up"


def test_call_that_is_abandoned_is_closed_by_us() -> None:
    call = talking()
    call._keep(call.core.abandon("shutdown", call.now))
    assert call.entries(entries.LineClosed) == [entries.LineClosed("shutdown")]
    assert not call.core.left_by_caller
