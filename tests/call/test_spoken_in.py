"""Exact words, the model's ear and the journal of a call whose language or whose cost changes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from voicebot.audio.formats import AudioFormat
from voicebot.call import entries, ports
from voicebot.call.clips import ClipCache
from voicebot.call.core import CallCore
from voicebot.call.events import Journal
from voicebot.call.past import Past
from voicebot.call.replay import replay
from voicebot.call.statements import apology_of, clip_keys, filler_of, hold_words, ready_words, words_of_return
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import ClosingBegan, CostReached, LanguageSwitched
from voicebot.engine.events import CallContext
from voicebot.flow import (
    After,
    AskAgain,
    Flow,
    HangUp,
    LeaveMessage,
    Limits,
    Phase,
    Rule,
    Say,
    Transfer,
    Voicemail,
    tool,
)
from voicebot.flow.targets import Number

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ASKS = "Possiamo parlare in italiano?"
SWITCH = ports.ToolCall("c1", "switch_language", f'{{"language": "it", "quote": "{ASKS}"}}')
USAGE = ports.Usage(1000, 500, 0, 0, 100, 200)


@tool(filler={"en": "I am looking.", "it": "Guardo."})
def look() -> str:
    """Look."""
    return "there"


@tool(filler="I am writing.")
def write() -> str:
    """Write."""
    return "written"


def flow(**given: Any) -> Flow:
    return Flow(
        **{
            "goal": "g",
            "languages": ["en", "it", "sv"],
            "opening": {"en": "Hello.", "it": "Buonasera."},
            "apology": {"en": "Sorry.", "it": "Ci scusi."},
            "on_voicemail": LeaveMessage({"en": "It is us.", "it": "Siamo noi."}),
            "rules": [Rule("weather", when="the weather", then=Say({"en": "Warm.", "it": "Caldo."}))],
            "limits": Limits(silence=[After("5s", AskAgain({"en": "Hello?", "it": "Pronto?"}))], cost_usd=1.0),
            "targets": {"desk": Number("+15550100199", no_answer="talk")},
            "phases": [
                Phase("talk", instructions="Talk.", tools=[look, write], may_jump=["desk"]),
                Phase("desk", end=Transfer("desk", say={"en": "I connect you.", "it": "La connetto."})),
                Phase("bye", instructions="Goodbye.", end=HangUp()),
            ],
            **given,
        }
    )


class Call:
    """A call that has begun, and the entries it has written, with their times in ms."""

    def __init__(self, chosen: Flow, *, past: Past | None = None, price: float | None = None) -> None:
        self.now, self.journal, self.sent = 10.0, list[tuple[int, entries.Entry]](), list[object]()
        engine = PhaseEngine(chosen, CallContext("CA1", None, None, START))
        cost_of = None if price is None else lambda spent: spent.output_audio * price
        self.core = CallCore(
            engine, audio_format=AudioFormat.PCMU_8K, clips=ClipCache(), model="m", past=past, cost_of=cost_of
        )
        opened = entries.CallOpened("f", "v", "{}", None, None, "inbound")
        self.note(self.core.resume(2, self.now) if past is not None else self.core.prepare(opened, self.now))
        self.note(self.core.connect("MZ1", self.now))
        self.take(ports.ModelReady(None))

    def note(self, effects: list[Any]) -> None:
        self.journal += [(round(self.now * 1000), one.entry) for one in effects if isinstance(one, Journal)]
        self.sent += [one for one in effects if not isinstance(one, Journal)]

    def take(self, event: Any) -> None:
        self.now += 0.1
        self.note(self.core.handle(event, self.now))

    def render(self) -> None:
        """Everything that is to be rendered is."""
        for one in [one for one in self.sent if isinstance(one, ports.RenderClip)]:
            self.take(ports.ClipRendered(one.key, b"\x7f" * 160, one.text))

    def say(self, text: str) -> None:
        self.take(ports.SpeechStarted(f"item-{text}", 0))
        self.take(ports.SpeechStopped(f"item-{text}", 0))
        self.take(ports.TurnCommitted(f"item-{text}"))
        self.take(ports.CallerTranscript(f"item-{text}", text))

    def reply(self, *calls: ports.ToolCall, usage: ports.Usage | None = USAGE) -> None:
        """The reply that was asked for last has come."""
        asked = [one for one in self.sent if isinstance(one, ports.Reply)][-1]
        self.take(ports.ReplyEnded(asked.reply_id, "completed", tuple(calls), not calls, usage=usage))

    def of(self, kind: type[Any]) -> list[Any]:
        return [entry for _, entry in self.journal if isinstance(entry, kind)]


# ---- exact words ----------------------------------------------------------------------------------------------------


def test_words_that_may_be_needed_are_those_of_the_language() -> None:
    said = [say.text for say in ready_words(flow(), "it")]
    assert said[:3] == ["Ci scusi.", "Un momento, per favore.", "Scusi, è caduta la linea per un attimo."]
    assert {"Pronto?", "Guardo.", "Caldo.", "Siamo noi.", "La connetto."} <= set(said)
    assert "I am writing." not in said


def test_each_language_has_clips_of_its_own() -> None:
    chosen = flow()
    keys = clip_keys(chosen, model="m", audio_format=AudioFormat.PCMU_8K)
    assert len(keys) == len(set(keys)) > len(ready_words(chosen)) + len(ready_words(chosen, "it"))
    assert keys != clip_keys(flow(languages=["it", "en"]), model="m", audio_format=AudioFormat.PCMU_8K)


@pytest.mark.parametrize(
    ("given", "language", "said"),
    [
        ({}, "it", "Ci scusi."),
        ({}, "sv", "Sorry."),  # nobody has any in Swedish
        ({"apology": "Sorry."}, "it", "Mi dispiace, qualcosa è andato storto"),
        ({"apology": "Sorry.", "fallback": [Voicemail()]}, "it", "Sorry."),
    ],
)
def test_apology_is_in_the_language_of_the_call(given: dict[str, Any], language: str, said: str) -> None:
    apology = apology_of(flow(**given), language)
    assert apology is not None
    assert apology.text.startswith(said)


def test_words_of_ours_are_in_the_language_of_the_call() -> None:
    assert hold_words(flow(), "it") == Say("Un momento, per favore.", language="it")
    assert hold_words(flow(), "sv") is None
    assert words_of_return(flow(), "it") == Say("Scusi, è caduta la linea per un attimo.", language="it")


def test_filler_without_words_in_the_language_is_ours() -> None:
    assert filler_of(flow(), Say({"en": "I am looking.", "it": "Guardo."}), "it").text == "Guardo."
    assert filler_of(flow(), Say("I am writing."), "it").text == "Un momento, per favore."
    assert filler_of(flow(), Say("I am writing."), "en").text == "I am writing."
    assert filler_of(flow(), Say("I am writing."), "sv").text == "I am writing."


# ---- the language of a call -----------------------------------------------------------------------------------------


def switched(**given: Any) -> Call:
    call = Call(flow(opening=None, **given))
    call.reply()
    call.say(ASKS)
    call.reply(SWITCH)
    return call


def test_models_ear_is_told_of_the_language_once() -> None:
    call = switched()
    told = [one.language for one in call.sent if isinstance(one, ports.Configure)]
    assert [language for language in told if language is not None] == ["it"]
    assert call.of(LanguageSwitched) == [LanguageSwitched("it", "en", "request", ASKS, 1)]


def test_what_may_be_needed_is_rendered_in_the_new_language() -> None:
    rendered = {(one.text, one.language) for one in switched().sent if isinstance(one, ports.RenderClip)}
    assert ("Un momento, per favore.", "it") in rendered
    assert ("Pronto?", "it") in rendered


def test_another_model_is_told_of_the_language_too() -> None:
    call = switched()
    call.take(ports.ModelLost("gone", retryable=True))
    call.sent.clear()
    call.take(ports.ModelReady(None))
    assert [one.language for one in call.sent if isinstance(one, ports.Configure)] == ["it"]


def test_call_that_is_taken_over_speaks_the_language_it_had() -> None:
    before = switched()
    past = Past(tuple(before.journal), len(before.journal), before.journal[-1][0])
    assert past.language == "it"
    after = Call(flow(opening=None), past=past)
    assert after.core.engine.language == "it"
    assert "Scusi, è caduta la linea per un attimo." in {
        one.text for one in after.sent if isinstance(one, ports.RenderClip)
    }
    assert [one.language for one in after.sent if isinstance(one, ports.Configure)] == ["it"]


def test_call_that_never_switched_has_no_language_of_its_own() -> None:
    call = Call(flow())
    assert Past(tuple(call.journal), 1, 0).language is None


# ---- what a call costs ----------------------------------------------------------------------------------------------


def spending(times: int, **given: Any) -> Call:
    """Each reply costs 0.4 dollars."""
    call = Call(flow(opening=None, **given), price=0.002)
    for number in range(times):
        call.reply(usage=USAGE)
        call.say(f"and {number}")
    return call


def test_cost_of_each_reply_is_written_down() -> None:
    assert [entry.usd for entry in spending(2).of(entries.TokensSpent)] == [0.4, 0.4]


def test_nobody_counts_where_no_price_is_known() -> None:
    call = Call(flow(opening=None))
    call.reply()
    assert [entry.usd for entry in call.of(entries.TokensSpent)] == [None]


def test_call_ends_with_the_reply_that_makes_it_too_dear() -> None:
    call = spending(2)
    assert call.of(CostReached) == []
    call.reply()
    [reached] = call.of(CostReached)
    assert reached.usd == pytest.approx(1.2)
    assert call.of(ClosingBegan) == [ClosingBegan("cost_limit")]
    assert call.core.reason == "cost_limit"


def test_what_a_call_cost_in_other_hands_counts() -> None:
    before = spending(2, languages=["sv"])  # in which nothing is said when the call goes on
    past = Past(tuple(before.journal), len(before.journal), before.journal[-1][0])
    assert past.usd == pytest.approx(0.8)
    after = Call(flow(opening=None, languages=["sv"]), past=past, price=0.002)
    after.reply()
    assert [entry.usd for entry in after.of(CostReached)] == [pytest.approx(1.2)]


def test_replay_decides_the_same_and_finds_another_bound() -> None:
    call, context = spending(3), CallContext("CA1", None, None, START)
    assert call.of(CostReached)
    assert replay(flow(opening=None), context, call.journal) is None
    dearer = replay(flow(opening=None, limits=Limits(silence=(), cost_usd=2.0)), context, call.journal)
    assert dearer is not None
    assert isinstance(dearer.then, CostReached)
