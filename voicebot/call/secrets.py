"""A call's secrets on their way to the store: sealed at once, and kept as soon as the store can."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from voicebot.errors import CallTakenError, StoreError
from voicebot.log_events import named

log = logging.getLogger(__name__)

Seal = Callable[[str, str, str], bytes]
"""Of a CallSid, a field and its value (JSON text): the value as it may be kept."""


class SecretStore(Protocol):
    """The part of a store that keeps a call's secrets."""

    async def keep_secret(self, call_sid: str, name: str, sealed: bytes, *, attempt: int) -> None: ...


class CallSecrets:
    """The secrets of one call."""

    def __init__(self, call_sid: str, store: SecretStore, seal: Seal, *, attempt: int) -> None:
        self._call_sid, self._store, self._seal, self._attempt = call_sid, store, seal, attempt
        self._unkept: dict[str, bytes] = {}

    @property
    def unkept(self) -> Mapping[str, bytes]:
        """Those that the store did not take, sealed; they go with the report."""
        return self._unkept

    async def keep(self, name: str, text: str) -> None:
        """Seal the value of a field and have the store keep it, with those that it did not take before.

        Raises:
            CallTakenError: the call is in other hands.
        """
        self._unkept[name] = self._seal(self._call_sid, name, text)
        try:
            for waiting, sealed in list(self._unkept.items()):
                await self._store.keep_secret(self._call_sid, waiting, sealed, attempt=self._attempt)
                del self._unkept[waiting]
        except CallTakenError:
            raise
        except StoreError as exc:
            log.warning("a secret is kept later: %s", exc, extra=named("store_secret_not_kept", self._call_sid))
