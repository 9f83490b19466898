"""What the twin's model thinks: given the conversation as a model would see it, what it says and which tools it calls.

The Realtime server asks a `Brain` once per response and turns its outputs into events and audio. A brain sees the
caller's words as they were decoded from audio, never a script's own text, so that what the product lost on the way is
missing here too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

OFF_SCRIPT = "This is not in the script."

_VERBATIM = re.compile(r"<verbatim>(.*?)</verbatim>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Says:
    """A message of the assistant."""

    text: str


@dataclass(frozen=True, slots=True)
class Calls:
    """A function call. `arguments` as text is sent as it is, be it JSON or not."""

    name: str
    arguments: Mapping[str, object] | str = field(default_factory=dict)

    @property
    def arguments_json(self) -> str:
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(self.arguments, ensure_ascii=False, separators=(",", ":"))


Output = Says | Calls


@dataclass(frozen=True, slots=True)
class ContextItem:
    """One item of the conversation. `text` is what was said or written; of a truncated message, what is left of it.

    `role` is empty for function calls and their outputs.
    """

    kind: Literal["message", "function_call", "function_call_output"]
    role: Literal["user", "assistant", "system", ""] = ""
    text: str = ""
    name: str = ""
    arguments: str = ""
    output: str = ""
    call_id: str = ""
    item_id: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """All that a model sees when a response begins.

    `tools` are function tools as they stand on the wire; `tool_choice` is `auto`, `none`, `required` or
    `function:NAME`.
    """

    instructions: str = ""
    tools: tuple[Mapping[str, object], ...] = ()
    tool_choice: str = "auto"
    items: tuple[ContextItem, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    out_of_band: bool = False

    @property
    def tool_names(self) -> tuple[str, ...]:
        return tuple(str(tool["name"]) for tool in self.tools)


class Brain(Protocol):
    """Decides what a response holds."""

    def respond(self, context: Context) -> Sequence[Output]:
        """The outputs of one response, in order. Asked once per response, when it is created."""
        ...


# ---- what every model does, whatever it thinks ---------------------------------------------------------------------


def obey(outputs: Sequence[Output], context: Context) -> tuple[Output, ...]:
    """Bind outputs to `tool_choice` as constrained decoding does.

    `none` takes the calls away. `required` and a named tool let nothing pass without a call; a brain that did not call
    is made to, with empty arguments.
    """
    choice = context.tool_choice
    calls = tuple(output for output in outputs if isinstance(output, Calls))
    if choice == "none":
        return tuple(output for output in outputs if isinstance(output, Says))
    if choice == "required":
        return tuple(outputs) if calls or not context.tools else (Calls(context.tool_names[0]),)
    if choice.startswith("function:"):
        name = choice.removeprefix("function:")
        return tuple(call for call in calls if call.name == name) or (Calls(name),)
    return tuple(outputs)


def looks_back(context: Context) -> str | None:
    """The function by which a response is to look back at the whole call; None for any other response."""
    forced = context.tool_choice.startswith("function:")
    return context.tool_choice.removeprefix("function:") if context.out_of_band and forced else None


def plainly_summed_up(context: Context) -> str:
    """What anybody can say of a call: the caller's words."""
    spoken = [item.text.strip() for item in context.items if item.role == "user" and item.text.strip()]
    return f"The caller said: {' / '.join(spoken)}" if spoken else "The caller said nothing."


class VerbatimReader:
    """Reads aloud what stands between `<verbatim>` and `</verbatim>` of an out-of-band response; asks `brain` else.

    Args:
        brain: answers everything else.
        misreadings: how many readings go wrong, from the first on.
    """

    def __init__(self, brain: Brain, misreadings: int = 0) -> None:
        self._brain = brain
        self._misreadings = misreadings

    def respond(self, context: Context) -> Sequence[Output]:
        # Instructions may name the tags before they use them, so the last pair counts.
        found = _VERBATIM.findall(context.instructions) if context.out_of_band else []
        if not found:
            return self._brain.respond(context)
        text = found[-1].strip()
        if self._misreadings > 0:
            self._misreadings -= 1
            text = misread(text)
        return (Says(text),)


def reads_verbatim(brain: Brain, *, misreadings: int = 0) -> Brain:
    """`brain`, able to read exact statements; the first `misreadings` of them wrongly."""
    return VerbatimReader(brain, misreadings)


def misread(text: str) -> str:
    """`text` as a careless reader says it: its first digit one higher, or without its last word."""
    digit = re.search(r"\d", text)
    if digit:
        return text[: digit.start()] + str((int(digit[0]) + 1) % 10) + text[digit.end() :]
    return text.rsplit(maxsplit=1)[0] if len(text.split()) > 1 else f"{text} {text}"


# ---- a brain by script ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Turn:
    """What the model hears and how it answers.

    `hears` is all that the caller says in the turn, word by word; None is a reply that nobody's words ask for, such as
    a greeting or a nudge. `replies` holds the outputs of one response each, for as long as the caller says nothing
    new: function calls first, for instance, and what to say after their outputs next. `replies=()` is a turn that
    ends without any response.
    """

    hears: str | None
    replies: tuple[tuple[Output, ...], ...] = ()


class ScriptedBrain:
    """Plays the model's side of a dialogue and notes everything that went another way.

    It never raises: what went wrong stands in `problems`, what was never said in `unconsumed()`; a scenario fails on
    either. Words are compared without regard to case and spacing.

    Args:
        turns: the dialogue in order.
        asides: answers to out-of-band responses, in order.
        analysis: what it makes of the call when that is over; without one, what anybody could say of it.
    """

    def __init__(
        self, turns: Sequence[Turn], asides: Sequence[tuple[Output, ...]] = (), analysis: Calls | None = None
    ) -> None:
        self.problems: list[str] = []
        self._turns = tuple(turns)
        self._asides = tuple(asides)
        self._asides_used = 0
        self._analysis = analysis
        self._looked_back = False
        self._used = [0] * len(self._turns)  # replies given, per turn
        self._heard = [False] * len(self._turns)
        self._turn = -1
        self._spoken: tuple[str, ...] = ()  # the caller's words so far

    def respond(self, context: Context) -> Sequence[Output]:
        if (function := looks_back(context)) is not None:
            return self._check(self._look_back(function, context), context)
        if context.out_of_band:
            return self._check(self._next_aside(), context)
        heard_all = True
        for words in self._new_words(context):
            heard_all = self._hear(words)
        if not heard_all:
            return (Says(OFF_SCRIPT),)
        return self._check(self._next_reply(), context)

    def unconsumed(self) -> list[str]:
        """One line for each part of the script that was never reached."""
        left = []
        answered = max((number for number, turn in enumerate(self._turns, 1) if turn.replies), default=0)
        for number, (turn, used, heard) in enumerate(zip(self._turns, self._used, self._heard, strict=True), 1):
            if turn.hears is not None and not heard and number <= answered:  # nobody is asked about last words
                left.append(f"turn {number}: never heard {turn.hears!r}")
            left += [f"turn {number}: reply {n + 1} not asked for" for n in range(used, len(turn.replies))]
        left += [f"aside {n + 1} not asked for" for n in range(self._asides_used, len(self._asides))]
        left += ["the analysis was not asked for"] if self._analysis is not None and not self._looked_back else []
        return left

    def _look_back(self, function: str, context: Context) -> Sequence[Output]:
        if self._looked_back:
            self.problems.append("the call was looked back at twice")
        self._looked_back = True
        return (self._analysis or Calls(function, {"summary": plainly_summed_up(context)}),)

    def _new_words(self, context: Context) -> tuple[str, ...]:
        """What the caller said since the last response.

        History that was restored on another connection is not new, even if only its end was restored.
        """
        spoken = tuple(
            item.text for item in context.items if item.kind == "message" and item.role == "user" and item.text.strip()
        )
        known = _known(self._spoken, spoken)
        new = spoken[known:]
        self._spoken += new
        return new

    def _hear(self, words: str) -> bool:
        for number in range(self._turn + 1, len(self._turns)):
            hears = self._turns[number].hears
            if hears is not None and _bare(hears) == _bare(words):
                self._turn, self._heard[number] = number, True
                return True
        expected = next((turn.hears for turn in self._turns[self._turn + 1 :] if turn.hears is not None), None)
        self.problems.append(f"heard {words!r}, expected {'nothing more' if expected is None else repr(expected)}")
        return False

    def _next_reply(self) -> Sequence[Output]:
        if self._exhausted() and self._turn + 1 < len(self._turns) and self._turns[self._turn + 1].hears is None:
            self._turn += 1
        if self._exhausted():
            self.problems.append(f"asked for a reply with no line left after {self._last_words()}")
            return (Says(OFF_SCRIPT),)
        self._used[self._turn] += 1
        return self._turns[self._turn].replies[self._used[self._turn] - 1]

    def _exhausted(self) -> bool:
        return self._turn < 0 or self._used[self._turn] == len(self._turns[self._turn].replies)

    def _last_words(self) -> str:
        return repr(self._spoken[-1]) if self._spoken else "the start"

    def _next_aside(self) -> Sequence[Output]:
        if self._asides_used == len(self._asides):
            self.problems.append("asked for an out-of-band response that is not in the script")
            return (Says(OFF_SCRIPT),)
        self._asides_used += 1
        return self._asides[self._asides_used - 1]

    def _check(self, outputs: Sequence[Output], context: Context) -> Sequence[Output]:
        for output in outputs:
            if not isinstance(output, Calls):
                continue
            if output.name not in context.tool_names:
                offered = ", ".join(context.tool_names) or "none"
                self.problems.append(f"wants to call {output.name!r}, offered: {offered}")
            elif context.tool_choice == "none":
                self.problems.append(f"wants to call {output.name!r}, tool_choice is none")
        return outputs


def _known(before: Sequence[str], spoken: Sequence[str]) -> int:
    """How many of `spoken` are the end of `before`; by position if nothing matches, as when a transcript differed."""
    old, now = [_bare(words) for words in before], [_bare(words) for words in spoken]
    for count in range(min(len(old), len(now)), 0, -1):
        if old[-count:] == now[:count]:
            return count
    return len(old) if len(now) >= len(old) else 0


def _bare(text: str) -> str:
    return " ".join(text.casefold().split())
