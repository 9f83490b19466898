"""A function as it is offered to a speech model: what the engine makes and the model's leg sends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """A function the model may call. `parameters` is a JSON Schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, object] = field(hash=False)
