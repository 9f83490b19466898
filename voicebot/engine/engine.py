"""The phase engine: the model proposes, the engine decides.

Theory of operation. A call is in one phase at a time. The phase ends when every observation it needs is recorded, every
statement it must say was heard and every success criterion holds; then its commit is done, if it has one, and the first
transition whose guard holds is taken. Whatever the model asks for arrives as `ToolProposed` and is either accepted or
refused with words the model can act on. Nothing the model says is trusted: types are validated, closed fields and
unknown names refused, a value without a quote refused, and a quote is weighed against the transcript when it comes.

The state changes in one place, `state.apply`, and only by journal entries: `handle` decides, writes an entry, and the
entry is applied. So the same state comes back by applying the entries of a journal (`restore`). What holds in a state,
and where it leads, is asked of `Standing`.

The class is written in five layers: `Movement` (what follows from what is known, where a phase ends), `Errands` on it
(tools and commits), `Keying` (the telephone's keys), `Speaking` (the language), and `PhaseEngine` on top (events, time,
rules, what the model proposes).

What is recorded may steer the conversation while its evidence is provisional. What cannot be undone (a commit, a tool
that runs once) waits for the evidence, shortly. A value that nobody said is taken back and asked for again; a changed
one moves the call to where the answers lead now, and from there back.

Time is an argument (`now`, seconds on any clock that only moves forward).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import JsonValue

from voicebot.flow.model import AskAgain, HangUp, Key, PhaseLimits, Rule, Say, To
from voicebot.flow.observations import ObservationSpec
from voicebot.flow.patience import Patience
from voicebot.flow.ways_out import Transfer
from voicebot.tool_schema import ToolSchema

from . import analysis, offers, prompts
from .doubts import criteria_in, open_doubts
from .entries import (
    CallerSaid,
    CallerTurnTaken,
    CallerUnclear,
    CostReached,
    EndedReason,
    EngineEntry,
    ObservationRecorded,
    ObservationWithdrawn,
    PhaseEntered,
    ProposalRefused,
    RuleApplied,
    SilenceNoticed,
    StatementCut,
    StatementHeard,
    TimeRanOut,
)
from .events import (
    AnalysisCame,
    AskReply,
    CallerTranscribed,
    CallerTurnEnded,
    CallResumed,
    CallStarted,
    CloseTurn,
    ConfigurePhase,
    EndWanted,
    EngineEffect,
    EngineEvent,
    KeyPressed,
    MoneySpent,
    ResponseEnded,
    SecretEntered,
    SilenceLasted,
    SpeakExactly,
    StatementEnded,
    ToolFinished,
    ToolProposed,
    TranscriptMissed,
    TransferWanted,
    Write,
)
from .movement import MOST_TRANSFERS
from .proposals import arguments_of, checked, clipped, json_of, judgement, observation, quote_of
from .speaking import Speaking
from .spending import words_of_cost
from .state import apply

EVIDENCE_LIMIT_S = 4.0  # how long what cannot be undone waits for the caller's transcript
_STILL_THERE = "The caller has been silent. Ask in one short sentence whether they are still there, then your question."
_CALLED = "Somebody has answered your call. Greet them, and say who is calling and why."
_ENOUGH = "This call has to come to an end now, and the caller has been told so."
_MOVED = "This part is complete. Go on with the new instructions."


class PhaseEngine(Speaking):
    """Decides what the call does next; performs nothing itself."""

    # ---- what others read -----------------------------------------------------------------------------------------

    @property
    def leaves_when_heard(self) -> bool:
        """Whether the call moves on as soon as the caller has heard what is being said: a reply would come too soon."""
        limits = self._limits()
        return not (limits is not None and limits.exact) and self.standing.leaves_when_heard()

    @property
    def patience(self) -> Patience:
        """How the bot listens in this phase."""
        return self.phase.patience or self.flow.patience

    def instructions(self, now: float) -> str:
        """The instructions of the phase, as of `now`."""
        missing = self.missing()
        read_back = self._to_read_back()
        return prompts.instructions(
            self.flow,
            self.phase,
            context=self.context,
            wall=self._wall(now),
            known=self.known,
            missing=[spec for spec in missing if spec not in read_back and self._is_asked(spec)],
            read_back=read_back,
            optional=[spec for spec in self._collected() if spec.ask.optional and spec.name not in self.state.observed],
            criteria=self._criteria(),
            problems=self.standing.problems(),
            secret=[spec for spec in self._collected() if spec.ask.secret],
            language=self.language,
        )

    def _is_asked(self, spec: ObservationSpec) -> bool:
        """Whether the model asks for it: it is neither worked out nor entered behind its back."""
        return spec.ask.computed is None and not spec.ask.secret

    def _wall(self, now: float) -> datetime:
        elapsed_s = now - self._started_at if self._started_at is not None else 0.0
        return self.context.started + timedelta(seconds=elapsed_s)

    def tools(self) -> tuple[ToolSchema, ...]:
        """The functions the model may call now; none once the call is closing."""
        phase = self.phase
        if self.state.closing is not None or phase.end is not None:
            return ()
        offered: list[ToolSchema] = []
        if open_specs := self.open_specs():
            offered.append(offers.record_offer(open_specs, self._to_read_back()))
        if criteria := self._criteria():
            offered.append(offers.judge_offer(criteria))
        if phase.may_jump:
            offered.append(offers.request_phase_offer(phase))
        if phase.may_transfer:
            offered.append(offers.transfer_call_offer(phase))
        if rules := self._rules_in_words():
            offered.append(offers.apply_rule_offer(rules))
        offered += self._language_offers()
        return (*offered, *offers.tool_offers(self.flow.tools_in(phase)), offers.end_call_offer())

    def open_specs(self) -> list[ObservationSpec]:
        """What `record` takes now: what this phase collects, and what earlier ones did (to correct it or to add)."""
        earlier = [name for phase in self.state.path for name in self.flow.collected_in[phase]]
        names = dict.fromkeys((*self.flow.collected_in[self.state.phase], *earlier, *self.state.observed))
        return [spec for name in names if self._is_asked(spec := self.flow.specs[name])]

    def _to_read_back(self) -> list[ObservationSpec]:
        """What the caller has still to agree to: because the flow wants it, or because nobody could check it."""
        doubts = open_doubts(self.standing)
        return [spec for spec in self.open_specs() if self.standing.to_read_back(spec) or spec.name in doubts]

    def _criteria(self) -> list[str]:
        """What the model is to judge: what this phase hangs on, and what nobody could check of earlier verdicts."""
        again = criteria_in(open_doubts(self.standing))
        return list(dict.fromkeys([*self.standing.criteria(self.phase), *again]))

    def progress(self) -> float:
        """Share of required observations and criteria that hold, in phases passed or still to come: 0.0 to 1.0."""
        return self.standing.progress()

    def status(self, name: str) -> str:
        """`filled`, `refused`, `not_needed` or `unasked`, as the report says it."""
        return self.standing.status(name)

    def outcome(self) -> str | None:
        """The flow's name for what came of the call: the first whose expression holds."""
        return next((name for name, when in self.flow.report.outcome.items() if self.standing.holds(when)), None)

    def silence_delay_s(self, rung: int) -> float | None:
        """How much longer than for the rung before it a silence lasts for `rung` (from 0); None past the last."""
        ladder = self.flow.limits.silence
        if rung >= len(ladder):
            return None
        return ladder[rung].delay - (ladder[rung - 1].delay if rung else 0.0)

    # ---- time -----------------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When `on_deadline` must be called next (same clock as `now`)."""
        due = (self._call_due(), self._phase_due(), self._evidence_due(), self._keys_due())
        return min((at for at in due if at is not None), default=None)

    def _call_due(self) -> float | None:
        if self._started_at is None or self.state.closing is not None or self.phase.end is not None:
            return None
        return self._started_at + self.flow.limits.duration

    def _phase_due(self) -> float | None:
        limits = self._limits()
        if self._started_at is None or limits is None or limits.duration is None or self._committing():
            return None
        return self.state.entered_at + limits.duration

    def _evidence_due(self) -> float | None:
        return min((use.since + EVIDENCE_LIMIT_S for use in self.state.held.values()), default=None)

    def on_deadline(self, now: float) -> list[EngineEffect]:
        """A limit in time was reached: of the call, of the phase, or of the wait for evidence or for a key."""
        self._now = now
        return [*self._time_over(now), *self._mind_keys()]

    def _time_over(self, now: float) -> list[EngineEffect]:
        if (due := self._call_due()) is not None and now >= due:
            return [self._write(TimeRanOut("call")), *self._close("duration_limit")]
        if (due := self._evidence_due()) is not None and now >= due:
            ran_out = self._write(TimeRanOut("evidence"))
            return [ran_out, *self._weigh(final=True), *self._after_change(corrected=False)]
        if (due := self._phase_due()) is not None and now >= due:
            return [self._write(TimeRanOut("phase")), *self._phase_time_over()]
        if (due := self._keys_due()) is not None and now >= due:
            return self._keys_time_over()
        return []

    def _phase_time_over(self) -> list[EngineEffect]:
        limits = self._limits()
        if limits is None:
            return []
        before = self.state.phase
        effects: list[EngineEffect] = [CloseTurn()] if limits.exact else []
        if limits.exact and self.standing.satisfied(self.phase):
            effects += self._leave_phase()
        if self.state.phase == before and not self._committing():
            effects += self._enter(limits.then, "stuck")
        return [*effects, *self._go_on("The time for the last part is over.")]

    # ---- events ---------------------------------------------------------------------------------------------------

    def handle(self, event: EngineEvent, now: float) -> list[EngineEffect]:
        """Take one event and say what follows from it."""
        self._now = now
        return [*self._decided(event), *self._mind_keys(event)]

    def _decided(self, event: EngineEvent) -> list[EngineEffect]:
        match event:
            case CallStarted():
                return self._start(self._now)
            case CallerTurnEnded():
                return self._turn_ended(event)
            case CallerTranscribed(item_id=item_id, text=text):
                return [self._write(CallerSaid(item_id, text)), *self._heard_to_speak(), *self._witness_came()]
            case TranscriptMissed(item_id=item_id, reason=reason):
                return [self._write(CallerUnclear(item_id, reason)), *self._witness_came()]
            case KeyPressed(digit=digit):
                return self._key(digit)
            case SecretEntered():
                return self._recalled(event)
            case ToolProposed():
                return self._proposed_together((event,))
            case ResponseEnded(calls=calls):
                return self._proposed_together(calls)
            case ToolFinished():
                return self._tool_finished(event)
            case StatementEnded():
                return self._statement_ended(event)
            case SilenceLasted(rung=rung):
                return self._silence(rung)
            case MoneySpent(usd=usd):
                return self._money_spent(usd)
            case CallResumed():
                return self._resumed()
            case AnalysisCame(said=said):
                return self._fill(said)
            case EndWanted():
                return self._close("completed")
            case TransferWanted(target=target):
                return self._transfer(Transfer(target, brief=True)) if target in self.flow.targets else []

    def restore(self, entries: Iterable[tuple[float, EngineEntry]], started_at: float) -> None:
        """Come to the state that these entries left, without effects.

        Args:
            entries: with the time of each, on the clock of `now`.
            started_at: when the call was answered, on the same clock.
        """
        for at, entry in entries:
            apply(self.state, self.flow, entry, at)
        self._started_at = started_at

    def _start(self, now: float) -> list[EngineEffect]:
        self._started_at = now
        effects = [self._write(PhaseEntered(self.flow.initial_phase, None, "start"))]
        for spec in self.flow.specs.values():
            if (value := self._default_of(spec)) is not None:
                effects += self._take_default(spec, value)
        effects += self._work_out()
        effects.append(ConfigurePhase())
        if self.flow.opening is not None:
            effects.append(SpeakExactly(self.flow.opening.in_language(self.language)))
        else:
            greet = _CALLED if self.context.direction == "outbound" else "The caller is on the line. Greet them."
            effects.append(AskReply(greet))
        effects += self._end_here("start")
        return effects + self._say_what_must_be_said()

    def _default_of(self, spec: ObservationSpec) -> str | None:
        """What is known of a field before a word is spoken."""
        if spec.ask.variable is not None:
            return self.context.variables.get(spec.ask.variable)
        return self.context.caller if spec.ask.default_from == "caller" else None

    def _take_default(self, spec: ObservationSpec, value: str) -> list[EngineEffect]:
        try:
            typed = checked(spec, spec.adapter.validate_python(value))
        except ValueError:  # ValidationError is one
            return []
        return [self._write(ObservationRecorded(spec.name, json_of(spec, typed), "default", "", 0))]

    def _turn_ended(self, event: CallerTurnEnded) -> list[EngineEffect]:
        taken = CallerTurnTaken(self.state.turn + 1, event.item_id, event.cut)
        effects = [self._write(taken), *self._advance()]
        limits = self._limits()
        over = limits is not None and limits.turns is not None and self.state.turns_in_phase > limits.turns
        if limits is not None and over and not (self._committing() or self._rests(limits) or self._answers_a_doubt()):
            effects += self._enter(limits.then, "stuck")
        return effects + self._say_what_must_be_said()

    def _answers_a_doubt(self) -> bool:
        """Whether the caller was asked once more just now: what they have said to that is still to be heard."""
        return any(turn == self.state.turn - 1 for turn in self.state.asked_again.values())

    def _rests(self, limits: PhaseLimits) -> bool:
        """Whether a phase that is done may stay as it is: it waits for its exact time, or nothing comes after it."""
        commit = self.phase.commit
        last = not self.phase.transitions and (commit is None or self.standing.committed(commit.tool.name))
        return self.standing.complete() and (limits.exact or last)

    def _silence(self, rung: int) -> list[EngineEffect]:
        ladder = self.flow.limits.silence
        if rung >= len(ladder) or self.state.closing is not None:
            return []
        noticed = self._write(SilenceNoticed(rung))
        match ladder[rung].then:
            case AskAgain(text=text):
                if not (text and Say(text).has(self.language, self.flow.languages[0])):  # the model finds the words
                    return [noticed, AskReply(_STILL_THERE)]
                return [noticed, SpeakExactly(Say(text).in_language(self.language))]
            case HangUp():
                return [noticed, *self._close("silence")]
            case To(phase=phase):
                entered = [*self._enter(phase, "silence"), AskReply("The caller has been silent.")]
                return [noticed, *entered, *self._say_what_must_be_said()]

    # ---- money ----------------------------------------------------------------------------------------------------

    def _money_spent(self, usd: float) -> list[EngineEffect]:
        """Go the flow's way out once the call has cost what it may, but not while a commit is under way."""
        limits, over = self.flow.limits, self.state.closing is not None or self.phase.end is not None
        if limits.cost_usd is None or usd < limits.cost_usd or self.state.costs_too_much or over or self._committing():
            return []
        reached, words = self._write(CostReached(usd)), words_of_cost(self.flow, self.language)
        match limits.cost_way:
            case HangUp():
                return [reached, *self._close("cost_limit", words=words)]
            case To(phase=phase) if phase == self.state.phase:
                return [reached]
            case To(phase=phase):
                return [reached, SpeakExactly(words), *self._enter(phase, "cost"), *self._go_on(_ENOUGH)]

    # ---- rules that hold everywhere -------------------------------------------------------------------------------

    def _rules_in_words(self) -> list[Rule]:
        return [rule for rule in self.flow.rules if isinstance(rule.when, str) and not self._leads_here(rule)]

    def _leads_here(self, rule: Rule) -> bool:
        return isinstance(rule.then, To) and rule.then.phase == self.state.phase

    def _key_of_a_rule(self, key: str) -> list[EngineEffect]:
        pressed = (one for one in self.flow.rules if isinstance(one.when, Key) and one.when.key == key)
        rule = next(pressed, None)
        if rule is None or self.state.closing is not None or self._leads_here(rule) or not self._open(rule):
            return []
        return [*self._apply_rule(rule, ""), *self._go_on(f"The caller pressed {key}.")]

    def _open(self, rule: Rule) -> bool:
        return not isinstance(rule.then, To) or rule.then.when is None or self.standing.holds(rule.then.when)

    def _apply_rule(self, rule: Rule, quote: str) -> list[EngineEffect]:
        applied = self._write(RuleApplied(rule.name, quote, self.state.turn))
        match rule.then:
            case To(phase=phase):
                return [applied, *self._enter(phase, "rule")]
            case HangUp():
                return [applied, *self._close("caller_finished")]
            case Say():
                return [applied, SpeakExactly(rule.then.in_language(self.language))]

    def _rule_proposed(self, call: ToolProposed, arguments: Mapping[str, object]) -> list[EngineEffect]:
        rules = {rule.name: rule for rule in self._rules_in_words()}
        rule = rules.get(str(arguments.get("rule")))
        if rule is None:
            return self._refuse(call, f"rule must be one of: {', '.join(rules)}")
        if self.state.closing is not None:
            return self._refuse(call, "the call is ending")
        if not self._open(rule):
            return self._refuse(call, "this is not possible yet; go on with this part")
        try:
            quote = quote_of(arguments, self.standing)
        except ValueError as exc:
            return self._refuse(call, str(exc))
        told = "It is being said for you; go on after it." if isinstance(rule.then, Say) else _MOVED
        return [self._answer(call.call_id, {"done": told}), *self._apply_rule(rule, quote)]

    # ---- proposals of the model -----------------------------------------------------------------------------------

    def _proposed_together(self, calls: Sequence[ToolProposed]) -> list[EngineEffect]:
        """Decide the calls of one response: first what they record and judge, then where that leads, then the rest.

        All of them were offered before any of them was decided, so none is refused for what another one did.
        """
        offered = {tool.name for tool in self.tools()}
        effects: list[EngineEffect] = []
        answers: dict[str, dict[str, object]] = {}
        corrected = False
        for call in calls:
            if call.name == "record":
                before = self.known
                effects += self._record(call, offered, answers)
                corrected |= any(self.known.get(name) != value for name, value in before.items())
            elif call.name == "judge":
                effects += self._judge(call, offered, answers)
        phase = self.state.phase
        if answers:
            effects += self._weigh()  # the transcript may have come before the quote
        moves = self._after_change(corrected=corrected) if answers else []
        told = self._taken_back(moves) | self._what_is_next(phase)
        for call_id, answer in answers.items():
            effects.append(self._answer(call_id, answer | told))
        effects += moves
        for call in calls:
            if call.name not in ("record", "judge"):
                effects += self._proposed(call, offered)
        return effects + self._say_what_must_be_said()

    def _taken_back(self, moves: Sequence[EngineEffect]) -> dict[str, object]:
        """What the answer to a record says of answers that are none any more."""
        entries = (effect.entry for effect in moves if isinstance(effect, Write))
        names = [one.name for one in entries if isinstance(one, ObservationWithdrawn) and one.reason == "outdated"]
        subjects = {name: " and ".join(self.flow.specs[name].ask.about) for name in names}
        told = {name: f"it was about {about}, which has changed: ask anew" for name, about in subjects.items()}
        return {"taken_back": told} if told else {}

    def _what_is_next(self, before: str) -> dict[str, object]:
        """What the answer to a record or a judgement says of the way ahead."""
        told: dict[str, object] = {"next": _MOVED}
        if self.state.phase == before:
            missing = self.missing()
            read_back = [spec.name for spec in self._to_read_back()]
            asked = [spec.name for spec in missing if spec.name not in read_back and self._is_asked(spec)]
            told = {"still_missing": asked, **({"read_back": read_back} if read_back else {})}
            if not missing and (unmet := self.standing.unmet(self.phase)):
                told["not_yet"] = unmet
        problems = self.standing.problems()
        return told | ({"problems": problems} if problems else {})

    def _proposed(self, call: ToolProposed, offered: Collection[str]) -> list[EngineEffect]:
        try:
            arguments = arguments_of(call, offered)
        except ValueError as exc:
            return self._refuse(call, str(exc))
        match call.name:
            case "request_phase":
                return self._request_phase(call, arguments)
            case "end_call":
                return self._end_call(call, arguments)
            case "transfer_call":
                return self._transfer_call(call, arguments)
            case "apply_rule":
                return self._rule_proposed(call, arguments)
            case "switch_language":
                return self._switch_language(call, arguments)
        return self._use_tool(call)

    def _record(
        self, call: ToolProposed, offered: Collection[str], answers: dict[str, dict[str, object]]
    ) -> list[EngineEffect]:
        """Record what is valid; what was accepted and refused goes into `answers`, to be sent when all is decided."""
        try:
            arguments = arguments_of(call, offered)
            if not arguments:
                raise ValueError("nothing to record: name at least one field")
        except ValueError as exc:
            return self._refuse(call, str(exc))
        effects: list[EngineEffect] = []
        accepted: list[str] = []
        refused: dict[str, str] = {}
        open_specs = {spec.name: spec for spec in self.open_specs()}
        for name, proposal in arguments.items():
            try:
                effects.append(self._write(observation(name, proposal, open_specs, self.standing)))
                accepted.append(name)
            except ValueError as exc:
                refused[name] = clipped(str(exc))
                effects.append(self._write(ProposalRefused(clipped(name), refused[name], self.state.turn)))
        answers[call.call_id] = {"accepted": accepted, **({"refused": refused} if refused else {})}
        return effects

    def _judge(
        self, call: ToolProposed, offered: Collection[str], answers: dict[str, dict[str, object]]
    ) -> list[EngineEffect]:
        try:
            made = judgement(arguments_of(call, offered), self._criteria(), self.standing)
        except ValueError as exc:
            return self._refuse(call, str(exc))
        answers[call.call_id] = {"noted": made.holds}
        return [self._write(made)]

    def _request_phase(self, call: ToolProposed, arguments: Mapping[str, object]) -> list[EngineEffect]:
        target = arguments.get("phase")
        if self.state.closing is not None:
            return self._refuse(call, "the call is ending")
        if target not in self.phase.may_jump:
            return self._refuse(call, f"from here only to: {', '.join(self.phase.may_jump)}")
        blocked = [to.when for to in self.phase.transitions if to.phase == target and to.when is not None]
        if blocked and not any(map(self.standing.holds, blocked)):
            return self._refuse(call, f"{target} is not open yet; go on with this part")
        effects = self._enter(str(target), "jump")
        granted: dict[str, object] = {"granted": True, "next": "Go on with the new instructions."}
        return [self._answer(call.call_id, granted), *effects]

    def _transfer_call(self, call: ToolProposed, arguments: Mapping[str, object]) -> list[EngineEffect]:
        """Join the caller to one of the phase's targets, if the guards of the way there hold; to nobody else."""
        target = arguments.get("target")
        if self.state.closing is not None:
            return self._refuse(call, "the call is ending")
        if not isinstance(target, str) or target not in self.phase.may_transfer:
            return self._refuse(call, f"target must be one of: {', '.join(self.phase.may_transfer)}")
        if self._committing():
            return self._refuse(call, "what the caller agreed to is being done; connect them once you know that it was")
        if len(self.state.transfers) >= MOST_TRANSFERS:
            return self._refuse(call, "nobody could be reached before; do not promise it again")
        if not self.standing.transfer_is_open(target):
            return self._refuse(call, f"{target} is not open yet; go on with this part")
        try:
            quote = quote_of(arguments, self.standing)
        except ValueError as exc:
            return self._refuse(call, str(exc))
        way = Transfer(target, brief=True)
        effects = self._transfer(way, quote=quote, turn=self.state.turn)
        return [self._answer(call.call_id, {"connecting": True}), *effects]

    def _end_call(self, call: ToolProposed, arguments: Mapping[str, object]) -> list[EngineEffect]:
        reason = arguments.get("reason")
        if reason not in offers.END_REASONS:
            return self._refuse(call, f"reason must be one of: {', '.join(offers.END_REASONS)}")
        if self.state.turn == 0:
            return self._refuse(call, "the caller has not said anything yet")
        if self._committing() and self.state.closing is None:
            return self._refuse(call, "what the caller agreed to is being done; say goodbye once you know that it was")
        if reason == "goal_reached" and self.state.closing is None:
            if missing := [spec.name for spec in self.missing()]:
                return self._refuse(call, f"not done yet; still missing: {', '.join(missing)}")
            commit = self.phase.commit
            undone = commit is not None and not self.standing.committed(commit.tool.name)
            if self.phase.transitions or undone or not all(map(self.standing.holds, self.phase.success_criteria)):
                return self._refuse(call, "this part of the conversation is not over yet")
        ended: EndedReason = "completed" if reason == "goal_reached" else "caller_finished"
        return [self._answer(call.call_id, {"ending": True}), *self._close(ended)]

    # ---- evidence -------------------------------------------------------------------------------------------------

    def _witness_came(self) -> list[EngineEffect]:
        """A transcript came, or never will: weigh what waited for it, and take back what nobody said."""
        doubtful = bool(self.state.asked_again)
        effects = [*self._weigh(), *self._release()]
        return [*effects, *(self._advance() if doubtful else []), *self._say_what_must_be_said()]

    # ---- when the call is over ------------------------------------------------------------------------------------

    @property
    def analysis_wanted(self) -> bool:
        """Whether the flow wants the call looked back at, as it stands now."""
        return analysis.wanted(self.standing)

    def analysis_request(self, now: float) -> tuple[str, ToolSchema]:
        """The instructions for looking back at the call, and the function by which the model answers.

        Raises:
            ValueError: the flow wants no analysis.
        """
        wanted = self.flow.report.analysis
        if wanted is None:
            raise ValueError("the flow wants no analysis")
        blank = analysis.blanks(self.standing)
        told = prompts.look_back(
            self.flow, wanted, context=self.context, wall=self._wall(now), known=self.known, blank=blank
        )
        return told, analysis.offer(blank)

    def _fill(self, said: Mapping[str, JsonValue]) -> list[EngineEffect]:
        """Fill in what holds of what the caller is to have said; it moves nothing."""
        effects: list[EngineEffect] = []
        for name in analysis.in_order(said, self.standing) if self.analysis_wanted else ():
            try:
                effects.append(self._write(analysis.filled(name, said[name], self.standing)))
            except ValueError as exc:
                effects.append(self._write(ProposalRefused(clipped(name), clipped(str(exc)), self.state.turn)))
        return effects

    # ---- exact statements -----------------------------------------------------------------------------------------

    def _statement_ended(self, event: StatementEnded) -> list[EngineEffect]:
        if self.state.saying.get(event.name) != event.text:
            return []
        if not event.complete:
            return [self._write(StatementCut(event.name))]
        before = self.state.phase
        effects = [self._write(StatementHeard(event.name, event.text)), *self._advance()]
        if self.state.phase != before and self.state.closing is None:
            effects.append(AskReply(""))
        return effects + self._say_what_must_be_said()
