"""Where the words of a quote are in what was said: the most telling chain of them, in order.

Exact matches and words that sound alike are linked to a chain by dynamic programming. The words between its links,
which are too common to lead a chain or were misheard, are then looked for only where they should be.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import add

from .likeness import alike, distance, opening
from .numerals import PAUSES, TURN, digits, is_number
from .spoken import weight
from .spoken_words import ARTICLES, CARRIER_WEIGHT, KINDS, WEIGHTS

_COMPARISONS = 1500  # of words by their sound, at most
_FEW = (
    6  # words of a quote that may all be misspelled; where more than these and a third of it are strange, it is another
)
_MATCHES = 600  # places where words of a quote are found, at most; the most frequent words are left out first
_LOOK_BACK = 24  # matches before one that it may follow
_TURNS = 2  # neighbouring ones that a chain may span

_INSERTED = 0.1  # the cost of a word of the caller's that the quote leaves out…
_STITCHED = 0.12  # …and the most that leaving words out in one place costs, as a share of the quote's weight
_NEARBY = 3  # words beyond the expected ones among which a common word is looked for
_MISHEARD_FROM = 0.45  # likeness of what stands in the place of words that were not found; below, it is something else
_SOMETHING_ELSE = 0.75  # what that costs, as a share of their weight
_LONGEST_MISHEARD, _RUNS = 40, 10  # characters compared at a time, and how often

_HOMOPHONES: Mapping[str, tuple[str, ...]] = {"2": ("to", "too"), "4": ("for",), "8": ("ate",), "1": ("won",)}
_HOMOPHONE, _ARTICLE = 0.6, 0.9  # likeness of "to" and "2", of "a" and "1"
_SHORT_NUMBER, _LONG_RUN = 2, 4  # digits; groups: "five" is not quoted from a telephone number
_EXTRACT, _BLOCK = 4, 7  # digits that may be quoted from the midst of so many written as one


@dataclass(frozen=True, slots=True)
class Alignment:
    """What was found: for each place in the quote, the place in what was said."""

    wanted: list[str]
    said: list[str]
    places: dict[int, int]
    coverage: float  # 0.0 to 1.0: the weight of what was found, less what its gaps cost


@dataclass(slots=True)
class _Link:
    """A match, and the best chain that ends with it."""

    heard_at: int
    wanted_at: int
    value: float
    turn: int  # in which the chain begins
    before: _Link | None = None


def align(wanted: Sequence[str], said: Sequence[str]) -> Alignment:
    """Find a quote in what was said; both are tokens, turns are parted by `TURN`."""
    wanted, said = _as_split(wanted, said)
    return _Aligner(wanted, said).run()


class _Aligner:
    def __init__(self, wanted: list[str], said: list[str]) -> None:
        self.wanted, self.said = wanted, said
        self.weights = [weight(token) for token in wanted]
        self.whole = sum(self.weights)
        self.near = _near(wanted, said)
        self.places: dict[int, int] = {}
        self.earned = 0.0

    def run(self) -> Alignment:
        chain = self._best_chain(self._matches())
        if chain:
            self.places = {link.wanted_at: link.heard_at for link in chain}
            self.earned = chain[-1].value
            self._fill(chain)
        coverage = round(self.earned / self.whole, 6) if self.whole else 0.0
        return Alignment(self.wanted, self.said, self.places, min(max(coverage, 0.0), 1.0))

    def _likeness(self, wanted_at: int, heard_at: int) -> float:
        return self.near[self.wanted[wanted_at]].get(self.said[heard_at], 0.0)

    # ---- the chain ------------------------------------------------------------------------------------------------

    def _matches(self) -> list[tuple[int, int]]:
        """Where telling words of the quote are, in the order of what was said: (place said, place wanted)."""
        leading = [at for at, told in enumerate(self.weights) if told >= CARRIER_WEIGHT]
        leading = leading or [at for at, told in enumerate(self.weights) if told]
        sought = {token for at in leading for token in self.near[self.wanted[at]]}
        found: dict[str, list[int]] = {token: [] for token in sought}
        for at, token in enumerate(self.said):
            if token in found:
                found[token].append(at)
        times = {at: sum(len(found[token]) for token in self.near[self.wanted[at]]) for at in leading}
        matches: list[tuple[int, int]] = []
        for at in sorted(times, key=times.__getitem__):
            if len(matches) + times[at] > _MATCHES:
                break
            matches += [(there, at) for token in self.near[self.wanted[at]] for there in found[token]]
        return sorted(matches)

    def _best_chain(self, matches: Sequence[tuple[int, int]]) -> list[_Link]:
        turns = [at for at, token in enumerate(self.said) if token == TURN]
        links: list[_Link] = []
        best: _Link | None = None
        for heard_at, wanted_at in matches:
            link = self._linked(heard_at, wanted_at, bisect(turns, heard_at), links[-_LOOK_BACK:])
            links.append(link)
            if best is None or link.value > best.value:
                best = link
        chain: list[_Link] = []
        while best is not None:
            chain.append(best)
            best = best.before
        return chain[::-1]

    def _linked(self, heard_at: int, wanted_at: int, turn: int, earlier: Sequence[_Link]) -> _Link:
        told = self.weights[wanted_at] * self._likeness(wanted_at, heard_at)
        best, before, oldest, dearest = 0.0, None, turn - _TURNS, _STITCHED * self.whole
        for other in earlier:
            if other.wanted_at < wanted_at and other.heard_at < heard_at and other.turn > oldest:
                left_out = heard_at - other.heard_at - wanted_at + other.wanted_at
                value = other.value - min(_INSERTED * left_out, dearest) if left_out > 0 else other.value
                if value > best:
                    best, before = value, other
        return _Link(heard_at, wanted_at, best + told, before.turn if before else turn, before)

    # ---- between its links ----------------------------------------------------------------------------------------

    def _fill(self, chain: Sequence[_Link]) -> None:
        first, last = chain[0], chain[-1]
        self._fill_before(first)
        for one, other in pairwise(chain):
            lacking = range(one.wanted_at + 1, other.wanted_at)
            if lacking:
                places = self._between(one.heard_at, other.heard_at, len(lacking))
                self._fill_gap(lacking, places, len(places) == other.heard_at - one.heard_at - 1)
        lacking = range(last.wanted_at + 1, len(self.wanted))
        self._fill_gap(lacking, self._until_turn(range(last.heard_at + 1, last.heard_at + 1 + _NEARBY + len(lacking))))

    def _fill_before(self, first: _Link) -> None:
        """The words before the first link, from there back."""
        lacking = range(first.wanted_at - 1, -1, -1)
        reach = range(first.heard_at - 1, max(first.heard_at - 1 - _NEARBY - len(lacking), -1), -1)
        self._fill_gap(lacking, self._until_turn(reach))

    def _between(self, one: int, other: int, lacking: int) -> list[int]:
        """The places between two links, without the midst of a stitch."""
        reach = lacking + _NEARBY
        if other - one - 1 <= 2 * reach:
            return list(range(one + 1, other))
        return [*range(one + 1, one + 1 + reach), *range(other - reach, other)]

    def _until_turn(self, places: Iterable[int]) -> list[int]:
        out: list[int] = []
        for at in places:
            if at >= len(self.said) or self.said[at] == TURN:
                break
            out.append(at)
        return out

    def _fill_gap(self, lacking: Sequence[int], places: Sequence[int], whole: bool = True) -> None:
        """Find what is lacking among the places, in their order, then weigh what stands there in place of the rest.

        Args:
            whole: nothing between the places was left out.
        """
        start = 0
        for at in lacking:
            there = next((k for k in range(start, len(places)) if self._likeness(at, places[k])), None)
            if there is not None and self.weights[at]:
                self.places[at] = places[there]
                self.earned += self.weights[at] * self._likeness(at, places[there])
                start = there + 1
        missed = [at for at in lacking if at not in self.places and _may_be_misheard(self.wanted[at])]
        if missed and places:
            self._weigh_misheard(sorted(missed), places, whole)

    def _weigh_misheard(self, missed: Sequence[int], places: Sequence[int], whole: bool) -> None:
        """Credit what sounds like the missed words; something else in their place speaks against the quote."""
        taken = set(self.places.values())
        free = [at for at in places if at not in taken and self.said[at] not in PAUSES and not is_number(self.said[at])]
        if not free:
            return
        missing = "".join(self.wanted[at] for at in missed)
        told = sum(self.weights[at] for at in missed)
        runs = [sorted(run) for n in range(1, len(missed) + 2) for run in (free[:n], free[-n:])]
        likeness = max(_likeness(missing, "".join(self.said[at] for at in run)) for run in runs[:_RUNS])
        if likeness >= _MISHEARD_FROM:
            self.earned += told * (likeness - _MISHEARD_FROM) / (1 - _MISHEARD_FROM)
        elif whole and any(weight(self.said[at]) > CARRIER_WEIGHT for at in free[: len(missed) + 1]):
            self.earned -= told * _SOMETHING_ELSE


def _may_be_misheard(token: str) -> bool:
    return token not in WEIGHTS and token not in KINDS and token not in PAUSES and not is_number(token)


def _likeness(missing: str, heard: str) -> float:
    if max(len(missing), len(heard)) > _LONGEST_MISHEARD:
        return 0.0
    return 1 - distance(missing, heard) / max(len(missing), len(heard))


# ---- which words pass for which -----------------------------------------------------------------------------------


def _near(wanted: Sequence[str], said: Sequence[str]) -> dict[str, dict[str, float]]:
    """For each word of the quote, the words said that pass for it, and how well."""
    times = Counter(said)
    vocabulary = times.keys() - PAUSES
    numbers = [token for token in vocabulary if is_number(token)] if any(map(is_number, wanted)) else []
    near: dict[str, dict[str, float]] = {}
    strange: list[str] = []
    for token, sought in Counter(wanted).items():
        if is_number(token):
            near[token] = _numbers_near(token, numbers, vocabulary)
        elif token in vocabulary:
            near[token] = {token: 1.0}
            if sought > times[token] and token not in WEIGHTS:
                strange.append(token)
        elif token in ARTICLES:
            near[token] = {"1": _ARTICLE} if "1" in vocabulary else {}
        else:
            near[token] = {}
            if token not in WEIGHTS and token not in PAUSES:
                strange.append(token)
    if len(strange) <= max(_FEW, len(near) // 3):
        _add_alike(strange, vocabulary, near)
    return near


def _numbers_near(token: str, numbers: Iterable[str], vocabulary: AbstractSet[str]) -> dict[str, float]:
    near = {number: 1.0 for number in numbers if _within(token, number)}
    if not near:
        near = {word: _HOMOPHONE for word in _HOMOPHONES.get(token, ()) if word in vocabulary}
        if token == "1":
            near |= {word: _ARTICLE for word in ARTICLES if word in vocabulary}
    return near


def _within(number: str, said: str) -> bool:
    """Whether a number is the one that was said, or a part of it that could be said by itself."""
    wanted, all_said = digits(number), digits(said)
    if wanted == all_said or _decimal(number) == _decimal(said) is not None:
        return True
    if len(wanted) >= _EXTRACT and len(all_said) >= _BLOCK and wanted in all_said:
        return True
    ends = list(accumulate(len(digits(group)) for group in said.split(" ")))
    if len(ends) >= _LONG_RUN and len(wanted) <= _SHORT_NUMBER:
        return False
    return any(all_said.startswith(wanted, start) and start + len(wanted) in ends for start in (0, *ends))


def _decimal(number: str) -> str | None:
    """ "12.5" of "12.50"."""
    return number.rstrip("0") if number.count(".") == 1 and " " not in number else None


def _add_alike(strange: Sequence[str], vocabulary: Iterable[str], near: Mapping[str, dict[str, float]]) -> None:
    by_opening: dict[str, list[str]] = {}
    for token in vocabulary:
        if token not in WEIGHTS and not is_number(token):
            by_opening.setdefault(opening(token), []).append(token)
    left = _COMPARISONS
    for token in strange:
        for other in sorted(by_opening.get(opening(token), ())):
            if left == 0:
                return
            left -= 1
            if KINDS.get(token) is None or KINDS.get(other) != KINDS[token]:
                score = alike(token, other)
                if score:
                    near[token][other] = score


# ---- words and numbers that are parted in one and not in the other ------------------------------------------------


def _as_split(wanted: Sequence[str], said: Sequence[str]) -> tuple[list[str], list[str]]:
    """Both with the same words in one: "pick up" and "pickup", a number that is whole here and in groups there."""
    vocabulary = set(said)
    wanted = _merged(_parted_numbers(wanted, vocabulary), vocabulary)
    strange = {token for token in wanted if token not in vocabulary and len(token) > 1 and not is_number(token)}
    return wanted, _merged(said, strange) if strange else list(said)


def _merged(words: Sequence[str], compounds: set[str]) -> list[str]:
    """Neighbours put together where they make one of the compounds."""
    if compounds.isdisjoint(map(add, words, words[1:])):
        return list(words)
    out: list[str] = []
    merged = False
    for word in words:
        if out and not merged and (out[-1] + word) in compounds and not (word in compounds and out[-1] in compounds):
            out[-1] += word
            merged = True
        else:
            out.append(word)
            merged = False
    return out


def _parted_numbers(words: Sequence[str], vocabulary: Iterable[str]) -> Sequence[str]:
    """Numbers in their groups, where they were not said as one."""
    if not any(" " in word for word in words):
        return words
    numbers = [token for token in vocabulary if is_number(token)]
    out: list[str] = []
    for word in words:
        whole = " " not in word or any(_within(word, number) for number in numbers)
        out += [word] if whole else word.split(" ")
    return out
