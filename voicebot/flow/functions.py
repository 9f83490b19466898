"""The author's pure functions over observed values: named guards and computed fields.

Their parameters are named like the observations they read, so that the linter can check the names, the engine knows
what they depend on, and a function waits until what it needs is there. A parameter with a default does not wait for a
field that is not needed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationInfo

from voicebot.errors import FlowError, FunctionFailedError

from .source import calling_place


@dataclass(frozen=True)
class ValueFunction:
    """A function with the observations it reads; `optional` are those whose parameters have a default."""

    name: str
    function: Callable[..., object]
    reads: tuple[str, ...]
    optional: frozenset[str]
    place: str | None = None

    def __call__(self, values: Mapping[str, object]) -> object:
        """Call it with what is known of the values it reads.

        Raises:
            ValueError: it said so, in words.
            FunctionFailedError: it raised anything else.
        """
        try:
            return self.function(**{name: values[name] for name in self.reads if name in values})
        except ValueError:
            raise
        except Exception as exc:
            raise FunctionFailedError(f"{self.name} failed ({type(exc).__name__})") from exc

    def ready(self, values: Mapping[str, object]) -> bool:
        """Whether every value is there that it cannot do without."""
        return all(name in values for name in self.reads if name not in self.optional)


def registered(info: ValidationInfo) -> Mapping[str, Any]:
    """What a JSON form may name, as whoever reads it has said (`flow_from_json`): functions and tools by name."""
    return info.context.get("functions", {}) if isinstance(info.context, dict) else {}


def value_function(function: object, use: str) -> ValueFunction:
    """Read the parameters of an author's function.

    Args:
        use: what it is for, as errors name it.

    Raises:
        FlowError: it is no function, has no name, or takes what is not named like an observation.
    """
    place = calling_place()
    name = getattr(function, "__name__", None)
    if not callable(function) or name is None or name == "<lambda>":
        raise FlowError(f"{use}: {function!r} is no named function", where=place, mend="define it with def")
    parameters = inspect.signature(function).parameters.values()
    odd = [one.name for one in parameters if one.kind not in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    if odd:
        raise FlowError(
            f"{use}: {name} takes *{odd[0]}", where=place, mend="name its parameters like the observations it reads"
        )
    if inspect.iscoroutinefunction(function):
        raise FlowError(f"{use}: {name} is async", where=place, mend="make it a plain function: it may not wait")
    optional = frozenset(one.name for one in parameters if one.default is not one.empty)
    return ValueFunction(name, function, tuple(one.name for one in parameters), optional, place)
