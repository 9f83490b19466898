"""Expressions in as few signs as they can be read with."""

from __future__ import annotations

import pytest

from voicebot.flow import heard, it, judged, otherwise
from voicebot.flow.expressions import Expression, read_expression
from voicebot.flow.plain import plain


def is_far(day: int) -> bool:
    return day > 0


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (it.mode == "it.a", "mode == 'it.a'"),
        (it.count >= 3, "count >= 3"),
        (it.sure.yes, "sure.yes"),
        (it.note.filled, "note.filled"),
        (it.a.yes & it.b.no & (it.c > 1), "a.yes & b.no & c > 1"),
        (it.a.yes | (it.b.no & it.c.yes), "a.yes | (b.no & c.yes)"),
        ((it.a.yes | it.b.no) & it.c.yes, "(a.yes | b.no) & c.yes"),
        (~it.a.yes, "~a.yes"),
        (~(it.a < 3), "~(a < 3)"),
        (~(it.a.yes & it.b.yes), "~(a.yes & b.yes)"),
        (~~it.a.yes, "~~a.yes"),
        (heard("total") & judged("they agree"), "heard('total') & judged('they agree')"),
        (read_expression(is_far), "is_far(day)"),
        (otherwise, "otherwise"),
    ],
    ids=repr,
)
def test_expression_reads_plainly(expression: Expression, expected: str) -> None:
    assert plain(expression) == expected
