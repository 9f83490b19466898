"""Seaport English places a learner by telephone: tasks of an exact length, a level of the CEFR, a first lesson."""

from collections.abc import Iterator
from datetime import date, time, timedelta
from itertools import islice
from math import ceil
from typing import Literal

from pydantic import BaseModel, Field

from voicebot.flow import (
    After,
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

# ---- the school ----------------------------------------------------------------------------------------------------

Level = Literal["A1", "A2", "B1", "B2", "C1", "C2"]
LEVELS: tuple[Level, ...] = ("A1", "A2", "B1", "B2", "C1", "C2")

COURSES = {
    "A1": ("First Words", "Niamh"),
    "A2": ("Everyday English", "Niamh"),
    "B1": ("Finding Your Voice", "Aoife"),
    "B2": ("English at Work", "Aoife"),
    "C1": ("Fine Print", "Declan"),
    "C2": ("Fine Print", "Declan"),
}
# Trial lessons by weekday (Monday is 0), for each band of levels.
TRIALS: dict[str, dict[int, time]] = {
    "A": {0: time(17, 30), 2: time(10, 0)},
    "B": {1: time(18, 30), 3: time(19, 0)},
    "C": {1: time(20, 0), 4: time(12, 30)},
}


def _given(level: str, day: date) -> time | None:
    """When a trial lesson of this level is given on that day; the school is closed over Christmas."""
    closed = (day.month, day.day) >= (12, 20) or (day.month, day.day) <= (1, 6)
    return None if closed else TRIALS[level[0]].get(day.weekday())


def _lessons_from(level: str, first: date) -> Iterator[tuple[date, time]]:
    for offset in range(60):
        day = first + timedelta(days=offset)
        if (at := _given(level, day)) is not None:
            yield day, at


# The booking desk is pretended. Like a real one it refuses now and then, and now and then it fails.
FULL_WEEKDAY = 3  # the last place in the Thursday lessons has always just gone
CALENDAR_DOWN = "Declan"  # who keeps his own, and it never answers

# ---- what a call finds out -----------------------------------------------------------------------------------------


class Rating(BaseModel, extra="forbid"):
    level: Level
    reason: str = Field(min_length=10, max_length=300, description="why this level, in one sentence for the teacher")


class Lesson(BaseModel, extra="forbid"):
    level: Level
    day: date
    at: time


def in_timetable(lesson: Lesson) -> None:
    if _given(lesson.level, lesson.day) != lesson.at:
        nearest = islice(_lessons_from(lesson.level, lesson.day), 2)
        near = " or ".join(f"{day:%A %d %B} at {at:%H:%M}" for day, at in nearest)
        raise ValueError(f"there is no {lesson.level} trial lesson then; the next are {near}")


def placed(
    first_impression: Level,
    story: Rating | None = None,
    role_play: Rating | None = None,
    debate: Rating | None = None,
) -> Level:
    """the learner's level

    The tasks count twice as much as the first impression; a tie goes to the lower level, so that nobody starts out of
    their depth.
    """
    tasks = [LEVELS.index(rating.level) for rating in (story, role_play, debate) if rating is not None]
    mean = (LEVELS.index(first_impression) + 2 * sum(tasks)) / (1 + 2 * len(tasks))
    return LEVELS[ceil(mean - 0.5)]


class Assessment(Observations):
    consent: bool = ask("whether they agree that the call is assessed and notes of it are kept for the teacher")
    ready: bool = ask("true once they are in a quiet place and ready to begin", needed_if=it.consent.yes)
    name: str = ask("what they want to be called")
    purpose: Literal["work", "study", "travel", "exam", "everyday life"] = ask("what they need English for, mostly")
    first_language: str = ask("their first language", optional=True)
    first_impression: Level = ask("your first guess of the level, from what they have said so far")
    story: Rating = ask("how well they told the story: past tenses, order of events, range of words", optional=True)
    role_play: Rating = ask(
        "how well they managed the role play: being understood, polite forms, asking back", optional=True
    )
    debate: Rating = ask("how well they argued: giving reasons, weighing two sides, linking sentences", optional=True)
    overall: Level = computed(placed)
    result_view: Literal["feels right", "expected higher", "expected lower"] = ask("what they think of the result")
    wants_lesson: bool = ask("whether they want a free trial lesson")
    lesson: Lesson = ask(
        "the trial lesson they chose from `free_lessons`",
        needed_if=it.wants_lesson.yes,
        check=in_timetable,
        confirm="read back",
    )
    phone: PhoneNumber = ask("a number to reach them", default_from="caller")
    booking: str = ask("the booking's reference, from the desk", optional=True)


# ---- tools ---------------------------------------------------------------------------------------------------------


@tool
def free_lessons(
    level: Level, from_day: date, part_of_day: Literal["daytime", "evening"] | None = None
) -> list[dict[str, str]]:
    """The next three free trial lessons of a level.

    `from_day` is the first day that suits the caller, tomorrow at the earliest. Evening begins at 17:00.
    """
    course, teacher = COURSES[level]
    fitting = (
        (day, at)
        for day, at in _lessons_from(level, from_day)
        if part_of_day is None or (at >= time(17)) == (part_of_day == "evening")
    )
    return [
        {"day": f"{day}", "weekday": f"{day:%A}", "at": f"{at:%H:%M}", "course": course, "teacher": teacher}
        for day, at in islice(fitting, 3)
    ]


@tool(filler="Let me write you down for that.")
def book_lesson(context: ToolContext, lesson: Lesson, name: str, phone: PhoneNumber) -> str:
    """Book the trial lesson."""
    course, teacher = COURSES[lesson.level]
    if teacher == CALENDAR_DOWN:
        raise ConnectionError(f"{teacher}'s calendar does not answer")
    if lesson.day.weekday() == FULL_WEEKDAY:
        raise ToolError("the last place has just gone: say so, and offer another lesson")
    reference = f"{lesson.level}-{lesson.day:%m%d}"
    context.record(booking=reference)
    return f"{course} with {teacher}, booked as {reference}"


# ---- the conversation ----------------------------------------------------------------------------------------------

PERSONA = """\
You are the examiner of Seaport English in Dublin, on the telephone. Friendly, curious, patient: people speak best when
they forget that it is a test. You use plain words and speak a little slower with beginners. You never correct anybody
during the test, and you never say a level yourself."""

KNOWLEDGE = """\
How to rate, by the Common European Framework:
A1: single words and learnt phrases. A2: simple sentences about daily things, basic past forms, many pauses.
B1: connected talk about familiar things, tells what happened and why, errors that do not confuse.
B2: clear and fluent on many subjects, argues a point with reasons. C1: flexible, precise, natural linking, few errors.
C2: effortless, with nuance. Between two levels, choose the lower one. Rate what you heard, never the accent.
A trial lesson is free and lasts 50 minutes, online or at 14 Lombard Street. Courses begin every Monday."""

# Every learner has the same time for a task, whatever the line does: that is what makes the levels comparable.
STORY, TASK = "40s", "30s"

flow = Flow(
    goal="Find the caller's level of spoken English, tell it to them, and offer a trial lesson that fits.",
    persona=PERSONA,
    knowledge=KNOWLEDGE,
    languages=["en"],
    voice="cedar",
    timezone="Europe/Dublin",
    numbers=["+15550100002"],
    opening=Say(
        "Seaport English, hello! This is your speaking test. I keep notes for your teacher. Is that all right?",
        interruptible=False,
    ),
    apology=Say("I am sorry, our line has broken. Please call again in a minute, we begin where you like."),
    observations=Assessment,
    rules=[
        Rule("human", when="the caller asks for a human being, or for a teacher", then=To("human")),
        Rule("zero", when=Key("0"), then=To("human")),
        Rule(
            "enough",
            when="the learner is tired or unwell and wants to stop the test here",
            then=To("result", when=it.first_impression.filled & ~it.result_view.filled),
        ),
        Rule("how_am_i_doing", when="the learner asks how they are doing", then=Say("You will hear it at the end.")),
    ],
    limits=Limits(
        duration="15m",
        # Learners need time to think: the first nudge comes late.
        silence=[
            After("12s", AskAgain("Take your time.")),
            After("25s", AskAgain("Are you still there?")),
            After("40s", HangUp()),
        ],
        phase=PhaseLimits(turns=8, then="human"),
    ),
    initial_phase="consent",
    phases=[
        Phase(
            "consent",
            instructions="""\
They have been asked whether notes may be kept. Wait for a clear yes or no.
If they ask what for: the teacher reads the notes before the first lesson, nobody else does, and they can have them
deleted. If they agree, make sure that they are somewhere quiet and ready to begin. If they need a moment, give it.""",
            observations=[it.consent, it.ready],
            success_criteria=[it.consent.no | it.ready.yes],
            transitions=[To("no_consent", when=it.consent.no), To("warm_up")],
        ),
        Phase(
            "warm_up",
            instructions="""\
Small talk that tells you where to begin. Ask who they are and what they need English for.
Answer like a person, in one short sentence. One or two turns are enough for a first guess of the level.""",
            observations=[it.name, it.purpose, it.first_impression, it.first_language],
            transitions=[To("story")],
        ),
        Phase(
            "story",
            instructions="""\
First task. Ask for a true story: a journey that did not go as planned. Listen, and say very little.
If they stop, ask once what happened then. Rate it after each turn, and say nothing of the rating.""",
            observations=[it.story],
            success_criteria=[judged("they have told something that happened to them")],
            transitions=[
                To("debate", when=judged("they tell what happened and why, in connected sentences")),
                To("role_play"),
            ],
            limits=PhaseLimits(duration=STORY, exact=True, then="role_play"),
        ),
        Phase(
            "role_play",
            instructions="""\
Second task. You are the receptionist of a hotel; they have booked a room, and the heating does not work.
Say who you are and begin in the role. Simple words. Rate it after each turn.""",
            observations=[it.role_play],
            success_criteria=[judged("they have made themselves understood at the desk")],
            transitions=[To("result")],
            limits=PhaseLimits(duration=TASK, exact=True, then="human"),
        ),
        Phase(
            "debate",
            instructions="""\
Second task. Give a claim that has to do with their work or their plans, and ask for their opinion.
If they agree with everything, take the other side once. Rate it after each turn.""",
            observations=[it.debate],
            success_criteria=[judged("they have given an opinion with a reason")],
            transitions=[To("result")],
            limits=PhaseLimits(duration=TASK, exact=True, then="role_play"),
        ),
        Phase(
            "result",
            instructions="""\
Say one thing they did well, and ask whether the level feels right to them.
Do not bargain about it; if they disagree, say that the teacher will look again in the first lesson.""",
            must_say=[Say("Thank you, that was the test. Your level today is {overall}.", name="level")],
            observations=[it.result_view],
            success_criteria=[heard("level")],
            transitions=[To("lesson")],
        ),
        Phase(
            "lesson",
            instructions="""\
Offer a free trial lesson of the course that fits. If they want one, ask for days that suit them, and use
`free_lessons` with their level. Offer two lessons, with day and time, and read back the one they choose.
If their number is withheld, ask for one for the confirmation. If they want no lesson, that is fine too.""",
            observations=[it.wants_lesson, it.lesson],
            tools=[free_lessons],
            transitions=[To("booking", when=it.wants_lesson.yes), To("goodbye")],
        ),
        Phase(
            "booking",
            instructions="Ask for a number if theirs is withheld. If the desk refuses, say what it says.",
            observations=[it.phone],
            tools=[free_lessons],
            success_criteria=[it.wants_lesson.yes],
            commit=book_lesson.once(on_failure="human"),
            transitions=[To("goodbye")],
        ),
        Phase(
            "goodbye",
            instructions="""\
If a lesson is booked, repeat its day and time once. Say something kind and true about their English. Say goodbye.""",
            end=HangUp(),
        ),
        Phase(
            "no_consent",
            instructions="""\
Say that this is perfectly fine, that nothing is kept, and that they can take a written test on the website instead.
Say goodbye. Do not try to persuade them.""",
            end=HangUp(),
        ),
        Phase(
            "human",
            instructions="""\
Say that a teacher calls them back today, and about what. If their number is withheld, ask for one.""",
            observations=[it.phone],
            transitions=[To("called_back")],
            limits=PhaseLimits(turns=2, then="goodbye"),
        ),
        Phase("called_back", instructions="Say that a teacher will call today. Say goodbye.", end=HangUp()),
    ],
    report=Report(
        outcome={
            "no_consent": it.consent.no,
            "lesson_booked": it.booking.filled,
            "placed": it.result_view.filled,
            "incomplete": otherwise,
        }
    ),
)
