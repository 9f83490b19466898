"""When calls are taken: a pure decision, told the time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from voicebot.flow import Closed, Flow, Hours, Phase, Voicemail
from voicebot.flow.check import check
from voicebot.flow.hours import Span, read_days, read_spans
from voicebot.flow.json_form import flow_from_json, flow_to_json

ROME, NEW_YORK, LORD_HOWE = ZoneInfo("Europe/Rome"), ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")
SHOP = Hours(
    {"mon-fri": "09:00-12:30, 14:00-18:00", "sat": "18:00-02:00"},
    holidays={"2027-12-24": "09:00-12:00", date(2027, 12, 25): "", "2027-12-27": ""},
)


def rome(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ROME)


@pytest.mark.parametrize(
    ("at", "taken"),
    [
        ("2027-06-07T08:59:59", False),  # a Monday
        ("2027-06-07T09:00:00", True),
        ("2027-06-07T12:29:59.999999", True),
        ("2027-06-07T12:30:00", False),
        ("2027-06-07T14:00:00", True),
        ("2027-06-07T18:00:00", False),
        ("2027-06-12T17:59:59", False),  # Saturday
        ("2027-06-12T18:00:00", True),
        ("2027-06-12T23:59:59", True),
        ("2027-06-13T00:00:00", True),  # past midnight
        ("2027-06-13T01:59:59", True),
        ("2027-06-13T02:00:00", False),
        ("2027-06-13T20:00:00", False),  # Sunday
        ("2027-12-24T11:59:59", True),  # a holiday with hours of its own
        ("2027-12-24T14:30:00", False),
        ("2027-12-25T19:00:00", False),  # a Saturday that is none
        ("2027-12-26T01:00:00", False),
        ("2027-12-27T10:00:00", False),
        ("2027-12-28T10:00:00", True),
    ],
)
def test_calls_are_taken_by_the_clocks_of_the_business(at: str, taken: bool) -> None:
    assert SHOP.hold(rome(at), ROME) is taken
    assert SHOP.hold(rome(at).astimezone(UTC), ROME) is taken


def test_night_before_goes_on_into_a_holiday() -> None:
    hours = Hours({"fri": "22:00-03:00"}, holidays=["2027-12-25"])
    assert hours.hold(rome("2027-12-25T02:59:00"), ROME)
    assert not hours.hold(rome("2027-12-25T03:00:00"), ROME)


@pytest.mark.parametrize(
    ("zone", "spans", "at_utc", "taken"),
    [
        # Rome, 2027-03-28: from 02:00 to 03:00 (01:00 UTC)
        (ROME, "01:00-02:30", "2027-03-28T00:59", True),
        (ROME, "01:00-02:30", "2027-03-28T01:29", True),  # 03:29: what would be 02:29
        (ROME, "01:00-02:30", "2027-03-28T01:30", False),
        (ROME, "02:30-05:00", "2027-03-28T01:29", False),
        (ROME, "02:30-05:00", "2027-03-28T01:30", True),
        (ROME, "02:30-05:00", "2027-03-28T03:00", False),
        # Rome, 2027-10-31: from 03:00 to 02:00 (01:00 UTC); the hour from 02:00 comes twice
        (ROME, "01:00-02:30", "2027-10-31T00:29", True),
        (ROME, "01:00-02:30", "2027-10-31T00:31", True),  # 02:31, and the same clock shows 02:29 once more
        (ROME, "01:00-02:30", "2027-10-31T01:29", True),
        (ROME, "01:00-02:30", "2027-10-31T01:30", False),
        (ROME, "02:30-04:00", "2027-10-31T00:29", False),
        (ROME, "02:30-04:00", "2027-10-31T00:30", True),
        (ROME, "02:30-04:00", "2027-10-31T01:10", True),  # 02:10 again: it does not close for it
        (ROME, "02:30-04:00", "2027-10-31T03:00", False),
        (NEW_YORK, "00:00-24:00", "2027-11-07T05:30", True),
        (NEW_YORK, "00:00-24:00", "2027-11-08T04:59", True),  # a day of 25 hours
        (LORD_HOWE, "09:00-17:00", "2027-06-26T22:30", True),  # half an hour beside the others
    ],
)
def test_changed_clocks_neither_flap_nor_cut(zone: ZoneInfo, spans: str, at_utc: str, taken: bool) -> None:
    hours = Hours({"sun": spans})
    assert hours.hold(datetime.fromisoformat(at_utc).replace(tzinfo=UTC), zone) is taken


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        ("2027-06-07T08:00", "2027-06-07T09:00"),
        ("2027-06-07T10:00", "2027-06-07T10:00"),
        ("2027-06-07T13:00", "2027-06-07T14:00"),
        ("2027-06-13T02:00", "2027-06-14T09:00"),
        ("2027-12-24T12:00", "2027-12-28T09:00"),
    ],
)
def test_next_hours_are_found(at: str, opens: str) -> None:
    assert SHOP.next_from(rome(at), ROME) == rome(opens)


def test_hours_that_never_come_are_not_found() -> None:
    assert Hours({}, holidays={"2001-01-01": "09:00-10:00"}).next_from(rome("2027-01-01T00:00"), ROME) is None


def test_every_minute_agrees_with_the_next_opening() -> None:
    at = rome("2027-10-30T16:00").astimezone(UTC)
    for minutes in range(0, 48 * 60, 7):
        moment = at + timedelta(minutes=minutes)
        opens = SHOP.next_from(moment, ROME)
        assert opens is not None
        assert (opens == moment) is SHOP.hold(moment, ROME)
        assert SHOP.hold(opens, ROME)


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("", ()),
        ("9:00-12:30", ((540, 750),)),
        (" 09:00 - 12:30 ,14:00-18:00", ((540, 750), (840, 1080))),
        ("18:00-02:00", ((1080, 1560),)),
        ("00:00-24:00", ((0, 1440),)),
        ("22:00-00:00", ((1320, 1440),)),
    ],
)
def test_spans_are_read(text: str, spans: tuple[tuple[int, int], ...]) -> None:
    assert read_spans(text) == tuple(Span(*one) for one in spans)


@pytest.mark.parametrize(
    "text",
    [
        *("9-12", "09:00", "09:60-10:00", "24:00-25:00", "10:00-24:01", "09:00-09:00", "14:00-18:00, 09:00-12:00"),
        *("09:00-13:00, 12:00-14:00", "22:00-02:00, 23:00-23:30", "09:00–12:00", "-1:00-02:00", "09:00-12:00;"),
    ],
)
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Hours({"mon": text})


@pytest.mark.parametrize(
    ("text", "days"), [("mon", {0}), ("Mon-Wed", {0, 1, 2}), ("sat-mon", {5, 6, 0}), ("tue, sat-sun", {1, 5, 6})]
)
def test_days_are_read(text: str, days: set[int]) -> None:
    assert read_days(text) == days


@pytest.mark.parametrize("weekly", [{"noday": ""}, {"": ""}, {"mon-": "", "mon": ""}, {"mon-fri": "", "wed": ""}])
def test_what_is_no_week_is_refused(weekly: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Hours(weekly)


def test_json_form_is_the_same_flow() -> None:
    flow = Flow(
        goal="x",
        phases=[Phase("a", instructions="Talk.")],
        timezone="Europe/Rome",
        hours=SHOP,
        closed=Closed("Closed.", then=Voicemail(max="1m")),
    )
    again = flow_from_json(flow_to_json(flow))
    assert (again.hours, again.closed) == (flow.hours, flow.closed)
    assert flow_to_json(again) == flow_to_json(flow)
    assert again.takes_calls(rome("2027-06-07T10:00"))
    assert not again.takes_calls(rome("2027-06-07T13:00"))


def test_past_holidays_are_found_on_a_day_alone() -> None:
    flow = Flow(goal="x", phases=[Phase("a", instructions="Talk.")], hours=SHOP)
    assert "F054" not in {finding.rule for finding in check(flow)}
    assert "F054" not in {finding.rule for finding in check(flow, date(2027, 12, 24))}
    found = {finding.rule: finding.problem for finding in check(flow, date(2027, 12, 26))}
    assert found["F054"] == "2 holidays, the last of them 2027-12-25 is past"
