"""The ledger against the phone's own playout clock: where an interruption cut, over lines with delay."""

from __future__ import annotations

import pytest

from tests.end_to_end.reception import VISIT, shelf
from voicebot.sim.call_result import CallResult
from voicebot.sim.clock import run_virtual
from voicebot.sim.line import LineFaults
from voicebot.sim.stage import rehearse
from voicebot.sim.timeline import BYTES_PER_MS, BotSaid

FRAME_MS = 20


@pytest.mark.parametrize("codec", ["pcm", "pcmu"])
@pytest.mark.parametrize("delay_ms", [(0, 0), (20, 20), (80, 40), (40, 80), (150, 150), (150, 20), (20, 150)], ids=str)
def test_truncation_is_what_the_phone_played(delay_ms: tuple[float, float], codec: str) -> None:
    rehearsal = run_virtual(rehearse(VISIT, shelf, codec=codec, faults=LineFaults(network_delay_ms=delay_ms)))
    assert rehearsal.problems == ()
    [cut] = [said for said in rehearsal.result.bot_said if not said.complete]
    [truncated] = [
        one.event["audio_end_ms"]
        for session in rehearsal.sessions
        for one in session.transcript
        if one.sender == "client" and one.event is not None and one.event["type"] == "conversation.item.truncate"
    ]
    heard_ms = played_ms(rehearsal.result, cut)
    assert isinstance(truncated, int)
    # The ledger knows what an echo tells, so it lags by the echo's way here and the clear's way there, and no more.
    # The phone plays whole frames; the API takes whole milliseconds, rounded down.
    assert heard_ms - sum(delay_ms) - FRAME_MS - 1 <= truncated <= heard_ms


def played_ms(result: CallResult, cut: BotSaid) -> float:
    """How much of a cut utterance the phone played, by its playout buffer's own count of bytes."""
    [stream] = result.streams
    [clear] = stream.clears
    before = [one for one in stream.played if one.at_ms <= clear.at_ms]
    begun = next(one for one in before if one.end_ms > cut.start_ms)
    first_byte = begun.first_byte + (cut.start_ms - begun.at_ms) * BYTES_PER_MS
    return (before[-1].first_byte + before[-1].count - first_byte) / BYTES_PER_MS
