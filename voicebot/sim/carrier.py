"""The carrier's HTTP side: signed forms, time limits, redirects (Twilio webhooks and webhooks-security docs).

The signature is computed here from the documentation alone, not by the vendor's library, which the server may use.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from math import ceil
from typing import TypedDict
from urllib.parse import urldefrag, urlencode, urljoin, urlsplit, urlunsplit

import aiohttp
from yarl import URL

from .line import SignatureFault

ANSWER_LIMIT_S = 15.0
CONNECT_LIMIT_S = 5.0
MOST_REDIRECTS = 10
_PLAIN_SCHEMES = {"https": "http", "wss": "ws"}


def signature(auth_token: str, url: str, fields: Mapping[str, str] | None = None) -> str:
    """The value of X-Twilio-Signature: HMAC-SHA1 over the URL and the sorted form fields, in base64."""
    signed = url + "".join(name + value for name, value in sorted((fields or {}).items()))
    return base64.b64encode(hmac.digest(auth_token.encode(), signed.encode(), hashlib.sha1)).decode()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `error` begins with the vendor's code when the request failed; `status` None: no answer."""

    url: str
    status: int | None
    took_ms: float
    content_type: str = ""
    body: str = ""
    error: str | None = None


class Trusted(TypedDict):
    """Arguments of aiohttp's: whose certificates are good (True: those that the system trusts), and for which host."""

    ssl: ssl.SSLContext | bool
    server_hostname: str | None


class Carrier:
    """Sends requests to a server as the carrier does; never raises for what the server does.

    Args:
        auth_token: the key of signatures.
        via: where public hosts are reached, as in `{"agent.example.com": "127.0.0.1:8080"}`: such requests travel in
            the clear with the public Host header, as behind a proxy that ends TLS. Others go where they point to.
        trust: whose certificates are believed; then such requests travel over TLS as they would, to a proxy.
        signature_fault: how requests are signed.
    """

    def __init__(
        self,
        auth_token: str,
        *,
        via: Mapping[str, str] | None = None,
        trust: ssl.SSLContext | None = None,
        signature_fault: SignatureFault = "valid",
    ) -> None:
        self._auth_token = auth_token
        self._via, self._trust = dict(via or {}), trust
        self._signature_fault = signature_fault

    async def request(
        self, session: aiohttp.ClientSession, url: str, fields: Mapping[str, str], method: str = "POST"
    ) -> Answer:
        """Send a signed request, follow redirects, and wait at most 15 s for the whole answer."""
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        url = urldefrag(url).url  # the fragment holds limits for the carrier, and is not sent
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                status, content_type, body = await self._exchange(session, url, fields, method)
        except TimeoutError:
            return Answer(url, None, (loop.time() - asked_at) * 1000, error=f"11205 - no answer in {ANSWER_LIMIT_S} s")
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            return Answer(url, None, (loop.time() - asked_at) * 1000, error=f"11205 - connection failure: {exc!r}")
        error = None if 200 <= status < 300 else f"11200 - got HTTP {status}"
        return Answer(url, status, (loop.time() - asked_at) * 1000, content_type, body, error)

    def headers(self, url: str, fields: Mapping[str, str] | None = None) -> dict[str, str]:
        """Headers of a request to `url`, which is what is signed, wherever it is reached."""
        headers = {"User-Agent": "TwilioProxy/1.1"}
        if self._signature_fault != "missing":
            token = self._auth_token if self._signature_fault == "valid" else f"not {self._auth_token}"
            headers["X-Twilio-Signature"] = signature(token, url, fields)
        if urlsplit(url).netloc in self._via:
            headers["Host"] = urlsplit(url).netloc
            if self._trust is None:
                headers["X-Forwarded-Proto"] = "https"
        return headers

    def route(self, url: str) -> URL:
        """Where a public address is really reached; its path and query are sent as they are written."""
        parts = urlsplit(url)
        if parts.netloc in self._via:
            scheme = _PLAIN_SCHEMES.get(parts.scheme, parts.scheme) if self._trust is None else parts.scheme
            url = urlunsplit(parts._replace(scheme=scheme, netloc=self._via[parts.netloc]))
        return URL(url, encoded=True)

    def trusted(self, url: str) -> Trusted:
        """How the certificate of who is asked is looked at, as aiohttp wants to know it."""
        if self._trust is None or urlsplit(url).netloc not in self._via:
            return {"ssl": True, "server_hostname": None}
        return {"ssl": self._trust, "server_hostname": urlsplit(url).hostname}

    async def _exchange(
        self, session: aiohttp.ClientSession, url: str, fields: Mapping[str, str], method: str
    ) -> tuple[int, str, str]:
        for _ in range(MOST_REDIRECTS + 1):
            if method == "GET" and fields:
                url, fields = url + ("&" if urlsplit(url).query else "?") + urlencode(fields), {}
            async with session.request(
                method,
                self.route(url),
                data=dict(fields) if method == "POST" else None,
                headers=self.headers(url, fields),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(connect=CONNECT_LIMIT_S),
                **self.trusted(url),
            ) as response:
                location = response.headers.get("Location")
                if location is None or response.status not in (301, 302, 303, 307, 308):
                    return response.status, response.content_type, await response.text(errors="replace")
                url = urljoin(url, location)
                if response.status < 307:
                    method, fields = "GET", {}
        raise ValueError(f"more than {MOST_REDIRECTS} redirects")


@dataclass(frozen=True, slots=True)
class CallForms:
    """The form fields of everything the carrier posts about one call (Twilio voice request parameters)."""

    account_sid: str
    call_sid: str
    to: str
    from_: str
    direction: str = "inbound"

    def voice(self) -> dict[str, str]:
        """The first request, while the phone rings."""
        fields = self.call("ringing")
        if self.from_.startswith("+"):
            for end in ("From", "Caller"):
                fields |= _place(end, "SAN FRANCISCO", "94105")
            for end in ("To", "Called"):
                fields |= _place(end, "OAKLAND", "94607")
            fields["CallToken"] = "%7B%22parentCallInfoToken%22%3A%22abc%22%7D"
            fields["StirVerstat"] = "TN-Validation-Passed-A"
        return fields

    def call(self, status: str = "in-progress") -> dict[str, str]:
        """What every later request about the call begins with."""
        return {
            "AccountSid": self.account_sid,
            "ApiVersion": "2010-04-01",
            "CallSid": self.call_sid,
            "CallStatus": status,
            "Direction": self.direction,
            "From": self.from_,
            "To": self.to,
            "Caller": self.from_,
            "Called": self.to,
        }

    def progress(self, status: str, number: int, wall: datetime) -> dict[str, str]:
        """A status callback, the `number`-th of its call."""
        return self.call(status) | {
            "CallbackSource": "call-progress-events",
            "SequenceNumber": str(number),
            "Timestamp": format_datetime(wall),
        }

    def answered(self, callee_sid: str, address: str, shown: str) -> dict[str, str]:
        """What is posted for the words that somebody hears who was rung for the caller: it is a call of its own."""
        callee = CallForms(self.account_sid, callee_sid, address, shown).call()
        return callee | {"Direction": "outbound-dial", "ParentCallSid": self.call_sid}

    def detected(self, answered_by: str, took_s: float) -> dict[str, str]:
        """Who has answered, as found out while the call goes on."""
        return {
            "AccountSid": self.account_sid,
            "CallSid": self.call_sid,
            "AnsweredBy": answered_by,
            "MachineDetectionDuration": str(round(took_s * 1000)),
        }

    def ended(self, status: str, duration_s: float, wall: datetime, number: int = 0) -> dict[str, str]:
        """The last status callback. An inbound number reports its end alone, so its sequence number is the first."""
        return self.progress(status, number, wall) | {
            "CallDuration": str(ceil(duration_s)),
            "Duration": str(ceil(duration_s / 60)),
            "SipResponseCode": "200",
        }

    def recorded(self, recording_sid: str, length_s: int, key: str) -> dict[str, str]:
        """What goes to the action of `<Record>` beside the fields of every request; `key` may be `hangup`."""
        return {
            "RecordingSid": recording_sid,
            "RecordingUrl": self._recording_url(recording_sid),
            "RecordingDuration": str(length_s),
            "Digits": key,
        }

    def recording(self, recording_sid: str, length_s: int, began: datetime) -> dict[str, str]:
        """A recording's status callback, when it can be fetched."""
        return {
            "AccountSid": self.account_sid,
            "CallSid": self.call_sid,
            "RecordingSid": recording_sid,
            "RecordingUrl": self._recording_url(recording_sid),
            "RecordingStatus": "completed",
            "RecordingDuration": str(length_s),
            "RecordingChannels": "1",
            "RecordingSource": "RecordVerb",
            "RecordingStartTime": format_datetime(began),
            "RecordingTrack": "inbound",
            "ErrorCode": "0",
        }

    def _recording_url(self, recording_sid: str) -> str:
        return f"https://api.twilio.com/2010-04-01/Accounts/{self.account_sid}/Recordings/{recording_sid}"

    def stream(
        self, event: str, stream_sid: str, name: str | None, wall: datetime, error: str | None
    ) -> dict[str, str]:
        """A stream's status callback: `event` is stream-started, stream-stopped or stream-error."""
        fields = {
            "AccountSid": self.account_sid,
            "CallSid": self.call_sid,
            "StreamSid": stream_sid,
            "StreamName": name or stream_sid,
            "Timestamp": wall.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "StreamEvent": event,
        }
        return fields | {"StreamError": error} if error else fields


def _place(end: str, city: str, zip_code: str) -> dict[str, str]:
    return {f"{end}City": city, f"{end}State": "CA", f"{end}Zip": zip_code, f"{end}Country": "US"}
