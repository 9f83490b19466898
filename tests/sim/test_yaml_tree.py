"""YAML as it is read here: words stay words, everything has its line, mistakes say how to mend them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from voicebot.sim.yaml_tree import YamlProblem, read_tree


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("Yes", "Yes"),
        ("no", "no"),
        ("on", "on"),
        ("2027-07-03", "2027-07-03"),
        ("18:30", "18:30"),
        ("00144", "00144"),
        ("+15550100009", "+15550100009"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("12", 12),
        ("-3", -3),
        ("26.50", 26.5),
        ("1e3", 1000.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("We go to room 5 # the small one", "We go to room 5"),
        ("[1, a]", [1, "a"]),
        ("{b: {c: d}}", {"b": {"c": "d"}}),
        ("{b: null, c: ''}", {"b": None, "c": ""}),
        (">-\n  two\n  lines", "two lines"),
    ],
)
def test_only_json_values_are_more_than_words(written: str, value: object) -> None:
    found = read_tree(f"a: {written}\n").values
    assert found == {"a": value}
    assert type(found["a"]) is type(value)  # type: ignore[index]


def test_empty_document_holds_nothing() -> None:
    tree = read_tree("# only a comment\n")
    assert tree.values is None
    assert tree.line(("a", 0)) == 1


def test_every_value_and_key_has_its_line() -> None:
    tree = read_tree("- a: 1\n  b:\n    - x\n    - y: >\n        long\n      z:\n        3\n")
    assert [tree.line(path) for path in [(0,), (0, "b"), (0, "b", 1, "y"), (0, "b", 1, "z")]] == [1, 3, 4, 7]
    assert tree.key_line((0, "b", 1, "z")) == 6
    assert tree.line((0, "b", 9, "nowhere")) == 3
    assert tree.key_line((0, "b", "missing")) == 3


def test_anchor_is_the_value_it_stands_for() -> None:
    tree = read_tree("a: &day {on: Tuesday}\nb: *day\n")
    assert tree.values == {"a": {"on": "Tuesday"}, "b": {"on": "Tuesday"}}


@pytest.mark.parametrize(
    ("text", "line", "problem", "mend"),
    [
        ("caller: Two things: a pizza", 1, "mapping values are not allowed here", "put the text in quotes"),
        ("a: 1\nb: @home", 2, "found character '@' that cannot start any token", "put the text in quotes"),
        ('a: "Hm" he said', 1, "expected <block end>, but found '<scalar>'", "put the text in quotes"),
        ("a:\n\tb: 1", 2, r"found character '\t' that cannot start any token", "indent with spaces"),
        ("a: 1\nb: Room #5, please", 2, "the text ends before its '#'", "put it in quotation marks"),
        ("a: 1\nb: 2\na: 3", 3, "'a' stands here twice", "keep one of them"),
        ("a: 1\nb: {x: {street: Via Roma, 5, first floor}}", 2, "'5' says nothing", "quotation marks"),
        ("a: [{x: }]", 1, "'x' says nothing", "write something behind it"),
        ("a:\n  {x: y}: 1", 2, "a key must be text", "quotes"),
        ("a: 1\n---\nb: 2", 2, "but found another document", ""),
        ("a: 1\nb: \x07", 2, "a character that YAML does not allow", ""),
        ("a: !!python/object/apply:os.system [ls]", 1, "tags such as", "leave it out"),
        ("a: !secret x", 1, "tags such as '!secret' are not used here", "leave it out"),
        ("a: 1\nb: &b [*b]", 2, "an alias stands inside of what it stands for", ""),
    ],
)
def test_mistake_is_told_with_its_line(text: str, line: int, problem: str, mend: str) -> None:
    with pytest.raises(YamlProblem) as told:
        read_tree(text)
    assert told.value.line == line
    assert problem in told.value.problem
    assert mend in told.value.mend


def test_aliases_of_aliases_are_bounded() -> None:
    laughs = "".join(f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in pairwise("abcdefg"))
    with pytest.raises(YamlProblem, match="aliases repeat"):
        read_tree(f"a: &a [x]\n{laughs}")


@pytest.mark.parametrize(("opening", "closing"), [("[", ""), ("[", "]"), ('{"a": ', "}"), ("- ", "")])
def test_depth_is_bounded(opening: str, closing: str) -> None:
    depth = 20_000
    with pytest.raises(YamlProblem, match="inside of each other"):
        read_tree(opening * depth + "x" + closing * depth)
    assert read_tree(opening * 5 + "x" + (closing or "]") * 5 * (opening != "- ")).values


def test_endless_number_is_a_word() -> None:
    digits = "9" * 5_000
    assert read_tree(digits).values == digits
