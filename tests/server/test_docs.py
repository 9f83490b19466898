"""The pages for browsers: all there, without markup, with links that lead to each other."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, headings, links
from tests.docs.test_links import anchors, target
from tests.server.test_console import browsing
from voicebot.flow.loader import shipped_flows
from voicebot.server import docs
from voicebot.server.docs import Node, Rendered, named, path_of, render, slug, texts

NAMES = [page.name for page in docs.PAGES]
TAGS = {
    *("p", "ul", "ol", "li", "blockquote", "strong", "em", "a", "span", "img", "code", "pre", "div", "br", "hr"),
    *("table", "thead", "tbody", "tr", "th", "td", "h1", "h2", "h3", "h4"),
}
ATTRIBUTES = {"id", "href", "rel", "target", "title", "src", "alt", "loading", "class", "tabindex"}


def rendered(name: str) -> Rendered:
    page = named(name)
    assert page is not None
    found = render(page)
    assert found is not None
    return found


def elements(nodes: Sequence[Node]) -> Iterator[tuple[str, dict[str, str], list[Node]]]:
    for node in nodes:
        if not isinstance(node, str):
            yield node
            yield from elements(node[2])


@pytest.mark.parametrize("name", NAMES)
def test_page_is_a_tree_of_plain_elements(name: str) -> None:
    page = rendered(name)
    for tag, attributes, _ in elements(page.content):
        assert tag in TAGS and attributes.keys() <= ATTRIBUTES
    words = "".join(texts(page.content))
    assert len(words) > 2000
    assert [one.text for one in page.headings] == headings(page.page.file)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_places_there_are(name: str) -> None:
    page = rendered(name)
    by_name = {one.name: one.file for one in docs.PAGES}
    leading = []
    for tag, attributes, _ in elements(page.content):
        if tag == "a" and (href := attributes["href"]).startswith("/"):
            place, _, anchor = href.removeprefix(docs.PLACE + "/").partition("#")
            assert not anchor or anchor in {one.anchor for one in rendered(place).headings}, href
            leading.append((by_name[place], anchor))
        elif tag == "a":
            assert attributes["href"].startswith("https://") and "noopener" in attributes["rel"]
    written = [target(page.page.file, link) for link in links(page.page.file) if "://" not in link]
    assert sorted(leading) == sorted(one for one in written if one[0] in by_name.values())


@pytest.mark.parametrize("name", NAMES)
def test_anchors_are_those_of_code_hosts(name: str) -> None:
    page = rendered(name)
    assert {one.anchor for one in page.headings} == anchors(page.page.file)
    assert {attributes["id"] for tag, attributes, _ in elements(page.content) if "id" in attributes} == {
        one.anchor for one in page.headings
    }


def test_headings_alike_have_anchors_of_their_own() -> None:
    assert [slug("What a call may cost", set()), slug("Say `x`, twice!", {"say-x-twice"})] == [
        *("what-a-call-may-cost", "say-x-twice-1"),
    ]


def test_markup_in_a_page_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = (
        "# <b>Title</b>\n\n<script>alert(1)</script>\n\nA <img src=x onerror=alert(1)> word "
        "[here](javascript:alert(1)) [there](//evil.example/x) [file](../../etc/passwd) ![p](http://evil.example/p.png)\n"
    )
    (tmp_path / "CHANGELOG.md").write_text(hostile)
    monkeypatch.setattr(docs, "path_of", lambda file: tmp_path / file)
    page = render.__wrapped__(docs.PAGES[-1])
    assert page is not None and page.page.name == "changes"
    found = list(elements(page.content))
    assert {tag for tag, _, _ in found} <= {"h1", "p", "span"}
    assert "alert" not in json.dumps([attributes for _, attributes, _ in found])
    assert "evil" not in json.dumps([attributes for tag, attributes, _ in found if tag in ("a", "img")])


def test_page_that_is_not_here_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(docs, "path_of", lambda file: tmp_path / file)
    assert render.__wrapped__(docs.PAGES[0]) is None
    assert named("none") is None


def test_installed_pages_are_those_of_the_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(docs, "_INSTALLED", tmp_path)
    assert path_of("deploy/README.md") == tmp_path / "deploy" / "README.md"
    assert path_of("flows/README.md") == shipped_flows() / "README.md"
    assert path_of("voicebot/web/README.md") == Path(docs.__file__).parents[1] / "web" / "README.md"


def test_wheel_has_every_page() -> None:
    given = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    outside = [page.file for page in docs.PAGES if not page.file.startswith(("voicebot/", "flows/"))]
    for file in [*outside, "deploy/images"]:
        assert given["force-include"][file] == f"voicebot/docs/{file}"


async def test_pages_are_served_to_anybody(tmp_path: Path) -> None:
    async with browsing(tmp_path) as at:
        status, told = await at.ask("GET", "/console/pages")
        assert status == 200 and [one["name"] for one in told["pages"]] == NAMES
        for name in NAMES:
            status, told = await at.ask("GET", f"/console/pages/{name}")
            assert status == 200 and told == json.loads(json.dumps(rendered(name).as_json()))
        for name in ("none", "README.md", "..%2fconsole.py"):
            assert (await at.ask("GET", f"/console/pages/{name}"))[0] == 404
        async with at.client.get("/console/pages/flows") as answer:
            etag = answer.headers["ETag"]
        async with at.client.get("/console/pages/flows", headers={"If-None-Match": etag}) as answer:
            assert (answer.status, await answer.read()) == (304, b"")


async def test_pictures_are_served_by_their_names_alone(tmp_path: Path) -> None:
    async with browsing(tmp_path) as at:
        for name in docs.images():
            async with at.client.get(f"{docs.IMAGES}/{name}") as answer:
                assert (answer.status, answer.content_type) == (200, "image/png")
                assert (await answer.read()).startswith(b"\x89PNG")
        for name in ("none.png", "..%2fREADME.md", "%2fetc%2fpasswd"):
            async with at.client.get(f"{docs.IMAGES}/{name}") as answer:
                assert answer.status == 404
