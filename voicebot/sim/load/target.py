"""A server to call: what it is asked and how that is signed, and where it is really reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from yarl import URL

from voicebot.sim.account import AUTH_TOKEN
from voicebot.sim.carrier import Carrier

CALLED = "+15550100000"
VOICE_PATH = "/twilio/voice"
_STATUS_PATH = "/twilio/status"


@dataclass(frozen=True)
class Target:
    """
    Attributes:
        voice_url: the voice webhook, as the phone line knows it.
        called: the number that is dialled.
        via: where public hosts are reached in the clear, as `Carrier` has it.
        places: where single paths are reached instead, as a proxy maps the streams of single workers.
    """

    voice_url: str
    auth_token: str = field(default=AUTH_TOKEN, repr=False)
    called: str = CALLED
    via: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)

    @property
    def status_url(self) -> str:
        """Where a call's end is told."""
        return urlunsplit(urlsplit(self.voice_url)._replace(path=_STATUS_PATH, query=""))

    def headers(self, url: str, fields: Mapping[str, str] | None = None) -> dict[str, str]:
        """Headers of a request, signed over the public address."""
        return self._carrier().headers(url, fields)

    def route(self, url: str) -> URL:
        """Where a request for this public address really goes."""
        route = self._carrier().route(url)
        if (place := self.places.get(route.path)) is None:
            return route
        host, _, port = place.rpartition(":")
        return route.with_host(host).with_port(int(port))

    def _carrier(self) -> Carrier:
        return Carrier(self.auth_token, via=self.via)


def voice_url(given: str) -> str:
    """The voice webhook of a server, of which only the origin may be given.

    Raises:
        ValueError: it is no http(s) address.
    """
    parts = urlsplit(given)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{given!r} is no address: write it as in https://voice.example.com")
    return given if parts.path.strip("/") else urlunsplit(parts._replace(path=VOICE_PATH))
