"""What is kept of a report for lists and figures."""

from __future__ import annotations

import json

import pytest

from voicebot.store.digest import Digest, digest_of, read_digest, write_digest


def test_digest_holds_what_lists_show() -> None:
    data = {
        "ended_reason": "completed",
        "outcome": "ordered",
        "progress": 0.5,
        "duration_s": 61.5,
        "phases": [{"name": "a"}, {"name": "b"}, {"name": "a"}],
        "response_ms": {"turns": 3, "median": 400, "worst": 900},
        "line": {"underrun_ms": 20},
        "tokens": {"input_text": 7},
        "problems": [{}, {}],
        "recording": {"status": "kept"},
    }
    assert digest_of(json.dumps({"data": data})) == Digest(
        "completed", "ordered", 0.5, 61.5, 3, 400, 1200, 20, {"input_text": 7}, ("a", "b"), "a", 2, "kept"
    )


@pytest.mark.parametrize("report", ["{}", "[]", '{"data": {}}', '{"data": {"phases": null, "response_ms": null}}'])
def test_report_that_says_little_has_a_digest(report: str) -> None:
    assert digest_of(report) == Digest()


def test_digest_is_read_as_it_was_written() -> None:
    digest = Digest("completed", "dìner", tokens={"input_text": 1}, phases=("a",), last_phase="a")
    assert read_digest(write_digest(digest)) == digest
    assert read_digest(None) is None
    assert read_digest('{"outcome": "x", "of_a_newer_version": 1}') == Digest(outcome="x")
