"""Rehearsals of the speaking test: a nurse who argues well, a beginner who has had enough, and two busy teachers.

Shorter calls stand in the YAML file beside this one.
"""

from voicebot.sim.brain import Calls, Says
from voicebot.sim.scenario import (
    Exchange,
    Expected,
    Hear,
    Interrupt,
    Say,
    Scenario,
    confirmed,
    judged_as,
    noted,
    rule,
)

LINE = "+15550100002"
TOLD = "they have told something that happened to them"
CONNECTED = "they tell what happened and why, in connected sentences"
REASONED = "they have given an opinion with a reason"

MARTAS_STORY = {"level": "B1", "reason": "Connected story in the past with an ending; simple but sure linking."}
MARTAS_DEBATE = {"level": "B2", "reason": "Takes a position at once and supports it with a reason and a consequence."}
TUESDAY = {"level": "B1", "day": "2027-01-12", "at": "18:30"}

nurse = Scenario(
    "nurse",
    "language_assessment",
    title="Marta wants to nurse in Dublin, and interrupts her examiner for the best of reasons",
    called_number=LINE,
    exchanges=(
        Exchange(
            Say("Hello! Yes, that's all right. My kitchen is quiet, I'm ready."),
            (
                (noted(consent=(True, "Yes, that's all right"), ready=(True, "I'm ready")),),
                (Says("Kitchens are good for talking. Tell me: who are you, and what do you need English for?"),),
            ),
        ),
        Exchange(
            Say("I'm Marta, a nurse from Porto. I have a job offer in Dublin, so I need it for work."),
            (
                (
                    noted(
                        name=("Marta", "I'm Marta"),
                        purpose=("work", "I have a job offer in Dublin, so I need it for work"),
                        first_impression=("B1", "I have a job offer in Dublin, so I need it for work"),
                    ),
                ),
                (Says("Congratulations, Marta! Now a story: tell me about a journey that did not go as planned."),),
            ),
        ),
        Exchange(
            Say(
                "Last year we missed the ferry, because my father trusts no map. "
                "So we slept in the car, five of us and the dog, and it rained all night."
            ),
            (
                (
                    noted(story=(MARTAS_STORY, "we missed the ferry, because my father trusts no map")),
                    judged_as(TOLD, True, "Last year we missed the ferry"),
                    judged_as(CONNECTED, True, "So we slept in the car"),
                ),
                (Says("Five, and a dog! And in the morning?"),),
            ),
        ),
        Exchange(
            Say("There were dolphins in the harbour. We have never taken that ferry since, but we tell it every year."),
            ((Says("The best nights are never booked."),),),
        ),
        Exchange(  # she is silent, and her forty seconds go by
            Hear(),
            (
                (
                    Says(
                        "Now your opinion, Marta: should patients be able to message nurses at any hour, "
                        "by night or on Sundays?"
                    ),
                ),
            ),
        ),
        Exchange(
            Interrupt("Sorry, at any hour? No! Nurses must sleep too, otherwise they make mistakes.", after_ms=4800),
            (
                (
                    noted(debate=(MARTAS_DEBATE, "Nurses must sleep too, otherwise they make mistakes")),
                    judged_as(REASONED, True, "Nurses must sleep too, otherwise they make mistakes"),
                ),
                (Says("And if somebody is afraid, at three in the morning?"),),
            ),
        ),
        Exchange(
            Say("Then they call the hospital, where somebody is awake. A tired nurse helps nobody."),
            ((Says("I would not argue with that."),),),
        ),
        Exchange(Hear(), ((Says("You give clear reasons, Marta. Does that feel right to you?"),),)),
        Exchange(
            Say("Yes, B1 feels right. It was less scary than I thought!"),
            (
                (noted(result_view=("feels right", "Yes, B1 feels right")),),
                (Says("My favourite review. Aoife gives a course for that. Would you like a free trial lesson?"),),
            ),
        ),
        Exchange(
            Say("Yes, please. From the eleventh of January, in the evening."),
            (
                (
                    noted(wants_lesson=(True, "Yes, please")),
                    Calls("free_lessons", {"level": "B1", "from_day": "2027-01-11", "part_of_day": "evening"}),
                ),
                (Says("Aoife has Tuesday the twelfth at half past six, or Thursday the fourteenth at seven."),),
            ),
        ),
        Exchange(
            Say("Tuesday the twelfth, please."),
            (
                (noted(lesson=(TUESDAY, "Tuesday the twelfth")),),
                (Says("Tuesday, the twelfth of January, at half past six. Is that right?"),),
            ),
        ),
        Exchange(
            Say("That's right."),
            (
                (confirmed(lesson="That's right"),),
                (Says("Tuesday at half past six, then. You tell a good story, Marta: Dublin will listen. Goodbye!"),),
            ),
        ),
    ),
    expected=Expected(
        phases=("consent", "warm_up", "story", "debate", "result", "lesson", "booking", "goodbye"),
        observations={
            "consent": True,
            "ready": True,
            "name": "Marta",
            "purpose": "work",
            "first_language": None,
            "first_impression": "B1",
            "story": MARTAS_STORY,
            "role_play": None,
            "debate": MARTAS_DEBATE,
            "overall": "B1",
            "result_view": "feels right",
            "wants_lesson": True,
            "lesson": TUESDAY | {"at": "18:30:00"},
            "phone": "+15550123456",
            "booking": "B1-0112",
        },
        evidence={"lesson": "confirmed"},
        statements=("Thank you, that was the test. Your level today is B1.",),
        tools=("free_lessons", "book_lesson"),
        outcome="lesson_booked",
        ended_reason="completed",
        interruptions=1,
        silences=0,
    ),
)

KENJIS_STORY = {"level": "A2", "reason": "Short clear sentences in order, but present tense for the past throughout."}
SATURDAY = {"level": "A2", "day": "2027-01-16", "at": "10:00"}
WEDNESDAY = {"level": "A2", "day": "2027-01-20", "at": "10:00"}

beginner = Scenario(
    "beginner",
    "language_assessment",
    title="Kenji closes a door, survives a cold train, stops when he is tired, and asks for a Saturday",
    called_number=LINE,
    exchanges=(
        Exchange(
            Say("Yes, it is OK. One moment please, I close the door."),
            (
                (noted(consent=(True, "Yes, it is OK"), ready=(False, "One moment please")),),
                (Says("Tell me when you are ready."),),
            ),
        ),
        Exchange(
            Say("Now I am ready."),
            (
                (noted(ready=(True, "Now I am ready")),),
                (Says("Lovely. What is your name, and why do you learn English?"),),
            ),
        ),
        Exchange(
            Say("My name is Kenji. I like travel, I go to Ireland in summer."),
            (
                (
                    noted(
                        name=("Kenji", "My name is Kenji"),
                        purpose=("travel", "I like travel, I go to Ireland in summer"),
                        first_impression=("A2", "I like travel, I go to Ireland in summer"),
                    ),
                ),
                (Says("How nice. Now a story: a journey with a problem. What happened?"),),
            ),
        ),
        Exchange(
            Say("I go to Kyoto, the train is stop. I wait three hours. Very cold. How do I do?"),
            (
                (
                    noted(story=(KENJIS_STORY, "I go to Kyoto, the train is stop. I wait three hours")),
                    judged_as(TOLD, True, "I go to Kyoto, the train is stop"),
                    judged_as(CONNECTED, False, "Very cold"),
                    rule("how_am_i_doing", "How do I do"),
                ),
                (Says("Three hours! And then?"),),
            ),
        ),
        Exchange(  # he has said it all; "Take your time", and his forty seconds are over
            Hear(),
        ),
        Exchange(Hear(), ((Says("Now a small play. This is the hotel desk, good evening!"),),)),
        Exchange(
            Say("My room is cold. Please... sorry, I am tired. Can we stop here?"),
            (
                (rule("enough", "I am tired. Can we stop here"),),
                (Says("Of course. You told your story clearly. Does it feel right?"),),
            ),
        ),
        Exchange(
            Say("Yes, it is right."),
            (
                (noted(result_view=("feels right", "Yes, it is right")),),
                (Says("Good. Would you like a free trial lesson with Niamh?"),),
            ),
        ),
        Exchange(
            Say("Yes. On Saturday, the sixteenth of January, at ten?"),
            (
                (
                    noted(
                        wants_lesson=(True, "Yes"), lesson=(SATURDAY, "On Saturday, the sixteenth of January, at ten")
                    ),
                ),
                (Says("On Saturdays we sleep, I'm sorry. Monday the eighteenth, or Wednesday the twentieth at ten?"),),
            ),
        ),
        Exchange(
            Say("Wednesday the twentieth is good."),
            (
                (noted(lesson=(WEDNESDAY, "Wednesday the twentieth is good")),),
                (Says("Wednesday, the twentieth of January, at ten?"),),
            ),
        ),
        Exchange(
            Say("Yes, at ten."),
            (
                (confirmed(lesson="Yes, at ten"),),
                (Says("Wednesday at ten, then. You were brave today, Kenji. Goodbye!"),),
            ),
        ),
    ),
    expected=Expected(
        phases=("consent", "warm_up", "story", "role_play", "result", "lesson", "booking", "goodbye"),
        observations={
            "ready": True,
            "name": "Kenji",
            "purpose": "travel",
            "first_impression": "A2",
            "story": KENJIS_STORY,
            "role_play": None,
            "debate": None,
            "overall": "A2",
            "lesson": WEDNESDAY | {"at": "10:00:00"},
            "booking": "A2-0120",
        },
        statements=(
            "You will hear it at the end.",
            "Take your time.",
            "Thank you, that was the test. Your level today is A2.",
        ),
        outcome="lesson_booked",
        ended_reason="completed",
        interruptions=0,
        silences=1,
    ),
)


def until_the_lesson(level: str) -> tuple[Exchange, ...]:
    """The shortest way to a lesson: who is unwell may stop as soon as there is a first impression."""
    return (
        Exchange(
            Say("Yes, and I'm ready. I'm Lena, it's for work."),
            (
                (noted(consent=(True, "Yes"), ready=(True, "I'm ready")),),
                (
                    noted(
                        name=("Lena", "I'm Lena"),
                        purpose=("work", "it's for work"),
                        first_impression=(level, "Yes, and I'm ready. I'm Lena, it's for work"),
                    ),
                ),
                (Says("Tell me about a journey."),),
            ),
        ),
        Exchange(
            Say("Sorry, I have a fever. May I stop?"),
            ((rule("enough", "I have a fever. May I stop"),), (Says("Of course. Does that feel right?"),)),
        ),
        Exchange(
            Say("I had hoped for more."),
            (
                (noted(result_view=("expected higher", "I had hoped for more")),),
                (Says("The teacher will look again. Would you like a trial lesson?"),),
            ),
        ),
    )


THURSDAY = {"level": "B2", "day": "2027-01-14", "at": "19:00"}
NEXT_TUESDAY = {"level": "B2", "day": "2027-01-19", "at": "18:30"}
WRITING_DOWN = "Let me write you down for that."

last_place = Scenario(
    "last place",
    "language_assessment",
    title="Lena has a fever, and the last place of the lesson she wants has just gone",
    called_number=LINE,
    exchanges=(
        *until_the_lesson("B2"),
        Exchange(
            Say("Yes, on Thursday the fourteenth of January."),
            (
                (
                    noted(
                        wants_lesson=(True, "Yes"),
                        lesson=(THURSDAY, "on Thursday the fourteenth of January"),
                    ),
                ),
                (Says("Thursday the fourteenth, at seven?"),),
            ),
        ),
        Exchange(
            Say("Exactly."),
            (
                (confirmed(lesson="Exactly"),),
                (Says("The last place has just gone, I'm sorry. Tuesday the nineteenth, at half past six?"),),
            ),
        ),
        Exchange(
            Say("Tuesday the nineteenth, then."),
            (
                (noted(lesson=(NEXT_TUESDAY, "Tuesday the nineteenth, then")),),
                (Says("So Tuesday the nineteenth of January, at half past six?"),),
            ),
        ),
        Exchange(
            Say("Yes."),
            ((confirmed(lesson="Yes"),), (Says("You are booked. Get well soon, Lena. Goodbye!"),)),
        ),
    ),
    expected=Expected(
        phases=("consent", "warm_up", "story", "result", "lesson", "booking", "lesson", "booking", "goodbye"),
        observations={
            "overall": "B2",
            "result_view": "expected higher",
            "lesson": NEXT_TUESDAY | {"at": "18:30:00"},
            "booking": "B2-0119",
        },
        statements=("Thank you, that was the test. Your level today is B2.",),
        tools=("book_lesson", "book_lesson"),
        outcome="lesson_booked",
        ended_reason="completed",
    ),
)

FRIDAY = {"level": "C1", "day": "2027-01-15", "at": "12:30"}

calendar_down = Scenario(
    "calendar down",
    "language_assessment",
    title="Lena again, better at English, with a teacher whose calendar never answers",
    called_number=LINE,
    exchanges=(
        *until_the_lesson("C1"),
        Exchange(
            Say("Yes, on Friday the fifteenth of January."),
            (
                (
                    noted(
                        wants_lesson=(True, "Yes"),
                        lesson=(FRIDAY, "on Friday the fifteenth of January"),
                    ),
                ),
                (Says("Friday the fifteenth, at half past twelve?"),),
            ),
        ),
        Exchange(
            Say("Exactly."),
            (
                (confirmed(lesson="Exactly"),),
                (Says("I cannot reach Declan's calendar, I'm sorry. A teacher calls you back today."),),
            ),
        ),
        Exchange(Say("That's fine."), ((Says("Somebody calls you today. Get well soon, Lena. Goodbye!"),),)),
    ),
    expected=Expected(
        phases=("consent", "warm_up", "story", "result", "lesson", "booking", "human", "called_back"),
        observations={"overall": "C1", "lesson": FRIDAY | {"at": "12:30:00"}, "booking": None},
        statements=("Thank you, that was the test. Your level today is C1.",),
        tools=("book_lesson",),
        outcome="placed",
        ended_reason="completed",
    ),
)

scenarios = [nurse, beginner, last_place, calendar_down]
