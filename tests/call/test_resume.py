"""A call goes on in other hands: cut at every entry of its journal, it comes back as it was, and once only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

import jsonschema
import pytest

from tests.shipped import AT_THE_TABLE as SCENARIOS
from voicebot.audio.formats import AudioFormat
from voicebot.call import entries, ports
from voicebot.call.about import context_of
from voicebot.call.clips import ClipCache
from voicebot.call.core import CallCore, Stage
from voicebot.call.entries import Entry, kind_of, write_entry
from voicebot.call.events import Effect, Event, Journal, StartTool
from voicebot.call.past import Past
from voicebot.call.replay import replay
from voicebot.call.statements import words_of_return
from voicebot.delivery.report import fold_report
from voicebot.delivery.report_schema import report_schema
from voicebot.engine import entries as engine_entries
from voicebot.engine.engine import EVIDENCE_LIMIT_S, PhaseEngine
from voicebot.engine.events import ToolFinished
from voicebot.flow.loader import FlowShelf, LoadedFlow, load_folder
from voicebot.sim.table import TableRead, table_read
from voicebot.store.contract import CallRecord, StoredEntry

E = TypeVar("E")
FLOWS = Path(__file__).parents[2] / "flows"
EVERY = 4  # of the cuts, where a whole call follows each
GAP_MS = 2_000  # from the last entry to the new owner
NEW_ATTEMPT = 2

Lines = tuple[tuple[int, Entry], ...]


@cache
def shelf() -> FlowShelf:
    return load_folder(FLOWS)


@cache
def read(number: int) -> TableRead:
    """A whole call of a scenario, in the times of a seed of its own."""
    scenario = SCENARIOS[number]
    return table_read(scenario, shelf().get(scenario.flow), seed=number)


def cuts(call: TableRead) -> Iterator[Lines]:
    """The journal as it stands at every moment at which somebody may have to go on from it."""
    for length in range(1, len(call.journal) + 1):
        lines = call.journal[:length]
        if past_of(lines).closed is not None:
            return
        yield lines


def past_of(lines: Lines, gap_ms: int = GAP_MS) -> Past:
    return Past(lines, len(lines), lines[-1][0] + gap_ms)


def answered(lines: Lines) -> bool:
    """Whether the engine had begun."""
    return any(isinstance(entry, engine_entries.PhaseEntered) for _, entry in lines)


class Resumed:
    """A call under test, which was in other hands before. `done` holds every effect so far."""

    def __init__(self, loaded: LoadedFlow, record: CallRecord, lines: Lines, *, now: float = 5_000.0) -> None:
        self.loaded, self.record, self.past, self.now = loaded, record, past_of(lines), now
        self.context = context_of(record, self.past.opened.variables)
        self.began = now - self.past.at_ms / 1000
        engine = PhaseEngine(loaded.flow, self.context)
        self.core = CallCore(
            engine, audio_format=AudioFormat.PCMU_8K, clips=ClipCache(), model="the table's", past=self.past
        )
        self.done: list[Effect] = []
        self.journal: list[tuple[int, Entry]] = list(lines)
        self._echoed = self._rendered = 0

    def fold(self) -> PhaseEngine:
        """The engine as the journal before the cut has it."""
        engine = PhaseEngine(self.loaded.flow, self.context)
        told = ((self.began + at_ms / 1000, entry) for at_ms, entry in self.past.engine_entries)
        engine.restore(told, self.began + (self.past.answered_ms or 0) / 1000)
        return engine

    def take(self, effects: Sequence[Effect]) -> None:
        self.done += effects
        at_ms = round((self.now - self.began) * 1000)
        self.journal += [(at_ms, one.entry) for one in effects if isinstance(one, Journal)]

    def feed(self, *events: Event) -> None:
        for event in events:
            self.take(self.core.handle(event, self.now))

    def begin(self, *, model_first: bool = True) -> None:
        """As the session does it, in either order of the model and the caller's stream."""
        self.take(self.core.resume(NEW_ATTEMPT, self.now))
        ready = partial(self.feed, ports.ModelReady())
        steps = [ready, lambda: self.take(self.core.connect("MZ2", self.now))]
        for step in steps if model_first else reversed(steps):
            self.pass_time(0.3)
            step()

    def settle(self) -> None:
        """Render what is to be rendered and play what was sent, until nothing more comes of it."""
        while True:
            clips, marks = self.all(ports.RenderClip)[self._rendered :], self.all(ports.SendMark)[self._echoed :]
            if not (clips or marks):
                return
            self._rendered, self._echoed = self._rendered + len(clips), self._echoed + len(marks)
            self.pass_time(0.5)
            self.feed(*(ports.ClipRendered(one.key, b"\1" * 4000, one.text) for one in clips))
            self.feed(*(ports.MarkPlayed(one.name) for one in marks))

    def all(self, kind: type[E]) -> list[E]:
        return [effect for effect in self.done if isinstance(effect, kind)]

    def entries(self, kind: type[E]) -> list[E]:
        """What was written since the cut."""
        return [entry for _, entry in self.journal[self.past.sequence :] if isinstance(entry, kind)]

    def spoken(self) -> list[str]:
        """Exact statements that the caller has heard since the cut."""
        return [entry.text for entry in self.entries(entries.BotSaid) if entry.exact]

    def stored(self) -> list[StoredEntry]:
        return [
            StoredEntry(
                number, kind_of(entry), at_ms, self.record.started + timedelta(milliseconds=at_ms), write_entry(entry)
            )
            for number, (at_ms, entry) in enumerate(self.journal, 1)
        ]

    def go_on_as(self, rest: Lines) -> None:
        """Let the caller and the model say what they said in the call that was not cut."""
        calls: list[ports.ToolCall] = []
        for (_, entry), (_, following) in zip(rest, (*rest[1:], rest[-1]), strict=True):
            self.pass_time(0.4)
            match entry:
                case engine_entries.CallerTurnTaken(item_id=item_id):
                    speaks = (ports.SpeechStarted(item_id, 0), ports.SpeechStopped(item_id, 500))
                    self.feed(*speaks, ports.TurnCommitted(item_id))
                case engine_entries.CallerSaid(item_id=item_id, text=text):
                    self.feed(ports.CallerTranscript(item_id, text))
                case entries.FunctionCalled(call_id=call_id, name=name, arguments=arguments):
                    calls.append(ports.ToolCall(call_id, name, arguments))
                    if not isinstance(following, entries.FunctionCalled) and (replies := self.all(ports.Reply)):
                        self.feed(ports.ReplyEnded(replies[-1].reply_id, "completed", tuple(calls), spoke=False))
                        calls = []
            self.finish_tools()
            self.settle()

    def finish_tools(self) -> None:
        """Tools at work are done, and those that wait for the caller's words have waited long enough."""
        if self.core.engine.state.held:
            self.pass_time(EVIDENCE_LIMIT_S)
        for call_id in list(self.core.engine.state.running):
            self.feed(ToolFinished(call_id, "done", True))

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with every deadline kept."""
        until = self.now + seconds
        while (due := self.core.deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            self.take(self.core.on_deadline(self.now))
        self.now = until


def resumed(call: TableRead, lines: Lines) -> Resumed:
    return Resumed(call.loaded, call.record, lines)


every_call = pytest.mark.parametrize(
    "number", range(len(SCENARIOS)), ids=lambda n: f"{SCENARIOS[n].flow}: {SCENARIOS[n].name}"
)


# ---- what comes back ------------------------------------------------------------------------------------------------


@every_call
def test_call_comes_back_as_its_journal_tells(number: int) -> None:
    call = read(number)
    for lines in cuts(call):
        one = resumed(call, lines)
        one.take(one.core.resume(NEW_ATTEMPT, one.now))
        fold, engine = one.fold(), one.core.engine
        if one.past.answered_ms is not None:
            assert engine.state == fold.state
            assert engine.known == fold.known
            assert engine.deadline() == fold.deadline(), "limits count from when the call was answered"
        assert [type(entry) for _, entry in one.journal[len(lines) :]] == [entries.CallTakenOver]
        assert one.core.stage is Stage.PREPARING


@every_call
def test_caller_hears_one_word_of_it_and_the_model_all(number: int) -> None:
    call = read(number)
    flow = call.loaded.flow
    for lines in cuts(call):
        one = resumed(call, lines)
        fold = one.fold()
        again = words_of_return(flow, fold.language)
        assert again is not None
        one.begin(model_first=(number + len(lines)) % 2 == 0)
        one.settle()
        one.finish_tools()
        one.settle()
        where = f"cut after {len(lines)}, {kind_of(lines[-1][1])}"
        first_words = {again.text, *([flow.opening.text] if flow.opening else ())}
        assert sum(text in first_words for text in one.spoken()) == 1, where
        if not answered(lines):  # it has only begun now, as any call does
            continue
        told = [effect for effect in one.done if isinstance(effect, ports.ModelCommand)]
        asked = [number for number, effect in enumerate(told) if isinstance(effect, ports.Reply)]
        by_keys = one.core.engine.enters_secret  # then exact words have asked for it, and the model waits
        assert len(asked) == (0 if by_keys else 1), f"one reply is owed: {where}"
        before = told if by_keys else told[: asked[0]]
        assert isinstance(before[0], ports.Configure)
        words = {entry.text for _, entry in lines if isinstance(entry, engine_entries.CallerSaid) and entry.text}
        assert words <= {effect.text for effect in before if isinstance(effect, ports.InsertHeard)}
        said = {entry.heard_text for _, entry in lines if isinstance(entry, entries.BotSaid) and entry.heard_text}
        assert said <= {effect.text for effect in before if isinstance(effect, ports.InsertSaid)}
        assert not any("Greet them" in effect.text for effect in before if isinstance(effect, ports.InsertNote))
        for name in fold.state.saying:
            assert engine_entries.StatementCut(name) in one.entries(engine_entries.StatementCut)
            if one.core.engine.state.closing is None and name in {say.name for say in one.core.engine.phase.must_say}:
                assert name in one.core.engine.state.heard


@every_call
def test_what_ran_once_is_not_run_again(number: int) -> None:
    call = read(number)
    flow = call.loaded.flow
    for lines in cuts(call):
        one = resumed(call, lines)
        fold = one.fold()
        results = fold.state.results.items()
        maybe_done = {name for name, found in results if not all(result.refused for result in found)}
        maybe_done |= {use.tool for use in fold.state.running.values()}
        one.begin()
        one.settle()
        again = {effect.tool for effect in one.all(StartTool)} & maybe_done
        assert all(flow.once[name].idempotent for name in again)
        for call_id, use in fold.state.running.items():
            if use.tool not in flow.once or not flow.once[use.tool].idempotent:
                answers = [entry for entry in one.entries(engine_entries.ToolAnswered) if entry.call_id == call_id]
                assert [entry.ok for entry in answers] == [False]


@every_call
def test_call_goes_on_and_its_journal_folds_and_replays(number: int) -> None:
    """Cut, gone on with, cut again: the journal of all hands together decides the same, and gives a report."""
    call = read(number)
    flow, journal = call.loaded.flow, call.journal
    schema = jsonschema.Draft202012Validator(report_schema(call.loaded.name, flow))
    # A store keeps all that was decided at one moment, or nothing of it.
    whole = [lines for lines in cuts(call) if journal[len(lines)][0] != lines[-1][0]]
    for lines in whole[number % EVERY :: EVERY]:
        one = resumed(call, lines)
        one.begin()
        one.settle()
        one.go_on_as(journal[len(lines) :])
        second = Resumed(call.loaded, call.record, tuple(one.journal))
        if second.past.closed is None:
            second.begin()
            second.settle()
            second.take(second.core.abandon("connection_lost", second.now))
        assert replay(flow, second.context, second.journal) is None, f"cut after {len(lines)}, {kind_of(lines[-1][1])}"
        report = fold_report(call.record, flow, second.stored())
        schema.validate(report)
        kinds = [problem["kind"] for problem in report["data"]["problems"]]
        assert kinds.count("resumed") == 1 + (second.past.closed is None)
