"""The console's page and login: what browsers are told, who is let in, and that nobody gets further than they may."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from tests.fakes import START, WallClock
from tests.server.test_app import ORIGIN, SHELF, serving, settings
from voicebot.server.app import create_app
from voicebot.server.console import MEDIA_TYPES, STATIC, policy_for, read_files, version_of
from voicebot.server.console_sessions import CSRF_HEADER, IDLE_S, LONGEST_S

COOKIE = "__Host-voicebot_session"
SECRET = "the secret of all instances"
TOKENS = "desk=operate:a-token-of-the-desk,audit=read:a-token-of-the-audit"
DESK, AUDIT = "a-token-of-the-desk", "a-token-of-the-audit"
NO_CALL = "/calls/CA" + "0" * 32

WORKLET = "realtime-worklet.js"  # of the audio's own thread


@dataclass
class Browser:
    """Somebody at the console: keeps its cookie, and sends what pages of ours send."""

    client: TestClient[web.Request, web.Application]
    wall: WallClock
    cookie: str = ""
    set_cookie: str = ""
    csrf: str = field(default="", repr=False)

    async def ask(
        self, method: str, path: str, body: object = None, *, origin: str | None = ORIGIN, **headers: str
    ) -> tuple[int, Any]:
        sent = {"Origin": origin} if origin is not None and method != "GET" else {}
        if self.cookie:
            sent["Cookie"] = f"{COOKIE}={self.cookie}"
        async with self.client.request(method, path, json=body, headers=sent | headers) as answer:
            self.set_cookie = answer.headers.get("Set-Cookie", "")
            if self.set_cookie:
                self.cookie = self.set_cookie.partition(";")[0].partition("=")[2]
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def log_in(self, token: str = DESK) -> dict[str, Any]:
        status, session = await self.ask("POST", "/console/login", {"token": token})
        assert status == 200, session
        self.csrf = session["csrf"]
        return dict(session)

    async def state(self) -> str:
        return str((await self.ask("GET", "/console/session"))[1]["state"])

    async def reads(self) -> int:
        return (await self.ask("GET", "/calls"))[0]


@asynccontextmanager
async def browsing(folder: Path, wall: WallClock | None = None, **changed: object) -> AsyncIterator[Browser]:
    given = settings(folder, **({"VOICEBOT_API_TOKENS": TOKENS, "VOICEBOT_SECRET": SECRET} | changed))
    wall = wall or WallClock(START)
    async with serving(await create_app(given, shelf=SHELF, wall=wall)) as client:
        yield Browser(client, wall)


# ---- the login ------------------------------------------------------------------------------------------------------


async def test_login_gives_a_cookie_that_reads(tmp_path: Path) -> None:
    async with browsing(tmp_path) as at:
        assert (await at.state(), await at.reads()) == ("out", 401)
        session = await at.log_in()
        assert (session["state"], session["name"], session["scope"]) == ("in", "desk", "operate")
        assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= set(at.set_cookie.split("; "))
        assert "Domain" not in at.set_cookie
        held = base64.urlsafe_b64decode(at.cookie + "===")
        assert DESK.encode() not in held and b"desk" in held
        assert (await at.state(), await at.reads()) == ("in", 200)


async def test_cookie_over_plain_http_is_not_secure(tmp_path: Path) -> None:
    async with browsing(tmp_path, VOICEBOT_PUBLIC_URL="http://127.0.0.1:8080") as at:
        status, _ = await at.ask("POST", "/console/login", {"token": DESK}, origin="http://127.0.0.1:8080")
        assert status == 200 and at.set_cookie.startswith("voicebot_session=") and "Secure" not in at.set_cookie


async def test_wrong_tokens_are_refused_and_then_not_listened_to(tmp_path: Path) -> None:
    async with browsing(tmp_path) as at:
        tried = [(await at.ask("POST", "/console/login", {"token": f"guess {n}"}))[0] for n in range(11)]
        assert tried == [401] * 10 + [429]
        assert (await at.ask("POST", "/console/login", {"token": DESK}))[0] == 429
        assert at.cookie == ""


async def test_login_of_a_foreign_page_is_refused(tmp_path: Path) -> None:
    async with browsing(tmp_path) as at:
        for origin in ("https://evil.example", "null", ORIGIN + ".evil.example", ORIGIN.replace("https", "ftp")):
            assert (await at.ask("POST", "/console/login", {"token": DESK}, origin=origin))[0] == 403
        assert at.cookie == ""


async def test_without_a_token_nobody_logs_in(tmp_path: Path) -> None:
    async with browsing(tmp_path, VOICEBOT_API_TOKENS="") as at:
        assert await at.state() == "no_token"
        status, told = await at.ask("POST", "/console/login", {"token": ""})
        assert (status, told["code"]) == (409, "no_token") and "VOICEBOT_API_TOKEN" in told["detail"]


async def test_logout_takes_the_cookie_back(tmp_path: Path) -> None:
    async with browsing(tmp_path) as at:
        await at.log_in()
        assert (await at.ask("POST", "/console/logout", {}))[0] == 403
        assert await at.state() == "in"
        status, told = await at.ask("POST", "/console/logout", {}, **{CSRF_HEADER: at.csrf})
        assert (status, told["state"], at.cookie) == (200, "out", "") and "Max-Age=0" in at.set_cookie


# ---- the cookie -----------------------------------------------------------------------------------------------------


async def test_no_made_up_cookie_is_taken(tmp_path: Path) -> None:
    async with browsing(tmp_path) as at:
        await at.log_in(AUDIT)
        true = at.cookie
        raw = base64.urlsafe_b64decode(true + "===")
        mac, said = raw[:32], raw[32:]
        more = said.replace(b'"read"', b'"admin"')
        made_up = [
            *(".", "null", "é", "=", "A" * 5000, true[:-1], true[1:], true + "A", true * 2),
            *map(coded, (mac + more, bytes(32) + said, said, mac, bytes(32) + b"[]")),
            *(coded(raw[:n] + bytes([raw[n] ^ 1]) + raw[n + 1 :]) for n in range(len(raw))),
        ]
        assert more != said
        for cookie in made_up:
            at.cookie = cookie
            assert await at.reads() == 401, cookie
        at.cookie = true
        assert await at.reads() == 200


def coded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


async def test_session_holds_at_another_instance_of_the_same_secret_only(tmp_path: Path) -> None:
    async with browsing(tmp_path / "a") as at, browsing(tmp_path / "b") as other:
        await at.log_in()
        other.cookie = at.cookie
        assert await other.reads() == 200
    async with browsing(tmp_path / "c", VOICEBOT_SECRET="the secret of somebody else") as stranger:
        stranger.cookie = at.cookie
        assert await stranger.reads() == 401


@pytest.mark.parametrize(
    "tokens",
    [
        "audit=read:a-token-of-the-audit",
        "desk=operate:another-token-of-the-desk",
        "desk=read:a-token-of-the-desk",
        "other=operate:a-token-of-the-desk",
    ],
    ids=["removed", "rotated out", "of less scope", "renamed"],
)
async def test_session_dies_with_its_token(tmp_path: Path, tokens: str) -> None:
    async with browsing(tmp_path) as at:
        await at.log_in()
    async with browsing(tmp_path, VOICEBOT_API_TOKENS=tokens) as later:
        later.cookie = at.cookie
        assert (await later.state(), await later.reads()) == ("out", 401)


async def test_session_lasts_while_it_is_used_and_not_longer(tmp_path: Path) -> None:
    async with browsing(tmp_path) as at:
        await at.log_in()
        at.wall.advance(IDLE_S - 1)
        assert await at.reads() == 200 and at.set_cookie
        at.wall.advance(IDLE_S - 1)
        assert await at.reads() == 200
        assert await at.reads() == 200 and not at.set_cookie  # it was renewed a moment ago
        at.wall.advance(IDLE_S)
        assert await at.reads() == 401


async def test_no_session_outlasts_a_working_day(tmp_path: Path) -> None:
    async with browsing(tmp_path) as at:
        await at.log_in()
        until = at.wall.now + timedelta(seconds=LONGEST_S)
        while at.wall.now + timedelta(seconds=IDLE_S / 2) < until:
            at.wall.advance(IDLE_S / 2)
            assert await at.reads() == 200
        at.wall.now = until
        assert await at.reads() == 401


# ---- what changes something -----------------------------------------------------------------------------------------


async def test_session_that_is_over_is_no_attempt_at_a_token(tmp_path: Path) -> None:
    async with browsing(tmp_path) as at:
        await at.log_in()
        at.wall.advance(IDLE_S)
        assert [await at.reads() for _ in range(15)] == [401] * 15
        await at.log_in()
        assert await at.reads() == 200


async def test_change_needs_the_header_and_our_own_page(tmp_path: Path) -> None:
    async with browsing(tmp_path) as at, browsing(tmp_path) as other:
        await at.log_in()
        await other.log_in()
        path, body = f"{NO_CALL}/note", {"text": "be brief"}
        for headers in ({}, {CSRF_HEADER: ""}, {CSRF_HEADER: other.csrf}, {CSRF_HEADER: at.csrf[:-1]}):
            status, told = await at.ask("POST", path, body, **headers)
            assert (status, told["code"]) == (403, "csrf")
        right = {CSRF_HEADER: at.csrf}
        status, told = await at.ask("POST", path, body, origin="https://evil.example", **right)
        assert (status, told["code"]) == (403, "origin")
        assert (await at.ask("POST", path, body, **right))[0] == 404  # let on: there is no such call


async def test_session_reaches_as_far_as_its_token(tmp_path: Path) -> None:
    async with browsing(tmp_path) as at:
        await at.log_in(AUDIT)
        status, told = await at.ask("POST", f"{NO_CALL}/note", {"text": "be brief"}, **{CSRF_HEADER: at.csrf})
        assert (status, told["code"]) == (403, "scope")
        await at.log_in(DESK)
        status, told = await at.ask("DELETE", NO_CALL, **{CSRF_HEADER: at.csrf})
        assert (status, told["code"]) == (403, "scope")


async def test_token_in_the_header_needs_no_csrf_and_goes_first(tmp_path: Path) -> None:
    async with browsing(tmp_path) as at:
        await at.log_in(AUDIT)
        bearer = {"Authorization": f"Bearer {DESK}"}
        assert (await at.ask("POST", f"{NO_CALL}/note", {"text": "be brief"}, origin=None, **bearer))[0] == 404
        assert (await at.ask("GET", "/calls", Authorization="Bearer wrong"))[0] == 401


async def test_session_asks_as_often_as_its_token_may(tmp_path: Path) -> None:
    async with browsing(tmp_path, VOICEBOT_API_RATE=30) as at:
        await at.log_in()
        assert [await at.reads() for _ in range(7)] == [200] * 5 + [429] * 2


# ---- the page and its files -----------------------------------------------------------------------------------------


async def test_page_runs_nothing_but_its_own_files(tmp_path: Path) -> None:
    async with browsing(tmp_path) as at:
        for path in ("/console", "/console/", "/console/calls/CA1", "/console/anything/<script>"):
            async with at.client.get(path) as answer:
                text, headers = await answer.text(), answer.headers
                assert (answer.status, answer.content_type) == (200, "text/html")
            policy = headers["Content-Security-Policy"]
            assert policy == policy_for(ORIGIN) and "unsafe" not in policy and "*" not in policy
            for rule in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"):
                assert rule in policy.split("; ")
            assert "connect-src 'self' wss://voice.example.com" in policy
            assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
            assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=|https?://", text)


async def test_files_are_known_again_by_their_etag(tmp_path: Path) -> None:
    async with browsing(tmp_path) as at:
        for name in ("app.js", "console.css", "pages/calls.js", "icon.svg"):
            async with at.client.get(f"/console/static/{name}") as answer:
                etag = answer.headers["ETag"]
                assert answer.status == 200 and answer.content_type == MEDIA_TYPES[Path(name).suffix]
                assert etag.startswith('"') and answer.headers["Cache-Control"] == "no-cache"
            async with at.client.get(f"/console/static/{name}", headers={"If-None-Match": etag}) as answer:
                assert (answer.status, await answer.read()) == (304, b"")


async def test_page_asks_for_its_files_at_once_and_keeps_them(tmp_path: Path) -> None:
    async with browsing(tmp_path) as at:
        async with at.client.get("/console") as answer:
            page = await answer.text()
            assert answer.headers["Cache-Control"] == "no-cache"
        asked = re.findall(r'(?:href|src)="(/console/static/([0-9a-f]{16})/[^"]+)"', page)
        assert len({version for _, version in asked}) == 1
        preloaded = re.findall(r'<link rel="modulepreload" href="([^"]+)">', page)
        assert {Path(one).name for one in preloaded} == {one.name for one in STATIC.rglob("*.js")} - {WORKLET}
        for path, _ in asked:
            async with at.client.get(path) as answer:
                assert answer.status == 200 and answer.headers["Cache-Control"].endswith("immutable"), path


async def test_files_of_another_version_are_ours_but_not_kept(tmp_path: Path) -> None:
    async with browsing(tmp_path) as at, at.client.get(f"/console/static/{'0' * 16}/app.js") as answer:
        assert await answer.read() == (STATIC / "app.js").read_bytes()
        assert answer.headers["Cache-Control"] == "no-cache"


def test_version_is_another_when_a_file_is() -> None:
    files = read_files()
    assert version_of(files) == version_of(read_files())
    changed = replace(files["app.js"], etag="another")
    assert version_of({**files, "app.js": changed}) != version_of(files)


async def test_only_files_for_browsers_are_served(tmp_path: Path) -> None:
    async with browsing(tmp_path) as at:
        for name in ("none.js", "../__init__.py", "%2e%2e/__init__.py", "..%2f__init__.py", "/etc/passwd", "pages"):
            async with at.client.get(f"/console/static/{name}") as answer:
                text = await answer.text()
            assert answer.status == 404 or (answer.content_type == "text/html" and "import" not in text), name


def test_scripts_read_no_markup_and_need_nobody_else() -> None:
    scripts = [path for path in STATIC.rglob("*.js") if path.is_file()]
    assert {path.suffix for path in STATIC.rglob("*") if path.is_file()} <= MEDIA_TYPES.keys()
    assert len(read_files()) >= len(scripts) > 5
    for path in scripts:
        code = "\n".join(re.sub(r"^\s*(//|/?\*).*", "", line) for line in path.read_text().splitlines())
        found = re.search(r"(inner|outer|insertAdjacent)HTML|document\.write|\beval\(|new Function|DOMParser", code)
        assert found is None, f"{path.name}: {found}"
        for imported in re.findall(r"""(?:from|import)\s*\(?["']([^"']+)["']""", code):
            assert imported.startswith("."), f"{path.name} imports {imported}"
