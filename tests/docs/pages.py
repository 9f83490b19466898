"""The pages of the project as tests read them: their fenced blocks, their inline code, their links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
_ELSEWHERE = {"node_modules", "__pycache__", "dist", "build"}  # no pages of ours, as what begins with a dot


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: relative to the project, with `/`.
        language: the word behind the fence.
        marker: the text of the HTML comment right above it, if there is one.
    """

    page: str
    line: int
    language: str
    marker: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def page_names() -> list[str]:
    """Every Markdown file of the project."""
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*.md"))
    return sorted(path.as_posix() for path in found if not any(_is_elsewhere(part) for part in path.parts))


def _is_elsewhere(part: str) -> bool:
    return part in _ELSEWHERE or (part.startswith(".") and part != ".github")  # where code hosts look for pages


@cache
def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@cache
def tokens(page: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text_of(page))


@cache
def blocks(page: str, language: str | None = None) -> tuple[Block, ...]:
    """The page's fenced blocks, or those of a language."""
    found, marker = [], ""
    for token in tokens(page):
        if token.type == "html_block":
            comment = re.fullmatch(r"<!-- (.*?) -->\s*", token.content, flags=re.DOTALL)
            marker = comment[1] if comment is not None else ""
            continue
        if token.type == "fence":
            assert token.map is not None
            found.append(Block(page, token.map[0] + 1, token.info.strip(), marker, token.content))
        marker = ""
    return tuple(one for one in found if language in (None, one.language))


def marked(page: str, marker: str) -> str:
    """The text of the one block under a marker."""
    (block,) = (one for one in blocks(page) if one.marker == marker)
    return block.text


def block_with(page: str, language: str, words: str) -> str:
    """The text of the one block of a language that has these words."""
    (block,) = (one for one in blocks(page, language) if words in one.text)
    return block.text


@cache
def inline(page: str, kind: str) -> tuple[Token, ...]:
    """What stands within paragraphs, of a kind: `code_inline`, `link_open`, `image`."""
    children = (child for token in tokens(page) for child in token.children or ())
    return tuple(child for child in children if child.type == kind)


def links(page: str) -> list[str]:
    """Where a page leads: links, and what images show."""
    hrefs = [str(one.attrGet("href")) for one in inline(page, "link_open")]
    return hrefs + [str(one.attrGet("src")) for one in inline(page, "image")]


def headings(page: str) -> list[str]:
    """The texts of its headings, in order, without marks."""
    every = tokens(page)
    return [
        "".join(child.content for child in every[number + 1].children or ())
        for number, token in enumerate(every)
        if token.type == "heading_open"
    ]
