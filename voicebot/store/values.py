"""How our values stand in a store: wall times as whole microseconds, JSON as text that UTF-8 can hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_us(moment: datetime) -> int:
    """Microseconds since 1970, exactly.

    Raises:
        ValueError: the time has no zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"a wall time needs a zone: {moment}")
    return (moment - _EPOCH) // _MICROSECOND


def to_us_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else to_us(moment)


def from_us(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def from_us_or_none(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else from_us(microseconds)


def sound(text: str) -> str:
    """JSON text that can be stored: a lone surrogate, for which UTF-8 has no bytes, becomes its JSON escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def split_names(text: str) -> tuple[str, ...]:
    """Names that are kept as one text, with commas between them."""
    return tuple(text.split(",")) if text else ()
