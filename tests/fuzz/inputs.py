"""What fuzzers try: anything at all, JSON of any shape, and well-formed input with something wrong in it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hypothesis import strategies as st

KEYS = st.sampled_from(["type", "event", "id", "item", "response", "delta", "media", "start", "", "\x00"]) | st.text(
    max_size=8
)
ODD = st.sampled_from(
    [
        *(None, True, 0, -1, 2**31, 2**63, 2**64, 10**40, -(10**40), 1e308, 5e-324, 0.1),
        *("", "\x00", "\ud800", "null"),
        *(
            "9" * 400,
            "a" * 5000,
            [],
            {},
            [[]],
            {"": {}},
            [None] * 50,
            "NaN",
            "<a>&b;",
            "\r\n",
            "../..",
            "%00",
            "=" * 50,
        ),
    ]
)
VALUES = st.recursive(
    ODD | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
DEEP = st.builds(
    lambda opening, closing, depth: (opening * depth + "1" + closing * depth).encode(),
    st.sampled_from(["[", '{"a":', "[[", "("]),
    st.sampled_from(["", "]", "}"]),
    st.sampled_from([10, 200, 2_000, 20_000]),
)


def damaged(seed: bytes, draw: st.DrawFn) -> bytes:
    """A seed with some bytes cut out and others put in."""
    at = draw(st.integers(0, len(seed)))
    cut = draw(st.integers(0, 8) | st.integers(0, len(seed)))
    return (
        seed[:at]
        + draw(st.binary(max_size=12) | st.sampled_from([b"\xff", b"\x00", b"\xed\xa0\x80", b"\r\n"]))
        + seed[at + cut :]
    )


def twisted(seed: bytes, draw: st.DrawFn) -> bytes:
    """A seed that is JSON, behind a first line if it has one, with some values of it replaced, removed or added."""
    head, _, body = seed.rpartition(b"\n") if seed[:1] not in b"{[" else (b"", b"", seed)
    try:
        tree = json.loads(body)
    except ValueError:
        return damaged(seed, draw)
    for _ in range(draw(st.integers(1, 3))):
        tree = _twist(tree, draw)
    return (head + b"\n" if head else b"") + json.dumps(tree, ensure_ascii=draw(st.booleans())).encode(
        "utf-8", "surrogatepass"
    )


def _twist(node: object, draw: st.DrawFn) -> object:
    if isinstance(node, dict) and node and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(node)))
        match draw(st.sampled_from(["into", "into", "into", "drop", "rename", "add"])):
            case "drop":
                return {name: value for name, value in node.items() if name != key}
            case "rename":
                return {(draw(KEYS) if name == key else name): value for name, value in node.items()}
            case "add":
                return {**node, draw(KEYS): draw(VALUES)}
        return {**node, key: _twist(node[key], draw)}
    if isinstance(node, list) and node and draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(node) - 1))
        return [*node[:at], _twist(node[at], draw), *node[at + 1 :]]
    return draw(VALUES)


def inputs(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """For a target with these seeds."""

    @st.composite
    def made(draw: st.DrawFn) -> bytes:
        match draw(st.sampled_from(["bytes", "text", "json", "deep", "damaged", "twisted", "twisted", "twisted"])):
            case "bytes":
                return draw(st.binary(max_size=200))
            case "text":
                return draw(st.text(max_size=100)).encode("utf-8", "surrogatepass")
            case "json":
                return json.dumps(draw(VALUES), ensure_ascii=False).encode("utf-8", "surrogatepass")
            case "deep":
                return draw(DEEP)
            case "damaged":
                return damaged(draw(st.sampled_from(seeds)), draw)
        return twisted(draw(st.sampled_from(seeds)), draw)

    return made()
