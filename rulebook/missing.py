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
from operator import itemgetter
from typing import Any

from rulebook.cells import cells, days_around
from rulebook.kleene import Truth
from rulebook.leaves import AgeLeaf, Leaf, TableLeaf
from rulebook.schema import FactSpec
from rulebook.trees import Evaluation, Tree
from rulebook.values import Among, Interval, Value
from rulebook.ways import Alone, Change, Leaves, Plain, Search, make_room, ways_of_two

MOST = 8
"""Sets in an answer."""

Sets = tuple[tuple[str, ...], ...]
Beyond = tuple[tuple[tuple[str, Interval | Among], ...], tuple[Alone, ...], date | None]
"""The facts that are known in part, what the open comparisons of two facts lack, and the day if one is asked about."""


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
        self._of_nothing: dict[tuple[int, date], Alone] = {}
        self._above = {
            leaf.index: {part.index for tree in trees for part in tree.parts() if leaf in part.leaves()}
            for leaf in self._joint
        }
        """The parts of the conditions that a comparison of two facts is in."""
        self._named_before: dict[tuple[int, ...], Sets] = {}
        self._plain: dict[date | None, Plain] = {}
        self._inner = {
            part.index: itemgetter(*sorted({leaf.index for leaf in part.leaves()}))
            for tree in trees
            for part in tree.parts()
            if part.size > 1 and next(part.leaves(), None) is not None
        }

    def deciding(self, on: Evaluation) -> tuple[Leaf, ...]:
        """The leaves that made the answer what it is, in an order that does not depend on how they were written."""
        key = self._pattern(on.truths)
        found = self._deciding.get(key)
        if found is None:
            make_room(self._deciding)
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
            if _lacks(facts.get(fact))
        }

    def beyond(self, on: Evaluation, partly: Mapping[str, Interval | Among]) -> Beyond:
        """What, besides the truths of the comparisons, it depends on what is missing."""
        in_part = tuple([(fact, value) for fact, value in partly.items() if fact in self._bits])
        joint = tuple([self._alone(leaf, on) for leaf in self._joint if leaf.truth(on) == Truth.UNKNOWN])
        return in_part, joint, on.as_of if self._by_day else None

    def missing(self, on: Evaluation, partly: Mapping[str, Interval | Among]) -> Missing:
        """What to ask for while the answer is open; `partly` are the facts of which something, not all, is known."""
        beyond = self.beyond(on, partly)
        key = self._pattern(on.truths), beyond
        found = self._answers.get(key)
        if found is None:
            make_room(self._answers)
            search = Search(on, *self._open_leaves(on)) if beyond[0] else self._shared_search(on)
            found = self._answers[key] = self._missing(search)
        return found

    def would_change(self, on: Evaluation) -> Sets:
        """For a no: minimal sets of known facts which, were they otherwise, could make it something else than no."""
        key = self._pattern(on.truths)
        found = self._changes.get(key)
        if found is None:
            make_room(self._changes)
            change = Change(on, self._bits)
            ways = change.ways(self._yes, Truth.TRUE) if self._no is None else change.ways(self._no, Truth.FALSE)
            found = self._changes[key] = self._named(facts for facts, _ in ways)
        return found

    def _missing(self, search: Search) -> Missing:
        yes = search.ways(self._yes, Truth.TRUE)
        no = search.ways(self._yes, Truth.FALSE) if self._no is None else search.ways(self._no, Truth.TRUE)
        return Missing(
            to_settle=self._named(facts for facts, _ in yes + no),
            to_qualify=self._named(facts for facts, _ in yes),
            needed=self._listed(search.needed(self._yes, Truth.TRUE) or 0),
        )

    def _shared_search(self, on: Evaluation) -> Search:
        """For somebody of whom each fact is known or is not: what was found out about part of a condition is shared."""
        day = on.as_of if self._by_day else None
        plain = self._plain.get(day)
        if plain is None:
            make_room(self._plain)
            plain = self._plain[day] = Plain(*self._open_leaves(Evaluation({}, on.as_of)), self._inner)
        leaves, apart = plain.leaves, set[int]()
        for leaf in self._joint:
            if leaf.truth(on) == Truth.UNKNOWN and any(fact in on.facts for fact in leaf.facts):
                # One of the two is known: how the other one settles it hangs on its value.
                leaves = leaves | {leaf.index: ways_of_two(self._alone(leaf, on))}
                apart |= self._above[leaf.index]
        return Search(on, leaves, plain.ranges, plain, apart)

    def _named(self, found: Iterable[int]) -> Sets:
        key = tuple(found)
        named = self._named_before.get(key)
        if named is None:
            make_room(self._named_before)
            minimal: list[int] = []
            for facts in sorted(set(key), key=int.bit_count):
                if facts and not any(smaller & facts == smaller for smaller in minimal):
                    minimal.append(facts)
            every = sorted((self._listed(facts) for facts in minimal), key=lambda one: (len(one), one))
            named = self._named_before[key] = tuple(every[:MOST])
        return named

    def _listed(self, bits: int) -> tuple[str, ...]:
        return tuple(name for position, name in enumerate(self._names) if bits >> position & 1)

    def _open_leaves(self, on: Evaluation) -> tuple[Leaves, dict[int, list[int]]]:
        """For each open leaf, how it becomes true and how false; and the cells of each fact, by the fact's bit."""
        found: Leaves = {}
        ranges: dict[int, list[int]] = {}
        alone: dict[str, list[Leaf]] = {}
        for _, leaf in self._leaves:
            if leaf.truth(on) != Truth.UNKNOWN:
                continue
            if len(leaf.facts) > 1:
                found[leaf.index] = ways_of_two(self._alone(leaf, on))
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
            make_room(self._cells)
            possible = cells(leaves, value, on.as_of)
            true_in = [
                sum(1 << number for number, cell in enumerate(possible) if cell[position])
                for position in range(len(leaves))
            ]
            kept = self._cells[key] = len(possible), true_in
        return kept

    def _alone(self, leaf: Leaf, on: Evaluation) -> Alone:
        """For each fact of a leaf on two that is not known whole: whether it could settle it alone, and to what."""
        facts = on.facts
        if not any(fact in facts for fact in leaf.facts):
            key = leaf.index, on.as_of
            if key not in self._of_nothing:
                make_room(self._of_nothing)
                self._of_nothing[key] = self._alone_of(leaf, on)
            return self._of_nothing[key]
        return self._alone_of(leaf, on)

    def _alone_of(self, leaf: Leaf, on: Evaluation) -> Alone:
        facts = on.facts
        wanted = [fact for fact in leaf.facts if _lacks(facts.get(fact))]
        if isinstance(leaf, TableLeaf):
            each = dict(zip(leaf.facts, leaf.alone(facts, on.as_of), strict=True))
            return tuple([(self._bits[fact], each[fact]) for fact in wanted])
        assert isinstance(leaf, AgeLeaf), "no other comparison is of two facts"
        found = []
        for fact in wanted:
            outcomes = {leaf.code({**facts, fact: day}, on.as_of) for day in days_around(leaf, fact, facts)}
            found.append((self._bits[fact], (Truth.TRUE in outcomes, Truth.FALSE in outcomes)))
        return tuple(found)


def _lacks(value: Value | None) -> bool:
    """Whether something of a fact is not known."""
    if isinstance(value, Interval):
        return value.low is None or value.low != value.high
    return value is None or isinstance(value, Among)


def _no_leaves(_: Mapping[int, Truth]) -> None:
    """The pattern of a condition that asks for nothing."""
