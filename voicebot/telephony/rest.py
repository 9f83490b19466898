"""Twilio's REST API: what we ask of a call that is under way (Calls resource, version 2010-04-01)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Literal

import aiohttp

from voicebot.errors import TwilioError

LIMIT_S = 5.0
_OVER = (20404, 21220)  # "resource not found", which an ended call is; "call is not in-progress, cannot redirect"

Outcome = Literal["done", "over"]


class TwilioRest:
    """One account's calls. The token never shows in an error."""

    def __init__(self, session: aiohttp.ClientSession, url: str, account_sid: str, auth_token: str) -> None:
        """`url`: the API's origin, as in https://api.twilio.com."""
        self._session = session
        self._calls = f"{url.rstrip('/')}/2010-04-01/Accounts/{account_sid}/Calls"
        self._headers = {"Authorization": aiohttp.encode_basic_auth(account_sid, auth_token)}

    async def redirect(self, call_sid: str, url: str) -> Outcome:
        """Have a call go on with the TwiML at `url`, asked for by POST; a stream that it has is ended.

        Returns:
            `over` if the call has ended, so that nobody can be reached any more.

        Raises:
            TwilioError: it was not done.
        """
        return await self._update(call_sid, {"Url": url, "Method": "POST"})

    async def hang_up(self, call_sid: str) -> Outcome:
        """End a call.

        Raises:
            TwilioError: it was not done.
        """
        return await self._update(call_sid, {"Status": "completed"})

    async def _update(self, call_sid: str, form: Mapping[str, str]) -> Outcome:
        address = f"{self._calls}/{call_sid}.json"
        try:
            async with (
                asyncio.timeout(LIMIT_S),
                self._session.post(address, data=form, headers=self._headers, allow_redirects=False) as response,
            ):
                status, text = response.status, await response.text()
        except TimeoutError as exc:
            raise TwilioError(f"no answer within {LIMIT_S:g} s") from exc
        except (aiohttp.ClientError, OSError, UnicodeError) as exc:
            raise TwilioError(f"cannot be reached ({type(exc).__name__})") from exc
        if 200 <= status < 300:
            return "done"
        code = _code(text)
        if code in _OVER or status == 404:
            return "over"
        raise TwilioError(f"answered {status}" + (f", code {code}" if code else ""), status=status, code=code)


def _code(text: str) -> int | None:
    """The vendor's number of an error's body."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    code = found.get("code") if isinstance(found, dict) else None
    return code if isinstance(code, int) else None
