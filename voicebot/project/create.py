"""A new project in a folder of its own: a flow, its rehearsals, settings to fill in. Nothing that is there is changed.

The files come from `template/`, or the flow from those that are shipped. Each is written only if there is none of its
name; if one cannot be written, those before it are taken back, so that the next try finds the folder as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from shlex import quote

from voicebot.errors import ProjectError

FIRST_FLOW = "reception"
_TEMPLATE = Path(__file__).parent / "template"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")  # of a file, an address and a label of metrics; not one that is left alone
_LEFT_ALONE = "test_"  # such files are no flows, see `flow.loader.flow_files`
_MAY_BE_THERE = {".git", ".venv", "venv", ".idea", ".vscode", ".DS_Store"}  # they may have come first
_NAMED = 3  # of what is in the way


def create_project(folder: Path, *, name: str = FIRST_FLOW) -> list[Path]:
    """Make a project with a first flow.

    Args:
        folder: is made if it does not exist, as are those above it.
        name: of the flow, and so of its files.

    Returns:
        The files, relative to `folder`.

    Raises:
        ProjectError: the folder is not empty, the name is none for a flow, or something cannot be written.
    """
    if not _NAME.fullmatch(name) or name.startswith(_LEFT_ALONE):
        raise ProjectError(
            f"{name!r} is no name for a flow",
            "small letters, digits and _, a letter first, 40 at most, and not test_ at the beginning",
        )
    flows = _TEMPLATE / "flows"
    files = {
        Path("flows", f"{name}.py"): _read(flows / f"{FIRST_FLOW}.py"),
        Path("flows", "scenarios", f"{name}.yaml"): _read(flows / "scenarios" / f"{FIRST_FLOW}.yaml"),
    }
    return _write(folder, files | _around(folder, name))


def copy_project(folder: Path, flow: str, shipped: Path) -> list[Path]:
    """Make a project of a flow that is shipped, under its name, with its scenarios and the texts that it reads.

    Args:
        shipped: the folder of the shipped flows.

    Returns, Raises: as `create_project`.
    """
    known = sorted(path.stem for path in shipped.glob("*.py"))
    if flow not in known:
        raise ProjectError(f"no flow {flow!r} is shipped", f"one of {', '.join(known)}")
    source = _read(shipped / f"{flow}.py")
    texts = (path for path in shipped.glob("*.*") if path.suffix != ".py" and path.name in source)
    rehearsals = (shipped / "scenarios").glob(f"{flow}.*")
    copied = [shipped / f"{flow}.py", *sorted(texts), *sorted(rehearsals)]
    files = {"flows" / path.relative_to(shipped): _read(path) for path in copied}
    return _write(folder, files | _around(folder, flow))


def _around(folder: Path, flow: str) -> dict[Path, str]:
    """What stands around a flow."""
    page = _read(_TEMPLATE / "project.md").format(project=folder.resolve().name or "voicebot", flow=flow)
    return {
        Path(".env.example"): _read(_TEMPLATE / "env.example"),
        Path(".gitignore"): _read(_TEMPLATE / "gitignore"),
        Path("README.md"): page,
    }


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _write(folder: Path, files: Mapping[Path, str]) -> list[Path]:
    """Write them all, or none."""
    with ExitStack() as undo:
        try:
            _refuse_what_is_in_the_way(folder)
            for path in files:
                _make_folders((folder / path).parent, undo)
            for path, text in files.items():
                with open(folder / path, "x", encoding="utf-8", newline="\n") as file:
                    undo.callback((folder / path).unlink, missing_ok=True)
                    file.write(text)
        except (OSError, ValueError) as exc:  # ValueError: a path with a null byte
            where = getattr(exc, "filename", None) or folder
            why = getattr(exc, "strerror", None) or str(exc)
            raise ProjectError(f"{where} cannot be written: {why}", "name a folder that you may write to") from exc
        undo.pop_all()
    return list(files)


def _refuse_what_is_in_the_way(folder: Path) -> None:
    """
    Raises:
        ProjectError: there is something.
    """
    if folder.is_dir():
        there = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir() if path.name not in _MAY_BE_THERE)
        if there:
            raise ProjectError(f"{folder} is not empty: it has {_listed(there)}", "name a new folder, or an empty one")
    elif folder.exists() or folder.is_symlink():
        raise ProjectError(f"{folder} is no folder", "name one that is empty, or that does not exist yet")


def _make_folders(folder: Path, undo: ExitStack) -> None:
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir()
        undo.callback(_remove_if_empty, one)


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()


def _listed(names: Sequence[str]) -> str:
    shown, more = names[:_NAMED], len(names) - _NAMED
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def told(folder: Path, files: Sequence[Path]) -> Iterator[str]:
    """What `voicebot init` says: the files, and the next three commands."""
    flow = files[0].stem
    goes_there = "" if folder.resolve() == Path.cwd() else f"cd {quote(str(folder))} && "
    yield f"A new project in {folder}:"
    yield from (f"  {path}" for path in files)
    yield "Next:"
    yield f"  {goes_there}voicebot check"
    yield "  voicebot test"
    yield f"  voicebot chat {flow}"
