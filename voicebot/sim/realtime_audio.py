"""Audio of the twin's Realtime sessions: the three wire formats, and the input buffer with its turn detection.

The words of a turn are what a `Listener` decodes from the audio that came in; there is no other way to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import g711
from .listener import Heard, Listener
from .realtime_config import AudioInput, Format, Refused, SemanticVad, ServerVad, TurnDetection
from .speech_code import Samples
from .vad import ONSET_MS, Edge, EnergyVad

SHORTEST_COMMIT_MS = 100
_SEMANTIC_PADDING_MS = 300
_SEMANTIC_WAIT_MS = {"low": 8000, "medium": 4000, "auto": 4000, "high": 2000}
_SENTENCE_OVER_MS = 400  # how long semantic_vad still waits after words that end a sentence


# ---- wire formats --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Codec:
    """One of the API's audio formats: bytes on the wire and PCM16 samples."""

    rate_hz: int
    sample_bytes: int
    decode: Callable[[bytes], Samples]
    encode: Callable[[Samples], bytes]

    @property
    def bytes_per_ms(self) -> int:
        return self.rate_hz // 1000 * self.sample_bytes

    def ms(self, payload: bytes) -> float:
        """How long `payload` lasts."""
        return len(payload) / self.bytes_per_ms


def _expand_alaw() -> Samples:
    """ITU-T G.711 A-law: even bits inverted, sign, three bits of segment, four of mantissa."""
    bits = np.arange(256) ^ 0x55
    segment, mantissa = bits >> 4 & 7, bits & 15
    magnitude = np.where(segment > 0, (mantissa * 16 + 264) << np.maximum(segment - 1, 0), mantissa * 16 + 8)
    return np.where(bits & 0x80, magnitude, -magnitude).astype(np.int16)


_ALAW = _expand_alaw()
_ALAW_CODES = np.argsort(_ALAW)
_ALAW_BORDERS = (_ALAW[_ALAW_CODES][1:].astype(np.int32) + _ALAW[_ALAW_CODES][:-1]) / 2


def _decode_alaw(payload: bytes) -> Samples:
    return _ALAW[np.frombuffer(payload, dtype=np.uint8)]


def _encode_alaw(samples: Samples) -> bytes:
    return _ALAW_CODES[np.searchsorted(_ALAW_BORDERS, samples)].astype(np.uint8).tobytes()


def _decode_pcm(payload: bytes) -> Samples:
    return np.frombuffer(payload, dtype="<i2")


def _encode_pcm(samples: Samples) -> bytes:
    return samples.astype("<i2").tobytes()


_CODECS = {
    "audio/pcm": Codec(24_000, 2, _decode_pcm, _encode_pcm),
    "audio/pcmu": Codec(8_000, 1, g711.decode, g711.encode),
    "audio/pcma": Codec(8_000, 1, _decode_alaw, _encode_alaw),
}


def codec_of(form: Format) -> Codec:
    return _CODECS[form.type]


def words_in(samples: Samples, rate_hz: int) -> str:
    """The words that can be decoded from `samples`."""
    listener = Listener(rate_hz)
    return _joined([*listener.feed(samples), *listener.flush()])


def _joined(heard: list[Heard]) -> str:
    return " ".join(one.text for one in heard if one.text)


# ---- the input buffer ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Utterance:
    """A turn of the caller: its audio and what was decoded from it. Times count the session's input audio.

    `complete` is False if an utterance in it was cut; `damaged` counts its unreadable symbols.
    """

    samples: Samples
    text: str
    complete: bool
    damaged: int
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """Speech was detected. `at_ms` includes the prefix padding."""

    at_ms: float


@dataclass(frozen=True, slots=True)
class TurnStopped:
    """Speech ended and its audio was taken out of the buffer. `at_ms` includes the silence waited for."""

    at_ms: float
    utterance: Utterance


class InputAudio:
    """The input audio buffer of a session.

    With turn detection it keeps, while nobody speaks, only what a turn's prefix padding may need.
    """

    def __init__(self, config: AudioInput, *, noise_at_ms: tuple[int, ...] = (), elapsed_ms: float = 0) -> None:
        self.codec = codec_of(config.format)
        self._rate = self.codec.rate_hz
        self._offset_ms = elapsed_ms
        self._odd = b""
        self._chunks: list[Samples] = []
        self._start = 0  # positions count samples since this object's beginning
        self._end = 0
        self._listener: Listener | None = None
        self._heard: list[Heard] = []
        self._noise = [at_ms for at_ms in noise_at_ms if at_ms >= elapsed_ms]
        self._detection: TurnDetection | None = None
        self._vad: EnergyVad | None = None
        self._vad_start = 0
        self.configure(config)

    @property
    def elapsed_ms(self) -> float:
        """All audio of the session so far."""
        return self._ms(self._end)

    @property
    def speaking(self) -> bool:
        """A turn that turn detection began is under way."""
        return self._vad is not None and self._vad.speaking

    def configure(self, config: AudioInput) -> None:
        """Take up changed turn detection. A format change needs a new object."""
        detection = config.turn_detection
        if self._vad is not None and detection == self._detection:
            return
        in_turn = self.speaking
        self._detection, self._vad = detection, None
        if detection is None:
            return
        threshold = detection.threshold if isinstance(detection, ServerVad) else 0.5
        self._vad, self._vad_start = EnergyVad(self._rate, threshold=threshold), self._end
        if in_turn:
            self._vad.trigger()

    def append(self, payload: bytes) -> list[TurnStarted | TurnStopped]:
        """Take audio from the wire; the turns that it began or ended."""
        held = self._odd + payload
        whole = len(held) - len(held) % self.codec.sample_bytes
        self._odd = held[whole:]
        samples = self.codec.decode(held[:whole])
        if self._vad is None:
            self._push(samples)
            return []
        self._vad.silence_ms = self._patience_ms()
        turns = []
        for edge in [*self._vad.feed(samples), *self._imagine(len(samples))]:
            split = max(0, self._vad_start + edge.at - self._end)
            self._push(samples[:split])
            samples = samples[split:]
            turns.append(self._turn(edge))
        self._push(samples)
        if not self._vad.speaking:
            self._drop_old()
        return turns

    def commit(self) -> Utterance:
        """Take everything out of the buffer as one turn.

        Raises:
            Refused: less than 100 ms are buffered.
        """
        buffered_ms = (self._end - self._start) * 1000 / self._rate
        if buffered_ms < SHORTEST_COMMIT_MS:
            raise Refused(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
                f"but buffer only has {buffered_ms:.2f}ms of audio.",
            )
        utterance = self._take()
        self.clear()
        return utterance

    def silence(self) -> Utterance:
        """Take what is buffered, however little, as a turn in which nobody spoke."""
        return self._take()

    def clear(self) -> None:
        """Forget what is buffered."""
        self._take()
        self._odd = b""
        if self._vad is not None:
            self._vad.rest()

    def _turn(self, edge: Edge) -> TurnStarted | TurnStopped:
        if not edge.speaking:
            return TurnStopped(self.elapsed_ms, self._take())
        padding = round(self._padding_ms() * self._rate / 1000)
        self._drop_before(self._vad_start + edge.since - padding)
        self._listen()
        return TurnStarted(self._ms(self._start))

    def _imagine(self, count: int) -> list[Edge]:
        """Speech where there is none, at the times that a quirk names."""
        if self._vad is None or self._vad.speaking or not self._noise or self._ms(self._end + count) < self._noise[0]:
            return []
        self._noise.pop(0)
        return [self._vad.trigger()]

    def _patience_ms(self) -> int:
        match self._detection:
            case ServerVad(silence_duration_ms=silence_ms):
                return silence_ms
            case SemanticVad(eagerness=eagerness):
                over = self._words().rstrip().endswith((".", "?", "!"))
                return _SENTENCE_OVER_MS if over else _SEMANTIC_WAIT_MS[eagerness]
        return 0

    def _words(self) -> str:
        """What was decoded of the turn so far."""
        current = self._listener.current if self._listener is not None else None
        return current or _joined(self._heard)

    def _padding_ms(self) -> int:
        detection = self._detection
        return detection.prefix_padding_ms if isinstance(detection, ServerVad) else _SEMANTIC_PADDING_MS

    def _push(self, samples: Samples) -> None:
        if not len(samples):
            return
        if self._vad is None and self._listener is None:
            self._listen()
        self._chunks.append(samples)
        self._end += len(samples)
        if self._listener is not None:
            self._heard += self._listener.feed(samples)

    def _listen(self) -> None:
        """Begin to decode, from the start of what is buffered."""
        self._listener = Listener(self._rate)
        self._heard = self._listener.feed(self._buffered())

    def _take(self) -> Utterance:
        heard = [*self._heard, *(self._listener.flush() if self._listener else ())]
        utterance = Utterance(
            samples=self._buffered(),
            text=_joined(heard),
            complete=all(one.complete for one in heard),
            damaged=sum(one.damaged for one in heard),
            start_ms=self._ms(self._start),
            end_ms=self._ms(self._end),
        )
        self._chunks, self._start = [], self._end
        self._listener, self._heard = None, []
        return utterance

    def _drop_old(self) -> None:
        kept = round((self._padding_ms() + 2 * ONSET_MS) * self._rate / 1000)
        if self._end - self._start > 2 * kept:  # not at every append
            self._drop_before(self._end - kept)

    def _drop_before(self, position: int) -> None:
        if position > self._start:
            self._chunks = [self._buffered()[position - self._start :].copy()]
            self._start = position

    def _buffered(self) -> Samples:
        return np.concatenate(self._chunks) if self._chunks else np.zeros(0, dtype=np.int16)

    def _ms(self, position: int) -> float:
        return self._offset_ms + position * 1000 / self._rate
