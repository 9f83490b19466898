"""From a store's address to the open store."""

from __future__ import annotations

from pathlib import Path

from voicebot.errors import StoreError

from .contract import Store
from .sqlite import SqliteStore

_SQLITE = "sqlite:///"


def sqlite_path(address: str) -> Path:
    """The file of `sqlite:///relative/path.db` or `sqlite:////absolute/path.db`.

    Raises:
        ValueError: the address is none of these.
    """
    file = address.removeprefix(_SQLITE)
    if file == address or not file.strip("/"):
        raise ValueError("must be sqlite:/// and the path of a file, such as sqlite:///data/voicebot.db")
    return Path(file)


async def open_store(address: str) -> Store:
    """Open the store at `address`.

    Raises:
        StoreError: the address is not understood, or what is there cannot be opened.
    """
    try:
        path = sqlite_path(address)
    except ValueError as exc:
        raise StoreError(f"the store's address {exc}") from exc
    return await SqliteStore.open(path)
