"""The dialect of guards: what holds, what is unknown, and the same from its JSON form."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.errors import FlowError
from voicebot.flow import heard, it, otherwise
from voicebot.flow.expressions import Compare, Expression, Field, read_expression, read_field


class Mode(Enum):
    PICKUP = "pickup"
    DELIVERY = "delivery"


def again(expression: Expression) -> Expression:
    """The expression after a journey as JSON text."""
    return read_expression(json.loads(json.dumps(expression.document())))


# ---- what holds ---------------------------------------------------------------------------------------------------

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOLDS: list[tuple[Expression, Mapping[str, object], bool | None]] = [
    (it.a.filled, {}, False),
    (it.a.filled, {"a": None}, True),
    (it.a.yes, {"a": True}, True),
    (it.a.yes, {"a": False}, False),
    (it.a.yes, {}, None),
    (it.a.no, {"a": False}, True),
    (it.a.no, {"a": True}, False),
    (it.a == "x", {"a": "x"}, True),
    (it.a != "x", {"a": "x"}, False),
    (it.a != "x", {}, None),
    (it.a < 3, {"a": 2}, True),
    (it.a < 3, {"a": 3}, False),
    (it.a <= 3, {"a": 3}, True),
    (it.a > 3, {"a": 3}, False),
    (it.a > 3, {"a": 4}, True),
    (it.a >= 3, {"a": 3}, True),
    (it.a == None, {"a": None}, True),  # noqa: E711 - the dialect
    (it.a == ["x"], {"a": ["x"]}, True),
    (it.mode == "delivery", {"mode": Mode.DELIVERY}, True),
    (it.mode == Mode.DELIVERY, {"mode": "delivery"}, True),
    (it.mode == Mode.DELIVERY, {"mode": Mode.PICKUP}, False),
    (it.total > Decimal("9.50"), {"total": Decimal("9.51")}, True),
    (it.total == Decimal("0.1"), {"total": Decimal("0.10")}, True),
    (it.total == 0.1, {"total": Decimal("0.1")}, True),
    (it.total <= "9.50", {"total": Decimal("9.5")}, True),
    (it.day == date(2026, 3, 1), {"day": date(2026, 3, 1)}, True),
    (it.day > "2026-02-28", {"day": date(2026, 3, 1)}, True),
    (it.at < time(10), {"at": time(9, 30)}, True),
    (it.at >= "10:00", {"at": time(10)}, True),
    (it.when == NOON, {"when": NOON}, True),
    (it.when == "2026-03-01T13:00:00+01:00", {"when": NOON}, True),
    (it.stay > timedelta(hours=1), {"stay": timedelta(minutes=61)}, True),
    (heard("total"), {"heard total": True}, True),
    (heard("total"), {"total": 3}, False),
    (~heard("total"), {}, True),
    (otherwise, {}, True),
]


@pytest.mark.parametrize(("expression", "values", "expected"), HOLDS, ids=lambda value: repr(value)[:60])
def test_expression_holds(expression: Expression, values: Mapping[str, object], expected: bool | None) -> None:
    assert expression.evaluate(values) is expected


@pytest.mark.parametrize(("expression", "values", "expected"), HOLDS, ids=lambda value: repr(value)[:60])
def test_expression_from_json_holds_alike(
    expression: Expression, values: Mapping[str, object], expected: bool | None
) -> None:
    assert again(expression).evaluate(values) is expected
    assert again(expression).document() == expression.document()


@pytest.mark.parametrize("value", [None, "three", ["x"], {"x": 1}, NOON])
def test_what_does_not_compare_is_unknown(value: object) -> None:
    assert (it.a > 3).evaluate({"a": value}) is None
    assert (it.a == 3).evaluate({"a": value}) is False


@pytest.mark.parametrize("value", [date(2026, 3, 1), Decimal(1), time(9)])
def test_text_that_is_no_such_value_is_not_equal(value: object) -> None:
    assert (it.a == "soon").evaluate({"a": value}) is False
    assert (it.a > "soon").evaluate({"a": value}) is None


# ---- Kleene's logic -----------------------------------------------------------------------------------------------

TRUTH: list[tuple[bool | None, bool | None, bool | None, bool | None]] = [
    # left, right, and, or
    (True, True, True, True),
    (True, False, False, True),
    (True, None, None, True),
    (False, True, False, True),
    (False, False, False, False),
    (False, None, False, None),
    (None, True, None, True),
    (None, False, False, None),
    (None, None, None, None),
]


@pytest.mark.parametrize(("left", "right", "both", "either"), TRUTH)
def test_and_or_follow_kleene(left: bool | None, right: bool | None, both: bool | None, either: bool | None) -> None:
    values = {name: value for name, value in (("a", left), ("b", right)) if value is not None}
    assert (it.a.yes & it.b.yes).evaluate(values) is both
    assert (it.a.yes | it.b.yes).evaluate(values) is either


@pytest.mark.parametrize(("value", "expected"), [(True, False), (False, True), (None, None)])
def test_not_keeps_the_unknown(value: bool | None, expected: bool | None) -> None:
    assert (~it.a.yes).evaluate({} if value is None else {"a": value}) is expected


FLAGS = st.dictionaries(st.sampled_from("abc"), st.booleans())
VERDICTS = st.sampled_from("abc").flatmap(lambda name: st.sampled_from([Field(name).yes, Field(name).no]))
FILLED = st.sampled_from("abc").map(lambda name: Field(name).filled)


def trees(leaves: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
            st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
            inner.map(lambda one: ~one),
        ),
        max_leaves=8,
    )


TREES = trees(VERDICTS | FILLED)


@given(TREES, FLAGS)
def test_any_tree_survives_json(tree: Expression, values: dict[str, bool]) -> None:
    assert again(tree).evaluate(values) is tree.evaluate(values)
    assert [field.name for field in again(tree).fields()] == [field.name for field in tree.fields()]
    assert repr(again(tree)) == repr(tree)


@given(TREES, TREES, FLAGS)
def test_de_morgan_holds(left: Expression, right: Expression, values: dict[str, bool]) -> None:
    assert (~(left & right)).evaluate(values) is (~left | ~right).evaluate(values)


@given(trees(VERDICTS), FLAGS, FLAGS)
def test_knowing_more_changes_no_verdict(tree: Expression, values: dict[str, bool], more: dict[str, bool]) -> None:
    verdict = tree.evaluate(values)
    assert verdict is None or tree.evaluate({**more, **values}) is verdict


# ---- misuse -------------------------------------------------------------------------------------------------------

MISUSES: list[tuple[str, Callable[[], Any]]] = [
    ("and", lambda: it.a.yes and it.b.yes),
    ("not", lambda: not it.a.yes),
    ("chain", lambda: 1 < it.a < 3),
    ("if", lambda: 1 if it.a.filled else 2),
    ("in a list", lambda: it.a in [it.b]),
    ("compared with a field", lambda: it.a == it.b),
    ("combined with a value", lambda: it.a.yes & True),
    ("combined with a field name", lambda: it.a.yes | "b"),
]


@pytest.mark.parametrize(("name", "write"), MISUSES, ids=[name for name, _ in MISUSES])
def test_misuse_says_where_and_how_to_mend(name: str, write: Callable[[], Any]) -> None:
    with pytest.raises(FlowError) as raised:
        write()
    assert raised.value.where is not None
    assert raised.value.where.startswith(f"{__file__}:")
    assert raised.value.mend


def test_bare_field_is_no_criterion() -> None:
    for use in (lambda: it.a.evaluate({"a": True}), lambda: it.a.document()):
        with pytest.raises(FlowError, match=r"it\.a alone is no criterion"):
            use()
    with pytest.raises(ValueError, match=r"it\.a alone is no criterion"):
        read_expression(it.a)


def test_private_names_are_no_fields() -> None:
    assert not hasattr(it, "_repr_html_")


def test_expression_reads_as_it_was_written() -> None:
    assert repr((it.a.yes & ~it.b.no) | (it.c >= 3) | it.d.filled | otherwise) == (
        "((((it.a.yes & ~it.b.no) | it.c >= 3) | it.d.filled) | otherwise)"
    )


def test_fields_come_in_reading_order() -> None:
    tree = (it.a.yes & it.b.filled) | ~(it.c == 1) | (heard("x") & ~heard("y")) | otherwise
    assert [field.name for field in tree.fields()] == ["a", "b", "c"]
    assert list(tree.statements()) == ["x", "y"]
    assert repr(heard("x")) == "heard('x')"
    assert [field.name for field in it.a.fields()] == ["a"]


# ---- the JSON form ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        None,
        "a",
        [],
        {},
        {"all": []},
        {"any": []},
        {"not": None},
        {"otherwise": False},
        {"field": "a"},
        {"field": 1, "is": "filled"},
        {"field": "a", "is": "="},
        {"field": "a", "is": "=="},
        {"all": [{"field": "a", "is": "filled"}, 1]},
        {"any": ["x"]},
        {"heard": 1},
    ],
)
def test_unknown_form_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match="is no guard or criterion"):
        read_expression(document)


def test_expression_passes_as_it_is() -> None:
    guard = it.a.yes
    assert read_expression(guard) is guard


@pytest.mark.parametrize(("given_value", "name"), [(it.a, "a"), ("a", "a")])
def test_field_is_read_from_it_or_name(given_value: object, name: str) -> None:
    assert read_field(given_value) == name


def test_what_is_no_field_is_refused() -> None:
    with pytest.raises(ValueError, match="is no observation"):
        read_field(it.a.filled)


def test_comparison_holds_its_constant() -> None:
    guard = it.a == "x"
    assert isinstance(guard, Compare)
    assert (guard.field.name, guard.operator, guard.value) == ("a", "==", "x")
