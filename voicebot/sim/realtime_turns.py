"""The caller's side of a session: its audio is cut into turns, kept as items and transcribed; silence is noticed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .realtime_agenda import Agenda, Appointment
from .realtime_audio import Codec, InputAudio, TurnStarted, TurnStopped, Utterance
from .realtime_config import AudioInput, JsonObject, Refused, ServerVad, Transcription
from .realtime_items import Conversation, Item, unbase64
from .realtime_player import Player
from .realtime_records import UserTurn
from .realtime_stage import Stage, words_tokens

LARGEST_APPEND = 15 * 1024 * 1024  # bytes of audio in one event

_MOST_TRANSCRIPT_DELAY_S = 3.0  # where the order of events is shuffled


class Turns:
    """The input side of a session.

    Args:
        settings: the session's for input audio, until `configure`.
        player: plays what a turn may interrupt.
        respond: creates the response to a turn.

    Attributes:
        user_turns: what was really heard.
    """

    def __init__(
        self,
        settings: AudioInput,
        stage: Stage,
        agenda: Agenda,
        conversation: Conversation,
        player: Player,
        respond: Callable[[], None],
    ) -> None:
        self.user_turns: list[UserTurn] = []
        self._settings = settings
        self._stage = stage
        self._agenda = agenda
        self._conversation = conversation
        self._player = player
        self._respond = respond
        self._input = InputAudio(settings, noise_at_ms=stage.quirks.noise_at_ms)
        self._item_id: str | None = None  # announced by speech_started
        self._idle: Appointment | None = None

    @property
    def codec(self) -> Codec:
        """Of the input audio."""
        return self._input.codec

    def configure(self, settings: AudioInput) -> None:
        """Take up changed settings; another format begins with an empty buffer."""
        old, self._settings = self._settings, settings
        if settings.format == old.format:
            self._input.configure(settings)
            return
        noise_at_ms, elapsed_ms = self._stage.quirks.noise_at_ms, self._input.elapsed_ms
        self._input = InputAudio(settings, noise_at_ms=noise_at_ms, elapsed_ms=elapsed_ms)
        self._item_id = None

    def append(self, audio: str) -> None:
        """Take the audio of one event.

        Raises:
            Refused: it is not base64, or too much.
        """
        payload = unbase64(audio, "audio")
        if len(payload) > LARGEST_APPEND:
            raise Refused("invalid_value", "Audio of one event must not exceed 15 MiB.", "audio")
        for turn in self._input.append(payload):
            match turn:
                case TurnStarted(at_ms):
                    self._started(at_ms)
                case TurnStopped(at_ms, utterance):
                    self._stopped(at_ms, utterance)

    def commit(self) -> None:
        """End a turn because the client says so.

        Raises:
            Refused: there is too little audio.
        """
        utterance = self._input.commit()
        self._keep(utterance, self._take_item_id())

    def clear(self) -> None:
        """Forget what is buffered."""
        self._input.clear()
        self._item_id = None
        self._stage.emit("input_audio_buffer.cleared")

    def watch_idle(self, audio_ms: float) -> None:
        """Wait for the caller from the end of playback on, which the server can only estimate by the audio sent."""
        detection = self._settings.turn_detection
        if isinstance(detection, ServerVad) and detection.idle_timeout_ms and not self._input.speaking:
            self.stop_idle()
            wait_s = (audio_ms + detection.idle_timeout_ms) / 1000
            self._idle = self._agenda.after(wait_s, partial(self._idle_over, detection.idle_timeout_ms))

    def stop_idle(self) -> None:
        """Wait no longer for the caller."""
        if self._idle is not None:
            self._idle.cancelled = True

    def _idle_over(self, waited_ms: int) -> None:
        if self._player.active is not None or self._input.speaking:
            return
        item_id = self._stage.ids("item")
        silence = self._input.silence()
        self._stage.emit(
            "input_audio_buffer.timeout_triggered",
            audio_start_ms=max(0, round(silence.end_ms) - waited_ms),
            audio_end_ms=round(silence.end_ms),
            item_id=item_id,
        )
        self._keep(silence, item_id)
        self._respond()

    def _started(self, at_ms: float) -> None:
        self._item_id = self._stage.ids("item")
        self.stop_idle()
        self._stage.emit("input_audio_buffer.speech_started", audio_start_ms=round(at_ms), item_id=self._item_id)
        detection = self._settings.turn_detection
        if (detection is not None and detection.interrupt_response) or self._stage.quirks.vad_interrupts:
            self._player.interrupt()

    def _stopped(self, at_ms: float, utterance: Utterance) -> None:
        item_id = self._take_item_id()
        self._stage.emit("input_audio_buffer.speech_stopped", audio_end_ms=round(at_ms), item_id=item_id)
        self._keep(utterance, item_id)
        detection = self._settings.turn_detection
        if (detection is not None and detection.create_response) or self._stage.quirks.vad_responds:
            self._respond()

    def _take_item_id(self) -> str:
        """The id announced for the turn under way, or a new one."""
        item_id, self._item_id = self._item_id or self._stage.ids("item"), None
        return item_id

    def _keep(self, utterance: Utterance, item_id: str) -> None:
        """Make a user item of a turn, and let it be transcribed."""
        previous = self._conversation.last_id
        self._stage.emit("input_audio_buffer.committed", previous_item_id=previous, item_id=item_id)
        item = Item(
            item_id,
            "message",
            role="user",
            content=[{"type": "input_audio", "transcript": None}],
            words=utterance.text,
            audio=utterance.samples,
            codec=self.codec,
        )
        self._conversation.add(item, self._stage.emit)
        text, complete, damaged = utterance.text, utterance.complete, utterance.damaged
        times = (utterance.start_ms, utterance.end_ms, self._agenda.now)
        self.user_turns.append(UserTurn(item_id, text, complete, damaged, *times))
        self._have_transcribed(item, utterance)

    def _have_transcribed(self, item: Item, utterance: Utterance) -> None:
        transcription, quirks = self._settings.transcription, self._stage.quirks
        if transcription is not None and quirks.transcript != "missing":
            delay_s = self._stage.chance.wait(self._stage.timing.transcript_delay_s, _MOST_TRANSCRIPT_DELAY_S)
            transcribe = partial(self._transcribe, item, utterance, transcription)
            self._agenda.after(delay_s + quirks.transcript_late_s, transcribe)

    def _transcribe(self, item: Item, utterance: Utterance, transcription: Transcription) -> None:
        if self._conversation.find(item.id) is None:
            return
        emit = partial(self._tell_transcription, item)
        if self._stage.quirks.transcript == "failed":
            error = {
                "type": "transcription_error",
                "code": "audio_unintelligible",
                "message": "The audio could not be transcribed.",
                "param": None,
            }
            emit("failed", error=error)
            return
        text = utterance.text
        middle = text.rfind(" ", 0, len(text) // 2 + 1) + 1
        for delta in filter(None, (text[:middle], text[middle:])):
            emit("delta", delta=delta)
        item.content[0]["transcript"] = text
        emit("completed", transcript=text, usage=_transcription_usage(utterance, transcription))

    def _tell_transcription(self, item: Item, what: str, **fields: object) -> None:
        kind = f"conversation.item.input_audio_transcription.{what}"
        self._stage.emit(kind, item_id=item.id, content_index=0, **fields)


def _transcription_usage(utterance: Utterance, transcription: Transcription) -> JsonObject:
    """Billed by duration or by tokens, as the model is."""
    duration_ms = utterance.end_ms - utterance.start_ms
    if transcription.model in ("whisper-1", "gpt-realtime-whisper"):
        return {"type": "duration", "seconds": round(duration_ms / 1000, 2)}
    audio, words = round(duration_ms / 100), round(words_tokens(utterance.text))
    return {
        "type": "tokens",
        "total_tokens": audio + words,
        "input_tokens": audio,
        "input_token_details": {"text_tokens": 0, "audio_tokens": audio},
        "output_tokens": words,
    }
