"""Signatures, judged by the specification's vector and its library's verifier."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from voicebot.delivery.signing import check_secret, headers

VECTOR = json.loads((Path(__file__).parents[1] / "samples/standard_webhooks/vector.json").read_text())
SENT = datetime.fromtimestamp(int(VECTOR["webhook-timestamp"]), UTC)


def secret_of(size: int, *, fill: bytes = b"k") -> str:
    return "whsec_" + base64.b64encode(fill * size).decode()


def test_headers_match_published_vector() -> None:
    assert headers([VECTOR["secret"]], VECTOR["webhook-id"], SENT, VECTOR["body"]) == {
        name: VECTOR[name] for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    }


def test_rotation_signs_with_every_secret() -> None:
    new, old = secret_of(32, fill=b"n"), secret_of(24, fill=b"o")
    sent = headers([new, old], "msg_1", datetime.now(UTC), '{"text": "perché"}')
    for known in (new, old):
        Webhook(known).verify('{"text": "perché"}'.encode(), sent)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_of(24, fill=b"x")).verify('{"text": "perché"}', sent)


def test_any_zone_gives_the_same_signature() -> None:
    rome = SENT.astimezone(timezone(timedelta(hours=2)))
    assert headers([VECTOR["secret"]], "msg_1", rome, "{}") == headers([VECTOR["secret"]], "msg_1", SENT, "{}")


def test_fraction_of_second_is_dropped_everywhere() -> None:
    late = SENT + timedelta(milliseconds=999)
    assert headers([VECTOR["secret"]], "msg_1", late, "{}") == headers([VECTOR["secret"]], "msg_1", SENT, "{}")


@pytest.mark.parametrize(
    ("secrets", "webhook_id", "moment", "words"),
    [
        ([], "msg_1", SENT, "at least one secret"),
        (["whsec_short"], "msg_1", SENT, "24 to 64 bytes|base64"),
        ([secret_of(24)], "msg.1", SENT, "full stop"),
        ([secret_of(24)], "", SENT, "not empty"),
        ([secret_of(24)], "msg_1", SENT.replace(tzinfo=None), "zone"),
    ],
)
def test_unsignable_is_refused(secrets: list[str], webhook_id: str, moment: datetime, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        headers(secrets, webhook_id, moment, "{}")


@pytest.mark.parametrize(
    "secret",
    [secret_of(24), secret_of(64), secret_of(32).rstrip("="), VECTOR["secret"]],
    ids=["least", "most", "unpadded", "vector"],
)
def test_sound_secret_is_accepted(secret: str) -> None:
    assert check_secret(secret) == secret


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("", "must begin with whsec_"),
        (secret_of(24).removeprefix("whsec_"), "must begin with whsec_"),
        ("whsk_" + "A" * 32, "must begin with whsec_"),
        ("whsec_", "24 to 64 bytes, not 0"),
        (secret_of(23), "24 to 64 bytes, not 23"),
        (secret_of(65), "24 to 64 bytes, not 65"),
        ("whsec_" + "-_" * 20, "must be base64"),
        ("whsec_" + "A" * 33, "must be base64"),
        ("whsec_" + "é" * 32, "must be base64"),
        (secret_of(24) + "\n", "must be base64"),
    ],
)
def test_bad_secret_is_told_apart(secret: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        check_secret(secret)
    assert "make one with" in str(refusal.value)
    assert len(secret) < 10 or secret.removeprefix("whsec_") not in str(refusal.value)
