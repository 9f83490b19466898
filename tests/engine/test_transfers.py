"""Callers who are to be joined to a human being: to whom, when, how often, and where the call goes on otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.line import Line, answer, entered, kinds, notes, refusal, restored, written
from voicebot.engine.entries import ClosingBegan, EngineEntry, ProposalRefused, TransferBegan, TransferFailed
from voicebot.engine.events import CallResumed, Close, EngineEffect
from voicebot.engine.movement import CLOSING_NOTES, MOST_TRANSFERS
from voicebot.engine.state import apply
from voicebot.flow import Flow, HangUp, Number, Observations, Phase, Rule, Say, Sip, To, Transfer, ask, it

HUMAN = "I want to talk to a human being"


class Matter(Observations):
    about: str = ask("what it is about")
    member: bool = ask("whether they are a member")


FLOW = Flow(
    goal="g",
    observations=Matter,
    targets={
        "desk": Number("+15550199", no_answer="nobody", timeout="20s"),
        "club": Sip("sip:club@pbx.example.com", no_answer="nobody"),
        "cellar": Number("+15550198"),
    },
    rules=(
        Rule("human", when="the caller asks for a human being", then=To("human")),
        Rule("quick", when="the caller is in a hurry", then=To("quick")),
        Rule("plain", when="the caller is plain", then=To("plain")),
    ),
    phases=(
        Phase(
            "talk",
            observations=("about", "member"),
            may_transfer=("desk", "club"),
            transitions=(To("lounge", when=it.member.yes), To("bye")),
        ),
        Phase("human", instructions="Say that you connect them.", end=Transfer("desk", brief=True, timeout="40s")),
        Phase("quick", end=Transfer("desk", say="One moment.")),
        Phase("plain", end=Transfer("cellar")),
        Phase("lounge", instructions="Say that you connect them.", end=Transfer("club")),
        Phase("nobody", observations=("about",), transitions=(To("bye"),)),
        Phase("bye", end=HangUp()),
    ),
)


def talking() -> Line:
    line = Line(FLOW)
    line.say(HUMAN)
    line.effects.clear()
    return line


def rule(line: Line, name: str) -> list[EngineEffect]:
    return line.call("apply_rule", {"rule": name, "quote": HUMAN})


def ask_for(line: Line, target: object, quote: object = HUMAN) -> list[EngineEffect]:
    return line.call("transfer_call", {"target": target, "quote": quote})


def closes(effects: list[EngineEffect]) -> list[Close]:
    return [effect for effect in effects if isinstance(effect, Close)]


def told(line: Line, entry: EngineEntry) -> None:
    """The phone line's word, which the server writes down."""
    apply(line.engine.state, FLOW, entry, line.now)
    line.timed.append((line.now, entry))


def come_back(line: Line, target: str = "desk") -> list[EngineEffect]:
    told(line, TransferFailed(target, "busy"))
    return line.take(CallResumed())


# ---- the end of a phase -------------------------------------------------------------------------------------------


def test_phase_ends_with_a_transfer() -> None:
    line = talking()
    effects = rule(line, "human")
    assert kinds(effects)[-3:] == ["TransferBegan", "ClosingBegan", "Close"]
    assert TransferBegan("desk", True, 40.0) in written(effects)
    assert closes(effects) == [Close("transferred", "")]
    assert line.engine.tools() == ()
    assert restored(line).state == line.engine.state


def test_exact_words_go_before_a_transfer() -> None:
    [close] = closes(rule(talking(), "quick"))
    assert close.words == Say("One moment.", interruptible=False)


def test_phase_without_words_has_the_model_find_some() -> None:
    effects = rule(talking(), "plain")
    assert closes(effects) == [Close("transferred", "")]
    assert notes(effects) == [CLOSING_NOTES["transferred"]]


# ---- what the model asks for --------------------------------------------------------------------------------------


def test_model_may_ask_where_the_phase_allows_it() -> None:
    line = talking()
    offered = {tool.name: tool for tool in line.engine.tools()}
    assert offered["transfer_call"].parameters["properties"]["target"]["enum"] == ["desk", "club"]  # type: ignore[index]
    effects = ask_for(line, "desk")
    assert answer(effects) == {"connecting": True}
    assert written(effects)[-2:] == [TransferBegan("desk", True, 20.0, HUMAN, 1), ClosingBegan("transferred")]
    assert closes(effects) == [Close("transferred", CLOSING_NOTES["transferred"])]
    assert line.phase == "talk"


@pytest.mark.parametrize(
    "target", ["+19005550100", "cellar", "bye", "", None, 7, ["desk"], {"desk": 1}, "sip:anybody@example.com", "DESK"]
)
def test_nobody_else_is_rung(target: object) -> None:
    line = talking()
    effects = ask_for(line, target)
    assert refusal(effects) == "target must be one of: desk, club"
    assert [entry.subject for entry in written(effects) if isinstance(entry, ProposalRefused)] == ["transfer_call"]
    assert line.engine.state.transfers == []


def test_phase_that_does_not_allow_it_refuses() -> None:
    line = talking()
    rule(line, "human")
    come_back(line)
    assert "transfer_call" not in {tool.name for tool in line.engine.tools()}
    line.say("Please try again.")
    assert "not available" in refusal(ask_for(line, "desk", "Please try again."))


def test_guards_of_the_way_there_decide() -> None:
    line = talking()
    assert refusal(ask_for(line, "club")) == "club is not open yet; go on with this part"
    line.record(HUMAN, member=True)
    assert answer(ask_for(line, "club")) == {"connecting": True}


@pytest.mark.parametrize("quote", [None, "", "the weather is lovely in Rome today"])
def test_quote_of_the_caller_is_needed(quote: object) -> None:
    line = talking()
    assert refusal(ask_for(line, "desk", quote))
    assert closes(line.effects) == []


def test_caller_who_has_said_nothing_is_not_transferred() -> None:
    assert "has not said anything" in refusal(ask_for(Line(FLOW), "desk"))


def test_second_transfer_at_once_is_refused() -> None:
    line = talking()
    call: Any = {"target": "desk", "quote": HUMAN}
    effects = line.together(("transfer_call", call), ("transfer_call", call))
    assert len(closes(effects)) == 1
    assert line.engine.state.transfers == ["desk"]


# ---- nobody answers -----------------------------------------------------------------------------------------------


def test_call_goes_on_where_the_target_says() -> None:
    line = talking()
    line.record(HUMAN, about="a bicycle")
    rule(line, "human")
    effects = come_back(line)
    assert entered(effects) == [("nobody", "no_answer")]
    assert line.engine.known["about"] == "a bicycle"
    assert line.engine.state.closing is None
    assert "record" in {tool.name for tool in line.engine.tools()}
    assert restored(line).state == line.engine.state


def test_call_does_not_run_through_the_way_back_by_itself() -> None:
    line = talking()
    line.record(HUMAN, about="a bicycle")
    rule(line, "human")
    come_back(line)
    assert line.phase == "nobody"
    line.say("Never mind, then.")
    assert line.phase == "bye"


def test_way_back_is_taken_once() -> None:
    line = talking()
    rule(line, "human")
    come_back(line)
    assert entered(line.take(CallResumed())) == []
    assert line.phase == "nobody"


def test_call_that_was_lost_before_the_transfer_says_so_again() -> None:
    line = talking()
    rule(line, "quick")
    assert closes(line.take(CallResumed())) == [Close("transferred", "", Say("One moment.", interruptible=False))]
    assert line.engine.state.transfers == ["desk"]


def test_nobody_is_rung_for_ever() -> None:
    line = talking()
    for _ in range(MOST_TRANSFERS):
        assert closes(rule(line, "human"))[0].reason == "transferred"
        come_back(line)
        line.say(HUMAN)
    effects = rule(line, "human")
    assert closes(effects) == [Close("transfer_failed", "")]
    assert notes(effects) == [CLOSING_NOTES["transfer_failed"]]
    assert len(line.engine.state.transfers) == MOST_TRANSFERS


def test_model_cannot_ask_for_ever() -> None:
    line = talking()
    line.engine.state.transfers += ["desk"] * MOST_TRANSFERS
    assert "nobody could be reached before" in refusal(ask_for(line, "desk"))
