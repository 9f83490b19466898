"""The conversation with the model: server events and commands in, model events and client events out.

No sockets and no clock: a leg feeds `handle` and `perform`, sends what `data_to_send` gives, and calls `on_deadline`
at `deadline`. It is the only writer of a session, so nothing else can race it for the one response at a time that the
API allows (`replies`). Three rules hold for everything else:

* Nothing but the configuration is sent before the session is configured; commands wait in order.
* Answers are tied to what they answer: responses by the metadata we gave them, errors by their `event_id`,
  `session.updated` by order (`configuration`).
* Every wait has a bound (`limits`), and after `ModelLost` nothing more is said or sent.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from voicebot.call import ports
from voicebot.call.ports import ModelCommand, ModelEvent

from . import client_events
from . import server_events as wire
from .analyses import Analyses
from .clips import Clips
from .configuration import Configuration
from .limits import Limits
from .outbox import Outbox
from .replies import Replies
from .session import SessionConfig, hearing, initial_session

# Another session would meet the same: what has to change is an account, a key or a setting.
FATAL_CODES = frozenset(
    {
        "account_deactivated",
        "beta_api_shape_disabled",
        "billing_hard_limit_reached",
        "insufficient_quota",
        "invalid_api_key",
        "model_not_found",
    }
)
# Two sides act at once over a network, so these come in the best of conversations.
_EXPECTED_CODES = frozenset(
    {
        "conversation_already_has_active_response",
        "input_audio_buffer_commit_empty",
        "response_cancel_not_active",
    }
)
_MAX_DIAGNOSTICS = 100
_LONGEST_LIFE_S = 2 * 3600.0  # twice the API's cap: a longer one is a clock that is wrong


class _State(Enum):
    OPENING = auto()  # nothing has come yet
    CONFIGURING = auto()  # session.created has come, our session.update is sent
    READY = auto()  # the update has taken
    LOST = auto()  # ModelLost was given


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """An error of the server. `expected` ones need no attention."""

    error: wire.ErrorReported
    expected: bool


class Conversation:
    """One session's state. `now` is seconds of any clock that never goes back, the same in every call."""

    def __init__(
        self, config: SessionConfig, now: float, limits: Limits | None = None, *, unix_now: float | None = None
    ) -> None:
        """`unix_now`: what a wall clock shows at `now`; without it nobody knows when the session will expire."""
        limits = limits or Limits()
        self._unix_at_zero = None if unix_now is None else unix_now - now
        self._config, self._limits = config, limits
        self._state = _State.OPENING
        self._ready_due = now + limits.ready_s
        self._expires_at: float | None = None
        self._outbox = Outbox()
        self._configuration = Configuration(self._outbox)
        self._replies = Replies(self._outbox, limits)
        self._clips = Clips(self._outbox, limits, config.audio_format.bytes_per_ms)
        self._analyses = Analyses(self._outbox, limits)
        self._held: list[ModelCommand] = []
        self._held_audio = 0  # bytes
        self._news: list[ModelEvent] = []  # what `perform` has to tell, due at once
        self._news_at = now
        self._diagnostics: deque[Diagnostic] = deque(maxlen=_MAX_DIAGNOSTICS)

    # ---- in

    def handle(self, event: wire.ServerEvent, now: float) -> list[ModelEvent]:
        """Take one server event."""
        if self._state is _State.LOST:
            return []
        match event:
            case (
                wire.OutputAudioDelta()
                | wire.OutputTranscriptDelta()
                | wire.OutputAudioDone()
                | wire.OutputTranscriptDone()
            ):
                heard = self._clips if self._clips.owns(event.response_id) else self._replies
                return heard.on_output(event, now)
            case wire.ResponseCreated():
                return self._on_created(event, now)
            case wire.ResponseDone():
                return self._on_done(event, now)
            case wire.SpeechStarted(item_id, at_ms):
                return [ports.SpeechStarted(item_id, at_ms)]
            case wire.SpeechStopped(item_id, at_ms):
                return [ports.SpeechStopped(item_id, at_ms)]
            case wire.BufferCommitted(item_id):
                return [ports.TurnCommitted(item_id)]
            case wire.TranscriptionCompleted(item_id, transcript):
                return [ports.CallerTranscript(item_id, transcript)]
            case wire.TranscriptionFailed(item_id, reason):
                return [ports.TranscriptFailed(item_id, reason)]
            case wire.SessionCreated():
                return self._on_session_created(event)
            case wire.SessionUpdated():
                return self._on_session_updated(event, now)
            case wire.ErrorReported():
                return self._on_error(event, now)

    def append(self, payload: bytes) -> str | None:
        """The event that appends audio, to be sent now; None if the audio must wait, as what is `perform`ed does."""
        if self._state is not _State.READY:
            return None
        event_id = self._outbox.id_at_once("append_audio")
        return None if event_id is None else client_events.append_audio(event_id, payload)

    def perform(self, command: ModelCommand, now: float) -> None:
        """Do what the call asks for, now or when the session is configured."""
        if self._state is _State.READY:
            self._perform(command, now)
        elif self._state is not _State.LOST:
            self._hold(command, now)

    def on_deadline(self, now: float) -> list[ModelEvent]:
        """Do what is due at `now`; harmless when nothing is."""
        if self._state is _State.LOST:
            return []
        if self._state is not _State.READY and self._ready_due <= now:
            return self._lose("the session was not configured in time", retryable=True)
        events, self._news = self._news, []
        if any(isinstance(event, ports.ModelLost) for event in events):
            self._state = _State.LOST
            return events
        return events + self._replies.on_deadline(now) + self._clips.on_deadline(now) + self._analyses.on_deadline(now)

    # ---- out

    def data_to_send(self) -> list[str]:
        """Take the client events that are to be sent, in order."""
        return [] if self._state is _State.LOST else self._outbox.drain()

    def deadline(self) -> float | None:
        """When `on_deadline` must be called next, None for never."""
        if self._state is _State.LOST:
            return None
        due = self._replies.deadline()
        for other_due in (self._clips.deadline(), self._analyses.deadline()):
            if other_due is not None and (due is None or other_due < due):
                due = other_due
        if self._state is not _State.READY and (due is None or self._ready_due < due):
            due = self._ready_due
        return self._news_at if self._news else due

    def diagnostics(self) -> list[Diagnostic]:
        """Take the errors that the server has reported since the last time, at most the latest hundred."""
        taken = list(self._diagnostics)
        self._diagnostics.clear()
        return taken

    # ---- session

    def _on_session_created(self, event: wire.SessionCreated) -> list[ModelEvent]:
        if self._state is _State.OPENING:
            self._state, self._expires_at = _State.CONFIGURING, event.expires_at
            self._configuration.update(initial_session(self._config))
        return []

    def _on_session_updated(self, event: wire.SessionUpdated, now: float) -> list[ModelEvent]:
        self._configuration.on_updated()
        if self._state is not _State.CONFIGURING:
            return []
        self._state = _State.READY
        held, self._held = self._held, []
        for command in held:
            self._perform(command, now)
        return [ports.ModelReady(self._expires_in_s(event.expires_at or self._expires_at, now))]

    def _expires_in_s(self, expires_at: float | None, now: float) -> float | None:
        """How long the session has to live; None if that is not told, or clocks do not agree."""
        if expires_at is None or self._unix_at_zero is None:
            return None
        left_s = expires_at - self._unix_at_zero - now
        return left_s if 0 < left_s <= _LONGEST_LIFE_S else None

    def _hold(self, command: ModelCommand, now: float) -> None:
        self._held.append(command)
        if isinstance(command, ports.AppendAudio):
            self._held_audio += len(command.payload)
            self._forget_oldest_audio()
        if len(self._held) > self._limits.held_commands:
            self._held.clear()
            self._tell([ports.ModelLost("too much was asked before the session was configured", retryable=True)], now)

    def _forget_oldest_audio(self) -> None:
        most = self._limits.held_audio_s * 1000 * self._config.audio_format.bytes_per_ms
        while self._held_audio > most:
            oldest, payload = next(
                (place, held.payload) for place, held in enumerate(self._held) if isinstance(held, ports.AppendAudio)
            )
            del self._held[oldest]
            self._held_audio -= len(payload)

    def _perform(self, command: ModelCommand, now: float) -> None:
        put = self._outbox.put
        match command:
            case ports.AppendAudio(payload):
                put(client_events.append_audio, payload)
            case ports.Reply():
                self._replies.ask(command, now)
            case ports.CancelReply():
                self._tell(self._replies.cancel(now), now)
            case ports.Truncate(item_id, audio_end_ms):
                put(client_events.truncate_item, item_id=item_id, audio_end_ms=audio_end_ms)
            case ports.Configure(instructions, tools, turns, language):
                changed = hearing(self._config, turns, language)
                self._configuration.update(client_events.phase_session(instructions, tools, changed))
            case ports.AnswerTool(call_id, output):
                put(client_events.answer_call, call_id=call_id, output=output)
            case ports.InsertSaid(text):
                put(client_events.insert_said, text)
            case ports.InsertHeard(text):
                put(client_events.insert_heard, text)
            case ports.InsertCall(call):
                put(client_events.insert_call, call_id=call.call_id, name=call.name, arguments=call.arguments)
            case ports.InsertNote(text):
                put(client_events.insert_note, text)
            case ports.CommitAudio():
                put(client_events.commit_audio)
            case ports.RenderClip():
                self._tell(self._clips.render(command, now), now)
            case ports.Analyse():
                self._tell(self._analyses.ask(command, now), now)

    def _tell(self, events: list[ModelEvent], now: float) -> None:
        self._news += events
        self._news_at = now

    # ---- responses

    def _on_created(self, event: wire.ResponseCreated, now: float) -> list[ModelEvent]:
        out_of_band = not event.in_conversation and "reply" not in event.metadata
        if self._analyses.expects(event) and not self._clips.expects(event):
            self._analyses.on_created(event)
            return []
        if "clip" in event.metadata or out_of_band:
            self._clips.on_created(event)
            return []
        return self._replies.on_created(event, now)

    def _on_done(self, event: wire.ResponseDone, now: float) -> list[ModelEvent]:
        if self._clips.owns(event.response_id) or "clip" in event.metadata:
            events = self._clips.on_done(event, now)
        elif self._analyses.owns(event):
            events = self._analyses.on_done(event)
        else:
            events = self._replies.on_done(event, now)
        if event.error_code in FATAL_CODES:
            events += self._lose(event.error_code, retryable=False)
        return events

    # ---- errors

    def _on_error(self, error: wire.ErrorReported, now: float) -> list[ModelEvent]:
        self._diagnostics.append(Diagnostic(error, expected=error.code in _EXPECTED_CODES))
        if error.code in FATAL_CODES:
            return self._lose(error.reason, retryable=False)
        if error.code == "session_expired":
            return self._lose(error.reason, retryable=True)
        if self._state is _State.OPENING:
            return self._lose(error.reason, retryable=_is_passing(error))
        given_up = self._configuration.on_error(error)
        if given_up is not None:
            return self._on_update_refused(error) if given_up else []
        events = self._replies.on_error(error, now)
        if events is None:
            events = self._clips.on_error(error, now)
        if events is None:
            events = self._analyses.on_error(error)
        return events or []

    def _on_update_refused(self, error: wire.ErrorReported) -> list[ModelEvent]:
        where = f"{error.reason} in {error.param}" if error.param else error.reason
        if self._state is _State.CONFIGURING:
            return self._lose(f"the session was refused: {where}", retryable=_is_passing(error))
        return [ports.ConfigurationRejected(where)]

    def _lose(self, reason: str, *, retryable: bool) -> list[ModelEvent]:
        self._state = _State.LOST
        return [ports.ModelLost(reason, retryable)]


def _is_passing(error: wire.ErrorReported) -> bool:
    return "server_error" in (error.kind, error.code) or error.code == "rate_limit_exceeded"
