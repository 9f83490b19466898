"""A call that waits for somebody who types."""

from __future__ import annotations

from dataclasses import replace

from tests.chat.chat_flows import visit
from tests.fakes import CALL_SID, START
from voicebot.audio.formats import AudioFormat
from voicebot.call import ports
from voicebot.call.entries import CallEnded, CallOpened, Entry, kind_of
from voicebot.call.events import Effect, Event, ReconnectModel, StartTool
from voicebot.chat.patience import PatientCore, unhurried
from voicebot.engine.events import CallContext, ToolFinished
from voicebot.flow import Flow, Limits, PhaseLimits

CONTEXT = CallContext(CALL_SID, None, None, START)


class Call:
    """A core and what it told; marks come back at once, statements are rendered at once."""

    def __init__(self, flow: Flow | None = None) -> None:
        self.now, self.entries, self.effects = 100.0, list[Entry](), list[Effect]()
        self.listened = list[bool]()
        self.core = PatientCore(
            flow or visit(),
            CONTEXT,
            audio_format=AudioFormat.PCMU_8K,
            model="gpt-realtime-2.1",
            on_entry=self.entries.append,
            on_step=lambda: self.listened.append(self.core.listening),
        )
        self.perform(self.core.prepare(CallOpened("visit", "v", "{}", None, None, "inbound"), self.now))
        self.perform(self.core.connect("chat", self.now))
        self.take(ports.ModelReady())

    def take(self, *events: Event) -> None:
        for event in events:
            self.perform(self.core.handle(event, self.now))

    def perform(self, effects: list[Effect]) -> None:
        self.effects += effects
        for effect in effects:
            if isinstance(effect, ports.RenderClip):
                self.take(ports.ClipRendered(effect.key, b"\xff" * 800, effect.text))
            elif isinstance(effect, ports.SendMark):
                self.take(ports.MarkPlayed(effect.name))
            elif isinstance(effect, ReconnectModel):  # its session has come to its end: another one is there at once
                self.take(ports.ModelReady())

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.core.deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            self.perform(self.core.on_deadline(self.now))
        self.now = end

    def of(self, kind: type[Effect]) -> list[Effect]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def reply(self, text: str = "", *calls: ports.ToolCall) -> None:
        """The reply that was asked for last comes."""
        asked = self.of(ports.Reply)[-1]
        assert isinstance(asked, ports.Reply)
        reply_id = asked.reply_id
        if text:
            item_id = f"item-{reply_id}"
            self.take(ports.ReplyWords(reply_id, item_id, text, final=True))
            self.take(ports.ReplyAudio(reply_id, item_id, b"\xff" * 80), ports.ReplyAudioEnded(reply_id, item_id))
        self.take(ports.ReplyEnded(reply_id, "completed", calls, bool(text)))

    @property
    def kinds(self) -> list[str]:
        return [kind_of(entry) for entry in self.entries]


def test_limits_in_time_are_lifted_and_those_in_turns_stay() -> None:
    both = PhaseLimits(turns=3, duration="20s", then="bye")
    timed = PhaseLimits(duration="20s", exact=True, then="bye")
    plain = visit()
    phases = [replace(phase, limits=limits) for phase, limits in zip(plain.phases, (both, timed, None), strict=True)]
    flow = unhurried(
        visit(phases=phases, limits=Limits(duration="30s", phase=PhaseLimits(turns=9, duration="1m", then="bye")))
    )
    assert [phase.limits for phase in flow.phases] == [PhaseLimits(turns=3, then="bye"), None, None]
    assert (flow.limits.duration, flow.limits.phase) == (4 * 3600, PhaseLimits(turns=9, then="bye"))
    assert flow.limits.silence == plain.limits.silence or len(flow.limits.silence) == 3


def test_flow_keeps_everything_else() -> None:
    flow = visit()
    patient = unhurried(flow)
    assert replace(patient, limits=flow.limits, phases=flow.phases) == flow


def test_hours_of_silence_are_not_noticed() -> None:
    call = Call()
    call.wait(3 * 3600)
    assert call.core.listening
    assert "silence_noticed" not in call.kinds
    assert "call_ended" not in call.kinds


def test_silence_that_is_wanted_climbs_one_rung() -> None:
    call = Call()
    assert call.core.want_silence()
    assert not call.core.listening
    call.take(ports.MarkPlayed("silence"))
    call.wait(0)
    assert call.kinds.count("silence_noticed") == 1
    call.reply("Are you there?")
    call.wait(3600)
    assert call.kinds.count("silence_noticed") == 1
    assert call.core.listening


def test_ladder_ends_as_the_flow_says() -> None:
    call = Call()
    for _ in range(2):
        assert call.core.want_silence()
        call.wait(0)
        call.reply("Are you there?")
    call.wait(100)
    assert [entry.reason for entry in call.entries if isinstance(entry, CallEnded)] == ["silence"]


def test_no_rung_is_left_above_the_ladder() -> None:
    call = Call(visit(limits=Limits(silence=[])))
    assert not call.core.want_silence()
    assert call.core.listening


def test_words_begin_the_ladder_anew() -> None:
    call = Call()
    call.core.want_silence()
    call.wait(0)
    call.reply("Are you there?")
    call.take(ports.CallerWrote("Yes"))
    call.reply("Good. Your name?")
    call.core.want_silence()
    call.wait(0)
    assert call.kinds.count("silence_noticed") == 2
    assert "call_ended" not in call.kinds


def test_caller_is_listened_to_only_when_nothing_is_owed() -> None:
    call = Call()
    assert call.core.listening
    call.take(ports.CallerWrote("Ada"))
    assert not call.core.listening
    call.reply("", ports.ToolCall("c1", "tables", '{"people": 2}'))
    assert not call.core.listening
    [tool] = call.of(StartTool)
    assert isinstance(tool, StartTool)
    call.take(ToolFinished(tool.call_id, "[]", True))
    assert not call.core.listening
    call.reply("For how many?")
    assert call.core.listening
    call.take(ports.CallerLeft("hangup"))
    assert not call.core.listening


def test_failed_reply_keeps_the_turn() -> None:
    call = Call()
    call.take(ports.CallerWrote("Ada"))
    asked = call.of(ports.Reply)[-1]
    assert isinstance(asked, ports.Reply)
    call.take(ports.ReplyEnded(asked.reply_id, "failed", error_code="server_error", error="oops"))
    assert not call.core.listening
    call.wait(1)
    call.reply("For how many?")
    assert call.core.listening


def test_entries_are_told_in_order_before_the_turn_is() -> None:
    told = list[str]()
    core = PatientCore(
        visit(),
        CONTEXT,
        audio_format=AudioFormat.PCMU_8K,
        model="m",
        on_entry=lambda entry: told.append(kind_of(entry)),
        on_step=lambda: told.append("step"),
    )
    core.prepare(CallOpened("visit", "v", "{}", None, None, "inbound"), 0.0)
    core.connect("chat", 0.0)
    assert told[:4] == ["call_opened", "step", "caller_connected", "phase_entered"]
    assert told[-1] == "step"
