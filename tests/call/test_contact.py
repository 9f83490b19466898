"""How a call stands with its model, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from voicebot.call.contact import (
    LEAST_SHARE,
    LOSSES,
    RETURN_LIMIT_S,
    ROLL_BY_S,
    ROLL_FROM_S,
    SESSION_LIFE_S,
    Contact,
)

NOW = 1_000.0


def here(expires_in_s: float | None = None) -> Contact:
    contact = Contact()
    contact.ready(NOW, expires_in_s)
    return contact


def returning() -> Contact:
    contact = here()
    contact.lost(NOW, retryable=True)
    return contact


def gone() -> Contact:
    contact = here()
    contact.give_up()
    return contact


@pytest.mark.parametrize(
    ("make", "new_to_the_call"),
    [(Contact, False), (lambda: Contact(resumed=True), True), (here, False), (returning, True)],
)
def test_model_that_is_new_to_the_call_is_told(make: Callable[[], Contact], new_to_the_call: bool) -> None:
    contact = make()
    assert contact.ready(NOW, None) is new_to_the_call
    assert (contact.absent, contact.returning, contact.gone) == (False, False, False)


def test_model_that_comes_too_late_is_ignored() -> None:
    contact = gone()
    assert not contact.ready(NOW, None)
    assert contact.gone and contact.absent
    assert contact.roll_over_at(quiet=True) is None


@pytest.mark.parametrize(
    ("make", "retryable", "another"),
    [
        (here, True, True),
        (returning, True, True),
        (lambda: Contact(resumed=True), True, True),
        (Contact, True, False),  # the phone still rings
        (here, False, False),
        (returning, False, False),
        (gone, True, False),
    ],
)
def test_whether_another_connection_is_made(make: Callable[[], Contact], retryable: bool, another: bool) -> None:
    contact = make()
    assert contact.lost(NOW, retryable=retryable) is another
    assert contact.gone is not another
    assert contact.returning is another


def test_losses_are_counted_over_the_whole_call() -> None:
    contact = here()
    for _ in range(LOSSES):
        assert contact.lost(NOW, retryable=True)
        contact.ready(NOW, None)
    assert not contact.lost(NOW, retryable=True)


def test_wait_for_another_one_begins_with_the_first_loss() -> None:
    contact = returning()
    assert contact.give_up_at() == NOW + RETURN_LIMIT_S
    contact.lost(NOW + 5, retryable=True)
    assert contact.give_up_at() == NOW + RETURN_LIMIT_S
    assert not contact.lost(NOW + RETURN_LIMIT_S, retryable=True)


def test_caller_who_is_not_there_does_not_wait() -> None:
    contact = Contact(resumed=True)
    assert contact.give_up_at() is None
    contact.wait(NOW + 9)
    assert contact.give_up_at() == NOW + 9 + RETURN_LIMIT_S
    contact.ready(NOW + 10, None)
    assert contact.give_up_at() is None


def test_wait_is_for_one_who_is_away_alone() -> None:
    for contact in (here(), Contact(), gone()):
        contact.wait(NOW)
        assert contact.give_up_at() is None


@pytest.mark.parametrize(
    ("expires_in_s", "life_s"),
    [
        (None, SESSION_LIFE_S),
        (1800.0, 1800.0),
        (9e9, SESSION_LIFE_S),
        (0.0, SESSION_LIFE_S),  # by a clock that is not ours
        (-300.0, SESSION_LIFE_S),
    ],
)
def test_roll_over_comes_before_the_end(expires_in_s: float | None, life_s: float) -> None:
    contact = here(expires_in_s)
    assert contact.roll_over_at(quiet=True) == NOW + life_s - ROLL_FROM_S
    assert contact.roll_over_at(quiet=False) == NOW + life_s - ROLL_BY_S


@pytest.mark.parametrize("life_s", [20.0, 60.0, 300.0, 900.0])
def test_short_sessions_do_not_follow_each_other_at_once(life_s: float) -> None:
    contact = here(life_s)
    for quiet in (True, False):
        due = contact.roll_over_at(quiet=quiet)
        assert due is not None and NOW + LEAST_SHARE * life_s <= due < NOW + life_s


def test_rolling_over_is_no_loss() -> None:
    contact = here()
    for number in range(3 * LOSSES):
        contact.roll_over(NOW + number)
        assert contact.returning
        assert contact.give_up_at() == NOW + number + RETURN_LIMIT_S
        assert contact.roll_over_at(quiet=True) is None
        assert contact.ready(NOW + number, None)
    assert contact.lost(NOW, retryable=True)
