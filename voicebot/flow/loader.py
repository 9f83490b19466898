"""Flows from files: each `*.py` of the folder that holds a `flow`, loaded apart from the others.

A broken file never takes down what runs: it is a problem beside the flows that loaded.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from voicebot.errors import FlowError, UnknownFlowError

from .check import Finding, check, unloadable
from .json_form import flow_to_json, functions_of
from .model import Flow
from .source import place_of
from .tools import readable


@dataclass(frozen=True)
class LoadedFlow:
    """A flow with its name (the file's), its version and its JSON form."""

    name: str
    flow: Flow
    version: str
    document: str
    path: Path | None = None
    functions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class InspectedFile:
    """What the linter has to say of a flow file; `loaded` unless an error keeps it from being loaded."""

    path: Path
    findings: tuple[Finding, ...]
    loaded: LoadedFlow | None = None


@dataclass(frozen=True)
class FlowShelf:
    """The flows of a folder, and what is wrong with the files that did not load."""

    flows: Mapping[str, LoadedFlow]
    problems: tuple[FlowError, ...] = ()

    def get(self, name: str) -> LoadedFlow:
        """The flow of that name.

        Raises:
            UnknownFlowError: there is none, with those there are.
        """
        try:
            return self.flows[name]
        except KeyError:
            raise UnknownFlowError(name, tuple(self.flows)) from None

    def for_number(self, number: str) -> LoadedFlow | None:
        """The flow that lists this number (E.164), if any."""
        return next((loaded for loaded in self.flows.values() if number in loaded.flow.numbers), None)


def shipped_flows() -> Path:
    """The folder of the flows that come with voicebot, installed or in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "examples"
    return installed if installed.is_dir() else package.parent / "flows"


def flow_files(folder: Path) -> list[Path]:
    """The flow files of a folder; names beginning with `_` or `test_` are left alone.

    Raises:
        FlowError: the folder does not exist.
    """
    if not folder.is_dir():
        raise FlowError(f"the flow folder {folder} does not exist", mend="set VOICEBOT_FLOWS to a folder of flows")
    return [path for path in sorted(folder.glob("*.py")) if not path.name.startswith(("_", "test_"))]


def load_folder(folder: Path) -> FlowShelf:
    """Load every flow of a folder; one that does not load is among the problems.

    Raises:
        FlowError: the folder does not exist.
    """
    flows: dict[str, LoadedFlow] = {}
    problems: list[FlowError] = []
    for path in flow_files(folder):
        try:
            loaded = load_file(path)
        except FlowError as exc:
            problems.append(exc)
        else:
            flows[loaded.name] = loaded
    return FlowShelf(flows, tuple(problems))


def load_file(path: Path) -> LoadedFlow:
    """Load one flow file.

    Raises:
        FlowError: it cannot be read, run, or its flow is wrong; with file and line.
    """
    source = _source(path)
    with _blaming(path):
        return load_flow(path.stem, _flow_in(path, source), source=source, path=path)


def inspect_file(path: Path) -> InspectedFile:
    """Everything that is wrong with a flow file; what keeps it from being read or run is a finding too."""
    try:
        source = _source(path)
        with _blaming(path):
            flow = _flow_in(path, source)
            findings = tuple(check(flow, datetime.now(UTC).date()))
            broken = any(finding.severity == "error" for finding in findings)
            return InspectedFile(path, findings, None if broken else _with_version(path.stem, flow, source, path))
    except FlowError as exc:
        return InspectedFile(path, (unloadable(exc, str(path)),))


def _source(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise FlowError(f"cannot be read: {exc.strerror}", where=str(path)) from exc


def _flow_in(path: Path, source: bytes) -> Flow:
    flow = getattr(_run(path, source), "flow", None)
    if not isinstance(flow, Flow):
        raise FlowError("the file defines no flow", where=str(path), mend="end it with flow = Flow(…)")
    _read_knowledge(flow, path)
    return flow


def load_flow(name: str, flow: Flow, *, source: bytes = b"", path: Path | None = None) -> LoadedFlow:
    """Check a flow and give it its version: a hash of its JSON form and of the file it came from.

    Raises:
        FlowError: the first error the linter finds.
    """
    errors = [finding for finding in check(flow) if finding.severity == "error"]
    if errors:
        raise FlowError(errors[0].problem, where=errors[0].where or str(path or name), mend=errors[0].mend)
    return _with_version(name, flow, source, path)


def _with_version(name: str, flow: Flow, source: bytes, path: Path | None) -> LoadedFlow:
    try:
        document = flow_to_json(flow)
    except (ValidationError, PydanticSerializationError) as exc:
        raise FlowError(f"the flow has no JSON form: {exc}", where=str(path or name)) from exc
    version = hashlib.sha256(document.encode() + b"\0" + source).hexdigest()[:12]
    return LoadedFlow(name, flow, version, document, path, functions_of(flow))


def _read_knowledge(flow: Flow, path: Path) -> None:
    """Put the text of a knowledge file in the place of its path, so that the flow's JSON form holds it."""
    if not isinstance(flow.knowledge, Path):
        return
    named = path.parent / flow.knowledge
    try:
        text = named.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise FlowError(
            f"knowledge {flow.knowledge} cannot be read ({type(exc).__name__})",
            where=place_of(flow) or str(path),
            mend=f"put a UTF-8 text at {named}",
        ) from exc
    object.__setattr__(flow, "knowledge", text)


def _run(path: Path, source: bytes) -> ModuleType:
    name = f"voicebot_flows.{path.stem}_{hashlib.sha256(str(path.resolve()).encode() + source).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise FlowError("is no Python file", where=str(path))
    module = importlib.util.module_from_spec(spec)
    code = compile(source, str(path), "exec", dont_inherit=True)
    with ExitStack() as failing:
        sys.modules[name] = module  # pydantic looks annotations up there
        failing.callback(sys.modules.pop, name)
        exec(code, module.__dict__)  # noqa: S102 - a flow is the operator's own code
        failing.pop_all()
    return module


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Whatever goes wrong inside is a `FlowError` with the place in the author's file."""
    try:
        yield
    except SyntaxError as exc:
        place = f"{exc.filename or path}:{exc.lineno}" if exc.lineno else str(path)
        raise FlowError(f"syntax error: {exc.msg}", where=place) from exc
    except FlowError as exc:
        if exc.where is not None:
            raise
        raise FlowError(exc.problem, where=_line_in(path, exc), mend=exc.mend) from exc
    except ValidationError as exc:
        raise FlowError(readable(exc), where=_line_in(path, exc)) from exc
    except (Exception, SystemExit) as exc:  # an author's file may raise anything; it must not take the others down
        raise FlowError(f"{type(exc).__name__}: {exc}", where=_line_in(path, exc)) from exc


def _line_in(path: Path, error: BaseException) -> str:
    """`file:line` of the deepest frame inside the author's file."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)
