"""The functions that a phase offers to the model, generated from what is open in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from voicebot.flow.model import Phase, Rule
from voicebot.flow.observations import ObservationSpec
from voicebot.flow.tools import Tool
from voicebot.tool_schema import ToolSchema

END_REASONS = ("goal_reached", "caller_wants_to_stop", "wrong_number")
QUOTE = {"type": "string", "description": "the caller's own words that say so, exactly as spoken"}


def record_offer(open_specs: Sequence[ObservationSpec], to_read_back: Collection[ObservationSpec] = ()) -> ToolSchema:
    """`record`: one property per open observation, each a value with the caller's own words.

    Args:
        to_read_back: what the caller may agree to, beside what they always have to.
    """
    return ToolSchema(
        "record",
        "Record what the caller has said, as soon as they have said it; several fields at once if they said several. "
        "Never record what the caller did not say. Use it silently: do not mention it.",
        {
            "type": "object",
            "properties": {
                spec.name: _proposal(spec, spec.ask.confirm is not None or spec in to_read_back) for spec in open_specs
            },
            "additionalProperties": False,
        },
    )


def _proposal(spec: ObservationSpec, confirmable: bool) -> dict[str, object]:
    properties: dict[str, object] = {
        "value": dict(spec.schema),
        "quote": QUOTE,
        "declined": {"type": "boolean", "description": "true if the caller does not want to tell it"},
    }
    if confirmable:
        properties["confirmed"] = {
            "type": "boolean",
            "description": "true, without a value, once you have read it back and the caller agreed; quote their yes",
        }
    return {
        "type": "object",
        "description": spec.description,
        "properties": properties,
        "required": ["quote"],
        "additionalProperties": False,
    }


def judge_offer(criteria: Sequence[str]) -> ToolSchema:
    """`judge`: a verdict on a criterion in words, with a quote."""
    return ToolSchema(
        "judge",
        "Judge one of these by what the caller has said, as soon as you can tell, and again if it changes. "
        "Use it silently: do not mention it.",
        {
            "type": "object",
            "properties": {
                "criterion": {"type": "string", "enum": list(criteria)},
                "holds": {"type": "boolean"},
                "quote": QUOTE,
            },
            "required": ["criterion", "holds", "quote"],
            "additionalProperties": False,
        },
    )


def apply_rule_offer(rules: Sequence[Rule]) -> ToolSchema:
    """`apply_rule`: say that one of the flow's rules applies."""
    listed = "; ".join(f"{rule.name}: {rule.when}" for rule in rules)
    return ToolSchema(
        "apply_rule",
        f"Call it at once when one of these happens, quoting the caller. {listed}.",
        {
            "type": "object",
            "properties": {"rule": {"type": "string", "enum": [rule.name for rule in rules]}, "quote": QUOTE},
            "required": ["rule", "quote"],
            "additionalProperties": False,
        },
    )


def request_phase_offer(phase: Phase) -> ToolSchema:
    """`request_phase`: ask for a jump; the engine decides."""
    return ToolSchema(
        "request_phase",
        "Ask to go to another part of the conversation because the caller wants to. "
        "You will be told whether it is granted.",
        {
            "type": "object",
            "properties": {
                "phase": {"type": "string", "enum": list(phase.may_jump)},
                "reason": {"type": "string", "description": "what the caller wants, in a few words"},
            },
            "required": ["phase", "reason"],
            "additionalProperties": False,
        },
    )


def transfer_call_offer(phase: Phase) -> ToolSchema:
    """`transfer_call`: ask for a human being; the engine decides."""
    return ToolSchema(
        "transfer_call",
        "Have the caller connected to a human being because they want to. You will be told whether it is granted. "
        "Say in the same reply that you are connecting them.",
        {
            "type": "object",
            "properties": {"target": {"type": "string", "enum": list(phase.may_transfer)}, "quote": QUOTE},
            "required": ["target", "quote"],
            "additionalProperties": False,
        },
    )


def switch_language_offer(languages: Sequence[str]) -> ToolSchema:
    """`switch_language`: the caller speaks another of the flow's languages, or asks for it; the engine decides."""
    return ToolSchema(
        "switch_language",
        "Call it at once when the caller asks to speak one of these languages, or begins to speak it, quoting them.",
        {
            "type": "object",
            "properties": {"language": {"type": "string", "enum": list(languages)}, "quote": QUOTE},
            "required": ["language", "quote"],
            "additionalProperties": False,
        },
    )


def end_call_offer() -> ToolSchema:
    """`end_call`: propose to end; refused as `goal_reached` while something is missing."""
    return ToolSchema(
        "end_call",
        "Propose to end the call: the caller wants to stop, dialled a wrong number, or everything is done. "
        "Say goodbye in the same reply.",
        {
            "type": "object",
            "properties": {"reason": {"type": "string", "enum": list(END_REASONS)}},
            "required": ["reason"],
            "additionalProperties": False,
        },
    )


def tool_offers(tools: Iterable[Tool]) -> list[ToolSchema]:
    """The flow's own tools."""
    return [ToolSchema(tool.name, tool.description, tool.parameters) for tool in tools]
