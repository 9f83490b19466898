"""How the twin's Realtime server may differ from its usual self: its pace, its faults, its order of events.

Each field of `Quirks` changes one fact of the protocol, so that a test can show that the product depends on it or does
not. `Chance` decides what the protocol leaves open; without a seed it always takes the order the reference shows.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Timing:
    """The server's pace, in seconds unless said otherwise.

    Attributes:
        handshake_s: from the request for a WebSocket to the answer.
        open_s: from the connection to `session.created`.
        created_s: from a response being asked for to `response.created`; a cancel in between is lost.
        first_audio_s: from `response.created` to the first output.
        speed: how many times faster than playback audio is generated.
        delta_ms: audio in one delta.
        text_s: between two deltas of text or of function arguments.
        between_outputs_s: from the end of one output to the beginning of the next.
        transcript_delay_s: from the commit of a turn to its transcript.
        session_s: how long a session may last.
    """

    handshake_s: float = 0.0
    open_s: float = 0.0
    created_s: float = 0.02
    first_audio_s: float = 0.35
    speed: float = 4.0
    delta_ms: int = 200
    text_s: float = 0.01
    between_outputs_s: float = 0.02
    transcript_delay_s: float = 0.4
    session_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class Quirks:
    """Departures from the usual; all off by default. Numbers in tuples count from 1.

    Attributes:
        transcript: `missing` sends none, `failed` sends `…transcription.failed`.
        transcript_late_s: added to the transcript's delay.
        odd_deltas: audio deltas have an odd number of bytes.
        preamble: spoken as a message of its own before each reply in the conversation.
        reject_updates: which `session.update` are refused.
        done_late_s: from the last output's end to `response.done`.
        rate_limits: where `rate_limits.updated` stands.
        item_done_first: `conversation.item.done` before `response.output_item.done`.
        fail_responses: which responses in the conversation fail, with `fail_code`.
        fail_out_of_band: which out-of-band responses fail, with `fail_code`.
        analysis_late_s: added to what an out-of-band response in text takes to begin.
        filter_responses: which responses in the conversation end incomplete by the content filter, halfway.
        no_conversation_created: `conversation.created` is not sent.
        noise_at_ms: times of input audio at which speech is detected in noise or silence.
        ignores_truncate: `conversation.item.truncate` is neither answered nor obeyed.
        drop_at_event: the socket breaks after this many server events.
        drop_at_s: the socket breaks after this time.
        silent: the connection is taken, and nothing is ever sent on it.
        error_at_event: an `error` that answers nothing comes after this many server events.
        unknown_events: event types that no reference lists come in between.
        vad_responds: VAD creates responses though `create_response` is false.
        vad_interrupts: VAD cancels responses though `interrupt_response` is false.
        no_metadata: a response's metadata are not echoed.
        misreadings: how many verbatim readings go wrong, from the first on.
    """

    transcript: Literal["sent", "missing", "failed"] = "sent"
    transcript_late_s: float = 0.0
    odd_deltas: bool = False
    preamble: str = ""
    reject_updates: tuple[int, ...] = ()
    done_late_s: float = 0.0
    rate_limits: Literal["end", "start", "missing"] = "end"
    item_done_first: bool = False
    fail_responses: tuple[int, ...] = ()
    fail_out_of_band: tuple[int, ...] = ()
    fail_code: Literal["server_error", "rate_limit_exceeded", "insufficient_quota"] = "server_error"
    analysis_late_s: float = 0.0
    filter_responses: tuple[int, ...] = ()
    no_conversation_created: bool = False
    noise_at_ms: tuple[int, ...] = ()
    ignores_truncate: bool = False
    drop_at_event: int | None = None
    drop_at_s: float | None = None
    silent: bool = False
    error_at_event: int | None = None
    unknown_events: bool = False
    vad_responds: bool = False
    vad_interrupts: bool = False
    no_metadata: bool = False
    misreadings: int = 0


class Chance:
    """What the protocol leaves open, decided by a seed, or the usual way without one."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = None if seed is None else random.Random(seed)

    def flip(self, usual: bool) -> bool:
        """Either way round with a seed."""
        return usual if self._random is None else self._random.random() < 0.5

    def wait(self, usual: float, longest: float) -> float:
        """Up to `longest` seconds with a seed."""
        return usual if self._random is None else self._random.uniform(0, longest)
