"""Twilio's REST API: calls that we place or have, messages, and where a number leads (version 2010-04-01)."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp

from voicebot.errors import TwilioError

from .back_off import back_off_s

LIMIT_S = 5.0
LONGEST_MESSAGE = 1600  # characters (Messages resource: Body)
_OVER = (20404, 21220)  # "resource not found", which an ended call is; "call is not in-progress, cannot redirect"
_PROGRESS = ("initiated", "ringing", "answered", "completed")
_FORM = "application/x-www-form-urlencoded"

Outcome = Literal["done", "over"]
Form = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call to be placed.

    Attributes:
        to, from_: telephone numbers (E.164); the second is one of the account's.
        answered_url: asked for TwiML once somebody, or something, has answered.
        progress_url: told of every step of the call.
        detection_url: told who has answered, while the call goes on (asynchronous detection of answering machines);
            of a machine, when its greeting is over and a message can be left.
        ring_s: how long it rings at most.
    """

    to: str
    from_: str
    answered_url: str
    progress_url: str
    detection_url: str
    ring_s: int

    def form(self) -> Form:
        """The fields of the request. The vendor never records: that would need the other side's consent."""
        return (
            ("To", self.to),
            ("From", self.from_),
            ("Url", self.answered_url),
            ("Method", "POST"),
            ("StatusCallback", self.progress_url),
            ("StatusCallbackMethod", "POST"),
            *(("StatusCallbackEvent", event) for event in _PROGRESS),
            ("Timeout", str(self.ring_s)),
            ("MachineDetection", "DetectMessageEnd"),
            ("AsyncAmd", "true"),
            ("AsyncAmdStatusCallback", self.detection_url),
            ("AsyncAmdStatusCallbackMethod", "POST"),
        )


@dataclass(frozen=True, slots=True)
class NumberUrls:
    """Where calls of a number lead, each to be asked by POST; empty: nowhere."""

    voice: str = ""
    fallback: str = ""
    status: str = ""


@dataclass(frozen=True, slots=True)
class OwnNumber:
    """A number of the account."""

    sid: str
    number: str
    urls: NumberUrls


class TwilioRest:
    """One account's calls, messages and numbers. The token never shows in an error."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        account_sid: str,
        auth_token: str,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """
        Args:
            url: the API's origin, as in https://api.twilio.com.
            jitter: draws from 0 to 1.
        """
        self._session, self._jitter = session, jitter
        self._account = f"{url.rstrip('/')}/2010-04-01/Accounts/{account_sid}"
        self._headers = {"Authorization": aiohttp.encode_basic_auth(account_sid, auth_token)}

    # ---- a call that is under way -----------------------------------------------------------------------------------

    async def redirect(self, call_sid: str, url: str) -> Outcome:
        """Have a call go on with the TwiML at `url`, asked for by POST; a stream that it has is ended. Asked once.

        Returns:
            `over` if the call has ended, so that nobody can be reached any more.

        Raises:
            TwilioError: it was not done.
        """
        return await self._update(call_sid, [("Url", url), ("Method", "POST")], persistent=False)

    async def hang_up(self, call_sid: str) -> Outcome:
        """End a call. Tried again: nobody can be hung up on twice.

        Returns:
            `over` if it had ended before.

        Raises:
            TwilioError: it was not done.
        """
        return await self._update(call_sid, [("Status", "completed")], persistent=True)

    async def _update(self, call_sid: str, form: Form, *, persistent: bool) -> Outcome:
        path = f"/Calls/{call_sid}.json"
        try:
            await (self._persist("POST", path, form, repeatable=True) if persistent else self._ask("POST", path, form))
        except TwilioError as exc:
            if exc.code in _OVER or exc.status == 404:
                return "over"
            raise
        return "done"

    # ---- what is begun ----------------------------------------------------------------------------------------------

    async def place(self, call: NewCall) -> str:
        """Have a call placed; it is queued on return, and nothing rings yet. Tried again where that cannot place two.

        Returns:
            its CallSid.

        Raises:
            TwilioError: it was refused; or, unless it is `undone`, nobody knows whether it is placed.
        """
        return _text(await self._persist("POST", "/Calls.json", call.form(), repeatable=False), "sid")

    async def send_message(self, *, to: str, from_: str, text: str) -> str:
        """Have a text message sent. Tried again where that cannot send two.

        Returns:
            its MessageSid.

        Raises:
            ValueError: the text is empty, or longer than `LONGEST_MESSAGE`.
            TwilioError: it was refused; or, unless it is `undone`, nobody knows whether it is sent.
        """
        if not text.strip() or len(text) > LONGEST_MESSAGE:
            raise ValueError(f"a message has 1 to {LONGEST_MESSAGE} characters, and this one {len(text)}")
        form = [("To", to), ("From", from_), ("Body", text)]
        return _text(await self._persist("POST", "/Messages.json", form, repeatable=False), "sid")

    # ---- numbers ----------------------------------------------------------------------------------------------------

    async def own_number(self, number: str) -> OwnNumber | None:
        """The account's number (E.164); None if it has no such one.

        Raises:
            TwilioError: it cannot be said.
        """
        query = [("PhoneNumber", number)]
        listed = await self._persist("GET", "/IncomingPhoneNumbers.json", query, repeatable=True)
        found = listed.get("incoming_phone_numbers")
        exact = [one for one in found if one.get("phone_number") == number] if isinstance(found, list) else []
        return _own_number(exact[0]) if exact else None

    async def lead(self, number: OwnNumber, urls: NumberUrls) -> OwnNumber:
        """Have calls of a number lead elsewhere; returns it as it is then.

        Raises:
            TwilioError: it was not done.
        """
        form = [
            *(("VoiceUrl", urls.voice), ("VoiceMethod", "POST")),
            *(("VoiceFallbackUrl", urls.fallback), ("VoiceFallbackMethod", "POST")),
            *(("StatusCallback", urls.status), ("StatusCallbackMethod", "POST")),
        ]
        shown = await self._persist("POST", f"/IncomingPhoneNumbers/{number.sid}.json", form, repeatable=True)
        return _own_number(shown)

    # ---- every request ----------------------------------------------------------------------------------------------

    async def _persist(self, method: str, path: str, form: Form, *, repeatable: bool) -> Mapping[str, Any]:
        """Ask, and ask again as `back_off_s` says.

        Raises:
            TwilioError: of the last try.
        """
        tries = 0
        while True:
            try:
                return await self._ask(method, path, form)
            except TwilioError as exc:
                tries += 1
                delay_s = back_off_s(tries, exc, repeatable=repeatable, jitter=self._jitter())
                if delay_s is None:
                    raise
                await asyncio.sleep(delay_s)

    async def _ask(self, method: str, path: str, form: Form) -> Mapping[str, Any]:
        """One request; returns what it shows.

        Raises:
            TwilioError: it was refused or not answered.
        """
        given = {"params": form} if method == "GET" else {"data": aiohttp.FormData(form)}
        headers = self._headers if method == "GET" else self._headers | {"Content-Type": _FORM}
        try:
            async with (
                asyncio.timeout(LIMIT_S),
                self._session.request(
                    method,
                    self._account + path,
                    headers=headers,
                    allow_redirects=False,
                    **given,
                ) as response,
            ):
                status, text = response.status, await response.text()
                again = response.headers.get("Retry-After")
        except TimeoutError as exc:
            raise TwilioError(f"no answer within {LIMIT_S:g} s") from exc
        except aiohttp.ClientConnectorError as exc:
            raise TwilioError(f"cannot be reached ({type(exc).__name__})", asked=False) from exc
        except (aiohttp.ClientError, OSError, UnicodeError) as exc:
            raise TwilioError(f"cannot be reached ({type(exc).__name__})") from exc
        shown = _shown(text)
        if 200 <= status < 300:
            return shown
        code = shown.get("code")
        code = code if isinstance(code, int) else None
        retry_after_s = float(again) if again is not None and re.fullmatch(r"[0-9]{1,5}", again) else None
        told = f"answered {status}" + (f", code {code}" if code else "")
        raise TwilioError(told, status=status, code=code, retry_after_s=retry_after_s)


def _shown(text: str) -> Mapping[str, Any]:
    """The JSON object of a body; empty for a body that has none."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _text(shown: Mapping[str, Any], name: str) -> str:
    found = shown.get(name)
    if not isinstance(found, str):
        raise TwilioError(f"its answer has no {name}")
    return found


def _own_number(shown: Mapping[str, Any]) -> OwnNumber:
    urls = NumberUrls(*(shown.get(name) or "" for name in ("voice_url", "voice_fallback_url", "status_callback")))
    return OwnNumber(_text(shown, "sid"), _text(shown, "phone_number"), urls)
