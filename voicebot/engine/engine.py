"""The phase engine: the model proposes, the engine decides.

Theory of operation. A call is in one phase at a time. The phase ends when every observation it needs is recorded and
every success criterion holds; then the first transition whose guard holds is taken. Whatever the model asks for
arrives as `ToolProposed` and is either accepted or refused with words the model can act on. Nothing the model says
is trusted: types are validated, closed fields and unknown names refused, a value without a quote refused.

The state changes in one place, `_apply`, and only by journal entries: `handle` decides, writes an entry, and the
entry is applied. So the same state comes back by applying the entries of a journal (`restore`).

Time is an argument (`now`, seconds on any clock that only moves forward).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum

from pydantic import JsonValue, ValidationError

from voicebot.flow.expressions import Expression, Heard
from voicebot.flow.model import LONGEST_SAY, AskAgain, Flow, HangUp, Phase, Say, To
from voicebot.flow.observations import ObservationSpec
from voicebot.flow.tools import Tool, readable
from voicebot.json_codec import dumps, loads
from voicebot.tool_schema import ToolSchema

from . import offers, prompts
from .entries import (
    CallerTurnTaken,
    ClosingBegan,
    EndedReason,
    EngineEntry,
    ObservationDeclined,
    ObservationRecorded,
    PhaseCause,
    PhaseEntered,
    ProposalRefused,
    SilenceNoticed,
    StatementBegun,
    StatementCut,
    StatementHeard,
    ToolAnswered,
    ToolStarted,
)
from .events import (
    Answer,
    AskReply,
    CallContext,
    CallerTurnEnded,
    CallStarted,
    Close,
    ConfigurePhase,
    EngineEffect,
    EngineEvent,
    ResponseEnded,
    RunTool,
    SilenceLasted,
    SpeakExactly,
    StatementEnded,
    ToolFinished,
    ToolProposed,
    Write,
)

_CLOSING_NOTES: Mapping[EndedReason, str] = {
    "caller_finished": "The caller wants to end the call. Say a short, friendly goodbye now.",
    "completed": "Everything is done. Say a short, friendly goodbye now.",
    "silence": "The caller has not answered for a while. Say that you will hang up now, and a short goodbye.",
    "duration_limit": "The time for this call is over. Apologise briefly, say what is noted so far, and say goodbye.",
}
_PLACE = re.compile(r"\{(\w+)\}")
_STILL_THERE = "The caller has been silent. Ask in one short sentence whether they are still there, then your question."


@dataclass(frozen=True, slots=True)
class Observed:
    """A recorded value with where it came from."""

    value: object
    json_value: JsonValue
    kind: str
    quote: str
    turn: int


@dataclass(slots=True)
class EngineState:
    """What the journal folds to."""

    phase: str
    path: list[str] = field(default_factory=list)
    observed: dict[str, Observed] = field(default_factory=dict)
    declined: set[str] = field(default_factory=set)
    turn: int = 0
    turns_in_phase: int = 0
    running: dict[str, str] = field(default_factory=dict)  # call_id → tool, while it works
    saying: dict[str, str] = field(default_factory=dict)  # statement → text, while it is said
    heard: dict[str, str] = field(default_factory=dict)  # statement → text that was heard to its end
    closing: EndedReason | None = None


class PhaseEngine:
    """Decides what the call does next; performs nothing itself."""

    def __init__(self, flow: Flow, context: CallContext) -> None:
        self.flow, self.context = flow, context
        self.state = EngineState(flow.initial_phase)
        self._tools: dict[str, Tool] = {tool.name: tool for phase in flow.phases for tool in flow.tools_in(phase)}
        self._started_at: float | None = None
        self._tool_began: dict[str, float] = {}

    # ---- what others read -----------------------------------------------------------------------------------------

    @property
    def phase(self) -> Phase:
        """The phase the call is in."""
        return self.flow.by_name[self.state.phase]

    @property
    def values(self) -> Mapping[str, object]:
        """Recorded values by name, as Python objects."""
        return {name: observed.value for name, observed in self.state.observed.items()}

    @property
    def known(self) -> dict[str, JsonValue]:
        """Recorded values by name, in JSON form."""
        return {name: observed.json_value for name, observed in self.state.observed.items()}

    @property
    def busy(self) -> bool:
        """Whether a tool of the flow is at work."""
        return bool(self.state.running)

    def instructions(self, now: float) -> str:
        """The instructions of the phase, as of `now`."""
        elapsed_s = now - self._started_at if self._started_at is not None else 0.0
        missing = self.missing()
        return prompts.instructions(
            self.flow,
            self.phase,
            context=self.context,
            wall=self.context.started + timedelta(seconds=elapsed_s),
            known=self.known,
            missing=missing,
            optional=[spec for spec in self._collected() if spec.ask.optional and spec not in missing],
        )

    def tools(self) -> tuple[ToolSchema, ...]:
        """The functions the model may call now; none once the call is closing."""
        phase = self.phase
        if self.state.closing is not None or phase.end is not None:
            return ()
        offered: list[ToolSchema] = []
        if open_specs := self.open_specs():
            offered.append(offers.record_offer(open_specs))
        if phase.may_jump:
            offered.append(offers.request_phase_offer(phase))
        return (*offered, *offers.tool_offers(self.flow.tools_in(phase)), offers.end_call_offer())

    def open_specs(self) -> list[ObservationSpec]:
        """What `record` takes now: what this phase collects, and what earlier ones did (to correct it or to add)."""
        earlier = [name for phase in self.state.path for name in self.flow.collected_in[phase]]
        names = dict.fromkeys((*self.flow.collected_in[self.state.phase], *earlier, *self.state.observed))
        return [self.flow.specs[name] for name in names]

    def missing(self, phase: Phase | None = None) -> list[ObservationSpec]:
        """The observations that a phase (default: this one) needs and does not have."""
        return [
            spec
            for spec in self._collected(phase)
            if not spec.ask.optional and spec.name not in self.state.observed and self._needed(spec)
        ]

    def progress(self) -> float:
        """Share of required observations and criteria that hold, in phases passed or still to come: 0.0 to 1.0."""
        if self.state.closing == "completed":
            return 1.0
        phases = [phase for phase in self._on_the_way() if phase.end is None]
        names = {spec.name: spec for phase in phases for spec in self._collected(phase) if not spec.ask.optional}
        needed = [spec for spec in names.values() if spec.name in self.state.observed or self._needed(spec)]
        have = sum(spec.name in self.state.observed for spec in needed)
        criteria = [criterion for phase in phases for criterion in phase.success_criteria]
        have += sum(self._holds(criterion) for criterion in criteria)
        total = len(needed) + len(criteria)
        return have / total if total else 0.0

    def status(self, name: str) -> str:
        """`filled`, `refused`, `not_needed` or `unasked`, as the report says it."""
        if name in self.state.observed:
            return "filled"
        if name in self.state.declined:
            return "refused"
        needed_if = self.flow.specs[name].ask.needed_if
        return "not_needed" if needed_if is not None and needed_if.evaluate(self._facts()) is False else "unasked"

    def outcome(self) -> str | None:
        """The flow's name for what came of the call: the first whose expression holds."""
        return next((name for name, when in self.flow.report.outcome.items() if self._holds(when)), None)

    def silence_delay_s(self, rung: int) -> float | None:
        """How much longer than for the rung before it a silence lasts for `rung` (from 0); None past the last."""
        ladder = self.flow.limits.silence
        if rung >= len(ladder):
            return None
        return ladder[rung].delay - (ladder[rung - 1].delay if rung else 0.0)

    # ---- time -----------------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When `on_deadline` must be called next (same clock as `now`)."""
        if self._started_at is None or self.state.closing is not None or self.phase.end is not None:
            return None
        return self._started_at + self.flow.limits.duration

    def on_deadline(self, now: float) -> list[EngineEffect]:
        """The call has lasted as long as its flow allows."""
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return []
        return self._close("duration_limit")

    # ---- events ---------------------------------------------------------------------------------------------------

    def handle(self, event: EngineEvent, now: float) -> list[EngineEffect]:
        """Take one event and say what follows from it."""
        match event:
            case CallStarted():
                return self._start(now)
            case CallerTurnEnded():
                return self._turn_ended(event)
            case ToolProposed():
                return self._proposed_together((event,), now)
            case ResponseEnded(calls=calls):
                return self._proposed_together(calls, now)
            case ToolFinished():
                return self._tool_finished(event, now)
            case StatementEnded():
                return self._statement_ended(event)
            case SilenceLasted():
                return self._silence(event.rung)

    def restore(self, entries: Iterable[EngineEntry], started_at: float) -> None:
        """Come to the state that these entries left, without effects.

        Args:
            started_at: when the call was answered, on the clock of `now`.
        """
        for entry in entries:
            self._apply(entry)
        self._started_at = started_at

    def _start(self, now: float) -> list[EngineEffect]:
        self._started_at = now
        effects = [self._write(PhaseEntered(self.flow.initial_phase, None, "start"))]
        for spec in self.flow.specs.values():
            if spec.ask.default_from == "caller" and self.context.caller:
                effects += self._take_default(spec, self.context.caller)
        effects.append(ConfigurePhase())
        if self.flow.opening is not None:
            effects.append(SpeakExactly(self.flow.opening))
        else:
            effects.append(AskReply("The caller is on the line. Greet them."))
        if self.phase.end is not None:
            effects += self._close("completed", note="")
        return effects + self._say_what_must_be_said()

    def _take_default(self, spec: ObservationSpec, value: str) -> list[EngineEffect]:
        try:
            typed = _checked(spec, spec.adapter.validate_python(value))
        except ValueError:  # ValidationError is one
            return []
        return [self._write(ObservationRecorded(spec.name, _json_of(spec, typed), "default", "", 0))]

    def _turn_ended(self, event: CallerTurnEnded) -> list[EngineEffect]:
        effects = [self._write(CallerTurnTaken(self.state.turn + 1, event.item_id))]
        return effects + self._advance("criteria") + self._say_what_must_be_said()

    def _silence(self, rung: int) -> list[EngineEffect]:
        ladder = self.flow.limits.silence
        if rung >= len(ladder) or self.state.closing is not None:
            return []
        noticed = self._write(SilenceNoticed(rung))
        match ladder[rung].then:
            case AskAgain():
                return [noticed, AskReply(_STILL_THERE)]
            case HangUp():
                return [noticed, *self._close("silence")]
            case To(phase=phase):
                entered = [*self._enter(phase, "silence"), AskReply("The caller has been silent.")]
                return [noticed, *entered, *self._say_what_must_be_said()]

    # ---- proposals of the model -----------------------------------------------------------------------------------

    def _proposed_together(self, calls: Sequence[ToolProposed], now: float) -> list[EngineEffect]:
        """Decide the calls of one response: first what they record, then where that leads, then the rest.

        All of them were offered before any of them was decided, so none is refused for what another one did.
        """
        offered = {tool.name for tool in self.tools()}
        effects: list[EngineEffect] = []
        answers: dict[str, dict[str, object]] = {}
        for call in calls:
            if call.name == "record":
                effects += self._record(call, offered, answers)
        before = self.state.phase
        moves = self._advance("criteria") if answers else []
        for call_id, answer in answers.items():
            if self.state.phase != before:
                answer["next"] = "This part is complete. Go on with the new instructions."
            else:
                answer["still_missing"] = [spec.name for spec in self.missing()]
            effects.append(Answer(call_id, json.dumps(answer, ensure_ascii=False)))
        effects += moves
        for call in calls:
            if call.name != "record":
                effects += self._proposed(call, offered, now)
        return effects + self._say_what_must_be_said()

    def _proposed(self, event: ToolProposed, offered: Collection[str], now: float) -> list[EngineEffect]:
        try:
            arguments = self._arguments(event, offered)
        except ValueError as exc:
            return self._refuse(event, str(exc))
        match event.name:
            case "request_phase":
                return self._request_phase(event, arguments)
            case "end_call":
                return self._end_call(event, arguments)
        return self._run_tool(event, now)

    def _arguments(self, event: ToolProposed, offered: Collection[str]) -> dict[str, object]:
        """The arguments of an offered function; `ValueError` says in words why it cannot be called so."""
        if event.name not in offered:
            raise ValueError(f"{event.name} is not available now. Available: {', '.join(sorted(offered)) or 'none'}.")
        try:
            arguments = loads(event.arguments or "{}")
        except ValueError:
            raise ValueError("the arguments are not valid JSON") from None
        if not isinstance(arguments, dict):
            raise ValueError("the arguments must be a JSON object")
        return arguments

    def _record(
        self, event: ToolProposed, offered: Collection[str], answers: dict[str, dict[str, object]]
    ) -> list[EngineEffect]:
        """Record what is valid; what was accepted and refused goes into `answers`, to be sent when all is decided."""
        try:
            arguments = self._arguments(event, offered)
            if not arguments:
                raise ValueError("nothing to record: name at least one field")
        except ValueError as exc:
            return self._refuse(event, str(exc))
        effects: list[EngineEffect] = []
        accepted: list[str] = []
        refused: dict[str, str] = {}
        open_specs = {spec.name: spec for spec in self.open_specs()}
        for name, proposal in arguments.items():
            try:
                effects.append(self._write(self._observation(open_specs, name, proposal)))
                accepted.append(name)
            except ValueError as exc:
                refused[name] = _clipped(str(exc))
                effects.append(self._write(ProposalRefused(_clipped(name), refused[name], self.state.turn)))
        answers[event.call_id] = {"accepted": accepted, **({"refused": refused} if refused else {})}
        return effects

    def _observation(
        self, open_specs: Mapping[str, ObservationSpec], name: str, proposal: object
    ) -> ObservationRecorded | ObservationDeclined:
        """Validate one proposed observation; `ValueError` says in words why it cannot be taken."""
        if name not in self.flow.specs:
            raise ValueError(f"there is no such field; fields now: {', '.join(open_specs)}")
        if name not in open_specs:
            raise ValueError("this field is not open in this part of the conversation")
        if not isinstance(proposal, dict):
            raise ValueError('give {"value": …, "quote": "the caller\'s words"}')
        quote = proposal.get("quote")
        if not isinstance(quote, str) or not quote.strip():
            raise ValueError("a quote of the caller's own words is missing")
        if self.state.turn == 0:
            raise ValueError("the caller has not said anything yet")
        spec = open_specs[name]
        if proposal.get("declined") is True:
            if not spec.ask.optional:
                raise ValueError("this is needed: explain why and ask once more, or offer to end the call")
            return ObservationDeclined(name, _clipped(quote), self.state.turn)
        if "value" not in proposal:
            raise ValueError("the value is missing")
        return ObservationRecorded(
            name, self._valid(spec, proposal["value"]), "speech", _clipped(quote), self.state.turn
        )

    def _valid(self, spec: ObservationSpec, value: object) -> JsonValue:
        try:
            # JSON mode: "2026-11-22" is a date, but "7" is no number and 1 is no truth.
            typed = spec.adapter.validate_json(dumps(value), strict=True)
        except ValidationError as exc:
            raise ValueError(readable(exc)) from exc
        return _json_of(spec, _checked(spec, typed))

    def _request_phase(self, event: ToolProposed, arguments: Mapping[str, object]) -> list[EngineEffect]:
        target = arguments.get("phase")
        if self.state.closing is not None:
            return self._refuse(event, "the call is ending")
        if target not in self.phase.may_jump:
            return self._refuse(event, f"from here only to: {', '.join(self.phase.may_jump)}")
        blocked = [to.when for to in self.phase.transitions if to.phase == target and to.when is not None]
        if blocked and not any(self._holds(when) for when in blocked):
            return self._refuse(event, f"{target} is not open yet; go on with this part")
        effects = self._enter(str(target), "jump")
        return [Answer(event.call_id, '{"granted":true,"next":"Go on with the new instructions."}'), *effects]

    def _end_call(self, event: ToolProposed, arguments: Mapping[str, object]) -> list[EngineEffect]:
        reason = arguments.get("reason")
        if reason not in offers.END_REASONS:
            return self._refuse(event, f"reason must be one of: {', '.join(offers.END_REASONS)}")
        if reason == "goal_reached" and self.state.closing is None:
            if missing := [spec.name for spec in self.missing()]:
                return self._refuse(event, f"not done yet; still missing: {', '.join(missing)}")
            if self.phase.transitions or not all(map(self._holds, self.phase.success_criteria)):
                return self._refuse(event, "this part of the conversation is not over yet")
        ended: EndedReason = "completed" if reason == "goal_reached" else "caller_finished"
        return [Answer(event.call_id, '{"ending":true}'), *self._close(ended)]

    def _run_tool(self, event: ToolProposed, now: float) -> list[EngineEffect]:
        tool = self._tools[event.name]
        try:
            arguments = tool.read_arguments(event.arguments)
        except ValueError as exc:
            return self._refuse(event, str(exc))
        self._tool_began[event.call_id] = now
        started = self._write(ToolStarted(event.call_id, tool.name, event.arguments))
        return [started, RunTool(event.call_id, tool.name, arguments)]

    def _tool_finished(self, event: ToolFinished, now: float) -> list[EngineEffect]:
        tool = self.state.running.get(event.call_id)
        if tool is None:
            return []
        took_ms = round((now - self._tool_began.pop(event.call_id, now)) * 1000)
        answered = self._write(ToolAnswered(event.call_id, tool, event.output, event.ok, took_ms))
        return [answered, Answer(event.call_id, event.output)]

    def _refuse(self, event: ToolProposed, problem: str) -> list[EngineEffect]:
        problem = _clipped(problem)
        refused = self._write(ProposalRefused(_clipped(event.name), problem, self.state.turn))
        return [refused, Answer(event.call_id, json.dumps({"refused": problem}, ensure_ascii=False))]

    # ---- phases ---------------------------------------------------------------------------------------------------

    def _advance(self, cause: PhaseCause) -> list[EngineEffect]:
        """Leave the phase if it is done, and every one after it that is done on entry; each at most once."""
        effects: list[EngineEffect] = []
        passed: set[str] = set()
        while self.state.closing is None and self._done() and self.state.phase not in passed:
            passed.add(self.state.phase)
            target = next((to for to in self.phase.transitions if to.when is None or self._holds(to.when)), None)
            if target is None:
                break
            effects += self._enter(target.phase, cause)
        return effects

    def _enter(self, name: str, cause: PhaseCause) -> list[EngineEffect]:
        effects: list[EngineEffect] = [self._write(PhaseEntered(name, self.state.phase, cause)), ConfigurePhase()]
        if self.phase.end is not None:
            effects += self._close("completed" if cause != "silence" else "silence", note="")
        return effects

    def _done(self) -> bool:
        criteria = self.phase.success_criteria
        if self.missing() or not all(map(self._holds, criteria)) or not all(map(self._was_heard, self.phase.must_say)):
            return False
        asks_nothing = not (criteria or self.phase.must_say) and all(map(self._left_open, self._collected()))
        return not asks_nothing or self.state.turns_in_phase > 0

    def _left_open(self, spec: ObservationSpec) -> bool:
        """Whether it is worth a question although the phase may end without it."""
        answered = spec.name in self.state.observed or spec.name in self.state.declined
        return spec.ask.optional and self._needed(spec) and not answered

    def _close(self, reason: EndedReason, note: str | None = None) -> list[EngineEffect]:
        if self.state.closing is not None:
            return []
        wanted = _CLOSING_NOTES.get(reason, "") if note is None else note
        return [self._write(ClosingBegan(reason)), Close(reason, wanted)]

    def _collected(self, phase: Phase | None = None) -> list[ObservationSpec]:
        return [self.flow.specs[name] for name in self.flow.collected_in[(phase or self.phase).name]]

    def _on_the_way(self) -> list[Phase]:
        """The phases that were passed, and those that can still be reached."""
        facts, found = self._facts(), {*self.state.path, self.state.phase}
        frontier = [self.state.phase]
        while frontier:
            phase = self.flow.by_name[frontier.pop()]
            ahead = {to.phase for to in phase.transitions if to.when is None or to.when.evaluate(facts) is not False}
            new = (ahead | set(phase.may_jump)) - found
            found |= new
            frontier += new
        return [phase for phase in self.flow.phases if phase.name in found]

    def _needed(self, spec: ObservationSpec) -> bool:
        return spec.ask.needed_if is None or self._holds(spec.ask.needed_if)

    def _holds(self, expression: Expression) -> bool:
        return expression.evaluate(self._facts()) is True

    def _facts(self) -> dict[str, object]:
        """What expressions are evaluated over: recorded values, and which statements were heard."""
        heard = {Heard.fact(say.name): True for say in self.flow.statements.values() if self._was_heard(say)}
        return {**self.values, **heard}

    # ---- exact statements -----------------------------------------------------------------------------------------

    def _statement(self, say: Say) -> str | None:
        """The words of a statement with its values in place; None while one of them is missing, or nothing is left."""
        values = self.values
        if any(name not in values for name in _PLACE.findall(say.text)):
            return None
        text = _PLACE.sub(lambda place: _spoken(values[place[1]]), say.text)
        return _clipped(text.strip(), LONGEST_SAY) or None  # a value may be as long, or as empty, as the model likes

    def _was_heard(self, say: Say) -> bool:
        """Whether the caller has heard the statement as it reads now: a changed value un-hears what quoted it."""
        text = self._statement(say)
        return text is not None and self.state.heard.get(say.name) == text

    def _say_what_must_be_said(self) -> list[EngineEffect]:
        """Have every statement of the phase spoken that can be, was not heard, and is not being said."""
        effects: list[EngineEffect] = []
        for say in self.phase.must_say if self.state.closing is None else ():
            text = self._statement(say)
            if text is None or text in (self.state.heard.get(say.name), self.state.saying.get(say.name)):
                continue
            effects.append(self._write(StatementBegun(say.name, text)))
            effects.append(SpeakExactly(Say(text, name=say.name, interruptible=say.interruptible)))
        return effects

    def _statement_ended(self, event: StatementEnded) -> list[EngineEffect]:
        if self.state.saying.get(event.name) != event.text:
            return []
        if not event.complete:
            return [self._write(StatementCut(event.name))]
        before = self.state.phase
        effects = [self._write(StatementHeard(event.name, event.text)), *self._advance("criteria")]
        if self.state.phase != before and self.state.closing is None:
            effects.append(AskReply(""))
        return effects + self._say_what_must_be_said()

    # ---- the one place where state changes ------------------------------------------------------------------------

    def _write(self, entry: EngineEntry) -> EngineEffect:
        self._apply(entry)
        return Write(entry)

    def _apply(self, entry: EngineEntry) -> None:
        state = self.state
        match entry:
            case PhaseEntered():
                state.phase, state.turns_in_phase = entry.phase, 0
                state.path.append(entry.phase)
            case CallerTurnTaken():
                state.turn = entry.turn
                state.turns_in_phase += 1
            case ObservationRecorded():
                typed = self.flow.specs[entry.name].adapter.validate_json(json.dumps(entry.value))
                state.observed[entry.name] = Observed(typed, entry.value, entry.kind, entry.quote, entry.turn)
                state.declined.discard(entry.name)
            case ObservationDeclined():
                state.declined.add(entry.name)
            case ToolStarted():
                state.running[entry.call_id] = entry.tool
            case ToolAnswered():
                state.running.pop(entry.call_id, None)
            case ClosingBegan():
                state.closing = entry.reason
            case StatementBegun():
                state.saying[entry.name] = entry.text
            case StatementHeard():
                state.saying.pop(entry.name, None)
                state.heard[entry.name] = entry.text
            case StatementCut():
                state.saying.pop(entry.name, None)
            case ProposalRefused() | SilenceNoticed():
                return


def _json_of(spec: ObservationSpec, typed: object) -> JsonValue:
    value: JsonValue = spec.adapter.dump_python(typed, mode="json")
    return value


def _checked(spec: ObservationSpec, typed: object) -> object:
    """Run the author's check, if there is one; a check that breaks refuses the value instead of the call."""
    if spec.ask.check is None:
        return typed
    try:
        kept = spec.ask.check(typed)
        return typed if kept is None else spec.adapter.validate_python(kept)
    except ValidationError as exc:
        raise ValueError(readable(exc)) from exc
    except ValueError:
        raise
    except Exception as exc:
        raise ValueError(f"it could not be checked ({type(exc).__name__}); ask again later") from exc


def _clipped(text: str, limit: int = 500) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _spoken(value: object) -> str:
    """A recorded value as a statement says it."""
    return str(value.value if isinstance(value, Enum) else value)
