"""The table's model, at the port: what it answers to commands, in which order, and what it objects to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import pytest

from voicebot.call.ports import (
    Analyse,
    Analysed,
    AnalysisFailed,
    AnswerTool,
    CallerTranscript,
    CancelReply,
    ClipFailed,
    ClipRendered,
    CommitAudio,
    InsertCall,
    InsertHeard,
    InsertNote,
    InsertSaid,
    ModelCommand,
    ModelEvent,
    ModelLost,
    ModelReady,
    RenderClip,
    Reply,
    ReplyAudio,
    ReplyAudioEnded,
    ReplyEnded,
    ReplyStarted,
    ReplyWords,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    TranscriptFailed,
    Truncate,
    TurnCommitted,
)
from voicebot.sim.brain import Brain, Calls, Context, Output, Says, reads_verbatim
from voicebot.sim.table_chance import Chance, TableFaults
from voicebot.sim.table_clock import Ids, Schedule
from voicebot.sim.table_model import TableModel
from voicebot.sim.table_speech import read
from voicebot.tool_schema import ToolSchema

E = TypeVar("E", bound=ModelEvent)
LOOK = ToolSchema("look", "Look it up.", {"type": "object"})
HELLO = "Hello, who is calling?"


class Thinks:
    """A brain that has its answers ready, and keeps what it was asked."""

    def __init__(self, *answers: Sequence[Output]) -> None:
        self.asked: list[Context] = []
        self._answers = list(answers)

    def respond(self, context: Context) -> Sequence[Output]:
        self.asked.append(context)
        return self._answers.pop(0)


class Set:
    """A model on a clock of the test's own; `told` are (s, event)."""

    def __init__(self, brain: Brain, *, seed: int = 0, faults: TableFaults | None = None) -> None:
        self.schedule = Schedule()
        self.told: list[tuple[float, ModelEvent]] = []
        self.model = TableModel(
            self.schedule, brain, self._take, Chance(seed), faults or TableFaults(), Ids(), uplink_s=0.0
        )
        self.replies = 0

    def _take(self, event: ModelEvent) -> None:
        self.told.append((self.schedule.now, event))

    def do(self, *commands: ModelCommand) -> None:
        for command in commands:
            self.model.perform(command)

    def ask(self, tools: tuple[ToolSchema, ...] = (LOOK,)) -> str:
        self.replies += 1
        self.do(Reply(f"r{self.replies}", "Be brief.", tools))
        return f"r{self.replies}"

    def run(self, seconds: float = 60.0) -> None:
        until = self.schedule.now + seconds
        while self.schedule.next_at <= until:
            self.schedule.run_next()
        self.schedule.now = until

    def of(self, kind: type[E]) -> list[E]:
        return [event for _, event in self.told if isinstance(event, kind)]

    def kinds(self) -> list[str]:
        """Kinds of events in order, repetitions left out."""
        names = [type(event).__name__ for _, event in self.told]
        return [name for place, name in enumerate(names) if place == 0 or names[place - 1] != name]


def ready(brain: Brain, *, seed: int = 0, faults: TableFaults | None = None) -> Set:
    table = Set(brain, seed=seed, faults=faults)
    table.run(1.0)
    assert [type(event) for _, event in table.told] == [ModelReady]
    table.told.clear()
    return table


def test_commands_wait_until_it_is_ready() -> None:
    table = Set(Thinks([Says(HELLO)]))
    table.ask()
    assert table.told == []
    table.run()
    assert table.kinds()[:2] == ["ModelReady", "ReplyStarted"]


def test_reply_is_told_in_the_order_of_the_port() -> None:
    table = ready(Thinks([Says(HELLO), Calls("look", {"for": 1})]))
    table.ask()
    table.run()
    audio = b"".join(event.payload for event in table.of(ReplyAudio))
    assert read(audio).text == HELLO
    assert [event.text for event in table.of(ReplyWords) if event.final] == [HELLO]
    assert "".join(event.text for event in table.of(ReplyWords) if not event.final) == HELLO
    assert type(table.told[0][1]) is ReplyStarted
    [ended] = table.of(ReplyEnded)
    assert (ended.status, ended.spoke) == ("completed", True)
    assert [(call.name, call.arguments) for call in ended.calls] == [("look", '{"for":1}')]
    assert table.told[-1][1] is ended


@pytest.mark.parametrize("seed", range(40))
def test_any_seed_tells_the_whole_reply(seed: int) -> None:
    table = ready(Thinks([Says(HELLO), Says("Well?"), Calls("look"), Calls("look")]), seed=seed)
    table.ask()
    table.run()
    items = list(dict.fromkeys(event.item_id for event in table.of(ReplyAudio)))
    texts = [read(b"".join(one.payload for one in table.of(ReplyAudio) if one.item_id == item)).text for item in items]
    assert texts == [HELLO, "Well?"]
    assert [event.item_id for event in table.of(ReplyAudioEnded)] == items
    assert [(event.item_id, event.text) for event in table.of(ReplyWords) if event.final] == list(
        zip(items, texts, strict=True)
    )
    [ended] = table.of(ReplyEnded)
    assert len({call.call_id for call in ended.calls}) == 2
    assert table.told[-1][1] is ended
    at = [at for at, _ in table.told]
    assert at == sorted(at)


def test_seeds_differ_in_order_and_time() -> None:
    orders, times = set(), set()
    for seed in range(20):
        table = ready(Thinks([Says(HELLO)]), seed=seed)
        table.ask()
        table.run()
        orders.add(tuple(table.kinds()))
        times.add(table.told[-1][0])
    assert len(orders) > 5
    assert len(times) == 20


def test_second_reply_waits_and_a_third_replaces_it() -> None:
    table = ready(Thinks([Says(HELLO)], [Says("Third.")]))
    first, second, third = table.ask(), table.ask(), table.ask()
    table.run()
    assert [(event.reply_id, event.status) for event in table.of(ReplyEnded)] == [
        (second, "cancelled"),
        (first, "completed"),
        (third, "completed"),
    ]


def test_cancel_before_the_beginning_is_not_lost() -> None:
    table = ready(Thinks([Says(HELLO)]))
    table.ask()
    table.do(CancelReply())
    table.run()
    assert [type(event) for _, event in table.told] == [ReplyEnded]
    assert table.of(ReplyEnded)[0].status == "cancelled"


def test_cancel_stops_sound_and_keeps_complete_calls() -> None:
    table = ready(Thinks([Calls("look"), Says(HELLO * 5)]))
    table.ask()
    table.run(0.6)
    sounded = len(table.of(ReplyAudio))
    table.do(CancelReply())
    table.run()
    [ended] = table.of(ReplyEnded)
    assert (ended.status, len(ended.calls), len(table.of(ReplyAudio))) == ("cancelled", 1, sounded)
    assert sounded > 0


def test_cancel_after_the_last_sound_is_too_late() -> None:
    late = 0
    for seed in range(1, 60):
        table = ready(Thinks([Says("Hi.")]), seed=seed)
        table.ask()
        while not table.of(ReplyAudioEnded) or not any(event.final for event in table.of(ReplyWords)):
            table.schedule.run_next()
        table.do(CancelReply())
        table.run()
        [ended] = table.of(ReplyEnded)
        late += ended.status == "completed"
    assert late == 59


def test_cancel_of_nothing_is_harmless() -> None:
    table = ready(Thinks())
    table.do(CancelReply())
    table.run()
    assert table.told == []


def test_brain_sees_the_conversation_as_it_was_heard() -> None:
    brain = Thinks([Says(HELLO)], [Calls("look", '{"a":1}')], [Says("Done.")])
    table = ready(brain)
    table.ask()
    table.run()
    item_id = table.of(ReplyAudio)[0].item_id
    table.do(Truncate(item_id, 7 * 60), InsertSaid("We said."), InsertHeard("They wrote."), InsertNote("A note."))
    table.ask()
    table.run()
    [call] = table.of(ReplyEnded)[-1].calls
    table.do(AnswerTool(call.call_id, "42"))
    table.ask()
    table.run()
    seen = brain.asked[-1]
    assert [(item.kind, item.role, item.text or item.arguments or item.output) for item in seen.items] == [
        ("message", "assistant", "Hello,"),
        ("message", "assistant", "We said."),
        ("message", "user", "They wrote."),
        ("message", "system", "A note."),
        ("function_call", "", '{"a":1}'),
        ("function_call_output", "", "42"),
    ]
    assert (seen.instructions, seen.tool_names, seen.tools[0]["type"]) == ("Be brief.", ("look",), "function")
    assert table.model.problems == []


def test_cancelled_message_says_what_was_sent() -> None:
    brain = Thinks([Says(HELLO * 5)], [])
    table = ready(brain)
    table.ask()
    table.run(0.5)
    table.do(CancelReply())
    table.run()
    table.ask()
    said = brain.asked[-1].items[0].text
    assert said
    assert (HELLO * 5).startswith(said)


def test_calls_of_the_past_may_be_told_with_their_answer() -> None:
    table = ready(Thinks())
    table.do(InsertCall(ToolCall("c1", "look", "{}")), AnswerTool("c1", "42"))
    assert table.model.problems == []


@pytest.mark.parametrize(
    ("commands", "problem"),
    [
        ([AnswerTool("c9", "x")], "answered 'c9', which nobody called"),
        ([InsertCall(ToolCall("c1", "look", "{}")), AnswerTool("c1", "x"), AnswerTool("c1", "x")], "'c1' twice"),
        ([InsertCall(ToolCall("c1", "look", "{}")), Reply("r1", "", ())], "while c1 had no answer"),
        ([Truncate("item-7", 10)], "no message of the model's"),
    ],
)
def test_misconduct_is_written_down(commands: Sequence[ModelCommand], problem: str) -> None:
    table = ready(Thinks([]))
    table.do(*commands)
    assert any(problem in one for one in table.model.problems)


def test_truncation_beyond_what_was_sent_is_written_down() -> None:
    table = ready(Thinks([Says("Hi.")]))
    table.ask()
    table.run()
    item_id = table.of(ReplyAudio)[0].item_id
    table.do(Truncate(item_id, 300))
    assert table.model.problems == []
    table.do(Truncate(item_id, 301))
    assert table.model.problems == [f"truncated '{item_id}' at 301 ms of 300 ms"]


def test_statement_is_read_as_it_stands() -> None:
    table = ready(reads_verbatim(Thinks()))
    table.do(RenderClip("k", "Twelve euro <verbatim>fifty.", "en"), RenderClip("k", "again", "en"))
    table.run()
    [clip] = table.of(ClipRendered)
    assert clip.key == "k"
    assert read(clip.payload).text == clip.transcript == "Twelve euro ‹verbatim>fifty."


def test_faults_fail_what_they_name() -> None:
    table = ready(reads_verbatim(Thinks()), faults=TableFaults(reply_failures=1.0, clip_failures=1.0))
    table.ask()
    table.do(RenderClip("k", "Twelve.", "en"))
    table.run()
    assert [(event.status, event.error_code) for event in table.of(ReplyEnded)] == [("failed", "server_error")]
    assert [event.key for event in table.of(ClipFailed)] == ["k"]


def test_lost_model_says_nothing_more() -> None:
    table = ready(Thinks([Says(HELLO)]))
    table.ask()
    table.model.lose()
    table.model.lose()
    table.ask()
    table.run()
    assert [event for _, event in table.told] == [ModelLost("the connection broke", retryable=True)]


# ---- the caller's turns ---------------------------------------------------------------------------------------------


def test_turn_ends_with_silence_and_is_transcribed_later() -> None:
    table = ready(Thinks())
    table.model.turns.open(0.0)
    table.model.turns.say("I am Ada.", 2000.0, 2660.0)
    table.run()
    assert [(round(at, 3), type(event)) for at, event in table.told] == [
        (2.06, SpeechStarted),
        (3.16, SpeechStopped),
        (3.16, TurnCommitted),
        (3.56, CallerTranscript),
    ]
    assert table.of(CallerTranscript)[0].text == "I am Ada."


def test_words_within_the_silence_belong_to_one_turn() -> None:
    table = ready(Thinks())
    table.model.turns.open(0.0)
    table.model.turns.say("I am", 2000.0, 2360.0)
    table.schedule.at(2.7, lambda: table.model.turns.say("Ada.", 2700.0, 3060.0))
    table.schedule.at(5.0, lambda: table.model.turns.say("Hello?", 5000.0, 5480.0))
    table.run()
    assert [event.text for event in table.of(CallerTranscript)] == ["I am Ada.", "Hello?"]


def test_hang_up_cuts_the_turn_until_it_is_committed() -> None:
    table = ready(Thinks())
    table.model.turns.open(0.0)
    table.model.turns.say("I am Ada.", 2000.0, 2660.0)
    table.schedule.at(2.3, lambda: table.model.turns.hang_up(2300.0))
    table.run(3.0)
    assert table.of(TurnCommitted) == []
    table.do(CommitAudio())
    table.run()
    assert [event.text for event in table.of(CallerTranscript)] == ["I am"]


def test_commit_in_mid_speech_leaves_the_rest_to_another_turn() -> None:
    table = ready(Thinks())
    table.model.turns.open(0.0)
    table.model.turns.say("I am Ada Lovelace.", 2000.0, 3200.0)
    table.schedule.at(2.62, lambda: table.do(CommitAudio()))
    table.run()
    assert [event.text for event in table.of(CallerTranscript)] == ["I am Ada ", "Lovelace."]
    assert len({event.item_id for event in table.of(TurnCommitted)}) == 2


def test_commit_of_silence_is_an_empty_turn() -> None:
    table = ready(Thinks())
    table.model.turns.open(0.0)
    table.do(CommitAudio())
    table.run()
    assert [event.text for event in table.of(CallerTranscript)] == [""]


def test_what_was_said_before_the_line_was_open_is_lost() -> None:
    table = Set(Thinks())
    table.model.turns.say("Too early.", 0.0, 720.0)
    table.model.turns.say("I am Ada.", 1000.0, 1660.0)
    table.model.turns.open(1240.0)
    table.run()
    assert [event.text for event in table.of(CallerTranscript)] == ["m Ada."]


def test_words_wait_for_a_session_that_is_late() -> None:
    table = Set(Thinks(), faults=TableFaults(transcript_loss=1.0))
    table.model.turns.open(-1000.0)
    table.model.turns.say("Hi.", -900.0, -600.0)
    table.run()
    assert table.kinds() == ["ModelReady", "SpeechStarted", "SpeechStopped", "TurnCommitted", "TranscriptFailed"]
    assert len(table.of(TranscriptFailed)) == 1


# ---- looks back at the call ------------------------------------------------------------------------------------------

LOOK_BACK = Analyse("call", "Sum it up.", ToolSchema("conclude", "Write it down.", {"type": "object"}))


def test_call_is_looked_back_at_beside_the_conversation() -> None:
    brain = Thinks([Calls("conclude", {"summary": "Ada."})])
    table = ready(brain)
    table.do(InsertHeard("I am Ada"), LOOK_BACK)
    table.run()
    assert table.of(Analysed) == [Analysed("call", '{"summary":"Ada."}')]
    [asked] = brain.asked
    assert (asked.tool_names, asked.tool_choice, asked.out_of_band) == (("conclude",), "function:conclude", True)
    assert [item.text for item in asked.items] == ["I am Ada"]
    assert table.model.problems == []


def test_brain_that_does_not_call_is_made_to() -> None:
    table = ready(Thinks([Says("Well.")]))
    table.do(LOOK_BACK)
    table.run()
    assert table.of(Analysed) == [Analysed("call", "{}")]


def test_look_back_may_fail_or_be_late() -> None:
    table = ready(Thinks(), faults=TableFaults(analysis_failures=1.0))
    table.do(LOOK_BACK)
    table.run()
    assert table.of(AnalysisFailed) == [AnalysisFailed("call", "server_error")]
    table = ready(Thinks([Calls("conclude")]), faults=TableFaults(analysis_late_s=20.0))
    table.do(LOOK_BACK)
    table.run(20.0)
    assert table.of(Analysed) == []
    table.run(5.0)
    assert len(table.of(Analysed)) == 1
