"""What an author declares with `ask`, as the engine reads it, and the same from JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from voicebot.errors import FlowError
from voicebot.flow import Observations, PhoneNumber, ask, it
from voicebot.flow.observations import read_observations, specs_of


class Item(BaseModel):
    dish: str
    count: int = 1


def on_menu(items: list[Item]) -> None:
    if any(item.dish == "pizza hawaii" for item in items):
        raise ValueError("we have no such dish")


class Order(Observations):
    mode: Literal["pickup", "delivery"] = ask("pickup or delivery")
    items: list[Item] = ask("what they would like", check=on_menu)
    address: str = ask("the delivery address", needed_if=it.mode == "delivery")
    phone: PhoneNumber = ask("a number to call back", default_from="caller")
    guests: Annotated[int, Field(ge=1)] | None = ask("how many eat", optional=True)


FUNCTIONS: Mapping[str, Any] = {"on_menu": on_menu}


def documents() -> list[dict[str, Any]]:
    return [spec.document() for spec in specs_of(Order)]


def test_specs_stand_in_order_of_declaration() -> None:
    assert [spec.name for spec in specs_of(Order)] == ["mode", "items", "address", "phone", "guests"]


def test_spec_holds_what_ask_was_given() -> None:
    specs = {spec.name: spec for spec in specs_of(Order)}
    assert specs["items"].ask.check is on_menu
    assert repr(specs["address"].ask.needed_if) == "it.mode == 'delivery'"
    assert specs["phone"].ask.default_from == "caller"
    assert specs["guests"].ask.optional
    assert specs["mode"].description == "pickup or delivery"
    assert specs["mode"].ask.place is not None
    assert specs["mode"].ask.place.startswith(f"{__file__}:")


def test_constraints_of_a_field_are_kept() -> None:
    specs = {spec.name: spec for spec in specs_of(Order)}
    assert specs["phone"].adapter.validate_python("+1 415 555 0123") == "+14155550123"
    with pytest.raises(ValidationError):
        specs["guests"].adapter.validate_python(0)


def test_document_says_only_what_differs() -> None:
    made = {document["name"]: document for document in documents()}
    assert made["mode"] == {
        "name": "mode",
        "description": "pickup or delivery",
        "schema": {"enum": ["pickup", "delivery"], "type": "string"},
    }
    assert made["items"]["check"] == "on_menu"
    assert made["address"]["needed_if"] == {"field": "mode", "is": "==", "value": "delivery"}
    assert made["phone"]["default_from"] == "caller"
    assert made["guests"]["optional"] is True


def test_class_from_json_has_the_same_documents() -> None:
    text = json.dumps(documents())
    again = read_observations(json.loads(text), FUNCTIONS)
    assert [spec.document() for spec in specs_of(again)] == documents()
    assert next(spec for spec in specs_of(again) if spec.name == "items").ask.check is on_menu


def test_observations_refuse_what_was_not_asked() -> None:
    with pytest.raises(ValidationError):
        Observations.model_validate({"surprise": 1})


# ---- misuse -------------------------------------------------------------------------------------------------------


def without_ask() -> None:
    class Wrong(Observations):
        name: str

    specs_of(Wrong)


def with_default() -> None:
    class Wrong(Observations):
        name: Annotated[str, ask("a name")] = "Ada"

    specs_of(Wrong)


def recursive() -> None:
    class Node(BaseModel):
        inner: Node | None = None

    Node.model_rebuild(_types_namespace={"Node": Node})

    class Wrong(Observations):
        node: Node = ask("a tree")

    specs_of(Wrong)


def no_schema() -> None:
    class Wrong(Observations):
        act: Callable[[], int] = ask("an action")

    specs_of(Wrong)


def bare_field() -> None:
    ask("an address", needed_if=it.delivery)


def with_and() -> None:
    ask("an address", needed_if=it.delivery.yes and it.open.yes)


def about_a_guard() -> None:
    ask("a yes", about=[it.total == 3])  # type: ignore[list-item]  # what is refused


def nameless_check() -> None:
    ask("an address", check=partial(on_menu))


MISUSES = [
    (without_ask, r"Wrong\.name is not declared with ask\(\)", False),
    (with_default, r"Wrong\.name has a default value", True),
    (recursive, r"Wrong\.node: the type Node refers to itself", True),
    (no_schema, r"Wrong\.act: its type has no JSON Schema", True),
    (bare_field, r"needed_if: it\.delivery alone is no criterion", True),
    (with_and, "has no truth value here", True),
    (about_a_guard, r"about: .* is no observation: write it\.name", True),
    (nameless_check, "the check has no name", True),
]


@pytest.mark.parametrize(("write", "problem", "placed"), MISUSES, ids=lambda value: getattr(value, "__name__", ""))
def test_misuse_says_what_and_where(write: Callable[[], None], problem: str, placed: bool) -> None:
    with pytest.raises(FlowError, match=problem) as raised:
        write()
    assert (raised.value.where or "").startswith(f"{__file__}:") is placed


# ---- broken JSON --------------------------------------------------------------------------------------------------

NAME = {"name": "name", "description": "a name", "schema": {"type": "string"}}
BROKEN: list[tuple[object, str]] = [
    ({}, "are a list of fields"),
    ([{}], r"observations\[0\] needs name, description and schema"),
    ([NAME, {**NAME, "schema": "string"}], r"observations\[1\] needs"),
    ([{**NAME, "name": 3}], r"observations\[0\] needs"),
    ([{**NAME, "name": ""}], "is no name of its own"),
    ([{**NAME, "name": "_name"}], "is no name of its own"),
    ([{**NAME, "name": "full name"}], "is no name of its own"),
    ([{**NAME, "name": "n" * 65}], "is no name of its own"),
    ([NAME, NAME], r"observations\[1\]: 'name' is no name of its own"),
    ([{**NAME, "name": "model_config"}], "pydantic keeps for itself"),
    ([{**NAME, "name": "model_dump"}], "conflicts with member"),
    ([{**NAME, "hidden": True}], "'hidden' is not understood"),
    ([{**NAME, "secret": "yes"}], "secret is true or false"),
    ([{**NAME, "keypad": True}], "keypad is an object"),
    ([{**NAME, "keypad": {"tries": 0}}], "tries must be from 1 to 10"),
    ([{**NAME, "keypad": {"lenght": 4}}], "lenght"),
    ([{**NAME, "check": "on_menu"}], "no check is registered as 'on_menu'"),
    ([{**NAME, "check": ["on_menu"]}], "no check is registered as"),
    ([{**NAME, "needed_if": None}], "is no guard or criterion"),
    ([{**NAME, "about": "name"}], "about is a list of observations"),
    ([{**NAME, "about": [3]}], "about is a list of observations"),
    ([{**NAME, "optional": "no"}], "optional is true or false"),
    ([{**NAME, "default_from": "weather"}], "there is no default from 'weather'"),
    ([{**NAME, "default_from": ["caller"]}], "there is no default from"),
]


@pytest.mark.parametrize(("document", "problem"), BROKEN, ids=lambda value: str(value)[:50])
def test_broken_json_is_refused(document: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_observations(document, {})


def test_broken_schema_is_refused_with_its_path() -> None:
    with pytest.raises(FlowError, match=r"observations\.name: type 'text' is not understood"):
        read_observations([{**NAME, "schema": {"type": "text"}}], {})


def test_class_from_json_validates() -> None:
    made = read_observations([{**NAME, "name": "day", "schema": {"type": "string", "format": "date"}}], {})
    (spec,) = specs_of(made)
    assert spec.adapter.validate_json('"2026-03-01"', strict=True) == date(2026, 3, 1)
