"""Addresses of stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicebot.errors import StoreError
from voicebot.store.opening import open_store, sqlite_path


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("sqlite:///data/voicebot.db", Path("data/voicebot.db")),
        ("sqlite:////var/lib/voicebot.db", Path("/var/lib/voicebot.db")),
    ],
)
def test_sqlite_address_names_a_file(address: str, path: Path) -> None:
    assert sqlite_path(address) == path


@pytest.mark.parametrize("address", ["", "sqlite://", "sqlite:///", "sqlite://data.db", "data.db", "mysql://host/db"])
async def test_other_address_is_refused(address: str) -> None:
    with pytest.raises(StoreError, match="must be sqlite:///"):
        await open_store(address)
