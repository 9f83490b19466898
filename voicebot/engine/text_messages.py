"""The text messages with which a call ends, as its flow wants them: who gets which words, once all is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from voicebot.flow.model import Say

from .events import CallContext
from .standing import Standing


@dataclass(frozen=True, slots=True)
class WantedText:
    """A message that is to be sent: the flow's `number`-th, from 1. What is None is not known."""

    number: int
    text: str | None
    to: str | None
    sender: str | None


def wanted_texts(standing: Standing, context: CallContext) -> Iterator[WantedText]:
    """Every message that is to be sent as the call stands at its end."""
    for number, sms in enumerate(standing.flow.report.sms, 1):
        if sms.when is not None and not standing.holds(sms.when):
            continue
        to = standing.values.get(sms.to) if sms.to else context.caller
        text = standing.statement(Say(sms.text))
        yield WantedText(number, text, None if to is None else str(to), sms.sender or context.called)
