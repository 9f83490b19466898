"""However slow and unsteady the line, the caller hears the goodbye to its end before the stream is closed.

`tests/benchmarks/goodbyes.py` does the same two hundred times.
"""

from __future__ import annotations

import pytest

from tests.benchmarks.goodbyes import end


@pytest.mark.parametrize("seed", range(1, 9))
def test_goodbye_is_heard_to_its_end(seed: int) -> None:
    ended = end(seed)
    assert ended.pause_ms is not None, ended
