"""The outbox as an operator works on it from the command line: looked at, and sent again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from voicebot.errors import StoreError
from voicebot.store.contract import Delivery, DeliveryState
from voicebot.store.opening import opened_store

_AT_ONCE = 500


async def list_deliveries(
    address: str, limit: int, state: DeliveryState | None, call_sid: str | None
) -> list[Delivery]:
    """The latest deliveries of the store at `address`, latest first; of this state and call, if given.

    Raises:
        StoreError: the store cannot be read.
    """
    async with opened_store(address) as store:
        return await store.deliveries(limit, state, call_sid=call_sid)


async def find_delivery(address: str, webhook_id: str) -> Delivery:
    """One delivery of the store at `address`.

    Raises:
        StoreError: the store cannot be read, or there is none of this id.
    """
    async with opened_store(address) as store:
        return _known(await store.delivery(webhook_id), webhook_id)


async def send_again(address: str, webhook_ids: Sequence[str], now: datetime) -> list[str]:
    """Have a server send these deliveries again, from the first attempt on and whatever their state; returns their ids.

    A receiver that was disabled is told of everything again.

    Raises:
        StoreError: the store cannot be written, or there is none of an id; then none is sent.
    """
    async with opened_store(address) as store:
        known = [_known(await store.delivery(one), one).webhook_id for one in dict.fromkeys(webhook_ids)]
        return [one for one in known if await store.requeue(one, now)]


async def send_dead_again(address: str, now: datetime) -> list[str]:
    """Have a server send every dead letter again; returns their ids.

    Raises:
        StoreError: the store cannot be read or written.
    """
    sent: list[str] = []
    async with opened_store(address) as store:
        while dead := await store.deliveries(_AT_ONCE, "dead"):
            sent += [one.webhook_id for one in dead if await store.requeue(one.webhook_id, now)]
    return sent


def _known(delivery: Delivery | None, webhook_id: str) -> Delivery:
    if delivery is None:
        raise StoreError(f"there is no delivery {webhook_id}")
    return delivery
