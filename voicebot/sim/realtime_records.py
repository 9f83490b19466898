"""What a session leaves for a test to look at: its events, the truth of both sides' words; and the ids it makes."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Ids(Protocol):
    """Makes ids of a kind: `item`, `resp`, `conv`, `sess`, `event`, `call`."""

    def __call__(self, kind: str) -> str: ...


class SeededIds:
    """Ids shaped like the API's (`item_` and 21 letters or digits), the same for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._count = itertools.count()

    def __call__(self, kind: str) -> str:
        digest = hashlib.sha256(f"{self._seed}:{next(self._count)}".encode()).digest()
        return f"{kind}_{''.join(_ALPHABET[byte % 62] for byte in digest[:21])}"


@dataclass(frozen=True, slots=True)
class Exchanged:
    """One event on the wire. `event` is None for a frame that is no JSON object."""

    at: float
    sender: Literal["client", "server"]
    event: Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class UserTurn:
    """The truth about a turn of the caller: what was decoded from its audio, and where that lay.

    Times count the session's input audio in milliseconds.
    """

    item_id: str
    text: str
    complete: bool
    damaged: int
    start_ms: float
    end_ms: float
    at: float


@dataclass(frozen=True, slots=True)
class Closing:
    """The server ends the connection; without a code it just breaks."""

    code: int | None
    reason: str = ""


@dataclass(slots=True)
class SpokenItem:
    """The truth about an assistant's message.

    Attributes:
        meant: all the words that it was to have.
        sent: the words whose transcript was sent.
        audio_ms: audio sent.
        truncated_at_ms: where the client says that the caller stopped hearing.
    """

    item_id: str
    response_id: str
    in_conversation: bool
    meant: str
    sent: str = ""
    audio_ms: float = 0.0
    truncated_at_ms: int | None = None
    status: Literal["in_progress", "completed", "incomplete"] = "in_progress"
