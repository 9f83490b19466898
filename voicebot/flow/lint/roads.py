"""Rules about where a call can go: that every phase is reached, and that none is a trap."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ..expressions import Expression
from ..model import Flow, HangUp, Key, Phase, PhaseLimits, Rule, To
from ..source import place_of
from .findings import Flaw, LintRule
from .places import places_in
from .points import FallsThrough, guards_of, reads_of
from .study import Study
from .verdicts import Sight, must_hold

MANY_PHASES = 3  # that talk; a flow with fewer needs no way out of every situation
_HUMAN = re.compile(
    r"human|person|people|somebody|someone|agent|operator|colleague|staff|employee|representative|manager",
    re.IGNORECASE,
)


def _unreachable(study: Study) -> Iterator[Flaw]:
    for phase in study.flow.phases:
        if phase.name not in study.reached:
            problem = f"no way leads to phase {phase.name!r}"
            yield Flaw(place_of(phase), problem, "add a transition to it, or remove it")


# ---- ends -----------------------------------------------------------------------------------------------------------


def _dead_ends(study: Study) -> Iterator[Flaw]:
    flow = study.flow
    if len(flow.phases) == 1:
        return
    stopped = [phase for phase in flow.phases if not _goes_on(flow, phase)]
    for phase in stopped:
        problem = f"phase {phase.name!r} leads nowhere and does not end the call"
        yield Flaw(place_of(phase), problem, "give it transitions or end=HangUp()")
    ending = _ending(study)
    circling = [phase for phase in flow.phases if phase.name in study.reached and phase.name not in ending]
    if circling and not stopped:
        problem = f"no way leads from {_names(circling)} to the end of the call"
        yield Flaw(
            place_of(circling[0]), problem, "add a transition to a phase with end=HangUp(), or a Rule that hangs up"
        )


def _goes_on(flow: Flow, phase: Phase) -> bool:
    """Whether a phase comes to an end of its own: a transition, the call's end, or a time that is up."""
    limits = flow.limits_of(phase)
    timed = limits is not None and limits.duration is not None
    return phase.end is not None or bool(phase.transitions) or timed


def _ending(study: Study) -> set[str]:
    """The phases from which the flow itself comes to an end of the call, silence and cost left out."""
    flow = study.flow
    rule_ends = any(isinstance(rule.then, HangUp) for rule in flow.rules)
    ending = {phase.name for phase in flow.phases if phase.end is not None or rule_ends}
    while True:
        more = {
            name
            for name, open_ways in study.ways.items()
            if name not in ending and any(way.end in ending for way in open_ways if way.kind not in ("silence", "cost"))
        }
        if not more:
            return ending
        ending |= more


def _ends(study: Study) -> Iterator[Flaw]:
    for phase in study.flow.phases:
        if phase.end is None:
            continue
        if phase.transitions or phase.observations or phase.success_criteria or phase.must_say:
            problem = f"phase {phase.name!r} ends the call, so it can neither collect nor wait nor lead on"
            mend = "move observations, statements and transitions to a phase before it"
            yield Flaw(place_of(phase), problem, mend)
        elif phase.tools or phase.commit or phase.may_jump or phase.may_transfer or phase.limits is not None:
            problem = f"phase {phase.name!r} ends the call, so its tools, commit, jumps and limits are never used"
            yield Flaw(place_of(phase), problem, "move them to a phase before it")


# ---- ways out -------------------------------------------------------------------------------------------------------


def _silence(study: Study) -> Iterator[Flaw]:
    flow = study.flow
    last = flow.limits.silence[-1].then if flow.limits.silence else None
    mend = "end silence=[…] with After(…, HangUp())"
    match last:
        case HangUp():
            return
        case To(phase=name):
            phase = flow.by_name.get(name)
            if phase is None or phase.end is not None or _timed(flow, phase):
                return
            problem = f"silence leads to phase {name!r}, which goes on for ever if nobody speaks"
            yield Flaw(place_of(flow), problem, mend)
        case _:
            problem = f"a caller who says nothing is kept on the line for {flow.limits.duration:g} s"
            yield Flaw(place_of(flow), problem, mend)


def _timed(flow: Flow, phase: Phase) -> bool:
    limits = flow.limits_of(phase)
    return limits is not None and limits.duration is not None


def _stuck(study: Study) -> Iterator[Flaw]:
    flow = study.flow
    many, exits = len(_talking(flow)) >= MANY_PHASES, {limits.then for limits in _all_limits(flow)}
    open_ended = [
        phase
        for phase in _talking(flow)
        if flow.limits_of(phase) is None and phase.name not in exits and _may_hold_up(study, phase, many)
    ]
    if open_ended and len(flow.phases) > 1:
        problem = f"a caller who cannot answer as it asks stays in {_names(open_ended)} until the call's time is over"
        mend = "give the flow limits=Limits(phase=PhaseLimits(turns=…, then=…)), or the phase limits of its own"
        yield Flaw(place_of(open_ended[0]), problem, mend)


def _may_hold_up(study: Study, phase: Phase, many: bool) -> bool:
    """Whether a phase goes on until something is so: what it asks for, or, in a small flow, what an answer is to be."""
    collected = (study.flow.specs.get(name) for name in study.flow.collected_in[phase.name])
    if many and any(spec is not None and not spec.ask.optional for spec in collected):
        return True
    return phase.commit is not None or any(map(partial(_may_come_about, study, phase), _hindrances(study, phase)))


Hindrance = tuple[set[str], Callable[[Sight], bool]]  # the fields that it hangs on, and whether it is there


def _hindrances(study: Study, phase: Phase) -> Iterator[Hindrance]:
    """What may keep a phase from its end although everything is answered.

    That is a criterion that the answers deny, and a computed field whose function refuses them: a statement that
    quotes it is not said, a guard over it does not hold.
    """
    for criterion in phase.success_criteria:
        yield set(criterion.reads()), partial(_denied, criterion)
    for name in [name for say in phase.must_say for name in places_in(say)]:
        if not study.recordable(name):
            yield {name}, partial(_lacking, name)
    falls = FallsThrough(study, phase, guards_of(phase))
    if phase.transitions and not all(map(study.recordable, reads_of(falls.guards))):
        yield reads_of(falls.expressions), falls


def _denied(criterion: Expression, sight: Sight) -> bool:
    return not must_hold(criterion, sight)


def _lacking(name: str, sight: Sight) -> bool:
    return name not in sight.facts


def _may_come_about(study: Study, phase: Phase, hindrance: Hindrance) -> bool:
    """Whether it may be so when a phase has nothing more to ask for; it is if there is too much to look at."""
    names, is_there = hindrance
    worlds = (study.world(names, "refusing", wider=wider) for wider in (False, True))
    return all(world is None or any(map(is_there, world.last_sights(phase))) for world in worlds)


def _human(study: Study) -> Iterator[Flaw]:
    flow = study.flow
    if len(_talking(flow)) >= MANY_PHASES and not any(map(_is_for_a_human, flow.rules)):
        problem = "nothing says what to do when the caller asks for a human being"
        mend = 'add rules=[Rule("human", when="the caller asks for a human being", then=…)]'
        yield Flaw(place_of(flow), problem, mend)


def _is_for_a_human(rule: Rule) -> bool:
    target = rule.then.phase if isinstance(rule.then, To) else ""
    words = "" if isinstance(rule.when, Key) else rule.when
    return _HUMAN.search(f"{rule.name} {words} {target}") is not None


def _talking(flow: Flow) -> list[Phase]:
    return [phase for phase in flow.phases if phase.end is None]


def _names(phases: Sequence[Phase]) -> str:
    """The first few names of phases."""
    named = ", ".join(repr(phase.name) for phase in phases[:3])
    return named if len(phases) <= 3 else f"{named} and {len(phases) - 3} more"


# ---- limits ---------------------------------------------------------------------------------------------------------


def _all_limits(flow: Flow) -> Iterator[PhaseLimits]:
    yield from (phase.limits for phase in flow.phases if phase.limits is not None)
    if flow.limits.phase is not None:
        yield flow.limits.phase


def _to_itself(study: Study) -> Iterator[Flaw]:
    ways = {"transition": "a transition", "stuck": "its limits", "failure": "the failure of a tool"}
    for phase in study.flow.phases:
        for way in study.ways[phase.name]:
            if way.end == phase.name and way.start is not None and way.kind in ways:
                problem = f"phase {phase.name!r} leads back to itself by {ways[way.kind]}"
                mend = "name another phase; a phase that is not done goes on without being told"
                yield Flaw(way.where, problem, mend)


def _idle_limits(study: Study) -> Iterator[Flaw]:
    flow, call_s = study.flow, study.flow.limits.duration
    for phase in flow.phases:
        if phase.limits is not None and phase.limits.duration is not None and phase.limits.duration >= call_s:
            problem = f"phase {phase.name!r} may last {phase.limits.duration:g} s, the whole call only {call_s:g} s"
            yield Flaw(place_of(phase), problem, "shorten the phase, or give limits=Limits(duration=…) to the flow")
    everywhere = flow.limits.phase
    if everywhere is not None and everywhere.duration is not None and everywhere.duration >= call_s:
        problem = f"each phase may last {everywhere.duration:g} s, the whole call only {call_s:g} s"
        yield Flaw(place_of(flow), problem, "shorten the limits of the phases, or give the call more time")
    rungs = [rung for rung in flow.limits.silence if isinstance(rung.then, To) and rung.then.when is not None]
    if rungs:
        problem = f"the way out of silence after {rungs[0].delay:g} s has a guard, which nobody looks at"
        yield Flaw(place_of(flow), problem, "leave out its `when`")


RULES = (
    LintRule("F004", "warning", "no way leads to a phase", _unreachable, deep=True),
    LintRule("F005", "warning", "a phase comes to no end of the call", _dead_ends, deep=True),
    LintRule("F006", "error", "a phase that ends the call is to do something else too", _ends),
    LintRule("F024", "warning", "a caller who says nothing is never hung up on", _silence),
    LintRule("F025", "warning", "a phase has no way out for a caller who cannot answer", _stuck, deep=True),
    LintRule("F026", "warning", "a caller who asks for a human being finds no way", _human),
    LintRule("F027", "error", "a phase leads back to itself", _to_itself),
    LintRule("F028", "warning", "a limit or a guard of the flow's limits never has an effect", _idle_limits),
)
