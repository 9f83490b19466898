"""The console: its one page, the files of it, and the login. What it shows it asks of the API, as any program does.

GET /console, /console/…      the page, the same whatever follows: its script reads the address
GET /console/static/…         scripts and style (`voicebot/console/static`); a path with the version is kept for good
GET /console/pages, /…/{name} the project's pages (`docs`), and the pictures on them
GET /console/session          who is logged in
POST /console/login, /console/logout
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from pydantic import BaseModel, Field, StringConstraints

import voicebot.console
from voicebot.settings import Scope

from . import docs
from .api.endpoint import Gate, answer, read_body
from .api.models import Asked
from .api.problems import problem
from .console_sessions import ConsoleSessions, Session

PATH = "/console"
STATIC = Path(voicebot.console.__file__).parent / "static"
MEDIA_TYPES: Mapping[str, str] = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
_SHELL = "index.html"
_OF_ITS_OWN = frozenset({"realtime-worklet.js"})  # no module of the page: it runs in the audio's own thread
_HEAD = b"</head>"
_VERSION = re.compile("[0-9a-f]{16}")
_OWN = {"Cross-Origin-Resource-Policy": "same-origin"}
_REVALIDATE = "no-cache"  # kept by the browser, asked for each time, answered with 304: a new version shows at once
_FOR_GOOD = "public, max-age=31536000, immutable"  # RFC 8246: not asked for again, a reload included


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is sent."""

    content: bytes
    media_type: str
    etag: str


def read_files(folder: Path = STATIC) -> dict[str, File]:
    """The files for browsers, by their path below `folder`. They are few and small, and stay in memory."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in MEDIA_TYPES and path.is_file():
            found[path.relative_to(folder).as_posix()] = _as_file(path.read_bytes(), MEDIA_TYPES[path.suffix])
    return found


def version_of(files: Mapping[str, File]) -> str:
    """A name for these files as they are: another byte in one of them, another name."""
    return hashlib.sha256("".join(f"{name} {file.etag}\n" for name, file in files.items()).encode()).hexdigest()[:16]


def shell_of(files: Mapping[str, File], version: str) -> File:
    """The page: its files by the name of their version, and every script asked for at once.

    Scripts import one another, several deep; without `modulepreload` a browser learns of each from the one before, a
    round trip apart.
    """
    here = f"{PATH}/static/{version}/"
    scripts = [name for name in files if name.endswith(".js") and name not in _OF_ITS_OWN]
    asked = "".join(f'<link rel="modulepreload" href="{here}{name}">\n' for name in scripts)
    content = files[_SHELL].content.replace(f"{PATH}/static/".encode(), here.encode())
    content = content.replace(_HEAD, asked.encode() + _HEAD)
    return _as_file(content, "text/html")


def _as_file(content: bytes, media_type: str) -> File:
    return File(content, media_type, hashlib.sha256(content).hexdigest()[:32])


def policy_for(public_url: str) -> str:
    """The Content-Security-Policy of the page: nothing inline, nothing evaluated, nobody else's.

    Args:
        public_url: where its sockets go; not every browser counts those as `'self'`.
    """
    parts = urlsplit(public_url)
    sockets = f" {'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}" if parts.netloc else ""
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            f"connect-src 'self'{sockets}",
            "media-src 'self' blob:",
            "worker-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


class LoginBody(Asked):
    """Who wants in."""

    token: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = Field(description="An API token.")


class SessionShown(BaseModel):
    """Who is logged in, as the page wants to know it."""

    state: Literal["in", "out", "no_token"] = Field(description="no_token: none is set, so nobody can log in.")
    name: str | None = None
    scope: Scope | None = None
    csrf: str | None = Field(None, description="What X-CSRF-Token holds in whatever changes something.")
    expires_at: datetime | None = None


class Console:
    """The handlers of `/console`."""

    def __init__(self, sessions: ConsoleSessions, gate: Gate, public_url: str) -> None:
        """
        Args:
            gate: counts what a session asks for as its token's.
            public_url: see `policy_for`.
        """
        self._sessions, self._gate = sessions, gate
        self._files = read_files()
        self._version = version_of(self._files)
        self._shell = shell_of(self._files, self._version)
        self._docs: dict[str, File] = {}
        self._page_headers = {
            "Content-Security-Policy": policy_for(public_url),
            "Permissions-Policy": "microphone=(self), camera=(), geolocation=(), payment=(), usb=()",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Frame-Options": "DENY",
        }

    def routes(self) -> list[web.RouteDef]:
        """One line per route."""
        return [
            web.get(f"{PATH}/session", self.session),
            web.post(f"{PATH}/login", self.log_in),
            web.post(f"{PATH}/logout", self.log_out),
            web.get(f"{PATH}/static/{{name:.+}}", self.file),
            web.get(f"{PATH}/pages", self.docs),
            web.get(f"{docs.IMAGES}/{{name}}", self.docs_image),
            web.get(f"{PATH}/pages/{{name}}", self.docs_page),
            web.get(PATH, self.page),
            web.get(f"{PATH}/{{place:.*}}", self.page),
        ]

    async def page(self, request: web.Request) -> web.StreamResponse:
        """The page."""
        return self._sent(request, self._shell, self._page_headers)

    async def file(self, request: web.Request) -> web.StreamResponse:
        """A script or a style."""
        name, kept = request.match_info["name"], _REVALIDATE
        version, _, rest = name.partition("/")
        if _VERSION.fullmatch(version):
            # Another version's, while instances are replaced: better ours than none, but not to be kept.
            name, kept = rest, _FOR_GOOD if version == self._version else _REVALIDATE
        found = self._files.get(name)
        if found is None:
            raise problem(404, "not_found", "the console has no such file")
        return self._sent(request, found, _OWN, kept)

    # ---- the project's pages ----------------------------------------------------------------------------------------

    async def docs(self, request: web.Request) -> web.StreamResponse:
        """Which pages there are."""
        there = [{"name": page.name, "title": page.title} for page in docs.PAGES]
        return self._sent(request, _as_file(json.dumps({"pages": there}).encode(), "application/json"), _OWN)

    async def docs_page(self, request: web.Request) -> web.StreamResponse:
        """One of them, as a tree of elements. Anybody may read it: it is the same everywhere."""
        page = docs.named(request.match_info["name"])
        if page is None:
            raise problem(404, "not_found", "there is no such page")
        if page.name not in self._docs:
            rendered = await asyncio.to_thread(docs.render, page)
            if rendered is None:
                raise problem(404, "not_found", "this installation does not have the page")
            content = json.dumps(rendered.as_json(), ensure_ascii=False).encode()
            self._docs[page.name] = _as_file(content, "application/json")
        return self._sent(request, self._docs[page.name], _OWN)

    async def docs_image(self, request: web.Request) -> web.StreamResponse:
        """A picture on them."""
        path = docs.images().get(request.match_info["name"])
        if path is None:
            raise problem(404, "not_found", "there is no such picture")
        content = await asyncio.to_thread(path.read_bytes)
        return self._sent(request, _as_file(content, "image/png"), _OWN)

    def _sent(
        self, request: web.Request, file: File, headers: Mapping[str, str], kept: str = _REVALIDATE
    ) -> web.Response:
        known = request.if_none_match
        is_known = known is not None and any(one.value in (file.etag, "*") for one in known)
        response = web.Response(status=304 if is_known else 200, headers=headers)
        response.etag = file.etag
        response.headers[hdrs.CACHE_CONTROL] = kept
        if not is_known:
            response.body = file.content
            response.content_type = file.media_type
            if not file.media_type.startswith("image/png"):
                response.charset = "utf-8"
        return response

    # ---- the login --------------------------------------------------------------------------------------------------

    async def session(self, request: web.Request) -> web.StreamResponse:
        """Who asks."""
        session = self._sessions.session_of(request)
        if session is not None:
            self._gate.count(session.bearer)
        return answer(self._shown(session))

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        """Begin a session."""
        if not self._sessions.can_begin:
            raise problem(409, "no_token", "no API token is set, so nobody can log in: set VOICEBOT_API_TOKEN")
        body = await read_body(request, LoginBody)
        return answer(self._shown(self._sessions.begin(request, body.token)))

    async def log_out(self, request: web.Request) -> web.StreamResponse:
        """End it."""
        self._sessions.refuse_foreign(request)
        session = self._sessions.session_of(request)
        if session is not None:
            self._sessions.require_csrf(request, session)
        response = answer(self._shown(None))
        self._sessions.forget(response)
        return response

    def _shown(self, session: Session | None) -> SessionShown:
        if session is None:
            return SessionShown(state="out" if self._sessions.can_begin else "no_token")
        return SessionShown(
            state="in",
            name=session.bearer.name,
            scope=session.bearer.scope,
            csrf=self._sessions.csrf_of(session),
            expires_at=datetime.fromtimestamp(session.expires, UTC),
        )
