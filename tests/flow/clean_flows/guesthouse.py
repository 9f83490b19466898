"""A guesthouse that speaks two languages, with all its exact words in both, and a bound on what a call costs."""

from voicebot.flow import (
    After,
    AskAgain,
    Flow,
    HangUp,
    LeaveMessage,
    Limits,
    Observations,
    Phase,
    PhaseLimits,
    Rule,
    Say,
    To,
    ask,
    computed,
    heard,
    it,
    tool,
)


def price_of(nights: int) -> int:
    """What so many nights cost."""
    return 80 * nights


class Stay(Observations):
    nights: int = ask("how many nights")
    total: int = computed(price_of)
    agreed: bool = ask("a clear yes to the price", about=["total"])


@tool(filler={"en": "I am looking into the book.", "it": "Guardo nel libro."})
def free_rooms(nights: int) -> int:
    """How many rooms are free for so long."""
    return 7 - nights


flow = Flow(
    goal="Take a booking.",
    languages=["en", "it"],
    observations=Stay,
    opening=Say({"en": "Villa Iris, hello.", "it": "Villa Iris, buongiorno."}),
    apology={"en": "I am sorry, please call again.", "it": "Mi dispiace, richiami per favore."},
    on_voicemail=LeaveMessage({"en": "It is Villa Iris.", "it": "Qui Villa Iris."}),
    rules=[
        Rule(
            "dogs",
            when="the caller asks about dogs",
            then=Say({"en": "Dogs are welcome.", "it": "I cani sono ammessi."}),
        )
    ],
    limits=Limits(
        silence=[After("8s", AskAgain({"en": "Are you there?", "it": "È ancora in linea?"})), After("20s", To("bye"))],
        phase=PhaseLimits(turns=8, then="bye"),
        cost_usd=1.50,
        cost_say={"en": "We have to come to an end.", "it": "Dobbiamo concludere."},
        cost_way=To("bye"),
    ),
    phases=[
        Phase(
            "stay",
            instructions="Ask for how long they want to stay.",
            observations=[it.nights],
            tools=[free_rooms],
            transitions=[To("price")],
        ),
        Phase(
            "price",
            instructions="Ask whether they agree.",
            must_say=[Say({"en": "That is {total} euro.", "it": "Sono {total} euro."}, name="price")],
            observations=[it.agreed],
            success_criteria=[heard("price")],
            transitions=[To("bye")],
        ),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
)
