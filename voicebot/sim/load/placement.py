"""Which cores are whose, so that the load does not take the server's processor time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from voicebot.errors import ScenarioError


@dataclass(frozen=True, slots=True)
class Placement:
    """Cores of the server and of the load. `note` says what cannot be told apart then."""

    server: frozenset[int]
    load: frozenset[int]
    note: str = ""


ANYWHERE = Placement(frozenset(), frozenset())


def place(cores: Sequence[int], workers: int) -> Placement:
    """Give each of the server's processes a core, and the load what is left; or share, where there are too few."""
    if not cores:
        return ANYWHERE
    if len(cores) > workers:
        return Placement(frozenset(cores[-workers:]), frozenset(cores[:-workers]))
    note = f"server and load share {len(cores)} core{'s' * (len(cores) > 1)}: no figure is the server's alone"
    return Placement(frozenset(cores), frozenset(cores), note)


def cores() -> list[int]:
    """Those that this process may use; none where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@contextmanager
def on(chosen: frozenset[int], *, first: bool = False) -> Iterator[None]:
    """Keep this process to these cores for a while; those that it starts meanwhile stay there.

    Args:
        chosen: none for any.
        first: and before all other processes, as on a machine with nothing else to do (root).

    Raises:
        ScenarioError: going first is not allowed.
    """
    before = frozenset(cores())
    policy = _go_first() if first else None
    try:
        if chosen and before:
            os.sched_setaffinity(0, chosen)
        yield
    finally:
        if before:
            os.sched_setaffinity(0, before)
        if policy is not None:
            os.sched_setscheduler(0, *policy)


def _go_first() -> tuple[int, os.sched_param]:
    """Returns how this process was scheduled before."""
    try:
        before = os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except (AttributeError, PermissionError) as exc:
        raise ScenarioError("--first is for root on Linux alone: all others have to wait then") from exc
    return before
