"""What every store promises of calls' vaults: kept durably, by who has the call, and emptied when nobody needs them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.store.store_samples import START, THEIRS, new_delivery, opened
from voicebot.errors import CallTakenError
from voicebot.store.contract import NewDelivery, Store

OpenAgain = Callable[[], Awaitable[Store]]
SEALED = bytes(range(256))  # any bytes


def with_secrets(webhook_id: str = "msg_1", url: str = "https://bank.example/in") -> NewDelivery:
    return replace(new_delivery(webhook_id, url), secrets=("card", "pin"))


async def kept(store: Store, *deliveries: NewDelivery, call_sid: str = "CA1") -> None:
    """A call with a card in its vault has ended with these deliveries."""
    await opened(store, call_sid)
    await store.keep_secret(call_sid, "card", SEALED, attempt=1)
    assert await store.finish(call_sid, "{}", deliveries, attempt=1, ended=START)


async def failed(store: Store, webhook_id: str, next_at: datetime | None, *, disable: bool = False) -> None:
    await store.failed(webhook_id, START, "answered 500", attempt=1, next_at=next_at, disable=disable)


async def test_secret_is_there_for_every_instance(store: Store, open_again: OpenAgain) -> None:
    await opened(store, "CA1", "CA2")
    await store.keep_secret("CA1", "card", SEALED, attempt=1)
    await store.keep_secret("CA1", "pin", b"\x00\xff", attempt=1)
    other = await open_again()
    assert await other.secrets("CA1") == {"card": SEALED, "pin": b"\x00\xff"}
    assert await other.secrets("CA2") == {}


async def test_last_value_of_a_name_stands(store: Store) -> None:
    await opened(store, "CA1")
    await store.keep_secret("CA1", "card", b"first", attempt=1)
    await store.keep_secret("CA1", "card", b"second", attempt=1)
    assert await store.secrets("CA1") == {"card": b"second"}


async def test_secret_is_taken_only_of_who_has_the_call(store: Store) -> None:
    await opened(store, "CA1")
    assert await store.take_over("CA1", 1, THEIRS, token_issued_at=1) is not None
    for call_sid, attempt in (("CA1", 1), ("CA-unknown", 1)):
        with pytest.raises(CallTakenError):
            await store.keep_secret(call_sid, "card", SEALED, attempt=attempt)
    await store.keep_secret("CA1", "card", SEALED, attempt=2)
    assert await store.secrets("CA1") == {"card": SEALED}


async def test_call_that_is_over_takes_no_secret(store: Store) -> None:
    await kept(store, with_secrets())
    with pytest.raises(CallTakenError):
        await store.keep_secret("CA1", "card", b"later", attempt=1)


async def test_delivery_says_which_secrets_it_needs(store: Store) -> None:
    await kept(store, with_secrets(), new_delivery("msg_2"))
    rows = {one.webhook_id: one.secrets for one in await store.deliveries(10)}
    assert rows == {"msg_1": ("card", "pin"), "msg_2": ()}


async def test_vault_is_emptied_when_the_last_receiver_has_it(store: Store) -> None:
    await kept(store, with_secrets("msg_1"), with_secrets("msg_2"), new_delivery("msg_3"))
    await store.delivered("msg_1", START, 204)
    assert await store.secrets("CA1") == {"card": SEALED}
    await store.delivered("msg_2", START, 204)
    assert await store.secrets("CA1") == {}  # who gets none of it need not have been told


async def test_failed_delivery_keeps_the_vault_until_it_is_given_up(store: Store) -> None:
    await kept(store, with_secrets())
    await failed(store, "msg_1", START + timedelta(minutes=1))
    assert await store.secrets("CA1") == {"card": SEALED}
    await store.failed("msg_1", START, "answered 500", attempt=2, next_at=None)
    assert await store.secrets("CA1") == {}


async def test_receiver_that_is_gone_gets_nothing_any_more(store: Store) -> None:
    await kept(store, with_secrets("msg_1"), with_secrets("msg_2"))
    await failed(store, "msg_1", None, disable=True)
    assert await store.secrets("CA1") == {}


async def test_vault_of_nobody_is_emptied_with_the_call(store: Store) -> None:
    await kept(store, new_delivery())
    assert await store.secrets("CA1") == {}


async def test_running_calls_keep_their_vaults(store: Store) -> None:
    await opened(store, "CA2")
    await store.keep_secret("CA2", "card", SEALED, attempt=1)
    await kept(store, new_delivery())
    await store.delivered("msg_1", START, 200)
    assert await store.secrets("CA2") == {"card": SEALED}


async def test_erasure_takes_the_vault_too(store: Store) -> None:
    await kept(store, with_secrets())
    assert await store.erase("CA1")
    assert await store.secrets("CA1") == {}
