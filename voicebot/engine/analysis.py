"""The look back at a call whose line is closed: what the model is asked, and what of its answer holds.

It sums the call up, and it may say what the caller said and nobody recorded. What it says is a proposal like any other:
types and checks are those of `record`, and the quote is weighed against everything the caller said. What holds is
filled in and stands apart: no criterion, no outcome and no other value rests on it, and nothing that was recorded,
declined or worked out is touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from voicebot.flow.observations import ObservationSpec
from voicebot.json_codec import loads
from voicebot.tool_schema import ToolSchema

from .entries import ObservationFilled
from .offers import QUOTE
from .proposals import NOT_SAID, clipped, valid
from .standing import Standing
from .witness import weigh_anywhere

CONCLUDE = "conclude"
LONGEST_SUMMARY = 1_200  # characters
LONGEST_ANSWER = 60_000  # characters of JSON


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What the model made of a call. `said` holds its proposals by field, unchecked."""

    summary: str
    said: Mapping[str, JsonValue]


def wanted(standing: Standing) -> bool:
    """Whether the flow asks for it, as the call stands."""
    analysis = standing.flow.report.analysis
    return analysis is not None and (analysis.when is None or standing.holds(analysis.when))


def blanks(standing: Standing) -> list[ObservationSpec]:
    """The fields that it may fill: neither there nor declined nor not needed, and none that we work out."""
    analysis = standing.flow.report.analysis
    if analysis is None or not analysis.fill:
        return []
    specs = (spec for spec in standing.flow.specs.values() if spec.ask.computed is None and not spec.ask.secret)
    return [spec for spec in specs if standing.status(spec.name) == "unasked"]


def offer(blank: Sequence[ObservationSpec]) -> ToolSchema:
    """`conclude`: the summary, and one property per field that may be filled."""
    properties: dict[str, object] = {"summary": {"type": "string", "description": "the summary, as plain text"}}
    if blank:
        properties["said"] = {
            "type": "object",
            "description": "what the caller said of the fields that are still empty; leave out all others",
            "properties": {spec.name: _proposal(spec) for spec in blank},
            "additionalProperties": False,
        }
    return ToolSchema(
        CONCLUDE,
        "Write down what came of the call.",
        {"type": "object", "properties": properties, "required": ["summary"], "additionalProperties": False},
    )


def _proposal(spec: ObservationSpec) -> dict[str, object]:
    return {
        "type": "object",
        "description": spec.description,
        "properties": {"value": dict(spec.schema), "quote": QUOTE},
        "required": ["value", "quote"],
        "additionalProperties": False,
    }


def read(arguments: str) -> Conclusion:
    """The answer of the model, from the JSON text of its arguments.

    Raises:
        ValueError: in words, why it is none.
    """
    if len(arguments) > LONGEST_ANSWER:
        raise ValueError("the answer is too long")
    try:
        given = loads(arguments)
    except ValueError:
        raise ValueError("the answer is not valid JSON") from None
    if not isinstance(given, dict):
        raise ValueError("the answer is no JSON object")
    summary, said = given.get("summary"), given.get("said") or {}
    if not isinstance(summary, str) or not summary.strip():
        raise ValueError("there is no summary in the answer")
    if not isinstance(said, dict):
        raise ValueError("what was said is no JSON object")
    return Conclusion(clipped(" ".join(summary.split()), LONGEST_SUMMARY), said)


def in_order(said: Mapping[str, JsonValue], standing: Standing) -> list[str]:
    """The fields that are proposed, in the order of the flow: what others hang on comes first."""
    specs = standing.flow.specs
    return [*(name for name in specs if name in said), *(name for name in said if name not in specs)]


def filled(name: str, proposal: JsonValue, standing: Standing) -> ObservationFilled:
    """One value that the caller is to have said.

    Raises:
        ValueError: in words, why it cannot be taken.
    """
    spec = standing.flow.specs.get(name)
    if spec is None:
        raise ValueError("there is no such field")
    if spec not in blanks(standing):
        raise ValueError("this field is not empty, or is not to be filled")
    if not isinstance(proposal, dict) or "value" not in proposal:
        raise ValueError("the value is missing")
    quote = proposal.get("quote")
    if not isinstance(quote, str) or not quote.strip():
        raise ValueError("a quote of the caller's own words is missing")
    quote = clipped(quote)
    turn, state, score = weigh_anywhere(quote, standing.state)
    if state == "contradicted":
        raise ValueError(NOT_SAID)
    value = valid(spec, proposal["value"])
    return ObservationFilled(name, value, quote, turn, state, None if score is None else round(score, 3))
