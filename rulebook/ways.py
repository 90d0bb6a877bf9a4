"""The ways in which a condition becomes what is wanted of it: which facts, in which of their cells, do it together.

A way is a pair of bits: the facts that it needs, and the cells (`rulebook.cells`) that these facts have to be in, so
that one fact never has to hold two values at once.
"""

from collections.abc import Callable, Collection, Mapping
from functools import reduce
from operator import and_, or_
from typing import Any

from rulebook.kleene import Truth, kleene_not
from rulebook.leaves import Leaf
from rulebook.trees import Evaluation, Tree

LARGEST = 3
"""Facts in a set; more than that is no question that somebody on the street can ask."""
_KEPT = 512
"""Patterns of a condition of which something is kept: persons of whom the same is known are asked the same."""
_WORTH_SORTING = 6
"""So few ways are cheaper to carry on than to compare."""

Way = tuple[int, int]
Leaves = dict[int, tuple[list[Way], list[Way]]]
"""How each open leaf becomes true, and how false."""
Alone = tuple[tuple[int, tuple[bool, bool]], ...]
"""For each of two facts, by its bit, whether it could settle their comparison alone: to true, and to false."""
_NOTHING: list[Way] = [(0, -1)]


def ways_of_two(alone: Alone) -> tuple[list[Way], list[Way]]:
    """How a leaf on two facts becomes true, and how false: by one of them, or else by both."""
    both = reduce(or_, (bit for bit, _ in alone), 0)
    ways: tuple[list[Way], list[Way]] = ([], [])
    for position, side in enumerate(ways):
        side += [(bit, -1) for bit, outcomes in alone if outcomes[position]]
        if not side and len(alone) > 1:
            side.append((both, -1))
    return ways


def make_room(kept: dict[Any, Any]) -> None:
    """The pattern that was seen first goes first: what is in use comes back at once."""
    if len(kept) >= _KEPT:
        del kept[next(iter(kept))]


class Plain:
    """What all persons share of whom each fact is known or is not, and nothing in part.

    The ways of a part of a condition then hang on the truths of its own comparisons alone.
    """

    __slots__ = ("inner", "leaves", "needed", "ranges", "ways")

    def __init__(
        self, leaves: Leaves, ranges: Mapping[int, list[int]], inner: Mapping[int, Callable[[Mapping[int, Truth]], Any]]
    ) -> None:
        self.leaves = leaves
        self.ranges = ranges
        self.inner = inner
        """By the index of a part, the truths of its comparisons."""
        self.ways: dict[Any, list[Way]] = {}
        self.needed: dict[Any, int | None] = {}


class Search:
    """Ways in which conditions become what is wanted of them, for one person on one day."""

    def __init__(
        self,
        on: Evaluation,
        leaves: Leaves,
        ranges: Mapping[int, list[int]],
        plain: Plain | None = None,
        apart: Collection[int] = (),
    ) -> None:
        """With `plain`, what is found is shared with others, but of the parts whose index is in `apart`."""
        self._on = on
        self._truths = on.truths
        self._leaves = leaves
        self._ranges = ranges
        self._plain = plain
        self._apart = apart
        self._known: dict[tuple[int, Truth], list[Way]] = {}

    def ways(self, tree: Tree, wanted: Truth) -> list[Way]:
        """None of more than `LARGEST` facts; none at all if it cannot become so."""
        so = self._is_so(tree, wanted)
        if so is not None:
            return _NOTHING if so else []
        if isinstance(tree, Leaf):
            return self._leaf(tree, wanted)
        key: Any = tree.index, wanted
        known: dict[Any, list[Way]] = self._known
        if self._plain is not None and tree.size > 1 and tree.index not in self._apart:
            known = self._plain.ways
            key = key, self._plain.inner[tree.index](self._truths)
        found = known.get(key)
        if found is None:
            make_room(known)
            found = known[key] = self._ways(tree, wanted)
        return found

    def _ways(self, tree: Tree, wanted: Truth) -> list[Way]:
        of_children, count = tree.demand(wanted)
        if count == 1:
            return _minimal([way for child in tree.children for way in self.ways(child, of_children)])
        # chosen[n]: ways to have n of the children so far as they are wanted.
        chosen: list[list[Way]] = [_NOTHING] + [[] for _ in range(count)]
        left = len(tree.children)
        spare = left - count
        for seen, child in enumerate(tree.simplest, 1):
            left -= 1
            child_ways = self.ways(child, of_children)
            if child_ways:
                for n in range(min(count, seen), max(count - left, 1) - 1, -1):
                    more = self._both(chosen[n - 1], child_ways)
                    chosen[n] = _minimal(chosen[n] + more) if chosen[n] else more
            if not spare and not (child_ways and chosen[seen]):
                return []
        return chosen[count]

    def _both(self, some: list[Way], others: list[Way]) -> list[Way]:
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
        if self._plain is None or tree.size == 1 or tree.index in self._apart:
            return self._needed(tree, wanted)
        key = tree.index, wanted, self._plain.inner[tree.index](self._truths)
        known = self._plain.needed
        if key not in known:
            make_room(known)
            known[key] = self._needed(tree, wanted)
        return known[key]

    def _needed(self, tree: Tree, wanted: Truth) -> int | None:
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

    def _leaf(self, leaf: Leaf, wanted: Truth) -> list[Way]:
        return self._leaves[leaf.index][0 if wanted == Truth.TRUE else 1]


class Change(Search):
    """Ways in which a condition stops being the opposite of what is wanted: which known facts to forget for that."""

    def __init__(self, on: Evaluation, bits: Mapping[str, int]) -> None:
        super().__init__(on, {}, {})
        self._bits = bits

    def _is_so(self, tree: Tree, wanted: Truth) -> bool | None:
        return True if tree.truth(self._on) is not kleene_not(wanted) else None

    def _leaf(self, leaf: Leaf, wanted: Truth) -> list[Way]:
        return [(reduce(or_, (self._bits[fact] for fact in leaf.facts)), -1)]


def _minimal(ways: list[Way]) -> list[Way]:
    """Without those that another one covers: with fewer facts, or more freely."""
    if len(ways) < _WORTH_SORTING:
        return ways
    kept: list[Way] = []
    for facts, where in sorted(set(ways), key=_size):
        if not any(f & ~facts == 0 and where & ~w == 0 for f, w in kept):
            kept.append((facts, where))
    return kept


def _size(way: Way) -> tuple[int, int]:
    return way[0].bit_count(), -way[1].bit_count()
