"""Observations: what a call is to find out, as the typed fields of one pydantic class.

The class is the payload that the CRM receives. `ask` says how a field is asked for; pydantic says what is valid.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, create_model
from pydantic import Field as PydanticField
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from voicebot.errors import FlowError

from .expressions import Expression, Field, read_expression, read_field
from .functions import ValueFunction, value_function
from .json_types import schema_of, type_of
from .keypad import Keypad, document_of, read_keypad
from .source import calling_place

Check = Callable[[Any], object]
DefaultSource = str  # `caller`, or `variables.NAME`
Confirmation = Literal["read back"]
_VARIABLE = re.compile(r"variables\.([a-z][a-z0-9_]{0,63})")


class Observations(BaseModel):
    """Base of a flow's observations; every field is declared with `ask`."""

    model_config = ConfigDict(extra="forbid", validate_assignment=False)


@dataclass(frozen=True)
class Ask:
    """How one field is asked for. It travels as the field's `json_schema_extra`, and adds nothing to the schema."""

    needed_if: Expression | None = None
    optional: bool = False
    check: Check | None = None
    default_from: DefaultSource | None = None
    confirm: Confirmation | None = None
    about: tuple[str, ...] = ()
    computed: ValueFunction | None = None
    place: str | None = None
    keypad: Keypad | None = None
    secret: bool = False

    @property
    def variable(self) -> str | None:
        """The variable of the call whose value is the default."""
        found = _VARIABLE.fullmatch(self.default_from or "")
        return found[1] if found else None

    def __call__(self, schema: dict[str, Any]) -> None:
        """Called by pydantic when it writes the schema."""


def ask(
    description: str,
    *,
    needed_if: Expression | Callable[..., bool] | None = None,
    optional: bool = False,
    check: Check | None = None,
    default_from: DefaultSource | None = None,
    confirm: Confirmation | None = None,
    about: Field | str | Iterable[Field | str] = (),
    keypad: bool | Keypad = False,
    secret: bool = False,
) -> Any:
    """Declare an observation.

    Args:
        description: what is asked for, as the model reads it ("the caller's full name").
        needed_if: asked for only while this holds; otherwise its status is `not_needed`.
        optional: the phase may end without it, and the caller may decline to tell it.
        check: called with the valid value; returns the value to keep (or None to keep it as it is), raises
            `ValueError` with words for the model ("we have no such dish") to refuse it. A function, pure and quick.
        default_from: `caller` takes the caller's own number when it is known; `variables.order` what the call was
            placed with as `order`, if it was and the field can hold it.
        confirm: `read back`: the value is read back to the caller, and counts once they have agreed in a later turn.
        about: the observations that the answer is about, as a yes is about a total. It counts only if it is said in a
            later turn than they are; when one of them changes it is none any more, and asked for again.
        keypad: the caller may press it on the telephone instead of saying it.
        secret: it is pressed and never said, by exact words asked for, and kept from the model, the log, the transcript
            and the journal: only receivers that are declared for it (`Receiver(secrets=[…])`) get it.

    Raises:
        FlowError: `needed_if` is no guard, `about` names no observation, there is no such default, or `check` has no
            name that a flow's JSON form could give.
    """
    place = calling_place()
    try:
        guard = None if needed_if is None else read_expression(needed_if)
    except ValueError as exc:
        raise FlowError(f"needed_if: {exc}", where=place) from exc
    if check is not None and not hasattr(check, "__name__"):
        raise FlowError("the check has no name", where=place, mend="define it as a function, with def")
    if not _is_default(default_from):
        mend = 'write default_from="caller", or default_from="variables.NAME"'
        raise FlowError(f"there is no default from {default_from!r}", where=place, mend=mend)
    if confirm not in (None, *get_args(Confirmation)):
        raise FlowError(f"there is no confirmation by {confirm!r}", where=place, mend='write confirm="read back"')
    try:
        subjects = tuple(read_field(one) for one in ([about] if isinstance(about, Field | str) else about))
    except ValueError as exc:
        raise FlowError(f"about: {exc}", where=place) from exc
    keys = Keypad() if keypad is True else keypad or None
    if keys is not None and not isinstance(keys, Keypad):
        raise FlowError(f"keypad is no {type(keypad).__name__}", where=place, mend="write keypad=True or Keypad(…)")
    extra = Ask(guard, optional, check, default_from, confirm, subjects, None, place, keys, secret)
    return PydanticField(description=description, json_schema_extra=extra)


def _is_default(source: object) -> bool:
    return source in (None, "caller") or (isinstance(source, str) and _VARIABLE.fullmatch(source) is not None)


def computed(
    function: Callable[..., object],
    description: str = "",
    *,
    needed_if: Expression | Callable[..., bool] | None = None,
) -> Any:
    """Declare an observation that is worked out by us and never by the model.

    Args:
        function: its parameters are named like the observations it reads; it is called when they are there, and again
            when one of them changes. Pure and quick; what it returns is validated by the field's type. It may raise
            `ValueError` with words for the model when there is no value.
        description: what it is, as the model reads it; default: the first line of the function's docstring.
        needed_if: as for `ask`.

    Raises:
        FlowError: it is no function whose parameters can be named like observations.
    """
    place = calling_place()
    found = value_function(function, "a computed field")
    told = description or (inspect.getdoc(function) or "").partition("\n")[0]
    guard = None if needed_if is None else read_expression(needed_if)
    return PydanticField(description=told or found.name, json_schema_extra=Ask(guard, computed=found, place=place))


@dataclass(frozen=True)
class ObservationSpec:
    """One observation as the engine, the linter and the report read it."""

    name: str
    description: str
    annotation: Any
    schema: Mapping[str, object] = field(hash=False)
    ask: Ask

    @property
    def adapter(self) -> TypeAdapter[object]:
        """Validates and serialises its values."""
        return _adapter(self)

    def document(self) -> dict[str, object]:
        """Its JSON form."""
        made: dict[str, object] = {"name": self.name, "description": self.description, "schema": dict(self.schema)}
        if self.ask.needed_if is not None:
            made["needed_if"] = self.ask.needed_if.document()
        if self.ask.optional:
            made["optional"] = True
        if self.ask.check is not None:
            made["check"] = self.ask.check.__name__
        if self.ask.default_from is not None:
            made["default_from"] = self.ask.default_from
        if self.ask.confirm is not None:
            made["confirm"] = self.ask.confirm
        if self.ask.about:
            made["about"] = list(self.ask.about)
        if self.ask.computed is not None:
            made["computed"] = self.ask.computed.name
        if self.ask.keypad is not None:
            made["keypad"] = document_of(self.ask.keypad)
        if self.ask.secret:
            made["secret"] = True
        return made


@lru_cache(maxsize=4096)
def _adapter(spec: ObservationSpec) -> TypeAdapter[object]:
    return TypeAdapter(spec.annotation)


def specs_of(observations: type[Observations]) -> tuple[ObservationSpec, ...]:
    """The observations of a class, in the order they are declared.

    Raises:
        FlowError: a field was not declared with `ask`, or has a type no schema can be written for.
    """
    return tuple(_spec(observations, name, info) for name, info in observations.model_fields.items())


def _spec(observations: type[Observations], name: str, info: FieldInfo) -> ObservationSpec:
    extra = info.json_schema_extra
    if not isinstance(extra, Ask):
        raise FlowError(
            f"{observations.__name__}.{name} is not declared with ask()", mend=f'write {name}: … = ask("what it is")'
        )
    annotation: Any = info.annotation
    for rule in info.metadata:
        annotation = Annotated[annotation, rule]
    if info.default is not PydanticUndefined:
        raise FlowError(f"{observations.__name__}.{name} has a default value", where=extra.place, mend="use ask()")
    try:
        schema = schema_of(annotation)
    except FlowError as exc:
        raise FlowError(f"{observations.__name__}.{name}: {exc.problem}", where=extra.place, mend=exc.mend) from exc
    return ObservationSpec(name, info.description or name, annotation, schema, extra)


def read_observations(document: object, functions: Mapping[str, Any]) -> type[Observations]:
    """Build the class from its JSON form, a list of what `ObservationSpec.document` writes.

    Args:
        functions: the registered Python functions a `check` may name.

    Raises:
        ValueError: the form is wrong or names an unknown function.
    """
    if not isinstance(document, list):
        raise ValueError("observations are a list of fields")
    members: dict[str, Any] = {}
    for position, part in enumerate(document):
        match part:
            case {"name": str(name), "description": str(description), "schema": dict(schema)}:
                if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name) or name in members:
                    raise ValueError(f"observations[{position}]: {name[:80]!r} is no name of its own for a field")
                extra = _read_ask(part, functions, f"observations[{position}]")
                kind = type_of(schema, f"observations.{name}")
                members[name] = (kind, PydanticField(description=description, json_schema_extra=extra))
            case _:
                raise ValueError(f"observations[{position}] needs name, description and schema")
    try:
        return create_model("Observations", __base__=Observations, **members)
    except (PydanticUserError, TypeError) as exc:
        raise ValueError("observations: a field has a name that pydantic keeps for itself") from exc


_ASK_KEYS = {"name", "description", "schema"} | {
    "needed_if", "optional", "check", "default_from", "confirm", "about", "computed", "keypad", "secret"
}  # fmt: skip


def _read_ask(part: Mapping[str, Any], functions: Mapping[str, Any], where: str) -> Ask:
    if unknown := set(part) - _ASK_KEYS:
        raise ValueError(f"{where}: {sorted(unknown)[0]!r} is not understood")
    check, worked_out = (_registered(part.get(use), functions, use, where) for use in ("check", "computed"))
    needed_if = read_expression(part["needed_if"], functions) if "needed_if" in part else None
    optional, default_from, confirm = part.get("optional", False), part.get("default_from"), part.get("confirm")
    if not isinstance(optional, bool):
        raise ValueError(f"{where}: optional is true or false")
    if not _is_default(default_from):
        raise ValueError(f"{where}: there is no default from {default_from!r}")
    if confirm not in (None, *get_args(Confirmation)):
        raise ValueError(f"{where}: there is no confirmation by {confirm!r}")
    about = part.get("about", [])
    if not isinstance(about, list) or not all(isinstance(name, str) for name in about):
        raise ValueError(f"{where}: about is a list of observations")
    keypad, secret = part.get("keypad"), part.get("secret", False)
    if not isinstance(secret, bool):
        raise ValueError(f"{where}: secret is true or false")
    if keypad is not None and not isinstance(keypad, dict):
        raise ValueError(f"{where}: keypad is an object")
    try:
        keys = None if keypad is None else read_keypad(keypad)
    except ValueError as exc:
        raise ValueError(f"{where}: {exc}") from exc
    computes = None if worked_out is None else value_function(worked_out, "a computed field")
    return Ask(needed_if, optional, check, default_from, confirm, tuple(about), computes, keypad=keys, secret=secret)


def _registered(wanted: object, functions: Mapping[str, Any], use: str, where: str) -> Any:
    """The function registered by that name, or None if none is wanted."""
    if wanted is None:
        return None
    found = functions.get(wanted) if isinstance(wanted, str) else None
    if not hasattr(found, "__name__"):  # a tool has none
        raise ValueError(f"{where}: no {use} is registered as {wanted!r}")
    return found
