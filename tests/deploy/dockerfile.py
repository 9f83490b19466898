"""The steps of a Dockerfile, read, and taken in a folder: there is no engine in CI.

The folder stands in for the file system of the image. The steps that make something take real effect there: RUN by a
shell, COPY from what .dockerignore leaves. Paths below `OURS` lie in the folder; every other path is this machine's, so
`python` is the interpreter of the tests, and what would add users or change owners is only written down.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

OURS = ("/build", "/opt", "/srv")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # of images that set none
# Programs that are only written down, and where images have them.
NOTED = {"groupadd": "/usr/sbin", "useradd": "/usr/sbin", "chown": "/usr/bin"}
PYTHON_AT = "/usr/local/bin"  # in images of Python
STEP_LIMIT_S = 900.0  # a loaded machine, and an index that is far away


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction, with its options (`--from=build`) apart."""

    name: str
    text: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        """Of the form of a shell or of JSON, as it stands."""
        found: list[str] = json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)
        return found


def read(path: Path) -> list[Step]:
    """All instructions in their order."""
    text = re.sub(r"^[ \t]*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    steps = []
    for line in filter(str.strip, re.sub(r"\\\n\s*", " ", text).splitlines()):
        name, _, rest = line.strip().partition(" ")
        options = {}
        while found := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
            options[found[1]], rest = found[2], rest[found.end() :]
        steps.append(Step(name, rest.strip(), options))
    return steps


def stages(steps: Sequence[Step]) -> dict[str, list[Step]]:
    """The instructions of each stage by its name; the last one's name is empty."""
    found: dict[str, list[Step]] = {}
    for step in steps:
        if step.name == "FROM":
            _, _, name = step.text.partition(" AS ")
            found[name] = []
        else:
            found[name].append(step)
    return found


class Ignored:
    """What `.dockerignore` keeps from the builder: the last pattern that fits a path, or a folder above it, decides."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        self._patterns = [(line.lstrip("!"), line.startswith("!")) for line in lines]

    def __contains__(self, path: PurePosixPath) -> bool:
        ignored = False
        for pattern, excepted in self._patterns:
            above = [path, *path.parents][:-1]
            if any(_fits(one, pattern) for one in above):
                ignored = not excepted
        return ignored


def _fits(path: PurePosixPath, pattern: str) -> bool:
    wanted, parts = pattern.split("/"), path.parts
    if wanted[0] == "**":
        return fnmatch.fnmatchcase(parts[-1], wanted[-1])
    return len(wanted) == len(parts) and all(map(fnmatch.fnmatchcase, parts, wanted))


class Image:
    """A folder in which the steps are taken, stage by stage.

    Attributes:
        root: stands in for `/` of the stage at work.
        environ: of the programs that the image runs.
        noted: calls of the programs that are only written down, as they were made.
    """

    def __init__(self, folder: Path, project: Path) -> None:
        self.root, self._past, self._shims, self._notes = (folder / one for one in ("fs", "past", "shims", "notes"))
        self._project = project
        self._ignored = Ignored((project / ".dockerignore").read_text(encoding="utf-8"))
        self.workdir = "/"
        self.settings: dict[str, list[str]] = {}  # of ENTRYPOINT, CMD, USER and their like: the last word on each
        self.environ: dict[str, str] = {}
        self._make_shims()

    def take(self, steps: Sequence[Step]) -> None:
        """Take all steps of a Dockerfile.

        Raises:
            CalledProcessError: a RUN failed.
        """
        for name, some in stages(steps).items():
            self.root.mkdir(parents=True)
            self.workdir, self.settings, self.environ = "/", {}, {}
            for step in some:
                self._step(step)
            if name:
                self._past.mkdir(exist_ok=True)
                self.root.rename(self._past / name)  # so that nothing works which only that stage has

    def stage(self, name: str) -> Path:
        """What stood in for `/` in an earlier stage."""
        return self._past / name

    def real(self, text: str) -> str:
        """A path of the image, or a text with such paths, as they are on this machine."""
        ours = "|".join(one.removeprefix("/") for one in OURS)
        return re.sub(rf"(?<![\w./])/({ours})\b", rf"{self.root}/\1", text)

    @property
    def noted(self) -> list[list[str]]:
        return [shlex.split(line) for line in self._notes.read_text(encoding="utf-8").splitlines()]

    def command(self, words: Sequence[str], **environ: str) -> tuple[list[str], dict[str, str], Path]:
        """A program of the image: its words, environment and working folder, to be started here."""
        own = {name: self.real(value) for name, value in self.environ.items()}
        found = shutil.which(words[0], path=own["PATH"])
        assert found is not None, f"{words[0]} is not on the image's PATH"
        return [found, *words[1:]], {"HOME": self.real(self.workdir), **own, **environ}, Path(self.real(self.workdir))

    def _step(self, step: Step) -> None:
        match step.name:
            case "WORKDIR":
                self.workdir = step.text
                Path(self.real(step.text)).mkdir(parents=True, exist_ok=True)
            case "ENV":
                self.environ |= dict(word.partition("=")[::2] for word in step.words)
            case "RUN":
                self._run(step.text)
            case "COPY":
                self._copy(step)
            case "LABEL" | "EXPOSE" | "VOLUME" | "USER" | "STOPSIGNAL" | "ENTRYPOINT" | "CMD":
                self.settings[step.name] = step.words
            case "HEALTHCHECK":
                self.settings[step.name] = Step("CMD", step.text.partition("CMD ")[2]).words
            case _:
                raise AssertionError(f"{step.name} is not known here")

    def _run(self, text: str) -> None:
        places = self.environ.get("PATH", PATH).split(":")
        path = ":".join(f"{self._shims}{place}:{self.real(place)}" for place in places)
        environ = {**os.environ, **self.environ, "PATH": path}
        subprocess.run(
            ["sh", "-ec", self.real(text)],
            cwd=self.real(self.workdir),
            env=environ,
            check=True,
            timeout=STEP_LIMIT_S,
            capture_output=True,
            text=True,
        )

    def _copy(self, step: Step) -> None:
        *sources, target = step.words
        to = Path(self.real(target))
        if stage := step.options.get("from"):
            shutil.copytree(f"{self.stage(stage)}{sources[0]}", to, symlinks=True)
            return
        for source in [found for pattern in sources for found in sorted(self._project.glob(pattern))]:
            if source.is_dir():
                shutil.copytree(source, to, ignore=self._left_out, dirs_exist_ok=True)
            else:
                assert PurePosixPath(source.relative_to(self._project)) not in self._ignored, f"{source} is not sent"
                if target.endswith("/"):
                    to.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, to)

    def _left_out(self, folder: str, names: list[str]) -> list[str]:
        below = PurePosixPath(folder).relative_to(self._project)
        return [name for name in names if below / name in self._ignored]

    def _make_shims(self) -> None:
        python = f'exec {shlex.quote(sys.executable)} "$@"'
        note = f'echo "$(basename "$0") $*" >> {shlex.quote(str(self._notes))}'
        shims = [(PYTHON_AT, "python", python), *((place, name, note) for name, place in NOTED.items())]
        for place, name, line in shims:
            path = Path(f"{self._shims}{place}/{name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
            path.chmod(0o755)
        self._notes.touch()
