"""The JSON Schema of the report of a flow's calls, by which a CRM can be built before the first of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from voicebot.call import entries as call_entries
from voicebot.engine import entries as engine_entries
from voicebot.engine.entries import SECRET, EndedReason
from voicebot.flow.model import Flow
from voicebot.flow.observations import ObservationSpec
from voicebot.webhook_events import REPORT_EVENT

STATUSES = ("filled", "refused", "unasked", "not_needed")
RECORDED = ("erased", "cut_short", "open", "kept")  # a recording, the worst first; `open`: nobody wrote down its end

_TIME = {"type": "string", "format": "date-time"}
_TIME_OR_NULL = {"anyOf": [_TIME, {"type": "null"}]}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_COUNT_OR_NULL = {"type": ["integer", "null"], "minimum": 0}
_MS_OR_NULL = {"type": ["number", "null"], "minimum": 0}


def report_schema(name: str, flow: Flow) -> dict[str, Any]:
    """JSON Schema of the body that a flow's calls are reported with."""
    observations = {spec.name: _nullable(_value_schema(spec), spec.description) for spec in flow.specs.values()}
    statuses = {spec.name: {"enum": list(STATUSES)} for spec in flow.specs.values()}
    evidence = {spec.name: {"anyOf": [_EVIDENCE, {"type": "null"}]} for spec in flow.specs.values()}
    outcomes = [*flow.report.outcome, None]
    data = {
        **_FIXED,
        "flow": {"const": name},
        "ended_reason": {"enum": list(get_args(EndedReason))},
        "outcome": {"enum": outcomes},
        "observations": _object(observations),
        "observation_status": _object(statuses),
        "evidence": _object(evidence),
        "filled_after": {"type": "array", "items": {"enum": [*flow.specs]}, "uniqueItems": True},
        "phases": {"type": "array", "items": _phase_schema(flow)},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Report of a call with {name}",
        **_object({"type": {"enum": [REPORT_EVENT, "call.analyzed"]}, "timestamp": _TIME, "data": _object(data)}),
    }


def _object(properties: Mapping[str, Any], optional: Sequence[str] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": dict(properties), "required": required, "additionalProperties": False}


def _value_schema(spec: ObservationSpec) -> dict[str, Any]:
    """Of a field's value; a secret is masked for all but the receivers that are declared for it."""
    return {"anyOf": [dict(spec.schema), {"const": SECRET}]} if spec.ask.secret else dict(spec.schema)


def _nullable(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}], "description": description}


def _phase_schema(flow: Flow) -> dict[str, Any]:
    return _object(
        {
            "name": {"enum": list(flow.by_name)},
            "cause": {"enum": list(get_args(engine_entries.PhaseCause))},
            "entered_at": _TIME,
            "left_at": _TIME,
        }
    )


_STATE = {"enum": ["confirmed", "contradicted", "unverifiable"]}
_SCORE = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
_EVIDENCE = _object(
    {
        "kind": {"enum": list(get_args(engine_entries.EvidenceKind))},
        "state": _STATE,
        "score": _SCORE,
        "quote": _TEXT_OR_NULL,
        "agreed": _TEXT_OR_NULL,
        "turn": _COUNT,
        "at": _TIME,
    },
)
_SAID = _object(
    {
        "speaker": {"enum": ["caller", "bot"]},
        "text": _TEXT_OR_NULL,
        "at": _TIME,
        "interrupted": {"const": True},
        "unheard": {"type": "string"},
        "key": {"type": "string"},
    },
    optional=("interrupted", "unheard", "key"),
)
_FIXED: dict[str, Any] = {
    "call_sid": {"type": "string"},
    "flow": {"type": "string"},
    "flow_version": {"type": "string"},
    "direction": {"enum": ["inbound", "outbound"]},
    "caller": _TEXT_OR_NULL,
    "called": _TEXT_OR_NULL,
    "started_at": _TIME,
    "variables": {"type": "object", "additionalProperties": {"type": "string"}},
    "answered_at": _TIME_OR_NULL,
    "answered_by": {"enum": [*get_args(call_entries.AnsweredBy), None]},
    "ended_at": _TIME,
    "duration_s": {"type": "number", "minimum": 0},
    "ended_reason": {},
    "outcome": {},
    "progress": {"type": "number", "minimum": 0, "maximum": 1},
    "observations": {},
    "observation_status": {},
    "evidence": {},
    "analysis": {"enum": ["done", "skipped", None]},
    "summary": _TEXT_OR_NULL,
    "filled_after": {},
    "judgements": {
        "type": "array",
        "items": _object(
            {
                "criterion": {"type": "string"},
                "holds": {"type": "boolean"},
                "state": _STATE,
                "score": _SCORE,
                "quote": _TEXT_OR_NULL,
                "turn": _COUNT,
            }
        ),
    },
    "rules": {"type": "array", "items": _object({"rule": {"type": "string"}, "quote": _TEXT_OR_NULL, "at": _TIME})},
    "phases": {},
    "statements": {
        "type": "array",
        "items": _object({"name": {"type": "string"}, "heard": _TEXT_OR_NULL, "at": _TIME_OR_NULL}),
    },
    "tools": {
        "type": "array",
        "items": _object({"tool": {"type": "string"}, "ok": {"type": "boolean"}, "took_ms": _COUNT, "at": _TIME}),
    },
    "messages": {
        "type": "array",
        "items": _object(
            {
                "text": {"type": "string"},
                **dict.fromkeys(("to", "sid", "problem"), _TEXT_OR_NULL),
                "code": _COUNT_OR_NULL,
                "at": _TIME,
            }
        ),
    },
    "transfer": {
        "anyOf": [
            _object(
                {
                    **dict.fromkeys(("target", "number"), _TEXT_OR_NULL),
                    "result": {"enum": [*get_args(call_entries.PassingStatus), None]},
                    "talk_s": {"type": ["integer", "null"], "minimum": 0},
                    "quote": _TEXT_OR_NULL,
                    "at": _TIME,
                }
            ),
            {"type": "null"},
        ]
    },
    "passed_on": {
        "type": "array",
        "items": _object(
            {
                "to": {"enum": list(get_args(call_entries.PassingGoal))},
                "target": _TEXT_OR_NULL,
                "status": {"enum": [*get_args(call_entries.PassingStatus), None]},
                "duration_s": {"type": ["integer", "null"], "minimum": 0},
                **dict.fromkeys(("recording_sid", "recording_url"), _TEXT_OR_NULL),
                "at": _TIME,
            }
        ),
    },
    "language": {"type": ["string", "null"], "pattern": "^[a-z]{2}$"},
    "languages": {
        "type": "array",
        "items": _object(
            {
                "language": {"type": "string", "pattern": "^[a-z]{2}$"},
                "cause": {"enum": ["request", "detection"]},
                "quote": _TEXT_OR_NULL,
                "at": _TIME,
            }
        ),
    },
    "transcript": {"anyOf": [{"type": "array", "items": _SAID}, {"type": "null"}]},
    "transcript_url": _TEXT_OR_NULL,
    "response_ms": {"anyOf": [_object({"turns": _COUNT, "median": _COUNT, "worst": _COUNT}), {"type": "null"}]},
    "line": {
        "anyOf": [
            _object(
                {
                    **dict.fromkeys(("caller_ms", "gaps", "gap_ms"), _COUNT),
                    "level_dbov": {"type": ["number", "null"], "maximum": 0},
                    "clipped": {"type": "number", "minimum": 0, "maximum": 1},
                    **dict.fromkeys(("underruns", "underrun_ms"), _COUNT),
                    "barge_in_ms": _object({"times": _COUNT, "median": _MS_OR_NULL, "worst": _MS_OR_NULL}),
                }
            ),
            {"type": "null"},
        ]
    },
    "recording": {
        "anyOf": [
            _object(
                {
                    "id": {"type": "string"},
                    "status": {"enum": list(RECORDED)},
                    "channels": {"const": 2},
                    "duration_ms": _COUNT,
                    "parts": {
                        "type": "array",
                        "items": _object(
                            {
                                "id": {"type": "string"},
                                "started_at": _TIME,
                                "status": {"enum": list(RECORDED)},
                                **dict.fromkeys(("duration_ms", "size_bytes"), _COUNT_OR_NULL),
                                "sha256": _TEXT_OR_NULL,
                            }
                        ),
                    },
                }
            ),
            {"type": "null"},
        ]
    },
    "tokens": _object(dict.fromkeys(call_entries.TOKEN_KINDS, _COUNT)),
    "cost": {
        "anyOf": [
            _object({"usd": {"type": "number", "minimum": 0}, "limit_reached": {"type": "boolean"}}),
            {"type": "null"},
        ]
    },
    "problems": {
        "type": "array",
        "items": _object({"kind": {"type": "string"}, "text": {"type": "string"}, "at": _TIME}),
    },
}
