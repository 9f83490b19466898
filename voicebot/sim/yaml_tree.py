"""YAML as people write it, with the line of everything: plain values, and where each of them stands.

Scalars are read by the rules of YAML 1.2, not by PyYAML's of 1.1: `true`, `false`, `null` and numbers as JSON has them
are what they look like, everything else is text. So `Yes`, `no`, `18:30`, `2027-07-03`, `00144` and `+15550100` are
words, as they should be in a script that people speak. No tag constructs anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import yaml  # type: ignore[import-untyped]  # the package brings no types

SAYS_NOTHING = "write something behind it; inside of braces, text that holds a comma needs quotation marks"
MAX_NODES = 50_000  # an alias counts as often as it is used: a few lines of them could stand for billions
MAX_DEPTH = 30  # of collections inside of each other: PyYAML takes time as the square of it, then the stack's end
_LONGEST_NUMBER = 40  # characters; more is no number that anybody means, and Python refuses to read some thousand
_PLAIN: dict[str, object] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_LOOKS_LIKE_WORDS = re.compile(r"[ \t]+#[^\s#]")  # behind a text: a comment, though hardly meant as one
_TAG = "tag:yaml.org,2002:"
_TAGS = {_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "seq", "map", "merge", "value")}

Key = str | int


class YamlProblem(Exception):
    """The text is no YAML, or none that is used here. `line` counts from 1."""

    def __init__(self, line: int, problem: str, mend: str = "") -> None:
        super().__init__(line, problem, mend)
        self.line, self.problem, self.mend = line, problem, mend


@dataclass(frozen=True, slots=True)
class YamlTree:
    """A document: its values, and the lines on which they and the keys of mappings begin."""

    values: object
    _lines: dict[tuple[Key, ...], int]
    _key_lines: dict[tuple[Key, ...], int]

    def line(self, path: Sequence[Key]) -> int:
        """The line of the value at `path`, or of the deepest part of it that exists."""
        return next(self._lines[tuple(path[:n])] for n in range(len(path), -1, -1) if tuple(path[:n]) in self._lines)

    def key_line(self, path: Sequence[Key]) -> int:
        """The line of the key that `path` ends with, or of the deepest part of it that exists."""
        return self._key_lines.get(tuple(path)) or self.line(path)


def read_tree(text: str) -> YamlTree:
    """Read a document.

    Raises:
        YamlProblem: it is not well-formed, holds a key twice or a key that is no text, a key in braces without a
            value, a tag, or an alias of itself.
    """
    try:
        _check_depth(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        raise YamlProblem(mark.line + 1 if mark else 1, exc.problem or str(exc), _advice(exc.problem or "")) from exc
    except yaml.YAMLError as exc:  # a character that YAML does not allow
        raise YamlProblem(_line_of(text, exc), "a character that YAML does not allow") from exc
    if root is None:
        return YamlTree(None, {(): 1}, {})
    reader = _Reader(text)
    return YamlTree(reader.read(root, ()), reader.lines, reader.key_lines)


def _check_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise YamlProblem(
                event.start_mark.line + 1, f"more than {MAX_DEPTH} lists and mappings inside of each other"
            )


class _Reader:
    """Turns nodes into values and notes their lines."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.lines: dict[tuple[Key, ...], int] = {}
        self.key_lines: dict[tuple[Key, ...], int] = {}
        self._above: list[yaml.Node] = []

    def read(self, node: yaml.Node, path: tuple[Key, ...]) -> object:
        line = node.start_mark.line + 1
        self.lines[path] = line
        if len(self.lines) > MAX_NODES:
            raise YamlProblem(line, f"aliases repeat more than {MAX_NODES} values")
        if node.tag not in _TAGS:
            raise YamlProblem(line, f"tags such as {node.tag!r} are not used here", "leave it out")
        if any(node is one for one in self._above):
            raise YamlProblem(line, "an alias stands inside of what it stands for")
        if isinstance(node, yaml.ScalarNode):
            if node.style is None and _LOOKS_LIKE_WORDS.match(self._text, node.end_mark.index):
                raise YamlProblem(line, "the text ends before its '#'", "put it in quotation marks")
            return _scalar(node)
        self._above.append(node)
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.read(one, (*path, number)) for number, one in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._above.pop()

    def _mapping(self, node: yaml.MappingNode, path: tuple[Key, ...]) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise YamlProblem(line, "a key must be text", "put braces that begin a value in quotes")
            key = str(key_node.value)
            if key in found:
                raise YamlProblem(line, f"{key!r} stands here twice", "keep one of them")
            if node.flow_style and isinstance(value_node, yaml.ScalarNode) and _is_nothing(value_node):
                raise YamlProblem(line, f"{key!r} says nothing", SAYS_NOTHING)
            self.key_lines[(*path, key)] = line
            found[key] = self.read(value_node, (*path, key))
        return found


def _is_nothing(node: yaml.ScalarNode) -> bool:
    """Whether nothing at all stands there; in braces `{order: two, please}` comes to a key `please` without a value."""
    return node.style is None and not node.value


def _scalar(node: yaml.ScalarNode) -> object:
    text = str(node.value)
    if node.style is not None:  # in quotes, or a block
        return text
    if text in _PLAIN:
        return _PLAIN[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def _advice(problem: str) -> str:
    """What to do about the mistakes that speech in YAML invites."""
    if r"'\t'" in problem:
        return "indent with spaces"
    if "mapping values are not allowed" in problem or "cannot start any token" in problem:
        return "put the text in quotes: it holds a colon, or begins with a sign that means something in YAML"
    if "expected <block end>" in problem or "expected ',' or" in problem:
        return "put the text in quotes, or mend the indentation"
    return ""


def _line_of(text: str, error: yaml.YAMLError) -> int:
    position = getattr(error, "position", 0)
    return text.count("\n", 0, position) + 1
