"""The document and the routes are the same thing; and the page to read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
from aiohttp import web

from tests.server.test_app import SHELF, serving, settings
from voicebot.server.api.problems import PROBLEM_JSON
from voicebot.server.app import create_app

TOKEN = "an-admin-token"
HOLDER = {"Authorization": f"Bearer {TOKEN}"}
WITH_TOKEN = {"VOICEBOT_API_TOKEN": TOKEN}


async def the_app(folder: Path, **changed: object) -> web.Application:
    return await create_app(settings(folder, **(WITH_TOKEN | changed)), shelf=SHELF)


async def test_document_lists_every_route_and_no_other(tmp_path: Path) -> None:
    app = await the_app(tmp_path)
    routed = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None
        and route.method != "HEAD"
        and not route.resource.canonical.startswith(("/twilio/", "/console"))  # those are no API
    }
    async with serving(app) as client, client.get("/openapi.json") as answer:
        document = await answer.json()
    documented = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert documented == routed


async def test_document_is_openapi_of_whole_schemas(tmp_path: Path) -> None:
    async with serving(await the_app(tmp_path)) as client, client.get("/openapi.json") as answer:
        document = await answer.json()
    assert document["openapi"].startswith("3.1.")
    names = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    assert len(names) == len(set(names))
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for ref in references(document):
        assert ref.removeprefix("#/components/schemas/") in document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for one in methods.values():
            in_path = {made["name"] for made in one.get("parameters", ()) if made["in"] == "path"}
            assert in_path == set(re.findall(r"\{(\w+)\}", path))
            scopes = [scope for need in one["security"] for scope in need["token"]]
            assert not scopes or {"401", "403", "429"} <= one["responses"].keys()


def references(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*map(references, part.values()))
    return set().union(*map(references, part)) if isinstance(part, list) else set()


async def test_page_runs_no_script_and_needs_no_other_host(tmp_path: Path) -> None:
    async with serving(await the_app(tmp_path)) as client:
        async with client.get("/docs") as answer:
            text, policy = await answer.text(), answer.headers["Content-Security-Policy"]
            assert answer.status == 200 and answer.content_type == "text/html"
        assert "unsafe" not in policy and policy.startswith("default-src 'none'")
        assert not re.search(r"<script|\son\w+=|style=|https?://", text)
        assert "/calls/{call_sid}/journal" in text
        async with client.get("/docs/style.css") as answer:
            assert (answer.status, answer.content_type) == (200, "text/css")


async def test_refusals_are_problem_details_wherever_they_come_from(tmp_path: Path) -> None:
    async with serving(await the_app(tmp_path)) as client:
        for method, path, headers, status, code in [
            ("GET", "/nowhere", {}, 404, "not_found"),
            ("DELETE", "/calls", HOLDER, 405, "method"),
            ("GET", "/calls", {}, 401, "token"),
            ("GET", "/calls/none", HOLDER, 404, "not_found"),
            ("GET", "/calls?limit=0&what=1", HOLDER, 422, "invalid"),
        ]:
            async with client.request(method, path, headers=headers) as answer:
                told = await answer.json(content_type=PROBLEM_JSON)
                assert (answer.status, told["status"], told["code"]) == (status, status, code)
        assert [one["where"] for one in told["errors"]] == ["query.limit", "query"]
        assert "known are limit, cursor, state" in told["errors"][1]["mend"]


async def test_body_is_refused_for_what_is_wrong_with_it(tmp_path: Path) -> None:
    json_type = HOLDER | {"Content-Type": "application/json"}
    async with serving(await the_app(tmp_path)) as client:
        for content, headers, status, code in [
            (b"{", json_type, 400, "json"),
            (b"\xff", json_type, 400, "json"),
            (b"{}", HOLDER | {"Content-Type": "text/plain"}, 415, "media_type"),
            (b"{}", json_type | {"Content-Encoding": "compress"}, 415, "encoding"),
            (b'"' + b"x" * 70_000 + b'"', json_type, 413, "too_long"),
            (b'{"text": " ", "<script>": 1}', json_type, 422, "invalid"),
        ]:
            async with client.post("/calls/CA1/say", data=content, headers=headers) as answer:
                told = await answer.json(content_type=PROBLEM_JSON)
                assert (answer.status, told["code"]) == (status, code)
        assert {one["where"] for one in told["errors"]} == {"body.text", "body"}
        assert "script" not in str(told)  # nothing that was sent comes back


async def test_scopes_let_do_what_they_say(tmp_path: Path) -> None:
    app = await the_app(tmp_path, VOICEBOT_API_TOKENS="eye=read:reads,desk=operate:operates")
    async with serving(app) as client:
        for token, allowed in [("reads", 1), ("operates", 2), (TOKEN, 3)]:
            for needed, (method, path) in enumerate(
                [("GET", "/calls"), ("POST", "/calls/CA1/hang-up"), ("DELETE", "/calls/CA1")], 1
            ):
                async with client.request(method, path, headers={"Authorization": f"Bearer {token}"}) as answer:
                    assert (answer.status == 403) is (needed > allowed)


async def test_several_tokens_hold_while_one_takes_the_others_place(tmp_path: Path) -> None:
    app = await the_app(tmp_path, VOICEBOT_API_TOKEN="old-token, new-token")
    async with serving(app) as client:
        for token, status in [("old-token", 200), ("new-token", 200), ("old-token, new-token", 401)]:
            async with client.get("/flows", headers={"Authorization": f"Bearer {token}"}) as answer:
                assert answer.status == status


async def test_token_that_asks_too_often_waits(tmp_path: Path) -> None:
    app = await the_app(tmp_path, VOICEBOT_API_RATE=18, VOICEBOT_API_TOKENS="eye=read:reads")
    async with serving(app) as client:
        answers = []
        for _ in range(5):
            async with client.get("/flows", headers=HOLDER) as answer:
                answers.append((answer.status, "Retry-After" in answer.headers))
        assert answers == [(200, False)] * 3 + [(429, True)] * 2
        async with client.get("/flows", headers={"Authorization": "Bearer reads"}) as answer:
            assert answer.status == 200  # the others are not held up
