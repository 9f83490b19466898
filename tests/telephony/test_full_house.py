"""What the operator has chosen for callers without a place."""

from __future__ import annotations

import pytest

from voicebot.telephony.full_house import WAIT_S, FullHouse, read_full_house


@pytest.mark.parametrize(
    ("text", "house"),
    [
        ("sentence", FullHouse()),
        ("busy", FullHouse(None, "busy")),
        ("voicemail", FullHouse(None, "voicemail")),
        ("+15550199199", FullHouse(None, "+15550199199")),
        ("queue", FullHouse(WAIT_S)),
        ("queue/90s", FullHouse(90.0)),
        ("queue/3m, voicemail", FullHouse(180.0, "voicemail")),
        ("queue,+15550199199", FullHouse(WAIT_S, "+15550199199")),
        ("queue/30m,sentence", FullHouse(1800.0, "sentence")),
    ],
)
def test_choice_is_read(text: str, house: FullHouse) -> None:
    assert read_full_house(text) == house


@pytest.mark.parametrize(
    "text",
    [
        *("", "Queue", "queue/", "queue/3", "queue/9s", "queue/31m", "queue/3h", "queue,busy", "queue,queue"),
        *("voicemail,queue", "sentence,busy", "15550199", "+0"),
    ],
)
def test_what_is_no_choice_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_full_house(text)
