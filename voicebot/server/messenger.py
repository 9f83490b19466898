"""Text messages on their way to Twilio: only to numbers that may be called."""

from __future__ import annotations

import logging
from collections.abc import Callable

from voicebot.errors import OutboundRefusedError
from voicebot.log_events import named
from voicebot.observe.context import current_call
from voicebot.telephony.outbound_policy import AllowList, Refusal, is_number
from voicebot.telephony.rest import TwilioRest

log = logging.getLogger(__name__)


class Messenger:
    """Sends text messages of calls."""

    def __init__(
        self, rest: TwilioRest | None, allow: AllowList, refused: Callable[[Refusal], None] = lambda reason: None
    ) -> None:
        """
        Args:
            rest: Twilio's REST API; None without an account.
            refused: told why a message was not sent.
        """
        self._rest, self._allow, self._refused = rest, allow, refused

    async def send(self, to: str, from_: str, text: str) -> str:
        """Send one; returns its MessageSid.

        Raises:
            OutboundRefusedError: it may not be sent.
            TwilioError: it was refused; or, unless it is `undone`, nobody knows whether it is sent.
        """
        if self._rest is None:
            raise OutboundRefusedError("no_account", "without TWILIO_ACCOUNT_SID no message can be sent")
        refusal: Refusal | None = "number" if not is_number(to) else None
        if refusal is None and not self._allow.admits(to):
            refusal = "not_allowed"
        if refusal is not None:
            self._refused(refusal)
            log.warning("a text message is not sent: %s", refusal, extra=named("outbound_refused", current_call()))
            raise OutboundRefusedError(refusal, "VOICEBOT_OUTBOUND_ALLOW does not allow messages to this number")
        return await self._rest.send_message(to=to, from_=from_, text=text)
