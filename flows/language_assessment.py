"""Seaport English places a learner by telephone: a few speaking tasks, a level of the CEFR, a first lesson."""

from collections.abc import Iterator, Mapping
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
WEIGHTS = {"first_impression": 1, "story": 2, "role_play": 2, "debate": 2}


def _given(level: str, day: date) -> time | None:
    """When a trial lesson of this level is given on that day; the school is closed over Christmas."""
    closed = (day.month, day.day) >= (12, 20) or (day.month, day.day) <= (1, 6)
    return None if closed else TRIALS[level[0]].get(day.weekday())


def _lessons_from(level: str, first: date) -> Iterator[tuple[date, time]]:
    for offset in range(60):
        day = first + timedelta(days=offset)
        if (at := _given(level, day)) is not None:
            yield day, at


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


class Assessment(Observations):
    consent: bool = ask("whether they agree that the call is assessed and notes of it are kept for the teacher")
    ready: bool = ask("true once they are in a quiet place and ready to begin", needed_if=it.consent.yes)
    name: str = ask("what they want to be called")
    purpose: Literal["work", "study", "travel", "exam", "everyday life"] = ask("what they need English for, mostly")
    first_language: str = ask("their first language", optional=True)
    first_impression: Level = ask("your first guess of the level, from what they have said so far")
    story: Rating = ask("how well they told the story: past tenses, order of events, range of words")
    role_play: Rating = ask(
        "how well they managed the role play: being understood, polite forms, asking back",
        needed_if=it.first_impression < "B1",
    )
    debate: Rating = ask(
        "how well they argued: giving reasons, weighing two sides, linking sentences",
        needed_if=it.first_impression >= "B1",
    )
    overall: Level = ask("the level that `placement` gave and you have told them")
    result_view: Literal["feels right", "expected higher", "expected lower"] = ask("what they think of the result")
    wants_lesson: bool = ask("whether they want a free trial lesson")
    lesson: Lesson = ask(
        "the trial lesson they chose from `free_lessons`", needed_if=it.wants_lesson.yes, check=in_timetable
    )
    phone: PhoneNumber = ask(
        "a number for the confirmation by text", needed_if=it.wants_lesson.yes, default_from="caller"
    )


# ---- tools ---------------------------------------------------------------------------------------------------------


@tool
def placement(context: ToolContext) -> dict[str, object]:
    """Work out the learner's level from the ratings recorded so far, with the course that fits it.

    Use it before you tell the result. The tasks count twice as much as the first impression; a tie goes to the
    lower level, so that nobody starts out of their depth.
    """
    ratings = _ratings(context.observations)
    if not ratings:
        return {"problem": "nothing is rated yet"}
    points = sum(WEIGHTS[task] * (LEVELS.index(level) + 1) for task, level in ratings.items())
    mean = points / sum(WEIGHTS[task] for task in ratings)
    level = LEVELS[ceil(mean - 0.5) - 1]
    course, teacher = COURSES[level]
    tasks = {task: given for task, given in ratings.items() if task != "first_impression"}
    return {
        "level": level,
        "course": course,
        "teacher": teacher,
        "strongest_task": max(tasks, key=lambda task: tasks[task], default=None),
        "ratings": ratings,
    }


def _ratings(known: Mapping[str, object]) -> dict[str, Level]:
    found: dict[str, Level] = {}
    for task in WEIGHTS:
        level = getattr(known.get(task), "level", known.get(task))
        if level in LEVELS:
            found[task] = LEVELS[LEVELS.index(level)]
    return found


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


# ---- the conversation ----------------------------------------------------------------------------------------------

PERSONA = """\
You are the examiner of Seaport English in Dublin, on the telephone. Friendly, curious, patient: people speak best when
they forget that it is a test. You use plain words and speak a little slower with beginners. You never correct anybody
during the test, and you never say a level before you have worked it out."""

KNOWLEDGE = """\
How to rate, by the Common European Framework:
A1: single words and learnt phrases. A2: simple sentences about daily things, basic past forms, many pauses.
B1: connected talk about familiar things, tells what happened and why, errors that do not confuse.
B2: clear and fluent on many subjects, argues a point with reasons. C1: flexible, precise, natural linking, few errors.
C2: effortless, with nuance. Between two levels, choose the lower one. Rate what you heard, never the accent.
A trial lesson is free and lasts 50 minutes, online or at 14 Lombard Street. Courses begin every Monday."""

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
    observations=Assessment,
    limits=Limits(
        duration="15m",
        # Learners need time to think: the first nudge comes late.
        silence=[After("12s", AskAgain()), After("25s", AskAgain()), After("40s", HangUp())],
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
First task. Ask for a true story: a journey that did not go as planned.
Let them finish. If they stop after one sentence, ask once what happened then. Rate it, and say nothing of the rating.
If they want to stop the test here, ask to go to the result.""",
            observations=[it.story],
            transitions=[To("role_play", when=it.first_impression < "B1"), To("debate")],
            may_jump=["result"],
        ),
        Phase(
            "role_play",
            instructions="""\
Second task. You are the receptionist of a hotel; they have booked a room, and the heating does not work.
Say who you are and begin in the role. Two or three turns, simple words. Then rate it.
If they want to stop the test here, ask to go to the result.""",
            observations=[it.role_play],
            transitions=[To("result")],
            may_jump=["result"],
        ),
        Phase(
            "debate",
            instructions="""\
Second task. Give a claim that has to do with their work or their plans, and ask for their opinion.
If they agree with everything, take the other side once. Then rate it.
If they want to stop the test here, ask to go to the result.""",
            observations=[it.debate],
            transitions=[To("result")],
            may_jump=["result"],
        ),
        Phase(
            "result",
            instructions="""\
Use `placement`. Say one thing they did well, then the level, then ask whether it feels right to them.
Do not bargain about the level; if they disagree, say that the teacher will look again in the first lesson.""",
            observations=[it.overall, it.result_view],
            tools=[placement],
            transitions=[To("lesson")],
        ),
        Phase(
            "lesson",
            instructions="""\
Offer a free trial lesson of the course that fits. If they want one, ask for days that suit them, and use
`free_lessons` with the level you told them. Offer two lessons, with day and time. Record the one they choose.
If their number is withheld, ask for one for the confirmation. If they want no lesson, that is fine too.""",
            observations=[it.wants_lesson, it.lesson, it.phone],
            tools=[free_lessons],
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
    ],
    report=Report(
        outcome={
            "no_consent": it.consent.no,
            "lesson_booked": it.lesson.filled & it.wants_lesson.yes,
            "placed": it.overall.filled,
            "incomplete": otherwise,
        }
    ),
)
