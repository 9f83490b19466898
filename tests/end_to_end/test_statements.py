"""What must be said, through the whole product: rendered, heard, interrupted, misread."""

from __future__ import annotations

from voicebot.flow import Flow, HangUp, Observations, Phase, Say, To, ask, it
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.sim.brain import Says
from voicebot.sim.clock import run_virtual
from voicebot.sim.realtime_quirks import Quirks
from voicebot.sim.scenario import Exchange, Expected, Interrupt, Scenario, noted
from voicebot.sim.scenario import Say as Speak
from voicebot.sim.stage import rehearse


class Order(Observations):
    size: str = ask("the size")
    accepted: bool = ask("an explicit yes to the price")


flow = Flow(
    goal="Sell one pizza.",
    observations=Order,
    opening="Pizzeria, good evening.",
    phases=(
        Phase("order", instructions="Ask for the size.", observations=(it.size,), transitions=(To("confirm"),)),
        Phase(
            "confirm",
            instructions="Get a yes to the price.",
            must_say=(Say("One {size} pizza is twelve euro fifty, to be paid in cash at the door.", name="price"),),
            observations=(it.accepted,),
            success_criteria=(it.accepted.yes,),
            transitions=(To("bye"),),
        ),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ),
)
shelf = FlowShelf({"pizza": load_flow("pizza", flow)})
PRICE = "One large pizza is twelve euro fifty, to be paid in cash at the door."

ORDER = Exchange(
    Speak("A large one, please."), ((noted(size=("large", "A large one")),), (Says("Is that all right?"),))
)
YES = Exchange(Speak("Yes, do it."), ((noted(accepted=(True, "Yes, do it")),), (Says("See you soon. Goodbye!"),)))
PHASES = ("order", "confirm", "bye")


def test_statement_is_heard_before_the_phase_ends() -> None:
    expected = Expected(phases=PHASES, ended_reason="completed", interruptions=0, statements=(PRICE,))
    rehearsal = run_virtual(rehearse(Scenario("heard", "pizza", (ORDER, YES), expected), shelf))
    assert rehearsal.problems == ()
    [statement] = rehearsal.report["statements"]
    assert (statement["name"], statement["heard"]) == ("price", PRICE)


def test_interrupted_statement_is_said_again_to_its_end() -> None:
    cut = Exchange(Interrupt("Wait, with olives!", after_ms=1500), ((Says("With olives it is. All right?"),),))
    scenario = Scenario("cut", "pizza", (ORDER, cut, YES), Expected())
    rehearsal = run_virtual(rehearse(scenario, shelf))
    told = [said for said in rehearsal.result.bot_said if said.text and PRICE.startswith(said.text)]
    assert [said.complete for said in told] == [False, True]
    assert rehearsal.report["statements"][0]["heard"] == PRICE
    assert [phase["name"] for phase in rehearsal.report["phases"]] == list(PHASES)


def test_wrong_words_never_count_as_heard() -> None:
    scenario = Scenario("misread", "pizza", (ORDER, YES), Expected())
    rehearsal = run_virtual(rehearse(scenario, shelf, quirks=Quirks(misreadings=99)))
    assert rehearsal.report["observations"]["accepted"] is True
    assert rehearsal.report["statements"][0]["heard"] is None
    assert [phase["name"] for phase in rehearsal.report["phases"]] == ["order", "confirm"]
