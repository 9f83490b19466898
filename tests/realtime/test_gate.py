"""Who may knock at the model's door, on a clock that the test moves."""

from __future__ import annotations

import pytest

from voicebot.realtime.gate import CLOSED_S, FAILURES, LONGEST_S, PROBE_LIMIT_S, Gate


def closed_at(now: float, *, jitter: float = 0.0) -> Gate:
    gate = Gate()
    for _ in range(FAILURES):
        assert gate.admits(now)
        gate.failed(now, jitter)
    return gate


def test_gate_is_open_until_failures_in_a_row() -> None:
    gate = Gate()
    for _ in range(10):
        for _ in range(FAILURES - 1):
            assert gate.admits(0.0)
            gate.failed(0.0, 0.0)
        gate.succeeded()
    assert gate.admits(0.0)


def test_closed_gate_opens_for_one_probe() -> None:
    gate = closed_at(10.0)
    assert not gate.admits(10.0)
    assert not gate.admits(10.0 + CLOSED_S - 0.01)
    assert [gate.admits(10.0 + CLOSED_S) for _ in range(5)] == [True, False, False, False, False]


def test_probe_that_comes_through_opens_for_all() -> None:
    gate = closed_at(10.0)
    assert gate.admits(10.0 + CLOSED_S)
    gate.succeeded()
    assert all(gate.admits(10.0 + CLOSED_S) for _ in range(5))


def test_probe_that_fails_closes_for_longer() -> None:
    gate, now, waits = closed_at(0.0), 0.0, []
    for _ in range(8):
        wait_s = next(step / 10 for step in range(1, 1000) if gate.admits(now + step / 10))
        waits.append(wait_s)
        now += wait_s
        gate.failed(now, 0.0)
    assert waits == pytest.approx([1, 2, 4, 8, LONGEST_S, LONGEST_S, LONGEST_S, LONGEST_S])


def test_probe_of_which_nothing_is_heard_is_not_waited_for() -> None:
    gate = closed_at(0.0)
    assert gate.admits(CLOSED_S)
    assert not gate.admits(CLOSED_S + PROBE_LIMIT_S - 0.01)
    assert gate.admits(CLOSED_S + PROBE_LIMIT_S)


def test_instances_do_not_probe_together() -> None:
    early, late = closed_at(0.0, jitter=0.0), closed_at(0.0, jitter=1.0)
    assert (early.admits(CLOSED_S), late.admits(CLOSED_S)) == (True, False)
    assert late.admits(2 * CLOSED_S)


def test_success_forgets_how_long_it_was_closed() -> None:
    gate = closed_at(0.0)
    assert gate.admits(CLOSED_S)
    gate.failed(CLOSED_S, 0.0)
    assert gate.admits(CLOSED_S + 2)
    gate.succeeded()
    for _ in range(FAILURES):
        gate.failed(100.0, 0.0)
    assert gate.admits(100.0 + CLOSED_S)
