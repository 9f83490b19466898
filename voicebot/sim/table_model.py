"""The model at the table: takes a call's commands to its model, thinks with a brain, and answers in a seed's time.

It stands at the level of `call.ports`, where a real one's adapter stands: no wire, no audio but the table's own. It
judges who commands it, too: `problems` holds what no conversation allows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from voicebot.call.ports import (
    Analyse,
    Analysed,
    AnalysisFailed,
    AnswerTool,
    AppendAudio,
    CancelReply,
    ClipFailed,
    ClipRendered,
    CommitAudio,
    Configure,
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
    ReplyEnded,
    Truncate,
)
from voicebot.tool_schema import ToolSchema

from .brain import Brain, Calls, Context, ContextItem, Output, Says, obey
from .table_chance import Chance, TableFaults
from .table_clock import Ids, Schedule
from .table_items import TableItems
from .table_response import Means, Progress, TableResponse
from .table_speech import spoken
from .table_turns import TableTurns
from .timeline import BYTES_PER_MS

# Delays in seconds: usual, shortest, longest.
READY_S = (0.05, 0.0, 0.8)
CANCELLED_S = (0.0, 0.0, 0.3)
CLIP_S = (0.35, 0.05, 1.5)
ANALYSIS_S = (0.8, 0.1, 1.6)

_USUAL_DELTA_MS, _OTHER_DELTAS_MS = 400, (200, 600)
_USUAL_SPEED, _OTHER_SPEEDS = 4.0, (2.0, 8.0, 50.0)
_VERBATIM_TAG = re.compile(r"<(?=/?verbatim>)", re.IGNORECASE)


class TableModel:
    """One session with a model, connected from the beginning and configured a little later.

    Args:
        brain: what it thinks, and how it reads exact statements.
        tell: sends an event to the server.
        ids: names items and calls.
        uplink_s: how late the caller's sound is here.
    """

    def __init__(
        self,
        schedule: Schedule,
        brain: Brain,
        tell: Callable[[ModelEvent], None],
        chance: Chance,
        faults: TableFaults,
        ids: Ids,
        uplink_s: float,
    ) -> None:
        self.problems: list[str] = []
        self._schedule, self._tell_server, self._chance, self._faults = schedule, tell, chance, faults
        self._brain = brain
        self._items = TableItems()
        self.turns = TableTurns(schedule, self._tell, self._keep_turn, chance, faults, ids, uplink_s)
        delta_ms = chance.pick(_USUAL_DELTA_MS, _OTHER_DELTAS_MS)
        speed = chance.pick(_USUAL_SPEED, _OTHER_SPEEDS)
        self._means = Means(self._tell, self._items, chance, ids, delta_ms, speed)
        self._held: list[ModelCommand] | None = []  # until the session is configured
        self._lost = False
        self._current: TableResponse | None = None
        self._steps: Iterator[float] = iter(())
        self._waiting: Reply | None = None
        self._rendering: set[str] = set()
        schedule.after(chance.wait(*READY_S), self._be_ready)

    # ---- the session ----

    def perform(self, command: ModelCommand) -> None:
        """Do what the server asks for, now or when the session is configured."""
        if self._lost:
            return
        if self._held is not None:
            self._held.append(command)
        else:
            self._perform(command)

    def _be_ready(self) -> None:
        if self._lost:
            return
        held, self._held = self._held or [], None
        self._tell(ModelReady())
        for command in held:
            self._perform(command)
        self.turns.wake()

    def lose(self, *, retryable: bool = True) -> None:
        """The connection breaks."""
        self._tell(ModelLost("the connection broke", retryable))
        self._lost, self._held = True, None

    def leave(self) -> None:
        """The server has closed the connection, if it was not lost before."""
        self._lost, self._held = True, None

    def _tell(self, event: ModelEvent) -> None:
        if not self._lost:
            self._tell_server(event)

    def _perform(self, command: ModelCommand) -> None:
        match command:
            case Reply():
                self._ask(command)
            case CancelReply():
                self._cancel()
            case Truncate(item_id, audio_end_ms):
                self._object(self._items.truncate(item_id, audio_end_ms))
            case AnswerTool(call_id, output):
                self._object(self._items.answer(call_id, output))
            case InsertSaid(text):
                self._items.add(ContextItem("message", "assistant", text))
            case InsertCall(call):
                self._items.call(call.call_id, call.name, call.arguments)
            case InsertHeard(text):
                self._items.add(ContextItem("message", "user", text))
            case InsertNote(text):
                self._items.add(ContextItem("message", "system", text))
            case RenderClip():
                self._render(command)
            case Analyse():
                self._look_back(command)
            case CommitAudio():
                self.turns.commit()
            case Configure() | AppendAudio():  # a reply repeats what it needs; sound comes to `turns` by itself
                return

    def _keep_turn(self, item_id: str, text: str) -> None:
        self._items.add(ContextItem("message", "user", text, item_id=item_id))

    def _object(self, problem: str | None) -> None:
        if problem is not None:
            self.problems.append(problem)

    # ---- replies ----

    def _ask(self, reply: Reply) -> None:
        """One at a time; a second that waits replaces the first."""
        if self._current is not None:
            self._drop_waiting()
            self._waiting = reply
            return
        unanswered = self._items.unanswered()
        if unanswered:
            self._object(f"asked for a reply while {', '.join(unanswered)} had no answer")
        fails = self._chance.strikes(self._faults.reply_failures)
        self._current = TableResponse(reply, () if fails else self._think(reply), self._means, fails=fails)
        self._play(self._current.steps())

    def _think(self, reply: Reply) -> list[Output]:
        context = Context(reply.instructions, _on_offer(reply.tools), reply.tool_choice, self._items.seen())
        outputs = obey(self._brain.respond(context), context)
        return [output for output in outputs if not isinstance(output, Says) or output.text.strip()]

    def _play(self, steps: Iterator[float]) -> None:
        self._steps = steps
        self._advance(steps)

    def _advance(self, steps: Iterator[float]) -> None:
        if steps is not self._steps or self._lost:
            return
        for wait_s in steps:
            if wait_s > 0:
                self._schedule.after(wait_s, partial(self._advance, steps))
                return
        self._over()

    def _over(self) -> None:
        self._current, waiting, self._waiting = None, self._waiting, None
        if waiting is not None:
            self._ask(waiting)

    def _cancel(self) -> None:
        self._drop_waiting()
        response = self._current
        if response is None:
            return
        if response.progress is Progress.REQUESTED:
            response.unwanted = True
        elif response.progress is Progress.RUNNING:
            response.cut()
            self._play(self._cancelled(response))

    def _cancelled(self, response: TableResponse) -> Iterator[float]:
        yield self._chance.wait(*CANCELLED_S)
        response.finish("cancelled")

    def _drop_waiting(self) -> None:
        if self._waiting is not None:
            self._tell(ReplyEnded(self._waiting.reply_id, "cancelled"))
            self._waiting = None

    # ---- exact statements ----

    def _render(self, command: RenderClip) -> None:
        if command.key in self._rendering:
            return
        self._rendering.add(command.key)
        wait_s = self._chance.wait(*CLIP_S)
        if self._chance.strikes(self._faults.clip_failures):
            self._schedule.after(wait_s, partial(self._rendered, ClipFailed(command.key, "server_error")))
            return
        instructions = f"<verbatim>{_VERBATIM_TAG.sub('‹', command.text)}</verbatim>"
        context = Context(instructions, tool_choice="none", out_of_band=True)
        text = " ".join(output.text for output in self._brain.respond(context) if isinstance(output, Says))
        audio = spoken(text)
        wait_s += len(audio) / BYTES_PER_MS / 1000 / self._means.speed
        self._schedule.after(wait_s, partial(self._rendered, ClipRendered(command.key, audio, text)))

    def _rendered(self, event: ClipRendered | ClipFailed) -> None:
        self._rendering.discard(event.key)
        self._tell(event)

    # ---- looks back at the call ----

    def _look_back(self, command: Analyse) -> None:
        wait_s = self._chance.wait(*ANALYSIS_S) + self._faults.analysis_late_s
        told: Analysed | AnalysisFailed = AnalysisFailed(command.key, "server_error")
        if not self._chance.strikes(self._faults.analysis_failures):
            told = Analysed(command.key, self._conclusion(command))
        self._schedule.after(wait_s, partial(self._tell, told))

    def _conclusion(self, command: Analyse) -> str:
        function = f"function:{command.tool.name}"
        offered, seen = _on_offer([command.tool]), self._items.seen()
        context = Context(command.instructions, offered, function, seen, out_of_band=True)
        outputs = obey(self._brain.respond(context), context)
        return next(output.arguments_json for output in outputs if isinstance(output, Calls))


def _on_offer(tools: Iterable[ToolSchema]) -> tuple[Mapping[str, object], ...]:
    """Functions as they stand on the wire."""
    return tuple(
        {"type": "function", "name": tool.name, "description": tool.description, "parameters": tool.parameters}
        for tool in tools
    )
