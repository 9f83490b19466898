"""A model that writes, made to look as if it spoke, so that a call counts what it wrote as said and heard."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from voicebot.audio.formats import AudioFormat
from voicebot.call.ports import (
    AppendAudio,
    ClipRendered,
    CommitAudio,
    ModelCommand,
    ModelEvent,
    ModelLeg,
    RenderClip,
    ReplyAudio,
    ReplyAudioEnded,
    ReplyWords,
    Truncate,
)

MS_PER_CHARACTER = 60  # of nominal audio: as fast as people read aloud


class WritingModel:
    """A `ModelLeg` around one whose session is in text (`SessionConfig.text`).

    The words of an item come as a whole, followed by nominal audio of their length. Exact statements are rendered
    here: written words are exact by themselves. What only concerns audio is left out.
    """

    def __init__(self, leg: ModelLeg, audio_format: AudioFormat) -> None:
        self._leg, self._format = leg, audio_format
        self._rendered: list[ModelEvent] = []
        self._reading: asyncio.Timeout | None = None

    async def receive(self) -> Sequence[ModelEvent]:
        """Wait for the next events; the last one ever is `ModelLost`. Cancelling it loses nothing."""
        while True:
            if self._rendered:
                rendered, self._rendered = self._rendered, []
                return rendered
            try:
                async with asyncio.timeout(None) as self._reading:
                    events = await self._leg.receive()
            except TimeoutError:  # `send` has rendered a clip meanwhile
                continue
            finally:
                self._reading = None
            if said := [one for event in events for one in self._as_if_spoken(event)]:
                return said

    def hear(self, payload: bytes) -> None:
        """Nothing: what only concerns audio is left out."""

    async def send(self, commands: Sequence[ModelCommand]) -> None:
        """Write commands in order."""
        left = []
        for command in commands:
            if isinstance(command, RenderClip):
                self._rendered.append(ClipRendered(command.key, self._nominal(command.text), command.text))
            elif not isinstance(command, AppendAudio | CommitAudio | Truncate):
                left.append(command)
        if self._rendered and self._reading is not None and not self._reading.expired():
            self._reading.reschedule(asyncio.get_running_loop().time())
        if left:
            await self._leg.send(left)

    async def close(self) -> None:
        """Close the connection; does nothing the second time."""
        await self._leg.close()

    def _as_if_spoken(self, event: ModelEvent) -> Iterator[ModelEvent]:
        if not isinstance(event, ReplyWords):
            yield event
        elif event.final:
            yield event
            if event.text.strip():
                yield ReplyAudio(event.reply_id, event.item_id, self._nominal(event.text))
                yield ReplyAudioEnded(event.reply_id, event.item_id)

    def _nominal(self, text: str) -> bytes:
        """Audio that nobody hears, as long as the text takes to say."""
        return bytes(len(text) * MS_PER_CHARACTER * self._format.bytes_per_ms)
