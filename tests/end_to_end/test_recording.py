"""Recordings of whole calls, against what the twin's phone said and played, sample by sample."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import reception
from tests.recording.alignment import FRAME_MS, elsewhere, shifts_ms
from voicebot.flow import Flow, Recording, Say
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.recording.files import RecordingFolder
from voicebot.sim.call_result import CallResult
from voicebot.sim.clock import run_virtual
from voicebot.sim.line import LineFaults
from voicebot.sim.scenario import Scenario
from voicebot.sim.stage import stage
from voicebot.sim.timeline import BYTES_PER_MS

BIT = 10 * BYTES_PER_MS


@dataclass(frozen=True)
class Recorded:
    """A call, its report's data, and its recording's sides."""

    result: CallResult
    report: dict[str, Any]
    folder: RecordingFolder
    audio: bytes

    @property
    def sides(self) -> tuple[bytes, bytes]:
        return self.audio[::2], self.audio[1::2]

    @property
    def truth(self) -> tuple[bytes, bytes]:
        """What was said and heard from the stream's first frame on."""
        first = int(self.result.streams[0].opened_ms // FRAME_MS * FRAME_MS) * BYTES_PER_MS
        return self.result.caller_tape[first:], self.result.heard_tape[first:]


def record(
    folder: Path,
    scenario: Scenario,
    *,
    flow: Flow = reception.flow,
    faults: LineFaults | None = None,
    codec: str = "pcm",
    settings: Mapping[str, object] = {},
) -> Recorded:
    async def call() -> Recorded:
        brain = scenario.brain()
        given = {"VOICEBOT_RECORD": "all", "VOICEBOT_STORE": f"sqlite:///{folder}/calls.db", **settings}
        shelf = FlowShelf({"visit": load_flow("visit", flow)})
        async with stage(shelf, lambda: brain, default_flow="visit", codec=codec, settings=given) as on_stage:
            result = await on_stage.phone(scenario, faults=faults).call()
            await on_stage.crm.wait_for(1, 60.0)
            data = json.loads(on_stage.crm.received[0].body)["data"]
        recordings = RecordingFolder(folder / "recordings", [])
        parts = data["recording"]["parts"] if data["recording"] else []
        audio = b"".join(b"".join(recordings.play(part["id"])) for part in parts if part["status"] == "kept")
        return Recorded(result, data, recordings, audio)

    return run_virtual(call())


@pytest.mark.parametrize("codec", ["pcm", "pcmu"])
@pytest.mark.parametrize("delay_ms", [(0, 0), (20, 20), (150, 150), (150, 20), (20, 150)], ids=str)
def test_recording_is_what_was_said_and_heard(delay_ms: tuple[float, float], codec: str, tmp_path: Path) -> None:
    recorded = record(
        tmp_path, reception.VISIT, codec=codec, faults=LineFaults(network_delay_ms=delay_ms, jitter_ms=10)
    )
    assert recorded.result.problems == ()
    assert recorded.report["recording"]["status"] == "kept"
    (left, right), (spoken, heard) = recorded.sides, recorded.truth
    print(len(left)/8, len(spoken)/8, len(heard)/8)
    assert left == spoken[: len(left)]
    print(sum(a!=b for a,b in zip(right, heard)))
    for kept, true in ((right, heard[: len(right)]), (heard, right)):
        shifts = shifts_ms(kept, true, bit=BIT)
        assert len(shifts) > 300
        assert elsewhere(shifts, allowed_ms=FRAME_MS, run=2) == []
