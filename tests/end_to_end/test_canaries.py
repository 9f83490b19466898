"""Secrets and personal data, put wherever there is room, are found nowhere that operators or strangers look."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.end_to_end.observed import API_TOKEN, Observed, observe
from voicebot.flow import (
    Analysis,
    CallControl,
    CallEvent,
    Flow,
    HangUp,
    Observations,
    Phase,
    PhoneNumber,
    Report,
    To,
    ToolContext,
    ToolError,
    ask,
    handler,
    it,
    tool,
)
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.settings import read_settings
from voicebot.sim.account import AUTH_TOKEN, STREAM_SECRET, WEBHOOK_SECRET
from voicebot.sim.brain import Calls, Says
from voicebot.sim.crm import CrmAnswer
from voicebot.sim.line import MALFORMED_FRAMES, LineFaults
from voicebot.sim.realtime_quirks import Quirks
from voicebot.sim.realtime_server import API_KEY
from voicebot.sim.scenario import Exchange, Expected, Say, Scenario

OWN_SECRET = "whsec_" + "Y2FuYXJ5IG9mIGEgcmVjZWl2ZXIgb2YgdGhlIGZsb3c="
RECEIVER_TOKEN = "pat-canary-hubspot-token"
SECRETS = (API_KEY, AUTH_TOKEN, WEBHOOK_SECRET, STREAM_SECRET, API_TOKEN, OWN_SECRET, RECEIVER_TOKEN, "canary-query")
CALLER, CALLED, CALL_BACK = "+15557654321", "+15551112223", "+15558889990"
WORDS = (
    *("Zebulon", "Quixworth", "psoriasis", "Kanarienweg", "flamboyant", "hippogriff", "ouroboros"),
    *("marzipan", "zugzwang", "quokka", "xylophone"),
)
PERSONAL = (*WORDS, *(number.removeprefix("+") for number in (CALLER, CALLED, CALL_BACK)))


class Visit(Observations):
    name: str = ask("the caller's full name")
    reason: str = ask("why they are calling")
    phone: PhoneNumber = ask("a number to call back")


@tool
def look_up(name: str, context: ToolContext) -> str:
    """Find the caller's file."""
    context.say("One moment, flamboyant hippogriff.")
    return "the file of Zebulon Quixworth, Kanarienweg 7"


@tool
def breaks(name: str) -> str:
    """Find nothing."""
    raise KeyError(f"{name} has psoriasis, call +15558889990, token {RECEIVER_TOKEN}")


@tool
def refuses(name: str) -> str:
    """Find nothing, and say so."""
    raise ToolError("ouroboros: Zebulon Quixworth is unknown")


@handler()
async def listens(event: CallEvent, call: CallControl) -> None:
    if event.kind == "observation":
        call.note("marzipan for Zebulon Quixworth")
    raise ValueError(f"zugzwang: {event.facts}, {dict(call.observations)}")


FLOW = Flow(
    goal="Find out who is calling and why. The house's word is quokka.",
    persona="You speak like a xylophone.",
    observations=Visit,
    opening="Good morning, practice of Doctor Quixworth.",
    tools_everywhere=[look_up, breaks, refuses],
    handlers=[listens],
    phases=[
        Phase(
            "reception",
            instructions="Find out who is calling, and why. Never say ouroboros.",
            observations=[it.name, it.reason, it.phone],
            transitions=[To("bye")],
        ),
        Phase("bye", instructions="Promise a call back.", end=HangUp()),
    ],
    report=Report(analysis=Analysis("Sum it up, with the hippogriff.")),
)
SHELF = FlowShelf({"visit": load_flow("visit", FLOW)})

NAME = {"name": {"value": "Zebulon Quixworth", "quote": "this is Zebulon Quixworth"}}
INVENTED = {"reason": {"value": "psoriasis", "quote": "the hippogriff has psoriasis"}, "nowhere": {"value": "quokka"}}
REST = {
    "reason": {"value": "psoriasis", "quote": "I have psoriasis"},
    "phone": {"value": CALL_BACK, "quote": f"call me at {CALL_BACK}"},
}
CALL = Scenario(
    "canary",
    "visit",
    (
        Exchange(
            Say("Hello, this is Zebulon Quixworth of Kanarienweg seven."),
            (
                (Calls("record", NAME), Calls("record", '{"name": "zugzwang'), Calls("breaks", {"name": "Zebulon"})),
                (Calls("record", INVENTED), Calls("look_up", {"name": "Zebulon"}), Calls("refuses", {"name": "x"})),
                (Says("Hello Zebulon, what can I do for you, flamboyant caller?"),),
            ),
        ),
        Exchange(
            Say(f"I have psoriasis, call me at {CALL_BACK} please."),
            ((Calls("record", REST),), (Says("Oh dear, psoriasis. We will call Kanarienweg. Goodbye, Zebulon!"),)),
        ),
    ),
    Expected(),
    caller_number=CALLER,
    called_number=CALLED,
)  # fmt: skip
TAINTED = tuple(
    (2000 + 40 * number, frame)
    for number, frame in enumerate(
        [
            '{"event":"media","media":{"payload":"Zebulon Quixworth"}}',
            '{"event":"dtmf","dtmf":{"digit":"psoriasis"}}',
            '{"event":"mark","mark":{"name":{"x":"hippogriff"}}}',
            '{"event":"start","start":{"customParameters":{"token":"Kanarienweg"}}}',
            "Zebulon is not JSON",
            b"Zebulon",
        ]
    )
)
SETTINGS: dict[str, object] = {
    "VOICEBOT_RECEIVER_SECRETS": f"crm={OWN_SECRET},hubspot={RECEIVER_TOKEN}",
    "VOICEBOT_NUMBERS": f"{CALLED}=visit",
}
FORGED = {
    "CallSid": "CA" + "f" * 32,
    "From": CALLER,
    "To": CALLED,
    "CallerName": "Zebulon Quixworth",
    "Body": AUTH_TOKEN,
}
ASKS: Sequence[tuple[str, str, dict[str, str]]] = [
    *(("POST", f"/twilio/{way}", FORGED) for way in ("voice", "after", "status", "stream-status", "passed")),
    ("GET", "/twilio/media", {}),
    ("GET", "/metrics", {}),
    ("GET", "/calls/CA1/report", {}),
    ("GET", "/readyz", {}),
    ("GET", "/nowhere/Zebulon", {}),
    ("POST", "/twilio/voice", {"X": "x" * 70_000}),
]
CALLS: dict[str, dict[str, Any]] = {
    "good": {},
    "malformed frames, then a broken socket": {
        "faults": LineFaults(inject=(*MALFORMED_FRAMES, *TAINTED), drop_socket_at_ms=14_000, request_action=False)
    },
    "no model any more": {"quirks": [Quirks(drop_at_s=14.0), *[Quirks(drop_at_s=0.0)] * 8]},
    "replies fail and the CRM is down": {
        "quirks": Quirks(fail_responses=(2,), transcript="failed", unknown_events=True, error_at_event=9),
        "crm_answers": [CrmAnswer(503, retry_after="1"), CrmAnswer(302, location="http://127.0.0.1:1/quokka")],
        "reports": 3,
    },
}


@pytest.fixture(scope="module", params=CALLS)
def seen(request: pytest.FixtureRequest) -> Observed:
    secrets = read_settings(None, **{**SETTINGS, "VOICEBOT_API_TOKEN": API_TOKEN}).secret_texts
    return observe(CALL, SHELF, secrets=secrets, settings=SETTINGS, asks=ASKS, **CALLS[request.param])


def leaks(text: str) -> list[str]:
    """Canaries in a text, the secrets also without their prefix, and words in any spelling of case."""
    bare = [secret.removeprefix("whsec_").removeprefix("sk-") for secret in SECRETS]
    lower = text.lower()
    return [one for one in (*SECRETS, *bare, *PERSONAL) if one.lower() in lower]


def of_frames(seen: Observed) -> Iterator[str]:
    """The log without the lines of code in tracebacks: those are this file's own, where the canaries stand."""
    for line in seen.log:
        told = [part for part in line.get("traceback", "").splitlines() if not part.startswith("    ")]
        yield json.dumps({**line, "traceback": told}, ensure_ascii=False)


def test_canaries_were_really_in_the_call(seen: Observed) -> None:
    """Else their absence would say nothing."""
    told = b"".join(one.body for one in seen.received).decode()
    assert "Quixworth" in told
    assert CALLER in told
    assert any(line["event"] == "handler_trouble" for line in seen.log)
    assert any(line["event"] == "tool_failed" for line in seen.log)


def test_log_holds_no_canary(seen: Observed) -> None:
    assert {leak for line in of_frames(seen) for leak in leaks(line)} == set()


def test_sentences_of_the_log_need_no_redaction(seen: Observed) -> None:
    assert {leak for line in seen.messages for leak in leaks(line)} == set()


def test_spans_hold_no_canary(seen: Observed) -> None:
    assert seen.spans
    assert leaks("".join(span.to_json() for span in seen.spans)) == []


def test_metrics_hold_no_canary(seen: Observed) -> None:
    assert leaks(seen.metrics) == []
    assert seen.result.call_sid not in seen.metrics


def test_answers_to_strangers_hold_no_canary(seen: Observed) -> None:
    assert len(seen.answers) == len(ASKS)
    assert [answer[:3] for answer in seen.answers] == [*["403"] * 6, "401", "401", "200", "404", "403"]
    assert leaks("".join(seen.answers)) == []
    assert "Traceback" not in "".join(seen.answers)
