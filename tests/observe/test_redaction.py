"""What is blotted out of a text, and what is left alone."""

from __future__ import annotations

import pytest

from voicebot.observe.redaction import BLOT, Redactor


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Authorization: Bearer abcdef.ghi-jkl", f"Authorization: {BLOT}"),
        ("authorization: basic QUxBRERJTjpPUEVOU0VTQU1F", f"authorization: {BLOT}"),
        ("the key sk-proj-Ab12_x is wrong", f"the key {BLOT} is wrong"),
        ("signed with whsec_MTIzNDU2Nzg5+/=", f"signed with {BLOT}"),
        ("token eyJhbGciOi.eyJzdWIiOi.c2ln", f"token {BLOT}"),
        ("redis://user:pa55@host/0", f"redis://{BLOT}@host/0"),
        ("call +15550123456 now", f"call {BLOT} now"),
        ("From=%2B15550123456&To=x", f"From={BLOT}&To=x"),
        ("(+39 06 1234 5678)", f"({BLOT})"),
    ],
)
def test_what_looks_secret_is_blotted_out(text: str, left: str) -> None:
    assert Redactor()(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "listening on http://127.0.0.1:8080, known to Twilio as https://voice.example.com",
        "CA0123456789abcdef0123456789abcdef is in other hands, or over",
        "delivery msg_01HZX, attempt 3: answered 503; next attempt at 2026-11-30 12:00:00+00:00",
        "a bearer of good news; a basic flow; 1+1234567 tasks-and-skills",
        "worker 1 is process 15550123456",
    ],
)
def test_ordinary_lines_stay_as_they_are(text: str) -> None:
    assert Redactor(["", "abc"])(text) == text


@pytest.mark.parametrize("secret", ["plain-secret", 'with "quotes" & spaces', "ünïcode-geheim", "a/b+c=d\\e", "it's"])
def test_known_secret_is_found_however_it_is_spelt(secret: str) -> None:
    from json import dumps
    from urllib.parse import quote, quote_plus

    redact = Redactor([secret, secret[:4]])
    for spelt in (secret, quote(secret, safe=""), dumps(secret), dumps(secret, ensure_ascii=False), repr(secret)):
        assert BLOT in redact(f"before {spelt} after")
        assert secret not in redact(f"before {spelt} after")
    assert secret not in redact(quote_plus(secret))


def test_longer_secret_leaves_no_rest() -> None:
    assert Redactor(["secret", "secret-and-more"])("x secret-and-more y") == f"x {BLOT} y"
