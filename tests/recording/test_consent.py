"""Whether a call may be recorded, from the entries of its journal alone."""

from __future__ import annotations

import pytest

from tests.end_to_end import reception
from voicebot.call.entries import BotSaid, CallerConnected, Entry
from voicebot.engine.entries import RuleApplied, StatementHeard, ToolAnswered
from voicebot.flow import Recording, Say
from voicebot.flow.json_form import flow_from_json, flow_to_json
from voicebot.flow.model import Flow
from voicebot.recording.consent import Consent, recording_of

OPENING = Say("This call is recorded.", name="recorded", interruptible=False)
FLOW = Flow(goal="Talk.", phases=reception.flow.phases, observations=reception.Visit, opening=OPENING)
CONNECTED = CallerConnected("MZ1")
HEARD = StatementHeard("terms", "These are the terms.")
DECLINED = RuleApplied("no_recording", "do not record me", 1)


def said(*, interrupted: bool = False, exact: bool = True, text: str = OPENING.text) -> BotSaid:
    return BotSaid("statement-1", text, text, 900, 900, interrupted, exact)


def told(recording: Recording, *entries: Entry, past: tuple[Entry, ...] = ()) -> list[str | None]:
    consent = Consent(FLOW, recording, past)
    return [consent.told(entry) for entry in entries]


@pytest.mark.parametrize(
    ("recording", "entries", "follows"),
    [
        (Recording(consent=None), (CONNECTED, HEARD), ["begin", None]),
        (Recording(consent="terms"), (CONNECTED, said(), HEARD, HEARD), [None, None, "begin", None]),
        (Recording(consent="recorded"), (CONNECTED, said()), [None, "begin"]),
        (Recording(consent="recorded"), (CONNECTED, said(interrupted=True)), [None, None]),
        (Recording(consent="recorded"), (CONNECTED, said(exact=False)), [None, None]),
        (Recording(consent="recorded"), (CONNECTED, said(text="Hello.")), [None, None]),
        (Recording(consent="terms", refusal="no_recording"), (CONNECTED, HEARD, DECLINED), [None, "begin", "erase"]),
        (Recording(consent="terms", refusal="no_recording"), (CONNECTED, DECLINED, HEARD), [None, "erase", "erase"]),
        (Recording(consent=None, refusal="other"), (CONNECTED, DECLINED), ["begin", None]),
        (
            Recording(consent=None, refusal="forget"),
            (CONNECTED, ToolAnswered("c1", "forget", "no", ok=False, took_ms=1)),
            ["begin", None],
        ),
        (
            Recording(consent=None, refusal="forget"),
            (CONNECTED, ToolAnswered("c1", "forget", "done", ok=True, took_ms=1)),
            ["begin", "erase"],
        ),
    ],
)
def test_recording_follows_from_the_journal(
    recording: Recording, entries: tuple[Entry, ...], follows: list[str | None]
) -> None:
    assert told(recording, *entries) == follows


def test_what_was_said_in_other_hands_holds() -> None:
    recording = Recording(consent="terms", refusal="no_recording")
    assert told(recording, CONNECTED, past=(CONNECTED, HEARD)) == ["begin"]
    assert told(recording, CONNECTED, past=(CONNECTED, HEARD, DECLINED)) == ["erase"]
    assert told(recording, CONNECTED, past=(CONNECTED,)) == [None]


def test_operator_has_the_first_word() -> None:
    declared = Flow(
        goal="Talk.", phases=reception.flow.phases, observations=reception.Visit, record=Recording(consent="x")
    )
    assert recording_of(declared, "off") is None
    assert recording_of(declared, "flow") == recording_of(declared, "all") == Recording(consent="x")
    assert recording_of(FLOW, "flow") is None
    found = recording_of(FLOW, "all")
    assert found is not None and not found.asks


@pytest.mark.parametrize("recording", [None, Recording(consent=None), Recording(consent="terms", refusal="no")])
def test_recording_stands_in_the_flows_json(recording: Recording | None) -> None:
    flow = Flow(goal="Talk.", phases=reception.flow.phases, observations=reception.Visit, record=recording)
    assert flow_from_json(flow_to_json(flow)).record == recording
