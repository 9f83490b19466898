"""The one way out of a conversation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec

P = ParamSpec("P")


class Outbox:
    """Client events in the order in which they are to be sent, each with an event id of its own.

    The id says what the event is (`truncate_item_17`), so that an error can be understood from its `event_id` alone.
    """

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._count = 0

    def put(self, build: Callable[Concatenate[str, P], str], *args: P.args, **kwargs: P.kwargs) -> str:
        """Build an event with the next id, and give the id."""
        self._count += 1
        event_id = f"{build.__name__}_{self._count}"
        self._texts.append(build(event_id, *args, **kwargs))
        return event_id

    def id_at_once(self, what: str) -> str | None:
        """The id of an event that need not wait here; None if others do, which go first."""
        if self._texts:
            return None
        self._count += 1
        return f"{what}_{self._count}"

    def drain(self) -> list[str]:
        """Take everything that was put since the last time."""
        texts, self._texts = self._texts, []
        return texts
