"""Who is alive, by the counts that are seen and a clock that the test moves."""

from __future__ import annotations

from collections.abc import Mapping

from voicebot.server.liveness import BEAT_S, LEASE_S, RECOVERY_S, Observer

NOBODY: frozenset[str] = frozenset()


class Looks:
    """An observer that looks once a beat."""

    def __init__(self) -> None:
        self.observer, self.now = Observer(), 50.0

    def look(self, beats: Mapping[str, int], *expected: str, after_s: float = BEAT_S) -> frozenset[str]:
        self.now += after_s
        return self.observer.look(beats, expected, self.now)


def silent_looks(looks: Looks, beats: Mapping[str, int], *expected: str) -> int:
    """How many looks it takes until somebody is dead."""
    return next(number for number in range(1, 50) if looks.look(beats, *expected))


def test_instance_whose_count_stands_still_is_dead() -> None:
    looks = Looks()
    assert looks.look({"A": 7, "B": 1}) == NOBODY
    beats = 1
    while not (dead := looks.look({"A": 7, "B": (beats := beats + 1)})):
        pass
    assert dead == {"A"}
    assert beats - 1 in (round(LEASE_S / BEAT_S), round(LEASE_S / BEAT_S) + 1)  # four tenths are no binary fraction
    assert looks.observer.alive() == {"B"}


def test_instance_that_beats_is_alive_however_slowly() -> None:
    looks = Looks()
    for beat in range(40):
        assert looks.look({"A": beat // 3}) == NOBODY


def test_count_may_go_down() -> None:
    """An instance that was retired and beats again begins anew."""
    looks = Looks()
    for _ in range(3):
        looks.look({"A": 90})
    assert looks.look({"A": 1}) == NOBODY
    assert looks.look({"A": 2}) == NOBODY
    assert looks.observer.alive() == {"A"}


def test_owner_that_never_beat_is_as_silent() -> None:
    looks = Looks()
    assert looks.look({"B": 1}, "A") == NOBODY
    for beat in range(2, 20):
        if dead := looks.look({"B": beat}, "A"):
            break
    assert dead == {"A"}
    assert looks.observer.alive() == {"B"}


def test_owner_that_begins_to_beat_is_alive() -> None:
    looks = Looks()
    for _ in range(3):
        looks.look({}, "A")
    for beat in range(1, 20):
        assert looks.look({"A": beat}, "A") == NOBODY


def test_late_look_says_more_of_the_observer() -> None:
    looks = Looks()
    looks.look({"A": 7})
    assert looks.look({"A": 7}, after_s=3600) == NOBODY
    assert looks.look({"A": 8}) == NOBODY


def test_blind_observer_begins_anew() -> None:
    looks = Looks()
    needed = silent_looks(Looks(), {"A": 7})
    for _ in range(needed - 1):
        assert looks.look({"A": 7}) == NOBODY
    looks.observer.blind()
    assert silent_looks(looks, {"A": 7}) >= needed - 1


def test_others_may_find_the_store_again_later() -> None:
    needed = silent_looks(Looks(), {"A": 7})
    looks = Looks()
    looks.look({"A": 7})
    looks.observer.blind(RECOVERY_S)
    assert silent_looks(looks, {"A": 7}) >= needed - 1 + RECOVERY_S / BEAT_S
    assert looks.observer.alive() == NOBODY


def test_observer_that_cannot_see_takes_nobody_for_dead() -> None:
    looks = Looks()
    for _ in range(100):
        looks.observer.blind()
        assert looks.look({"A": 7}) == NOBODY


def test_retired_instance_is_forgotten() -> None:
    looks = Looks()
    looks.look({"A": 7, "B": 1})
    looks.look({"B": 2})
    assert looks.observer.alive() == {"B"}


def test_instance_that_has_just_begun_is_alive() -> None:
    """It stands in the store, and was not there at the last look."""
    looks = Looks()
    assert looks.observer.living({"A", "B"}) == NOBODY  # who never looked knows nothing of anybody
    silent_looks(looks, {"A": 7})
    assert looks.observer.living({"A", "B"}) == {"B"}
    looks.look({"A": 8})
    assert looks.observer.living({"A", "B"}) == {"A", "B"}
    looks.observer.blind()
    assert looks.observer.living({"A", "B"}) == {"A"}
