"""Flows from files: each for itself, and a broken one says where it is broken."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from voicebot.errors import FlowError, UnknownFlowError
from voicebot.flow.json_form import flow_from_json, flow_to_json
from voicebot.flow.loader import FlowShelf, load_file, load_flow, load_folder, shipped_flows

GOOD = """
    from voicebot.flow import Flow, Observations, Phase, ask, tool

    class Visit(Observations):
        name: str = ask("the caller's full name", check=lambda name: name.title())

    @tool
    def ping() -> str:
        "Say whether we are there."
        return "pong"

    flow = Flow(
        goal="Find out who is calling.",
        observations=Visit,
        numbers=["+15550100"],
        phases=[Phase("reception", instructions="Greet.", tools=[ping])],
    )
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(dedent(text).lstrip("\n"))
    return path


# Text of a file, the line where it is broken (None: the file as a whole), what is said of it.
BROKEN: list[tuple[str, str, int | None, str]] = [
    ("syntax", "from voicebot.flow import Flow\n\nflow = Flow(\n", 3, "syntax error"),
    ("indentation", "def f():\nreturn 1\n", 2, "syntax error: expected an indented block"),
    ("no flow", "x = 1\n", None, "the file defines no flow (end it with flow = Flow(…))"),
    ("not a flow", "flow = 'hello'\n", None, "the file defines no flow"),
    ("empty", "", None, "the file defines no flow"),
    ("import", "import no_such_module\n", 1, "ModuleNotFoundError: No module named 'no_such_module'"),
    ("raises", "def f():\n    raise RuntimeError('boom')\n\nf()\n", 2, "RuntimeError: boom"),
    ("exits", "import sys\n\nsys.exit(3)\n", 3, "SystemExit: 3"),
    ("asserts", "x = 1\nassert False, 'never'\n", 2, "AssertionError: never"),
    ("missing argument", "from voicebot.flow import Flow\nflow = Flow(goal='g')\n", 2, "phases: Field required"),
    ("wrong name", "from voicebot.flow import Phase\nPhase('A b')\n", 2, "should match pattern"),
    ("no phases", "from voicebot.flow import Flow\n\nflow = Flow(goal='g', phases=[])\n", 3, "the flow has no phases"),
    ("and", "from voicebot.flow import To, it\nTo('b', when=it.a.yes and it.b.yes)\n", 2, "has no truth value here"),
    (
        "no docstring",
        "from voicebot.flow import tool\n\n@tool\ndef f(): ...\n",
        3,
        "the tool f has no docstring (say in it when to use the tool)",
    ),
    (
        "a target that does not exist",
        """
        from voicebot.flow import Flow, Phase, To
        flow = Flow(
            goal="g",
            phases=[Phase("a", instructions="i", transitions=[
                To("nowhere"),
            ])],
        )
        """,
        5,
        "phase 'a' leads to 'nowhere', which does not exist",
    ),
    (
        "a misspelt field",
        """
        from voicebot.flow import Flow, Observations, Phase, To, ask, it
        class V(Observations):
            name: str = ask("a name")
        flow = Flow(goal="g", observations=V, phases=[
            Phase("a", instructions="i", success_criteria=[
                it.nmae.filled]),
        ])
        """,
        6,
        "it.nmae is no observation (did you mean 'name'?)",
    ),
    (
        "a field without ask",
        """
        from voicebot.flow import Flow, Observations, Phase
        class V(Observations):
            name: str
        flow = Flow(goal="g", observations=V, phases=[Phase("a", instructions="i")])
        """,
        4,
        'V.name is not declared with ask() (write name: … = ask("what it is"))',
    ),
    (
        "a type without schema",
        """
        from collections.abc import Callable
        from voicebot.flow import Flow, Observations, Phase, ask
        class V(Observations):
            act: Callable[[], int] = ask("an action")
        flow = Flow(goal="g", observations=V, phases=[Phase("a", instructions="i")])
        """,
        4,
        "V.act: its type has no JSON Schema",
    ),
    (
        "a bare field as needed_if",
        """
        from voicebot.flow import Observations, ask, it
        class V(Observations):
            urgent: bool = ask("whether it is urgent")
            why: str = ask("why", needed_if=it.urgent)
        """,
        4,
        "needed_if: it.urgent alone is no criterion",
    ),
    (
        "a constant that JSON cannot hold",
        """
        from voicebot.flow import Flow, Observations, Phase, ask, it
        class V(Observations):
            name: str = ask("a name")
        flow = Flow(goal="g", observations=V, phases=[
            Phase("a", instructions="i", success_criteria=[it.name == object()])])
        """,
        5,
        "it.name is compared with 'object', which JSON cannot hold",
    ),
]


@pytest.mark.parametrize(("text", "line", "problem"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_broken_file_says_where_it_is_broken(tmp_path: Path, text: str, line: int | None, problem: str) -> None:
    path = write(tmp_path, "broken.py", text)
    with pytest.raises(FlowError) as raised:
        load_file(path)
    assert raised.value.where == (f"{path}:{line}" if line else str(path))
    assert problem in f"{raised.value.problem} ({raised.value.mend})"


def test_broken_files_do_not_disturb_others(tmp_path: Path) -> None:
    for number, (_, text, _, _) in enumerate(BROKEN):
        write(tmp_path, f"broken_{number:02}.py", text)
    write(tmp_path, "a_good.py", GOOD)
    write(tmp_path, "z_good.py", GOOD)
    shelf = load_folder(tmp_path)
    assert list(shelf.flows) == ["a_good", "z_good"]
    assert len(shelf.problems) == len(BROKEN)
    for number, problem in enumerate(shelf.problems):
        assert problem.where is not None
        assert problem.where.startswith(str(tmp_path / f"broken_{number:02}.py"))


@pytest.mark.parametrize("source", [b"flow = '\xff'\n", b"flow = 1\0\n"], ids=["no UTF-8", "a null byte"])
def test_what_is_no_text_is_a_problem(tmp_path: Path, source: bytes) -> None:
    (tmp_path / "broken.py").write_bytes(source)
    with pytest.raises(FlowError) as raised:
        load_file(tmp_path / "broken.py")
    assert (raised.value.where or "").startswith(str(tmp_path / "broken.py"))
    assert "None" not in str(raised.value)


def test_folder_named_like_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "folder.py").mkdir()
    (problem,) = load_folder(tmp_path).problems
    assert "cannot be read" in str(problem)


def test_missing_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FlowError, match="cannot be read: No such file") as raised:
        load_file(tmp_path / "none.py")
    assert raised.value.where == str(tmp_path / "none.py")


def test_file_without_python_ending_is_no_flow(tmp_path: Path) -> None:
    path = write(tmp_path, "flow.txt", GOOD)
    with pytest.raises(FlowError, match="is no Python file"):
        load_file(path)


def test_missing_folder_says_which_setting(tmp_path: Path) -> None:
    with pytest.raises(FlowError, match="set VOICEBOT_FLOWS"):
        load_folder(tmp_path / "none")


def test_some_files_are_left_alone(tmp_path: Path) -> None:
    for name in ("_menu.py", "test_flow.py", "notes.txt"):
        write(tmp_path, name, "raise RuntimeError")
    assert load_folder(tmp_path) == FlowShelf({})


def test_interrupt_is_not_taken_for_a_broken_file(tmp_path: Path) -> None:
    path = write(tmp_path, "flow.py", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_file(path)


def test_loaded_flow_knows_its_name_file_and_functions(tmp_path: Path) -> None:
    path = write(tmp_path, "reception.py", GOOD)
    loaded = load_file(path)
    assert (loaded.name, loaded.path) == ("reception", path)
    assert set(loaded.functions) == {"ping", "<lambda>"}
    assert flow_to_json(flow_from_json(loaded.document, loaded.functions)) == loaded.document


def test_version_follows_text_and_content(tmp_path: Path) -> None:
    first = load_file(write(tmp_path, "reception.py", GOOD))
    assert load_file(write(tmp_path, "reception.py", GOOD)).version == first.version
    assert load_file(write(tmp_path, "reception.py", GOOD + "    # new\n")).version != first.version
    assert load_flow("reception", first.flow).version != load_flow("reception", first.flow, source=b"x").version
    assert len(first.version) == 12


def test_two_files_of_one_text_are_two_modules(tmp_path: Path) -> None:
    first, second = load_file(write(tmp_path, "a.py", GOOD)), load_file(write(tmp_path, "b.py", GOOD))
    assert first.flow.observations is not second.flow.observations
    assert first.flow.observations.__module__ != second.flow.observations.__module__


def test_file_that_did_not_load_leaves_no_module(tmp_path: Path) -> None:
    before = set(sys.modules)
    with pytest.raises(FlowError):
        load_file(write(tmp_path, "broken.py", "raise RuntimeError\n"))
    assert {name for name in set(sys.modules) - before if name.startswith("voicebot_flows")} == set()


def test_shipped_flows_load_without_a_problem() -> None:
    shelf = load_folder(shipped_flows())
    assert shelf.problems == ()
    assert shelf.flows


def test_annotations_of_a_file_are_its_own(tmp_path: Path) -> None:
    """A file without the future import has real annotations, whatever its loader imports."""
    path = write(tmp_path, "reception.py", GOOD + "\n\n    Visit.own = Visit.__annotations__['name']\n")
    assert load_file(path).flow.observations.own is str  # type: ignore[attr-defined]


def test_flow_is_found_by_name_and_number(tmp_path: Path) -> None:
    write(tmp_path, "reception.py", GOOD)
    shelf = load_folder(tmp_path)
    assert shelf.get("reception").name == "reception"
    found = shelf.for_number("+15550100")
    assert found is shelf.get("reception")
    assert shelf.for_number("+15550101") is None


def test_unknown_flow_lists_those_there_are(tmp_path: Path) -> None:
    write(tmp_path, "reception.py", GOOD)
    with pytest.raises(UnknownFlowError, match=r"no flow is named 'x' \(loaded flows: reception\)"):
        load_folder(tmp_path).get("x")
    with pytest.raises(UnknownFlowError, match="loaded flows: none"):
        FlowShelf({}).get("x")
