"""The document as a page to read: made here, without a script, under a policy that lets none run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

PAGE_POLICY = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
STYLE_PATH = "/docs/style.css"
STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; overflow-wrap: anywhere; }
section { border-top: 1px solid color-mix(in srgb, currentColor 25%, transparent); padding: .5rem 0; }
h3 code { font-size: 1rem; }
table { border-collapse: collapse; width: 100%; }
td { border-top: 1px solid color-mix(in srgb, currentColor 12%, transparent); padding: .2rem .5rem .2rem 0; }
td { vertical-align: top; }
td:first-child { white-space: nowrap; }
pre { overflow: auto; background: color-mix(in srgb, currentColor 7%, transparent); padding: .5rem; }
@media (max-width: 40rem) { td:first-child { white-space: normal; } }
"""


def page(document: Mapping[str, Any]) -> str:
    """The whole page."""
    info = document["info"]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<title>{escape(info["title"])} API</title><link rel="stylesheet" href="{STYLE_PATH}"></head><body>',
            f"<h1>{escape(info['title'])} API <small>{escape(info['version'])}</small></h1>",
            f"<p>{escape(info['description'])} <a href='/openapi.json'>OpenAPI document</a></p>",
            f"<p>{escape(document['components']['securitySchemes']['token']['description'])}</p>",
            "<main>",
            *_operations(document),
            "<h2>Forms</h2>",
            *_forms(document["components"]["schemas"]),
            "</main></body></html>",
        ]
    )


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    tag = ""
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            if one["tags"][0] != tag:
                tag = one["tags"][0]
                yield f"<h2>{escape(tag)}</h2>"
            yield from _operation(path, method, one)


def _operation(path: str, method: str, one: Mapping[str, Any]) -> Iterator[str]:
    scopes = [scope for need in one["security"] for scope in need["token"]]
    needs = f"token of scope {', '.join(scopes)}" if scopes else "no token"
    yield f'<section id="{escape(one["operationId"])}"><h3><code>{method.upper()} {escape(path)}</code></h3>'
    yield f"<p>{escape(one['summary'])} <em>({escape(needs)})</em></p>"
    rows = [(f"{one['name']} ({one['in']})", one.get("description", "")) for one in one.get("parameters", ())]
    body = one.get("requestBody", {}).get("content", {})
    rows += [("body", _form(content["schema"])) for content in body.values()]
    yield from _table(rows)
    yield from _table([(status, _answer(answer)) for status, answer in one["responses"].items()])
    yield "</section>"


def _answer(answer: Mapping[str, Any]) -> str:
    forms = [f"{media} {_form(content['schema'])}".strip() for media, content in answer.get("content", {}).items()]
    return " — ".join([answer["description"], *forms])


def _form(schema: Mapping[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _table(rows: list[tuple[str, str]]) -> Iterator[str]:
    if rows:
        cells = (f"<tr><td><code>{escape(name)}</code></td><td>{escape(says)}</td></tr>" for name, says in rows)
        yield f"<table>{''.join(cells)}</table>"


def _forms(schemas: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in schemas.items():
        text = json.dumps(schema, indent=2, ensure_ascii=False)
        yield f'<section id="{escape(name)}"><h3>{escape(name)}</h3><pre>{escape(text)}</pre></section>'
