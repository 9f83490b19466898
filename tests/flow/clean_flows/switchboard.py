"""A workshop's switchboard: finds out what it is about, and joins the caller to somebody."""

from typing import Literal

from voicebot.flow import (
    Closed,
    Flow,
    HangUp,
    Hours,
    Limits,
    Number,
    Observations,
    Phase,
    PhaseLimits,
    PhoneNumber,
    Report,
    Rule,
    Sip,
    Sms,
    To,
    Transfer,
    Voicemail,
    ask,
    it,
)


class Matter(Observations):
    name: str = ask("who calls")
    about: Literal["repair", "bill", "else"] = ask("what it is about")
    call_back: bool = ask("whether they want to be called back")
    number: PhoneNumber = ask("where to call back", default_from="caller", needed_if=it.call_back.yes)


flow = Flow(
    goal="Join the caller to whoever can help.",
    observations=Matter,
    numbers=["+15550100010"],
    targets={
        "bench": Number("+15550100011", no_answer="nobody_free", timeout="25s", caller_id="+15550100010"),
        "office": Sip("sip:office@pbx.example.com", no_answer="nobody_free"),
    },
    fallback=[Transfer("bench")],
    timezone="Europe/Rome",
    hours=Hours({"mon-fri": "08:00-12:30, 14:00-18:00", "sat": "22:00-02:00"}, holidays={"9999-12-24": "08:00-12:00"}),
    closed=Closed("The workshop is closed.", then=[Transfer("office"), Voicemail(max="1m")]),
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
            observations=[it.call_back, it.number],
            transitions=[To("bye")],
            limits=PhaseLimits(turns=3, then="bye"),
        ),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
    report=Report(sms=Sms("Dear {name}, we call you back.", when=it.call_back.yes, to=it.number)),
)
