"""How many wrong tokens may be tried."""

from __future__ import annotations

from voicebot.server.attempts import FORGIVEN_EVERY_S, MOST_CLIENTS, MOST_WRONG, Attempts


def test_some_errors_are_human() -> None:
    attempts = Attempts()
    for _ in range(MOST_WRONG - 1):
        attempts.failed("a", 0.0)
    assert attempts.wait_s("a", 0.0) == 0.0


def test_too_many_must_wait_and_others_need_not() -> None:
    attempts = Attempts()
    for _ in range(MOST_WRONG):
        attempts.failed("a", 0.0)
    assert attempts.wait_s("a", 0.0) == FORGIVEN_EVERY_S
    assert attempts.wait_s("a", FORGIVEN_EVERY_S) == 0.0
    assert attempts.wait_s("b", 0.0) == 0.0


def test_trying_for_an_hour_gives_few_tries() -> None:
    attempts, tried, now = Attempts(), 0, 0.0
    while now < 3600.0:
        if not attempts.wait_s("a", now):
            attempts.failed("a", now)
            tried += 1
        now += 0.5
    assert tried <= MOST_WRONG + 3600.0 / FORGIVEN_EVERY_S


def test_memory_of_many_clients_is_bounded() -> None:
    attempts = Attempts()
    for number in range(MOST_CLIENTS + 5):
        attempts.failed(str(number), 0.0)
    assert len(attempts._wrong) == MOST_CLIENTS
    assert "0" not in attempts._wrong
