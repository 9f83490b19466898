"""One session of the Realtime API as the twin plays it: client events in, server events out, told the time.

Pure: no sockets, no clock. `RealtimeServer` moves the text frames and calls `on_deadline` when `deadline()` has come.

    handle(text, now) ──▶ RealtimeSession ──▶ data_to_send()
                             │      ▲
                     asks a Brain   on_deadline(now): deltas, transcripts, expiry

Source: Realtime API reference and guides (general availability).
"""

from __future__ import annotations

import re
from typing import Literal

from .brain import Brain
from .realtime_agenda import Agenda
from .realtime_config import JsonObject, Refused, SessionConfig
from .realtime_items import Conversation, made_of
from .realtime_planner import Planner
from .realtime_player import Player
from .realtime_quirks import Chance, Quirks, Timing
from .realtime_records import Closing, Ids, SeededIds, SpokenItem
from .realtime_response import Response
from .realtime_schema import (
    AppendAudio,
    CancelResponse,
    ClearAudio,
    ClientEvent,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    ResponseParams,
    RetrieveItem,
    TruncateItem,
    UpdateSession,
    load,
    read,
)
from .realtime_stage import Stage
from .realtime_turns import Turns
from .realtime_wire import Wire

DEFAULT_MODEL = "gpt-realtime-2.1"

_REASONING_MODEL = re.compile(r"gpt-realtime-2(\.\d+)?(-mini)?")


class RealtimeSession:
    """One connection's session.

    Args:
        brain: what the model thinks.
        now: seconds on any clock that only goes forward, as in every call.
        unix_now: what a wall clock shows at `now`, for `expires_at`.
        model: of the URL's query.
        ids: source of ids.
        shuffle: seed for orders and delays that the protocol leaves open; None is the usual order.
        refusal: a fault of the handshake; the session says so and closes.
        record: keep every event in `transcript`.

    Attributes:
        transcript: every event on the wire, both ways, bounded by the length of the call.
        user_turns, spoken: what was really heard and said.
        problems: what the client did that the API lets pass and a good client does not do, and what the brain did
            that a model cannot do.
        closing: set when the connection must be ended, after `data_to_send`.
    """

    def __init__(
        self,
        brain: Brain,
        *,
        now: float,
        unix_now: float,
        model: str = DEFAULT_MODEL,
        ids: Ids | None = None,
        timing: Timing | None = None,
        quirks: Quirks | None = None,
        shuffle: int | None = None,
        refusal: Refused | None = None,
        record: bool = True,
    ) -> None:
        timing, quirks, ids = timing or Timing(), quirks or Quirks(), ids or SeededIds()
        self.spoken: list[SpokenItem] = []
        self.config = SessionConfig(type="realtime", model=model)
        self._agenda = Agenda(now)
        self._wire = Wire(self._agenda, ids, quirks, record=record)
        self.transcript = self._wire.transcript
        self._stage = Stage(self._wire.emit, ids, timing, quirks, Chance(shuffle), self.spoken)
        self._id = ids("sess")
        self._conversation = Conversation(ids("conv"))
        self._planner = Planner(brain, self._conversation, ids, quirks)
        self.problems = self._planner.problems
        self._player = Player(self._agenda, self._over)
        settings = self.config.audio.input
        self._turns = Turns(settings, self._stage, self._agenda, self._conversation, self._player, self._answer_turn)
        self.user_turns = self._turns.user_turns
        self._updates = 0
        self._expires_at = int(unix_now + timing.session_s)
        if quirks.drop_at_s is not None:
            self._agenda.after(quirks.drop_at_s, lambda: self._wire.close(Closing(None)))
        if refusal is not None:
            self._wire.refuse(refusal)
            self._wire.close(Closing(4000, f"{refusal.kind}.{refusal.code}"))
        elif timing.open_s > 0:
            self._agenda.after(timing.open_s, self._open)
        else:
            self._open()

    # ---- told by the shell --------------------------------------------------------------------------------------

    @property
    def closing(self) -> Closing | None:
        return self._wire.closing

    def handle(self, text: str, now: float) -> None:
        """Take one text frame from the client."""
        self.on_deadline(now)
        if self.closing is not None:
            return
        raw: JsonObject | None = None
        try:
            raw = load(text)
            self._wire.keep("client", raw)
            self._perform(read(raw))
        except Refused as refusal:
            if raw is None:
                self._wire.keep("client", None)
            event_id = raw.get("event_id") if raw is not None else None
            refusal.event_id = event_id if isinstance(event_id, str) else None
            self._wire.refuse(refusal)

    def data_to_send(self) -> list[str]:
        """Text frames for the client, in order, each given once."""
        return self._wire.take()

    def deadline(self) -> float | None:
        """When `on_deadline` must be called next."""
        return self._agenda.deadline() if self.closing is None else None

    def on_deadline(self, now: float) -> None:
        """Do everything that is due at `now`, each at its own time."""
        if self.closing is None:
            self._agenda.keep(now)

    def _perform(self, event: ClientEvent) -> None:
        match event:
            case AppendAudio():
                self._turns.append(event.audio)
            case UpdateSession():
                self._update(event.session)
            case CommitAudio():
                self._turns.commit()
            case ClearAudio():
                self._turns.clear()
            case CreateItem():
                self._create_item(event)
            case RetrieveItem():
                item = self._conversation.get(event.item_id, "retrieve")
                self._wire.emit("conversation.item.retrieved", item=item.wire(with_audio=True))
            case DeleteItem():
                self._conversation.items.remove(self._conversation.get(event.item_id, "delete"))
                self._wire.emit("conversation.item.deleted", item_id=event.item_id)
            case TruncateItem():
                self._truncate(event)
            case CreateResponse():
                unanswered = self._unanswered(event.response)
                self._respond(event.response)
                self.problems += unanswered
            case CancelResponse():
                self._player.cancel(event.response_id)

    # ---- session ------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._wire.emit("session.created", session=self._wire_session())
        if not self._stage.quirks.no_conversation_created:
            shown = {"id": self._conversation.id, "object": "realtime.conversation"}
            self._wire.emit("conversation.created", conversation=shown)
        self._agenda.after(self._stage.timing.session_s, self._expire)

    def _expire(self) -> None:
        minutes = self._stage.timing.session_s / 60
        message = f"Your session hit the maximum duration of {minutes:g} minutes."
        self._wire.refuse(Refused("session_expired", message))
        self._wire.close(Closing(1001, message))

    def _wire_session(self) -> JsonObject:
        shown: JsonObject = {"object": "realtime.session", "id": self._id, "expires_at": self._expires_at}
        return self.config.wire() | shown

    def _update(self, patch: SessionConfig) -> None:
        self._updates += 1
        if self._updates in self._stage.quirks.reject_updates:
            raise Refused("server_error", "The session could not be updated.", "session", kind="server_error")
        self._check_update(patch)
        self.config = self.config.updated(patch)
        self._turns.configure(self.config.audio.input)
        self._wire.emit("session.updated", session=self._wire_session())

    def _check_update(self, patch: SessionConfig) -> None:
        named = patch.model_fields_set
        output = patch.audio.output
        if "model" in named and patch.model != self.config.model:
            raise Refused("invalid_value", "Cannot update a session's model.", "session.model")
        if "voice" in output.model_fields_set and self._has_spoken():
            raise _voice_locked("session")
        if "speed" in output.model_fields_set and self._player.active is not None:
            raise Refused("invalid_value", "Cannot update speed during a response.", "session.audio.output.speed")
        if "tracing" in named and self.config.tracing not in (None, patch.tracing):
            raise Refused("invalid_value", "Cannot update tracing once it is enabled.", "session.tracing")
        if not _REASONING_MODEL.fullmatch(self.config.model):
            for name in named & {"reasoning", "parallel_tool_calls"}:
                raise Refused("invalid_value", f"{name} is not supported by {self.config.model}.", f"session.{name}")

    def _has_spoken(self) -> bool:
        return any(item.audio_ms for item in self.spoken)

    # ---- items --------------------------------------------------------------------------------------------------

    def _create_item(self, event: CreateItem) -> None:
        new = event.item
        item = made_of(new, new.id or self._stage.ids("item"), self._stage.ids("call"), self._turns.codec)
        if item.kind == "function_call_output" and self._conversation.answers(item.call_id):
            self.problems.append(f"call {item.call_id} was answered twice")
        self._conversation.add(item, self._wire.emit, event.previous_item_id)

    def _truncate(self, event: TruncateItem) -> None:
        if self._stage.quirks.ignores_truncate:
            return
        item = self._conversation.get(event.item_id, "truncate")
        if event.content_index != 0:
            raise Refused("invalid_value", "Only content part 0 can be truncated.", "content_index")
        item.truncate(event.audio_end_ms)
        for truth in self.spoken:
            if truth.item_id == item.id:
                truth.truncated_at_ms = event.audio_end_ms
        self._wire.emit(
            "conversation.item.truncated", item_id=item.id, content_index=0, audio_end_ms=event.audio_end_ms
        )

    # ---- responses ----------------------------------------------------------------------------------------------

    def _respond(self, params: ResponseParams) -> None:
        active = self._player.active
        if params.conversation == "auto" and active is not None:
            raise Refused(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {active.id}. "
                "Wait until the response is finished before creating a new one.",
            )
        if params.audio.output.voice not in (None, self.config.audio.output.voice) and self._has_spoken():
            raise _voice_locked("response")
        order = self._planner.order(params, self.config, self._turns.codec)
        self._turns.stop_idle()
        self._player.play(Response(order, self._planner.outputs(order), self._stage))

    def _answer_turn(self) -> None:
        """Create the response that turn detection asks for, which may collide with the client's own."""
        try:
            self._respond(ResponseParams())
        except Refused as refusal:
            self._wire.refuse(refusal)

    def _over(self, response: Response) -> None:
        if response.in_band and response.status == "completed":
            self._turns.watch_idle(response.audio_ms)

    def _unanswered(self, params: ResponseParams) -> list[str]:
        """Calls that still wait for their output while the client asks for what follows from it."""
        if params.conversation == "none" or params.input is not None:
            return []
        return [
            f"a response was asked for while call {item.call_id} had no output"
            for item in self._conversation.items
            if item.kind == "function_call" and item.status == "completed"
            if not self._conversation.answers(item.call_id)
        ]


def _voice_locked(where: Literal["session", "response"]) -> Refused:
    return Refused(
        "cannot_update_voice",
        "Cannot update a conversation's voice if assistant audio is present.",
        f"{where}.audio.output.voice",
    )
