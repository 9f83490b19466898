"""The model's connection breaks: the call waits for another one, which is told what was heard and done."""

from __future__ import annotations

from tests.call.test_core import HOURS, MS, NAME, Call, finished, kinds, only, talking
from voicebot.call import entries, ports
from voicebot.call.core import FAREWELL_LIMIT_S, RECONNECT_LIMIT_S, RECONNECTIONS, ReconnectModel, Stage, StartTool
from voicebot.engine.events import ToolFinished

LOST = ports.ModelLost("the connection broke", True)
APOLOGY = "I am sorry, something has gone wrong on our side. Please call again in a moment."


def connected() -> Call:
    """A call whose model was there, whose greeting was heard, and whose apology is rendered."""
    call = Call()
    call.prepare()
    call.feed(ports.ModelReady())
    call.connect()
    call.says("Hello?")
    call.ends()
    call.wait(1.0)
    call.echo_all()
    [clip] = [clip for clip in call.all(ports.RenderClip) if clip.text == APOLOGY]
    call.feed(ports.ClipRendered(clip.key, b"\1" * (900 * MS), APOLOGY))
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
    effects = call.wait(RECONNECT_LIMIT_S)
    assert "PlayAudio" in kinds(effects)
    call.wait(1.0)
    call.echo_all()
    assert call.entries(entries.BotSaid)[-1].text == APOLOGY
    call.wait(FAREWELL_LIMIT_S)
    assert finished(call) == "model_failed"


def test_reconnecting_that_fails_is_the_end() -> None:
    call = connected()
    call.feed(LOST)
    assert "PlayAudio" in kinds(call.feed(ports.ModelLost("refused", True)))
    assert call.core.stage is Stage.CLOSING


def test_connections_are_counted() -> None:
    call = connected()
    for _ in range(RECONNECTIONS):
        assert "ReconnectModel" in kinds(call.feed(LOST))
        call.feed(ports.ModelReady())
    assert "ReconnectModel" not in kinds(call.feed(LOST))
    assert len(call.all(ReconnectModel)) == RECONNECTIONS


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
