"""The name of this instance: in stream addresses, and as the owner of calls."""

from __future__ import annotations

import secrets
from collections.abc import Iterable


def new_owner(name: str) -> str:
    """An id that no other instance has or had; `name` may be empty."""
    return f"{name}-{secrets.token_hex(3)}"


def name_of(owner: str) -> str:
    """The name that an instance goes by in stream addresses; empty if it has none."""
    return owner.rpartition("-")[0]


def meant_for(url: str, owners: Iterable[str], call_sid: str) -> str:
    """An address by which a proxy that knows names asks one of these instances, for a call always the same one.

    Without a proxy, or if none of them has a name, whoever is asked answers.
    """
    names = sorted(filter(None, map(name_of, owners)))
    if not names:
        return url
    name = names[int(call_sid[2:], 16) % len(names)]
    return f"{url}{'&' if '?' in url else '?'}at={name}"
