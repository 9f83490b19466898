"""Texts to be spoken, and how the tests of speech listen."""

from __future__ import annotations

from voicebot.sim.listener import Heard, Listener
from voicebot.sim.speech_code import Samples

RATES = (8_000, 24_000)
TEXTS = (
    "a",
    "Yes.",
    "I would like two large pizzas, please?",
    "Grüße aus Köln, 25 € für Sie",
    "你好，世界 😀",
    "\x00\x7f\u07ff\uffff\U0010ffff",
    "eeeeeeeeeeeeeeeeeeeeeeee",
)


def hear(audio: Samples, rate_hz: int = 8_000, *, chunk: int | None = None) -> list[Heard]:
    listener = Listener(rate_hz)
    size = chunk or rate_hz // 50
    heard = [utterance for at in range(0, len(audio), size) for utterance in listener.feed(audio[at : at + size])]
    return heard + listener.flush()
