"""A parcel service says what a parcel costs, and books it: a price that is not always to be had, and a yes to it."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from voicebot.flow import Flow, HangUp, Limits, Observations, Phase, PhaseLimits, Rule, Say, To, ask, computed, it

RATES = {5: Decimal("6.90"), 10: Decimal("9.90"), 31: Decimal("16.50")}


def price_of(kilos: int) -> Decimal:
    """What it costs, in euros."""
    fitting = [price for limit, price in RATES.items() if kilos <= limit]
    if not fitting:
        raise ValueError("too heavy for us; ask whether it can be two parcels")
    return fitting[0]


class Parcel(Observations):
    kilos: Annotated[int, Field(ge=1)] = ask("how heavy it is, in kilos")
    price: Decimal = computed(price_of)
    agreed: bool = ask("whether they send it as it is weighed", about=it.price)
    name: str = ask("the name on the parcel")


flow = Flow(
    goal="Say what a parcel costs.",
    observations=Parcel,
    rules=[Rule("human", when="the caller asks for a human being", then=To("counter"))],
    limits=Limits(phase=PhaseLimits(turns=8, then="counter")),
    phases=[
        Phase(
            "parcel",
            instructions="Ask how heavy it is, then whether the price is all right.",
            observations=[it.kilos, it.agreed],
            must_say=[Say("That is {price} euro.", name="price")],
            transitions=[To("sender")],
        ),
        Phase("sender", instructions="Ask for the name.", observations=[it.name], transitions=[To("bye")]),
        Phase("counter", instructions="Ask them to come to the counter. Say goodbye.", end=HangUp()),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
)
