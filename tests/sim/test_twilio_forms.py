"""What the twin of Twilio's REST API makes of forms, field by field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from voicebot.sim.twilio_forms import (
    LONGEST_TWIML,
    Placed,
    RefusedError,
    check_message,
    check_number,
    odd_call,
    odd_message,
    odd_number,
    read_call,
)

OURS, ADA = "+14155550100", "+14155550123"
URL = "https://agent.example.com/answered"
CALL = {"To": ADA, "From": OURS, "Url": URL}
MESSAGE = {"To": ADA, "From": OURS, "Body": "Hello"}
SAMPLES = Path(__file__).parents[1] / "samples" / "twilio_webhooks"


def without(form: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in form.items() if key != name}


def test_least_call_has_the_vendors_defaults() -> None:
    assert read_call(CALL, [OURS]) == Placed(ADA, OURS, URL, "POST", None, frozenset({"completed"}), 60, None, None)
    assert list(odd_call(CALL)) == []


@pytest.mark.parametrize(
    ("form", "code"),
    [
        (without(CALL, "To"), 21201),
        (without(CALL, "From"), 21213),
        (without(CALL, "Url"), 21205),
        (CALL | {"To": "4155550123"}, 21211),
        (CALL | {"From": "shop"}, 21212),
        (CALL | {"From": "+14155550999"}, 21210),
        (CALL | {"Url": "/answered"}, 21205),
        (CALL | {"StatusCallback": "nowhere"}, 21609),
        (CALL | {"AsyncAmdStatusCallback": "ftp://x/y"}, 21609),
        (CALL | {"StatusCallbackEvent": "answered hung-up"}, 20001),
        (CALL | {"MachineDetection": "Yes"}, 20001),
        (CALL | {"Method": "PUT"}, 20001),
        (CALL | {"Timeout": "601"}, 20001),
        (CALL | {"Timeout": "soon"}, 20001),
        (CALL | {"MachineDetectionTimeout": "60"}, 20001),
        (without(CALL, "Url") | {"Twiml": "x" * (LONGEST_TWIML + 1)}, 20001),
    ],
)
def test_call_is_refused_as_by_the_vendor(form: dict[str, str], code: int) -> None:
    with pytest.raises(RefusedError) as refused:
        read_call(form, [OURS])
    assert (refused.value.status, refused.value.code) == (400, code)
    assert refused.value.body()["code"] == code


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        (CALL | {"Colour": "red"}, "no field 'Colour'"),
        (CALL | {"Record": "true"}, "is recorded"),
        (CALL | {"Twiml": "<Response/>"}, "says twice"),
        (CALL | {"AsyncAmd": "true"}, "nobody told"),
    ],
)
def test_what_a_good_client_does_not_send_is_noted(form: dict[str, str], problem: str) -> None:
    assert problem in "\n".join(odd_call(form))


def test_documented_form_has_only_fields_that_are_known() -> None:
    sample = json.loads((SAMPLES / "rest_create_call_form.json").read_text())
    assert list(odd_call({name: str(value) for name, value in sample.items()})) == []


@pytest.mark.parametrize(
    ("form", "code"),
    [
        (without(MESSAGE, "To"), 21604),
        (without(MESSAGE, "From"), 21603),
        (without(MESSAGE, "Body"), 21602),
        (MESSAGE | {"To": "Ada"}, 21211),
        (MESSAGE | {"From": "+14155550999"}, 21606),
        (MESSAGE | {"Body": "x" * 1601}, 21617),
    ],
)
def test_message_is_refused_as_by_the_vendor(form: dict[str, str], code: int) -> None:
    with pytest.raises(RefusedError) as refused:
        check_message(form, [OURS])
    assert refused.value.code == code


def test_message_may_come_of_a_service() -> None:
    check_message(without(MESSAGE, "From") | {"MessagingServiceSid": "MG1"}, [OURS])
    assert list(odd_message(MESSAGE | {"Text": "x"})) == ["a message has no field 'Text'"]


@pytest.mark.parametrize(
    ("form", "code"),
    [({"VoiceUrl": "x"}, 21402), ({"VoiceFallbackUrl": "x"}, 21402), ({"StatusCallback": "x"}, 21502)],
)
def test_number_is_refused_as_by_the_vendor(form: dict[str, str], code: int) -> None:
    with pytest.raises(RefusedError) as refused:
        check_number(form)
    assert refused.value.code == code


def test_number_may_lead_nowhere() -> None:
    check_number({"VoiceUrl": "", "VoiceMethod": "POST"})
    assert list(odd_number({"VoiceUri": ""})) == ["a number has no field 'VoiceUri'"]
    assert list(odd_number({})) == ["an update of a number asks for nothing"]
