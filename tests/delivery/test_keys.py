"""The secrets of receivers: found by name, missed by name, and never shown."""

from __future__ import annotations

import pytest

from voicebot.delivery.keys import Keyring
from voicebot.errors import SettingsError
from voicebot.flow import Flow, Phase, Receiver, Report

KEYS = Keyring(["whsec_default"], {"crm": ["whsec_new", "whsec_old"], "hubspot": ["pat-1", "pat-2"]})


def flow(*receivers: Receiver) -> Flow:
    return Flow(goal="g", phases=[Phase("a")], report=Report(receivers=receivers))


def receiver(*, secret: str = "", bearer: str = "") -> Receiver:
    return Receiver("desk", url="https://desk.example", secret=secret, bearer=bearer)


def test_secrets_sign_newest_first() -> None:
    assert KEYS.signing("") == ("whsec_default",)
    assert KEYS.signing("crm") == ["whsec_new", "whsec_old"]
    assert KEYS.signing("hubspot") == KEYS.signing("gone") == []


def test_newest_token_is_sent() -> None:
    assert (KEYS.bearer("hubspot"), KEYS.bearer("gone"), KEYS.bearer("")) == ("pat-1", None, None)


def test_nothing_of_it_shows() -> None:
    assert "whsec" not in repr(KEYS) and "pat-" not in str(KEYS)


def test_complete_flow_is_accepted() -> None:
    KEYS.require([("visit", flow(receiver(), receiver(secret="crm", bearer="hubspot")))])
    Keyring([]).require([("visit", flow())])
    Keyring([], {"crm": ["whsec_x"]}).require([("visit", flow(receiver(secret="crm")))])


@pytest.mark.parametrize(
    ("keys", "asked", "variable", "words"),
    [
        (KEYS, receiver(secret="gone"), "VOICEBOT_RECEIVER_SECRETS", "has no 'gone', which should be the secret of"),
        (KEYS, receiver(secret="hubspot"), "VOICEBOT_RECEIVER_SECRETS", "has no whsec_… as 'hubspot'"),
        (KEYS, receiver(bearer="gone"), "VOICEBOT_RECEIVER_SECRETS", "has no 'gone', which should be the bearer token"),
        (Keyring([]), receiver(), "VOICEBOT_WEBHOOK_SECRET", "is not set"),
    ],
)
def test_missing_key_names_flow_and_receiver(keys: Keyring, asked: Receiver, variable: str, words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        keys.require([("fine", flow()), ("visit", flow(asked))])
    assert refused.value.variable == variable
    assert words in refused.value.problem
    assert "flow 'visit', receiver 'desk'" in refused.value.problem
