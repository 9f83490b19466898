"""Pages lead to each other: every link's file is there, and every anchor is a heading of it."""

from __future__ import annotations

import posixpath
import re

import pytest

from tests.docs.pages import ROOT, headings, links, page_names

PAGES = page_names()
FIRST_PAGE = "README.md"
NOT_FOR_READERS = {"tests/samples/README.md", "flows/menu.md", "voicebot/project/template/project.md"}


def target(page: str, link: str) -> tuple[str, str]:
    """The file that a link of a page leads to, relative to the project, and the anchor in it."""
    path, _, anchor = link.partition("#")
    file = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
    return file, anchor


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, made as code hosts make them."""
    found: set[str] = set()
    for heading in headings(page):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = next(number for number in range(100) if f"{slug}-{number}" * (number > 0) not in found)
        found.add(slug if slug not in found else f"{slug}-{number}")
    return found


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            assert link.startswith("https://"), link
            continue
        file, anchor = target(page, link)
        assert (ROOT / file).exists(), link
        assert not anchor or anchor in anchors(file), link


def test_every_page_is_reached_from_the_first() -> None:
    reached, new = {FIRST_PAGE}, [FIRST_PAGE]
    while new:
        page = new.pop()
        for file in {target(page, link)[0] for link in links(page) if "://" not in link}:
            if file in PAGES and file not in reached:
                reached.add(file)
                new.append(file)
    assert set(PAGES) - reached == NOT_FOR_READERS & set(PAGES)


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_page_has_one_title_and_no_heading_twice(page: str) -> None:
    if page in NOT_FOR_READERS:
        return
    found = headings(page)
    assert found and len(found) == len(set(found))
