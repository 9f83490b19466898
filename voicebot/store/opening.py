"""From a store's address to the open store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from voicebot.errors import StoreError

from .contract import Store
from .redis_address import REDIS_FORMS, RedisAddress, is_redis, parse_redis
from .sqlite import SqliteStore

_SQLITE = "sqlite:///"
_DATA = Path("data")


def check_address(address: str) -> None:
    """See that `open_store` would understand it.

    Raises:
        ValueError: it would not. The text holds no password that the address may have.
    """
    if is_redis(address):
        parse_redis(address)
    else:
        sqlite_path(address)


def is_shared(address: str) -> bool:
    """Whether the store is for instances on several machines."""
    return is_redis(address)


def shown_address(address: str) -> str:
    """The address as people may see it: without user and password."""
    return str(parse_redis(address)) if is_redis(address) else address


def data_folder(address: str) -> Path:
    """Where files beside the store belong: where the SQLite file is, or `data` if the store is elsewhere.

    Raises:
        ValueError: as `check_address`.
    """
    check_address(address)
    return _DATA if is_redis(address) else sqlite_path(address).parent


def sqlite_path(address: str) -> Path:
    """The file of `sqlite:///relative/path.db` or `sqlite:////absolute/path.db`.

    Raises:
        ValueError: the address is none of these.
    """
    file = address.removeprefix(_SQLITE)
    if file == address or not file.strip("/"):
        raise ValueError(
            f"must be sqlite:/// and the path of a file, such as sqlite:///data/voicebot.db, or {REDIS_FORMS}"
        )
    return Path(file)


async def open_store(address: str) -> Store:
    """Open the store at `address`.

    Raises:
        StoreError: the address is not understood, or what is there cannot be opened.
    """
    try:
        check_address(address)
    except ValueError as exc:
        raise StoreError(f"the store's address {exc}") from exc
    if is_redis(address):
        return await _open_redis(parse_redis(address))
    return await SqliteStore.open(sqlite_path(address))


@asynccontextmanager
async def opened_store(address: str) -> AsyncIterator[Store]:
    """The store at `address`, for as long as it is needed.

    Raises:
        StoreError: as `open_store`.
    """
    store = await open_store(address)
    try:
        yield store
    finally:
        await store.close()


async def _open_redis(address: RedisAddress) -> Store:
    try:
        from .redis import RedisStore  # the library is an extra, and most stores are SQLite
    except ModuleNotFoundError as exc:
        if exc.name != "redis":
            raise
        raise StoreError("Redis needs its library: pip install 'voicebot[redis]'") from exc
    return await RedisStore.open(address)
