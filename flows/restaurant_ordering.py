"""Trattoria da Lina takes orders on the telephone, pickup or delivery. What she cooks stands in menu.md beside this."""

import asyncio
import unicodedata
from datetime import time
from decimal import Decimal
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Literal

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
    otherwise,
    tool,
)

# ---- the house -----------------------------------------------------------------------------------------------------


def _rows(first_column: str) -> list[list[str]]:
    """The table of menu.md that begins with this column: what Lina changes there is what is said, priced and cooked."""
    lines = Path(__file__).with_name("menu.md").read_text(encoding="utf-8").splitlines()
    heading = next(number for number, line in enumerate(lines) if line.startswith(f"| {first_column} "))
    table = takewhile(lambda line: line.startswith("|"), lines[heading + 2 :])
    return [[cell.strip() for cell in line[1:].rstrip("|").split("|")] for line in table]


Mode = Literal["pickup", "delivery"]
Allergen = Literal[
    "gluten", "crustaceans", "eggs", "fish", "peanuts", "soya", "milk",
    "nuts", "celery", "mustard", "sesame", "sulphites", "lupin", "molluscs",
]  # fmt: skip

PRICES = {dish: Decimal(euro) for dish, _, euro, _, _ in _rows("Dish")}
ALLERGENS = {dish: set(allergens.split(", ")) for dish, _, _, _, allergens in _rows("Dish")}
QUARTERS = {postcode: quarter for postcode, quarter, _ in _rows("Postcode")}
RIDE_MINUTES = {postcode: int(minutes) for postcode, _, minutes in _rows("Postcode")}
DELIVERY_FEE, DELIVERY_MINIMUM = Decimal("3.00"), 15
FIRST_ORDER, LAST_ORDER = time(18, 30), time(22, 45)
KITCHEN_MINUTES = 20

# The kitchen and the till are pretended. Like real ones they are slow, they refuse, and now and then they fail.
OVEN_FULL = time(20)
TILL_TAKES = 40  # dishes; at more it never answers

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


def _on_menu(name: str) -> str | None:
    """The dish that a caller means: by its whole name, or by words that fit only one."""
    exact = [dish for dish in PRICES if _plain(dish) == _plain(name)]
    words = set(_plain(name).split()) - _NOISE
    close = [dish for dish in PRICES if words and words <= set(_plain(dish).split())]
    found = exact or close
    return found[0] if len(found) == 1 else None


def on_menu(items: list[Dish]) -> list[Dish]:
    """Keep dishes by their names on the menu, and refuse what we do not cook."""
    unknown = [dish.name for dish in items if _on_menu(dish.name) is None]
    if unknown:
        raise ValueError(f"not on our menu: {', '.join(unknown)}. Say so, and offer the nearest that is")
    return [dish.model_copy(update={"name": _on_menu(dish.name)}) for dish in items]


def we_deliver_there(address: Address) -> None:
    if address.postcode not in QUARTERS:
        raise ValueError(f"we do not deliver to {address.postcode}, only to {', '.join(QUARTERS.values())}")


def in_the_evening(wanted: time | str) -> time | str:
    """Keep "nine" as 21:00, for that is when the kitchen cooks, and refuse what is too early or too late."""
    if not isinstance(wanted, time):
        return wanted
    evening = wanted if wanted.hour >= 12 else wanted.replace(hour=wanted.hour + 12)
    if not FIRST_ORDER <= evening <= LAST_ORDER:
        raise ValueError(f"we cook from {FIRST_ORDER:%H:%M} to {LAST_ORDER:%H:%M}; ask for another time")
    return evening


def price_of(items: list[Dish], mode: Mode) -> Decimal:
    """the total in euros"""
    dishes = sum((PRICES[dish.name] * dish.quantity for dish in items), Decimal("0.00"))
    if mode == "delivery" and dishes < DELIVERY_MINIMUM:
        raise ValueError(f"we deliver from {DELIVERY_MINIMUM} euros on; suggest one more dish, or pickup")
    return dishes + (DELIVERY_FEE if mode == "delivery" else 0)


def harms(items: list[Dish], allergies: list[Allergen]) -> bool:
    """whether the order contains what one of them must not eat"""
    return any(ALLERGENS[dish.name] & set(allergies) for dish in items)


class Order(Observations):
    mode: Mode = ask("whether they collect the order or want it delivered")
    items: Annotated[list[Dish], Field(min_length=1)] = ask(
        "the whole order so far, every dish with its quantity; all of it again when it changes", check=on_menu
    )
    that_is_all: bool = ask("true once the caller says that the order is complete")
    address: Address = ask(
        "where to deliver", needed_if=it.mode == "delivery", check=we_deliver_there, confirm="read back"
    )
    name: str = ask("the name for the order")
    wanted_at: time | Literal["as soon as possible"] = ask("when they want it", check=in_the_evening)
    allergies: list[Allergen] = ask("allergies of those who will eat; an empty list if there are none")
    harmful: bool = computed(harms)
    all_the_same: bool = ask(
        "whether they want the dish all the same, once you have named the allergen in it", needed_if=it.harmful.yes
    )
    phone: PhoneNumber = ask("a number to call back if something is wrong", default_from="caller")
    total: Decimal = computed(price_of)
    accepted: bool = ask("a clear yes or no to the order and its total", about=[it.items, it.total])
    ready: str = ask("when it is ready, as the kitchen says", optional=True)


# ---- tools ---------------------------------------------------------------------------------------------------------


@tool(filler={"en": "One moment, I am asking the kitchen.", "it": "Un momento, chiedo in cucina."})
async def waiting_time(postcode: str = "") -> str:
    """How long an order takes from now on, delivered if you give a postcode. Use it before you promise a time."""
    await asyncio.sleep(2)
    return _in_minutes(postcode)


def _in_minutes(postcode: str) -> str:
    return f"in {KITCHEN_MINUTES + RIDE_MINUTES.get(postcode, 0)} minutes"


@tool(filler={"en": "I am passing it on to the kitchen.", "it": "Lo passo subito in cucina."})
async def place_order(
    context: ToolContext,
    items: list[Dish],
    total: Decimal,
    name: str,
    phone: PhoneNumber,
    wanted_at: time | Literal["as soon as possible"],
    address: Address | None = None,
) -> str:
    """Place the order."""
    await asyncio.sleep(2)
    if wanted_at == OVEN_FULL:
        raise ToolError(f"the oven is full at {OVEN_FULL:%H:%M}: offer a quarter past")
    if sum(dish.quantity for dish in items) > TILL_TAKES:
        raise ConnectionError("the till does not answer")
    ready = f"at {wanted_at:%H:%M}" if isinstance(wanted_at, time) else _in_minutes(address.postcode if address else "")
    context.record(ready=ready)
    return f"ready {ready}"


# ---- the conversation ----------------------------------------------------------------------------------------------

PERSONA = """\
You are Lina's voice on the telephone: quick, warm, proud of the kitchen, never pushy. You speak as one does across a
counter on a busy evening. You say prices the way people say them: "eight fifty", "twelve euros". A little Italian is
welcome, a lot is not."""

flow = Flow(
    goal="Take a complete order that the kitchen can cook and the caller has agreed to pay for.",
    persona=PERSONA,
    knowledge=Path("menu.md"),
    languages=["en", "it"],
    voice="marin",
    timezone="Europe/Rome",
    numbers=["+15550100001"],
    opening=Say("Trattoria da Lina, good evening! What may we cook for you?"),
    apology=Say(
        {
            "en": "I am sorry, our telephone has a problem. Please call again in a minute.",
            "it": "Mi dispiace, il nostro telefono ha un problema. La preghiamo di richiamare tra un minuto.",
        }
    ),
    observations=Order,
    tools_everywhere=[waiting_time],
    rules=[
        Rule("human", when="the caller asks for a human being, or complains", then=To("human")),
        Rule("zero", when=Key("0"), then=To("human")),
        Rule(
            "off_topic",
            when="the caller wants to talk about something that has nothing to do with the trattoria",
            then=Say(
                {
                    "en": "I would love to chat, but the oven is waiting.",
                    "it": "Chiacchiererei volentieri, ma il forno aspetta.",
                }
            ),
        ),
    ],
    limits=Limits(
        duration="8m",
        silence=[
            After("8s", AskAgain({"en": "Are you still there?", "it": "È ancora in linea?"})),
            After(
                "16s",
                AskAgain(
                    {"en": "I am still here, whenever you are ready.", "it": "Io sono qui, quando vuole."},
                ),
            ),
            After("25s", To("not_placed")),
        ],
        phase=PhaseLimits(turns=12, then="human"),
    ),
    initial_phase="order",
    phases=[
        Phase(
            "order",
            instructions="""\
Find out what they would like, and whether they collect it or want it delivered.
Record the whole list of dishes each time it grows or changes. Repeat a dish in two or three words, not the list.
If they hesitate, offer two dishes at most, with their prices.
When they seem to be done, ask whether that is all. Only their own words make it so.""",
            observations=[it.mode, it.items, it.that_is_all],
            success_criteria=[it.that_is_all.yes, it.total.filled],
            transitions=[To("address", when=it.mode == "delivery"), To("details")],
        ),
        Phase(
            "address",
            instructions="""\
Ask where to deliver: street, number and postcode. Read it back, the number and the postcode digit by digit.
If we do not deliver there, say so with regret and offer pickup.""",
            observations=[it.address],
            transitions=[To("details")],
            limits=PhaseLimits(turns=4, then="human"),
        ),
        Phase(
            "details",
            instructions="""\
Ask for the name, then when they want it, then about allergies. One at a time; skip what you already know.
Always ask about allergies, in these or like words: "Is there an allergy the kitchen should know of?"
If a dish contains what they must not eat, name the dish and the allergen, and offer another dish.""",
            observations=[it.name, it.wanted_at, it.allergies, it.all_the_same, it.phone],
            success_criteria=[it.harmful.no | it.all_the_same.yes],
            transitions=[To("confirm")],
        ),
        Phase(
            "confirm",
            instructions="""\
Read back the dishes with their quantities, and when they want it. Ask for a clear yes.
If they change something, record it; a new total is said by itself. A no means that they want no order at all.""",
            must_say=[Say({"en": "The total is {total} euro.", "it": "Il totale è di {total} euro."}, name="total")],
            observations=[it.accepted],
            success_criteria=[heard("total")],
            transitions=[To("kitchen", when=it.accepted.yes), To("not_placed")],
        ),
        Phase(
            "kitchen",
            instructions="If the kitchen cannot do it, say so, offer what it offers, and record what they choose.",
            success_criteria=[it.accepted.yes],
            commit=place_order.once(on_failure="human", idempotent=True),
            transitions=[To("placed")],
        ),
        Phase(
            "placed",
            instructions="Thank them by name. Say when the order is at the door, or ready on the counter. Say goodbye.",
            end=HangUp(),
        ),
        Phase(
            "not_placed",
            instructions="""\
Say kindly that nothing is ordered, and that they may call again any evening. Say goodbye. Do not ask for a reason.""",
            end=HangUp(),
        ),
        Phase(
            "human",
            instructions="""\
Say that Lina herself will call them back within ten minutes, and about what. Apologise if something of ours has failed.
If their number is withheld, ask for one.""",
            observations=[it.phone],
            transitions=[To("called_back")],
            limits=PhaseLimits(turns=2, then="not_placed"),
        ),
        Phase("called_back", instructions="Say that Lina will call in a moment. Say goodbye.", end=HangUp()),
    ],
    report=Report(outcome={"ordered": it.ready.filled, "cancelled": it.accepted.no, "incomplete": otherwise}),
)
