"""Builds what is released, and tries it outside the checkout.

    python tests/deploy/release.py python3.11 python3.12 python3.13

builds the sdist, and from it the wheel; sees that the wheel holds all of the package and nothing else; installs it with
its newest dependencies into an environment of its own for each of the Pythons, and runs there, in an empty folder, what
a newcomer runs. Exit code 1 if anything is wrong. The tests beside this file do the same with what the image installs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND_LIMIT_S = 900.0  # a loaded machine
NEWCOMERS: tuple[tuple[str, ...], ...] = (
    ("--version",),
    ("--help",),
    ("check",),
    ("demo", "--fast"),
)


def build_sdist(python: str, project: Path, to: Path, environ: Mapping[str, str] | None = None) -> Path:
    """Build the sdist; hatchling is there for `python`."""
    _run([python, "-m", "hatchling", "build", "-t", "sdist", "-d", str(to)], project, environ)
    (found,) = to.glob("*.tar.gz")
    return found


def wheel_from(sdist: Path, python: str, to: Path, environ: Mapping[str, str] | None = None) -> Path:
    """Build the wheel from the sdist alone, as an index's users may."""
    with tempfile.TemporaryDirectory() as folder, tarfile.open(sdist) as packed:
        packed.extractall(folder, filter="data")
        (unpacked,) = Path(folder).iterdir()
        _run([python, "-m", "hatchling", "build", "-t", "wheel", "-d", str(to)], unpacked, environ)
    (found,) = to.glob("*.whl")
    return found


def look_into(wheel: Path) -> None:
    """See that it holds the package and what pyproject.toml adds to it, all of that, and nothing else.

    Raises:
        AssertionError: it does not.
    """
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    added: dict[str, str] = config["targets"]["wheel"]["force-include"]
    wanted = _below(ROOT / "voicebot", "voicebot")
    for source, target in added.items():
        wanted |= _below(ROOT / source, target)
    with zipfile.ZipFile(wheel) as packed:
        names = {name for name in packed.namelist() if ".dist-info/" not in name}
        about = {name.partition(".dist-info/")[2] for name in packed.namelist()} - {""}
    assert names == wanted, f"missing {sorted(wanted - names)}, too much {sorted(names - wanted)}"
    assert {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"} == about
    kinds = {"voicebot/py.typed", "voicebot/console/static/index.html", "voicebot/examples/restaurant_ordering.py"}
    assert kinds <= names
    assert any(name.endswith(".lua") for name in names)


def same_content(one: Path, other: Path) -> bool:
    """Whether two wheels hold the same files."""
    return _hashes(one) == _hashes(other)


def try_commands(program: Path, folder: Path, *further: tuple[str, ...]) -> dict[str, str]:
    """Run what a newcomer runs, and `further` commands, in `folder`, with no settings; what each has printed.

    Raises:
        AssertionError: one failed.
    """
    environ = {"PATH": f"{program.parent}:/usr/bin:/bin", "HOME": str(folder)}
    return {words[0]: _run([str(program), *words], folder, environ) for words in (*NEWCOMERS, *further)}


def _below(folder: Path, target: str) -> set[str]:
    if folder.is_file():
        return {target}
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {f"{target}/{path.as_posix()}" for path in files if "__pycache__" not in path.parts}


def _hashes(wheel: Path) -> dict[str, str]:
    with zipfile.ZipFile(wheel) as packed:
        return {name: hashlib.sha256(packed.read(name)).hexdigest() for name in packed.namelist()}


def _run(words: list[str], folder: Path, environ: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        words, cwd=folder, env=environ, capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=False
    )
    assert done.returncode == 0, f"{' '.join(words)} gave {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def main(pythons: list[str]) -> int:
    """Try the release on each of these Pythons."""
    with tempfile.TemporaryDirectory(prefix="release-") as name:
        folder = Path(name)
        _run([sys.executable, "-m", "venv", str(folder / "tools")], folder)
        tools = str(folder / "tools" / "bin" / "python")
        _run([tools, "-m", "pip", "install", "--quiet", "hatchling"], folder, os.environ)
        sdist = build_sdist(tools, ROOT, folder / "sdist")
        wheel = wheel_from(sdist, tools, folder / "wheel")
        look_into(wheel)
        print(f"{sdist.name} {sdist.stat().st_size / 1e3:.0f} kB, {wheel.name} {wheel.stat().st_size / 1e3:.0f} kB")
        return max([_try(python, wheel, folder) for python in pythons or [sys.executable]])


def _try(python: str, wheel: Path, folder: Path) -> int:
    began = time.monotonic()
    version = _run([python, "--version"], folder).split()[-1]
    home, empty = folder / f"venv-{version}", folder / f"empty-{version}"
    try:
        _run([python, "-m", "venv", str(home)], folder)
        inside = str(home / "bin" / "python")
        _run([inside, "-m", "pip", "install", "--quiet", f"{wheel}[fast,redis,otel]"], folder, os.environ)
        _run([inside, "-m", "pip", "check"], folder)
        installed_s = time.monotonic() - began
        empty.mkdir()
        for command, printed in try_commands(home / "bin" / "voicebot", empty, ("test",)).items():
            print(f"  voicebot {command}: {(printed.strip().splitlines() or ['-'])[-1]}")
    except AssertionError as exc:
        print(f"Python {version}: {exc}")
        return 1
    finally:
        shutil.rmtree(home, ignore_errors=True)
    took_s = time.monotonic() - began
    print(f"Python {version}: installed in {installed_s:.0f} s, all as it should be after {took_s:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
