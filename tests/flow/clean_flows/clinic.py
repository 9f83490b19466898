"""A clinic gives appointments: a flow that uses every ability, and in which the linter finds nothing."""

from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from voicebot.flow import (
    After,
    AskAgain,
    CallControl,
    CallEvent,
    Flow,
    HangUp,
    Key,
    Limits,
    Observations,
    Phase,
    PhaseLimits,
    PhoneNumber,
    Receiver,
    Recording,
    Report,
    Rule,
    Say,
    To,
    ToolContext,
    Transfer,
    Voicemail,
    ask,
    computed,
    handler,
    heard,
    it,
    judged,
    otherwise,
    tool,
)

FEES = {"check-up": Decimal("40.00"), "cleaning": Decimal("65.00"), "emergency": Decimal("90.00")}


def not_a_sunday(day: date) -> None:
    if day.weekday() == 6:
        raise ValueError("we are closed on Sundays; ask for another day")


def fee_of(reason: str, insured: bool) -> Decimal:
    """What the visit costs, in euros."""
    return FEES[reason] / 2 if insured else FEES[reason]


def is_far_ahead(day: date) -> bool:
    return day.year > 2030


class Visit(Observations):
    """What a call finds out."""

    name: str = ask("the caller's full name", confirm="read back")
    reason: Literal["check-up", "cleaning", "emergency"] = ask("what they come for")
    pain: Annotated[int, Field(ge=0, le=10)] = ask(
        "how bad the pain is, from 0 to 10", needed_if=it.reason == "emergency"
    )
    insured: bool = ask("whether they have an insurance")
    card: Annotated[str, Field(pattern=r"^[A-Z]{2}\d{6}$")] = ask("the number of the card", needed_if=it.insured.yes)
    day: date = ask("the day they want", check=not_a_sunday)
    at: time = ask("at what time")
    phone: PhoneNumber = ask("a number to call back", default_from="caller")
    note: str = ask("what the dentist should know", optional=True)
    fee: Decimal = computed(fee_of)
    accepted: bool = ask("a clear yes or no to the appointment and its price")


@tool(filler="One moment, I am looking at the diary.")
def free_hours(day: date) -> list[str]:
    """Which hours are free on a day. Use it before you offer one."""
    return [f"{day} 09:30", f"{day} 16:00"]


@tool
def opening_hours() -> str:
    """When the clinic is open."""
    return "Monday to Saturday, nine to six"


@tool(timeout_s=10, filler="I am writing it down.")
def book(context: ToolContext, name: str, day: date, at: time, fee: Decimal, note: str = "") -> str:
    """Book the appointment."""
    return f"{context.idempotency_key}: {name} {day} {at} {fee} {note}"


@tool
def call_the_dentist(name: str) -> str:
    """Call the dentist at home. Use it for an emergency that cannot wait."""
    return f"on the way to {name}"


def diary_entry(event: Mapping[str, Any]) -> dict[str, Any]:
    """The call as the diary's own service wants it."""
    return {"call": event["data"]["call_sid"], "outcome": event["data"]["outcome"]}


@handler("end")
def count(event: CallEvent, call: CallControl) -> None:
    """Count the calls."""


flow = Flow(
    goal="Give the caller an appointment.",
    persona="You answer the telephone of a dental clinic. Calm and kind.",
    knowledge="Dental clinic, Via Appia 3, Rome. Parking is in the yard.",
    opening=Say("Dental clinic, good day. This call is recorded.", name="recorded", interruptible=False),
    record=Recording(consent="recorded", refusal="unrecorded"),
    apology="I am sorry, something of ours has failed. Please call again.",
    fallback=[Transfer("+15550100077", timeout="20s"), Voicemail(max="2m")],
    languages=["en"],
    timezone="Europe/Rome",
    numbers=["+15550100042"],
    observations=Visit,
    tools_everywhere=[opening_hours],
    handlers=[count],
    limits=Limits(
        duration="10m",
        silence=[After("8s", AskAgain("Are you still there?")), After("20s", AskAgain()), After("40s", HangUp())],
        phase=PhaseLimits(turns=12, then="call_back"),
    ),
    rules=[
        Rule("human", when="the caller asks for a human being", then=To("call_back")),
        Rule("operator", when=Key("0"), then=To("call_back")),
        Rule(
            "off_topic", when="the caller asks for medical advice", then=Say("I may not give advice, the dentist will.")
        ),
        Rule("unrecorded", when="the caller does not want to be recorded", then=Say("Then this is not recorded.")),
        Rule("stop", when=Key("*"), then=HangUp()),
    ],
    initial_phase="reception",
    phases=[
        Phase(
            "reception",
            instructions="Ask who is calling and what they come for.",
            observations=[it.name, it.reason],
            transitions=[To("emergency", when=it.reason == "emergency"), To("insurance")],
        ),
        Phase(
            "emergency",
            instructions="Ask how bad the pain is.",
            observations=[it.pain],
            tools=[call_the_dentist.once(on_failure="call_back")],
            limits=PhaseLimits(duration="3m", then="call_back"),
            transitions=[To("at_once", when=it.pain >= 8), To("insurance", when=it.pain < 8)],
        ),
        Phase(
            "insurance",
            instructions="Ask whether they are insured, and for the card.",
            observations=[it.insured, it.card],
            may_jump=["reception"],
            transitions=[To("date")],
        ),
        Phase(
            "date",
            instructions="Find a day and an hour.",
            observations=[it.day, it.at, it.note],
            tools=[free_hours],
            success_criteria=[~(it.at < time(9))],
            transitions=[To("call_back", when=is_far_ahead), To("confirm")],
        ),
        Phase(
            "confirm",
            instructions="Ask for a clear yes.",
            observations=[it.phone, it.accepted],
            must_say=[
                Say("{name}, on {day} at {at}. It costs {fee} euros.", name="price"),
                Say("You may cancel until the day before.", name="terms", interruptible=False),
            ],
            success_criteria=[heard("price"), it.accepted.no | judged("the caller sounded sure")],
            transitions=[To("booking", when=it.accepted.yes), To("not_booked")],
        ),
        Phase(
            "booking",
            instructions="Say that you are booking it.",
            observations=[it.accepted],
            success_criteria=[it.accepted.yes],
            commit=book.once(on_failure="call_back"),
            transitions=[To("survey")],
        ),
        Phase(
            "survey",
            instructions="Ask how they found this call. Let them speak for half a minute.",
            limits=PhaseLimits(duration="30s", exact=True, then="bye"),
            transitions=[To("bye")],
        ),
        Phase("at_once", instructions="Tell them to come at once. Say goodbye.", end=HangUp()),
        Phase("call_back", instructions="Promise that somebody will call back. Say goodbye.", end=HangUp()),
        Phase("not_booked", instructions="Say that nothing is booked. Say goodbye.", end=HangUp()),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
    report=Report(
        outcome={"booked": it.accepted.yes, "emergency": it.pain >= 8, "declined": it.accepted.no, "open": otherwise},
        receivers=[
            Receiver("diary", url="https://diary.example.com/calls", body=diary_entry, bearer="diary"),
            Receiver(
                "screen",
                url="https://screen.example.com:8443/in",
                events=["call.started", "call.phase_changed", "call.analyzed"],
                secret="screen",
            ),
        ],
    ),
)
