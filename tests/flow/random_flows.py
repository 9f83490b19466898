"""Random flows, for properties of the linter and of the engine.

`random_flows()` uses every ability of a flow in any combination that pydantic accepts, sensible or not, names that do
not exist among them. `clean_random_flows()` gives flows that the linter has nothing to say about, built so that few are
thrown away. Everything in them is deterministic: functions and tools depend on their arguments alone.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from enum import Enum
from itertools import pairwise
from typing import Annotated, Any, Literal

from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model

from voicebot.flow import (
    After,
    AskAgain,
    CallControl,
    CallEvent,
    Flow,
    HangUp,
    Key,
    Limits,
    Observations,
    Phase,
    PhaseLimits,
    PhoneNumber,
    Report,
    Rule,
    Say,
    To,
    ToolContext,
    ToolError,
    ask,
    computed,
    handler,
    heard,
    it,
    judged,
    otherwise,
    tool,
)
from voicebot.flow.check import check
from voicebot.flow.expressions import Expression, read_expression
from voicebot.flow.json_types import schema_of
from voicebot.flow.observations import ObservationSpec
from voicebot.flow.tools import Once, Tool

# ---- kinds of fields ------------------------------------------------------------------------------------------------


class Mood(Enum):
    CALM = "calm"
    CROSS = "cross"


class Place(BaseModel, extra="forbid"):
    street: str
    floor: int | None = None


@dataclass(frozen=True)
class Kind:
    """A type of field: some of its values in JSON form, and constants that guards compare it with."""

    annotation: Any
    values: tuple[Any, ...]
    constants: tuple[Any, ...] = ()
    ordered: bool = False


KINDS: Mapping[str, Kind] = {
    "sure": Kind(bool, (True, False), (True, False)),
    "colour": Kind(Literal["red", "green", "blue"], ("red", "green", "blue"), ("red", "green", "blue")),
    "count": Kind(Annotated[int, Field(ge=0, le=9)], (0, 3, 9), (2, 3, 5), ordered=True),
    "words": Kind(str, ("Ada", "Grace", "something"), ("Ada",)),
    "code": Kind(Annotated[str, Field(pattern=r"^[A-Z]{2}\d{2}$")], ("AB12", "ZZ99"), ("AB12",)),
    "price": Kind(Annotated[Decimal, Field(ge=0)], ("0.00", "15.00", "26.50"), (15, Decimal("20")), ordered=True),
    "day": Kind(date, ("2026-12-01", "2027-07-03"), (date(2027, 1, 1),), ordered=True),
    "hour": Kind(time, ("09:30:00", "19:00:00"), (time(12),), ordered=True),
    "mood": Kind(Mood, ("calm", "cross"), (Mood.CALM, "cross")),
    "guess": Kind(int | None, (None, 1, 8), (4,), ordered=True),
    "when": Kind(time | Literal["soon"], ("soon", "10:00:00"), ("soon",)),
    "list": Kind(list[Literal["milk", "nuts"]], ([], ["nuts"])),
    "place": Kind(Place, ({"street": "Via Roma", "floor": None}, {"street": "Main Street", "floor": 2})),
    "phone": Kind(PhoneNumber, ("+14155550123", "+15550100007")),
}
_BY_SCHEMA = {json.dumps(schema_of(kind.annotation)): kind for kind in KINDS.values()}


def valid_values(spec: ObservationSpec) -> tuple[Any, ...]:
    """Some values, in JSON form, that an observation of a random flow takes."""
    values = _BY_SCHEMA[json.dumps(dict(spec.schema))].values
    return tuple(value for value in values if spec.ask.check is not names_nothing or value != NOTHING)


NOTHING = "something"


def names_nothing(value: str) -> str:
    """A check that refuses one value, and tidies up the others."""
    if value == NOTHING:
        raise ValueError("that is nothing; ask what exactly")
    return value.strip()


# ---- functions and tools --------------------------------------------------------------------------------------------


def _with_parameters(function: Callable[..., object], name: str, reads: Mapping[str, Any], optional: set[str]) -> None:
    """Give a function of `**values` a name and the parameters of a function that an author would write."""
    parameters = [
        inspect.Parameter(
            one,
            inspect.Parameter.KEYWORD_ONLY,
            default=None if one in optional else inspect.Parameter.empty,
            annotation=annotation,
        )
        for one, annotation in reads.items()
    ]
    function.__name__ = function.__qualname__ = name
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = dict(reads)


def _weight(values: Mapping[str, object]) -> int:
    return sum(map(ord, repr(sorted(values.items(), key=lambda entry: entry[0]))))


def holds_function(name: str, reads: Mapping[str, Any]) -> Callable[..., bool]:
    """A guard in Python."""

    def function(**values: object) -> bool:
        return _weight(values) % 2 == 0

    _with_parameters(function, name, reads, set())
    return function


def worked_out_function(name: str, reads: Mapping[str, Any], optional: set[str], kind: str) -> Callable[..., object]:
    """What a computed field of that kind comes to; sometimes there is no value, and it says so."""

    def function(**values: object) -> object:
        """What comes of it."""
        weight = _weight(values)
        if weight % 7 == 0:
            raise ValueError("there is none for this")
        choices = KINDS[kind].values
        return choices[weight % len(choices)]

    _with_parameters(function, name, reads, optional)
    return function


Behaviour = Literal["works", "refuses", "breaks"]


def flow_tool(name: str, reads: Mapping[str, Any], *, behaviour: Behaviour = "works", filler: str = "") -> Tool:
    """A tool of the flow; `breaks` leaves open whether it has run, `refuses` says that it has not."""

    def function(context: ToolContext, **values: object) -> str:
        """Do what has to be done."""
        if behaviour == "refuses":
            raise ToolError("not today")
        if behaviour == "breaks":
            raise RuntimeError("the other side is gone")
        return f"done {context.idempotency_key} {_weight(values)}"

    _with_parameters(function, name, {"context": ToolContext, **reads}, set())
    return tool(filler=filler)(function)


def handing_in_tool(name: str, observation: str, value: object) -> Tool:
    """A tool that hands in an observation."""

    def function(context: ToolContext) -> str:
        """Look it up."""
        context.record(**{observation: value})
        return "looked up"

    _with_parameters(function, name, {"context": ToolContext}, set())
    return tool(function)


@handler("observation", "phase", "end")
def takes_note(event: CallEvent, call: CallControl) -> None:
    """A handler that does nothing."""


# ---- the pieces of a flow -------------------------------------------------------------------------------------------


@dataclass
class _Author:
    """What has been made up so far of one flow."""

    draw: Any
    tidy: bool
    broken: bool  # names of what does not exist occur, and constants of other types
    kinds: dict[str, str] = field(default_factory=dict)  # field → kind
    members: dict[str, Any] = field(default_factory=dict)
    sure: set[str] = field(default_factory=set)  # fields that are asked for whatever happens
    computed: dict[str, tuple[str, ...]] = field(default_factory=dict)  # field → what it is worked out from
    statements: list[str] = field(default_factory=list)
    made: int = 0

    def number(self) -> int:
        self.made += 1
        return self.made

    def chance(self, percent: int) -> bool:
        return bool(self.draw(st.integers(0, 99)) < percent)

    def one(self, choices: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(list(choices)))

    def some(self, choices: Sequence[Any], most: int) -> list[Any]:
        if not choices:
            return []
        return list(self.draw(st.lists(st.sampled_from(list(choices)), max_size=most, unique=True)))

    def wrong(self) -> bool:
        """Whether a name that does not exist comes here."""
        return self.broken and self.chance(5)

    # ---- observations ---------------------------------------------------------------------------------------------

    def invent_fields(self) -> None:
        for number in range(self.draw(st.integers(1, 7))):
            self._invent_field(f"f{number}")
        for number in range(self.draw(st.integers(0, 2))):
            self._invent_computed(f"c{number}")
        if self.computed and self.chance(40):
            self._invent_yes("yes")

    def _invent_field(self, name: str) -> None:
        kind = self.one(["sure", "sure", "sure", "colour", "count", *KINDS])
        given: dict[str, Any] = {}
        if self.chance(20) and self.sure:
            given["needed_if"] = self.guard([self.one(sorted(self.sure))], depth=0 if self.tidy else 2, pure=True)
        elif self.chance(15):
            given["optional"] = True
        elif kind == "phone" and self.chance(50):
            given["default_from"] = "caller"
        if kind == "words" and self.chance(50):
            given["check"] = names_nothing
        if kind != "sure" and self.chance(20):
            given["confirm"] = "read back"
        if self.broken and self.chance(5):
            given |= {"confirm": "read back", "optional": True, "default_from": "caller"}
        if not given.keys() - {"confirm", "check", "default_from"}:
            self.sure.add(name)
        self.kinds[name] = kind
        self.members[name] = (KINDS[kind].annotation, ask(f"what {name} is", **given))

    def _invent_yes(self, name: str) -> None:
        """An answer about what was worked out."""
        about = ["nowhere"] if self.wrong() else self.some(sorted(self.kinds), 2) or [self.one(sorted(self.computed))]
        self.kinds[name] = "sure"
        self.members[name] = (bool, ask("whether that is right", about=about))
        self.sure.add(name)

    def _invent_computed(self, name: str) -> None:
        known = sorted(self.sure) if self.tidy else sorted(self.kinds)
        if not known:
            return
        reads = tuple(dict.fromkeys(self.some(known, 2) or [self.one(known)]))
        optional = set(self.some(reads, 1)) if not self.tidy else set()
        if self.wrong():
            reads = (*reads, "nowhere")
        kind = self.one(["sure", "count", "price", "colour", "words"])
        types = {read: KINDS[self.kinds.get(read, "words")].annotation for read in reads}
        function = worked_out_function(f"work_out_{name}", types, optional, kind)
        self.kinds[name], self.computed[name] = kind, reads
        self.members[name] = (KINDS[kind].annotation, computed(function))

    def observations(self) -> type[Observations]:
        return create_model("Seen", __base__=Observations, **self.members)

    # ---- guards ---------------------------------------------------------------------------------------------------

    def guard(self, names: Sequence[str], *, depth: int = 2, pure: bool = False) -> Expression:
        """A guard over some of these fields; `pure` asks neither the model nor a function."""
        shape = self.one(["leaf", "leaf", "leaf", "and", "or", "not"]) if depth else "leaf"
        if shape == "and":
            return self.guard(names, depth=depth - 1, pure=pure) & self.guard(names, depth=depth - 1, pure=pure)
        if shape == "or":
            return self.guard(names, depth=depth - 1, pure=pure) | self.guard(names, depth=depth - 1, pure=pure)
        if shape == "not":
            return ~self.guard(names, depth=depth - 1, pure=pure)
        return self._leaf(names, pure)

    def _leaf(self, names: Sequence[str], pure: bool) -> Expression:
        if not names or (not pure and self.chance(12)):
            return judged(f"the caller means it, {self.one('abc')}")
        if not pure and self.chance(12):
            reads = {name: KINDS[self.kinds[name]].annotation for name in self.some(names, 2)}
            function = holds_function(f"decides_{self.number()}", reads)
            return _guard_of(function)
        if not pure and not self.tidy and self.statements and self.chance(10):
            return heard("nothing" if self.wrong() else self.one(self.statements))
        name = "nowhere" if self.wrong() else self.one(names)
        return self._compared(name)

    def _compared(self, name: str) -> Expression:
        kind, value = KINDS[self.kinds.get(name, "words")], getattr(it, name)
        if not kind.constants:
            return ~value.filled if not self.tidy and self.chance(20) else value.filled
        if self.broken and self.chance(10):
            return value == self.one([None, "nonsense", 3.5, [1], True])
        constant = self.one(kind.constants)
        if kind.ordered and self.chance(70):
            made = self.one([value < constant, value <= constant, value > constant, value >= constant])
        else:
            made = self.one([value == constant, value != constant])
        assert isinstance(made, Expression)
        return made


def _guard_of(function: Callable[..., bool]) -> Expression:
    return read_expression(function)


# ---- whole flows ----------------------------------------------------------------------------------------------------


@st.composite
def _flows(draw: Any, tidy: bool) -> Flow:
    author = _Author(draw, tidy, broken=not tidy and draw(st.integers(0, 2)) == 0)
    author.invent_fields()
    count = draw(st.integers(1, 5))
    talking = [f"p{number}" for number in range(count)]
    ends = ["bye", *author.some(["human", "sorry"], 2)]
    share = _shared_out(author, count)
    phases = [_phase(author, talking, ends, number, share[number]) for number in range(count)]
    phases += [Phase(name, instructions="Say goodbye.", end=HangUp()) for name in ends]
    if author.broken and author.chance(10):
        phases.append(author.one(phases))
    places = [*talking, *ends, *(["nowhere"] if author.wrong() else [])]
    bounded = count >= 3 or any(_may_hold_up(phase, author.computed) for phase in phases)
    limits = _limits(author, places, ends, bounded=bounded)
    rules, report = _rules(author, places, ends, count), _report(author)
    reached = _led_to(phases, limits, rules) | {"p0"}
    if tidy:
        phases = [phase for phase in phases if phase.name in reached]
    return Flow(
        goal="Find out what there is to find out.",
        persona="You are brief.",
        opening=author.one(
            [None, "Hello, this is a random flow.", Say("Hello. Nobody may interrupt this.", interruptible=False)]
        ),
        apology=author.one([None, "Something of ours has failed. Please call again."]),
        languages=["en"] if tidy else author.one([["en"], ["en", "it"]]),  # whose words are in one
        observations=author.observations(),
        phases=phases,
        initial_phase=author.one(places) if not tidy and author.chance(20) else "",
        tools_everywhere=[flow_tool(f"look_{author.number()}", {})] if author.chance(15) else [],
        limits=limits,
        rules=rules,
        handlers=[takes_note] if author.chance(30) else [],
        report=report,
    )


def _shared_out(author: _Author, count: int) -> list[list[str]]:
    """Which fields each phase collects; in the order of the fields, so that what one depends on comes first."""
    asked = [name for name in author.kinds if name not in author.computed]
    if author.tidy:
        cuts = sorted(author.draw(st.integers(0, len(asked))) for _ in range(count - 1))
        bounds = [0, *cuts, len(asked)]
        return [asked[start:stop] for start, stop in pairwise(bounds)]
    everything = [*(author.kinds if author.broken else asked), *(["nowhere"] if author.wrong() else [])]
    return [author.some(everything, 4) for _ in range(count)]


def _phase(
    author: _Author, talking: Sequence[str], ends: Sequence[str], number: int, collected: Sequence[str]
) -> Phase:
    tidy, name = author.tidy, talking[number]
    before = [one for one in author.kinds if one not in author.computed] if not tidy else []
    mine = [one for one in collected if one in author.sure]
    mine += [one for one, reads in author.computed.items() if set(reads) <= set(mine)]
    usable = mine if tidy else [*author.kinds]
    given: dict[str, Any] = {}
    given["must_say"] = _statements(author, number, usable)
    if author.chance(30) and usable:
        given["success_criteria"] = [author.guard(usable, depth=1 if tidy else 3)]
    asked = [one for one in mine if author.kinds[one] == "sure" and one not in author.computed]
    if author.chance(50 if tidy else 25) and (asked or not tidy):
        agreed = [getattr(it, asked[0]).yes] if asked else []
        given["success_criteria"] = [*agreed, *([] if tidy else given.get("success_criteria", []))]
        given["commit"] = _commit(author, [one for one in usable if author.computed.get(one) is None], ends)
    following = talking[number + 1] if number + 1 < len(talking) else "bye"
    targets = talking[number + 1 :] if tidy else [one for one in talking if one != name or author.wrong()]
    given["transitions"] = _transitions(author, [*targets, *ends], usable, following)
    if author.chance(20):
        given["may_jump"] = author.some([one for one in (*talking, *ends) if one != name], 2)
    if author.chance(20):
        given["tools"] = _tools(author, before, ends)
    if author.chance(20):
        given["limits"] = _phase_limits(author, ends if tidy else [*targets, *ends])
    listed = [one for one in collected if not tidy or one not in author.computed]
    return Phase(name, instructions="" if author.wrong() else "Go on.", observations=listed, **given)


def _statements(author: _Author, number: int, usable: Sequence[str]) -> list[Say]:
    if not author.chance(25):
        return []
    quoted = "nowhere" if author.wrong() else author.one(usable) if usable and author.chance(70) else ""
    name = "s0" if author.wrong() else f"s{number}"
    author.statements.append(name)
    text = f"So {quoted} is {{{quoted}}}." if quoted else f"This is part {number}."
    return [Say(text, name=name, interruptible=author.chance(70))]


def _commit(author: _Author, usable: Sequence[str], ends: Sequence[str]) -> Once:
    names = author.some(usable, 2)
    reads = {name: KINDS[author.kinds[name]].annotation for name in names}
    if author.wrong():
        reads["nowhere"] = int
    behaviour = author.one(["works", "works", "works", "refuses", "breaks"])
    filler = author.one(["", "One moment."])
    made = flow_tool(f"do_{author.number()}", reads, behaviour=behaviour, filler=filler)
    return made.once(on_failure=author.one(ends), idempotent=author.chance(30))


def _transitions(author: _Author, targets: Sequence[str], usable: Sequence[str], following: str) -> list[To]:
    guarded = author.draw(st.integers(0, 2)) if usable or not author.tidy else 0
    others = [one for one in targets if one != following] or list(targets)
    ways = [To("nowhere" if author.wrong() else author.one(others), when=author.guard(usable)) for _ in range(guarded)]
    if not author.tidy and author.chance(30):
        return ways
    return [*ways, To(following, when=author.one([None, None, otherwise]))]


def _tools(author: _Author, before: Sequence[str], ends: Sequence[str]) -> list[Tool | Once]:
    made = flow_tool(f"look_{author.number()}", {"words": str})
    if author.chance(30):
        return [made.once(on_failure=author.one(ends), idempotent=author.chance(50))]
    if before and author.chance(30):
        name = author.one(before)
        return [made, handing_in_tool(f"find_{author.number()}", name, KINDS[author.kinds[name]].values[0])]
    return [made]


def _phase_limits(author: _Author, targets: Sequence[str]) -> PhaseLimits:
    then = "nowhere" if author.wrong() else author.one(targets)
    if author.chance(30):
        return PhaseLimits(duration=author.one(["20s", "1m"]), exact=True, then=then)
    turns = author.one([None, 3, 8])
    return PhaseLimits(turns=turns, duration=author.one(["1m", "3m"] if turns is None else [None, "2m"]), then=then)


def _may_hold_up(phase: Phase, computed: Collection[str]) -> bool:
    """Whether an answer may keep a phase from its end, or from working out what it says."""
    quotes = any(f"{{{name}}}" in say.text for say in phase.must_say for name in computed)
    return bool(phase.success_criteria) or phase.commit is not None or quotes


def _limits(author: _Author, places: Sequence[str], ends: Sequence[str], *, bounded: bool) -> Limits:
    ladder = [After("8s", AskAgain(author.one(["", "Are you still there?"])))]
    if author.chance(30):
        ladder.append(After("16s", To(author.one(ends if author.tidy else places))))
    if author.tidy or author.chance(80):
        ladder.append(After("30s", HangUp()))
    bounds = None
    if (author.tidy and bounded) or author.chance(30):
        bounds = PhaseLimits(turns=author.one([6, 12]), then=author.one(ends if author.tidy else places))
    return Limits(duration=author.one(["5m", "20m"]), silence=ladder, phase=bounds)


def _rules(author: _Author, places: Sequence[str], ends: Sequence[str], count: int) -> list[Rule]:
    rules = []
    if (author.tidy and count >= 3) or author.chance(30):
        then = author.one([To(author.one(ends)), HangUp(), Say("There is nobody here but me.")])
        rules.append(Rule("human", when=author.one(["the caller asks for a human being", Key("0")]), then=then))
    if author.chance(20):
        guard = author.guard(sorted(author.sure), depth=1, pure=True) if author.sure and author.chance(30) else None
        rules.append(Rule("again", when=Key("9"), then=To(author.one(places), when=guard)))
    if author.chance(20):
        name = "human" if author.wrong() else "off_topic"
        rules.append(Rule(name, when="the caller speaks of the weather", then=Say("Let us go on.")))
    return rules


def _report(author: _Author) -> Report:
    if not author.sure or not author.chance(50):
        return Report()
    return Report(outcome={"done": author.guard(sorted(author.sure), depth=1, pure=True), "incomplete": otherwise})


def _led_to(phases: Sequence[Phase], limits: Limits, rules: Sequence[Rule]) -> set[str]:
    """The phases that something leads to."""
    found = {limits.phase.then} if limits.phase is not None else set()
    found |= {rung.then.phase for rung in limits.silence if isinstance(rung.then, To)}
    found |= {rule.then.phase for rule in rules if isinstance(rule.then, To)}
    for phase in phases:
        found |= {*(to.phase for to in phase.transitions), *phase.may_jump}
        found |= {phase.limits.then} if phase.limits is not None else set()
        found |= {use.on_failure for use in (*phase.tools, phase.commit) if isinstance(use, Once)}
    return found


def random_flows() -> st.SearchStrategy[Flow]:
    """Any flow that pydantic accepts, sensible or not."""
    return _flows(tidy=False)


def clean_random_flows() -> st.SearchStrategy[Flow]:
    """Flows that the linter finds neither an error nor a warning in."""
    return _flows(tidy=True).filter(lambda flow: not check(flow))
