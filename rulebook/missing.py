"""What to ask for: the smallest sets of missing facts that could settle an answer, and what would change a no.

A set is *sufficient* if there are values for its facts under which the answer is settled whatever all other missing
facts are; here and everywhere settled means that Kleene logic says yes or no. It is *minimal* if no part of it is
sufficient. Facts that follow from others count as the fact that is asked for (`ask` in the catalogue).

Alternatives are carried as pairs of bits: the facts that it needs, and the cells (`rulebook.cells`) that these facts
have to be in, so that one fact never has to hold two values at once. A comparison of two facts (an age on another
fact's day, a table by household) is taken to be able to come out either way when both are known.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import reduce
from operator import and_, itemgetter, or_
from typing import Any

from rulebook.cells import cells, days_around
from rulebook.kleene import Truth, kleene_not
from rulebook.leaves import AgeLeaf, Leaf, TableLeaf
from rulebook.schema import FactSpec
from rulebook.trees import Evaluation, Tree
from rulebook.values import Among, Interval

LARGEST = 3
"""Facts in a set; more than that is no question that somebody on the street can ask."""
MOST = 8
"""Sets in an answer."""
_KEPT = 512
"""Patterns of a condition whose answer is kept: persons of whom the same is known are asked the same."""

_WORTH_SORTING = 6
"""So few ways are cheaper to carry on than to compare."""

_PARTLY = (Interval, Among, type(None))
"""Types of what is known of a fact that is not known whole."""

Sets = tuple[tuple[str, ...], ...]
_Way = tuple[int, int]
"""Bits of facts, and bits of cells in which those facts have to be."""
_NOTHING: list[_Way] = [(0, -1)]
_Alone = tuple[tuple[int, tuple[bool, bool]], ...]
"""For each of two facts, by its bit, whether it could settle their comparison alone: to true, and to false."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What would settle an answer that is open. All sets are sorted, the smallest first."""

    to_settle: Sets = ()
    """Up to `MOST` minimal sets of up to `LARGEST` facts, each of which could settle the answer, to yes or to no."""
    to_qualify: Sets = ()
    """The same for yes alone."""
    needed: tuple[str, ...] = ()
    """Facts without which the answer never becomes yes, however many others are known."""

    def to_json(self) -> dict[str, Any]:
        return {
            "to_settle": [list(one) for one in self.to_settle],
            "to_qualify": [list(one) for one in self.to_qualify],
            "needed": list(self.needed),
        }


NOTHING_MISSING = Missing()


class Gaps:
    """Explains one answer: what decided it, what is missing, what would change it.

    `yes` and `no` are conditions that make the answer so when they are certainly true; without a `no`, what is not yes
    is no. `why` are the conditions in which its reasons are looked for, `yes` unless said otherwise.

    All of it hangs on the truths of the leaves alone, so that persons of whom the same is known share one search.
    """

    def __init__(
        self, yes: Tree, catalogue: Mapping[str, FactSpec], no: Tree | None = None, why: tuple[Tree, ...] = ()
    ) -> None:
        self._yes = yes
        self._no = no
        self._why = why or (yes,)
        trees = (yes, *self._why) if no is None else (yes, no, *self._why)
        self._leaves = sorted({leaf.index: leaf for tree in trees for leaf in tree.leaves()}.items())
        self._facts = sorted({fact for _, leaf in self._leaves for fact in leaf.facts})
        self._asked = {fact: catalogue[fact].ask or fact for fact in self._facts}
        self._names = sorted(set(self._asked.values()))
        self._bits = {fact: 1 << self._names.index(name) for fact, name in self._asked.items()}
        self._joint = tuple(leaf for _, leaf in self._leaves if len(leaf.facts) > 1)
        self._by_day = any(type(leaf) is not Leaf for _, leaf in self._leaves)
        indices = [index for index, _ in self._leaves]
        self._pattern: Callable[[Mapping[int, Truth]], Any] = itemgetter(*indices) if indices else _no_leaves
        self._cells: dict[Any, tuple[int, list[int]]] = {}
        self._deciding: dict[Any, tuple[Leaf, ...]] = {}
        self._answers: dict[Any, Missing] = {}
        self._changes: dict[Any, Sets] = {}
        self._of_nothing: dict[tuple[int, date], _Alone] = {}

    def deciding(self, on: Evaluation) -> tuple[Leaf, ...]:
        """The leaves that made the answer what it is, in an order that does not depend on how they were written."""
        key = self._pattern(on.truths)
        found = self._deciding.get(key)
        if found is None:
            _make_room(self._deciding)
            leaves = {leaf.index: leaf for tree in self._why for leaf in tree.deciding(on)}
            found = self._deciding[key] = tuple(sorted(leaves.values(), key=lambda leaf: leaf.sort_key))
        return found

    def lacking(self, on: Evaluation) -> set[str]:
        """The facts to ask for of which the open ones among the deciding leaves lack something: of two, both."""
        facts, truths = on.facts, on.truths
        return {
            self._asked[fact]
            for leaf in self.deciding(on)
            if truths[leaf.index] == Truth.UNKNOWN
            for fact in leaf.facts
            if isinstance(facts.get(fact), _PARTLY)
        }

    def missing(self, on: Evaluation, partly: Mapping[str, Interval | Among]) -> Missing:
        """What to ask for while the answer is open; `partly` are the facts of which something, not all, is known."""
        key = self._pattern(on.truths), *self._beyond_leaves(on, partly)
        found = self._answers.get(key)
        if found is None:
            _make_room(self._answers)
            found = self._answers[key] = self._missing(on)
        return found

    def would_change(self, on: Evaluation) -> Sets:
        """For a no: minimal sets of known facts which, were they otherwise, could make it something else than no."""
        key = self._pattern(on.truths)
        found = self._changes.get(key)
        if found is None:
            _make_room(self._changes)
            change = _Change(on, self._bits)
            ways = change.ways(self._yes, Truth.TRUE) if self._no is None else change.ways(self._no, Truth.FALSE)
            found = self._changes[key] = self._named(facts for facts, _ in ways)
        return found

    def _beyond_leaves(self, on: Evaluation, partly: Mapping[str, Interval | Among]) -> tuple[Any, ...]:
        """What, besides the truths of the leaves, the values that a fact can still take depend on."""
        in_part = tuple((fact, partly[fact]) for fact in self._facts if fact in partly) if partly else ()
        joint = tuple([self._alone(leaf, on) for leaf in self._joint if leaf.truth(on) == Truth.UNKNOWN])
        return in_part, joint, on.as_of if self._by_day else None

    def _missing(self, on: Evaluation) -> Missing:
        search = _Search(on, *self._open_leaves(on))
        yes = search.ways(self._yes, Truth.TRUE)
        no = search.ways(self._yes, Truth.FALSE) if self._no is None else search.ways(self._no, Truth.TRUE)
        return Missing(
            to_settle=self._named(facts for facts, _ in yes + no),
            to_qualify=self._named(facts for facts, _ in yes),
            needed=self._listed(search.needed(self._yes, Truth.TRUE) or 0),
        )

    def _named(self, found: Iterable[int]) -> Sets:
        minimal: list[int] = []
        for facts in sorted(set(found), key=int.bit_count):
            if facts and not any(smaller & facts == smaller for smaller in minimal):
                minimal.append(facts)
        named = sorted((self._listed(facts) for facts in minimal), key=lambda one: (len(one), one))
        return tuple(named[:MOST])

    def _listed(self, bits: int) -> tuple[str, ...]:
        return tuple(name for position, name in enumerate(self._names) if bits >> position & 1)

    def _open_leaves(self, on: Evaluation) -> "tuple[_Leaves, dict[int, list[int]]]":
        """For each open leaf, how it becomes true and how false; and the cells of each fact, by the fact's bit."""
        found: _Leaves = {}
        ranges: dict[int, list[int]] = {}
        alone: dict[str, list[Leaf]] = {}
        for _, leaf in self._leaves:
            if leaf.truth(on) != Truth.UNKNOWN:
                continue
            if len(leaf.facts) > 1:
                found[leaf.index] = _ways_of_two(self._alone(leaf, on))
            else:
                alone.setdefault(leaf.fact, []).append(leaf)
        start = 0
        for fact, leaves in alone.items():
            bit = self._bits[fact]
            count, true_in = self._cells_of(leaves, on)
            whole = ((1 << count) - 1) << start
            ranges.setdefault(bit, []).append(whole)
            for leaf, cells_where_true in zip(leaves, true_in, strict=True):
                true = cells_where_true << start
                false = whole & ~true
                found[leaf.index] = (
                    [(bit, ~whole | true)] if true else [],
                    [(bit, ~whole | false)] if false else [],
                )
            start += count
        return found, ranges

    def _cells_of(self, leaves: list[Leaf], on: Evaluation) -> tuple[int, list[int]]:
        """How many cells a fact can be in, and for each leaf on it the bits of those in which it holds."""
        value = on.facts.get(leaves[0].fact)
        dated = any(type(leaf) is not Leaf for leaf in leaves)
        key = tuple([leaf.index for leaf in leaves]), value, on.as_of if dated else None
        kept = self._cells.get(key)
        if kept is None:
            _make_room(self._cells)
            possible = cells(leaves, value, on.as_of)
            true_in = [
                sum(1 << number for number, cell in enumerate(possible) if cell[position])
                for position in range(len(leaves))
            ]
            kept = self._cells[key] = len(possible), true_in
        return kept

    def _alone(self, leaf: Leaf, on: Evaluation) -> _Alone:
        """For each fact of a leaf on two that is not known whole: whether it could settle it alone, and to what."""
        facts = on.facts
        if not any(fact in facts for fact in leaf.facts):
            key = leaf.index, on.as_of
            if key not in self._of_nothing:
                _make_room(self._of_nothing)
                self._of_nothing[key] = self._alone_of(leaf, on)
            return self._of_nothing[key]
        return self._alone_of(leaf, on)

    def _alone_of(self, leaf: Leaf, on: Evaluation) -> _Alone:
        facts = on.facts
        wanted = [fact for fact in leaf.facts if isinstance(facts.get(fact), _PARTLY)]
        if isinstance(leaf, TableLeaf):
            each = dict(zip(leaf.facts, leaf.alone(facts, on.as_of), strict=True))
            return tuple([(self._bits[fact], each[fact]) for fact in wanted])
        assert isinstance(leaf, AgeLeaf), "no other comparison is of two facts"
        found = []
        for fact in wanted:
            outcomes = {leaf.code({**facts, fact: day}, on.as_of) for day in days_around(leaf, fact, facts)}
            found.append((self._bits[fact], (Truth.TRUE in outcomes, Truth.FALSE in outcomes)))
        return tuple(found)


def _ways_of_two(alone: _Alone) -> tuple[list[_Way], list[_Way]]:
    """How a leaf on two facts becomes true, and how false: by one of them, or else by both."""
    both = reduce(or_, (bit for bit, _ in alone), 0)
    ways: tuple[list[_Way], list[_Way]] = ([], [])
    for position, side in enumerate(ways):
        side += [(bit, -1) for bit, outcomes in alone if outcomes[position]]
        if not side and len(alone) > 1:
            side.append((both, -1))
    return ways


_Leaves = dict[int, tuple[list[_Way], list[_Way]]]


def _no_leaves(_: Mapping[int, Truth]) -> None:
    """The pattern of a condition that asks for nothing."""


def _make_room(kept: dict[Any, Any]) -> None:
    """The pattern that was seen first goes first: what is in use comes back at once."""
    if len(kept) >= _KEPT:
        del kept[next(iter(kept))]


class _Search:
    """Ways in which conditions become what is wanted of them, for one person on one day."""

    def __init__(self, on: Evaluation, leaves: _Leaves, ranges: Mapping[int, list[int]]) -> None:
        self._on = on
        self._truths = on.truths
        self._leaves = leaves
        self._ranges = ranges
        self._known: dict[tuple[int, Truth], list[_Way]] = {}

    def ways(self, tree: Tree, wanted: Truth) -> list[_Way]:
        key = (tree.index, wanted)
        if key not in self._known:
            self._known[key] = self._ways(tree, wanted)
        return self._known[key]

    def _ways(self, tree: Tree, wanted: Truth) -> list[_Way]:
        so = self._is_so(tree, wanted)
        if so is not None:
            return _NOTHING if so else []
        if isinstance(tree, Leaf):
            return self._leaf(tree, wanted)
        of_children, count = tree.demand(wanted)
        if count == 1:
            return _minimal([way for child in tree.children for way in self.ways(child, of_children)])
        # chosen[n]: ways to have n of the children so far as they are wanted.
        chosen: list[list[_Way]] = [_NOTHING] + [[] for _ in range(count)]
        left = len(tree.children)
        spare = left - count
        for seen, child in enumerate(tree.children, 1):
            left -= 1
            child_ways = self.ways(child, of_children)
            if child_ways:
                for n in range(min(count, seen), max(count - left, 1) - 1, -1):
                    more = self._both(chosen[n - 1], child_ways)
                    chosen[n] = _minimal(chosen[n] + more) if chosen[n] else more
            elif not spare:
                return []
        return chosen[count]

    def _both(self, some: list[_Way], others: list[_Way]) -> list[_Way]:
        if others is _NOTHING:
            return some
        if some is _NOTHING:
            return others
        found = []
        for facts, where in some:
            for more, elsewhere in others:
                every = facts | more
                if every.bit_count() <= LARGEST and self._consistent(facts & more, where & elsewhere):
                    found.append((every, where & elsewhere))
        return found

    def _consistent(self, shared: int, where: int) -> bool:
        while shared:
            bit = shared & -shared
            if not all(where & whole for whole in self._ranges.get(bit, ())):
                return False
            shared ^= bit
        return True

    def needed(self, tree: Tree, wanted: Truth) -> int | None:
        """Bits of the facts that all ways need, of any size; None if there is no way."""
        so = self._is_so(tree, wanted)
        if so is not None:
            return 0 if so else None
        if isinstance(tree, Leaf):
            ways = self._leaf(tree, wanted)
            return reduce(and_, (facts for facts, _ in ways)) if ways else None
        of_children, count = tree.demand(wanted)
        each = [bits for bits in (self.needed(child, of_children) for child in tree.children) if bits is not None]
        if len(each) < count:
            return None
        if len(each) == count:
            return reduce(or_, each, 0)
        found, rest = 0, reduce(or_, each, 0)
        while rest:
            bit = rest & -rest
            if sum(1 for bits in each if not bits & bit) < count:
                found |= bit
            rest ^= bit
        return found

    def _is_so(self, tree: Tree, wanted: Truth) -> bool | None:
        """Whether it is what is wanted of it, or never will be; None while it may become so."""
        truth = self._truths.get(tree.index)
        if truth is None:
            truth = tree.truth(self._on)
        return None if truth is Truth.UNKNOWN else truth is wanted

    def _leaf(self, leaf: Leaf, wanted: Truth) -> list[_Way]:
        return self._leaves[leaf.index][0 if wanted == Truth.TRUE else 1]


class _Change(_Search):
    """Ways in which a condition stops being the opposite of what is wanted: which known facts to forget for that."""

    def __init__(self, on: Evaluation, bits: Mapping[str, int]) -> None:
        super().__init__(on, {}, {})
        self._bits = bits

    def _is_so(self, tree: Tree, wanted: Truth) -> bool | None:
        return True if tree.truth(self._on) is not kleene_not(wanted) else None

    def _leaf(self, leaf: Leaf, wanted: Truth) -> list[_Way]:
        return [(reduce(or_, (self._bits[fact] for fact in leaf.facts)), -1)]


def _minimal(ways: list[_Way]) -> list[_Way]:
    """Without those that another one covers: with fewer facts, or more freely."""
    if len(ways) < _WORTH_SORTING:
        return ways
    kept: list[_Way] = []
    for facts, where in sorted(set(ways), key=_size):
        if not any(f & ~facts == 0 and where & ~w == 0 for f, w in kept):
            kept.append((facts, where))
    return kept


def _size(way: _Way) -> tuple[int, int]:
    return way[0].bit_count(), -way[1].bit_count()
