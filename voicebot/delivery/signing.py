"""Signatures of what we send (Standard Webhooks, symmetric scheme `v1`), made by the specification's own library."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime

SECRET_PREFIX = "whsec_"
_LEAST_BYTES, _MOST_BYTES = 24, 64

_MEND = (
    'make one with: python3 -c "import base64, secrets; '
    "print('whsec_' + base64.b64encode(secrets.token_bytes(32)).decode())\""
)


def check_secret(secret: str) -> str:
    """The secret itself, if it is one (Standard Webhooks, "Signature scheme"): `whsec_` and base64 of 24-64 bytes.

    Raises:
        ValueError: it is not. The text says what is wrong and how to mend it, and shows nothing of the secret.
    """
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError(f"must begin with {SECRET_PREFIX}; {_MEND}")
    encoded = secret.removeprefix(SECRET_PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)  # verifiers accept it unpadded
    except (binascii.Error, ValueError) as exc:
        raise ValueError(f"must be base64 after {SECRET_PREFIX}; {_MEND}") from exc
    if not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise ValueError(f"must hold {_LEAST_BYTES} to {_MOST_BYTES} bytes, not {len(key)}; {_MEND}")
    return secret


def headers(secrets: Sequence[str], webhook_id: str, timestamp: datetime, body: str) -> dict[str, str]:
    """The three headers of one attempt. `body` is exactly what is sent, as UTF-8.

    Args:
        secrets: during a rotation the new one and the old one; the receiver needs to know any of them.
        webhook_id: the same on every attempt; without a full stop, which separates the signed parts.
        timestamp: when this attempt is made.

    Raises:
        ValueError: no secret or a bad one, an id with a full stop, or a time without zone.
    """
    from standardwebhooks import Webhook  # 30 ms to import, which `voicebot --help` need not wait for

    if not secrets:
        raise ValueError("a webhook is signed with at least one secret")
    if not webhook_id or "." in webhook_id:
        raise ValueError(f"a webhook-id is not empty and has no full stop: {webhook_id!r}")
    if timestamp.tzinfo is None:
        raise ValueError("the time of an attempt needs a zone")
    at = timestamp.astimezone(UTC)  # the library takes the figures of any zone for UTC
    signatures = [Webhook(check_secret(secret)).sign(webhook_id, at, body) for secret in secrets]
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
