"""A number of ours is pointed at this service: what `voicebot connect` does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import aiohttp

from voicebot.errors import SettingsError, TwilioError
from voicebot.settings import Settings
from voicebot.telephony.rest import NumberUrls, OwnNumber, TwilioRest

from .twilio_routes import FALLBACK_PATH, VOICE_PATH

STATUS_PATH = "/twilio/status"


@dataclass(frozen=True, slots=True)
class Connection:
    """Where calls of a number lead now, and where they did before."""

    number: str
    before: NumberUrls
    after: NumberUrls

    @property
    def changes(self) -> bool:
        return self.before != self.after

    def lines(self) -> Iterator[str]:
        """For people: one line for each address."""
        yield self.number
        for field in fields(self.before):
            before, after = getattr(self.before, field.name), getattr(self.after, field.name)
            told = f"{before or 'nowhere'} → {after}" if before != after else f"{after} (as before)"
            yield f"  {field.name:<9} {told}"


def addresses(public_url: str) -> NumberUrls:
    """Where calls of a number are to lead, and whom Twilio asks when it cannot use an answer."""
    return NumberUrls(public_url + VOICE_PATH, public_url + FALLBACK_PATH, public_url + STATUS_PATH)


def rest_of(settings: Settings, session: aiohttp.ClientSession) -> TwilioRest:
    """The account's REST API.

    Raises:
        SettingsError: the account, its token or our address is not set.
    """
    if not settings.twilio_account_sid:
        mend = "Copy it from the Twilio console; it begins with AC."
        raise SettingsError("TWILIO_ACCOUNT_SID", "is not set", mend)
    settings.require_line()
    token = settings.twilio_auth_tokens[0].get_secret_value()
    return TwilioRest(session, settings.twilio_api_url, settings.twilio_account_sid, token)


async def connect_number(settings: Settings, number: str, *, dry_run: bool) -> Connection:
    """Have calls of a number come to us.

    Args:
        dry_run: only look.

    Raises:
        SettingsError: as `rest_of`.
        TwilioError: it cannot be done, or the account has no such number.
    """
    async with aiohttp.ClientSession() as session:
        rest = rest_of(settings, session)
        found = await own(rest, number)
        wanted = addresses(settings.public_url)
        if dry_run or found.urls == wanted:
            return Connection(number, found.urls, wanted)
        return Connection(number, found.urls, (await rest.lead(found, wanted)).urls)


async def own(rest: TwilioRest, number: str) -> OwnNumber:
    """
    Raises:
        TwilioError: the account has no such number, or cannot be asked.
    """
    found = await rest.own_number(number)
    if found is None:
        raise TwilioError(f"the account has no number {number}", status=404)
    return found
