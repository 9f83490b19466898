"""Who is calling a small practice, why, and whether to call back: a first flow. Make it yours, and rehearse it."""

from voicebot.flow import (
    After,
    AskAgain,
    Flow,
    HangUp,
    Limits,
    Observations,
    Phase,
    PhaseLimits,
    PhoneNumber,
    Report,
    Rule,
    To,
    ask,
    it,
    otherwise,
)


class Visit(Observations):
    """What a call is to find out, and what the report of the call holds."""

    name: str = ask("the caller's full name")
    reason: str = ask("why they are calling, in a few words")
    phone: PhoneNumber = ask("a number to call back", default_from="caller")
    agreed: bool = ask("a clear yes or no to being called back today")


flow = Flow(
    goal="Find out who is calling and why, and agree on a call back.",
    persona="You answer the phone of a small practice. Warm and brief, one question at a time.",
    knowledge="Harbour Practice, 12 Harbour Street. Open from Monday to Friday, 9:00 to 17:00.",
    opening="Harbour Practice, hello! Who is calling, please?",
    observations=Visit,
    rules=[Rule("human", when="the caller asks for a human being", then=To("call_back"))],
    limits=Limits(
        duration="5m",
        silence=[After("8s", AskAgain("Are you still there?")), After("20s", HangUp())],
        phase=PhaseLimits(turns=6, then="goodbye"),
    ),
    phases=[
        Phase(
            "reception",
            instructions="Find out who is calling and why. If their number is withheld, ask for one.",
            observations=[it.name, it.reason, it.phone],
            transitions=[To("call_back")],
        ),
        Phase(
            "call_back",
            instructions="Ask whether they would like to be called back today.",
            observations=[it.agreed],
            transitions=[To("promised", when=it.agreed.yes), To("goodbye")],
        ),
        Phase("promised", instructions="Say that we call back today, before five. Say goodbye.", end=HangUp()),
        Phase("goodbye", instructions="Say that they are welcome to call again, and goodbye.", end=HangUp()),
    ],
    report=Report(outcome={"call_back": it.agreed.yes, "declined": it.agreed.no, "incomplete": otherwise}),
)
