"""A caller's secret opens with the server's secret, for its own call and field, and in no other way."""

from __future__ import annotations

import pytest

from voicebot.errors import VaultError
from voicebot.vault import Vault

VAULT = Vault(b"the server's secret")
CARD = '"4111111111111111"'


def test_what_was_sealed_opens_again() -> None:
    assert VAULT.open("CA1", "card", VAULT.seal("CA1", "card", CARD)) == CARD
    assert Vault(b"the server's secret").open("CA1", "card", VAULT.seal("CA1", "card", CARD)) == CARD


def test_sealed_value_tells_nothing() -> None:
    first, second = VAULT.seal("CA1", "card", CARD), VAULT.seal("CA1", "card", CARD)
    assert first != second
    assert b"4111" not in first


@pytest.mark.parametrize(("call_sid", "name"), [("CA2", "card"), ("CA1", "pin")])
def test_value_opens_in_its_own_place_alone(call_sid: str, name: str) -> None:
    with pytest.raises(VaultError, match="does not open"):
        VAULT.open(call_sid, name, VAULT.seal("CA1", "card", CARD))


def test_other_server_opens_nothing() -> None:
    with pytest.raises(VaultError):
        Vault(b"another secret").open("CA1", "card", VAULT.seal("CA1", "card", CARD))


@pytest.mark.parametrize("damage", [lambda one: one[:-1], lambda one: one[:5], lambda one: b"", lambda one: one + b"x"])
def test_damaged_value_does_not_open(damage: object) -> None:
    assert callable(damage)
    with pytest.raises(VaultError):
        VAULT.open("CA1", "card", damage(VAULT.seal("CA1", "card", CARD)))
