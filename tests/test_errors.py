"""The tree of errors: drawn as it is, one sentence each, with the facts a caller decides by."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from voicebot import errors
from voicebot.errors import (
    CallTakenError,
    DeliveryError,
    FlowError,
    FunctionFailedError,
    JournalError,
    LegLostError,
    MediaStreamError,
    ModelUnavailableError,
    OutboundRefusedError,
    ProjectError,
    RealtimeEventError,
    RealtimeMessageError,
    RecordingError,
    RefusedRequestError,
    RemoteProtocolError,
    ScenarioError,
    SettingsError,
    StoreError,
    ToolError,
    TwilioError,
    UnknownFlowError,
    VaultError,
    VoicebotError,
)


def drawn() -> dict[str, str]:
    """Each class of the drawing with the one it hangs from."""
    above: list[str] = ["VoicebotError"]
    found = {}
    for line in (inspect.getdoc(errors) or "").splitlines():
        if branch := re.match(r"((?:│   |    )*)[├└]── (\w+)", line):
            depth = len(branch[1]) // 4 + 1
            found[branch[2]] = above[depth - 1]
            above[depth:] = [branch[2]]
    return found


def test_drawing_shows_every_error_where_it_is() -> None:
    classes = {
        name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)
    }
    assert drawn() == {name: kind.__base__.__name__ for name, kind in classes.items() if kind is not VoicebotError}


SENTENCES: list[tuple[VoicebotError, str]] = [
    (
        SettingsError("VOICEBOT_CODEC", "is 'mp3'", "Write pcm or pcmu."),
        "VOICEBOT_CODEC: is 'mp3'. Write pcm or pcmu.",
    ),
    (FlowError("the flow has no phases"), "the flow has no phases"),
    (RecordingError("recording CA1-1 is not here"), "recording CA1-1 is not here"),
    (OutboundRefusedError("rate", "too many calls a minute"), "too many calls a minute"),
    (FlowError("it is wrong", where="a.py:3"), "a.py:3: it is wrong"),
    (FlowError("it is wrong", mend="mend it"), "it is wrong (mend it)"),
    (FlowError("it is wrong", where="a.py:3", mend="mend it"), "a.py:3: it is wrong (mend it)"),
    (UnknownFlowError("x", ["a", "b"]), "no flow is named 'x' (loaded flows: a, b)"),
    (CallTakenError("CA1"), "call CA1 is in other hands, or over"),
    (JournalError("a journal entry is damaged"), "a journal entry is damaged"),
    (
        VaultError("CA1", "card"),
        "'card' of CA1 does not open: is VOICEBOT_SECRET the one that it was sealed with?",
    ),
    (TwilioError("answered 429", status=429, code=20429), "Twilio: answered 429"),
    (UnknownFlowError("x", []), "no flow is named 'x' (loaded flows: none)"),
    (FunctionFailedError("is_far failed (KeyError)"), "is_far failed (KeyError)"),
    (ToolError("the kitchen is closed"), "the kitchen is closed"),
    (RefusedRequestError("the signature does not hold"), "the signature does not hold"),
    (MediaStreamError("message is not valid JSON"), "message is not valid JSON"),
    (RealtimeEventError("message is not valid JSON"), "message is not valid JSON"),
    (RealtimeMessageError("audio is not base64"), "audio is not base64"),
    (ModelUnavailableError("the model's server answered 401", retryable=False), "the model's server answered 401"),
    (LegLostError("the socket is closed"), "the socket is closed"),
    (StoreError("the disk is full"), "the disk is full"),
    (DeliveryError("https://crm.example", "answered 503", status=503), "https://crm.example: answered 503"),
    (ProjectError("new is not empty", "name another folder"), "new is not empty (name another folder)"),
    (ScenarioError("the goal was not reached"), "the goal was not reached"),
]


@pytest.mark.parametrize(("error", "sentence"), SENTENCES, ids=[type(error).__name__ for error, _ in SENTENCES])
def test_error_reads_as_one_sentence(error: VoicebotError, sentence: str) -> None:
    assert str(error) == sentence


def test_every_error_has_its_sentence_here() -> None:
    assert {type(error).__name__ for error, _ in SENTENCES} == set(drawn()) - {RemoteProtocolError.__name__}


def test_facts_are_attributes() -> None:
    wrong = SettingsError("VOICEBOT_CODEC", "is 'mp3'", "Write pcm or pcmu.")
    assert (wrong.variable, wrong.problem, wrong.mend) == ("VOICEBOT_CODEC", "is 'mp3'", "Write pcm or pcmu.")
    flow = FlowError("it is wrong", where="a.py:3", mend="mend it")
    assert (flow.problem, flow.where, flow.mend) == ("it is wrong", "a.py:3", "mend it")
    unknown = UnknownFlowError("x", ["a"])
    assert (unknown.name, unknown.known) == ("x", ("a",))
    model = ModelUnavailableError("no quota", retryable=False)
    assert (model.reason, model.retryable) == ("no quota", False)
    delivery = DeliveryError("https://crm.example", "answered 429", status=429, retry_after_s=30)
    assert (delivery.url, delivery.reason, delivery.status) == ("https://crm.example", "answered 429", 429)
    assert delivery.retry_after_s == 30


@pytest.mark.parametrize(("status", "disable"), [(None, False), (404, False), (410, True), (500, False)])
def test_receiver_that_is_gone_is_disabled(status: int | None, disable: bool) -> None:
    assert DeliveryError("https://crm.example", "no", status=status).disable is disable


@pytest.mark.parametrize(
    "error",
    [
        FlowError("it is wrong", where="f.py:3", mend="mend it"),
        UnknownFlowError("a", ["b"]),
        SettingsError("A_VARIABLE", "is wrong", "Mend it."),
        ModelUnavailableError("gone", retryable=True),
        DeliveryError("https://crm.example", "answered 410", status=410),
        StoreError("closed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_passes_between_processes_whole(error: VoicebotError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own, from one line above
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
