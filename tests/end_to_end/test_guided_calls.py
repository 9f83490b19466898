"""The engine's promises on the whole path: corrections, evidence, read-back, exact times, keys, fillers, apologies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.end_to_end.cakes import ADA, APOLOGY, FILLER, FRIDAY, LEMON, YES, journal, listed, phases, replies, shelf
from voicebot.flow import Flow, HangUp, Observations, Phase, PhaseLimits, To, ask, it
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.sim.brain import Calls, Context, Output, Says, ScriptedBrain
from voicebot.sim.clock import run_virtual
from voicebot.sim.realtime_quirks import Quirks
from voicebot.sim.scenario import Exchange, Expected, Hear, Press, Say, Scenario, Step, Wait, confirmed, noted
from voicebot.sim.scenario import HangUp as PutDown
from voicebot.sim.stage import Rehearsal, rehearse

TOTAL = "That is 20 euro."


def called(name: str, *exchanges: Exchange, statements: tuple[str, ...] = (TOTAL,), **expected: object) -> Scenario:
    return Scenario(name, "cakes", exchanges, Expected(statements=statements, **expected))  # type: ignore[arg-type]


def committed(rehearsal: Rehearsal) -> list[dict[str, object]]:
    """What the commit was done with, each time."""
    return [json.loads(one["arguments"]) for one in journal(rehearsal, "tool_started") if one["tool"] == "bake"]


# ---- corrections ----------------------------------------------------------------------------------------------------


def test_correction_three_phases_later_changes_the_path_and_asks_nothing_twice() -> None:
    rather = Exchange(
        Say("Please bring it instead."),
        ((noted(mode=("delivery", "Please bring it instead")),), (Says("Gladly. Where to?"),)),
    )
    street = Exchange(
        Say("Mill Lane 4."), ((noted(street=("Mill Lane 4", "Mill Lane 4")),), (Says("Mill Lane four?"),))
    )
    right = Exchange(Say("Right."), ((confirmed(street="Right"),), (Says("Is the price all right?"),)))
    scenario = called(
        "corrected", LEMON, ADA, FRIDAY, rather, street, right, YES, statements=(TOTAL, "That is 25 euro.")
    )
    rehearsal = run_virtual(rehearse(scenario, shelf))
    assert rehearsal.problems == ()
    assert phases(rehearsal) == ["cake", "who", "when", "confirm", "street", "confirm", "bye"]
    assert [step["cause"] for step in rehearsal.report["phases"]][4:6] == ["correction", "return"]
    asked = [listed(one, "Still to find out now") for one in replies(rehearsal)]
    known = [listed(one, "Known so far") for one in replies(rehearsal)]
    assert all(missing.isdisjoint(values) for missing, values in zip(asked, known, strict=True))
    since = next(number for number, names in enumerate(asked) if "street" in names)
    assert set.union(*asked[since:]) == {"street", "accepted"}
    assert set.union(*known[:since]) == {"kind", "mode", "name", "day", "total", "phone"}
    assert [one["total"] for one in committed(rehearsal)] == [25]


# ---- words that were not said ---------------------------------------------------------------------------------------


def test_total_that_the_model_speaks_itself_is_never_heard() -> None:
    told = Exchange(
        Say("On Friday."),
        ((noted(day=("Friday", "On Friday")),), (Says("That is 18 euro. All right?"),)),
    )
    agrees = Exchange(Say("Yes, it is."), ((noted(accepted=(True, "Yes, it is")),), (Says(TOTAL),)))
    scenario = called("another total", LEMON, ADA, told, agrees, Exchange(Hear()), Exchange(PutDown()), statements=())
    rehearsal = run_virtual(rehearse(scenario, shelf, quirks=Quirks(misreadings=99)))
    assert [one.text for one in rehearsal.result.bot_said if one.complete][-2:] == [
        "That is 18 euro. All right?",
        TOTAL,
    ]
    assert rehearsal.report["observations"]["accepted"] is True
    assert rehearsal.report["statements"] == [{"name": "total", "heard": None, "at": None}]
    assert committed(rehearsal) == []


class Liar(ScriptedBrain):
    """Records whatever can be recorded, with words that nobody has said."""

    def __init__(self) -> None:
        super().__init__(())

    def respond(self, context: Context) -> Sequence[Output]:
        latest = [item for item in context.items if item.role != "system"][-1:]
        if not latest or latest[0].kind == "function_call_output" or "record" not in context.tool_names:
            return (Says("Is that all right?"),)
        invented = {"kind": "nut", "mode": "pickup", "name": "Brutus", "day": "Monday", "accepted": True}
        quote = "by the holy pancake I solemnly swear it"
        return (Calls("record", {name: {"value": value, "quote": quote} for name, value in invented.items()}),)


@dataclass(frozen=True)
class LiedTo(Scenario):
    """A call in which the model lies."""

    def brain(self) -> ScriptedBrain:
        return Liar()


LINES: tuple[Step, ...] = (
    Say("Hello, what have you got today?"),
    Say("I see, and is it fresh?"),
    Say("Let me think about that."),
    Say("I am not sure, you know."),
    Say("I shall ask my wife."),
    Wait(6000),
    PutDown(),
)
LIES = LiedTo("lies", "cakes", tuple(map(Exchange, LINES)), Expected())


@pytest.mark.parametrize("late_s", [0.0, 1.5])
def test_invented_quote_never_reaches_a_commit(late_s: float) -> None:
    rehearsal = run_virtual(rehearse(LIES, shelf, quirks=Quirks(transcript_late_s=late_s)))
    assert committed(rehearsal) == []
    assert set(rehearsal.report["observations"].values()) == {None, "+15550123456"}
    if late_s:  # it had been taken on trust, and was taken back
        assert "contradicted" in {one["state"] for one in journal(rehearsal, "evidence_weighed")}
        assert "bye" not in phases(rehearsal)


@pytest.mark.parametrize("transcript", ["missing", "failed"])
def test_quote_that_nobody_can_verify_is_reported_so_and_never_reaches_a_commit(transcript: str) -> None:
    rehearsal = run_virtual(rehearse(LIES, shelf, quirks=Quirks(transcript=transcript)))  # type: ignore[arg-type]
    evidence = rehearsal.report["evidence"]
    assert {evidence[name]["state"] for name in ("kind", "name", "day")} == {"unverifiable"}
    assert committed(rehearsal) == []
    assert len(journal(rehearsal, "asked_again")) == 1


# ---- read back ------------------------------------------------------------------------------------------------------

BROUGHT = Exchange(
    Say("A nut cake, please bring it."),
    ((noted(kind=("nut", "A nut cake"), mode=("delivery", "please bring it")),), (Says("Where to?"),)),
)


def test_read_back_cannot_be_confirmed_by_the_turn_it_was_said_in() -> None:
    street = Exchange(
        Say("Mill Lane 4, yes."),
        (
            (noted(street=("Mill Lane 4", "Mill Lane 4")), confirmed(street="yes")),
            (confirmed(street="yes"),),
            (Says("Mill Lane four?"),),
        ),
    )
    right = Exchange(Say("That's it."), ((confirmed(street="That's it"),), (Says("What is your name?"),)))
    scenario = called("confirmed", BROUGHT, street, right, Exchange(Hear()), Exchange(PutDown()), statements=())
    rehearsal = run_virtual(rehearse(scenario, shelf))
    assert rehearsal.problems == ()
    assert [one["subject"] for one in journal(rehearsal, "proposal_refused")] == ["street", "street"]
    [agreed] = journal(rehearsal, "observation_confirmed")
    assert (agreed["name"], agreed["turn"]) == ("street", 3)
    assert phases(rehearsal) == ["cake", "street", "who"]


# ---- time -----------------------------------------------------------------------------------------------------------


class Talk(Observations):
    topic: str = ask("what they want to talk about")
    more: str = ask("what they make of it", optional=True)


BOX_S = 9
timed = Flow(
    goal="Let somebody talk for an exact time.",
    observations=Talk,
    opening="Talk to me.",
    phases=[
        Phase("topic", instructions="Ask for a topic.", observations=[it.topic], transitions=[To("talk")]),
        Phase(
            "talk",
            instructions="Let them talk.",
            observations=[it.more],
            transitions=[To("thanks")],
            limits=PhaseLimits(duration=BOX_S, exact=True, then="thanks"),
        ),
        Phase("thanks", instructions="Say thank you and goodbye.", end=HangUp()),
    ],
)
TALK = "There is so much to say about cats that I could go on " + "and on " * 40 + "until the sun goes down."


class Host(ScriptedBrain):
    """Records the topic at once, and says a word or two each time."""

    def __init__(self) -> None:
        super().__init__(())

    def respond(self, context: Context) -> Sequence[Output]:
        spoken = [item for item in context.items if item.role == "user"]
        if "record" in context.tool_names and len(spoken) == 1 and context.items[-1].kind == "message":
            return (noted(topic=("cats", "About cats")),)
        return (Says("Go on." if "record" in context.tool_names else "Thank you, goodbye."),)


@dataclass(frozen=True)
class Hosted(Scenario):
    def brain(self) -> ScriptedBrain:
        return Host()


def test_exact_time_ends_on_time_while_the_caller_still_speaks() -> None:
    lines: tuple[Step, ...] = (Say("About cats."), Say(TALK))
    scenario = Hosted("box", "timed", tuple(map(Exchange, lines)), Expected())
    rehearsal = run_virtual(rehearse(scenario, FlowShelf({"timed": load_flow("timed", timed)})))
    began, ended = journal(rehearsal, "phase_entered")[1:3]
    assert (began["phase"], ended["phase"]) == ("talk", "thanks")
    assert ended["at_ms"] - began["at_ms"] == pytest.approx(BOX_S * 1000, abs=20)
    [long] = [said for said in rehearsal.result.caller_said if said.text == TALK]
    assert long.end_ms - long.start_ms > 15_000
    turns = journal(rehearsal, "caller_turn_taken")
    assert [turn["cut"] for turn in turns][:2] == [False, True]
    assert any(said.text == "Thank you, goodbye." and said.complete for said in rehearsal.result.bot_said)
    assert rehearsal.report["ended_reason"] == "completed"


# ---- keys, fillers, apologies ---------------------------------------------------------------------------------------


def test_key_leads_to_a_human() -> None:
    promised = Exchange(Press("0"), ((Says("Somebody will call you back. All right?"),),))
    thanks = Exchange(Say("Thanks."), ((Says("Goodbye!"),),))
    scenario = called("zero", LEMON, promised, thanks, statements=(), phases=("cake", "who", "human", "bye"))
    rehearsal = run_virtual(rehearse(scenario, shelf))
    assert rehearsal.problems == ()
    assert rehearsal.report["rules"][0]["rule"] == "zero"


def test_filler_bridges_a_slow_tool_and_is_no_answer() -> None:
    asks = Exchange(
        Say("Which cakes have you got?"),
        ((Calls("ask_baker"),), (Says("There is lemon, and there is nut."),)),
    )
    scenario = called("slow", asks, Exchange(Hear()), Exchange(Hear()), Exchange(PutDown()), statements=(FILLER,))
    rehearsal = run_virtual(rehearse(scenario, shelf))
    [filler] = [said for said in rehearsal.result.bot_said if said.text == FILLER]
    [answer] = [said for said in rehearsal.result.bot_said if said.text.startswith("There is")]
    [asked] = rehearsal.result.caller_said
    assert filler.complete
    assert 1000 < filler.start_ms - asked.end_ms < 3500
    assert answer.start_ms - filler.end_ms > 5000  # longer than the ladder's first rung, and nothing in between
    assert journal(rehearsal, "silence_noticed") == []
    assert [one["response_ms"] > 10_000 for one in journal(rehearsal, "turn_answered")] == [True]


def test_apology_is_heard_when_the_model_is_gone_for_good() -> None:
    scenario = called("gone", LEMON, ADA, FRIDAY, YES)
    lost = (Quirks(drop_at_event=120), *(Quirks(drop_at_event=1) for _ in range(12)))
    rehearsal = run_virtual(rehearse(scenario, shelf, quirks=lost))
    assert APOLOGY in [said.text for said in rehearsal.result.bot_said if said.complete]
    assert rehearsal.report["ended_reason"] == "model_failed"
    assert len(rehearsal.received) == 1
