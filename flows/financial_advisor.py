"""Alder & Finch takes a first call about money: consent, aims, means and risk; a profile; a meeting with a planner.

The call never advises. It describes, and a qualified person takes it from there.
"""

from collections.abc import Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from itertools import islice
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from voicebot.flow import (
    After,
    AskAgain,
    Flow,
    HangUp,
    Limits,
    Observations,
    Phase,
    PhoneNumber,
    Report,
    Say,
    To,
    ToolContext,
    ask,
    it,
    otherwise,
    tool,
)

# ---- the house -----------------------------------------------------------------------------------------------------

Profile = Literal["cautious", "balanced", "growth"]
PROFILES: tuple[Profile, ...] = ("cautious", "balanced", "growth")

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


class FirstCall(Observations):
    consent: bool = ask("a clear yes or no to the call being recorded and their answers being kept")
    name: str = ask("their full name")
    client: Literal["new", "existing"] = ask("whether they are a client already")
    client_number: Annotated[str, Field(pattern=r"^AF\d{5}$")] = ask(
        "their client number: AF and five digits, written without spaces",
        needed_if=it.client == "existing",
        check=known_number,
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
    reaction: Literal["sell", "wait", "buy more"] = ask("what they would do if the value fell by a fifth within a year")
    experience: Literal["none", "some", "much"] = ask("their experience with funds or shares")
    understands_loss: bool = ask("whether they say that they understand that the value can fall")
    profile: Profile = ask("the profile that `risk_profile` gave and you have read to them")
    profile_fits: bool = ask("whether they recognise themselves in it")
    wants_meeting: bool = ask("whether they want to meet a planner")
    meeting: Meeting = ask(
        "the meeting they chose from `free_appointments`", needed_if=it.wants_meeting.yes, check=in_diary
    )
    phone: PhoneNumber = ask(
        "a number for the planner to reach them", needed_if=it.wants_meeting.yes, default_from="caller"
    )


# ---- tools ---------------------------------------------------------------------------------------------------------


@tool
def risk_profile(context: ToolContext) -> dict[str, object]:
    """Which of the house's three profiles the recorded answers point to, and why.

    Use it before you speak of a profile. It describes; it recommends nothing.
    """
    answers = FirstCall.model_construct(**context.observations)
    willing = _willing(answers.reaction, answers.experience)
    able, circumstances = _able(answers.horizon_years, answers.reserve_months)
    profile = PROFILES[min(willing, able)]
    return {
        "profile": profile,
        "meaning": _MEANING[profile],
        "because": circumstances if able < willing else "of how they see losses, and of their experience",
        "remember": "a description, not advice",
    }


_MEANING = {
    "cautious": "small ups and downs matter more than growth",
    "balanced": "some ups and downs for some growth",
    "growth": "large ups and downs for more growth over a long time",
}


def _willing(reaction: str, experience: str) -> int:
    points = {"sell": 0, "wait": 2, "buy more": 3}[reaction] + {"none": 0, "some": 1, "much": 2}[experience]
    return 0 if points < 2 else 1 if points < 4 else 2


def _able(horizon_years: int, reserve_months: int) -> tuple[int, str]:
    """How much fluctuation the circumstances allow, whatever the caller wants."""
    if horizon_years < 4:
        return 0, "the money is needed in less than four years"
    if horizon_years < 8:
        return 1, "the money is needed in less than eight years"
    if reserve_months < 6:
        return 1, "the reserve covers less than six months"
    return 2, "there is time and a reserve"


@tool
def free_appointments(
    from_day: date, part_of_day: Literal["morning", "afternoon"] | None = None
) -> list[dict[str, str]]:
    """The next three free appointments with a planner, each of an hour.

    `from_day` is the first day that suits the caller, tomorrow at the earliest.
    """
    fitting = (
        (day, at, who)
        for day, at, who in _free_from(from_day)
        if part_of_day is None or (at < time(12)) == (part_of_day == "morning")
    )
    return [
        {"day": f"{day}", "weekday": f"{day:%A}", "at": f"{at:%H:%M}", "planner": who}
        for day, at, who in islice(fitting, 3)
    ]


# ---- the conversation ----------------------------------------------------------------------------------------------

PERSONA = """\
You take first calls for Alder & Finch, financial planners in Bristol. Calm, exact, discreet, with a dry kindness.
You are not an adviser: you never recommend a product, a provider, an amount or a moment, and you forecast nothing.
If you are asked for advice, say in one sentence that a planner gives it, in writing, and go on.
You never comment on how much or how little somebody has."""

KNOWLEDGE = """\
Alder & Finch, 22 Queen Square, Bristol. Planners: Priya Shah and Tom Reilly. The first meeting lasts an hour, costs
nothing and obliges to nothing; by video, at the office, or by telephone. After it the planner sends a written proposal
with every cost in pounds. Answers of this call are kept for the planner, and deleted after a year or on request.
The value of investments can fall as well as rise, and one may get back less than one put in."""

flow = Flow(
    goal="Understand what the caller wants and can bear, name the profile that fits, and arrange to meet a planner.",
    persona=PERSONA,
    knowledge=KNOWLEDGE,
    languages=["en"],
    voice="cedar",
    timezone="Europe/London",
    numbers=["+15550100003"],
    opening=Say(
        "Alder and Finch, hello. This call is recorded, and it gives no financial advice. May we begin on those terms?",
        interruptible=False,
    ),
    observations=FirstCall,
    limits=Limits(
        duration="12m",
        silence=[After("9s", AskAgain()), After("20s", AskAgain()), After("32s", HangUp())],
    ),
    initial_phase="consent",
    phases=[
        Phase(
            "consent",
            instructions="""\
They have been told that the call is recorded and gives no advice. Wait for a clear yes or no.
"I suppose" or "what for" is neither: explain in one sentence that a planner reads the answers, and ask again.
Ask nothing else before they have agreed.""",
            observations=[it.consent],
            transitions=[To("declined", when=it.consent.no), To("identity")],
        ),
        Phase(
            "identity",
            instructions="""\
Ask for the full name and whether they are a client already. From clients, take the client number and repeat it.
If the number is refused twice, record them as new, and say that the planner will find their file.""",
            observations=[it.name, it.client, it.client_number],
            transitions=[To("aims")],
        ),
        Phase(
            "aims",
            instructions="""\
Ask what the money is for, and in how many years they will need it. Take "in a few years" as a reason to ask for a
number. If they would rather speak to a person now, ask to go to the appointment.""",
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
If they would rather speak to a person now, ask to go to the appointment.""",
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
Then make sure that they know that the value can fall. Ask for it in their own words; a mere "yes yes" is not enough.
If they would rather speak to a person now, ask to go to the appointment.""",
            observations=[it.reaction, it.experience, it.understands_loss],
            success_criteria=[it.understands_loss.yes],
            transitions=[To("profile")],
            may_jump=["appointment"],
        ),
        Phase(
            "profile",
            instructions="""\
Use `risk_profile`. Say the profile and what it means in one sentence, and that it describes and does not advise.
Ask whether they recognise themselves in it. If not, record that; the planner will talk about it.""",
            observations=[it.profile, it.profile_fits],
            tools=[risk_profile],
            transitions=[To("appointment")],
        ),
        Phase(
            "appointment",
            instructions="""\
Ask whether they want to meet a planner, unless they have said so already. If yes, ask for days that suit and whether by
video, at the office or by telephone; use `free_appointments` and offer two. Record the one they choose.
If their number is withheld, ask for one. If they want no meeting, accept it at once.""",
            observations=[it.wants_meeting, it.meeting, it.phone],
            tools=[free_appointments],
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
    ],
    report=Report(
        outcome={
            "declined": it.consent.no,
            "meeting_arranged": it.meeting.filled & it.wants_meeting.yes,
            "no_meeting": it.wants_meeting.no,
            "incomplete": otherwise,
        }
    ),
)
