"""Expressions as people read them, in diagrams and in findings: `mode == 'delivery' & total > 15`."""

from __future__ import annotations

from .expressions import All, AnyOf, Compare, Expression, Filled, Not


def plain(expression: Expression) -> str:
    """An expression in one line, with as few parentheses as it can be read with."""
    match expression:
        case All(parts=parts):
            return " & ".join(_in_brackets(part, AnyOf) for part in parts)
        case AnyOf(parts=parts):
            return " | ".join(_in_brackets(part, All) for part in parts)
        case Not(part=part):
            return f"~{_in_brackets(part, All, AnyOf, Compare)}"
        case Compare() | Filled():
            return repr(expression).removeprefix("it.")
    return repr(expression)


def _in_brackets(part: Expression, *kinds: type[Expression]) -> str:
    text = plain(part)
    return f"({text})" if isinstance(part, kinds) and " " in text else text
