"""A call that a running server is asked to place, followed to its end: what `voicebot call` does."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from voicebot.errors import OutboundRefusedError, SettingsError, VoicebotError

ASK_LIMIT_S = 40.0  # the server asks Twilio several times, bounded
LOOK_LIMIT_S = 10.0
LOOK_S = 1.0
ASK_AGAIN_S = (0.5, 2.0)  # the same request has the same key, so that it places one call
MOST_LOOKS_LOST = 60  # in a row: the server is restarting, or gone
TALKED = frozenset({"completed", "caller_finished", "caller_hung_up"})
_STATES: Mapping[str, str] = {
    "placing": "asking Twilio",
    "ringing": "ringing",
    "answered": "answered",
    "waiting": "nobody has answered",
}


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What came of a call. `talked`: somebody answered, and the conversation came to an end of its own."""

    call_sid: str | None
    ended_reason: str
    outcome: str | None
    answered_by: str | None
    tries: int

    @property
    def talked(self) -> bool:
        return self.ended_reason in TALKED

    def __str__(self) -> str:
        parts = [
            f"ended: {self.ended_reason}",
            f"outcome: {self.outcome}" if self.outcome else "",
            f"answered by: {self.answered_by}" if self.answered_by else "",
            f"calls: {self.tries}" if self.tries > 1 else "",
            self.call_sid or "",
        ]
        return ", ".join(part for part in parts if part)


async def place_and_follow(
    server: str, token: str, body: Mapping[str, object], tell: Callable[[str], None]
) -> CallOutcome:
    """Have a server place a call, and wait for its end.

    Args:
        server: its origin.
        token: its API token.
        body: of `POST /calls`.
        tell: given a line whenever something changes.

    Raises:
        OutboundRefusedError: the call may not be placed.
        VoicebotError: the server cannot be asked.
    """
    if not token:
        mend = "Set the same token as the server has: without one it lets nobody place calls."
        raise SettingsError("VOICEBOT_API_TOKEN", "is not set", mend)
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": uuid.uuid4().hex}
    async with aiohttp.ClientSession(server.rstrip("/"), headers=headers) as session:
        shown = await _place(session, body)
        told, lost = "", 0
        while True:
            line = _line(shown)
            if shown["state"] == "ended":
                return CallOutcome(
                    shown["call_sid"],
                    shown["ended_reason"] or "unknown",
                    shown["outcome"],
                    shown["answered_by"],
                    shown["tries"],
                )
            if line != told:
                tell(line)
                told = line
            await asyncio.sleep(LOOK_S)
            try:
                status, shown_now = await _ask(session, "GET", f"/calls/placed/{shown['id']}", LOOK_LIMIT_S)
            except _NoAnswerError as exc:
                status, shown_now = 0, str(exc)
            if status == 200 and isinstance(shown_now, dict):
                shown, lost = shown_now, 0
            elif (lost := lost + 1) > MOST_LOOKS_LOST or status in (401, 404):
                raise VoicebotError(f"the server does not say what came of the call ({shown_now}): id {shown['id']}")


def _line(shown: Mapping[str, Any]) -> str:
    again = f", to be called again at {shown['next_try_at']}" if shown["next_try_at"] else ""
    reason = f": {shown['ended_reason']}" if shown["ended_reason"] else ""
    return _STATES.get(shown["state"], "under way") + reason + again


async def _place(session: aiohttp.ClientSession, body: Mapping[str, object]) -> dict[str, Any]:
    status, answered = await _ask_persistently(session, body)
    if isinstance(answered, dict) and "id" in answered:
        return answered
    if isinstance(answered, dict) and "code" in answered and status not in (400, 401, 502):
        raise OutboundRefusedError(str(answered["code"]), str(answered.get("detail")))
    raise VoicebotError(f"the server answered {status}: {str(answered)[:300]}")


async def _ask_persistently(session: aiohttp.ClientSession, body: Mapping[str, object]) -> tuple[int, object]:
    for delay_s in ASK_AGAIN_S:
        try:
            return await _ask(session, "POST", "/calls", ASK_LIMIT_S, body)
        except _NoAnswerError:
            await asyncio.sleep(delay_s)
    return await _ask(session, "POST", "/calls", ASK_LIMIT_S, body)


async def _ask(
    session: aiohttp.ClientSession, method: str, path: str, limit_s: float, body: Mapping[str, object] | None = None
) -> tuple[int, object]:
    """One request; returns status and JSON, or text.

    Raises:
        _NoAnswerError: there was none.
    """
    try:
        async with asyncio.timeout(limit_s), session.request(method, path, json=body) as answer:
            json_came = answer.content_type in ("application/json", "application/problem+json")
            return answer.status, await answer.json() if json_came else await answer.text()
    except TimeoutError as exc:
        raise _NoAnswerError(f"the server has not answered within {limit_s:g} s") from exc
    except (aiohttp.ClientError, OSError, ValueError) as exc:
        raise _NoAnswerError(f"the server cannot be asked: {exc}") from exc


class _NoAnswerError(VoicebotError):
    """Nothing came back."""
