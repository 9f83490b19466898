"""The practice of Doctor Moretti calls its patients the day before, and answers those who call back.

voicebot call +15550123456 appointment_reminder --var patient="Ada Lovelace" --var appointment="Tuesday at nine"
"""

from voicebot.flow import (
    After,
    AskAgain,
    Closed,
    Flow,
    HangUp,
    Hours,
    Key,
    Keypad,
    LeaveMessage,
    Limits,
    Number,
    Observations,
    Patience,
    Phase,
    PhaseLimits,
    Receiver,
    Recording,
    Report,
    Rule,
    Say,
    Sms,
    To,
    ToolContext,
    Transfer,
    ask,
    it,
    otherwise,
    tool,
)

FIRST_YEAR, LAST_YEAR = 1900, 2026
NOT_READ = "Sunday"  # the diary is pretended; of this day, it never answers

# ---- what a call finds out -----------------------------------------------------------------------------------------


def a_year_of_birth(year: int) -> None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError("nobody of our patients was born then; ask for the year of birth once more")


class Reply(Observations):
    patient: str = ask("whom the appointment is for", default_from="variables.patient")
    appointment: str = ask("the day and the time of the appointment", default_from="variables.appointment")
    comes: bool = ask("whether they come to this appointment")
    wish: str = ask("which day, and which part of it, would suit them instead")
    birth_year: int = ask("the patient's year of birth", keypad=Keypad(length=4, tries=2), check=a_year_of_birth)
    insurance: str = ask(
        "the number of the insurance card",
        secret=True,
        keypad=Keypad(length=10, prompt="Now enter the ten digits of the insurance card, please."),
    )
    call_back: bool = ask("whether the front desk shall call them back")
    confirmed: bool = ask("that the appointment stands, as our diary says", optional=True)


# ---- tools ---------------------------------------------------------------------------------------------------------


@tool
async def confirm(context: ToolContext, patient: str, appointment: str) -> str:
    """Confirm the appointment in our diary, and send a text message about it."""
    if NOT_READ in appointment:
        raise ConnectionError("the diary does not answer")
    await context.send_sms(f"Doctor Moretti expects {patient}: {appointment}. To move it, call this number.")
    context.record(confirmed=True)
    return "it is confirmed, and a text message about it is on its way"


# ---- the conversation ----------------------------------------------------------------------------------------------

flow = Flow(
    goal="Know whether the patient comes, have the appointment confirmed, or hear when they could come instead.",
    persona="You speak for a doctor's practice: friendly, brief, unhurried. One question at a time. No medical advice.",
    timezone="Europe/Rome",
    numbers=["+15550100004"],
    opening=Say(
        "Hello, this is the practice of Doctor Moretti. This call is recorded.", name="recorded", interruptible=False
    ),
    apology=Say("I am sorry, our telephone has a problem. We will call again."),
    on_voicemail=LeaveMessage("This is the practice of Doctor Moretti. Please call us back about your appointment."),
    record=Recording(consent="recorded", refusal="no_recording"),
    hours=Hours({"mon-fri": "08:00-18:00"}),
    closed=Closed("The practice is closed. Please call again on a weekday, from eight o'clock on. Goodbye."),
    patience=Patience(stops_after="700ms", hums=True),
    noise_reduction="near_field",
    targets={"desk": Number("+15550100044", no_answer="nobody_free", timeout="18s", caller_id="+15550100004")},
    observations=Reply,
    rules=[
        Rule("human", when="the caller asks for a human being, or complains", then=To("desk")),
        Rule("zero", when=Key("0"), then=To("desk")),
        Rule("no_recording", when="the caller does not want to be recorded", then=Say("Then nothing is recorded.")),
    ],
    limits=Limits(
        duration="90s",
        silence=[
            After("7s", AskAgain("Are you still there?")),
            After("14s", AskAgain("Take your time, I am still here.")),
            After("21s", To("unheard")),
        ],
        phase=PhaseLimits(turns=3, then="desk"),
    ),
    phases=[
        Phase(
            "remind",
            instructions="""\
If we have called them, say for whom the appointment is and when. Else ask them whom it is about, and when it is.
Ask whether they come. They may press one if they do, and two for another day.""",
            observations=[it.patient, it.appointment, it.comes],
            keys={"1": To("check_in"), "2": To("move")},
            transitions=[To("check_in", when=it.comes.yes), To("move")],
        ),
        Phase(
            "check_in",
            instructions="Ask for the year of birth; they may press it. The insurance card is asked for by itself.",
            observations=[it.birth_year, it.insurance],
            commit=confirm.once(on_failure="desk", idempotent=True),
            transitions=[To("bye")],
        ),
        Phase(
            "move",
            instructions="Say that this is no trouble. Ask which day would suit them, and in which part of the day.",
            observations=[it.wish],
            patience=Patience(pause="900ms", stops_after="700ms", hums=True),
            transitions=[To("bye")],
        ),
        Phase("desk", end=Transfer("desk", brief=True, say="I am connecting you to the front desk.")),
        Phase(
            "nobody_free",
            instructions="Ask whether the front desk shall call them back today.",
            observations=[it.call_back],
            transitions=[To("bye")],
            limits=PhaseLimits(turns=1, then="bye"),
        ),
        Phase(
            "unheard", instructions="Say that you cannot hear them, and that we call again. Say goodbye.", end=HangUp()
        ),
        Phase(
            "bye",
            instructions="Say in one sentence what was agreed. The front desk finds another time. Say goodbye.",
            end=HangUp(),
        ),
    ],
    report=Report(
        outcome={"confirmed": it.confirmed.yes, "to_be_moved": it.wish.filled, "open": otherwise},
        sms=[Sms("Doctor Moretti: we look for another day for {patient}: {wish}.", when=it.wish.filled)],
        receivers=[Receiver("insurer", url="https://insurer.example.com/visits", secrets=[it.insurance])],
    ),
)
