"""An answering machine takes our call: what is said to it, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.call.test_core import MS, Call, flow, only
from voicebot.audio.formats import AudioFormat
from voicebot.call import entries, ports
from voicebot.call.clips import ClipCache, clip_key
from voicebot.call.core import CLOSING_LIMIT_S, CallCore, Stage
from voicebot.call.events import AnswererFound, Finish, Journal
from voicebot.call.past import Past
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import PhaseEntered
from voicebot.engine.events import CallContext
from voicebot.flow.model import Flow, LeaveMessage, Say

MESSAGE = "Please call us back."
BEEP = AnswererFound(entries.AnswererKnown("machine_end_beep", 9_450))


def leaving(message: str | None = MESSAGE) -> Flow:
    return replace(flow(None), on_voicemail=LeaveMessage(message) if message else None)


def cache(text: str = MESSAGE) -> ClipCache:
    clips = ClipCache()
    key = clip_key(text, voice="marin", language="en", model="m", audio_format=AudioFormat.PCM16_24K)
    clips.put(key, b"\1" * (1000 * MS))
    return clips


def answered(of: Flow, clips: ClipCache | None = None) -> Call:
    """A call whose model greets whoever has answered."""
    call = Call(of=of, clips=clips)
    call.prepare()
    call.feed(ports.ModelReady())
    call.connect()
    call.says("Hello, this is the practice.")
    return call


def test_machine_stops_the_bot_and_hears_the_message() -> None:
    call = answered(leaving(), cache())
    effects = call.feed(BEEP)
    assert only(effects, ports.ClearPlayback)
    assert only(effects, ports.CancelReply)
    assert only(effects, ports.PlayAudio)
    call.ends(status="cancelled")
    call.wait(0.5)
    assert call.core.stage is Stage.CLOSING
    call.echo_all()
    assert call.core.stage is not Stage.CLOSING
    assert call.entries(entries.BotSaid)[-1].text == MESSAGE
    assert not call.entries(entries.BotSaid)[-1].interrupted
    call.wait(10)
    assert call.all(Finish) == [Finish("voicemail")]


def test_nothing_is_said_to_a_machine_but_the_message() -> None:
    call = answered(leaving(), cache())
    call.feed(ports.SpeechStarted("u1", 0))  # its greeting
    call.feed(BEEP)
    replies = len(call.all(ports.Reply))
    call.feed(ports.SpeechStopped("u1", 500), ports.TurnCommitted("u1"), ports.SpeechStarted("u2", 900))
    call.feed(ports.CallerTranscript("u1", "Please speak after the tone."))
    call.ends(status="cancelled")
    call.echo_all()
    call.wait(10)
    assert len(call.all(ports.Reply)) == replies
    assert call.entries(entries.BotSaid)[-1].text == MESSAGE
    assert call.all(Finish) == [Finish("voicemail")]


def test_message_is_rendered_if_it_is_not_yet() -> None:
    call = answered(leaving())
    effects = call.feed(BEEP)
    [render] = [one for one in only(effects, ports.RenderClip) if one.text == MESSAGE]
    call.ends(status="cancelled")
    assert only(call.feed(ports.ClipRendered(render.key, b"\1" * (800 * MS), MESSAGE)), ports.PlayAudio)
    call.echo_all()
    call.wait(10)
    assert call.all(Finish) == [Finish("voicemail")]


def test_message_that_cannot_be_had_is_not_made_up() -> None:
    call = answered(leaving())
    call.feed(BEEP)
    call.ends(status="cancelled")
    replies = len(call.all(ports.Reply))
    for _ in range(3):
        for render in call.all(ports.RenderClip):
            call.feed(ports.ClipFailed(render.key, "no"))
    call.wait(CLOSING_LIMIT_S + 10)
    assert len(call.all(ports.Reply)) == replies
    assert call.all(Finish) == [Finish("voicemail")]


def test_model_that_goes_meanwhile_leaves_the_message_alone() -> None:
    call = answered(leaving(), cache())
    call.feed(BEEP)
    call.feed(ports.ModelLost("gone", False))
    call.echo_all()
    call.wait(30)
    assert call.entries(entries.BotSaid)[-1].text == MESSAGE
    assert call.all(Finish) == [Finish("voicemail")]


@pytest.mark.parametrize(
    ("of", "by"),
    [(leaving(None), "machine_end_beep"), (leaving(), "fax")],
)
def test_machine_without_a_message_is_put_down(of: Flow, by: entries.AnsweredBy) -> None:
    call = answered(of, cache())
    effects = call.feed(AnswererFound(entries.AnswererKnown(by, 3_000)))
    assert only(effects, ports.CloseLeg)
    call.wait(10)
    assert call.all(Finish) == [Finish("voicemail")]


@pytest.mark.parametrize("by", ["human", "unknown"])
def test_conversation_goes_on_with_whoever_is_no_machine(by: entries.AnsweredBy) -> None:
    call = answered(leaving(), cache())
    effects = call.feed(AnswererFound(entries.AnswererKnown(by, 3_000)))
    assert not only(effects, ports.ClearPlayback)
    assert call.core.stage is Stage.TALKING
    assert call.entries(entries.AnswererKnown) == [entries.AnswererKnown(by, 3_000)]


def test_message_may_not_be_stopped_by_what_the_machine_plays() -> None:
    assert leaving().message == Say(MESSAGE, interruptible=False)


def test_message_is_left_by_whoever_goes_on_with_the_call() -> None:
    """Whoever had the call died while the machine listened: what it heard of the message does not count."""
    opened = entries.CallOpened("visit", "v1", "{}", None, None, "outbound")
    lines = (opened, entries.CallerConnected("MZ0"), PhaseEntered("who", None, "start"), BEEP.entry)
    past = Past(tuple((1000 * number, entry) for number, entry in enumerate(lines)), len(lines), 5_000)
    context = CallContext("CA0", "+15550100000", "+15550199999", datetime(2026, 1, 2, tzinfo=UTC), "outbound")
    engine = PhaseEngine(leaving(), context)
    core = CallCore(engine, audio_format=AudioFormat.PCM16_24K, clips=cache(), model="m", past=past)
    core.resume(2, 100.0)
    effects = core.connect("MZ1", 100.5)
    assert only(effects, ports.PlayAudio)
    for mark in only(effects, ports.SendMark):
        effects += core.handle(ports.MarkPlayed(mark.name), 101.5)
    said = [one.entry for one in only(effects, Journal) if isinstance(one.entry, entries.BotSaid)]
    assert [one.text for one in said] == [MESSAGE]
    assert only(effects, ports.CloseLeg)
