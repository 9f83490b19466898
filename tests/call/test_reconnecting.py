"""The model's connection breaks: the call waits for another one, which is told what was heard and done."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from tests.call.test_core import HOURS, MS, NAME, Call, finished, kinds, only, talking
from voicebot.call import entries, ports
from voicebot.call.contact import LOSSES, RETURN_LIMIT_S, ROLL_BY_S, ROLL_FROM_S, SESSION_LIFE_S
from voicebot.call.core import FAREWELL_LIMIT_S, Stage
from voicebot.call.events import Finish, LetGo, ReconnectModel, SayWanted, StartTool
from voicebot.call.waits import HOLDS
from voicebot.engine.events import ToolFinished

LOST = ports.ModelLost("the connection broke", True)
APOLOGY = "I am sorry, something has gone wrong on our side. Please call again in a moment."


def connected(*, passes_on: bool = False) -> Call:
    """A call whose model was there, whose greeting was heard, and whose words for need are rendered."""
    call = Call(passes_on=passes_on)
    call.prepare()
    call.feed(ports.ModelReady())
    call.connect()
    call.says("Hello?")
    call.ends()
    call.wait(1.0)
    call.echo_all()
    for clip in call.all(ports.RenderClip):
        call.feed(ports.ClipRendered(clip.key, b"\1" * (900 * MS), clip.text))
    return call


def test_another_connection_is_told_everything_in_order() -> None:
    call = connected()
    call.speak()
    call.feed(ports.CallerTranscript("u1", "I am Ada"))
    call.ends(NAME)
    call.says("Thank you, Ada. Why do you call?")
    call.ends()
    call.wait(2.0)
    call.echo_all()
    assert kinds(call.feed(LOST)) == ["ReconnectModel"]
    effects = call.feed(ports.ModelReady())
    assert kinds(effects) == [
        "Configure", "InsertSaid", "InsertHeard", "InsertCall", "AnswerTool", "InsertSaid", "InsertNote",
    ]  # fmt: skip
    assert only(effects, ports.InsertHeard) == [ports.InsertHeard("I am Ada")]
    assert [said.text for said in only(effects, ports.InsertSaid)] == ["Hello?", "Thank you, Ada. Why do you call?"]
    assert "Ask why." in only(effects, ports.Configure)[0].instructions
    assert call.core.stage is Stage.TALKING


def test_reply_that_was_under_way_is_asked_for_again() -> None:
    call = connected()
    call.speak()
    call.feed(LOST)
    assert "Reply" in kinds(call.feed(ports.ModelReady()))
    call.says("Good day.")
    call.ends()
    assert call.core.reason is None


def test_words_that_were_lost_are_asked_for() -> None:
    call = connected()
    call.feed(ports.SpeechStarted("u1", 0))
    call.feed(LOST)
    effects = call.feed(ports.ModelReady())
    assert any("say it again" in note.text for note in only(effects, ports.InsertNote))
    assert kinds(effects)[-1] == "Reply"


def test_tool_runs_once_though_the_socket_drops_before_its_answer() -> None:
    call = connected()
    call.speak()
    call.ends(HOURS)
    call.feed(LOST)
    effects = call.feed(ports.ModelReady())
    assert "InsertCall" not in kinds(effects), "a call without its answer is not told"
    effects = call.feed(ToolFinished(HOURS.call_id, "nine to five", True))
    assert kinds(effects) == ["InsertCall", "AnswerTool", "Reply"]
    assert len(call.all(StartTool)) == 1


def test_tool_that_answered_meanwhile_is_told_with_its_answer() -> None:
    call = connected()
    call.speak()
    call.ends(HOURS)
    call.feed(LOST)
    assert kinds(call.feed(ToolFinished(HOURS.call_id, "nine to five", True))) == []
    effects = call.feed(ports.ModelReady())
    assert only(effects, ports.AnswerTool) == [ports.AnswerTool(HOURS.call_id, "nine to five")]
    assert kinds(effects)[-1] == "Reply"


def test_half_an_utterance_is_told_as_far_as_it_went() -> None:
    call = connected()
    call.speak()
    reply = call.reply_id
    call.feed(
        ports.ReplyWords(reply, "a9", "One moment", final=False), ports.ReplyAudio(reply, "a9", b"\1" * (500 * MS))
    )
    assert kinds(call.feed(LOST)) == ["PlayAudio", "SendMark", "ReconnectModel"]
    effects = call.feed(ports.ModelReady())
    assert only(effects, ports.InsertSaid)[-1] == ports.InsertSaid("One moment")
    assert kinds(effects)[-1] == "Reply"


def test_caller_hears_an_apology_when_no_connection_comes() -> None:
    call = connected()
    call.feed(LOST)
    effects = call.wait(RETURN_LIMIT_S)
    assert "PlayAudio" in kinds(effects)
    call.wait(1.0)
    call.echo_all()
    assert call.entries(entries.BotSaid)[-1].text == APOLOGY
    call.wait(FAREWELL_LIMIT_S)
    assert finished(call) == "model_failed"


def test_call_is_let_go_where_the_phone_line_goes_on() -> None:
    call = connected(passes_on=True)
    call.feed(LOST)
    call.wait(RETURN_LIMIT_S + 1)
    call.echo_all()
    call.wait(FAREWELL_LIMIT_S)
    assert call.all(LetGo) == [LetGo()]
    assert call.all(Finish) == []
    assert call.entries(entries.LineClosed) == [entries.LineClosed("model_failed")]
    assert call.entries(entries.CallEnded) == []
    assert (call.core.stage, call.core.reason) == (Stage.ENDED, "model_failed")


def test_caller_who_hangs_up_in_the_apology_is_not_passed_on() -> None:
    call = connected(passes_on=True)
    call.feed(LOST)
    call.wait(RETURN_LIMIT_S)
    call.feed(ports.CallerLeft("hangup"))
    assert finished(call) == "model_failed"
    assert call.all(LetGo) == []


def test_call_that_stops_in_the_apology_ends_here() -> None:
    call = connected(passes_on=True)
    call.feed(LOST)
    call.wait(RETURN_LIMIT_S)
    assert call.core.abandon("shutdown", call.now)[-1] == Finish("model_failed")


def test_call_that_ends_well_is_no_business_of_the_phone_line() -> None:
    call = connected(passes_on=True)
    call.feed(ports.CallerLeft("hangup"))
    assert finished(call) == "caller_hung_up"


def test_reconnecting_that_fails_for_good_is_the_end() -> None:
    call = connected()
    call.feed(LOST)
    assert "PlayAudio" in kinds(call.feed(ports.ModelLost("refused", False)))
    assert call.core.stage is Stage.CLOSING


def test_connection_that_breaks_at_once_is_followed_by_another() -> None:
    call = connected()
    call.feed(LOST)
    call.wait(1.0)
    assert kinds(call.feed(LOST)) == ["ReconnectModel"]
    assert call.core.stage is Stage.TALKING


def test_connections_are_counted() -> None:
    call = connected()
    for _ in range(LOSSES):
        assert "ReconnectModel" in kinds(call.feed(LOST))
        call.feed(ports.ModelReady())
    assert "ReconnectModel" not in kinds(call.feed(LOST))
    assert len(call.all(ReconnectModel)) == LOSSES


def test_fatal_loss_is_not_tried_again() -> None:
    call = connected()
    assert "ReconnectModel" not in kinds(call.feed(ports.ModelLost("no quota", False)))


def test_rendering_is_asked_of_the_next_model() -> None:
    call = talking()
    pending = {clip.text for clip in call.all(ports.RenderClip)}
    call.feed(ports.ModelReady())
    call.feed(LOST)
    again = {clip.text for clip in only(call.feed(ports.ModelReady()), ports.RenderClip)}
    assert again == pending != set()


# ---- a session that ends soon ---------------------------------------------------------------------------------------

QUIET_AFTER_S = SESSION_LIFE_S - ROLL_FROM_S
FORCED_AFTER_S = SESSION_LIFE_S - ROLL_BY_S
HOLD = "One moment, please."


def rolled_over(call: Call) -> int:
    return len(call.all(ReconnectModel))


def lasting() -> Call:
    """A connected call in which the silence and the length of the call end nothing."""
    call = Call(duration=2 * SESSION_LIFE_S, silence=())
    call.prepare()
    call.feed(ports.ModelReady())
    call.connect()
    call.says("Hello?")
    call.ends()
    call.wait(1.0)
    call.echo_all()
    for clip in call.all(ports.RenderClip):
        call.feed(ports.ClipRendered(clip.key, b"\1" * (900 * MS), clip.text))
    return call


def test_quiet_moment_is_taken_for_another_session() -> None:
    call = lasting()
    began = call.now
    call.wait(QUIET_AFTER_S - 2)
    assert rolled_over(call) == 0
    assert kinds(call.wait(2)) == ["ReconnectModel"]
    assert call.now - began < QUIET_AFTER_S + 1
    effects = call.feed(ports.ModelReady())
    assert kinds(effects) == ["Configure", "InsertSaid", "InsertNote"]
    call.wait(QUIET_AFTER_S - 2)
    assert rolled_over(call) == 1, "the next one is as long"


def busy(call: Call) -> None:
    call.speak()


def caller_speaks(call: Call) -> None:
    call.feed(ports.SpeechStarted("u1", 0))


def bot_speaks(call: Call) -> None:
    call.speak()
    call.feed(ports.CallerTranscript("u1", "Yes."))
    call.says("A long story.", ms=700_000)
    call.ends()


def tool_works(call: Call) -> None:
    call.speak()
    call.feed(ports.CallerTranscript("u1", "When are you open?"))
    call.ends(HOURS)


def words_are_due(call: Call) -> None:
    call.speak()
    call.says("Thank you.")
    call.ends()
    call.wait(1.0)
    call.echo_all()


@pytest.mark.parametrize("at_work", [busy, caller_speaks, bot_speaks, tool_works, words_are_due])
def test_session_is_kept_while_anything_is_under_way(at_work: Callable[[Call], None]) -> None:
    call = lasting()
    call.wait(QUIET_AFTER_S - 10)
    at_work(call)
    call.wait(60)
    assert rolled_over(call) == 0


@pytest.mark.parametrize("at_work", [busy, caller_speaks, tool_works, words_are_due])
def test_end_of_a_session_is_not_waited_for(at_work: Callable[[Call], None]) -> None:
    call = lasting()
    call.wait(QUIET_AFTER_S - 10)
    at_work(call)
    call.wait(FORCED_AFTER_S - QUIET_AFTER_S + 11)
    assert rolled_over(call) == 1
    assert call.core.stage is Stage.TALKING


def test_nothing_is_lost_when_a_session_is_changed_by_force() -> None:
    call = lasting()
    call.wait(QUIET_AFTER_S - 10)
    call.speak()
    call.feed(ports.CallerTranscript("u1", "I am Ada"))
    call.ends(NAME, HOURS)
    call.wait(FORCED_AFTER_S - QUIET_AFTER_S + 11)
    assert rolled_over(call) == 1
    call.feed(ToolFinished(HOURS.call_id, "nine to five", True))
    effects = call.feed(ports.ModelReady())
    assert only(effects, ports.InsertHeard) == [ports.InsertHeard("I am Ada")]
    assert [one.call for one in only(effects, ports.InsertCall)] == [NAME, HOURS]
    assert ports.AnswerTool(HOURS.call_id, "nine to five") in only(effects, ports.AnswerTool)
    assert kinds(effects)[-1] == "Reply"
    assert len(call.all(StartTool)) == 1


@pytest.mark.parametrize("life_s", [45.0, 240.0, 600.0])
def test_short_sessions_are_changed_at_their_half(life_s: float) -> None:
    call = lasting()
    call.feed(LOST)
    call.feed(ports.ModelReady(life_s))
    before, began = rolled_over(call), call.now
    while call.now < began + 4 * life_s:
        if only(call.wait(1.0), ReconnectModel):
            call.feed(ports.ModelReady(life_s))
    assert 4 <= rolled_over(call) - before <= 2 * 4
    assert call.core.stage is Stage.TALKING


def test_model_that_comes_when_the_call_has_given_up_is_told_nothing() -> None:
    call = connected()
    call.feed(LOST)
    call.wait(RETURN_LIMIT_S)
    assert call.core.stage is Stage.CLOSING
    assert kinds(call.feed(ports.ModelReady())) == []
    assert call.speak() == [], "and what it hears holds nothing up"
    call.wait(1.0)
    call.echo_all()
    assert call.core.stage is not Stage.CLOSING
    assert call.all(ports.Reply)[-1].reply_id == "reply-1"


# ---- words for a caller who waits -----------------------------------------------------------------------------------


def played(call: Call) -> list[str]:
    """Exact words that the caller has heard."""
    return [entry.text for entry in call.entries(entries.BotSaid) if entry.exact]


def wait_and_hear(call: Call, seconds: float) -> list[float]:
    """Let time pass while the phone plays at once what it is sent; returns when it heard something (s from now)."""
    began, heard = call.now, []
    while call.now < began + seconds:
        if only(call.wait(0.1), ports.PlayAudio):
            heard.append(call.now - began)
            call.wait(0.9)
            call.echo_all()
    return heard


def test_caller_hears_a_word_while_the_model_is_slow() -> None:
    call = connected()
    call.speak()
    heard = wait_and_hear(call, 60)
    assert len(heard) == HOLDS
    assert heard[0] <= 4.0
    assert all(later - earlier <= 5.0 for earlier, later in itertools.pairwise(heard))
    assert played(call) == [HOLD] * HOLDS


def test_caller_hears_a_word_while_the_model_is_away() -> None:
    call = connected()
    call.speak()
    call.feed(LOST)
    heard = wait_and_hear(call, RETURN_LIMIT_S + 1)
    silences = [later - earlier for earlier, later in itertools.pairwise([0.0, *heard])]
    assert max(silences) <= 5.0, "nine tenths of a second of it are words"
    assert played(call)[0] == HOLD and played(call)[-1] == APOLOGY


def test_answer_begins_the_count_anew() -> None:
    call = connected()
    for _ in range(3):
        call.speak()
        wait_and_hear(call, 30)
        call.says("Thank you.")
        call.ends()
        call.wait(1.0)
        call.echo_all()
    assert played(call) == [HOLD] * 3 * HOLDS


def test_no_words_for_one_who_speaks_himself() -> None:
    call = connected()
    call.speak()
    call.feed(ports.SpeechStarted("u2", 0))
    assert wait_and_hear(call, 20) == []


def test_no_words_are_said_that_were_not_rendered() -> None:
    call = talking()
    call.speak()
    assert wait_and_hear(call, 20) == []


def test_hold_words_go_before_what_only_the_next_model_can_render() -> None:
    call = connected()
    call.feed(SayWanted("Your number is twelve."))
    call.feed(LOST)
    heard = wait_and_hear(call, 6)
    assert heard and heard[0] <= 4.0
    assert played(call) == [HOLD]
    [clip] = [one for one in only(call.feed(ports.ModelReady()), ports.RenderClip) if "twelve" in one.text]
    call.feed(ports.ClipRendered(clip.key, b"\1" * (900 * MS), clip.text))
    call.wait(1.0)
    call.echo_all()
    assert played(call) == [HOLD, "Your number is twelve."]
