"""Whose call the present task works for, so that every line that is logged meanwhile says so, a library's too.

Set where a call's tasks begin; the tasks that these start inherit it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_CALL_SID: ContextVar[str] = ContextVar("call_sid", default="")


def current_call() -> str:
    """The CallSid of the present task's call; empty outside of calls."""
    return _CALL_SID.get()


def work_for(call_sid: str) -> None:
    """From here on the present task works for this call."""
    _CALL_SID.set(call_sid)


@contextmanager
def for_no_call_yet() -> Iterator[None]:
    """Whatever `work_for` says inside is over at the end: for a task that serves one request after another."""
    token = _CALL_SID.set("")
    try:
        yield
    finally:
        _CALL_SID.reset(token)
