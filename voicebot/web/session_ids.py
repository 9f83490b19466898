"""The ids of conversations that come over the web: they stand in the place of a CallSid, and are told from one."""

from __future__ import annotations

import hashlib
import re
import uuid

SESSION_ID = re.compile(r"CW[0-9a-f]{32}", re.ASCII)


def session_id_of(key: str | None) -> str:
    """The session id of whoever gives this idempotency key, always the same; or a new one."""
    if key is None:
        return f"CW{uuid.uuid4().hex}"
    return f"CW{hashlib.sha256(b'conversation ' + key.encode()).hexdigest()[:32]}"


def is_session_id(call_sid: str) -> bool:
    """Whether a call came over the web, and so has no phone line behind it."""
    return SESSION_ID.fullmatch(call_sid) is not None
