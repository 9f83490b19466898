"""Rehearsals of the speaking test: a nurse who argues well, a beginner who has had enough, and a no."""

from voicebot.sim.brain import Calls, Says
from voicebot.sim.scenario import Exchange, Expected, Interrupt, Say, Scenario, noted

LINE = "+15550100002"


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
            Say("Last year we missed the ferry and slept in the car. In the end it was the best night!"),
            (
                (noted(story=(MARTAS_STORY, "we missed the ferry and slept in the car")),),
                (
                    Says(
                        "The best nights are never booked. Now your opinion: should patients be able to message nurses "
                        "at any hour, by night or on Sundays?"
                    ),
                ),
            ),
        ),
        Exchange(
            Interrupt("Sorry, at any hour? No! Nurses must sleep too, otherwise they make mistakes.", after_ms=6400),
            (
                (noted(debate=(MARTAS_DEBATE, "Nurses must sleep too, otherwise they make mistakes")),),
                (Calls("placement"),),
                (Says("Well interrupted, and with clear reasons! Your level today is B1. Does that feel right?"),),
            ),
        ),
        Exchange(
            Say("Yes, B1 feels right. It was less scary than I thought!"),
            (
                (noted(overall=("B1", "Yes, B1 feels right"), result_view=("feels right", "Yes, B1 feels right")),),
                (
                    Says(
                        "My favourite review. Your course is Finding Your Voice, with Aoife. "
                        "Would you like a free trial lesson?"
                    ),
                ),
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
                (Says("Tuesday at half past six, then. You tell a good story, Marta: Dublin will listen. Goodbye!"),),
            ),
        ),
    ),
    expected=Expected(
        phases=("consent", "warm_up", "story", "debate", "result", "lesson", "goodbye"),
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
        },
        outcome="lesson_booked",
        ended_reason="completed",
        interruptions=1,
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
                (Says("Take your time. Tell me when you are ready."),),
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
                (Says("Ireland in summer, how nice. Now a story: a journey with a problem. What happened?"),),
            ),
        ),
        Exchange(
            Say("I go to Kyoto, the train is stop. I wait three hours. Very cold."),
            (
                (noted(story=(KENJIS_STORY, "I go to Kyoto, the train is stop. I wait three hours")),),
                (Says("Three hours! Now a small play. I am at the hotel desk: good evening, how can I help you?"),),
            ),
        ),
        Exchange(
            Say("My room is cold. Please... sorry, I am tired. Can we stop here?"),
            (
                (Calls("request_phase", {"phase": "result", "reason": "tired, wants to stop here"}),),
                (Calls("placement"),),
                (Says("Of course. You told your story clearly, well done. Your level is A2. Does that feel right?"),),
            ),
        ),
        Exchange(
            Say("Yes, it is right."),
            (
                (noted(overall=("A2", "Yes, it is right"), result_view=("feels right", "Yes, it is right")),),
                (Says("Good. Niamh gives a course for your level. Would you like a free trial lesson?"),),
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
                (Calls("free_lessons", {"level": "A2", "from_day": "2027-01-16"}),),
                (
                    Says(
                        "On Saturdays we sleep, I'm sorry. There is Monday the eighteenth at half past five, "
                        "or Wednesday the twentieth at ten."
                    ),
                ),
            ),
        ),
        Exchange(
            Say("Wednesday the twentieth is good."),
            (
                (noted(lesson=(WEDNESDAY, "Wednesday the twentieth is good")),),
                (Says("Wednesday the twentieth at ten. You were brave today, Kenji. Have a good rest, and goodbye!"),),
            ),
        ),
    ),
    expected=Expected(
        phases=("consent", "warm_up", "story", "role_play", "result", "lesson", "goodbye"),
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
        },
        outcome="lesson_booked",
        ended_reason="completed",
        interruptions=0,
    ),
)

no_consent = Scenario(
    "no consent",
    "language_assessment",
    title="A caller who wants no notes kept, and is not persuaded",
    called_number=LINE,
    exchanges=(
        Exchange(
            Say("No, I'd rather not have notes kept about me."),
            (
                (noted(consent=(False, "No, I'd rather not have notes kept")),),
                (
                    Says(
                        "That is perfectly fine, nothing is kept. "
                        "There is a written test on our website whenever you like. Goodbye!"
                    ),
                ),
            ),
        ),
    ),
    expected=Expected(
        phases=("consent", "no_consent"),
        observations={"consent": False, "name": None, "overall": None},
        outcome="no_consent",
        ended_reason="completed",
        interruptions=0,
    ),
)

scenarios = [nurse, beginner, no_consent]
