"""What the call has done outside: tools that the model calls, and commits that the engine runs itself.

A tool that runs once in a call writes its intent before it runs, and waits until the evidence of what is recorded is
weighed; what it rests on and nobody could check is asked once more. Called again it gives its first result; if nobody
can say whether it has run, its way of failure is taken. A commit is such a tool, run when its phase is complete, with
observations as its arguments.
"""

from __future__ import annotations

import json

from pydantic import JsonValue

from voicebot.flow.model import Phase, Say
from voicebot.flow.tools import Once, Tool

from .doubts import asked_in_vain, doubted, in_words
from .entries import (
    AskedAgain,
    ProposalRefused,
    StatementCut,
    ToolAnswered,
    ToolHeld,
    ToolStarted,
)
from .events import (
    Answer,
    AskReply,
    Close,
    ConfigurePhase,
    EngineEffect,
    RunTool,
    ToolFinished,
    ToolProposed,
)
from .movement import CLOSING_NOTES, Movement
from .proposals import clipped, from_outside
from .state import Use

COMMIT_TRIES = 3  # uses of a commit that did nothing, or may be repeated, before the way of failure is taken
_SURE = (
    "{tool} has to wait: what the caller said of {subjects} was not understood for certain. Say that you want to be "
    "sure, read it back, and when they agree, `record` each with `confirmed`, or judge it again. Then it goes on."
)
_UNKNOWN_RESULT = "it is not known whether this was done: say so, and do not promise anything"


class Errands(Movement):
    """The part of the engine that uses tools."""

    @property
    def busy(self) -> bool:
        """Whether a tool of the flow is at work or about to be."""
        return bool(self.state.running or self.state.held)

    def fillers(self) -> list[Say]:
        """The exact words that the tools under way have for a caller who waits, in every language."""
        uses = (*self.state.running.values(), *self.state.held.values())
        return [Say(filler) for use in uses if (filler := self._tool(use.tool).filler)]

    def _tool(self, name: str) -> Tool:
        return self.flow.once[name].tool if name in self.flow.once else self._tools[name]

    def _use_tool(self, call: ToolProposed) -> list[EngineEffect]:
        """Run a tool that the model called; one that runs once does so only if it has not, and on firm ground."""
        tool = self._tools[call.name]
        try:
            tool.read_arguments(call.arguments)
        except ValueError as exc:
            return self._refuse(call, str(exc))
        if call.name not in self.flow.once:
            return self._run(call.call_id, Use(call.name, call.arguments, False, self._now))
        if self.state.closing is not None:
            return self._refuse(call, "the call is ending")
        if any(use.tool == call.name for use in (*self.state.held.values(), *self.state.running.values())):
            return self._refuse(call, "this is being done already; wait for its answer")
        results = self.state.results.get(call.name, [])
        if done := next((result for result in results if result.ok), None):
            return [Answer(call.call_id, done.output)]
        if any(not result.refused for result in results) and not self.flow.once[call.name].idempotent:
            return self._refuse(call, _UNKNOWN_RESULT)
        return self._run_firmly(call.call_id, Use(call.name, call.arguments, False, self._now))

    def _run_firmly(self, call_id: str, use: Use) -> list[EngineEffect]:
        """Run it now if all evidence is weighed, else hold it until it is; not on what nobody could check."""
        if self.standing.unweighed():
            return [self._write(ToolHeld(call_id, use.tool, use.arguments, use.commit))]
        if doubts := self._doubted(use.tool):
            return self._ask_again(call_id, use, doubts)
        return self._run(call_id, use)

    def _doubted(self, tool: str) -> list[str]:
        """What it rests on and nobody could check, unless the flow says that this does not matter."""
        once = self.flow.once[tool]
        return [] if once.unverified == "go" else doubted(once.tool, self.standing)

    def _ask_again(self, call_id: str, use: Use, doubts: list[str]) -> list[EngineEffect]:
        """Have the caller asked once more for what nobody could check; if that is in vain, it has failed."""
        if asked_in_vain(doubts, self.standing):
            once, why = self.flow.once[use.tool], f"{in_words(doubts)} could not be understood for certain"
            if use.commit:
                return self._commit_failed(once, why)
            moved = self._enter(once.on_failure, "failure")
            return [self._answer(call_id, {"refused": why}), *moved, *self._go_on("")]
        new = [subject for subject in doubts if subject not in self.state.asked_again]
        asked = [self._write(AskedAgain(use.tool, tuple(new), self.state.turn)), ConfigurePhase()] if new else []
        told = _SURE.format(tool=use.tool, subjects=in_words(doubts))
        if not use.commit:
            return [*asked, self._answer(call_id, {"refused": told})]
        return [*asked, AskReply(told)] if new else []

    def _run(self, call_id: str, use: Use) -> list[EngineEffect]:
        """Start a tool; the intent of one that runs once is on disk before. Its key stays the same over tries."""
        key = use.tool if use.tool in self.flow.once else call_id
        try:
            arguments = self._tool(use.tool).read_arguments(use.arguments)
        except ValueError as exc:  # it was held in other hands, and the tool has changed since
            problem = clipped(str(exc))
            answered = self._write(ToolAnswered(call_id, use.tool, problem, False, 0, refused=True))
            return [answered, *([] if use.commit else [self._answer(call_id, {"refused": problem})])]
        started = self._write(ToolStarted(call_id, use.tool, use.arguments, use.commit))
        return [started, RunTool(call_id, use.tool, arguments, f"{self.context.call_sid}:{key}")]

    def _release(self) -> list[EngineEffect]:
        """Run what was held, if the evidence is weighed now; what it rested on may be gone."""
        if self.standing.unweighed():
            return []
        effects: list[EngineEffect] = []
        dropped = False
        for call_id, use in list(self.state.held.items()):
            doubts = self._doubted(use.tool)
            if doubts or (use.commit and not self._may_commit(use.tool)):
                effects.append(self._write(ToolAnswered(call_id, use.tool, "not done", False, 0, refused=True)))
                effects += [] if use.commit else self._ask_again(call_id, use, doubts)
                dropped |= use.commit
            elif use.commit:
                effects += self._run(call_id, Use(use.tool, self._commit_arguments(use.tool), True, self._now))
            else:
                effects += self._run(call_id, use)
        return [*effects, *(self._advance() if dropped else [])]

    def _drop_held(self, problem: str, *, commits: bool = True) -> list[EngineEffect]:
        """Give up what waits for its evidence; the model is told of what it called itself."""
        effects: list[EngineEffect] = []
        for call_id, use in list(self.state.held.items()):
            if use.commit and not commits:
                continue
            effects.append(self._write(ToolAnswered(call_id, use.tool, problem, False, 0, refused=True)))
            if not use.commit:
                effects.append(self._answer(call_id, {"refused": problem}))
        return effects

    def _tool_finished(self, event: ToolFinished) -> list[EngineEffect]:
        use = self.state.running.get(event.call_id)
        if use is None:
            return []
        took_ms = round((self._now - use.since) * 1000)
        records = dict(event.records)
        answered = ToolAnswered(event.call_id, use.tool, event.output, event.ok, took_ms, event.refused, records)
        effects: list[EngineEffect] = [self._write(answered)]
        before = self.known
        not_taken = [line for name, value in records.items() for line in self._hand_in(name, value, effects)]
        output = "\n".join((event.output, *not_taken))
        corrected = any(self.known.get(name) != value for name, value in before.items())
        if not use.commit:
            effects.append(Answer(event.call_id, output))
        phase = self.phase
        if records:
            effects += self._after_change(corrected=corrected)
        if use.commit:
            return effects + self._commit_answered(use.tool, event, phase)
        if use.tool in self.flow.once and not event.ok and not event.refused and self.state.closing is None:
            effects += self._enter(self.flow.once[use.tool].on_failure, "failure")
        return effects + self._say_what_must_be_said()

    def _hand_in(self, name: str, value: JsonValue, effects: list[EngineEffect]) -> list[str]:
        """Take an observation of a tool; returns a line for the model if it cannot be taken."""
        try:
            effects.append(self._write(from_outside(name, value, "tool", self.standing)))
        except ValueError as exc:
            problem = clipped(str(exc))
            effects.append(self._write(ProposalRefused(clipped(name), problem, self.state.turn)))
            return [f"{name} was not recorded: {problem}"]
        return []

    def _resumed(self) -> list[EngineEffect]:
        """Answer for the tools that were at work when the process was lost: nobody knows what became of them.

        What was being said then is said again.
        """
        closing = self.state.closing
        effects: list[EngineEffect] = [ConfigurePhase()]
        effects += [self._write(StatementCut(name)) for name in list(self.state.saying)]
        for call_id, use in list(self.state.running.items()):
            once = self.flow.once.get(use.tool)
            if once is not None and once.idempotent and self._takes(use):
                effects += self._run(call_id, use)
                continue
            output = _UNKNOWN_RESULT if once is not None else "this was cut short; call it again if it is still needed"
            effects += self._tool_finished(ToolFinished(call_id, output, False))
        if self.state.unreached is not None:
            effects += self._enter(self.flow.targets[self.state.unreached].no_answer, "no_answer")
        effects += self._after_change(corrected=False)  # what the process had no time to write down
        if closing is not None:
            note = "" if self.phase.end is not None else CLOSING_NOTES.get(closing, "")
            effects.append(Close(closing, note, self._last_words() if closing == "transferred" else None))
        elif self.state.closing is None:
            effects += self._end_here("criteria")
        return effects + self._say_what_must_be_said()

    def _takes(self, use: Use) -> bool:
        """Whether the tool still takes the arguments of this use: the flow's file may have changed since."""
        try:
            self._tool(use.tool).read_arguments(use.arguments)
        except ValueError:
            return False
        return True

    # ---- commits --------------------------------------------------------------------------------------------------

    def _committing(self) -> bool:
        return any(use.commit for use in (*self.state.held.values(), *self.state.running.values()))

    def _may_commit(self, tool: str) -> bool:
        commit = self.phase.commit
        if self.state.closing is not None or commit is None or commit.tool.name != tool:
            return False
        try:
            commit.tool.read_arguments(self._commit_arguments(tool))
        except ValueError:  # a value has changed since
            return False
        return self.standing.complete()

    def _commit_arguments(self, tool: str) -> str:
        """The arguments of a commit: the observations of the same names."""
        known, wanted = self.known, self._tool(tool).arguments.model_fields
        return json.dumps({name: known[name] for name in wanted if name in known}, ensure_ascii=False)

    def _commit(self, commit: Once) -> list[EngineEffect]:
        """Do what the phase was for, once all that it rests on is borne out; bounded in tries."""
        name, results = commit.tool.name, self.state.results.get(commit.tool.name, [])
        if self._committing():
            return []
        if len(results) >= COMMIT_TRIES or (any(not one.refused for one in results) and not commit.idempotent):
            return self._commit_failed(commit, results[-1].output)
        if results and results[-1].refused and name in self.state.unchanged:
            return []
        arguments, call_id = self._commit_arguments(name), f"commit-{name}-{len(results) + 1}"
        try:
            commit.tool.read_arguments(arguments)
        except ValueError as exc:
            return self._commit_failed(commit, f"{name} could not be done: {exc}")
        return self._run_firmly(call_id, Use(name, arguments, True, self._now))

    def _commit_answered(self, name: str, event: ToolFinished, phase: Phase) -> list[EngineEffect]:
        """Go on from a commit that came back, if the call still is in the phase it belongs to; it was in `phase`."""
        if self.state.closing is not None:
            return []
        if event.ok:
            return [*self._advance(), *self._go_on(f"{name} has been done: {event.output}")]
        if self._committing():  # what it handed in has led to another try
            return []
        commit = self.phase.commit
        if commit is not None and commit.tool.name == name and self.phase is phase:
            if not event.refused and not commit.idempotent:
                return self._commit_failed(commit, event.output)
            last_try = len(self.state.results[name]) >= COMMIT_TRIES
            again = last_try or not event.refused or name not in self.state.unchanged
            if again and self._may_commit(name):
                return self._commit(commit)
        return self._go_on(f"{name} was not done: {event.output}")

    def _commit_failed(self, commit: Once, output: str) -> list[EngineEffect]:
        told = f"{commit.tool.name} failed: {output}"
        return [*self._enter(commit.on_failure, "failure"), *self._go_on(told)]

    def _refuse(self, call: ToolProposed, problem: str) -> list[EngineEffect]:
        problem = clipped(problem)
        refused = self._write(ProposalRefused(clipped(call.name), problem, self.state.turn))
        return [refused, self._answer(call.call_id, {"refused": problem})]
