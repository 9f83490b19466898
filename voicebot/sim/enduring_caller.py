"""A caller whose call may be cut, and go on elsewhere: he says again what is asked again, or what nobody answers.

He knows nothing of streams or servers. He hears a line break off, silence, perhaps an apology; then a question that he
has answered already, or none at all. He behaves as people do, and goes on with his script where it was.
"""

from __future__ import annotations

from collections.abc import Sequence

from .caller import PAUSE_MS, Act, Interrupt, Listen, Moment, Press, Say, Step
from .table_caller import PatientCaller

PATIENCE_MS = 6000
MOST_REPETITIONS = 3  # into a silence that nothing breaks
_HELLO = "Hello?"


class EnduringCaller(PatientCaller):
    """A scripted caller who endures that his call is cut.

    Args:
        steps: what he does.
        answers: for each step, the line that must have been heard since he last did something; None for any.
        asks_again: lines by which the bot asks him to say it again, whatever it was.
        patience_ms: of silence where he waits for a line, until he says his last words again. Before his first ones
            he says hello.

    Attributes:
        repeated: what he said again, in order.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        answers: Sequence[str | None],
        *,
        asks_again: Sequence[str] = (),
        patience_ms: float = PATIENCE_MS,
        pause_ms: float = PAUSE_MS,
    ) -> None:
        super().__init__(steps, answers, pause_ms=pause_ms)
        self.repeated: list[str] = []
        self._asks_again = frozenset(asks_again)
        self._patience_ms = patience_ms
        self._repetitions = 0  # since something was heard
        self._said: int | None = None  # the step that he did last with words or keys

    def step(self, moment: Moment) -> Sequence[Act]:
        if moment.audible:
            self._repetitions = 0
        for heard in moment.said:
            if heard.complete and self._is_asked_again(heard.text):
                self._step_back()
        doing = self._index
        acts = super().step(moment)
        if self._index > doing and isinstance(self._steps[doing], Say | Interrupt | Press):
            self._said = doing
        if acts or self._speaking or self._keys or not self._silence_is_too_long(moment):
            return acts
        return self._break_silence()

    def rests_until_ms(self, moment: Moment) -> float:
        rests_ms = super().rests_until_ms(moment)
        return rests_ms if moment.audible or self._speaking else min(rests_ms, self._silence_too_long_ms(moment))

    def _is_asked_again(self, line: str) -> bool:
        if line == self._line_of(self._index):
            return False  # it is what comes next, though it may sound like what was before
        return line in self._asks_again or (self._said is not None and line == self._line_of(self._said))

    def _step_back(self) -> None:
        """Do the last step again, or begin, once the bot has finished."""
        if self._said is not None:
            self._index = self._said
            self._note_repetition(self._said)
        if (line := self._line_of(self._index)) is not None:
            self._lines.add(line)

    def _note_repetition(self, index: int) -> None:
        match self._steps[index]:
            case Say(text) | Interrupt(text):
                self.repeated.append(text)
            case Press(digits):
                self.repeated.append(digits)

    def _silence_is_too_long(self, moment: Moment) -> bool:
        return moment.at_ms >= self._silence_too_long_ms(moment)

    def _silence_too_long_ms(self, moment: Moment) -> float:
        """When he breaks the silence, if it lasts."""
        waits = isinstance(self._current(), Say | Interrupt | Listen)
        if not waits or self._repetitions >= MOST_REPETITIONS:
            return float("inf")
        silent_from_ms = moment.at_ms - self._ear.silence_ms(moment.at_ms)
        return max(self._patient_from_ms or 0.0, silent_from_ms) + self._patience_ms

    def _break_silence(self) -> Sequence[Act]:
        self._repetitions += 1
        said = self._steps[self._said] if self._said is not None else None
        index = self._index
        match said:
            case Say(text) | Interrupt(text):
                self.repeated.append(text)
                acts = self._speak(text)
            case _:
                acts = self._speak(_HELLO)
        self._index = index  # what he waits for is still to come
        return acts

    def _line_of(self, index: int) -> str | None:
        return self._answers[index] if index < len(self._answers) else None
