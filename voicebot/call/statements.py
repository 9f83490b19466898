"""Exact statements on their way to the caller: queued, rendered once, taken when they can be played.

A statement waits until it is rendered; renderings that say something else are refused, tried again, and then given up.
Fillers are statements that only bridge the work of a tool: they are dropped when it is done before they were said.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from voicebot.audio.formats import AudioFormat
from voicebot.engine.keypad import words_for
from voicebot.engine.spending import words_of_cost
from voicebot.flow.model import AskAgain, Flow, Say
from voicebot.flow.ways_out import Transfer
from voicebot.flow.wording import Worded

from .clips import ClipCache, clip_key, spoken_as_written
from .ports import ClipRendered, RenderClip

CLIP_TRIES = 2

_APOLOGIES = {
    "de": "Es tut mir leid, bei uns ist etwas schiefgegangen. Bitte rufen Sie gleich noch einmal an.",
    "en": "I am sorry, something has gone wrong on our side. Please call again in a moment.",
    "es": "Lo siento, algo ha fallado por nuestra parte. Por favor, vuelva a llamar en un momento.",
    "fr": "Je suis désolé, un problème est survenu de notre côté. Merci de rappeler dans un instant.",
    "it": "Mi dispiace, qualcosa è andato storto da parte nostra. La preghiamo di richiamare tra poco.",
    "pt": "Lamento, algo correu mal do nosso lado. Por favor, volte a ligar daqui a pouco.",
}


_HOLD = {
    "de": "Einen Moment, bitte.",
    "en": "One moment, please.",
    "es": "Un momento, por favor.",
    "fr": "Un instant, s'il vous plaît.",
    "it": "Un momento, per favore.",
    "pt": "Um momento, por favor.",
}

_RETURN = {
    "de": "Entschuldigung, wir waren kurz unterbrochen.",
    "en": "Sorry, we were cut off for a moment.",
    "es": "Perdón, se ha cortado un momento.",
    "fr": "Pardon, nous avons été coupés un instant.",
    "it": "Scusi, è caduta la linea per un attimo.",
    "pt": "Desculpe, a ligação caiu por um momento.",
}


_UNREACHED = {
    "de": "Es tut mir leid, es ist gerade niemand zu erreichen.",
    "en": "I am sorry, nobody could be reached just now.",
    "es": "Lo siento, ahora mismo no contesta nadie.",
    "fr": "Je suis désolé, personne n'est joignable pour le moment.",
    "it": "Mi dispiace, in questo momento non risponde nessuno.",
    "pt": "Lamento, neste momento ninguém atende.",
}


def hold_words(flow: Flow, language: str = "") -> Say | None:
    """What a caller hears who waits for the model; None if we have no words in the language.

    Args:
        language: that the call is in (ISO 639-1); default: the flow's first. So for all words of ours.
    """
    return _ours(_HOLD, flow, language)


def words_of_return(flow: Flow, language: str = "") -> Say | None:
    """What a caller hears first when the call goes on after it was cut off."""
    return _ours(_RETURN, flow, language)


def words_when_unreached(flow: Flow, language: str = "") -> Say | None:
    """What a caller hears first who was to be joined to somebody, and comes back since nobody answered."""
    return _ours(_UNREACHED, flow, language)


def apology_of(flow: Flow, language: str = "") -> Say | None:
    """The last words when the call cannot go on: the flow's in this language, or ours, or else the flow's in its first.

    Ours ask the caller to call again; they are not said where the phone line knows a way out.
    """
    language = language or flow.languages[0]
    ours = None if flow.fallback else _ours(_APOLOGIES, flow, language)
    if flow.apology is None or (ours is not None and not flow.apology.has(language, flow.languages[0])):
        return ours
    return flow.apology.in_language(language)


def _ours(words: Mapping[str, str], flow: Flow, language: str) -> Say | None:
    code = language or flow.languages[0]
    return Say(words[code], language=code) if code in words else None


def filler_of(flow: Flow, filler: Say, language: str) -> Say:
    """What bridges the work of a tool: the author's words in the call's language, or ours, or else theirs."""
    ours = None if filler.has(language, flow.languages[0]) else hold_words(flow, language)
    return ours or filler.in_language(language)


def ready_words(flow: Flow, language: str = "") -> list[Say]:
    """What may have to be said at once in a language: in need, in silence, while tools work, by rules, to machines, at
    transfers, at the cost.

    Args:
        language: that the call is in (ISO 639-1); default: the flow's first.
    """
    language = language or flow.languages[0]
    words: list[Worded] = [rung.then.text for rung in flow.limits.silence if isinstance(rung.then, AskAgain)]
    words += [tool.filler for phase in flow.phases for tool in flow.tools_in(phase)]
    words += [phase.commit.tool.filler for phase in flow.phases if phase.commit is not None]
    words += [phase.end.say for phase in flow.phases if isinstance(phase.end, Transfer)]
    says = [Say(one) for one in words if one]
    says += [rule.then for rule in flow.rules if isinstance(rule.then, Say)]
    says += [flow.message] if flow.message is not None else []
    in_need = [apology_of(flow, language), hold_words(flow, language), words_of_return(flow, language)]
    if any(target.no_answer for target in flow.targets.values()):
        in_need.append(words_when_unreached(flow, language))
    if flow.limits.cost_usd is not None:
        in_need.append(words_of_cost(flow, language))
    ready = [say for say in in_need if say is not None]
    ready += [words_for(flow, spec, language=language) for spec in flow.specs.values() if spec.ask.secret]
    ready += [say.in_language(language) for say in says if say.has(language, flow.languages[0])]
    unique: dict[str, Say] = {}
    for say in ready:
        unique.setdefault(say.text, say)
    return list(unique.values())


def clip_keys(flow: Flow, *, model: str, audio_format: AudioFormat) -> list[str]:
    """The keys of everything that is said exactly in any call with this flow, what its first language needs first."""
    says = [flow.opening.in_language(flow.languages[0])] if flow.opening is not None else []
    says += [say for language in flow.languages for say in ready_words(flow, language)]
    return list(dict.fromkeys(_key(flow, say, model=model, audio_format=audio_format) for say in says))


def _key(flow: Flow, say: Say, *, model: str, audio_format: AudioFormat) -> str:
    language = _language(flow, say)
    return clip_key(say.text, voice=flow.voice, language=language, model=model, audio_format=audio_format)


def _language(flow: Flow, say: Say) -> str:
    return say.language or flow.languages[0]


@dataclass(frozen=True, slots=True)
class _Rendering:
    """A statement that the model is rendering, for the `tries`-th time."""

    say: Say
    tries: int = 1


class Statements:
    """The exact statements of one call."""

    def __init__(self, flow: Flow, clips: ClipCache, *, model: str, audio_format: AudioFormat) -> None:
        self._flow, self._clips, self._model, self._format = flow, clips, model, audio_format
        self._queue: deque[Say] = deque()
        self._fillers: list[Say] = []
        self._rendering: dict[str, _Rendering] = {}  # by clip key
        self._out: list[RenderClip] = []

    @property
    def waiting(self) -> bool:
        """Whether any is still to be said."""
        return bool(self._queue)

    @property
    def bridging(self) -> bool:
        """Whether a filler was queued since tools began to work."""
        return bool(self._fillers)

    @property
    def held_up(self) -> bool:
        """Whether the next one cannot be said yet, as it is still to be rendered."""
        return bool(self._queue) and self.payload(self._queue[0]) is None

    def add(self, say: Say, *, filler: bool = False) -> None:
        """Say this after all that was added before."""
        self._queue.append(say)
        if filler:
            self._fillers.append(say)

    def add_first(self, say: Say) -> None:
        """Say this before all that waits."""
        self._queue.appendleft(say)

    def drop(self) -> None:
        """Nothing is to be said or rendered any more."""
        self._queue.clear()
        self._fillers.clear()
        self._rendering.clear()
        self._out.clear()

    def drop_fillers(self) -> None:
        """The tools are done: nothing has to be bridged any more."""
        for say in self._fillers:
            if say in self._queue:
                self._queue.remove(say)
        self._fillers.clear()

    def payload(self, say: Say) -> bytes | None:
        """The audio of a statement, if it was rendered."""
        return self._clips.get(self._key(say))

    def render(self, says: Iterable[Say]) -> None:
        """Have statements rendered that may be needed later."""
        for say in says:
            if self.payload(say) is None and self._key(say) not in self._rendering:
                self._begin(_Rendering(say))

    def take(self, *, caller_speaks: bool) -> tuple[Say, bytes] | None:
        """The next statement with its audio; None while it is rendered, or while it waits for the caller to finish."""
        if not self._queue:
            return None
        say = self._queue[0]
        self.render(self._queue)  # all at once, that one follows the other without a gap
        payload = self.payload(say)
        if payload is None or (caller_speaks and say.interruptible):
            return None
        self._queue.popleft()
        return say, payload

    def rendered(self, event: ClipRendered) -> str | None:
        """A rendering came; returns why it cannot be used, if so."""
        rendering = self._rendering.get(event.key)
        if rendering is None:
            return None
        if not (event.payload and spoken_as_written(rendering.say.text, event.transcript)):
            return "the rendering says something else"
        del self._rendering[event.key]
        self._clips.put(event.key, event.payload)
        return None

    def failed(self, key: str) -> list[Say]:
        """A rendering failed: try again; returns the statements that are given up, if it failed too often."""
        rendering = self._rendering.pop(key, None)
        if rendering is None:
            return []
        if rendering.tries < CLIP_TRIES:
            self._begin(_Rendering(rendering.say, rendering.tries + 1))
            return []
        if any(self._key(say) == key for say in self._fillers):
            self.drop_fillers()
        given_up = [say for say in self._queue if self._key(say) == key]
        for say in given_up:
            self._queue.remove(say)
        return given_up

    def again(self) -> None:
        """Another model is there: what the last one was rendering is asked of it."""
        for rendering in list(self._rendering.values()):
            self._begin(rendering)

    def commands(self) -> list[RenderClip]:
        """What is to be rendered, once."""
        commands, self._out = self._out, []
        return commands

    def _begin(self, rendering: _Rendering) -> None:
        key = self._key(rendering.say)
        self._rendering[key] = rendering
        self._out.append(RenderClip(key, rendering.say.text, _language(self._flow, rendering.say)))

    def _key(self, say: Say) -> str:
        return _key(self._flow, say, model=self._model, audio_format=self._format)
