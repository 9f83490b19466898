"""What an operator does in a call that is at work, whichever instance has it.

The instance that is asked does it if it has the call. Else it leaves a letter for the one that has it, in the store
that both share, and waits for the answer, bounded. A letter is acted on once, and not when it is old: who asked has
been told by then that nothing came of it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, TypeAdapter, ValidationError

from voicebot.call.core import Stage
from voicebot.call.events import EndWanted, NoteWanted, SayWanted, TransferWanted
from voicebot.call.session import CallSession
from voicebot.engine.movement import MOST_TRANSFERS
from voicebot.errors import StoreError
from voicebot.log_events import named
from voicebot.store.contract import Store

from ..lifecycle import Calls
from .problems import missing, problem

log = logging.getLogger(__name__)

LOOK_S = 0.25  # how soon a letter is seen
LOOK_SOON_S = 0.05  # while an answer is waited for
ANSWER_LIMIT_S = 8.0
STALE_S = 30.0  # clocks of machines differ; past it nobody waits any more
REMEMBERED = 1000  # letters that have come, since one may come twice

Operation = Literal["say", "note", "transfer", "hang_up"]
Result = Literal[
    "accepted",
    "elsewhere",  # no call of this name is at work here
    "silent",  # it is not in conversation: not connected yet, or about to end
    "no_target",  # the flow has no target of this name
    "tried",  # nobody could be reached before
]


class Ask(BaseModel):
    """A letter: do this in a call of yours."""

    kind: Literal["ask"] = "ask"
    letter_id: str
    sender: str
    at: AwareDatetime
    call_sid: str
    operation: Operation
    argument: str


class Told(BaseModel):
    """A letter: what came of another one."""

    kind: Literal["told"] = "told"
    letter_id: str
    result: Result


_LETTER: TypeAdapter[Ask | Told] = TypeAdapter(Ask | Told)


class Operations:
    """What is done in calls, here or by whichever instance has them."""

    def __init__(self, calls: Calls, store: Store, wall: Callable[[], datetime]) -> None:
        """`wall`: the time of day, aware UTC."""
        self._calls, self._store, self._wall = calls, store, wall
        self._answers: dict[str, asyncio.Future[Result]] = {}
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._hurry = asyncio.Event()

    async def perform(self, call_sid: str, operation: Operation, argument: str = "") -> None:
        """Have it done; returns when the call has it in hand.

        Raises:
            HTTPException: 404, no such call; 409, it cannot be done now; 422, no such target; 504, whoever has the call
                does not answer.
            StoreError: the store does not answer.
        """
        result = done_here(self._calls.get(call_sid), operation, argument)
        if result == "elsewhere":
            result = await self._elsewhere(call_sid, operation, argument)
        if result != "accepted":
            raise _refused(result)

    async def _elsewhere(self, call_sid: str, operation: Operation, argument: str) -> Result:
        record = await self._store.call(call_sid)
        if record is None:
            raise missing("call")
        if record.ended is not None:
            raise problem(409, "over", "the call is over")
        if record.owner == self._calls.owner:
            return "elsewhere"  # between two hands, or with whom the phone line has rung
        letter_id = secrets.token_hex(8)
        ask = Ask(
            letter_id=letter_id,
            sender=self._calls.owner,
            at=self._wall(),
            call_sid=call_sid,
            operation=operation,
            argument=argument,
        )
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._answers[letter_id] = answer
        try:
            await self._store.post_letter(record.owner, ask.model_dump_json())
            self._hurry.set()
            async with asyncio.timeout(ANSWER_LIMIT_S):
                return await answer
        except TimeoutError as exc:
            detail = "the instance that has the call does not answer; look at its journal before you try again"
            raise problem(504, "no_answer", detail) from exc
        finally:
            del self._answers[letter_id]

    async def run(self) -> None:
        """Take letters and answer them, until cancelled."""
        while True:
            try:
                for letter in await self._store.take_letters(self._calls.owner):
                    await self._read(letter)
            except StoreError as exc:
                log.debug("no letters can be had: %s", exc, extra=named("store_letters_wait"))
                await asyncio.sleep(1.0)
            if not self._answers:
                self._hurry.clear()
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._hurry.wait()
                    await asyncio.sleep(LOOK_SOON_S)
            except TimeoutError:
                continue

    async def _read(self, text: str) -> None:
        try:
            letter = _LETTER.validate_json(text)
        except ValidationError:  # of another version
            log.warning("a letter of another instance cannot be read", extra=named("letter_unreadable"))
            return
        match letter:
            case Told(letter_id=letter_id, result=result):
                if (waiting := self._answers.get(letter_id)) is not None and not waiting.done():
                    waiting.set_result(result)
            case Ask() if self._is_new(letter):
                result = done_here(self._calls.get(letter.call_sid), letter.operation, letter.argument)
                told = Told(letter_id=letter.letter_id, result=result)
                await self._store.post_letter(letter.sender, told.model_dump_json())

    def _is_new(self, letter: Ask) -> bool:
        if letter.letter_id in self._seen or (self._wall() - letter.at).total_seconds() > STALE_S:
            return False
        self._seen[letter.letter_id] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True


def done_here(session: CallSession | None, operation: Operation, argument: str) -> Result:
    """Do it in a call that is at work here, if it is."""
    if session is None:
        return "elsewhere"
    engine = session.core.engine
    if session.core.stage is not Stage.TALKING:
        return "silent"
    match operation:
        case "say":
            session.wish(SayWanted(argument))
        case "note":
            session.wish(NoteWanted(argument))
        case "hang_up":
            session.wish(EndWanted())
        case "transfer" if argument not in engine.flow.targets:
            return "no_target"
        case "transfer" if len(engine.state.transfers) >= MOST_TRANSFERS:
            return "tried"
        case "transfer":
            session.wish(TransferWanted(argument))
    return "accepted"


def _refused(result: Result) -> Exception:
    match result:
        case "silent":
            return problem(409, "not_talking", "the call is not in conversation: it begins, or is about to end")
        case "no_target":
            return problem(422, "no_target", "the flow has no such target; GET /calls/{call_sid} lists them")
        case "tried":
            return problem(409, "unreachable", "nobody could be reached before; the caller is not rung for again")
    detail = "nobody is at work on the call just now: it changes hands, or the caller was put through to somebody"
    return problem(409, "not_at_work", detail)
