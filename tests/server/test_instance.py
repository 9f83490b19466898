"""Names of instances in addresses."""

from __future__ import annotations

from tests.fakes import CALL_SID
from voicebot.server.instance import meant_for, name_of, new_owner

AFTER = "https://voice.example.com/twilio/after"


def test_owner_keeps_the_name_it_was_given() -> None:
    assert [name_of(new_owner(name)) for name in ("voicebot-1", "a", "")] == ["voicebot-1", "a", ""]
    assert new_owner("a") != new_owner("a")


def test_address_names_an_instance_for_a_call_always_the_same() -> None:
    owners = {"voicebot-2-0a1b2c", "voicebot-1-d4e5f6"}
    named = {meant_for(AFTER, owners, f"CA{number:032x}") for number in range(10)}
    assert named == {f"{AFTER}?at=voicebot-1", f"{AFTER}?at=voicebot-2"}
    assert meant_for(AFTER, owners, CALL_SID) == meant_for(AFTER, sorted(owners), CALL_SID)


def test_address_stays_as_it_is_where_nobody_has_a_name() -> None:
    assert meant_for(AFTER, {"-0a1b2c"}, CALL_SID) == meant_for(AFTER, (), CALL_SID) == AFTER
    assert meant_for(f"{AFTER}?asked=1", {"-0a1b2c", "b-d4e5f6"}, CALL_SID) == f"{AFTER}?asked=1&at=b"
