"""What is answered to a request that is not served: problem details (RFC 9457), with words that say how to mend it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

PROBLEM_JSON = "application/problem+json"
MOST_WRONG = 20  # things that are wrong with a request, and told
NOT_API = "/twilio/"  # what begins so is for Twilio, which reads no problem details

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Wrong(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(description="As body.to, query.limit or header.Idempotency-Key.")
    problem: str
    mend: str = Field(description="What to write instead.")


class ProblemDetails(BaseModel):
    """Why a request was not served (RFC 9457)."""

    type: str = Field("about:blank", description="A URI reference; about:blank where the status says all.")
    title: str = Field(description="The status in words.")
    status: int
    code: str = Field(description="A word for programs, which does not change.")
    detail: str = Field(description="What is wrong, and how to mend it.")
    errors: list[Wrong] = Field(default_factory=list, description="Everything that is wrong with the request.")


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[Wrong] = (),
    headers: Mapping[str, str] | None = None,
) -> web.HTTPException:
    """An answer to be raised.

    Args:
        status: from 400 on.
        code: a word for programs.
        detail: what is wrong and how to mend it; nothing of it is what anybody sent.
    """
    return _Problem(status, _details(status, code, detail, errors), headers)


def missing(what: str) -> web.HTTPException:
    """404: `what` is not there."""
    return problem(404, "not_found", f"there is no such {what}; it was never there, or is erased")


def unavailable() -> web.HTTPException:
    """503: the store does not answer."""
    return problem(503, "store", "the store does not answer; try again", headers={"Retry-After": "5"})


def wrongs(exc: ValidationError, part: str, known: type[BaseModel]) -> list[Wrong]:
    """Everything that a model finds wrong with a part of a request (`body`, `query`), and nothing of what was sent."""
    found = []
    for one in exc.errors(include_url=False, include_context=False, include_input=False)[:MOST_WRONG]:
        path = [str(step) for step in one["loc"]]
        if one["type"] == "extra_forbidden":  # the name itself is what somebody sent
            where, mend = part, f"leave out what is unknown; known are {', '.join(_names(known))}"
        else:
            where, mend = ".".join([part, *path]), _mend(known, path)
        found.append(Wrong(where=where, problem=one["msg"], mend=mend))
    return found


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _mend(model: type[BaseModel], path: Sequence[str]) -> str:
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    field = fields.get(path[0]) if path else None
    return field.description if field is not None and field.description else "see /openapi.json for its form"


@web.middleware
async def problem_details(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Have every refusal be problem details, whoever refused: no route, a method, a body that is too long."""
    try:
        return await handler(request)
    except web.HTTPException as exc:
        if exc.status < 400 or isinstance(exc, _Problem) or request.path.startswith(NOT_API):
            raise
        code, detail = _SAID.get(exc.status, ("refused", exc.text or exc.reason))
        headers = {
            name: exc.headers[name] for name in ("Allow", "Retry-After", "WWW-Authenticate") if name in exc.headers
        }
        raise problem(exc.status, code, detail, headers=headers) from exc


_SAID: Mapping[int, tuple[str, str]] = {
    404: ("not_found", "nothing is here; /openapi.json lists what there is"),
    405: ("method", "this cannot be done here; the Allow header says what can"),
    413: ("too_long", "the body is too long"),
}


class _Problem(web.HTTPException):
    """An answer of any status: aiohttp has a class for each, and no place for all."""

    status_code = 400

    def __init__(self, status: int, details: ProblemDetails, headers: Mapping[str, str] | None) -> None:
        super().__init__(
            headers=dict(headers or {}), text=details.model_dump_json(), content_type=PROBLEM_JSON, reason=details.title
        )
        self.set_status(status, details.title)


def _details(status: int, code: str, detail: str, errors: Sequence[Wrong]) -> ProblemDetails:
    title = _TITLES.get(status, "Refused")
    return ProblemDetails(title=title, status=status, code=code, detail=detail, errors=list(errors))


_TITLES: Mapping[int, str] = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
