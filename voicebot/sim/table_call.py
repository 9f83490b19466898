"""One call at the table: the product's call core, what is round it, and the ways between them.

Whatever happens next happens at once, in the call's own time: the end of a frame in which the caller must be asked,
something that was planned, or the core's deadline.
"""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

from voicebot.audio.formats import AudioFormat
from voicebot.call.about import context_of
from voicebot.call.clips import ClipCache
from voicebot.call.core import CallCore
from voicebot.call.entries import AnswererKnown, CallEnded, CallOpened, Entry, TextMessage
from voicebot.call.events import (
    AnswererFound,
    Effect,
    Event,
    Finish,
    Journal,
    KeepSecret,
    LetGo,
    MessageTold,
    ReconnectModel,
    SayWanted,
    StartTool,
)
from voicebot.call.messages import Messages
from voicebot.call.ports import (
    CallerEvent,
    CallerLeft,
    ClearPlayback,
    CloseLeg,
    KeyPressed,
    LegCommand,
    ModelCommand,
    ModelEvent,
    PlayAudio,
    SendMark,
)
from voicebot.engine.engine import PhaseEngine
from voicebot.flow.loader import LoadedFlow
from voicebot.flow.tools import Tool
from voicebot.store.contract import CallRecord

from .brain import Brain, reads_verbatim
from .caller import Conversation, PressKey, PutDown
from .table_caller import TableHandset
from .table_chance import Chance, TableFaults
from .table_clock import Distance, Ids, Schedule, Way
from .table_handlers import play_handlers
from .table_line import TableLine
from .table_model import TableModel
from .table_referee import Referee
from .table_tools import play_tool

log = logging.getLogger(__name__)

# Delays in seconds: usual, shortest, longest.
CONNECT_S = (0.2, 0.0, 1.2)  # from the webhook's answer to the caller's stream
LINE_S = (0.0, 0.0, 0.15)  # one way between the caller's line and us
MODEL_S = (0.0, 0.0, 0.08)  # one way between us and the model
TOOL_S = (0.0, 0.0, 0.2)  # besides what the function itself takes
ANSWERER_S = (2.5, 0.8, 4.0)  # from the answer to a call of ours until the line knows that it was a human being

MODEL = "the table's"

_STANDSTILL = 1_000  # deadlines kept at one and the same time, after which a core will never go on


class TableCall:
    """One call.

    Attributes:
        journal: entries with their times (ms since the call began).
        problems: what went another way than it should in any call; complete when `play` has returned.
        handset: knows what the caller heard and said.
    """

    def __init__(
        self,
        loaded: LoadedFlow,
        brain: Brain,
        caller: Conversation,
        record: CallRecord,
        chance: Chance,
        faults: TableFaults,
        variables: Mapping[str, str],
    ) -> None:
        self.journal: list[tuple[int, Entry]] = []
        self.problems: list[str] = []
        self._loaded, self._caller, self._record, self._chance = loaded, caller, record, chance
        self._variables = variables
        engine = PhaseEngine(loaded.flow, context_of(record, variables))
        self._sent: list[TextMessage] = []  # by the tool that runs
        self._messages = Messages(engine.context, _send, self._sent.append)
        self._core = CallCore(engine, audio_format=AudioFormat.PCMU_8K, clips=ClipCache(), model=MODEL)
        self._tools = {name: thing for name, thing in loaded.functions.items() if isinstance(thing, Tool)}
        self._due = math.inf  # the core's deadline
        self._referee = Referee(engine)
        self._schedule = schedule = Schedule()
        to_us_s, from_us_s = faults.line_delay_s or (chance.wait(*LINE_S), chance.wait(*LINE_S))
        self._distance = Distance(to_us_s, from_us_s, faults.jitter_s)
        jitter = partial(chance.wait, 0.0, 0.0, faults.jitter_s) if faults.jitter_s else None
        self._from_line: Way[CallerEvent] = Way(schedule, self._told, to_us_s, jitter)
        self._line = TableLine(schedule, self._from_line.send, chance, faults)
        self._to_line = self._obey if not (from_us_s or jitter) else Way(schedule, self._obey, from_us_s, jitter).send
        self._to_model_s, self._from_model_s = chance.wait(*MODEL_S), chance.wait(*MODEL_S)
        self._brain, self._faults, self._ids = reads_verbatim(brain, misreadings=faults.misreadings), faults, Ids()
        self._model, self._to_model = self._connect_model()
        self.handset = TableHandset(caller, self._line, self._say)
        self._on_the_phone = True
        self._connected = self._broken = False
        self._kept_late = 0  # deadlines that had passed when they were kept, in a row

    @property
    def now(self) -> float:
        """How long the call has lasted (s)."""
        return self._schedule.now

    # ---- the course of a call ----

    def play(self, limit_s: float) -> None:
        """Play it from the webhook to the end."""
        loaded, record = self._loaded, self._record
        opened = CallOpened(
            *(loaded.name, loaded.version, loaded.document),
            *(record.caller, record.called, record.direction),
            self._variables,
        )
        self._decide(partial(self._core.prepare, opened))
        self._schedule.after(self._chance.wait(*CONNECT_S), self._connect)
        for lost_at in self._faults.model_lost_at_s:
            self._schedule.at(lost_at, self._lose_model)
        self._run(limit_s)
        if self._on_the_phone:
            self._end_line(hung_up=False)
        self._referee.close(self.journal, self._line.utterances, self._distance)
        self.problems += [
            *(f"the caller: {problem}" for problem in self._caller.problems),
            *(f"towards the model: {problem}" for problem in self._model.problems),
            *(f"the call: {problem}" for problem in self._referee.problems),
        ]

    def _run(self, limit_s: float) -> None:
        """Let one thing happen after the other, whichever comes first."""
        schedule = self._schedule
        while not (self._referee.ended or self._broken):
            frame_at = self.handset.next_ms() / 1000 if self._on_the_phone else math.inf
            event_at, due = schedule.next_at, self._due
            if frame_at > limit_s and event_at > limit_s and due > limit_s:
                self._object(f"the call did not end within {limit_s:g} s")
                return
            if frame_at <= event_at and frame_at <= due:
                schedule.now = max(schedule.now, frame_at)
                self._ask_caller(round(frame_at * 1000))
            elif event_at <= due:
                schedule.run_next()
            else:
                self._keep_deadline(due)

    def _connect(self) -> None:
        """The caller's stream is open."""
        if self._on_the_phone:
            self._connected = True
            self._model.turns.open(self._schedule.now * 1000)
            self._decide(partial(self._core.connect, f"MZ{self._record.call_sid[2:]}"))
            if self._record.direction == "outbound":
                took_s = self._chance.wait(*ANSWERER_S)
                known = AnswererKnown("human", round(took_s * 1000))
                self._schedule.after(took_s, partial(self._told, AnswererFound(known)))

    def _connect_model(self) -> tuple[TableModel, Callable[[ModelCommand], None]]:
        """A connection to a model, and the way to it."""
        schedule, to_model_s = self._schedule, self._to_model_s
        uplink_s = self._distance.to_us_s + to_model_s
        from_model: Way[ModelEvent] = Way(schedule, self._told, self._from_model_s)
        model = TableModel(schedule, self._brain, from_model.send, self._chance, self._faults, self._ids, uplink_s)
        return model, Way(schedule, model.perform, to_model_s).send if to_model_s else model.perform

    def _reconnect(self) -> None:
        """Another connection; it hears what the caller says from now on."""
        misconduct = self._model.problems
        self._model.leave()
        self._model, self._to_model = self._connect_model()
        self._model.problems[:0] = misconduct
        now_ms = self._schedule.now * 1000
        for words in self.handset.said:
            if words.end_ms > now_ms:
                self._say(words.text, words.start_ms, words.end_ms)
        self._model.turns.open(now_ms)
        if not self._on_the_phone:
            self._model.turns.hang_up(now_ms)
        if not self._faults.model_returns:
            self._model.lose(retryable=False)

    def _lose_model(self) -> None:
        self._model.lose()

    def _say(self, text: str, begins_ms: float, ends_ms: float) -> None:
        if not self._core.hushed:  # else silence goes on in its place
            self._model.turns.say(text, begins_ms, ends_ms)

    def _ask_caller(self, at_ms: float) -> None:
        for act in self.handset.step(at_ms):
            match act:
                case PressKey(digit):
                    if self._connected:
                        self._from_line.send(KeyPressed(digit))
                case PutDown():
                    self._end_line(hung_up=True)
                    return

    def _end_line(self, *, hung_up: bool) -> None:
        """The caller's line is over, by his wish or by ours."""
        now = self._schedule.now
        self._on_the_phone = False
        self._line.stop()
        self._model.turns.hang_up(now * 1000)
        self.handset.end(now * 1000, hung_up=hung_up)
        if self._connected:
            self._from_line.send(CallerLeft("hangup"))
        else:
            self._schedule.after(self._distance.to_us_s, self._abandon)

    def _abandon(self) -> None:
        """The caller hung up before there was a stream."""
        self._decide(partial(self._core.abandon, "never_connected"))

    def _obey(self, command: LegCommand) -> None:
        self._line.obey(command)
        if type(command) is CloseLeg and self._on_the_phone:
            self._end_line(hung_up=False)

    # ---- the core ----

    def _told(self, event: Event) -> None:
        self._referee.told(event)
        self._decide(partial(self._core.handle, event))

    def _keep_deadline(self, at: float) -> None:
        self._kept_late = self._kept_late + 1 if at <= self._schedule.now else 0
        self._schedule.now = max(self._schedule.now, at)
        self._decide(self._core.on_deadline)
        if self._kept_late > _STANDSTILL:
            self._break("its deadline stands still")

    def _decide(self, decide: Callable[[float], Sequence[Effect]]) -> None:
        """Have the core decide something, and perform it."""
        if self._broken or self._referee.ended:
            return
        try:
            effects = decide(self._schedule.now)
            self._due = _or_never(self._core.deadline())
        except Exception as exc:  # boundary of a call: an error of ours ends it, and is told with its place
            log.exception("the call broke")
            frame = traceback.extract_tb(exc.__traceback__)[-1]
            self._break(f"{type(exc).__name__}: {exc} ({frame.filename}:{frame.lineno})")
            return
        for effect in effects:
            self._perform(effect)

    def _break(self, problem: str) -> None:
        self._object(f"the call broke: {problem}")
        self._write(CallEnded("error"))
        self._broken = True

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, (PlayAudio, SendMark)):  # most of all effects, and nothing in them to judge
            self._to_line(effect)
            return
        self._referee.asked(effect, self._schedule.now)
        match effect:
            case ClearPlayback():
                self._to_line(effect)
            case CloseLeg():
                self._model.turns.hang_up((self._schedule.now - self._distance.to_us_s) * 1000)
                self._to_line(effect)
            case Journal(entry=entry):
                self._write(entry)
            case StartTool():
                self._start_tool(effect)
            case ReconnectModel():
                self._reconnect()
            case Finish() | LetGo() | KeepSecret():  # whose vault nobody reads here
                return
            case _:
                self._to_model(effect)

    def _start_tool(self, wanted: StartTool) -> None:
        """Run it at once, so that it sees what it would see; what it has to say comes in its own time."""
        engine = self._core.engine
        run = play_tool(
            self._tools[wanted.tool],
            wanted,
            call_sid=self._record.call_sid,
            caller=engine.context.caller,
            observations=engine.values,
            send_sms=self._messages.send,
        )
        for at, words in run.said:
            self._schedule.after(at, partial(self._told, SayWanted(words)))
        for sent in self._sent:
            self._schedule.after(run.took_s, partial(self._told, MessageTold(sent)))
        self._sent.clear()
        self._schedule.after(run.took_s + self._chance.wait(*TOOL_S), partial(self._told, run.finished))

    def _write(self, entry: Entry) -> None:
        at_ms = round(self._schedule.now * 1000)
        self.journal.append((at_ms, entry))
        if handlers := self._loaded.flow.handlers:
            at = self._record.started + timedelta(milliseconds=at_ms)
            engine, call_sid = self._core.engine, self._record.call_sid
            for after_s, wish in play_handlers(handlers, entry, at, call_sid=call_sid, engine=engine):
                self._schedule.after(after_s, partial(self._told, wish))

    def _object(self, problem: str) -> None:
        self.problems.append(problem)


async def _send(to: str, from_: str, text: str) -> str:
    """Every message arrives."""
    return f"SM{'0' * 32}"


def _or_never(due: float | None) -> float:
    return math.inf if due is None else due
