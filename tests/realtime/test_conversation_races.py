"""A capricious server, delays both ways and a busy call: no reply is lost, none is doubled."""

from __future__ import annotations

import json
from base64 import b64encode
from collections import Counter, deque
from dataclasses import dataclass
from random import Random

import pytest

from voicebot.audio.formats import AudioFormat
from voicebot.call.ports import (
    AnswerTool,
    AppendAudio,
    CancelReply,
    ConfigurationRejected,
    Configure,
    ModelCommand,
    ModelEvent,
    ModelLost,
    Reply,
    ReplyAudio,
    ReplyEnded,
    ReplyStarted,
    Truncate,
)
from voicebot.realtime.conversation import Conversation
from voicebot.realtime.server_events import parse
from voicebot.realtime.session import SessionConfig

Json = dict[str, object]
CONFIG = SessionConfig("gpt-realtime-2.1", "marin", AudioFormat.PCMU_8K, None)
ACTIONS_PER_RUN = 120


@dataclass(frozen=True)
class Caprice:
    """How likely the server does what it should not."""

    refuses: float = 0.0  # a response.create, with an error
    refuses_update: float = 0.0
    loses_done: float = 0.0  # after a cancel
    lags: float = 0.0  # believes for a while that a finished response runs
    strays: float = 0.0  # begins responses by itself
    echoes: bool = True  # gives metadata back


class Server:
    """The default conversation of the Realtime API, as its reference and its users' reports tell it."""

    def __init__(self, random: Random, caprice: Caprice) -> None:
        self.random, self.caprice = random, caprice
        self.out: deque[Json] = deque()
        self.running: str | None = None
        self.steps: deque[Json] = deque()
        self.lagging = 0
        self.begun: Counter[str] = Counter()  # by reply id
        self.spoken: dict[str, bytes] = {}
        self.configured = 0
        self.responses = 0
        self.emit({"type": "session.created", "session": {}})

    def emit(self, event: Json) -> None:
        self.out.append(event)

    def take(self, event: Json) -> None:
        match event:
            case {"type": "session.update"} if self.configured and self.random.random() < self.caprice.refuses_update:
                self.refuse("invalid_value", event)
            case {"type": "session.update"}:
                self.configured += 1
                self.emit({"type": "session.updated", "session": {}})
            case {"type": "response.create", "response": {"metadata": {"reply": str(reply_id)}}}:
                self.create(event, reply_id)
            case {"type": "response.cancel"}:
                self.cancel(event)

    def create(self, event: Json, reply_id: str) -> None:
        if self.running or self.lagging:
            self.refuse("conversation_already_has_active_response", event)
        elif self.random.random() < self.caprice.refuses:
            self.refuse("rate_limit_exceeded", event)
        else:
            self.begin(reply_id)

    def begin(self, reply_id: str | None) -> None:
        self.responses += 1
        self.running = response_id = f"resp_{self.responses}"
        if reply_id:
            self.begun[reply_id] += 1
        metadata = {"reply": reply_id} if reply_id and self.caprice.echoes else None
        about: Json = {"id": response_id, "conversation_id": "conv", "metadata": metadata}
        self.emit({"type": "response.created", "response": {**about, "status": "in_progress"}})
        output: list[Json] = []
        spoken = b""
        for item in range(self.random.randint(0, 2)):
            where = {"response_id": response_id, "item_id": f"{response_id}_{item}"}
            for part in range(self.random.randint(1, 3)):
                payload = f"{reply_id}:{item}.{part} ".encode()
                spoken += payload
                delta = b64encode(payload).decode()
                self.steps.append({"type": "response.output_audio.delta", **where, "delta": delta})
            self.steps.append({"type": "response.output_audio.done", **where})
            output.append({"type": "message", "content": [{"type": "output_audio", "transcript": "Words."}]})
        for call in range(self.random.choice([0, 0, 1, 2])):
            fields = {"call_id": f"{response_id}_{call}", "name": "f", "arguments": "{}", "status": "completed"}
            output.append({"type": "function_call", **fields})
        done = {**about, "status": "completed", "output": output}
        self.steps.append({"type": "response.done", "response": done})
        if reply_id:
            self.spoken[reply_id] = spoken

    def cancel(self, event: Json) -> None:
        if self.running is None or event.get("response_id", self.running) != self.running:
            self.refuse("response_cancel_not_active", event)
            return
        done = self.steps.pop()
        assert isinstance(done["response"], dict)
        self.steps.clear()
        self.running = None
        if self.random.random() >= self.caprice.loses_done:
            self.emit({"type": "response.done", "response": {**done["response"], "status": "cancelled", "output": []}})

    def refuse(self, code: str, event: Json) -> None:
        self.emit({"type": "error", "error": {"type": "x", "code": code, "event_id": event["event_id"]}})

    def act(self) -> None:
        """Go on a little with what runs, or do something unasked."""
        self.lagging = max(0, self.lagging - 1)
        if self.steps:
            step = self.steps.popleft()
            self.emit(step)
            if not self.steps:
                self.running = None
                self.lagging = 4 if self.random.random() < self.caprice.lags else 0
        elif self.begun and not self.lagging and self.random.random() < self.caprice.strays:
            self.begin(None)
        if self.random.random() < 0.1:
            self.emit({"type": "input_audio_buffer.speech_started", "item_id": "u", "audio_start_ms": 1})


class Run:
    """One call: everything happens in a random order, but each direction of the socket keeps its own."""

    def __init__(self, seed: int, caprice: Caprice) -> None:
        self.random = Random(seed)
        self.server = Server(self.random, caprice)
        self.now = 0.0
        self.conversation = Conversation(CONFIG, self.now)
        self.to_server: deque[Json] = deque()
        self.told: list[ModelEvent] = []
        self.asked: list[str] = []
        self.creates: Counter[str] = Counter()
        self.excused: set[str] = set()  # replaced or dropped while they waited
        self.dropped: set[str] = set()  # of those, the ones that a cancel dropped
        self.silenced: set[str] = set()  # cancelled, so nothing of them may be heard
        self.heard: dict[str, bytes] = {}

    def play(self) -> None:
        for _ in range(ACTIONS_PER_RUN):
            self.now += self.random.random() * 0.05
            self.random.choice([self.deliver, self.deliver, self.arrive, self.arrive, self.server.act, self.command])()
            self.keep_time()
        while self.to_server or self.server.out or self.server.steps or self.conversation.deadline() is not None:
            if not (self.to_server or self.server.out or self.server.steps):
                self.now = max(self.now, self.conversation.deadline() or self.now)
            for go in (self.arrive, self.server.act, self.deliver, self.keep_time):
                go()
            self.server.caprice = Caprice(echoes=self.server.caprice.echoes)

    def command(self) -> None:
        match self.random.choice(["reply", "reply", "cancel", "configure", "audio", "truncate"]):
            case "reply":
                self.ask()
            case "cancel":
                self.silenced |= {reply_id for reply_id in self.creates if not self.is_ended(reply_id)}
                self.dropped |= {reply_id for reply_id in self.asked if not self.creates[reply_id]} - self.excused
                self.excused |= self.dropped
                self.perform(CancelReply())
            case "configure":
                self.perform(Configure("Instructions.", ()))
            case "audio":
                self.perform(AppendAudio(b"\xff"))
            case "truncate":
                self.perform(Truncate("item", 1))

    def ask(self) -> None:
        self.excused |= {reply_id for reply_id in self.asked if not self.creates[reply_id]}
        reply_id = f"r{len(self.asked)}"
        self.asked.append(reply_id)
        self.perform(Reply(reply_id, "Instructions.", ()))

    def perform(self, command: ModelCommand) -> None:
        self.conversation.perform(command, self.now)
        self.collect()

    def arrive(self) -> None:
        if self.to_server:
            self.server.take(self.to_server.popleft())

    def deliver(self) -> None:
        if self.server.out:
            event = parse(json.dumps(self.server.out.popleft()))
            assert event is not None
            self.note(self.conversation.handle(event, self.now))

    def keep_time(self) -> None:
        due = self.conversation.deadline()
        if due is not None and due <= self.now:
            self.note(self.conversation.on_deadline(self.now))

    def note(self, events: list[ModelEvent]) -> None:
        self.told += events
        self.collect()
        for event in events:
            match event:
                case ReplyAudio(reply_id, _, payload):
                    assert reply_id not in self.silenced, "audio of a cancelled reply"
                    assert not self.is_ended(reply_id), "audio after the end"
                    self.heard[reply_id] = self.heard.get(reply_id, b"") + payload
                case ReplyEnded(calls=calls) if calls and len(self.asked) < 40:
                    for call in calls:
                        self.perform(AnswerTool(call.call_id, "{}"))
                    self.ask()

    def collect(self) -> None:
        for text in self.conversation.data_to_send():
            event = json.loads(text)
            self.to_server.append(event)
            if event["type"] == "response.create":
                self.creates[event["response"]["metadata"]["reply"]] += 1

    def is_ended(self, reply_id: str) -> bool:
        return any(isinstance(event, ReplyEnded) and event.reply_id == reply_id for event in self.told)


def check(run: Run) -> None:
    assert not [event for event in run.told if isinstance(event, ModelLost)]
    ended = Counter(event.reply_id for event in run.told if isinstance(event, ReplyEnded))
    over = {*run.creates, *run.dropped}
    assert ended == Counter(dict.fromkeys(over, 1)), "each reply that was asked of the server, or dropped, ends once"
    assert set(run.asked) - set(run.creates) <= run.excused, "a reply was lost"
    assert all(count == 1 for count in run.server.begun.values()), "a reply was doubled"
    started = Counter(event.reply_id for event in run.told if isinstance(event, ReplyStarted))
    assert all(count == 1 for count in started.values())
    completed = [event for event in run.told if isinstance(event, ReplyEnded) and event.status == "completed"]
    for event in completed:
        assert run.server.begun[event.reply_id] == 1
        if event.reply_id not in run.silenced:
            assert run.heard.get(event.reply_id, b"") == run.server.spoken[event.reply_id]
    assert run.server.running is None


CAPRICES = {
    "well behaved": Caprice(),
    "no metadata": Caprice(echoes=False),
    "lags": Caprice(lags=0.5),
    "strays": Caprice(strays=0.4),
    "refuses": Caprice(refuses=0.3, refuses_update=0.4),
    "loses": Caprice(loses_done=0.5),
    "all at once": Caprice(refuses=0.1, refuses_update=0.2, loses_done=0.2, lags=0.3, strays=0.2),
    "all but metadata": Caprice(refuses=0.1, refuses_update=0.2, lags=0.3, echoes=False),
}


@pytest.mark.parametrize("caprice", CAPRICES.values(), ids=CAPRICES)
@pytest.mark.parametrize("block", range(4))
def test_no_reply_is_lost_or_doubled(caprice: Caprice, block: int) -> None:
    for seed in range(block * 50, block * 50 + 50):
        run = Run(seed, caprice)
        run.play()
        check(run)
        if caprice == CAPRICES["well behaved"]:
            assert all(event.status != "failed" for event in run.told if isinstance(event, ReplyEnded))
            assert not [event for event in run.told if isinstance(event, ConfigurationRejected)]
            assert max(run.creates.values(), default=0) <= 1  # nothing had to be asked for twice
