"""Rehearsals of the first call about money: a father ahead of the questions, a client with two cards, and a no."""

from voicebot.sim.brain import Calls, Says
from voicebot.sim.scenario import Exchange, Expected, Interrupt, Say, Scenario, noted

LINE = "+15550100003"


TUESDAY = {"day": "2027-01-12", "at": "10:00", "how": "video"}

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
                    noted(
                        reaction=("wait", "I'd wait"),
                        experience=("some", "I've had funds before"),
                        understands_loss=(True, "I know they can fall"),
                    ),
                ),
                (Calls("risk_profile"),),
                (
                    Says(
                        "That describes our balanced profile: some ups and downs for some growth. "
                        "It is no advice. Is it you?"
                    ),
                ),
            ),
        ),
        Exchange(
            Say("That's me. Can I see somebody by video, a morning from January the eleventh?"),
            (
                (noted(profile=("balanced", "That's me"), profile_fits=(True, "That's me")),),
                (
                    noted(wants_meeting=(True, "Can I see somebody by video")),
                    Calls("free_appointments", {"from_day": "2027-01-11", "part_of_day": "morning"}),
                ),
                (
                    Says(
                        "Priya Shah is free on Tuesday the twelfth at ten, Tom Reilly on Wednesday at nine. Which one?"
                    ),
                ),
            ),
        ),
        Exchange(
            Say("Tuesday at ten with Ms Shah, please."),
            (
                (noted(meeting=(TUESDAY, "Tuesday at ten with Ms Shah")),),
                (Says("Tuesday the twelfth at ten, by video, with Priya Shah. Thank you, Mr Okafor, and goodbye."),),
            ),
        ),
    ),
    expected=Expected(
        phases=("consent", "identity", "aims", "means", "risk", "profile", "appointment", "goodbye"),
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
            "understands_loss": True,
            "profile": "balanced",
            "profile_fits": True,
            "wants_meeting": True,
            "meeting": TUESDAY | {"at": "10:00:00"},
            "phone": "+15550123456",
        },
        outcome="meeting_arranged",
        ended_reason="completed",
        interruptions=1,
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
                (Says("Thank you. May I have your full name, and are you a client of ours already?"),),
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
                (Says("I cannot find that number. Would you read it to me once more, digit by digit?"),),
            ),
        ),
        Exchange(
            Say("Oh, sorry: the last one is a two. One, two, zero, seven, two."),
            (
                (noted(client_number=("AF12072", "One, two, zero, seven, two")),),
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
                (Says("Thank you. How much would you put aside: now, and then each month?"),),
            ),
        ),
        Exchange(
            Say("Nothing now. Perhaps a hundred a month."),
            (
                (noted(lump_sum=("0", "Nothing now"), monthly=("100", "a hundred a month")),),
                (
                    Says(
                        "That is fine. Two questions every planner asks: how many months would your savings last, "
                        "and are there costly debts?"
                    ),
                ),
            ),
        ),
        Exchange(
            Say("About a month. And yes, two credit cards."),
            (
                (noted(reserve_months=(1, "About a month"), costly_debt=(True, "two credit cards")),),
                (
                    Says(
                        "Thank you. Planners usually look at cards and a reserve first. "
                        "A meeting about that is free. Would you like one?"
                    ),
                ),
            ),
        ),
        Exchange(
            Say("Not now, thanks. And make it fifteen years, I want to stop earlier."),
            (
                (noted(wants_meeting=(False, "Not now, thanks"), horizon_years=(15, "make it fifteen years")),),
                (Says("Fifteen years, I have changed it. Call whenever you like, Ms Bell. Thank you, and goodbye."),),
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
        outcome="no_meeting",
        ended_reason="completed",
        interruptions=0,
    ),
)

no_consent = Scenario(
    "no consent",
    "financial_advisor",
    title="A caller who does not want to be recorded, and is let go politely",
    called_number=LINE,
    exchanges=(
        Exchange(
            Say("No, I don't want to be recorded."),
            (
                (noted(consent=(False, "No, I don't want to be recorded")),),
                (
                    Says(
                        "I understand, and I keep nothing but your no. "
                        "You are welcome to write, or to come by at Queen Square. Goodbye."
                    ),
                ),
            ),
        ),
    ),
    expected=Expected(
        phases=("consent", "declined"),
        observations={"consent": False, "name": None, "meeting": None},
        outcome="declined",
        ended_reason="completed",
        interruptions=0,
    ),
)

scenarios = [father, two_cards, no_consent]
