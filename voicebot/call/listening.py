"""What a caller's voice does while the bot speaks: whether it stops the bot, and whether it is a turn of theirs at all.

Speech that has to last before it stops the bot is measured on the caller's audio. Where none passes by here (in text,
and in rehearsals without sound), it counts as long enough once the model's own ear would have told its end. What did
not stop the bot is an aside: with `hums`, its words decide whether it is a turn.
"""

from __future__ import annotations

import re

from voicebot.audio.formats import AudioFormat
from voicebot.audio.voice import VoiceMeter
from voicebot.flow.patience import Patience

HUM_LIMIT_S = 2.0  # the longest wait for the words of an aside; without them it is a turn
_EAR_S = 0.1  # beyond the pause, until the model's word of a turn's end is here
_LONGEST_HUM = 3  # words

_WORDS = {
    "any": "mhm mhmm mm mmm mmhm mmhmm hm hmm huh uhhuh ah aha oh ok okay okey",
    "de": "ja jaja genau klar gut achso so",
    "en": "right sure yeah yep yes yup gotcha",
    "es": "sí si vale claro bueno ya",
    "fr": "oui ouais daccord bien",
    "it": "sì si certo bene ecco capito",
    "pt": "sim tá pois certo bom",
}
_HUMS = frozenset(word for words in _WORDS.values() for word in words.split())


def is_hum(text: str) -> bool:
    """Whether these words only say that the caller listens."""
    words = [re.sub(r"[\W_]+", "", word) for word in text.casefold().split()]
    words = [word for word in words if word]
    return 0 < len(words) <= _LONGEST_HUM and all(word in _HUMS for word in words)


class Listening:
    """The caller's speech under way, and asides whose words are waited for. Times are on the clock of `now`."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._meter: VoiceMeter | None = None
        self._stops_after_ms = 0.0
        self._due: float | None = None
        self._aside = False  # the speech that just stopped did not stop the bot
        self._asides: dict[str, float] = {}  # item → when its words are given up

    @property
    def closely(self) -> bool:
        """Whether speech is being measured."""
        return self._meter is not None

    def begin(self, patience: Patience, now: float) -> None:
        """The caller begins to speak over the bot, which goes on for now."""
        self._meter, self._stops_after_ms = VoiceMeter(self._format), patience.stops_after * 1000
        self._due = now + patience.stops_after + patience.pause + _EAR_S
        self._aside = False

    def hears(self, payload: bytes) -> bool:
        """Take the caller's audio; whether it has lasted long enough to stop the bot."""
        return self._meter is not None and self._meter.take(payload) >= self._stops_after_ms

    def long_enough(self, now: float) -> bool:
        """Whether speech under way has lasted so long that it stops the bot, whatever was measured."""
        return self._due is not None and now >= self._due

    def end(self) -> None:
        """The bot was stopped, or stopped by itself: nothing is to be measured."""
        self._meter = self._due = None
        self._aside = False

    def stopped(self) -> None:
        """The caller has stopped speaking: if that was too short, it is an aside."""
        self._aside = self._meter is not None
        self._meter = self._due = None

    def committed(self, item_id: str, now: float) -> bool:
        """A turn is over; whether it is an aside, whose words decide."""
        aside, self._aside = self._aside, False
        if aside:
            self._asides[item_id] = now + HUM_LIMIT_S
        return aside

    def settle(self, item_id: str) -> bool:
        """The words of an item came, or never will; whether it was an aside."""
        return self._asides.pop(item_id, None) is not None

    def given_up(self, now: float) -> list[str]:
        """The asides whose words have not come in time; each once."""
        late = [item_id for item_id, due in self._asides.items() if now >= due]
        for item_id in late:
            del self._asides[item_id]
        return late

    def deadline(self) -> float | None:
        """When to look again."""
        return min((at for at in (self._due, *self._asides.values()) if at is not None), default=None)
