"""The one dialect of guards and criteria: `it.field` with operators, as objects that can be read and stored.

An expression is a tree that the engine evaluates, the linter reads, the diagram prints and JSON holds. What is not
known yet is neither true nor false: an expression over an unanswered field is *unknown* (None, Kleene's logic), and a
guard holds only when it is True. So `~(it.mode == "delivery")` does not hold before the caller chose a mode.

`bool(expression)` raises: `and`, `or` and `not` would silently drop one side; write `&`, `|`, `~`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import FunctionType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import PlainSerializer, PlainValidator, TypeAdapter, ValidationError, ValidationInfo, WithJsonSchema
from pydantic_core import to_jsonable_python

from voicebot.errors import FlowError, FunctionFailedError

from .functions import ValueFunction, registered, value_function
from .source import calling_place, place_of, remember_place

Operator = Literal["==", "!=", "<", "<=", ">", ">="]


class Expression(ABC):
    """A guard or a criterion. Combine with `&`, `|`, `~`."""

    @abstractmethod
    def evaluate(self, values: Mapping[str, object]) -> bool | None:
        """True, False, or None while a field it needs is not in `values`, or holds what does not compare."""

    def leaves(self) -> Iterator[Expression]:
        """What it is made of, in reading order."""
        yield self

    def fields(self) -> Iterator[Field]:
        """Every field that it compares, in reading order; what its functions read stands in `functions`."""
        for leaf in self.leaves():
            if isinstance(leaf, Field):
                yield leaf
            elif isinstance(leaf, Filled | Compare):
                yield leaf.field

    def statements(self) -> Iterator[str]:
        """The name of every statement it asks for."""
        return (leaf.name for leaf in self.leaves() if isinstance(leaf, Heard))

    def judgements(self) -> Iterator[str]:
        """Every criterion in words that the model is to judge."""
        return (leaf.criterion for leaf in self.leaves() if isinstance(leaf, Judged))

    def functions(self) -> Iterator[ValueFunction]:
        """Every function of the author that it asks."""
        return (leaf.function for leaf in self.leaves() if isinstance(leaf, Holds))

    def reads(self) -> Iterator[str]:
        """The name of every observation it depends on."""
        yield from (field.name for field in self.fields())
        for function in self.functions():
            yield from function.reads

    @abstractmethod
    def document(self) -> object:
        """Its JSON form."""

    def __and__(self, other: Expression) -> Expression:
        return All((self, _expression(other)))

    def __or__(self, other: Expression) -> Expression:
        return AnyOf((self, _expression(other)))

    def __invert__(self) -> Expression:
        return Not(self)

    def __bool__(self) -> bool:
        raise FlowError(
            f"the expression {self} has no truth value here",
            where=calling_place(),
            mend="combine expressions with & | ~ instead of and, or, not; compare one pair at a time",
        )


def _expression(value: object) -> Expression:
    if isinstance(value, Expression):
        return value
    raise FlowError(
        f"{value!r} is no expression",
        where=calling_place(),
        mend="put each comparison in parentheses: (it.a == 1) & (it.b == 2)",
    )


class Field(Expression):
    """One observation, by name. `it.name` makes it; alone it is no criterion: say `.filled`, `.yes` or compare it."""

    # Comparison makes an expression, so a field is no key of a dictionary; its name is.
    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __init__(self, name: str) -> None:
        self.name = name
        remember_place(self)

    @property
    def filled(self) -> Expression:
        """The caller has given it."""
        return Filled(self)

    @property
    def yes(self) -> Expression:
        """It is known to be true."""
        return Compare(self, "==", True)

    @property
    def no(self) -> Expression:
        """It is known to be false."""
        return Compare(self, "==", False)

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return Compare(self, "==", other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return Compare(self, "!=", other)

    def __lt__(self, other: object) -> Expression:
        return Compare(self, "<", other)

    def __le__(self, other: object) -> Expression:
        return Compare(self, "<=", other)

    def __gt__(self, other: object) -> Expression:
        return Compare(self, ">", other)

    def __ge__(self, other: object) -> Expression:
        return Compare(self, ">=", other)

    def evaluate(self, values: Mapping[str, object]) -> bool | None:
        raise FlowError(
            f"it.{self.name} alone is no criterion", where=place_of(self), mend="write .filled, .yes, .no or compare it"
        )

    def document(self) -> object:
        raise FlowError(
            f"it.{self.name} alone is no criterion", where=place_of(self), mend="write .filled, .yes, .no or compare it"
        )

    def __repr__(self) -> str:
        return f"it.{self.name}"


class It:
    """`it.anything` is the observation of that name."""

    def __getattr__(self, name: str) -> Field:
        if name.startswith("_"):
            raise AttributeError(name)
        return Field(name)


it = It()


class Filled(Expression):
    def __init__(self, field: Field) -> None:
        self.field = field

    def evaluate(self, values: Mapping[str, object]) -> bool | None:
        return self.field.name in values

    def document(self) -> object:
        return {"field": self.field.name, "is": "filled"}

    def __repr__(self) -> str:
        return f"it.{self.field.name}.filled"


class Compare(Expression):
    """A field against a constant. Enums compare by value; amounts, dates and times also with their text."""

    def __init__(self, field: Field, operator: Operator, value: object) -> None:
        if isinstance(value, Expression):
            raise FlowError(
                f"it.{field.name} is compared with {value!r}",
                where=calling_place(),
                mend="compare a field with a constant",
            )
        self.field, self.operator, self.value = field, operator, value

    def evaluate(self, values: Mapping[str, object]) -> bool | None:
        if self.field.name not in values:
            return None
        left, right = _comparable(values[self.field.name], self.value)
        if self.operator == "==":
            return bool(left == right)
        if self.operator == "!=":
            return bool(left != right)
        try:
            return bool(_ORDER[self.operator](left, right))
        except TypeError:  # null or another member of a union: which is the greater is not known
            return None

    def document(self) -> object:
        return {"field": self.field.name, "is": self.operator, "value": to_jsonable_python(self.value)}

    def __repr__(self) -> str:
        if self.value is True and self.operator == "==":
            return f"it.{self.field.name}.yes"
        if self.value is False and self.operator == "==":
            return f"it.{self.field.name}.no"
        return f"it.{self.field.name} {self.operator} {to_jsonable_python(self.value)!r}"


_ORDER = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


_READERS: tuple[tuple[type[object], TypeAdapter[object]], ...] = tuple(
    (kind, TypeAdapter(kind)) for kind in (Decimal, datetime, date, time, timedelta)
)


def _comparable(value: object, constant: object) -> tuple[object, object]:
    """Bring an observed value and a flow's constant, which may be from JSON, to kinds that compare."""
    left = value.value if isinstance(value, Enum) else value
    right = constant.value if isinstance(constant, Enum) else constant
    reader = next((reader for kind, reader in _READERS if isinstance(left, kind)), None)
    if reader is None or not isinstance(right, str | float):
        return left, right
    try:
        return left, reader.validate_python(right)
    except ValidationError:
        return left, right


class _Several(Expression):
    """Expressions joined by `&` or by `|`."""

    def __init__(self, parts: tuple[Expression, ...]) -> None:
        self.parts = parts

    def leaves(self) -> Iterator[Expression]:
        for part in self.parts:
            yield from part.leaves()


class All(_Several):
    def evaluate(self, values: Mapping[str, object]) -> bool | None:
        verdicts = [part.evaluate(values) for part in self.parts]
        if False in verdicts:
            return False
        return None if None in verdicts else True

    def document(self) -> object:
        return {"all": [part.document() for part in self.parts]}

    def __repr__(self) -> str:
        return "(" + " & ".join(map(repr, self.parts)) + ")"


class AnyOf(_Several):
    def evaluate(self, values: Mapping[str, object]) -> bool | None:
        verdicts = [part.evaluate(values) for part in self.parts]
        if True in verdicts:
            return True
        return None if None in verdicts else False

    def document(self) -> object:
        return {"any": [part.document() for part in self.parts]}

    def __repr__(self) -> str:
        return "(" + " | ".join(map(repr, self.parts)) + ")"


class Not(Expression):
    def __init__(self, part: Expression) -> None:
        self.part = part

    def evaluate(self, values: Mapping[str, object]) -> bool | None:
        verdict = self.part.evaluate(values)
        return None if verdict is None else not verdict

    def leaves(self) -> Iterator[Expression]:
        return self.part.leaves()

    def document(self) -> object:
        return {"not": self.part.document()}

    def __repr__(self) -> str:
        return f"~{self.part!r}"


class Heard(Expression):
    """The caller has heard the statement of this name, word for word, as it would read now."""

    def __init__(self, name: str) -> None:
        self.name = name
        remember_place(self)

    @staticmethod
    def fact(name: str) -> str:
        """The key under which the engine puts a heard statement among the values; no field is named so."""
        return f"heard {name}"

    def evaluate(self, values: Mapping[str, object]) -> bool | None:
        return self.fact(self.name) in values

    def document(self) -> object:
        return {"heard": self.name}

    def __repr__(self) -> str:
        return f"heard({self.name!r})"


def heard(name: str) -> Expression:
    """Holds once the caller has heard the statement `name` of some phase's `must_say`."""
    return Heard(name)


class Judged(Expression):
    """What only understanding can tell: the model's verdict, with a quote of the caller. Unknown until it is given."""

    def __init__(self, criterion: str) -> None:
        self.criterion = criterion
        remember_place(self)

    @staticmethod
    def fact(criterion: str) -> str:
        """The key under which the engine puts a verdict among the values; no field is named so."""
        return f"judged {criterion}"

    def evaluate(self, values: Mapping[str, object]) -> bool | None:
        verdict = values.get(self.fact(self.criterion))
        return verdict if isinstance(verdict, bool) else None

    def document(self) -> object:
        return {"judged": self.criterion}

    def __repr__(self) -> str:
        return f"judged({self.criterion!r})"


def judged(criterion: str) -> Expression:
    """Holds once the model has judged so, quoting the caller: `judged("the caller sounded sure")`.

    A verdict in words is softer than a recorded value: it never guards what cannot be undone (`commit`) alone.
    """
    if not criterion.strip():
        raise FlowError("the criterion has no words", where=calling_place(), mend='write judged("the caller …")')
    return Judged(" ".join(criterion.split()))


class Holds(Expression):
    """A named pure function of the author: its parameters are named like the observations it reads."""

    def __init__(self, function: ValueFunction) -> None:
        self.function = function

    def evaluate(self, values: Mapping[str, object]) -> bool | None:
        if not self.function.ready(values):
            return None
        try:
            return bool(self.function(values))
        except (ValueError, FunctionFailedError):  # a guard that breaks holds neither way
            return None

    def document(self) -> object:
        return {"holds": self.function.name}

    def __repr__(self) -> str:
        return f"{self.function.name}({', '.join(self.function.reads)})"


class Otherwise(Expression):
    """Always holds: the last of several choices."""

    def evaluate(self, values: Mapping[str, object]) -> bool | None:
        return True

    def document(self) -> object:
        return {"otherwise": True}

    def __repr__(self) -> str:
        return "otherwise"


otherwise = Otherwise()


def read_expression(document: object, functions: Mapping[str, Any] | None = None) -> Expression:
    """Build an expression from its JSON form; an expression passes as it is, a function becomes one.

    Args:
        functions: the registered Python functions that the form may name.

    Raises:
        ValueError: the form is none of those `Expression.document` writes; the text names the part.
    """
    match document:
        case Field():
            raise ValueError(f"it.{document.name} alone is no criterion: write .filled, .yes, .no or compare it")
        case Expression():
            return document
        case {"field": str(name), "is": "filled"}:
            return Filled(Field(name))
        case {"field": str(name), "is": ("==" | "!=" | "<" | "<=" | ">" | ">=") as operator, "value": value}:
            return Compare(Field(name), operator, value)
        case {"all": [_, *_] as parts}:
            return All(tuple(read_expression(part, functions) for part in parts))
        case {"any": [_, *_] as parts}:
            return AnyOf(tuple(read_expression(part, functions) for part in parts))
        case {"not": part}:
            return Not(read_expression(part, functions))
        case {"heard": str(name)}:
            return Heard(name)
        case {"judged": str(criterion)} if criterion.strip():
            return Judged(criterion)
        case {"holds": str(name)}:
            if not callable(found := (functions or {}).get(name)):
                raise ValueError(f"no function is registered as {name!r}")
            return Holds(value_function(found, "a guard"))
        case {"otherwise": True}:
            return otherwise
        case FunctionType():
            return Holds(value_function(document, "a guard"))
    raise ValueError(f"{document!r} is no guard or criterion")


def _read_guard(value: object, info: ValidationInfo) -> Expression:
    return read_expression(value, registered(info))


Guard = Annotated[
    Expression,
    PlainValidator(_read_guard),
    PlainSerializer(lambda expression: expression.document(), return_type=object),
    WithJsonSchema({"type": "object", "description": "a guard or criterion, as a tree"}),
]
"""An expression as a field of a flow: from Python objects or from its JSON form, and back."""


def read_field(value: object) -> str:
    """The name of an observation, from `it.name` or from its name in JSON."""
    if isinstance(value, Field):
        return value.name
    if isinstance(value, str):
        return value
    raise ValueError(f"{value!r} is no observation: write it.name")
