"""Judges a call at the table by what its core asks for and writes down, beside what truly happened."""

from __future__ import annotations

from collections.abc import Sequence

from voicebot.call.entries import BotSaid, CallEnded, Entry
from voicebot.call.events import Effect, Event, Finish, Journal, StartTool
from voicebot.call.ports import Analyse, CloseLeg, Configure, ModelLost, Reply, ReplyEnded
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import PhaseEntered

from .table_clock import Distance
from .table_line import Utterance
from .timeline import FRAME_MS

_SHOWN = 40  # characters of an utterance in a sentence about it
_SLACK_MS = 2 * FRAME_MS + 1.0  # playout begins and ends with whole frames; the journal has whole milliseconds


class Referee:
    """Watches one call. `problems` are sentences; each rule that is broken again and again is told once."""

    def __init__(self, engine: PhaseEngine) -> None:
        self.problems: list[str] = []
        self.ended = False
        self._engine = engine
        self._open: str | None = None  # the reply that has not ended, as far as the core knows
        self._unconfigured: str | None = None  # a phase of which the model was not told
        self._started: set[str] = set()
        self._line_closed = self._looked_back = False

    def told(self, event: Event) -> None:
        """The core is about to take an event."""
        if isinstance(event, ModelLost) or (isinstance(event, ReplyEnded) and event.reply_id == self._open):
            self._open = None

    def asked(self, effect: Effect, now: float) -> None:
        """The core wants something done; what is only played needs not be told."""
        if self.ended:
            self._object(f"{type(effect).__name__} after the call was over")
        match effect:
            case Journal(entry=PhaseEntered(phase=phase)):
                self._unconfigured = phase
            case Configure():
                self._unconfigured = None
            case Reply():
                self._reply(effect, now)
            case CloseLeg():
                self._line_closed = True
            case Analyse():
                if not self._line_closed or self._looked_back:
                    self._object("the call was looked back at twice, or while the line was open")
                self._looked_back = True
            case StartTool(call_id=call_id, tool=tool):
                if call_id in self._started:
                    self._object(f"{tool} was started twice for one call")
                self._started.add(call_id)
            case Finish():
                self.ended = True

    def _reply(self, reply: Reply, now: float) -> None:
        if self._open is not None:
            self._object(f"{reply.reply_id} was asked for while {self._open} was under way: two replies at once")
        self._open = reply.reply_id
        if self._unconfigured is not None:
            self._object(f"a reply was asked for before the model was told of the phase {self._unconfigured}")
        if reply.tools != self._engine.tools():
            self._object(f"a reply was asked for with other tools than those of the phase {self._engine.state.phase}")
        if reply.instructions != self._engine.instructions(now):
            self._object(f"a reply was asked for with stale instructions in the phase {self._engine.state.phase}")

    def close(self, journal: Sequence[tuple[int, Entry]], utterances: Sequence[Utterance], distance: Distance) -> None:
        """The call is over: compare the journal with what was truly played.

        The ledger may lag the truth by the way of an echo and of a clear, and no more.
        """
        if not journal or not isinstance(journal[-1][1], CallEnded):
            self._object("the call's journal does not end with its end")
        spoken = [(at_ms, entry) for at_ms, entry in journal if isinstance(entry, BotSaid) and entry.sent_ms]
        if len(spoken) < len(utterances):
            self._object(f"{len(utterances)} utterances were sent to the line, the journal has {len(spoken)}")
        for number, (at_ms, entry) in enumerate(spoken):
            # The last ones may have been on their way to a line that was over.
            truth = utterances[number] if number < len(utterances) else Utterance(cut=True)
            self._compare(at_ms, entry, truth, distance)

    def _compare(self, at_ms: int, entry: BotSaid, truth: Utterance, distance: Distance) -> None:
        """One utterance of the journal beside what the line played of it."""
        echo_ms = (distance.to_us_s + distance.jitter_s) * 1000
        lag_ms = echo_ms + (distance.from_us_s + distance.jitter_s) * 1000
        if not -lag_ms - _SLACK_MS <= entry.heard_ms - truth.played_ms <= echo_ms + _SLACK_MS:
            self._object(
                f"of {_shown(entry.text)} the caller heard {truth.played_ms:.0f} ms, the journal says "
                f"{entry.heard_ms} ms"
            )
        late_ms = at_ms - truth.closed_ms
        if not (truth.cut or entry.interrupted) and late_ms > echo_ms + _SLACK_MS:
            self._object(f"{_shown(entry.text)} was over for {late_ms:.0f} ms before the call noticed it")

    def _object(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…")
