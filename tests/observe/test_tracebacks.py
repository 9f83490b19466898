"""Tracebacks: all of the code, none of the caller."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from voicebot.errors import StoreError
from voicebot.observe.tracebacks import WITHHELD, headline, told


class Order(BaseModel):
    guests: int


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as exc:  # noqa: BLE001 - the test wants whatever was raised
        return exc


def test_words_of_values_are_withheld_and_code_is_shown() -> None:
    text = told(raised(KeyError("Ada Lovelace")))
    assert text.startswith("Traceback (most recent call last):\n")
    assert "raise error from cause" in text
    assert text.endswith(f"KeyError: {WITHHELD}")


@pytest.mark.parametrize("error", [StoreError("the disk is full"), TypeError("no int"), OSError(2, "no file")])
def test_words_of_code_and_system_are_told(error: Exception) -> None:
    assert str(error) in headline(error)


def test_validation_error_does_not_quote_its_input() -> None:
    said = {"guests": "Ada Lovelace"}
    with pytest.raises(ValidationError) as caught:
        Order.model_validate(said)
    assert "Lovelace" in str(caught.value)
    assert "Lovelace" not in told(caught.value)


def test_causes_and_parts_of_groups_are_told_alike() -> None:
    cause = raised(ValueError("canary"))
    group = ExceptionGroup("unhandled", [raised(StoreError("down"), cause), raised(LookupError("canary"))])
    text = told(raised(group))
    assert "canary" not in text
    assert "StoreError: down" in text
    assert "-- 2 of 2 --" in text
    assert text.count("ValueError") == 1


def test_circle_of_causes_comes_to_an_end() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert told(first).count("ValueError") == 2
