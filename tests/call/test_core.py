"""The call core by itself: events in, effects out, a `now` that the test moves."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal, TypeVar, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.audio.formats import AudioFormat
from voicebot.call import entries, ports
from voicebot.call.clips import ClipCache
from voicebot.call.core import CLOSING_LIMIT_S, COMMIT_LIMIT_S, FAREWELL_LIMIT_S, CallCore, Stage
from voicebot.call.events import Effect, Event, Finish, Journal, ReconnectModel, StartTool
from voicebot.call.playback import LOST_MARK_GRACE_S
from voicebot.call.replying import RETRY_DELAYS_S
from voicebot.engine import entries as engine_entries
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import ObservationRecorded, ObservationWithdrawn, PhaseEntered, ToolStarted
from voicebot.engine.events import CallContext, ToolFinished
from voicebot.flow import After, AskAgain, Flow, HangUp, Limits, Observations, Phase, Say, To, ask, it, tool

E = TypeVar("E")
MS = 48  # bytes of PCM16 at 24 kHz
OPENING = "Good morning, practice of Doctor Rossi."


class Visit(Observations):
    name: str = ask("the caller's name")
    reason: str = ask("why they call")


@tool
def opening_hours(day: str) -> str:
    """When we are open."""
    return "nine to five"


def flow(opening: Say | str | None = None, **limits: object) -> Flow:
    return Flow(
        goal="Find out who calls.",
        observations=Visit,
        opening=opening,  # type: ignore[arg-type]
        limits=Limits(**limits),  # type: ignore[arg-type]
        tools_everywhere=(opening_hours,),
        phases=(
            Phase("who", instructions="Ask who.", observations=(it.name,), transitions=(To("why"),)),  # type: ignore[arg-type]
            Phase("why", instructions="Ask why.", observations=(it.reason,), transitions=(To("bye"),)),  # type: ignore[arg-type]
            Phase("bye", instructions="Say goodbye.", end=HangUp()),
        ),
    )


NAME = ports.ToolCall("c1", "record", '{"name": {"value": "Ada", "quote": "I am Ada"}}')
REASON = ports.ToolCall("c2", "record", '{"reason": {"value": "tooth", "quote": "my tooth"}}')
HOURS = ports.ToolCall("c3", "opening_hours", '{"day": "Monday"}')
ENDS = ports.ToolCall("c4", "end_call", '{"reason": "caller_wants_to_stop"}')


class Call:
    """A call under test. `done` holds every effect so far; `feed` returns those of one event."""

    def __init__(
        self,
        opening: Say | str | None = None,
        clips: ClipCache | None = None,
        *,
        of: Flow | None = None,
        passes_on: bool = False,
        **limits: object,
    ) -> None:
        context = CallContext("CA0", "+15550100000", "+15550199999", datetime(2026, 1, 2, tzinfo=UTC))
        self.core = CallCore(
            PhaseEngine(of or flow(opening, **limits), context),
            audio_format=AudioFormat.PCM16_24K,
            clips=clips or ClipCache(),
            model="m",
            passes_on=passes_on,
        )
        self.now = 100.0
        self.done: list[Effect] = []
        self.turns = 0
        self.items = 0

    def _keep(self, effects: list[Effect]) -> list[Effect]:
        self.done += effects
        return effects

    def prepare(self) -> list[Effect]:
        opened = entries.CallOpened("visit", "v1", "{}", None, None, "inbound")
        return self._keep(self.core.prepare(opened, self.now))

    def connect(self) -> list[Effect]:
        return self._keep(self.core.connect("MZ0", self.now))

    def feed(self, *events: Event) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            effects += self._keep(self.core.handle(event, self.now))
        return effects

    def wait(self, seconds: float) -> list[Effect]:
        """Let time pass, with every deadline kept."""
        until, effects = self.now + seconds, []
        while (due := self.core.deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            effects += self._keep(self.core.on_deadline(self.now))
        self.now = until
        return effects

    def speak(self) -> list[Effect]:
        """The caller takes a whole turn."""
        self.turns += 1
        item_id = f"u{self.turns}"
        return self.feed(
            ports.SpeechStarted(item_id, 0), ports.SpeechStopped(item_id, 500), ports.TurnCommitted(item_id)
        )

    @property
    def reply_id(self) -> str:
        """The id of the reply asked for last."""
        return self.all(ports.Reply)[-1].reply_id

    def says(self, text: str, ms: int = 1000, item_id: str | None = None) -> list[Effect]:
        """The reply under way speaks one message, whole."""
        self.items += 1
        item_id = item_id or f"a{self.items}"
        return self.feed(
            ports.ReplyWords(self.reply_id, item_id, text, final=True),
            ports.ReplyAudio(self.reply_id, item_id, b"\1" * (ms * MS)),
            ports.ReplyAudioEnded(self.reply_id, item_id),
        )

    def ends(self, *calls: ports.ToolCall, status: str = "completed", spoke: bool = True) -> list[Effect]:
        return self.feed(ports.ReplyEnded(self.reply_id, status, calls, spoke))  # type: ignore[arg-type]

    def echo_all(self) -> list[Effect]:
        """The phone has played everything: every mark comes back."""
        effects: list[Effect] = []
        echoed = getattr(self, "_echoed", set())
        for mark in self.all(ports.SendMark):
            if mark.name not in echoed:
                echoed.add(mark.name)
                effects += self.feed(ports.MarkPlayed(mark.name))
        self._echoed = echoed
        return effects

    def all(self, kind: type[E]) -> list[E]:
        return only(self.done, kind)

    def entries(self, kind: type[E]) -> list[E]:
        return [one.entry for one in self.all(Journal) if isinstance(one.entry, kind)]


def only(effects: list[Effect], kind: type[E]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


def kinds(effects: list[Effect]) -> list[str]:
    """The commands among effects, by name, in order; journal entries left out."""
    return [type(effect).__name__ for effect in effects if not isinstance(effect, Journal)]


def talking(**limits: object) -> Call:
    """A call whose greeting was said, heard and ended."""
    call = Call(**limits)  # type: ignore[arg-type]
    call.prepare()
    call.connect()
    call.says("Hello?")
    call.ends()
    call.wait(1.0)
    call.echo_all()
    return call


# ---- the opening ----------------------------------------------------------------------------------------------------


def test_opening_is_rendered_while_the_line_connects() -> None:
    call = Call(OPENING)
    [clip] = only(call.prepare(), ports.RenderClip)
    assert clip.text == OPENING
    played = call.feed(ports.ClipRendered(clip.key, b"\1" * (900 * MS), OPENING))
    assert kinds(played) == []
    effects = call.connect()
    assert kinds(effects)[:2] == ["Configure", "SendMark"]
    assert sum(len(one.payload) for one in only(effects, ports.PlayAudio)) == 900 * MS
    assert only(effects, ports.Reply) == []


def test_opening_waits_for_its_rendering() -> None:
    call = Call(OPENING)
    [clip] = only(call.prepare(), ports.RenderClip)
    assert "PlayAudio" not in kinds(call.connect())
    assert "PlayAudio" in kinds(call.feed(ports.ClipRendered(clip.key, b"\1" * 4800, OPENING)))


def test_rendered_opening_serves_the_next_call() -> None:
    clips = ClipCache()
    first = Call(OPENING, clips)
    [clip] = only(first.prepare(), ports.RenderClip)
    first.feed(ports.ClipRendered(clip.key, b"\1" * 4800, OPENING))
    second = Call(OPENING, clips)
    assert only(second.prepare(), ports.RenderClip) == []
    assert "PlayAudio" in kinds(second.connect())


def test_misread_opening_is_rendered_again_then_left_to_the_model() -> None:
    call = Call(OPENING)
    [clip] = only(call.prepare(), ports.RenderClip)
    call.connect()
    again = call.feed(ports.ClipRendered(clip.key, b"\1" * 4800, "Good morning, practice of Doctor"))
    assert kinds(again) == ["RenderClip"]
    given_up = call.feed(ports.ClipRendered(clip.key, b"\1" * 4800, "Good evening"))
    assert kinds(given_up) == ["InsertNote", "Reply"]
    assert OPENING in only(given_up, ports.InsertNote)[0].text
    assert len(call.entries(entries.StatementNotRendered)) == 1


def test_heard_opening_is_told_to_the_model() -> None:
    call = Call(OPENING)
    [clip] = only(call.prepare(), ports.RenderClip)
    call.connect()
    call.feed(ports.ClipRendered(clip.key, b"\1" * 4800, OPENING))
    call.wait(0.2)
    assert only(call.echo_all(), ports.InsertSaid) == [ports.InsertSaid(OPENING)]
    [said] = call.entries(entries.BotSaid)
    assert said.exact and said.heard_text == OPENING


def test_interrupted_opening_is_told_as_heard() -> None:
    call = Call(OPENING)
    [clip] = only(call.prepare(), ports.RenderClip)
    call.connect()
    call.feed(ports.ClipRendered(clip.key, b"\1" * (2000 * MS), OPENING))
    call.feed(ports.MarkPlayed(call.all(ports.SendMark)[0].name))
    call.wait(1.0)
    effects = call.feed(ports.SpeechStarted("u1", 0))
    assert kinds(effects) == ["ClearPlayback", "InsertSaid"]
    heard = only(effects, ports.InsertSaid)[0].text
    assert OPENING.startswith(heard) and 5 < len(heard) < len(OPENING)


def test_uninterruptible_opening_plays_on() -> None:
    call = Call(Say(OPENING, interruptible=False))
    [clip] = only(call.prepare(), ports.RenderClip)
    call.connect()
    call.feed(ports.ClipRendered(clip.key, b"\1" * (2000 * MS), OPENING))
    effects = call.speak()
    assert "ClearPlayback" not in kinds(effects)
    assert kinds(effects) == ["InsertSaid", "Reply"]


def test_failed_rendering_is_tried_again_then_left_to_the_model() -> None:
    call = Call(OPENING)
    [clip] = only(call.prepare(), ports.RenderClip)
    call.connect()
    assert kinds(call.feed(ports.ClipFailed(clip.key, "timeout"))) == ["RenderClip"]
    assert kinds(call.feed(ports.ClipFailed(clip.key, "timeout"))) == ["InsertNote", "Reply"]
    assert call.entries(entries.StatementNotRendered) == [entries.StatementNotRendered(OPENING, "timeout")]


def test_rendering_without_audio_is_no_rendering() -> None:
    call = Call(Say(OPENING, interruptible=False))
    [clip] = only(call.prepare(), ports.RenderClip)
    call.connect()
    assert kinds(call.feed(ports.ClipRendered(clip.key, b"", OPENING))) == ["RenderClip"]
    assert not call.core.speaker.uninterruptible


def test_rendering_given_up_before_the_call_is_asked_for_anew() -> None:
    call = Call(OPENING)
    [clip] = only(call.prepare(), ports.RenderClip)
    call.feed(ports.ClipFailed(clip.key, "no session"), ports.ClipFailed(clip.key, "no session"))
    assert call.entries(entries.StatementNotRendered) == []
    assert [one.key for one in only(call.connect(), ports.RenderClip)] == [clip.key]


def test_rendering_nobody_waits_for_is_ignored() -> None:
    call = talking()
    assert call.feed(ports.ClipRendered("key", b"x", "words"), ports.ClipFailed("key", "late")) == []


def test_caller_who_speaks_first_hears_the_opening_then_an_answer() -> None:
    call = Call(OPENING)
    [clip] = only(call.prepare(), ports.RenderClip)
    call.connect()
    call.feed(ports.SpeechStarted("u1", 0))
    assert kinds(call.feed(ports.ClipRendered(clip.key, b"\1" * 4800, OPENING))) == []
    effects = call.feed(ports.SpeechStopped("u1", 300), ports.TurnCommitted("u1"))
    assert kinds(effects) == ["SendMark", "PlayAudio", "PlayAudio", "SendMark", "InsertSaid", "Reply"]


def test_uninterruptible_opening_begins_while_the_caller_speaks() -> None:
    call = Call(Say(OPENING, interruptible=False))
    [clip] = only(call.prepare(), ports.RenderClip)
    call.connect()
    call.feed(ports.SpeechStarted("u1", 0))
    assert "PlayAudio" in kinds(call.feed(ports.ClipRendered(clip.key, b"\1" * 4800, OPENING)))


def test_reply_that_follows_the_opening_knows_it() -> None:
    call = Call(Say(OPENING, interruptible=False))
    [clip] = only(call.prepare(), ports.RenderClip)
    call.connect()
    call.feed(ports.ClipRendered(clip.key, b"\1" * (2000 * MS), OPENING))
    call.speak()
    call.wait(2.0)
    assert call.echo_all() != []
    assert call.all(ports.InsertSaid) == [ports.InsertSaid(OPENING)]


def test_closed_practice_says_so_and_hangs_up() -> None:
    closed = Flow(goal="Say that we are closed.", opening=OPENING, phases=(Phase("closed", end=HangUp()),))  # type: ignore[arg-type]
    call = Call(of=closed)
    [clip] = only(call.prepare(), ports.RenderClip)
    call.connect()
    assert "Reply" in kinds(call.feed(ports.ClipRendered(clip.key, b"\1" * 4800, OPENING)))
    call.says("Goodbye!")
    call.ends()
    call.wait(1.2)
    assert "CloseLeg" in kinds(call.echo_all())
    call.feed(ports.CallerLeft("hangup"))
    assert call.all(Finish) == [Finish("completed")]


def test_without_an_opening_the_model_greets() -> None:
    call = Call()
    call.prepare()
    assert kinds(call.connect()) == ["Configure", "InsertNote", "Reply"]


# ---- turns ----------------------------------------------------------------------------------------------------------


def test_turn_is_answered_once() -> None:
    call = talking()
    effects = call.speak()
    assert kinds(effects) == ["Reply"]
    assert call.says("Hello.") and call.ends() is not None
    assert len(call.all(ports.Reply)) == 2  # the greeting and this


def test_audio_passes_while_the_line_is_open() -> None:
    call = talking()
    assert call.feed(ports.CallerAudio(b"x")) == [ports.AppendAudio(b"x")]
    call.feed(ports.CallerLeft("hangup"))
    assert call.feed(ports.CallerAudio(b"x")) == []


def test_answers_go_before_configuration_before_one_reply() -> None:
    call = talking()
    call.speak()
    effects = call.ends(NAME, spoke=False)
    assert kinds(effects) == ["AnswerTool", "Configure", "Reply"]
    assert "Ask why." in only(effects, ports.Reply)[0].instructions
    assert [entry.phase for entry in call.entries(PhaseEntered)] == ["who", "why"]


def test_several_calls_of_one_response_are_decided_together() -> None:
    call = talking()
    call.speak()
    both = ports.ToolCall("c9", "record", '{"reason": {"value": "tooth", "quote": "my tooth"}}')
    effects = call.ends(NAME, both, spoke=False)
    assert kinds(effects) == ["AnswerTool", "AnswerTool", "Configure", "Reply"]
    assert [entry.name for entry in call.entries(ObservationRecorded)] == ["name"]  # `reason` was not open yet


def test_journal_holds_every_function_and_its_answer() -> None:
    call = talking()
    call.speak()
    call.ends(NAME, HOURS, spoke=False)
    call.feed(ToolFinished("c3", "nine to five", True))
    assert call.entries(entries.FunctionCalled) == [
        entries.FunctionCalled("c1", "record", NAME.arguments),
        entries.FunctionCalled("c3", "opening_hours", HOURS.arguments),
    ]
    answered = call.entries(entries.FunctionAnswered)
    assert [one.call_id for one in answered] == ["c1", "c3"]
    assert answered[1].output == "nine to five"


def test_record_beside_end_call_is_kept() -> None:
    call = talking()
    call.speak()
    call.says("Goodbye, Ada!")
    call.ends(ENDS, NAME)
    assert [entry.name for entry in call.entries(ObservationRecorded)] == ["name"]
    assert call.core.stage is Stage.CLOSING


def test_tool_is_awaited_before_the_reply() -> None:
    call = talking()
    call.speak()
    started = call.ends(HOURS, spoke=False)
    assert kinds(started) == ["StartTool"]
    assert only(started, StartTool)[0].arguments == {"day": "Monday"}
    finished = call.feed(ToolFinished("c3", "nine to five", True))
    assert kinds(finished) == ["AnswerTool", "Reply"]


def test_second_turn_waits_for_the_late_end_of_the_cancelled_reply() -> None:
    call = talking()
    call.speak()
    call.feed(ports.ReplyAudio(call.reply_id, "a2", b"\1" * (500 * MS)))
    assert kinds(call.feed(ports.SpeechStarted("u2", 0))) == ["CancelReply", "ClearPlayback", "Truncate"]
    assert call.feed(ports.SpeechStopped("u2", 300), ports.TurnCommitted("u2")) != []
    assert len(call.all(ports.Reply)) == 2
    late = call.ends(NAME, status="cancelled")
    assert kinds(late) == ["AnswerTool", "Configure", "Reply"]
    assert len(call.all(ports.Reply)) == 3


def test_late_audio_of_a_cancelled_reply_is_dropped() -> None:
    call = talking()
    call.speak()
    reply_id = call.reply_id
    call.feed(ports.ReplyAudio(reply_id, "a2", b"\1" * 4800), ports.SpeechStarted("u2", 0))
    late = call.feed(ports.ReplyAudio(reply_id, "a2", b"\1" * 4800), ports.ReplyAudioEnded(reply_id, "a2"))
    assert kinds(late) == []


def test_truncation_never_goes_beyond_what_was_sent() -> None:
    call = talking()
    call.speak()
    call.feed(ports.ReplyAudio(call.reply_id, "a2", b"\1" * (500 * MS)))
    call.feed(*[ports.MarkPlayed(mark.name) for mark in call.all(ports.SendMark)[-2:]])
    call.wait(3.0)
    [truncate] = only(call.feed(ports.SpeechStarted("u2", 0)), ports.Truncate)
    assert truncate == ports.Truncate("a2", 500)


def test_reply_not_yet_audible_is_cancelled_without_a_clear() -> None:
    call = talking()
    call.speak()
    assert kinds(call.feed(ports.SpeechStarted("u2", 0))) == ["CancelReply"]


def test_turn_that_the_model_never_closes_is_answered() -> None:
    call = talking()
    call.feed(ports.SpeechStarted("u1", 0), ports.SpeechStopped("u1", 500))
    assert kinds(call.wait(COMMIT_LIMIT_S)) == ["Reply"]


def test_response_time_counts_from_the_end_of_speech() -> None:
    call = talking()
    call.speak()
    call.wait(0.7)
    call.says("Hello.")
    [answered] = call.entries(entries.TurnAnswered)
    assert (answered.turn, answered.response_ms) == (1, 700)


def test_every_utterance_not_heard_is_truncated() -> None:
    call = talking()
    call.speak()
    call.says("Of course.", ms=1000, item_id="a-1")
    call.says("And who is calling?", ms=2000, item_id="a-2")
    call.wait(0.0)
    for mark in call.all(ports.SendMark)[-5:]:
        if mark.name.endswith("a-1"):
            call.feed(ports.MarkPlayed(mark.name))
    [begin] = [mark.name for mark in call.all(ports.SendMark) if mark.name.endswith(".0.a-2")]
    call.feed(ports.MarkPlayed(begin))
    call.wait(0.5)
    effects = call.feed(ports.SpeechStarted("u2", 0))
    assert only(effects, ports.Truncate) == [ports.Truncate("a-2", 0)]  # by the clock, the first still plays
    assert kinds(effects) == ["CancelReply", "ClearPlayback", "Truncate"]
    said = call.entries(entries.BotSaid)
    assert [(one.text, one.interrupted) for one in said[-2:]] == [("Of course.", False), ("And who is calling?", True)]


def test_reply_that_has_ended_can_still_be_interrupted() -> None:
    call = talking()
    call.speak()
    call.says("Monday, Tuesday, and Wednesday.", ms=3000, item_id="a-1")
    call.ends()
    call.feed(ports.MarkPlayed(next(mark.name for mark in call.all(ports.SendMark) if mark.name.endswith(".0.a-1"))))
    call.wait(1.0)
    effects = call.feed(ports.SpeechStarted("u2", 0))
    assert kinds(effects) == ["ClearPlayback", "Truncate"]
    assert only(effects, ports.Truncate) == [ports.Truncate("a-1", 1000)]
    said = call.entries(entries.BotSaid)[-1]
    assert (said.heard_text, said.heard_ms, said.sent_ms) == ("Monday,", 1000, 3000)


def test_late_words_of_a_cancelled_reply_are_dropped() -> None:
    call = talking()
    call.speak()
    call.says("Monday", item_id="a-1")
    call.feed(ports.SpeechStarted("u2", 0))
    assert call.feed(ports.ReplyWords(call.reply_id, "a-1", "Monday and Tuesday", final=True)) == []
    assert call.entries(entries.BotSaid)[-1].text == "Monday"


def test_second_start_of_speech_cancels_nothing_twice() -> None:
    call = talking()
    call.speak()
    assert kinds(call.feed(ports.SpeechStarted("u2", 0))) == ["CancelReply"]
    assert call.feed(ports.SpeechStarted("u2", 0)) == []


def test_reply_of_another_id_is_not_heard() -> None:
    call = talking()
    call.speak()
    old = "reply-1"
    heard = call.feed(
        ports.ReplyStarted(old),
        ports.ReplyAudio(old, "a-9", b"\1" * 480),
        ports.ReplyWords(old, "a-9", "old"),
        ports.ReplyAudioEnded(old, "a-9"),
        ports.ReplyEnded(old, "completed", (NAME,), True),
    )
    assert heard == []


def test_preamble_and_call_are_one_reply_and_one_more() -> None:
    call = talking()
    call.speak()
    call.says("One moment.")
    assert kinds(call.ends(HOURS)) == ["StartTool"]
    assert kinds(call.feed(ToolFinished("c3", "nine to five", True))) == ["AnswerTool", "Reply"]


def test_two_tools_are_both_awaited() -> None:
    call = talking()
    call.speak()
    other = ports.ToolCall("c5", "opening_hours", '{"day": "Sunday"}')
    assert kinds(call.ends(HOURS, other, spoke=False)) == ["StartTool", "StartTool"]
    assert kinds(call.feed(ToolFinished("c5", "closed", True))) == ["AnswerTool"]
    assert kinds(call.feed(ToolFinished("c3", "nine to five", True))) == ["AnswerTool", "Reply"]


def test_turn_taken_while_a_tool_works_gets_one_reply() -> None:
    call = talking()
    call.speak()
    call.ends(HOURS, spoke=False)
    assert kinds(call.speak()) == []
    assert kinds(call.feed(ToolFinished("c3", "nine to five", True))) == ["AnswerTool", "Reply"]


def test_tool_that_comes_back_while_the_caller_speaks_waits() -> None:
    call = talking()
    call.speak()
    call.ends(HOURS, spoke=False)
    call.feed(ports.SpeechStarted("u2", 0))
    assert kinds(call.feed(ToolFinished("c3", "nine to five", True))) == ["AnswerTool"]
    assert kinds(call.feed(ports.SpeechStopped("u2", 300), ports.TurnCommitted("u2"))) == ["Reply"]


def test_refused_calls_are_answered_and_replied_to() -> None:
    call = talking()
    call.speak()
    wrong = ports.ToolCall("c6", "rob", "{")
    assert kinds(call.ends(wrong, spoke=False)) == ["AnswerTool", "Reply"]


def test_two_turns_in_a_row_get_one_reply() -> None:
    call = talking()
    call.feed(ports.TurnCommitted("u1"))
    call.feed(ports.TurnCommitted("u2"))
    assert len(call.all(ports.Reply)) == 2  # the greeting's, and one that waits for nothing
    assert kinds(call.ends()) == ["Reply"]
    assert call.ends() == []


def test_turn_closed_late_is_answered_after_the_reply() -> None:
    call = talking()
    call.feed(ports.SpeechStarted("u1", 0), ports.SpeechStopped("u1", 500))
    call.wait(COMMIT_LIMIT_S)
    assert call.feed(ports.TurnCommitted("u1")) != []
    assert kinds(call.ends()) == ["Reply"]


def test_second_phase_of_one_response_is_configured_once() -> None:
    passed = Flow(
        goal="g",
        observations=Visit,
        phases=(
            Phase("who", observations=(it.name,), transitions=(To("again"),)),  # type: ignore[arg-type]
            Phase("again", instructions="Again.", observations=(it.name,), transitions=(To("why"),)),  # type: ignore[arg-type]
            Phase("why", instructions="Ask why.", observations=(it.reason,)),  # type: ignore[arg-type]
        ),
    )
    call = talking(of=passed)
    call.speak()
    effects = call.ends(NAME, spoke=False)
    assert [entry.phase for entry in call.entries(PhaseEntered)] == ["who", "again", "why"]
    assert kinds(effects) == ["AnswerTool", "Configure", "Reply"]
    [configured], [reply] = only(effects, ports.Configure), only(effects, ports.Reply)
    assert (configured.instructions, configured.tools) == (reply.instructions, reply.tools)


# ---- what must be said ----------------------------------------------------------------------------------------------

TOLD = Flow(
    goal="g",
    observations=Visit,
    phases=(
        Phase("who", observations=(it.name,), transitions=(To("told"),)),  # type: ignore[arg-type]
        Phase(
            "told",
            must_say=(Say("Thank you, {name}. This call is recorded.", name="notice"),),
            transitions=(To("why"),),
        ),
        Phase("why", instructions="Ask why.", observations=(it.reason,)),  # type: ignore[arg-type]
    ),
)
NOTICE = "Thank you, Ada. This call is recorded."


def telling() -> tuple[Call, list[Effect]]:
    """The notice has been asked for, and its audio is here."""
    call = talking(of=TOLD)
    call.speak()
    [clip] = only(call.ends(NAME, spoke=False), ports.RenderClip)
    assert clip.text == NOTICE
    return call, call.feed(ports.ClipRendered(clip.key, b"\1" * (2000 * MS), NOTICE))


def phases(call: Call) -> list[str]:
    return [entry.phase for entry in call.entries(PhaseEntered)]


def test_phase_waits_until_its_statement_was_heard() -> None:
    call, effects = telling()
    assert "Reply" not in kinds(effects)  # it would be the second before the caller can answer
    call.wait(2.0)
    assert phases(call) == ["who", "told"]
    effects = call.echo_all()
    assert phases(call) == ["who", "told", "why"]
    assert kinds(effects) == ["InsertSaid", "Configure", "Reply"]


def test_statement_that_was_talked_over_is_said_again() -> None:
    call, _ = telling()
    call.ends()
    call.feed(ports.MarkPlayed(call.all(ports.SendMark)[-7].name))
    call.wait(1.0)
    assert "ClearPlayback" in kinds(call.feed(ports.SpeechStarted("u2", 0)))
    assert phases(call) == ["who", "told"]
    effects = call.feed(ports.SpeechStopped("u2", 300), ports.TurnCommitted("u2"))
    assert "RenderClip" not in kinds(effects)
    assert sum(len(one.payload) for one in only(effects, ports.PlayAudio)) == 2000 * MS
    call.wait(2.0)
    call.echo_all()
    assert phases(call) == ["who", "told", "why"]


def test_statement_whose_last_mark_is_lost_was_not_heard() -> None:
    call, _ = telling()
    call.ends()
    call.wait(2.0 + LOST_MARK_GRACE_S)
    assert phases(call) == ["who", "told"]


def test_statement_that_cannot_be_rendered_was_not_heard() -> None:
    call = talking(of=TOLD)
    call.speak()
    [clip] = only(call.ends(NAME, spoke=False), ports.RenderClip)
    call.feed(ports.ClipFailed(clip.key, "timeout"))
    effects = call.feed(ports.ClipFailed(clip.key, "timeout"))
    assert kinds(effects) == ["InsertNote", "Reply"]
    call.says(NOTICE)
    call.ends()
    call.wait(1.0)
    call.echo_all()
    assert phases(call) == ["who", "told"]


# ---- what is written down -------------------------------------------------------------------------------------------


def test_transcripts_are_kept_whenever_they_come() -> None:
    call = talking()
    call.speak()
    call.feed(ports.TranscriptFailed("u1", "no words"))
    call.speak()
    call.says("Hello.")
    call.feed(ports.CallerTranscript("u2", "I am Ada."))
    assert call.entries(engine_entries.CallerUnclear) == [engine_entries.CallerUnclear("u1", "no words")]
    assert call.entries(engine_entries.CallerSaid) == [engine_entries.CallerSaid("u2", "I am Ada.")]


def test_keys_are_written_down() -> None:
    call = talking()
    assert call.feed(ports.KeyPressed("#")) == [Journal(entries.KeyPress("#"), durable=False)]


def test_session_of_the_model_is_written_down() -> None:
    call = Call()
    assert call.feed(ports.ModelReady(1.0)) == [Journal(entries.ModelConnected("m"), durable=False)]


def test_tokens_are_written_down() -> None:
    call = talking()
    call.speak()
    usage = ports.Usage(1, 2, 3, 4, 5, 6)
    call.feed(ports.ReplyEnded(call.reply_id, "completed", spoke=True, usage=usage))
    assert call.entries(entries.TokensSpent) == [entries.TokensSpent(1, 2, 3, 4, 5, 6)]


def test_only_the_first_sound_answers_a_turn() -> None:
    call = talking()
    call.speak()
    call.wait(0.25)
    call.says("Of course.")
    call.wait(1.0)
    call.says("Who is calling?")
    assert call.entries(entries.TurnAnswered) == [entries.TurnAnswered(1, 250)]


def test_turn_without_end_of_speech_counts_from_its_commit() -> None:
    call = talking()
    call.feed(ports.SpeechStarted("u1", 0), ports.SpeechStopped("u1", 100), ports.TurnCommitted("u1"))
    call.says("Yes?")
    call.ends()
    call.wait(5.0)
    call.feed(ports.TurnCommitted("u2"))
    call.wait(0.5)
    call.says("Go on.")
    assert [one.response_ms for one in call.entries(entries.TurnAnswered)] == [0, 500]


def test_what_others_depend_on_is_durable() -> None:
    call = at_goodbye()
    call.feed(ports.CallerLeft("hangup"), ports.CallerTranscript("u1", "Bye."))
    call.ends()
    durable = {type(one.entry).__name__ for one in call.all(Journal) if one.durable}
    assert durable == {"CallOpened", "PhaseEntered", "ClosingBegan", "CallEnded"}
    assert Journal(ToolStarted("c3", "opening_hours", HOURS.arguments), durable=True) in _with_a_tool().all(Journal)


def _with_a_tool() -> Call:
    call = talking()
    call.speak()
    call.ends(HOURS, spoke=False)
    return call


def test_refused_configuration_changes_nothing() -> None:
    assert talking().feed(ports.ConfigurationRejected("no"), ports.ReplyStarted("reply-1")) == []


# ---- failures -------------------------------------------------------------------------------------------------------


def failed(call: Call) -> ports.ReplyEnded:
    return ports.ReplyEnded(call.reply_id, "failed", error_code="server_error", error="boom")


def test_failed_reply_is_asked_for_again_after_a_pause() -> None:
    call = talking()
    call.speak()
    assert kinds(call.feed(failed(call))) == []
    assert kinds(call.wait(RETRY_DELAYS_S[0])) == ["Reply"]


def test_model_that_only_fails_ends_the_call() -> None:
    call = talking()
    call.speak()
    for delay_s in RETRY_DELAYS_S:
        call.feed(failed(call))
        call.wait(delay_s)
    assert kinds(call.feed(failed(call))) == ["CloseLeg"]
    call.wait(FAREWELL_LIMIT_S)
    assert call.all(Finish) == [Finish("model_failed")]


def test_empty_reply_is_asked_for_again() -> None:
    call = talking()
    call.speak()
    call.ends(spoke=False)
    assert kinds(call.wait(RETRY_DELAYS_S[0])) == ["Reply"]


def test_tries_are_counted_anew_after_a_success() -> None:
    call = talking()
    for _ in range(3):
        call.speak()
        for delay_s in RETRY_DELAYS_S:
            assert kinds(call.feed(failed(call))) == []
            assert kinds(call.wait(delay_s - 0.01)) == []
            assert kinds(call.wait(0.02)) == ["Reply"]
        call.says("At last.")
        call.ends()
    assert call.core.stage is Stage.TALKING
    assert [one.retried for one in call.entries(entries.ReplyFailed)] == [True] * 9


def test_calls_of_a_failed_reply_count() -> None:
    call = talking()
    call.speak()
    effects = call.feed(ports.ReplyEnded(call.reply_id, "failed", (NAME,), error_code="server_error"))
    assert kinds(effects) == ["AnswerTool", "Configure"]
    assert kinds(call.wait(RETRY_DELAYS_S[0])) == ["Reply"]
    assert [entry.name for entry in call.entries(ObservationRecorded)] == ["name"]


def test_caller_who_speaks_during_the_pause_gets_one_reply() -> None:
    call = talking()
    call.speak()
    call.feed(failed(call))
    assert kinds(call.speak()) == []
    assert kinds(call.wait(RETRY_DELAYS_S[0])) == ["Reply"]
    assert call.ends() == []


def test_cancelled_reply_without_words_is_no_failure() -> None:
    call = talking()
    call.speak()
    call.feed(ports.SpeechStarted("u2", 0))
    call.ends(status="cancelled", spoke=False)
    assert call.entries(entries.ReplyFailed) == []


def test_failed_goodbye_is_asked_for_again() -> None:
    call = at_goodbye()
    call.feed(failed(call))
    assert kinds(call.wait(RETRY_DELAYS_S[0])) == ["Reply"]
    assert call.core.stage is Stage.CLOSING


@pytest.mark.parametrize("prepared_only", [True, False])
def test_lost_model_closes_the_line(prepared_only: bool) -> None:
    call = Call() if prepared_only else talking()
    if prepared_only:
        call.prepare()
        call.feed(ports.ModelLost("gone", True))
        effects = call.connect()
    else:
        effects = call.feed(ports.ModelLost("gone", True))
    assert "CloseLeg" in kinds(effects)
    assert call.all(Finish) == [Finish("model_failed")]


# ---- the end --------------------------------------------------------------------------------------------------------


def at_goodbye() -> Call:
    call = talking()
    call.speak()
    call.ends(NAME, spoke=False)
    call.ends(REASON, spoke=False)
    assert call.core.stage is Stage.CLOSING
    return call


def test_goodbye_is_heard_before_the_line_closes() -> None:
    call = at_goodbye()
    call.says("Goodbye!", ms=1500)
    assert kinds(call.ends()) == []
    assert "CloseLeg" not in kinds(call.wait(1.4))
    assert "CloseLeg" in kinds(call.echo_all())


def test_goodbye_offers_no_tools() -> None:
    call = at_goodbye()
    assert call.all(ports.Reply)[-1].tools == ()
    assert call.all(ports.Reply)[-1].tool_choice == "none"


def test_goodbye_that_never_comes_is_bounded() -> None:
    call = at_goodbye()
    assert "CloseLeg" in kinds(call.wait(CLOSING_LIMIT_S))


def test_long_goodbye_is_heard_out() -> None:
    call = at_goodbye()
    call.says("Goodbye, and…", ms=30_000)
    call.ends()
    assert "CloseLeg" not in kinds(call.wait(29.0))
    assert "CloseLeg" in kinds(call.echo_all())


def test_goodbye_in_the_deciding_reply_is_enough() -> None:
    call = talking()
    call.speak()
    call.says("Goodbye!")
    assert kinds(call.ends(ENDS)) == ["AnswerTool"]
    call.wait(1.0)
    assert "CloseLeg" in kinds(call.echo_all())
    call.feed(ports.CallerTranscript("u1", "That is all."))
    assert call.all(Finish) == [Finish("caller_finished")]


def test_silent_end_call_gets_a_goodbye() -> None:
    call = talking()
    call.speak()
    assert kinds(call.ends(ENDS, spoke=False)) == ["AnswerTool", "InsertNote", "Reply"]


def test_hang_up_commits_the_turn_under_way_and_waits_for_its_words() -> None:
    call = talking()
    call.feed(ports.SpeechStarted("u1", 0))
    assert kinds(call.feed(ports.CallerLeft("hangup"))) == ["CloseLeg", "CommitAudio"]
    assert kinds(call.feed(ports.TurnCommitted("u1"))) == []
    assert call.feed(ports.CallerTranscript("u1", "Wrong number."))
    assert call.all(Finish) == [Finish("caller_hung_up")]
    assert call.entries(engine_entries.CallerSaid)[-1].text == "Wrong number."


def test_wait_for_last_words_is_bounded() -> None:
    call = talking()
    call.speak()
    call.feed(ports.CallerLeft("hangup"))
    call.wait(FAREWELL_LIMIT_S - 0.1)
    assert call.all(Finish) == []
    call.wait(0.1)
    assert call.all(Finish) == [Finish("caller_hung_up")]


def test_what_is_recorded_during_the_hang_up_counts() -> None:
    call = talking()
    call.speak()
    call.feed(ports.CallerTranscript("u1", "I am Ada"), ports.CallerLeft("hangup"))
    call.ends(NAME, spoke=False)
    assert [entry.name for entry in call.entries(ObservationRecorded)] == ["name"]
    assert call.all(Finish) == [Finish("caller_hung_up")]


def test_lost_leg_leaves_the_call_to_whoever_gets_the_next_one() -> None:
    call = talking()
    effects = call.feed(ports.CallerLeft("lost"))
    assert kinds(effects) == ["CloseLeg", "LetGo"]
    assert call.done[-3] == Journal(entries.LegLost(), durable=True)
    assert call.all(Finish) == [] and call.core.deadline() is None
    assert call.feed(ports.ModelLost("the connection broke", True)) == []


def test_call_that_never_connects_is_abandoned() -> None:
    call = Call()
    call.prepare()
    call.done += call.core.abandon("never_connected", call.now)
    assert call.all(Finish) == [Finish("never_connected")]
    assert call.connect() == []


def test_nothing_follows_the_end() -> None:
    call = talking()
    call.feed(ports.CallerLeft("hangup"))
    assert call.core.stage is Stage.ENDED
    assert call.speak() == []
    assert call.core.deadline() is None
    assert call.core.on_deadline(call.now + 100) == []
    assert call.core.abandon("shutdown", call.now) == []


def test_interrupted_goodbye_is_said_again() -> None:
    call = at_goodbye()
    call.says("Goodbye!", ms=1500)
    call.ends()
    effects = call.speak()
    assert kinds(effects) == ["ClearPlayback", "Truncate", "Reply"]
    call.says("Goodbye!", ms=500)
    call.ends()
    call.wait(0.5)
    assert "CloseLeg" in kinds(call.echo_all())


def test_goodbye_that_was_talked_over_is_asked_for() -> None:
    call = talking()
    call.speak()
    call.says("Goodbye!")
    call.feed(ports.SpeechStarted("u2", 0))
    call.ends(ENDS, status="cancelled")
    effects = call.feed(ports.SpeechStopped("u2", 300), ports.TurnCommitted("u2"))
    assert kinds(effects) == ["InsertNote", "Reply"]
    assert "goodbye" in only(effects, ports.InsertNote)[0].text


def test_goodbye_waits_for_the_reply_under_way() -> None:
    call = talking(duration="30s", silence=())
    call.wait(28.0)
    call.speak()
    call.says("A long story", ms=4000)
    assert kinds(call.wait(3.0)) == []
    assert call.core.stage is Stage.CLOSING
    assert kinds(call.ends()) == ["InsertNote", "Reply"]


def test_tool_that_works_on_is_awaited_before_the_goodbye() -> None:
    call = talking()
    call.speak()
    assert kinds(call.ends(HOURS, ENDS, spoke=False)) == ["StartTool", "AnswerTool"]
    assert kinds(call.feed(ToolFinished("c3", "nine to five", True))) == ["AnswerTool", "InsertNote", "Reply"]


def test_result_of_a_tool_is_told_before_the_line_closes() -> None:
    call = talking()
    call.speak()
    call.says("I book that for you. Goodbye!")
    assert kinds(call.ends(HOURS, ENDS)) == ["StartTool", "AnswerTool"]
    assert kinds(call.feed(ToolFinished("c3", "nine to five", True))) == ["AnswerTool", "Reply"]


def test_reply_that_fails_after_the_line_is_closed_is_let_go() -> None:
    call = talking()
    call.speak()
    call.feed(ports.CallerLeft("hangup"))
    assert kinds(call.feed(failed(call))) == []
    assert call.entries(entries.ReplyFailed) == []
    assert len(call.all(ports.CloseLeg)) == 1


def test_flow_that_comes_to_its_end_after_the_hang_up_changes_nothing() -> None:
    call = talking()
    call.speak()
    call.ends(NAME, spoke=False)
    call.feed(ports.CallerLeft("hangup"), ports.CallerTranscript("u1", "I am Ada, my tooth hurts"))
    call.ends(REASON, spoke=False)
    assert [entry.phase for entry in call.entries(PhaseEntered)] == ["who", "why", "bye"]
    assert call.all(Finish) == [Finish("caller_hung_up")]


def test_reason_that_ended_the_call_stays() -> None:
    call = at_goodbye()
    call.feed(ports.CallerLeft("lost"))
    call.wait(FAREWELL_LIMIT_S)
    assert call.all(Finish) == [Finish("completed")]
    assert call.entries(entries.CallEnded) == [entries.CallEnded("completed")]


def test_words_begun_at_the_very_end_are_committed() -> None:
    call = talking()
    call.speak()
    call.feed(ports.CallerLeft("hangup"))
    assert kinds(call.feed(ports.SpeechStarted("u2", 0))) == ["CommitAudio"]
    call.feed(ports.TurnCommitted("u2"), ports.CallerTranscript("u1", "Hello?"))
    call.ends()
    assert call.all(Finish) == []
    call.feed(ports.CallerTranscript("u2", "Never mind."))
    assert call.all(Finish) == [Finish("caller_hung_up")]


def prepared() -> Call:
    call = Call(OPENING)
    call.prepare()
    return call


def connected() -> Call:
    """The opening is still being rendered."""
    call = prepared()
    call.connect()
    return call


def opening() -> Call:
    """The opening plays."""
    call = connected()
    call.feed(ports.ClipRendered(call.all(ports.RenderClip)[0].key, b"\1" * (900 * MS), OPENING))
    return call


def speaking() -> Call:
    call = talking()
    call.feed(ports.SpeechStarted("u1", 0))
    return call


def spoken() -> Call:
    """The caller has stopped, and the model has not closed the turn."""
    call = speaking()
    call.feed(ports.SpeechStopped("u1", 300))
    return call


def asked() -> Call:
    """A reply was asked for and has not begun."""
    call = talking()
    call.speak()
    return call


def answering() -> Call:
    call = asked()
    call.says("Of course, let me see what we have for you.", ms=5000)
    return call


def interrupted() -> Call:
    call = answering()
    call.feed(ports.SpeechStarted("u2", 0))
    return call


def working() -> Call:
    call = asked()
    call.ends(HOURS, spoke=False)
    return call


def retrying() -> Call:
    call = asked()
    call.feed(failed(call))
    return call


def closing() -> Call:
    call = at_goodbye()
    call.says("Goodbye!", ms=1500)
    call.ends()
    return call


def leaving() -> Call:
    call = asked()
    call.feed(ports.CallerLeft("hangup"))
    return call


def over() -> Call:
    call = talking()
    call.feed(ports.CallerLeft("hangup"))
    return call


AT_WORK = [connected, opening, talking, speaking, spoken, asked, answering, interrupted, working, retrying]
MOMENTS = [prepared, *AT_WORK, at_goodbye, closing, leaving, over]


def finished(call: Call) -> str:
    """How the call ended: once, with nothing after it, and the line closed before if it was open."""
    [end] = call.all(Finish)
    assert call.done[-1] == end
    assert call.done[-2] == Journal(entries.CallEnded(end.reason), durable=True)
    assert call.entries(entries.CallEnded) == [entries.CallEnded(end.reason)]
    connected_once = call.entries(entries.CallerConnected)
    assert len(call.all(ports.CloseLeg)) == len(connected_once)
    closed = next((n for n, effect in enumerate(call.done) if isinstance(effect, ports.CloseLeg)), len(call.done))
    silent = (ports.PlayAudio, ports.SendMark, ports.ClearPlayback, ports.Reply, ports.RenderClip)
    assert not [effect for effect in call.done[closed:] if isinstance(effect, silent)]
    assert call.core.deadline() is None
    return end.reason


@pytest.mark.parametrize("moment", AT_WORK, ids=lambda moment: moment.__name__)
def test_caller_may_leave_at_any_moment(moment: Callable[[], Call]) -> None:
    call = moment()
    effects = call.feed(ports.CallerLeft("hangup"))
    assert "CloseLeg" in kinds(effects)
    assert ("CommitAudio" in kinds(effects)) is (moment in (speaking, spoken, interrupted))
    assert call.entries(entries.LineClosed) == []
    call.wait(FAREWELL_LIMIT_S)
    assert finished(call) == "caller_hung_up"


@pytest.mark.parametrize("moment", AT_WORK, ids=lambda moment: moment.__name__)
def test_stream_may_be_lost_at_any_moment(moment: Callable[[], Call]) -> None:
    call = moment()
    call.feed(ports.CallerLeft("lost"))
    assert kinds(call.done)[-2:] == ["CloseLeg", "LetGo"]
    assert call.entries(entries.LegLost) == [entries.LegLost()]
    assert call.entries(entries.CallEnded) == [] and call.entries(entries.LineClosed) == []


@pytest.mark.parametrize("moment", [prepared, *AT_WORK], ids=lambda moment: moment.__name__)
def test_call_may_be_handed_over_at_any_moment(moment: Callable[[], Call]) -> None:
    call = moment()
    call.done += call.core.hand_over(call.now)
    assert kinds(call.done)[-2:] == ["CloseLeg", "LetGo"]
    assert call.done[-3] == Journal(entries.HandedOver(), durable=True)
    assert call.core.hand_over(call.now) == []


@pytest.mark.parametrize("moment", [at_goodbye, closing, leaving], ids=lambda moment: moment.__name__)
def test_call_that_is_ending_is_not_handed_over(moment: Callable[[], Call]) -> None:
    call = moment()
    assert call.core.hand_over(call.now) == []


@pytest.mark.parametrize("moment", [at_goodbye, closing], ids=lambda moment: moment.__name__)
def test_caller_who_leaves_during_the_goodbye_has_finished(moment: Callable[[], Call]) -> None:
    call = moment()
    call.feed(ports.CallerLeft("hangup"))
    call.wait(FAREWELL_LIMIT_S)
    assert finished(call) == "completed"


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
def test_model_may_be_lost_at_any_moment(moment: Callable[[], Call]) -> None:
    call = moment()
    call.feed(ports.ModelLost("the connection broke", True))
    if moment is prepared:
        assert call.all(Finish) == []
        call.connect()
    call.wait(FAREWELL_LIMIT_S)
    reasons = {at_goodbye: "completed", closing: "completed", leaving: "caller_hung_up", over: "caller_hung_up"}
    assert finished(call) == reasons.get(moment, "model_failed")
    assert len(call.entries(entries.ModelGone)) == (moment is not over)


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
def test_call_may_be_abandoned_at_any_moment(moment: Callable[[], Call]) -> None:
    call = moment()
    effects = call.core.abandon("shutdown", call.now)
    call.done += effects
    reasons = {at_goodbye: "completed", closing: "completed", leaving: "caller_hung_up", over: "caller_hung_up"}
    assert finished(call) == reasons.get(moment, "shutdown")
    assert call.connect() == call.speak() == call.wait(100.0) == []


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
def test_deadline_that_was_kept_does_not_come_again(moment: Callable[[], Call]) -> None:
    call = moment()
    for _ in range(50):
        due = call.core.deadline()
        if due is None:
            break
        assert due > call.now
        call.now = due
        call.core.on_deadline(due)


# ---- silence and duration -------------------------------------------------------------------------------------------


def test_silence_ladder_counts_from_the_last_sound() -> None:
    call = talking(silence=(After("8s", AskAgain()), After("12s", HangUp())))  # type: ignore[arg-type]
    assert kinds(call.wait(7.9)) == []
    assert kinds(call.wait(0.2)) == ["InsertNote", "Reply"]
    call.says("Are you still there?")
    call.ends()
    call.wait(1.0)
    call.echo_all()
    assert kinds(call.wait(3.9)) == []
    assert kinds(call.wait(0.2)) == ["InsertNote", "Reply"]
    assert call.core.reason == "silence"


def test_speech_begins_the_ladder_anew() -> None:
    call = talking(silence=(After("8s", AskAgain()),))  # type: ignore[arg-type]
    call.wait(7.0)
    call.speak()
    call.says("Go on.")
    call.ends()
    call.wait(1.0)
    call.echo_all()
    assert kinds(call.wait(7.9)) == []
    assert kinds(call.wait(0.2)) == ["InsertNote", "Reply"]


def test_no_silence_while_the_bot_is_heard() -> None:
    call = talking(silence=(After("8s", AskAgain()),))  # type: ignore[arg-type]
    call.speak()
    call.says("A long story", ms=20_000)
    call.ends()
    assert kinds(call.wait(19.0)) == []


def test_no_silence_while_a_tool_works_or_a_reply_is_awaited() -> None:
    for moment in (working, asked, connected, retrying):
        call = moment()
        assert all(isinstance(effect, ports.Reply) for effect in call.wait(1.2))
        assert call.core.deadline() == call.core.engine.deadline(), moment.__name__


def test_pressed_key_begins_the_ladder_anew() -> None:
    call = talking(silence=(After("8s", AskAgain()),))
    call.wait(7.0)
    call.feed(ports.KeyPressed("1"))
    assert kinds(call.wait(7.9)) == []
    assert kinds(call.wait(0.2)) == ["InsertNote", "Reply"]


def test_silence_may_lead_to_another_phase() -> None:
    call = talking(silence=(After("8s", To("why")), After("12s", To("bye"))))
    effects = call.wait(8.0)
    assert kinds(effects) == ["Configure", "InsertNote", "Reply"]
    assert "Ask why." in only(effects, ports.Reply)[0].instructions
    call.says("Why do you call?")
    call.ends()
    call.wait(1.0)
    call.echo_all()
    assert kinds(call.wait(4.0)) == ["Configure", "InsertNote", "Reply"]
    assert call.core.reason == "silence"


def test_rungs_keep_their_distance_when_nothing_is_heard() -> None:
    call = talking(silence=(After("8s", AskAgain()), After("12s", AskAgain())))
    assert kinds(call.wait(8.1)) == ["InsertNote", "Reply"]
    call.ends()
    assert kinds(call.wait(3.8)) == []
    assert kinds(call.wait(0.2)) == ["InsertNote", "Reply"]


def test_ladder_that_is_climbed_is_over() -> None:
    call = talking(silence=(After("8s", AskAgain()),))
    call.wait(8.0)
    call.says("Still there?")
    call.ends()
    call.wait(1.0)
    call.echo_all()
    assert kinds(call.wait(600.0)) == []


def test_silence_counts_from_the_connection_when_nothing_is_said() -> None:
    call = Call(silence=(After("8s", AskAgain()),))
    call.prepare()
    call.wait(100.0)
    call.connect()
    call.ends()
    assert kinds(call.wait(7.9)) == []
    assert kinds(call.wait(0.2)) == ["InsertNote", "Reply"]


def test_duration_limit_closes_politely() -> None:
    call = talking(duration="30s", silence=())  # type: ignore[arg-type]
    assert kinds(call.wait(30.0))[-2:] == ["InsertNote", "Reply"]
    assert call.core.reason == "duration_limit"


def test_lost_marks_do_not_hold_the_call() -> None:
    call = at_goodbye()
    call.says("Goodbye!")
    call.ends()
    assert "CloseLeg" in kinds(call.wait(4.0))


# ---- every order ----------------------------------------------------------------------------------------------------


class Conversation:
    """A caller who speaks when he likes, a model that speaks and ends when it likes, tools that take their time."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.call = talking(silence=())
        self.ended = len(self.call.all(ports.Reply))
        self.speaking = self.tool_at_work = False
        self.owed_from: int | None = None  # effects so far when something was last said that needs an answer

    @property
    def under_way(self) -> int:
        return len(self.call.all(ports.Reply)) - self.ended

    def step(self) -> None:
        acts = [self.pause]
        acts += [self.close_turn] * 2 if self.speaking else [self.open_turn]
        acts += [self.finish_tool] if self.tool_at_work else []
        acts += [self.model_speaks, self.model_ends] if self.under_way else []
        self.chance.choice(acts)()
        assert self.under_way <= 1, "two replies under way at once"

    def pause(self) -> None:
        self.call.wait(self.chance.random() * 0.2)
        if self.chance.random() < 0.5:
            self.call.echo_all()

    def open_turn(self) -> None:
        self.speaking = True
        self.call.feed(ports.SpeechStarted("u", 0))

    def close_turn(self) -> None:
        self.speaking = False
        self.owed_from = len(self.call.done)
        self.call.turns += 1
        self.call.feed(ports.SpeechStopped("u", 0), ports.TurnCommitted(f"u{self.call.turns}"))

    def finish_tool(self) -> None:
        self.tool_at_work = False
        self.owed_from = len(self.call.done)
        self.call.feed(ToolFinished("c3", "nine to five", True))

    def model_speaks(self) -> None:
        self.call.says("word", ms=self.chance.randint(20, 2000))

    def model_ends(self) -> None:
        self.ended += 1
        calls = (HOURS,) if not self.tool_at_work and self.chance.random() < 0.3 else ()
        self.tool_at_work |= bool(calls)
        status = self.chance.choice(["completed", "cancelled"]) if self.speaking else "completed"
        self.call.ends(*calls, status=status, spoke=not calls)

    def settle(self) -> None:
        """Everything that is under way comes to its end."""
        if self.speaking:
            self.close_turn()
        if self.tool_at_work:
            self.finish_tool()
        for _ in range(3):
            if self.under_way:
                self.ended += 1
                self.call.says("word")
                self.call.ends()


@pytest.mark.parametrize("seed", range(500))
def test_no_reply_is_lost_or_doubled_in_any_order(seed: int) -> None:
    conversation = Conversation(seed)
    for _ in range(60):
        conversation.step()
    conversation.settle()
    call = conversation.call
    assert conversation.under_way == 0, "a reply without a cause"
    if conversation.owed_from is not None:
        assert only(call.done[conversation.owed_from :], ports.Reply), "a reply was lost"
    configured = [reply.instructions for reply in call.all(ports.Reply)]
    assert all("Ask who." in instructions for instructions in configured)
    call.feed(ports.CallerLeft("hangup"))
    call.wait(FAREWELL_LIMIT_S)
    assert call.all(Finish) == [Finish("caller_hung_up")]


class World:
    """Both sides of a call, doing anything they may do, in any order; checks every batch of effects as it comes.

    `choose` says which of the possible acts is next. What is owed to the caller is counted here by itself: `must`
    tells what has to be answered, `may` what may have been answered by a reply.
    """

    def __init__(self, choose: Callable[[int], int], kind: Literal["plain", "exact", "telling"]) -> None:
        self.choose, self.kind = choose, kind
        limits = Limits(duration=90.0, silence=(After(8.0, AskAgain()), After(18.0, To("why")), After(30.0, HangUp())))
        opening = Say(OPENING, interruptible=False) if kind == "exact" else None
        self.call = Call(of=replace(TOLD if kind == "telling" else flow(opening), limits=limits))
        self.seen = 0
        self.rendering: list[tuple[str, str]] = []
        self.marks: list[str] = []
        self.open_items: list[str] = []
        self.sent_ms: dict[str, int] = {}
        self.reply: str | None = None
        self.begun = self.cancelled = False
        self.turns = self.calls = 0
        self.working: list[str] = []
        self.unanswered: set[str] = set()
        self.words_due: list[str] = []
        self.speaking = self.stopped = False
        self.connected = self.left = self.lost = self.reconnecting = self.closed = self.done = False
        self.must = self.may = False

    # ---- what is possible ----

    def acts(self) -> list[Callable[[], None]]:
        acts: list[Callable[[], None]] = [self.pass_time]
        if not self.connected:
            acts.append(self.connect)
        elif not (self.left or self.closed):
            acts += [self.press, self.play, self.play, self.hang_up]
        if self.lost:
            return acts + [self.reconnect] * self.reconnecting
        acts += [self.render] * bool(self.rendering) + [self.transcribe] * bool(self.words_due) + [self.lose]
        if self.connected:
            acts += [self.finish_tool] * bool(self.working)
            acts += [self.close_turn, self.stop_speaking] if self.speaking else [self.speak]
            if self.reply is not None:
                acts += [self.say, self.say, self.end_reply, self.end_reply, self.fail]
        return acts

    def step(self) -> None:
        acts = self.acts()
        act = acts[self.choose(len(acts))]
        if act not in (self.hang_up, self.lose) or self.choose(15) == 14:  # not every call is over at once
            act()

    def feed(self, *events: Event) -> None:
        for event in events:
            self.call.feed(event)
            self.judge()

    # ---- the caller and the clock ----

    def pass_time(self) -> None:
        until = self.call.now + (0.02, 0.3, 1.0, 4.0, 9.0)[self.choose(5)]
        for _ in range(100):
            due = self.call.core.deadline()
            if due is None or due > until:
                break
            assert due >= self.call.now or self.call.core.deadline() == due
            self.call.now = max(self.call.now, due)
            self.may = True  # silence, the end of the time or a pause before another try
            self.call._keep(self.call.core.on_deadline(self.call.now))
            self.judge()
            again = self.call.core.deadline()
            assert again is None or again > self.call.now, "a deadline that was kept is due again"
        else:
            raise AssertionError("time does not pass")
        self.call.now = until

    def connect(self) -> None:
        self.connected = self.may = True
        self.must = not self.call.core.engine.flow.opening
        self.call.connect()
        self.judge()

    def press(self) -> None:
        self.feed(ports.KeyPressed("5"))

    def play(self) -> None:
        """The phone has played up to the next mark."""
        if self.marks:
            self.may = self.may or self.kind == "telling"  # a phase may be over once its statement was heard
            self.feed(ports.MarkPlayed(self.marks.pop(0)))

    def hang_up(self) -> None:
        self.left = True
        self.feed(ports.CallerLeft("hangup"))

    # ---- the model ----

    def speak(self) -> None:
        self.speaking, self.stopped = True, False
        self.turns += 1
        self.feed(ports.SpeechStarted(f"u{self.turns}", 0))

    def stop_speaking(self) -> None:
        """Stopped, and the turn not closed: it may be given up."""
        self.stopped = True
        self.may = True
        self.feed(ports.SpeechStopped(f"u{self.turns}", 0))

    def close_turn(self) -> None:
        self.speaking = False
        self.must = self.may = True
        self.words_due.append(f"u{self.turns}")
        if not self.stopped:
            self.feed(ports.SpeechStopped(f"u{self.turns}", 0))
        self.feed(ports.TurnCommitted(f"u{self.turns}"))

    def transcribe(self) -> None:
        item_id = self.words_due.pop(0)
        self.may = True  # what nobody said is taken back and asked for again
        told = ports.CallerTranscript(item_id, "word"), ports.TranscriptFailed(item_id, "no words")
        self.feed(told[self.choose(2)])

    def render(self) -> None:
        key, text = self.rendering.pop(0)
        self.may = True
        made = (
            ports.ClipRendered(key, b"\1" * (900 * MS), text),
            ports.ClipRendered(key, b"\1" * (900 * MS), "Something else."),
            ports.ClipFailed(key, "timeout"),
        )
        self.feed(made[self.choose(3)])

    def say(self) -> None:
        assert self.reply is not None
        if not self.begun:
            self.begun = True
            self.feed(ports.ReplyStarted(self.reply))
        if self.open_items and self.choose(2):
            self.feed(ports.ReplyAudioEnded(self.reply, self.open_items.pop()))
            return
        if not self.open_items:
            self.call.items += 1
            self.open_items.append(f"a{self.call.items}")
        item_id, sent_ms = self.open_items[-1], (20, 300, 2000)[self.choose(3)]
        self.sent_ms[item_id] = self.sent_ms.get(item_id, 0) + (0 if self.cancelled else sent_ms)
        self.feed(
            ports.ReplyWords(self.reply, item_id, "word "),
            ports.ReplyAudio(self.reply, item_id, b"\1" * (sent_ms * MS)),
        )

    def _end(self, status: str, calls: tuple[ports.ToolCall, ...], *, spoke: bool) -> None:
        assert self.reply is not None
        reply_id, cancelled = self.reply, self.cancelled
        events = [ports.ReplyAudioEnded(reply_id, item_id) for item_id in self.open_items] if not cancelled else []
        self.open_items, self.reply, self.begun, self.cancelled = [], None, False, False
        self.unanswered |= {call.call_id for call in calls}
        retried = status == "failed" or not (calls or spoke or cancelled)
        self.may = self.may or retried or bool(calls)
        must = retried or (bool(calls) and not cancelled)
        self.feed(*events)
        self.must = self.must or must
        self.feed(ports.ReplyEnded(reply_id, status, calls, spoke))  # type: ignore[arg-type]

    def end_reply(self) -> None:
        spoke = self.begun
        calls = []
        for made in (NAME, REASON, HOURS, ENDS)[: self.choose(5)]:
            self.calls += 1
            calls.append(ports.ToolCall(f"c{self.calls}", made.name, made.arguments))
        self._end("cancelled" if self.cancelled else "completed", tuple(calls), spoke=spoke)

    def fail(self) -> None:
        self._end("failed", (), spoke=self.begun)

    def finish_tool(self) -> None:
        self.must = self.may = True
        self.feed(ToolFinished(self.working.pop(0), "nine to five", True))

    def lose(self) -> None:
        if self.reply is not None and not self.cancelled:
            self.must = self.may = True  # it is owed again, if there is a model again
        self.lost, self.reply, self.begun, self.cancelled, self.open_items = True, None, False, False, []
        self.speaking = self.stopped = False
        self.rendering, self.words_due = [], []
        self.feed(ports.ModelLost("the connection broke", bool(self.choose(4))))
        self.must = self.must and self.reconnecting  # else an apology is all that is still said

    def reconnect(self) -> None:
        self.lost = self.reconnecting = False
        self.may = True
        self.feed(ports.ModelReady())

    # ---- the judge ----

    def judge(self) -> None:
        batch = self.call.done[self.seen :]
        self.seen = len(self.call.done)
        order = [kind for kind in kinds(batch) if kind in ("AnswerTool", "Configure", "Reply")]
        restored = any(
            isinstance(effect, ports.InsertNote) and "was lost for a moment" in effect.text for effect in batch
        )
        assert restored or order == sorted(order), "answers go before the configuration, and that before the reply"
        assert order.count("Configure") <= 1
        for effect in batch:
            assert not self.done, f"{effect} after the end"
            self.look_at(effect)

    def look_at(self, effect: Effect) -> None:
        told = isinstance(effect, get_args(ports.ModelCommand)) and not isinstance(effect, ports.AppendAudio)
        assert not (self.lost and told), "a model that is gone is told something"
        match effect:
            case ReconnectModel():
                self.reconnecting = True
            case ports.InsertCall(call=call):
                self.unanswered.add(call.call_id)
            case ports.Reply(reply_id=reply_id):
                assert self.reply is None, "two replies under way at once"
                assert not (self.speaking and not self.given_up), "the caller is interrupted"
                assert not self.working, "a reply before its tools have answered"
                assert self.may, "a reply that nobody owes"
                assert not (self.closed or self.left or self.lost)
                self.reply, self.must, self.may = reply_id, False, False
            case ports.CancelReply():
                assert self.reply is not None and not self.cancelled
                self.cancelled = True
            case ports.AnswerTool(call_id=call_id):
                assert call_id in self.unanswered, "a call that is answered twice, or was never made"
                self.unanswered.remove(call_id)
            case StartTool(call_id=call_id):
                self.working.append(call_id)
            case ports.RenderClip(key=key, text=text):
                self.rendering.append((key, text))
            case ports.SendMark(name=name):
                assert not self.closed
                self.marks.append(name)
            case ports.PlayAudio():
                assert not (self.closed or self.left)
            case ports.ClearPlayback():
                self.marks = []
            case ports.Truncate(item_id=item_id, audio_end_ms=audio_end_ms):
                assert 0 <= audio_end_ms <= self.sent_ms[item_id], "more is heard than was sent, or a statement is cut"
            case ports.CloseLeg():
                assert not self.closed
                self.closed = True
                self.must = False
            case Journal(entry=ObservationWithdrawn()):
                self.must = self.call.core.stage is Stage.TALKING
            case Journal(entry=entries.BotSaid(heard_ms=heard_ms, sent_ms=sent_ms)):
                assert 0 <= heard_ms <= sent_ms
            case Finish():
                self.done = True

    @property
    def given_up(self) -> bool:
        """The caller stopped, and the model did not close the turn in time."""
        return self.stopped and self.call.core.stage in (Stage.TALKING, Stage.CLOSING)

    # ---- the end ----

    def come_to_rest(self) -> None:
        """Everything that is under way comes to its end; then nobody may be owed anything."""
        if self.lost and self.reconnecting:
            self.reconnect()
        for _ in range(200):
            if self.done or self.lost:
                break
            if self.speaking:
                self.close_turn()
            elif self.working:
                self.finish_tool()
            elif self.rendering:
                key, text = self.rendering.pop(0)
                self.feed(ports.ClipRendered(key, b"\1" * (900 * MS), text))
            elif self.reply is not None:
                self.begun = True
                self._end("cancelled" if self.cancelled else "completed", (), spoke=True)
            elif self.marks:
                self.play()
            else:
                break
        self.may = True
        if not (self.done or self.closed) and self.connected:
            if self.must:
                self.call.wait(RETRY_DELAYS_S[-1])
                self.judge()
            assert not self.must, "a reply was lost"

    def finish(self) -> None:
        if not self.connected:
            self.call._keep(self.call.core.abandon("never_connected", self.call.now))
        elif not self.left:
            self.call.feed(ports.CallerLeft("hangup"))
        self.call.wait(FAREWELL_LIMIT_S)
        assert len(self.call.all(Finish)) == 1
        assert len(self.call.entries(entries.CallEnded)) == 1
        assert self.call.done[-1] == self.call.all(Finish)[0]


@given(st.lists(st.integers(0, 10_000), min_size=30, max_size=200), st.sampled_from(["plain", "exact", "telling"]))
@settings(deadline=None, max_examples=300)
def test_any_legal_order_is_survived(choices: list[int], kind: Literal["plain", "exact", "telling"]) -> None:
    left = iter(choices)
    world = World(lambda many: next(left, 0) % many, kind)
    world.call.prepare()
    world.feed(ports.ModelReady())
    for _ in range(len(choices) // 2):
        if not world.done:
            world.step()
    world.come_to_rest()
    world.finish()
