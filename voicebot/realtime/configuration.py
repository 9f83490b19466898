"""Updates of the session, and their answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from . import client_events
from .outbox import Outbox
from .server_events import ErrorReported

_MAX_UNANSWERED = 64


@dataclass(frozen=True, slots=True)
class _Update:
    event_id: str
    session: Mapping[str, object]
    first_try: bool


class Configuration:
    """Sends `session.update` and ties answers to them.

    `session.updated` does not say which update it answers, but answers come in order; an `error` names its update.
    A refused update is sent once more, unless a newer one was sent meanwhile: it would undo that one.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        # The bound is for a server that never answers; what falls out can only be taken for an earlier one.
        self._unanswered: deque[_Update] = deque(maxlen=_MAX_UNANSWERED)

    def update(self, session: Mapping[str, object]) -> None:
        """Change the fields that stand in `session`."""
        self._send(session, first_try=True)

    def on_updated(self) -> None:
        """The oldest update has taken."""
        if self._unanswered:
            self._unanswered.popleft()

    def on_error(self, error: ErrorReported) -> bool | None:
        """Handle a refusal.

        Returns:
            None when the error is not about an update, True when the update is given up, False when it is not needed
            any more or was sent again.
        """
        refused = next((update for update in self._unanswered if update.event_id == error.event_id), None)
        if refused is None:
            return None
        superseded = refused is not self._unanswered[-1]
        self._unanswered.remove(refused)
        if superseded:
            return False
        if refused.first_try:
            self._send(refused.session, first_try=False)
            return False
        return True

    def _send(self, session: Mapping[str, object], *, first_try: bool) -> None:
        event_id = self._outbox.put(client_events.session_update, session)
        self._unanswered.append(_Update(event_id, session, first_try))
