"""A workshop's switchboard: finds out what it is about, and joins the caller to somebody."""

from typing import Literal

from voicebot.flow import (
    Flow,
    HangUp,
    Limits,
    Number,
    Observations,
    Phase,
    PhaseLimits,
    Rule,
    Sip,
    To,
    Transfer,
    ask,
    it,
)


class Matter(Observations):
    name: str = ask("who calls")
    about: Literal["repair", "bill", "else"] = ask("what it is about")
    call_back: bool = ask("whether they want to be called back")


flow = Flow(
    goal="Join the caller to whoever can help.",
    observations=Matter,
    numbers=["+15550100010"],
    targets={
        "bench": Number("+15550100011", no_answer="nobody_free", timeout="25s", caller_id="+15550100010"),
        "office": Sip("sip:office@pbx.example.com", no_answer="nobody_free"),
    },
    fallback=[Transfer("bench")],
    limits=Limits(phase=PhaseLimits(turns=8, then="office")),
    rules=[Rule("human", when="the caller asks for a human being", then=To("office"))],
    phases=[
        Phase(
            "reception",
            instructions="Find out who calls, and what it is about.",
            observations=[it.name, it.about],
            may_transfer=["office"],
            transitions=[To("bench", when=it.about == "repair"), To("office")],
        ),
        Phase("bench", end=Transfer("bench", brief=True, say="I am connecting you to the workshop.")),
        Phase("office", instructions="Say that you are connecting them.", end=Transfer("office", brief=True)),
        Phase(
            "nobody_free",
            instructions="Apologise, and offer to call back.",
            observations=[it.call_back],
            transitions=[To("bye")],
            limits=PhaseLimits(turns=3, then="bye"),
        ),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
)
