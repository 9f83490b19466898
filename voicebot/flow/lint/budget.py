"""How much a phase gives the model to read: an estimate, made of the texts that its instructions and tools hold.

A token is taken for four characters, which is about right for English prose and JSON; other languages take up to twice
as many. What is recorded in the call, and said in it, comes on top.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..expressions import Judged
from ..model import Phase
from ..tools import Tool
from .study import Study

CHARACTERS_PER_TOKEN = 4
# The engine's own words, rounded, in characters: the rules of a telephone call, and the functions of every phase.
_RULES, _FUNCTIONS = 900, 700
_PER_FIELD = 400  # `record` asks for value, quote and more, of each field
_PER_FUNCTION = 60


def tokens(study: Study, phase: Phase) -> int:
    """About how many tokens instructions and tools of a phase take."""
    return sum(map(len, _texts(study, phase))) // CHARACTERS_PER_TOKEN


def _texts(study: Study, phase: Phase) -> Iterator[str]:
    flow = study.flow
    yield " " * _RULES
    yield from (flow.goal, flow.persona, str(flow.knowledge), phase.instructions)
    if phase.end is not None:
        return
    yield " " * _FUNCTIONS
    for name in flow.collected_in[phase.name]:
        yield f"- {name}: {flow.specs[name].description}\n"
    yield from (say.text for say in phase.must_say)
    for name in _recordable(study, phase):
        spec = flow.specs[name]
        yield f"{name}{spec.description}{json.dumps(spec.schema, ensure_ascii=False)}{' ' * _PER_FIELD}"
    for fact in study.possible[phase.name]:
        if fact.startswith(Judged.fact("")):
            yield fact
    yield from (f"{rule.name}{rule.when}" for rule in flow.rules if isinstance(rule.when, str))
    yield from map(_function, flow.tools_in(phase))


def _recordable(study: Study, phase: Phase) -> list[str]:
    """What `record` may have to take in this phase: what any phase on the way here collects."""
    flow = study.flow
    collected = {name for names in flow.collected_in.values() for name in names}
    return [name for name in flow.specs if name in collected & study.possible[phase.name] and study.recordable(name)]


def _function(tool: Tool) -> str:
    return f"{tool.name}{tool.description}{json.dumps(tool.parameters, ensure_ascii=False)}{' ' * _PER_FUNCTION}"
