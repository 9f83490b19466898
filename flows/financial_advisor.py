"""Alder & Finch takes a first call about money: consent, aims, means and risk; a profile; a meeting with a planner.

The call never advises. It describes, and a qualified person takes it from there.
"""

import asyncio
from collections.abc import Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from itertools import islice
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from voicebot.flow import (
    After,
    Analysis,
    AskAgain,
    Flow,
    HangUp,
    Key,
    Limits,
    Observations,
    Phase,
    PhaseLimits,
    PhoneNumber,
    Report,
    Rule,
    Say,
    To,
    ToolContext,
    ToolError,
    ask,
    computed,
    heard,
    it,
    judged,
    otherwise,
    tool,
)

# ---- the house -----------------------------------------------------------------------------------------------------

Profile = Literal["cautious", "balanced", "growth"]
PROFILES: tuple[Profile, ...] = ("cautious", "balanced", "growth")
Reaction = Literal["sell", "wait", "buy more"]
Experience = Literal["none", "some", "much"]

# Planners' hours by weekday (Monday is 0).
DIARY: dict[int, tuple[tuple[time, str], ...]] = {
    0: ((time(14, 0), "Tom Reilly"), (time(16, 0), "Tom Reilly")),
    1: ((time(10, 0), "Priya Shah"), (time(15, 30), "Priya Shah")),
    2: ((time(9, 0), "Tom Reilly"), (time(11, 0), "Priya Shah")),
    3: ((time(9, 30), "Priya Shah"), (time(14, 30), "Tom Reilly")),
}


def _taken(day: date, at: time) -> bool:
    """Every third hour of the diary is taken, always the same ones: this house books nowhere but here."""
    return (day.toordinal() + at.hour) % 3 == 0


def _planner(day: date, at: time) -> str | None:
    """Who is free then."""
    return next((who for hour, who in DIARY.get(day.weekday(), ()) if hour == at and not _taken(day, hour)), None)


def _free_from(first: date) -> Iterator[tuple[date, time, str]]:
    for offset in range(60):
        day = first + timedelta(days=offset)
        for at, who in DIARY.get(day.weekday(), ()):
            if not _taken(day, at):
                yield day, at, who


# The diary is pretended. Like a real one it is slow, it refuses now and then, and now and then it fails.
JUST_TAKEN = time(16)  # by a client who was quicker
NO_ROOM = "office"  # whose rooms are booked elsewhere, where nobody answers

# ---- what a call finds out -----------------------------------------------------------------------------------------


class Meeting(BaseModel, extra="forbid"):
    day: date
    at: time
    how: Literal["video", "office", "telephone"]


def known_number(number: str) -> None:
    """Client numbers carry a check digit: four digits weighted 7, 3, 1, 7, modulo ten."""
    digits = [int(digit) for digit in number[2:]]
    if sum(weight * digit for weight, digit in zip((7, 3, 1, 7), digits, strict=False)) % 10 != digits[4]:
        raise ValueError("no client has this number; ask them to read it once more, digit by digit")


def in_diary(meeting: Meeting) -> None:
    if _planner(meeting.day, meeting.at) is None:
        near = " or ".join(f"{day:%A %d %B} at {at:%H:%M}" for day, at, _ in islice(_free_from(meeting.day), 2))
        raise ValueError(f"nobody is free then; the next are {near}")


def risk_profile(horizon_years: int, reserve_months: int, reaction: Reaction, experience: Experience) -> Profile:
    """the profile that their answers point to: never more than they are willing to bear, nor than they are able to"""
    points = {"sell": 0, "wait": 2, "buy more": 3}[reaction] + {"none": 0, "some": 1, "much": 2}[experience]
    willing = 0 if points < 2 else 1 if points < 4 else 2
    able = 0 if horizon_years < 4 else 1 if horizon_years < 8 or reserve_months < 6 else 2
    return PROFILES[min(willing, able)]


class FirstCall(Observations):
    consent: bool = ask("a clear yes or no to the call being recorded and their answers being kept")
    name: str = ask("their full name")
    client: Literal["new", "existing"] = ask("whether they are a client already")
    client_number: Annotated[str, Field(pattern=r"^AF\d{5}$")] = ask(
        "their client number: AF and five digits, written without spaces",
        needed_if=it.client == "existing",
        check=known_number,
        confirm="read back",
    )
    aim: Literal["retirement", "a home", "education", "income", "growth"] = ask("what the money is for")
    horizon_years: Annotated[int, Field(ge=0, le=60)] = ask("in how many years they will need it, in whole years")
    lump_sum: Annotated[Decimal, Field(ge=0, le=50_000_000)] = ask(
        "what they would put aside at once, in pounds; 0 if nothing"
    )
    monthly: Annotated[Decimal, Field(ge=0, le=1_000_000)] = ask(
        "what they would add each month, in pounds; 0 if nothing"
    )
    reserve_months: Annotated[int, Field(ge=0, le=600)] = ask(
        "for how many months their savings would cover their costs"
    )
    costly_debt: bool = ask("whether they carry card debt, overdrafts or other expensive loans; a mortgage is none")
    reaction: Reaction = ask("what they would do if the value fell by a fifth within a year")
    experience: Experience = ask("their experience with funds or shares")
    profile: Profile = computed(risk_profile)
    profile_fits: bool = ask("whether they recognise themselves in it")
    wants_meeting: bool = ask("whether they want to meet a planner")
    meeting: Meeting = ask(
        "the meeting they chose from `free_appointments`",
        needed_if=it.wants_meeting.yes,
        check=in_diary,
        confirm="read back",
    )
    phone: PhoneNumber = ask("a number to reach them", default_from="caller")
    planner: str = ask("who will meet them, from the diary", optional=True)


# ---- tools ---------------------------------------------------------------------------------------------------------


@tool(filler="One moment, I am opening the diary.")
async def free_appointments(
    from_day: date, part_of_day: Literal["morning", "afternoon"] | None = None
) -> list[dict[str, str]]:
    """The next three free appointments with a planner, each of an hour.

    `from_day` is the first day that suits the caller, tomorrow at the earliest.
    """
    await asyncio.sleep(2)
    fitting = (
        (day, at, who)
        for day, at, who in _free_from(from_day)
        if part_of_day is None or (at < time(12)) == (part_of_day == "morning")
    )
    return [
        {"day": f"{day}", "weekday": f"{day:%A}", "at": f"{at:%H:%M}", "planner": who}
        for day, at, who in islice(fitting, 3)
    ]


@tool
def book_meeting(context: ToolContext, meeting: Meeting, name: str, phone: PhoneNumber) -> str:
    """Book the meeting."""
    if meeting.how == NO_ROOM:
        raise ConnectionError("the rooms cannot be booked")
    if meeting.at == JUST_TAKEN:
        raise ToolError("somebody has just taken this hour: say so, and offer another")
    planner = _planner(meeting.day, meeting.at) or ""
    context.record(planner=planner)
    return f"booked with {planner}"


# ---- the conversation ----------------------------------------------------------------------------------------------

PERSONA = """\
You take first calls for Alder & Finch, financial planners in Bristol. Calm, exact, discreet, with a dry kindness.
You are not an adviser: you never recommend a product, a provider, an amount or a moment, and you forecast nothing.
You never comment on how much or how little somebody has."""

KNOWLEDGE = """\
Alder & Finch, 22 Queen Square, Bristol. Planners: Priya Shah and Tom Reilly. The first meeting lasts an hour, costs
nothing and obliges to nothing; by video, at the office, or by telephone. After it the planner sends a written proposal
with every cost in pounds. Answers of this call are kept for the planner, and deleted after a year or on request.
The value of investments can fall as well as rise, and one may get back less than one put in.
Profiles: cautious, small ups and downs matter more than growth; balanced, some ups and downs for some growth; growth,
large ups and downs for more growth over a long time."""

flow = Flow(
    goal="Understand what the caller wants and can bear, name the profile that fits, and arrange to meet a planner.",
    persona=PERSONA,
    knowledge=KNOWLEDGE,
    languages=["en"],
    voice="cedar",
    timezone="Europe/London",
    numbers=["+15550100003"],
    opening=Say("Alder and Finch, hello."),
    apology=Say("I am sorry, something has failed on our side. Please call again, or write to us at Queen Square."),
    observations=FirstCall,
    rules=[
        Rule("human", when="the caller asks for a human being, or complains", then=To("human")),
        Rule("zero", when=Key("0"), then=To("human")),
        Rule(
            "advice",
            when="the caller asks what they should buy, with whom, how much or when, or how markets will go",
            then=Say("I may not advise you. A planner does, in writing, once you have met."),
        ),
    ],
    limits=Limits(
        duration="12m",
        cost_usd=3.0,
        silence=[
            After("9s", AskAgain("Are you still there?")),
            After("20s", AskAgain("Take your time, I am listening.")),
            After("32s", HangUp()),
        ],
        phase=PhaseLimits(turns=8, then="human"),
    ),
    initial_phase="consent",
    phases=[
        Phase(
            "consent",
            instructions="""\
Wait for a clear yes or no to what they have just been told.
"I suppose" or "what for" is neither: explain in one sentence that a planner reads the answers, and ask again.
Ask nothing else before they have agreed.""",
            must_say=[
                Say(
                    "This call is recorded, and it gives no financial advice. May we begin on those terms?",
                    name="disclosure",
                    interruptible=False,
                )
            ],
            observations=[it.consent],
            success_criteria=[heard("disclosure")],
            transitions=[To("declined", when=it.consent.no), To("identity")],
        ),
        Phase(
            "identity",
            instructions="""\
Ask for the full name and whether they are a client already. From clients, take the client number and read it back.
If the number is refused twice, record them as new, and say that the planner will find their file.""",
            observations=[it.name, it.client, it.client_number],
            transitions=[To("aims")],
        ),
        Phase(
            "aims",
            instructions="""\
Ask what the money is for, and in how many years they will need it. Take "in a few years" as a reason to ask for a
number. If they would rather speak to a planner now, ask to go to the appointment.""",
            observations=[it.aim, it.horizon_years],
            transitions=[To("means")],
            may_jump=["appointment"],
        ),
        Phase(
            "means",
            instructions="""\
Ask what they would put aside, at once and each month. Either may be nothing, but not both.
Then two questions of safety: for how many months their savings would last, and whether they carry expensive debts.
Say beforehand that every planner asks them.
If they would rather speak to a planner now, ask to go to the appointment.""",
            observations=[it.lump_sum, it.monthly, it.reserve_months, it.costly_debt],
            success_criteria=[(it.lump_sum > 0) | (it.monthly > 0)],
            transitions=[To("groundwork", when=it.costly_debt.yes | (it.reserve_months < 3)), To("risk")],
            may_jump=["appointment"],
        ),
        Phase(
            "groundwork",
            instructions="""\
Say, without judging, that planners usually look at expensive debts and a reserve for bad months before anything else,
and that a meeting about this costs nothing. Ask whether they would like one.""",
            transitions=[To("appointment")],
        ),
        Phase(
            "risk",
            instructions="""\
Ask what they would do if the value fell by a fifth within a year, and what experience they have with funds or shares.
Then make sure that they know that the value can fall. Ask for it in their own words; "yes yes" is not enough.""",
            observations=[it.reaction, it.experience],
            success_criteria=[judged("the caller has said in their own words that they may lose money")],
            transitions=[To("profile")],
        ),
        Phase(
            "profile",
            instructions="""\
Say what the profile means in one sentence. Ask whether they recognise themselves in it. If not, record that; the
planner will talk about it.""",
            must_say=[
                Say("Your answers describe a {profile} investor. That is a description, and no advice.", name="profile")
            ],
            observations=[it.profile_fits],
            success_criteria=[heard("profile")],
            transitions=[To("appointment")],
        ),
        Phase(
            "appointment",
            instructions="""\
Ask whether they want to meet a planner, unless they have said so already. If yes, ask for days that suit and whether by
video, at the office or by telephone; use `free_appointments` and offer two. Read back the one they choose.
If they want no meeting, accept it at once.""",
            observations=[it.wants_meeting, it.meeting],
            tools=[free_appointments],
            transitions=[To("booking", when=it.wants_meeting.yes), To("goodbye")],
        ),
        Phase(
            "booking",
            instructions="Ask for a number if theirs is withheld. If the hour is refused, say so, and offer another.",
            observations=[it.phone],
            tools=[free_appointments],
            success_criteria=[it.wants_meeting.yes],
            commit=book_meeting.once(on_failure="human"),
            transitions=[To("goodbye")],
        ),
        Phase(
            "goodbye",
            instructions="""\
If a meeting is arranged, repeat day, time and planner once. Otherwise say that they may call whenever they like.
Thank them by name. Say goodbye.""",
            end=HangUp(),
        ),
        Phase(
            "declined",
            instructions="""\
Say that you understand, that nothing but their no is kept, and that they are welcome to write or to come by at
22 Queen Square. Say goodbye. Do not try to persuade them.""",
            end=HangUp(),
        ),
        Phase(
            "human",
            instructions="""\
Say that a planner calls them back today, and about what. Apologise if something of ours has failed.
If their number is withheld, ask for one.""",
            observations=[it.phone],
            transitions=[To("called_back")],
            limits=PhaseLimits(turns=2, then="goodbye"),
        ),
        Phase("called_back", instructions="Say that a planner will call today. Say goodbye.", end=HangUp()),
    ],
    report=Report(
        outcome={
            "declined": it.consent.no,
            "meeting_arranged": it.planner.filled,
            "no_meeting": it.wants_meeting.no,
            "incomplete": otherwise,
        },
        # Of those who do not want their answers kept nothing is summed up.
        analysis=Analysis(
            "what the caller wants the money for, what was arranged, and what a planner should know before they meet",
            when=it.consent.yes,
        ),
    ),
)
