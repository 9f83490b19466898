"""Rehearsals of the trattoria: a delivery, a pickup with second thoughts, and an address that is too far."""

from voicebot.sim.brain import Calls, Says
from voicebot.sim.scenario import Exchange, Expected, Interrupt, Say, Scenario, noted

LINE = "+15550100001"


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
                    Calls("search_menu", {"course": "starter", "diet": "vegetarian"}),
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
                (noted(address=(HOME, "Via dei Fienaroli 12")),),
                (Says("You can almost smell it from there. Under which name?"),),
            ),
        ),
        Exchange(
            Say("Giulia. And as soon as you can, we are starving!"),
            (
                (noted(name=("Giulia", "Giulia"), wanted_at=("as soon as possible", "as soon as you can")),),
                (Says("Then we hurry, Giulia. Is there an allergy the kitchen should know of?"),),
            ),
        ),
        Exchange(
            Say("Yes, my son can't eat nuts."),
            (
                (noted(allergies=(["nuts"], "my son can't eat nuts")),),
                (Calls("price_order"),),
                (
                    Says(
                        "No nuts in any of it. Two Margheritas, one supplì: twenty-six fifty with delivery, "
                        "at your door in forty minutes. Shall we?"
                    ),
                ),
            ),
        ),
        Exchange(
            Say("Yes, go ahead!"),
            (
                (noted(accepted=(True, "Yes, go ahead"), total=("26.50", "Yes, go ahead")),),
                (Says("Grazie, Giulia. The oven is yours: forty minutes. A presto, and buon appetito!"),),
            ),
        ),
    ),
    expected=Expected(
        phases=("order", "address", "details", "confirm", "placed"),
        observations={
            "mode": "delivery",
            "items": [MARGHERITAS | {"wish": None}, SUPPLI | {"wish": None}],
            "that_is_all": True,
            "address": HOME,
            "name": "Giulia",
            "phone": "+15550123456",
            "wanted_at": "as soon as possible",
            "allergies": ["nuts"],
            "accepted": True,
            "total": "26.50",
        },
        outcome="ordered",
        ended_reason="completed",
        interruptions=1,
    ),
)

pickup = Scenario(
    "pickup",
    "restaurant_ordering",
    title="Sam asks for the one pizza that nobody makes here, and his sister changes the total",
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
                (Calls("search_menu", {"course": "pizza"}),),
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
                            "A Diavola, then",
                        ),
                        that_is_all=(True, "Just that and the tiramisu"),
                    ),
                ),
                (Says("One Diavola, one tiramisù, to take away. What name shall I write on the box?"),),
            ),
        ),
        Exchange(
            Say("Sam. I'll come by at eight."),
            (
                (noted(name=("Sam", "Sam"), wanted_at=("20:00", "at eight")),),
                (Says("Eight it is, Sam. Is there an allergy the kitchen should know of?"),),
            ),
        ),
        Exchange(
            Say("None at all."),
            (
                (noted(allergies=([], "None at all")),),
                (Says("Good. And a number, in case the oven sulks? Yours does not show."),),
            ),
        ),
        Exchange(
            Say("Sure: plus one, 555, 010, 0142."),
            (
                (noted(phone=("+15550100142", "plus one, 555, 010, 0142")),),
                (Calls("price_order"),),
                (Says("Thank you. One Diavola and one tiramisù: sixteen euros, at eight. Is that right?"),),
            ),
        ),
        Exchange(
            Say("Oh, make it two Diavolas. My sister is coming along."),
            (
                (
                    noted(
                        items=(
                            [{"name": "Diavola", "quantity": 2}, {"name": "tiramisu", "quantity": 1}],
                            "make it two Diavolas",
                        )
                    ),
                ),
                (Calls("price_order"),),
                (Says("The more the merrier. Two Diavolas and one tiramisù are twenty-six euros. All right?"),),
            ),
        ),
        Exchange(
            Say("Yes, perfect, thanks."),
            (
                (noted(accepted=(True, "Yes, perfect"), total=("26.00", "Yes, perfect")),),
                (Says("Grazie, Sam. Two warm boxes and a cold one wait for you at eight. Buona serata!"),),
            ),
        ),
    ),
    expected=Expected(
        phases=("order", "details", "confirm", "placed"),
        observations={
            "mode": "pickup",
            "items": [
                {"name": "Diavola", "quantity": 2, "wish": None},
                {"name": "Tiramisù", "quantity": 1, "wish": None},
            ],
            "address": None,
            "name": "Sam",
            "phone": "+15550100142",
            "wanted_at": "20:00:00",
            "allergies": [],
            "accepted": True,
            "total": "26.00",
        },
        outcome="ordered",
        ended_reason="completed",
        interruptions=0,
    ),
)

too_far = Scenario(
    "too far",
    "restaurant_ordering",
    title="An address beyond the scooters' reach, and a caller who would rather not collect",
    called_number=LINE,
    exchanges=(
        Exchange(
            Say("Good evening, one Amatriciana to be delivered, please. That's all."),
            (
                (
                    noted(
                        mode=("delivery", "one Amatriciana to be delivered"),
                        items=([{"name": "Amatriciana", "quantity": 1}], "one Amatriciana to be delivered"),
                        that_is_all=(True, "That's all"),
                    ),
                ),
                (Says("A good choice. Where may we bring it? Street, number and postcode, please."),),
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
                (
                    Says(
                        "That is too far for our scooters, I'm sorry: the pasta would be cold. "
                        "Would you like to collect it instead?"
                    ),
                ),
            ),
        ),
        Exchange(
            Say("No, then leave it, thank you. Another time."),
            (
                (
                    Says("Of course. Nothing is ordered, and you are welcome any evening. Buona serata!"),
                    Calls("end_call", {"reason": "caller_wants_to_stop"}),
                ),
            ),
        ),
    ),
    expected=Expected(
        phases=("order", "address"),
        observations={
            "mode": "delivery",
            "items": [{"name": "Amatriciana", "quantity": 1, "wish": None}],
            "address": None,
            "accepted": None,
            "total": None,
        },
        outcome="incomplete",
        ended_reason="caller_finished",
        interruptions=0,
    ),
)

scenarios = [delivery, pickup, too_far]
