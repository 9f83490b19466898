"""The numbers in the shipped nginx configuration are those of the server, or leave it the time that it needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from voicebot.server import connections, conversations, twilio_routes
from voicebot.server.api import hearing, tail
from voicebot.server.app import MAX_BODY_BYTES
from voicebot.settings import Settings
from voicebot.sim import carrier
from voicebot.telephony import leg
from voicebot.telephony.twiml import FALLBACK_SENTENCES
from voicebot.web import socket

TEXT = (Path(__file__).parents[2] / "deploy" / "nginx" / "nginx.conf").read_text(encoding="utf-8")
UNITS = {"s": 1.0, "k": 1024.0, "": 1.0}


def number(directive: str, place: str = "") -> float:
    """What a directive says, in seconds or bytes; in a `location`, or before all of them."""
    text = TEXT[TEXT.index(f"location {place} {{") :] if place else TEXT
    found = re.search(rf"^ *{directive} (?:[a-z0-9]+ )?([0-9]+)([sk]?);", text[: text.index("\n        }\n")], re.M)
    assert found is not None, (directive, place)
    return int(found[1]) * UNITS[found[2]]


def test_limits_of_requests_are_those_of_the_server() -> None:
    assert number("client_header_timeout") == connections.FIRST_REQUEST_S
    assert number("client_body_timeout") == twilio_routes.BODY_LIMIT_S
    assert number("client_max_body_size") == MAX_BODY_BYTES
    assert number("client_max_body_size", "@once") == conversations.MAX_CONFIG_BYTES
    assert number("large_client_header_buffers") >= connections.MAX_LINE_BYTES
    assert number("limit_conn", "/") == Settings.model_fields["max_connections_per_address"].default


def test_server_ends_what_is_silent_before_nginx_does() -> None:
    assert number("proxy_read_timeout") > max(connections.ANSWER_LIMIT_S, 2 * tail.HEARTBEAT_S)
    assert number("proxy_read_timeout", "/twilio/media") > 2 * leg.SILENCE_S
    assert number("proxy_read_timeout", "/realtime/") > 2 * socket.PING_AFTER_S


def test_server_ends_what_is_not_taken_before_nginx_does() -> None:
    assert number("send_timeout") > conversations.WRITE_LIMIT_S
    assert number("send_timeout", "/twilio/media") > twilio_routes.WRITE_LIMIT_S
    assert number("proxy_send_timeout", "/twilio/media") > twilio_routes.WRITE_LIMIT_S
    assert number("send_timeout", "/") > max(hearing.WRITE_LIMIT_S, tail.WRITE_LIMIT_S)


@pytest.mark.parametrize("place", ["/twilio/", "~ ^/twilio/(?:voice|after|fallback)$"])
def test_two_instances_have_their_turn_while_twilio_waits(place: str) -> None:
    tries_s = 2 * number("proxy_read_timeout", place) + number("proxy_connect_timeout")
    assert max(twilio_routes.BODY_LIMIT_S, twilio_routes.OVER_LIMIT_S) < number("proxy_read_timeout", place)
    assert tries_s <= carrier.ANSWER_LIMIT_S


def test_sentence_is_that_of_a_full_house() -> None:
    assert f"<Say>{FALLBACK_SENTENCES['en'].goodbye}</Say>" in TEXT
