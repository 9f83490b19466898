"""Every parser, with some hundred hostile inputs; `tests/benchmarks/fuzz.py` tries many more."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.fuzz.inputs import inputs
from tests.fuzz.targets import TARGETS, Target

EXAMPLES, SLOW_EXAMPLES = 100, 20


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_seeds_are_read(target: Target) -> None:
    assert target.seeds()
    for seed in target.seeds():
        target.feed(seed)


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_hostile_input_raises_what_is_declared(target: Target) -> None:
    @settings(max_examples=SLOW_EXAMPLES if target.is_slow else EXAMPLES)
    @given(inputs(target.seeds()))
    def tried(data: bytes) -> None:
        target.feed(data)

    tried()
