"""The look back at a call, as its core sees it: asked for when all is in, bounded, and never in the way of the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.call.test_core import NAME, Call, World, failed, finished, flow, kinds, only
from voicebot.call import entries, ports
from voicebot.call.analysis import ANALYSIS_LIMIT_S
from voicebot.call.core import FAREWELL_LIMIT_S, Stage
from voicebot.call.events import Effect, Finish, Journal
from voicebot.engine.entries import CallerSaid, EndedReason, ObservationFilled, ProposalRefused
from voicebot.flow import Analysis, Flow, Report, it

WANTED = replace(flow(), report=Report(analysis=Analysis("what they want")))
TOOTH = json.dumps(
    {
        "summary": "Ada has a toothache.",
        "said": {
            "reason": {"value": "tooth", "quote": "my tooth aches"},
            "name": {"value": "Grace", "quote": "I am called Grace"},
        },
    }
)


def talking(of: Flow = WANTED, *, words: str | None = "It is Ada, and my tooth aches.") -> Call:
    """A call with its model, in which the caller has said something and heard an answer."""
    call = Call(of=of)
    call.prepare()
    call.feed(ports.ModelReady())
    call.connect()
    call.says("Hello?")
    call.ends()
    call.wait(1.0)
    call.echo_all()
    if words is not None:
        call.speak()
        call.feed(ports.CallerTranscript("u1", words))
        call.says("I see.")
        call.ends()
        call.wait(1.0)
        call.echo_all()
    return call


def hung_up() -> Call:
    call = talking()
    call.feed(ports.CallerLeft("hangup"))
    return call


def analysed(arguments: str = TOOTH, usage: ports.Usage | None = None) -> ports.Analysed:
    return ports.Analysed("call", arguments, usage)


def result(call: Call) -> entries.CallAnalysed:
    """What became of the look back; written once, before the end."""
    [entry] = call.entries(entries.CallAnalysed)
    journal = [one.entry for one in call.all(Journal)]
    if call.all(Finish):
        assert journal.index(entry) < len(journal) - 1 and isinstance(journal[-1], entries.CallEnded)
    return entry


# ---- done -----------------------------------------------------------------------------------------------------------


def test_model_looks_back_once_the_line_is_closed() -> None:
    call = talking()
    effects = call.feed(ports.CallerLeft("hangup"))
    assert kinds(effects) == ["CloseLeg", "Analyse"]
    [asked] = only(effects, ports.Analyse)
    assert asked.tool.name == "conclude"
    assert "what they want" in asked.instructions
    assert call.core.stage is Stage.LEAVING


def test_answer_ends_the_call() -> None:
    call = hung_up()
    effects = call.feed(analysed())
    made = result(call)
    assert (made.status, made.summary, made.arguments) == ("done", "Ada has a toothache.", TOOTH)
    assert [entry.name for entry in call.entries(ObservationFilled)] == ["reason"]
    assert [entry.subject for entry in call.entries(ProposalRefused)] == ["name"]
    assert only(effects, Finish) == [Finish("caller_hung_up")]
    assert call.core.engine.known == {}


def test_answer_costs_tokens() -> None:
    call = hung_up()
    call.feed(analysed(usage=ports.Usage(input_text=400, output_text=60)))
    assert call.entries(entries.TokensSpent)[-1] == entries.TokensSpent(400, 0, 0, 0, 60, 0)


def test_flow_that_does_not_want_it_is_not_kept_waiting() -> None:
    for report in (Report(), Report(analysis=Analysis(when=it.reason == "tooth"))):
        call = talking(replace(flow(), report=report))
        assert kinds(call.feed(ports.CallerLeft("hangup"))) == ["CloseLeg", "Finish"]
        assert call.entries(entries.CallAnalysed) == []


def test_last_words_come_first() -> None:
    call = talking()
    call.feed(ports.SpeechStarted("u2", 0))
    assert kinds(call.feed(ports.CallerLeft("hangup"))) == ["CloseLeg", "CommitAudio"]
    assert kinds(call.feed(ports.TurnCommitted("u2"))) == []
    assert kinds(call.feed(ports.CallerTranscript("u2", "It has ached since Monday."))) == ["Analyse"]


def test_calls_of_the_last_reply_come_first() -> None:
    call = talking()
    call.speak()
    call.feed(ports.CallerTranscript("u2", "I am Ada"), ports.CallerLeft("hangup"))
    assert call.all(ports.Analyse) == []
    effects = call.ends(NAME, spoke=False)
    assert kinds(effects)[-1] == "Analyse"
    [asked] = only(effects, ports.Analyse)
    assert "- name: Ada" in asked.instructions


def test_words_that_never_come_are_given_up_before() -> None:
    call = talking()
    call.speak()
    call.ends()
    call.feed(ports.CallerLeft("hangup"))
    assert kinds(call.wait(FAREWELL_LIMIT_S - 0.1)) == []
    assert kinds(call.wait(0.1)) == ["Analyse"]
    assert kinds(call.feed(analysed())) == ["Finish"]


def test_words_that_come_late_are_still_kept() -> None:
    call = talking()
    call.speak()
    call.ends()
    call.feed(ports.CallerLeft("hangup"))
    call.wait(FAREWELL_LIMIT_S)
    call.feed(ports.CallerTranscript("u2", "And a filling fell out."))
    assert call.entries(CallerSaid)[-1].text == "And a filling fell out."
    assert call.all(Finish) == []


def test_what_the_caller_did_not_hear_is_taken_out_before() -> None:
    call = talking()
    call.speak()
    call.feed(ports.CallerTranscript("u2", "Well?"))
    call.says("The doctor has an hour for you tomorrow at nine", ms=4000, item_id="long")
    call.ends()
    call.wait(1.0)
    effects = call.feed(ports.CallerLeft("hangup"))
    assert kinds(effects) == ["CloseLeg", "Truncate", "Analyse"]
    [cut] = only(effects, ports.Truncate)
    assert cut.item_id == "long" and cut.audio_end_ms <= 1000


def test_reply_that_still_runs_is_not_truncated() -> None:
    call = talking()
    call.speak()
    call.feed(ports.CallerTranscript("u2", "Well?"))
    call.says("The doctor has an hour for you", ms=4000)
    call.wait(1.0)
    call.feed(ports.CallerLeft("hangup"))
    assert kinds(call.wait(FAREWELL_LIMIT_S)) == ["Analyse"]


# ---- skipped --------------------------------------------------------------------------------------------------------


def test_late_answer_is_not_waited_for() -> None:
    call = hung_up()
    assert kinds(call.wait(ANALYSIS_LIMIT_S - 0.1)) == []
    assert kinds(call.wait(0.1)) == ["Finish"]
    assert (result(call).status, result(call).reason) == ("skipped", "the model took too long")
    assert call.feed(analysed()) == []


def test_bound_counts_from_the_closed_line() -> None:
    call = talking()
    call.speak()
    call.ends()
    call.feed(ports.CallerLeft("hangup"))
    left_at = call.now
    call.wait(60.0)
    assert call.all(Finish)
    assert result(call).reason == "the model took too long"
    assert ANALYSIS_LIMIT_S <= FAREWELL_LIMIT_S + 5.0
    assert left_at + ANALYSIS_LIMIT_S <= call.now


@pytest.mark.parametrize("retryable", [True, False])
def test_lost_model_ends_the_call(retryable: bool) -> None:
    call = hung_up()
    assert kinds(call.feed(ports.ModelLost("the connection broke", retryable))) == ["Finish"]
    assert result(call).reason == "the model was gone"


def test_model_that_was_gone_before_is_not_asked() -> None:
    call = talking()
    call.feed(ports.ModelLost("the connection broke", True), ports.CallerLeft("hangup"))
    assert call.all(ports.Analyse) == []
    assert result(call).reason == "the model was gone"
    assert call.all(Finish) == [Finish("caller_hung_up")]


def test_failed_analysis_ends_the_call_with_its_reason() -> None:
    call = hung_up()
    effects = call.feed(ports.AnalysisFailed("call", "max_output_tokens", ports.Usage(output_text=2048)))
    assert kinds(effects) == ["Finish"]
    assert result(call) == entries.CallAnalysed("skipped", reason="max_output_tokens")
    assert call.entries(entries.TokensSpent)[-1].output_text == 2048


@pytest.mark.parametrize("arguments", ["", "{}", "[]", "null", '{"summary": 7}', "x" * 100, '{"summary": "\\ud800"}'])
def test_nonsense_is_skipped(arguments: str) -> None:
    call = hung_up()
    assert kinds(call.feed(analysed(arguments))) == ["Finish"]
    assert result(call).status == "skipped" and result(call).reason
    assert call.entries(ObservationFilled) == []


def test_caller_who_said_nothing_is_not_analysed() -> None:
    call = talking(words=None)
    assert kinds(call.feed(ports.CallerLeft("hangup"))) == ["CloseLeg", "Finish"]
    assert result(call).reason == "the caller said nothing"


def test_answer_of_another_key_is_none() -> None:
    call = hung_up()
    assert call.feed(ports.Analysed("other", TOOTH)) == []
    assert call.all(Finish) == []


def test_answer_that_nobody_asked_for_is_none() -> None:
    call = talking()
    assert call.feed(analysed()) == []
    assert call.core.stage is Stage.TALKING


def test_abandoned_call_does_not_wait() -> None:
    call = hung_up()
    assert kinds(call.core.abandon("shutdown", call.now)) == ["Finish"]


@pytest.mark.parametrize("reason", ["shutdown", "error"])
def test_call_that_is_abandoned_in_mid_talk_says_so(reason: EndedReason) -> None:
    call = talking()
    call.done += call.core.abandon(reason, call.now)
    assert result(call).reason == "there was no time for it"


def test_call_that_never_connected_was_skipped() -> None:
    call = Call(of=WANTED)
    call.prepare()
    call.done += call.core.abandon("never_connected", call.now)
    assert result(call).status == "skipped"


# ---- any moment, any order ------------------------------------------------------------------------------------------


def speaking() -> Call:
    call = talking()
    call.feed(ports.SpeechStarted("u2", 0))
    return call


def answered() -> Call:
    call = talking()
    call.speak()
    call.says("A long answer", ms=4000)
    return call


def retrying() -> Call:
    call = talking()
    call.speak()
    call.feed(failed(call))
    return call


@pytest.mark.parametrize("moment", [talking, speaking, answered, retrying, hung_up])
@pytest.mark.parametrize("ending", ["hangup", "model", "answer"])
def test_call_ends_within_its_bound_whatever_happens(moment: Callable[[], Call], ending: str) -> None:
    call = moment()
    call.feed(ports.CallerLeft("hangup"))
    if ending == "model":
        call.feed(ports.ModelLost("the connection broke", True))
    call.wait(FAREWELL_LIMIT_S)
    if ending == "answer":
        call.feed(analysed())
    call.wait(ANALYSIS_LIMIT_S - FAREWELL_LIMIT_S)
    finished(call)
    assert len(call.entries(entries.CallAnalysed)) == 1


class LookingBack(World):
    """Any legal order of events in a call that is looked back at."""

    def __init__(self, choose: Callable[[int], int]) -> None:
        super().__init__(choose, "plain")
        self.call = Call(of=replace(self.call.core.engine.flow, report=Report(analysis=Analysis())))
        self.asked = False

    def acts(self) -> list[Callable[[], None]]:
        return [*super().acts(), *([self.conclude] * 3 if self.asked and not self.lost else [])]

    def conclude(self) -> None:
        self.asked = False
        answers = (analysed(), analysed("nonsense"), ports.AnalysisFailed("call", "server_error"))
        self.feed(answers[self.choose(3)])

    def look_at(self, effect: Effect) -> None:
        if isinstance(effect, ports.Analyse):
            assert self.closed and not self.asked and not self.lost
            self.asked = True
        elif isinstance(effect, ports.Truncate) and self.closed:
            assert effect.audio_end_ms <= self.sent_ms[effect.item_id]
        else:
            super().look_at(effect)

    def finish(self) -> None:
        if self.connected and not self.left:
            self.hang_up()
        self.call.wait(ANALYSIS_LIMIT_S)
        super().finish()


@given(st.lists(st.integers(0, 10_000), min_size=30, max_size=200))
@settings(deadline=None, max_examples=150)
def test_any_legal_order_ends_with_one_result(choices: list[int]) -> None:
    left = iter(choices)
    world = LookingBack(lambda many: next(left, 0) % many)
    world.call.prepare()
    world.feed(ports.ModelReady())
    for _ in range(len(choices) // 2):
        if not world.done:
            world.step()
    world.come_to_rest()
    world.finish()
    assert len(world.call.entries(entries.CallAnalysed)) == 1
    assert len(world.call.all(ports.Analyse)) <= 1
