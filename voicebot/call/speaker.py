"""What the bot says: its audio goes out with marks, its words are kept, and each utterance ends as heard or cut."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from voicebot.audio.formats import AudioFormat
from voicebot.flow.model import Say

from .entries import BotSaid
from .playback import Heard, Playback
from .ports import LegCommand, PlayAudio, SendMark

CLIP_CHUNK_MS = 400


@dataclass(slots=True)
class _Utterance:
    text: str = ""
    say: Say | None = None  # an exact statement, played by us
    audible: bool = False
    ended: bool = False
    known_to_model: bool = True
    model_lost: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """An utterance is over.

    `say` is set for an exact statement; `tell_model` if its words must still be inserted. `truncatable` says that the
    model has it as audio of its own, which it can be told to cut.
    """

    entry: BotSaid
    say: Say | None
    complete: bool
    tell_model: bool
    truncatable: bool


class Speaker:
    """The bot's utterances of one call, over the playback ledger."""

    def __init__(self, audio_format: AudioFormat, playback: Playback) -> None:
        self.playback = playback
        self._format = audio_format
        self._utterances: dict[str, _Utterance] = {}
        self._statements = 0

    @property
    def uninterruptible(self) -> bool:
        """Whether a statement is playing that the caller's speech must not stop."""
        return any(one.say is not None and not one.say.interruptible for one in self._utterances.values())

    def speaks(self, item_id: str) -> bool:
        """Whether some audio of this utterance was sent, and more of it is to come."""
        utterance = self._utterances.get(item_id)
        return utterance is not None and utterance.audible and not utterance.ended

    def add_audio(self, item_id: str, payload: bytes, now: float) -> list[LegCommand]:
        """More audio of an utterance."""
        utterance = self._utterances.setdefault(item_id, _Utterance())
        commands: list[LegCommand] = []
        if not utterance.audible:
            utterance.audible = True
            commands.append(SendMark(self.playback.begin(item_id)))
        commands.append(PlayAudio(payload))
        mark = self.playback.sent(item_id, len(payload) / self._format.bytes_per_ms, now)
        if mark is not None:
            commands.append(SendMark(mark))
        return commands

    def add_words(self, item_id: str, text: str, *, final: bool) -> None:
        """More words of an utterance; with `final`, all of them."""
        utterance = self._utterances.setdefault(item_id, _Utterance())
        utterance.text = text if final else utterance.text + text

    def end(self, item_id: str) -> list[LegCommand]:
        """No more audio of this utterance follows."""
        utterance = self._utterances.get(item_id)
        if utterance is None or not utterance.audible or utterance.ended:
            return []
        utterance.ended = True
        return [PlayAudio(b"", end=True), SendMark(self.playback.end(item_id))]

    def play_statement(self, say: Say, payload: bytes, now: float) -> list[LegCommand]:
        """Play an exact statement, in pieces small enough for the ledger to follow."""
        self._statements += 1
        item_id = f"statement-{self._statements}"
        self._utterances[item_id] = _Utterance(say.text, say, known_to_model=False)
        step = CLIP_CHUNK_MS * self._format.bytes_per_ms
        commands: list[LegCommand] = []
        for start in range(0, len(payload), step):
            commands += self.add_audio(item_id, payload[start : start + step], now)
        return commands + self.end(item_id)

    def model_lost(self) -> list[LegCommand]:
        """The model that spoke is gone: what it said so far is all, and its successor knows nothing of it."""
        commands: list[LegCommand] = []
        for item_id, utterance in self._utterances.items():
            utterance.known_to_model, utterance.model_lost = False, True
            if not utterance.ended:
                commands += self.end(item_id)
        return commands

    def untold(self) -> Iterator[str]:
        """Statements under way that the model does not know of yet; from now on it is taken to know them."""
        for utterance in self._utterances.values():
            if not utterance.known_to_model:
                utterance.known_to_model = True
                yield utterance.text

    def echoed(self, mark: str, now: float) -> Ended | None:
        """A mark came back; returns the utterance it completes, if any."""
        heard = self.playback.echoed(mark, now)
        return self._ended(heard) if heard is not None else None

    def cut(self, now: float) -> list[Ended]:
        """Everything not yet heard is dropped; returns the utterances that this ends, with what was heard of them."""
        return [self._ended(heard) for heard in self.playback.clear(now)]

    def expire(self, now: float) -> list[Ended]:
        """Utterances whose last mark never came back."""
        return [self._ended(heard) for heard in self.playback.expire(now)]

    def _ended(self, heard: Heard) -> Ended:
        utterance = self._utterances.pop(heard.item_id)
        interrupted = heard.heard_ms < heard.sent_ms
        entry = BotSaid(
            item_id=heard.item_id,
            text=utterance.text,
            heard_text=heard_words(utterance.text, heard.heard_ms, heard.sent_ms) if interrupted else utterance.text,
            heard_ms=int(heard.heard_ms),
            sent_ms=int(heard.sent_ms),
            interrupted=interrupted,
            exact=utterance.say is not None,
        )
        truncatable = utterance.say is None and not utterance.model_lost
        return Ended(entry, utterance.say, heard.complete, not utterance.known_to_model, truncatable)


def heard_words(text: str, heard_ms: float, sent_ms: float) -> str:
    """The words that fit into the heard share of an utterance: an estimate, by characters, of whole words."""
    if sent_ms <= 0 or heard_ms <= 0:
        return ""
    reach = round(len(text) * min(1.0, heard_ms / sent_ms))
    cuts_a_word = reach < len(text) and not text[reach].isspace()
    heard = text[:reach]
    return (re.sub(r"\S+\Z", "", heard) if cuts_a_word else heard).rstrip()
