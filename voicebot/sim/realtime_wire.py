"""What a session sends: server events in order, numbered and kept, until the connection must be ended."""

from __future__ import annotations

import json
from typing import Literal, Protocol

from .realtime_agenda import Agenda
from .realtime_config import JsonObject, Refused
from .realtime_quirks import Quirks
from .realtime_records import Closing, Exchanged, Ids


class Emit(Protocol):
    """Sends one server event."""

    def __call__(self, kind: str, **fields: object) -> None: ...


class Wire:
    """The events of one session, with the faults that count them.

    Attributes:
        transcript: every event on the wire, both ways, if they are recorded.
        closing: set when the connection must be ended; nothing is sent from then on.
    """

    def __init__(self, agenda: Agenda, ids: Ids, quirks: Quirks, *, record: bool) -> None:
        self.transcript: list[Exchanged] = []
        self.closing: Closing | None = Closing(None) if quirks.drop_at_event == 0 else None
        self._agenda = agenda
        self._ids = ids
        self._quirks = quirks
        self._record = record
        self._out: list[str] = []
        self._events = 0

    def take(self) -> list[str]:
        """Text frames for the client, in order, each given once."""
        out, self._out = self._out, []
        return out

    def emit(self, kind: str, **fields: object) -> None:
        """Send a server event."""
        self._send({"type": kind, "event_id": self._ids("event"), **fields})
        self._events += 1
        if self._quirks.unknown_events and self._events % 3 == 0:
            self._send({"type": "session.weather.updated", "event_id": self._ids("event"), "weather": "fine"})
        if self._events == self._quirks.drop_at_event:
            self.closing = Closing(None)
        if self._events == self._quirks.error_at_event:
            message = "The server had an error while processing your request."
            self.refuse(Refused("server_error", message, kind="server_error"))

    def refuse(self, refusal: Refused) -> None:
        """Send an `error`."""
        self.emit(
            "error",
            error={
                "type": refusal.kind,
                "code": refusal.code,
                "message": refusal.message,
                "param": refusal.param,
                "event_id": refusal.event_id,
            },
        )

    def close(self, closing: Closing) -> None:
        """End the connection, unless it is ending already."""
        self.closing = self.closing or closing

    def keep(self, sender: Literal["client", "server"], event: JsonObject | None) -> None:
        """Record an event."""
        if self._record:
            self.transcript.append(Exchanged(self._agenda.now, sender, event))

    def _send(self, event: JsonObject) -> None:
        if self.closing is None and not self._quirks.silent:
            self._out.append(json.dumps(event, separators=(",", ":")))
            self.keep("server", event)
