"""Rehearsals of the trattoria: a delivery, second thoughts, an address too far, an allergy, and more than a till takes.

Shorter calls stand in the YAML file beside this one.
"""

from voicebot.sim.brain import Calls, Says
from voicebot.sim.scenario import Exchange, Expected, Hear, Interrupt, Say, Scenario, confirmed, noted, rule

LINE = "+15550100001"
PASSING_ON = "I am passing it on to the kitchen."

MARGHERITAS = {"name": "Margherita", "quantity": 2}
SUPPLI = {"name": "Supplì al telefono", "quantity": 1}
HOME = {"street": "Via dei Fienaroli", "number": "12", "postcode": "00153", "note": "second floor"}

delivery = Scenario(
    "delivery",
    "restaurant_ordering",
    title="Giulia orders in: two pizzas, one temptation, and a caller who does not wait for the end of the menu",
    called_number=LINE,
    exchanges=(
        Exchange(
            Say("Good evening! Two Margheritas, delivered. And to start, is there something without meat?"),
            (
                (
                    noted(
                        mode=("delivery", "Two Margheritas, delivered"),
                        items=([MARGHERITAS], "Two Margheritas, delivered"),
                    ),
                ),
                (
                    Says(
                        "Gladly. We have supplì al telefono, rice with a heart of mozzarella, six fifty. "
                        "Or bruschetta at five, or a fried artichoke at seven."
                    ),
                ),
            ),
        ),
        Exchange(
            Interrupt("Supplì al telefono? With that name I must. One portion, and that's all.", after_ms=3600),
            (
                (noted(items=([MARGHERITAS, SUPPLI], "One portion"), that_is_all=(True, "that's all")),),
                (
                    Says(
                        "Quite right, it is the dish for a phone call. "
                        "Where may we bring it? Street, number and postcode, please."
                    ),
                ),
            ),
        ),
        Exchange(
            Say("Via dei Fienaroli 12, in Trastevere. Postcode 00153, second floor."),
            (
                (noted(address=(HOME, "Via dei Fienaroli 12, in Trastevere. Postcode 00153, second floor")),),
                (Says("Via dei Fienaroli twelve, second floor, zero zero one five three. Is that right?"),),
            ),
        ),
        Exchange(
            Say("Yes, exactly."),
            (
                (confirmed(address="Yes, exactly"),),
                (Says("You can almost smell it from there. Under which name, and when?"),),
            ),
        ),
        Exchange(
            Say("Giulia. And as soon as you can, we are starving!"),
            (
                (
                    noted(name=("Giulia", "Giulia"), wanted_at=("as soon as possible", "as soon as you can")),
                    Calls("waiting_time", {"postcode": "00153"}),
                ),
                (Says("Forty minutes, Giulia. Is there an allergy the kitchen should know of?"),),
            ),
        ),
        Exchange(
            Say("Yes, my son can't eat nuts."),
            (
                (noted(allergies=(["nuts"], "my son can't eat nuts")),),
                (Says("There are no nuts in any of it: two Margheritas and one supplì, in forty minutes. Shall we?"),),
            ),
        ),
        Exchange(
            Say("Yes, go ahead!"),
            (
                (noted(accepted=(True, "Yes, go ahead")),),
                (Says("Grazie, Giulia. The oven is yours: forty minutes. A presto, and buon appetito!"),),
            ),
        ),
    ),
    expected=Expected(
        phases=("order", "address", "details", "confirm", "kitchen", "placed"),
        observations={
            "mode": "delivery",
            "items": [MARGHERITAS | {"wish": None}, SUPPLI | {"wish": None}],
            "that_is_all": True,
            "address": HOME,
            "name": "Giulia",
            "phone": "+15550123456",
            "wanted_at": "as soon as possible",
            "allergies": ["nuts"],
            "harmful": False,
            "all_the_same": None,
            "total": "26.50",
            "accepted": True,
            "ready": "in 40 minutes",
        },
        evidence={"address": "confirmed", "accepted": "confirmed"},
        statements=("One moment, I am asking the kitchen.", "The total is 26.50 euro.", PASSING_ON),
        tools=("waiting_time", "place_order"),
        outcome="ordered",
        ended_reason="completed",
        interruptions=1,
    ),
)

DIAVOLA, TIRAMISU = {"name": "Diavola", "quantity": 1}, {"name": "Tiramisù", "quantity": 1}
CHINOTTO = {"name": "Chinotto", "quantity": 1}
SAMS = {"street": "Via Ostiense", "number": "90", "postcode": "00154"}

second_thoughts = Scenario(
    "second thoughts",
    "restaurant_ordering",
    title="Sam asks for the one pizza that nobody makes here, stays at home after all, and the oven is full",
    caller_number="anonymous",
    called_number=LINE,
    exchanges=(
        Exchange(
            Say("Hello, I'd like a Hawaii pizza and a tiramisu, to take away."),
            (
                (
                    noted(
                        mode=("pickup", "to take away"),
                        items=(
                            [{"name": "Hawaii", "quantity": 1}, {"name": "tiramisu", "quantity": 1}],
                            "a Hawaii pizza and a tiramisu",
                        ),
                    ),
                ),
                (
                    Says(
                        "No pineapple has ever entered this kitchen, I'm afraid. "
                        "The Diavola has some bite: spicy salami, ten euros."
                    ),
                ),
            ),
        ),
        Exchange(
            Say("Fair enough! A Diavola, then. Just that and the tiramisu."),
            (
                (
                    noted(
                        items=(
                            [{"name": "Diavola", "quantity": 1}, {"name": "tiramisu", "quantity": 1}],
                            "A Diavola, then. Just that and the tiramisu",
                        ),
                        that_is_all=(True, "Just that and the tiramisu"),
                    ),
                ),
                (Says("What name shall I write on the box, and when will you come?"),),
            ),
        ),
        Exchange(
            Say("Sam. I'll come by at eight."),
            (
                (noted(name=("Sam", "Sam"), wanted_at=("08:00", "I'll come by at eight")),),
                (Says("Is there an allergy the kitchen should know of? And a number, please? Yours does not show."),),
            ),
        ),
        Exchange(
            Say("None at all. It is plus one, 555, 010, 0142."),
            (
                (
                    noted(
                        allergies=([], "None at all"),
                        phone=("+15550100142", "plus one, 555, 010, 0142"),
                    ),
                ),
                (Says("One Diavola and one tiramisù, at eight. Is that right?"),),
            ),
        ),
        Exchange(
            Say("Oh, it is raining. Could you bring it instead?"),
            (
                (noted(mode=("delivery", "Could you bring it instead")),),
                (Says("With an umbrella, if need be. Where to? Street, number and postcode."),),
            ),
        ),
        Exchange(
            Say("Via Ostiense 90, postcode 00154."),
            (
                (noted(address=(SAMS, "Via Ostiense 90, postcode 00154")),),
                (Says("Via Ostiense ninety, zero zero one five four?"),),
            ),
        ),
        Exchange(
            Say("That's it."),
            (
                (confirmed(address="That's it"),),
                (Says("That is with the ride. One Diavola, one tiramisù, at your door at eight?"),),
            ),
        ),
        Exchange(
            Say("Yes, perfect."),
            (
                (noted(accepted=(True, "Yes, perfect")),),
                (Says("I hear the oven is full at eight. Would a quarter past suit you?"),),
            ),
        ),
        Exchange(
            Say("A quarter past eight is fine. And a chinotto, then."),
            (
                (
                    noted(
                        wanted_at=("20:15", "A quarter past eight is fine"),
                        items=([DIAVOLA, TIRAMISU, CHINOTTO], "And a chinotto, then"),
                    ),
                ),
                (Says("With a chinotto, at a quarter past eight. All right?"),),
            ),
        ),
        Exchange(  # the yes before was to another total
            Say("Yes, all right."),
            (
                (noted(accepted=(True, "Yes, all right")),),
                (Says("Grazie, Sam. At a quarter past eight, dry and warm. Buona serata!"),),
            ),
        ),
    ),
    expected=Expected(
        phases=(
            "order", "details", "confirm", "address", "confirm", "kitchen", "confirm", "kitchen", "placed",
        ),
        observations={
            "mode": "delivery",
            "items": [DIAVOLA | {"wish": None}, TIRAMISU | {"wish": None}, CHINOTTO | {"wish": None}],
            "address": SAMS | {"note": None},
            "name": "Sam",
            "phone": "+15550100142",
            "wanted_at": "20:15:00",
            "allergies": [],
            "total": "22.00",
            "accepted": True,
            "ready": "at 20:15",
        },
        evidence={"address": "confirmed"},
        statements=("The total is 16.00 euro.", "The total is 19.00 euro.", "The total is 22.00 euro.", PASSING_ON),
        tools=("place_order", "place_order"),
        outcome="ordered",
        ended_reason="completed",
        interruptions=0,
    ),
)  # fmt: skip

too_far = Scenario(
    "too far",
    "restaurant_ordering",
    title="An address beyond the scooters' reach, and a caller who then thinks better of it",
    called_number=LINE,
    exchanges=(
        Exchange(
            Say("Good evening, two Amatriciana to be delivered, please. That's all."),
            (
                (
                    noted(
                        mode=("delivery", "two Amatriciana to be delivered"),
                        items=([{"name": "Amatriciana", "quantity": 2}], "two Amatriciana to be delivered"),
                        that_is_all=(True, "That's all"),
                    ),
                ),
                (Says("Where may we bring it?"),),
            ),
        ),
        Exchange(
            Say("Viale Europa 40, the postcode is 00144."),
            (
                (
                    noted(
                        address=(
                            {"street": "Viale Europa", "number": "40", "postcode": "00144"},
                            "Viale Europa 40, the postcode is 00144",
                        )
                    ),
                ),
                (Says("That is too far for our scooters, I'm sorry. Would you like to collect it?"),),
            ),
        ),
        Exchange(
            Say("All right. Bruno, at nine, and no allergies."),
            (
                (noted(mode=("pickup", "All right")),),
                (
                    noted(
                        name=("Bruno", "Bruno"),
                        wanted_at=("21:00", "at nine"),
                        allergies=([], "no allergies"),
                    ),
                ),
                (Says("Two Amatriciana at nine, to collect. Is that right?"),),
            ),
        ),
        Exchange(
            Say("Hm, no, leave it. I'll cook."),
            (
                (noted(accepted=(False, "no, leave it")),),
                (Says("Of course, nothing is ordered. You are welcome any evening. Buona serata!"),),
            ),
        ),
    ),
    expected=Expected(
        phases=("order", "address", "details", "confirm", "not_placed"),
        observations={"mode": "pickup", "address": None, "name": "Bruno", "accepted": False, "total": "24.00"},
        statements=("The total is 24.00 euro.",),
        tools=(),
        outcome="cancelled",
        ended_reason="completed",
        interruptions=0,
    ),
)

GNOCCHI = {"name": "Gnocchi al pesto", "quantity": 1}

nuts = Scenario(
    "nuts",
    "restaurant_ordering",
    title="A dish that would do harm is not forgotten, and somebody wants to talk about it with Lina",
    called_number=LINE,
    exchanges=(
        Exchange(
            Say("One gnocchi al pesto to take away, that's all. It is for Ada, at seven, who can't eat nuts."),
            (
                (
                    noted(
                        mode=("pickup", "to take away"),
                        items=([GNOCCHI], "One gnocchi al pesto"),
                        that_is_all=(True, "that's all"),
                    ),
                ),
                (
                    noted(
                        name=("Ada", "It is for Ada"),
                        wanted_at=("19:00", "at seven"),
                        allergies=(["nuts"], "who can't eat nuts"),
                    ),
                ),
                (Says("There are pine nuts in the pesto. The Carbonara has none. Shall I change it?"),),
            ),
        ),
        Exchange(
            Say("A Carbonara, then."),
            (
                (noted(items=([{"name": "Carbonara", "quantity": 1}], "A Carbonara, then")),),
                (Says("One Carbonara at seven. Is that right?"),),
            ),
        ),
        Exchange(
            Say("I'd rather ask a person about those nuts."),
            (
                (rule("human", "I'd rather ask a person"),),
                (Says("Lina calls you back within ten minutes, about the nuts. Anything else?"),),
            ),
        ),
        Exchange(Say("No, thank you."), ((Says("She calls in a moment. Goodbye!"),),)),
    ),
    expected=Expected(
        phases=("order", "details", "confirm", "human", "called_back"),
        observations={"harmful": False, "all_the_same": None, "total": "12.50", "accepted": None},
        statements=("The total is 12.50 euro.",),
        outcome="incomplete",
        ended_reason="completed",
    ),
)

CLUB = [{"name": name, "quantity": 20} for name in ("Margherita", "Marinara", "Diavola")]

club = Scenario(
    "club",
    "restaurant_ordering",
    title="Sixty pizzas for a club: the till gives up, and a human takes over",
    called_number=LINE,
    exchanges=(
        Exchange(
            Say("Twenty Margherita, twenty Marinara and twenty Diavola. We collect it at ten, that's all."),
            (
                (
                    noted(
                        mode=("pickup", "We collect it"),
                        items=(CLUB, "Twenty Margherita, twenty Marinara and twenty Diavola"),
                        that_is_all=(True, "that's all"),
                    ),
                ),
                (noted(wanted_at=("22:00", "We collect it at ten")),),
                (Says("Sixty! Under which name, and is there an allergy?"),),
            ),
        ),
        Exchange(
            Say("Rugby Roma, and no allergies."),
            (
                (noted(name=("Rugby Roma", "Rugby Roma"), allergies=([], "no allergies")),),
                (Says("Twenty of each, at ten. Shall we?"),),
            ),
        ),
        Exchange(
            Say("Yes."),
            (
                (noted(accepted=(True, "Yes")),),
                (Says("Our till has given up, I am sorry. Lina calls you back within ten minutes."),),
            ),
        ),
        Exchange(Hear()),  # what bridges the tries of the till
        Exchange(Say("All right."), ((Says("She calls in a moment. Goodbye!"),),)),
    ),
    expected=Expected(
        phases=("order", "details", "confirm", "kitchen", "human", "called_back"),
        observations={"total": "520.00", "accepted": True, "ready": None},
        statements=("The total is 520.00 euro.", PASSING_ON),
        tools=("place_order", "place_order", "place_order"),
        outcome="incomplete",
        ended_reason="completed",
    ),
)

scenarios = [delivery, second_thoughts, too_far, nuts, club]
