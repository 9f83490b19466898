"""Signatures of webhooks and handshakes; the vendor's `RequestValidator` is the oracle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from multidict import MultiDict
from twilio.request_validator import RequestValidator
from yarl import URL

from voicebot.errors import RefusedRequestError
from voicebot.telephony.signatures import SignatureChecker

SAMPLES = Path(__file__).parents[1] / "samples" / "twilio_webhooks"
VECTORS = json.loads((SAMPLES / "signature_vectors.json").read_text())
TOKEN = VECTORS["auth_token"]
PUBLIC = "https://example.com"
VOICE = "/twilio/voice"
MEDIA = "/twilio/media"
CALL = json.loads((SAMPLES / "voice_inbound.json").read_text())


def signed(url: str, parameters: Mapping[str, str] | None = None, token: str = TOKEN) -> str:
    signature: str = RequestValidator(token).compute_signature(url, parameters or {})
    return signature


def checker(public_url: str = PUBLIC, *tokens: str) -> SignatureChecker:
    return SignatureChecker(tokens or (TOKEN,), public_url)


def test_vendor_vectors_hold() -> None:
    post, stream, raw = VECTORS["http_post"], VECTORS["websocket"], VECTORS["json_body"]
    checker("https://mycompany.com").check_webhook("/myapp.php?foo=1&bar=2", post["params"], post["X-Twilio-Signature"])
    checker().check_handshake(MEDIA, stream["x-twilio-signature"])
    checker().check_webhook(raw["url"].removeprefix(PUBLIC), {}, raw["X-Twilio-Signature"])


@pytest.mark.parametrize(
    "name",
    [
        "voice_inbound", "voice_inbound_anonymous_forwarded", "voice_outbound_answered", "connect_action",
        "dial_action", "status_completed", "status_no_answer", "stream_started", "stream_error", "amd_async",
        "recording_status",
    ],
)  # fmt: skip
def test_every_kind_of_webhook_holds(name: str) -> None:
    form = json.loads((SAMPLES / f"{name}.json").read_text())
    checker().check_webhook(VOICE, form, signed(PUBLIC + VOICE, form))


@pytest.mark.parametrize(
    ("public_url", "path", "signed_url"),
    [
        ("https://example.com/", VOICE, "https://example.com/twilio/voice"),
        ("https://example.com", VOICE + "?a=1&b=%20", "https://example.com/twilio/voice?a=1&b=%20"),
        ("https://example.com", VOICE, "https://example.com:443/twilio/voice"),
        ("https://example.com:443", VOICE, "https://example.com/twilio/voice"),
        ("https://example.com:8443", VOICE, "https://example.com:8443/twilio/voice"),
        ("https://example.com:8443", VOICE, "https://example.com/twilio/voice"),
        ("http://127.0.0.1:8080", VOICE, "http://127.0.0.1:8080/twilio/voice"),
        ("http://localhost", VOICE, "http://localhost:80/twilio/voice"),
        ("https://[::1]:8443", VOICE, "https://[::1]:8443/twilio/voice"),
        ("https://user:pass@example.com", VOICE, "https://user:pass@example.com/twilio/voice"),
        ("https://user:pass@example.com:8443", VOICE, "https://user:pass@example.com/twilio/voice"),
        ("https://example.com/prefix/", VOICE, "https://example.com/prefix/twilio/voice"),
    ],
)
def test_webhook_holds_in_each_spelling(public_url: str, path: str, signed_url: str) -> None:
    checker(public_url).check_webhook(path, CALL, signed(signed_url, CALL))


@pytest.mark.parametrize(
    ("public_url", "path", "signed_url"),
    [
        ("https://example.com", MEDIA, "wss://example.com/twilio/media"),
        ("https://example.com", MEDIA, "wss://example.com/twilio/media/"),
        ("https://example.com", MEDIA + "/", "wss://example.com/twilio/media"),
        ("https://example.com", MEDIA + "/3", "wss://example.com/twilio/media/3"),
        ("https://example.com", MEDIA, "wss://example.com:443/twilio/media"),
        ("https://example.com", MEDIA, "wss://example.com:443/twilio/media/"),
        ("https://example.com:443", MEDIA, "wss://example.com/twilio/media"),
        ("https://example.com:8443", MEDIA, "wss://example.com:8443/twilio/media"),
        ("http://127.0.0.1:8080", MEDIA, "ws://127.0.0.1:8080/twilio/media"),
        ("https://example.com/prefix", MEDIA, "wss://example.com/prefix/twilio/media"),
    ],
)
def test_handshake_holds_in_each_spelling(public_url: str, path: str, signed_url: str) -> None:
    checker(public_url).check_handshake(path, signed(signed_url))


def test_get_webhook_signs_its_address() -> None:
    path = VOICE + "?CallSid=CA1&From=%2B14155550123"
    checker().check_webhook(path, {}, signed(PUBLIC + path))


@pytest.mark.parametrize(
    "form",
    [
        MultiDict([("Digits", "1"), ("Digits", "2"), ("From", "+1")]),
        MultiDict([("Digits", "2"), ("Digits", "2")]),
        MultiDict([("CallerName", ""), ("ForwardedFrom", "")]),
        MultiDict([("CallerName", "Zoë Ångström"), ("FromCity", "東京 🗼")]),
        MultiDict([("a", "b c&d=e+f%20"), ("A", "upper")]),
        MultiDict(),
    ],
)
def test_unusual_forms_hold(form: MultiDict[str]) -> None:
    checker().check_webhook(VOICE, form, signed(PUBLIC + VOICE, form))
    checker().check_webhook(VOICE, MultiDict(reversed(list(form.items()))), signed(PUBLIC + VOICE, form))


def test_either_token_holds_during_rotation() -> None:
    both = checker(PUBLIC, "new", "old")
    for token in ("new", "old"):
        both.check_webhook(VOICE, CALL, signed(PUBLIC + VOICE, CALL, token))
        both.check_handshake(MEDIA, signed("wss://example.com" + MEDIA, token=token))
    with pytest.raises(RefusedRequestError):
        both.check_webhook(VOICE, CALL, signed(PUBLIC + VOICE, CALL, "older"))


@pytest.mark.parametrize("tokens", [[], [""], [" ", "\t"]])
def test_no_auth_token_refuses_everything(tokens: list[str]) -> None:
    nobody = SignatureChecker(tokens, PUBLIC)
    for token in ("", " "):
        with pytest.raises(RefusedRequestError, match="TWILIO_AUTH_TOKEN"):
            nobody.check_webhook(VOICE, CALL, signed(PUBLIC + VOICE, CALL, token))
        with pytest.raises(RefusedRequestError, match="TWILIO_AUTH_TOKEN"):
            nobody.check_handshake(MEDIA, signed("wss://example.com" + MEDIA, token=token))


GOOD = signed(PUBLIC + VOICE, CALL)
GOOD_STREAM = signed("wss://example.com" + MEDIA)

BAD_SIGNATURES: list[str | None] = [
    None, "", " ", "=", "A" * 28, GOOD[:-1], GOOD + "=", GOOD + "\n", " " + GOOD, GOOD.lower(), GOOD.swapcase(),
    GOOD[::-1], GOOD + "," + GOOD, "\u00e9" * 28, "\ud800" * 28, "\udcff", "\x00" * 28, "A" * 1_000_000, "null", "{}",
    GOOD.replace("=", "%3D"), "sha1=" + GOOD, GOOD.encode().hex(), "\u0661" * 27 + "=",
]  # fmt: skip


@pytest.mark.parametrize("signature", BAD_SIGNATURES, ids=range(len(BAD_SIGNATURES)))
def test_bad_signature_is_refused_not_raised(signature: str | None) -> None:
    with pytest.raises(RefusedRequestError):
        checker().check_webhook(VOICE, CALL, signature)
    with pytest.raises(RefusedRequestError):
        checker().check_handshake(MEDIA, signature)


@pytest.mark.parametrize(
    "signature",
    [
        signed(PUBLIC + VOICE, CALL, "another token"),
        signed(PUBLIC + VOICE),
        signed("http://example.com" + VOICE, CALL),
        signed("https://evil.example" + VOICE, CALL),
        signed("https://example.com:8443" + VOICE, CALL),
        signed("https://example.com.evil.example" + VOICE, CALL),
        signed(PUBLIC + VOICE + "/", CALL),
        signed(PUBLIC + VOICE + "?a=1", CALL),
        signed(PUBLIC + "/twilio/after", CALL),
        signed(PUBLIC + VOICE.upper(), CALL),
        signed(PUBLIC + VOICE, {**CALL, "From": "+14155559999"}),
        signed(PUBLIC + VOICE, {**CALL, "Extra": "field"}),
        signed(PUBLIC + VOICE, {name: value for name, value in CALL.items() if name != "CallSid"}),
        GOOD_STREAM,
    ],
)
def test_signature_of_something_else_is_refused(signature: str) -> None:
    with pytest.raises(RefusedRequestError, match="does not hold"):
        checker().check_webhook(VOICE, CALL, signature)


@pytest.mark.parametrize(
    "signature",
    [
        signed("https://example.com" + MEDIA),
        signed("ws://example.com" + MEDIA),
        signed("wss://evil.example" + MEDIA),
        signed("wss://example.com:80" + MEDIA),
        signed("wss://example.com:8443" + MEDIA),
        signed("wss://example.com" + MEDIA + "/2"),
        signed("wss://example.com" + MEDIA + "?token=abc"),
        signed("wss://example.com" + MEDIA, token="another token"),
        signed("wss://example.com" + MEDIA, {"CallSid": CALL["CallSid"]}),
        GOOD,
    ],
)
def test_handshake_signed_otherwise_is_refused(signature: str) -> None:
    with pytest.raises(RefusedRequestError, match="does not hold"):
        checker().check_handshake(MEDIA, signature)


@pytest.mark.parametrize(
    "path", ["", "twilio/voice", "https://example.com/twilio/voice", "@evil.example/", "*", "/\udcff", "/" + "a" * 5000]
)
def test_odd_request_targets_are_refused(path: str) -> None:
    with pytest.raises(RefusedRequestError):
        checker().check_webhook(path, CALL, GOOD)
    with pytest.raises(RefusedRequestError):
        checker().check_handshake(path, GOOD_STREAM)


@pytest.mark.parametrize(
    "form",
    [
        {"From": b"+1"},
        {"From": None},
        {"From": ["+1"]},
        {"From": "\ud800"},
        {f"Field{number}": "" for number in range(1001)},
    ],
)
def test_forms_twilio_never_sends_are_refused(form: Mapping[str, object]) -> None:
    with pytest.raises(RefusedRequestError):
        checker().check_webhook(VOICE, form, GOOD)


def test_refusal_advises_without_the_expected_value() -> None:
    with pytest.raises(RefusedRequestError, match="VOICEBOT_PUBLIC_URL") as refused:
        checker().check_webhook(VOICE + "?secret=of-the-query", CALL, "A" * 27 + "=")
    assert GOOD not in str(refused.value)
    assert TOKEN not in str(refused.value)
    assert "of-the-query" not in str(refused.value)


@pytest.mark.parametrize(
    "public_url", ["", "example.com", "wss://example.com", "https://", "https://h?x=1", "https://h#x", "https://h:no"]
)
def test_public_url_must_be_an_origin(public_url: str) -> None:
    with pytest.raises(ValueError, match=r"public_url|[Pp]ort"):
        checker(public_url)


async def test_forms_as_aiohttp_reads_them_hold() -> None:
    """The form on the wire, through a real server: repeated names, empty values, other alphabets, a raw path."""
    refused: list[str] = []

    async def voice(request: web.Request) -> web.Response:
        try:
            checker().check_webhook(request.raw_path, await request.post(), request.headers.get("X-Twilio-Signature"))
        except RefusedRequestError as exc:
            refused.append(str(exc))
            return web.Response(status=403)
        return web.Response()

    app = web.Application()
    app.router.add_post(VOICE, voice)
    form = MultiDict([("Digits", "1"), ("Digits", "2"), ("CallerName", ""), ("FromCity", "Zürich")])
    path = VOICE + "?flow=a%2Fb&x"
    signature = signed(PUBLIC + path, form)
    async with TestClient(TestServer(app)) as client:
        for headers, status in (
            ({"X-Twilio-Signature": signature}, 200),
            ({}, 403),
            ({"X-Twilio-Signature": "é"}, 403),
        ):
            answer = await client.post(URL(path, encoded=True), data=form, headers={**headers, "Host": "evil.example"})
            assert answer.status == status
    assert len(refused) == 2
