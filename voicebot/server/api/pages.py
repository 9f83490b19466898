"""Pages of a list that changes meanwhile: a cursor names a place, by a time and an id, and not a row."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta

from .problems import Wrong, problem

MOST_ROWS = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLACE = re.compile(r"(\d{1,17})\.([!-~]{1,200})")


def cursor_of(moment: datetime, name: str) -> str:
    """The cursor that goes on after this place."""
    microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{microseconds}.{name}".encode()).decode().rstrip("=")


def place_of(cursor: str | None) -> tuple[datetime, str] | None:
    """The place that a cursor names.

    Raises:
        HTTPException: 422, it is none of ours.
    """
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), b"-_", validate=True).decode()
        if (found := _PLACE.fullmatch(text)) is not None:
            return _EPOCH + timedelta(microseconds=int(found[1])), found[2]
    except (binascii.Error, UnicodeError, ValueError, OverflowError):
        pass  # it is said below, whatever is wrong with it
    wrong = Wrong(where="query.cursor", problem="is no cursor", mend="give back `next` of the page before, unchanged")
    raise problem(422, "invalid", "the cursor cannot be used", errors=[wrong])
