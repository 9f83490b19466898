"""Every bound of a conversation with the model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the model is waited for, and how much is kept for it. Times in seconds.

    A response that is created begins within a second or so, and a cancelled one ends within a tenth: these bounds are
    for servers that lose a message.
    """

    ready_s: float = 10.0  # from the open socket to a configured session
    created_s: float = 15.0  # from response.create to response.created or an error
    stopped_s: float = 5.0  # from response.cancel to response.done
    silent_s: float = 30.0  # without any output of a running response
    refused_s: float = 0.25  # before a refused response.create is sent again; doubles each time
    refusals: int = 6  # of one response.create, before its reply fails
    clip_s: float = 30.0  # for one clip
    clip_audio_s: float = 60.0  # of audio in one clip
    clips_at_once: int = 4
    clips_waiting: int = 64
    analysis_s: float = 15.0  # for one look back at the conversation
    analysis_tokens: int = 2_048  # of its answer
    held_audio_s: float = 10.0  # of the caller's audio, before the session is configured
    held_commands: int = 2_000  # of everything, before the session is configured
