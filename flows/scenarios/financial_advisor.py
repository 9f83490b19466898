"""Rehearsals of the first call about money: a father ahead of the questions, second thoughts, and callers in a hurry.

Shorter calls stand in the YAML file beside this one.
"""

from voicebot.sim.brain import Calls, Says
from voicebot.sim.scenario import (
    Exchange,
    Expected,
    Interrupt,
    Say,
    Scenario,
    concluded,
    confirmed,
    judged_as,
    noted,
    rule,
)

LINE = "+15550100003"
DISCLOSURE = "This call is recorded, and it gives no financial advice. May we begin on those terms?"
DIARY = "One moment, I am opening the diary."
MAY_LOSE = "the caller has said in their own words that they may lose money"


def describes(profile: str) -> str:
    return f"Your answers describe a {profile} investor. That is a description, and no advice."


TUESDAY = {"day": "2027-01-12", "at": "10:00", "how": "video"}
OKAFOR = (
    "Mr Okafor saves for his daughter's studies, in about twelve years. He sees Priya Shah on Tuesday at ten, by video."
)

father = Scenario(
    "father",
    "financial_advisor",
    title="Mr Okafor saves for his daughter's studies, and knows the next question before it is asked",
    called_number=LINE,
    exchanges=(
        Exchange(
            Say("Yes, that's fine by me."),
            (
                (noted(consent=(True, "Yes, that's fine by me")),),
                (Says("Thank you. Your full name, please? And are you a client of ours already?"),),
            ),
        ),
        Exchange(
            Say("Daniel Okafor. No, I'm new."),
            (
                (noted(name=("Daniel Okafor", "Daniel Okafor"), client=("new", "No, I'm new")),),
                (Says("Welcome, Mr Okafor. What is the money for, and in how many years will you need it?"),),
            ),
        ),
        Exchange(
            Say("My daughter's studies, in about twelve years."),
            (
                (noted(aim=("education", "My daughter's studies"), horizon_years=(12, "in about twelve years")),),
                (Says("Twelve years. How much would you put aside: now, and then each month?"),),
            ),
        ),
        Exchange(
            Say("Ten thousand now, then two hundred and fifty a month."),
            (
                (noted(lump_sum=("10000", "Ten thousand now"), monthly=("250", "two hundred and fifty a month")),),
                (
                    Says(
                        "Two questions every planner asks. How many months would your savings last? "
                        "And do you carry expensive debts, cards or overdrafts?"
                    ),
                ),
            ),
        ),
        Exchange(
            Interrupt("Six months, easily. And no debts but the mortgage.", after_ms=5000),
            (
                (noted(reserve_months=(6, "Six months, easily"), costly_debt=(False, "no debts but the mortgage")),),
                (Says("You are ahead of me, thank you. If the value fell by a fifth in a year, what would you do?"),),
            ),
        ),
        Exchange(
            Say("I'd wait. I've had funds before, I know they can fall."),
            (
                (
                    noted(reaction=("wait", "I'd wait"), experience=("some", "I've had funds before")),
                    judged_as(MAY_LOSE, True, "I know they can fall"),
                ),
                (Says("Some ups and downs, for some growth. Do you recognise yourself?"),),
            ),
        ),
        Exchange(
            Say("That's me. Can I see somebody by video, a morning from January the eleventh?"),
            (
                (noted(profile_fits=(True, "That's me")),),
                (
                    noted(wants_meeting=(True, "Can I see somebody by video")),
                    Calls("free_appointments", {"from_day": "2027-01-11", "part_of_day": "morning"}),
                ),
                (Says("Priya Shah is free on Tuesday the twelfth at ten, Tom Reilly on Wednesday at nine."),),
            ),
        ),
        Exchange(
            Say("Tuesday at ten with Ms Shah, please."),
            (
                (noted(meeting=(TUESDAY, "Tuesday at ten with Ms Shah")),),
                (Says("Tuesday, the twelfth of January, at ten, by video. Is that right?"),),
            ),
        ),
        Exchange(
            Say("Quite right."),
            (
                (confirmed(meeting="Quite right"),),
                (Says("Ms Shah expects you on Tuesday at ten. Thank you, Mr Okafor, and goodbye."),),
            ),
        ),
    ),
    analysis=concluded(OKAFOR),
    expected=Expected(
        phases=("consent", "identity", "aims", "means", "risk", "profile", "appointment", "booking", "goodbye"),
        observations={
            "consent": True,
            "name": "Daniel Okafor",
            "client": "new",
            "client_number": None,
            "aim": "education",
            "horizon_years": 12,
            "lump_sum": "10000",
            "monthly": "250",
            "reserve_months": 6,
            "costly_debt": False,
            "reaction": "wait",
            "experience": "some",
            "profile": "balanced",
            "profile_fits": True,
            "wants_meeting": True,
            "meeting": TUESDAY | {"at": "10:00:00"},
            "phone": "+15550123456",
            "planner": "Priya Shah",
        },
        evidence={"meeting": "confirmed", "consent": "confirmed"},
        statements=(DISCLOSURE, describes("balanced"), DIARY),
        tools=("free_appointments", "book_meeting"),
        outcome="meeting_arranged",
        ended_reason="completed",
        interruptions=1,
        silences=0,
        analysis="done",
        summary=OKAFOR,
        filled_after=(),
    ),
)

two_cards = Scenario(
    "two cards",
    "financial_advisor",
    title="Ms Bell misreads her client number, owns up to two credit cards, and moves her retirement",
    called_number=LINE,
    exchanges=(
        Exchange(
            Say("Yes, go on."),
            (
                (noted(consent=(True, "Yes, go on")),),
                (Says("May I have your full name, and are you a client of ours already?"),),
            ),
        ),
        Exchange(
            Say("Ruth Bell, yes, I'm a client. A F, one, two, zero, seven, four."),
            (
                (
                    noted(
                        name=("Ruth Bell", "Ruth Bell"),
                        client=("existing", "yes, I'm a client"),
                        client_number=("AF12074", "A F, one, two, zero, seven, four"),
                    ),
                ),
                (Says("I cannot find that number. Would you read it to me once more?"),),
            ),
        ),
        Exchange(
            Say("Oh, sorry: the last one is a two. One, two, zero, seven, two."),
            (
                (noted(client_number=("AF12072", "the last one is a two. One, two, zero, seven, two")),),
                (Says("A F, one, two, zero, seven, two?"),),
            ),
        ),
        Exchange(
            Say("Now it's right."),
            (
                (confirmed(client_number="Now it's right"),),
                (Says("There you are, Ms Bell. What is the money for, and in how many years will you need it?"),),
            ),
        ),
        Exchange(
            Say("Retirement, in twenty years or so."),
            (
                (
                    noted(
                        aim=("retirement", "Retirement, in twenty years"),
                        horizon_years=(20, "Retirement, in twenty years"),
                    ),
                ),
                (Says("How much would you put aside, and how long would your savings last? Are there costly debts?"),),
            ),
        ),
        Exchange(
            Say("Nothing now, nothing a month. One month. And yes, two credit cards."),
            (
                (
                    noted(
                        lump_sum=("0", "Nothing now"),
                        monthly=("0", "nothing a month"),
                        reserve_months=(1, "One month"),
                        costly_debt=(True, "two credit cards"),
                    ),
                ),
                (Says("Would anything be left to put aside, once they are paid?"),),
            ),
        ),
        Exchange(
            Say("Perhaps a hundred a month."),
            (
                (noted(monthly=("100", "a hundred a month")),),
                (Says("Planners usually look at cards and a reserve first. A meeting about that is free. Shall we?"),),
            ),
        ),
        Exchange(
            Say("Not now, thanks. And make it fifteen years, I want to stop earlier."),
            (
                (noted(wants_meeting=(False, "Not now, thanks"), horizon_years=(15, "make it fifteen years")),),
                (Says("Fifteen years. Call whenever you like, Ms Bell. Thank you, and goodbye."),),
            ),
        ),
    ),
    expected=Expected(
        phases=("consent", "identity", "aims", "means", "groundwork", "appointment", "goodbye"),
        observations={
            "client": "existing",
            "client_number": "AF12072",
            "aim": "retirement",
            "horizon_years": 15,
            "lump_sum": "0",
            "monthly": "100",
            "reserve_months": 1,
            "costly_debt": True,
            "profile": None,
            "wants_meeting": False,
            "meeting": None,
        },
        evidence={"client_number": "confirmed"},
        statements=(DISCLOSURE,),
        outcome="no_meeting",
        ended_reason="completed",
        interruptions=0,
    ),
)

WEDNESDAY = {"day": "2027-01-13", "at": "09:00", "how": "telephone"}

sooner = Scenario(
    "sooner",
    "financial_advisor",
    title="Mrs Lee needs the money sooner than she said, which makes her another investor",
    called_number=LINE,
    exchanges=(
        Exchange(
            Say("Yes. I'm Ann Lee, and new here."),
            (
                (noted(consent=(True, "Yes")),),
                (noted(name=("Ann Lee", "I'm Ann Lee"), client=("new", "new here")),),
                (Says("What is the money for, and when will you need it?"),),
            ),
        ),
        Exchange(
            Say("A house, in twelve years."),
            (
                (noted(aim=("a home", "A house"), horizon_years=(12, "in twelve years")),),
                (Says("How much would you put aside? How long would your savings last, and are there debts?"),),
            ),
        ),
        Exchange(
            Say("Nine thousand now, nothing monthly. Two years, and no debts."),
            (
                (
                    noted(
                        lump_sum=("9000", "Nine thousand now"),
                        monthly=("0", "nothing monthly"),
                        reserve_months=(24, "Two years"),
                        costly_debt=(False, "no debts"),
                    ),
                ),
                (Says("What if the value fell by a fifth? And do you know funds or shares?"),),
            ),
        ),
        Exchange(
            Say("I'd buy more, I know them well. Yes yes, they fall."),
            (
                (
                    noted(reaction=("buy more", "I'd buy more"), experience=("much", "I know them well")),
                    judged_as(MAY_LOSE, False, "Yes yes"),
                ),
                (Says("What would a fall mean for you?"),),
            ),
        ),
        Exchange(
            Say("That I get back less than I gave. Which fund is best?"),
            (
                (judged_as(MAY_LOSE, True, "I get back less than I gave"), rule("advice", "Which fund is best")),
                (Says("Large ups and downs, for more growth. Is that you?"),),
            ),
        ),
        Exchange(
            Say("It is."),
            ((noted(profile_fits=(True, "It is")),), (Says("Would you like to meet a planner?"),)),
        ),
        Exchange(
            Say("Yes. But wait, I need it in three years, not twelve."),
            (
                (
                    noted(
                        wants_meeting=(True, "Yes"),
                        horizon_years=(3, "I need it in three years, not twelve"),
                    ),
                ),
                (Says("On which day would you like to meet, and how?"),),
            ),
        ),
        Exchange(
            Say("By telephone. On Wednesday the thirteenth of January, at nine."),
            (
                (noted(meeting=(WEDNESDAY, "By telephone. On Wednesday the thirteenth of January, at nine")),),
                (Says("Wednesday the thirteenth, at nine, by telephone?"),),
            ),
        ),
        Exchange(
            Say("Yes."),
            ((confirmed(meeting="Yes"),), (Says("Mr Reilly will call you at nine. Thank you, Mrs Lee. Goodbye."),)),
        ),
    ),
    expected=Expected(
        phases=(
            "consent", "identity", "aims", "means", "risk", "profile", "appointment", "profile", "appointment",
            "booking", "goodbye",
        ),
        observations={
            "horizon_years": 3,
            "profile": "cautious",
            "meeting": WEDNESDAY | {"at": "09:00:00"},
            "planner": "Tom Reilly",
        },
        statements=(
            DISCLOSURE,
            "I may not advise you. A planner does, in writing, once you have met.",
            describes("growth"),
            describes("cautious"),
        ),
        outcome="meeting_arranged",
        ended_reason="completed",
    ),
)  # fmt: skip


def in_a_hurry(*, to: str) -> tuple[Exchange, ...]:
    """A caller who asks for the appointment when it is about `to`, the aims or the means."""
    begin = (noted(name=("Max Orr", "I'm Max Orr"), client=("new", "a new one")),)
    aims = (noted(aim=("growth", "for growth"), horizon_years=(9, "in nine years")),)
    jump = (Calls("request_phase", {"phase": "appointment", "reason": "would rather talk to a planner now"}),)
    return (
        Exchange(
            Say("Yes. I'm Max Orr, a new one, for growth, in nine years."),
            (
                (noted(consent=(True, "Yes")),),
                begin,
                *((aims,) if to == "means" else ()),
                (Says("Thank you, Mr Orr."),),
            ),
        ),
        Exchange(
            Say("I'd rather talk to a planner now."),
            (jump, (Says("Gladly. When, and how?"),)),
        ),
    )


OFFICE = {"day": "2027-01-13", "at": "11:00", "how": "office"}

no_room = Scenario(
    "no room",
    "financial_advisor",
    title="Mr Orr wants to talk to a planner at once, in an office whose rooms cannot be booked",
    called_number=LINE,
    exchanges=(
        *in_a_hurry(to="aims"),
        Exchange(
            Say("At the office, on Wednesday the thirteenth of January, at eleven."),
            (
                (
                    noted(
                        wants_meeting=(True, "I'd rather talk to a planner now"),
                        meeting=(OFFICE, "At the office, on Wednesday the thirteenth of January, at eleven"),
                    ),
                ),
                (Says("Wednesday the thirteenth, at eleven, at the office?"),),
            ),
        ),
        Exchange(
            Say("Yes."),
            (
                (confirmed(meeting="Yes"),),
                (Says("I cannot book a room, I am sorry. A planner calls you back today. All right?"),),
            ),
        ),
        Exchange(Say("All right."), ((Says("A planner calls you today. Goodbye."),),)),
    ),
    expected=Expected(
        phases=("consent", "identity", "aims", "appointment", "booking", "human", "called_back"),
        observations={"aim": None, "wants_meeting": True, "planner": None},
        statements=(DISCLOSURE,),
        tools=("book_meeting",),
        outcome="incomplete",
        ended_reason="completed",
    ),
)

MONDAY_AT_FOUR = {"day": "2027-01-18", "at": "16:00", "how": "video"}
TUESDAY_AFTERNOON = {"day": "2027-01-19", "at": "15:30", "how": "video"}

just_taken = Scenario(
    "just taken",
    "financial_advisor",
    title="Mr Orr again, without a number, and somebody is quicker than he is",
    caller_number="anonymous",
    called_number=LINE,
    exchanges=(
        *in_a_hurry(to="means"),
        Exchange(
            Say("By video, on Monday the eighteenth of January, at four."),
            (
                (
                    noted(
                        wants_meeting=(True, "I'd rather talk to a planner now"),
                        meeting=(MONDAY_AT_FOUR, "By video, on Monday the eighteenth of January, at four"),
                    ),
                ),
                (Says("Monday the eighteenth, at four, by video?"),),
            ),
        ),
        Exchange(
            Say("Yes."),
            ((confirmed(meeting="Yes"),), (Says("At which number can we reach you?"),)),
        ),
        Exchange(
            Say("Plus one, 555, 010, 0142."),
            (
                (noted(phone=("+15550100142", "Plus one, 555, 010, 0142")),),
                (Says("Somebody has just taken that hour. Tuesday the nineteenth, at half past three?"),),
            ),
        ),
        Exchange(
            Say("Tuesday the nineteenth, half past three, by video."),
            (
                (noted(meeting=(TUESDAY_AFTERNOON, "Tuesday the nineteenth, half past three, by video")),),
                (Says("So Tuesday the nineteenth of January, at half past three?"),),
            ),
        ),
        Exchange(
            Say("Yes, please."),
            ((confirmed(meeting="Yes, please"),), (Says("Ms Shah expects you then. Thank you, Mr Orr. Goodbye."),)),
        ),
    ),
    expected=Expected(
        phases=(
            "consent", "identity", "aims", "means", "appointment", "booking", "appointment", "booking", "goodbye",
        ),
        observations={
            "aim": "growth",
            "meeting": TUESDAY_AFTERNOON | {"at": "15:30:00"},
            "phone": "+15550100142",
            "planner": "Priya Shah",
        },
        statements=(DISCLOSURE,),
        tools=("book_meeting", "book_meeting"),
        outcome="meeting_arranged",
        ended_reason="completed",
    ),
)  # fmt: skip

scenarios = [father, two_cards, sooner, no_room, just_taken]
