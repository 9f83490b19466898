"""Text messages from a call to its caller: few, short, each written down, and the tool told in words if one fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from voicebot.engine.events import CallContext
from voicebot.errors import OutboundRefusedError, ToolError, TwilioError

from .entries import TextMessage

MOST_MESSAGES = 3  # of one call: each costs money
LONGEST_MESSAGE = 1600  # characters (Twilio's Messages resource: Body)

Send = Callable[[str, str, str], Awaitable[str]]
"""To whom, from which of our numbers, what: returns the message's id, raises `OutboundRefusedError`, `TwilioError`."""


class Messages:
    """The messages of one call."""

    def __init__(self, context: CallContext, send: Send | None, written: Callable[[TextMessage], None]) -> None:
        """
        Args:
            send: None where no message can be sent.
            written: told what came of each message.
        """
        self._context, self._send, self._written = context, send, written
        self._left = MOST_MESSAGES

    async def send(self, text: str) -> None:
        """See `ToolContext.send_sms`.

        Raises:
            ToolError: it was not sent, or nobody knows.
        """
        words = text.strip()
        if not words or len(words) > LONGEST_MESSAGE:
            raise ToolError(f"a text message has 1 to {LONGEST_MESSAGE} characters; nothing was sent")
        to, from_ = self._context.caller, self._context.called
        if to is None or from_ is None or self._send is None:
            raise ToolError("no text message can be sent to this caller; tell them, and go on without it")
        if not self._left:
            raise ToolError(f"{MOST_MESSAGES} text messages were sent in this call, and no more are")
        self._left -= 1
        try:
            message_sid = await self._send(to, from_, words)
        except (OutboundRefusedError, TwilioError) as exc:
            code = exc.code if isinstance(exc, TwilioError) else None
            self._written(TextMessage(words, None, str(exc), to, None, code))
            raise ToolError("the text message was not sent; tell the caller, and go on without it") from exc
        self._written(TextMessage(words, message_sid, None, to))
