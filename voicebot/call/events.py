"""What the core of a call takes (`Event`), and what it has done (`Effect`).

Most of it is the legs' words (`ports`); here stand those of the call itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from voicebot.engine.entries import EndedReason
from voicebot.engine.events import ToolFinished

from . import entries, ports
from .entries import Entry


@dataclass(frozen=True, slots=True)
class Journal:
    """Append an entry to the call's journal; a durable one is on disk before what follows it is done."""

    entry: Entry
    durable: bool


@dataclass(frozen=True, slots=True)
class StartTool:
    """Run a tool of the flow; its result comes back as `ToolFinished`. `key` is the same for every try of this use."""

    call_id: str
    tool: str
    arguments: Mapping[str, object] = field(hash=False)
    key: str = ""


@dataclass(frozen=True, slots=True)
class KeepSecret:
    """Put the value of a secret field (JSON text) into the call's vault, before anything that is journalled with it."""

    name: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SayWanted:
    """A tool or a handler of the flow wants these words spoken, exactly."""

    text: str


@dataclass(frozen=True, slots=True)
class NoteWanted:
    """A handler of the flow has something for the model to heed from the next reply on."""

    text: str


@dataclass(frozen=True, slots=True)
class EndWanted:
    """A handler of the flow wants the call to end politely."""


@dataclass(frozen=True, slots=True)
class TransferWanted:
    """Whoever operates the service wants the caller joined to the flow's target of this name."""

    target: str


@dataclass(frozen=True, slots=True)
class ReconnectModel:
    """Give up the connection to the model, and open another; it begins with `ModelReady`, or is lost at once."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The call is over; nothing follows."""

    reason: EndedReason


@dataclass(frozen=True, slots=True)
class LetGo:
    """The call is not over, but nothing more of it happens here."""


@dataclass(frozen=True, slots=True)
class AnswererFound:
    """The phone line has found out who has answered our call."""

    entry: entries.AnswererKnown


@dataclass(frozen=True, slots=True)
class MessageTold:
    """What came of a text message of a tool's."""

    entry: entries.TextMessage


Effect = ports.LegCommand | ports.ModelCommand | Journal | KeepSecret | StartTool | ReconnectModel | Finish | LetGo
Event = (
    ports.CallerEvent
    | ports.ModelEvent
    | ToolFinished
    | SayWanted
    | NoteWanted
    | EndWanted
    | TransferWanted
    | AnswererFound
    | MessageTold
)
