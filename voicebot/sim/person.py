"""A caller with the handset at his ear: what he hears becomes words and moments, what he does, sound and keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from . import g711
from .caller import Conversation, Moment, PressKey, PutDown, Speak
from .listener import Heard, Listener
from .playout import FRAME_BYTES, Handset
from .speech import speak
from .timeline import BYTES_PER_MS, FRAME_MS, BotSaid, CallerSaid, is_audible

RATE_HZ = 8_000
_FRAMES_AT_ONCE = 5  # decoded into words: words come at most 100 ms late, sound and silence at once


def coded_voice(text: str) -> bytes:
    """The twin's own voice, which carries its text for ears that listen to nothing but audio."""
    return g711.encode(speak(text, RATE_HZ, voice="caller"))


class Person:
    """Follows a handset's tape and lets the caller's behaviour react to it, frame by frame.

    Args:
        handset: gives the tape and takes the words.
        behaviour: decides.
        tell: called with every utterance, of either side, when it is over.
        voice: gives words as mu-law at 8 kHz.
    """

    def __init__(
        self,
        handset: Handset,
        behaviour: Conversation,
        tell: Callable[[BotSaid | CallerSaid], None],
        voice: Callable[[str], bytes],
    ) -> None:
        self._handset, self._behaviour, self._tell, self._voice = handset, behaviour, tell, voice
        self._listener = Listener(RATE_HZ)
        self._answered_ms = 0.0  # where the listener's time begins
        self._perceived = 0  # frames of the tape
        self._listened = 0
        self._words: list[CallerSaid] = []  # said or about to be, and not yet told

    def answer(self) -> None:
        """The call is answered; what was on the line before does not count."""
        self._perceived = self._listened = self._handset.frames
        self._answered_ms = self._handset.elapsed_ms

    def perceive(self) -> list[PressKey | PutDown]:
        """Take in what is new on the tape; returns keys in order, and at last whether he hangs up."""
        done: list[PressKey | PutDown] = []
        while self._perceived < self._handset.frames and not any(isinstance(act, PutDown) for act in done):
            self._perceived += 1
            done += self._react()
        return done

    def end(self, *, hung_up: bool) -> None:
        """The call is over; `hung_up` says that it was the caller's wish."""
        self._perceived = self._handset.frames
        self._listen()
        for heard in self._listener.flush():
            self._tell_heard(self._in_call_time(heard))
        self._tell_words()
        at_ms = self._handset.elapsed_ms
        for cut in self._words:
            if cut.start_ms < at_ms:
                self._tell(replace(cut, end_ms=at_ms, complete=False))
        if not hung_up:
            self._behaviour.line_ended(at_ms)

    def _react(self) -> list[PressKey | PutDown]:
        frame = self._handset.heard_tape[(self._perceived - 1) * FRAME_BYTES : self._perceived * FRAME_BYTES]
        heard = self._listen() if self._perceived - self._listened >= _FRAMES_AT_ONCE else ()
        self._tell_words()
        audible = is_audible(frame)
        ms, speaking = self._perceived * FRAME_MS, self._handset.speaking
        moment = Moment(ms, audible, heard, speaking, bytes(frame) if audible else b"")
        acts = self._behaviour.step(moment)
        for act in acts:
            if isinstance(act, Speak):
                self._speak(act.text)
        return [act for act in acts if not isinstance(act, Speak)]

    def _speak(self, text: str) -> None:
        payload = self._voice(text)
        begins_ms = self._handset.say(payload)
        self._words.append(CallerSaid(text, begins_ms, begins_ms + len(payload) / BYTES_PER_MS, complete=True))

    def _tell_words(self) -> None:
        while self._words and self._words[0].end_ms <= self._handset.elapsed_ms:
            self._tell(self._words.pop(0))

    def _listen(self) -> tuple[Heard, ...]:
        """Decode the tape up to the frame perceived last."""
        audio = bytes(self._handset.heard_tape[self._listened * FRAME_BYTES : self._perceived * FRAME_BYTES])
        self._listened = self._perceived
        heard = tuple(self._in_call_time(heard) for heard in self._listener.feed(g711.decode(audio)))
        for utterance in heard:
            self._tell_heard(utterance)
        return heard

    def _in_call_time(self, heard: Heard) -> Heard:
        offset_ms = self._answered_ms
        return replace(heard, start_ms=heard.start_ms + offset_ms, end_ms=heard.end_ms + offset_ms)

    def _tell_heard(self, heard: Heard) -> None:
        self._tell(BotSaid(heard.text, heard.start_ms, heard.end_ms, heard.complete, heard.damaged))
