"""The JSON form of a flow: written, read, described, and the Python functions that it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from voicebot.errors import FlowError

from .model import Flow
from .tools import readable

_ADAPTER: TypeAdapter[Flow] = TypeAdapter(Flow)


def flow_to_json(flow: Flow) -> str:
    """The JSON form of a flow: stable, so that its hash is a version."""
    return _ADAPTER.dump_json(flow, exclude_none=True).decode()


def flow_from_json(text: str, functions: Mapping[str, Any] | None = None) -> Flow:
    """Read a flow from its JSON form.

    Args:
        functions: tools, checks and what else the form may name.

    Raises:
        FlowError: with the path of what is wrong inside the form.
    """
    try:
        return _ADAPTER.validate_json(text, context={"functions": dict(functions or {})})
    except ValidationError as exc:
        raise FlowError(readable(exc), where="flow JSON") from exc
    except FlowError as exc:
        raise FlowError(exc.problem, where=exc.where or "flow JSON", mend=exc.mend) from exc


class _WithoutClassDefaults(GenerateJsonSchema):
    """The default of `observations` is a class, which stands in no schema: pydantic need not warn of it."""

    ignored_warning_kinds = GenerateJsonSchema.ignored_warning_kinds | {"non-serializable-default"}


def flow_json_schema() -> dict[str, object]:
    """JSON Schema of the JSON form."""
    return _ADAPTER.json_schema(schema_generator=_WithoutClassDefaults)


def functions_of(flow: Flow) -> dict[str, Any]:
    """The Python functions a flow uses, by the names its JSON form gives them."""
    named: dict[str, Any] = {}
    for phase in flow.phases:
        named |= {tool.name: tool for tool in flow.tools_in(phase)}
        if phase.commit is not None:
            named[phase.commit.tool.name] = phase.commit.tool
    named |= {handler.name: handler for handler in flow.handlers}
    named |= {one.body.name: one.body.function for one in flow.report.receivers if one.body is not None}
    for spec in flow.specs.values():
        if spec.ask.check is not None:
            named[spec.ask.check.__name__] = spec.ask.check
        if spec.ask.computed is not None:
            named[spec.ask.computed.name] = spec.ask.computed.function
    for expression in flow.expressions():
        named |= {function.name: function.function for function in expression.functions()}
    return named
