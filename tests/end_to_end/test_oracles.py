"""Every event of whole calls, ours and the twin's, against the vendor's own types; reports against their schema."""

from __future__ import annotations

from functools import cache

import pytest
from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import TypeAdapter

from tests.end_to_end.test_rehearsals import SHOWCASES, names
from voicebot.flow.loader import FlowShelf
from voicebot.sim.clock import run_virtual
from voicebot.sim.stage import Rehearsal, rehearse

CLIENT: TypeAdapter[object] = TypeAdapter(RealtimeClientEvent)
SERVER: TypeAdapter[object] = TypeAdapter(RealtimeServerEvent)


@cache
def _played(number: int, shelf: object) -> Rehearsal:
    assert isinstance(shelf, FlowShelf)
    return run_virtual(rehearse(SHOWCASES[number], shelf))


class _ByIdentity(FlowShelf):
    __hash__ = object.__hash__


@pytest.fixture(scope="module")
def hashable(shelf: FlowShelf) -> FlowShelf:
    return _ByIdentity(shelf.flows)


@pytest.mark.parametrize("number", range(len(SHOWCASES)), ids=[names(one) for one in SHOWCASES])
def test_all_events_pass_the_vendors_types(number: int, hashable: FlowShelf) -> None:
    sent = received = 0
    for session in _played(number, hashable).sessions:
        appends = 0
        for one in session.transcript:
            if one.event is not None and one.event["type"] == "input_audio_buffer.append":
                appends += 1
                if appends % 50:  # thousands of the same shape
                    continue
            if one.sender == "client":
                CLIENT.validate_python(one.event, strict=False)
                sent += 1
            else:
                SERVER.validate_python(one.event, strict=False)
                received += 1
    assert sent > 50
    assert received > 100


def test_voice_and_formats_are_set_once(hashable: FlowShelf) -> None:
    for number in range(len(SHOWCASES)):
        for session in _played(number, hashable).sessions:
            updates = [
                one.event["session"]
                for one in session.transcript
                if one.sender == "client" and one.event is not None and one.event["type"] == "session.update"
            ]
            assert len(updates) > 2
            assert "audio" in str(updates[0])
            assert not any("audio" in update for update in updates[1:] if isinstance(update, dict))
