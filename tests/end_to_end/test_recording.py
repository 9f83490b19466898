"""Recordings of whole calls, against what the twin's phone said and played, sample by sample."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.end_to_end import reception
from tests.recording.alignment import FRAME_MS, elsewhere, shifts_ms
from voicebot.flow import Flow, Recording, Rule, Say
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.recording.files import RecordingFolder
from voicebot.server.app import CALLS, create_app
from voicebot.server.lifecycle import Calls
from voicebot.sim import stage as stage_module
from voicebot.sim.brain import Calls as CallsTool
from voicebot.sim.brain import Says
from voicebot.sim.call_result import CallResult
from voicebot.sim.clock import run_virtual
from voicebot.sim.line import LineFaults
from voicebot.sim.scenario import Exchange, Scenario
from voicebot.sim.scenario import Say as CallerSays
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
    settings: Mapping[str, object] | None = None,
    keys: Sequence[bytes] = (),
    beside: Callable[[Calls], Awaitable[None]] | None = None,
) -> Recorded:
    """Play a call, recorded unless the settings say otherwise, and read what was kept.

    Args:
        keys: that open the recording.
        beside: done while the call runs, with the calls at work in the server.
    """
    given: dict[str, object] = {"VOICEBOT_RECORD": "all", "VOICEBOT_STORE": f"sqlite:///{folder}/calls.db"}
    apps: list[web.Application] = []

    async def made(*args: Any, **kwargs: Any) -> web.Application:
        apps.append(await create_app(*args, **kwargs))
        return apps[0]

    async def call() -> Recorded:
        brain = scenario.brain()
        shelf = FlowShelf({"visit": load_flow("visit", flow)})
        async with (
            stage(
                shelf, lambda: brain, default_flow="visit", codec=codec, settings=given | dict(settings or {})
            ) as on_stage,
            asyncio.TaskGroup() as tasks,
        ):
            if beside is not None:
                tasks.create_task(_do(beside(apps[0][CALLS])))
            result = await on_stage.phone(scenario, faults=faults).call()
            await on_stage.crm.wait_for(1, 60.0)
            data = json.loads(on_stage.crm.received[0].body)["data"]
        recordings = RecordingFolder(folder / "recordings", keys)
        parts = data["recording"]["parts"] if data["recording"] else []
        audio = b"".join(b"".join(recordings.play(part["id"])) for part in parts if part["status"] == "kept")
        return Recorded(result, data, recordings, audio)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage_module, "create_app", made)
        return run_virtual(call())


async def _do(work: Awaitable[None]) -> None:
    await work


@pytest.mark.parametrize("codec", ["pcm", "pcmu"])
@pytest.mark.parametrize("delay_ms", [(0, 0), (20, 20), (150, 150), (150, 20), (20, 150)], ids=str)
def test_recording_is_what_was_said_and_heard(delay_ms: tuple[float, float], codec: str, tmp_path: Path) -> None:
    faults = LineFaults(network_delay_ms=delay_ms, jitter_ms=10)
    recorded = record(tmp_path, reception.VISIT, codec=codec, faults=faults)
    assert recorded.result.problems == () and len(recorded.result.streams[0].clears) == 1
    (left, right), (spoken, heard) = recorded.sides, recorded.truth
    assert left == spoken[: len(left)]
    for kept, true in ((right, heard[: len(right)]), (heard, right)):
        shifts = shifts_ms(kept, true, bit=BIT)
        assert len(shifts) > 300
        assert elsewhere(shifts, allowed_ms=FRAME_MS, run=2) == []
    told = recorded.report["recording"]
    assert (told["status"], told["channels"], told["duration_ms"]) == ("kept", 2, len(left) // BYTES_PER_MS)
    [part] = told["parts"]
    weighed = recorded.folder.weigh(part["id"])
    assert (weighed.size_bytes, weighed.sha256) == (part["size_bytes"], part["sha256"])
    assert str(tmp_path) not in json.dumps(recorded.report)


def test_nothing_is_recorded_unless_it_is_wanted(tmp_path: Path) -> None:
    for mode in ("off", "flow"):
        recorded = record(tmp_path, reception.VISIT, settings={"VOICEBOT_RECORD": mode})
        assert recorded.report["recording"] is None
    assert not (tmp_path / "recordings").exists()


def test_recording_is_sealed_when_there_is_a_key(tmp_path: Path) -> None:
    key = base64.b64encode(bytes(32)).decode()
    recorded = record(tmp_path, reception.VISIT, settings={"VOICEBOT_RECORDING_KEY": key}, keys=[bytes(32)])
    [path] = (tmp_path / "recordings").iterdir()
    assert path.name.endswith(".wav.sealed")
    left, spoken = recorded.sides[0], recorded.truth[0]
    assert left == spoken[: len(left)]


# ---- consent --------------------------------------------------------------------------------------------------------

TOLD = Say("Good morning. This call is recorded.", name="recorded", interruptible=False)


def told_flow(opening: Say = TOLD) -> Flow:
    decline = Rule("no_recording", when="the caller does not want to be recorded", then=Say("Then it is not recorded."))
    record = Recording(consent="recorded", refusal="no_recording")
    return replace(reception.flow, opening=opening, rules=(decline,), record=record)


def test_nothing_is_kept_before_consent_was_heard(tmp_path: Path) -> None:
    recorded = record(tmp_path, reception.VISIT, flow=told_flow(), settings={"VOICEBOT_RECORD": "flow"})
    (left, right), (spoken, heard) = recorded.sides, recorded.truth
    said = recorded.result.bot_said[0]
    assert said.text == TOLD.text and said.complete
    late = len(spoken) - len(left)  # both end with the call
    assert left == spoken[late:] and right == heard[late:]
    first_ms = recorded.result.streams[0].opened_ms
    assert said.end_ms - FRAME_MS <= first_ms + late / BYTES_PER_MS <= said.end_ms + 300


def test_who_declines_is_not_recorded(tmp_path: Path) -> None:
    declines = Exchange(
        CallerSays("Please do not record me."),
        (
            (CallsTool("apply_rule", {"rule": "no_recording", "quote": "Please do not record me"}),),
            (Says("How can I help?"),),
        ),
    )
    scenario = replace(reception.HANGS_UP, exchanges=(declines, *reception.HANGS_UP.exchanges))
    recorded = record(tmp_path, scenario, flow=told_flow())
    assert recorded.report["rules"][0]["rule"] == "no_recording"
    assert list((tmp_path / "recordings").iterdir()) == []
    assert recorded.report["recording"]["status"] == "erased"
    assert recorded.report["recording"]["duration_ms"] == 0


# ---- a call in other hands ------------------------------------------------------------------------------------------


def test_recording_goes_on_with_the_call(tmp_path: Path) -> None:
    recorded = record(tmp_path, reception.VISIT, faults=LineFaults(drop_socket_at_ms=6_000))
    first, second = recorded.result.streams
    assert len(recorded.report["recording"]["parts"]) == 1
    left, spoken = recorded.sides[0], recorded.truth[0]
    before = int((first.closed_ms - first.opened_ms - 2 * FRAME_MS) * BYTES_PER_MS)
    assert left[:before] == spoken[:before]
    shifts = shifts_ms(left[before:], spoken[before:], bit=BIT)  # the second stream, by the journal's clock
    assert len(shifts) > 50 and elsewhere(shifts, allowed_ms=100, run=10) == []
    assert second.opened_ms >= first.closed_ms


def test_another_part_begins_where_the_file_is_not_at_hand(tmp_path: Path) -> None:
    async def lose(calls: Calls) -> None:
        await asyncio.sleep(5.0)
        [file] = (tmp_path / "recordings").iterdir()
        file.rename(tmp_path / "gone.wav")

    recorded = record(tmp_path, reception.VISIT, faults=LineFaults(drop_socket_at_ms=6_000), beside=lose)
    first, second = recorded.report["recording"]["parts"]
    assert (first["id"][-2:], second["id"][-2:]) == ("-1", "-2")
    assert second["status"] == "kept"
    assert first["status"] == "open"  # its end was decided when the call had gone to other hands
