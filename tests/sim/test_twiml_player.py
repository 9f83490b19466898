"""TwiML by the table: what is read from a document, and which verb comes next."""

from __future__ import annotations

import pytest
from twilio.twiml.voice_response import Connect as TwilioConnect
from twilio.twiml.voice_response import VoiceResponse

from voicebot.sim.twiml_player import (
    Connect,
    Dial,
    Fetch,
    Hangup,
    Pause,
    Play,
    Record,
    Redirect,
    Reject,
    Say,
    TwimlError,
    TwimlPlayer,
    Unsupported,
    Verb,
    parse_twiml,
)

BASE = "https://agent.example.com/twilio/voice"


def verbs(inner: str, base: str = BASE) -> tuple[Verb, ...]:
    return parse_twiml(f"<Response>{inner}</Response>", base).verbs


@pytest.mark.parametrize(
    ("inner", "verb"),
    [
        ("<Say>Hello  <!-- x -->\n you</Say>", Say("Hello you")),
        ('<Say voice="alice" language="it-IT" loop="2">Ciao <emphasis>bella</emphasis></Say>', Say("Ciao bella", 2)),
        ("<Pause/>", Pause(1)),
        ('<Pause length="3"/>', Pause(3)),
        ("<Play>/jingle.mp3</Play>", Play("https://agent.example.com/jingle.mp3")),
        ('<Play digits="ww12#"/>', Play(digits="ww12#")),
        ("<Redirect>next?a=1&amp;b=2</Redirect>", Redirect("https://agent.example.com/twilio/next?a=1&b=2")),
        ('<Redirect method="get">https://other/x</Redirect>', Redirect("https://other/x", "GET")),
        ("<Hangup/>", Hangup()),
        ("<Reject/>", Reject("rejected")),
        ('<Reject reason="busy"/>', Reject("busy")),
        ("<Dial>+15550199</Dial>", Dial(("+15550199",))),
        (
            '<Dial action="/done" callerId="+1" timeout="25"><Number>+15550199</Number><Sip>sip:a@b</Sip></Dial>',
            Dial(("+15550199", "sip:a@b"), "https://agent.example.com/done", "POST", "+1", 25),
        ),
        ("<Record/>", Record()),
        (
            '<Record action="/left" timeout="3" finishOnKey="#" maxLength="60" playBeep="false"'
            ' recordingStatusCallback="/rec"/>',
            Record("https://agent.example.com/left", "POST", 3, "#", 60, False, "https://agent.example.com/rec"),
        ),
        ("<Gather/>", Unsupported("Gather")),
        ("<Connect><Room>x</Room></Connect>", Unsupported("Connect/Room")),
        ('<Connect><Stream url="wss://h/media"/></Connect>', Connect("wss://h/media")),
        ('<Connect><Stream url="/media/7"/></Connect>', Connect("wss://agent.example.com/media/7")),
        (
            '<Connect action="after" method="POST"><Stream url="wss://h/m" name="main" statusCallback="/cb">'
            '<Parameter name="token" value="a b"/><Parameter name="lang" value=""/></Stream></Connect>',
            Connect(
                "wss://h/m",
                "main",
                (("token", "a b"), ("lang", "")),
                "https://agent.example.com/cb",
                "https://agent.example.com/twilio/after",
            ),
        ),
    ],
)
def test_verb_is_read_as_documented(inner: str, verb: Verb) -> None:
    document = parse_twiml(f"<Response>{inner}</Response>", BASE)
    assert (document.verbs, document.warnings) == ((verb,), ())


def test_document_of_the_vendors_library_is_read() -> None:
    response = VoiceResponse()
    connect = TwilioConnect(action="/after")
    connect.stream(url="wss://h/m").parameter(name="token", value="<&>")
    response.append(connect)
    response.say("Goodbye")
    assert parse_twiml(str(response), BASE).verbs == (
        Connect("wss://h/m", parameters=(("token", "<&>"),), action="https://agent.example.com/after"),
        Say("Goodbye"),
    )


def test_plain_socket_is_for_loopback_alone() -> None:
    assert verbs('<Connect><Stream url="media"/></Connect>', "http://127.0.0.1:80/voice") == (
        Connect("ws://127.0.0.1:80/media"),
    )
    with pytest.raises(TwimlError, match="31923"):
        verbs('<Connect><Stream url="ws://agent.example.com/media"/></Connect>')


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "12100"),
        ("Hello", "12100"),
        ("<Response><Say></Response>", "12100"),
        ("<html/>", "12100"),
        ("<Response><Connect><Stream/></Connect></Response>", "12200"),
        ('<Response><Connect><Stream url="https://h/m"/></Connect></Response>', "31923"),
        ('<Response><Connect><Stream url="wss://h"><Parameter value="x"/></Stream></Connect></Response>', "12200"),
        (
            f'<Response><Connect><Stream url="wss://h"><Parameter name="n" value="{499 * "x"}"/></Stream></Connect>'
            "</Response>",
            "12200",
        ),
        ("<Response><Dial/></Response>", "13221"),
        ('<Response><Pause length="long"/></Response>', "12200"),
    ],
)
def test_unplayable_document_is_an_error_with_the_vendors_code(text: str, code: str) -> None:
    with pytest.raises(TwimlError) as caught:
        parse_twiml(text, BASE)
    assert caught.value.code == code
    assert str(caught.value).startswith(code)


@pytest.mark.parametrize(
    ("inner", "warning"),
    [
        ('<Say speed="2">x</Say>', "<Say> has no attribute 'speed'"),
        ('<Connect><Stream url="wss://h" audioFormat="opus"/></Connect>', "<Stream> has no attribute 'audioFormat'"),
        ("<Say>x</Say><Reject/>", "<Reject> is not the first verb"),
    ],
)
def test_what_the_vendor_would_warn_of_is_told(inner: str, warning: str) -> None:
    assert parse_twiml(f"<Response>{inner}</Response>", BASE).warnings == (warning,)


# ---- what comes next ----------------------------------------------------------------------------------------------

STREAM = '<Connect><Stream url="wss://h/m"/></Connect>'
STREAM_WITH_ACTION = '<Connect action="/after"><Stream url="wss://h/m"/></Connect>'
AFTER = Fetch("https://agent.example.com/after")


@pytest.mark.parametrize(
    ("inner", "order"),
    [
        (STREAM, None),
        (STREAM + "<Say>Bye</Say>", Say("Bye")),
        (STREAM_WITH_ACTION, AFTER),
        (STREAM_WITH_ACTION + "<Say>Bye</Say>", AFTER),
        ('<Connect action="/after" method="GET"><Stream url="wss://h/m"/></Connect>', Fetch(AFTER.url, "GET")),
        ("<Say>a</Say><Say>b</Say>", Say("b")),
        ("<Say>a</Say>", None),
        ("<Redirect>/after</Redirect><Say>b</Say>", AFTER),
        ("<Hangup/><Say>b</Say>", None),
        ("<Reject/><Say>b</Say>", None),
        ("<Dial>+1</Dial><Say>b</Say>", Say("b")),
        ('<Dial action="/after">+1</Dial><Say>b</Say>', Fetch(AFTER.url, "POST", (("DialCallStatus", "busy"),))),
        ("<Gather/><Say>b</Say>", Say("b")),
    ],
)
def test_order_after_a_finished_verb(inner: str, order: object) -> None:
    player = TwimlPlayer()
    first = player.load(parse_twiml(f"<Response>{inner}</Response>", BASE))
    assert player.finished({"DialCallStatus": "busy"} if isinstance(first, Dial) else None) == order


@pytest.mark.parametrize(
    ("inner", "order"), [(STREAM_WITH_ACTION, None), (STREAM_WITH_ACTION + "<Say>b</Say>", Say("b"))]
)
def test_verb_that_never_began_falls_through_to_the_next(inner: str, order: object) -> None:
    player = TwimlPlayer()
    player.load(parse_twiml(f"<Response>{inner}</Response>", BASE))
    assert player.next() == order


def test_new_document_replaces_the_old_one() -> None:
    player = TwimlPlayer()
    player.load(parse_twiml("<Response><Say>a</Say><Say>b</Say></Response>", BASE))
    assert player.load(parse_twiml("<Response><Say>c</Say></Response>", BASE)) == Say("c")
    assert player.finished() is None


def test_empty_document_hangs_up() -> None:
    assert TwimlPlayer().load(parse_twiml("<Response/>", BASE)) is None
