"""`voicebot demo`, with the twin and with a model reached by settings, as `--live` does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from rich.console import Console

from tests.end_to_end.reception import VISIT
from tests.end_to_end.reception import shelf as visits
from voicebot.errors import SettingsError
from voicebot.flow.loader import FlowShelf
from voicebot.sim.clock import run_virtual
from voicebot.sim.demo import _live_model, _play, run_demo
from voicebot.sim.realtime_server import API_KEY, RealtimeServer


def test_demo_leaves_a_recording(shelf: FlowShelf, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wav = tmp_path / "call.wav"
    code = run_demo(shelf.get("restaurant_ordering"), shelf, fast=True, live=False, codec="pcmu", wav=wav)
    shown = capsys.readouterr().out
    assert code == 0
    assert "signature verified" in shown
    assert "All as it should be." in shown
    assert wav.stat().st_size > 8000 * 4 * 30


def test_live_demo_speaks_with_the_model_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> int:
        brain = VISIT.brain()
        async with RealtimeServer(lambda: brain) as model:
            monkeypatch.setenv("OPENAI_API_KEY", API_KEY)
            monkeypatch.setenv("VOICEBOT_REALTIME_URL", model.url)
            rehearsal = await _play(Console(quiet=True), VISIT, visits, live=True, codec="pcm")
            assert rehearsal.problems == ()
            assert rehearsal.report["observations"] == {"name": "Ada Lovelace", "reason": "toothache"}
            return model.connections

    assert run_virtual(play()) == 2


def test_live_demo_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    with pytest.raises(SettingsError, match="OPENAI_API_KEY"):
        asyncio.run(_live_model(VISIT))
