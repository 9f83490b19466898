"""What a caller gets for whom there is no place: what the operator chose.

A `<Reject>` is the line's own busy signal, unanswered and unbilled. A number is rung, so that somebody answers.
"""

from __future__ import annotations

from collections.abc import Mapping

from voicebot.telephony import twiml
from voicebot.telephony.full_house import FullHouse

OVERFLOWN_PATH = "/twilio/overflown"
RING_S = 25.0
TALK_LIMIT_S = 4 * 3600.0  # the vendor's own default
_TALKED = frozenset({"completed", "answered"})


class Overflow:
    """The operator's choice for those who are no guests (`lobby`): `sentence`, `busy`, or a number in E.164."""

    def __init__(self, house: FullHouse, public_url: str) -> None:
        self._choice, self._action_url = house.then, public_url + OVERFLOWN_PATH

    def answer(self, language: str, *, caller: str | None, called: str | None) -> str:
        """TwiML for a caller who is not taken. `language` is a BCP-47 tag."""
        if self._choice == "busy":
            return twiml.reject_busy()
        if self._choice in (
            "sentence",
            "voicemail",
            called,
        ):  # the last: a number of ours would ring us again, for ever
            return twiml.say_goodbye(language)
        return twiml.ring(
            self._choice,
            language=language,
            action_url=self._action_url,
            ring_s=RING_S,
            talk_s=TALK_LIMIT_S,
            caller_id=caller or called,
        )

    def came_back(self, form: Mapping[str, str], language: str) -> str:
        """TwiML for a caller for whom the number was rung: a sentence, unless somebody talked with them."""
        return twiml.hang_up() if form.get("DialCallStatus") in _TALKED else twiml.say_goodbye(language)
