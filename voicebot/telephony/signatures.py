"""Is this request Twilio's? The signatures of webhooks and of Media Streams handshakes (Twilio webhooks-security docs).

Twilio signs the address it was told to call, and the sorted form fields of a POST, with HMAC-SHA1 under the account's
auth token. The address is put together from the configured public origin alone: `Host` and `X-Forwarded-*` are the
sender's word. Twilio is not consistent about a default port and a trailing slash, so a few spellings are tried.

The vendor's `RequestValidator` computes; the spellings and the comparison are ours, because its `validate` raises
TypeError without a signature, adds port 80 to `wss`, and breaks addresses with user and port.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from voicebot.errors import RefusedRequestError

if TYPE_CHECKING:
    from twilio.request_validator import RequestValidator

_DEFAULT_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}
_STREAM_SCHEMES = {"https": "wss", "http": "ws"}
_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{27}=", re.ASCII)  # base64 of the 20 bytes of SHA-1
_LONGEST_PATH = 4096  # characters, query included
_MOST_FIELDS = 1000  # Twilio sends some sixty


class SignatureChecker:
    """Checks `X-Twilio-Signature` under any of several auth tokens (so that one can be rotated)."""

    def __init__(self, auth_tokens: Sequence[str], public_url: str) -> None:
        """
        Args:
            auth_tokens: blank ones are left out, since anybody can sign with an empty key; with none left, everything
                is refused.
            public_url: origin as Twilio sees it, `http(s)://host[:port]`, with a path if a proxy puts one before ours.

        Raises:
            ValueError: `public_url` is not such an address.
        """
        url = urlsplit(public_url)
        if url.scheme not in _STREAM_SCHEMES or not url.hostname or url.query or url.fragment:
            raise ValueError("public_url must be http(s)://host[:port][/path]")
        self._validators = _validators(token.strip() for token in auth_tokens)
        path = url.path.rstrip("/")
        self._webhook_origins = [origin + path for origin in _origins(url.scheme, url.netloc, url.port)]
        stream_scheme = _STREAM_SCHEMES[url.scheme]
        self._stream_origins = [origin + path for origin in _origins(stream_scheme, url.netloc, url.port)]

    def check_webhook(self, path_and_query: str, parameters: Mapping[str, object], signature: str | None) -> None:
        """Check a webhook.

        Args:
            path_and_query: as it stood on the request line, not decoded (aiohttp's `request.raw_path`).
            parameters: all fields of the form, a multidict where names repeat; empty for a GET.
            signature: the header, None when it is missing.

        Raises:
            RefusedRequestError: the request is not Twilio's; the text says what to look at.
        """
        form = _Form()
        for position, (name, value) in enumerate(parameters.items()):
            if not isinstance(value, str) or position >= _MOST_FIELDS:
                raise RefusedRequestError("the form holds a file or too many fields: Twilio sends neither")
            form.setdefault(name, []).append(value)
        _check_path(path_and_query)
        self._check([origin + path_and_query for origin in self._webhook_origins], form, signature)

    def check_handshake(self, path: str, signature: str | None) -> None:
        """Check the WebSocket handshake of a stream, before it is answered; `path` as on the request line.

        Raises:
            RefusedRequestError: the handshake is not Twilio's; the text says what to look at.
        """
        _check_path(path)
        bare = path.rstrip("/")
        urls = [origin + spelling for origin in self._stream_origins for spelling in (bare, bare + "/")]
        self._check(urls, _Form(), signature)

    def _check(self, urls: Sequence[str], form: _Form, signature: str | None) -> None:
        if not self._validators:
            raise RefusedRequestError("no auth token is configured: set TWILIO_AUTH_TOKEN")
        if not signature:
            raise RefusedRequestError("X-Twilio-Signature is missing: the request is not Twilio's, or a proxy drops it")
        if _SIGNATURE.fullmatch(signature) is None:
            raise RefusedRequestError("X-Twilio-Signature is malformed")
        try:
            held = any(
                hmac.compare_digest(validator.compute_signature(url, form), signature)
                for validator in self._validators
                for url in urls
            )
        except UnicodeEncodeError as exc:
            raise RefusedRequestError("the address or the form is not valid Unicode") from exc
        if not held:
            shown = ascii(urls[0].partition("?")[0][:200])
            raise RefusedRequestError(
                f"X-Twilio-Signature does not hold for {shown}: check that VOICEBOT_PUBLIC_URL is the origin that"
                " Twilio calls, and that TWILIO_AUTH_TOKEN is of the account that owns the call"
            )


class _Form(dict[str, list[str]]):
    """Form fields, values by name, in the shape from which `RequestValidator` reads repeated names."""

    def getlist(self, name: str) -> list[str]:
        return self[name]


def _validators(tokens: Iterable[str]) -> list[RequestValidator]:
    from twilio.request_validator import RequestValidator

    return [RequestValidator(token) for token in tokens if token]


def _origins(scheme: str, netloc: str, port: int | None) -> list[str]:
    """The spellings of an origin: as configured, and without its port or with the scheme's own."""
    if port is None:
        return [f"{scheme}://{netloc}", f"{scheme}://{netloc}:{_DEFAULT_PORTS[scheme]}"]
    return [f"{scheme}://{netloc}", f"{scheme}://{netloc.removesuffix(f':{port}')}"]


def _check_path(path: str) -> None:
    if not path.startswith("/") or len(path) > _LONGEST_PATH:
        raise RefusedRequestError("the request's target is not a path of this server, or too long")


def sign_webhook(auth_token: str, url: str, parameters: Mapping[str, str]) -> str:
    """What Twilio would sign a webhook to `url` with: to try out whether it would be believed."""
    from twilio.request_validator import RequestValidator

    return str(RequestValidator(auth_token).compute_signature(url, dict(parameters)))
