"""What is installed: the lock keeps to pyproject.toml, pins everything by hash, and is under licences that we allow."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.deploy.dockerfile import read
from tests.deploy.licences import LOCK, PAGE, ROOT, SPELLINGS, licence_of, locked, only_for_tests

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BUILD_LOCK = LOCK.with_name("requirements-build.txt")
EXTRAS = ("fast", "redis", "otel")  # those in the image
ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "PSF-2.0", "Zlib"),
    *("LGPL-2.1-or-later", "MPL-2.0"),  # of libraries, which stay what they are
}


def wanted() -> list[Requirement]:
    """What pyproject.toml asks for in the image."""
    project = PROJECT["project"]
    optional = [one for extra in EXTRAS for one in project["optional-dependencies"][extra]]
    return [*map(Requirement, project["dependencies"]), *map(Requirement, optional)]


@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_lock_keeps_to_the_bounds(requirement: Requirement) -> None:
    name = canonicalize_name(requirement.name)
    pins = re.findall(rf"^{name}==(\S+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    assert pins
    assert all(Version(pin) in requirement.specifier for pin in pins)


def test_nothing_is_asked_for_twice() -> None:
    for some in (PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()):
        names = [canonicalize_name(Requirement(one).name) for one in some]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("lock", [LOCK, BUILD_LOCK], ids=lambda lock: str(lock.name))
def test_everything_in_a_lock_has_a_version_and_hashes(lock: Path) -> None:
    text = re.sub(r"^#.*\n", "", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    entries = re.split(r"\n(?=[a-z])", text.strip())
    assert len(entries) > 3
    for entry in entries:
        assert re.fullmatch(r"\S+==\S+(?: ; [^\\]+)? \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\\n)?)+", entry), entry


def test_image_takes_the_extras_that_are_locked() -> None:
    script = (LOCK.parent / "lock").read_text(encoding="utf-8")
    assert set(re.findall(r"--extra (\w+)", script)) == set(EXTRAS)


def test_image_holds_what_the_wheel_is_made_of() -> None:
    """The Dockerfile copies every file that pyproject.toml builds the wheel from."""
    steps = (step for step in read(LOCK.parent / "Dockerfile") if step.name == "COPY" and "from" not in step.options)
    copied = [word for step in steps for word in step.words[:-1]]
    target = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    for source in (*target["packages"], *target["force-include"], "pyproject.toml", "README.md", "LICENSE"):
        assert any(fnmatch(source, one) or source.startswith(f"{one}/") for one in copied), f"{source} is not copied"


def test_licences_page_lists_what_is_installed() -> None:
    listed = dict(re.findall(r"^\| ([a-z][a-z0-9-]*) \| (\S.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    del listed["package"], listed["tool"]
    assert listed.keys() == {*locked(), *only_for_tests()}
    for name, licence in listed.items():
        assert set(re.split(r" (?:AND|OR) ", re.sub(r"[()]", "", licence))) <= ALLOWED, name
        if name in locked() and installed(name) in {one.version for one in locked()[name].specifier}:
            assert licence_of(name) == licence, f"{name}: write the page anew"


def installed(name: str) -> str:
    """The version that is installed here, which may be another one than the lock's; empty if none is."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def test_spellings_are_used() -> None:
    assert set(SPELLINGS.values()) <= ALLOWED
