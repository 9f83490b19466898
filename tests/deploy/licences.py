"""Writes deploy/licences.md: under which licence each package comes that the image, or the tests, install.

    python tests/deploy/licences.py

In an environment with all of them (`pip install -e '.[fast,test]'`). Licences are read from what the packages say
of themselves, in the words of SPDX.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "deploy" / "docker" / "requirements.txt"
PAGE = ROOT / "deploy" / "licences.md"

# Who does not use a licence's SPDX name, and how it is called there.
SPELLINGS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License": "ISC",
    "MIT License": "MIT",
}
# What is only installed on systems or Pythons that may not be at hand, or when asked for.
ELSEWHERE = {"async-timeout": "Apache-2.0", "atheris": "Apache-2.0", "colorama": "BSD-3-Clause"}

BEGINNING = """# Licences

voicebot is under the MIT licence. The image, and an installation with the extras `fast`, `redis` and `otel`, hold the
packages below, each as its authors publish it, under the licence that it states. This page is written by
`python tests/deploy/licences.py`.

All of them may be used in and along with programs of any licence. Three ask for something if you pass an image on:
`soxr` (LGPL: it is a library of its own, which whoever has the image may replace), `certifi` and a part of `orjson`
(MPL: changes of theirs stay under it). None is changed here.

| package | licence |
| --- | --- |
"""

FOR_TESTS = """
## Only for tests

Asked for by the extras `test` and `fuzz`, with what they bring in their turn; no part of an installation.

| tool | licence |
| --- | --- |
"""


def locked() -> dict[str, Requirement]:
    """The packages of the lock, by name."""
    lines = re.findall(r"^([a-z0-9][^\\\n]*)\\$", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    return {found.name: found for found in map(Requirement, lines)}


def only_for_tests() -> list[str]:
    """What developers install besides, by the names in pyproject.toml."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    asked = {canonicalize_name(Requirement(one).name) for extra in ("test", "fuzz") for one in extras[extra]}
    return sorted(asked - locked().keys())


def licence_of(name: str) -> str | None:
    """What an installed package says of itself; None if it is not here."""
    try:
        told = metadata(name)
    except PackageNotFoundError:
        return None
    stated = told.json.get("license_expression") or told.json.get("license") or ""
    if not stated or "\n" in stated:
        kinds = [one.rpartition(" :: ")[2] for one in told.get_all("Classifier") or [] if one.startswith("License ::")]
        stated = " AND ".join(SPELLINGS.get(kind, kind) for kind in kinds)
    return SPELLINGS.get(stated, stated)


def page() -> str:
    """The whole page.

    Raises:
        LookupError: a package is not installed, so that nothing is known of it.
    """
    return BEGINNING + _rows(sorted(locked())) + FOR_TESTS + _rows(only_for_tests())


def _rows(names: Iterable[str]) -> str:
    rows = []
    for name in names:
        licence = licence_of(name) or ELSEWHERE.get(name)
        if licence is None:
            raise LookupError(f"{name} is not installed")
        rows.append(f"| {name} | {licence} |\n")
    return "".join(rows)


def main() -> int:
    """Write it."""
    try:
        PAGE.write_text(page(), encoding="utf-8")
    except LookupError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
