"""A secret stands in the posted body of its receiver alone: a placeholder before, `***` elsewhere and afterwards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from voicebot.delivery.placeholders import FillingPost, filled, with_placeholders
from voicebot.errors import DeliveryError, StoreError
from voicebot.store.contract import Delivery
from voicebot.vault import Vault

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
VAULT = Vault(b"the server's secret")
BODY = {"type": "call.completed", "data": {"observations": {"name": "Ada", "card": "***", "pin": None}}}
CARD = {"card": VAULT.seal("CA1", "card", '"4111"')}


def delivery(*secrets: str) -> Delivery:
    body = '{"card":"vault:card","pins":["vault:pin"],"said":"vault:card, please"}'
    return Delivery("msg_1", "CA1", "https://bank.example", body, "pending", 0, NOW, NOW, secrets=secrets)


async def posted(sent: Delivery, sealed: Mapping[str, bytes]) -> str:
    bodies: list[str] = []

    async def post(one: Delivery) -> int:
        bodies.append(one.body)
        return 204

    async def read(call_sid: str) -> Mapping[str, bytes]:
        assert call_sid == "CA1"
        return sealed

    assert await FillingPost(post, read, VAULT.open)(sent) == 204
    (body,) = bodies
    return body


def test_only_what_was_entered_gets_a_placeholder() -> None:
    body, names = with_placeholders(BODY, ("card", "pin", "nowhere"))
    assert body["data"]["observations"] == {"name": "Ada", "card": "vault:card", "pin": None}
    assert names == ("card",)
    assert BODY["data"]["observations"]["card"] == "***"  # type: ignore[index]


@pytest.mark.parametrize("body", [BODY, {"type": "call.started", "data": {}}])
def test_undeclared_receiver_has_no_placeholder(body: Mapping[str, object]) -> None:
    assert with_placeholders(body, ()) == (body, ())


def test_placeholder_is_a_whole_text() -> None:
    body = filled('{"a": ["vault:card", "vault:cards", 1, null], "b": {"vault:card": "vault:card"}}', {"card": "4111"})
    assert json.loads(body) == {"a": ["4111", "vault:cards", 1, None], "b": {"vault:card": "4111"}}


async def test_body_is_filled_as_it_is_posted() -> None:
    body = await posted(delivery("card"), CARD)
    assert json.loads(body) == {"card": "4111", "pins": ["vault:pin"], "said": "vault:card, please"}


async def test_body_without_secrets_is_posted_as_it_is() -> None:
    assert await posted(delivery(), CARD) == delivery().body


async def test_erased_secret_is_masked() -> None:
    assert json.loads(await posted(delivery("card"), {}))["card"] == "***"


async def test_secret_that_does_not_open_is_tried_again() -> None:
    with pytest.raises(DeliveryError, match="its secrets cannot be had"):
        await posted(delivery("card"), {"card": b"something else, and long enough"})


async def test_vault_that_cannot_be_read_is_tried_again() -> None:
    async def read(call_sid: str) -> Mapping[str, bytes]:
        raise StoreError("the disk is full")

    async def post(one: Delivery) -> int:
        raise AssertionError

    with pytest.raises(DeliveryError, match="the disk is full"):
        await FillingPost(post, read, VAULT.open)(delivery("card"))
