"""One attempt at a delivery: a signed POST, and its outcome in our words."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from voicebot import __version__
from voicebot.errors import DeliveryError
from voicebot.store.contract import Delivery

from .guard import AddressGuard, RefusedAddressError
from .keys import SETTING as KEYS_SETTING
from .keys import Keyring
from .signing import headers

LIMIT_S = 15.0  # Standard Webhooks asks for 15 to 30 s
ANSWER_LIMIT_BYTES = 16 * 1024  # of an answer we read so much, only to keep its connection usable


def open_session(guard: AddressGuard) -> aiohttp.ClientSession:
    """A session fit for talking to strangers: guarded, few connections, no cookies from one attempt to the next."""
    connector = aiohttp.TCPConnector(
        limit=64, limit_per_host=8, resolver=aiohttp.ThreadedResolver(), socket_factory=guard.make_socket
    )
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), connector=connector)


class WebhookPost:
    """Posts deliveries. A call returns the 2xx status or raises `DeliveryError`; it takes `limit_s` at most."""

    def __init__(
        self,
        guard: AddressGuard,
        keys: Keyring,
        now: Callable[[], datetime],
        *,
        limit_s: float = LIMIT_S,
    ) -> None:
        self._session, self._guard = open_session(guard), guard
        self._keys, self._now, self._limit_s = keys, now, limit_s
        # Without the threshold aiohttp rounds a limit of 5 s or more up to whole seconds of the loop's clock.
        self._timeout = aiohttp.ClientTimeout(total=limit_s, ceil_threshold=math.inf)

    async def __call__(self, delivery: Delivery) -> int:
        """Make one attempt, signed at this moment.

        Raises:
            DeliveryError: any outcome but 2xx (Standard Webhooks); a redirect is one and is not followed.
        """
        url, sent = delivery.url, request_headers(delivery, self._keys, self._now())
        try:
            with self._guard.connecting(url):
                async with self._session.post(
                    url, data=delivery.body.encode(), headers=sent, timeout=self._timeout, allow_redirects=False
                ) as response:
                    await _read_some(response.content)
                    status, retry_after = response.status, response.headers.get("Retry-After", "")
        except TimeoutError as exc:
            raise DeliveryError(url, f"no answer within {self._limit_s:g} s") from exc
        except (aiohttp.ClientError, OSError, UnicodeError) as exc:  # UnicodeError: no name of a host
            raise DeliveryError(url, _reason(exc)) from exc
        if 200 <= status < 300:
            return status
        raise DeliveryError(
            url, f"answered {status}", status=status, retry_after_s=parse_retry_after(retry_after, self._now())
        )

    async def close(self) -> None:
        """Close the connections that are kept for the next delivery."""
        await self._session.close()


def request_headers(delivery: Delivery, keys: Keyring, now: datetime) -> dict[str, str]:
    """The headers of an attempt made `now`.

    Raises:
        DeliveryError: a key that it needs is not set.
    """
    if not (secrets := keys.signing(delivery.secret)):
        named = f" as {delivery.secret!r} in {KEYS_SETTING}" if delivery.secret else ""
        raise DeliveryError(delivery.url, f"no secret is set{named} to sign it with")
    sent = headers(secrets, delivery.webhook_id, now, delivery.body) | {
        "Content-Type": "application/json",
        "User-Agent": f"voicebot/{__version__}",
        "Accept-Encoding": "identity",  # a compressed answer could unpack to any size
    }
    if not delivery.bearer:
        return sent
    if (token := keys.bearer(delivery.bearer)) is None:
        raise DeliveryError(delivery.url, f"no token is set as {delivery.bearer!r} in {KEYS_SETTING}")
    return sent | {"Authorization": f"Bearer {token}"}


def parse_retry_after(text: str, now: datetime) -> float | None:
    """Seconds from `now` that a `Retry-After` header asks for (RFC 9110, 10.2.3); None if it says nothing we know."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)  # "-0000": a time in UTC whose zone is not told
    return max((moment - now).total_seconds(), 0.0)


async def _read_some(content: aiohttp.StreamReader) -> None:
    """Take a short answer off the connection, so that it serves the next delivery; a longer one closes it.

    Nothing in an answer's body, and no trouble with it, changes what its status said.
    """
    size = 0
    with contextlib.suppress(aiohttp.ClientError, OSError):
        while size < ANSWER_LIMIT_BYTES and (chunk := await content.read(ANSWER_LIMIT_BYTES)):
            size += len(chunk)


def _reason(exc: Exception) -> str:
    """Why no answer came; without the URL, whose path or query may be a secret."""
    match exc:
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError() | UnicodeError():
            return "is not an http or https address"
        case aiohttp.ClientConnectorError(os_error=RefusedAddressError() as refused):
            return str(refused.strerror)
        case aiohttp.ServerDisconnectedError():
            return "closed the connection without an answer"
        case aiohttp.ClientResponseError():  # its text holds the URL
            return "answered something that is not HTTP"
        case _:
            return str(exc) or type(exc).__name__
