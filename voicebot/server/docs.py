"""The project's pages for browsers: Markdown files of this very version, read into a tree of elements.

No markup leaves the server. A page is a tree of names, attributes and texts, of which the console's script makes
elements (`console/static/pages/docs.js`), so that its policy need not allow any. HTML in a page is left out: the pages
have comments only. Links among pages lead to their places in the console; to a file that is none, there is only its
text.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import voicebot
from voicebot.flow.loader import shipped_flows

if TYPE_CHECKING:
    from markdown_it.tree import SyntaxTreeNode

PLACE = "/console/docs"
IMAGES = "/console/pages/images"
_PACKAGE = Path(voicebot.__file__).resolve().parent
_INSTALLED = _PACKAGE / "docs"  # what of them stands outside of the package, see pyproject.toml

# An element: its name, its attributes, and what is in it; a text is itself.
Node = str | tuple[str, dict[str, str], list["Node"]]

_AS_THEY_ARE = {
    "paragraph": "p",
    "bullet_list": "ul",
    "ordered_list": "ol",
    "list_item": "li",
    "blockquote": "blockquote",
    "strong": "strong",
    "em": "em",
    "thead": "thead",
    "tbody": "tbody",
    "tr": "tr",
    "th": "th",
    "td": "td",
}


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its name in addresses, its file in the project, its title in the list of pages."""

    name: str
    file: str
    title: str


PAGES = (
    Page("start", "README.md", "Start"),
    Page("flows", "flows/README.md", "Writing a flow"),
    Page("running", "deploy/README.md", "Running it"),
    Page("troubleshooting", "deploy/troubleshooting.md", "Troubleshooting"),
    Page("deliveries", "voicebot/delivery/README.md", "Deliveries"),
    Page("web", "voicebot/web/README.md", "Over the web"),
    Page("twin", "voicebot/sim/README.md", "The twin"),
    Page("architecture", "voicebot/README.md", "How it is built"),
    Page("tests", "tests/README.md", "How we test"),
    Page("changes", "CHANGELOG.md", "Changes"),
)
_BY_NAME = {page.name: page for page in PAGES}
_BY_FILE = {page.file: page for page in PAGES}


def path_of(file: str) -> Path:
    """Where a file of the project stands, installed or in a checkout."""
    if file.startswith("flows/"):
        return shipped_flows() / file.removeprefix("flows/")
    outside = _INSTALLED if _INSTALLED.is_dir() and not file.startswith("voicebot/") else _PACKAGE.parent
    return outside / file


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading, for the list of what is on a page."""

    level: int
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A page as the console shows it."""

    page: Page
    headings: Sequence[Heading]
    content: Sequence[Node]

    def as_json(self) -> dict[str, object]:
        """For the console."""
        return {
            "name": self.page.name,
            "title": self.page.title,
            "headings": [{"level": one.level, "text": one.text, "anchor": one.anchor} for one in self.headings],
            "content": self.content,
        }


def named(name: str) -> Page | None:
    """The page of a name, if there is one."""
    return _BY_NAME.get(name)


@cache
def render(page: Page) -> Rendered | None:
    """Read a page, once; None if its file is not here.

    It takes some hundredths of a second of processor time the first time: not on the event loop.
    """
    if not path_of(page.file).is_file():
        return None
    from markdown_it import MarkdownIt  # only for whoever reads
    from markdown_it.tree import SyntaxTreeNode

    tokens = MarkdownIt("commonmark").enable("table").parse(path_of(page.file).read_text(encoding="utf-8"))
    reading = _Reading(page)
    content = list(reading.all(SyntaxTreeNode(tokens).children))
    return Rendered(page, reading.headings, content)


@cache
def images() -> dict[str, Path]:
    """The pictures on the pages, by the names of their files."""
    return {path.name: path for path in path_of("deploy/images").glob("*.png")}


class _Reading:
    """One page being read."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._anchors: set[str] = set()
        self.headings: list[Heading] = []

    def all(self, nodes: Sequence[SyntaxTreeNode]) -> Iterator[Node]:
        """The elements that these become."""
        for node in nodes:
            yield from self._one(node)

    def _one(self, node: SyntaxTreeNode) -> Iterator[Node]:
        match node.type:
            case "text":
                yield node.content
            case "softbreak":
                yield "\n"
            case "hardbreak":
                yield "br", {}, []
            case "hr":
                yield "hr", {}, []
            case "code_inline":
                yield "code", {}, [node.content]
            case "fence" | "code_block":
                yield "pre", {"class": "code", "tabindex": "0"}, [("code", {}, [node.content])]
            case "html_block" | "html_inline":
                return
            case "inline":
                yield from self.all(node.children)
            case "paragraph" if node.hidden:  # of a list that is tight
                yield from self.all(node.children)
            case "heading":
                yield self._heading(node)
            case "link":
                yield self._link(str(node.attrs.get("href", "")), list(self.all(node.children)))
            case "image":
                yield self._image(str(node.attrs.get("src", "")), node.content)
            case "table":
                table: Node = ("table", {}, list(self.all(node.children)))
                yield "div", {"class": "table-wrap"}, [table]
            case kind if kind in _AS_THEY_ARE:
                yield _AS_THEY_ARE[kind], {}, list(self.all(node.children))
            case kind:
                raise ValueError(f"{self._page.file}: nobody knows how to show a {kind}")

    def _heading(self, node: SyntaxTreeNode) -> Node:
        content = list(self.all(node.children))
        text = "".join(texts(content))
        anchor = slug(text, self._anchors)
        self._anchors.add(anchor)
        level = int(node.tag[1:])
        self.headings.append(Heading(level, text, anchor))
        return node.tag, {"id": anchor}, content

    def _link(self, href: str, content: list[Node]) -> Node:
        parts = urlsplit(href)
        if parts.scheme == "https":
            return "a", {"href": href, "rel": "noreferrer noopener", "target": "_blank"}, content
        if parts.scheme or parts.netloc:
            return "span", {}, content
        file = self._file(parts.path) if parts.path else self._page.file
        page = _BY_FILE.get(file)
        if page is None:
            return "span", {"title": file}, content
        return "a", {"href": f"{PLACE}/{page.name}" + (f"#{parts.fragment}" if parts.fragment else "")}, content

    def _image(self, src: str, words: str) -> Node:
        name = posixpath.basename(src)
        if self._file(src) != f"deploy/images/{name}" or name not in images():
            return "span", {}, [words]
        return "img", {"src": f"{IMAGES}/{name}", "alt": words, "loading": "lazy"}, []

    def _file(self, path: str) -> str:
        """The file of the project that a relative path on this page means."""
        return posixpath.normpath(posixpath.join(posixpath.dirname(self._page.file), path))


def texts(nodes: Sequence[Node]) -> Iterator[str]:
    """All the text in a tree."""
    for node in nodes:
        if isinstance(node, str):
            yield node
        else:
            yield from texts(node[2])


def slug(heading: str, taken: set[str]) -> str:
    """The anchor of a heading, as code hosts make it; of those alike, the second ends in -1, the third in -2.

    Args:
        taken: the anchors before it on its page.
    """
    first = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    number, anchor = 0, first
    while anchor in taken:
        number += 1
        anchor = f"{first}-{number}"
    return anchor
