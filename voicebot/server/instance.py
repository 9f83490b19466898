"""The name of this instance: in stream addresses, and as the owner of calls."""

from __future__ import annotations

import secrets


def new_owner(name: str) -> str:
    """An id that no other instance has or had; `name` may be empty."""
    return f"{name}-{secrets.token_hex(3)}"


def name_of(owner: str) -> str:
    """The name that an instance goes by in stream addresses; empty if it has none."""
    return owner.rpartition("-")[0]
