"""Erasing calls once they are as old as the operator lets them become."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from voicebot.errors import StoreError
from voicebot.log_events import named
from voicebot.recording.files import RecordingFolder
from voicebot.store.contract import Store

log = logging.getLogger(__name__)

EVERY_S = 3600.0
AT_ONCE = 500  # calls in one step, so that nobody waits long for the store


async def keep_erasing(
    store: Store, days: float, wall: Callable[[], datetime], *, recordings: RecordingFolder | None = None
) -> None:
    """Erase calls that ended more than `days` ago, now and every hour, until cancelled; several instances may.

    Args:
        recordings: where theirs are.
    """
    while True:
        try:
            erased = await _erase(store, wall() - timedelta(days=days), recordings)
        except (StoreError, OSError) as exc:
            log.warning("old calls are erased later: %s", exc, extra=named("store_erasing_later"))
        else:
            if erased:
                log.info("%d calls older than %g days were erased", erased, days, extra=named("calls_erased"))
        await asyncio.sleep(EVERY_S)


async def _erase(store: Store, moment: datetime, recordings: RecordingFolder | None) -> int:
    count = 0
    while erased := await store.erase_before(moment, limit=AT_ONCE):
        count += len(erased)
        if recordings is not None:
            await asyncio.to_thread(recordings.erase, erased)
    return count
