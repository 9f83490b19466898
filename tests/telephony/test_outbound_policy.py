"""Who may be called, and when: tables of what the operator writes and what follows from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from voicebot.telephony.outbound_policy import (
    AllowList,
    Policy,
    Retries,
    read_allow_list,
    read_do_not_call,
    read_hours,
    read_retries,
)

ROME = "+390612345678"
NOON = datetime(2026, 3, 4, 11, 0, tzinfo=UTC)  # a Wednesday; noon in Rome


@pytest.mark.parametrize(
    ("allow", "number", "admitted"),
    [
        ("", ROME, False),
        ("+39", ROME, True),
        ("+3906", ROME, True),
        ("+3902", ROME, False),
        ("+39,!+3906", ROME, False),
        ("+39,!+3906,+390612", ROME, True),
        ("+39,!+39", ROME, False),
        ("+1", ROME, False),
        ("!+44", ROME, False),
        (" +1 , +39 ", ROME, True),
    ],
)
def test_longest_prefix_decides(allow: str, number: str, admitted: bool) -> None:
    assert read_allow_list(allow).admits(number) is admitted


@pytest.mark.parametrize("text", ["39", "IT", "+39*", "+0", "*", "+", "!", "+39;+1"])
def test_what_is_no_prefix_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no beginning of a number"):
        read_allow_list(text)


@pytest.mark.parametrize(
    ("text", "at", "holds"),
    [
        ("09:00-20:00 Europe/Rome", "2026-03-04T08:00+00:00", True),
        ("09:00-20:00 Europe/Rome", "2026-03-04T07:59+00:00", False),
        ("09:00-20:00 Europe/Rome", "2026-03-04T18:59+00:00", True),
        ("09:00-20:00 Europe/Rome", "2026-03-04T19:00+00:00", False),
        ("09:00-20:00 Europe/Rome", "2026-07-04T07:00+00:00", True),  # summer time
        ("9:00-20:00 UTC", "2026-03-04T09:00+00:00", True),
        ("Mon-Fri 09:00-20:00 UTC", "2026-03-07T12:00+00:00", False),
        ("Sat 09:00-20:00 UTC", "2026-03-07T12:00+00:00", True),
        ("Fri-Mon 09:00-20:00 UTC", "2026-03-08T12:00+00:00", True),
        ("fri-mon 09:00-20:00 UTC", "2026-03-04T12:00+00:00", False),
    ],
)
def test_hours_hold_by_the_clocks_of_their_zone(text: str, at: str, holds: bool) -> None:
    assert read_hours(text).holds(datetime.fromisoformat(at)) is holds


@pytest.mark.parametrize(
    "text",
    [
        *("09:00-20:00", "9-20 UTC", "20:00-09:00 UTC", "09:00-25:00 UTC", "09:00-20:00 Nowhere/Land"),
        *("Foo 09:00-20:00 UTC", "09:00-20:00 Europe", "09:00-20:00 ../../etc/passwd"),
    ],
)
def test_what_are_no_hours_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_hours(text)


@pytest.mark.parametrize(
    ("text", "at", "next_at"),
    [
        ("09:00-20:00 UTC", "2026-03-04T12:00+00:00", "2026-03-04T12:00+00:00"),
        ("09:00-20:00 UTC", "2026-03-04T08:00+00:00", "2026-03-04T09:00+00:00"),
        ("09:00-20:00 UTC", "2026-03-04T20:00+00:00", "2026-03-05T09:00+00:00"),
        ("Mon 09:00-20:00 UTC", "2026-03-09T21:00+00:00", "2026-03-16T09:00+00:00"),
        ("Mon-Fri 09:00-20:00 Europe/Rome", "2026-03-27T21:00+00:00", "2026-03-30T07:00+00:00"),  # clocks changed
    ],
)
def test_next_moment_is_the_next_opening(text: str, at: str, next_at: str) -> None:
    assert read_hours(text).next_from(datetime.fromisoformat(at)) == datetime.fromisoformat(next_at)


@pytest.mark.parametrize(
    ("text", "retries"),
    [("0", Retries()), ("2/15m", Retries(2, timedelta(minutes=15))), ("1/1h", Retries(1, timedelta(hours=1)))],
)
def test_retries_are_read(text: str, retries: Retries) -> None:
    assert read_retries(text) == retries


@pytest.mark.parametrize("text", ["", "2", "2/15", "11/1h", "-1", "2/10s", "2/0m", "two"])
def test_retries_that_stack_or_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_retries(text)


def test_do_not_call_list_is_read_as_people_write_it() -> None:
    text = f"# our list\n\n{ROME}  # Ada\n+1 (415) 555-0123\n+44.20.7946.0000\n"
    assert read_do_not_call(text) == {ROME, "+14155550123", "+442079460000"}


def test_do_not_call_line_that_is_no_number_is_named() -> None:
    with pytest.raises(ValueError, match="line 2"):
        read_do_not_call(f"{ROME}\n0612345678\n")


HOURS = read_hours("09:00-20:00 Europe/Rome")
ITALY = AllowList(frozenset({"+39"}))


@pytest.mark.parametrize(
    ("policy", "number", "do_not_call", "refusal"),
    [
        (Policy(ITALY), ROME, frozenset(), None),
        (Policy(), ROME, frozenset(), "not_allowed"),
        (Policy(ITALY), "+14155550123", frozenset(), "not_allowed"),
        (Policy(ITALY), "0612345678", frozenset(), "number"),
        (Policy(ITALY), "+39061234567890123", frozenset(), "number"),
        (Policy(ITALY), ROME, frozenset({ROME}), "do_not_call"),
        (Policy(ITALY), ROME, None, "do_not_call"),
        (Policy(ITALY, HOURS), ROME, frozenset(), None),
        (Policy(ITALY, read_hours("13:00-20:00 Europe/Rome")), ROME, frozenset(), "hours"),
    ],
)
def test_call_is_refused_for_the_first_reason(
    policy: Policy, number: str, do_not_call: frozenset[str] | None, refusal: str | None
) -> None:
    assert policy.refusal(number, NOON, do_not_call=do_not_call) == refusal


@pytest.mark.parametrize(
    ("retries", "hours", "tries", "due"),
    [
        ("0", None, 1, None),
        ("2/15m", None, 1, NOON + timedelta(minutes=15)),
        ("2/15m", None, 2, NOON + timedelta(minutes=15)),
        ("2/15m", None, 3, None),
        ("1/12h", HOURS, 1, datetime(2026, 3, 5, 9, 0, tzinfo=ZoneInfo("Europe/Rome"))),
    ],
)
def test_number_is_called_again_as_often_as_allowed(
    retries: str, hours: object, tries: int, due: datetime | None
) -> None:
    policy = Policy(ITALY, hours, retries=read_retries(retries))  # type: ignore[arg-type]
    assert policy.next_try(tries, NOON) == due


def test_rate_counts_the_last_minute() -> None:
    policy, placed = Policy(ITALY, rate=2), tuple[datetime, ...]()
    for seconds, admitted in ((0, True), (30, True), (59, False), (60, True), (61, False), (90, True)):
        now = NOON + timedelta(seconds=seconds)
        found = policy.within_rate(placed, now)
        assert (found is not None) is admitted, seconds
        placed = found or placed
    assert len(placed) == 2
