"""The phones that the account may call: each call it places by the REST API rings one of them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType

from .account import ACCOUNT_SID, AUTH_TOKEN
from .call_book import CallBook
from .call_result import CallResult
from .callee import Callee
from .line import LineFaults
from .phone import Phone
from .twilio_forms import Placed

NOBODY = Callee("failed", ring_s=0.5)  # a number that does not exist


class Switchboard:
    """Rings phones, up while the `async with` lasts; calls that are under way then are cut off.

    Attributes:
        callees: who has which number. Several, one after the other, are of one call each; the last also of the rest.
        results: of calls that are over, in the order in which they ended.
        placed: every call that was placed, in order.
    """

    def __init__(
        self,
        callees: Mapping[str, Callee | Sequence[Callee]],
        *,
        account_sid: str = ACCOUNT_SID,
        auth_token: str = AUTH_TOKEN,
        book: CallBook | None = None,
        faults: LineFaults | None = None,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        via: Mapping[str, str] | None = None,
    ) -> None:
        self.callees = {number: [one] if isinstance(one, Callee) else [*one] for number, one in callees.items()}
        self.results: list[CallResult] = []
        self.placed: list[Placed] = []
        self._account_sid, self._auth_token, self._via = account_sid, auth_token, via or {}
        self._book, self._faults, self._wall = book, faults or LineFaults(), wall
        self._running: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Switchboard:
        self._tasks = await asyncio.TaskGroup().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._running:
            task.cancel()
        await self._tasks.__aexit__(None, None, None)

    def ring(self, placed: Placed) -> str:
        """Begin a call; returns its CallSid."""
        call_sid = f"CA{uuid.uuid4().hex}"
        callee = self._callee(placed.to)
        self.placed.append(placed)
        phone = Phone(
            placed.answered_url,
            to=placed.to,
            from_=placed.from_,
            account_sid=self._account_sid,
            auth_token=self._auth_token,
            behaviour=callee.behaviour(),
            faults=self._faults,
            call_sid=call_sid,
            book=self._book,
            wall=self._wall,
            voice=callee.voice,
            via=self._via,
            placed=placed,
            callee=callee,
            dial=callee.dial,
        )
        task = self._tasks.create_task(self._call(phone), name=f"call {call_sid}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return call_sid

    async def wait_for(self, n: int, timeout_s: float) -> list[CallResult]:
        """Wait until `n` calls are over, and return all that are.

        Raises:
            TimeoutError: fewer ended.
        """
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: len(self.results) >= n)
        return list(self.results)

    async def _call(self, phone: Phone) -> None:
        result = await phone.call()
        async with self._changed:
            self.results.append(result)
            self._changed.notify_all()

    def _callee(self, number: str) -> Callee:
        waiting = self.callees.get(number)
        if not waiting:
            return NOBODY
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]
