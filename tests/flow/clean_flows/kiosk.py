"""A kiosk takes an order for flowers."""

from enum import Enum
from typing import Literal

from voicebot.flow import Flow, HangUp, Limits, Observations, Phase, PhaseLimits, Report, To, ask, it, otherwise


class Paper(Enum):
    PLAIN = "plain"
    GOLD = "gold"


class Bunch(Observations):
    flower: Literal["rose", "tulip", "lily"] = ask("which flower")
    count: int = ask("how many")
    paper: Paper = ask("which paper", needed_if=it.count >= 3)
    ribbon: str | None = ask("a ribbon, if they want one", optional=True)
    accepted: bool = ask("a clear yes or no to the bunch")


flow = Flow(
    goal="Take an order for flowers.",
    observations=Bunch,
    limits=Limits(phase=PhaseLimits(turns=10, then="pity")),
    phases=[
        Phase(
            "order",
            instructions="Ask for the flower, how many, and the paper.",
            observations=[it.flower, it.count, it.paper, it.ribbon],
            success_criteria=[it.count > 0],
            transitions=[
                To("wholesale", when=it.count > 100),
                To("confirm", when=(it.paper == Paper.GOLD) | (it.paper == "plain") | (it.count < 3)),
            ],
        ),
        Phase(
            "confirm",
            instructions="Say it back, and ask for a clear yes.",
            observations=[it.accepted],
            transitions=[To("thanks", when=it.accepted.yes), To("pity", when=it.accepted.no)],
        ),
        Phase("wholesale", instructions="Give the number of the wholesale market. Say goodbye.", end=HangUp()),
        Phase("thanks", instructions="Say thank you and goodbye.", end=HangUp()),
        Phase("pity", instructions="Say that it is a pity. Say goodbye.", end=HangUp()),
    ],
    report=Report(outcome={"ordered": it.accepted.yes, "incomplete": otherwise}),
)
