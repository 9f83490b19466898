"""What is said when a call has cost what it may: the flow's words, or ours in the language that the call is in."""

from __future__ import annotations

from collections.abc import Mapping

from voicebot.flow.model import Flow, HangUp, Say

_GOODBYE: Mapping[str, str] = {
    "de": "Es tut mir leid, ich muss unser Gespräch hier beenden. Vielen Dank und auf Wiederhören.",
    "en": "I am sorry, I have to end our call here. Thank you, and goodbye.",
    "es": "Lo siento, tengo que terminar aquí nuestra llamada. Gracias y hasta luego.",
    "fr": "Je suis désolé, je dois mettre fin à notre appel. Merci et au revoir.",
    "it": "Mi dispiace, devo concludere qui la chiamata. Grazie e arrivederci.",
    "pt": "Lamento, tenho de terminar aqui a nossa chamada. Obrigado e até à próxima.",
}
_NEAR_THE_END: Mapping[str, str] = {
    "de": "Es tut mir leid, wir müssen jetzt zum Ende kommen.",
    "en": "I am sorry, we have to come to an end now.",
    "es": "Lo siento, ahora tenemos que ir terminando.",
    "fr": "Je suis désolé, nous devons maintenant conclure.",
    "it": "Mi dispiace, adesso dobbiamo concludere.",
    "pt": "Lamento, agora temos de terminar.",
}


def words_of_cost(flow: Flow, language: str) -> Say:
    """The exact words: a goodbye where the call ends, else what goes before the way out. English where we have none."""
    if flow.limits.cost_say is not None:
        return flow.limits.cost_say.in_language(language)
    ours = _GOODBYE if isinstance(flow.limits.cost_way, HangUp) else _NEAR_THE_END
    code = language if language in ours else "en"
    return Say(ours[code], interruptible=False, language=code)
