"""The TwiML answers of the phone line, written by the vendor's own classes (TwiML Voice docs).

Every function returns a whole document, to be sent as `text/xml`. Values are escaped by the vendor's classes;
characters that XML cannot hold are left out. `twilio` is imported inside the functions because it is slow to import.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twilio.twiml.voice_response import VoiceResponse

TOKEN_PARAMETER = "token"

MESSAGE_PAUSE_S = 5  # of silence, that end a recorded message

_PAIR_LIMIT = 500  # characters of a <Parameter>'s name and value together, exclusive
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2 (Char)
_NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class FallbackSentences:
    """What the phone line itself says when the voice agent cannot."""

    trouble: str  # something failed and the call ends
    goodbye: str  # the line is well, but cannot serve this call now
    transfer: str  # somebody is rung for the caller
    voicemail: str  # the caller may leave a message
    received: str  # the message was taken
    waiting: str  # there is no place yet, and the caller may wait for one
    still_waiting: str  # there is none yet
    closed: str  # nobody takes calls at this time


FALLBACK_SENTENCES: Mapping[str, FallbackSentences] = MappingProxyType(
    {
        "en": FallbackSentences(
            trouble="We are sorry, we are having a technical problem. Please call again in a few minutes.",
            goodbye="We cannot take your call right now. Please try again later. Goodbye.",
            transfer="One moment, please. We are connecting you.",
            voicemail="Nobody can take your call right now. Please leave a message after the tone.",
            received="Thank you for your message. Goodbye.",
            waiting="All our lines are busy at the moment. Please stay on the line.",
            still_waiting="All our lines are still busy. Thank you for waiting.",
            closed="You are calling outside our opening hours. Please call again when we are open. Goodbye.",
        ),
        "it": FallbackSentences(
            trouble="Ci scusiamo, abbiamo un problema tecnico. La preghiamo di richiamare tra qualche minuto.",
            goodbye="In questo momento non possiamo rispondere. La preghiamo di riprovare più tardi. Arrivederci.",
            transfer="Un momento, per favore. La mettiamo in contatto con qualcuno.",
            voicemail="In questo momento nessuno può rispondere. Lasci un messaggio dopo il segnale acustico.",
            received="Grazie per il suo messaggio. Arrivederci.",
            waiting="In questo momento tutte le linee sono occupate. La preghiamo di restare in linea.",
            still_waiting="Tutte le linee sono ancora occupate. Grazie per l'attesa.",
            closed="Sta chiamando fuori dall'orario di apertura. La preghiamo di richiamare quando siamo aperti. "
            "Arrivederci.",
        ),
        "de": FallbackSentences(
            trouble="Es tut uns leid, wir haben ein technisches Problem. Bitte rufen Sie in einigen Minuten wieder an.",
            goodbye="Wir können Ihren Anruf gerade nicht annehmen. Bitte versuchen Sie es später noch einmal. "
            "Auf Wiederhören.",
            transfer="Einen Moment, bitte. Wir verbinden Sie.",
            voicemail="Im Moment ist niemand erreichbar. Bitte hinterlassen Sie nach dem Ton eine Nachricht.",
            received="Vielen Dank für Ihre Nachricht. Auf Wiederhören.",
            waiting="Im Moment sind alle Leitungen besetzt. Bitte bleiben Sie am Apparat.",
            still_waiting="Es sind noch alle Leitungen besetzt. Danke, dass Sie warten.",
            closed="Sie rufen außerhalb unserer Öffnungszeiten an. Bitte rufen Sie wieder an, wenn wir geöffnet haben. "
            "Auf Wiederhören.",
        ),
        "fr": FallbackSentences(
            trouble="Nous sommes désolés, nous avons un problème technique. Veuillez rappeler dans quelques minutes.",
            goodbye="Nous ne pouvons pas prendre votre appel pour le moment. Veuillez réessayer plus tard. Au revoir.",
            transfer="Un instant, s'il vous plaît. Nous vous mettons en relation.",
            voicemail="Personne ne peut prendre votre appel pour le moment. Veuillez laisser un message après le bip.",
            received="Merci pour votre message. Au revoir.",
            waiting="Toutes nos lignes sont occupées. Veuillez rester en ligne.",
            still_waiting="Toutes nos lignes sont encore occupées. Merci de patienter.",
            closed="Vous appelez en dehors de nos heures d'ouverture. Veuillez rappeler quand nous sommes ouverts. "
            "Au revoir.",
        ),
        "es": FallbackSentences(
            trouble="Lo sentimos, tenemos un problema técnico. Por favor, vuelva a llamar dentro de unos minutos.",
            goodbye="Ahora mismo no podemos atender su llamada. Por favor, inténtelo más tarde. Adiós.",
            transfer="Un momento, por favor. Le ponemos en contacto con alguien.",
            voicemail="Ahora mismo nadie puede atender su llamada. Por favor, deje un mensaje después de la señal.",
            received="Gracias por su mensaje. Adiós.",
            waiting="Todas nuestras líneas están ocupadas. Por favor, no cuelgue.",
            still_waiting="Todas las líneas siguen ocupadas. Gracias por esperar.",
            closed="Llama fuera de nuestro horario de atención. Por favor, vuelva a llamar cuando estemos abiertos. "
            "Adiós.",
        ),
        "pt": FallbackSentences(
            trouble="Lamentamos, temos um problema técnico. Por favor, volte a ligar dentro de alguns minutos.",
            goodbye="Neste momento não podemos atender a sua chamada. Por favor, tente mais tarde. Até à próxima.",
            transfer="Um momento, por favor. Vamos pô-lo em contacto com alguém.",
            voicemail="Neste momento ninguém pode atender a sua chamada. Por favor, deixe mensagem depois do sinal.",
            received="Obrigado pela sua mensagem. Até à próxima.",
            waiting="Neste momento todas as linhas estão ocupadas. Por favor, não desligue.",
            still_waiting="Todas as linhas continuam ocupadas. Obrigado por esperar.",
            closed="Está a ligar fora do nosso horário de atendimento. Por favor, volte a ligar quando estivermos "
            "abertos. Até à próxima.",
        ),
    }
)

# The locales that <Say> documents, by language; the first stands for the language alone or for an unlisted region.
_SAY_LOCALES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ca": ("ca-ES",),
        "da": ("da-DK",),
        "de": ("de-DE",),
        "en": ("en-US", "en-AU", "en-CA", "en-GB", "en-IN"),
        "es": ("es-ES", "es-MX"),
        "fi": ("fi-FI",),
        "fr": ("fr-FR", "fr-CA"),
        "it": ("it-IT",),
        "ja": ("ja-JP",),
        "ko": ("ko-KR",),
        "nb": ("nb-NO",),
        "nl": ("nl-NL",),
        "pl": ("pl-PL",),
        "pt": ("pt-PT", "pt-BR"),
        "ru": ("ru-RU",),
        "sv": ("sv-SE",),
        "zh": ("zh-CN", "zh-HK", "zh-TW"),
    }
)


def fallback_language(language: str) -> str:
    """The language the fallback sentences can be said in for a BCP-47 tag: one of `FALLBACK_SENTENCES`, else `en`."""
    prefix = _prefix(language)
    return prefix if prefix in FALLBACK_SENTENCES else "en"


def fallback_sentences(language: str) -> FallbackSentences:
    """The fallback sentences for a BCP-47 tag, in English when the language has none."""
    return FALLBACK_SENTENCES[fallback_language(language)]


def connect_stream(
    *,
    stream_url: str,
    action_url: str,
    token: str,
    status_url: str | None = None,
    parameters: Mapping[str, str] = _NO_PARAMETERS,
) -> str:
    """Join the call to a bidirectional stream, and ask `action_url` what comes next when it ends.

    A `<Redirect>` to the same address follows: it is out of reach while Twilio honours the action, and keeps the
    caller from being cut off where a handshake that fails makes Twilio go on to the next verb instead.

    Args:
        stream_url: `wss://` without a query, which Twilio does not support.
        action_url: absolute address, called by POST.
        token: comes back in `start` as the parameter `token`.
        status_url: absolute address of the stream's status callbacks, called by POST.
        parameters: come back in `start` too; name and value together stay below 500 characters.

    Raises:
        ValueError: the stream's address has a query, or a parameter is too long or named `token`.
    """
    from twilio.twiml.voice_response import Connect, Stream, VoiceResponse

    if "?" in stream_url:
        raise ValueError("the address of a <Stream> must not have a query; use parameters")
    if TOKEN_PARAMETER in parameters:
        raise ValueError(f"the parameter {TOKEN_PARAMETER!r} is taken by the stream token")
    stream = Stream(
        url=_clean(stream_url),
        status_callback=_clean(status_url) if status_url else None,
        status_callback_method="POST" if status_url else None,
    )
    for name, value in {TOKEN_PARAMETER: token, **parameters}.items():
        if len(name) + len(value) >= _PAIR_LIMIT:
            raise ValueError(f"the parameter {name[:40]!r} is too long: name and value must stay below {_PAIR_LIMIT}")
        stream.parameter(name=_clean(name), value=_clean(value))
    connect = Connect(action=_clean(action_url), method="POST")
    connect.append(stream)
    response = VoiceResponse()
    response.append(connect)
    response.redirect(_clean(action_url), method="POST")
    return str(response)


def say_and_hang_up(text: str, language: str) -> str:
    """Let the phone line speak `text` itself, then end the call; `language` is a BCP-47 tag."""
    from twilio.twiml.voice_response import VoiceResponse

    response = VoiceResponse()
    response.say(_clean(text), language=_say_locale(language))
    response.hangup()
    return str(response)


def say_trouble(language: str) -> str:
    """Apologise for a technical problem in the caller's language, or in English, and end the call."""
    return say_and_hang_up(fallback_sentences(language).trouble, fallback_language(language))


def say_closed(language: str, words: str = "") -> str:
    """Say `words` in `language`, or a sentence as above, to somebody who calls at the wrong time, and end the call."""
    if words:
        return say_and_hang_up(words, language)
    return say_and_hang_up(fallback_sentences(language).closed, fallback_language(language))


def say_goodbye(language: str) -> str:
    """Ask the caller to try later, in their language or in English, and end the call."""
    return say_and_hang_up(fallback_sentences(language).goodbye, fallback_language(language))


def say_received(language: str) -> str:
    """Thank for the message in the caller's language, or in English, and end the call."""
    return say_and_hang_up(fallback_sentences(language).received, fallback_language(language))


def ring(
    address: str,
    *,
    language: str,
    action_url: str,
    ring_s: float,
    talk_s: float,
    caller_id: str | None,
    announced: bool = False,
    whisper_url: str | None = None,
    words: str = "",
) -> str:
    """Ring a number or a SIP address, and join the caller to whoever answers.

    The caller is told first in their language, or in English, that they are connected, unless that was `announced`;
    then they hear it ring until the two are joined. `words`, in `language`, are said instead.

    Args:
        address: E.164, or `sip:…`.
        action_url: absolute address, asked what comes next by POST, whether anybody answered or not.
        ring_s: how long it rings.
        talk_s: the longest talk.
        caller_id: the number that is shown to whoever is rung; None for the vendor's choice.
        whisper_url: absolute address of what is said to whoever answers before the two are joined, asked by POST.
    """
    from twilio.twiml.voice_response import VoiceResponse

    response = VoiceResponse() if announced else _announcing(words, fallback_sentences(language).transfer, language)
    dial = response.dial(
        action=_clean(action_url),
        method="POST",
        timeout=round(ring_s),
        time_limit=round(talk_s),
        caller_id=_clean(caller_id) if caller_id else None,
        answer_on_bridge=True if announced else None,
    )
    whispered = {"url": _clean(whisper_url), "method": "POST"} if whisper_url else {}
    if address.startswith(("sip:", "sips:")):
        dial.sip(_clean(address), **whispered)
    else:
        dial.number(_clean(address), **whispered)
    return str(response)


def whisper(text: str, language: str) -> str:
    """Say `text` to whoever has answered, before they are joined to the caller; nothing if it is empty."""
    from twilio.twiml.voice_response import VoiceResponse

    response = VoiceResponse()
    if text:
        response.say(_clean(text), language=_say_locale(language))
    return str(response)


def record_message(*, language: str, action_url: str, status_url: str, longest_s: float, words: str = "") -> str:
    """Ask the caller in their language, or in English, for a message, and record it until they stop or press #.

    A caller who says nothing leaves no recording: then Twilio does not call the action but goes on with the next verb,
    which asks the same address.

    Args:
        action_url: absolute address, asked what comes next by POST.
        status_url: absolute address, told by POST when the recording can be fetched.
        longest_s: the longest message.
        words: said instead of our sentence, in `language`.
    """
    response = _announcing(words, fallback_sentences(language).voicemail, language)
    response.record(
        action=_clean(action_url),
        method="POST",
        max_length=round(longest_s),
        timeout=MESSAGE_PAUSE_S,
        finish_on_key="#",
        play_beep=True,
        recording_status_callback=_clean(status_url),
        recording_status_callback_method="POST",
    )
    response.redirect(_clean(action_url), method="POST")
    return str(response)


def hang_up() -> str:
    """End the call."""
    from twilio.twiml.voice_response import VoiceResponse

    response = VoiceResponse()
    response.hangup()
    return str(response)


def reject_busy() -> str:
    """Refuse the call with a busy signal, unanswered and unbilled; only as the first answer to a call."""
    from twilio.twiml.voice_response import VoiceResponse

    response = VoiceResponse()
    response.reject(reason="busy")
    return str(response)


def ask_again(url: str) -> str:
    """Go on with the TwiML at `url` after a second, asked for by POST: by then another instance answers."""
    from twilio.twiml.voice_response import VoiceResponse

    response = VoiceResponse()
    response.pause(length=1)
    response.redirect(_clean(url), method="POST")
    return str(response)


def wait(url: str, *, language: str, wait_s: float, first: bool) -> str:
    """Tell a caller without a place in their language, or in English, to wait; then ask for the TwiML at `url` by POST.

    Args:
        wait_s: of silence after the words.
        first: they have not been told before.
    """
    sentences = fallback_sentences(language)
    response = _announcing("", sentences.waiting if first else sentences.still_waiting, language)
    response.pause(length=round(wait_s))
    response.redirect(_clean(url), method="POST")
    return str(response)


def redirect(url: str) -> str:
    """Go on with the TwiML at `url`, asked for by POST."""
    from twilio.twiml.voice_response import VoiceResponse

    response = VoiceResponse()
    response.redirect(_clean(url), method="POST")
    return str(response)


def _announcing(words: str, sentence: str, language: str) -> VoiceResponse:
    """A document that begins with words in `language`, that of the caller; without any, with a fallback sentence."""
    from twilio.twiml.voice_response import VoiceResponse

    response = VoiceResponse()
    response.say(_clean(words) or sentence, language=_say_locale(language if words else fallback_language(language)))
    return response


def _say_locale(language: str) -> str:
    """A locale that <Say> knows: an unknown one would leave the caller with silence."""
    locales = _SAY_LOCALES.get(_prefix(language), _SAY_LOCALES["en"])
    wanted = language.replace("_", "-").lower()
    return next((locale for locale in locales if locale.lower() == wanted), locales[0])


def _prefix(language: str) -> str:
    return language.replace("_", "-").partition("-")[0].lower()


def _clean(text: str) -> str:
    return _NOT_XML.sub("", text)
