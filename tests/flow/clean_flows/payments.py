"""A bank's line: a menu by keys, an account number that may be pressed, and a card number that nobody reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voicebot.flow import (
    Flow,
    HangUp,
    Keypad,
    Limits,
    Observations,
    Phase,
    PhaseLimits,
    Receiver,
    Report,
    Rule,
    Say,
    To,
    ask,
    computed,
    it,
    tool,
)


def share_of(amount: int) -> int:
    """What the bank keeps."""
    return amount // 100


class Payment(Observations):
    account: str = ask("the number of the account", keypad=Keypad(length=8))
    amount: int = ask("how much they pay, in euros", keypad=True)
    share: int = computed(share_of)
    card: str = ask(
        "the number of the card", secret=True, keypad=Keypad(prompt="Please enter the number of your card.")
    )


@tool
def rate(amount: int) -> str:
    """What a payment costs."""
    return f"{amount // 100} euros"


def ledger_line(event: Mapping[str, Any]) -> dict[str, Any]:
    """The payment as the ledger wants it."""
    return {"call": event["data"]["call_sid"], "amount": event["data"]["observations"]["amount"]}


flow = Flow(
    goal="Take a payment.",
    persona="You answer the telephone of a bank.",
    observations=Payment,
    rules=[Rule("human", when="the caller asks for a human being", then=To("desk"))],
    limits=Limits(phase=PhaseLimits(turns=10, then="desk")),
    phases=[
        Phase(
            "menu",
            instructions="Say that one is for payments, and two for a colleague.",
            keys={"1": To("account"), "2": To("desk")},
            transitions=[To("account")],
        ),
        Phase(
            "account",
            instructions="Ask for the account and the amount.",
            observations=[it.account, it.amount],
            tools=[rate],
            must_say=[Say("You pay {amount} euros.", name="amount")],
            transitions=[To("card")],
        ),
        Phase("card", instructions="Take the card.", observations=[it.card], transitions=[To("bye")]),
        Phase("desk", instructions="Say that a colleague calls back. Say goodbye.", end=HangUp()),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
    report=Report(
        outcome={"paid": it.card.filled},
        receivers=[
            Receiver("bank", url="https://bank.example.com/in", secrets=[it.card]),
            Receiver("ledger", url="https://ledger.example.com/in", body=ledger_line),
        ],
    ),
)
