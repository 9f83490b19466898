"""What an endpoint that says nothing of it asks for."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from voicebot.server.api.endpoint import Content, Endpoint


async def nothing(request: web.Request) -> web.StreamResponse:
    return web.Response()


def plain(**more: Any) -> Endpoint:
    return Endpoint(
        path="/a", name="a", tag="a", summary="A.", handle=nothing, answers={200: Content("It is.")}, **more
    )


def test_plain_endpoint_is_for_who_may_read() -> None:
    assert (plain().method, plain().scope) == ("GET", "read")


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_who_may_read_changes_nothing(method: str) -> None:
    with pytest.raises(ValueError, match="changes something"):
        plain(method=method)
    assert plain(method=method, scope="operate").scope == "operate"
