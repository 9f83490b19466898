"""A session in text: our side of it against the twin's, and both against the vendor's types."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import TypeAdapter

from voicebot.audio.formats import AudioFormat
from voicebot.call.ports import (
    AnswerTool,
    CancelReply,
    Configure,
    InsertHeard,
    InsertNote,
    InsertSaid,
    ModelCommand,
    ModelEvent,
    ModelReady,
    Reply,
    ReplyAudio,
    ReplyEnded,
    ReplyStarted,
    ReplyWords,
    ToolCall,
)
from voicebot.realtime.conversation import Conversation
from voicebot.realtime.server_events import parse
from voicebot.realtime.session import SessionConfig
from voicebot.sim.brain import Calls, Context, Output, Says
from voicebot.sim.realtime_quirks import Quirks, Timing
from voicebot.sim.realtime_session import RealtimeSession
from voicebot.tool_schema import ToolSchema

CONFIG = SessionConfig("gpt-realtime-2.1", "marin", AudioFormat.PCMU_8K, "gpt-transcribe", ("en",), text=True)
RECORD = ToolSchema("record", "Write it down.", {"type": "object", "properties": {"n": {"type": "integer"}}})
CLIENT: TypeAdapter[object] = TypeAdapter(RealtimeClientEvent)
SERVER: TypeAdapter[object] = TypeAdapter(RealtimeServerEvent)


class Script:
    """A brain that gives these outputs, and remembers what it was asked."""

    def __init__(self, *replies: Sequence[Output]) -> None:
        self._replies, self.asked = list(replies), list[Context]()

    def respond(self, context: Context) -> Sequence[Output]:
        self.asked.append(context)
        return self._replies.pop(0) if self._replies else (Says("Yes."),)


class Pair:
    """Both ends of one session, without a network: what one sends, the other gets, in the twin's time."""

    def __init__(self, *replies: Sequence[Output], quirks: Quirks | None = None, timing: Timing | None = None) -> None:
        self.now, self.brain, self.told = 50.0, Script(*replies), list[ModelEvent]()
        self.ours = Conversation(CONFIG, self.now)
        self.twin = RealtimeSession(self.brain, now=self.now, unix_now=1.8e9, quirks=quirks, timing=timing)
        self.wait(0.1)
        assert [type(event) for event in self.told] == [ModelReady]
        self.told.clear()

    def ask(self, *commands: ModelCommand) -> None:
        for command in commands:
            self.ours.perform(command, self.now)
        self._exchange()

    def wait(self, seconds: float) -> list[ModelEvent]:
        end, start = self.now + seconds, len(self.told)
        self._exchange()
        while (due := min(filter(None, (self.ours.deadline(), self.twin.deadline())), default=end)) < end:
            self.now = max(self.now, due)
            self.told += self.ours.on_deadline(self.now)
            self.twin.on_deadline(self.now)
            self._exchange()
        self.now = end
        return self.told[start:]

    def _exchange(self) -> None:
        while True:
            up, down = self.ours.data_to_send(), self.twin.data_to_send()
            if not up and not down:
                return
            for text in up:
                self.twin.handle(text, self.now)
            for text in down:
                event = parse(text)
                if event is not None:
                    self.told += self.ours.handle(event, self.now)

    def sent(self, sender: str) -> list[dict[str, object]]:
        return [dict(one.event) for one in self.twin.transcript if one.sender == sender and one.event is not None]


def reply(reply_id: str = "r1") -> Reply:
    return Reply(reply_id, "Take the order.", (RECORD,))


def test_written_turn_is_answered_in_words_alone() -> None:
    pair = Pair((Says("Two it is. Anything else?"),))
    pair.ask(InsertHeard("Two please."), reply())
    told = pair.wait(3)
    assert told[0] == ReplyStarted("r1")
    words = [event for event in told if isinstance(event, ReplyWords)]
    assert "".join(one.text for one in words if not one.final) == "Two it is. Anything else?"
    assert [one.text for one in words if one.final] == ["Two it is. Anything else?"]
    assert not any(isinstance(event, ReplyAudio) for event in told)
    ended = told[-1]
    assert isinstance(ended, ReplyEnded)
    assert (ended.status, ended.spoke, ended.calls) == ("completed", True, ())
    assert ended.usage is not None
    assert (ended.usage.input_audio, ended.usage.output_audio) == (0, 0)
    assert ended.usage.output_text > 0


def test_model_sees_written_words_as_the_callers() -> None:
    pair = Pair()
    pair.ask(InsertSaid("Hello!"), InsertHeard("Two please."), InsertNote("They pressed 1."), reply())
    pair.wait(3)
    items = pair.brain.asked[0].items
    assert [(item.role, item.text) for item in items] == [
        ("assistant", "Hello!"),
        ("user", "Two please."),
        ("system", "They pressed 1."),
    ]


def test_preamble_and_call_come_in_one_reply() -> None:
    pair = Pair((Says("One moment."), Calls("record", {"n": 2})), (Says("Noted."),))
    pair.ask(Configure("Take the order.", (RECORD,)), InsertHeard("Two please."), reply())
    ended = pair.wait(3)[-1]
    assert isinstance(ended, ReplyEnded)
    assert ended.spoke
    [call] = ended.calls
    assert call == ToolCall(call.call_id, "record", '{"n":2}')
    pair.ask(AnswerTool(call.call_id, "{}"), reply("r2"))
    assert [event.text for event in pair.wait(3) if isinstance(event, ReplyWords) and event.final] == ["Noted."]
    assert pair.twin.problems == []


def test_cancelled_writing_is_not_passed_on() -> None:
    pair = Pair((Says("word " * 100),), timing=Timing(text_s=0.05))
    pair.ask(InsertHeard("Go on."), reply())
    before = len(pair.wait(1.0))
    pair.ask(CancelReply())
    pair.wait(3)
    told = pair.told[before:]
    assert before
    assert not any(isinstance(event, ReplyWords) for event in told)
    assert [event.status for event in told if isinstance(event, ReplyEnded)] == ["cancelled"]


@pytest.mark.parametrize(
    ("quirks", "status", "words"),
    [
        (Quirks(filter_responses=(1,)), "incomplete", "Two it is."),
        (Quirks(fail_responses=(1,)), "failed", None),
    ],
)
def test_reply_that_is_cut_short_says_so(quirks: Quirks, status: str, words: str | None) -> None:
    pair = Pair((Says("Two it is. Anything else please?"),), quirks=quirks)
    pair.ask(InsertHeard("Two please."), reply())
    told = pair.wait(3)
    assert [event.text for event in told if isinstance(event, ReplyWords) and event.final] == ([words] if words else [])
    assert [event.status for event in told if isinstance(event, ReplyEnded)] == [status]


def test_nothing_on_the_wire_is_sound() -> None:
    pair = Pair((Says("One moment."), Calls("record", {"n": 2})), (Says("Noted."),))
    pair.ask(Configure("Take the order.", (RECORD,)), InsertHeard("Two please."), reply())
    pair.wait(3)
    kinds = {str(event["type"]) for event in (*pair.sent("client"), *pair.sent("server"))}
    assert {"response.output_text.delta", "response.output_text.done", "response.done"} <= kinds
    assert not [kind for kind in kinds if "audio" in kind]
    responses = [event["response"] for event in pair.sent("server") if event["type"] == "response.done"]
    assert [response["output_modalities"] for response in responses if isinstance(response, dict)] == [["text"]]


def test_every_event_passes_the_vendors_types() -> None:
    pair = Pair((Says("One moment."), Calls("record", {"n": 2})), (Says("Noted."),))
    pair.ask(Configure("Take the order.", (RECORD,)), InsertSaid("Hello!"), InsertHeard("Two please."), reply())
    pair.wait(3)
    for event in pair.sent("client"):
        CLIENT.validate_python(event)
    for event in pair.sent("server"):
        SERVER.validate_python(event)
