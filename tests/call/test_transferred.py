"""A caller who is to be joined to a human being hears the goodbye; then the line is closed, and the call let go."""

from __future__ import annotations

import pytest

from tests.call.test_core import MS, Call, kinds, only
from tests.call.test_letting_go import steps
from voicebot.call import entries, ports
from voicebot.call.core import CLOSING_LIMIT_S, Stage
from voicebot.call.events import Effect, Finish, LetGo
from voicebot.engine.entries import TransferBegan
from voicebot.flow import Flow, HangUp, Number, Observations, Phase, To, Transfer, ask

WORDS = "I am putting you through to the desk."
ASKS = ports.ToolCall("c1", "transfer_call", '{"target": "desk", "quote": "a person please"}')
TELLS = ports.ToolCall("c2", "record", '{"about": {"value": "a bill", "quote": "a bill"}}')


class Matter(Observations):
    about: str = ask("what it is about")


def flow(say: str = "") -> Flow:
    return Flow(
        goal="g",
        observations=Matter,
        targets={"desk": Number("+15550199", no_answer="nobody")},
        phases=[
            Phase("talk", observations=["about"], may_transfer=["desk"], transitions=[To("desk")]),
            Phase("desk", instructions="Say that you connect them.", end=Transfer("desk", say=say)),
            Phase("nobody", instructions="Apologise.", transitions=[To("bye")]),
            Phase("bye", instructions="Say goodbye.", end=HangUp()),
        ],
    )


def talking(say: str = "") -> Call:
    call = Call(of=flow(say))
    call.prepare()
    call.connect()
    call.feed(ports.ModelReady(None))
    call.says("Hello?")
    call.ends()
    call.wait(1.0)
    call.echo_all()
    call.speak()
    call.feed(ports.CallerTranscript("u1", "a person please, about a bill"))
    return call


def closed(call: Call) -> list[Effect]:
    """The caller's leg is closed, as was wanted."""
    return call.feed(ports.CallerLeft("hangup"))


def asked() -> Call:
    """The model has said that it connects the caller, and asked for it; the words are being heard."""
    call = talking()
    call.says("I am connecting you.", ms=2000)
    call.ends(ASKS)
    return call


def test_goodbye_is_heard_before_the_line_is_closed() -> None:
    call = asked()
    assert call.core.stage is Stage.CLOSING
    assert call.all(ports.CloseLeg) == []
    call.wait(2.0)
    assert steps(call.echo_all())[:3] == ["BotSaid", "LineClosed", "CloseLeg"]
    assert steps(closed(call))[-1] == "LetGo"
    assert call.entries(entries.LineClosed) == [entries.LineClosed("transferred")]
    assert not call.entries(entries.BotSaid)[-1].interrupted
    assert call.all(Finish) == [] and not call.entries(entries.CallEnded)


def test_line_is_closed_though_no_mark_comes_back() -> None:
    call = asked()
    call.wait(CLOSING_LIMIT_S)
    assert len(call.all(ports.CloseLeg)) == len(call.all(LetGo)) == 1


def test_exact_words_are_all_that_is_said() -> None:
    call = talking(WORDS)
    replies = len(call.all(ports.Reply))
    effects = call.ends(TELLS, spoke=False)
    clips = {one.text: one for one in call.all(ports.RenderClip)}
    effects += call.feed(ports.ClipRendered(clips[WORDS].key, b"\1" * (1500 * MS), WORDS))
    assert "PlayAudio" in kinds(effects)
    assert len(call.all(ports.Reply)) == replies
    call.speak()  # whatever the caller says meanwhile is for the human being
    assert len(call.all(ports.Reply)) == replies
    call.wait(1.5)
    call.echo_all()
    call.feed(ports.CallerTranscript("u2", "thank you"))
    closed(call)
    assert len(call.all(LetGo)) == 1
    assert [one.text for one in call.entries(entries.BotSaid)][-1] == WORDS


def test_exact_words_that_cannot_be_had_are_the_models() -> None:
    call = talking(WORDS)
    call.ends(TELLS, spoke=False)
    clips = {one.text: one for one in call.all(ports.RenderClip)}
    call.feed(ports.ClipFailed(clips[WORDS].key, "late"))
    effects = call.feed(ports.ClipFailed(clips[WORDS].key, "late"))
    assert WORDS in only(effects, ports.InsertNote)[-1].text
    assert only(effects, ports.Reply)


def test_model_that_is_gone_cuts_no_goodbye() -> None:
    call = asked()
    call.wait(0.5)
    call.feed(ports.ModelLost("closed", False))
    assert call.all(ports.CloseLeg) == []
    call.wait(1.5)
    call.echo_all()
    closed(call)
    assert not call.entries(entries.BotSaid)[-1].interrupted
    assert len(call.all(LetGo)) == 1
    assert call.entries(entries.LineClosed) == [entries.LineClosed("transferred")]


def test_model_that_is_gone_before_the_goodbye_keeps_nobody() -> None:
    call = talking(WORDS)
    call.ends(TELLS, spoke=False)
    call.feed(ports.ModelLost("closed", False))
    closed(call)
    assert len(call.all(LetGo)) == 1
    assert call.entries(entries.LineClosed) == [entries.LineClosed("transferred")]


def test_caller_who_hangs_up_during_the_goodbye_is_not_transferred() -> None:
    call = asked()
    call.wait(0.5)
    call.feed(ports.CallerLeft("hangup"))
    call.wait(60)
    assert [one.reason for one in call.all(Finish)] == ["caller_hung_up"]
    assert call.all(LetGo) == []


def test_stream_that_breaks_during_the_goodbye_lets_the_call_go_on() -> None:
    call = asked()
    call.wait(0.5)
    assert steps(call.feed(ports.CallerLeft("lost")))[-3:] == ["LegLost", "CloseLeg", "LetGo"]
    assert call.entries(TransferBegan) and not call.entries(entries.LineClosed)


@pytest.mark.parametrize("stop", ["hand_over", "abandon"])
def test_process_that_stops_during_the_goodbye(stop: str) -> None:
    call = asked()
    call.wait(0.5)
    if stop == "hand_over":
        assert steps(call._keep(call.core.hand_over(call.now)))[-1] == "LetGo"
    else:
        call._keep(call.core.abandon("shutdown", call.now))
        assert [one.reason for one in call.all(Finish)] == ["shutdown"]
