"""TwiML: what the documents say, by an XML parser and beside the vendor's own chain of calls."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.twiml.voice_response import VoiceResponse

from voicebot.telephony import twiml

STREAM = "wss://voice.example.com/twilio/media/3"
STATUS = "https://voice.example.com/twilio/recorded?way=1"
ACTION = "https://voice.example.com/twilio/after?flow=a&attempt=1"
HOSTILE = [
    '"/><Dial>+15550100</Dial><x a="',
    "<Say>owned</Say>",
    "&amp;&lt;",
    "]]>",
    "<!--",
    "'\"",
    "\u202e",
    "a\nb\tc",
]
LANGUAGES = ["en", "it", "de", "fr", "es", "pt"]


def test_connect_stream_says_what_the_vendor_would_write() -> None:
    expected = VoiceResponse()
    connect = expected.connect(action=ACTION, method="POST")
    stream = connect.stream(
        url=STREAM, status_callback="https://voice.example.com/twilio/stream", status_callback_method="POST"
    )
    stream.parameter(name="token", value="abc")
    stream.parameter(name="direction", value="inbound")
    expected.redirect(ACTION, method="POST")
    assert twiml.connect_stream(
        stream_url=STREAM,
        action_url=ACTION,
        token="abc",
        status_url="https://voice.example.com/twilio/stream",
        parameters={"direction": "inbound"},
    ) == str(expected)


def test_connect_stream_needs_no_status_callback() -> None:
    document = ET.fromstring(twiml.connect_stream(stream_url=STREAM, action_url=ACTION, token="abc"))
    connect = document[0]
    assert (document.tag, connect.tag, connect.attrib) == ("Response", "Connect", {"action": ACTION, "method": "POST"})
    assert [(verb.tag, verb.attrib) for verb in connect] == [("Stream", {"url": STREAM})]
    assert [(one.tag, one.attrib) for one in connect[0]] == [("Parameter", {"name": "token", "value": "abc"})]


def test_same_arguments_give_same_document() -> None:
    documents = {twiml.connect_stream(stream_url=STREAM, action_url=ACTION, token="abc") for _ in range(3)}
    assert len(documents) == 1


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_stay_values(value: str) -> None:
    text = twiml.connect_stream(stream_url=STREAM, action_url=ACTION, token="t", parameters={"name": value, value: "v"})
    stream = ET.fromstring(text)[0][0]
    assert [(one.get("name"), one.get("value")) for one in stream] == [("token", "t"), ("name", value), (value, "v")]
    spoken = ET.fromstring(twiml.say_and_hang_up(value, "en"))
    assert [(verb.tag, len(verb)) for verb in spoken] == [("Say", 0), ("Hangup", 0)]
    assert spoken[0].text == value


@given(st.text())
def test_any_text_makes_well_formed_xml(text: str) -> None:
    spoken = ET.fromstring(twiml.say_and_hang_up(text, text))
    assert [verb.tag for verb in spoken] == ["Say", "Hangup"]
    assert spoken[0].get("language") == "en-US" or text[:2].isascii()
    assert ET.fromstring(twiml.redirect(text))[0].tag == "Redirect"


def test_characters_xml_cannot_hold_are_left_out() -> None:
    assert ET.fromstring(twiml.say_and_hang_up("a\x00b\x0bc\ud800d\ufffee", "en"))[0].text == "abcde"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"stream_url": STREAM + "?token=abc"}, "query"),
        ({"parameters": {"token": "other"}}, "taken"),
        ({"parameters": {"name": "v" * 496}}, "too long"),
        ({"token": "t" * 495}, "too long"),
    ],
)
def test_what_twilio_would_refuse_is_refused(arguments: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        twiml.connect_stream(**{"stream_url": STREAM, "action_url": ACTION, "token": "abc", **arguments})  # type: ignore[arg-type]


def test_longest_parameter_is_taken() -> None:
    text = twiml.connect_stream(stream_url=STREAM, action_url=ACTION, token="abc", parameters={"name": "v" * 495})
    assert len(ET.fromstring(text)[0][0][1].get("value", "")) == 495


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (twiml.hang_up(), "<Response><Hangup /></Response>"),
        (twiml.reject_busy(), '<Response><Reject reason="busy" /></Response>'),
        (
            twiml.redirect("https://h/a?b=1&c=2"),
            '<Response><Redirect method="POST">https://h/a?b=1&amp;c=2</Redirect></Response>',
        ),
        (
            twiml.say_and_hang_up("Ciao", "it-IT"),
            '<Response><Say language="it-IT">Ciao</Say><Hangup /></Response>',
        ),
    ],
)
def test_small_documents_are_exact(written: str, expected: str) -> None:
    assert written == '<?xml version="1.0" encoding="UTF-8"?>' + expected


@pytest.mark.parametrize(
    ("language", "locale"),
    [
        ("en", "en-US"), ("en-GB", "en-GB"), ("EN_gb", "en-GB"), ("en-NZ", "en-US"), ("it", "it-IT"),
        ("it-CH", "it-IT"),
        ("de-AT", "de-DE"), ("fr-CA", "fr-CA"), ("es-AR", "es-ES"), ("pt-BR", "pt-BR"), ("tlh", "en-US"), ("", "en-US"),
    ],
)  # fmt: skip
def test_spoken_language_is_one_the_line_knows(language: str, locale: str) -> None:
    assert ET.fromstring(twiml.say_and_hang_up("x", language))[0].get("language") == locale


def test_every_language_has_its_own_sentences() -> None:
    assert sorted(twiml.FALLBACK_SENTENCES) == sorted(LANGUAGES)
    assert len({sentences.trouble for sentences in twiml.FALLBACK_SENTENCES.values()}) == len(LANGUAGES)
    for name in ("goodbye", "transfer", "voicemail", "received"):
        assert len({getattr(sentences, name) for sentences in twiml.FALLBACK_SENTENCES.values()}) == len(LANGUAGES)


@pytest.mark.parametrize(
    ("language", "spoken"),
    [("it-IT", "it"), ("DE", "de"), ("es-419", "es"), ("fr_CA", "fr"), ("pt-BR", "pt"), ("ja-JP", "en"), ("", "en")],
)
def test_fallback_follows_the_language(language: str, spoken: str) -> None:
    assert twiml.fallback_sentences(language) == twiml.FALLBACK_SENTENCES[spoken]
    for text, sentence in (
        (twiml.say_trouble(language), twiml.FALLBACK_SENTENCES[spoken].trouble),
        (twiml.say_goodbye(language), twiml.FALLBACK_SENTENCES[spoken].goodbye),
        (twiml.say_received(language), twiml.FALLBACK_SENTENCES[spoken].received),
        (_rings(language), twiml.FALLBACK_SENTENCES[spoken].transfer),
        (_records(language), twiml.FALLBACK_SENTENCES[spoken].voicemail),
    ):
        say = ET.fromstring(text)[0]
        assert say.text == sentence
        assert say.get("language", "").startswith(spoken)


def _rings(language: str = "en", number: str = "+15550199", caller_id: str | None = "+15550123") -> str:
    return twiml.ring(number, language=language, action_url=ACTION, ring_s=20.0, talk_s=3600.0, caller_id=caller_id)


def _records(language: str = "en") -> str:
    return twiml.record_message(language=language, action_url=ACTION, status_url=STATUS, longest_s=120.0)


def test_ring_says_what_the_vendor_would_write() -> None:
    expected = VoiceResponse()
    expected.say(twiml.FALLBACK_SENTENCES["en"].transfer, language="en-US")
    dial = expected.dial(action=ACTION, method="POST", timeout=20, time_limit=3600, caller_id="+15550123")
    dial.number("+15550199")
    assert _rings() == str(expected)


def test_ring_may_leave_the_shown_number_to_the_vendor() -> None:
    dial = ET.fromstring(_rings(caller_id=None)).find("Dial")
    assert dial is not None and "callerId" not in dial.attrib


@pytest.mark.parametrize("number", HOSTILE)
def test_number_to_ring_stays_text(number: str) -> None:
    assert [verb.tag for verb in ET.fromstring(_rings(number=number))] == ["Say", "Dial"]
    assert ET.fromstring(_rings(number=number)).findtext("Dial/Number") == number


def test_message_that_nobody_leaves_leads_on() -> None:
    say, record, redirect = ET.fromstring(_records())
    assert (say.tag, record.tag, redirect.tag) == ("Say", "Record", "Redirect")
    assert record.attrib["action"] == redirect.text == ACTION
    assert (record.attrib["maxLength"], redirect.attrib["method"]) == ("120", "POST")
    assert record.attrib["recordingStatusCallback"] == STATUS


@pytest.mark.parametrize("language", ["it", "xx"])
@pytest.mark.parametrize(("first", "word"), [(True, "waiting"), (False, "still_waiting")])
def test_waiting_is_words_silence_and_asking_again(language: str, first: bool, word: str) -> None:
    say, pause, redirect = ET.fromstring(twiml.wait(ACTION, language=language, wait_s=10.0, first=first))
    assert say.text == getattr(twiml.fallback_sentences(language), word)
    assert (pause.tag, pause.get("length"), redirect.text, redirect.get("method")) == ("Pause", "10", ACTION, "POST")


def test_authors_words_are_spoken_in_the_flows_language() -> None:
    for text in (
        twiml.say_closed("pt", "Fechado."),
        twiml.record_message(language="pt", action_url=ACTION, status_url=STATUS, longest_s=5.0, words="Fechado."),
    ):
        say = ET.fromstring(text)[0]
        assert (say.text, say.get("language")) == ("Fechado.", "pt-PT")
    assert ET.fromstring(twiml.say_closed("sv"))[0].text == twiml.FALLBACK_SENTENCES["en"].closed
