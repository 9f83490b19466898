from __future__ import annotations

import pytest

from voicebot.sim.load.finder import GRAIN, Search


def found(capacity: int, search: Search) -> list[int]:
    """The loads that were tried, on a server that carries so many."""
    tried = []
    while (calls := search.next()) is not None:
        tried.append(calls)
        search.tell(calls, carried=calls <= capacity)
        assert len(tried) < 50
    return tried


@pytest.mark.parametrize("capacity", [0, 1, 9, 10, 11, 49, 50, 51, 99, 100, 187, 200, 204, 333, 1_000, 4_999])
@pytest.mark.parametrize("first", [1, 25, 50, 300])
def test_search_ends_close_below_the_capacity(capacity: int, first: int) -> None:
    search = Search(first)
    tried = found(capacity, search)
    assert search.too_many is not None
    assert search.carried <= capacity < search.too_many
    assert search.too_many - search.carried <= GRAIN
    assert len(tried) == len(set(tried)) <= 22


def test_search_tries_few_loads() -> None:
    assert found(187, Search(50)) == [50, 100, 200, 150, 170, 180, 190]


def test_search_stops_at_the_most() -> None:
    search = Search(50, most=300)
    assert found(10_000, search) == [50, 100, 200, 300]
    assert (search.carried, search.too_many) == (300, None)
