"""Rules about transfers: that whoever is to be rung can be, and that a caller whom nobody answers is not lost."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..model import Flow, Phase
from ..source import place_of
from ..targets import Number, Target
from ..ways import targets_of
from ..ways_out import Transfer, WayOut
from .findings import Flaw, LintRule, instead
from .study import Study

NUMBER = re.compile(r"\+[1-9]\d{6,14}")
_SIP = re.compile(r"sips?:[^\s@:;?]+@[^\s@;?]+(;[^\s?]*)?")  # the parts that <Sip> knows; no headers
_WRITE_NUMBER = "write + and the country code, then digits alone, as in +15550100"


def _unknown(study: Study) -> Iterator[Flaw]:
    targets = study.flow.targets
    for phase in study.flow.phases:
        for name in dict.fromkeys(targets_of(phase)):
            if name not in targets:
                problem = f"phase {phase.name!r} may ring {name!r}, which is no target"
                mend = instead(name, targets, "targets") if targets else 'declare targets={"…": Number("+…")}'
                yield Flaw(_place(phase), problem, mend)


def ways_when_closed(flow: Flow) -> tuple[WayOut, ...]:
    """Where callers are taken outside the hours."""
    return () if flow.closed is None else flow.closed.then


def _place(phase: Phase) -> str | None:
    return place_of(phase.end) or place_of(phase) if phase.end is not None else place_of(phase)


def _addresses(study: Study) -> Iterator[Flaw]:
    for name, target in study.flow.targets.items():
        where = place_of(target) or place_of(study.flow)
        for problem, mend in _wrong_with(study, target):
            yield Flaw(where, f"target {name!r}: {problem}", mend)


def _wrong_with(study: Study, target: Target) -> Iterator[tuple[str, str]]:
    if isinstance(target, Number):
        if not NUMBER.fullmatch(target.address):
            yield f"{target.address!r} is no telephone number", _WRITE_NUMBER
        elif target.address in study.flow.numbers:
            yield f"{target.address} leads back to this flow", "name a number that somebody answers"
    elif not _SIP.fullmatch(target.address):
        yield f"{target.address!r} is no SIP address", "write it as in sip:desk@pbx.example.com"
    shown = target.caller_id
    if shown is not None and isinstance(target, Number) and not NUMBER.fullmatch(shown):
        yield f"{shown!r} is no telephone number to be shown", _WRITE_NUMBER


def _no_way_back(study: Study) -> Iterator[Flaw]:
    rung = {name for phase in study.flow.phases for name in targets_of(phase)}
    for name, target in study.flow.targets.items():
        if name in rung and not target.no_answer:
            problem = f"a caller for whom {name!r} does not answer hears a sentence, and the call ends"
            yield Flaw(place_of(target) or place_of(study.flow), problem, "name the phase to go on in: no_answer=…")


def _never_rung(study: Study) -> Iterator[Flaw]:
    flow = study.flow
    rung = {name for phase in flow.phases for name in targets_of(phase)}
    rung |= {way.to for way in (*flow.fallback, *ways_when_closed(flow)) if isinstance(way, Transfer)}
    for name, target in flow.targets.items():
        if name not in rung:
            problem = f"target {name!r} is never rung"
            mend = f'end a phase with end=Transfer("{name}"), or remove it'
            yield Flaw(place_of(target) or place_of(flow), problem, mend)


def _unspoken(study: Study) -> Iterator[Flaw]:
    for way in study.flow.fallback:
        if isinstance(way, Transfer) and way.say:
            problem = "say of a way in fallback is never spoken: nobody is there to speak it"
            yield Flaw(place_of(way), problem, "give the flow an apology instead")
    for way in ways_when_closed(study.flow):
        if isinstance(way, Transfer) and (way.say or way.brief):
            problem = f"{'say' if way.say else 'brief'} of a way in closed is never spoken: there was no conversation"
            yield Flaw(place_of(way), problem, "write the words into Closed itself")


RULES = (
    LintRule("F040", "error", "a transfer to a target that does not exist", _unknown),
    LintRule("F041", "error", "a target that the phone line cannot ring", _addresses),
    LintRule("F042", "warning", "a caller whom nobody answers finds no way back", _no_way_back),
    LintRule("F043", "warning", "a target is never rung", _never_rung),
    LintRule("F044", "warning", "words of a way out are never spoken", _unspoken),
)
