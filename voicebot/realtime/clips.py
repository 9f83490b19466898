"""Exact statements, rendered outside the conversation.

A clip is an out-of-band response: it reads nothing of the conversation, writes nothing to it, and may run beside the
response that is heard. Its audio is collected and given as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from voicebot.call.ports import ClipFailed, ClipRendered, ModelEvent, RenderClip

from . import client_events
from .limits import Limits
from .outbox import Outbox
from .server_events import (
    ErrorReported,
    OutputAudioDelta,
    OutputAudioDone,
    OutputTranscriptDelta,
    OutputTranscriptDone,
    ResponseCreated,
    ResponseDone,
)


@dataclass(slots=True)
class _Clip:
    key: str
    event_id: str
    due: float
    response_id: str | None = None
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0
    words: list[str] = field(default_factory=list)


class Clips:
    """Renders clips, a few at once, each bounded in time and size. A key under way is not rendered twice."""

    def __init__(self, outbox: Outbox, limits: Limits, bytes_per_ms: int) -> None:
        self._outbox, self._limits = outbox, limits
        self._max_size = int(limits.clip_audio_s * 1000 * bytes_per_ms)
        self._waiting: dict[str, RenderClip] = {}
        self._clips: dict[str, _Clip] = {}  # by key, oldest first
        self._by_response: dict[str, _Clip] = {}

    def render(self, command: RenderClip, now: float) -> list[ModelEvent]:
        """Render a clip when its turn comes."""
        if command.key in self._clips or command.key in self._waiting:
            return []
        if len(self._waiting) >= self._limits.clips_waiting:
            return [ClipFailed(command.key, "too many clips wait")]
        self._waiting[command.key] = command
        self._render_waiting(now)
        return []

    def owns(self, response_id: str) -> bool:
        """Say whether output of this response belongs to a clip."""
        return response_id in self._by_response

    def expects(self, event: ResponseCreated) -> bool:
        """Say whether an out-of-band response that begins is that of a clip."""
        clip = self._find(event)
        return clip is not None and clip.response_id is None

    def on_created(self, event: ResponseCreated) -> None:
        """An out-of-band response exists: tie it to its clip, or end one that nobody waits for."""
        if event.response_id in self._by_response:
            return
        clip = self._find(event)
        if clip is None or clip.response_id is not None:
            self._outbox.put(client_events.cancel_response, event.response_id)
            return
        clip.response_id = event.response_id
        self._by_response[event.response_id] = clip

    def on_output(
        self, event: OutputAudioDelta | OutputAudioDone | OutputTranscriptDelta | OutputTranscriptDone, now: float
    ) -> list[ModelEvent]:
        """Collect audio and words of a clip."""
        clip = self._by_response[event.response_id]
        if isinstance(event, OutputAudioDelta):
            clip.chunks.append(event.payload)
            clip.size += len(event.payload)
        elif isinstance(event, OutputTranscriptDone):
            clip.words.append(event.text)
        return self._give_up(clip, "too long", now) if clip.size > self._max_size else []

    def on_done(self, event: ResponseDone, now: float) -> list[ModelEvent]:
        """Give the clip of this response, if it is one."""
        clip = self._by_response.get(event.response_id) or self._clips.get(event.metadata.get("clip", ""))
        if clip is None or clip.response_id not in (None, event.response_id):
            return []
        self._end(clip, now)
        if event.status != "completed":
            return [ClipFailed(clip.key, event.error_code or event.status)]
        if not clip.size:
            return [ClipFailed(clip.key, "no audio")]
        return [ClipRendered(clip.key, b"".join(clip.chunks), event.words or " ".join(clip.words))]

    def on_error(self, error: ErrorReported, now: float) -> list[ModelEvent] | None:
        """Handle the refusal of a clip; None when the error is not about one."""
        for clip in self._clips.values():
            if error.event_id == clip.event_id and clip.response_id is None:
                self._end(clip, now)
                return [ClipFailed(clip.key, error.reason)]
        return None

    def deadline(self) -> float | None:
        """When `on_deadline` must be called: clips are due in the order in which they were asked for."""
        return next(iter(self._clips.values())).due if self._clips else None

    def on_deadline(self, now: float) -> list[ModelEvent]:
        """Give up the clips that are due."""
        events: list[ModelEvent] = []
        for clip in [clip for clip in self._clips.values() if clip.due <= now]:
            events += self._give_up(clip, "timeout", now)
        return events

    def _render_waiting(self, now: float) -> None:
        while self._waiting and len(self._clips) < self._limits.clips_at_once:
            key = next(iter(self._waiting))
            command = self._waiting.pop(key)
            event_id = self._outbox.put(
                client_events.create_clip, key=key, text=command.text, language=command.language
            )
            self._clips[key] = _Clip(key, event_id, now + self._limits.clip_s)

    def _find(self, event: ResponseCreated) -> _Clip | None:
        if event.metadata:
            return self._clips.get(event.metadata.get("clip", ""))
        return next((clip for clip in self._clips.values() if clip.response_id is None), None)

    def _give_up(self, clip: _Clip, reason: str, now: float) -> list[ModelEvent]:
        if clip.response_id is not None:
            self._outbox.put(client_events.cancel_response, clip.response_id)
        self._end(clip, now)
        return [ClipFailed(clip.key, reason)]

    def _end(self, clip: _Clip, now: float) -> None:
        del self._clips[clip.key]
        if clip.response_id is not None:
            del self._by_response[clip.response_id]
        self._render_waiting(now)
