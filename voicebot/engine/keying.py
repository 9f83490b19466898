"""What keys of the telephone do in a call: they answer, choose from a phase's menu, or set off a rule.

While a phase asks for a field that has a keypad, digits are collected for it (`keypad`). A field that is also spoken is
asked for by the model. A secret one never is: as soon as nothing before it is missing in its phase, exact words ask for
it, the model waits, and what is pressed goes to the vault without anybody reading it. An entry that goes wrong is asked
for again, so often as its keypad says; then the phase is stuck.

Keys that are under way are in no journal: who takes a call over asks for the entry anew.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

from voicebot.flow.model import Flow
from voicebot.flow.observations import ObservationSpec
from voicebot.json_codec import dumps

from .entries import SECRET, KeysRefused, ObservationRecorded, StatementBegun
from .errands import Errands
from .events import (
    AskReply,
    CallContext,
    EngineEffect,
    EngineEvent,
    KeepSecret,
    SecretEntered,
    SpeakExactly,
    StatementEnded,
)
from .keypad import KeyEntry, value_of, words_for
from .proposals import clipped

NOTHING_PRESSED = "nothing was pressed"
_NOT_VALID = "it was not valid"


class Keying(Errands):
    """The part of the engine that reads the telephone's keys."""

    def __init__(self, flow: Flow, context: CallContext) -> None:
        super().__init__(flow, context)
        self._entry: KeyEntry | None = None
        self._has_keypads = any(spec.ask.keypad is not None for spec in flow.specs.values())

    # ---- what others read -----------------------------------------------------------------------------------------

    @property
    def enters_secret(self) -> bool:
        """Whether a secret is being entered: nobody but the vault is to hear or see what the caller does."""
        return self._entry is not None and self._entry.name in self.flow.secrets

    @property
    def waits_for_keys(self) -> bool:
        """Whether the caller is at the keys, so that the model must not speak into it."""
        return self._entry is not None and (self._entry.begun or self.enters_secret)

    @property
    def hides_keys(self) -> bool:
        """Whether a key pressed now may belong to a secret: one that is entered, or that this phase still asks for."""
        if self._entry is not None:
            return self.enters_secret
        return self.state.closing is None and any(spec.ask.secret for spec in self.missing())

    # ---- keys -----------------------------------------------------------------------------------------------------

    def _key(self, key: str) -> list[EngineEffect]:
        entry = self._entry
        if entry is not None and entry.takes(key):
            return self._entered(entry) if entry.press(key, self._now) else []
        if entry is not None and entry.begun:
            return []
        to = self.phase.keys.get(key)
        if to is None or self.state.closing is not None:
            return self._key_of_a_rule(key)
        if to.when is not None and not self.standing.holds(to.when):
            return []
        return [*self._enter(to.phase, "key"), *self._go_on(f"The caller pressed {key}.")]

    @abstractmethod
    def _key_of_a_rule(self, key: str) -> list[EngineEffect]:
        """Do what a rule of the flow says of this key."""

    def _keys_due(self) -> float | None:
        return None if self._entry is None else self._entry.deadline()

    def _keys_time_over(self) -> list[EngineEffect]:
        entry = self._entry
        if entry is None:
            return []
        return self._entered(entry) if entry.begun else self._refused(self.flow.specs[entry.name], NOTHING_PRESSED)

    def _mind_keys(self, event: EngineEvent | None = None) -> list[EngineEffect]:
        """After whatever has happened: which field the caller may press now, if any, and ask for it if it is secret."""
        if not self._has_keypads:
            return []
        spec, entry = self._by_keys(), self._entry
        if spec is None or spec.ask.keypad is None:
            self._entry = None
        elif entry is None or entry.name != spec.name:
            self._entry = KeyEntry(spec.name, spec.ask.keypad)
            return self._ask_for(spec) if spec.ask.secret else []
        elif isinstance(event, StatementEnded) and event.name == entry.statement and spec.ask.secret:
            entry.await_first(self._now, asked=True)
        return []

    def _resumed(self) -> list[EngineEffect]:
        """What was pressed is lost with whoever had the call, as it is in no journal: it is asked for anew."""
        self._entry = None
        return super()._resumed()

    def _by_keys(self) -> ObservationSpec | None:
        """The field that digits belong to: a secret as soon as its turn has come, else the first that is not there."""
        if self.state.closing is not None or self.phase.end is not None:
            return None
        missing = self.missing()
        if missing and missing[0].ask.secret:
            return missing[0] if self._may_try(missing[0]) else None
        there = self.state.observed
        spoken = (spec for spec in self._collected() if not spec.ask.secret and spec.name not in there)
        return next((spec for spec in spoken if self._may_try(spec) and self.standing.needed(spec)), None)

    def _may_try(self, spec: ObservationSpec) -> bool:
        keypad = spec.ask.keypad
        return keypad is not None and self.state.key_tries.get(spec.name, 0) < keypad.tries

    # ---- entries --------------------------------------------------------------------------------------------------

    def _ask_for(self, spec: ObservationSpec, *, again: bool = False) -> list[EngineEffect]:
        entry, words = self._entry, words_for(self.flow, spec, language=self.standing.language, again=again)
        if entry is None:
            return []
        if spec.ask.secret:
            entry.await_first(self._now, asked=False)
        begun = self._write(StatementBegun(entry.statement, words.text))
        return [begun, SpeakExactly(replace(words, name=entry.statement))]

    def _entered(self, entry: KeyEntry) -> list[EngineEffect]:
        """The entry is whole: record it, or say that it is no value."""
        spec, turn, self._entry = self.flow.specs[entry.name], self.state.turn, None
        try:
            value = value_of(spec, entry.keys, called=self.context.called)
        except ValueError as exc:  # its words may repeat what was pressed
            return self._refused(spec, _NOT_VALID if spec.ask.secret else clipped(str(exc)))
        if spec.ask.secret:
            return [KeepSecret(spec.name, dumps(value)), *self._secret_recorded(spec.name)]
        recorded = self._write(ObservationRecorded(spec.name, value, "keypad", "", turn))
        told = f"The caller has entered {spec.name} with the keys: {dumps(value)}. It is recorded. Go on."
        return [recorded, *self._after_change(corrected=False), *self._go_on(told)]

    def _secret_recorded(self, name: str) -> list[EngineEffect]:
        recorded = self._write(ObservationRecorded(name, SECRET, "keypad", "", self.state.turn))
        told = f"The caller has entered {name} with the keys; it is kept from you. Go on."
        return [recorded, *self._after_change(corrected=False), *self._go_on(told)]

    def _recalled(self, event: SecretEntered) -> list[EngineEffect]:
        """A call is played again, of which nobody knows any more what was pressed, but what came of it."""
        if self._entry is None or self._entry.name != event.name or not self._entry.begun:
            return []
        self._entry = None
        if event.problem:
            return self._refused(self.flow.specs[event.name], event.problem)
        return self._secret_recorded(event.name)

    def _refused(self, spec: ObservationSpec, problem: str) -> list[EngineEffect]:
        """A try went wrong: ask again, or go the way out of the phase."""
        keypad, attempt = spec.ask.keypad, self.state.key_tries.get(spec.name, 0) + 1
        effects: list[EngineEffect] = [self._write(KeysRefused(spec.name, problem, attempt))]
        if keypad is not None and attempt < keypad.tries:
            self._entry = KeyEntry(spec.name, keypad)
            return [*effects, *self._ask_for(spec, again=True)]
        self._entry = None
        if (limits := self._limits()) is not None:
            return [*effects, *self._enter(limits.then, "stuck"), *self._go_on("The keys did not work.")]
        return [*effects, AskReply(f"The keys did not work for {spec.name}. Go on without them.")]
