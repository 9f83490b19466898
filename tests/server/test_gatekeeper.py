"""Who is let in, who goes for others, and what is remembered of it."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from voicebot.server.gatekeeper import REASONS, Gatekeeper, Stay
from voicebot.server.proxies import Proxies

ONE, OTHER = ip_address("203.0.113.1"), ip_address("203.0.113.2")
PROXY = ip_address("10.0.0.1")
CLIENT = ("198.51.100.7",)


class Knocker:
    """A connection that knows whether it was told to go."""

    def __init__(self) -> None:
        self.dismissed = 0

    def dismiss(self) -> None:
        self.dismissed += 1


def gate(total: int = 4, per_address: int = 2) -> Gatekeeper:
    return Gatekeeper(Proxies([ip_network("10.0.0.0/8")]), total=total, per_address=per_address)


def enter(keeper: Gatekeeper, peer: object = ONE) -> tuple[Knocker, Stay]:
    guest = Knocker()
    stay = keeper.admit(guest, peer)  # type: ignore[arg-type]
    assert stay is not None
    return guest, stay


def test_longest_silent_one_of_an_address_goes_for_the_next() -> None:
    keeper = gate()
    guests = [enter(keeper)[0] for _ in range(3)]
    assert [guest.dismissed for guest in guests] == [1, 0, 0]
    assert keeper.strangers == 2
    assert keeper.counts["closed_crowded"] == 1


def test_longest_silent_one_of_all_goes_for_the_next() -> None:
    keeper = gate(total=3)
    addresses = [ip_address(f"203.0.113.{number}") for number in range(1, 5)]
    guests = [enter(keeper, address)[0] for address in addresses]
    assert [guest.dismissed for guest in guests] == [1, 0, 0, 0]


def test_who_asks_does_not_go_for_others() -> None:
    keeper = gate()
    first, stay = enter(keeper)
    keeper.begin(stay, ())
    second, _ = enter(keeper)
    enter(keeper)
    assert (first.dismissed, second.dismissed) == (0, 1)


def test_who_was_answered_waits_behind_the_others() -> None:
    keeper = gate()
    first, stay = enter(keeper)
    second, _ = enter(keeper)
    keeper.begin(stay, ())
    keeper.finish(stay)
    enter(keeper)
    assert (first.dismissed, second.dismissed) == (0, 1)


def test_newcomer_is_refused_while_all_ask() -> None:
    keeper = gate(total=3)
    for _ in range(2):
        keeper.begin(enter(keeper)[1], ())
    assert keeper.admit(Knocker(), ONE) is None
    keeper.begin(enter(keeper, OTHER)[1], ())
    assert keeper.admit(Knocker(), OTHER) is None
    assert keeper.admit(Knocker(), None) is None
    assert (keeper.counts["refused_address"], keeper.counts["refused_total"]) == (1, 2)
    assert keeper.open == 3


def test_friends_count_for_nobody() -> None:
    keeper = gate()
    for _ in range(20):
        guest, stay = enter(keeper)
        keeper.begin(stay, ())
        keeper.vouch(stay)
        keeper.vouch(stay)
    assert (keeper.strangers, keeper.open, guest.dismissed) == (0, 20, 0)
    keeper.finish(stay)  # waits for more, and is still a friend
    assert keeper.begin(stay, ()) == (ONE, True)
    keeper.leave(stay)
    assert keeper.open == 19


def test_proxy_is_not_held_to_the_limit_of_an_address() -> None:
    keeper = gate(total=10)
    guests = [enter(keeper, PROXY)[0] for _ in range(10)]
    assert sum(guest.dismissed for guest in guests) == 0


def test_client_behind_a_proxy_is_held_to_it() -> None:
    keeper = gate(total=10)
    stays = [enter(keeper, PROXY)[1] for _ in range(4)]
    answers = [keeper.begin(stay, CLIENT)[1] for stay in stays[:3]]
    assert answers == [True, True, False]
    assert keeper.begin(stays[3], ("198.51.100.8",)) == (ip_address("198.51.100.8"), True)
    assert keeper.counts["refused_client"] == 1
    for stay in stays[:3]:
        keeper.finish(stay)
    assert keeper.begin(stays[0], CLIENT)[1]


def test_request_of_a_friend_frees_its_client_at_once() -> None:
    keeper = gate(total=10)
    for _ in range(5):  # as callers of one telephone company, all at once
        stay = enter(keeper, PROXY)[1]
        assert keeper.begin(stay, CLIENT)[1]
        keeper.vouch(stay)


def test_proxy_that_names_nobody_shares_no_limit() -> None:
    keeper = gate(total=10)
    stays = [enter(keeper, PROXY)[1] for _ in range(5)]
    assert [keeper.begin(stay, ())[1] for stay in stays] == [True] * 5


def test_every_reason_has_a_count() -> None:
    keeper = gate()
    keeper.counts["forged"] += 2
    assert set(keeper.snapshot()) == set(REASONS)
    assert sum(keeper.snapshot().values()) == 2


@given(st.lists(st.tuples(st.sampled_from("abcd+-~.!"), st.integers(0, 9)), max_size=80))
def test_limits_hold_and_nothing_stays_behind(steps: list[tuple[str, int]]) -> None:
    keeper = gate(total=5, per_address=2)
    there: list[Stay] = []
    peers = {"a": ONE, "b": OTHER, "c": PROXY, "d": None}
    for step, which in steps:
        if step in peers:
            if (stay := keeper.admit(Knocker(), peers[step])) is not None:
                there.append(stay)
        elif there:
            stay = there[which % len(there)]
            if step == "+":
                keeper.begin(stay, CLIENT)
            elif step == "~":
                keeper.finish(stay)
            elif step == "!":
                keeper.vouch(stay)
            else:
                keeper.leave(stay)
                there.remove(stay)
        assert keeper.strangers <= 5
        assert keeper.open == len(there)
    for stay in there:
        keeper.leave(stay)
    assert (keeper.open, keeper.strangers) == (0, 0)
    assert keeper._by_address == {}
    assert not keeper._by_client
