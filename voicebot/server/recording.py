"""Who records calls, and where: one folder beside the store, a few threads, and a key if there is one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from voicebot.call.daemon_threads import DaemonThreads
from voicebot.call.past import Past
from voicebot.errors import StoreError
from voicebot.flow.model import Flow
from voicebot.log_events import named
from voicebot.recording.consent import Mode, recording_of
from voicebot.recording.files import RecordingFolder
from voicebot.recording.playing import play_out
from voicebot.recording.recorder import Recorder
from voicebot.store.contract import Store

__all__ = ["Recordings", "play_out", "recordings_folder"]

log = logging.getLogger(__name__)

THREADS = 4
MOST_WAITING = 2_000  # jobs; each call has one at a time
SWEEP_EVERY_S = 3600.0
UNTOUCHED_S = 3600.0  # so long a recording is left alone that belongs to no call


def recordings_folder(data_folder: Path, keys: Sequence[bytes]) -> RecordingFolder:
    """Where recordings lie: beside the store."""
    return RecordingFolder(data_folder / "recordings", keys)


class Recordings:
    """The recordings of this process.

    Args:
        mode: which calls are recorded.
    """

    def __init__(self, mode: Mode, folder: RecordingFolder) -> None:
        self._mode, self._folder = mode, folder
        self._jobs = DaemonThreads("recording", most=THREADS, waiting=MOST_WAITING)

    def of_call(self, call_sid: str, flow: Flow, past: Past | None) -> Recorder | None:
        """The recorder of a call; None if it is not to be recorded."""
        recording = recording_of(flow, self._mode)
        return None if recording is None else Recorder(call_sid, flow, recording, self._folder, self._jobs, past=past)

    async def keep_sweeping(self, store: Store) -> None:
        """Erase recordings of calls that the store has erased, now and every hour, until cancelled.

        So they go wherever they lie, whichever instance, or command, erased the call.
        """
        while True:
            try:
                erased = await self._sweep(store)
            except (OSError, StoreError) as exc:
                log.warning("recordings are erased later: %s", exc, extra=named("recordings_erased_later"))
            else:
                if erased:
                    log.info("%d recordings of erased calls were erased", erased, extra=named("recordings_erased"))
            await asyncio.sleep(SWEEP_EVERY_S)

    async def _sweep(self, store: Store) -> int:
        loop = asyncio.get_running_loop()
        known = await loop.run_in_executor(self._jobs, lambda: self._folder.calls(untouched_s=UNTOUCHED_S))
        erased = [call_sid for call_sid in known if await store.call(call_sid) is None]
        return await loop.run_in_executor(self._jobs, self._folder.erase, erased)
