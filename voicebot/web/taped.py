"""A web line for whoever taps phone lines, as a recorder does: mu-law at 8 kHz, on a clock that goes on in silence.

A phone line sends a frame every 20 ms whatever happens, and its stamps are the clock of a recording. A client sends
audio when it has some. So the clock here is the wall's: where a client sends nothing, the tap hears silence.
"""

from __future__ import annotations

from voicebot.audio.formats import AudioFormat
from voicebot.audio.resample import Downsampler
from voicebot.telephony.tap import LineTap

BEHIND_MS = 200  # of the client's audio behind the clock, from which on silence is put in its place
_PER_MS = AudioFormat.PCMU_8K.bytes_per_ms
_SILENCE = AudioFormat.PCMU_8K.silence


class TapedLine:
    """Both sides of a web line, converted for a `LineTap`. `now` is seconds on a clock that never goes back."""

    def __init__(self, tap: LineTap, now: float) -> None:
        self._tap, self._began_at = tap, now
        self._caller, self._bot = Downsampler(), Downsampler()
        self._heard_bytes = 0

    def heard(self, payload: bytes, now: float) -> None:
        """Audio of the caller, PCM16 at 24 kHz."""
        self.goes_on(now)
        self._hear(self._caller.convert(payload))

    def goes_on(self, now: float) -> None:
        """Time has passed: what did not come of the caller's audio is silence."""
        behind_ms = (now - self._began_at) * 1000 - self._heard_bytes / _PER_MS
        if behind_ms >= BEHIND_MS:
            self._hear(_SILENCE(round(behind_ms) * _PER_MS))

    def sent(self, payload: bytes, *, end: bool = False) -> str | None:
        """Audio of the bot is about to be sent, PCM16 at 24 kHz; a mark that is to go before it, if there is one."""
        converted = self._bot.convert(payload) + (self._bot.flush() if end else b"")
        return self._tap.sent(converted) if converted else None

    def marked(self, name: str) -> None:
        """A mark is about to be sent."""
        self._tap.marked(name)

    def cleared(self) -> str:
        """A `clear` was sent; the mark that must be sent next."""
        self._bot.reset()
        return self._tap.cleared()

    def echoed(self, name: str) -> bool:
        """A mark came back; whether it is the tap's own."""
        return self._tap.echoed(name)

    def _hear(self, payload: bytes) -> None:
        if payload:
            self._tap.heard(payload, self._heard_bytes // _PER_MS)
            self._heard_bytes += len(payload)
