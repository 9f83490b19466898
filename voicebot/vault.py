"""The vault of secrets that callers enter: each value sealed with a key of its call alone.

A call's key is derived from the server's secret and the CallSid (HKDF, RFC 5869), so it stands nowhere, and whoever has
only the store reads nothing. Values are sealed with AES-256-GCM (NIST SP 800-38D) under a random nonce, bound to their
call and field: one that was moved to another place does not open.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from voicebot.errors import VaultError

_PURPOSE = b"voicebot vault 1 "  # and the CallSid: no other key of ours is derived so
_KEY_BYTES = 32
_NONCE_BYTES = 12  # the length that GCM is made for


class Vault:
    """Seals and opens the secrets of calls."""

    def __init__(self, server_secret: bytes) -> None:
        self._server_secret = server_secret

    def seal(self, call_sid: str, name: str, text: str) -> bytes:
        """The value of field `name` as it may be kept: nonce, ciphertext and tag."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher(call_sid).encrypt(nonce, text.encode(), _place(call_sid, name))

    def open(self, call_sid: str, name: str, sealed: bytes) -> str:
        """The value that was sealed.

        Raises:
            VaultError: it was sealed with another secret of the server's, or for another place, or is damaged.
        """
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher(call_sid).decrypt(nonce, ciphertext, _place(call_sid, name)).decode()
        except (InvalidTag, ValueError) as exc:  # ValueError: too short to be one
            raise VaultError(call_sid, name) from exc

    def _cipher(self, call_sid: str) -> AESGCM:
        derivation = HKDF(SHA256(), _KEY_BYTES, salt=None, info=_PURPOSE + call_sid.encode())
        return AESGCM(derivation.derive(self._server_secret))


def _place(call_sid: str, name: str) -> bytes:
    return f"{call_sid}/{name}".encode()
