"""Secrets in bodies: a placeholder until a delivery is posted, the value in the posted body alone.

The report, the outbox and whoever reads them hold no secret. A receiver that is declared for one has a placeholder in
its body, which is filled out of the call's vault at each attempt, in memory.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from voicebot.engine.entries import SECRET
from voicebot.errors import DeliveryError, StoreError, VaultError
from voicebot.store.contract import Delivery

_PREFIX = "vault:"

ReadVault = Callable[[str], Awaitable[Mapping[str, bytes]]]
"""Of a CallSid: what is in the call's vault, sealed."""
OpenSealed = Callable[[str, str, bytes], str]
"""Of a CallSid, a field and its sealed value: the value as JSON text. Raises `VaultError`."""


def with_placeholders(body: Mapping[str, Any], names: Collection[str]) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """An event's body with a placeholder for each of these secrets that the caller has entered, and which those are."""
    observations = body["data"].get("observations") or {}
    entered = tuple(name for name in observations if name in names and observations[name] == SECRET)
    if not entered:
        return body, ()
    filled = {**observations, **{name: _PREFIX + name for name in entered}}
    return {**body, "data": {**body["data"], "observations": filled}}, entered


def filled(body: str, values: Mapping[str, Any]) -> str:
    """A body's JSON text with the values in the place of their placeholders.

    A placeholder is a whole text of its own, wherever the receiver's body function has put it.
    """
    places = {_PREFIX + name: value for name, value in values.items()}
    return json.dumps(_filled(json.loads(body), places), ensure_ascii=False, separators=(",", ":"))


def _filled(value: Any, places: Mapping[str, Any]) -> Any:
    match value:
        case str():
            return places.get(value, value)
        case list():
            return [_filled(one, places) for one in value]
        case dict():
            return {name: _filled(one, places) for name, one in value.items()}
    return value


class FillingPost:
    """Posts deliveries with what their receivers are to get out of the vault; of what was erased, `***`."""

    def __init__(
        self, post: Callable[[Delivery], Awaitable[int]], read_vault: ReadVault, open_sealed: OpenSealed
    ) -> None:
        self._post, self._read_vault, self._open = post, read_vault, open_sealed

    async def __call__(self, delivery: Delivery) -> int:
        """Make one attempt.

        Raises:
            DeliveryError: as the post itself does; or the vault cannot be read or opened now.
        """
        if not delivery.secrets:
            return await self._post(delivery)
        try:
            sealed = await self._read_vault(delivery.call_sid)
            opened = {
                name: json.loads(self._open(delivery.call_sid, name, sealed[name])) if name in sealed else SECRET
                for name in delivery.secrets
            }
        except (StoreError, VaultError) as exc:
            raise DeliveryError(delivery.url, f"its secrets cannot be had: {exc}") from exc
        return await self._post(replace(delivery, body=filled(delivery.body, opened)))
