"""The instructions of a phase: what the model needs, in an order that reads, and nothing twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from voicebot.engine.events import CallContext
from voicebot.engine.prompts import instructions
from voicebot.flow import Flow, Observations, Phase, Say, ask


class Visit(Observations):
    name: str = ask("the caller's full name")
    reason: str = ask("why they are calling")
    note: str = ask("anything else", optional=True)


CONTEXT = CallContext("CA1", "+14155550123", "+15550100", datetime(2026, 3, 1, 22, 30, tzinfo=UTC))


def flow(**changes: Any) -> Flow:
    given: dict[str, Any] = {
        "goal": "Find out who is calling.",
        "observations": Visit,
        "phases": (Phase("reception", instructions="Greet the caller."),),
    }
    return Flow(**(given | changes))


def text(of: Flow, *, context: CallContext = CONTEXT, **given: Any) -> str:
    filled: dict[str, Any] = {"wall": CONTEXT.started, "known": {}, "missing": [], "optional": []}
    return instructions(of, of.phases[0], context=context, **(filled | given))


def headings(written: str) -> list[str]:
    return [line for line in written.splitlines() if line.startswith("# ")]


def test_least_prompt_has_no_empty_parts() -> None:
    written = text(flow())
    assert headings(written) == [
        "# Goal of the call",
        "# Rules",
        "# Now",
        "# This part of the conversation: reception",
    ]
    assert "\n\n\n" not in written
    assert written == written.strip()


def test_full_prompt_stands_in_order() -> None:
    specs = flow().specs
    notice = Say("This call is recorded.", name="notice")
    phase = Phase("reception", instructions="Greet the caller.", must_say=(notice,))
    written = text(
        flow(persona="You answer the phone.", knowledge="We close at noon.", phases=(phase,)),
        known={"name": "Ada"},
        missing=[specs["reason"]],
        optional=[specs["note"]],
        read_back=[specs["name"]],
        criteria=["the caller is calm"],
        problems={"price": "too heavy (worked out from kilos)"},
    )
    assert written.startswith("You answer the phone.")
    assert headings(written) == [
        "# Goal of the call",
        "# Rules",
        "# Now",
        "# Knowledge",
        "# Known so far",
        "# This part of the conversation: reception",
        "# Said for you",
        "# Still to find out now",
        "# To read back now",
        "# Could not be worked out",
        "# To judge with `judge`",
        "# To record if mentioned",
    ]
    for line in (
        *("- name: Ada", "- reason: why they are calling", "- note: anything else", "We close at noon."),
        *("- This call is recorded.", "- name: the caller's full name", "- the caller is calm"),
        "- price: too heavy (worked out from kilos)",
    ):
        assert line in written.splitlines()


def test_what_is_to_be_read_back_is_told_how() -> None:
    written = text(flow(), read_back=[flow().specs["name"]])
    assert "`record` each with `confirmed`" in written
    assert "read it back again" in written


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("UTC", "It is Sunday, 01 March 2026, 22:30 (UTC)."),
        ("Europe/Rome", "It is Sunday, 01 March 2026, 23:30 (Europe/Rome)."),
        ("Asia/Tokyo", "It is Monday, 02 March 2026, 07:30 (Asia/Tokyo)."),
        ("America/New_York", "It is Sunday, 01 March 2026, 17:30 (America/New_York)."),
    ],
)
def test_time_is_the_business_s_own(zone: str, said: str) -> None:
    assert said in text(flow(timezone=zone))


def test_clock_changes_with_the_season() -> None:
    assert "23:30 (Europe/Rome)" in text(flow(timezone="Europe/Rome"))
    summer = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    assert "Thursday, 02 July 2026, 00:30 (Europe/Rome)" in text(flow(timezone="Europe/Rome"), wall=summer)


def test_number_of_the_caller_is_told_if_known() -> None:
    assert "The caller's number is +14155550123." in text(flow())
    assert "The caller's number is withheld." in text(flow(), context=replace(CONTEXT, caller=None))


@pytest.mark.parametrize(
    ("languages", "rule"),
    [
        (("en",), "- Speak English."),
        (
            ("it", "en"),
            "- Speak Italian. If the caller asks for English or begins to speak it, call `switch_language` and go "
            "on in it.",
        ),
        (
            ("de", "fr", "sv"),
            "- Speak German. If the caller asks for French or sv or begins to speak it, call `switch_language` and go "
            "on in it.",
        ),
    ],
)
def test_language_is_a_rule(languages: tuple[str, ...], rule: str) -> None:
    assert rule in text(flow(languages=languages)).splitlines()


@pytest.mark.parametrize("value", [True, 3, 2.5, "x", ["a", 1], {"dish": "x"}, None])
def test_known_values_are_written_out(value: Any) -> None:
    assert f"- name: {value}" in text(flow(), known={"name": value})
