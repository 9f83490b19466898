"""Which workers are started when, and what the whole of them ends with."""

from __future__ import annotations

import signal

import pytest

from voicebot.server.crew import (
    LONGEST_PAUSE_S,
    STEADY_S,
    AskToStop,
    Crew,
    Stage,
    StartWorker,
    TerminateWorker,
    exit_code,
    restart_pause_s,
)


def opened(size: int = 2) -> Crew:
    """All have answered, at second 0."""
    crew = Crew(size)
    crew.begin(0.0)
    for number in range(1, size + 1):
        crew.on_ready(number, 0.0)
    assert crew.stage is Stage.SERVING
    return crew


# ---- opening --------------------------------------------------------------------------------------------------------


def test_first_worker_goes_ahead() -> None:
    crew = Crew(3)
    assert crew.deadline() is None
    assert crew.begin(5.0) == [StartWorker(1)]
    assert crew.deadline() is None
    assert crew.on_deadline(60.0) == []
    assert crew.on_ready(1, 61.0) == [StartWorker(2), StartWorker(3)]
    assert crew.on_ready(3, 62.0) == []
    assert crew.stage is Stage.OPENING
    assert (crew.answering, crew.size) == (2, 3)
    assert crew.on_ready(2, 62.0) == []
    assert (crew.stage, crew.answering) == (Stage.SERVING, 3)


@pytest.mark.parametrize(("returned", "code"), [(2, 2), (0, 1), (-signal.SIGKILL, 137)])
def test_first_worker_that_cannot_start_ends_all(returned: int, code: int) -> None:
    crew = Crew(3)
    crew.begin(0.0)
    assert crew.on_died(1, returned, 1.0) == []
    assert (crew.over, crew.exit_code, crew.deadline()) == (True, code, None)


def test_other_worker_that_cannot_start_stops_those_who_run() -> None:
    crew = Crew(3)
    crew.begin(0.0)
    crew.on_ready(1, 0.0)
    assert crew.on_died(2, 2, 1.0) == [AskToStop(1), TerminateWorker(3)]
    assert not crew.over
    assert crew.on_died(3, -signal.SIGTERM, 1.1) == []
    assert crew.on_died(1, 0, 1.2) == []
    assert (crew.over, crew.exit_code) == (True, 2)


def test_worker_that_dies_after_it_answered_is_replaced_while_others_open() -> None:
    crew = Crew(3)
    crew.begin(0.0)
    crew.on_ready(1, 0.0)
    assert crew.on_died(1, -signal.SIGSEGV, 1.0) == [StartWorker(1)]
    assert crew.on_ready(1, 2.0) == []
    assert crew.on_died(1, -signal.SIGSEGV, 3.0) == []
    assert crew.on_ready(2, 3.1) == []  # which does not cut the pause short
    assert crew.on_deadline(4.0) == [StartWorker(1)]


# ---- restarts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("young_deaths", "pause_s"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (6, 16), (7, 30), (10_000, 30)]
)
def test_pause_doubles_up_to_a_limit(young_deaths: int, pause_s: float) -> None:
    assert restart_pause_s(young_deaths) == pause_s <= LONGEST_PAUSE_S


@pytest.mark.parametrize("returned", [0, 1, 2, -signal.SIGKILL])
def test_worker_that_dies_is_started_again_at_once(returned: int) -> None:
    crew = opened()
    assert crew.on_died(2, returned, 1.0) == [StartWorker(2)]
    assert (crew.exit_code, crew.over, crew.deadline()) == (0, False, None)


def test_worker_that_dies_young_waits_longer_each_time() -> None:
    crew, now, pauses = opened(), 0.0, []
    for _ in range(7):
        now += 1.0
        effects = crew.on_died(1, 2, now)
        pauses.append(crew.pause_s(1, now))
        if not effects:
            due = crew.deadline()
            assert due is not None
            assert crew.on_deadline(due - 0.01) == []
            now = due
            effects = crew.on_deadline(now)
        assert effects == [StartWorker(1)]
    assert pauses == [None, 1, 2, 4, 8, 16, 30]
    assert crew.pause_s(2, now) is None


def test_steady_life_makes_up_for_young_deaths() -> None:
    crew = opened()
    for now in (1.0, 2.0, 3.0):
        crew.on_died(1, 2, now)
        crew.on_deadline(now + LONGEST_PAUSE_S)
    started = 3.0 + LONGEST_PAUSE_S
    crew.on_ready(1, started)
    assert crew.on_died(1, -signal.SIGKILL, started + STEADY_S) == [StartWorker(1)]
    assert crew.on_died(1, -signal.SIGKILL, started + STEADY_S + 1) == [StartWorker(1)]
    assert crew.on_died(1, -signal.SIGKILL, started + STEADY_S + 2) == []


def test_pauses_of_several_workers_are_their_own() -> None:
    crew = opened()
    for number, now in ((1, 1.0), (1, 2.0), (2, 2.2), (2, 2.4)):
        crew.on_died(number, 1, now)
    assert (crew.deadline(), crew.pause_s(1, 2.5), crew.pause_s(2, 2.5)) == (3.0, 0.5, pytest.approx(0.9))
    assert crew.on_deadline(3.0) == [StartWorker(1)]
    assert crew.on_deadline(5.0) == [StartWorker(2)]


# ---- stopping -------------------------------------------------------------------------------------------------------


def test_every_request_is_passed_on_to_the_living() -> None:
    crew = opened(3)
    crew.on_died(3, 1, 1.0)  # and is started again
    assert crew.on_stop() == [AskToStop(1), AskToStop(2), TerminateWorker(3)]
    assert crew.on_died(3, -signal.SIGTERM, 2.0) == []
    assert crew.on_died(1, 0, 2.0) == []
    assert crew.on_stop() == [AskToStop(2)]
    assert not crew.over
    assert crew.on_died(2, 0, 3.0) == []
    assert (crew.over, crew.exit_code, crew.deadline()) == (True, 0, None)


def test_nobody_is_started_while_stopping() -> None:
    crew = opened()
    crew.on_died(1, 1, 1.0)
    crew.on_died(1, 1, 1.1)
    assert crew.on_stop() == [AskToStop(2)]
    assert (crew.deadline(), crew.on_deadline(99.0)) == (None, [])
    crew.on_died(2, 0, 2.0)
    assert (crew.over, crew.exit_code) == (True, 0)


def test_stop_while_opening_leaves_no_error() -> None:
    crew = Crew(2)
    crew.begin(0.0)
    assert crew.on_stop() == [TerminateWorker(1)]
    assert crew.on_died(1, -signal.SIGTERM, 0.1) == []
    assert (crew.over, crew.exit_code) == (True, 0)


def test_worker_that_answers_while_stopping_is_asked_from_then_on() -> None:
    crew = Crew(2)
    crew.begin(0.0)
    assert crew.on_stop() == [TerminateWorker(1)]  # which reached it when it had just begun to answer
    assert crew.on_ready(1, 0.1) == []
    assert crew.stage is Stage.STOPPING
    assert crew.on_stop() == [AskToStop(1)]


@pytest.mark.parametrize(("returned", "code"), [(0, 0), (1, 1), (-signal.SIGKILL, 137), (-signal.SIGTERM, 143)])
def test_worst_end_of_a_worker_that_served_is_the_end_of_all(returned: int, code: int) -> None:
    crew = opened()
    crew.on_stop()
    crew.on_died(2, returned, 1.0)
    crew.on_died(1, 0, 1.0)
    assert crew.exit_code == exit_code(returned) == code
