"""What has come and was not received yet, and the one task that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """Filled in the step in which something comes; whoever fills it bounds it."""

    __slots__ = ("_is_over", "_reader", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Item] = []
        """In the order in which it came."""
        self._is_over = False
        self._reader: asyncio.Future[None] | None = None  # of the task that waits

    def put(self, items: Iterable[Item]) -> None:
        """Something has come."""
        self.waiting += items
        self._wake()

    def put_back(self, items: Iterable[Item]) -> None:
        """Have what was received come again, before all else."""
        self.waiting[:0] = items

    def end(self) -> None:
        """Nothing will come any more."""
        self._is_over = True
        self._wake()

    def take(self) -> list[Item]:
        """All that is there, without waiting."""
        items, self.waiting = self.waiting, []
        return items

    async def receive(self) -> list[Item]:
        """Wait, and take all that is there: nothing, once it is over. Cancelling it loses nothing."""
        while not self.waiting and not self._is_over:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self.take()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
