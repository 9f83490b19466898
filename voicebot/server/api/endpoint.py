"""A route of the API as data: what it takes, what it answers, who may ask. From it come the route and its document.

To add one: write a handler, which takes the request and reads its parts with `read_query` and `read_body`; list it as
an `Endpoint`; give it to `routes` and to `openapi.document`. Who asks stands in `request[BEARER]`.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from aiohttp import hdrs, web
from pydantic import BaseModel, ValidationError

from voicebot.errors import StoreError
from voicebot.log_events import named
from voicebot.settings import Scope

from .problems import Handler, Wrong, problem, unavailable, wrongs
from .rates import Rates
from .tokens import ApiTokens, Bearer

log = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)

JSON = "application/json"
Method = Literal["GET", "POST", "DELETE"]
_LONGEST_KEY = 200  # characters
KEY_HEADER: Mapping[str, str] = {"Idempotency-Key": f"1 to {_LONGEST_KEY} characters of yours."}
_IN_PATH = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Content:
    """What an answer holds: a model in JSON, or text or bytes of a media type, or nothing.

    `schema` is a JSON Schema for what no model describes; `others` are media types that it may come in besides.
    `headers` are those of the answer that matter, described.
    """

    says: str
    model: type[BaseModel] | None = None
    media: str = ""
    schema: Mapping[str, Any] | None = field(default=None, hash=False)
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    others: tuple[str, ...] = ()

    @property
    def media_type(self) -> str:
        """Empty if there is no body."""
        return self.media or (JSON if self.model is not None or self.schema is not None else "")


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One route. Unless it says more, it is a GET for a token that may read.

    Attributes:
        name: unique; what programs call it.
        scope: what a token must reach, more than `read` for what changes something; None for a route that needs none.
        answers: by status; what is no refusal, or says more than one.
        problems: by status, from 400 on, why; beside those that follow from the rest.
        query, body: what is read of the request.
        headers: of the request, described; those that may be given.
        audited: whether it stands in the log who did it.
        body_is_optional: nothing counts as `{}`.
    """

    path: str
    name: str
    tag: str
    summary: str
    handle: Handler
    answers: Mapping[int, Content]
    method: Method = "GET"
    scope: Scope | None = "read"
    problems: Mapping[int, str] = field(default_factory=dict)
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    audited: bool = False
    body_is_optional: bool = False

    def __post_init__(self) -> None:
        if self.method != "GET" and self.scope == "read":
            raise ValueError(f"{self.name} changes something: who may read may not do that")

    @property
    def in_path(self) -> tuple[str, ...]:
        """The names of what varies in the path."""
        return tuple(_IN_PATH.findall(self.path))


@dataclass(frozen=True, slots=True)
class Gate:
    """What stands before every endpoint with a scope: tokens, and how often each may ask.

    `session` knows those whom the console has let in: it gives whoever has a session that may do this, and None for who
    brings none and must show a token.
    """

    tokens: ApiTokens
    rates: Rates
    time: Callable[[], float]
    session: Callable[[web.Request, Scope], Bearer | None] | None = None

    def admit(self, request: web.Request, scope: Scope) -> Bearer:
        """Let on who may.

        Raises:
            HTTPException: 401, 403 or 429.
        """
        bearer = None
        if self.session is not None and hdrs.AUTHORIZATION not in request.headers:
            bearer = self.session(request, scope)
        if bearer is None:
            bearer = self.tokens.check(request, scope)
        self.count(bearer)
        return bearer

    def count(self, bearer: Bearer) -> None:
        """Count a request of this bearer's, however they are known.

        Raises:
            HTTPException: 429, they ask too often.
        """
        if (wait_s := self.rates.wait_s(bearer.name, self.time())) > 0:
            again = {"Retry-After": str(math.ceil(wait_s))}
            raise problem(429, "rate", "this token asks too often; try later", headers=again)


def routes(endpoints: Iterable[Endpoint], gate: Gate) -> list[web.RouteDef]:
    """The routes of endpoints, each behind the gate."""
    return [web.RouteDef(one.method, one.path, _guarded(one, gate), {}) for one in endpoints]


def _guarded(endpoint: Endpoint, gate: Gate) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        if endpoint.scope is not None:
            bearer = gate.admit(request, endpoint.scope)
            if endpoint.audited:
                audit(bearer, endpoint.name, request.match_info.get("call_sid"))
        try:
            return await endpoint.handle(request)
        except StoreError as exc:
            log.error("the API cannot answer: %s", exc, extra=named("store_api_not_answered"))
            raise unavailable() from exc

    return handle


def audit(bearer: Bearer, what: str, call_sid: str | None = None) -> None:
    """Write down who does what; of the call only its id, of the token its name."""
    log.info("token %s: %s", bearer.name, what, extra=named("api_action", sid_in_log(call_sid)))


def sid_in_log(call_sid: str | None) -> str | None:
    """A CallSid from an address as it may stand in a log: not what somebody made up."""
    return call_sid if call_sid is not None and _SID.fullmatch(call_sid) else None


_SID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def call_sid_of(request: web.Request) -> str:
    """The call that the path names.

    Raises:
        HTTPException: 404, nothing can have this name.
    """
    call_sid = request.match_info["call_sid"]
    if not _SID.fullmatch(call_sid):
        raise problem(404, "not_found", "there is no such call; it was never there, or is erased")
    return call_sid


def answer(model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A model as an answer."""
    text = model.model_dump_json(by_alias=True)
    return web.Response(text=text, status=status, content_type=JSON, headers=dict(headers or {}))


def read_query(request: web.Request, model: type[M]) -> M:
    """What stands behind the question mark.

    Raises:
        HTTPException: 422, with everything that is wrong.
    """
    given = request.query
    if twice := [name for name in model.model_fields if len(given.getall(name, [])) > 1]:
        said = [Wrong(where=f"query.{name}", problem="is given twice", mend="give it once") for name in twice]
        raise _unprocessable(said)
    try:
        return model.model_validate(dict(given))
    except ValidationError as exc:
        raise _unprocessable(wrongs(exc, "query", model)) from exc


def read_key(request: web.Request) -> str | None:
    """The `Idempotency-Key`: the same one asks for the same thing again.

    Raises:
        HTTPException: 422, it has a wrong length.
    """
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= _LONGEST_KEY:
        mend = f"write 1 to {_LONGEST_KEY} characters"
        wrong = Wrong(where="header.Idempotency-Key", problem="has a wrong length", mend=mend)
        raise problem(422, "invalid", "the Idempotency-Key cannot be used", errors=[wrong])
    return key


async def read_body(request: web.Request, model: type[M], *, optional: bool = False) -> M:
    """The JSON that was sent; with `optional`, nothing counts as `{}`.

    Raises:
        HTTPException: 415, it is no JSON by its type; 413, too long; 400, no JSON; 422, with everything that is wrong.
    """
    if hdrs.CONTENT_ENCODING in request.headers:
        raise problem(415, "encoding", "send the body as it is, without Content-Encoding")
    content = await request.read()
    if optional and not content:
        return model.model_validate({})
    if request.headers.get(hdrs.CONTENT_TYPE) is not None and request.content_type != JSON:
        raise problem(415, "media_type", f"send JSON, with Content-Type: {JSON} (curl does with --json)")
    try:
        return model.model_validate_json(content.decode())
    except UnicodeDecodeError as exc:
        raise problem(400, "json", "the body is no UTF-8") from exc
    except ValidationError as exc:
        if any(one["type"] == "json_invalid" for one in exc.errors(include_url=False)):
            raise problem(400, "json", "the body is no JSON") from exc
        raise _unprocessable(wrongs(exc, "body", model)) from exc


def _unprocessable(errors: Sequence[Wrong]) -> web.HTTPException:
    count = len(errors)
    detail = f"{count} thing{'' if count == 1 else 's'} of the request cannot be used; see errors"
    return problem(422, "invalid", detail, errors=errors)
