"""Running one tool of a flow: whatever becomes of it, the model is told in words."""

from __future__ import annotations

import asyncio
import copy
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from voicebot.engine.events import ToolFinished
from voicebot.errors import ToolError
from voicebot.flow.tools import Tool, ToolContext, tool_output
from voicebot.log_events import named

from .author_code import NotRun, Raised, Returned, run_author_code
from .daemon_threads import DaemonThreads
from .events import StartTool
from .wishes import LONGEST_NOTE, as_text, to_be_said

log = logging.getLogger(__name__)

SAYS_PER_RUN = 5
TOOL_THREADS = DaemonThreads("tool")  # of the process


async def run_tool(
    tool: Tool,
    wanted: StartTool,
    *,
    call_sid: str,
    caller: str | None,
    observations: Mapping[str, object],
    say: Callable[[str], None],
    send_sms: Callable[[str], Awaitable[None]] | None = None,
) -> ToolFinished:
    """Run a tool; its arguments were validated before.

    Args:
        caller: the caller's number (E.164), None when withheld.
        observations: the values so far, as Python objects; the tool gets a copy.
        say: has words spoken. It is called in the thread of the tool, and not any more once this has returned.
        send_sms: sends the caller a text message; without it, tools may send some, and nobody gets them.
    """
    run = _Run(say)
    arguments = dict(wanted.arguments)
    if tool.context_parameter is not None:
        known = copy.deepcopy(dict(observations))
        given = {} if send_sms is None else {"send_sms": send_sms}
        context = ToolContext(call_sid, wanted.key, known, caller, say=run.say, record=run.record, **given)
        arguments[tool.context_parameter] = context
    try:
        function = partial(tool.function, **arguments)
        outcome = await run_author_code(function, tool_output, limit_s=tool.timeout_s, threads=TOOL_THREADS)
    finally:
        run.close()
    if isinstance(outcome, Returned):
        return ToolFinished(wanted.call_id, outcome.value + run.complaint, ok=True, records=run.records)
    log.warning("tool %s did not come back with a value: %s", tool.name, outcome, extra=named("tool_failed", call_sid))
    return _failed(tool.name, wanted.call_id, outcome)


def _failed(name: str, call_id: str, outcome: Raised | NotRun) -> ToolFinished:
    match outcome:
        case NotRun():
            return ToolFinished(call_id, f"{name} cannot run now{_GO_ON}", ok=False, refused=True)
        case Raised(error=ToolError() as error):
            words = f"{name} did not do it{_GO_ON}"
            with suppress(Exception):  # the author's own words may break when they are put together
                words = as_text(str(error), LONGEST_NOTE) or words
            return ToolFinished(call_id, words, ok=False, refused=True)
        case Raised(error=TimeoutError()):
            became = "took too long"
        case Raised(error=asyncio.CancelledError()):
            became = "was cancelled"
        case Raised(error=error):
            became = f"failed ({type(error).__name__})"
    return ToolFinished(call_id, f"{name} {became}{_GO_ON}", ok=False)


_GO_ON = "; tell the caller, and go on without it"


class _Run:
    """What a tool hands in while it works, from whichever thread."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.records: Mapping[str, JsonValue] = {}
        self._say, self._says_left = say, SAYS_PER_RUN
        self._formless: tuple[str, ...] = ()
        self._lock = threading.Lock()
        self._open = True

    def say(self, text: str) -> None:
        """See `ToolContext.say`. Beyond `SAYS_PER_RUN` nothing is said."""
        words = to_be_said(text)
        with self._lock:
            if not (words and self._open and self._says_left):
                return
            self._says_left -= 1
        self._say(words)

    def record(self, **values: object) -> None:
        """See `ToolContext.record`."""
        for name, value in values.items():
            try:
                found: JsonValue = from_json(to_json(value, inf_nan_mode="null"))
            except ValueError:
                with self._lock:
                    self._formless = (*self._formless, name)
            else:
                with self._lock:
                    if self._open:
                        self.records = {**self.records, name: found}

    def close(self) -> None:
        """The run is over: what a thread that nobody waits for still hands in is dropped."""
        with self._lock:
            self._open = False

    @property
    def complaint(self) -> str:
        """What the model must know of values that could not be taken."""
        names = ", ".join(dict.fromkeys(self._formless))
        return f"\nNot recorded, because it has no JSON form: {names}." if names else ""
