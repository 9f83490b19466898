"""Trattoria da Lina takes orders on the telephone: pickup or delivery, from a menu that is priced here."""

import unicodedata
from dataclasses import dataclass
from datetime import time
from decimal import Decimal
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

Course = Literal["starter", "pizza", "pasta", "main", "dessert", "drink"]
Diet = Literal["vegetarian", "vegan", "gluten free"]
Allergen = Literal[
    "gluten", "crustaceans", "eggs", "fish", "peanuts", "soya", "milk",
    "nuts", "celery", "mustard", "sesame", "sulphites", "lupin", "molluscs",
]  # fmt: skip


@dataclass(frozen=True)
class MenuEntry:
    """A line of the menu. Prices in euros."""

    name: str
    course: Course
    price: Decimal
    about: str
    allergens: frozenset[Allergen]
    meatless: Literal["vegan", "vegetarian", "no"] = "no"

    def suits(self, diet: Diet) -> bool:
        if diet == "gluten free":
            return "gluten" not in self.allergens
        return self.meatless == "vegan" or self.meatless == diet


def _entry(
    name: str,
    course: Course,
    price: str,
    about: str,
    *allergens: Allergen,
    meatless: Literal["vegan", "vegetarian", "no"] = "no",
) -> MenuEntry:
    return MenuEntry(name, course, Decimal(price), about, frozenset(allergens), meatless)


MENU = (
    _entry("Supplì al telefono", "starter", "6.50", "fried rice balls, tomato, a heart of mozzarella",
           "gluten", "milk", "eggs", meatless="vegetarian"),
    _entry("Bruschetta al pomodoro", "starter", "5.00", "toasted bread, tomato, garlic, basil",
           "gluten", meatless="vegan"),
    _entry("Carciofo alla giudia", "starter", "7.00", "a whole artichoke, fried until crisp", meatless="vegan"),
    _entry("Margherita", "pizza", "8.50", "tomato, mozzarella, basil", "gluten", "milk", meatless="vegetarian"),
    _entry("Marinara", "pizza", "7.50", "tomato, garlic, oregano, no cheese", "gluten", meatless="vegan"),
    _entry("Diavola", "pizza", "10.00", "tomato, mozzarella, spicy salami", "gluten", "milk"),
    _entry("Quattro formaggi", "pizza", "11.00", "four cheeses, no tomato", "gluten", "milk", meatless="vegetarian"),
    _entry("Cacio e pepe", "pasta", "11.50", "tonnarelli, pecorino, black pepper",
           "gluten", "milk", meatless="vegetarian"),
    _entry("Carbonara", "pasta", "12.50", "spaghetti, guanciale, egg yolk, pecorino", "gluten", "milk", "eggs"),
    _entry("Amatriciana", "pasta", "12.00", "bucatini, guanciale, tomato, pecorino", "gluten", "milk"),
    _entry("Gnocchi al pesto", "pasta", "12.00", "potato gnocchi, basil, pine nuts, parmesan",
           "gluten", "milk", "nuts", meatless="vegetarian"),
    _entry("Saltimbocca alla romana", "main", "15.50", "veal, ham, sage, white wine", "gluten", "milk", "sulphites"),
    _entry("Cicoria ripassata", "main", "5.50", "chicory, garlic, chilli", meatless="vegan"),
    _entry("Tiramisù", "dessert", "6.00", "coffee, mascarpone, cocoa", "gluten", "milk", "eggs", meatless="vegetarian"),
    _entry("Torta di nocciole", "dessert", "6.50", "hazelnut cake, no flour",
           "nuts", "eggs", "milk", meatless="vegetarian"),
    _entry("Sorbetto al limone", "dessert", "4.50", "lemon sorbet", meatless="vegan"),
    _entry("Acqua frizzante", "drink", "2.50", "sparkling water, one litre", meatless="vegan"),
    _entry("Chinotto", "drink", "3.00", "bitter orange soda", meatless="vegan"),
    _entry("Vino della casa", "drink", "12.00", "red or white, one litre", "sulphites", meatless="vegan"),
)  # fmt: skip

KITCHEN_MINUTES = 20
DELIVERY_FEE = Decimal("3.00")
DELIVERY_MINIMUM = 15
RIDE_MINUTES = {"00153": 20, "00152": 25, "00186": 25, "00154": 25, "00184": 30}
QUARTERS = {
    "00153": "Trastevere",
    "00152": "Monteverde",
    "00186": "the old centre",
    "00154": "Ostiense",
    "00184": "Monti",
}
FIRST_ORDER, LAST_ORDER = time(18, 30), time(22, 45)

# ---- what a call finds out -----------------------------------------------------------------------------------------


class Dish(BaseModel, extra="forbid"):
    name: str = Field(description="the dish's name on the menu")
    quantity: int = Field(ge=1, le=20)
    wish: str | None = Field(default=None, description="a change to it, as in: no basil")


class Address(BaseModel, extra="forbid"):
    street: str
    number: str
    postcode: str = Field(pattern=r"^\d{5}$")
    note: str | None = Field(default=None, description="floor, name on the bell, gate code")


def _plain(text: str) -> str:
    """Lower case without accents, so that "tiramisu" is Tiramisù."""
    return "".join(sign for sign in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(sign))


_NOISE = {"pizza", "pasta", "a", "the", "of", "portion", "spaghetti", "with"}


def _find(name: str) -> MenuEntry | None:
    """The entry that a caller means: its exact name, or words that fit only one entry."""
    exact = [entry for entry in MENU if _plain(entry.name) == _plain(name)]
    words = set(_plain(name).split()) - _NOISE
    close = [entry for entry in MENU if words and words <= set(_plain(entry.name).split())]
    found = exact or close
    return found[0] if len(found) == 1 else None


def on_menu(items: list[Dish]) -> list[Dish]:
    """Keep dishes by their names on the menu, and refuse what we do not cook."""
    found = [(dish, _find(dish.name)) for dish in items]
    unknown = [dish.name for dish, entry in found if entry is None]
    if unknown:
        raise ValueError(f"not on our menu: {', '.join(unknown)}. Say so, and offer something like it from search_menu")
    return [dish.model_copy(update={"name": entry.name}) for dish, entry in found if entry is not None]


def we_deliver_there(address: Address) -> None:
    if address.postcode not in RIDE_MINUTES:
        quarters = ", ".join(f"{quarter} ({postcode})" for postcode, quarter in QUARTERS.items())
        raise ValueError(f"we do not deliver to {address.postcode}, only to {quarters}. Offer pickup instead")


def kitchen_is_open(wanted: time | str) -> None:
    if isinstance(wanted, time) and not FIRST_ORDER <= wanted <= LAST_ORDER:
        raise ValueError(f"we cook from {FIRST_ORDER:%H:%M} to {LAST_ORDER:%H:%M}; ask for another time")


class Order(Observations):
    mode: Literal["pickup", "delivery"] = ask("whether they collect the order or want it delivered")
    items: Annotated[list[Dish], Field(min_length=1)] = ask(
        "the whole order so far, every dish with its quantity; all of it again when it changes", check=on_menu
    )
    that_is_all: bool = ask("true once the caller says that the order is complete")
    address: Address = ask("where to deliver", needed_if=it.mode == "delivery", check=we_deliver_there)
    name: str = ask("the name for the order")
    phone: PhoneNumber = ask("a number to call back if something is wrong", default_from="caller")
    wanted_at: time | Literal["as soon as possible"] = ask("when they want it", check=kitchen_is_open)
    allergies: list[Allergen] = ask("allergies of those who will eat; an empty list if there are none")
    accepted: bool = ask("a clear yes or no to the order and the total you have read out; a change is neither")
    total: Decimal = ask(
        "the total in euros that price_order gave and the caller said yes to, as in 26.50", needed_if=it.accepted.yes
    )


# ---- tools ---------------------------------------------------------------------------------------------------------


@tool
def search_menu(words: str = "", course: Course | None = None, diet: Diet | None = None) -> list[dict[str, object]]:
    """Look something up on the menu: dishes, prices, allergens.

    Use it before you offer or describe a dish. `words` are looked for in names and descriptions, any of them counts;
    leave it empty to see a whole course.
    """
    wanted = _plain(words).split()
    return [
        {
            "name": entry.name,
            "course": entry.course,
            "price_eur": str(entry.price),
            "about": entry.about,
            "allergens": sorted(entry.allergens),
        }
        for entry in MENU
        if course in (None, entry.course)
        and (diet is None or entry.suits(diet))
        and (not wanted or any(word in _plain(f"{entry.name} {entry.about}") for word in wanted))
    ]


@tool
def price_order(context: ToolContext) -> dict[str, object]:
    """Price the order as it is recorded, and say when it is ready.

    Use it before you read the order back, and again after every change to it.
    """
    order = Order.model_construct(**context.observations)
    if order.mode == "delivery" and "address" not in context.observations:
        return {"problem": "first find out where to deliver"}
    dishes = [(dish, entry) for dish in order.items if (entry := _find(dish.name)) is not None]
    fee = DELIVERY_FEE if order.mode == "delivery" else Decimal("0.00")
    total = fee + sum(entry.price * dish.quantity for dish, entry in dishes)
    priced: dict[str, object] = {
        "lines": [f"{dish.quantity} {entry.name}: {entry.price * dish.quantity}" for dish, entry in dishes],
        "delivery_eur": str(fee),
        "total_eur": str(total),
        "minutes": KITCHEN_MINUTES + _ride_minutes(order),
        "warnings": [warning for _, entry in dishes for warning in _warnings(entry, order.allergies)],
    }
    if order.mode == "delivery" and total < DELIVERY_MINIMUM:
        priced["problem"] = f"we deliver from {DELIVERY_MINIMUM} euros; suggest one more dish, or pickup"
    return priced


def _ride_minutes(order: Order) -> int:
    return RIDE_MINUTES[order.address.postcode] if order.mode == "delivery" else 0


def _warnings(entry: MenuEntry, allergies: list[Allergen]) -> list[str]:
    found = sorted(entry.allergens & set(allergies))
    return [f"{entry.name} contains {', '.join(found)}: say so, and offer another dish"] if found else []


# ---- the conversation ----------------------------------------------------------------------------------------------

PERSONA = """\
You are Lina's voice on the telephone: quick, warm, proud of the kitchen, never pushy. You speak as one does across a
counter on a busy evening. You say prices the way people say them: "eight fifty", "twelve euros". A little Italian is
welcome, a lot is not."""

KNOWLEDGE = f"""\
Trattoria da Lina, Via della Lungaretta 81, Rome (Trastevere). The kitchen is open every evening from 18:30 to 23:00,
last orders at 22:45. Pickup is ready in about {KITCHEN_MINUTES} minutes. Delivery costs {DELIVERY_FEE} euros, from
{DELIVERY_MINIMUM} euros on, to {", ".join(QUARTERS.values())}. Cash or card at the counter and at the door.
We cannot promise that a dish is free of traces of an allergen: everything is cooked in one kitchen."""

flow = Flow(
    goal="Take a complete order that the kitchen can cook and the caller has agreed to pay for.",
    persona=PERSONA,
    knowledge=KNOWLEDGE,
    languages=["en", "it"],
    voice="marin",
    timezone="Europe/Rome",
    numbers=["+15550100001"],
    opening=Say("Trattoria da Lina, good evening! What may we cook for you?"),
    observations=Order,
    tools_everywhere=[search_menu],
    limits=Limits(
        duration="8m",
        silence=[After("8s", AskAgain()), After("16s", AskAgain()), After("25s", To("not_placed"))],
    ),
    initial_phase="order",
    phases=[
        Phase(
            "order",
            instructions="""\
Find out what they would like, and whether they collect it or want it delivered.
Record the whole list of dishes each time it grows or changes. Repeat a dish in two or three words, not the list.
If they hesitate, look on the menu and offer two dishes at most, with their prices.
If a dish is not on our menu, say so at once and offer the nearest one.
When they seem to be done, ask whether that is all. Only their own words make it so.""",
            observations=[it.mode, it.items, it.that_is_all],
            success_criteria=[it.that_is_all.yes],
            transitions=[To("address", when=it.mode == "delivery"), To("details")],
        ),
        Phase(
            "address",
            instructions="""\
Ask where to deliver: street, number and postcode. Repeat number and postcode digit by digit if you are not sure.
If we do not deliver there, say so with regret and offer pickup. If they then want to collect it, record the mode
as pickup; the address is no longer needed.""",
            observations=[it.address],
            transitions=[To("details")],
        ),
        Phase(
            "details",
            instructions="""\
Ask for the name, then when they want it, then about allergies. One at a time; skip what you already know.
Always ask about allergies, in these or like words: "Is there an allergy the kitchen should know of?"
If the caller's number is withheld, ask for one in case something is wrong with the order.""",
            observations=[it.name, it.wanted_at, it.allergies, it.phone],
            transitions=[To("confirm")],
        ),
        Phase(
            "confirm",
            instructions="""\
First use price_order. If it warns of an allergen, say which dish and offer another one.
Then read back the dishes with their quantities, the total, and when it will be ready. Ask for a clear yes.
If they change something, record the change, use price_order again, and read back what changed and the new total.
Record the answer together with the total. A no means that they want no order at all.""",
            observations=[it.accepted, it.total, it.address],
            tools=[price_order],
            success_criteria=[it.accepted.no | (it.mode == "pickup") | (it.total >= DELIVERY_MINIMUM)],
            transitions=[To("placed", when=it.accepted.yes), To("not_placed", when=it.accepted.no)],
        ),
        Phase(
            "placed",
            instructions="""\
Thank them by name. Say in how many minutes the order is at the door, or ready on the counter. Say goodbye.""",
            end=HangUp(),
        ),
        Phase(
            "not_placed",
            instructions="""\
Say kindly that nothing is ordered, and that they may call again any evening. Say goodbye. Do not ask for a reason.""",
            end=HangUp(),
        ),
    ],
    report=Report(outcome={"ordered": it.accepted.yes, "cancelled": it.accepted.no, "incomplete": otherwise}),
)
