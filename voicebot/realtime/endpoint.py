"""Where a session is opened, and how a key is shown there."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from voicebot.errors import ModelUnavailableError

_AZURE = ".openai.azure.com"
_NAMES_THE_MODEL = ("model", "deployment")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address to connect to. `key_header` is the header that carries the key."""

    address: str
    key_header: str

    def headers(self, api_key: str) -> dict[str, str]:
        """Give the headers of the handshake; an empty key gives none.

        `OpenAI-Beta` is never among them: with it the server refuses the session.

        Raises:
            ModelUnavailableError: no header can carry this key.
        """
        if not api_key:
            return {}
        if not (api_key.isascii() and api_key.isprintable()):
            raise ModelUnavailableError("the API key holds characters that no key has", retryable=False)
        return {self.key_header: f"Bearer {api_key}" if self.key_header == "Authorization" else api_key}


def endpoint(url: str, model: str) -> Endpoint:
    """Make the address of a session with `model`, on Azure the name of a deployment.

    Raises:
        ModelUnavailableError: the URL is not a WebSocket's, holds a user, or would send key and audio unencrypted over
            a network.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port, host.encode("idna")  # refuse what is no port number and no host name
    except ValueError as exc:
        raise ModelUnavailableError("the model's URL is not a URL", retryable=False) from exc
    if parts.scheme not in ("ws", "wss") or not host:
        raise ModelUnavailableError("the model's URL does not begin with wss://", retryable=False)
    if parts.username is not None:
        raise ModelUnavailableError("the model's URL holds a user; the key belongs in its own setting", retryable=False)
    if parts.scheme == "ws" and not _is_loopback(host):
        raise ModelUnavailableError("the model's URL is ws:// and not on loopback: use wss://", retryable=False)
    query = parse_qsl(parts.query, keep_blank_values=True)
    if not any(name in _NAMES_THE_MODEL for name, _ in query):
        query.append(("model", model))
    address = urlunsplit((parts.scheme, parts.netloc, parts.path or "/", urlencode(query), ""))
    return Endpoint(address, "api-key" if host.endswith(_AZURE) else "Authorization")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
