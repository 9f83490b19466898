"""Random flows with every ability, and what may happen in their calls, drawn from a source of chance.

Some flows are as an author would write them, from one phase to the next; some are wild. The model sometimes does what
it is asked to and sometimes lies; transcripts are late, missing or about something else; tools fail; processes are
lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Annotated, Any, TypeVar

from pydantic import Field, create_model

from tests.engine.line import Line
from voicebot.engine.engine import EVIDENCE_LIMIT_S
from voicebot.engine.events import (
    CallerTurnEnded,
    CallResumed,
    KeyPressed,
    SilenceLasted,
    StatementEnded,
    ToolFinished,
)
from voicebot.flow import (
    After,
    AskAgain,
    Flow,
    HangUp,
    Key,
    Limits,
    Observations,
    Phase,
    PhaseLimits,
    Rule,
    Say,
    To,
    ask,
    computed,
    judged,
    tool,
)
from voicebot.flow.expressions import Compare, Expression, Heard, Holds
from voicebot.flow.expressions import Field as FieldNamed
from voicebot.flow.functions import value_function
from voicebot.flow.tools import Once, Tool

Drawn = TypeVar("Drawn")

ASKED = ("f0", "f1", "f2", "f3")
TYPES: Mapping[str, type] = {"f0": int, "f1": bool, "f2": int, "f3": bool, "c0": int, "c1": bool}
PHASES = ("p0", "p1", "p2", "p3")
NAMES = (*PHASES, "end")
JUDGED = ("the caller is sure", "the caller is angry")
STATEMENTS = ("This call is recorded.", "It is {f0}.", "That makes {c0}.", "{f1} and {f3}")
SAID = (
    "my name is Ada Lovelace",
    "next Tuesday would be fine",
    "yes that is right",
    "what is the weather like in Rome today",
)

# ---- what the author wrote ----------------------------------------------------------------------------------------


@tool
def look_up(f0: int = 0) -> str:
    """Look something up."""
    return str(f0)


@tool(filler="One moment.")
def book(f0: int = 0) -> str:
    """Book something."""
    return str(f0)


@tool
def place(f0: Annotated[int, Field(ge=0)], f3: bool = False) -> str:
    """Place the order."""
    return f"{f0} {f3}"


@tool
def pay(c0: int = 0) -> str:
    """Pay for it."""
    return str(c0)


def total(f0: int, f2: int = 0) -> int:
    """What it comes to; a lot of it does not."""
    if f0 > 1:
        raise ValueError("too many")
    return f0 + f2


def even(c0: int) -> bool:
    """Whether it is even; breaks on nothing."""
    return 10 % c0 == 0


def agreeable(f1: bool, f0: int = 0) -> bool:
    """A guard that may break."""
    return f1 and 10 / f0 > 1


def _about(name: str) -> list[Expression]:
    one = FieldNamed(name)
    return [one.filled, one.yes, one.no, *(Compare(one, operator, 1) for operator in ("==", "!=", "<", ">="))]


SIMPLE = tuple(leaf for name in ASKED for leaf in _about(name))  # nothing that is worked out: no field waits for itself
LEAVES = (
    *(leaf for name in TYPES for leaf in _about(name)),
    *(Heard(f"said-{name}") for name in PHASES[:2]),
    *(judged(words) for words in JUDGED for _ in range(3)),
    Holds(value_function(agreeable, "a guard")),
)


class Author:
    """Writes a flow."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.wild = chance.random() < 0.3
        self.lenient: dict[str, bool] = {}  # tool → whether it goes ahead unverified

    def often(self, share: float) -> bool:
        return self.chance.random() < share

    def maybe(self, share: float, made: Callable[[], Drawn]) -> Drawn | None:
        return made() if self.often(share) else None

    def flow(self) -> Flow:
        book_once = self.once(book, idempotent=self.often(0.5))
        return Flow(
            goal="g",
            observations=self.observations(),
            phases=(*(self.phase(number) for number in range(len(PHASES))), Phase("end", end=HangUp())),
            rules=self.rules(),
            limits=self.limits(),
            tools_everywhere=(book_once,),
        )

    def observations(self) -> type[Observations]:
        members: dict[str, Any] = {}
        for name in ASKED:
            confirm: Any = self.maybe(0.3, lambda: "read back")
            about = [one for one in (*ASKED, "c0", "c1") if one != name and self.often(0.05)]
            optional, needed_if = self.often(0.2), self.maybe(0.2, self.need)
            asked = ask(name, optional=optional, needed_if=needed_if, confirm=confirm, about=about)
            members[name] = (TYPES[name], asked)
        members["c1"] = (bool, computed(even))  # before what it is worked out from
        members["c0"] = (int, computed(total, needed_if=self.maybe(0.2, self.need)))
        return create_model("Drawn", __base__=Observations, **members)

    def need(self) -> Expression:
        return self.guard(SIMPLE)

    def guard(self, leaves: Sequence[Expression] = LEAVES, depth: int = 0) -> Expression:
        kind = self.chance.random()
        if depth > 1 or kind < 0.6:
            return self.chance.choice(leaves)
        if kind < 0.75:
            return self.guard(leaves, depth + 1) & self.guard(leaves, depth + 1)
        if kind < 0.9:
            return self.guard(leaves, depth + 1) | self.guard(leaves, depth + 1)
        return ~self.guard(leaves, depth + 1)

    def to(self) -> To:
        return To(self.chance.choice(NAMES), when=self.maybe(0.4, self.guard))

    def phase(self, number: int) -> Phase:
        name, chance = PHASES[number], self.chance
        collected = chance.sample((*ASKED, "c0"), chance.randint(0, 3) if self.wild else chance.randint(1, 2))
        ways = [self.to() for _ in range(chance.randint(0, 3))] if self.wild else self.ways(NAMES[number + 1])
        return Phase(
            name,
            observations=collected,
            success_criteria=[self.guard() for _ in range(self.often(0.3))],
            transitions=ways,
            may_jump=chance.sample(NAMES, chance.randint(0, 2)),
            tools=[look_up] if self.often(0.3) else [],
            must_say=[Say(chance.choice(STATEMENTS), name=f"said-{name}")] if self.often(0.25) else [],
            commit=self.maybe(0.5, self.commit),
            limits=self.maybe(0.2, self.bounds),
        )

    def ways(self, onward: str) -> list[To]:
        aside = self.maybe(0.5, lambda: To(self.chance.choice(NAMES), when=self.guard()))
        return [*([aside] if aside else []), To(onward)]

    def commit(self) -> Any:
        which = self.chance.choice((place, pay))
        return self.once(which, idempotent=which is pay)

    def once(self, which: Tool, *, idempotent: bool) -> Once:
        """The flow's one way to use a tool."""
        where = self.chance.choice(NAMES)
        self.lenient.setdefault(which.name, self.often(0.5))
        return which.once(
            on_failure=where, idempotent=idempotent, unverified="go" if self.lenient[which.name] else "ask"
        )

    def bounds(self) -> PhaseLimits:
        turns, duration = self.maybe(0.5, lambda: self.chance.randint(1, 3)), self.chance.choice((5.0, 20.0))
        return PhaseLimits(turns=turns, duration=duration, exact=self.often(0.5), then=self.chance.choice(NAMES))

    def rules(self) -> list[Rule]:
        then = [self.chance.choice((self.to(), self.to(), Say("Only orders."), HangUp())) for _ in range(4)]
        return [
            *(Rule(f"r{number}", when=f"the caller does {number}", then=then[number]) for number in range(2)),
            *(Rule(f"k{number}", when=Key(key), then=then[2 + number]) for number, key in enumerate("0#")),
        ]

    def limits(self) -> Limits:
        rungs = [self.chance.choice((AskAgain(), To("p2"), HangUp())) for _ in range(self.chance.randint(0, 3))]
        silence = [After(5.0 * number, rung) for number, rung in enumerate(rungs, 1)]
        return Limits(duration=300.0, silence=silence, phase=self.maybe(0.3 if self.wild else 0.1, self.everywhere))

    def everywhere(self) -> PhaseLimits:
        return PhaseLimits(turns=self.chance.randint(2, 4), duration=30.0, then="p3")


# ---- what happens -------------------------------------------------------------------------------------------------


class World:
    """Makes something happen in a call."""

    def __init__(self, chance: Random, line: Line) -> None:
        self.chance, self.line = chance, line

    def step(self) -> None:
        """One event, or a few that belong together."""
        state, chance = self.line.engine.state, self.chance
        self.line.now += 0.5
        if state.running and chance.random() < 0.25:
            self.finish()
        elif state.saying and chance.random() < 0.3:
            self.line.heard(chance.choice([*state.saying]), complete=chance.random() < 0.8)
        else:
            happenings, shares = zip(*self.happenings.items(), strict=True)
            chance.choices(happenings, shares)[0](self)

    def turn(self) -> None:
        self.line.turn()
        if self.chance.random() < 0.5:
            self.line.hear(self.chance.choice(SAID[:3]))

    def cut_turn(self) -> None:
        self.line.take(CallerTurnEnded(f"item-{self.line.engine.state.turn + 1}", cut=True))

    def transcript(self) -> None:
        turn = max(1, self.line.engine.state.turn - self.chance.choice((0, 0, 0, 1, 2)))
        text = self.chance.choice((*SAID, SAID[0], SAID[0], "", None))
        self.line.miss(turn) if text is None else self.line.hear(text, turn)

    def response(self) -> None:
        self.line.together(*(self.proposal() for _ in range(self.chance.choice((1, 1, 1, 2, 3)))))

    def finish(self) -> None:
        """One of the tools at work comes back, or one that nobody waits for."""
        call_id = self.chance.choice([*self.line.engine.state.running, "call-0"])
        how = self.chance.choice(("ok", "ok", "refused", "failed"))
        names = self.chance.sample(("f0", "f1", "c0", "f9"), self.chance.choice((0, 0, 0, 1, 2)))
        records = {name: self.value(name) for name in names}
        self.line.take(ToolFinished(call_id, "so", how == "ok", how == "refused", records))

    def other_words(self) -> None:
        name = f"said-{self.chance.choice(PHASES)}"
        self.line.take(StatementEnded(name, "other words", self.chance.random() < 0.5))

    def key(self) -> None:
        self.line.take(KeyPressed(self.chance.choice("0#1")))

    def silence(self) -> None:
        self.line.take(SilenceLasted(self.chance.randint(0, 2)))

    def time(self) -> None:
        self.line.wait(self.chance.choice((1.0, EVIDENCE_LIMIT_S, 10.0, 25.0)))

    def lost_process(self) -> None:
        self.line.take(CallResumed())

    happenings: Mapping[Callable[[World], None], int] = {
        turn: 28,
        transcript: 14,
        response: 40,
        finish: 2,
        other_words: 1,
        time: 4,
        key: 2,
        silence: 2,
        cut_turn: 1,
        lost_process: 1,
    }

    # ---- what the model proposes ----------------------------------------------------------------------------------

    def proposal(self) -> tuple[str, object]:
        """A function that the model calls, with arguments that may be right."""
        engine, chance, kind = self.line.engine, self.chance, self.chance.random()
        criteria = engine.standing.criteria(engine.phase) or JUDGED
        if kind < 0.66:
            return "record", self.record()
        if kind < 0.82:
            holds = chance.random() < 0.85
            return "judge", {"criterion": chance.choice(criteria), "holds": holds, "quote": self.quote()}
        if kind < 0.86:
            return "apply_rule", {"rule": chance.choice(("r0", "r1", "k0")), "quote": self.quote()}
        if kind < 0.91:
            return "request_phase", {"phase": chance.choice(NAMES)}
        if kind < 0.98:
            return chance.choice(("look_up", "book", "book", "place")), {"f0": self.value("f0")}
        return "end_call", {"reason": chance.choice(("goal_reached", "goal_reached", "wrong_number"))}

    def record(self) -> dict[str, object]:
        engine, chance = self.line.engine, self.chance
        missing = [spec.name for spec in engine.missing()]
        names = missing if missing and chance.random() < 0.7 else [*TYPES, "f9"]
        return {name: self.field(name) for name in chance.sample(names, min(len(names), chance.choice((1, 1, 2, 3))))}

    def field(self, name: str) -> dict[str, object]:
        engine, chance = self.line.engine, self.chance
        spec = engine.flow.specs.get(name)
        given: dict[str, object] = {"quote": self.quote()}
        if chance.random() < (0.7 if spec is not None and engine.standing.to_read_back(spec) else 0.05):
            given["confirmed"] = True
        if "confirmed" not in given or chance.random() < 0.2:
            given["value"] = self.value(name)
        if chance.random() < 0.05:
            given["declined"] = True
        return given

    def quote(self) -> object:
        state = self.line.engine.state
        said = state.transcripts.get(state.turn)
        if said and self.chance.random() < 0.7:
            return said
        return self.chance.choice((*SAID, *SAID, SAID[0], SAID[0], "", None))

    def value(self, name: str) -> object:
        if self.chance.random() < 0.05:
            return self.chance.choice((True, False, -1, 0, 2, None, "x", 1.5))
        return self.chance.choice((True, False) if TYPES.get(name) is bool else (-1, 0, 1, 2))
