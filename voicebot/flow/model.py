"""The flow itself: phases, transitions and limits, as frozen objects that authors write and JSON holds.

One set of classes is both: an author calls them in Python, pydantic reads and writes their JSON form (`json_form`).
Python functions (tools, checks) stand in JSON by name and are looked up among registered ones, never imported by path
(`references`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    model_validator,
)
from pydantic import Field as PydanticField
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs

from voicebot.errors import FlowError

from .expressions import Expression, Field, Guard
from .handlers import Handler
from .hours import Closed, Hours
from .lengths import Seconds
from .observations import Observations, ObservationSpec, specs_of
from .patience import NoiseReduction, Patience
from .receivers import FieldName, Receiver
from .recording import Recording
from .references import HandlerName, ObservationsClass, OnceUse, ToolUse
from .sms import Sms
from .source import place_of, remember_place
from .targets import Number, Sip, Target
from .tools import Once, Tool
from .ways_out import Transfer, Voicemail, WayOut
from .wording import Language, Text, Worded, Words

_CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
MOST_SMS = 3  # at the end of a call: each costs money

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


@dataclass(frozen=True, config=_CONFIG)
class Say:
    """Exactly these words, spoken in the flow's voice.

    `interruptible=False`: the caller's speech does not stop it (a disclosure). In `must_say` it has a `name`, by which
    `heard("name")` asks for it, and `{field}` in its text stands for a recorded value.

    A flow of several languages gives a text for each, as in `Say({"en": "Hello.", "it": "Buonasera."})`: the first one
    is then `text`, in `language`, and the others are in `also`. Without `language`, the text is in the flow's first.
    """

    text: Text
    _: KW_ONLY
    name: str = ""
    interruptible: bool = True
    language: Language | None = None
    also: dict[Language, Text] | None = field(default=None, hash=False)

    if TYPE_CHECKING:

        def __init__(
            self,
            text: Worded,
            *,
            name: str = "",
            interruptible: bool = True,
            language: str | None = None,
            also: Mapping[str, str] | None = None,
        ) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _by_language(cls, given: object) -> object:
        """Tell the first of several texts from the others."""
        if isinstance(given, ArgsKwargs):
            arguments = dict(given.kwargs or {})
            if given.args:
                arguments["text"] = given.args[0]
            rest = given.args[1:]
        elif isinstance(given, Mapping):
            arguments, rest = dict(given), ()
        else:
            return given
        if not isinstance(texts := arguments.get("text"), Mapping):
            return given
        if not texts or arguments.get("language") or arguments.get("also"):
            raise ValueError('give the words as one text, or as one for each language: {"en": "…", "it": "…"}')
        (arguments["language"], arguments["text"]), *others = texts.items()
        arguments["also"] = dict(others) or None
        return ArgsKwargs(rest, arguments) if isinstance(given, ArgsKwargs) else arguments

    @property
    def texts(self) -> Mapping[str | None, str]:
        """The words by language, None standing for the flow's first."""
        texts: dict[str | None, str] = {self.language: self.text}
        return texts | {**(self.also or {})}

    def has(self, language: str, first: str) -> bool:
        """Whether there are words in this language, in a flow whose first one is `first`."""
        return language == (self.language or first) or language in (self.also or {})

    def in_language(self, language: str) -> Say:
        """The statement with its words in this language alone; as it is where there are none."""
        text = (self.also or {}).get(language)
        if text is not None:
            return replace(self, text=text, language=language, also=None)
        return replace(self, also=None) if self.also and language == self.language else self


def _saying(value: object) -> object:
    return {"text": value} if isinstance(value, str) or (isinstance(value, Mapping) and "text" not in value) else value


@dataclass(frozen=True, config=_CONFIG)
class To:
    """A transition: to `phase`, when the phase is done and `when` holds (always, if not given)."""

    phase: str
    _: KW_ONLY
    when: Guard | None = None

    def __post_init__(self) -> None:
        remember_place(self)

    if TYPE_CHECKING:

        def __init__(self, phase: str, *, when: Expression | Callable[..., bool] | None = None) -> None: ...


@dataclass(frozen=True, config=_CONFIG)
class HangUp:
    """The call ends here, once the caller has heard the goodbye."""

    kind: Literal["hang_up"] = "hang_up"


@dataclass(frozen=True, config=_CONFIG)
class AskAgain:
    """After a silence: say something short so that the caller knows the line is alive.

    With `text`, exactly these words (one text, or one for each language); else the model finds its own.
    """

    text: Words = field(default="", hash=False)
    kind: Literal["ask_again"] = "ask_again"

    if TYPE_CHECKING:

        def __init__(self, text: Worded = "") -> None: ...


@dataclass(frozen=True, config=_CONFIG)
class After:
    """One rung of the silence ladder: after so much silence of the caller, the bot's own words not counted."""

    delay: Seconds
    then: AskAgain | HangUp | To

    if TYPE_CHECKING:

        def __init__(self, delay: str | float, then: AskAgain | HangUp | To) -> None: ...


_LADDER = (After("8s", AskAgain()), After("18s", AskAgain()), After("30s", HangUp()))


@dataclass(frozen=True, config=_CONFIG)
class PhaseLimits:
    """Bounds of a phase, and the way out when it is stuck.

    Attributes:
        turns: the caller's turns after which the phase is given up if it is not done.
        duration: the time after which it is given up, from its beginning.
        exact: the phase lasts exactly `duration`, neither shorter nor longer, as a task of an assessment does: it goes
            on when it is done before, the caller's turn is closed when the time is over, and then its transitions are
            taken, or `then` if it is not done.
        then: the phase to go on in.
    """

    _: KW_ONLY
    turns: int | None = None
    duration: Seconds | None = None
    exact: bool = False
    then: str

    def __post_init__(self) -> None:
        if self.turns is None and self.duration is None:
            raise ValueError("give turns, duration or both")
        if self.turns is not None and not 1 <= self.turns <= 200:
            raise ValueError("turns must be from 1 to 200")
        if self.duration is not None and not 1 <= self.duration <= 4 * 3600:
            raise ValueError("duration must be from 1s to 4h")
        if self.exact and self.duration is None:
            raise ValueError("exact needs a duration")

    if TYPE_CHECKING:

        def __init__(
            self, *, turns: int | None = None, duration: str | float | None = None, exact: bool = False, then: str
        ) -> None: ...


@dataclass(frozen=True, config=_CONFIG)
class Limits:
    """Bounds of a call. `duration` counts from the answer; at its end the bot closes the call politely.

    Attributes:
        phase: bounds every phase that has no limits of its own and is not the one it leads to.
        cost_usd: what the model's tokens may cost in a call (US dollars), by the prices that the operator has set. Once
            they have cost so much, `cost_say` is said, and `cost_way` is taken.
        cost_say: exact words for it; default: ours, which say goodbye where the call ends.
        cost_way: the end of the call, or a phase to go on in; that one has to come to an end by itself.
    """

    _: KW_ONLY
    duration: Seconds = 1200.0
    silence: tuple[After, ...] = _LADDER
    phase: PhaseLimits | None = None
    cost_usd: float | None = None
    cost_say: Annotated[Say | None, BeforeValidator(_saying)] = None
    cost_way: HangUp | To = HangUp()

    def __post_init__(self) -> None:
        if not 1 <= self.duration <= 4 * 3600:
            raise ValueError("duration must be from 1s to 4h")
        if self.cost_usd is not None and not 0.01 <= self.cost_usd <= 1000:
            raise ValueError("cost_usd must be from 0.01 to 1000")
        if self.cost_usd is None and (self.cost_say is not None or self.cost_way != HangUp()):
            raise ValueError("cost_say and cost_way need cost_usd")
        delays = [rung.delay for rung in self.silence]
        if delays != sorted(set(delays)) or (delays and delays[0] < 1):
            raise ValueError("silence must list growing delays of at least 1s")
        if self.phase is not None and self.phase.exact:
            raise ValueError("not every phase can last exactly so long: give exact limits to a phase")

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            duration: str | float = ...,
            silence: Iterable[After] = ...,
            phase: PhaseLimits | None = None,
            cost_usd: float | None = None,
            cost_say: Say | Worded | None = None,
            cost_way: HangUp | To = ...,
        ) -> None: ...


KeyName = Annotated[str, StringConstraints(pattern=r"^[0-9*#]$")]


@dataclass(frozen=True, config=_CONFIG)
class Key:
    """A key of the caller's telephone."""

    key: KeyName


@dataclass(frozen=True, config=_CONFIG)
class Rule:
    """What holds in every phase: when this happens, that is done.

    Attributes:
        name: of the rule, as the journal and the report call it.
        when: what happens, in words ("the caller asks for a human being"), which the model notices and quotes; or a
            `Key` that the caller presses, which needs no model.
        then: the phase to go to, exact words to say (the conversation goes on where it was), or the end of the call.
    """

    name: Name
    _: KW_ONLY
    when: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)] | Key
    then: To | Say | HangUp

    def __post_init__(self) -> None:
        remember_place(self)

    if TYPE_CHECKING:

        def __init__(self, name: str, *, when: str | Key, then: To | Say | HangUp) -> None: ...


@dataclass(frozen=True, config=_CONFIG)
class Phase:
    """One stretch of the conversation, with its own instructions.

    It ends when every required observation of it is there, the caller has heard everything in `must_say` word for word,
    and every success criterion holds. Then `commit` is done, if there is one, by us and not by the model, once what it
    rests on has been borne out; and the first transition whose guard holds is taken. A phase that asks for nothing, or
    only for what is optional, ends after one turn of the caller. A phase with `end` speaks its instructions' goodbye
    and closes the call, or has the caller joined to a human being. `may_transfer` names the targets that the model may
    ask for in this phase because the caller wants to; whether that is granted is decided by the guards of transitions
    to such an end. `keys` is its menu: the key that the caller presses, and where it leads.
    `patience` is how it listens, where that is not as in the whole flow.
    """

    name: Name
    _: KW_ONLY
    instructions: str = ""
    observations: tuple[FieldName, ...] = ()
    tools: tuple[ToolUse, ...] = ()
    must_say: tuple[Say, ...] = ()
    success_criteria: tuple[Guard, ...] = ()
    commit: OnceUse | None = None
    transitions: tuple[To, ...] = ()
    may_jump: tuple[str, ...] = ()
    may_transfer: tuple[str, ...] = ()
    limits: PhaseLimits | None = None
    end: HangUp | Transfer | None = None
    keys: dict[KeyName, To] = field(default_factory=dict, hash=False)
    patience: Patience | None = None

    def __post_init__(self) -> None:
        remember_place(self)
        if any(not say.name for say in self.must_say):
            raise FlowError(
                f"a statement of phase {self.name!r} has no name", where=place_of(self), mend='write Say("…", name="…")'
            )

    if TYPE_CHECKING:

        def __init__(
            self,
            name: str,
            *,
            instructions: str = "",
            observations: Iterable[Field | str] = (),
            tools: Iterable[Tool | Once] = (),
            must_say: Iterable[Say] = (),
            success_criteria: Iterable[Expression | Callable[..., bool]] = (),
            commit: Once | None = None,
            transitions: Iterable[To] = (),
            may_jump: Iterable[str] = (),
            may_transfer: Iterable[str] = (),
            limits: PhaseLimits | None = None,
            end: HangUp | Transfer | None = None,
            keys: Mapping[str, To] = ...,
            patience: Patience | None = None,
        ) -> None: ...


@dataclass(frozen=True, config=_CONFIG)
class Analysis:
    """What the model writes about a call once its line is closed, and before the report: a few seconds at most.

    Attributes:
        summary: what its summary is to say, as the model reads it.
        fill: it may give values that the caller said and nobody recorded, too. They are checked as any other and marked
            in the report; they move nothing, neither the outcome nor a phase nor a tool.
        when: only calls in which this holds at their end are analysed; every one, if not given.
    """

    summary: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=600)] = (
        "what the caller wanted, what came of it, and what is left to do"
    )
    _: KW_ONLY
    fill: bool = True
    when: Guard | None = None

    if TYPE_CHECKING:

        def __init__(
            self, summary: str = ..., *, fill: bool = True, when: Expression | Callable[..., bool] | None = None
        ) -> None: ...


def _some_sms(value: object) -> object:
    return (value,) if isinstance(value, Sms) else value


@dataclass(frozen=True, config=_CONFIG)
class Report:
    """What the report says beside the facts, and who receives it.

    Attributes:
        outcome: names for what came of the call: the first whose expression holds.
        analysis: have the model sum the call up.
        receivers: who is told beside the receiver of the settings.
        sms: text messages that go out when the call is over; the report says what came of them.
    """

    _: KW_ONLY
    outcome: dict[str, Guard] = field(default_factory=dict)
    analysis: Analysis | None = None
    receivers: tuple[Receiver, ...] = ()
    sms: Annotated[tuple[Sms, ...], PydanticField(max_length=MOST_SMS), BeforeValidator(_some_sms)] = ()

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            outcome: Mapping[str, Expression | Callable[..., bool]] = ...,
            analysis: Analysis | None = None,
            receivers: Iterable[Receiver] = (),
            sms: Sms | Iterable[Sms] = (),
        ) -> None: ...


@dataclass(frozen=True, config=_CONFIG)
class LeaveMessage:
    """When an answering machine takes our call: say this, after its tone, and hang up."""

    say: Annotated[Say, BeforeValidator(_saying)]
    kind: Literal["leave_message"] = "leave_message"

    if TYPE_CHECKING:

        def __init__(self, say: Say | Worded) -> None: ...


@dataclass(frozen=True, config=_CONFIG)
class Flow:
    """A whole conversation. See `flows/` for some of them.

    Attributes:
        goal: what the call is for, in one sentence.
        phases: at least one; `initial_phase` names the first (default: the first in the list).
        persona: who speaks, and how.
        opening: exact first words; without it the model greets in its own.
        languages: ISO 639-1 codes; a call begins in the first one, and goes on in another if the caller speaks it or
            asks for it.
        voice: a voice of the speech model.
        timezone: IANA zone of the business; prompts give its date and time.
        knowledge: facts the model may use, as text; a `Path` names a text file beside the flow's file.
        numbers: phone numbers (E.164) that lead here.
        targets: who may be rung for a caller, by name.
        rules: what holds in every phase, as in: who asks for a human being gets one.
        handlers: functions that are told what happens in the calls.
        apology: exact last words when the call cannot go on because something of ours failed.
        patience: how long the bot lets a caller finish, and what stops it while it speaks.
        noise_reduction: of the model's ear: `near_field` for handsets, `far_field` for loudspeakers; none by default.
        fallback: where the phone line takes the caller then, one way after the other until somebody was reached or a
            message was left. With none, the call ends.
        on_voicemail: what happens when a call of ours is answered by a machine; without it, we hang up.
        record: record the calls.
        hours: when calls are taken, by the clocks of `timezone`; without them, always. Calls of ours are not meant.
        closed: what callers get at other times; without it, a sentence.
    """

    _: KW_ONLY
    goal: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    phases: tuple[Phase, ...]
    observations: ObservationsClass = Observations
    initial_phase: str = ""
    persona: str = ""
    opening: Annotated[Say | None, BeforeValidator(_saying)] = None
    languages: tuple[Language, ...] = ("en",)
    voice: str = "marin"
    timezone: str = "UTC"
    knowledge: str | Path = ""
    tools_everywhere: tuple[ToolUse, ...] = ()
    numbers: tuple[Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")], ...] = ()
    targets: dict[Name, Number | Sip] = field(default_factory=dict)
    limits: Limits = Limits()
    rules: tuple[Rule, ...] = ()
    handlers: tuple[HandlerName, ...] = ()
    apology: Annotated[Say | None, BeforeValidator(_saying)] = None
    fallback: tuple[Transfer | Voicemail, ...] = ()
    on_voicemail: LeaveMessage | HangUp | None = None
    record: Recording | None = None
    report: Report = Report()
    patience: Patience = Patience()
    noise_reduction: NoiseReduction | None = None
    hours: Hours | None = None
    closed: Closed | None = None

    def __post_init__(self) -> None:
        remember_place(self)
        if not self.phases:
            raise FlowError("the flow has no phases", where=place_of(self), mend="give at least one Phase")
        if not self.languages:
            raise FlowError("the flow has no language", where=place_of(self), mend='give languages=["en"]')
        if not self.initial_phase:
            object.__setattr__(self, "initial_phase", self.phases[0].name)

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            goal: str,
            phases: Iterable[Phase],
            observations: type[Observations] = ...,
            initial_phase: str = "",
            persona: str = "",
            opening: Say | Worded | None = None,
            languages: Iterable[str] = ("en",),
            voice: str = "marin",
            timezone: str = "UTC",
            knowledge: str | Path = "",
            tools_everywhere: Iterable[Tool | Once] = (),
            numbers: Iterable[str] = (),
            targets: Mapping[str, Target] = ...,
            limits: Limits = ...,
            rules: Iterable[Rule] = (),
            handlers: Iterable[Handler] = (),
            apology: Say | Worded | None = None,
            fallback: Iterable[WayOut] = (),
            on_voicemail: LeaveMessage | HangUp | None = None,
            record: Recording | None = None,
            report: Report = ...,
            patience: Patience = ...,
            noise_reduction: NoiseReduction | None = None,
            hours: Hours | None = None,
            closed: Closed | None = None,
        ) -> None: ...

    @property
    def message(self) -> Say | None:
        """What is said to an answering machine, without the caller's speech stopping it."""
        if not isinstance(self.on_voicemail, LeaveMessage):
            return None
        return replace(self.on_voicemail.say, name="", interruptible=False)

    @cached_property
    def specs(self) -> Mapping[str, ObservationSpec]:
        """Every observation by name, in order."""
        return {spec.name: spec for spec in specs_of(self.observations)}

    @cached_property
    def by_name(self) -> Mapping[str, Phase]:
        """Every phase by name."""
        return {phase.name: phase for phase in self.phases}

    @cached_property
    def statements(self) -> Mapping[str, Say]:
        """Every statement that some phase must say, by name."""
        return {say.name: say for phase in self.phases for say in phase.must_say}

    @cached_property
    def collected_in(self) -> Mapping[str, tuple[str, ...]]:
        """What each phase collects; where no phase lists any, each that does not end collects all."""
        if any(phase.observations for phase in self.phases):
            return {phase.name: phase.observations for phase in self.phases}
        everything = tuple(name for name, spec in self.specs.items() if spec.ask.computed is None)
        return {phase.name: () if phase.end else everything for phase in self.phases}

    @cached_property
    def once(self) -> Mapping[str, Once]:
        """Every tool that runs once in a call, by name."""
        uses = (use for phase in self.phases for use in (*phase.tools, phase.commit))
        return {use.tool.name: use for use in (*uses, *self.tools_everywhere) if isinstance(use, Once)}

    @cached_property
    def secrets(self) -> frozenset[str]:
        """The observations whose values are kept from everybody but the receivers that are declared for them."""
        return frozenset(name for name, spec in self.specs.items() if spec.ask.secret)

    def limits_of(self, phase: Phase) -> PhaseLimits | None:
        """The bounds of a phase: its own, or those of every phase."""
        everywhere = self.limits.phase
        if phase.limits is not None or phase.end is not None or everywhere is None or everywhere.then == phase.name:
            return phase.limits
        return everywhere

    def takes_calls(self, at: datetime) -> bool:
        """Whether callers are taken `at` that moment (aware)."""
        return self.hours is None or self.hours.hold(at, ZoneInfo(self.timezone))

    def rung(self, way: Transfer) -> Target:
        """Whom a transfer rings: the target of this name, or the number itself."""
        return self.targets[way.to] if way.to in self.targets else Number(way.to)

    def tools_in(self, phase: Phase) -> Iterator[Tool]:
        """The flow's own tools that the model may call in this phase."""
        for use in (*phase.tools, *(use for use in self.tools_everywhere if use not in phase.tools)):
            yield use.tool if isinstance(use, Once) else use

    def expressions(self) -> Iterator[Expression]:
        """Every guard and criterion of the flow."""
        for phase in self.phases:
            yield from phase.success_criteria
            yield from (to.when for to in (*phase.transitions, *phase.keys.values()) if to.when is not None)
        for rule in self.rules:
            if isinstance(rule.then, To) and rule.then.when is not None:
                yield rule.then.when
        yield from (spec.ask.needed_if for spec in self.specs.values() if spec.ask.needed_if is not None)
        yield from self.report.outcome.values()
        if self.report.analysis is not None and self.report.analysis.when is not None:
            yield self.report.analysis.when
        yield from (sms.when for sms in self.report.sms if sms.when is not None)
